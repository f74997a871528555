"""Seasons: known dates of the calendar, and earnings season from days of reports."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from envs.data import sp500, synthetic
from envs.data.fetch import fetched_file
from envs.errors import InputError
from envs.features import EarningsDates, build_features, first_leak, published_earnings
from envs.features.seasonal import published_calendar, seasonal
from experiments.auditing.future import change_builder

NEW_YORK = published_calendar("XNYS")


def on(family: str, *days: str) -> list[float]:
    return seasonal(family, np.array(days, dtype="datetime64[ns]"), NEW_YORK).tolist()


# ------------------------------------------------------------------ the calendar
def test_years_of_a_presidents_term():
    # Elections were held in 1960, 2000 and 2024.
    years = ("1961-05-01", "1960-05-01", "2000-12-31", "2001-01-01", "2002-07-04", "2024-11-05")
    quarter = np.array([0, 3, 3, 0, 1, 3]) / 4
    np.testing.assert_allclose(
        on("presidential_cycle_sin", *years), np.sin(2 * np.pi * quarter), atol=1e-15
    )
    np.testing.assert_allclose(
        on("presidential_cycle_cos", *years), np.cos(2 * np.pi * quarter), atol=1e-15
    )


def test_quarters_january_and_the_winter_half_year():
    days = ("2023-01-01", "2023-03-31", "2023-04-01", "2023-10-31", "2023-11-01", "2023-04-30")
    quarter = np.array([0, 0, 1, 3, 3, 1]) / 4
    np.testing.assert_allclose(
        on("quarter_of_year_sin", *days), np.sin(2 * np.pi * quarter), atol=1e-15
    )
    assert on("january", *days) == [1, 0, 0, 0, 0, 0]
    assert on("november_to_april", *days) == [1, 1, 1, 0, 1, 1]
    assert on("november_to_april", "2023-05-01", "1969-12-31", "1969-08-01") == [0, 1, 0]


def test_santa_rally_is_the_last_five_sessions_and_the_first_two():
    # In 2021 Christmas was observed on Friday 24; New Year's Day 2022 fell on a Saturday.
    days = np.arange("2021-12-20", "2022-01-08", dtype="datetime64[D]")
    sessions = days[np.is_busday(days, busdaycal=NEW_YORK)]
    flags = seasonal("santa_rally", sessions, NEW_YORK)
    assert [str(day) for day in sessions[flags == 1]] == [
        "2021-12-27", "2021-12-28", "2021-12-29", "2021-12-30", "2021-12-31", "2022-01-03",
        "2022-01-04",
    ]  # fmt: skip
    # In every year there are seven of them.
    days = np.arange("1950-07-01", "2050-07-01", dtype="datetime64[D]")
    sessions = days[np.is_busday(days, busdaycal=NEW_YORK)]
    assert seasonal("santa_rally", sessions, NEW_YORK).sum() == 7 * 100


# ------------------------------------------------------------------ earnings
def market(n_rows=700, n_assets=4):
    return synthetic(n_rows=n_rows, n_assets=n_assets, seed=2)


MARKET = market()


def some_reports(seed=0) -> EarningsDates:
    """Quarterly with some days to and fro; S03 is not among them, S02 falls silent."""
    rng = np.random.default_rng(seed)
    first = MARKET.dates[0].astype("datetime64[D]") - 100
    reports = {}
    for symbol, n in (("S00", 14), ("S01", 14), ("S02", 4), ("OTHER", 9)):
        reports[symbol] = first + np.cumsum(rng.integers(80, 100, n))
    return EarningsDates(reports)


def sessions_between(first, last) -> int:
    """Sessions in first < day <= last, one by one."""
    days = np.arange(first + 1, last + 1)
    return sum(bool(np.is_busday(day, busdaycal=NEW_YORK)) for day in days)


def distances_slowly(reports, day) -> tuple[float, float]:
    past = [r for r in reports if r < day]
    if not past or (day - past[-1]).astype(int) > 200:
        return np.nan, np.nan
    since = min(sessions_between(past[-1], day), 63) / 63
    coming = [r + 364 for r in past if r + 364 >= day]
    if not coming:
        return since, np.nan
    return since, min(max(sessions_between(day, coming[0] - 1), 0), 63) / 63


def test_distances_to_reports_equal_their_slow_twin():
    dates = some_reports()
    names = ["sessions_since_report", "sessions_to_report"]
    panel = build_features(MARKET, names, earnings_dates=dates)
    assert panel.names == (*names, "seasonal_known") and panel.warmup == 0
    for t in range(0, MARKET.n_rows, 7):
        day = MARKET.dates[t].astype("datetime64[D]")
        for a, symbol in enumerate(MARKET.symbols):
            expected = distances_slowly(dates.reports.get(symbol, []), day)
            np.testing.assert_allclose(panel.values[t, a, :2], expected, rtol=1e-6, atol=1e-7)
            known = np.isfinite(expected).mean()
            assert panel.values[t, a, 2] == known
    assert set(panel.masked) == set(names)
    assert "known for" in panel.masked["sessions_to_report"]


def test_shares_equal_their_slow_twin():
    dates = some_reports()
    names = ["reported_share_10", "expected_share_10"]
    panel = build_features(MARKET, names, earnings_dates=dates)
    assert np.array_equal(panel.values, panel.values[:, :1].repeat(4, axis=1), equal_nan=True)
    for t in range(0, MARKET.n_rows, 5):
        day = MARKET.dates[t].astype("datetime64[D]")
        both = np.array([distances_slowly(dates.reports[s], day) for s in ("S00", "S01", "S02")])
        for f, most in enumerate((10, 9)):
            known = both[:, f][np.isfinite(both[:, f])] * 63
            expected = (known.round(6) <= most).mean() if len(known) else np.nan
            np.testing.assert_allclose(panel.values[t, 0, f], expected, rtol=1e-6)


def test_a_report_is_known_the_day_after_and_the_next_one_is_expected_as_last_year():
    reports = ["2000-04-18", "2000-07-18", "2000-10-18", "2001-01-17", "2001-04-18"]
    dates = EarningsDates({"S00": np.array(reports, "datetime64[D]")})
    panel = build_features(MARKET, ["seasonal"], earnings_dates=dates)
    since = panel.values[:, 0, panel.names.index("sessions_since_report")] * 63
    coming = panel.values[:, 0, panel.names.index("sessions_to_report")] * 63

    def row(day):
        return int(np.searchsorted(MARKET.dates, np.datetime64(day)))

    assert np.isnan(since[row("2000-04-18")]) and since[row("2000-04-19")].round(4) == 1
    # 13 weeks without Good Friday, Memorial Day and Independence Day.
    assert since[row("2000-07-18")].round(4) == 62 and since[row("2000-07-19")].round(4) == 1
    # 52 weeks after Tuesday 2000-04-18 is Tuesday 2001-04-17: one day early, and only expected.
    found = [coming[row(f"2001-04-{day}")].round(4) for day in (11, 12, 16, 17)]
    assert found == [2, 1, 0, 0]  # Friday 13 was Good Friday
    # Then the one of 2001-07-17; Memorial Day and Independence Day lie between.
    assert coming[row("2001-04-18")].round(4) == 61


def test_no_feature_knows_a_report_before_it_was_made():
    build = partial(build_features, names=["seasonal"], earnings_dates=some_reports())
    reports = some_reports().reports["S00"]
    rows = [int(np.searchsorted(MARKET.dates, day)) for day in reports[2:6]]
    for row in [*rows, 55, 300]:
        day, past = MARKET.dates[row], slice(0, row + 1)
        one, other = build(MARKET), change_builder(build, day, seed=row)(MARKET)
        assert one.values[past].tobytes() == other.values[past].tobytes()
        assert one.values.tobytes() != other.values.tobytes()
    assert first_leak(build, MARKET, 300) is None


def test_what_knows_the_coming_report_is_caught():
    def early(market, earnings_dates):
        """Counts down to the report that really comes: that day was not public for most of it."""
        shifted = {s: days - 5 for s, days in earnings_dates.reports.items()}
        return build_features(market, ["seasonal"], earnings_dates=EarningsDates(shifted))

    build = partial(early, earnings_dates=some_reports())
    row = int(np.searchsorted(MARKET.dates, some_reports().reports["S00"][3])) - 2
    one, other = build(MARKET), change_builder(build, MARKET.dates[row], seed=1)(MARKET)
    assert one.values[: row + 1].tobytes() != other.values[: row + 1].tobytes()


def test_dates_that_were_not_fetched_leave_masked_columns_that_say_so(monkeypatch, tmp_path):
    monkeypatch.setenv("TRADEWIND_DATA", str(tmp_path))
    missing = published_earnings.__wrapped__()
    panel = build_features(MARKET, ["seasonal"], earnings_dates=missing)
    assert set(panel.masked) == {
        "sessions_since_report", "sessions_to_report", "reported_share_10", "expected_share_10",
    }  # fmt: skip
    assert all("run: python -m envs.data fetch earnings" in x for x in panel.masked.values())
    assert (panel.values[..., panel.names.index("seasonal_known")] == 0).all()
    with pytest.raises(InputError, match="A has a report without a day"):
        EarningsDates({"A": np.array(["2001-01-01", "NaT"], "datetime64[D]")})


def test_the_fetched_dates_are_those_of_the_companies():
    try:
        fetched_file("earnings", "earnings.db")
    except InputError as error:
        pytest.skip(str(error))
    dates = published_earnings()
    assert len(dates.reports) == 505 and sum(map(len, dates.reports.values())) == 36845
    # Apple announced its fourth quarter after the close of Tuesday 2016-10-25.
    stocks = sp500(symbols=["AAPL", "RRC"])
    panel = build_features(stocks, ["sessions_since_report"])
    row = int(np.searchsorted(stocks.dates, np.datetime64("2016-10-26")))
    np.testing.assert_allclose(panel.values[row - 1 : row + 2, 0, 0] * 63, [63, 1, 2], rtol=1e-6)
    assert np.isnan(panel.values[:, 1, 0]).all()
