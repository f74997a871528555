"""The kernels of a step: the accounting, and all that surrounds it, for one compiled call.

The accounting (`drift_nb`, `carry_nb`, `settle_nb` and the trades) is the only code that moves
money. A step of a portfolio has two legs: prices move from the decision to the execution, the
portfolio is rebalanced to its target and charged, and prices move from the execution to the next
decision. Everything is relative to the value of the portfolio, so that a step is

    value_next = value * growth_1 * kept * growth_2

with `kept` in (0, 1] the share of the value that the costs leave. Cash is the last column and is
never charged. All arithmetic is IEEE float64 in a fixed order (no fastmath): the same inputs give
the same bits for one portfolio, for a thousand, and on any number of threads.

There are two whole steps. `step_nb` is for proportional costs that are constant over time, where
everything trades. `step_frictions_nb` can do all: impact, caps, lots, halts, fees, margin, delay;
with all of them off it gives the bits of `step_nb`, a little slower.

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
# Halving [0, 1] this often leaves nothing between two floats.
MAX_SEARCH_STEPS = 200
# How `step_frictions_nb` is told what a trade costs: exactly, or as the literature approximates.
EXACT, MU_EIIE, SIMPLE, OLPS = range(4)
# A holding this close to a whole lot, relative to its size, is whole: weights drift by rounding.
WHOLE = 1e-9
# And so is an order that was sized a moment ago.
SIZED = 1e-12


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


@njit(cache=True, nogil=True)
def impact_nb(size, coefficient, square):
    """`(cost, marginal cost)` of an order's own move of the price: coefficient * size^1.5 or ^2."""
    if square:
        return coefficient * size * size, 2.0 * coefficient * size
    root = math.sqrt(size)
    return coefficient * size * root, 1.5 * coefficient * root


@njit(cache=True, nogil=True)
def whole_lot_nb(wish, held, lot, cap):
    """The holding in whole lots of value `lot` nearest to zero from `wish`, at most `cap` away from
    `held`; `held` itself where there is none, or where nothing was wished to change."""
    if abs(wish - held) <= WHOLE * max(lot, abs(held)):
        return held
    ratio = wish / lot
    nearest = np.rint(ratio)
    if abs(ratio - nearest) <= SIZED * max(1.0, abs(nearest)):
        count = nearest
    else:
        count = np.trunc(ratio)
    if count * lot - held > cap:
        count = math.floor((held + cap) / lot)
        if count * lot < held:
            return held
    elif held - count * lot > cap:
        count = math.ceil((held - cap) / lot)
        if count * lot > held:
            return held
    whole = count * lot
    return held if abs(whole - held) <= WHOLE * max(lot, abs(held)) else whole


@njit(cache=True, nogil=True)
def trade_one_nb(
    held,
    target,
    wealth,
    long_only,
    gross_limit,
    stretch,
    tradable,
    commission,
    half_spread,
    impact,
    square,
    capacity,
    lots,
):
    """Rebalances one portfolio under all frictions; rewrites `target` with what was executed.

    With `x` the share of the value that is left, `F` the value in assets that do not trade (0 where
    shorts are allowed), `u` the wished weights of the others and of cash, scaled to sum 1 (as
    wished where shorts are allowed), the holdings after the trade are

        h_i = u_i * (x - F), within `cap_i` of the holding before;    h_i = d_i if not tradable,
        x + sum_i cost_i(|h_i - d_i|) = 1,    cost_i(o) = rate_i * o + impact_i * o^p,

    and cash is what is left over. The left side grows with x as long as the last unit of an order
    costs less than the whole unit. Without caps it is convex, and Newton's method descends from
    x = 1 to the root, as in `trade_nb`; with caps a bracket catches the steps that leave it.

    Where shorts are allowed and something does not trade, the holdings of the others are cut by one
    factor, so that gross leverage after the trade is at most `gross_limit`: with `G` the gross of
    what does not trade and `U` that of the wishes for the others, h_i = u_i * min(x, max(0,
    gross_limit * x - G) / U) in place of u_i * x.

    Then holdings are rounded to whole lots, and where shorts are not allowed and sales were cut so
    far that cash would be negative, all buys are scaled by the share that leaves cash at 0.

    Args:
        held: `[A+1]` weights before the trade. target: `[A+1]` wished; out: executed.
        wealth: value of the portfolio, in units of the capital.
        long_only: no weight of `held` and `target` is negative, and none may become so.
        gross_limit: of leverage after the trade, where shorts are allowed; inf: none.
        stretch: times `capacity` is the largest order: 1, more in a forced sale.
        tradable: `[A]`. commission, half_spread: `[A]` fractions of the traded notional.
        impact: `[A]` coefficients. square: cost is impact * order^2 whatever the wealth; otherwise
            impact * sqrt(wealth) * order^1.5.
        capacity: `[A]` the largest order in units of the capital; inf: none.
        lots: `[A]` value of a lot in units of the capital; 0: any fraction.

    Returns:
        `(kept, commission, spread, impact, turnover)`, fractions of the value before the trade.
    """
    n_assets = held.shape[0] - 1
    halted = False
    asked = False
    frozen = 0.0
    wished_gross = 0.0
    for i in range(n_assets):
        asked |= target[i] != held[i]
        if not tradable[i]:
            halted = True
            frozen += abs(held[i])
        else:
            wished_gross += abs(target[i])
    if not asked:
        return 1.0, 0.0, 0.0, 0.0, 0.0
    share = 1.0
    if halted and long_only:
        share = max(1.0 - frozen, 0.0)
        wished = target[n_assets]
        for i in range(n_assets):
            if tradable[i]:
                wished += target[i]
        if wished > 0.0:
            for i in range(n_assets + 1):
                target[i] /= wished
        else:
            target[n_assets] = 1.0
    growing = 1.0 if square else math.sqrt(wealth)
    limited = halted and not long_only and frozen > 0.0 and wished_gross > 0.0

    x = share
    sized = x
    low, high = 0.0, share
    changed = halted
    charged_commission = charged_spread = charged_impact = traded = 0.0
    for _ in range(MAX_SEARCH_STEPS):
        charged_commission = 0.0
        charged_spread = 0.0
        charged_impact = 0.0
        traded = 0.0
        slope = 1.0
        changed = halted
        sized = x
        growth = 1.0
        if limited:
            room = (gross_limit * x - frozen) / wished_gross
            if room < x:
                sized = max(room, 0.0)
                growth = gross_limit / wished_gross if room > 0.0 else 0.0
        for i in range(n_assets):
            if not tradable[i]:
                continue
            weight = target[i]
            order = sized * weight - held[i]
            size = abs(order)
            marginal = commission[i] + half_spread[i]
            cut = size * wealth > stretch * capacity[i]
            if cut:
                size = stretch * capacity[i] / wealth
                changed = True
            if impact[i] > 0.0:
                cost, extra = impact_nb(size, growing * impact[i], square)
                charged_impact += cost
                marginal += extra
            if not cut:
                slope += marginal * growth * (weight if order > 0.0 else -weight)
            if lots[i] > 0.0:
                changed = True
            charged_commission += commission[i] * size
            charged_spread += half_spread[i] * size
            traded += size
        charged = charged_commission + charged_spread + charged_impact
        excess = x + charged - share
        if abs(excess) <= SOLVED:
            break
        if excess > 0.0:
            high = x
        else:
            low = x
        x -= excess / slope
        if not low < x < high:
            x = 0.5 * (low + high)
            if x == low or x == high:
                break
    if not changed:
        kept = 1.0 - (charged_commission + charged_spread + charged_impact)
        return kept, charged_commission, charged_spread, charged_impact, traded

    # ------------------------------------------------ holdings, as fractions of the value before
    paid_for = held[n_assets]
    needed = 0.0
    for i in range(n_assets):
        if not tradable[i]:
            target[i] = held[i]
            continue
        wish = sized * target[i]
        cap = stretch * capacity[i] / wealth
        if wish - held[i] > cap:
            wish = held[i] + cap
        elif held[i] - wish > cap:
            wish = held[i] - cap
        if lots[i] > 0.0:
            wish = whole_lot_nb(wish, held[i], lots[i] / wealth, cap)
        target[i] = wish
        order = wish - held[i]
        size = abs(order)
        cost = (commission[i] + half_spread[i]) * size
        cost += impact_nb(size, growing * impact[i], square)[0]
        if order < 0.0:
            paid_for += size - cost
        else:
            needed += size + cost
    if long_only and needed > paid_for:
        buys = 0.0
        if paid_for > 0.0:
            buys = 1.0
            for _ in range(MAX_NEWTON_STEPS):
                spent = 0.0
                slope = 0.0
                for i in range(n_assets):
                    bought = target[i] - held[i]
                    if bought > 0.0:
                        rate = commission[i] + half_spread[i]
                        cost, extra = impact_nb(buys * bought, growing * impact[i], square)
                        spent += (1.0 + rate) * buys * bought + cost
                        slope += (1.0 + rate + extra) * bought
                if spent - paid_for <= SOLVED * slope:
                    break
                buys -= (spent - paid_for) / slope
        for i in range(n_assets):
            bought = target[i] - held[i]
            if bought > 0.0:
                wish = held[i] + buys * bought
                if lots[i] > 0.0:
                    wish = whole_lot_nb(wish, held[i], lots[i] / wealth, bought)
                target[i] = wish

    charged_commission = charged_spread = charged_impact = traded = total = 0.0
    for i in range(n_assets):
        size = abs(target[i] - held[i])
        charged_commission += commission[i] * size
        charged_spread += half_spread[i] * size
        charged_impact += impact_nb(size, growing * impact[i], square)[0]
        traded += size
        total += target[i]
    kept = 1.0 - (charged_commission + charged_spread + charged_impact)
    cash = kept - total
    whole = kept
    if long_only and cash < 0.0:
        # Rounding: a share of 1e-12 at most.
        cash = 0.0
        whole = total
    if kept > 0.0:
        for i in range(n_assets):
            target[i] /= whole
        target[n_assets] = cash / whole
    else:
        for i in range(n_assets):
            target[i] = 0.0
        target[n_assets] = 1.0
    return kept, charged_commission, charged_spread, charged_impact, traded


@njit(cache=True, nogil=True)
def at_nb(rows, row):
    """The row of an array by decision row that may have one row for all of time."""
    return min(row, rows.shape[0] - 1)


@njit(cache=True, nogil=True)
def trade_limited_nb(
    row,
    wealth,
    drifted,
    target,
    long_only,
    gross_limit,
    tradable,
    commission,
    half_spread,
    impact,
    square,
    capacity,
    lots,
    kept,
    commission_paid,
    spread_paid,
    impact_paid,
    turnover,
):
    """`trade_one_nb` for N portfolios; `tradable` to `lots` are `[T-1, A]` or `[1, A]` by decision
    row, `row` and `wealth` are `[N]`. A portfolio without value trades nothing."""
    for n in range(row.shape[0]):
        if not wealth[n] > 0.0:
            target[n, :] = drifted[n]
            kept[n] = 1.0
            commission_paid[n] = spread_paid[n] = impact_paid[n] = turnover[n] = 0.0
            continue
        kept[n], commission_paid[n], spread_paid[n], impact_paid[n], turnover[n] = trade_one_nb(
            drifted[n],
            target[n],
            wealth[n],
            long_only,
            gross_limit,
            1.0,
            tradable[at_nb(tradable, row[n])],
            commission[at_nb(commission, row[n])],
            half_spread[at_nb(half_spread, row[n])],
            impact[at_nb(impact, row[n])],
            square,
            capacity[at_nb(capacity, row[n])],
            lots[at_nb(lots, row[n])],
        )


@njit(cache=True, nogil=True)
def trade_literature_nb(
    model, drifted, target, commission, left, kept, commission_paid, spread_paid, turnover
):
    """Rebalances N portfolios and charges them as published comparisons do; cash is not counted.

    With b the target, d the weights held, c the rate and m the share of the value that is left:

        MU_EIIE   m = (1 - c d_cash - (2c - c^2) sum_i max(d_i - m b_i, 0)) / (1 - c b_cash)
        SIMPLE    m = 1 - c sum_i |b_i - d_i|
        OLPS      m = 1 - c sum_i |b_i - d_i / m_before|

    (Jiang, Xu and Liang 2017; the first-order formula; the OLPS toolbox, which divides the held
    weights by the net return.) They conserve value to first order in c only.

    Args:
        commission: `[1, A]`, the same rate everywhere. left: `[N]` m of the trade before.
        others: as `trade_nb`.
    """
    n_assets = target.shape[1] - 1
    rate = commission[0, 0]
    for n in range(target.shape[0]):
        m = 1.0
        if model == MU_EIIE:
            both = 2.0 * rate - rate * rate
            for _ in range(MAX_NEWTON_STEPS):
                slope = 1.0 - rate * target[n, n_assets]
                excess = m * slope - 1.0 + rate * drifted[n, n_assets]
                for i in range(n_assets):
                    sold = drifted[n, i] - m * target[n, i]
                    if sold > 0.0:
                        excess += both * sold
                        slope -= both * target[n, i]
                if excess <= SOLVED:
                    break
                m -= excess / slope
        else:
            before = left[n] if model == OLPS else 1.0
            distance = 0.0
            for i in range(n_assets):
                distance += abs(target[n, i] - drifted[n, i] / before)
            m = 1.0 - rate * distance
        traded = 0.0
        for i in range(n_assets):
            traded += abs(m * target[n, i] - drifted[n, i])
        kept[n] = m
        commission_paid[n] = 1.0 - m
        spread_paid[n] = 0.0
        turnover[n] = traded


@njit(cache=True, nogil=True)
def carry_nb(start, factor, borrow, financing, weights, carried, borrow_paid, financing_paid):
    """Charges N portfolios for a leg: a fee on shorts and a spread on negative cash, out of cash.

    Args:
        start: `[N, A+1]` weights at its start, on which the fees accrue.
        factor: `[N]` growth of the value over the leg.
        borrow: `[A]` fee for the leg on the value of a short. financing: the same on debt.
        weights: `[N, A+1]` at its end, changed.
        carried: out, `[N]` share of the value at its end that the fees leave.
        borrow_paid, financing_paid: out, `[N]` fractions of the value at its end, before they are
            paid: `carried + borrow_paid + financing_paid == 1` to rounding.
    """
    n_assets = start.shape[1] - 1
    for n in range(start.shape[0]):
        fee = 0.0
        for i in range(n_assets):
            if start[n, i] < 0.0:
                fee -= start[n, i] * borrow[i]
        debt = -start[n, n_assets] * financing if start[n, n_assets] < 0.0 else 0.0
        borrow_paid[n] = financing_paid[n] = 0.0
        carried[n] = 1.0
        # A ruined portfolio owes nothing more.
        if fee + debt <= 0.0 or factor[n] <= 0.0:
            continue
        borrow_paid[n] = fee / factor[n]
        financing_paid[n] = debt / factor[n]
        left = 1.0 - (borrow_paid[n] + financing_paid[n])
        carried[n] = left
        for i in range(n_assets):
            weights[n, i] = weights[n, i] / left if left > 0.0 else 0.0
        weights[n, n_assets] = 1.0 - weights[n, :n_assets].sum() if left > 0.0 else 1.0


@njit(cache=True, nogil=True)
def settle_nb(row, settles, weights):
    """Makes cash of the holdings in assets that were delisted in the step, `settles [K, A]`."""
    n_assets = weights.shape[1] - 1
    for n in range(row.shape[0]):
        ended = settles[at_nb(settles, row[n])]
        for i in range(n_assets):
            if ended[i]:
                weights[n, n_assets] += weights[n, i]
                weights[n, i] = 0.0


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


@njit(cache=True, nogil=True, inline="always")
def target_nb(actions, kind, setting_1, setting_2, held, target):
    """The action map of this kind."""
    if kind == SOFTMAX:
        return softmax_nb(actions, held, setting_1, setting_2, target)
    if kind == SIMPLEX:
        return simplex_nb(actions, held, setting_1, setting_2, target)
    if kind == LONG_SHORT:
        return long_short_nb(actions, held, setting_1, setting_2, target)
    return trade_orders_nb(actions, held, setting_1, setting_2, target)


# ---------------------------------------------------------------------- rewards
@njit(cache=True, nogil=True)
def reward_nb(
    rows,
    growth,
    value,
    turnover,
    log_benchmark,
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
        rows: `[N]` int64 decision rows; `log_benchmark` is `[T-1]` log growth by decision row.
        growth: `[N]` V_next / V of the step; `value [N]` is V_next; `turnover [N]`.
        term_weights: `[K]` in the order of `TERMS`.
        peak, mean, square: state, `[N]`: highest value, moving averages of R and R^2.
        terms: out, `[N, K]`. reward: out, `[N]` float64.
    """
    for n in range(rows.shape[0]):
        # Locals: what a store may have changed would be read again.
        wealth = value[n]
        highest = max(peak[n], wealth)
        peak[n] = highest
        log_growth = math.log(max(growth[n], LOWEST_GROWTH))
        simple = growth[n] - 1.0

        average, average_square = mean[n], square[n]
        delta_mean = simple - average
        delta_square = simple * simple - average_square
        variance = average_square - average * average
        sharpe = 0.0
        # Constant returns have no Sharpe ratio to differentiate.
        if variance > 1e-12:
            # Not variance**1.5: a general power takes as long as all the rest of a reward.
            cubed = variance * math.sqrt(variance)
            sharpe = (average_square * delta_mean - 0.5 * average * delta_square) / cubed
        mean[n] = average + sharpe_decay * delta_mean
        square[n] = average_square + sharpe_decay * delta_square

        excess = log_growth - log_benchmark[rows[n]]
        utility = simple - 0.5 * risk_aversion * simple * simple
        drawdown = 1.0 - max(wealth, 0.0) / highest
        traded = turnover[n]
        terms[n, 0] = log_growth
        terms[n, 1] = excess
        terms[n, 2] = sharpe
        terms[n, 3] = utility
        terms[n, 4] = drawdown
        terms[n, 5] = traded
        reward[n] = (
            0.0
            + term_weights[0] * log_growth
            + term_weights[1] * excess
            + term_weights[2] * sharpe
            + term_weights[3] * utility
            + term_weights[4] * drawdown
            + term_weights[5] * traded
        )


@njit(cache=True, nogil=True)
def log_nb(values, out):
    """The logarithms of `values [T]`, with the bits of those that the reward takes of growth."""
    for t in range(values.shape[0]):
        out[t] = math.log(values[t])


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
@njit(cache=True, nogil=True, inline="always")
def finish_nb(
    row,
    end,
    value,
    peak,
    mean,
    square,
    growth_before,
    kept,
    growth_after,
    log_benchmark,
    term_weights,
    sharpe_decay,
    risk_aversion,
    ruin,
    turnover,
    growth,
    gross_return,
    net_return,
    terms,
    reward,
    value_after,
    row_after,
    ruined,
    truncated,
    done,
):
    """The end of a step: value, reward, the next row, and whether the episode is over.

    Inlined: handing over so many arrays would cost one portfolio 7 % of its step.
    """
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
        log_benchmark,
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
    log_benchmark,
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
    bad = target_nb(actions, kind, setting_1, setting_2, held, target)
    if bad >= 0:
        return bad
    trade_nb(held, target, commission, half_spread, kept, commission_paid, spread_paid, turnover)
    if moves_after:
        drift_nb(row, after, target, weights, growth_after)
    else:
        growth_after[:] = 1.0
        weights[:] = target
    finish_nb(
        row,
        end,
        value,
        peak,
        mean,
        square,
        growth_before,
        kept,
        growth_after,
        log_benchmark,
        term_weights,
        sharpe_decay,
        risk_aversion,
        ruin,
        turnover,
        growth,
        gross_return,
        net_return,
        terms,
        reward,
        value_after,
        row_after,
        ruined,
        truncated,
        done,
    )
    return -1


@njit(cache=True, nogil=True)
def queue_nb(actions, pending, due):
    """Writes the actions whose time has come, `due [N, n]`, and queues the new ones: `pending`
    is `[N, delay, n]`, oldest first."""
    delay = pending.shape[1]
    if delay == 0:
        due[:] = actions
        return
    for n in range(actions.shape[0]):
        due[n, :] = pending[n, 0]
        for k in range(delay - 1):
            pending[n, k, :] = pending[n, k + 1]
        pending[n, delay - 1, :] = actions[n]


@njit(cache=True, nogil=True)
def has_nan_nb(actions):
    """The first row with a NaN, or -1."""
    for n in range(actions.shape[0]):
        for i in range(actions.shape[1]):
            if math.isnan(actions[n, i]):
                return n
    return -1


@njit(cache=True, nogil=True)
def step_frictions_nb(
    actions,
    kind,
    setting_1,
    setting_2,
    moves_before,
    before,
    moves_after,
    after,
    log_benchmark,
    term_weights,
    sharpe_decay,
    risk_aversion,
    ruin,
    model,
    long_only,
    tradable,
    settles,
    commission,
    half_spread,
    impact,
    impact_square,
    capacity,
    stretch,
    lots,
    borrow,
    financing,
    margin,
    gross_limit,
    row,
    end,
    weights,
    value,
    peak,
    mean,
    square,
    pending,
    waiting,
    left,
    drifted,
    due,
    carried,
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
    impact_paid,
    borrow_paid,
    financing_paid,
    forced,
):
    """`step_nb` with every friction; see `envs.market.cost_arrays.CostArrays` for their arrays.

    In this order: prices move (leg 1), fees accrue if the night lies in it, delisted assets become
    cash, the action that is due is traded, prices move (leg 2), fees and delistings if leg 1 is
    empty, and at the close a portfolio beyond its margin is cut back to its gross limit.

    Args:
        tradable, settles: `[T-1, A]` or `[1, A]`. pending, waiting, left: state, the queue of a
            delay, `[N]` steps until its first action is due, `[N]` the share that the last trade
            left. due, carried: scratch, `[N, n]` and `[N]`. forced: out, `[N]` bool.
        others: as `step_nb`.

    Returns:
        The first portfolio whose action has a NaN (then nothing has changed), or -1.
    """
    bad = has_nan_nb(actions)
    if bad >= 0:
        return bad
    queue_nb(actions, pending, due)
    held = weights
    if moves_before:
        drift_nb(row, before, weights, drifted, growth_before)
        carry_nb(
            weights, growth_before, borrow, financing, drifted, carried, borrow_paid, financing_paid
        )
        settle_nb(row, settles, drifted)
        held = drifted
    else:
        growth_before[:] = 1.0
        carried[:] = 1.0
    if kind == TRADE:
        for n in range(row.shape[0]):
            can = tradable[at_nb(tradable, row[n])]
            for i in range(can.shape[0]):
                if not can[i]:
                    due[n, i] = 0.0
    target_nb(due, kind, setting_1, setting_2, held, target)
    for n in range(row.shape[0]):
        if waiting[n] > 0:
            waiting[n] -= 1
            target[n, :] = held[n]
        value_after[n] = value[n] * growth_before[n] * carried[n]
    if model == EXACT:
        trade_limited_nb(
            row,
            value_after,
            held,
            target,
            long_only,
            gross_limit,
            tradable,
            commission,
            half_spread,
            impact,
            impact_square,
            capacity,
            lots,
            kept,
            commission_paid,
            spread_paid,
            impact_paid,
            turnover,
        )
    else:
        trade_literature_nb(
            model, held, target, commission, left, kept, commission_paid, spread_paid, turnover
        )
    left[:] = kept
    # What is paid becomes a fraction of the value as it would be had the step cost nothing.
    for n in range(row.shape[0]):
        if moves_before:
            commission_paid[n] *= carried[n]
            spread_paid[n] *= carried[n]
            impact_paid[n] *= carried[n]
            turnover[n] *= carried[n]
            kept[n] *= carried[n]
    if moves_after:
        drift_nb(row, after, target, weights, growth_after)
        if not moves_before:
            carry_nb(
                target,
                growth_after,
                borrow,
                financing,
                weights,
                carried,
                borrow_paid,
                financing_paid,
            )
            for n in range(row.shape[0]):
                borrow_paid[n] *= kept[n]
                financing_paid[n] *= kept[n]
                kept[n] *= carried[n]
            settle_nb(row, settles, weights)
    else:
        growth_after[:] = 1.0
        weights[:] = target
    for n in range(row.shape[0]):
        forced[n] = False
        wealth = value[n] * growth_before[n] * kept[n] * growth_after[n]
        gross = 0.0
        for i in range(borrow.shape[0]):
            gross += abs(weights[n, i])
        if not (gross > margin and wealth > 0.0):
            continue
        forced[n] = True
        cash = 1.0
        for i in range(borrow.shape[0]):
            drifted[n, i] = weights[n, i] * (gross_limit / gross)
            cash -= drifted[n, i]
        drifted[n, borrow.shape[0]] = cash
        # The prices are those of the close t+1: where leg 1 is empty that is the next row.
        r = row[n] if moves_before else row[n] + 1
        left_over, fee, spread, moved, traded = trade_one_nb(
            weights[n],
            drifted[n],
            wealth,
            False,
            np.inf,
            stretch,
            tradable[at_nb(tradable, r)],
            commission[at_nb(commission, r)],
            half_spread[at_nb(half_spread, r)],
            impact[at_nb(impact, r)],
            impact_square,
            capacity[at_nb(capacity, r)],
            lots[at_nb(lots, r)],
        )
        weights[n, :] = drifted[n]
        commission_paid[n] += kept[n] * fee
        spread_paid[n] += kept[n] * spread
        impact_paid[n] += kept[n] * moved
        turnover[n] += kept[n] * traded
        kept[n] *= left_over
    finish_nb(
        row,
        end,
        value,
        peak,
        mean,
        square,
        growth_before,
        kept,
        growth_after,
        log_benchmark,
        term_weights,
        sharpe_decay,
        risk_aversion,
        ruin,
        turnover,
        growth,
        gross_return,
        net_return,
        terms,
        reward,
        value_after,
        row_after,
        ruined,
        truncated,
        done,
    )
    return -1
