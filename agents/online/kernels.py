"""The day loops of online portfolio selection: from price relatives to the weights of every day.

All kernels read `relatives [T, A]` (close t over close t-1; row 0 is not read) and write
`weights [T, A]`: row t is decided at close t from the relatives of the rows 1 ... t, sums to 1, and
earns the relatives of row t+1. The weights of row 0 are uniform. `agents.online.strategies` names
sources and parameters.

Those that call each other stand in one file: Numba's cache on disk does not notice edits in others.
"""

from __future__ import annotations

import numpy as np
from numba import njit

STDEV, VARIANCE = 0, 1
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
