"""`Simulation`: N portfolios on one market. Both environments are thin layers over it.

Three things are kept apart: what is constant (`Setting`), what moves (`State`), and what one step
did (`Step`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from envs.actions import ActionMap, make_action_map, refuse_nan
from envs.data.arguments import number, truth_value, whole_number
from envs.data.market_data import MarketData
from envs.errors import InputError
from envs.features.panel import FeaturePanel
from envs.holdings import holdings
from envs.market.cost_arrays import CostArrays
from envs.market.costs import Cost, LiteratureCost, ProportionalCost
from envs.market.fresh_paths import FeaturesOf, FreshPaths, PathBlocks
from envs.market.kernel import flat_nb, log_nb, step_frictions_nb, step_nb
from envs.market.legs import Legs, make_legs
from envs.observations import BOUND, OBSERVATIONS, feature_rows, observation_space
from envs.rewards import TERMS, Reward

Float = NDArray[np.float64]
# [N, size] for `flat`, and [N, ...] by key for `indexed`.
Observations = NDArray[np.float32] | dict[str, NDArray]
MAX_DELAY = 3
# `step_nb` reads these first fields of `State` and `Step`; the others are of frictions.
N_STATE, N_STEP = 7, 17


@dataclass(frozen=True, eq=False)
class Setting:
    """What is constant over all episodes; see `PortfolioEnv` for the meaning of each field."""

    market: MarketData
    features: NDArray[np.float32]  # [T, A * F]
    n_features: int
    legs: Legs
    first: int
    last: int  # the row at which every episode ends; the last decision is made one row before
    window: int
    observation: str
    action_map: ActionMap
    reward: Reward
    costs: CostArrays
    episode_length: int | None
    random_start: bool
    random_weights: bool
    ruin: float
    delay: int = 0
    fresh: FreshPaths | None = None
    mask: NDArray[np.float32] | None = None  # [T, A] 1 where tradable; None where all cells are
    feature_names: tuple[str, ...] = ()  # [F], the mask included
    groups: Mapping[str, slice] = field(default_factory=dict)  # of the F features

    @property
    def last_start(self) -> int:
        """The last row at which an episode may start."""
        length = self.last - self.first if self.episode_length is None else self.episode_length
        return self.last - length

    @cached_property
    def log_benchmark(self) -> Float:
        """`[T-1]` log growth of what `excess_log_return` is in excess of."""
        growth = np.ascontiguousarray(getattr(self.legs, self.reward.benchmark))
        logs = np.empty_like(growth)
        log_nb(growth, logs)
        return logs

    @property
    def frictions(self) -> bool:
        """Whether a step needs more than proportional costs on what always trades at once."""
        trades = self.legs.tradable is None
        return not (self.costs.only_proportional and trades and self.delay == 0)

    @property
    def space_highest(self) -> float:
        """Where observations are clipped. Long-short cash reaches 1 + gross, and the drift of a
        leveraged portfolio can carry weights further."""
        return max(BOUND, 2.0 + 2.0 * self.action_map.gross_limit)


def make_setting(
    market: MarketData,
    features: FeaturePanel | None = None,
    *,
    start: int | None = None,
    stop: int | None = None,
    window: int = 1,
    observation: str = "flat",
    action: str | ActionMap = "softmax",
    action_settings: Mapping[str, float] | None = None,
    reward: Reward | None = None,
    cost: Cost | None = None,
    execution: str = "next_close",
    delay: int = 0,
    episode_length: int | None = None,
    random_start: bool = False,
    random_weights: bool = False,
    ruin: float = 0.01,
    fresh_paths: bool = False,
    features_of: FeaturesOf | None = None,
) -> Setting:
    """Checks every argument of `PortfolioEnv` and puts them into the form that the kernels read.

    Raises:
        InputError: naming the argument, what is wrong with it and the remedy.
    """
    if observation not in OBSERVATIONS:
        raise InputError(f"unknown observation {observation!r}; known: {', '.join(OBSERVATIONS)}")
    window = whole_number(window, "window", 1)
    for key, flag in (
        ("random_start", random_start),
        ("random_weights", random_weights),
        ("fresh_paths", fresh_paths),
    ):
        truth_value(flag, key)
    if cost is not None and not isinstance(cost, (ProportionalCost, LiteratureCost)):
        raise InputError(f"cost={cost!r} must be a cost of envs.market.costs, or None")
    if reward is not None and not isinstance(reward, Reward):
        raise InputError(f"reward={reward!r} must be an envs.rewards.Reward, or None")
    if not 0 <= number(ruin, "ruin") < 1:
        raise InputError(f"ruin must be a fraction of the starting value in [0, 1), got {ruin}")
    delay = whole_number(delay, "delay", 0)
    if delay > MAX_DELAY:
        raise InputError(f"delay must be 0 to {MAX_DELAY} whole rows, got {delay}")
    if episode_length is not None:
        episode_length = whole_number(episode_length, "episode_length", 1)
    values, mask = feature_rows(market, features)
    warmup = features.warmup if features is not None else 0
    needed = warmup + window - 1
    first = needed if start is None else whole_number(start, "start", 0)
    stop = market.n_rows if stop is None else whole_number(stop, "stop", 0)
    fresh = None
    if fresh_paths:
        if market.process is None:
            raise InputError(
                f"fresh_paths needs a simulated market and {market.name} is not one; choose one of "
                "data=simulated/..., or fresh_paths=False"
            )
        if episode_length is None:
            raise InputError("fresh_paths needs an episode_length: the steps of each path")
        if start is not None:
            raise InputError("fresh_paths takes no start: every episode begins with its own path")
        if observation != "flat":
            raise InputError(
                "fresh_paths needs flat observations, as there is no panel to share: set "
                "env.observation=flat, or train on the one panel with env.fresh_paths=false"
            )
        if execution == "next_open":
            raise InputError("simulated paths have no open prices; use 'next_close'")
        stop = first + episode_length + 1
        fresh = FreshPaths(market, stop, values.shape[1], features_of)
    if first < needed:
        raise InputError(
            f"start={first} comes before the features are warm: the first row with a full window "
            f"is {needed} (warm-up {warmup}, window {window}); start later or use shorter features"
        )
    if stop > market.n_rows:
        raise InputError(f"stop={stop} lies outside the data, which has {market.n_rows} rows")
    if stop - first < 2:
        raise InputError(
            f"no step fits between rows {first} and {stop} of {market.n_rows}: at least "
            f"{needed + 2} rows are needed (warm-up {warmup}, window {window}); use more data, "
            "shorter features or a shorter window"
        )
    if episode_length is not None and not 1 <= episode_length <= stop - 1 - first:
        raise InputError(
            f"episode_length={episode_length} does not fit: rows {first} to {stop} hold episodes "
            f"of 1 to {stop - 1 - first} steps"
        )
    idle = ~market.tradable[first:stop].any(axis=1)
    if idle.any():
        day = np.datetime_as_string(market.dates[first + int(idle.argmax())], unit="D")
        raise InputError(
            f"{market.name}: nothing is tradable on {day}, {int(idle.sum())} such row(s) between "
            f"{first} and {stop}; begin later or end earlier (data.start, data.end), leave those "
            "days out of the data, or add symbols that trade then"
        )
    if values[first - window + 1 : stop].size:
        used = values[first - window + 1 : stop]
        # min and max also find NaN, without a temporary of the size of the panel.
        low, high = float(used.min()), float(used.max())
        if not (low >= -BOUND and high <= BOUND):
            raise InputError(
                f"features run from {low:g} to {high:g} between rows {first - window + 1} and "
                f"{stop}; they must be finite and within +-{BOUND:g}: scale them first "
                "(envs.features.StandardScaler, fitted on training rows)"
            )
    action_map = make_action_map(action, market.n_assets, **(action_settings or {}))
    if action_map.n_assets != market.n_assets:
        raise InputError(
            f"the action map is for {action_map.n_assets} assets, the market has {market.n_assets}"
        )
    cost = cost if cost is not None else ProportionalCost()
    costs = cost.arrays(market, execution, action_map.gross_limit)
    if fresh_paths and not costs.constant:
        raise InputError(
            "fresh_paths takes costs that are constant over time: a path of its own has no volume "
            "and no schedule; choose cost=proportional or cost=quadratic"
        )
    unknown = np.isnan(costs.impact[first : stop - 1]).any(axis=1)
    if not fresh_paths and unknown.any():
        later = first + int(np.flatnonzero(unknown)[-1]) + 1
        raise InputError(
            f"cost.impact needs a volatility, and there are too few returns before row {later}; "
            f"use start={later} or later"
        )
    return Setting(
        market=market,
        features=values,
        n_features=values.shape[1] // market.n_assets,
        legs=make_legs(market, execution),
        first=first,
        last=stop - 1,
        window=window,
        observation=observation,
        action_map=action_map,
        reward=reward if reward is not None else Reward(),
        costs=costs,
        episode_length=episode_length,
        random_start=random_start,
        random_weights=random_weights,
        ruin=ruin,
        delay=delay,
        fresh=fresh,
        mask=mask,
        feature_names=(() if features is None else features.names)
        + (() if mask is None else ("tradable",)),
        groups={} if features is None else features.groups,
    )


@dataclass(eq=False)
class State:
    """What moves, for N portfolios. `weights` are those held at the decision row `row`."""

    row: NDArray[np.int64]
    end: NDArray[np.int64]  # [N] row at which the episode is truncated
    weights: Float  # [N, A+1]
    value: Float
    peak: Float
    return_mean: Float
    return_square: Float
    pending: Float  # [N, delay, n_actions] decided and not yet executed, oldest first
    waiting: NDArray[np.int64]  # [N] steps until the first action is due
    left: Float  # [N] share of the value that the last trade left

    @classmethod
    def zeros(cls, n: int, n_assets: int, delay: int = 0, n_actions: int = 0) -> State:
        def rows() -> NDArray[np.int64]:
            return np.zeros(n, np.int64)

        return cls(
            row=rows(),
            end=rows(),
            weights=np.zeros((n, n_assets + 1)),
            value=np.zeros(n),
            peak=np.zeros(n),
            return_mean=np.zeros(n),
            return_square=np.zeros(n),
            pending=np.zeros((n, delay, n_actions)),
            waiting=rows(),
            left=np.ones(n),
        )


@dataclass(eq=False)
class Step:
    """What the last step did, for N portfolios; each array is overwritten by the next step."""

    target: Float  # [N, A+1] weights just after the trade
    before: Float  # [N] growth of the value from the decision to the trade
    kept: Float  # [N] share of the value that the trade left
    after: Float  # [N] growth from the trade to the next decision
    growth: Float  # [N] of the whole step, net
    gross_return: Float  # [N] simple return without the costs of the step
    net_return: Float
    commission: Float  # [N] fractions of the value had the step cost nothing
    spread: Float
    turnover: Float
    terms: Float  # [N, len(TERMS)] unweighted
    reward: Float
    value: Float  # [N] at the end of the step
    row: NDArray[np.int64]  # [N] of the next decision, had the episode gone on
    ruined: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    done: NDArray[np.bool_]
    impact: Float  # [N] as commission
    borrow: Float
    financing: Float
    forced: NDArray[np.bool_]  # a close exceeded the margin and positions were cut

    @classmethod
    def zeros(cls, n: int, n_assets: int) -> Step:
        def one() -> Float:
            return np.zeros(n)

        return cls(
            target=np.zeros((n, n_assets + 1)),
            before=one(),
            kept=one(),
            after=one(),
            growth=one(),
            gross_return=one(),
            net_return=one(),
            commission=one(),
            spread=one(),
            turnover=one(),
            terms=np.zeros((n, len(TERMS))),
            reward=one(),
            value=one(),
            row=np.zeros(n, np.int64),
            ruined=np.zeros(n, np.bool_),
            truncated=np.zeros(n, np.bool_),
            done=np.zeros(n, np.bool_),
            impact=one(),
            borrow=one(),
            financing=one(),
            forced=np.zeros(n, np.bool_),
        )


Record = TypeVar("Record", State, Step)


def _rows_of(record: Record, part: slice) -> Record:
    return type(record)(*(value[part] for value in record.__dict__.values()))


class Simulation:
    """N portfolios that share one `Setting`; `part(slice)` is a view of some, for threads."""

    def __init__(self, setting: Setting, n: int, paths: PathBlocks | None = None) -> None:
        self.setting = setting
        n_assets, n_actions = setting.market.n_assets, setting.action_map.n_actions
        if setting.fresh is not None and paths is None:
            paths = PathBlocks(setting.fresh, n)
        self.paths = paths
        self.blocks = np.arange(n)  # which of the paths is whose
        self._attach(State.zeros(n, n_assets, setting.delay, n_actions), Step.zeros(n, n_assets))

    def _attach(self, state: State, step: Step) -> None:
        self.state, self.last = state, step
        setting, reward = self.setting, self.setting.reward
        legs, features, paths = setting.legs, setting.features, self.paths
        if paths is not None:
            legs, features = paths.legs(legs), paths.features
        self.legs, self.features = legs, features
        # A leg in which nothing moves is skipped; the kernel still wants an array in its place.
        whole = legs.before if legs.before is not None else legs.after
        market = (
            setting.action_map.kind,
            *setting.action_map.settings(),
            legs.before is not None,
            legs.before if legs.before is not None else whole,
            legs.after is not None,
            legs.after if legs.after is not None else whole,
        )
        rewards = (
            setting.log_benchmark if paths is None else paths.log_benchmark(reward.benchmark),
            reward.weights(),
            reward.sharpe_decay,
            reward.risk_aversion,
            setting.ruin,
        )
        drifted, costs = np.zeros_like(state.weights), setting.costs
        states, steps = list(state.__dict__.values()), list(step.__dict__.values())
        self._step: Callable[..., int]
        self._arguments: tuple[Any, ...]
        if not setting.frictions:
            rates = (costs.commission[0], costs.half_spread[0])
            self._step = step_nb
            self._arguments = (
                *market,
                *rates,
                *rewards,
                *states[:N_STATE],
                drifted,
                *steps[:N_STEP],
            )
            return
        nothing = np.zeros((1, setting.market.n_assets), np.bool_)
        self._step = step_frictions_nb
        self._arguments = (
            *market,
            *rewards,
            costs.model,
            setting.action_map.name != "long_short",
            legs.tradable if legs.tradable is not None else ~nothing,
            legs.settles if legs.settles is not None else nothing,
            costs.commission,
            costs.half_spread,
            costs.impact,
            costs.impact_square,
            costs.capacity,
            costs.stretch,
            costs.lots,
            costs.borrow,
            costs.financing,
            costs.margin,
            setting.action_map.gross_limit,
            *states,
            drifted,
            np.zeros((len(state.row), setting.action_map.n_actions)),
            np.ones_like(state.value),
            *steps,
        )

    def part(self, rows: slice) -> Simulation:
        """A simulation over the same memory, of these portfolios only."""
        view = object.__new__(Simulation)
        view.setting, view.paths = self.setting, self.paths
        view.blocks = self.blocks[rows]
        view._attach(_rows_of(self.state, rows), _rows_of(self.last, rows))
        return view

    def restart(
        self,
        index: NDArray[np.int64],
        rngs: Sequence[np.random.Generator],
        weights: Float | None = None,
    ) -> None:
        """Puts these portfolios into cash of value 1 at the start of an episode.

        Args:
            index: which portfolios. rngs: one for each of them; draws the row of the start, or the
                seed of a fresh path. weights: `[A+1]` or `[len(index), A+1]`, held in place of
                cash.

        Raises:
            InputError: if these weights cannot be held there; nothing has moved then.
        """
        state, setting = self.state, self.setting
        length = setting.episode_length
        if self.paths is not None:
            blocks = self.blocks[index]
            seeds = np.array([rng.integers(0, 2**63, dtype=np.uint64) for rng in rngs], np.uint64)
            self.paths.refill(blocks, seeds)
            row = blocks * self.paths.paths.n_rows + setting.first
        elif setting.random_start:
            high = setting.last_start + 1
            row = np.array([rng.integers(setting.first, high) for rng in rngs], np.int64)
        else:
            row = np.full(len(index), setting.first)
        if weights is not None:
            shorts = setting.action_map.name == "long_short"
            dated = row if self.paths is None else None
            weights = holdings(weights, setting.market, len(index), dated, shorts)
        state.row[index] = row
        state.end[index] = setting.last if length is None else row + length
        state.weights[index] = 0.0
        state.weights[index, -1] = 1.0
        if weights is not None:
            state.weights[index] = weights
        elif setting.random_weights:
            # Normalised exponentials are uniform on the simplex.
            draws = np.array([rng.standard_exponential(state.weights.shape[1]) for rng in rngs])
            if setting.mask is not None:
                draws[:, :-1] *= setting.mask[row]
            state.weights[index] = draws / draws.sum(axis=1, keepdims=True)
        state.value[index] = 1.0
        state.peak[index] = 1.0
        state.return_mean[index] = 0.0
        state.return_square[index] = setting.reward.sharpe_volatility**2
        state.pending[index] = 0.0
        state.waiting[index] = setting.delay
        state.left[index] = 1.0

    def panel_row(self, row: NDArray[np.int64]) -> NDArray[np.int64]:
        """The row within its path, or of the panel, from a row as the kernels count them."""
        return row if self.paths is None else row % self.paths.paths.n_rows

    def step(self, actions: Float) -> None:
        """Moves all portfolios by one row; `self.last` holds what happened.

        Args:
            actions: `[N, n_actions]` float64.

        Raises:
            InputError: if an action is NaN; nothing has moved then.
        """
        refuse_nan(self._step(actions, *self._arguments), actions)

    def write_flat(self, out: NDArray[np.float32]) -> None:
        """Writes the `flat` observations of all portfolios, `[N, size]`."""
        setting = self.setting
        flat_nb(
            self.state.row,
            self.features,
            setting.window,
            self.state.weights,
            setting.space_highest,
            out,
        )

    def write_indexed(self, out: dict[str, NDArray]) -> None:
        """Writes the `indexed` observations of all portfolios, the first axis of every part."""
        setting, state = self.setting, self.state
        highest = setting.space_highest
        out["t"][:, 0] = state.row
        # Not np.clip, which takes five times as long for a single portfolio.
        np.maximum(state.weights, -highest, out=out["weights"])
        np.minimum(out["weights"], highest, out=out["weights"])
        if setting.mask is not None:
            np.take(setting.mask, state.row, axis=0, out=out["tradable"])

    def write(self, out: Observations) -> None:
        """Writes the observations of all portfolios into what `empty_observations` made."""
        if isinstance(out, dict):
            self.write_indexed(out)
        else:
            self.write_flat(out)

    def observe(self) -> Any:
        """A new observation of the only portfolio."""
        out = self.empty_observations()
        self.write(out)
        return {key: part[0] for key, part in out.items()} if isinstance(out, dict) else out[0]

    def empty_observations(self) -> Observations:
        """Room for the observations of all portfolios."""
        n, n_columns = self.state.weights.shape
        if self.setting.observation == "flat":
            size = self.setting.window * self.features.shape[1] + n_columns
            return np.empty((n, size), np.float32)
        out: dict[str, NDArray] = {
            "t": np.empty((n, 1), np.int64),
            "weights": np.empty((n, n_columns)),
        }
        if self.setting.mask is not None:
            out["tradable"] = np.empty((n, n_columns - 1), np.float32)
        return out

    def space(self) -> spaces.Space:
        """The observation space of one portfolio."""
        setting, market = self.setting, self.setting.market
        return observation_space(
            setting.observation,
            market.n_rows,
            market.n_assets,
            setting.n_features,
            setting.window,
            setting.space_highest,
            setting.mask is not None,
        )
