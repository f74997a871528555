"""Alpha: what a strategy earned beyond its exposure to a benchmark or to factors, with a HAC t."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Alpha:
    """The regression of a strategy's excess returns on those of a benchmark, or on factors.

    Attributes:
        against: what it is measured against ("benchmark", "equal_weight", name of the factors).
        factors: factor -> coefficient (beta).
        alpha: intercept, a year, as a fraction (`periods_per_year` times the intercept).
        t, p: HAC t-statistic (Newey-West) of the intercept and its two-sided p-value.
        lags: of the HAC estimator.
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
