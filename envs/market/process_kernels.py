"""The kernels of the price processes: random numbers, and one function a process.

Every path has a random stream of its own, SplitMix64 (Steele, Lea and Flood 2014, doi
10.1145/2660193.2660195) started at its seed, and reads nothing else. So path p is the same bits
alone and among thousands, and a path of n steps begins every longer one with its seed. Streams of
seeds that lie less than 2^64 / (sqrt(5) k) apart share no value within k draws, because of the
golden ratio in the increment; seeds drawn at random collide with a probability that is nothing.

Parameters have a leading axis P, which is 1 (all paths alike) or N (each path has its own).
`chol_t` is the transposed Cholesky factor of the correlation matrix, so that the inner loop runs
over memory in order. They stand in one file because they call each other, and Numba's cache on disk
does not notice edits in other files.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
MIX_1, MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
SHIFT_11, SHIFT_27 = np.uint64(11), np.uint64(27)
SHIFT_30, SHIFT_31 = np.uint64(30), np.uint64(31)
TO_UNIT, TO_DOUBLE_UNIT = 2.0**-53, 2.0**-52
# A simple return cannot take more than the price: growth is cut here (`mean_reverting_nb`).
LEAST_GROWTH = 0.01
# log variance over its mean is shown from here on; the variance itself may touch zero.
LEAST_RATIO = 1e-4
# What is observed is cut to +- this.
BOUND = 10.0


# ------------------------------------------------------------------ random numbers
@njit(cache=True, nogil=True)
def mix_nb(state):
    """The output of SplitMix64 for a state that was already advanced by `GOLDEN`; uint64."""
    z = (state ^ (state >> SHIFT_30)) * MIX_1
    z = (z ^ (z >> SHIFT_27)) * MIX_2
    return z ^ (z >> SHIFT_31)


@njit(cache=True, nogil=True)
def uniform_nb(state):
    """`(state, u)` with u in [0, 1), a multiple of 2^-53."""
    state = state + GOLDEN
    return state, np.int64(mix_nb(state) >> SHIFT_11) * TO_UNIT


@njit(cache=True, nogil=True)
def pair_nb(state):
    """`(state, x, y)`: two standard normals by the polar method (Marsaglia and Bray 1964)."""
    while True:
        state = state + GOLDEN
        u = np.int64(mix_nb(state) >> SHIFT_11) * TO_DOUBLE_UNIT - 1.0
        state = state + GOLDEN
        v = np.int64(mix_nb(state) >> SHIFT_11) * TO_DOUBLE_UNIT - 1.0
        square = u * u + v * v
        if 0.0 < square < 1.0:
            factor = math.sqrt(-2.0 * math.log(square) / square)
            return state, u * factor, v * factor


@njit(cache=True, nogil=True)
def normals_nb(state, out):
    """Fills `out` with standard normals, in pairs; the state after it.

    An odd length wastes the last of them.
    """
    n = out.shape[0]
    for i in range(0, n - 1, 2):
        state, out[i], out[i + 1] = pair_nb(state)
    if n % 2 == 1:
        state, out[n - 1], _ = pair_nb(state)
    return state


@njit(cache=True, nogil=True)
def gamma_nb(state, shape):
    """`(state, g)`: one gamma variate of this shape > 0 and scale 1 (Marsaglia and Tsang 2000)."""
    boost = 1.0
    if shape < 1.0:
        state, u = uniform_nb(state)
        boost = (1.0 - u) ** (1.0 / shape)
        shape += 1.0
    d = shape - 1.0 / 3.0
    c = 1.0 / math.sqrt(9.0 * d)
    while True:
        state, x, _ = pair_nb(state)
        v = (1.0 + c * x) ** 3
        state, u = uniform_nb(state)
        if v > 0.0 and math.log(1.0 - u) < 0.5 * x * x + d - d * v + d * math.log(v):
            return state, boost * d * v


@njit(cache=True, nogil=True)
def correlate_nb(chol_t, z, out):
    """`out = L z` for the transposed factor `chol_t`."""
    n = z.shape[0]
    for i in range(n):
        out[i] = 0.0
    for j in range(n):
        for i in range(j, n):
            out[i] += chol_t[j, i] * z[j]


@njit(cache=True, nogil=True)
def choose_nb(state, probability):
    """`(state, i)`: an index drawn with these probabilities `[M]`."""
    state, u = uniform_nb(state)
    total = 0.0
    for i in range(probability.shape[0] - 1):
        total += probability[i]
        if u < total:
            return state, i
    return state, probability.shape[0] - 1


@njit(cache=True, nogil=True)
def clip_nb(value):
    return min(max(value, -BOUND), BOUND)


# ------------------------------------------------------------------ processes
@njit(cache=True, nogil=True)
def geometric_brownian_nb(seeds, drift, volatility, chol_t, dt, growth):
    """growth = exp((drift - volatility^2 / 2) dt + volatility sqrt(dt) z), z = L normals.

    Args:
        seeds: `[N]` uint64.
        drift, volatility: `[P, A]` a year.
        chol_t: `[P, A, A]`.
        growth: out, `[N, n, A]`.
    """
    n_paths, n_steps, n_assets = growth.shape
    shift, scale, z = np.empty(n_assets), np.empty(n_assets), np.empty(n_assets)
    for p in range(n_paths):
        q = min(p, drift.shape[0] - 1)
        for a in range(n_assets):
            shift[a] = (drift[q, a] - 0.5 * volatility[q, a] ** 2) * dt
            scale[a] = volatility[q, a] * math.sqrt(dt)
        path, factor = growth[p], chol_t[q]
        # The normals of the whole path at once: none of a pair is wasted between steps.
        normals_nb(seeds[p], path.reshape(n_steps * n_assets))
        for k in range(n_steps):
            correlate_nb(factor, path[k], z)
            for a in range(n_assets):
                path[k, a] = math.exp(shift[a] + scale[a] * z[a])


@njit(cache=True, nogil=True)
def mean_reverting_nb(
    seeds, loadings, reversion, factor_volatility, volatility, chol_t, cash, dt, growth, state
):
    """Returns that factors foretell: r = B f_k + u, and f_{k+1} = (1 - phi) f_k + eps.

    Args:
        loadings: `[P, A, K]`; reversion, factor_volatility: `[P, K]`; volatility: `[P, A]`.
        cash: simple return of cash in a period, which r is in excess of.
        growth: out, `[N, n, A]`, at least `LEAST_GROWTH`.
        state: out, `[N, n+1, K]` factors, from their stationary law.
    """
    n_paths, n_steps, n_assets = growth.shape
    n_factors = state.shape[2]
    normals, z = np.empty(n_factors + n_assets), np.empty(n_assets)
    for p in range(n_paths):
        q = min(p, volatility.shape[0] - 1)
        stream = normals_nb(seeds[p], normals[:n_factors])
        for j in range(n_factors):
            state[p, 0, j] = factor_volatility[q, j] * normals[j]
        for k in range(n_steps):
            stream = normals_nb(stream, normals)
            correlate_nb(chol_t[q], normals[n_factors:], z)
            for a in range(n_assets):
                excess = volatility[q, a] * math.sqrt(dt) * z[a]
                for j in range(n_factors):
                    excess += loadings[q, a, j] * state[p, k, j]
                growth[p, k, a] = max(1.0 + cash + excess, LEAST_GROWTH)
            for j in range(n_factors):
                keep = 1.0 - reversion[q, j]
                noise = factor_volatility[q, j] * math.sqrt(1.0 - keep * keep)
                state[p, k + 1, j] = keep * state[p, k, j] + noise * normals[j]


@njit(cache=True, nogil=True)
def regime_switching_nb(seeds, drift, volatility, chol_t, transition, start, dt, growth, state):
    """Log-normal growth under the regime of the row; the regime is a Markov chain.

    Args:
        drift, volatility: `[P, M, A]` a year; transition: `[P, M, M]` a period.
        start: `[P, M]` probabilities of the regime at row 0.
        growth: out, `[N, n, A]`; row k is under the regime `state[:, k]`.
        state: out, `[N, n+1, 1]` number of the regime.
    """
    n_paths, n_steps, n_assets = growth.shape
    normals, z = np.empty(n_assets), np.empty(n_assets)
    for p in range(n_paths):
        q = min(p, drift.shape[0] - 1)
        stream, s = choose_nb(seeds[p], start[q])
        state[p, 0, 0] = s
        for k in range(n_steps):
            stream = normals_nb(stream, normals)
            correlate_nb(chol_t[q], normals, z)
            for a in range(n_assets):
                sigma = volatility[q, s, a]
                shift = (drift[q, s, a] - 0.5 * sigma * sigma) * dt
                growth[p, k, a] = math.exp(shift + sigma * math.sqrt(dt) * z[a])
            stream, s = choose_nb(stream, transition[q, s])
            state[p, k + 1, 0] = s


@njit(cache=True, nogil=True)
def regime_filter_nb(growth, drift, volatility, chol_t, transition, start, dt, belief):
    """Hamilton's filter (1989): probabilities of the regime at row k given the growths up to it.

    Args:
        growth: `[N, n, A]`; the others as in `regime_switching_nb`.
        belief: out, `[N, n+1, M]`; row 0 is `start`.
    """
    n_paths, n_steps, n_assets = growth.shape
    n_regimes = belief.shape[2]
    logs, white = np.empty(n_assets), np.empty(n_assets)
    score, posterior = np.empty(n_regimes), np.empty(n_regimes)
    mean, spread = np.empty((n_regimes, n_assets)), np.empty((n_regimes, n_assets))
    level = np.empty(n_regimes)
    for p in range(n_paths):
        q = min(p, drift.shape[0] - 1)
        factor = chol_t[q]
        for s in range(n_regimes):
            level[s] = 0.0
            for a in range(n_assets):
                sigma = volatility[q, s, a]
                mean[s, a] = (drift[q, s, a] - 0.5 * sigma * sigma) * dt
                spread[s, a] = sigma * math.sqrt(dt)
                level[s] -= math.log(sigma)
        belief[p, 0] = start[q]
        for k in range(n_steps):
            for a in range(n_assets):
                logs[a] = math.log(growth[p, k, a])
            best = -math.inf
            for s in range(n_regimes):
                # log density but for what all regimes share; white = L^-1 z by substitution.
                score[s] = level[s]
                for a in range(n_assets):
                    w = (logs[a] - mean[s, a]) / spread[s, a]
                    for b in range(a):
                        w -= factor[b, a] * white[b]
                    white[a] = w / factor[a, a]
                    score[s] -= 0.5 * white[a] ** 2
                if belief[p, k, s] > 0.0:
                    best = max(best, score[s])
            total = 0.0
            for s in range(n_regimes):
                # A regime that is ruled out has no say: its density may be the largest of all.
                likely = math.exp(min(score[s] - best, 0.0)) if belief[p, k, s] > 0.0 else 0.0
                posterior[s] = belief[p, k, s] * likely
                total += posterior[s]
            for after in range(n_regimes):
                chance = 0.0
                for s in range(n_regimes):
                    chance += posterior[s] / total * transition[q, s, after]
                belief[p, k + 1, after] = chance


@njit(cache=True, nogil=True)
def heston_nb(
    seeds, drift, mean_variance, reversion, xi, leverage, chol_t, dt, substeps, growth, state
):
    """Heston (1993) by full truncation Euler (Lord, Koekkoek and van Dijk 2010), log-Euler in S.

    Args:
        drift, mean_variance, reversion, xi, leverage: `[P, A]` a year.
        substeps: Euler steps in a period.
        growth: out, `[N, n, A]`.
        state: out, `[N, n+1, A]` variance a year >= 0, what drives the first substep.
    """
    n_paths, n_steps, n_assets = growth.shape
    h = dt / substeps
    normals, z = np.empty(2 * n_assets), np.empty(n_assets)
    v, log_growth = np.empty(n_assets), np.empty(n_assets)
    for p in range(n_paths):
        q = min(p, drift.shape[0] - 1)
        stream = seeds[p]
        for a in range(n_assets):
            v[a] = mean_variance[q, a]
            if xi[q, a] > 0.0:
                # The stationary law of the variance is a gamma law.
                scale = xi[q, a] ** 2 / (2.0 * reversion[q, a])
                stream, g = gamma_nb(stream, mean_variance[q, a] / scale)
                v[a] = scale * g
            state[p, 0, a] = v[a]
        for k in range(n_steps):
            log_growth[:] = 0.0
            for _ in range(substeps):
                stream = normals_nb(stream, normals)
                correlate_nb(chol_t[q], normals[:n_assets], z)
                for a in range(n_assets):
                    known = max(v[a], 0.0)
                    root = math.sqrt(known * h)
                    log_growth[a] += (drift[q, a] - 0.5 * known) * h + root * z[a]
                    rho = leverage[q, a]
                    shock = rho * z[a] + math.sqrt(1.0 - rho * rho) * normals[n_assets + a]
                    v[a] += reversion[q, a] * (mean_variance[q, a] - known) * h
                    v[a] += xi[q, a] * root * shock
            for a in range(n_assets):
                growth[p, k, a] = math.exp(log_growth[a])
                state[p, k + 1, a] = max(v[a], 0.0)


@njit(cache=True, nogil=True)
def jump_diffusion_nb(
    seeds, drift, volatility, chol_t, intensity, jump_mean, jump_volatility, dt, growth
):
    """Merton (1976): geometric Brownian motion with log-normal jumps, their mean taken off.

    Args:
        drift, volatility, intensity, jump_mean, jump_volatility: `[P, A]`.
        growth: out, `[N, n, A]`.
    """
    n_paths, n_steps, n_assets = growth.shape
    normals, z = np.empty(n_assets), np.empty(n_assets)
    shift, none = np.empty(n_assets), np.empty(n_assets)
    for p in range(n_paths):
        q = min(p, drift.shape[0] - 1)
        stream = seeds[p]
        for a in range(n_assets):
            expected = intensity[q, a] * dt
            rise = math.exp(jump_mean[q, a] + 0.5 * jump_volatility[q, a] ** 2) - 1.0
            shift[a] = (drift[q, a] - 0.5 * volatility[q, a] ** 2) * dt - expected * rise
            none[a] = math.exp(-expected)
        for k in range(n_steps):
            stream = normals_nb(stream, normals)
            correlate_nb(chol_t[q], normals, z)
            for a in range(n_assets):
                expected = intensity[q, a] * dt
                log_growth = shift[a] + volatility[q, a] * math.sqrt(dt) * z[a]
                # The number of jumps by inversion of the Poisson law.
                stream, u = uniform_nb(stream)
                jumps = 0
                term = none[a]
                total = term
                while u >= total and term > 0.0:
                    jumps += 1
                    term *= expected / jumps
                    total += term
                if jumps > 0:
                    stream, x, _ = pair_nb(stream)
                    log_growth += jumps * jump_mean[q, a]
                    log_growth += math.sqrt(jumps) * jump_volatility[q, a] * x
                growth[p, k, a] = math.exp(log_growth)


@njit(cache=True, nogil=True)
def garch_nb(seeds, mean, omega, alpha, beta, gamma, dof, chol_t, burn_in, growth, state):
    """GJR-GARCH(1,1) (Glosten, Jagannathan and Runkle 1993); gamma = 0 is Bollerslev's (1986).

    e_k = sqrt(h_k) z_k, h_{k+1} = omega + (alpha + gamma 1[e_k < 0]) e_k^2 + beta h_k.

    Args:
        mean, omega, alpha, beta, gamma, dof: `[P, A]` a period; dof infinite: normal z.
        burn_in: steps from the long-run variance that come before row 0.
        growth: out, `[N, n, A]` exp(mean + e).
        state: out, `[N, n+1, A]` h.
    """
    n_paths, n_steps, n_assets = growth.shape
    normals, z, h = np.empty(n_assets), np.empty(n_assets), np.empty(n_assets)
    for p in range(n_paths):
        q = min(p, omega.shape[0] - 1)
        stream = seeds[p]
        for a in range(n_assets):
            h[a] = omega[q, a] / (1.0 - alpha[q, a] - beta[q, a] - 0.5 * gamma[q, a])
        for k in range(-burn_in, n_steps):
            stream = normals_nb(stream, normals)
            correlate_nb(chol_t[q], normals, z)
            for a in range(n_assets):
                if k >= 0:
                    state[p, k, a] = h[a]
                shock = z[a]
                if dof[q, a] < math.inf:
                    stream, g = gamma_nb(stream, 0.5 * dof[q, a])
                    shock *= math.sqrt((dof[q, a] - 2.0) / (2.0 * g))
                e = math.sqrt(h[a]) * shock
                if k >= 0:
                    growth[p, k, a] = math.exp(mean[q, a] + e)
                news = alpha[q, a] + (gamma[q, a] if e < 0.0 else 0.0)
                h[a] = omega[q, a] + news * e * e + beta[q, a] * h[a]
        for a in range(n_assets):
            state[p, n_steps, a] = h[a]


@njit(cache=True, nogil=True)
def bootstrap_nb(seeds, rows, restart, growth):
    """Stationary bootstrap (Politis and Romano 1994): blocks of rows of geometric length.

    Args:
        rows: `[T, A]` growths of the panel, which is a circle: after the last comes the first.
        restart: chance that a step begins a new block, 1 / mean length.
        growth: out, `[N, n, A]`.
    """
    n_rows = rows.shape[0]
    for p in range(growth.shape[0]):
        stream = seeds[p]
        row = 0
        for k in range(growth.shape[1]):
            stream, u = uniform_nb(stream)
            if k == 0 or u < restart:
                stream, u = uniform_nb(stream)
                row = int(u * n_rows)
            else:
                row = (row + 1) % n_rows
            growth[p, k] = rows[row]


# ------------------------------------------------------------------ what is observed
@njit(cache=True, nogil=True)
def log_ratio_nb(state, level, observed):
    """`observed[:, :, a, 0]` = log(state / level), cut; `state` `[N, n+1, A]`, `level` `[P, A]`."""
    n_paths, n_rows, n_assets = state.shape
    for p in range(n_paths):
        q = min(p, level.shape[0] - 1)
        for k in range(n_rows):
            for a in range(n_assets):
                ratio = max(state[p, k, a] / level[q, a], LEAST_RATIO)
                observed[p, k, a, 0] = clip_nb(math.log(ratio))


@njit(cache=True, nogil=True)
def scaled_return_nb(growth, scale, observed):
    """`observed[:, k+1, a, 0]` = log growth into that row / scale, 0 at row 0; scale `[P, A]`."""
    n_paths, n_steps, n_assets = growth.shape
    for p in range(n_paths):
        q = min(p, scale.shape[0] - 1)
        for a in range(n_assets):
            observed[p, 0, a, 0] = 0.0
        for k in range(n_steps):
            for a in range(n_assets):
                observed[p, k + 1, a, 0] = clip_nb(math.log(growth[p, k, a]) / scale[q, a])


@njit(cache=True, nogil=True)
def draw_uniforms_nb(seeds, salt, out):
    """Fills `out` `[N, D]` with uniforms of each path from a stream beside that of its prices."""
    for p in range(seeds.shape[0]):
        stream = mix_nb(seeds[p] ^ salt)
        for d in range(out.shape[1]):
            stream, out[p, d] = uniform_nb(stream)
