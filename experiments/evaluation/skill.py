"""How likely a Sharpe ratio is skill: probabilistic and deflated Sharpe ratio, track record length.

All Sharpe ratios in here are **per period**, not annualised, and the kurtosis is that of Pearson
(3 for a normal distribution). The formulas take returns of different periods as independent.
Sources: Bailey and Lopez de Prado (2012), The Sharpe Ratio Efficient Frontier; the same (2014), The
Deflated Sharpe Ratio.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import e, isfinite, sqrt

import numpy as np
from scipy.special import ndtr, ndtri

from envs.errors import InputError
from experiments.evaluation.metrics import RESOLUTION, Float

# Below this many returns a kurtosis is not an estimate of anything.
FEWEST = 20
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Trials:
    """How many strategies were tried before the ones at hand, and how far they lay apart.

    Attributes:
        count: number of trials, the ones at hand included.
        sharpe_variance: variance across the trials of their Sharpe ratios, annualised; None where
            it is not known.
        source: where count and variance come from, in words.

    Raises:
        InputError: a count below 1, a variance that is negative or not finite.
    """

    count: int = 1
    sharpe_variance: float | None = None
    source: str = "no ledger of trials was given: counted as one"

    def __post_init__(self) -> None:
        if self.count < 1 or self.count != int(self.count):
            raise InputError(f"trials.count must be a whole number of at least 1, got {self.count}")
        variance = self.sharpe_variance
        if variance is not None and not (isfinite(variance) and variance >= 0):
            raise InputError(
                f"trials.sharpe_variance must be finite and not negative, got {variance}; None "
                "where it is not known"
            )


@dataclass(frozen=True)
class Skill:
    """What the Sharpe ratio of a strategy is worth; moments are means over seeds, per period.

    Attributes:
        sharpe: of returns less cash, per period; None where undefined.
        skewness, kurtosis: of the same (kurtosis 3 for a normal distribution).
        n: number of returns.
        psr: probability that the true Sharpe ratio is above 0.
        dsr: probability that it is above `expected_max`; equal to `psr` with one trial.
        expected_max: the highest Sharpe ratio, per period, that so many trials would show if the
            spread between them were all luck; 0 with one trial.
        min_track_record: number of returns from which on `psr` would reach 95 %; None where the
            Sharpe ratio is not above 0.
        reason: why something is None, or that one trial deflates nothing; empty otherwise.
    """

    sharpe: float | None
    skewness: float | None
    kurtosis: float | None
    n: int
    psr: float | None
    dsr: float | None
    expected_max: float | None
    min_track_record: float | None
    reason: str = ""


def probabilistic_sharpe(
    sharpe: float, n: int, skewness: float, kurtosis: float, above: float = 0.0
) -> float:
    """Probability that the true Sharpe ratio is above `above`; NaN where the moments allow none.

    `Phi((sharpe - above) sqrt(n - 1) / sqrt(1 - skewness sharpe + (kurtosis - 1) / 4 sharpe²))`.
    """
    spread = _spread(sharpe, skewness, kurtosis)
    return float(ndtr((sharpe - above) * sqrt(n - 1) / spread))


def expected_max_sharpe(count: int, sharpe_variance: float) -> float:
    """The highest Sharpe ratio to expect of `count` trials without skill, in the variance's unit.

    With the Euler-Mascheroni constant g: `sqrt(variance) ((1 - g) q(1 - 1/count) +
    g q(1 - 1/(e count)))`, q the normal quantile; 0 for one trial.
    """
    if count == 1:
        return 0.0
    g = float(np.euler_gamma)
    quantiles = (1 - g) * ndtri(1 - 1 / count) + g * ndtri(1 - 1 / (count * e))
    return float(sqrt(sharpe_variance) * quantiles)


def min_track_record(
    sharpe: float, skewness: float, kurtosis: float, above: float = 0.0, level: float = CONFIDENCE
) -> float:
    """Number of returns from which on the probabilistic Sharpe ratio reaches `level`.

    Infinite where `sharpe` is not above `above`; not rounded.
    """
    if sharpe <= above:
        return float("inf")
    spread = _spread(sharpe, skewness, kurtosis)
    return float(1 + (spread * ndtri(level) / (sharpe - above)) ** 2)


def _spread(sharpe: float, skewness: float, kurtosis: float) -> float:
    """Standard deviation of a Sharpe ratio, times sqrt(n - 1)."""
    square = 1 - skewness * sharpe + (kurtosis - 1) / 4 * sharpe**2
    return sqrt(square) if square > 0 else float("nan")


def measure_skill(excess: Float, periods_per_year: float, trials: Trials) -> Skill:
    """The skill of a strategy from its excess returns.

    Args:
        excess: `[S, n]` returns less cash, a row a seed. The moments are taken of each row and
            averaged: the skill of one seed picked at random, not of a portfolio of all seeds.
        periods_per_year: turns the annualised variance of `trials` into one of a period.
        trials: how many were tried.
    """
    n = excess.shape[-1]
    if n < FEWEST:
        why = f"{n} returns are too few for skewness and kurtosis: at least {FEWEST}"
        return _undefined(n, why)
    if (excess.std(axis=-1) <= RESOLUTION).any():
        return _undefined(n, "returns less cash are constant")
    from scipy.stats import kurtosis as kurtosis_of
    from scipy.stats import skew

    ratio = float(np.mean(excess.mean(axis=-1) / excess.std(axis=-1, ddof=1)))
    skewness = float(np.mean(skew(excess, axis=-1, bias=False)))
    kurtosis = float(np.mean(kurtosis_of(excess, axis=-1, fisher=False, bias=False)))
    psr = _number(probabilistic_sharpe(ratio, n, skewness, kurtosis))
    length = _number(min_track_record(ratio, skewness, kurtosis))
    if psr is None:
        why = "skewness and kurtosis are too extreme for the normal approximation"
        return Skill(ratio, skewness, kurtosis, n, None, None, None, None, why)
    reason, highest = "", None
    if trials.count == 1:
        reason, highest = "one trial: nothing to deflate, DSR is PSR", 0.0
    elif trials.sharpe_variance is None:
        reason = f"the variance of the Sharpe ratios of {trials.count} trials is not known: no DSR"
    else:
        highest = expected_max_sharpe(trials.count, trials.sharpe_variance / periods_per_year)
    dsr = None
    if highest is not None:
        dsr = _number(probabilistic_sharpe(ratio, n, skewness, kurtosis, above=highest))
    if length is None:
        reason = "; ".join(
            x for x in (reason, "no track record: the Sharpe ratio is not above 0") if x
        )
    return Skill(ratio, skewness, kurtosis, n, psr, dsr, highest, length, reason)


def _undefined(n: int, why: str) -> Skill:
    return Skill(None, None, None, n, None, None, None, None, why)


def _number(x: float) -> float | None:
    return x if isfinite(x) else None
