"""Constant weights in markets of independent steps: Merton, Kelly and the exact discrete optimum.

Sources: Merton 1969, "Lifetime portfolio selection under uncertainty: the continuous-time case";
Samuelson 1969 (constant weights are optimal at every horizon); Kelly 1956 and Thorp 2006 (the
two-state bet). All rates and covariances are a year unless said otherwise.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from envs.market.solutions.best_mix import best_weights, certainty_equivalent
from envs.market.solutions.outcomes import brownian_outcomes

Float = NDArray[np.float64]


def merton_weights(
    drift: Float, covariance: Float, cash_rate: float = 0.0, risk_aversion: float = 1.0
) -> Float:
    """`[A]` = covariance^-1 (drift - cash_rate) / risk_aversion; continuous trading, no limits."""
    premium = np.asarray(drift, np.float64) - cash_rate
    return np.asarray(np.linalg.solve(covariance, premium) / risk_aversion, np.float64)


def merton_long_only(
    drift: Float, covariance: Float, cash_rate: float = 0.0, risk_aversion: float = 1.0
) -> Float:
    """`[A]` weights >= 0 with sum <= 1 (the rest is cash) of highest growth, continuous trading.

    Maximises w'(drift - cash_rate) - gamma/2 w' covariance w. For a given price nu of the budget
    the weights are a non-negative least squares problem (Lawson and Hanson 1974), and their sum
    falls with nu; where the budget binds, the linear equations of the support end it exactly.
    """
    premium = np.asarray(drift, np.float64) - cash_rate
    scaled = risk_aversion * np.asarray(covariance, np.float64)
    factor = np.linalg.cholesky(scaled)

    def at(price: float) -> Float:
        return optimize.nnls(factor.T, np.linalg.solve(factor, premium - price))[0]

    weights = at(0.0)
    if weights.sum() <= 1.0:
        return weights
    price = optimize.brentq(lambda nu: at(nu).sum() - 1.0, 0.0, float(premium.max()), xtol=1e-14)
    held = at(price) > 1e-10
    n = int(held.sum())
    system = np.ones((n + 1, n + 1))
    system[:n, :n] = scaled[np.ix_(held, held)]
    system[n, n] = 0.0
    weights = np.zeros(len(premium))
    weights[held] = np.linalg.solve(system, np.append(premium[held], 1.0))[:n]
    return weights


def continuous_growth(
    weights: Float,
    drift: Float,
    covariance: Float,
    cash_rate: float = 0.0,
    risk_aversion: float = 1.0,
) -> float:
    """Certainty-equivalent log growth a year of constant weights `[A]` under continuous trading."""
    excess = weights @ (np.asarray(drift) - cash_rate)
    return float(cash_rate + excess - 0.5 * risk_aversion * weights @ covariance @ weights)


def step_growth(
    weights: Float,
    drift: Float,
    covariance: Float,
    dt: float,
    cash_rate: float = 0.0,
    risk_aversion: float = 1.0,
    order: int = 7,
) -> float:
    """Certainty-equivalent log growth of one step of `dt` years of weights `[A+1]` (cash last).

    Exact for geometric Brownian motion up to four assets (Gauss-Hermite; raise `order` to see how
    many digits stand), by quasi-random points above (relative error about 1e-6 at daily steps).
    """
    growth, probability = brownian_outcomes(drift, covariance, dt, cash_rate, order)
    return float(certainty_equivalent(growth @ weights, probability, risk_aversion))


def best_step_weights(
    drift: Float,
    covariance: Float,
    dt: float,
    cash_rate: float = 0.0,
    risk_aversion: float = 1.0,
    portfolios: Float | None = None,
    order: int = 7,
) -> Float:
    """`[A+1]` weights (cash last) of highest certainty equivalent for rebalancing every `dt` years.

    Args:
        portfolios: what may be mixed (`best_mix.corners`); None: long-only with cash.

    Strictly, a short or leveraged position in log-normal prices loses everything with positive
    probability, at daily steps about 1e-300; the outcomes of the quadrature do not reach there.
    """
    growth, probability = brownian_outcomes(drift, covariance, dt, cash_rate, order)
    return best_weights(growth, probability, portfolios=portfolios, risk_aversion=risk_aversion)[0]


def kelly_fraction(probability: float, gain: float, loss: float = 1.0) -> float:
    """Share of wealth to bet that maximises log growth; negative: bet on the other side.

    A unit bet gains `gain` with this probability and else loses `loss`: f = p / loss - q / gain.
    """
    return probability / loss - (1.0 - probability) / gain
