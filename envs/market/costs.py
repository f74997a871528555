"""What trading and holding cost, as typed settings that become the arrays the kernel reads.

| class | what it adds | hydra |
|---|---|---|
| `ProportionalCost` | commission, half spread, constant or by day | proportional, free, schedule |
| `QuadraticCost` | a cost that grows with the square of the order | quadratic |
| `Frictions` | impact, caps, lots, fees on shorts and debt, margin calls | impact, realistic |
| `LiteratureCost` | the cost formulas of published comparisons | literature |
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from envs.data.market_data import MarketData
from envs.errors import InputError
from envs.market import kernel
from envs.market.cost_arrays import (
    FEWEST_RETURNS,
    CostArrays,
    Float,
    Numbers,
    execution_rows,
    per_asset,
    refuse_all,
    schedule,
    volatility,
)
from envs.market.legs import standing_prices

MODELS = {
    "notional": kernel.EXACT,
    "mu_eiie": kernel.MU_EIIE,
    "simple": kernel.SIMPLE,
    "olps": kernel.OLPS,
}
# How the others reckon, in words; that of `notional` is exact.
FORMULAS = {
    "mu_eiie": ", by the formula of Jiang, Xu and Liang (2017)",
    "simple": ", of the trades that would be made without costs",
    "olps": ", by the formula of the OLPS toolbox",
}

# Fees beyond 10,000 % a year are a slip of the keyboard, and the largest floats overflow.
MOST_A_YEAR = 100.0


@dataclass(frozen=True)
class ProportionalCost:
    """Costs proportional to the traded notional, on each side of a trade.

    Attributes:
        commission_bps: commission in basis points of the notional: one number, one per asset, or
            `[T, A]` for each row and asset of the market (that of the row of the execution is
            charged); or the name of such a schedule that is stored beside the panel, in fractions
            (`one_way_cost` of `futures`).
        half_spread_bps: half the bid-ask spread, in the same way.
    """

    commission_bps: Numbers | str = 5.0
    half_spread_bps: Numbers | str = 5.0

    def rates(self, n_assets: int, gross_limit: float = 1.0) -> tuple[Float, Float]:
        """`(commission, half_spread)`, each `[A]`, as fractions, where they are numbers.

        Raises:
            InputError: for a negative or missing rate, a wrong number of rates, or costs that take
                all of the value (rate times gross leverage of 100 % or more).
        """
        commission = per_asset("cost.commission_bps", self.commission_bps, n_assets) / 1e4
        half_spread = per_asset("cost.half_spread_bps", self.half_spread_bps, n_assets) / 1e4
        refuse_all(commission + half_spread, gross_limit)
        return commission, half_spread

    def arrays(
        self, market: MarketData, execution: str = "next_close", gross_limit: float = 1.0
    ) -> CostArrays:
        """These costs for this market, by decision row.

        Raises:
            InputError: as `rates`, and for a schedule that the market does not have.
        """
        commission = self._rows("commission_bps", self.commission_bps, market, execution)
        half_spread = self._rows("half_spread_bps", self.half_spread_bps, market, execution)
        refuse_all(commission + half_spread, gross_limit)
        n = market.n_assets
        return CostArrays(
            commission=commission,
            half_spread=half_spread,
            impact=np.zeros((1, n)),
            impact_square=False,
            capacity=np.full((1, n), np.inf),
            stretch=1.0,
            lots=np.zeros((1, n)),
            borrow=np.zeros(n),
            financing=0.0,
            margin=np.inf,
            model=kernel.EXACT,
        )

    def words(self) -> str:
        """The costs in plain words, for reports."""
        commission, spread = _rate_words(self.commission_bps), _rate_words(self.half_spread_bps)
        return f"commission {commission} and half spread {spread} of the traded notional, each side"

    @staticmethod
    def _rows(key: str, value: Numbers | str, market: MarketData, execution: str) -> Float:
        if isinstance(value, str):
            rate = schedule(market, f"cost.{key}", value)
            return np.ascontiguousarray(rate[execution_rows(market, execution)])
        if np.ndim(value) == 2:
            if np.shape(value) != market.close.shape:
                raise InputError(
                    f"cost.{key} by row must be {market.close.shape}, got {np.shape(value)}"
                )
            flat = per_asset(f"cost.{key}", np.ravel(value), market.close.size)  # type: ignore[arg-type]
            rows = flat.reshape(market.close.shape)[execution_rows(market, execution)]
            return np.ascontiguousarray(rows) / 1e4
        return per_asset(f"cost.{key}", value, market.n_assets)[None] / 1e4


@dataclass(frozen=True)
class QuadraticCost(ProportionalCost):
    """An order of the share o of the value costs `quadratic * o^2` of it, whatever the wealth.

    The cost of Garleanu and Pedersen (2013), 0.5 * o' Lambda o, for a diagonal Lambda: `quadratic`
    is half its diagonal.

    Attributes:
        quadratic: one number or one per asset.
        others: as `ProportionalCost`.
    """

    quadratic: Numbers = 0.01
    commission_bps: Numbers | str = 0.0
    half_spread_bps: Numbers | str = 0.0

    def arrays(
        self, market: MarketData, execution: str = "next_close", gross_limit: float = 1.0
    ) -> CostArrays:
        """As `ProportionalCost.arrays`."""
        made = super().arrays(market, execution, gross_limit)
        quadratic = per_asset("cost.quadratic", self.quadratic, market.n_assets)[None]
        # The largest order turns one side into the other.
        largest = 1.0 if gross_limit <= 1.0 else 2.0 * gross_limit
        marginal = made.commission + made.half_spread + 2.0 * quadratic * largest
        refuse_all(marginal, gross_limit, "the last part of the largest order")
        return replace(made, impact=quadratic, impact_square=True, kinds=(*made.kinds, "impact"))

    def words(self) -> str:
        """The costs in plain words, for reports."""
        return f"{super().words()}; {self.quadratic} times the square of each order"


@dataclass(frozen=True)
class Frictions(ProportionalCost):
    """What larger, leveraged and short portfolios pay on top of proportional costs.

    Attributes:
        impact: k of the square root law: an order moves its own price, and costs
            `k * volatility * sqrt(order / volume)` of its notional, with the volume of the row of
            the execution and the volatility of one row over `impact_window` rows up to the
            decision. 0: none; about 1 in the literature. Needs volume.
        impact_window: rows of the volatility (root mean square of simple returns).
        participation: the largest order as a share of the volume of the row of the execution. The
            rest of an order is dropped: the next decision names a new target anyway. None: no
            limit, or 1 with an impact. Needs volume; without volume on a row nothing trades.
        volume: `shares` (or contracts, coins), or `currency` where the panel counts money.
        capital: wealth 1 in the currency of the prices.
        lot_size: shares in a lot; holdings after a trade are whole lots, rounded towards zero.
            None: any fraction. With adjusted prices these are lots of adjusted shares.
        borrow_fee: a year, on the value of shorts; one number or one per asset (0.01 is 1 %).
        borrow_rate_spread: a year, what negative cash pays on top of the cash rate.
        margin: gross leverage above that of the action map; where a close exceeds it, all positions
            are at once scaled down to that of the action map, and charged. Such a sale may take the
            whole volume. None: never.
        others: as `ProportionalCost`.
    """

    impact: float = 0.0
    impact_window: int = 21
    participation: float | None = None
    volume: str = "shares"
    capital: float = 1e6
    lot_size: float | None = None
    borrow_fee: Numbers = 0.0
    borrow_rate_spread: float = 0.0
    margin: float | None = None

    def __post_init__(self) -> None:
        for key, low, high in (
            ("impact", 0.0, math.inf),
            ("impact_window", FEWEST_RETURNS, math.inf),
            ("participation", 1e-300, math.inf),
            ("capital", 1e-300, math.inf),
            ("lot_size", 1e-300, math.inf),
            ("borrow_rate_spread", 0.0, MOST_A_YEAR),
            ("margin", 0.0, math.inf),
        ):
            value = getattr(self, key)
            if value is None and key in ("participation", "lot_size", "margin"):
                continue
            if not (
                isinstance(value, (int, float)) and low <= value <= high and math.isfinite(value)
            ):
                bound = "" if math.isinf(high) else f" and at most {high:g}"
                raise InputError(
                    f"cost.{key} must be a finite number of at least {low:g}{bound}, got {value}"
                )
        if not isinstance(self.impact_window, int):
            raise InputError(f"cost.impact_window must be whole rows, got {self.impact_window}")
        if self.volume not in ("shares", "currency"):
            raise InputError(f"cost.volume must be shares or currency, got {self.volume!r}")

    def arrays(
        self, market: MarketData, execution: str = "next_close", gross_limit: float = 1.0
    ) -> CostArrays:
        """As `ProportionalCost.arrays`.

        Raises:
            InputError: also for impact or participation on a panel without volume, for a margin
                that is not above the gross limit, and for an impact that takes all of an order.
        """
        made = super().arrays(market, execution, gross_limit)
        rows = execution_rows(market, execution)
        can = market.tradable[rows]
        kinds = list(made.kinds)
        if self.impact > 0 or self.participation is not None:
            share = 1.0 if self.participation is None else self.participation
            volume = self._volume(market)[rows] / self.capital
            volume[~can] = 0.0
            made = replace(made, capacity=share * volume, stretch=max(1.0 / share, 1.0))
            if self.impact > 0:
                kinds.append("impact")
                sigma = volatility(market, self.impact_window)[: len(can)]
                # Nothing trades without volume; the coefficient there is not used.
                held = np.where(volume > 0, volume, np.inf)
                impact = np.where(can, self.impact * sigma / np.sqrt(held), 0.0)
                worst = (
                    np.nanmax(np.where(can, sigma, 0.0), axis=0) * 1.5 * math.sqrt(max(share, 1.0))
                )
                marginal = made.commission + made.half_spread + self.impact * worst
                refuse_all(marginal, gross_limit, "the last part of the largest order")
                made = replace(made, impact=impact)
        if self.lot_size is not None:
            opens, close, _ = standing_prices(market)
            price = opens if execution == "next_open" and opens is not None else close
            value = np.where(can, price[rows], 1.0) * (self.lot_size / self.capital)
            made = replace(made, lots=value)
        borrow = per_asset("cost.borrow_fee", self.borrow_fee, market.n_assets)
        if borrow.max() > MOST_A_YEAR:
            raise InputError(
                f"cost.borrow_fee must be at most {MOST_A_YEAR:g}, got {self.borrow_fee}; it is a "
                "fraction a year (0.01 is 1 %)"
            )
        if borrow.any():
            kinds.append("borrow")
        if self.borrow_rate_spread > 0:
            kinds.append("financing")
        margin = np.inf if self.margin is None else self.margin
        if margin <= gross_limit:
            raise InputError(
                f"cost.margin={margin:g} must be above the gross limit of the action map, "
                f"{gross_limit:g}; raise it, or lower action_settings.gross"
            )
        return replace(
            made,
            borrow=borrow / market.periods_per_year,
            financing=self.borrow_rate_spread / market.periods_per_year,
            margin=float(margin),
            kinds=tuple(kinds),
        )

    def _volume(self, market: MarketData) -> Float:
        """`[T, A]` in currency; 0 where it is not known."""
        if market.volume is None:
            raise InputError(
                f"cost.impact and cost.participation need volume and {market.name} has none; use "
                "data with volume, or cost=proportional"
            )
        price = market.close if self.volume == "shares" else 1.0
        return np.nan_to_num(market.volume * price, nan=0.0)

    def words(self) -> str:
        """The costs in plain words, for reports."""
        parts = [super().words()]
        if self.impact > 0:
            parts.append(f"impact {self.impact:g} * volatility * sqrt(order / volume)")
        if self.participation is not None:
            parts.append(f"orders up to {self.participation:g} of the volume")
        if self.impact > 0 or self.participation is not None or self.lot_size is not None:
            parts.append(f"a capital of {self.capital:,.0f}")
        if self.lot_size is not None:
            parts.append(f"lots of {self.lot_size:g}")
        if np.any(self.borrow_fee):
            parts.append(f"{self.borrow_fee} a year on shorts")
        if self.borrow_rate_spread > 0:
            parts.append(f"{self.borrow_rate_spread:g} a year over the cash rate on debt")
        if self.margin is not None:
            parts.append(f"margin calls above a gross leverage of {self.margin:g}")
        return "; ".join(parts)


@dataclass(frozen=True)
class LiteratureCost:
    """The cost formulas of published comparisons, for `execution=same_close`.

    | model | share m of the value that a trade from d to b leaves; c is the rate |
    |---|---|
    | `notional` | m + c sum abs(m b - d) = 1: exact, that of `ProportionalCost` |
    | `mu_eiie` | (1 - c d_cash - (2c - c^2) sum max(d - m b, 0)) / (1 - c b_cash) |
    | `simple` | 1 - c sum abs(b - d) |
    | `olps` | 1 - c sum abs(b - d / m_before), as in the OLPS toolbox of Li and Hoi |

    `mu_eiie` is that of Jiang, Xu and Liang 2017.

    Attributes:
        model: one of these.
        rate: fraction of the traded notional on each side (0.001 is 10 basis points).
    """

    model: str = "notional"
    rate: float = 0.001

    def __post_init__(self) -> None:
        if self.model not in MODELS:
            raise InputError(f"unknown cost.model {self.model!r}; known: {', '.join(MODELS)}")
        if not (isinstance(self.rate, (int, float)) and 0 <= self.rate < 0.5):
            raise InputError(f"cost.rate must be a fraction in [0, 0.5), got {self.rate}")

    def arrays(
        self, market: MarketData, execution: str = "next_close", gross_limit: float = 1.0
    ) -> CostArrays:
        """As `ProportionalCost.arrays`.

        Raises:
            InputError: for costs that take all of the value, and for a formula other than
                `notional` on a panel in which not everything trades at all times: they know no
                order that is not executed.
        """
        if self.model != "notional" and not market.tradable.all():
            raise InputError(
                f"cost.model={self.model!r} needs assets that all trade throughout, and those of "
                f"{market.name} do not; use cost.model=notional or data without gaps"
            )
        made = ProportionalCost(self.rate * 1e4, 0.0).arrays(market, execution, gross_limit)
        return replace(made, model=MODELS[self.model])

    def words(self) -> str:
        """The costs in plain words, for reports."""
        how = FORMULAS.get(self.model, "")
        return f"{self.rate * 100:g} % of the traded notional, each side{how}"


Cost = ProportionalCost | LiteratureCost


def _rate_words(value: Numbers | str) -> str:
    return f"by the schedule {value!r}" if isinstance(value, str) else f"{value} bps"
