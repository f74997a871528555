"""`rollout`: the only evaluation path, and the `Trajectory` that it records."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from gymnasium.utils.seeding import np_random
from numpy.typing import NDArray

from agents.policy import Policy
from envs.actions import make_action_map
from envs.data.market_data import MarketData
from envs.errors import InputError
from envs.market.legs import make_legs
from envs.portfolio import PortfolioEnv
from envs.simulation import Simulation

Float = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Trajectory:
    """What one policy did on one window, by step; n steps, A assets, cash last.

    Step k decides at close `decision_dates[k]`; its return is known at close `dates[k]`, one row
    later.

    Attributes:
        name: of the policy.
        seed: of the trained agent, or None for a policy without one.
        symbols: A asset names.
        decision_dates, dates: `[n]` datetime64[ns].
        weights: `[n, A+1]` weights just after the trade of step k (executed, not wished for).
        gross_return: `[n]` simple return of the step before its costs.
        net_return: `[n]` simple return after costs; `value[k+1] = value[k] * (1 + net_return[k])`.
        asset_return: `[n]` simple return of the daily equal-weight mix of what is listed, no costs.
        cash_return: `[n]` simple return of cash over the step.
        costs: kind -> `[n]` fraction of the value had the step cost nothing, so that their sum is
            `1 - (1 + net_return) / (1 + gross_return)`: "commission" and "spread", and
            "impact", "borrow" and "financing" where they are configured.
        turnover: `[n]` sum over assets of |traded notional| over the same value.
        value: `[n+1]` wealth; `value[0]` is 1.
        reward: `[n]` the reward that the env gave.
        periods_per_year: for annualisation.
        ruined: whether the episode ended by ruin before the window did.
        n_listed: `[n]` how many assets are listed at the execution, or None where all always are.
        held: `[A+1]` weights at the last close, after the market has moved: another rollout that
            begins there goes on with them. None where nothing is held (an index).
    """

    name: str
    seed: int | None
    symbols: tuple[str, ...]
    decision_dates: NDArray[np.datetime64]
    dates: NDArray[np.datetime64]
    weights: Float
    gross_return: Float
    net_return: Float
    asset_return: Float
    cash_return: Float
    costs: dict[str, Float]
    turnover: Float
    value: Float
    reward: Float
    periods_per_year: float
    ruined: bool = False
    notes: tuple[str, ...] = field(default=())
    n_listed: NDArray[np.int64] | None = None
    held: Float | None = None

    @property
    def total_cost(self) -> Float:
        """`[n]` all costs of each step, as a fraction of the value had it cost nothing."""
        return np.sum(list(self.costs.values()), axis=0)

    @property
    def active_share(self) -> Float:
        """`[n]` half the sum of |weight - 1/N| over the N listed assets, plus half the cash; 0 is
        1/N."""
        n_assets = len(self.symbols)
        n_listed = np.full(len(self.weights), n_assets) if self.n_listed is None else self.n_listed
        even = 1.0 / np.maximum(n_listed, 1)
        assets = np.abs(self.weights[:, :-1] - even[:, None]).sum(axis=1)
        # What is not listed is not held, and is no deviation.
        assets -= (n_assets - n_listed) * even
        return 0.5 * (assets + np.abs(self.weights[:, -1]))


def rollout(
    policy: Policy, env: PortfolioEnv, *, seed: int | None = None, weights: Float | None = None
) -> Trajectory:
    """Runs the policy, deterministically, over one whole episode of `env`.

    It gives bit for bit what stepping the env gives from `reset(seed=0)`, and leaves the env itself
    where it is.

    Args:
        policy: whatever decides; its observation and action kinds must be those of the env.
        env: without random starts, so that the episode is the window.
        seed: the seed of the trained agent, recorded in the trajectory.
        weights: `[A+1]` held at the first decision (`Trajectory.held` of the rollout that this one
            goes on from); None: all in cash.

    Raises:
        InputError: if policy and env do not speak of the same observations and actions, or if the
            weights cannot be held at the first row.
    """
    setting = env.setting
    if setting.random_start:
        raise InputError("an evaluation needs an env with random_start=False")
    if (policy.observation, policy.action) != (setting.observation, setting.action_map.name):
        raise InputError(
            f"policy {policy.name} reads {policy.observation!r} and answers {policy.action!r}; the "
            f"env offers {setting.observation!r} and {setting.action_map.name!r}"
        )
    limits = getattr(policy, "action_settings", None)
    if limits is not None:
        wanted = make_action_map(policy.action, setting.market.n_assets, **limits).settings()
        if wanted != setting.action_map.settings():
            raise InputError(
                f"policy {policy.name} answers for gross and net leverage {wanted}; the limits of "
                f"the env are {setting.action_map.settings()}: make it with "
                f"action_settings={dict(limits)}"
            )
    panel = getattr(policy, "panel", None)
    if panel is not None and not _same(panel, setting.features):
        raise InputError(
            f"policy {policy.name} holds other features than the env: the rows of one mean nothing "
            "in the other; policy.hold(env.setting.features) exchanges them"
        )
    market, kinds = setting.market, setting.costs.kinds
    n = setting.last - setting.first if setting.episode_length is None else setting.episode_length
    # What `env.step` does, without the dict that it makes of every step.
    simulation = Simulation(setting, 1)
    simulation.restart(np.zeros(1, np.int64), [np_random(0)[0]], weights)
    state, last = simulation.state, simulation.last
    columns = ("gross_return", "net_return", *kinds, "turnover", "reward")
    record = {key: np.empty(n) for key in columns}
    recorded = [(record[key], getattr(last, key)) for key in columns]
    value, executed = np.ones(n + 1), np.empty((n, market.n_assets + 1))
    shape = env.action_space.shape
    memory: Any = None
    start, going = np.ones(1, bool), np.zeros(1, bool)
    for k in range(n):
        observation = simulation.observe()
        action, memory = policy.predict(observation, memory, start, deterministic=True)
        start = going
        actions = np.asarray(action, np.float64)
        if actions.shape != shape:
            raise InputError(
                f"policy {policy.name}: an action must have shape {shape}, got {actions.shape}"
            )
        simulation.step(actions[None])
        executed[k] = last.target[0]
        value[k + 1] = state.value[0]
        for column, latest in recorded:
            column[k] = latest[0]
        if last.done[0]:
            break
    k += 1
    kept = {key: column[:k] for key, column in record.items()}
    legs, first = simulation.legs, setting.first
    return Trajectory(
        name=policy.name,
        seed=seed,
        symbols=market.symbols,
        decision_dates=market.dates[first : first + k],
        dates=market.dates[first + 1 : first + k + 1],
        weights=executed[:k],
        gross_return=kept["gross_return"],
        net_return=kept["net_return"],
        asset_return=legs.equal_weight[first : first + k] - 1.0,
        cash_return=legs.cash[first : first + k] - 1.0,
        costs={kind: kept[kind] for kind in kinds},
        turnover=kept["turnover"],
        value=value[: k + 1],
        reward=kept["reward"],
        periods_per_year=market.periods_per_year,
        ruined=bool(last.ruined[0]),
        n_listed=None if legs.n_listed is None else legs.n_listed[first : first + k],
        held=state.weights[0].copy(),
    )


def _same(one: np.ndarray, two: np.ndarray) -> bool:
    """Whether two panels are equal; those that share their memory are not read."""
    alike = one.shape == two.shape and one.dtype == two.dtype
    return alike and (one.ctypes.data == two.ctypes.data or np.array_equal(one, two))


def index_trajectory(market: MarketData, first: int, stop: int) -> Trajectory:
    """The panel's benchmark index over the decision rows `first:stop`, as if held without costs."""
    assert market.benchmark is not None
    growth = market.benchmark[first + 1 : stop + 1] / market.benchmark[first:stop]
    n = stop - first
    legs = make_legs(market, "same_close")
    nothing = np.zeros(n)
    return Trajectory(
        name="benchmark",
        seed=None,
        symbols=market.symbols,
        decision_dates=market.dates[first:stop],
        dates=market.dates[first + 1 : stop + 1],
        weights=np.zeros((n, market.n_assets + 1)),
        gross_return=growth - 1.0,
        net_return=growth - 1.0,
        asset_return=legs.equal_weight[first:stop] - 1.0,
        cash_return=market.cash_rate[first + 1 : stop + 1],
        costs={"commission": nothing, "spread": nothing},
        turnover=nothing,
        value=np.append(1.0, np.cumprod(growth)),
        reward=nothing,
        periods_per_year=market.periods_per_year,
        notes=(f"{market.benchmark_name}, without costs",),
    )
