"""`file`: the layouts it reads, and a clear error for everything that can be wrong with a file."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from envs.data import MarketData, file, synthetic
from envs.data.files import rows_a_year
from envs.errors import InputError

Reader = Callable[..., MarketData]

WIDE = """date,AAPL,MSFT
2020-01-02,10.5,20
2020-01-03,11,21.25
2020-01-06,12,22
2020-01-07,13,23
"""
LONG = """Date,Ticker,Open,High,Low,Close,Volume
2020-01-02,A,1,3,0.5,2,100
2020-01-02,B,4,5,3,4,10
2020-01-03,A,2,2.5,2,2.25,150
2020-01-03,B,4,4,3.5,3.75,0
"""
BARS = """Date,Open,High,Low,Close,Adj Close,Volume
2020-01-02,10,12,9,11,5.5,100
2020-01-03,11,13,10,12,12,200
"""


@pytest.fixture
def read(tmp_path: Path) -> Reader:
    """Writes text as a file and reads it as a source."""

    def go(text: str | bytes, name: str = "prices.csv", **keywords: object) -> MarketData:
        path = tmp_path / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return file(str(path), **keywords)  # type: ignore[arg-type]

    return go


# ------------------------------------------------------------------ what it reads
def test_wide(read: Reader) -> None:
    market = read(WIDE)
    assert market.symbols == ("AAPL", "MSFT") and market.name == "prices"
    assert market.close.tolist() == [[10.5, 20], [11, 21.25], [12, 22], [13, 23]]
    assert market.dates.astype("datetime64[D]").astype(str).tolist()[-1] == "2020-01-07"
    assert market.periods_per_year == 252.0 and market.open is None and market.tradable.all()
    assert any("as they stand" in note for note in market.notes)


def test_long(read: Reader) -> None:
    market = read(LONG)
    assert market.symbols == ("A", "B")
    assert market.open.tolist() == [[1, 4], [2, 4]] and market.low.tolist() == [[0.5, 3], [2, 3.5]]
    assert market.volume.tolist() == [[100, 10], [150, 0]]
    # Rows ordered by symbol instead of by date make the same panel.
    lines = LONG.splitlines()
    by_symbol = "\n".join([lines[0], lines[1], lines[3], lines[2], lines[4]])
    assert read(by_symbol).fingerprint == market.fingerprint


def test_single_symbol_is_called_like_the_file_and_adjusted(read: Reader) -> None:
    market = read(BARS, "AAPL.csv")
    assert market.symbols == ("AAPL",)
    assert market.close.ravel().tolist() == [5.5, 12] and market.high.ravel().tolist() == [6, 13]
    assert market.volume.ravel().tolist() == [200, 200]
    assert any("adjusted close" in note for note in market.notes)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize("layout", ["wide", "long"])
def test_a_written_panel_is_read_back_bit_for_bit(tmp_path: Path, layout: str, suffix: str) -> None:
    market = synthetic(60, 3, seed=3, symbols=("NA", "1", "Ä B"))
    frame = pd.DataFrame(market.close, columns=list(market.symbols), index=market.dates)
    if layout == "long":
        frame = frame.rename_axis("timestamp").rename_axis("symbol", axis=1).stack()
        frame = frame.rename("price").reset_index()
    path = tmp_path / f"prices.{suffix}"
    if suffix == "parquet":
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=layout == "wide")
    back = file(str(path))
    assert back.symbols == market.symbols
    np.testing.assert_array_equal(back.close, market.close)
    np.testing.assert_array_equal(back.dates, market.dates)


@pytest.mark.parametrize(
    "text",
    [
        WIDE.replace(",", ";"),
        WIDE.replace(",", ";").replace(".", ","),
        WIDE.replace(",", "\t"),
        WIDE.replace("\n", "\r\n"),
        WIDE.replace(",", " , "),
        WIDE.replace("-", "/"),
        WIDE.replace("2020-0", "20200").replace("-", ""),
        WIDE.replace("date", "Timestamp"),
        WIDE.replace("date", ""),
        "\n" + WIDE.replace("\n", "\n\n"),
        WIDE.replace("\n", "\r"),
        WIDE.replace("AAPL", '"AAPL"').replace("10.5", '"10.5"'),
        '"date","AAPL","MSFT"\n' + WIDE.split("\n", 1)[1],
    ],
)
def test_harmless_varieties_of_csv(read: Reader, text: str) -> None:
    assert read(text).fingerprint == read(WIDE).fingerprint


def test_byte_order_mark_and_gzip(read: Reader) -> None:
    assert read(b"\xef\xbb\xbf" + WIDE.encode()).symbols == ("AAPL", "MSFT")
    assert read(gzip.compress(WIDE.encode()), "prices.csv.gz").n_rows == 4


def test_time_zones_become_utc(read: Reader) -> None:
    market = read("date,A\n2020-01-02 16:00:00-05:00,1\n2020-07-02T16:00:00-04:00,2\n")
    assert market.dates.astype("datetime64[m]").astype(str).tolist() == [
        "2020-01-02T21:00",
        "2020-07-02T20:00",
    ]


def test_late_listing_and_early_end_are_not_tradable(read: Reader) -> None:
    text = WIDE.replace("10.5,20", ",20").replace("13,23", "13,")
    market = read(text)
    assert market.tradable.tolist() == [[False, True], [True, True], [True, True], [True, False]]
    assert any("AAPL begins after" in note for note in market.notes)
    assert any("MSFT ends before" in note for note in market.notes)


def test_gaps_are_carried_only_on_request_and_are_not_tradable(read: Reader) -> None:
    text = WIDE.replace("11,21.25", ",21.25").replace("12,22", ",22")
    market = read(text, fill="ffill", max_fill=2)
    assert market.close[:, 0].tolist() == [10.5, 10.5, 10.5, 13]
    assert market.tradable[:, 0].tolist() == [True, False, False, True]
    assert any("2 price(s) missing" in note for note in market.notes)
    with pytest.raises(InputError, match=r"line 4, column 'AAPL': .*longer than max_fill=1"):
        read(text, fill="ffill", max_fill=1)
    # The carried price is the last one before the gap, whatever comes after.
    other = read(text.replace("13,23", "99,23"), fill="ffill")
    assert np.array_equal(other.close[:3], market.close[:3])


def test_benchmark_cash_and_periods(read: Reader) -> None:
    market = read(WIDE, benchmark="MSFT", cash_rate=0.05, periods_per_year=12)
    assert market.symbols == ("AAPL",) and market.benchmark.tolist() == [20, 21.25, 22, 23]
    assert market.benchmark_name == "MSFT"
    assert (1 + market.cash_rate[1]) ** 12 == pytest.approx(1.05)
    bars = read(BARS.replace("Volume", "Index"), benchmark="Index", symbols=["prices"])
    assert bars.benchmark.tolist() == [100, 200] and bars.volume is None
    with pytest.raises(InputError, match="no symbol 'SPY' for the benchmark; it holds AAPL, MSFT"):
        read(WIDE, benchmark="SPY")
    with pytest.raises(InputError, match="no benchmark column 'SPY'"):
        read(BARS, benchmark="SPY")


@pytest.mark.parametrize(
    ("dates", "rows"),
    [
        (np.arange("2020-01-01", "2021-01-01", dtype="datetime64[D]"), 365.25),
        (np.busday_offset("2020-01-01", np.arange(300)), 252.0),
        (np.arange("2020-01-03", "2021-01-03", 7, dtype="datetime64[D]"), 52.0),
        (np.arange("2010-01", "2020-01", dtype="datetime64[M]"), 12.0),
        (np.arange("2010-01", "2020-01", 3, dtype="datetime64[M]"), 4.0),
        (np.arange("2010", "2020", dtype="datetime64[Y]"), 1.0),
        (np.array(["1678-01-01", "2261-12-31"], dtype="datetime64[D]"), 1.0),
        (np.arange("2020-01-01", "2020-03-01", 60, dtype="datetime64[m]"), 365.25 * 24),
    ],
)
def test_rows_a_year(dates: np.ndarray, rows: float) -> None:
    assert rows_a_year(dates.astype("datetime64[ns]")) == pytest.approx(rows, rel=1e-6)


def test_a_wild_move_is_pointed_out(read: Reader) -> None:
    (note,) = [n for n in read(WIDE.replace("12,22", "5.5,22")).notes if "splits" in n and "%" in n]
    assert "AAPL on 2020-01-06 (-50%)" in note


def test_absurd_moves_are_pointed_out_without_overflow(read: Reader) -> None:
    text = "date,A,B\n2020-01-01,1e308,1\n2020-01-02,1e-308,1\n2020-01-03,1e308,1\n"
    split, absurd = [n for n in read(text).notes if "move(s)" in n]
    assert split.startswith("2 move(s)") and "A on 2020-01-02 (from 1e+308 to 1e-308)" in split
    assert absurd.startswith("2 move(s) of one row are by a factor of more than 100")
    rows = [f"2020-01-{day:02d},{1e-4 if day % 2 else 1e4}" for day in range(1, 11)]
    split, absurd = [n for n in read("\n".join(["date,A", *rows])).notes if "move(s)" in n]
    assert absurd.startswith("9 move(s)") and "A on 2020-01-02 (from 0.0001 to 10000)" in absurd
    assert "misplaced decimal point" in absurd


LATE = WIDE.replace("10.5,20", "10.5,").replace("MSFT", "SPY")


@pytest.mark.parametrize(
    ("text", "where"),
    [
        (LATE, "line 2, column 'SPY'"),
        (
            "date,symbol,close\n2020-01-02,A,1\n2020-01-03,A,1\n2020-01-03,SPY,1\n"
            "2020-01-06,A,1\n2020-01-06,SPY,1\n2020-01-07,A,1\n2020-01-07,SPY,1\n",
            "2020-01-02, symbol 'SPY'",
        ),
        (LATE.replace("AAPL", "close"), "line 2"),
    ],
)
def test_a_benchmark_that_begins_late_asks_for_a_later_start(
    read: Reader, text: str, where: str
) -> None:
    with pytest.raises(
        InputError,
        match=rf"{where}: the benchmark 'SPY' is missing on 2020-01-02; it has levels from "
        "2020-01-03 to 2020-01-07: choose start and end inside its dates, or another benchmark",
    ):
        read(text, benchmark="SPY")
    market = read(text, benchmark="SPY", start="2020-01-03")
    assert market.n_rows == 3 and market.benchmark_name == "SPY" and market.n_assets == 1
    assert (market.benchmark > 0).all()


def test_a_benchmark_alone_is_refused(read: Reader) -> None:
    with pytest.raises(InputError, match="no symbol is left beside the benchmark 'A'; add one"):
        read("date,A\n2020-01-01,1\n2020-01-02,2\n", benchmark="A")


# ------------------------------------------------------------------ what it refuses
def line(number: int, old: str, new: str, text: str = WIDE) -> str:
    lines = text.splitlines()
    assert old in lines[number - 1]
    lines[number - 1] = lines[number - 1].replace(old, new)
    return "\n".join(lines) + "\n"


WRONG = {
    "missing date": (line(3, "2020-01-03", ""), "line 3, column 'date': the date is missing"),
    "duplicate date": (
        line(4, "2020-01-06", "2020-01-03"),
        "line 4, column 'date': duplicate date: 2020-01-03 stands already on line 3; keep one row",
    ),
    "unsorted date": (
        line(4, "2020-01-06", "2020-01-01"),
        "line 4, column 'date': dates are not sorted: 2020-01-01 comes after 2020-01-03; sort",
    ),
    "newest first": (
        "date,A\n2020-01-03,1\n2020-01-02,2\n",
        "dates are not sorted: the newest comes first; sort them",
    ),
    "ambiguous date": (
        line(2, "2020-01-02", "31/12/2019"),
        "line 2, column 'date': '31/12/2019' is not a date of the form 2020-04-03",
    ),
    "date before 1678": (
        line(2, "2020-01-02", "0000-12-31"),
        "line 2, column 'date': 0000-12-31 lies outside 1678-01-01..2261-12-31, .*; correct the",
    ),
    "date after 2261": (
        line(5, "2020-01-07", "9999-12-31"),
        "line 5, column 'date': 9999-12-31 lies outside 1678-01-01..2261-12-31",
    ),
    "one zone": (
        line(4, "2020-01-06", "2020-01-06T00:00:00+02:00"),
        "line 4, column 'date': '2020-01-06T00:00:00.02:00' has a time zone, the first row none; "
        "write all dates with a zone or all without",
    ),
    "one without a zone": (
        "date,A\n2020-01-01 10:00Z,1\n2020-01-02 10:00Z,2\n2020-01-03 10:00,3\n",
        "line 4, column 'date': '2020-01-03 10:00' has no time zone, the first row one",
    ),
    "open quote": (
        line(3, "11", '"11', WIDE + WIDE.split("\n", 1)[1]),
        r"line 3: a quotation mark",
    ),
    "quote closed later": (
        line(3, "11", '"11').replace("13,23", '"13",23'),
        "line 3: a quotation mark .* is opened and not closed on that line",
    ),
    "open quote in the last field": (line(5, "23", '"23'), "line 5: a quotation mark"),
    "open quote at the end of the file": (
        line(5, "23", '"23').rstrip("\n"),
        "line 5: a quotation mark",
    ),
    "open quote in the header": (line(1, "AAPL", '"AAPL'), "line 1: a quotation mark"),
    "open quote and a long file": (
        line(3, "11", '"11') + "2020-01-08,1,2\n" * 20_000,
        "line 3: a quotation mark .*, or a cell is far too long; close or delete the mark",
    ),
    "no such day": (line(5, "2020-01-07", "2020-02-30"), "line 5, column 'date': '2020-02-30'"),
    "duplicate symbol": (
        line(1, "MSFT", "AAPL"),
        "line 1: the columns 2 and 3 are both called 'AAPL'; name each symbol once",
    ),
    "nameless column": (line(1, "MSFT", ""), "line 1: column 3 has no name"),
    "gap": (
        line(3, "21.25", ""),
        "line 3, column 'MSFT': no price, but MSFT has prices before and after; fill it in",
    ),
    "NaN in words": (line(3, "21.25", "NaN"), "line 3, column 'MSFT': no price"),
    "zero": (line(4, "22", "0"), "line 4, column 'MSFT': 0.0 is zero or negative"),
    "negative": (line(4, "22", "-22"), "line 4, column 'MSFT': -22.0 is zero or negative"),
    "infinite": (line(4, "22", "inf"), "line 4, column 'MSFT': inf is infinite"),
    "text": (
        line(5, "23", "n.a. today"),
        "line 5, column 'MSFT': 'n.a. today' is not a number; write it with digits",
    ),
    "thousands": (line(5, "23", '"1,023.5"'), "line 5, column 'MSFT': '1,023.5' is not a number"),
    "currency": (line(5, "23", "$23"), "line 5, column 'MSFT': '.23' is not a number"),
    "truth value": ("date,A\n2020-01-01,True\n2020-01-02,False\n", "column 'A': .* not a number"),
    "too few fields": (
        line(5, "13,23", "13"),
        "line 5: 2 fields, but the header .line 1. names 3 columns; complete or delete",
    ),
    "too many fields": (line(5, "13,23", "13,23,24"), "line 5: 4 fields"),
    "after blank lines": (
        line(4, "22", "x").replace("\n", "\n\n"),
        "line 7, column 'MSFT': 'x' is not a number",
    ),
    "no price at all": (
        "date,A,B\n2020-01-01,1,\n2020-01-02,2,\n",
        "column 'B': B has no price at all",
    ),
    "empty": ("", "the file is empty"),
    "blank": ("\n \n", "the file is empty"),
    "header only": ("date,A\n", "only a header and no rows; at least two rows"),
    "one row": ("date,A\n2020-01-01,1\n", "one row only; at least two are needed"),
    "no csv": ("hello world\nfoo bar\n", "line 1: 'hello world' is one column; not a CSV file"),
    "no header": (WIDE.split("\n", 1)[1], "'2020-01-02' is a date where a column name should be"),
    "no date column": (
        "when,A\n2020-01-01,1\n",
        "no date column among 'when', 'A'; call it 'date'",
    ),
    "only dates": ("date,\n2020-01-01,\n", "column 2 has no name"),
    "yfinance": (
        "Price,Close,Close\nTicker,A,B\nDate,,\n2020-01-02,1,1\n",
        "line 2: a second header line, as yfinance writes it; write the file with",
    ),
    "high below low": (
        line(3, "2,2.5,2,", "2,1.5,2,", LONG.replace("2020-01-02,B,4,5,3,4,10\n", "")),
        "line 3, column 'High': 1.5 is below the low",
    ),
    "close above high": (
        line(2, "12,9,11", "12,9,12.5", BARS),
        "line 2, column 'Close': 12.5 is a",
    ),
    "open below low": (line(2, "10,12,9", "8,12,9", BARS), "line 2, column 'Open': 8 is below the"),
    "negative volume": (
        line(3, "200", "-1", BARS),
        "line 3, column 'Volume': -1.0 is a negative v",
    ),
    "no volume": (line(3, "200", "", BARS), "line 3, column 'Volume': is empty although"),
    "open alone": (
        line(3, "12,12", ",", BARS),
        "line 3, column 'Open': 11 stands without a close",
    ),
    "zero open": (line(3, "11,13", "0,13", BARS), "line 3, column 'Open': 0.0 is zero or negative"),
    "adjusted only": (
        BARS.replace("Close,Adj Close", "Last Sale,Adj Close"),
        "'Adj Close' without a close: open, high and low cannot be brought to its basis",
    ),
    "two closes": (
        BARS.replace("Adj Close", "Price"),
        "the columns 'Close' and 'Price' could both be the close; keep one",
    ),
    "long twice": (
        line(4, "2020-01-03", "2020-01-02", LONG),
        "line 4, column 'Date': 2020-01-02 of A stands already on line 2; keep one row",
    ),
    "long unsorted": (
        line(4, "2020-01-03", "2020-01-01", LONG),
        "line 4, column 'Date': 2020-01-01 of A comes after a later date; sort the rows",
    ),
    "long without symbol": (line(3, ",B,", ",,", LONG), "line 3, column 'Ticker': the symbol is m"),
    "long gap": (
        LONG + "2020-01-06,A,2,2,2,2,1\n2020-01-07,A,2,2,2,2,1\n2020-01-07,B,2,2,2,2,1\n",
        "2020-01-06, symbol 'B': no price, but B has prices before and after",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_file_is_refused_by_name_line_and_column(read: Reader, case: str) -> None:
    text, message = WRONG[case]
    with pytest.raises(InputError, match=message) as caught:
        read(text)
    assert "prices.csv" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"date,A\n2020-01-01,1\n2020-01-02,2\nN\xe4chste,3\n", "line 4: not UTF-8 text; save"),
        (WIDE.encode("utf-16"), "not UTF-8 text"),
        (b"PK\x03\x04rest", "an Excel workbook or zip file; export the sheet as CSV"),
        (b"PAR1rest", "rename it to end in .parquet"),
        (b"date,A\n2020-01-01,1\x00\n", "holds binary data"),
        # A fixed time, or workers that collect in different seconds name the case differently.
        (gzip.compress(WIDE.encode(), mtime=0)[:40], "damaged gzip file"),
    ],
)
def test_what_is_no_text_is_refused(read: Reader, content: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(content)


def test_paths_that_are_no_file(tmp_path: Path) -> None:
    (tmp_path / "other.csv").write_text(WIDE)
    with pytest.raises(
        InputError, match=r"prices\.csv: no such file; that folder holds other\.csv"
    ):
        file(str(tmp_path / "prices.csv"))
    with pytest.raises(InputError, match="is a folder; name one file"):
        file(str(tmp_path))
    (tmp_path / "prices.parquet").write_bytes(b"PAR1 no more")
    for wrong in (None, 5, [1], ""):
        with pytest.raises(InputError, match="is not the name of a file; write path="):
            file(wrong)  # type: ignore[arg-type]
    for wrong in ("~nobody-of-that-name/prices.csv", "x" * 5000 + ".csv", "a\0.csv"):
        with pytest.raises(InputError, match=r"cannot name a file|no such file"):
            file(wrong)
    with pytest.raises(InputError, match="not a readable Parquet file"):
        file(str(tmp_path / "prices.parquet"))


def test_parquet_errors_name_row_and_column(tmp_path: Path) -> None:
    frame = pd.DataFrame({"date": ["2020-01-01", "2020-01-02"], "A": [1.0, -1.0]})
    path = tmp_path / "prices.parquet"
    frame.to_parquet(path)
    with pytest.raises(InputError, match=r"row 2, column 'A': -1.0 is zero or negative"):
        file(str(path))
    frame.assign(A=["1", "x"]).to_parquet(path)
    with pytest.raises(InputError, match="row 2, column 'A': 'x' is not a number"):
        file(str(path))
    frame.assign(A=pd.to_timedelta([1, 2], unit="s")).to_parquet(path)
    with pytest.raises(
        InputError, match=r"column 'A': holds timedelta64.* values, no prices; make"
    ):
        file(str(path))
    frame.assign(A=pd.Series([True, None], dtype=object)).to_parquet(path)
    with pytest.raises(InputError, match="row 1, column 'A': True is not a number"):
        file(str(path))
    frame.assign(date=[date(2020, 1, 1), date(2500, 1, 1)], A=1.0).to_parquet(path)
    with pytest.raises(InputError, match="row 2, column 'date': 2500-01-01 lies outside 1678"):
        file(str(path))
    stamps = np.array(["1500-01-01", "2020-01-01"], "datetime64[s]")
    frame.assign(date=stamps, A=1.0).to_parquet(path)
    with pytest.raises(InputError, match=r"row 1, column 'date': 1500-01-01.* lies outside 1678"):
        file(str(path))
    frame.iloc[:0].to_parquet(path)
    with pytest.raises(InputError, match="no rows; at least two"):
        file(str(path))


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"layout": "tall"}, "layout='tall' is not one of auto, wide, long, single"),
        ({"layout": "long"}, "the long layout needs a symbol column"),
        ({"layout": "single"}, "no close column among 'date', 'AAPL', 'MSFT'"),
        ({"fill": "bfill"}, "fill='bfill' must be null or ffill"),
        ({"fill": "ffill", "max_fill": 0}, "max_fill=0 must be >= 1"),
        ({"max_fill": "few"}, "max_fill='few' must be a whole number"),
        ({"benchmark": ["MSFT"]}, "benchmark=.'MSFT'. must be the name of one symbol"),
        ({"symbols": []}, r"symbols=\[\] is empty; name at least one, or write null"),
        ({"symbols": "APL"}, "unknown symbol 'APL'"),
        ({"start": 20200103}, "'20200103' is not a date"),
        ({"cash_rate": None}, "cash_rate=None must be a number"),
        ({"periods_per_year": np.nan}, "periods_per_year=nan must be a finite number"),
        ({"symbols": ["APL"]}, "unknown symbol 'APL'; near: .'AAPL'"),
        ({"start": "2021-01-01"}, "the data runs from 2020-01-02 to 2020-01-07"),
        ({"cash_rate": -2.0}, "cash_rate=-2.0 must be a yearly rate"),
        ({"periods_per_year": 0.0}, "periods_per_year=0.0 must be >= 0.01"),
    ],
)
def test_wrong_keywords_are_named(read: Reader, keywords: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(WIDE, **keywords)


def test_one_symbol_is_enough(read: Reader) -> None:
    assert read("date,A\n2020-01-01,1\n2020-01-02,2\n").close.shape == (2, 1)
