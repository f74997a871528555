"""The day loops of online portfolio selection: from price relatives to the weights of every day.

All kernels read `relatives [T, A]` (close t over close t-1; row 0 is not read) and write
`weights [T, A]`: row t is decided at close t from the relatives of the rows 1 ... t, sums to 1, and
earns the relatives of row t+1. The weights of row 0 are uniform. `agents.online.policies` names
sources and parameters.

They stand in one file because they call each other, and Numba's cache on disk does not notice edits
in other files.
"""

from __future__ import annotations

import numpy as np
from numba import njit

STDEV, VARIANCE = 0, 1
# Below this, relative to the largest multiplier, a constraint of the projection of ONS counts as
# met.
MET = 1e-12
# What Huang et al. stop their median at: the L1 size of a move over that of the median, and a
# number of moves; a distance below `SAME` is none.
MOVED, MOST_MOVES, SAME = 1e-9, 200, 1e-15
BLOCK = 128
ROUNDING = 1e-13


@njit(cache=True, nogil=True)
def project_nb(point):
    """Euclidean projection on the simplex, in place (Michelot 1986)."""
    n = point.shape[0]
    shift = -np.inf
    while True:
        total = 0.0
        count = 0
        for i in range(n):
            if point[i] > shift:
                total += point[i]
                count += 1
        next_shift = (total - 1.0) / count
        if not next_shift > shift:
            break
        shift = next_shift
    total = 0.0
    for i in range(n):
        point[i] = max(point[i] - shift, 0.0)
        total += point[i]
    # From far away the shift is known to few digits, and the sum with it.
    for i in range(n):
        point[i] /= total


@njit(cache=True, nogil=True)
def eg_nb(relatives, eta, weights):
    """Exponentiated gradient."""
    n_rows, n_assets = relatives.shape
    weights[0] = 1.0 / n_assets
    for t in range(1, n_rows):
        growth = np.sum(weights[t - 1] * relatives[t])
        total = 0.0
        for i in range(n_assets):
            weights[t, i] = weights[t - 1, i] * np.exp(eta * relatives[t, i] / growth)
            total += weights[t, i]
        weights[t] /= total


@njit(cache=True, nogil=True)
def quadratic_nb(matrix, linear, point):
    """Minimises y' M y / 2 - c' y on the simplex, from a feasible `point`, in place.

    A primal active-set method: exact up to rounding, and quick from a point that is nearly right.
    """
    n = point.shape[0]
    held = np.empty(n, np.bool_)
    for i in range(n):
        held[i] = point[i] > 0.0
    factor = np.empty((n, n))
    best = np.empty(n)
    ones = np.empty(n)
    members = np.empty(n, np.int64)
    for _ in range(20 * n + 20):
        count = 0
        for i in range(n):
            if held[i]:
                members[count] = i
                count += 1
        for a in range(count):
            for b in range(a + 1):
                total = matrix[members[a], members[b]]
                for k in range(b):
                    total -= factor[a, k] * factor[b, k]
                factor[a, b] = np.sqrt(total) if a == b else total / factor[b, b]
            best[a] = linear[members[a]]
            ones[a] = 1.0
            for k in range(a):
                best[a] -= factor[a, k] * best[k]
                ones[a] -= factor[a, k] * ones[k]
            best[a] /= factor[a, a]
            ones[a] /= factor[a, a]
        best_sum = 0.0
        ones_sum = 0.0
        for a in range(count - 1, -1, -1):
            for k in range(a + 1, count):
                best[a] -= factor[k, a] * best[k]
                ones[a] -= factor[k, a] * ones[k]
            best[a] /= factor[a, a]
            ones[a] /= factor[a, a]
            best_sum += best[a]
            ones_sum += ones[a]
        level = (1.0 - best_sum) / ones_sum
        step = 1.0
        leaver = -1
        for a in range(count):
            best[a] += level * ones[a]
            here = point[members[a]]
            if best[a] < 0.0 and here < step * (here - best[a]):
                step = here / (here - best[a])
                leaver = members[a]
        for a in range(count):
            point[members[a]] += step * (best[a] - point[members[a]])
        if leaver >= 0:
            point[leaver] = 0.0
            held[leaver] = False
            continue
        worst = -1
        lowest = 0.0
        for i in range(n):
            if not held[i]:
                slope = -linear[i] - level
                size = abs(linear[i]) + abs(level)
                for a in range(count):
                    slope += matrix[i, members[a]] * point[members[a]]
                if slope < lowest and slope < -MET * size:
                    lowest = slope
                    worst = i
        if worst < 0:
            break
        held[worst] = True


@njit(cache=True, nogil=True)
def ons_nb(relatives, eta, beta, delta, weights):
    """Online Newton step; the projection in the norm of the Hessian is a quadratic program."""
    n_rows, n_assets = relatives.shape
    hessian = np.eye(n_assets)
    linear = np.zeros(n_assets)
    point = np.full(n_assets, 1.0 / n_assets)
    weights[0] = point
    gradient = np.empty(n_assets)
    for t in range(1, n_rows):
        growth = np.sum(weights[t - 1] * relatives[t])
        for i in range(n_assets):
            gradient[i] = relatives[t, i] / growth
        for i in range(n_assets):
            linear[i] += delta * (1.0 + 1.0 / beta) * gradient[i]
            for j in range(n_assets):
                hessian[i, j] += gradient[i] * gradient[j]
        quadratic_nb(hessian, linear, point)
        weights[t] = (1.0 - eta) * point + eta / n_assets
        weights[t] /= weights[t].sum()


@njit(cache=True, nogil=True)
def up_nb(relatives, mixes, weights):
    """Universal portfolio: the constant mixes `[K, A]`, weighed by the wealth of each so far."""
    n_rows, n_assets = relatives.shape
    n_mixes = mixes.shape[0]
    # Wealth relative to that of 1/N: it stays in the range of numbers however long it grows.
    weights[:] = 0.0
    for first in range(0, n_mixes, BLOCK):
        rows = mixes[first : first + BLOCK]
        columns = rows.T.copy()
        count = rows.shape[0]
        wealth = np.ones(count)
        growth = np.empty(count)
        for t in range(n_rows):
            if t > 0:
                growth[:] = 0.0
                mean = 0.0
                for i in range(n_assets):
                    relative = relatives[t, i]
                    mean += relative / n_assets
                    for k in range(count):
                        growth[k] += columns[i, k] * relative
                for k in range(count):
                    wealth[k] *= growth[k] / mean
            for k in range(count):
                for i in range(n_assets):
                    weights[t, i] += wealth[k] * rows[k, i]
    for t in range(n_rows):
        weights[t] /= weights[t].sum()


@njit(cache=True, nogil=True)
def pamr_nb(relatives, epsilon, variant, aggressiveness, weights):
    """Passive aggressive mean reversion; variants 0, 1 and 2."""
    n_rows, n_assets = relatives.shape
    weights[0] = 1.0 / n_assets
    for t in range(1, n_rows):
        weights[t] = weights[t - 1]
        relative = relatives[t]
        # Where all moved alike there is nothing to tell them apart by; their distance from their
        # mean would be rounding.
        if relative.max() == relative.min():
            continue
        mean = relative.mean()
        loss = max(np.sum(weights[t] * relative) - epsilon, 0.0)
        square = np.sum((relative - mean) ** 2)
        if variant == 2:
            square += 0.5 / aggressiveness
        step = loss / square
        if variant == 1:
            step = min(step, aggressiveness)
        for i in range(n_assets):
            weights[t, i] -= step * (relative[i] - mean)
        project_nb(weights[t])


@njit(cache=True, nogil=True)
def cwmr_nb(relatives, phi, epsilon, variant, weights):
    """Confidence weighted mean reversion: a Gaussian over portfolios with a diagonal covariance."""
    n_rows, n_assets = relatives.shape
    variance = np.full(n_assets, 1.0 / n_assets**2)
    weights[0] = 1.0 / n_assets
    for t in range(1, n_rows):
        weights[t] = weights[t - 1]
        x = relatives[t]
        # As in `pamr_nb`; here the step would solve 0 = 0, and rounding decide.
        if x.max() == x.min():
            continue
        total = variance.sum()
        w = np.sum(variance * x)
        v = np.sum(variance * x * x)
        m = np.sum(weights[t] * x)
        mean = w / total
        if variant == STDEV:
            half = v - mean * w + phi * phi * v / 2.0
            a = half**2 - phi**4 * v * v / 4.0
            b = 2.0 * (epsilon - m) * half
            c = (epsilon - m) ** 2 - phi * phi * v
        else:
            a = 2.0 * phi * v * (v - mean * w)
            b = 2.0 * phi * v * (epsilon - m) + v - mean * w
            c = epsilon - m - phi * v
        step = 0.0
        inside = b * b - 4.0 * a * c
        if a != 0.0 and inside > 0.0:
            root = np.sqrt(inside)
            step = max((root - b) / (2.0 * a), (-root - b) / (2.0 * a), 0.0)
        elif a == 0.0 and b != 0.0:
            step = max(-c / b, 0.0)
        narrower = 2.0 * step * phi
        if variant == STDEV:
            deviation = (np.sqrt((step * v * phi) ** 2 + 4.0 * v) - step * phi * v) / 2.0
            narrower = step * phi / deviation if deviation > 0.0 else 0.0
        total = 0.0
        for i in range(n_assets):
            weights[t, i] -= step * variance[i] * (x[i] - mean)
            variance[i] = 1.0 / (1.0 / variance[i] + narrower * x[i] * x[i])
            total += variance[i]
        project_nb(weights[t])
        variance /= total * n_assets


@njit(cache=True, nogil=True)
def reverted_nb(predicted, epsilon, weights):
    """The nearest portfolio that earns `epsilon` by the predicted relatives, in place."""
    # Where no price has moved in the window they differ by the last digit, and say nothing.
    if predicted.max() - predicted.min() <= ROUNDING * predicted.max():
        return
    mean = predicted.mean()
    excess = predicted - mean
    missing = max(epsilon - np.sum(predicted * weights), 0.0)
    weights += missing / np.sum(excess * excess) * excess
    project_nb(weights)


@njit(cache=True, nogil=True)
def olmar_1_nb(relatives, epsilon, window, terms, first, weights):
    """Reversion to the mean of the last `window` prices, of which only `terms` are summed; the
    weights are uniform before row `first`."""
    n_rows, n_assets = relatives.shape
    weights[:first] = 1.0 / n_assets
    predicted = np.empty(n_assets)
    for t in range(first, n_rows):
        weights[t] = weights[t - 1]
        if t <= window:
            predicted[:] = relatives[t]
        else:
            for i in range(n_assets):
                total = 0.0
                product = 1.0
                for k in range(terms):
                    total += 1.0 / product
                    product *= relatives[t - k, i]
                predicted[i] = total / window
        reverted_nb(predicted, epsilon, weights[t])


@njit(cache=True, nogil=True)
def olmar_2_nb(relatives, epsilon, alpha, weights):
    """Reversion to an exponential mean of prices."""
    n_rows, n_assets = relatives.shape
    weights[0] = 1.0 / n_assets
    predicted = np.ones(n_assets)
    for t in range(1, n_rows):
        weights[t] = weights[t - 1]
        predicted = alpha + (1.0 - alpha) * predicted / relatives[t]
        reverted_nb(predicted, epsilon, weights[t])


@njit(cache=True, nogil=True)
def l1_median_nb(points, median):
    """The point with the least sum of distances to `points [n, A]` (Vardi and Zhang 2000)."""
    n, n_assets = points.shape
    for i in range(n_assets):
        median[i] = np.median(points[:, i])
    total = np.empty(n_assets)
    pull = np.empty(n_assets)
    for _ in range(MOST_MOVES):
        total[:] = 0.0
        pull[:] = 0.0
        mass = 0.0
        at_point = 0.0
        for k in range(n):
            distance = np.sqrt(np.sum((points[k] - median) ** 2))
            if distance < SAME:
                at_point = 1.0
                continue
            mass += 1.0 / distance
            for i in range(n_assets):
                total[i] += points[k, i] / distance
                pull[i] += (points[k, i] - median[i]) / distance
        if mass == 0.0:
            return
        strength = np.sqrt(np.sum(pull * pull))
        stay = min(1.0, at_point / strength) if strength > 0.0 else 0.0
        move = 0.0
        size = 0.0
        for i in range(n_assets):
            to = (1.0 - stay) * total[i] / mass + stay * median[i]
            move += abs(to - median[i])
            size += abs(median[i])
            median[i] = to
        if move <= MOVED * size:
            return


@njit(cache=True, nogil=True)
def rmr_nb(relatives, epsilon, window, weights):
    """Reversion to the L1 median of the last `window` prices, which are 1 at row 1."""
    n_rows, n_assets = relatives.shape
    weights[0] = 1.0 / n_assets
    prices = np.ones((n_rows, n_assets))
    predicted = np.empty(n_assets)
    for t in range(1, n_rows):
        if t > 1:
            prices[t] = prices[t - 1] * relatives[t]
        weights[t] = weights[t - 1]
        if t <= window:
            predicted[:] = relatives[t]
        else:
            l1_median_nb(prices[t + 1 - window : t + 1], predicted)
            predicted /= prices[t]
        reverted_nb(predicted, epsilon, weights[t])


@njit(cache=True, nogil=True)
def claims_nb(logs, stop, window, claims):
    """Which share of its weight each asset hands to which other, for one day and window.

    Args:
        logs: `[T, A]` log relatives; known are the rows before `stop`, at least `2 * window`.
        claims: out, `[A, A]`; row i sums to 1, or to 0 where i keeps all. What i claims of itself
            stays in the sum.
    """
    n_assets = logs.shape[1]
    early = np.empty((window, n_assets))
    late = np.empty((window, n_assets))
    means = np.zeros((2, n_assets))
    squares = np.zeros((2, n_assets))
    for side in range(2):
        rows = early if side == 0 else late
        first = stop - (2 - side) * window
        for k in range(window):
            for i in range(n_assets):
                means[side, i] += logs[first + k, i]
        for i in range(n_assets):
            means[side, i] /= window
        for k in range(window):
            for i in range(n_assets):
                rows[k, i] = logs[first + k, i] - means[side, i]
                squares[side, i] += rows[k, i] * rows[k, i]
    claims[:] = 0.0
    for k in range(window):
        for i in range(n_assets):
            for j in range(n_assets):
                claims[i, j] += early[k, i] * late[k, j]
    # One over the root of the sum of squares, or 0: what has not moved is correlated with nothing.
    for side in range(2):
        for i in range(n_assets):
            square = squares[side, i]
            squares[side, i] = 1.0 / np.sqrt(square) if square > 0.0 else 0.0
    against = np.zeros(n_assets)
    for i in range(n_assets):
        for j in range(n_assets):
            claims[i, j] *= squares[0, i] * squares[1, j]
        against[i] = max(-claims[i, i], 0.0)
    for i in range(n_assets):
        total = 0.0
        for j in range(n_assets):
            if means[1, i] >= means[1, j] and claims[i, j] > 0.0:
                claims[i, j] += against[i] + against[j]
                total += claims[i, j]
            else:
                claims[i, j] = 0.0
        if total > 0.0:
            claims[i] /= total


@njit(cache=True, nogil=True)
def experts_nb(relatives, logs, most, portfolios):
    """Anticor with each window 2 ... `most`; its weights drift with prices between days.

    Args:
        logs: `[T, A]` logarithms of the relatives, made outside so that they have NumPy's bits:
            where two assets grew alike, the last bit decides which of them hands over.
        portfolios: out, `[T, most-1, A]`.
    """
    n_rows, n_assets = relatives.shape
    claims = np.empty((n_assets, n_assets))
    portfolios[0] = 1.0 / n_assets
    for t in range(1, n_rows):
        for k in range(most - 1):
            before = portfolios[t - 1, k] * relatives[t]
            before /= before.sum()
            after = portfolios[t, k]
            after[:] = before
            window = k + 2
            if t < 2 * window:
                continue
            claims_nb(logs, t + 1, window, claims)
            for i in range(n_assets):
                for j in range(n_assets):
                    transfer = before[i] * claims[i, j]
                    after[i] -= transfer
                    after[j] += transfer
            # Who hands over everything is left with rounding.
            for i in range(n_assets):
                after[i] = max(after[i], 0.0)
            after /= after.sum()


@njit(cache=True, nogil=True)
def mixed_nb(relatives, portfolios, growth, shares):
    """Growth `[T, K]` of the portfolios `[T, K, A]` of experts, and the shares `[T, K]` of who gave
    each 1/K at row 0 and left it there."""
    n_rows, n_experts, n_assets = portfolios.shape
    growth[0] = 1.0
    shares[0] = 1.0 / n_experts
    for t in range(1, n_rows):
        for k in range(n_experts):
            total = 0.0
            for i in range(n_assets):
                total += portfolios[t - 1, k, i] * relatives[t, i]
            growth[t, k] = total
            shares[t, k] = shares[t - 1, k] * total
        shares[t] /= shares[t].sum()
