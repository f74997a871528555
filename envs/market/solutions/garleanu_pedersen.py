"""Trading on mean-reverting factors under quadratic costs: the aim portfolio and the trading rate.

Garleanu and Pedersen 2013, "Dynamic trading with predictable returns and transaction costs"
(Journal of Finance 68, 2309-2340), Propositions 1 to 3. Positions x (A assets) earn next period's
excess return r = B f + u, u ~ N(0, Sigma); the factors decay by phi a period. The investor chooses
x_t, knowing f_t and holding x_{t-1}, to maximise

    E sum_t (1-rho)^(t+1) (x_t' B f_t - gamma/2 x_t' Sigma x_t) - (1-rho)^t / 2 dx_t' Lambda dx_t.

The optimum trades a fixed part of the way to an aim, which leads the myopic (Markowitz) portfolio
towards the factors that decay slowly:

    x_t = x_{t-1} + rate (aim f_t - x_{t-1}).

Everything here is per period; positions are in units of wealth, added up and not compounded.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from envs.errors import InputError

Float = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Solution:
    """The optimal rule, and its value -x'value_xx x/2 + x'value_xf f + f'value_ff f/2 + value_0.

    Attributes:
        rate: `[A, A]` part of the way to the aim that is traded each period.
        aim: `[A, K]` aim portfolio per unit of the factors.
        value_xx, value_xf, value_ff: `[A, A]`, `[A, K]`, `[K, K]`.
        value_0: the constant; infinite for rho = 0.
        mean: expected gain a period in the long run without discounting (for rho = 0: the optimum).
    """

    rate: Float
    aim: Float
    value_xx: Float
    value_xf: Float
    value_ff: Float
    value_0: float
    mean: float


def solve(
    loadings: Float,
    reversion: Float,
    factor_covariance: Float,
    covariance: Float,
    cost: Float | float,
    risk_aversion: float = 1.0,
    discount: float = 0.0,
) -> Solution:
    """The optimum of the problem above.

    Args:
        loadings: B `[A, K]`.
        reversion: phi `[K]`, f_{t+1} = (1 - phi) f_t + shock; or a matrix `[K, K]`.
        factor_covariance: `[K, K]` of the shocks of the factors.
        covariance: Sigma `[A, A]` of the returns.
        cost: Lambda `[A, A]`, positive definite; or a number lambda, for Lambda = lambda Sigma. 0:
            no cost, the aim is the Markowitz portfolio and the rate is 1.
        risk_aversion: gamma > 0. discount: rho in [0, 1); 0 is the mean over an endless time.

    Method: with Y = Lambda^-1/2 value_xx Lambda^-1/2 and S = gamma Lambda^-1/2 Sigma Lambda^-1/2
    the Riccati equation is Y = I - (I + (1-rho) (S + Y))^-1: a quadratic in each eigenvalue of S.
    The equation for value_xf is linear.

    Raises:
        InputError: for a cost that is not positive definite, or numbers out of range.
    """
    loadings = np.asarray(loadings, np.float64)
    n_assets, n_factors = loadings.shape
    reversion = np.asarray(reversion, np.float64)
    decay = np.eye(n_factors) - (np.diag(reversion) if reversion.ndim == 1 else reversion)
    if not (risk_aversion > 0 and 0 <= discount < 1):
        raise InputError(
            f"needs risk_aversion > 0 and discount in [0, 1), got {risk_aversion} and {discount}"
        )
    kept = 1.0 - discount
    value_xf = np.zeros((n_assets, n_factors))
    if np.ndim(cost) == 0 and not float(cost) >= 0:  # type: ignore[arg-type]
        raise InputError(f"cost must not be negative, got {cost}")
    matrix = cost * covariance if np.ndim(cost) == 0 else np.asarray(cost, np.float64)
    if not matrix.any():
        aim = np.asarray(np.linalg.solve(risk_aversion * covariance, loadings), np.float64)
        rate = np.eye(n_assets)
        value_xx = np.zeros((n_assets, n_assets))
        gain = kept * loadings.T @ aim
    else:
        values, vectors = np.linalg.eigh(matrix)
        if values.min() <= 0:
            raise InputError(
                f"cost must be a positive definite matrix, its smallest eigenvalue is {values[0]:g}"
            )
        half = (vectors * np.sqrt(values)) @ vectors.T
        inverse = (vectors / np.sqrt(values)) @ vectors.T
        s, basis = np.linalg.eigh(risk_aversion * inverse @ covariance @ inverse)
        b = discount + kept * s
        y = 2.0 * kept * s / (b + np.sqrt(b * b + 4.0 * kept * kept * s))
        value_xx = np.asarray(half @ (basis * y) @ basis.T @ half, np.float64)
        rate = np.asarray(np.linalg.solve(matrix, value_xx))
        # value_xf = kept (I - rate') (B + value_xf decay), as a linear system in its columns.
        pull = kept * (np.eye(n_assets) - rate.T)
        system = np.eye(n_assets * n_factors) - np.kron(decay.T, pull)
        solved = np.linalg.solve(system, (pull @ loadings).ravel(order="F"))
        value_xf[:] = solved.reshape((n_assets, n_factors), order="F")
        aim = np.asarray(np.linalg.solve(value_xx, value_xf), np.float64)
        curvature = matrix + kept * (risk_aversion * covariance + value_xx)
        slope = kept * (loadings + value_xf @ decay)
        gain = slope.T @ np.linalg.solve(curvature, slope)
    # value_ff = gain + kept decay' value_ff decay.
    system = np.eye(n_factors**2) - kept * np.kron(decay.T, decay.T)
    value_ff = np.asarray(np.linalg.solve(system, gain.ravel()), np.float64)
    value_ff = value_ff.reshape(n_factors, n_factors)
    noise = 0.5 * float(np.trace(value_ff @ factor_covariance))
    value_0 = kept * noise / discount if discount > 0 else np.inf
    mean = _mean(rate, aim, loadings, decay, factor_covariance, covariance, matrix, risk_aversion)
    return Solution(rate, aim, value_xx, value_xf, value_ff, value_0, mean)


def _mean(
    rate: Float,
    aim: Float,
    loadings: Float,
    decay: Float,
    factor_covariance: Float,
    covariance: Float,
    cost: Float,
    risk_aversion: float,
) -> float:
    """Expected undiscounted gain a period of the rule, in the stationary law of (x_{t-1}, f_t)."""
    n_assets, n_factors = loadings.shape
    stay = np.eye(n_assets) - rate
    to_aim = rate @ aim
    move = np.zeros((n_assets + n_factors,) * 2)
    move[:n_assets, :n_assets], move[:n_assets, n_assets:] = stay, to_aim
    move[n_assets:, n_assets:] = decay
    noise = np.zeros_like(move)
    noise[n_assets:, n_assets:] = factor_covariance
    law = np.linalg.solve(np.eye(move.size) - np.kron(move, move), noise.ravel())
    law = law.reshape(move.shape)
    position = move[:n_assets]
    trade = position - np.eye(n_assets, n_assets + n_factors)
    signal = np.zeros_like(position)
    signal[:, n_assets:] = loadings
    gain = position.T @ signal
    gain -= 0.5 * risk_aversion * position.T @ covariance @ position
    gain -= 0.5 * trade.T @ cost @ trade
    return float(np.trace(gain @ law))


def proportional_rate(risk_aversion: float, cost: float, discount: float = 0.0) -> float:
    """The trading rate a / lambda for Lambda = lambda Sigma, in (0, 1): the paper's eq. (14)."""
    kept = 1.0 - discount
    b = risk_aversion * kept + cost * discount
    a = (-b + np.sqrt(b * b + 4.0 * risk_aversion * cost * kept * kept)) / (2.0 * kept)
    return float(a / cost)


def gains(
    positions: Float,
    factors: Float,
    loadings: Float,
    covariance: Float,
    cost: Float | float,
    risk_aversion: float = 1.0,
    before: Float | None = None,
) -> Float:
    """What each step is worth, `[..., n]`: expected return less risk less cost, undiscounted.

    The expectation given the factors takes the place of the return, so that paths compare without
    the noise of prices.

    Args:
        positions: `[..., n, A]` after the trade. factors: `[..., n, K]` known at the trade.
        cost: matrix, or a number for its multiple of the covariance.
        before: `[..., n, A]` held just before each trade; None: the last positions, and none at the
            start.
    """
    positions = np.asarray(positions, np.float64)
    matrix = cost * covariance if np.ndim(cost) == 0 else np.asarray(cost, np.float64)
    if before is None:
        before = np.zeros_like(positions)
        before[..., 1:, :] = positions[..., :-1, :]
    trade = positions - before
    earned = np.einsum("...a,ak,...k->...", positions, loadings, factors)
    risk = np.einsum("...a,ab,...b->...", positions, covariance, positions)
    paid = np.einsum("...a,ab,...b->...", trade, matrix, trade)
    return np.asarray(earned - 0.5 * risk_aversion * risk - 0.5 * paid)
