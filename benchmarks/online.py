"""How long all strategies of online portfolio selection take over 6,431 days of 23 stocks.

python -m benchmarks.run online
"""

from __future__ import annotations

import time

from agents.baselines import make_baseline
from agents.online import ONLINE
from agents.rollout import rollout
from benchmarks.measure import Effort, Row, pinned
from envs.data import olps
from envs.data.market_data import MarketData
from envs.errors import InputError
from envs.market.costs import LiteratureCost
from envs.portfolio import PortfolioEnv

ROWS, ASSETS = 6432, 23
TARGET = 20.0
REPEATS = 3


def measure(effort: Effort) -> list[Row]:
    """Seconds to decide all days and to roll all strategies out, costs included, on one core."""
    n_rows = min(ROWS, effort.rows)
    name = f"{len(ONLINE)} online strategies on NYSE(N), {n_rows - 1:,} days x {ASSETS}"
    try:
        market = olps(name="nyse_n").rows(0, n_rows)
    except InputError as error:
        return [Row(name, "s", note=str(error))]
    work(market.rows(0, 100))
    with pinned(1) as note:
        taken = []
        for _ in range(min(REPEATS, effort.repeats)):
            begin = time.perf_counter()
            work(market)
            taken.append(time.perf_counter() - begin)
    taken.sort()
    figures = taken[0], taken[len(taken) // 2]
    target = TARGET if n_rows == ROWS else None
    return [Row(name, "s", figures, target=target, less=True, note=note)]


def work(market: MarketData) -> None:
    """Every strategy from prices to its trajectory."""
    for name in ONLINE:
        policy = make_baseline(name, market)
        env = PortfolioEnv(
            market,
            observation=policy.observation,
            action=policy.action,
            execution="same_close",
            cost=LiteratureCost("notional", 0.001),
            ruin=0.0,
        )
        rollout(policy, env)
