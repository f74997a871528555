"""Slow twins of the price processes: one path at a time, in plain Python, from the definitions."""

from __future__ import annotations

import math
from itertools import pairwise, product

WORD = 2**64


class Stream:
    """SplitMix64 as published, and what is drawn from it."""

    def __init__(self, seed):
        self.state = int(seed)

    def word(self):
        self.state = (self.state + 0x9E3779B97F4A7C15) % WORD
        z = self.state
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % WORD
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB % WORD
        return z ^ (z >> 31)

    def uniform(self):
        return (self.word() >> 11) / 2**53

    def pair(self):
        """Marsaglia's polar method."""
        u, v = 2 * self.uniform() - 1, 2 * self.uniform() - 1
        square = u * u + v * v
        if not 0 < square < 1:
            return self.pair()
        factor = math.sqrt(-2 * math.log(square) / square)
        return u * factor, v * factor

    def normals(self, n):
        drawn = []
        while len(drawn) < n:
            drawn += self.pair()
        return drawn[:n]

    def gamma(self, shape):
        """Marsaglia and Tsang; below shape 1 by their boost."""
        if shape < 1:
            u = 1 - self.uniform()
            return u ** (1 / shape) * self.gamma(shape + 1)
        d = shape - 1 / 3
        while True:
            x = self.pair()[0]
            v = (1 + x / math.sqrt(9 * d)) ** 3
            u = 1 - self.uniform()
            if v > 0 and math.log(u) < x * x / 2 + d - d * v + d * math.log(v):
                return d * v

    def choice(self, probabilities):
        u = self.uniform()
        for i in range(len(probabilities) - 1):
            if u < math.fsum(probabilities[: i + 1]):
                return i
        return len(probabilities) - 1


def cholesky(matrix):
    """Lower factor, by the textbook."""
    n = len(matrix)
    low = [[0.0] * n for _ in range(n)]
    for i in range(n):
        for j in range(i + 1):
            rest = matrix[i][j] - math.fsum(low[i][k] * low[j][k] for k in range(j))
            low[i][j] = math.sqrt(rest) if i == j else rest / low[j][j]
    return low


def correlated(correlation, normals):
    low = cholesky(correlation)
    return [math.fsum(low[i][j] * normals[j] for j in range(i + 1)) for i in range(len(low))]


def geometric_brownian(process, seed, n):
    dt, a = 1 / process.periods_per_year, process.n_assets
    drawn = Stream(seed).normals(n * a)
    growth = []
    for k in range(n):
        z = correlated(process.correlation, drawn[k * a : (k + 1) * a])
        growth.append(
            [
                math.exp((mu - s * s / 2) * dt + s * math.sqrt(dt) * x)
                for mu, s, x in zip(process.drift, process.volatility, z, strict=True)
            ]
        )
    return growth, [[]] * (n + 1)


def mean_reverting(process, seed, n):
    stream, dt = Stream(seed), 1 / process.periods_per_year
    spread, phi = process.factor_volatility, process.reversion
    f = [s * x for s, x in zip(spread, stream.normals(len(phi)), strict=True)]
    growth, state = [], [f]
    for _ in range(n):
        drawn = stream.normals(len(phi) + process.n_assets)
        z = correlated(process.correlation, drawn[len(phi) :])
        growth.append([])
        for a in range(process.n_assets):
            foretold = math.fsum(b * x for b, x in zip(process.loadings[a], f, strict=True))
            excess = foretold + process.volatility[a] * math.sqrt(dt) * z[a]
            growth[-1].append(max(1 + process.cash_rate * dt + excess, 0.01))
        f = [
            (1 - p) * x + s * math.sqrt(1 - (1 - p) ** 2) * e
            for p, x, s, e in zip(phi, f, spread, drawn, strict=False)
        ]
        state.append(f)
    return growth, state


def regime_switching(process, seed, n):
    stream, dt = Stream(seed), 1 / process.periods_per_year
    s = stream.choice(list(process.stationary))
    growth, state = [], [[s]]
    for _ in range(n):
        z = correlated(process.correlation, stream.normals(process.n_assets))
        rows = zip(process.drift[s], process.volatility[s], z, strict=True)
        growth.append(
            [math.exp((mu - v * v / 2) * dt + v * math.sqrt(dt) * x) for mu, v, x in rows]
        )
        s = stream.choice(list(process.transition[s]))
        state.append([s])
    return growth, state


def heston(process, seed, n):
    stream, a = Stream(seed), process.n_assets
    h = 1 / process.periods_per_year / process.substeps
    theta, kappa, xi = process.mean_variance, process.reversion, process.volatility_of_variance
    v = []
    for i in range(a):
        if xi[i] == 0:
            v.append(theta[i])
        else:
            drawn = stream.gamma(2 * kappa[i] * theta[i] / xi[i] ** 2)
            v.append(drawn * xi[i] ** 2 / (2 * kappa[i]))
    growth, state = [], [list(v)]
    for _ in range(n):
        log_growth = [0.0] * a
        for _ in range(process.substeps):
            drawn = stream.normals(2 * a)
            z = correlated(process.correlation, drawn[:a])
            for i in range(a):
                positive, rho = max(v[i], 0.0), process.leverage[i]
                log_growth[i] += (process.drift[i] - positive / 2) * h
                log_growth[i] += math.sqrt(positive * h) * z[i]
                shock = rho * z[i] + math.sqrt(1 - rho**2) * drawn[a + i]
                v[i] += kappa[i] * (theta[i] - positive) * h
                v[i] += xi[i] * math.sqrt(positive * h) * shock
        growth.append([math.exp(x) for x in log_growth])
        state.append([max(x, 0.0) for x in v])
    return growth, state


def jump_diffusion(process, seed, n):
    stream, dt = Stream(seed), 1 / process.periods_per_year
    growth = []
    for _ in range(n):
        z = correlated(process.correlation, stream.normals(process.n_assets))
        growth.append([])
        for a in range(process.n_assets):
            mu, s = process.drift[a], process.volatility[a]
            expected = process.jump_intensity[a] * dt
            mean, spread = process.jump_mean[a], process.jump_volatility[a]
            u, jumps = stream.uniform(), 0
            while u >= math.fsum(
                math.exp(-expected) * expected**j / math.factorial(j) for j in range(jumps + 1)
            ):
                jumps += 1
            x = (mu - s * s / 2) * dt + s * math.sqrt(dt) * z[a]
            x -= expected * (math.exp(mean + spread**2 / 2) - 1)
            if jumps:
                x += jumps * mean + math.sqrt(jumps) * spread * stream.pair()[0]
            growth[-1].append(math.exp(x))
    return growth, [[]] * (n + 1)


def garch(process, seed, n):
    stream, a = Stream(seed), process.n_assets
    alpha, beta, gamma = process.alpha, process.beta, process.gamma
    h = [process.omega[i] / (1 - alpha[i] - beta[i] - gamma[i] / 2) for i in range(a)]
    growth, state = [], []
    for k in range(-process.burn_in, n):
        z = correlated(process.correlation, stream.normals(a))
        before, made = list(h), []
        for i in range(a):
            dof, x = process.dof[i], z[i]
            if dof < math.inf:
                chi2 = 2 * stream.gamma(dof / 2)
                x *= math.sqrt((dof - 2) / chi2)
            e = math.sqrt(before[i]) * x
            news = alpha[i] + (gamma[i] if e < 0 else 0)
            h[i] = process.omega[i] + news * e * e + beta[i] * before[i]
            made.append(math.exp(process.mean[i] + e))
        if k >= 0:
            growth.append(made)
            state.append(before)
    return growth, [*state, list(h)]


def bootstrap(process, seed, n):
    stream, close = Stream(seed), process.market.close
    rows = [[b / a for a, b in zip(*pair, strict=True)] for pair in pairwise(close)]
    growth, row = [], None
    for _ in range(n):
        if stream.uniform() < 1 / process.mean_block or row is None:
            row = int(stream.uniform() * len(rows))
        else:
            row = (row + 1) % len(rows)
        growth.append(rows[row])
    return growth, [[]] * (n + 1)


def belief_by_enumeration(process, growth):
    """P(s_n | growths): Bayes' rule over all histories of the regime, one asset."""
    dt = 1 / process.periods_per_year
    m, n = len(process.transition), len(growth)
    weight = [0.0] * m
    for history in product(range(m), repeat=n + 1):
        chance = process.stationary[history[0]]
        for k, (s, after) in enumerate(pairwise(history)):
            mean = (process.drift[s][0] - process.volatility[s][0] ** 2 / 2) * dt
            sd = process.volatility[s][0] * math.sqrt(dt)
            x = (math.log(growth[k]) - mean) / sd
            chance *= math.exp(-x * x / 2) / sd * process.transition[s][after]
        weight[history[-1]] += chance
    return [w / sum(weight) for w in weight]
