"""The kernels of a step: the accounting, and all that surrounds it, for one compiled call.

The accounting (`drift_nb`, `trade_nb`) is the only code that moves money. A step of a portfolio has
two legs: prices move from the decision to the execution, the portfolio is rebalanced to its target
and charged, and prices move from the execution to the next decision. Everything is relative to the
value of the portfolio, so that a step is

    value_next = value * growth_1 * kept * growth_2

with `kept` in (0, 1] the share of the value that the trade leaves. Cash is the last column and is
never charged. All arithmetic is IEEE float64 in a fixed order (no fastmath): the same inputs give
the same bits for one portfolio, for a thousand, and on any number of threads.

They stand in one file because they call each other, and Numba's cache on disk does not notice edits
in other files.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

# How `step_nb` is told which action map to use.
SOFTMAX, SIMPLEX, LONG_SHORT, TRADE = range(4)
# A step may lose everything; its logarithm is cut here, at a loss of 99.99 %.
LOWEST_GROWTH = 1e-4
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


# ---------------------------------------------------------------------- actions to target weights
# All: `(actions [N, n], drifted [N, A+1], two settings, target out [N, A+1])`, and they return the
# first row with a NaN, or -1.


@njit(cache=True, nogil=True)
def clip_nb(a):
    return min(max(a, -1.0), 1.0)


@njit(cache=True, nogil=True)
def softmax_nb(actions, drifted, scale, _unused, target):
    n_columns = target.shape[1]
    for n in range(target.shape[0]):
        highest = -1.0
        for i in range(n_columns):
            a = actions[n, i]
            if math.isnan(a):
                return n
            highest = max(highest, clip_nb(a))
        total = 0.0
        for i in range(n_columns):
            e = math.exp(scale * (clip_nb(actions[n, i]) - highest))
            target[n, i] = e
            total += e
        for i in range(n_columns):
            target[n, i] /= total
    return -1


@njit(cache=True, nogil=True)
def simplex_nb(actions, drifted, _unused_1, _unused_2, target):
    n_columns = target.shape[1]
    for n in range(target.shape[0]):
        for i in range(n_columns):
            a = actions[n, i]
            if math.isnan(a):
                return n
            target[n, i] = clip_nb(a)
        # Michelot (1986): spread the excess evenly over the active columns, drop those that it
        # would turn negative, repeat. The shift only grows, so it ends after at most A+1 rounds.
        shift = -np.inf
        while True:
            total = 0.0
            count = 0
            for i in range(n_columns):
                if target[n, i] > shift:
                    total += target[n, i]
                    count += 1
            next_shift = (total - 1.0) / count
            if not next_shift > shift:
                break
            shift = next_shift
        for i in range(n_columns):
            target[n, i] = max(target[n, i] - shift, 0.0)
    return -1


@njit(cache=True, nogil=True)
def long_short_nb(actions, drifted, gross_limit, net_limit, target):
    n_assets = target.shape[1] - 1
    for n in range(target.shape[0]):
        long = 0.0
        short = 0.0
        for i in range(n_assets):
            a = actions[n, i]
            if math.isnan(a):
                return n
            weight = clip_nb(a) * gross_limit
            target[n, i] = weight
            if weight > 0.0:
                long += weight
            else:
                short -= weight
        if long + short > gross_limit:
            scale = gross_limit / (long + short)
            for i in range(n_assets):
                target[n, i] *= scale
            long *= scale
            short *= scale
        if long - short > net_limit:
            scale = (net_limit + short) / long
            for i in range(n_assets):
                if target[n, i] > 0.0:
                    target[n, i] *= scale
        elif short - long > net_limit:
            scale = (net_limit + long) / short
            for i in range(n_assets):
                if target[n, i] < 0.0:
                    target[n, i] *= scale
        cash = 1.0
        for i in range(n_assets):
            cash -= target[n, i]
        target[n, n_assets] = cash
    return -1


@njit(cache=True, nogil=True)
def trade_orders_nb(actions, drifted, _unused_1, _unused_2, target):
    n_assets = target.shape[1] - 1
    for n in range(target.shape[0]):
        cash = drifted[n, n_assets]
        wanted = 0.0
        for i in range(n_assets):
            a = actions[n, i]
            if math.isnan(a):
                return n
            a = clip_nb(a)
            held = drifted[n, i]
            if a < 0.0:
                target[n, i] = held * (1.0 + a)
                cash -= held * a
            else:
                target[n, i] = held
                wanted += a
        scale = cash / max(wanted, 1.0)
        spent = 0.0
        for i in range(n_assets):
            a = clip_nb(actions[n, i])
            if a > 0.0:
                target[n, i] += a * scale
                spent += a * scale
        # All cash spent is exactly no cash, whatever the rounding of the sum.
        target[n, n_assets] = 0.0 if wanted >= 1.0 else cash - spent
    return -1


# ---------------------------------------------------------------------- rewards
@njit(cache=True, nogil=True)
def reward_nb(
    rows,
    growth,
    value,
    turnover,
    benchmark,
    term_weights,
    sharpe_decay,
    risk_aversion,
    peak,
    mean,
    square,
    terms,
    reward,
):
    """Writes the terms and the reward of N steps and moves the state of the path terms.

    Args:
        rows: `[N]` int64 decision rows; `benchmark` is `[T-1]` growth by decision row.
        growth: `[N]` V_next / V of the step; `value [N]` is V_next; `turnover [N]`.
        term_weights: `[K]` in the order of `TERMS`.
        peak, mean, square: state, `[N]`: highest value, moving averages of R and R^2.
        terms: out, `[N, K]`. reward: out, `[N]` float64.
    """
    for n in range(rows.shape[0]):
        log_growth = math.log(max(growth[n], LOWEST_GROWTH))
        simple = growth[n] - 1.0
        peak[n] = max(peak[n], value[n])

        delta_mean = simple - mean[n]
        delta_square = simple * simple - square[n]
        variance = square[n] - mean[n] * mean[n]
        sharpe = 0.0
        # Constant returns have no Sharpe ratio to differentiate.
        if variance > 1e-12:
            sharpe = (square[n] * delta_mean - 0.5 * mean[n] * delta_square) / variance**1.5
        mean[n] += sharpe_decay * delta_mean
        square[n] += sharpe_decay * delta_square

        terms[n, 0] = log_growth
        terms[n, 1] = log_growth - math.log(benchmark[rows[n]])
        terms[n, 2] = sharpe
        terms[n, 3] = simple - 0.5 * risk_aversion * simple * simple
        terms[n, 4] = 1.0 - max(value[n], 0.0) / peak[n]
        terms[n, 5] = turnover[n]
        total = 0.0
        for k in range(terms.shape[1]):
            total += term_weights[k] * terms[n, k]
        reward[n] = total


# ---------------------------------------------------------------------- observations
@intrinsic
def _copy_floats(typing_context, target, target_start, source, source_start, count):
    """memcpy of `count` float32 between flat arrays: three times as fast as a compiled loop for
    windows, because the C library bypasses the cache and LLVM does not see that it may."""
    signature = types.void(target, target_start, source, source_start, count)

    def codegen(context, builder, signature, args):
        to = context.make_array(signature.args[0])(context, builder, args[0])
        by = context.make_array(signature.args[2])(context, builder, args[2])
        cgutils.raw_memcpy(
            builder, builder.gep(to.data, [args[1]]), builder.gep(by.data, [args[3]]), args[4], 4
        )
        return context.get_dummy_value()

    return signature, codegen


@njit(cache=True, nogil=True)
def flat_nb(rows, features, window, weights, highest, out):
    """Writes `out [N, window * K + A + 1]` float32 from `features [T, K]` float32 and `weights`.

    `rows [N]` int64 must be at least `window - 1`; all arrays are C-contiguous.
    """
    n_features = features.shape[1]
    n_columns = weights.shape[1]
    length = window * n_features
    source = features.reshape(features.size)
    flat = out.reshape(out.size)
    for n in range(rows.shape[0]):
        start = (rows[n] - window + 1) * n_features
        _copy_floats(flat, n * out.shape[1], source, start, length)  # type: ignore[call-arg]
        for i in range(n_columns):
            out[n, length + i] = min(max(weights[n, i], -highest), highest)


# ---------------------------------------------------------------------- the whole step
@njit(cache=True, nogil=True)
def step_nb(
    actions,
    kind,
    setting_1,
    setting_2,
    moves_before,
    before,
    moves_after,
    after,
    commission,
    half_spread,
    benchmark,
    term_weights,
    sharpe_decay,
    risk_aversion,
    ruin,
    row,
    end,
    weights,
    value,
    peak,
    mean,
    square,
    drifted,
    target,
    growth_before,
    kept,
    growth_after,
    growth,
    gross_return,
    net_return,
    commission_paid,
    spread_paid,
    turnover,
    terms,
    reward,
    value_after,
    row_after,
    ruined,
    truncated,
    done,
):
    """One row of the market for N portfolios; see `envs.simulation` for the arrays.

    Args:
        actions: `[N, n]`. kind, setting_1, setting_2: the action map and its settings.
        moves_before, before: whether there is a leg before the trade, and its growth `[T-1, A+1]`.
        moves_after, after: the same of the leg after the trade.
        commission ... ruin: constants of the setting.
        row ... square: state, changed. drifted: scratch `[N, A+1]`.
        target ... done: out.

    Returns:
        The first portfolio whose action has a NaN (then nothing has changed), or -1.
    """
    held = weights
    if moves_before:
        drift_nb(row, before, weights, drifted, growth_before)
        held = drifted
    else:
        growth_before[:] = 1.0
    if kind == SOFTMAX:
        bad = softmax_nb(actions, held, setting_1, setting_2, target)
    elif kind == SIMPLEX:
        bad = simplex_nb(actions, held, setting_1, setting_2, target)
    elif kind == LONG_SHORT:
        bad = long_short_nb(actions, held, setting_1, setting_2, target)
    else:
        bad = trade_orders_nb(actions, held, setting_1, setting_2, target)
    if bad >= 0:
        return bad
    trade_nb(held, target, commission, half_spread, kept, commission_paid, spread_paid, turnover)
    if moves_after:
        drift_nb(row, after, target, weights, growth_after)
    else:
        growth_after[:] = 1.0
        weights[:] = target
    for n in range(row.shape[0]):
        growth[n] = growth_before[n] * kept[n] * growth_after[n]
        gross_return[n] = growth_before[n] * growth_after[n] - 1.0
        net_return[n] = growth[n] - 1.0
        value[n] *= growth[n]
        value_after[n] = value[n]
    reward_nb(
        row,
        growth,
        value,
        turnover,
        benchmark,
        term_weights,
        sharpe_decay,
        risk_aversion,
        peak,
        mean,
        square,
        terms,
        reward,
    )
    for n in range(row.shape[0]):
        row[n] += 1
        row_after[n] = row[n]
        ruined[n] = value[n] <= ruin
        truncated[n] = row[n] >= end[n] and not ruined[n]
        done[n] = ruined[n] or truncated[n]
    return -1
