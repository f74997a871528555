"""Asset steps a second of the price processes: growths written by `simulate`, on one core.

    python -m benchmarks.processes [--paths 1024] [--steps 252]

The goal: 15 million asset steps a second on one core for geometric Brownian motion, of 3 assets and
of 20 correlated ones. One asset step is one growth of one asset; what the process shows of its
state is made in the same call.
"""

from __future__ import annotations

import argparse

import numpy as np

from benchmarks.measure import FULL, Effort, Row, pinned, rates, take_turns

GOAL = 15e6
STEPS = 252


def measure(effort: Effort, paths: int | None = None, steps: int = STEPS) -> list[Row]:
    """One row a process; `paths` is `effort.envs` unless given."""
    from envs.data.synthetic import synthetic
    from envs.market import processes as p

    paths = paths or effort.envs
    seeds = np.random.default_rng(0).integers(0, 2**63, paths, dtype=np.uint64)
    three, twenty = [0.06] * 3, [0.06] * 20
    panel = synthetic(n_rows=2000, n_assets=20)
    made = {
        "geometric Brownian motion, 3 assets": p.GeometricBrownian(drift=three, correlation=0.3),
        "geometric Brownian motion, 20 assets": p.GeometricBrownian(drift=twenty, correlation=0.3),
        "mean-reverting factors, 3 assets, 2 factors": p.MeanReverting(
            loadings=[[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]], reversion=[0.1, 0.02]
        ),
        "two regimes with beliefs, 3 assets": p.RegimeSwitching(drift=[three, three]),
        "Heston, 3 assets": p.Heston(drift=three),
        "jump diffusion, 3 assets": p.JumpDiffusion(drift=three),
        "GARCH, normal, 3 assets, no burn-in": p.Garch(mean=[0.0] * 3, burn_in=0),
        "GJR-GARCH, Student t, 3 assets, no burn-in": p.Garch(
            mean=[0.0] * 3, alpha=0.03, gamma=0.08, dof=6.0, burn_in=0
        ),
        "GARCH, normal, 3 assets, 500 steps of burn-in": p.Garch(mean=[0.0] * 3),
        "bootstrap, 20 assets": p.Bootstrap(market=panel),
        "Brownian motion, random parameters, 3 assets": p.Randomised(
            process=p.GeometricBrownian(drift=three), ranges={"volatility": [0.1, 0.4]}
        ),
    }
    with pinned(1) as note:
        taken = take_turns(
            {name: lambda x=process: x.simulate(seeds, steps) for name, process in made.items()},
            effort,
        )
    return [
        Row(
            name,
            "asset steps/s",
            rates(taken[name], process.n_assets * paths * steps),
            target=GOAL if isinstance(process, p.GeometricBrownian) else None,
            note=note,
        )
        for name, process in made.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--paths", type=int, default=1024)
    parser.add_argument("--steps", type=int, default=STEPS)
    arguments = parser.parse_args()
    print(f"asset steps/s on one core, {arguments.paths} paths x {arguments.steps} steps")
    print(f"  {'':46s} {'best':>14s} {'median':>14s}")
    for row in measure(FULL, arguments.paths, arguments.steps):
        best, middle = row.figures or (np.nan, np.nan)
        print(f"  {row.name:46s} {best:14,.0f} {middle:14,.0f}")


if __name__ == "__main__":
    main()
