"""A recipe on exchanged data: everything from prices to actions, up to one row."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from omegaconf import DictConfig

from agents.policy import Policy
from envs.portfolio import PortfolioEnv
from envs.simulation import Setting
from experiments import pipeline
from experiments.auditing.future import change_after, change_builder

Array = NDArray[Any]
# Steps of a rollout that ends at the tested row. Whoever looks k rows ahead is seen at that row
# whatever k is; the steps before it are for what remembers.
STEPS = 48


class Recipe:
    """A configuration with its data, which can be exchanged.

    Attributes:
        known: the preparation on the data as they are.
        first: the first row at which a decision is possible.
    """

    def __init__(self, cfg: DictConfig) -> None:
        self.cfg = cfg
        self.market = pipeline.load_market(cfg)
        self.builder = pipeline.build(cfg, "features.build")
        self.known = pipeline.prepare(cfg, self.market, self.builder)
        self.first = max(
            self.known.splits.train[0], self.known.features.warmup + cfg.env.window - 1
        )

    def after(self, row: int, seed: int) -> pipeline.Prepared:
        """The preparation where everything after `row` is other."""
        builder = change_builder(self.builder, self.market.dates[row], seed)
        return pipeline.prepare(self.cfg, change_after(self.market, row, seed), builder)

    def as_known_at(self, row: int, other: pipeline.Prepared) -> pipeline.Prepared:
        """`other` with the scaler of the data as they are, for rows within the training window.

        A scaler is fitted on the whole of that window: inside of it, its numbers belong to later
        rows, too. That is what a training window is; a row after it must not move them.
        """
        if row >= self.known.splits.train[1]:
            return other
        scaler = self.known.scaler
        return replace(other, scaler=scaler, features=scaler.transform(other.panel))

    def window(self, prepared: pipeline.Prepared, rows: tuple[int, int]) -> Setting:
        """The env of the recipe over these decision rows, as agents are judged in it."""
        market, features = prepared.market, prepared.features
        return pipeline.make_window(self.cfg, market, features, rows, episode_length=None)

    def steps_to(self, row: int) -> tuple[int, int]:
        """Decision rows of a rollout that ends at `row`."""
        return max(self.first, row - STEPS), row + 1


class OpenLoop:
    """Random actions that depend on the number of the step alone."""

    name = "open_loop"

    def __init__(self, setting: Setting, seed: int) -> None:
        self.observation, self.action = setting.observation, setting.action_map.name
        self._n_actions, self._seed = setting.action_map.n_actions, seed

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = True,
    ) -> tuple[np.ndarray, Any]:
        step = 0 if state is None else state
        rng = np.random.default_rng([self._seed, step])
        return rng.uniform(-1.0, 1.0, self._n_actions), step + 1


@dataclass(frozen=True, eq=False)
class Trace:
    """What happened up to a row, by name; entry 0 belongs to row `first`.

    Attributes:
        seen: `observation` and `action`, from the first decision row to the last row.
        happened: `reward` and all accounts, from the row after the first decision on.
    """

    first: int
    seen: dict[str, Array]
    happened: dict[str, Array]


def trace(policy: Policy, setting: Setting, last: int) -> Trace:
    """Rolls a policy from the first row of the setting until it has decided at row `last`."""
    env = PortfolioEnv.from_setting(setting)
    observation, info = env.reset(seed=0)
    first = int(info["t"])
    state, start = None, np.ones(1, bool)
    seen: dict[str, list[Array]] = {"observation": [], "action": []}
    happened: dict[str, list[Any]] = {}
    for row in range(first, last + 1):
        action, state = policy.predict(observation, state, start, deterministic=True)
        start = np.zeros(1, bool)
        seen["observation"].append(_flat(observation))
        seen["action"].append(np.array(action))
        if row == last:
            break
        observation, reward, terminated, truncated, info = env.step(action)
        for name, value in {"reward": reward, **_numbers(info)}.items():
            happened.setdefault(name, []).append(value)
        if terminated or truncated:
            break
    return Trace(first, _stacked(seen), _stacked(happened))


def _flat(observation: Any) -> Array:
    parts = observation.values() if isinstance(observation, dict) else [observation]
    return np.concatenate([np.ravel(np.array(part, np.float64)) for part in parts])


def _numbers(info: dict[str, Any]) -> dict[str, Any]:
    """All numbers of an info, without the row and its date."""
    found: dict[str, Any] = {}
    for name, value in info.items():
        if isinstance(value, dict):
            found |= {f"{name}.{key}": x for key, x in _numbers(value).items()}
        elif name not in ("t", "date") and isinstance(value, (int, float, np.ndarray, np.number)):
            found[name] = np.array(value)
    return found


def _stacked(columns: dict[str, list[Any]]) -> dict[str, Array]:
    return {name: np.stack([np.asarray(x) for x in values]) for name, values in columns.items()}
