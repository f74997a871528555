"""What one step may bring: a finite list of outcomes with probabilities in place of a law.

An expectation over normal shocks becomes a sum over the nodes of a quadrature. The shocks of one
step are small, so that a few nodes give the expected logarithm to ten digits and more.
"""

from __future__ import annotations

import itertools
import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

Float = NDArray[np.float64]
Outcomes = tuple[Float, Float]  # values [Q, ...] and probabilities [Q]
# A tensor grid of more nodes than this gives way to as many quasi-random points.
N_POINTS = 4096
# Where the mixing variable of a Student t is cut, as probabilities: finest where variance is high.
STRATA = (0.001, 0.01, 0.1, 0.4)


@lru_cache(maxsize=64)
def normal_nodes(n_shocks: int, order: int = 7) -> Outcomes:
    """Nodes `[Q, n_shocks]` of independent standard normal shocks, and their weights `[Q]`.

    A tensor Gauss-Hermite rule of this order (exact for polynomials of degree 2 * order - 1 in each
    shock) if it has at most 4,096 nodes: four shocks of order 7, seven of order 3. Else 4,096 Sobol
    points with their mirror images, whitened so that mean and covariance are exact; what is left is
    the sampling error of fourth moments, about 1 % of the fourth-order term of the logarithm.
    """
    if order**n_shocks <= N_POINTS:
        roots, weights = special.roots_hermitenorm(order)
        grid = np.array(list(itertools.product(roots, repeat=n_shocks)))
        mass = np.array(list(itertools.product(weights, repeat=n_shocks))).prod(axis=1)
        return grid, mass / mass.sum()
    sobol = stats.qmc.Sobol(n_shocks, seed=0).random(N_POINTS // 2)
    half = special.ndtri(np.clip(sobol, 1e-12, 1.0 - 1e-12))
    points = np.concatenate([half, -half])
    points = np.linalg.solve(np.linalg.cholesky(points.T @ points / N_POINTS), points.T).T
    return np.ascontiguousarray(points), np.full(N_POINTS, 1.0 / N_POINTS)


@lru_cache(maxsize=64)
def student_nodes(dof: float, n_nodes: int = 41) -> Outcomes:
    """Nodes `[Q, 1]` of a Student t shock scaled to unit variance (dof > 2), and weights `[Q]`.

    The trapezoid rule after z = sinh(s), which converges exponentially for smooth integrands of at
    most linear growth such as the logarithm of long-only wealth. What lies beyond a probability of
    1e-13 or 200 standard deviations is left out: 1e-6 of the standard deviation for dof = 4, 1e-4
    for 2.5.
    """
    scale = math.sqrt((dof - 2.0) / dof)
    edge = math.asinh(min(-stats.t.ppf(1e-13, dof), 200.0 / scale))
    s = np.linspace(-edge, edge, n_nodes)
    t = np.sinh(s)
    mass = stats.t.pdf(t, dof) * np.cosh(s)
    return (scale * t)[:, None], mass / mass.sum()


def garch_nodes(dof: Float, correlation: Float, order: int = 3) -> Outcomes:
    """Nodes `[Q, A]` of the unit-variance shocks of `Garch`, and weights `[Q]`.

    x sqrt((dof - 2) / chi2) with correlated normals x and a chi2 of each asset's own. One asset of
    finite dof: `student_nodes`. More: the mixing variable is cut into strata of exact probability
    and mean variance, and the correlation of x makes up for the spread within them, so that all
    second moments are exact. Fourth moments are some 10 % low: at daily steps, 1e-3 in weights.
    """
    n_assets = len(dof)
    if n_assets == 1 and np.isfinite(dof[0]):
        return student_nodes(float(dof[0]))
    strata = [_strata(float(each)) for each in dof]
    # Mean scales of the law over those of the strata, which are larger (Jensen).
    ratio = np.array([_mean_scale(each) / (s @ p) for each, (s, p) in zip(dof, strata)])
    matrix = correlation * np.outer(ratio, ratio)
    np.fill_diagonal(matrix, 1.0)
    nodes, probability = normal_nodes(n_assets, order)
    nodes = nodes @ root(matrix).T
    scales = np.array(list(itertools.product(*(scale for scale, _ in strata))))
    shares = np.array(list(itertools.product(*(share for _, share in strata)))).prod(axis=1)
    shocks = (scales[:, None, :] * nodes).reshape(-1, n_assets)
    return shocks, np.outer(shares, probability).ravel()


def _strata(dof: float) -> Outcomes:
    """Standard deviations and probabilities of the strata of a Student t's variance."""
    if not np.isfinite(dof):
        return np.ones(1), np.ones(1)
    shape = 0.5 * dof
    edges = np.concatenate([[0.0], stats.gamma.ppf(STRATA, shape), [np.inf]])
    share = np.diff(stats.gamma.cdf(edges, shape))
    # The variance is (shape - 1) / g: its mean over a stratum is a ratio of two gamma laws.
    variance = np.diff(stats.gamma.cdf(edges, shape - 1.0)) / share
    return np.sqrt(variance), share


def _mean_scale(dof: float) -> float:
    """E[sqrt((dof - 2) / chi2)]."""
    if not np.isfinite(dof):
        return 1.0
    ratio = math.exp(special.gammaln(0.5 * (dof - 1.0)) - special.gammaln(0.5 * dof))
    return math.sqrt(0.5 * dof - 1.0) * ratio


def lognormal_outcomes(mean: Float, covariance: Float, cash: float, order: int = 7) -> Outcomes:
    """Gross growth `[Q, A+1]` (cash last) of one step whose log growth is normal, and weights.

    Args:
        mean: `[A]` of the log growth of one step.
        covariance: `[A, A]` of the log growth of one step.
        cash: gross growth of cash over the step.
    """
    nodes, probability = normal_nodes(len(mean), order)
    growth = np.exp(mean + nodes @ root(covariance).T)
    return np.column_stack([growth, np.full(len(growth), cash)]), probability


def brownian_outcomes(
    drift: Float, covariance: Float, dt: float, cash_rate: float, order: int = 7
) -> Outcomes:
    """Outcomes of geometric Brownian motion over `dt` years; drift, covariance, rate a year.

    The expected growth of asset i is exp(drift_i dt); cash grows by 1 + cash_rate dt.
    """
    mean = (np.asarray(drift) - 0.5 * np.diag(covariance)) * dt
    return lognormal_outcomes(mean, np.asarray(covariance) * dt, 1.0 + cash_rate * dt, order)


def jump_outcomes(
    drift: Float,
    covariance: Float,
    dt: float,
    cash_rate: float,
    intensity: Float,
    jump_mean: Float,
    jump_volatility: Float,
    most_jumps: int = 3,
    order: int = 5,
) -> Outcomes:
    """Outcomes of Merton's jump diffusion over one step: a mixture over the numbers of jumps.

    Up to `most_jumps` jumps a step over all assets; the probability of more is given to the
    largest number. Jumps of the assets are independent, their logs normal, and the drift is
    compensated: the expected growth of asset i is exp(drift_i dt).
    """
    n_assets = len(drift)
    expected = intensity * dt
    compensator = expected * np.expm1(jump_mean + 0.5 * jump_volatility**2)
    base = (np.asarray(drift) - 0.5 * np.diag(covariance)) * dt - compensator
    growths, masses = [], []
    for counts in itertools.product(range(most_jumps + 1), repeat=n_assets):
        if sum(counts) > most_jumps:
            continue
        n = np.array(counts)
        share = float(stats.poisson.pmf(n, expected).prod())
        if share == 0.0:
            continue
        growth, probability = lognormal_outcomes(
            base + n * jump_mean,
            np.asarray(covariance) * dt + np.diag(n * jump_volatility**2),
            1.0 + cash_rate * dt,
            order,
        )
        growths.append(growth)
        masses.append(share * probability)
    mass = np.concatenate(masses)
    mass[-1] += 1.0 - mass.sum()
    return np.concatenate(growths), mass


def root(covariance: Float) -> Float:
    """A matrix R with R R' = covariance; the covariance may be singular."""
    values, vectors = np.linalg.eigh(covariance)
    return vectors * np.sqrt(np.maximum(values, 0.0))
