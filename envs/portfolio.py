"""`PortfolioEnv`: one portfolio, the Gymnasium way."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

from envs.data.market_data import MarketData
from envs.errors import InputError
from envs.features.panel import FeaturePanel
from envs.holdings import starting_weights
from envs.rewards import TERMS
from envs.simulation import Setting, Simulation, make_setting


class PortfolioEnv(gym.Env):
    """Manage a portfolio of A assets and cash, net of costs.

    ## Description
    At each close the agent sees what is known and names target weights; the market moves, the
    trade is executed and charged, the market moves on. Wealth starts at 1, in cash. All money is
    float64 and conserved exactly: `value_after + costs == value_before` at every trade.

    ## Timing
    The decision at row t uses nothing that is known after close t.

    | execution | traded at | earns |
    |---|---|---|
    | `next_close` (default) | close t+1 | the old weights earn t to t+1, the new ones from t+1 on |
    | `next_open` | open t+1 | the old weights earn the night, the new ones the day |
    | `same_close` | close t | the new weights earn t to t+1 (optimistic, as in the literature) |

    What is not tradable then (not listed, halted, delisted) is not traded; the wishes for the rest
    share out what is not stuck. On the row of a delisting a holding becomes cash, at
    `market.delisting_value` of its last close.

    ## Action space
    `Box(-1, 1)`, made into weights once, by the action map:

    | action | size | meaning |
    |---|---|---|
    | `softmax` | A+1 | scaled logits; every vertex of the simplex is reached to 1e-3 |
    | `simplex` | A+1 | Euclidean projection; weights map to themselves |
    | `long_short` | A | weights, cut to `action_settings` gross and net leverage |
    | `trade` | A | -1 sells all of a holding, +1 spends all cash on it, 0 holds |

    ## Observation space
    `flat`: `Box` float32 of `window * A * F + A + 1` numbers: the features of the last `window`
    rows, oldest first, each row asset by asset, then the weights held before the trade (cash last).
    `indexed`: `Dict(t, weights)`, the row of the decision and the weights, for whoever holds the
    panel. Where some cells of the panel are not tradable, F counts one feature more, the last of
    each asset: 1 tradable, 0 not; `indexed` has `tradable` `[A]`.

    ## Reward
    `reward.scale` times the weighted sum of named terms (see `envs.rewards`); each is in
    `info["reward_terms"]`. With the default, `log_return`, the sum over an episode is the log of
    wealth; one step gives between ln(1e-4) = -9.2 (ruin) and the log of the largest daily growth.

    ## Start and end of an episode
    Starts at `start`, or with `random_start` at a row drawn uniformly; in cash, or with
    `random_weights` in weights drawn uniformly from the simplex, so that a learner meets portfolios
    that its own trades would not have led to. `reset(options={"weights": w})` starts it in these
    weights `[A+1]` instead, so that a portfolio goes on where another episode left it: they are
    finite, sum to 1 and hold nothing that is not listed; shorts need `long_short`. Its value is 1
    all the same, and orders that a `delay` kept waiting are not carried over.
    `truncated` at the end of the window or after `episode_length` steps: the market goes on,
    learners should bootstrap. `terminated` by ruin: the value has fallen to `ruin` times its start
    or below.

    ## Info
    `t` (row of the next decision), `date` (of close t), `value`, `weights` (just after the trade),
    `gross_return`, `net_return`, `asset_return` (equal-weight mix), `cash_return`, `turnover` and
    each kind of cost as fractions of the value had the step cost nothing: `commission`, `spread`,
    where they are configured `impact`, `borrow` and `financing`; with a margin `forced` (the close
    exceeded it, positions were cut); and `reward_terms`.

    ## Arguments
    market: the panel; a `MarketData` (default: the `sp500` source).
    features: a `FeaturePanel` of the same panel, scaled to +-10, or None for weights only.
    start, stop: half-open range of rows; default: from the first warm row to the end. The last
        decision is made at row stop-2, so that its return lies inside.
    window: rows in a `flat` observation. observation: `flat` or `indexed`.
    action, action_settings: name of an action map, and gross and net for `long_short`.
    reward: a `Reward`. cost: one of `envs.market.costs`; default: a `ProportionalCost` of 5 bps
        commission and 5 bps half spread.
    delay: rows (0 to 3) by which every action is executed later than `execution` says; until the
        first is, the portfolio stays as it began.
    execution, episode_length, random_start, random_weights, ruin: see above.
    fresh_paths: on a simulated market, a fresh path of its process in every episode (needs an
        episode_length; start, stop and random_start have no meaning then). features_of: makes the
        features of a path from its prices; None: what the process shows (`market.observed`).
    render_mode: None or `rgb_array` (wealth and weights of the episode so far).

        >>> import gymnasium as gym
        >>> env = gym.make("envs:Portfolio-v0")
        >>> observation, info = env.reset(seed=0)
        >>> observation, reward, terminated, truncated, info = env.step(env.action_space.sample())

    Raises:
        InputError: for any argument that does not fit, with the remedy; for an action with NaN.

    ## Version history
    v0: first version.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012

    def __init__(
        self,
        market: MarketData | None = None,
        features: FeaturePanel | None = None,
        *,
        render_mode: str | None = None,
        **arguments: Any,
    ) -> None:
        if market is None:
            market, features = default_market()
        self._open(make_setting(market, features, **arguments), render_mode)

    @classmethod
    def from_setting(cls, setting: Setting, render_mode: str | None = None) -> PortfolioEnv:
        """An environment on a checked setting, sharing its memory."""
        env = cls.__new__(cls)
        env._open(setting, render_mode)
        return env

    def _open(self, setting: Setting, render_mode: str | None) -> None:
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise InputError(f"unknown render_mode {render_mode!r}; known: rgb_array")
        self.render_mode = render_mode
        self.setting = setting
        self.simulation = Simulation(setting, 1)
        self.action_space = setting.action_map.space()
        self.observation_space = self.simulation.space()
        self._running = False
        self._frames: list[tuple[float, np.ndarray]] = []

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Starts an episode; `seed` is the only source of randomness.

        Args:
            options: `weights`, `[A+1]`: what is held at the first decision.

        Raises:
            InputError: for another option, or for weights that cannot be held.
        """
        super().reset(seed=seed)
        weights = starting_weights(options)
        self.simulation.restart(np.zeros(1, np.int64), [self.np_random], weights)
        self._running = True
        self._frames.clear()
        if self.render_mode is not None:
            self._frames.append((1.0, self.simulation.state.weights[0].copy()))
        return self.simulation.observe(), {**self._when(), "value": 1.0}

    def step(self, action: np.ndarray) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """One row of the market; see the class for all that it returns."""
        if not self._running:
            raise gym.error.ResetNeeded("the episode has ended or not begun: call reset()")
        simulation = self.simulation
        actions = np.asarray(action, np.float64)
        if actions.shape != self.action_space.shape:
            raise InputError(
                f"an action must have shape {self.action_space.shape}, got {actions.shape}"
            )
        row = int(simulation.state.row[0])
        simulation.step(actions[None])
        state, last = simulation.state, simulation.last
        terminated, truncated = bool(last.ruined[0]), bool(last.truncated[0])
        self._running = not (terminated or truncated)
        weights = last.target[0].copy()
        info = {
            **self._when(),
            "value": float(state.value[0]),
            "weights": weights,
            "gross_return": float(last.gross_return[0]),
            "net_return": float(last.net_return[0]),
            "asset_return": float(simulation.legs.equal_weight[row]) - 1.0,
            "cash_return": float(simulation.legs.cash[row]) - 1.0,
            **{kind: float(getattr(last, kind)[0]) for kind in self.setting.costs.kinds},
            "turnover": float(last.turnover[0]),
            "reward_terms": dict(zip(TERMS, last.terms[0].tolist(), strict=True)),
        }
        if self.setting.costs.can_force:
            info["forced"] = bool(last.forced[0])
        if self.render_mode is not None:
            self._frames.append((info["value"], weights))
        return self.simulation.observe(), float(last.reward[0]), terminated, truncated, info

    def _when(self) -> dict[str, Any]:
        row = int(self.simulation.panel_row(self.simulation.state.row)[0])
        return {"t": row, "date": self.setting.market.dates[row]}

    def render(self) -> Any:
        """`[height, width, 3]` uint8 picture of wealth and weights so far, if asked for."""
        if self.render_mode is None:
            return None
        from envs.rendering import draw_episode

        values = np.array([value for value, _ in self._frames])
        weights = np.array([weights for _, weights in self._frames])
        return draw_episode(values, weights, self.setting.market.symbols)


def default_market() -> tuple[MarketData, FeaturePanel]:
    """The `sp500` panel with its default features under a causal scaler, for a bare `gym.make`."""
    from envs.data import sp500
    from envs.features import RollingScaler, build_features

    market = sp500()
    return market, RollingScaler().transform(build_features(market))
