"""How likely a Sharpe ratio is skill: probabilistic and deflated Sharpe ratio, track record length.

All Sharpe ratios in here are **per period**, not annualised, and the kurtosis is that of Pearson
(3 for a normal distribution). Sources: Bailey and Lopez de Prado (2012), The Sharpe Ratio Efficient
Frontier; the same (2014), The Deflated Sharpe Ratio.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Trials:
    """How many strategies were tried before the ones at hand, and how far they lay apart.

    Attributes:
        count: number of trials, the ones at hand included.
        sharpe_variance: variance across the trials of their Sharpe ratios, annualised; None where
            it is not known.
        source: where count and variance come from, in words.
    """

    count: int = 1
    sharpe_variance: float | None = None
    source: str = "no ledger of trials was given: counted as one"


@dataclass(frozen=True)
class Skill:
    """What the Sharpe ratio of a strategy is worth; figures are means over seeds, per period.

    Attributes:
        sharpe: of returns less cash, per period; None where undefined.
        skewness, kurtosis: of the same (kurtosis 3 for a normal distribution).
        n: number of returns.
        psr: probability that the true Sharpe ratio is above 0.
        dsr: probability that it is above `expected_max`; equal to `psr` with one trial.
        expected_max: the highest Sharpe ratio, per period, that so many trials without skill would
            show; 0 with one trial.
        min_track_record: number of returns from which on `psr` would reach 95 %; None where the
            Sharpe ratio is not above 0.
        reason: why something is None; empty otherwise.
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
