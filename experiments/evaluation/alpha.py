"""Alpha: what a strategy earned beyond its exposure to a benchmark or to factors, with a HAC t."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from experiments.evaluation.metrics import RESOLUTION, Float

# Fewer returns than this, or than five for each coefficient, say nothing of an intercept.
FEWEST = 24
PER_COEFFICIENT = 5
# What is left after one lag is taken out must not be blown up beyond any use.
MOST_PERSISTENT = 0.97


@dataclass(frozen=True)
class Alpha:
    """The regression of a strategy's excess returns on those of a benchmark, or on factors.

    Attributes:
        against: what it is measured against ("benchmark", "equal_weight", name of the factors).
        factors: factor -> coefficient (beta).
        alpha: intercept, a year, as a fraction (`periods_per_year` times the intercept).
        t, p: HAC t-statistic (Newey-West) of the intercept and its two-sided p-value.
        lags: of the HAC estimator, after one lag was taken out (prewhitening).
        n: number of returns in the regression: steps, or months for monthly factors.
        reason: why the figures are None; empty otherwise.
    """

    against: str
    factors: dict[str, float]
    alpha: float | None
    t: float | None
    p: float | None
    lags: int | None
    n: int
    reason: str = ""


def measure_alpha(
    excess: Float, factors: Float, names: Sequence[str], periods_per_year: float, against: str
) -> Alpha:
    """Regresses excess returns on factors by least squares.

    Args:
        excess: `[n]` returns less the return of cash; of several seeds their mean, whose alpha is
            the mean of theirs.
        factors: `[n, F]` returns of the factors, in excess of cash or long-short.
        names: F names.
        periods_per_year: for the alpha of a year.
        against: name of the benchmark or the set of factors.
    """
    n, k = len(excess), 1 + len(names)
    fewest = max(FEWEST, PER_COEFFICIENT * k)
    if n < fewest:
        return _undefined(against, n, f"{n} returns are too few: {fewest} are needed")
    design = np.column_stack([np.ones(n), factors])
    scale = np.linalg.norm(design, axis=0)
    if (scale <= RESOLUTION).any() or np.linalg.matrix_rank(design / scale, tol=1e-9) < k:
        return _undefined(against, n, "a factor is constant or follows from the others")
    solver = np.linalg.pinv(design)
    coefficients = solver @ excess
    residuals = excess - design @ coefficients
    betas = {name: float(b) for name, b in zip(names, coefficients[1:], strict=True)}
    year = float(coefficients[0] * periods_per_year)
    if residuals.std() <= RESOLUTION:
        why = "its returns follow from those it is measured against: no error, no t"
        return Alpha(against, betas, year, None, None, None, n, why)
    # How each return moves the intercept: its long-run variance is the corner of the sandwich.
    variance, lags = long_run_variance(n * solver[0] * residuals)
    from scipy.stats import t as student

    error = np.sqrt(variance / n * n / (n - k))
    t = float(coefficients[0] / error)
    return Alpha(against, betas, year, t, float(2 * student.sf(abs(t), n - k)), lags, n)


def long_run_variance(x: Float, lags: int | None = None, whiten: bool = True) -> tuple[float, int]:
    """Newey and West's estimator (1987) for a series of mean zero: `(variance, lags)`.

    Args:
        x: `[n]`.
        lags: Bartlett weights reach up to it; None: chosen from the data (Newey and West 1994).
        whiten: whether a first-order autoregression is taken out before and put back afterwards
            (Andrews and Monahan 1992): without it, the variance of persistent series is too small.
    """
    rho = 0.0
    if whiten:
        rho = float(x[1:] @ x[:-1] / (x[:-1] @ x[:-1]))
        rho = float(np.clip(rho, -MOST_PERSISTENT, MOST_PERSISTENT))
        x = x[1:] - rho * x[:-1]
    n = len(x)
    if lags is None:
        lags = _automatic_lags(x, whiten)
    variance = x @ x / n
    for i in range(1, lags + 1):
        variance += 2 * (1 - i / (lags + 1)) * (x[i:] @ x[:-i]) / n
    return float(variance / (1 - rho) ** 2), lags


def _automatic_lags(x: Float, whiten: bool) -> int:
    """The plug-in rule of Newey and West (1994) for Bartlett weights."""
    n = len(x)
    reach = int((3 if whiten else 4) * (n / 100) ** (2 / 9))
    covariances = [x[i:] @ x[: n - i] / n for i in range(reach + 1)]
    zeroth = covariances[0] + 2 * sum(covariances[1:])
    first = 2 * sum(i * c for i, c in enumerate(covariances))
    if abs(zeroth) <= RESOLUTION * abs(covariances[0]):
        return reach
    lags = int(1.1447 * ((first / zeroth) ** 2) ** (1 / 3) * n ** (1 / 3))
    return min(lags, int(np.sqrt(n)))


def _undefined(against: str, n: int, why: str) -> Alpha:
    return Alpha(against, {}, None, None, None, None, n, why)
