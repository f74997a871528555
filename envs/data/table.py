"""A user's CSV or Parquet file as a table whose errors name the file, the line and the column."""

from __future__ import annotations

import csv
import gzip
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from envs.data.arguments import HELD, outside
from envs.data.market_data import Float
from envs.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

DATE_NAMES = ("date", "datetime", "timestamp", "time")
SYMBOL_NAMES = ("symbol", "ticker", "tic", "asset", "instrument", "code")
MISSING = ["", "NA", "N/A", "NaN", "nan", "null", "None", "-"]
DELIMITERS = ",;\t|"
YEAR_FIRST = re.compile(
    r"\d{4}([-/]?)\d{2}\1\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?"
    r"(?P<zone> ?(Z|UTC|[+-]\d{2}:?\d{2}))?)?"
)
DECIMAL_COMMA = re.compile(r"-?\d+,\d+")


@dataclass(frozen=True, eq=False)
class Table:
    """Rows as they stand in the file.

    Attributes:
        path: for messages.
        frame: one column for each column of the file, names stripped; text is not parsed yet.
        lines: `[rows]` line of each row as an editor counts, or None for Parquet.
    """

    path: Path
    frame: pd.DataFrame
    lines: NDArray[np.int64] | None

    def where(self, row: int) -> str:
        return f"row {row + 1}" if self.lines is None else f"line {self.lines[row]}"

    def error(self, row: int, column: str, problem: str) -> InputError:
        return InputError(f"{self.path}, {self.where(row)}, column {column!r}: {problem}")

    def find(self, names: Sequence[str]) -> str | None:
        """The column whose name is one of `names`, whatever its case."""
        found = [column for column in self.frame.columns if column.lower() in names]
        if len(found) > 1:
            raise InputError(
                f"{self.path}: the columns {found[0]!r} and {found[1]!r} could both be the "
                f"{names[0]}; keep one"
            )
        return found[0] if found else None

    def numbers(self, column: str) -> Float:
        """`[rows]` the column as float64, NaN where the cell is empty.

        Raises:
            InputError: naming the first cell that holds text.
        """
        import pandas as pd

        cells = self.frame[column]
        if cells.dtype.kind in "fiu":
            return cells.to_numpy(dtype=np.float64, na_value=np.nan)
        if cells.dtype.kind in "mc":
            raise InputError(
                f"{self.path}, column {column!r}: holds {cells.dtype} values, no prices; make it "
                "numbers or leave the column out"
            )
        values = np.array(pd.to_numeric(cells, errors="coerce"), dtype=np.float64)
        text = ~np.isfinite(values) & cells.notna().to_numpy()
        text &= ~cells.astype(str).str.strip().isin(MISSING).to_numpy()
        text &= ~np.isinf(values)
        # pandas counts true as 1 and a length of time in nanoseconds.
        if cells.dtype == object:
            odd = [isinstance(cell, (bool, np.bool_, timedelta)) for cell in cells]
            text |= np.array(odd)
        if cells.dtype.kind in "bM" or text.any():
            row = int(text.argmax())
            raise self.error(
                row,
                column,
                f"{cells.iloc[row]!r} is not a number; write it with digits and a decimal point, "
                "without thousands separators, units or currency signs, or leave the cell empty",
            )
        return values

    def dates(self, column: str) -> NDArray[np.datetime64]:
        """`[rows]` the column as datetime64[ns]; time zones are converted to UTC.

        Raises:
            InputError: naming the first cell that is missing, not year first, no date, outside
                1678..2261, or with a time zone where the first cell has none (or without).
        """
        import pandas as pd

        cells = self.frame[column]
        if cells.dtype.kind != "M" and not isinstance(cells.dtype, pd.DatetimeTZDtype):
            written = cells.astype(str).fillna("").str.strip()
            codes, distinct = pd.factorize(written.to_numpy(dtype=object))
            parsed = pd.to_datetime(
                [text.replace("/", "-") if YEAR_FIRST.fullmatch(text) else "" for text in distinct],
                format="ISO8601",
                utc=True,
                errors="coerce",
            )
            stamps = parsed.take(codes)
            self._check_zones(column, distinct, codes)
        else:
            stamps = pd.DatetimeIndex(cells)
        if stamps.tz is not None:
            stamps = stamps.tz_convert("UTC").tz_localize(None)
        wrong = np.asarray(stamps.isna())
        if wrong.any():
            row = int(wrong.argmax())
            text = "" if pd.isna(cells.iloc[row]) else str(cells.iloc[row]).strip()
            if text in (*MISSING, "NaT"):
                raise self.error(row, column, "the date is missing; fill it in or delete the row")
            raise self.error(
                row,
                column,
                f"{text!r} is not a date of the form 2020-04-03 or 2020-04-03 16:00; write the "
                "year first (03/04/2020 can mean two days)",
            )
        far = outside(stamps.to_numpy())
        if far.any():
            row = int(far.argmax())
            raise self.error(
                row,
                column,
                f"{str(cells.iloc[row]).strip()} lies outside {HELD}; correct the date or delete "
                "the row",
            )
        return stamps.to_numpy(dtype="datetime64[ns]")

    def _check_zones(
        self, column: str, distinct: NDArray[np.object_], codes: NDArray[np.intp]
    ) -> None:
        matches = [YEAR_FIRST.fullmatch(text) for text in distinct]
        if matches[0] is None:
            return
        first = matches[0]["zone"] is None
        mixed = np.array([m is not None and (m["zone"] is None) != first for m in matches])[codes]
        if mixed.any():
            row = int(mixed.argmax())
            has = "a time zone, the first row none" if first else "no time zone, the first row one"
            raise self.error(
                row,
                column,
                f"{distinct[codes[row]]!r} has {has}; write all dates with a zone or all without",
            )


def read_table(path: Path) -> Table:
    """Reads a `.csv`, `.tsv`, `.txt` (also `.gz`) or `.parquet` file.

    The separator may be a comma, a semicolon, a tab or a bar; with the others than the comma,
    decimal commas are understood.

    Raises:
        InputError: if the file is missing, a folder, empty, not a table, or has duplicate columns.
    """
    if path.is_dir():
        raise InputError(f"{path}: is a folder; name one file")
    if not path.exists():
        near = sorted(p.name for p in path.parent.glob(f"*{path.suffix}"))[:5]
        hint = f"; that folder holds {', '.join(near)}" if near else ""
        raise InputError(f"{path.absolute()}: no such file{hint}")
    if path.suffix.lower() in (".parquet", ".pq"):
        return _read_parquet(path)
    return _read_csv(path)


def _read_parquet(path: Path) -> Table:
    import pandas as pd
    import pyarrow

    try:
        frame = pd.read_parquet(path)
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise InputError(f"{path}: not a readable Parquet file ({error})") from error
    if not isinstance(frame.index, pd.RangeIndex):
        frame.index.name = frame.index.name or "date"
        frame = frame.reset_index()
    frame.columns = [str(column).strip() for column in frame.columns]
    _check_header(path, list(frame.columns), "the file")
    if frame.empty:
        raise InputError(f"{path}: no rows; at least two are needed")
    return Table(path, frame, None)


def _read_csv(path: Path) -> Table:
    import pandas as pd

    text = _text(path)
    first = next((line for line in text.splitlines() if line.strip()), "")
    if not first:
        raise InputError(f"{path}: the file is empty; at least a header and two rows are needed")
    delimiter = max(DELIMITERS, key=first.count)
    if delimiter not in first:
        raise InputError(
            f"{path}, line 1: {first[:60]!r} is one column; not a CSV file? Separate columns by "
            "commas, semicolons or tabs and begin with a line of column names"
        )
    records = _records(path, text, delimiter)
    header_line, header = next(records)
    header = [name.strip() for name in header]
    if header[0] in ("", "Unnamed: 0"):
        header[0] = "date"  # an index that pandas wrote without its name
    rows = []
    decimal = "."
    for line, record in records:
        if line <= header_line + 3 and header[0].lower() == "price" and record[0] == "Ticker":
            raise InputError(
                f"{path}, line {line}: a second header line, as yfinance writes it; write the file "
                "with prices.stack('Ticker', future_stack=True).to_csv(...), or download one "
                "ticker with multi_level_index=False"
            )
        if len(record) != len(header):
            raise InputError(
                f"{path}, line {line}: {len(record)} fields, but the header (line {header_line}) "
                f"names {len(header)} columns; complete or delete the line"
            )
        rows.append(line)
        if delimiter != "," and decimal == "." and len(rows) < 200:
            decimal = "," if any(DECIMAL_COMMA.fullmatch(cell.strip()) for cell in record) else "."
    _check_header(path, header, f"line {header_line}")
    if not rows:
        raise InputError(f"{path}: only a header and no rows; at least two rows are needed")
    textual = [name for name in header if name.lower() in (*DATE_NAMES, *SYMBOL_NAMES)]
    try:
        frame = pd.read_csv(
            io.StringIO(text),
            sep=delimiter,
            decimal=decimal,
            header=0,
            names=header,
            index_col=False,
            dtype=dict.fromkeys(textual, str),  # type: ignore[arg-type]
            keep_default_na=False,
            na_values={name: MISSING for name in header if name not in textual},
            skipinitialspace=True,
            low_memory=False,
        )
    except pd.errors.ParserError:
        # Unlike the reader of the records, pandas minds a quote that the end of the file closes.
        raise _open_quote(path, rows[-1]) from None
    return Table(path, frame, np.array(rows))


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    try:
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
    except (OSError, EOFError) as error:
        raise InputError(f"{path}: damaged gzip file ({error}); compress it again") from error
    if data[:2] == b"PK" or data[:4] == b"\xd0\xcf\x11\xe0":
        raise InputError(f"{path}: an Excel workbook or zip file; export the sheet as CSV (UTF-8)")
    if data[:4] == b"PAR1" or data[:4] == b"\x89HDF":
        raise InputError(f"{path}: not a CSV file; rename it to end in .parquet or .h5")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise InputError(
            f"{path}, line {line}: not UTF-8 text; save the file as CSV with the encoding UTF-8"
        ) from error
    if "\x00" in text:
        raise InputError(f"{path}: holds binary data; not a CSV file")
    # Also the line ends of old Macs; the lines are counted as before.
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _records(path: Path, text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """`(first line, fields)` of each record that is not blank."""
    reader = csv.reader(io.StringIO(text), delimiter=delimiter, skipinitialspace=True)
    line, is_header = 1, True
    try:
        for record in reader:
            if len(record) > 1 or (record and record[0].strip()):
                # A column name may be broken into two lines; a date or a price never is.
                if any("\n" in cell and (delimiter in cell or not is_header) for cell in record):
                    raise _open_quote(path, line)
                yield line, record
                is_header = False
            line = reader.line_num + 1
    except csv.Error as error:
        if "field limit" in str(error):
            raise _open_quote(path, line) from None
        raise InputError(f"{path}, line {line}: not a CSV line ({error})") from error


def _open_quote(path: Path, line: int) -> InputError:
    return InputError(
        f'{path}, line {line}: a quotation mark (") is opened and not closed on that line, or a '
        "cell is far too long; close or delete the mark"
    )


def _check_header(path: Path, header: list[str], where: str) -> None:
    seen: dict[str, int] = {}
    for number, name in enumerate(header, start=1):
        if not name:
            raise InputError(f"{path}, {where}: column {number} has no name; name or delete it")
        if name in seen:
            raise InputError(
                f"{path}, {where}: the columns {seen[name]} and {number} are both called {name!r}; "
                "name each symbol once"
            )
        if YEAR_FIRST.fullmatch(name):
            # Eight digits can be a ticker; a date with separators cannot.
            if "-" in name or "/" in name:
                raise InputError(
                    f"{path}, {where}: {name!r} is a date where a column name should be; add a "
                    "first line with column names, such as date,AAPL,MSFT"
                )
        seen[name] = number
