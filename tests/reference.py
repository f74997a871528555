"""Slow twins: every kernel of the market once more, from its definition, in plain Python."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise


def drift(weights, growth):
    """Weights and value growth after prices moved, for one portfolio."""
    held = [w * g for w, g in zip(weights, growth, strict=True)]
    total = sum(held)
    return [h / total for h in held], total


def cost_of(kept, drifted, target, commission, half_spread):
    """`(commission, spread, turnover)` of trading to `kept * target`, for one portfolio."""
    sizes = [abs(kept * w - d) for w, d in zip(target[:-1], drifted[:-1], strict=True)]
    paid = sum(c * s for c, s in zip(commission, sizes, strict=True))
    spread = sum(h * s for h, s in zip(half_spread, sizes, strict=True))
    return paid, spread, sum(sizes)


def kept_exactly(drifted, target, commission, half_spread) -> Fraction:
    """The root of x + cost(x) = 1 in rational arithmetic: the cost is linear between the points
    where an order changes its side, so solve on the piece that brackets the root."""
    d = [Fraction(v) for v in drifted]
    w = [Fraction(v) for v in target]
    rates = [Fraction(c) + Fraction(h) for c, h in zip(commission, half_spread, strict=True)]

    def excess(x: Fraction) -> Fraction:
        pairs = zip(rates, w[:-1], d[:-1], strict=True)
        return x + sum(rate * abs(x * wi - di) for rate, wi, di in pairs) - 1

    kinks = [di / wi for wi, di in zip(w[:-1], d[:-1], strict=True) if wi != 0]
    points = sorted({Fraction(0), Fraction(1), *(k for k in kinks if 0 < k < 1)})
    for low, high in pairwise(points):
        at_low, at_high = excess(low), excess(high)
        if at_low <= 0 <= at_high:
            if at_high == at_low:
                return high
            return low + (high - low) * (-at_low) / (at_high - at_low)
    raise AssertionError("no root in [0, 1]: the cost exceeds the value")


def softmax(action, scale):
    clipped = [min(max(a, -1.0), 1.0) for a in action]
    powers = [math.exp(scale * a) for a in clipped]
    return [p / sum(powers) for p in powers]


def simplex(action):
    """Euclidean projection by the sorted rule of Duchi et al. (2008), figure 1."""
    v = [min(max(a, -1.0), 1.0) for a in action]
    u = sorted(v, reverse=True)
    rho = max(j for j in range(1, len(u) + 1) if u[j - 1] - (sum(u[:j]) - 1) / j > 0)
    theta = (sum(u[:rho]) - 1) / rho
    return [max(x - theta, 0.0) for x in v]


def long_short(action, gross, net):
    w = [min(max(a, -1.0), 1.0) * gross for a in action]
    total = sum(abs(x) for x in w)
    if total > gross:
        w = [x * gross / total for x in w]
    long, short = sum(x for x in w if x > 0), -sum(x for x in w if x < 0)
    if long - short > net:
        w = [x * (net + short) / long if x > 0 else x for x in w]
    elif short - long > net:
        w = [x * (net + long) / short if x < 0 else x for x in w]
    return [*w, 1.0 - sum(w)]


def trade(action, drifted):
    a = [min(max(x, -1.0), 1.0) for x in action]
    after_sales = [d * (1 + x) if x < 0 else d for x, d in zip(a, drifted[:-1], strict=True)]
    cash = 1.0 - sum(after_sales)
    buys = [max(x, 0.0) for x in a]
    share = max(sum(buys), 1.0)
    bought = [h + cash * b / share for h, b in zip(after_sales, buys, strict=True)]
    return [*bought, 1.0 - sum(bought)]


class RewardTwin:
    """The reward terms of one portfolio, from their formulas."""

    def __init__(self, decay: float, risk_aversion: float) -> None:
        self.decay, self.risk_aversion = decay, risk_aversion
        self.values = [1.0]
        self.a, self.b = 0.0, 0.01**2

    def step(self, growth: float, benchmark: float, turnover: float) -> list[float]:
        r = growth - 1.0
        self.values.append(self.values[-1] * growth)
        da, db = r - self.a, r * r - self.b
        spread = self.b - self.a**2
        sharpe = (self.b * da - 0.5 * self.a * db) / spread**1.5 if spread > 1e-12 else 0.0
        self.a += self.decay * da
        self.b += self.decay * db
        return [
            math.log(growth),
            math.log(growth) - math.log(benchmark),
            sharpe,
            r - 0.5 * self.risk_aversion * r * r,
            1.0 - self.values[-1] / max(self.values),
            turnover,
        ]
