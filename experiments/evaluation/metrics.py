"""Measures of a series of returns: one pure function each, and the catalogue that reports use.

Conventions of every function here:

- The **last axis is time**; leading axes are a batch (seeds, bootstrap replications), so the result
  has the shape of the input without its last axis.
- Returns are simple returns per period; `periods_per_year` annualises; `cash` is the simple return
  of cash over the same periods (an array that broadcasts, or 0).
- NaN in a series gives NaN for that series. A measure that is not defined (the Sharpe ratio of
  constant returns) is NaN, never infinite, without a warning; `Metric.undefined` says why.
- Losses (drawdown, CVaR, downside deviation) are positive numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Float = NDArray[np.float64]

# A return is a quotient of two wealths and carries rounding of about 1e-16; a deviation or drawdown
# below this is that rounding, and a ratio over it would be noise printed as a number.
RESOLUTION = 1e-12
# Decimals that a signed value may get beyond its own; a difference below these is as good as none.
EXTRA_DIGITS = 3


def total_return(returns: ArrayLike) -> Float:
    """Compounded return of the whole series, as a fraction; -1 once wealth has reached zero.

    NaN where wealth grows beyond the range of a float.
    """
    growth = 1.0 + np.asarray(returns, dtype=np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        total = np.prod(np.maximum(growth, 0.0), axis=-1) - 1.0
    return np.where(np.isinf(total), np.nan, total)


def cagr(returns: ArrayLike, periods_per_year: float) -> Float:
    """Compound annual growth rate: `prod(1 + r) ** (periods_per_year / n) - 1`, a year."""
    r = np.asarray(returns, dtype=np.float64)
    if r.shape[-1] == 0:
        return np.full(r.shape[:-1], np.nan)
    with np.errstate(
        over="ignore"
    ):  # a short lucky window can annualise beyond the range of a float
        rate = (1.0 + total_return(r)) ** (periods_per_year / r.shape[-1]) - 1.0
    return np.where(np.isinf(rate), np.nan, rate)


def mean_log_return(returns: ArrayLike, periods_per_year: float) -> Float:
    """Annualised mean of log(1 + r), the growth that adds over time. NaN after ruin (r <= -1)."""
    r = np.asarray(returns, dtype=np.float64)
    if r.shape[-1] == 0:
        return np.full(r.shape[:-1], np.nan)
    return np.asarray(np.mean(np.log1p(np.where(r > -1.0, r, np.nan)), axis=-1) * periods_per_year)


def volatility(returns: ArrayLike, periods_per_year: float) -> Float:
    """Annualised standard deviation of the returns (ddof 1). NaN below two returns."""
    return _deviation(np.asarray(returns, dtype=np.float64)) * np.sqrt(periods_per_year)


def downside_deviation(returns: ArrayLike, periods_per_year: float, cash: ArrayLike = 0.0) -> Float:
    """Annualised root mean square of the shortfalls below cash, over all n periods.

    Source: Sortino and van der Meer (1991); periods without a shortfall count as zeros.
    """
    excess = _excess(returns, cash)
    if excess.shape[-1] == 0:
        return np.full(excess.shape[:-1], np.nan)
    return _shortfall(excess) * np.sqrt(periods_per_year)


def sharpe(returns: ArrayLike, periods_per_year: float, cash: ArrayLike = 0.0) -> Float:
    """Annualised Sharpe ratio: mean over standard deviation (ddof 1) of returns less cash.

    NaN where the excess is constant. Source: Sharpe (1994), the ex-post ratio.
    """
    excess = _excess(returns, cash)
    return _ratio(_mean(excess), _deviation(excess)) * np.sqrt(periods_per_year)


def sortino(returns: ArrayLike, periods_per_year: float, cash: ArrayLike = 0.0) -> Float:
    """Annualised Sortino ratio: mean excess over the root mean square of shortfalls over all n.

    NaN where no period falls short of cash.
    """
    excess = _excess(returns, cash)
    if excess.shape[-1] == 0:
        return np.full(excess.shape[:-1], np.nan)
    return _ratio(_mean(excess), _shortfall(excess)) * np.sqrt(periods_per_year)


def drawdown(returns: ArrayLike) -> Float:
    """`[..., n]` share of wealth lost since its peak so far (the start counts); in [0, 1].

    NaN from where wealth grows beyond the range of a float.
    """
    growth = 1.0 + np.asarray(returns, dtype=np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        wealth = np.cumprod(np.maximum(growth, 0.0), axis=-1)
        peak = np.maximum(np.maximum.accumulate(wealth, axis=-1), 1.0)
        return np.asarray(1.0 - wealth / peak)


def max_drawdown(returns: ArrayLike) -> Float:
    """Largest compounded loss from a peak to a later trough, in [0, 1]."""
    r = np.asarray(returns, dtype=np.float64)
    if r.shape[-1] == 0:
        return np.full(r.shape[:-1], np.nan)
    return np.asarray(drawdown(r).max(axis=-1))


def calmar(returns: ArrayLike, periods_per_year: float) -> Float:
    """CAGR over maximum drawdown, both of the whole series. NaN where wealth never fell."""
    return _ratio(cagr(returns, periods_per_year), max_drawdown(returns))


def cvar(returns: ArrayLike, tail: float = 0.05) -> Float:
    """Conditional value at risk: mean loss over the worst `tail` of the periods, per period.

    The tail is exact: where `tail * n` is not whole, the last return enters with its fraction.
    Negative where even the worst periods gained. Source: Rockafellar and Uryasev (2000).
    """
    r = np.asarray(returns, dtype=np.float64)
    n = r.shape[-1]
    if n == 0:
        return np.full(r.shape[:-1], np.nan)
    size = tail * n
    last = max(int(np.ceil(size)) - 1, 0)
    ordered = np.partition(r, last, axis=-1)
    worst = ordered[..., :last].sum(axis=-1) + ordered[..., last] * (size - last)
    return np.asarray(np.where(np.isnan(r).any(axis=-1), np.nan, -worst / size))


def hit_rate(returns: ArrayLike) -> Float:
    """Share of the periods with a return above zero, in [0, 1]."""
    r = np.asarray(returns, dtype=np.float64)
    return _mean(np.where(np.isnan(r), np.nan, r > 0.0))


def profit_factor(returns: ArrayLike) -> Float:
    """Sum of all gains over the sum of all losses, as a positive number.

    Not the mean gain over the mean loss, which is the payoff ratio and says nothing of how often
    either came. NaN without any loss.
    """
    r = np.asarray(returns, dtype=np.float64)
    return _ratio(np.maximum(r, 0.0).sum(axis=-1), np.maximum(-r, 0.0).sum(axis=-1))


def per_year(amounts: ArrayLike, periods_per_year: float) -> Float:
    """Annualised mean of an amount paid or traded per period (turnover, costs)."""
    return _mean(np.asarray(amounts, dtype=np.float64)) * periods_per_year


def mean_active_share(active_share: ArrayLike) -> Float:
    """Mean over time of the active share against 1/N. Source: Cremers and Petajisto (2009)."""
    return _mean(np.asarray(active_share, dtype=np.float64))


def _excess(returns: ArrayLike, cash: ArrayLike) -> Float:
    return np.asarray(returns, dtype=np.float64) - np.asarray(cash, dtype=np.float64)


def _mean(x: Float) -> Float:
    return np.asarray(x.mean(axis=-1)) if x.shape[-1] else np.full(x.shape[:-1], np.nan)


def _deviation(x: Float) -> Float:
    """Standard deviation (ddof 1) in one pass over centred values."""
    n = x.shape[-1]
    if n < 2:
        return np.full(x.shape[:-1], np.nan)
    centred = x - x.mean(axis=-1, keepdims=True)
    return np.sqrt(np.einsum("...t,...t->...", centred, centred) / (n - 1))


def _shortfall(excess: Float) -> Float:
    below = np.minimum(excess, 0.0)
    return np.sqrt(np.einsum("...t,...t->...", below, below) / excess.shape[-1])


def _ratio(numerator: Float, denominator: Float) -> Float:
    defined = denominator > RESOLUTION
    return np.where(defined, numerator / np.where(defined, denominator, 1.0), np.nan)


# --------------------------------------------------------------------------- catalogue
@dataclass(frozen=True)
class Steps:
    """What the measures need to know of a run, by step; each `[..., n]`.

    Attributes:
        net_return: simple return after costs.
        cash_return: simple return of cash.
        turnover: traded notional over value.
        cost: all costs over value.
        active_share: against 1/N; NaN where weights are not known.
        periods_per_year: for annualisation.
    """

    net_return: Float
    cash_return: Float
    turnover: Float
    cost: Float
    active_share: Float
    periods_per_year: float

    def at(self, index: NDArray[np.int64]) -> Steps:
        """The steps at `index` `[R, n]` of series `[S, n]`: arrays `[S, R, n]`."""
        take = lambda x: np.take(x, index, axis=-1)  # noqa: E731
        return Steps(
            take(self.net_return),
            take(self.cash_return),
            take(self.turnover),
            take(self.cost),
            take(self.active_share),
            self.periods_per_year,
        )


@dataclass(frozen=True)
class Metric:
    """One row of the catalogue.

    Attributes:
        name: key in `metrics.json`.
        label: column head.
        unit: "percent" (a fraction, printed times 100), "ratio" or "times".
        higher_is_better: None where it is neither good nor bad (active share).
        compute: `Steps` with arrays `[..., n]` -> `[...]`.
        meaning: one line for a legend.
        undefined: why it is NaN, where it is.
        path_dependent: it depends on the order of the returns, which a bootstrap changes.
        digits: decimals in print, in percent for a percentage.
    """

    name: str
    label: str
    unit: str
    higher_is_better: bool | None
    compute: Callable[[Steps], Float]
    meaning: str
    undefined: str = "no steps"
    path_dependent: bool = False
    digits: int = 1

    @property
    def suffix(self) -> str:
        """What follows a printed value."""
        return {"percent": " %", "times": "×"}.get(self.unit, "")

    def text(self, value: float | None, *, sign: bool = False, suffix: bool = True) -> str:
        """Prints a value in the unit, with a true minus; None and what is not finite as "n/a".

        With `sign`, a value that is not zero does not print as zero: a few decimals more show on
        which side it lies.
        """
        if value is None or not np.isfinite(value):
            return "n/a"
        x = value * 100.0 if self.unit == "percent" else value
        # "-0.1 [-0.2, 0.0]" would not show on which side of zero a small difference lies.
        digits = 2 if sign and self.unit == "percent" and abs(x) < 1 else self.digits
        digits = 0 if abs(x) >= 1000 else digits
        if sign and round(x, digits) == 0:
            more = range(digits + 1, digits + 1 + EXTRA_DIGITS)
            digits = next((d for d in more if round(x, d) != 0), digits)
        text = f"{x:+,.{digits}f}" if sign else f"{x:,.{digits}f}"
        if abs(x) >= 1e6:
            text = f"{x:+.1e}" if sign else f"{x:.1e}"
        elif float(text.replace(",", "")) == 0:
            text = text.lstrip("+-")
        return text.replace("-", "−") + (self.suffix if suffix else "")

    def interval(self, low: float | None, high: float | None, *, sign: bool = False) -> str:
        """`[4.1, 9.9]` without the unit; empty where there is no interval."""
        if low is None or high is None:
            return ""
        texts = [self.text(x, sign=sign, suffix=False) for x in (low, high)]
        return f"[{', '.join(texts)}]"


BEYOND = "growth beyond the range of numbers"
METRICS: tuple[Metric, ...] = (
    Metric("total_return", "Total return", "percent", True,
           lambda s: total_return(s.net_return), "compounded over the window, after costs",
           BEYOND),
    Metric("cagr", "CAGR", "percent", True,
           lambda s: cagr(s.net_return, s.periods_per_year), "compound annual growth rate",
           BEYOND),
    Metric("volatility", "Volatility", "percent", False,
           lambda s: volatility(s.net_return, s.periods_per_year),
           "annualised standard deviation of returns", "fewer than two returns"),
    Metric("sharpe", "Sharpe", "ratio", True,
           lambda s: sharpe(s.net_return, s.periods_per_year, s.cash_return),
           "mean over standard deviation of the return in excess of cash, annualised",
           "return in excess of cash is constant", digits=2),
    Metric("sortino", "Sortino", "ratio", True,
           lambda s: sortino(s.net_return, s.periods_per_year, s.cash_return),
           "mean excess return over downside deviation, annualised", "never fell short of cash",
           digits=2),
    Metric("calmar", "Calmar", "ratio", True,
           lambda s: calmar(s.net_return, s.periods_per_year),
           "CAGR over maximum drawdown", "wealth never fell, or grew beyond any number", True, 2),
    Metric("max_drawdown", "Max drawdown", "percent", False,
           lambda s: max_drawdown(s.net_return), "largest loss from a peak", BEYOND, True),
    Metric("cvar", "CVaR 5 %", "percent", False,
           lambda s: cvar(s.net_return), "mean loss over the worst 5 % of periods", digits=2),
    Metric("downside_deviation", "Downside dev.", "percent", False,
           lambda s: downside_deviation(s.net_return, s.periods_per_year, s.cash_return),
           "annualised root mean square of shortfalls below cash"),
    Metric("hit_rate", "Hit rate", "percent", True,
           lambda s: hit_rate(s.net_return), "share of periods with a gain"),
    Metric("turnover", "Turnover / y", "times", False,
           lambda s: per_year(s.turnover, s.periods_per_year),
           "traded notional over value, buys plus sells, a year"),
    Metric("cost", "Cost / y", "percent", False,
           lambda s: per_year(s.cost, s.periods_per_year),
           "all costs over value, a year", digits=2),
    Metric("active_share", "Active share", "percent", None,
           lambda s: mean_active_share(s.active_share),
           "half the distance of the weights from 1/N, mean over time",
           "not a portfolio of these assets"),
    Metric("mean_log_return", "Log return / y", "percent", True,
           lambda s: mean_log_return(s.net_return, s.periods_per_year),
           "annualised mean log return", "wealth reached zero"),
)  # fmt: skip
BY_NAME: dict[str, Metric] = {m.name: m for m in METRICS}
