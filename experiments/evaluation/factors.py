"""`Factors`: returns of risk factors by date, and strategies' returns over the same periods."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from envs.data.market_data import MarketData
from envs.data.packaged import package_file
from envs.errors import InputError
from experiments.evaluation.metrics import Float

# Fewer periods than this say nothing of four coefficients.
FEWEST_PERIODS = 24
PERIODS_PER_YEAR = {"daily": 252.0, "monthly": 12.0}
UNITS: dict[str, Literal["D", "M"]] = {"daily": "D", "monthly": "M"}
# Sources of US stocks, by the name of their panels.
US_STOCKS = ("sp500", "ohlcv", "index_ohlcv")
# Weekdays at the end of a month on which an exchange may have been closed.
HOLIDAYS = 1
# Percent a month; what the library writes for a missing value is far outside (-99.99).
LARGEST = 90.0


@dataclass(frozen=True)
class Matched:
    """A strategy's returns and the factors over the same periods.

    Attributes:
        periods: `[m]` days or months.
        returns: `[m]` simple returns of the strategy, compounded where the factors are monthly.
        excess: the same less the risk-free return of the factors.
        factors: `[m, F]`.
        periods_per_year: 252 or 12.
        reason: why there is nothing to regress on (then m is 0); empty otherwise.
    """

    periods: NDArray[np.datetime64]
    returns: Float
    excess: Float
    factors: Float
    periods_per_year: float
    reason: str = ""


@dataclass(frozen=True, eq=False)
class Factors:
    """Simple returns of factors by period; checked when made.

    Attributes:
        name: what a table calls them.
        dates: `[n]` days, or for monthly factors any day of the month; ascending, none twice.
        names: F names.
        values: `[n, F]` returns as fractions, in excess of the risk-free return or long-short.
        risk_free: `[n]` simple return per period.
        frequency: "daily" or "monthly".

    Raises:
        InputError: naming the field, for shapes that do not fit, dates out of order, values that
            are missing or are percent instead of fractions.
    """

    name: str
    dates: NDArray[np.datetime64]
    names: tuple[str, ...]
    values: Float
    risk_free: Float
    frequency: Literal["daily", "monthly"] = "monthly"

    def __post_init__(self) -> None:
        if self.frequency not in UNITS:
            raise InputError(f"frequency must be daily or monthly, got {self.frequency!r}")
        object.__setattr__(self, "dates", np.asarray(self.dates, "datetime64[ns]"))
        for key in ("values", "risk_free"):
            object.__setattr__(self, key, np.asarray(getattr(self, key), dtype=np.float64))
        object.__setattr__(self, "names", tuple(self.names))
        n = len(self.dates)
        if self.values.shape != (n, len(self.names)) or self.risk_free.shape != (n,):
            raise InputError(
                f"{self.name}: values {self.values.shape} and risk_free {self.risk_free.shape} do "
                f"not fit {n} dates and {len(self.names)} names"
            )
        if n < 1 or (np.diff(self.periods).astype(np.int64) < 1).any():
            raise InputError(f"{self.name}: dates must ascend, one {self.frequency} row each")
        for key in ("values", "risk_free"):
            values = getattr(self, key)
            if not np.isfinite(values).all():
                raise InputError(f"{self.name}: {key} are missing or infinite; cut these rows")
            if (np.abs(values) >= 1.0).any():
                raise InputError(
                    f"{self.name}: {key} reach {np.abs(values).max():g}; returns are fractions, "
                    "divide percent by 100"
                )

    @property
    def periods(self) -> NDArray[np.datetime64]:
        """`[n]` days or months."""
        return self.dates.astype(f"datetime64[{UNITS[self.frequency]}]")

    def match(
        self,
        decision_dates: NDArray[np.datetime64],
        dates: NDArray[np.datetime64],
        returns: Float,
    ) -> Matched:
        """The periods that a strategy and the factors share.

        For monthly factors a strategy's returns are compounded within each month that it covers
        from end to end (one weekday less at an end counts as a holiday).

        Args:
            decision_dates, dates: `[T]` when each return begins and ends (`Trajectory`).
            returns: `[T]` simple returns per period.
        """
        unit = UNITS[self.frequency]
        begins, ends = (
            np.asarray(d, "datetime64[ns]").astype("datetime64[D]") for d in (decision_dates, dates)
        )
        found, growth, whole = _compounded(begins, ends, np.asarray(returns, np.float64), unit)
        found, growth = found[whole], growth[whole]
        _, mine, theirs = np.intersect1d(found, self.periods, return_indices=True)
        span = f"{self.periods[0]} to {self.periods[-1]}"
        word = "whole months" if unit == "M" else "days"
        reason = ""
        if len(mine) < FEWEST_PERIODS:
            reason = (
                f"{len(mine)} {word} in common with {self.name} ({span}); "
                f"{FEWEST_PERIODS} are needed"
            )
            mine, theirs = mine[:0], theirs[:0]
        return Matched(
            periods=found[mine],
            returns=growth[mine],
            excess=growth[mine] - self.risk_free[theirs],
            factors=self.values[theirs],
            periods_per_year=PERIODS_PER_YEAR[self.frequency],
            reason=reason,
        )


def _compounded(
    begins: NDArray[np.datetime64], ends: NDArray[np.datetime64], returns: Float, unit: str
) -> tuple[Any, Float, NDArray[np.bool_]]:
    """Periods, compounded returns, and whether each is covered from end to end."""
    periods, first = np.unique(ends.astype(f"datetime64[{unit}]"), return_index=True)
    if not len(periods):
        return periods, np.empty(0), np.empty(0, dtype=np.bool_)
    growth = np.multiply.reduceat(1.0 + returns, first) - 1.0
    opened = begins[first]
    if unit == "D":
        # A return over several days is that of the last of them only where none is traded between.
        return periods, growth, np.busday_count(opened, periods) <= 1 + HOLIDAYS
    last = np.r_[first[1:], len(ends)] - 1
    start = periods.astype("datetime64[D]")
    after = (periods + 1).astype("datetime64[D]")
    early = np.busday_count(opened + 1, start)
    late = np.busday_count(ends[last] + 1, after)
    # A return that began inside the month leaves out the days before.
    whole = (opened < start) & (early <= HOLIDAYS) & (late <= HOLIDAYS)
    return periods, growth, whole


def factors_for(market: MarketData) -> Factors | None:
    """The factors that explain this market's returns: Fama-French for the US stocks, else None.

    Whether the dates overlap is said by `Factors.match`.
    """
    return fama_french() if market.name in US_STOCKS else None


def fama_french() -> Factors:
    """Market, size and value by month, 1926-07 to 2018-11, with the one-month bill as risk-free.

    Source: Kenneth French's data library, in the file that arch brings; Fama and French (1993).
    The library revises its factors: newer files differ a little in old months.

    Raises:
        InputError: if arch is missing or its file is not what is expected.
    """
    import pandas as pd

    path = package_file(
        "arch",
        "data",
        "frenchdata",
        "frenchdata.csv.gz",
        remedy="install it: pip install arch==8.0.0",
    )
    table = pd.read_csv(path)
    columns = ["Date", "Mkt-RF", "SMB", "HML", "RF"]
    if list(table.columns) != columns:
        raise InputError(f"{path}: columns {list(table.columns)}, expected {columns}")
    # arch itself reads 192607 as nanoseconds since 1970.
    month = table["Date"].to_numpy()
    months = np.array([f"{m // 100:04d}-{m % 100:02d}" for m in month], dtype="datetime64[M]")
    if (np.diff(months).astype(np.int64) != 1).any():
        raise InputError(f"{path}: its months are not consecutive")
    percent = table[columns[1:]].to_numpy(dtype=np.float64)
    if not (np.abs(percent) < LARGEST).all():
        raise InputError(f"{path}: values are missing")
    return Factors(
        name="Fama-French",
        dates=months.astype("datetime64[ns]"),
        names=("market", "size", "value"),
        values=percent[:, :3] / 100.0,
        risk_free=percent[:, 3] / 100.0,
    )
