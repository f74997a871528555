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
