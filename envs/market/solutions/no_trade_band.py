"""One risky asset and cash under proportional costs: do nothing inside a band of weights.

Constantinides 1986 and Davis and Norman 1990 show that a CRRA investor who pays a share of every
trade holds the risky weight in an interval around the Merton weight and trades only to its nearer
edge. The width falls with the cube root of the cost (Janecek and Shreve 2004; Gerhold, Guasoni,
Muhle-Karbe and Schachermayer 2014). For steps of any length, and for markets whose drift and
volatility depend on an observed Markov state, `solve_band` finds the band that maximises long-run
growth by dynamic programming.

The cost convention is that of the accounting kernel: `cost` is the rate on the traded notional on
each side, and the share x of the value that a trade leaves solves x + cost |x w - d| = 1 for the
weight d before and w after it. Papers that charge a spread on one side only (buy at S, sell at
(1 - e) S) have e = 2 cost, to first order.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from envs.errors import InputError

Float = NDArray[np.float64]
# Sweeps at most; the error falls geometrically.
MOST_SWEEPS = 200_000


def asymptotic_half_width(weight: float, cost: float, risk_aversion: float = 1.0) -> float:
    """Half the width of the band for small costs: (3 cost w^2 (1-w)^2 / (2 gamma))^(1/3).

    Leading order in the cost, for continuous trading at any horizon; w is the Merton weight and
    `cost` the rate per side (Janecek and Shreve 2004, theorem 1; in the notation of Gerhold et al.
    2014, (3/(4 gamma) w^2 (1-w)^2 e)^(1/3) with e = 2 cost).
    """
    return float(np.cbrt(1.5 / risk_aversion * (weight * (1.0 - weight)) ** 2 * cost))


def asymptotic_growth_loss(
    weight: float, volatility: float, cost: float, risk_aversion: float = 1.0
) -> float:
    """Certainty-equivalent growth a year that small costs take: gamma/2 vol^2 half_width^2."""
    width = asymptotic_half_width(weight, cost, risk_aversion)
    return 0.5 * risk_aversion * (volatility * width) ** 2


def kept_share(held: Float, target: Float, cost: float) -> Float:
    """Share of the value that is left by a trade of the risky weight from `held` to `target`."""
    held, target = np.asarray(held, np.float64), np.asarray(target, np.float64)
    bought = (1.0 + cost * held) / (1.0 + cost * target)
    sold = (1.0 - cost * held) / (1.0 - cost * target)
    return np.where(target >= held, bought, sold)


@njit(cache=True, nogil=True)
def prepare_nb(grid, growth, cash, cost, place, part, gain):
    """What a step does to a weight, which no sweep changes.

    Args:
        grid: `[W]` even, rising weights after the trade. growth: `[Z, Q]` of the asset.
        place, part: out, `[Z, W, Q]` the node below the drifted weight, and the way to the next.
        gain: out, `[Z, W, Q]` log growth of the step, with the trade back to the edge of the grid
            for weights that left it.
    """
    n_weights = grid.shape[0]
    first, last = grid[0], grid[n_weights - 1]
    per_node = (n_weights - 1) / (last - first)
    for z in range(growth.shape[0]):
        for k in range(n_weights):
            for q in range(growth.shape[1]):
                wealth = grid[k] * growth[z, q] + (1.0 - grid[k]) * cash
                drifted = grid[k] * growth[z, q] / wealth
                gain[z, k, q] = math.log(wealth)
                if drifted < first:
                    gain[z, k, q] += math.log((1.0 + cost * drifted) / (1.0 + cost * first))
                elif drifted > last:
                    gain[z, k, q] += math.log((1.0 - cost * drifted) / (1.0 - cost * last))
                x = min(max((drifted - first) * per_node, 0.0), n_weights - 1.0)
                place[z, k, q] = min(int(x), n_weights - 2)
                part[z, k, q] = x - place[z, k, q]


@njit(cache=True, nogil=True)
def sweep_nb(
    grid, place, part, gain, probability, cost, risk_aversion, seen, value, ahead, lower, upper
):
    """One step of value iteration for all states; returns the lowest and the highest change.

    Args:
        probability: `[Q]`. seen: `[Z, W]` value of the next step to one who knows today's state.
        value: `[Z, W]` of weights before the trade, in and out. ahead: `[Z, W]` work: value of
            weights after the trade.
        lower, upper: `[Z]` int64, out: indices of the edges of the band.
    """
    n_states, n_weights = value.shape
    power = 1.0 - risk_aversion
    is_log = risk_aversion == 1.0
    low, high = np.inf, -np.inf
    for z in range(n_states):
        best_buy, best_sell = -np.inf, -np.inf
        for k in range(n_weights):
            total = 0.0
            for q in range(probability.shape[0]):
                i, x = place[z, k, q], part[z, k, q]
                outcome = gain[z, k, q] + (1.0 - x) * seen[z, i] + x * seen[z, i + 1]
                total += probability[q] * (outcome if is_log else math.exp(power * outcome))
            ahead[z, k] = total if is_log else math.log(total) / power
            # A trade splits into what it costs to leave and to arrive: see `kept_share`.
            buy = ahead[z, k] - math.log(1.0 + cost * grid[k])
            sell = ahead[z, k] - math.log(1.0 - cost * grid[k])
            if buy > best_buy:
                best_buy, lower[z] = buy, k
            if sell > best_sell:
                best_sell, upper[z] = sell, k
        upper[z] = max(upper[z], lower[z])  # without costs both are the same, up to rounding
        for k in range(n_weights):
            if k < lower[z]:
                new = best_buy + math.log(1.0 + cost * grid[k])
            elif k > upper[z]:
                new = best_sell + math.log(1.0 - cost * grid[k])
            else:
                new = ahead[z, k]
            change = new - value[z, k]
            low, high = min(low, change), max(high, change)
            value[z, k] = new
    return low, high


@dataclass(frozen=True, eq=False)
class Band:
    """The optimal band of risky weights in each state of the market.

    Attributes:
        lower, upper: `[Z]` edges.
        growth: certainty-equivalent log growth a step in the long run, net of costs.
        bounds: between which `growth` lies for certain (on this grid).
    """

    lower: Float
    upper: Float
    growth: float
    bounds: tuple[float, float]


def solve_band(
    growth: Float,
    probability: Float,
    cash: float,
    cost: float,
    *,
    transition: Float | None = None,
    risk_aversion: float = 1.0,
    lowest: float = 0.0,
    highest: float = 1.0,
    tolerance: float = 1e-12,
    n_weights: int = 1201,
) -> Band:
    """The band that maximises long-run growth, by relative value iteration on a grid of weights.

    The grid is solved twice: over all allowed weights, then on the part around the bands that it
    found. Steps that leave the grid trade back to its edge, which is exact outside the band.

    Args:
        growth: `[Z, Q]` gross growth of the risky asset in outcome q when the state is z (`[Q]`:
            one state). probability: `[Q]`. cash: gross growth of cash.
        cost: rate per side.
        transition: `[Z, Z]` probabilities of the next state; it is known before the next trade.
        risk_aversion: gamma; other than 1, growth is that of the certainty equivalent.
        lowest, highest: limits of the risky weight.
        tolerance: of the growth a step. n_weights: nodes of the grid.

    Raises:
        InputError: for limits in which an outcome loses everything, or a cost out of range.
    """
    growth = np.atleast_2d(np.asarray(growth, np.float64))
    n_states = len(growth)
    moves = np.eye(n_states) if transition is None else np.asarray(transition, np.float64)
    if not 0 <= cost < 0.5 or cost * max(abs(lowest), abs(highest)) >= 0.5:
        raise InputError(f"cost must be a rate per side in [0, 0.5), got {cost}")
    for w in (lowest, highest):
        if not (w * growth + (1.0 - w) * cash).min() > 0:
            raise InputError(f"a risky weight of {w:g} loses everything in some outcome")
    low, high = float(lowest), float(highest)
    power = 1.0 - risk_aversion
    for _ in range(2):
        grid = np.linspace(low, high, n_weights)
        shape = (n_states, n_weights, len(probability))
        place, part, gain = np.empty(shape, np.int64), np.empty(shape), np.empty(shape)
        prepare_nb(grid, growth, cash, cost, place, part, gain)
        value, ahead = np.zeros(shape[:2]), np.empty(shape[:2])
        lower, upper = np.zeros(n_states, np.int64), np.zeros(n_states, np.int64)
        bounds = (-np.inf, np.inf)
        for _ in range(MOST_SWEEPS):
            if risk_aversion == 1.0:
                seen = moves @ value
            else:
                seen = np.log(moves @ np.exp(power * value)) / power
            bounds = sweep_nb(
                grid, place, part, gain, probability, cost, risk_aversion, seen, value, ahead,
                lower, upper,
            )  # fmt: skip
            value -= value[0, n_weights // 2]  # only differences matter: keep them near zero
            if bounds[1] - bounds[0] < tolerance:
                break
        spacing = grid[1] - grid[0]
        inside = grid[lower.min()], grid[upper.max()]
        margin = max(0.25 * (inside[1] - inside[0]), 20.0 * spacing)
        low, high = max(lowest, inside[0] - margin), min(highest, inside[1] + margin)
    return Band(grid[lower], grid[upper], 0.5 * (bounds[0] + bounds[1]), bounds)


def factor_states(reversion: float, n_states: int = 41) -> tuple[Float, Float]:
    """A chain `[Z]`, `[Z, Z]` in place of an autoregressive factor of unit stationary variance.

    Rouwenhorst 1995 (see Kopecky and Suen 2010): mean, variance and autocorrelation 1 - reversion
    are exact, and so are the conditional mean and variance from every node.

    Returns:
        Values of the states, evenly from -sqrt(Z-1) to sqrt(Z-1), and transition probabilities.
    """
    stay = 1.0 - 0.5 * reversion
    chain = np.array([[stay, 1.0 - stay], [1.0 - stay, stay]])
    for n in range(3, n_states + 1):
        larger = np.zeros((n, n))
        larger[:-1, :-1] += stay * chain
        larger[:-1, 1:] += (1.0 - stay) * chain
        larger[1:, :-1] += (1.0 - stay) * chain
        larger[1:, 1:] += stay * chain
        larger[1:-1] *= 0.5
        chain = larger
    edge = math.sqrt(n_states - 1.0)
    return np.linspace(-edge, edge, n_states), chain
