"""Losses that optimise what matters: measures of a series of returns, differentiable in it.

Each function is the measure of the same name in `experiments/evaluation/metrics.py`, to rounding:
the **last axis is time**, leading axes are a batch, returns are simple returns per period, and
losses (CVaR, drawdown) are positive. They differ where a measure is not defined, since a gradient
has to go on from there:

- a deviation or drawdown below `FLOOR` counts as `FLOOR`, so that a ratio over it is finite;
- a step that loses everything counts as one that loses 99.99 %, as in the rewards of the env.

NaN stays NaN. `FinancialLoss` combines them with weights into what is minimised.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

# Below a deviation of this much a period there is nothing but cash and rounding.
FLOOR = 1e-6
# Growth of a step is cut here: `envs.market.kernel.LOWEST_GROWTH`.
LOWEST_GROWTH = 1e-4


def mean_log_return(returns: Tensor, periods_per_year: float) -> Tensor:
    """`[...]` annualised mean of log(1 + r): growth, and the utility of a log investor."""
    return _log_growth(returns).mean(dim=-1) * periods_per_year


def mean_variance(returns: Tensor, periods_per_year: float, risk_aversion: float) -> Tensor:
    """`[...]` annualised mean of r - risk_aversion / 2 * r^2, the reward term of this name."""
    utility = returns - 0.5 * risk_aversion * returns * returns
    return utility.mean(dim=-1) * periods_per_year


def variance(returns: Tensor, periods_per_year: float) -> Tensor:
    """`[...]` annualised variance (ddof 1), the square of the volatility."""
    return returns.var(dim=-1) * periods_per_year


def sharpe(returns: Tensor, periods_per_year: float, cash: Tensor | float = 0.0) -> Tensor:
    """`[...]` annualised Sharpe ratio: mean over standard deviation (ddof 1) of returns less cash.

    Source: Sharpe (1994); as a loss Moody and Saffell (2001), Zhang, Zohren and Roberts (2020).
    """
    excess = returns - cash
    return excess.mean(dim=-1) / _root(excess.var(dim=-1)) * math.sqrt(periods_per_year)


def information_ratio(returns: Tensor, benchmark: Tensor, periods_per_year: float) -> Tensor:
    """`[...]` annualised mean over standard deviation of the returns less those of a benchmark."""
    return sharpe(returns, periods_per_year, benchmark)


def sortino(returns: Tensor, periods_per_year: float, cash: Tensor | float = 0.0) -> Tensor:
    """`[...]` annualised Sortino ratio: mean excess over the root mean square of shortfalls.

    The shortfalls are below cash and the mean is over all periods, those without one included:
    not the standard deviation of negative returns. Both figures are per period; the ratio is
    annualised. Source: Sortino and van der Meer (1991).
    """
    excess = returns - cash
    shortfall = _root(excess.clamp_max(0.0).square().mean(dim=-1))
    return excess.mean(dim=-1) / shortfall * math.sqrt(periods_per_year)


def max_drawdown(returns: Tensor) -> Tensor:
    """`[...]` largest compounded loss from a peak to a later trough, in [0, 1].

    The gradient is that of the one peak and the one trough.
    """
    wealth = _log_growth(returns).cumsum(dim=-1)
    # The start is a peak, too.
    peak = wealth.cummax(dim=-1).values.clamp_min(0.0)
    return -torch.expm1((wealth - peak).amin(dim=-1))


def calmar(returns: Tensor, periods_per_year: float) -> Tensor:
    """`[...]` compound annual growth rate over maximum drawdown, both of the whole series."""
    growth = torch.expm1(_log_growth(returns).mean(dim=-1) * periods_per_year)
    return growth / max_drawdown(returns).clamp_min(FLOOR)


def cvar(returns: Tensor, tail: float = 0.05) -> Tensor:
    """`[...]` conditional value at risk: mean loss over the worst `tail` of the periods, a period.

    Where `tail * n` is not whole, the last return enters with its fraction.
    Source: Rockafellar and Uryasev (2000).
    """
    size = tail * returns.shape[-1]
    last = max(math.ceil(size) - 1, 0)
    # The largest of the losses, since NaN counts as larger than any number.
    worst = (-returns).topk(last + 1, dim=-1).values
    return (worst[..., :last].sum(dim=-1) + worst[..., last] * (size - last)) / size


def turnover_per_year(turnover: Tensor, periods_per_year: float) -> Tensor:
    """`[...]` annualised mean of what is traded over value, buys plus sells."""
    return turnover.mean(dim=-1) * periods_per_year


def l1_norm(parameters: Iterable[Tensor]) -> Tensor:
    """Sum of |parameter| over all parameters: times a small number, a penalty that makes zeros."""
    return torch.stack([p.abs().sum() for p in parameters]).sum()


def _log_growth(returns: Tensor) -> Tensor:
    return (1.0 + returns).clamp_min(LOWEST_GROWTH).log()


def _root(square: Tensor) -> Tensor:
    """Square root, at least `FLOOR`; its gradient is 0 below that, not infinite."""
    return square.clamp_min(FLOOR * FLOOR).sqrt()


@dataclass(frozen=True)
class _Term:
    """How a measure enters the loss.

    Attributes:
        sign: -1 where more is better, +1 where less is.
        compute: of `(loss, returns, turnover, benchmark, cash)`, to `[...]`.
        needs: the argument that it cannot do without.
        ordered: it depends on the order of the returns.
    """

    sign: float
    compute: Callable[..., Tensor]
    needs: str = ""
    ordered: bool = False


TERMS: dict[str, _Term] = {
    "growth": _Term(-1.0, lambda s, r, t, b, c: mean_log_return(r, s.periods_per_year)),
    "mean_variance": _Term(
        -1.0, lambda s, r, t, b, c: mean_variance(r, s.periods_per_year, s.risk_aversion)
    ),
    "sharpe": _Term(-1.0, lambda s, r, t, b, c: sharpe(r, s.periods_per_year, c)),
    "sortino": _Term(-1.0, lambda s, r, t, b, c: sortino(r, s.periods_per_year, c)),
    "calmar": _Term(-1.0, lambda s, r, t, b, c: calmar(r, s.periods_per_year), ordered=True),
    "information_ratio": _Term(
        -1.0, lambda s, r, t, b, c: information_ratio(r, b, s.periods_per_year), "benchmark"
    ),
    "variance": _Term(1.0, lambda s, r, t, b, c: variance(r, s.periods_per_year)),
    "cvar": _Term(1.0, lambda s, r, t, b, c: cvar(r, s.tail)),
    "max_drawdown": _Term(1.0, lambda s, r, t, b, c: max_drawdown(r), ordered=True),
    "turnover": _Term(
        1.0, lambda s, r, t, b, c: turnover_per_year(t, s.periods_per_year), "turnover"
    ),
}


@dataclass(frozen=True)
class FinancialLoss:
    """A weighted sum of measures, to be minimised.

    What is good (`growth`, `mean_variance`, `sharpe`, `sortino`, `calmar`, `information_ratio`)
    enters with a minus, what is bad (`variance`, `cvar`, `max_drawdown`, `turnover`) with a plus:
    weights are never negative.

    Attributes:
        weights: measure -> weight, at least one above 0. Mind the units: a Sharpe ratio is about 1
            a year, a CVaR about 0.02 a day, a turnover anything up to 500 a year.
        periods_per_year: for annualisation.
        pooled: take all sequences of a batch as one series, where the order does not matter: the
            ratio of the whole and not the mean of noisy ratios. Drawdowns remain those of each.
        tail: of `cvar`, in (0, 1). risk_aversion: of `mean_variance`, > 0.

    Raises:
        ValueError: for no weight, an unknown measure, or a number out of its range.
    """

    weights: Mapping[str, float]
    periods_per_year: float = 252.0
    pooled: bool = True
    tail: float = 0.05
    risk_aversion: float = 1.0

    def __post_init__(self) -> None:
        for name, weight in self.weights.items():
            if name not in TERMS:
                near = difflib.get_close_matches(name, TERMS, n=2, cutoff=0.6)
                meant = f"; did you mean {' or '.join(near)}?" if near else "."
                raise ValueError(f"unknown measure {name!r} in a loss{meant} Known: {_known()}")
            if not (isinstance(weight, int | float) and 0.0 <= weight < math.inf):
                raise ValueError(
                    f"the weight of {name} in a loss must be a number of at least 0, got "
                    f"{weight!r}; what is bad enters with a plus by itself"
                )
        if not any(self.weights.values()):
            raise ValueError(f"a loss needs a weight above 0 for at least one of: {_known()}")
        if not 0.0 < self.tail < 1.0:
            raise ValueError(f"tail must lie in (0, 1), got {self.tail}")
        for key in ("periods_per_year", "risk_aversion"):
            if not 0.0 < getattr(self, key) < math.inf:
                raise ValueError(f"{key} must be positive, got {getattr(self, key)}")

    def __call__(
        self,
        returns: Tensor,
        *,
        turnover: Tensor | None = None,
        benchmark: Tensor | None = None,
        cash: Tensor | float = 0.0,
    ) -> Tensor:
        """The loss, a scalar: the mean over the batch of each term, weighted.

        Args:
            returns: `[..., T]` net of costs. turnover, benchmark, cash: broadcast with it.

        Raises:
            ValueError: where a term needs what is not given, or fewer than two returns.
        """
        terms = self.terms(returns, turnover=turnover, benchmark=benchmark, cash=cash)
        signed = [TERMS[name].sign * self.weights[name] * terms[name] for name in terms]
        return torch.stack(signed).sum()

    def terms(
        self,
        returns: Tensor,
        *,
        turnover: Tensor | None = None,
        benchmark: Tensor | None = None,
        cash: Tensor | float = 0.0,
    ) -> dict[str, Tensor]:
        """Each measure with a weight above 0, as it is: a scalar, the mean over the batch."""
        if returns.shape[-1] < 2:
            raise ValueError(f"a loss needs at least two returns, got {returns.shape[-1]}")
        given = {"turnover": turnover, "benchmark": benchmark, "cash": cash}
        series = {
            key: value.expand_as(returns) if isinstance(value, Tensor) else value
            for key, value in given.items()
        }
        made = {}
        for name, weight in self.weights.items():
            if not weight:
                continue
            term = TERMS[name]
            if term.needs and given[term.needs] is None:
                raise ValueError(f"the measure {name} of a loss needs {term.needs}=")
            values = [returns, *series.values()]
            if self.pooled and not term.ordered:
                values = [v.reshape(-1) if isinstance(v, Tensor) else v for v in values]
            made[name] = term.compute(self, *values).mean()
        return made


def _known() -> str:
    return ", ".join(TERMS)
