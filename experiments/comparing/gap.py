"""The difference of two rows: its interval and p-value over the luck of dates and of seeds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from experiments.evaluation.metrics import RESOLUTION, Float


@dataclass(frozen=True)
class Gap:
    """A difference of two rows, with what is needed for its interval and its p-value.

    Attributes:
        value, error: of the means over seeds, and its standard error over dates.
        draws, errors: `[R]` the same in R resampled histories.
        seeds: the measure of each seed of either row.
    """

    value: float
    error: float
    draws: Float
    errors: Float
    seeds: tuple[Float, Float]

    def luck(self) -> tuple[float, float]:
        """`(standard error, degrees of freedom)` of the seeds (Welch); `(0, inf)` without."""
        parts = [(x.var(ddof=1) / len(x), len(x) - 1) for x in self.seeds if len(x) > 1]
        total = sum(v for v, _ in parts)
        if total <= RESOLUTION**2:
            return 0.0, np.inf
        return float(np.sqrt(total)), float(total**2 / sum(v**2 / n for v, n in parts))

    def half_widths(self) -> tuple[Float, Float]:
        """`(levels, half-widths)` of the intervals that can be made of R histories, ascending."""
        from scipy.stats import t as student

        distance = np.abs(self.draws - self.value)
        known = self.errors > RESOLUTION
        beyond = np.where(distance > RESOLUTION, np.inf, 0.0)
        quotients = np.sort(np.where(known, distance / np.where(known, self.errors, 1.0), beyond))
        levels = np.arange(1, len(quotients) + 1) / (len(quotients) + 1)
        over_dates = quotients * self.error if self.error > RESOLUTION else 0.0 * levels
        spread, freedom = self.luck()
        over_seeds = spread * student.ppf((1 + levels) / 2, freedom) if spread else 0.0
        return levels, np.hypot(over_dates, over_seeds)

    def interval(self, level: float) -> tuple[float, float]:
        """The interval of this level; the widest there is where R is too small for it."""
        levels, widths = self.half_widths()
        k = min(int(np.searchsorted(levels, level - 1e-12)), len(levels) - 1)
        return self.value - float(widths[k]), self.value + float(widths[k])

    def p_value(self) -> float:
        """Two-sided, of no difference: one less the highest level whose interval leaves out 0."""
        levels, widths = self.half_widths()
        if abs(self.value) <= RESOLUTION:
            return 1.0
        inside = int(np.searchsorted(widths, abs(self.value), side="left"))
        return float((1 + len(levels) - inside) / (1 + len(levels)))
