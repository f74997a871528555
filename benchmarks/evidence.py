"""How long the full statistics of a run take: everything that `evaluate` puts into `metrics.json`.

python -m benchmarks.run statistics
"""

from __future__ import annotations

import time
from statistics import median

import numpy as np

from agents.rollout import Trajectory
from benchmarks.measure import Effort, Row, pinned
from experiments.evaluation.evidence import evaluate

STRATEGIES, SEEDS, STEPS, ASSETS = 20, 5, 2000, 4
AGENTS = 5
REPEATS = 2


def measure(effort: Effort) -> list[Row]:
    """Seconds of one evaluation on one core, compiled before."""
    names = [f"strategy_{k:02d}" for k in range(STRATEGIES)]
    steps = min(STEPS, effort.rows)
    run = trajectories(names, SEEDS, steps)
    agents, baselines = names[:AGENTS], names[AGENTS:]
    taken = []
    with pinned(1) as note:
        few = {name: run[name][:1] for name in (agents[0], baselines[0])}
        evaluate(few, agents=agents[:1], baselines=baselines[:1], n_bootstrap=39)
        for _ in range(1 if effort.repeats < 10 else REPEATS):
            begin = time.perf_counter()
            evaluate(run, agents=agents, baselines=baselines)
            taken.append(time.perf_counter() - begin)
    return [
        Row(
            f"full statistics, {STRATEGIES} strategies x {SEEDS} seeds x {steps:,} days",
            "s",
            (min(taken), median(taken)),
            target=30 if steps == STEPS else None,
            less=True,
            note=note,
        )
    ]


def trajectories(names: list[str], seeds: int, steps: int) -> dict[str, list[Trajectory]]:
    """Runs that share a market and differ by noise; what they hold does not matter here."""
    rng = np.random.default_rng(0)
    market = 0.0004 + 0.01 * rng.standard_t(5, steps)
    first = np.datetime64("2010-01-04", "ns")
    days = first + np.arange(steps + 1) * np.timedelta64(1, "D")
    weights = np.tile(np.r_[np.full(ASSETS, 1 / ASSETS), 0.0], (steps, 1))
    cash = np.full(steps, 1e-4)
    cost = np.full(steps, 1e-4)

    def one(name: str, seed: int) -> Trajectory:
        gross = market + 0.003 * rng.standard_normal(steps)
        net = (1.0 + gross) * (1.0 - cost) - 1.0
        return Trajectory(
            name=name,
            seed=seed,
            symbols=tuple(f"A{k}" for k in range(ASSETS)),
            decision_dates=days[:-1],
            dates=days[1:],
            weights=weights,
            gross_return=gross,
            net_return=net,
            asset_return=market,
            cash_return=cash,
            costs={"commission": cost},
            turnover=np.abs(rng.standard_normal(steps)),
            value=np.r_[1.0, np.cumprod(1.0 + net)],
            reward=np.log1p(net),
            periods_per_year=252.0,
        )

    return {name: [one(name, seed) for seed in range(seeds)] for name in names}
