"""A portfolio counted in shares, from prices and dates: the slow twin of listing and delisting.

Nothing of `envs.market` is used: whether an asset trades comes from `market.tradable`, and what a
delisting pays is an argument.
"""

from __future__ import annotations


def last_traded(market, row, asset):
    """The last close at which the asset traded, at or before `row`; 0 before its listing."""
    for t in range(row, -1, -1):
        if market.tradable[t, asset]:
            return float(market.close[t, asset])
    return 0.0


def delisting_row(market, asset):
    """The row after the last tradable one; None where that is the end of the panel."""
    last = max(t for t in range(market.n_rows) if market.tradable[t, asset])
    return last + 1 if last + 1 < market.n_rows else None


def listed(market, row, asset):
    end = delisting_row(market, asset)
    return last_traded(market, row, asset) > 0 and (end is None or row < end)


def equal_weight(market, row, paid):
    """Growth from `row` to the next of equal amounts in all that is listed, halted or not."""
    growths = []
    for a in range(market.n_assets):
        if listed(market, row, a):
            growth = last_traded(market, row + 1, a) / last_traded(market, row, a)
            growths.append(paid[a] if delisting_row(market, a) == row + 1 else growth)
    return sum(growths) / len(growths) if growths else 1.0


def after_costs(held, cash, wish, can, rate):
    """`(amounts, cash)` after a trade from `held` amounts to the `wish`, net of its own cost.

    What cannot trade stays. The others and cash share out the rest of the value in the proportions
    of the wish, where the value is what the cost has left: found by halving.
    """
    n_assets = len(held)
    value = sum(held) + cash
    frozen = sum(held[a] for a in range(n_assets) if not can[a])
    wished = wish[n_assets] + sum(wish[a] for a in range(n_assets) if can[a])
    share = [w / wished if wished > 0 else 0.0 for w in wish]
    if wished <= 0:
        share[n_assets] = 1.0

    def amounts(left):
        return [share[a] * (left - frozen) if can[a] else held[a] for a in range(n_assets)]

    low, high = frozen, value
    for _ in range(200):
        left = 0.5 * (low + high)
        cost = rate * sum(abs(x - h) for x, h in zip(amounts(left), held, strict=True))
        low, high = (low, left) if left + cost > value else (left, high)
    return amounts(low), share[n_assets] * (low - frozen)


def overnight(market, t, shares, cash, paid):
    """Cash earns its rate from `t` to the next row; then holders of what left there are paid."""
    cash *= 1.0 + float(market.cash_rate[t + 1])
    for a in range(market.n_assets):
        if delisting_row(market, a) == t + 1:
            cash += shares[a] * paid[a] * last_traded(market, t, a)
            shares[a] = 0.0
    return cash


def replay(market, wishes, execution="same_close", rate=0.0, paid=None, first=0):
    """`(values, weights)` of a long-only portfolio: wealth after each step, weights after trades.

    Args:
        wishes: for each step the wished weights, assets and then cash, sum 1.
        rate: cost of a trade as a share of its notional.
        paid: `[A]` share of the last close that a delisting pays.
        first: the row of the first decision.
    """
    n_assets = market.n_assets
    paid = [1.0] * n_assets if paid is None else paid
    shares, cash = [0.0] * n_assets, 1.0
    values, weights = [], []
    for k, wish in enumerate(wishes):
        t = first + k
        at = t if execution == "same_close" else t + 1
        if execution != "same_close":
            cash = overnight(market, t, shares, cash, paid)
        can = [bool(c) for c in market.tradable[at]]
        price = [last_traded(market, at, a) for a in range(n_assets)]
        if execution == "next_open":
            price = [float(market.open[at, a]) if can[a] else price[a] for a in range(n_assets)]
        held = [s * p for s, p in zip(shares, price, strict=True)]
        amounts, cash = after_costs(held, cash, wish, can, rate)
        shares = [amounts[a] / price[a] if can[a] else shares[a] for a in range(n_assets)]
        value = sum(amounts) + cash
        weights.append([x / value for x in [*amounts, cash]])
        if execution == "same_close":
            cash = overnight(market, t, shares, cash, paid)
        values.append(sum(s * last_traded(market, t + 1, a) for a, s in enumerate(shares)) + cash)
    return values, weights
