"""Rewards: named terms; the reward is their weighted sum, and every term is in `info`.

With R the net simple return of the step, V the value, and B the growth of the benchmark:

| term | formula | typical weight |
|---|---|---|
| `log_return` | ln(1 + R) | > 0 |
| `excess_log_return` | ln(1 + R) - ln(B): same optimum, far less variance | > 0 |
| `differential_sharpe` | (b da - a db / 2) / (b - a^2)^1.5, a, b averages of R, R^2 | > 0 |
| `mean_variance` | R - risk_aversion / 2 * R^2 | > 0 |
| `drawdown` | 1 - V / max V so far, in [0, 1] | < 0 |
| `turnover` | sum of traded notional over value | < 0 |
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from envs.errors import InputError

TERMS = (
    "log_return",
    "excess_log_return",
    "differential_sharpe",
    "mean_variance",
    "drawdown",
    "turnover",
)
BENCHMARKS = ("equal_weight", "index", "cash")


@dataclass(frozen=True)
class Reward:
    """The reward of a step: `scale` times the weighted sum of the terms above.

    Attributes:
        terms: term -> weight.
        scale: multiplies the sum. Daily log returns are near 1e-2; learners like rewards near 1.
        benchmark: what `excess_log_return` is in excess of: the equal-weight mix of the assets
            without costs, the panel's index, or cash.
        sharpe_decay: rate of the moving averages of the differential Sharpe ratio, in (0, 1)
            (Moody and Saffell 2001, eta).
        sharpe_volatility: volatility of one step from which the average of R^2 starts; from zero,
            the ratio of the first steps would be a division by almost nothing.
        risk_aversion: of `mean_variance`.

    Raises:
        InputError: for an unknown term or a setting outside its range.
    """

    terms: Mapping[str, float] = field(default_factory=lambda: {"log_return": 1.0})
    scale: float = 1.0
    benchmark: str = "equal_weight"
    sharpe_decay: float = 0.01
    sharpe_volatility: float = 0.01
    risk_aversion: float = 1.0

    def __post_init__(self) -> None:
        unknown = [name for name in self.terms if name not in TERMS]
        if unknown:
            raise InputError(f"unknown reward term {unknown[0]!r}; known: {', '.join(TERMS)}")
        if not any(self.terms.values()):
            raise InputError(
                f"reward.terms is empty or all zero; give a weight to one of {', '.join(TERMS)}"
            )
        if self.benchmark not in BENCHMARKS:
            raise InputError(
                f"unknown reward benchmark {self.benchmark!r}; known: {', '.join(BENCHMARKS)}"
            )
        if not 0 < self.sharpe_decay < 1:
            raise InputError(f"reward.sharpe_decay must be in (0, 1), got {self.sharpe_decay}")
        if not self.sharpe_volatility > 0:
            raise InputError(f"reward.sharpe_volatility must be > 0, got {self.sharpe_volatility}")
        values = [*self.terms.values(), self.scale, self.risk_aversion]
        if not all(math.isfinite(v) for v in values):
            raise InputError(f"reward weights and scale must be finite, got {values}")

    def weights(self) -> NDArray[np.float64]:
        """`[len(TERMS)]` weight of each term, scale included."""
        return np.array([self.terms.get(name, 0.0) * self.scale for name in TERMS], np.float64)
