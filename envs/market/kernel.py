"""The accounting kernel: the only code that moves money.

One step of a portfolio has two legs. Prices move from the decision to the execution (`drift_nb`),
the portfolio is rebalanced to its target and charged, and prices move from the execution to the
next decision (`trade_nb`). Everything is relative to the value of the portfolio, so that a step is

    value_next = value * growth_1 * kept * growth_2

with `kept` in (0, 1] the share of the value that the trade leaves. Cash is the last column and is
never charged. All arithmetic is IEEE float64 in a fixed order (no fastmath): the same inputs give
the same bits for one portfolio, for a thousand, and on any number of threads.
"""

from __future__ import annotations

from numba import njit

MAX_NEWTON_STEPS = 64
# |f| at which the cost equation counts as solved; the step after it is exact to rounding.
SOLVED = 1e-14


@njit(cache=True, nogil=True)
def drift_nb(rows, growth, weights, drifted, factor):
    """Moves N portfolios through one leg of prices.

    Args:
        rows: `[N]` int64, the row of `growth` for each portfolio.
        growth: `[T, A+1]` gross growth of each asset and of cash over the leg, > 0.
        weights: `[N, A+1]` before the leg.
        drifted: out, `[N, A+1]` weights after it; may be `weights` itself. Where the value is not
            positive (ruin of a short portfolio) they are all cash.
        factor: out, `[N]` growth of the value over the leg.
    """
    n_columns = weights.shape[1]
    for n in range(rows.shape[0]):
        row = rows[n]
        total = 0.0
        for i in range(n_columns):
            held = weights[n, i] * growth[row, i]
            drifted[n, i] = held
            total += held
        factor[n] = total
        if total > 0.0:
            scale = 1.0 / total
            for i in range(n_columns):
                drifted[n, i] *= scale
        else:
            for i in range(n_columns):
                drifted[n, i] = 0.0
            drifted[n, n_columns - 1] = 1.0


@njit(cache=True, nogil=True)
def trade_nb(
    drifted, target, commission, half_spread, kept, commission_paid, spread_paid, turnover
):
    """Rebalances N portfolios from `drifted` to `target` weights and charges proportional costs.

    The share `x` of the value that is left solves, exactly,

        x + sum_i rate_i * |x * target_i - drifted_i| = 1,    rate = commission + half_spread,

    so that what is bought is sized after its own cost has been paid. The left side is convex,
    piecewise linear and increasing in x when max(rate) * gross leverage < 1, hence Newton's method
    from x = 1 descends to the root in at most A+1 steps (two or three in practice).

    Args:
        drifted: `[N, A+1]` weights before the trade, sum 1.
        target: `[N, A+1]` weights after it, sum 1.
        commission, half_spread: `[A]` fraction of the traded notional, each side.
        kept: out, `[N]` share of the value left; not positive if the cost exceeds the value.
        commission_paid, spread_paid: out, `[N]` as fractions of the value before the trade;
            `kept + commission_paid + spread_paid == 1` to rounding.
        turnover: out, `[N]` sum of |traded notional| over the value before the trade.
    """
    n_assets = target.shape[1] - 1
    for n in range(target.shape[0]):
        x = 1.0
        for _ in range(MAX_NEWTON_STEPS):
            charged_commission = 0.0
            charged_spread = 0.0
            traded = 0.0
            slope = 1.0
            for i in range(n_assets):
                weight = target[n, i]
                order = x * weight - drifted[n, i]
                rate = commission[i] + half_spread[i]
                size = abs(order)
                slope += rate * (weight if order > 0.0 else -weight)
                charged_commission += commission[i] * size
                charged_spread += half_spread[i] * size
                traded += size
            charged = charged_commission + charged_spread
            excess = x + charged - 1.0
            if excess <= SOLVED:
                break
            x -= excess / slope
        commission_paid[n] = charged_commission
        spread_paid[n] = charged_spread
        turnover[n] = traded
        kept[n] = 1.0 - charged
