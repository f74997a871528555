"""Estimation of price processes from a panel, through arch, statsmodels and scipy.

Each function returns the keywords of its process. The classes' `fit` call them; the libraries are
imported when they are needed.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from envs.data.arguments import whole_number
from envs.data.market_data import MarketData
from envs.errors import InputError
from envs.market.process_base import Float
from envs.market.process_mixtures import growth_rows

# arch wants numbers near 1; percent are.
PERCENT = 100.0
# A shrinkage that only matters where the residuals' correlation has no inverse.
LEAST_EIGENVALUE = 1e-6
# Fewer rows say nothing about a variance.
LEAST_ROWS = 50
# GARCH at its boundary is not stationary: the persistence is cut below 1 by this.
LEAST_GAP = 1e-4
# Of the mixture that jumps make of the law of a return; at one expected jump more are 1e-10.
MOST_JUMPS_A_PERIOD = 12
# Of expectation-maximisation, which stops when the log likelihood gains less than this.
MOST_ITERATIONS, ENOUGH_GAIN = 200, 1e-3
# Of two diffusions; beyond it the matrix soon has no inverse.
MOST_CORRELATION = 0.99


def fit_geometric_brownian(market: MarketData) -> dict[str, Any]:
    """Sample moments of the log returns, which is maximum likelihood but for the factor T/(T-1)."""
    logs = _logs(market, "GeometricBrownian")
    volatility = logs.std(axis=0, ddof=1) * math.sqrt(market.periods_per_year)
    return {
        "drift": logs.mean(axis=0) * market.periods_per_year + 0.5 * volatility**2,
        "volatility": volatility,
        "correlation": _correlation(logs),
        **_time(market),
    }


def fit_garch(market: MarketData) -> dict[str, Any]:
    """GJR-GARCH with Student t shocks of each asset through arch; correlation of the residuals.

    The shocks before scaling are less noisy than the residuals z, so their correlation is larger:
    that of z over E[s_i] E[s_j], s the scale of the t variable.
    """
    from arch import arch_model

    logs = _logs(market, "Garch") * PERCENT
    names = ("mu", "omega", "alpha[1]", "beta[1]", "gamma[1]", "nu")
    found, residuals = [], []
    for a in range(market.n_assets):
        model = arch_model(logs[:, a], mean="Constant", p=1, o=1, q=1, dist="t", rescale=False)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what matters of it is the flag below
            result = model.fit(disp="off", show_warning=False)
        if result.convergence_flag != 0:
            raise InputError(
                f"Garch.fit: no maximum of the likelihood was found for {market.symbols[a]} (of "
                f"its returns {(logs[:, a] == 0).mean():.0%} are exactly 0); use more rows, or "
                "leave the symbol out"
            )
        found.append([float(result.params[name]) for name in names])
        residuals.append(np.asarray(result.std_resid))
    mean, omega, alpha, beta, gamma, dof = np.array(found).T
    # The optimiser keeps its bounds to rounding only.
    alpha, beta = np.maximum(alpha, 0.0), np.maximum(beta, 0.0)
    gamma = np.maximum(gamma, -alpha)
    persistence = alpha + beta + 0.5 * gamma
    cut = np.minimum(1.0, (1.0 - LEAST_GAP) / persistence)
    scale = np.array([_mean_scale(value) for value in dof])
    correlation = _correlation(np.array(residuals).T, 1.0 / np.outer(scale, scale))
    return {
        "mean": mean / PERCENT,
        "omega": omega / PERCENT**2,
        "alpha": alpha * cut,
        "beta": beta * cut,
        "gamma": gamma * cut,
        "dof": dof,
        "correlation": correlation,
        **_time(market),
    }


def fit_regimes(market: MarketData, n_regimes: int) -> dict[str, Any]:
    """Markov switching means and volatilities through statsmodels, in two stages.

    First maximum likelihood of the mean log return of all assets (`MarkovRegression`). With more
    assets these regimes are then refined on all returns by the expectation-maximisation algorithm
    with statsmodels' filter and smoother, because the mean return alone misjudges days on which
    the assets moved apart.
    """
    from statsmodels.tsa.regime_switching.markov_regression import MarkovRegression

    n_regimes = whole_number(n_regimes, "RegimeSwitching.fit: n_regimes", 2)
    logs = _logs(market, "RegimeSwitching")
    model = MarkovRegression(
        logs.mean(axis=1) * PERCENT, k_regimes=n_regimes, trend="c", switching_variance=True
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = model.fit(disp=False, em_iter=50)
    if not result.mle_retvals["converged"] or not np.isfinite(result.params).all():
        raise InputError(
            "RegimeSwitching.fit: no maximum of the likelihood was found; use more rows, or fewer "
            "regimes"
        )
    # statsmodels has chances[to, from].
    chances = np.asarray(result.regime_transition)[:, :, 0].T
    share = np.asarray(result.smoothed_marginal_probabilities)
    means, variances, correlation = _regime_moments(logs, share)
    best = -math.inf
    for _ in range(MOST_ITERATIONS if market.n_assets > 1 else 0):
        share, chances, likelihood = _expected_regimes(logs, means, variances, correlation, chances)
        means, variances, correlation = _regime_moments(logs, share)
        if likelihood - best < ENOUGH_GAIN:
            break
        best = likelihood
    order = np.argsort(variances.mean(axis=1))
    per_year = market.periods_per_year
    drift = means * per_year + 0.5 * variances * per_year
    return {
        "drift": drift[order],
        "volatility": np.sqrt(variances * per_year)[order],
        "correlation": correlation,
        "transition": chances[np.ix_(order, order)],
        **_time(market),
    }


def _regime_moments(logs: Float, share: Float) -> tuple[Float, Float, Float]:
    """Means and variances `[M, A]`, and correlation `[A, A]`, under probabilities `[T, M]`."""
    weight = share / share.sum(axis=0)
    means = weight.T @ logs
    errors = logs[:, None, :] - means
    variances = np.einsum("ts,tsa->sa", weight, errors**2)
    units = errors / np.sqrt(variances)
    matrix = np.einsum("ts,tsa,tsb->ab", share, units, units)
    root = np.sqrt(np.diag(matrix))
    return means, variances, _positive(matrix / np.outer(root, root))


def _expected_regimes(
    logs: Float, means: Float, variances: Float, correlation: Float, chances: Float
) -> tuple[Float, Float, float]:
    """Smoothed probabilities `[T, M]`, the transitions they mean, and the log likelihood."""
    from scipy.stats import multivariate_normal
    from statsmodels.tsa.regime_switching.markov_switching import (
        cy_hamilton_filter_log,
        cy_kim_smoother_log,
    )

    score = []
    for mean, variance in zip(means, variances, strict=True):
        root = np.sqrt(variance)
        covariance = correlation * np.outer(root, root)
        score.append(np.atleast_1d(multivariate_normal.logpdf(logs, mean, covariance)))
    # The axes of statsmodels: the regime of the row, that of the row before, rows.
    table = np.ascontiguousarray(np.repeat(np.array(score)[:, None, :], len(chances), axis=1))
    matrix = np.ascontiguousarray(chances.T[:, :, None])
    start = np.full(len(chances), 1.0 / len(chances))
    filtered = cy_hamilton_filter_log(start, matrix, table, 1)
    joint, share = cy_kim_smoother_log(matrix, filtered[4], filtered[5])
    moves = joint[:, :, 1:].sum(axis=2).T
    return share.T, moves / moves.sum(axis=1, keepdims=True), float(filtered[2].sum())


def fit_mean_reverting(market: MarketData, factors: Float | None) -> dict[str, Any]:
    """AR(1) of each given factor, and least squares of the excess returns on them."""
    import statsmodels.api as sm

    growth = _growth(market, "MeanReverting")
    factors = np.asarray(np.nan if factors is None else factors, dtype=np.float64)
    if factors.ndim != 2 or len(factors) != market.n_rows or not np.isfinite(factors).all():
        raise InputError(
            f"MeanReverting.fit: factors must be finite [T, K] with T={market.n_rows}, known at "
            f"each row, got shape {factors.shape}"
        )
    excess = growth - 1.0 - market.cash_rate[1:, None]
    before, after = factors[:-1], factors[1:]
    keep = np.array(
        [float(sm.OLS(after[:, j], before[:, j]).fit().params[0]) for j in range(factors.shape[1])]
    )
    if not ((keep >= 0) & (keep < 1)).all():
        worst = int(np.argmax(np.abs(keep - 0.5)))
        raise InputError(
            f"MeanReverting.fit: factor {worst} does not revert to 0 (its AR(1) coefficient is "
            f"{keep[worst]:.3f}, and it must lie in [0, 1)); take its mean off, or leave it out"
        )
    noise = (after - keep * before).std(axis=0)
    results = [sm.OLS(excess[:, a], before).fit() for a in range(market.n_assets)]
    residuals = np.array([result.resid for result in results]).T
    return {
        "loadings": np.array([result.params for result in results]),
        "reversion": 1.0 - keep,
        "factor_volatility": noise / np.sqrt(1.0 - keep**2),
        "volatility": residuals.std(axis=0) * math.sqrt(market.periods_per_year),
        "correlation": _correlation(residuals),
        **_time(market),
    }


def fit_jump_diffusion(market: MarketData) -> dict[str, Any]:
    """Maximum likelihood of each asset's log returns, a Poisson mixture of normals, through scipy.

    Jumps are independent between assets, so the covariance of two returns is that of their
    diffusions. Where returns jump together, that asks for a correlation of the diffusions above 1:
    it is cut at `MOST_CORRELATION`, and the pair comes out less correlated than it was.
    """
    logs, dt = _logs(market, "JumpDiffusion"), 1.0 / market.periods_per_year
    found = np.array([_fit_jumps(logs[:, a], market.symbols[a]) for a in range(market.n_assets)])
    centre, sigma, expected, jump_mean, jump_volatility = found.T
    rise = np.exp(jump_mean + 0.5 * jump_volatility**2) - 1.0
    deviation = logs.std(axis=0)
    return {
        "drift": (centre + 0.5 * sigma**2 + expected * rise) / dt,
        "volatility": sigma / math.sqrt(dt),
        "correlation": _correlation(
            logs, np.outer(deviation, deviation) / np.outer(sigma, sigma), MOST_CORRELATION
        ),
        "jump_intensity": expected / dt,
        "jump_mean": jump_mean,
        "jump_volatility": jump_volatility,
        **_time(market),
    }


def _fit_jumps(logs: Float, symbol: str) -> Float:
    """`[5]` mean and volatility of the diffusion, jumps a period, their mean and volatility."""
    from scipy.optimize import minimize
    from scipy.special import gammaln, logsumexp

    counts = np.arange(MOST_JUMPS_A_PERIOD + 1.0)

    def minus_likelihood(x: Float) -> float:
        centre, log_sigma, log_expected, mean, log_spread = x
        variance = math.exp(2.0 * log_sigma) + counts * math.exp(2.0 * log_spread)
        chance = counts * log_expected - math.exp(log_expected) - gammaln(counts + 1.0)
        error = units[:, None] - centre - counts * mean
        return -float(
            logsumexp(chance - 0.5 * (np.log(variance) + error**2 / variance), axis=1).mean()
        )

    # In units of a robust standard deviation; what lies beyond four of them begins as a jump.
    middle = float(np.median(logs))
    unit = 1.4826 * float(np.median(np.abs(logs - middle))) or float(logs.std())
    units = (logs - middle) / unit
    far = np.abs(units) > 4.0
    share = min(max(far.mean(), 1e-3), 0.5)
    spread = float(np.sqrt((units[far] ** 2).mean())) if far.any() else 4.0
    start = np.array([0.0, 0.0, math.log(share), 0.0, math.log(spread)])
    bounds = [(-1, 1), (-3, 3), (math.log(1e-5), 0.0), (-50, 50), (-3, 5)]
    result = minimize(minus_likelihood, start, method="L-BFGS-B", bounds=bounds)
    if not result.success:
        raise InputError(
            f"JumpDiffusion.fit: no maximum of the likelihood was found for {symbol}; use more "
            "rows, or leave the symbol out"
        )
    centre, log_sigma, log_expected, mean, log_spread = result.x
    return np.array(
        [
            middle + unit * centre,
            unit * math.exp(log_sigma),
            math.exp(log_expected),
            unit * mean,
            unit * math.exp(log_spread),
        ]
    )


# ------------------------------------------------------------------ helpers
def _growth(market: MarketData, process: str) -> Float:
    growth = growth_rows(market, f"{process}.fit")
    if len(growth) < LEAST_ROWS:
        raise InputError(f"{process}.fit: {len(growth)} returns are too few; give {LEAST_ROWS}")
    still = growth.std(axis=0) == 0
    if still.any():
        symbol = market.symbols[int(np.argmax(still))]
        raise InputError(f"{process}.fit: the price of {symbol} never moves; leave it out")
    return growth


def _logs(market: MarketData, process: str) -> Float:
    """`[T-1, A]` log returns."""
    return np.log(_growth(market, process))


def _time(market: MarketData) -> dict[str, float]:
    rate = float(market.cash_rate[1:].mean()) * market.periods_per_year
    return {"periods_per_year": market.periods_per_year, "cash_rate": rate}


def _correlation(columns: Float, factor: Float | float = 1.0, most: float = 1.0) -> Float:
    """`[A, A]` sample correlation, off the diagonal times `factor` and cut to +-`most`."""
    matrix = np.clip(np.atleast_2d(np.corrcoef(columns, rowvar=False)) * factor, -most, most)
    np.fill_diagonal(matrix, 1.0)
    return _positive(matrix)


def _positive(matrix: Float) -> Float:
    """The matrix, symmetric to the bit, shrunk to the identity as far as it must be."""
    matrix = 0.5 * (matrix + matrix.T)
    np.fill_diagonal(matrix, 1.0)
    least = np.linalg.eigvalsh(matrix)[0]
    if least < LEAST_EIGENVALUE:
        shrink = (LEAST_EIGENVALUE - least) / (1.0 - least)
        matrix = (1.0 - shrink) * matrix
        np.fill_diagonal(matrix, 1.0)
    return matrix


def _mean_scale(dof: float) -> float:
    """E[sqrt((dof - 2) / chi2_dof)]."""
    return math.sqrt(0.5 * (dof - 2.0)) * math.exp(
        math.lgamma(0.5 * (dof - 1.0)) - math.lgamma(0.5 * dof)
    )
