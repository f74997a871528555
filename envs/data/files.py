"""`file`: a user's own prices, from CSV, Parquet or the project's store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.data.arguments import whole_number
from envs.data.cash import constant_cash_rate
from envs.data.layouts import Sheet, find_layout, long, single, wide
from envs.data.market_data import Float, MarketData
from envs.data.packaged import narrow
from envs.data.store import load_panel
from envs.data.table import DATE_NAMES, Table, read_table
from envs.errors import InputError

LAYOUTS = ("auto", "wide", "long", "single")
STORE_SUFFIXES = (".h5", ".hdf5")
# A move of one row beyond these is more often an unadjusted split than a return.
SUSPICIOUS_FALL, SUSPICIOUS_RISE = -0.4, 0.8
# No split or day of trading multiplies or divides a price by more than this.
ABSURD_FACTOR = 100.0


def file(
    path: str,
    layout: str = "auto",
    symbols: Sequence[str] | None = None,
    start: str | None = None,
    end: str | None = None,
    benchmark: str | None = None,
    cash_rate: float = 0.0,
    periods_per_year: float | None = None,
    fill: str | None = None,
    max_fill: int = 5,
    panel: str | None = None,
    delisting_value: float | Mapping[str, float | None] | None = None,
) -> MarketData:
    """Reads prices from a file: CSV (also .gz), Parquet, or an HDF5 store of this project.

    Layouts, with column names in any case and with the usual synonyms:

    - wide: a date column and one column of closes for each symbol;
    - long: date, symbol, close and, if wished, open, high, low, volume, adj close;
    - single: date, close and the like of one symbol, which is called like the file.

    Dates are ISO (year first), sorted and unique; times with a zone become UTC. A series may begin
    late (not yet listed) and end early (delisted): there it is not tradable. With an adjusted close
    beside the close, all prices are brought to its basis and volume the other way round.

    Args:
        path: the file.
        layout: "auto" looks at the column names; or "wide", "long", "single".
        symbols: some of the symbols, in this order; None is all.
        start, end: first and last day, inclusive; None is open.
        benchmark: the symbol (single layout: the column) that is the benchmark; it leaves the
            symbols.
        cash_rate: constant simple return of cash a year. A store has its own.
        periods_per_year: rows a year; None finds it from the dates and says so in the notes.
        fill: None makes a gap inside a series an error; "ffill" carries the last price over it and
            marks those cells as not tradable.
        max_fill: longest gap in rows that "ffill" may bridge.
        panel: which panel of a store; None is its only one.
        delisting_value: what holders of a symbol whose prices end early are paid, as a share of its
            last close: one number, or symbol -> number for some (None: it is halted to the end, and
            nothing is paid). None: 1 for all, or what the store says.

    Raises:
        InputError: for whatever is wrong with the file, naming file, line, column and remedy.
    """
    place = _place(path)
    if place.suffix.lower() in STORE_SUFFIXES:
        stored = _with_delistings(load_panel(place, panel), delisting_value)
        return narrow(stored, symbols, start, end)
    if layout not in LAYOUTS:
        raise InputError(f"layout={layout!r} is not one of {', '.join(LAYOUTS)}")
    if fill not in (None, "ffill"):
        raise InputError(f"fill={fill!r} must be null or ffill")
    max_fill = whole_number(max_fill, "max_fill", 1)
    if not (benchmark is None or isinstance(benchmark, str)):
        raise InputError(f"benchmark={benchmark!r} must be the name of one symbol or column")
    table = read_table(place)
    layout = find_layout(table) if layout == "auto" else layout
    sheet = _read(table, layout, benchmark)
    if len(sheet.dates) < 2:
        raise InputError(f"{place}: one row only; at least two are needed to make a return")
    notes = [f"{place.name}, read in the {layout} layout.", _to_adjusted_close(sheet)]
    tradable = np.isfinite(sheet.fields["close"])
    notes += _close_gaps(sheet, tradable, fill, max_fill)
    column = 0
    if benchmark is not None and layout != "single":
        column = _benchmark_column(sheet, benchmark, place)
        sheet = _without(sheet, column)
        tradable = np.delete(tradable, column, axis=1)
    if periods_per_year is None:
        periods_per_year = rows_a_year(sheet.dates)
        notes.append(f"{periods_per_year:g} rows a year, found from the dates.")
    notes += _suspicious_moves(sheet)
    bars: dict[str, Any] = {key: sheet.fields.get(key) for key in ("open", "high", "low", "volume")}
    market = MarketData(
        dates=sheet.dates,
        symbols=tuple(sheet.names),
        close=sheet.fields["close"],
        **bars,
        tradable=tradable,
        cash_rate=constant_cash_rate(cash_rate, len(sheet.dates), periods_per_year),
        periods_per_year=periods_per_year,
        name=place.name.split(".")[0],
        notes=tuple(note for note in notes if note),
    )
    market = narrow(_with_delistings(market, delisting_value), symbols, start, end)
    return market if benchmark is None else _with_benchmark(market, sheet, benchmark, column)


def _with_delistings(market: MarketData, value: object) -> MarketData:
    if value is None:
        return market
    if isinstance(value, Mapping):
        unknown = sorted(map(str, value.keys() - set(market.symbols)))
        if unknown:
            raise InputError(
                f"{market.name}: delisting_value names {', '.join(unknown)}, not among the symbols "
                f"{', '.join(market.symbols[:20])}"
            )
        paid = [value.get(symbol, 1.0) for symbol in market.symbols]
        value = [np.nan if share is None else share for share in paid]
    return replace(market, delisting_value=value)  # type: ignore[arg-type]


def _place(path: object) -> Path:
    if not isinstance(path, (str, Path)) or not str(path):
        raise InputError(f"path={path!r} is not the name of a file; write path=prices.csv")
    try:
        place = Path(path).expanduser()
        place.exists()
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError(f"path={str(path)[:200]!r} cannot name a file ({error})") from None
    return place


def rows_a_year(dates: NDArray[np.datetime64]) -> float:
    """Rows a year from the dates: 252, 365.25, 52, 12, 4 or 1; for shorter bars, counted."""
    days = dates.astype("datetime64[D]")
    # In seconds, because nanoseconds of more than 292 years overflow.
    usual = float(np.median(np.diff(dates.astype("datetime64[s]")).astype(np.int64))) / 86_400
    if usual < 0.9:
        first, last = (int(stamp) for stamp in dates[[0, -1]].astype(np.int64))
        span = float(last - first) / 86_400e9
        return round((len(dates) - 1) / span * 365.25, 2)
    if usual < 4.5:
        # A year-round market has two rows in seven on a weekend.
        return 252.0 if np.is_busday(days).mean() > 0.9 else 365.25
    return min((52.0, 12.0, 4.0, 1.0), key=lambda rows: abs(np.log(usual * rows / 365.25)))


def _read(table: Table, layout: str, benchmark: str | None) -> Sheet:
    date_column = table.find(DATE_NAMES)
    if date_column is None:
        raise InputError(
            f"{table.path}: no date column among "
            f"{', '.join(repr(str(c)) for c in table.frame.columns[:8])}; call it 'date'"
        )
    if layout == "wide":
        return wide(table, date_column)
    return long(table, date_column) if layout == "long" else single(table, date_column, benchmark)


def _to_adjusted_close(sheet: Sheet) -> str:
    adjusted = sheet.fields.pop("adjusted", None)
    if adjusted is None:
        return (
            "Prices are used as they stand in the file: where they are not adjusted for splits and "
            "dividends, returns are wrong on those days."
        )
    # What overflows becomes infinite or zero, and the panel refuses it by name.
    with np.errstate(over="ignore", under="ignore", divide="ignore", invalid="ignore"):
        ratio = adjusted / sheet.fields["close"]
        for field in ("open", "high", "low"):
            if field in sheet.fields:
                sheet.fields[field] = sheet.fields[field] * ratio
        if "volume" in sheet.fields:
            sheet.fields["volume"] = sheet.fields["volume"] / ratio
    sheet.fields["close"] = adjusted
    return "Prices were brought to the basis of the adjusted close of the file."


def _close_gaps(
    sheet: Sheet, tradable: NDArray[np.bool_], fill: str | None, max_fill: int
) -> list[str]:
    """Carries prices over gaps inside the series, or names the first gap."""
    n_rows = len(sheet.dates)
    empty = ~tradable.any(axis=0)
    if empty.any():
        name = sheet.names[int(empty.argmax())]
        raise InputError(f"{sheet.locate(0, int(empty.argmax()))}: {name} has no price at all")
    first = tradable.argmax(axis=0)
    last = n_rows - 1 - tradable[::-1].argmax(axis=0)
    rows = np.arange(n_rows)[:, None]
    gap = ~tradable & (rows > first) & (rows < last)
    if gap.any():
        source = np.maximum.accumulate(np.where(tradable, rows, 0), axis=0)
        length = np.where(gap, rows - source, 0)
        too_long = gap if fill is None else length > max_fill
        if too_long.any():
            t, a = map(int, np.argwhere(too_long)[0])
            remedy = (
                "fill it in, drop the symbol, or carry the last price over gaps with fill=ffill"
                if fill is None
                else f"the gap is longer than max_fill={max_fill} rows; raise max_fill or drop it"
            )
            raise InputError(
                f"{sheet.locate(t, a)}: no price, but {sheet.names[a]} has prices before and "
                f"after; {remedy}"
            )
        carried = np.take_along_axis(sheet.fields["close"], source, axis=0)
        for field, value in sheet.fields.items():
            value[gap] = 0.0 if field == "volume" else carried[gap]
    notes = []
    if gap.any():
        notes.append(
            f"{int(gap.sum())} price(s) missing inside a series and carried over from the row "
            "before; those cells are not tradable."
        )
    ends = "ends before the rest; delisted there, at its last close unless delisting_value is given"
    for mask, what in (
        (first > 0, "begins after the rest; not tradable before"),
        (last < n_rows - 1, ends),
    ):
        names = [name for name, hit in zip(sheet.names, mask, strict=True) if hit]
        if names:
            more = f" and {len(names) - 5} more" if len(names) > 5 else ""
            notes.append(f"{', '.join(names[:5])}{more} {what}.")
    return notes


def _benchmark_column(sheet: Sheet, benchmark: str, place: Path) -> int:
    if benchmark not in sheet.names:
        raise InputError(
            f"{place}: no symbol {benchmark!r} for the benchmark; it holds "
            f"{', '.join(sheet.names[:20])}"
        )
    if len(sheet.names) == 1:
        raise InputError(f"{place}: no symbol is left beside the benchmark {benchmark!r}; add one")
    return sheet.names.index(benchmark)


def _without(sheet: Sheet, column: int) -> Sheet:
    """The sheet whose benchmark is `column`; `locate` goes on counting the columns as before."""
    return replace(
        sheet,
        names=sheet.names[:column] + sheet.names[column + 1 :],
        fields={key: np.delete(value, column, axis=1) for key, value in sheet.fields.items()},
        benchmark=sheet.fields["close"][:, column],
    )


def _with_benchmark(market: MarketData, sheet: Sheet, benchmark: str, column: int) -> MarketData:
    """Judged only now, on the dates that are left: a later start may be the remedy."""
    assert sheet.benchmark is not None
    rows = np.searchsorted(sheet.dates, market.dates)
    good = np.isfinite(sheet.benchmark) & (sheet.benchmark > 0)
    if not good[rows].all():
        t = int(rows[np.argmin(good[rows])])
        held = np.datetime_as_string(sheet.dates[good], unit="D")
        span = f"has levels from {held[0]} to {held[-1]}" if len(held) else "has no level at all"
        raise InputError(
            f"{sheet.locate(t, column)}: the benchmark {benchmark!r} is "
            f"{'missing' if np.isnan(sheet.benchmark[t]) else sheet.benchmark[t]} on "
            f"{np.datetime_as_string(sheet.dates[t], unit='D')}; it {span}: choose start and end "
            "inside its dates, or another benchmark"
        )
    return replace(market, benchmark=sheet.benchmark[rows], benchmark_name=benchmark)


def _suspicious_moves(sheet: Sheet) -> list[str]:
    close: Float = sheet.fields["close"]
    with np.errstate(over="ignore", under="ignore"):
        growth = close[1:] / close[:-1]
    wild = (growth - 1.0 < SUSPICIOUS_FALL) | (growth - 1.0 > SUSPICIOUS_RISE)
    if not wild.any():
        return []
    notes = [
        f"{int(wild.sum())} move(s) of one row are beyond {SUSPICIOUS_FALL:.0%} or "
        f"+{SUSPICIOUS_RISE:.0%}, the first of {_move(sheet, growth, wild)}: look for splits that "
        "were not adjusted."
    ]
    absurd = (growth > ABSURD_FACTOR) | (growth < 1.0 / ABSURD_FACTOR)
    if absurd.any():
        notes.append(
            f"{int(absurd.sum())} move(s) of one row are by a factor of more than "
            f"{ABSURD_FACTOR:g}, the first of {_move(sheet, growth, absurd)}. No split explains "
            "that: look for a misplaced decimal point, another unit, or two series in one column. "
            "Returns from these rows mean nothing."
        )
    return notes


def _move(sheet: Sheet, growth: Float, which: NDArray[np.bool_]) -> str:
    t, a = map(int, np.argwhere(which)[0])
    before, after = sheet.fields["close"][t : t + 2, a]
    change = growth[t, a] - 1.0
    # Beyond these a percentage says little.
    shown = f"{change:+.0%}" if -0.99 < change < 10 else f"from {before:g} to {after:g}"
    return f"{sheet.names[a]} on {sheet.dates[t + 1].astype('datetime64[D]')} ({shown})"
