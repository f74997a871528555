"""Intervals and p-values from the draws of a bootstrap, and the correction for many of them.

`studentised_interval` and `p_value` are two sides of one test: the interval leaves out zero exactly
where the p-value is at most one less the level (but for the scale of a logarithm).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil
from typing import Any

import numpy as np

from experiments.evaluation.metrics import RESOLUTION, Float

TO_SCALE: dict[str, Callable[[Any], Any]] = {
    "identity": lambda x: x,
    "log1p": np.log1p,
}
FROM_SCALE: dict[str, Callable[[Any], Any]] = {
    "identity": lambda x: x,
    "log1p": np.expm1,
}


def percentile_interval(draws: Float, level: float) -> tuple[float, float] | None:
    """The central `level` of the draws; None where some draw is undefined."""
    if not np.isfinite(draws).all():
        return None
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def studentised_interval(
    value: float, error: float, draws: Float, errors: Float, level: float, scale: str = "identity"
) -> tuple[float, float] | None:
    """`value -+ c error`, c the `level` quantile of `|draw - value| / error of the draw`.

    Args:
        value: the measure on the dates as they came.
        error: its standard error, on the scale.
        draws, errors: `[R]` the same in R resampled histories.
        level: in (0, 1).
        scale: "identity" or "log1p": the interval is made there and brought back, so that a loss
            stays above -100 %.

    Returns:
        None where some draw is undefined, or where histories without any variation are so many that
        the quantile is infinite.
    """
    to_scale, from_scale = TO_SCALE[scale], FROM_SCALE[scale]
    with np.errstate(divide="ignore", invalid="ignore"):
        centre = float(to_scale(value))
        quotients = _quotients(centre, to_scale(draws), errors)
    if quotients is None or not np.isfinite(error) or not np.isfinite(centre):
        return None
    if error <= RESOLUTION:
        return value, value
    # The k-th smallest of R: then one more history would lie beyond it as often as the level says.
    k = min(ceil(level * (len(quotients) + 1)), len(quotients)) - 1
    reach = float(np.partition(quotients, k)[k]) * error
    with np.errstate(over="ignore"):
        low, high = float(from_scale(centre - reach)), float(from_scale(centre + reach))
    return (low, high) if np.isfinite(low) and np.isfinite(high) else None


def p_value(value: float, error: float, draws: Float, errors: Float) -> float | None:
    """Two-sided p-value of `value` being zero in truth, at least `1 / (R + 1)`.

    The share of histories, the one that came included, whose studentised deviation is at least as
    large as that of the value from zero. None where an interval has no answer either.
    """
    quotients = _quotients(value, draws, errors)
    if quotients is None or not np.isfinite(error):
        return None
    if error <= RESOLUTION:
        return 1.0 if abs(value) <= RESOLUTION else 1.0 / (len(quotients) + 1)
    return float((1 + np.sum(quotients >= abs(value) / error)) / (len(quotients) + 1))


def _quotients(centre: float, draws: Float, errors: Float) -> Float | None:
    if not (np.isfinite(draws).all() and np.isfinite(errors).all()):
        return None
    distance = np.abs(draws - centre)
    known = errors > RESOLUTION
    # A history without variation that lies elsewhere is infinitely many standard errors away.
    beyond = np.where(distance > RESOLUTION, np.inf, 0.0)
    return np.where(known, distance / np.where(known, errors, 1.0), beyond)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's step-down correction (1979): the k-th smallest of m times `m - k + 1`, and not below
    those before it. What is None is not counted and stays None."""
    known = [i for i, p in enumerate(p_values) if p is not None]
    corrected: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for k, i in enumerate(sorted(known, key=lambda i: p_values[i] or 0.0)):
        highest = max(highest, min(1.0, (p_values[i] or 0.0) * (len(known) - k)))
        corrected[i] = highest
    return corrected
