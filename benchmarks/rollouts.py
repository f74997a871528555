"""How long a baseline takes over ten years of days.

python -m benchmarks.run rollouts
"""

from __future__ import annotations

from collections.abc import Callable

from agents.baselines import make_baseline
from agents.rollout import Trajectory, rollout
from benchmarks.measure import ASSETS, Effort, Row, pinned, take_turns
from envs.data.synthetic import synthetic
from envs.portfolio import PortfolioEnv

# Those that look at every step, at nothing, and back; longer than any of them looks back.
BASELINES = ("equal_weight", "buy_and_hold", "momentum", "inverse_volatility")
BEFORE = 260
TEN_YEARS = 2520


def measure(effort: Effort) -> list[Row]:
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
