"""The three layouts of a price file, each turned into arrays by date and symbol."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from envs.data.market_data import RANGE_TOLERANCE, Float
from envs.data.table import SYMBOL_NAMES, Table
from envs.errors import InputError

FIELD_NAMES = {
    "open": ("open", "px_open"),
    "high": ("high", "px_high"),
    "low": ("low", "px_low"),
    "close": ("close", "price", "px_last", "last", "close/last"),
    "adjusted": ("adj close", "adj_close", "adjclose", "adjusted close", "adjusted_close"),
    "volume": ("volume", "vol", "vol.", "px_volume"),
}


@dataclass
class Sheet:
    """Prices by date and symbol, with gaps.

    Attributes:
        dates: `[T]` sorted and unique.
        names: A symbols.
        fields: "close", "open", "high", "low", "adjusted", "volume" -> `[T, A]`, NaN where empty.
        locate: `(t, a)` -> where that cell stands, for messages.
        benchmark: `[T]` or None.
    """

    dates: NDArray[np.datetime64]
    names: list[str]
    fields: dict[str, Float]
    locate: Callable[[int, int], str]
    benchmark: Float | None = None


def find_layout(table: Table) -> str:
    """long has a symbol column, single a close, wide neither."""
    names = {str(column).lower() for column in table.frame.columns}
    has_close = not names.isdisjoint(FIELD_NAMES["close"] + FIELD_NAMES["adjusted"])
    if has_close and not names.isdisjoint(SYMBOL_NAMES):
        return "long"
    return "single" if has_close else "wide"


def wide(table: Table, date_column: str) -> Sheet:
    """A date column and one column of closes for each symbol."""
    dates = table.dates(date_column)
    names = [str(column) for column in table.frame.columns if column != date_column]
    if not names:
        raise InputError(f"{table.path}: no column of prices beside {date_column!r}; add one")
    _check_order(table, dates, date_column)
    prices = {name: table.numbers(name) for name in names}
    _check_schema(table, prices, price_columns=names)
    return Sheet(
        dates,
        names,
        {"close": np.column_stack(list(prices.values()))},
        lambda t, a: f"{table.path}, {table.where(t)}, column {names[a]!r}",
    )


def single(table: Table, date_column: str, benchmark: str | None) -> Sheet:
    """The fields of one symbol, which is called like the file."""
    dates = table.dates(date_column)
    _check_order(table, dates, date_column)
    columns = _field_columns(table)
    values = {field: table.numbers(column) for field, column in columns.items()}
    _check_schema(table, values, columns)
    index = None
    if benchmark is not None:
        if benchmark not in table.frame.columns:
            raise InputError(f"{table.path}: no benchmark column {benchmark!r}")
        index = table.numbers(benchmark)
    return Sheet(
        dates,
        [table.path.name.split(".")[0]],
        {field: value[:, None] for field, value in values.items()},
        lambda t, a: f"{table.path}, {table.where(t)}",
        index,
    )


def long(table: Table, date_column: str) -> Sheet:
    """One row for each date and symbol."""
    import pandas as pd

    symbol_column = table.find(SYMBOL_NAMES)
    if symbol_column is None:
        raise InputError(
            f"{table.path}: the long layout needs a symbol column; call it one of "
            f"{', '.join(SYMBOL_NAMES)}"
        )
    row_date = table.dates(date_column)
    labels = table.frame[symbol_column].astype(str).str.strip()
    blank = (labels.isin(["", "nan", "None"]) & table.frame[symbol_column].isna()) | (labels == "")
    if blank.any():
        raise table.error(int(blank.argmax()), symbol_column, "the symbol is missing")
    columns = _field_columns(table)
    values = {field: table.numbers(column) for field, column in columns.items()}
    _check_schema(table, values, columns)

    column_of, names = pd.factorize(labels.to_numpy(dtype=object))
    dates, row_of = np.unique(row_date, return_inverse=True)
    cell = row_of * len(names) + column_of
    _, first, place = np.unique(cell, return_index=True, return_inverse=True)
    again = first[place] != np.arange(len(cell))
    if again.any():
        row = int(again.argmax())
        raise table.error(
            row,
            date_column,
            f"{_text(row_date[row])} of {names[column_of[row]]} stands already on "
            f"{table.where(int(first[place[row]]))}; keep one row for each date and symbol",
        )
    by_symbol = np.argsort(column_of, kind="stable")
    back = (np.diff(row_of[by_symbol]) < 0) & (np.diff(column_of[by_symbol]) == 0)
    if back.any():
        row = int(by_symbol[1:][back].min())
        raise table.error(
            row,
            date_column,
            f"{_text(row_date[row])} of {names[column_of[row]]} comes after a later date; sort the "
            "rows by date",
        )
    source = np.full((len(dates), len(names)), -1)
    source[row_of, column_of] = np.arange(len(cell))
    fields = {}
    for field, value in values.items():
        fields[field] = np.where(source >= 0, value[source], np.nan)

    def locate(t: int, a: int) -> str:
        return f"{table.path}, {_text(dates[t])}, symbol {names[a]!r}"

    return Sheet(dates, [str(name) for name in names], fields, locate)


def _field_columns(table: Table) -> dict[str, str]:
    columns = {field: table.find(names) for field, names in FIELD_NAMES.items()}
    found = {field: column for field, column in columns.items() if column is not None}
    if "close" not in found:
        if "adjusted" not in found:
            raise InputError(
                f"{table.path}: no close column among "
                f"{', '.join(repr(str(c)) for c in table.frame.columns[:8])}; call it 'close'"
            )
        if not found.keys().isdisjoint(("open", "high", "low")):
            raise InputError(
                f"{table.path}: {found['adjusted']!r} without a close: open, high and low cannot "
                "be brought to its basis; add the close or delete open, high and low"
            )
        found["close"] = found.pop("adjusted")
    return found


def _check_order(table: Table, dates: NDArray[np.datetime64], column: str) -> None:
    back = dates[1:] < dates[:-1]  # a difference of more than 292 years would overflow
    if (dates[1:] > dates[:-1]).all():
        return
    if back.all():
        raise InputError(f"{table.path}: dates are not sorted: the newest comes first; sort them")
    _, first, place = np.unique(dates, return_index=True, return_inverse=True)
    again = first[place] != np.arange(len(dates))
    if again.any():
        row = int(again.argmax())
        raise table.error(
            row,
            column,
            f"duplicate date: {_text(dates[row])} stands already on "
            f"{table.where(int(first[place[row]]))}; keep one row for each date (or name the "
            "layout: a long file needs a symbol column)",
        )
    row = int(back.argmax()) + 1
    raise table.error(
        row,
        column,
        f"dates are not sorted: {_text(dates[row])} comes after {_text(dates[row - 1])}; sort the "
        "rows by date",
    )


def _check_schema(
    table: Table,
    values: dict[str, Float],
    columns: dict[str, str] | None = None,
    price_columns: list[str] | None = None,
) -> None:
    """Holds the values against the schema of prices; empty cells are judged later, as gaps."""
    import pandas as pd
    import pandera.pandas as pa

    prices = price_columns or [field for field in values if field != "volume"]
    price = [
        pa.Check.gt(0, error="is zero or negative; prices must be positive: correct or empty it"),
        pa.Check.lt(np.inf, error="is infinite; correct it or leave the cell empty"),
    ]
    amount = [
        pa.Check.ge(0, error="is a negative volume; correct it"),
        pa.Check.lt(np.inf, error="is infinite; correct it"),
    ]
    frame = pd.DataFrame(values)
    schema = pa.DataFrameSchema(
        {
            name: pa.Column(float, price if name in prices else amount, nullable=True)
            for name in frame
        }
    )
    try:
        schema.validate(frame, lazy=True)
    except pa.errors.SchemaErrors as error:
        cases = error.failure_cases.sort_values("index", kind="stable")
        row, field = int(cases["index"].iloc[0]), str(cases["column"].iloc[0])
        shown = (columns or {}).get(field, field)
        raise table.error(
            row, shown, f"{cases['failure_case'].iloc[0]} {cases['check'].iloc[0]}"
        ) from None
    if price_columns is None:
        _check_bars(table, values, columns or {})


def _check_bars(table: Table, values: dict[str, Float], columns: dict[str, str]) -> None:
    """What must hold among the fields of one row; a comparison with an empty cell is false."""
    above, below = 1.0 + RANGE_TOLERANCE, 1.0 - RANGE_TOLERANCE
    high, low = values.get("high"), values.get("low")
    problems = []
    if high is not None and low is not None:
        problems.append(("high", high < low, "is below the low; correct the row"))
    for field in ("open", "close"):
        if field in values and high is not None:
            problems.append((field, values[field] > high * above, "is above the high; correct it"))
        if field in values and low is not None:
            problems.append((field, values[field] < low * below, "is below the low; correct it"))
    traded = np.isfinite(values["close"])
    for field, value in values.items():
        problems.append(
            (
                field,
                traded & np.isnan(value),
                "is empty although there is a close; fill it in or delete the column",
            )
        )
        problems.append(
            (field, ~traded & ~np.isnan(value), "stands without a close; fill the close in")
        )
    failed = [(int(wrong.argmax()), field, text) for field, wrong, text in problems if wrong.any()]
    if failed:
        row, field, text = min(failed, key=lambda case: case[0])
        value = values[field][row]
        raise table.error(row, columns[field], ("" if np.isnan(value) else f"{value:g} ") + text)


def _text(date: np.datetime64) -> str:
    return str(np.datetime_as_string(date, unit="s")).removesuffix("T00:00:00")
