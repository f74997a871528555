"""Slow twin of the tests over many strategies: SPA from Hansen (2005), in plain Python."""

from __future__ import annotations

import math

import numpy as np
from arch.bootstrap import StationaryBootstrap


def spa(d: np.ndarray, mean_block: int, replications: int, seed: int) -> dict[str, float]:
    """Three p-values for `[n, K]` differences of performance, alternative less benchmark."""
    n, k = d.shape
    omega = [math.sqrt(_variance(list(d[:, j]), mean_block)) for j in range(k)]
    mean = [sum(d[:, j]) / n for j in range(k)]
    statistic = max(0.0, max(math.sqrt(n) * mean[j] / omega[j] for j in range(k)))
    threshold = -math.sqrt(2 * math.log(math.log(n)))
    centres = {
        "p_lower": [max(m, 0.0) for m in mean],
        "p_consistent": [
            m if math.sqrt(n) * m / w >= threshold else 0.0 for m, w in zip(mean, omega)
        ],
        "p_upper": mean,
    }
    draws = StationaryBootstrap(mean_block, d, seed=seed)
    above = dict.fromkeys(centres, 0)
    for (resampled,), _ in draws.bootstrap(replications):
        for kind, centre in centres.items():
            drawn = [
                math.sqrt(n) * (sum(resampled[:, j]) / n - centre[j]) / omega[j] for j in range(k)
            ]
            above[kind] += max(0.0, max(drawn)) > statistic
    return {kind: count / replications for kind, count in above.items()}


def _variance(x: list[float], mean_block: int) -> float:
    """n times the variance of the stationary bootstrap's mean, by the sum over lags."""
    n, mean = len(x), sum(x) / len(x)
    e = [v - mean for v in x]
    stay = 1 - 1 / mean_block
    total = sum(v * v for v in e) / n
    for lag in range(1, n):
        kernel = (1 - lag / n) * stay**lag + lag / n * stay ** (n - lag)
        total += 2 * kernel * sum(e[t] * e[t + lag] for t in range(n - lag)) / n
    return total
