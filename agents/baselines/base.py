"""What all baselines share: the signature of a policy, and rebalancing every so many steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.actions import Trade
from envs.data.arguments import truth_value, whole_number
from envs.data.market_data import MarketData
from envs.errors import InputError
from envs.market.legs import standing_prices

Float = NDArray[np.float64]


class Baseline:
    """Base of the policies that read the row and the weights held, one portfolio at a time.

    Attributes:
        name, observation, action: see `agents.policy.Policy`.
        action_settings: of the action map: gross and net of `long_short`.
    """

    name: str
    observation = "indexed"
    action = "simplex"
    action_settings: Mapping[str, float] = {}

    def act(self, t: int, held: Float, memory: Any) -> tuple[Float, Any]:
        """`(action, memory)` at row t from the weights held `[A+1]`; memory is None when an episode
        begins, and then what the call before has returned."""
        raise NotImplementedError

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = True,
    ) -> tuple[np.ndarray, Any]:
        """See `Policy.predict`; `state` is the memory."""
        if episode_start is not None and episode_start[0]:
            state = None
        return self.act(int(observation["t"][0]), observation["weights"], state)


class Rebalanced(Baseline):
    """Base of the policies that name new weights every `every` steps.

    Between, long-only weights drift. With `short` the policy answers in `long_short` (gross and net
    leverage up to 1), which knows no order to hold: there it restores the weights that it named at
    every step.

    `history` is the number of closes that `target` needs, counted back from the decision.
    """

    action = "trade"

    def __init__(self, market: MarketData, history: int, every: int, short: bool = False) -> None:
        self.market = market
        self.history = history
        self.every = whole_number(every, f"{self.name}: every", 1)
        self.short = truth_value(short, f"{self.name}: short")
        if self.short:
            self.action, self.action_settings = "long_short", {"gross": 1.0, "net": 1.0}
        _, self._closes, _ = standing_prices(market)
        self._orders = Trade(market.n_assets)
        self._hold = np.zeros(market.n_assets)

    def target(self, closes: Float) -> Float:
        """Weights `[A]` from closes `[history, A]`, oldest first, of A assets that have all of
        them. Their absolute values sum to 1 at most, the rest is cash; with `short` they may be
        negative."""
        raise NotImplementedError

    def act(self, t: int, held: Float, memory: Any) -> tuple[Float, Any]:
        """The memory counts the steps since the episode began, or since there was no asset to
        choose (then nothing is done, and the next step is tried), and holds what to answer until
        the next weights are due."""
        step, until_then = memory or (0, self._hold)
        if step % self.every:
            return until_then, (step + 1, until_then)
        first = t + 1 - self.history
        if first < 0:
            raise InputError(
                f"{self.name} needs {self.history} rows of prices before its first decision and "
                f"has {t + 1}; use more data, shorten its history, or leave it out with "
                f"evaluation.baselines.{self.name}=null"
            )
        closes, can = self._closes[first : t + 1], self.market.tradable[t]
        usable = can & ~np.isnan(closes[0])
        if not usable.any():
            return (held[:-1] if self.short else self._hold), None
        weights = np.append(np.where(can, 0.0, held[:-1]), 0.0)
        free = max(1.0 - np.abs(weights).sum(), 0.0)
        if usable.all():
            weights[:-1] = self.target(closes)
        else:
            weights[:-1][usable] = self.target(closes[:, usable]) * free
        weights[-1] = 1.0 - weights.sum()
        if self.short:
            # Weights within a gross leverage of 1 are their own actions.
            return weights[:-1], (step + 1, weights[:-1])
        return self._orders.inverse(weights, held), (step + 1, self._hold)


def returns_looked_back(name: str, window: int) -> int:
    """Closes that are needed for `window` returns.

    Raises:
        InputError: if there are too few for a variance.
    """
    return whole_number(window, f"{name}: window", 2) + 1
