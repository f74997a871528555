"""The slow twin of a whole step with frictions: fifty digits, bisection, one portfolio at a time.

Written from the definitions in docs/environment.md, with none of the kernel's algebra: orders are
sized by halving an interval, and money is counted as money.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from decimal import Decimal, getcontext

getcontext().prec = 50
D = Decimal
ZERO, ONE = D(0), D(1)
INFINITE = D("Infinity")
HALVINGS = 64  # an interval of 1 shrinks to 5e-20


def exact(values):
    """Floats as the decimals that they are."""
    return [D(float(v)) for v in values]


def root(f, low, high):
    """Where the increasing `f` crosses zero in [low, high]; an end where it does not."""
    if f(high) <= 0:
        return high
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if f(middle) > 0:
            high = middle
        else:
            low = middle
    return low


@dataclass
class Day:
    """What one portfolio meets at one trade; per asset, money in the currency of the prices."""

    tradable: list[bool]
    commission: list[Decimal]
    spread: list[Decimal]
    quadratic: list[Decimal]
    impact: Decimal  # k of the square root law
    sigma: list[Decimal]
    volume: list[Decimal] | None  # money; None: no impact and no cap
    participation: Decimal | None
    lot: list[Decimal] | None  # money
    capital: Decimal


def impact_of(day, i, money):
    """Money that an order of this much money costs by moving its own price."""
    if not day.impact or not money:
        return ZERO
    return day.impact * day.sigma[i] * (money / day.volume[i]).sqrt() * money


def kinds_of(day, i, order, value):
    """`(commission, spread, impact)` in money, of an order of `order` times `value`."""
    size = abs(order)
    impact = day.quadratic[i] * size * size * value + impact_of(day, i, size * value)
    return day.commission[i] * size * value, day.spread[i] * size * value, impact


def cost(day, i, order, value):
    """The same, summed, as a share of the value."""
    return sum(kinds_of(day, i, order, value)) / value


def largest(day, i, value, forced):
    """The largest order, as a share of the value; a forced sale may take the whole volume."""
    if not day.tradable[i]:
        return ZERO
    if day.participation is None:
        return INFINITE
    share = max(day.participation, ONE) if forced else day.participation
    return share * day.volume[i] / value


def in_lots(wish, held, lot, cap):
    """The whole number of lots that is nearest to zero from `wish`, among those not further than
    `cap` from `held`; `held` if there is none or if that is what it holds (to 1e-9 of it)."""
    close = D("1e-9") * max(lot, abs(held))
    if abs(wish - held) <= close:
        return held
    n = wish / lot
    nearest = D(int(n.to_integral_value()))
    if abs(n - nearest) > D("1e-12") * max(ONE, abs(nearest)):
        nearest = D(int(n))  # int() cuts towards zero
    n = nearest
    if n * lot > held + cap:
        n = D(math.floor((held + cap) / lot))
        if n * lot < held:
            return held
    if n * lot < held - cap:
        n = D(math.ceil((held - cap) / lot))
        if n * lot > held:
            return held
    return held if abs(n * lot - held) <= close else n * lot


def rebalance(held, wish, value, day, long_only, limit, forced=False):
    """`(kept, weights, (commission, spread, impact), turnover)` after the trade; `value` is money,
    all else shares of it or of what is left of it. With shorts, what trades makes room for what
    does not: gross leverage afterwards is at most `limit`, if that is not beyond it alone."""
    count = len(held) - 1
    assets = range(count)
    if list(wish) == list(held):
        return ONE, list(held), (ZERO, ZERO, ZERO), ZERO
    frozen = sum((held[i] for i in assets if not day.tradable[i]), ZERO) if long_only else ZERO
    wished = list(wish)
    if long_only and not all(day.tradable):
        total = sum((wish[i] for i in assets if day.tradable[i]), wish[-1])
        wished = [w / total if total else ZERO for w in wish]
    stuck = sum((abs(held[i]) for i in assets if not day.tradable[i]), ZERO)
    gross = sum((abs(wish[i]) for i in assets if day.tradable[i]), ZERO)
    limits = [largest(day, i, value, forced) for i in assets]

    def sized(x):
        """Holdings, if `x` were left."""
        made, part = [], x - frozen
        if not (long_only or forced) and stuck and part * gross + stuck > limit * x:
            part = max(limit * x - stuck, ZERO) / gross if gross else ZERO
        for i in assets:
            change = wished[i] * part - held[i] if day.tradable[i] else ZERO
            made.append(held[i] + min(max(change, -limits[i]), limits[i]))
        return made

    def over(x):
        return x + sum(cost(day, i, h - held[i], value) for i, h in enumerate(sized(x))) - 1

    holdings = sized(root(over, min(frozen, ONE), ONE))

    def lots(wanted, bounds):
        if day.lot is None:
            return wanted
        return [
            in_lots(wanted[i], held[i], day.lot[i] / value, bounds[i])
            if day.tradable[i]
            else held[i]
            for i in assets
        ]

    holdings = lots(holdings, limits)

    def cash_of(made):
        spent = sum((h - held[i] for i, h in enumerate(made)), ZERO)
        return held[-1] - spent - sum(cost(day, i, h - held[i], value) for i, h in enumerate(made))

    if long_only and cash_of(holdings) < 0:
        wanted = holdings

        def part(share):
            return [
                held[i] + share * (h - held[i]) if h > held[i] else h for i, h in enumerate(wanted)
            ]

        share = root(lambda s: -cash_of(part(s)), ZERO, ONE)
        holdings = lots(part(share), [abs(h - held[i]) for i, h in enumerate(wanted)])
        # What does not grow is not rounded again.
        holdings = [h if wanted[i] > held[i] else wanted[i] for i, h in enumerate(holdings)]
    paid = [kinds_of(day, i, h - held[i], value) for i, h in enumerate(holdings)]
    kinds = tuple(sum((p[k] for p in paid), ZERO) / value for k in range(3))
    kept = 1 - sum(kinds)
    turnover = sum((abs(h - held[i]) for i, h in enumerate(holdings)), ZERO)
    cash = cash_of(holdings)
    return kept, [h / kept for h in holdings] + [cash / kept], kinds, turnover


@dataclass
class Portfolio:
    """Money in each asset and in cash."""

    money: list[Decimal]
    paid: dict[str, Decimal] = field(default_factory=dict)
    costless: Decimal = ZERO  # money that there would be at this moment had the step cost nothing

    @property
    def value(self):
        return sum(self.money)

    def weights(self):
        return [m / self.value for m in self.money]

    def move(self, growth):
        before = self.value
        self.money = [m * g for m, g in zip(self.money, growth, strict=True)]
        self.costless *= self.value / before

    def pay(self, kind, amount):
        self.paid[kind] = self.paid.get(kind, ZERO) + amount / self.costless

    def carry(self, start, borrow, financing):
        """Fees on the shorts and the debt that there were at `start` (money) leave as cash."""
        if self.value <= 0:
            return  # a ruined portfolio owes nothing more
        fee = sum((-m * b for m, b in zip(start[:-1], borrow, strict=True) if m < 0), ZERO)
        debt = max(-start[-1], ZERO) * financing
        self.pay("borrow", fee)
        self.pay("financing", debt)
        self.money[-1] -= fee + debt

    def settle(self, ended):
        for i, gone in enumerate(ended):
            if gone:
                self.money[-1] += self.money[i]
                self.money[i] = ZERO

    def trade(self, wish, day, long_only, limit, forced=False):
        value = self.value
        kept, weights, kinds, turnover = rebalance(
            self.weights(), wish, value, day, long_only, limit, forced
        )
        for kind, share in zip(("commission", "spread", "impact"), kinds, strict=True):
            self.pay(kind, share * value)
        self.pay("turnover", turnover * value)
        self.money = [w * kept * value for w in weights]


def step(
    weights, value, wish_of, before, after, day, night_day, fees, settles, margin, limit, long_only
):
    """One step of one portfolio.

    Args:
        weights, value: at the decision; `value` is money. wish_of: from weights at the trade to the
            wished ones. before, after: growth of each asset and cash, None for an empty leg.
        day, night_day: of the trade, and of a forced trade at the close.
        fees: `(borrow of each asset, financing)` for the step. settles: which assets end.

    Returns:
        `(portfolio, weights just after the trade, gross growth, forced)`;
        a ruined portfolio goes no further.
    """
    held = Portfolio([w * value for w in weights], costless=value)
    gross = ONE
    if before is not None:
        start = list(held.money)
        held.move(before)
        gross = held.value / value
        held.carry(start, *fees)
        held.settle(settles)
    if held.value <= 0:
        return held, None, gross, False
    held.trade(wish_of(held.weights()), day, long_only, limit)
    executed = held.weights()
    if after is not None:
        start, value_then = list(held.money), held.value
        held.move(after)
        gross *= held.value / value_then
        if before is None:
            held.carry(start, *fees)
            held.settle(settles)
    if held.value <= 0:
        return held, executed, gross, False
    leverage = sum((abs(m) for m in held.money[:-1]), ZERO) / held.value
    forced = leverage > margin
    if forced:
        smaller = [w * limit / leverage for w in held.weights()[:-1]]
        held.trade([*smaller, 1 - sum(smaller)], night_day, False, limit, forced=True)
    return held, executed, gross, forced
