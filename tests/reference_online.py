"""Slow twins of the day loops of online portfolio selection, from the definitions of their papers.

All take relatives `[T, A]`, of which row 0 is not read, and return weights `[T, A]`.
"""

from itertools import combinations

import numpy as np
from scipy.optimize import minimize


def project(point):
    """Euclidean projection on the simplex by sorting (Duchi et al. 2008)."""
    ordered = np.sort(point)[::-1]
    excess = (np.cumsum(ordered) - 1.0) / np.arange(1, len(point) + 1)
    last = np.flatnonzero(ordered > excess)[-1]
    return np.maximum(point - excess[last], 0.0)


def uniform(relatives):
    n_rows, n_assets = relatives.shape
    return np.full((n_rows, n_assets), 1.0 / n_assets)


def eg(relatives, eta):
    weights = uniform(relatives)
    for t in range(1, len(relatives)):
        b, x = weights[t - 1], relatives[t]
        new = [b[i] * np.exp(eta * x[i] / (b @ x)) for i in range(len(x))]
        weights[t] = np.array(new) / sum(new)
    return weights


def nearest(target, matrix):
    """The portfolio p with the least (p - target)' M (p - target): the best of all supports."""
    n = len(target)
    best, least = None, np.inf
    for size in range(1, n + 1):
        for support in combinations(range(n), size):
            inside = list(support)
            system = np.ones((size + 1, size + 1))
            system[:size, :size] = matrix[np.ix_(inside, inside)]
            system[-1, -1] = 0.0
            right = np.append((matrix @ target)[inside], 1.0)
            p = np.zeros(n)
            p[inside] = np.linalg.solve(system, right)[:size]
            distance = (p - target) @ matrix @ (p - target)
            if p.min() >= 0 and distance < least:
                best, least = p, distance
    return best


def ons(relatives, eta, beta, delta):
    weights = uniform(relatives)
    n_assets = relatives.shape[1]
    a, b = np.eye(n_assets), np.zeros(n_assets)
    for t in range(1, len(relatives)):
        gradient = relatives[t] / (weights[t - 1] @ relatives[t])
        a = a + np.outer(gradient, gradient)
        b = b + (1 + 1 / beta) * gradient
        p = nearest(delta * np.linalg.inv(a) @ b, a)
        weights[t] = (1 - eta) * p + eta / n_assets
    return weights


def up(relatives, mixes):
    weights = uniform(relatives)
    for t in range(len(relatives)):
        wealth = np.array([np.prod(relatives[1 : t + 1] @ mix) for mix in mixes])
        weights[t] = wealth @ mixes / wealth.sum()
    return weights


def pamr(relatives, epsilon, variant, aggressiveness):
    weights = uniform(relatives)
    for t in range(1, len(relatives)):
        b, x = weights[t - 1], relatives[t]
        loss = max(0.0, b @ x - epsilon)
        square = np.linalg.norm(x - x.mean()) ** 2
        if variant == 0:
            tau = loss / square
        elif variant == 1:
            tau = min(aggressiveness, loss / square)
        else:
            tau = loss / (square + 1 / (2 * aggressiveness))
        weights[t] = project(b - tau * (x - x.mean()))
    return weights


def cwmr(relatives, phi, epsilon, variance):
    """With whole matrices, as in the paper."""
    weights = uniform(relatives)
    m = relatives.shape[1]
    sigma, one = np.eye(m) / m**2, np.ones(m)
    for t in range(1, len(relatives)):
        mu, x = weights[t - 1], relatives[t]
        mean = (one @ sigma @ x) / (one @ sigma @ one)
        big_m, v, w = mu @ x, x @ sigma @ x, x @ sigma @ one
        if variance:
            a = 2 * phi * v**2 - 2 * phi * mean * v * w
            b = 2 * phi * epsilon * v - 2 * phi * v * big_m + v - mean * w
            c = epsilon - big_m - phi * v
        else:
            a = (v - mean * w + phi**2 * v / 2) ** 2 - phi**4 * v**2 / 4
            b = 2 * (epsilon - big_m) * (v - mean * w + phi**2 * v / 2)
            c = (epsilon - big_m) ** 2 - phi**2 * v
        step = max([0.0, *np.roots([a, b, c]).real])
        new = mu - step * sigma @ (x - mean)
        if variance:
            precision = np.linalg.inv(sigma) + 2 * step * phi * np.diag(x**2)
        else:
            root = (-step * phi * v + np.sqrt(step**2 * v**2 * phi**2 + 4 * v)) / 2
            precision = np.linalg.inv(sigma) + step * phi / root * np.diag(x**2)
        sigma = np.linalg.inv(precision)
        sigma = sigma / sigma.sum() / m
        weights[t] = project(new)
    return weights


def reverted(weights, predicted, epsilon):
    excess = predicted - predicted.mean()
    step = max(0.0, (epsilon - weights @ predicted) / (excess @ excess))
    return project(weights + step * excess)


def olmar_1(relatives, epsilon, window):
    weights = uniform(relatives)
    prices = np.cumprod(relatives, axis=0)
    for t in range(2, len(relatives)):
        predicted = relatives[t]
        if t > window:
            predicted = prices[t - window + 1 : t + 1].mean(axis=0) / prices[t]
        weights[t] = reverted(weights[t - 1], predicted, epsilon)
    return weights


def olmar_2(relatives, epsilon, alpha):
    weights = uniform(relatives)
    mean = prices = np.ones(relatives.shape[1])
    for t in range(1, len(relatives)):
        prices = prices * relatives[t]
        mean = alpha * prices + (1 - alpha) * mean
        weights[t] = reverted(weights[t - 1], mean / prices, epsilon)
    return weights


def l1_median(points):
    """The sum of distances, minimised by a general method."""
    total = lambda y: np.linalg.norm(points - y, axis=1).sum()  # noqa: E731
    tight = {"xatol": 1e-13, "fatol": 1e-15, "maxiter": 20_000, "maxfev": 20_000}
    starts = [points.mean(axis=0), np.median(points, axis=0), *points]
    return min(
        (minimize(total, y, method="Nelder-Mead", options=tight).x for y in starts), key=total
    )


def rmr(relatives, epsilon, window):
    weights = uniform(relatives)
    prices = np.vstack([np.ones((2, relatives.shape[1])), np.cumprod(relatives[2:], axis=0)])
    for t in range(1, len(relatives)):
        predicted = relatives[t]
        if t > window:
            predicted = l1_median(prices[t - window + 1 : t + 1]) / prices[t]
        weights[t] = reverted(weights[t - 1], predicted, epsilon)
    return weights


def correlation(one, two):
    if one.std() == 0 or two.std() == 0:
        return 0.0
    return np.corrcoef(one, two)[0, 1]


def anticor_expert(relatives, window):
    """One expert, claim by claim."""
    weights = uniform(relatives)
    logs = np.log(relatives)
    n_assets = relatives.shape[1]
    for t in range(1, len(relatives)):
        held = weights[t - 1] * relatives[t]
        held = held / held.sum()
        weights[t] = held
        if t < 2 * window:
            continue
        early, late = logs[t + 1 - 2 * window : t + 1 - window], logs[t + 1 - window : t + 1]
        cor = np.array([[correlation(a, b) for b in late.T] for a in early.T])
        for i in range(n_assets):
            claims = np.zeros(n_assets)
            for j in range(n_assets):
                if late[:, i].mean() >= late[:, j].mean() and cor[i, j] > 0:
                    claims[j] = cor[i, j] + max(0, -cor[i, i]) + max(0, -cor[j, j])
            if claims.sum() > 0:
                handed = held[i] * claims / claims.sum()
                weights[t, i] -= handed.sum()
                weights[t] += handed
    return weights


def anticor(relatives, most, levels):
    experts = [anticor_expert(relatives, w) for w in range(2, most + 1)]
    growth = np.ones((len(relatives), len(experts)))
    for k, own in enumerate(experts):
        growth[1:, k] = (own[:-1] * relatives[1:]).sum(axis=1)
    if levels == 2:
        shares = anticor(growth, most, 1)
    else:
        wealth = np.cumprod(growth, axis=0)
        shares = wealth / wealth.sum(axis=1, keepdims=True)
    return sum(shares[:, k, None] * own for k, own in enumerate(experts))
