"""Other routes to the known answers: slow, written from the definitions, sharing no code."""

from __future__ import annotations

import itertools
import math

import numpy as np
from scipy import integrate, linalg, optimize, stats


def utility(wealth, gamma):
    """CRRA utility."""
    return np.log(wealth) if gamma == 1 else wealth ** (1 - gamma) / (1 - gamma)


def log_growth_by_integration(weight, law, cash):
    """E[log(w e^x + (1-w) cash)] for a frozen scipy law of the log growth x, adaptively."""

    risky = math.log(weight) if weight > 0 else -math.inf
    safe = math.log((1 - weight) * cash) if weight < 1 else -math.inf

    def integrand(x):
        return law.pdf(x) * np.logaddexp(risky + x, safe)

    edges = law.ppf([1e-13, 1e-9, 1e-5, 1e-2, 0.5, 0.99, 1 - 1e-5, 1 - 1e-9, 1 - 1e-13])
    return sum(
        integrate.quad(integrand, a, b, epsabs=1e-14, limit=400)[0]
        for a, b in itertools.pairwise(edges)
    )


def cover(growth, probability, rounds):
    """Growth-optimal mix by the multiplicative update of Cover (1984), which only ever gains."""
    mix = np.full(growth.shape[1], 1 / growth.shape[1])
    for _ in range(rounds):
        mix = mix * (probability @ (growth / (growth @ mix)[:, None]))
    return mix


def beliefs_by_enumeration(log_growth, mean, covariance, transition, start):
    """P(s_k | growths up to k) for every row, by summing over all paths of the regimes."""
    n, m = len(log_growth), len(start)
    laws = [stats.multivariate_normal(mean[s], covariance[s]) for s in range(m)]
    rows = [np.asarray(start)]
    for k in range(1, n + 1):
        row = np.zeros(m)
        for path in itertools.product(range(m), repeat=k + 1):
            chance = start[path[0]]
            for j in range(k):
                chance *= laws[path[j]].pdf(log_growth[j]) * transition[path[j]][path[j + 1]]
            row[path[-1]] += chance
        rows.append(row / row.sum())
    return np.array(rows)


def linear_quadratic(loadings, decay, covariance, cost, gamma, rho):
    """Garleanu-Pedersen as a regulator, for scipy's discrete algebraic Riccati equation.

    The state is (x_{t-1}, f_t), the control the trade. Returns the gain `[A, A+K]` of the optimal
    trade, and the matrix P of the cost-to-go s'Ps.
    """
    n, k = loadings.shape
    kept = 1 - rho
    a = np.zeros((n + k, n + k))
    a[:n, :n], a[n:, n:] = np.eye(n), decay
    b = np.vstack([np.eye(n), np.zeros((k, n))])
    risk = kept * gamma * covariance / 2
    q = np.zeros((n + k, n + k))
    q[:n, :n] = risk
    q[:n, n:] = -kept * loadings / 2
    q[n:, :n] = q[:n, n:].T
    r = cost / 2 + risk
    s = np.vstack([risk, -kept * loadings.T / 2])
    root = math.sqrt(kept)
    p = linalg.solve_discrete_are(root * a, root * b, q, r, s=s)
    gain = -np.linalg.solve(r + kept * b.T @ p @ b, kept * b.T @ p @ a + s.T)
    return gain, p


def band_of_continuous_trading(mu, sigma, cost, gamma=1.0, cash_rate=0.0):
    """`(lower, upper, growth)` of the band for continuous trading, from its free boundary problem.

    With v the log of wealth's value factor, y = v' solves, inside the band,

        growth = r + (mu-r) w - gamma/2 sigma^2 w^2 + y w(1-w) (mu - r - gamma sigma^2 w)
                 + sigma^2/2 w^2 (1-w)^2 (y' + (1-gamma) y^2)

    and joins the slopes of trading, y = cost/(1 + cost w) below and -cost/(1 - cost w) above, with
    its derivative (smooth fit; Taksar, Klass and Assaf 1988, Shreve and Soner 1994).
    """
    premium = mu - cash_rate

    def bend(w, y, growth):
        rest = growth - cash_rate - premium * w + gamma / 2 * (sigma * w) ** 2
        rest -= y * w * (1 - w) * (premium - gamma * sigma**2 * w)
        return rest * 2 / (sigma * w * (1 - w)) ** 2 - (1 - gamma) * y * y

    def growth_at(w, y, slope):
        inner = slope + (1 - gamma) * y * y
        drift = cash_rate + premium * w - gamma / 2 * (sigma * w) ** 2
        drift += y * w * (1 - w) * (premium - gamma * sigma**2 * w)
        return drift + (sigma * w * (1 - w)) ** 2 / 2 * inner

    def misses(edges):
        low, high = edges
        below, above = cost / (1 + cost * low), -cost / (1 - cost * high)
        growth = growth_at(low, below, -(below**2))
        path = integrate.solve_ivp(
            lambda w, y: bend(w, y, growth), (low, high), [below], rtol=1e-11, atol=1e-14
        )
        reached = growth_at(high, above, -(above**2))
        return [(path.y[0, -1] - above) / cost, (reached - growth) / sigma**2 / cost ** (2 / 3)]

    merton = premium / (gamma * sigma**2)
    width = (1.5 / gamma * merton**2 * (1 - merton) ** 2 * cost) ** (1 / 3)
    edges = optimize.fsolve(misses, [merton - width, merton + width], xtol=1e-12)
    assert max(np.abs(misses(edges))) < 1e-8
    below = cost / (1 + cost * edges[0])
    return edges[0], edges[1], growth_at(edges[0], below, -(below**2))


def value_sweep(grid, growth, probability, transition, cash, cost, gamma, value):
    """One step of value iteration, in plain loops: `(new value, lower, upper)` by state."""
    n_states = len(value)

    def keep(held, target):  # x + cost |x target - held| = 1
        return optimize.brentq(
            lambda x: x + cost * abs(x * target - held) - 1, 0.0, 1.0, xtol=1e-15
        )

    def sure(chances, values):
        if gamma == 1:
            return sum(c * v for c, v in zip(chances, values))
        mean = sum(c * math.exp((1 - gamma) * v) for c, v in zip(chances, values))
        return math.log(mean) / (1 - gamma)

    new, lower, upper = np.empty_like(value), [], []
    for z in range(n_states):
        later = [sure(transition[z], value[:, k]) for k in range(len(grid))]
        after = []
        for w in grid:
            outcomes = []
            for q in range(len(probability)):
                wealth = w * growth[z][q] + (1 - w) * cash
                drifted = w * growth[z][q] / wealth
                inside = min(max(drifted, grid[0]), grid[-1])
                arrived = np.interp(inside, grid, later)
                outcomes.append(math.log(wealth * keep(drifted, inside)) + arrived)
            after.append(sure(probability, outcomes))
        best = []
        for k, held in enumerate(grid):
            # Every target there is; the band is where staying is one of the best.
            gains = [a + math.log(keep(held, w)) for a, w in zip(after, grid)]
            new[z, k] = max(gains)
            best.append(gains[k] >= max(gains) - 1e-13)
        inside = np.flatnonzero(best)
        lower.append(grid[inside[0]])
        upper.append(grid[inside[-1]])
    return new, lower, upper


def band_growth(growth, cash, cost, lower, upper, weight, expected=None):
    """`[N]` log growth of N paths of growths `[N, n]` for a band, from this risky weight on.

    With `expected`, a function of the weights, the expected log growth of each step takes the place
    of the one drawn: the same mean without the noise of prices.
    """
    n_paths, n_steps = growth.shape
    w = np.full(n_paths, weight)
    total = np.zeros(n_paths)
    for k in range(n_steps):
        target = np.clip(w, lower, upper)
        buy, sell = target > w, target < w
        kept = np.where(buy, (1 + cost * w) / (1 + cost * target), 1.0)
        kept = np.where(sell, (1 - cost * w) / (1 - cost * target), kept)
        wealth = target * growth[:, k] + (1 - target) * cash
        total += np.log(kept) + (np.log(wealth) if expected is None else expected(target))
        w = target * growth[:, k] / wealth
    return total
