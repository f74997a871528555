"""The statistics once more, slowly, from their definitions."""

from __future__ import annotations

import numpy as np

from experiments.evaluation.bootstrap_kernels import PAIRED, SCALES, VALUES
from experiments.evaluation.metrics import BY_NAME, Steps


def long_run_error(influence: np.ndarray, decay: float) -> float:
    """Standard error of a mean from all autocovariances, that at lag i weighted `decay ** i`."""
    n = len(influence)
    total = sum(x * x for x in influence)
    for lag in range(1, n):
        total += 2 * decay**lag * float(influence[lag:] @ influence[:-lag])
    return float(np.sqrt(max(total, 0.0)) / n)


def influences(net: np.ndarray, excess: np.ndarray, per_year: float) -> dict[str, np.ndarray]:
    """How each date moves a measure, to first order (the delta method), on the scale printed."""
    n = len(net)
    log, root = np.log1p(net), np.sqrt(per_year)
    growth = per_year * (log - log.mean())
    # Means are divided by n, the deviations that they are of by n - 1, as the measures are.
    spread = excess.std(ddof=1)
    below = np.minimum(excess, 0.0)
    shortfall = np.sqrt(np.mean(below**2))
    squares = (below / shortfall) ** 2 - 1
    z = (excess - excess.mean()) / spread
    return {
        "total_return": np.prod(1 + net) * n / per_year * growth,
        "cagr": np.prod(1 + net) ** (per_year / n) * growth,
        "mean_log_return": growth,
        "sharpe": root * (z - 0.5 * excess.mean() / spread * (z**2 - 1)),
        "sortino": root
        * ((excess - excess.mean()) / shortfall - 0.5 * excess.mean() / shortfall * squares),
    }


def measures(
    data: list[Steps], rows: np.ndarray, pairs: list[tuple[int, int]], decay: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`values [K, M]`, their `errors [K, E]` and those of the pairs `[P, C]` on these dates."""
    drawn = [s.at(rows) for s in data]
    values = np.array([[BY_NAME[name].compute(s).mean() for name in VALUES] for s in drawn])
    moved = []
    for s in drawn:
        each = [
            influences(net, net - cash, s.periods_per_year)
            for net, cash in zip(s.net_return, s.cash_return, strict=True)
        ]
        moved.append({key: np.mean([one[key] for one in each], axis=0) for key in each[0]})
    errors = np.empty((len(data), len(SCALES)))
    for k, by_date in enumerate(moved):
        for m, (name, scale) in enumerate(zip(VALUES, SCALES, strict=False)):
            slope = {"identity": 1.0, "log1p": 1 + values[k, m]}[scale]
            errors[k, m] = long_run_error(by_date[name], decay) / slope
    gaps = [[moved[a][name] - moved[b][name] for name in PAIRED] for a, b in pairs]
    return values, errors, np.array([[long_run_error(x, decay) for x in gap] for gap in gaps])
