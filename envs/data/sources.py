"""Sources that come with an installed package: real prices without any download."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from envs.data.cash import ARCH_REMEDY, us_bill_rate
from envs.data.market_data import Float, MarketData
from envs.data.packaged import narrow, package_file

if TYPE_CHECKING:
    import pandas as pd

SKFOLIO_REMEDY = "install it: pip install skfolio==1.12.2"
BOKEH_REMEDY = "install the extra: pip install 'tradewind[data]' (bokeh-sampledata==2026.1)"
INDEX_NAME = "S&P 500 (price index, without dividends)"
INDEX_NOTE = "The benchmark is the S&P 500 price index: it leaves out dividends, some 2 % a year."
SURVIVORS = (
    "These 20 stocks are survivors chosen with hindsight: all of them were still listed in 2022. "
    "Absolute returns are far too good; compare only with baselines on the same stocks."
)
ROUNDING_NOTE = (
    "Prices are rounded to 0.001, which after all the splits since is up to 0.4 % of a price of "
    "1990 (AAPL)."
)


def sp500(
    symbols: Sequence[str] | None = None,
    start: str | None = None,
    end: str | None = None,
    periods_per_year: float = 252.0,
) -> MarketData:
    """20 US large caps, daily closes adjusted for splits and dividends, 1990-01-02..2022-12-28.

    From the files inside skfolio, with its S&P 500 index as the benchmark and Treasury bills as
    cash. The 20 stocks are survivors that were chosen with hindsight: no result on them is evidence
    that a strategy would have earned anything.

    Args:
        symbols: some of the 20, in this order; None is all.
        start, end: first and last day, inclusive; None is open.

    Raises:
        InputError: for an unknown symbol, dates outside the data, or a missing package.
    """
    table = _skfolio("sp500_dataset.csv.gz")
    return _closes(
        table,
        "sp500",
        periods_per_year,
        _skfolio("sp500_index.csv.gz")["SP500"].reindex(table.index).to_numpy(),
        (
            SURVIVORS,
            ROUNDING_NOTE,
            INDEX_NOTE,
        ),
        (symbols, start, end),
    )


def factors(
    symbols: Sequence[str] | None = None,
    start: str | None = None,
    end: str | None = None,
    periods_per_year: float = 252.0,
) -> MarketData:
    """Five US factor ETFs (MTUM, QUAL, SIZE, USMV, VLUE), adjusted closes, 2014-01-02..2022-12-28.

    From the files inside skfolio. Arguments and errors as `sp500`.
    """
    table = _skfolio("factors_dataset.csv.gz")
    return _closes(
        table,
        "factors",
        periods_per_year,
        _skfolio("sp500_index.csv.gz")["SP500"].reindex(table.index).to_numpy(),
        (
            "Five ETFs that still existed in 2022; their factors were known to have paid before.",
            INDEX_NOTE,
        ),
        (symbols, start, end),
    )


def ohlcv(
    symbols: Sequence[str] | None = None,
    start: str | None = None,
    end: str | None = None,
    periods_per_year: float = 252.0,
) -> MarketData:
    """AAPL, FB, GOOG, IBM and MSFT with open, high, low, close and volume, 2000-03-01..2013-03-01.

    From bokeh-sampledata (extra `data`). Prices are brought to the basis of the adjusted close,
    volume the other way round, so that price times volume stays the money that was traded. GOOG is
    listed from 2004-08-19, FB from 2012-05-18; before, they are not tradable. Arguments and errors
    as `sp500`.
    """
    import pandas as pd

    path = package_file("bokeh_sampledata", "_data", "stocks.csv.gz", remedy=BOKEH_REMEDY)
    table = pd.read_csv(path, parse_dates=["Date"])
    ratio = table["Adj Close"] / table["Close"]
    adjusted = {
        "open": table["Open"] * ratio,
        "high": table["High"] * ratio,
        "low": table["Low"] * ratio,
        "close": table["Adj Close"],
        "volume": table["Volume"] / ratio,
    }
    panel: dict[str, Any] = {
        key: values.set_axis([table["Date"], table["Ticker"]]).unstack()
        for key, values in adjusted.items()
    }
    close = panel["close"]
    dates = close.index.to_numpy()
    cash, cash_notes = us_bill_rate(dates, periods_per_year)
    market = MarketData(
        dates=dates,
        symbols=tuple(close.columns),
        **{key: values.to_numpy() for key, values in panel.items()},
        cash_rate=cash,
        periods_per_year=periods_per_year,
        name="ohlcv",
        notes=(
            "Five technology stocks chosen with hindsight; all of them survived and grew.",
            "Adjusted by adjusted close / close, a factor that was only known afterwards: levels "
            "are not the prices of the day, returns are right.",
            *cash_notes,
        ),
    )
    return narrow(market, symbols, start, end)


def index_ohlcv(
    symbols: Sequence[str] | None = None,
    start: str | None = None,
    end: str | None = None,
    periods_per_year: float = 252.0,
) -> MarketData:
    """S&P 500 and Nasdaq Composite, open to volume, 1999-01-04..2018-12-31.

    From the files inside arch; symbols are SP500 and NASDAQ. Arguments and errors as `sp500`.
    """
    import pandas as pd

    tables = {
        symbol: pd.read_csv(
            package_file("arch", "data", file, f"{file}.csv.gz", remedy=ARCH_REMEDY),
            parse_dates=["Date"],
            date_format="%m/%d/%Y",
        ).set_index("Date")
        for symbol, file in (("SP500", "sp500"), ("NASDAQ", "nasdaq"))
    }
    dates = tables["SP500"].index.to_numpy()
    cash, cash_notes = us_bill_rate(dates, periods_per_year)
    fields: dict[str, Any] = {
        field.lower(): np.column_stack(
            [table[field].reindex(dates).to_numpy() for table in tables.values()]
        )
        for field in ("Open", "High", "Low", "Close", "Volume")
    }
    market = MarketData(
        dates=dates,
        symbols=tuple(tables),
        **fields,
        cash_rate=cash,
        periods_per_year=periods_per_year,
        name="index_ohlcv",
        notes=(
            "Price indices without dividends; an index cannot be traded, a fund on it costs a fee.",
            "To 2005 the open of the S&P 500 is the close before on 96 % of days: its gaps, and "
            "trading at the next open, mean little then.",
            "Volume is that of the member stocks, in shares; on two days of NASDAQ it is zero.",
            *cash_notes,
        ),
    )
    return narrow(market, symbols, start, end)


def _skfolio(file: str) -> pd.DataFrame:
    import pandas as pd

    path: Path = package_file("skfolio", "datasets", "data", file, remedy=SKFOLIO_REMEDY)
    return pd.read_csv(path, index_col="Date", parse_dates=["Date"])


def _closes(
    table: pd.DataFrame,
    name: str,
    periods_per_year: float,
    benchmark: Float,
    notes: tuple[str, ...],
    cut: tuple[Sequence[str] | None, str | None, str | None],
) -> MarketData:
    dates = table.index.to_numpy()
    cash, cash_notes = us_bill_rate(dates, periods_per_year)
    market = MarketData(
        dates=dates,
        symbols=tuple(table.columns),
        close=table.to_numpy(),
        cash_rate=cash,
        benchmark=benchmark,
        benchmark_name=INDEX_NAME,
        periods_per_year=periods_per_year,
        name=name,
        notes=notes + cash_notes,
    )
    return narrow(market, *cut)
