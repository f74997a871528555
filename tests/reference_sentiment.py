"""Slow twins of the sentiment features: plain Python, one row at a time, as defined."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from tests.reference_features import mean

Numbers = Sequence[float]


def market_returns(close: Sequence[Numbers]) -> list[float]:
    """Of the equal-weight mix, rebalanced each row; row 0 has none."""
    out = [math.nan]
    for before, now in pairwise(close):
        out.append(mean([b / a - 1.0 for a, b in zip(before, now, strict=True)]))
    return out


def deviation(x: Numbers) -> float:
    m = mean(x)
    return math.sqrt(math.fsum((one - m) ** 2 for one in x) / (len(x) - 1))


def rank(window: Numbers) -> float:
    """Of the last of them: 0 lowest, 1 highest; equals share their places."""
    places = [i for i, one in enumerate(sorted(window)) if one == window[-1]]
    return mean(places) / (len(window) - 1)


def garch_path(r: Numbers, alpha: float, beta: float) -> list[float]:
    """Variance expected for the row after each of `r`, with the mean square so far as target."""
    out: list[float] = []
    for t, one in enumerate(r):
        target = mean([x * x for x in r[: t + 1]])
        before = out[-1] if out else target
        out.append((1 - alpha - beta) * target + alpha * one**2 + beta * before)
    return out


def garch(r: Numbers, candidates: Sequence[tuple[float, float]], uncounted: int) -> list[float]:
    """Volatility by the candidate whose forecasts were likeliest so far, at each row."""
    paths = [garch_path(r, alpha, persistence - alpha) for alpha, persistence in candidates]
    out = []
    for t in range(len(r)):
        likelihood = [
            math.fsum(
                -0.5 * (math.log(path[s - 1]) + r[s] ** 2 / path[s - 1])
                for s in range(uncounted, t + 1)
            )
            for path in paths
        ]
        best = max(range(len(paths)), key=lambda g: likelihood[g])
        out.append(math.sqrt(paths[best][t]))
    return out


def highs_lows(close: Sequence[Numbers], t: int, n: int) -> float:
    """All assets listed since row 0."""
    net = 0
    for series in zip(*close, strict=True):
        before = series[t - n : t]
        net += (series[t] > max(before)) - (series[t] < min(before))
    return net / len(close[0])


def net_advances(close: Sequence[Numbers], t: int) -> float:
    up = sum(b > a for a, b in zip(close[t - 1], close[t], strict=True))
    down = sum(b < a for a, b in zip(close[t - 1], close[t], strict=True))
    return (up - down) / (up + down) if up + down else 0.0


def exponential(x: Numbers, n: int) -> list[float | None]:
    """Seeded with the mean of the first n values; then a share 2 / (n + 1) of each new one."""
    out: list[float | None] = [None] * (n - 1)
    average = mean(x[:n])
    out.append(average)
    for one in x[n:]:
        average = average + 2.0 / (n + 1) * (one - average)
        out.append(average)
    return out
