"""The one convex problem behind most known answers: the best mix of portfolios for one step.

    maximise over y >= 0, sum y = 1:   sum_q p_q u(sum_j y_j g_qj),   u(s) = s^(1-gamma)/(1-gamma)

with log(s) for gamma = 1, outcomes q with probabilities p, and gross growth g_qj of portfolio j.
Long-only weights mix the assets and cash; weights within leverage limits mix the corners of the
limits (`corners`), so that they are the same problem. Outcomes may be a quadrature of a law (the
exact optimum of one step), the two sides of a coin (Kelly) or the days of a history (the best
constant weights in hindsight).
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from envs.errors import InputError

Float = NDArray[np.float64]
MOST_ITERATIONS = 80
# The complementarity at which the interior point stops: weights that the optimum has at zero are
# left at about 1e-12.
CLOSE = 1e-18
# Several mixes of corners may be one portfolio: the Hessian is singular along them, and gets this
# share of its largest diagonal element.
RIDGE = 1e-12
# Below this a weight is put to zero.
NEGLIGIBLE = 1e-9


@njit(cache=True, nogil=True)
def factor_nb(matrix):
    """Cholesky factor of a positive definite matrix, into its lower triangle."""
    n = matrix.shape[0]
    for j in range(n):
        for i in range(j, n):
            total = matrix[i, j]
            for k in range(j):
                total -= matrix[i, k] * matrix[j, k]
            matrix[i, j] = np.sqrt(total) if i == j else total / matrix[j, j]


@njit(cache=True, nogil=True)
def solve_nb(factor, right):
    """Solves factor factor' x = right; x replaces `right`."""
    n = right.shape[0]
    for i in range(n):
        for k in range(i):
            right[i] -= factor[i, k] * right[k]
        right[i] /= factor[i, i]
    for i in range(n - 1, -1, -1):
        for k in range(i + 1, n):
            right[i] -= factor[k, i] * right[k]
        right[i] /= factor[i, i]


@njit(cache=True, nogil=True)
def best_mix_nb(growth, probability, risk_aversion, mix):
    """Primal-dual interior point method for the problem above.

    Gradient and Hessian are taken of the growth in excess of the current mix: they differ by
    multiples of the vector of ones, which the constraint sum y = 1 does not feel, and nothing
    cancels however small the step is.

    Args:
        growth: `[Q, V]` gross growth of V portfolios; the mean over them must be positive.
        probability: `[Q]`, sum 1.
        risk_aversion: gamma > 0.
        mix: out, `[V]`.

    Returns:
        The largest E[s^-gamma (g_j - s)] over j, which bounds how much utility is missed.
    """
    n_outcomes, n = growth.shape
    mix[:] = 1.0 / n
    wealth = np.empty(n_outcomes)
    above = np.empty(n)
    gradient = np.empty(n)
    slack = np.empty(n)
    slack_move = np.empty(n)
    matrix = np.empty((n, n))
    move = np.empty(n)
    ones = np.empty(n)
    level = 0.0
    gap = np.inf
    step = 0.0
    for iteration in range(MOST_ITERATIONS):
        gradient[:] = 0.0
        matrix[:] = 0.0
        for q in range(n_outcomes):
            total = 0.0
            for j in range(n):
                total += mix[j] * growth[q, j]
            wealth[q] = total
            slope = probability[q] * total ** (-risk_aversion)
            bend = risk_aversion * slope / total
            for j in range(n):
                above[j] = growth[q, j] - total
                gradient[j] += slope * above[j]
                for i in range(j + 1):
                    matrix[j, i] += bend * above[j] * above[i]
        gap = gradient.max()
        if iteration == 0:
            level = gap + np.abs(gradient).mean() + 1e-12
            slack[:] = level - gradient
        complementarity = (mix * slack).mean()
        if complementarity < CLOSE:
            break
        # After a long step the path is followed well, and the aim can be bolder.
        aim = (0.01 if step > 0.9 else 0.2) * complementarity
        ridge = 0.0
        for j in range(n):
            ridge = max(ridge, RIDGE * matrix[j, j])
        for j in range(n):
            matrix[j, j] += slack[j] / mix[j] + ridge
            move[j] = gradient[j] - level + aim / mix[j]
            ones[j] = 1.0
        factor_nb(matrix)
        solve_nb(matrix, move)
        solve_nb(matrix, ones)
        shift = move.sum() / ones.sum()
        step = 1.0
        for j in range(n):
            move[j] -= shift * ones[j]
            slack_move[j] = aim / mix[j] - slack[j] - slack[j] / mix[j] * move[j]
            if move[j] < 0.0:
                step = min(step, -0.99 * mix[j] / move[j])
            if slack_move[j] < 0.0:
                step = min(step, -0.99 * slack[j] / slack_move[j])
        for q in range(n_outcomes):
            change = 0.0
            for j in range(n):
                change += growth[q, j] * move[j]
            if change < 0.0:
                step = min(step, -0.9 * wealth[q] / change)
        for j in range(n):
            mix[j] += step * move[j]
            slack[j] += step * slack_move[j]
        level += step * shift
        mix /= mix.sum()
    return gap


@njit(cache=True, nogil=True)
def conditional_rows_nb(
    location, scale, nodes, probability, arithmetic, cash, portfolios, risk_aversion, weights
):
    """Best weights of N portfolios whose next growth has a location and scale of its own.

    Growth of asset i in outcome q is exp(location_i + scale_i nodes_qi), or, if `arithmetic`,
    max(1 + location_i + scale_i nodes_qi, 0.01).

    Args:
        location, scale: `[N, A]`. nodes: `[Q, A]` with unit variance. probability: `[Q]`.
        cash: gross growth of cash. portfolios: `[V, A+1]`. weights: out, `[N, A+1]`.
    """
    n_outcomes, n_assets = nodes.shape
    n_mixed = portfolios.shape[0]
    growth = np.empty((n_outcomes, n_mixed))
    asset = np.empty(n_assets)
    mix = np.empty(n_mixed)
    for n in range(location.shape[0]):
        for q in range(n_outcomes):
            for i in range(n_assets):
                x = location[n, i] + scale[n, i] * nodes[q, i]
                asset[i] = max(1.0 + x, 0.01) if arithmetic else np.exp(x)
            for j in range(n_mixed):
                total = portfolios[j, n_assets] * cash
                for i in range(n_assets):
                    total += portfolios[j, i] * asset[i]
                growth[q, j] = total
        best_mix_nb(growth, probability, risk_aversion, mix)
        weights[n] = mix @ portfolios


@njit(cache=True, nogil=True)
def mixture_rows_nb(belief, growth, probability, portfolios, risk_aversion, weights):
    """Best weights of N portfolios that hold the M laws for true with their beliefs.

    Args:
        belief: `[N, M]`, rows sum to 1. growth: `[M, Q, V]` of the V portfolios under each law.
        probability: `[Q]` within a law. portfolios: `[V, A+1]`. weights: out, `[N, A+1]`.
    """
    n_laws, n_outcomes, n_mixed = growth.shape
    flat = growth.reshape(n_laws * n_outcomes, n_mixed)
    joint = np.empty(n_laws * n_outcomes)
    mix = np.empty(n_mixed)
    for n in range(belief.shape[0]):
        for m in range(n_laws):
            joint[m * n_outcomes : (m + 1) * n_outcomes] = belief[n, m] * probability
        best_mix_nb(flat, joint, risk_aversion, mix)
        weights[n] = mix @ portfolios


def corners(n_assets: int, gross: float | None = None, net: float | None = None) -> Float:
    """Portfolios `[V, A+1]` (cash last) whose mixtures are all weights within limits.

    Args:
        gross: limit of the sum of |weights|; None is long-only with cash.
        net: limit of |sum of weights|; None is `gross`. The long and the short side of a corner
            hold one asset each.
    """
    unit = np.eye(n_assets)
    if gross is None:
        return np.eye(n_assets + 1)
    net = gross if net is None else min(net, gross)
    assets = [np.zeros(n_assets)]
    if net > 0:
        assets += [sign * net * unit[i] for sign in (1, -1) for i in range(n_assets)]
    if net < gross:
        more, less = 0.5 * (gross + net), 0.5 * (gross - net)
        for i in range(n_assets):
            for j in range(n_assets):
                if i != j:
                    assets += [more * unit[i] - less * unit[j], less * unit[i] - more * unit[j]]
    rows = np.array(assets)
    return np.column_stack([rows, 1.0 - rows.sum(axis=1)])


def best_weights(
    growth: Float,
    probability: Float | None = None,
    *,
    portfolios: Float | None = None,
    risk_aversion: float = 1.0,
) -> tuple[Float, float]:
    """Weights `[A+1]` with the highest expected utility of one step, and how much they may miss.

    Args:
        growth: `[Q, A+1]` gross growth of the assets and of cash (or of the assets alone) in every
            outcome, > 0.
        probability: `[Q]`; None: all equal.
        portfolios: `[V, A+1]` whose mixtures are allowed (`corners`); None: long-only.
        risk_aversion: gamma of CRRA utility; 1 is the logarithm.

    Returns:
        The weights, and a bound on (best utility - utility of the weights): by concavity no mix can
        gain more than the largest derivative towards a corner.

    Raises:
        InputError: for a risk aversion that is not positive, or if even the mean of the allowed
            portfolios loses everything in some outcome.
    """
    if not risk_aversion > 0:
        raise InputError(
            f"risk_aversion must be positive (1 is the logarithm), got {risk_aversion}"
        )
    growth = np.asarray(growth, np.float64)
    n_outcomes, n = growth.shape
    chosen = np.eye(n) if portfolios is None else np.asarray(portfolios, np.float64)
    mass = np.full(n_outcomes, 1.0 / n_outcomes) if probability is None else probability
    mixed = np.ascontiguousarray(growth @ chosen.T)
    if not mixed.mean(axis=1).min() > 0:
        raise InputError("the mean of the allowed portfolios loses everything in some outcome")
    mix = np.empty(len(chosen))
    best_mix_nb(mixed, np.ascontiguousarray(mass), float(risk_aversion), mix)
    mix[mix < NEGLIGIBLE] = 0.0
    mix /= mix.sum()
    wealth = mixed @ mix
    slope = mass * wealth**-risk_aversion
    missed = float((slope @ (mixed - wealth[:, None])).max())
    return mix @ chosen, missed


def certainty_equivalent(
    wealth: Float, probability: Float | None = None, risk_aversion: float = 1.0
) -> Float:
    """The sure log growth that is worth as much as this random growth to a CRRA investor.

    Args:
        wealth: `[..., Q]` gross growth, > 0, over the last axis. probability: `[Q]`; None: equal.

    Returns:
        `[...]`: E[log wealth] for risk aversion 1, else log(E[wealth^(1-gamma)]) / (1-gamma).
        In markets of independent steps it adds up over steps, and the weights that maximise it in
        one step are optimal for every horizon (Samuelson 1969).
    """
    log = np.log(wealth)
    n = log.shape[-1]
    mass = np.full(n, 1.0 / n) if probability is None else np.asarray(probability)
    if risk_aversion == 1.0:
        return np.asarray(log @ mass)
    power = 1.0 - risk_aversion
    # Relative to the largest, so that long horizons do not overflow.
    exponent = power * log
    largest = exponent.max(axis=-1)
    inner = np.exp(exponent - largest[..., None]) @ mass
    return np.asarray((largest + np.log(inner)) / power)
