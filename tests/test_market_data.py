"""`MarketData`: what cannot exist, and what a view keeps; the synthetic market against its law."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from envs.data import MarketData, synthetic
from envs.errors import InputError

DATES = np.arange("2020-01-01", "2020-01-05", dtype="datetime64[D]")
GOOD = {
    "dates": DATES,
    "symbols": ("A", "B"),
    "close": [[1.0, 2.0], [1.1, 2.1], [1.2, 2.2], [1.3, 2.3]],
}


def changed(field: str, row: int, column: int, value: float) -> dict[str, object]:
    market = synthetic(4, 2, ohlcv=True, symbols=("A", "B"))
    array = getattr(market, field).copy()
    array[row, column] = value
    keys = ("dates", "symbols", "close", "open", "high", "low", "volume")
    return {key: getattr(market, key) for key in keys} | {field: array, "name": "m"}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (GOOD | {"close": np.ones(4)}, "must be .T, A"),
        (GOOD | {"symbols": ("A",)}, "1 symbols for 2 columns"),
        (GOOD | {"symbols": ("A", "A")}, "duplicate symbols .'A'.; name each column once"),
        (GOOD | {"dates": DATES[:3]}, "3 dates for 4 rows"),
        (GOOD | {"dates": DATES[[0, 1, 1, 2]]}, r"duplicate date in row 2 \(2020-01-02\)"),
        (GOOD | {"dates": DATES[[0, 2, 1, 3]]}, r"not sorted at row 2 \(2020-01-02\); sort"),
        (GOOD | {"dates": np.append(DATES[:3], np.datetime64("NaT"))}, "missing date in row 3"),
        (GOOD | {"dates": DATES[:1], "close": [[1.0, 2.0]]}, "at least two are needed"),
        (GOOD | {"periods_per_year": 0.0}, "periods_per_year=0.0 must be >= 0.01: 252 for daily"),
        (GOOD | {"periods_per_year": 1e-9}, "periods_per_year=1e-09 must be >= 0.01"),
        (GOOD | {"periods_per_year": np.inf}, "periods_per_year=inf must be a finite number"),
        (GOOD | {"periods_per_year": None}, "market: periods_per_year=None must be a number"),
        (GOOD | {"periods_per_year": True}, "periods_per_year=True must be a number"),
        (GOOD | {"close": "abc"}, "market: close must be an array of numbers"),
        (GOOD | {"close": np.ones((4, 2), "m8[s]")}, "close must be an array of numbers"),
        (GOOD | {"close": [[1.0, 2.0], [3.0]]}, "close must be an array of numbers"),
        (GOOD | {"volume": "many"}, "volume must be an array of numbers"),
        (GOOD | {"tradable": np.full((4, 2), 0.5)}, "tradable must hold true and false only"),
        (GOOD | {"symbols": None}, "market: symbols=None is not a list of names"),
        (GOOD | {"symbols": ()}, r"market: symbols=\[\] is empty; name at least one"),
        (GOOD | {"notes": None}, "market: notes=None is not a list of texts"),
        (GOOD | {"dates": ["foo"] * 4}, "market: dates cannot be read .*foo.*; give dates such as"),
        (GOOD | {"dates": None}, "market: dates"),
        (GOOD | {"dates": np.arange(4)}, "dates are of the type int64, no dates; give dates such"),
        (
            GOOD | {"dates": np.append(DATES[:3], np.datetime64("9999-12-31"))},
            "the date 9999-12-31 in row 3 lies outside 1678-01-01..2261-12-31, .*; correct it or",
        ),
        (
            GOOD | {"dates": [date(1, 1, 1), *(date(2020, 1, day) for day in (1, 2, 3))]},
            "the date 0001-01-01.* in row 0 lies outside",
        ),
        (GOOD | {"dates": ["20200101", "20200102", "20200103", "20200104"]}, "row 0 lies outside"),
        (GOOD | {"open": np.ones((4, 3))}, "open must have shape"),
        (GOOD | {"tradable": np.ones((3, 2), bool)}, "tradable must be"),
        (GOOD | {"tradable": np.ones((4, 2), bool), "close": np.full((4, 2), np.nan)}, "row 0"),
        (GOOD | {"cash_rate": np.array([0, 0, np.nan, 0])}, r"cash_rate .* row 2 \(2020-01-03\)"),
        (
            GOOD | {"benchmark": np.array([1, 1, 0.0, 1])},
            "benchmark is 0.0, not positive, at row 2",
        ),
        (
            GOOD | {"benchmark": np.array([np.nan, 1, 1, 1])},
            r"benchmark is missing at row 0 \(2020-01-01\); choose dates at which it has a level",
        ),
        (changed("close", 1, 1, 0.0), r"close is zero or negative at row 1 \(.*\), symbol B"),
        (changed("close", 2, 0, -3.0), "close is zero or negative at row 2"),
        (changed("close", 2, 0, np.inf), "close is infinite at row 2"),
        (changed("open", 1, 0, np.nan), "open is missing or infinite at row 1"),
        (changed("high", 1, 0, 1e-3), "high is below low at row 1"),
        (changed("close", 1, 0, 1e6), "close is above high at row 1"),
        (changed("open", 1, 0, 1e-6), "open is below low at row 1"),
        (changed("volume", 3, 1, -1.0), r"negative volume at row 3 \(.*\), symbol B"),
        (changed("volume", 3, 1, np.nan), "volume is missing at row 3"),
    ],
)
def test_a_wrong_panel_cannot_exist(fields: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        MarketData(**fields)  # type: ignore[arg-type]


def test_one_symbol_and_unlisted_cells_are_allowed() -> None:
    market = MarketData(DATES, ("A",), [[np.nan], [np.nan], [3.0], [4.0]])
    assert market.tradable.tolist() == [[False], [False], [True], [True]]


def test_arrays_are_frozen_copies() -> None:
    close = np.array(GOOD["close"])
    market = MarketData(DATES, ("A", "B"), close)
    close[0, 0] = 99.0
    assert market.close[0, 0] == 1.0
    with pytest.raises(ValueError, match="read-only"):
        market.close[0, 0] = 5.0


def test_views_keep_what_they_do_not_cut() -> None:
    market = synthetic(50, 3, ohlcv=True)
    part = market.rows(10, 20)
    assert part.n_rows == 10 and np.array_equal(part.high, market.high[10:20])
    assert np.array_equal(part.cash_rate, market.cash_rate[10:20])
    picked = market.select(["S02", "S00"])
    assert np.array_equal(picked.volume, market.volume[:, [2, 0]])
    days = market.dates.astype("datetime64[D]").astype(str)
    between = market.between(days[5], days[9])
    assert np.array_equal(between.dates, market.dates[5:10])
    assert market.span(days[5], None) == (5, 50)
    with pytest.raises(InputError, match=r"unknown symbol 'S0l'; near: \['S0"):
        market.select(["S0l"])
    with pytest.raises(InputError, match="the data runs from 2000-01-03 to"):
        market.between("1990-01-01", "1991-01-01")
    assert market.select("S01").symbols == ("S01",)
    with pytest.raises(InputError, match=r"symbols=\[\] is empty"):
        market.select([])


@pytest.mark.parametrize(
    "day", ["soon", "20000110", 20000110, "2000", "2000-01", "2000-1-3", "2000-02-30", "", "\n"]
)
def test_a_day_is_written_in_one_way(day: object) -> None:
    market = synthetic(50, 2)
    for keywords in ({"start": day}, {"end": day}):
        with pytest.raises(InputError, match="is not a date; write it as YYYY-MM-DD"):
            market.span(**keywords)  # type: ignore[arg-type]


def test_far_days_are_open_bounds() -> None:
    market = synthetic(50, 2)
    for far in ("0001-01-01", "1600-01-01", "1677-09-21"):
        assert market.span(far, None) == (0, 50)
        assert market.span(None, far) == (0, 0)
    for far in ("2262-04-12", "2300-01-01", "9999-12-31"):
        assert market.span(None, far) == (0, 50)
        assert market.span(far, None) == (50, 50)
    assert market.span(date(2000, 1, 4), date(2000, 1, 5)) == (1, 3)  # type: ignore[arg-type]


def test_dates_of_every_unit_and_kind_make_the_same_panel() -> None:
    first = MarketData(**GOOD)  # type: ignore[arg-type]
    for dates in (
        DATES.astype("M8[s]"),
        DATES.astype("M8[ns]"),
        DATES.astype(object),
        DATES.astype(str),
        list(DATES),
    ):
        assert MarketData(**GOOD | {"dates": dates}).fingerprint == first.fingerprint  # type: ignore[arg-type]


def test_dates_may_lie_at_both_ends_of_what_nanoseconds_hold() -> None:
    ends = np.array(["1678-01-01", "2261-12-31"], "datetime64[D]")
    # 583 years apart: their difference does not fit into 64-bit nanoseconds.
    market = MarketData(ends, ("A",), [[1.0], [2.0]])
    assert market.dates.astype("datetime64[D]").tolist() == ends.tolist()
    with pytest.raises(InputError, match="not sorted at row 1"):
        MarketData(ends[::-1], ("A",), [[1.0], [2.0]])


def test_fingerprint_is_of_the_content_only() -> None:
    market = synthetic(20, 2, ohlcv=True)
    same = replace(market, name="other", notes=("x",))
    assert same.fingerprint == market.fingerprint and len(market.fingerprint) == 64
    for field in ("close", "open", "high", "low", "volume", "cash_rate"):
        value = getattr(market, field).copy()
        value.flat[3] = np.nextafter(value.flat[3], np.inf)
        assert replace(market, **{field: value}).fingerprint != market.fingerprint, field
    assert replace(market, symbols=("X", "Y")).fingerprint != market.fingerprint
    assert replace(market, dates=market.dates + 1).fingerprint != market.fingerprint


# ------------------------------------------------------------------ synthetic
def test_synthetic_repeats_and_ohlcv_leaves_the_closes_alone() -> None:
    first, again = synthetic(200, 3, seed=5), synthetic(200, 3, seed=5, ohlcv=True)
    assert np.array_equal(first.close, again.close)
    assert synthetic(200, 3, seed=5, ohlcv=True).fingerprint == again.fingerprint
    assert synthetic(200, 3, seed=6).fingerprint != first.fingerprint
    assert np.is_busday(first.dates.astype("datetime64[D]")).all()


def test_synthetic_follows_its_law() -> None:
    drift = np.array([0.0, 0.5, -0.3])
    market = synthetic(
        100_001,
        3,
        seed=1,
        ohlcv=True,
        drift=list(drift),
        volatility=0.3,
        correlation=0.6,
        first_date="1700-01-01",
    )
    log_return = np.diff(np.log(market.close), axis=0)
    years = 100_000 / 252
    # Five standard errors of each estimate.
    np.testing.assert_allclose(
        log_return.mean(axis=0) * 252, drift - 0.045, atol=5 * 0.3 / np.sqrt(years)
    )
    np.testing.assert_allclose(log_return.std(axis=0) * np.sqrt(252), 0.3, rtol=5 / np.sqrt(2e5))
    correlation = np.corrcoef(log_return.T)[np.triu_indices(3, 1)]
    np.testing.assert_allclose(correlation, 0.6, atol=5 * (1 - 0.36) / np.sqrt(1e5))
    overnight = np.log(market.open[1:] / market.close[:-1])
    np.testing.assert_allclose(overnight.var(axis=0) * 252, 0.25 * 0.09, rtol=0.03)
    # Garman & Klass (1980): E[ln(high/low)^2] = 4 ln 2 sigma^2, up to the drift of the open.
    spread = np.log(market.high / market.low) ** 2
    np.testing.assert_allclose(spread.mean(axis=0) / (4 * np.log(2)) * 252, 0.75 * 0.09, rtol=0.03)
    assert market.cash_rate[7] == pytest.approx(1.02 ** (1 / 252) - 1, rel=1e-12)


def test_synthetic_without_volatility_is_a_smooth_curve() -> None:
    market = synthetic(253, 1, drift=0.1, volatility=0.0, ohlcv=True)
    assert market.close[-1, 0] / market.close[0, 0] == pytest.approx(np.exp(0.1), rel=1e-12)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"n_rows": 1}, "n_rows=1"),
        ({"n_assets": 0}, "n_assets=0"),
        ({"correlation": -0.1}, "correlation=-0.1"),
        ({"volatility": -1.0}, "volatility=-1.0"),
        ({"drift": [0.1]}, "a list of 4"),
        ({"drift": float("nan")}, "drift=nan"),
        ({"drift": "much"}, "drift=much must be one finite number"),
        ({"drift": 1e300}, "prices leave the range of numbers; choose smaller ones"),
        ({"volatility": 1e200}, "prices leave the range of numbers"),
        ({"start_price": 0.0}, "start_price=0.0"),
        ({"start_price": None}, "start_price=None must be a number"),
        ({"start_price": 1e308}, "prices leave the range of numbers"),
        ({"cash_rate": np.nan}, "cash_rate=nan must be a finite number"),
        ({"cash_rate": 1e300}, "cash_rate=1e.300 must be a yearly rate > -1 and at most 1000"),
        ({"correlation": "high"}, "correlation='high' must be a number"),
        ({"n_rows": "x"}, "n_rows='x' must be a whole number >= 2"),
        ({"n_rows": 10.5}, "n_rows=10.5 must be a whole number"),
        ({"n_rows": 10**12}, "n_rows=1000000000000 times n_assets=4 are more than 2e.09 prices"),
        ({"n_assets": 10**9}, "times n_assets=1000000000 are more than"),
        ({"n_rows": 100_000}, "100000 weekdays from first_date=2000-01-03 end on 23.*fewer rows"),
        ({"seed": -1}, "seed=-1 must be >= 0"),
        ({"seed": None}, "seed=None must be a whole number"),
        ({"ohlcv": "false"}, "ohlcv='false' must be true or false"),
        ({"first_date": "foo"}, "first_date=foo is not a date; write it as YYYY-MM-DD"),
        ({"first_date": 20000103}, "first_date=20000103 is not a date"),
        ({"first_date": "9999-01-01"}, "they must lie in 1678-01-01..2261-12-31"),
        ({"first_date": "1600-01-01"}, "they must lie in 1678-01-01..2261-12-31"),
        ({"periods_per_year": 1e-9}, "periods_per_year=1e-09 must be >= 0.01"),
        ({"periods_per_year": np.inf}, "periods_per_year=inf must be a finite number"),
        ({"periods_per_year": "daily"}, "periods_per_year='daily' must be a number"),
        ({"symbols": []}, r"symbols=\[\] is empty; name at least one, or write null"),
        ({"symbols": 5}, r"symbols=5 is not a list of names; write it as \[AAPL,MSFT\]"),
    ],
)
def test_synthetic_names_a_wrong_argument(keywords: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        synthetic(**keywords)  # type: ignore[arg-type]
