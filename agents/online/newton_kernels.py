"""The day loop of the online Newton step, and the quadratic program of its projection.

Arrays are those of `agents.online.kernels`.
"""

from __future__ import annotations

import numpy as np
from numba import njit

# Below this, relative to the numbers it is made of, the slope of a constraint counts as zero.
MET = 1e-12


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
