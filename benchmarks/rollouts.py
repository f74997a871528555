"""How long a baseline takes over ten years of days, and those that solve a problem for one of them.

python -m benchmarks.run rollouts
"""

from __future__ import annotations

from collections.abc import Callable

from agents.baselines import Optimised, Rebalanced, make_baseline
from agents.rollout import Trajectory, rollout
from benchmarks.measure import ASSETS, Effort, Row, pinned, take_turns
from envs.data.synthetic import synthetic
from envs.portfolio import PortfolioEnv

# Those that look at every step, at nothing, and back; longer than any of them looks back.
BASELINES = ("equal_weight", "buy_and_hold", "momentum", "inverse_volatility")
SOLVED = ("macd", "mean_variance", "minimum_cvar", *Optimised.OPTIMISERS)
BEFORE = 260
TEN_YEARS = 2520


def measure(effort: Effort) -> list[Row]:
    return [*rollouts(effort), *decisions(effort)]


def rollouts(effort: Effort) -> list[Row]:
    """Milliseconds of one rollout on 20 synthetic assets with the default costs."""
    days = min(TEN_YEARS, effort.rows)
    market = synthetic(n_rows=BEFORE + days + 1, n_assets=ASSETS, seed=0)

    def work(name: str) -> Callable[[], Trajectory]:
        policy = make_baseline(name, market)
        env = PortfolioEnv(
            market, observation=policy.observation, action=policy.action, start=BEFORE
        )
        return lambda: rollout(policy, env)

    with pinned(1) as note:
        taken = take_turns({name: work(name) for name in BASELINES}, effort)
    return [
        Row(
            f"rollout of {name}, {days:,} days",
            "ms",
            (1e3 * taken[name][0], 1e3 * taken[name][1]),
            target=50 if days == TEN_YEARS else None,
            less=True,
            note=note,
        )
        for name in BASELINES
    ]


def decisions(effort: Effort) -> list[Row]:
    """Milliseconds of one decision, of which there is one every 5 (macd) or 21 steps."""
    market = synthetic(n_rows=BEFORE + 100, n_assets=ASSETS, seed=0)

    def work(name: str) -> Callable[[], object]:
        policy = make_baseline(name, market)
        assert isinstance(policy, Rebalanced)
        closes = market.close[-policy.history :]
        return lambda: policy.target(closes)

    with pinned(1) as note:
        taken = take_turns({name: work(name) for name in SOLVED}, effort)
    return [
        Row(
            f"one decision of {name}, {ASSETS} assets",
            "ms",
            (1e3 * taken[name][0], 1e3 * taken[name][1]),
            less=True,
            note=note,
        )
        for name in SOLVED
    ]
