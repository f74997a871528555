"""Factors: the file as it is, months that are covered from end to end, and reasons for the rest."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from envs.data.sources import index_ohlcv
from envs.data.synthetic import synthetic
from envs.errors import InputError
from experiments.evaluation.factors import Factors, factors_for, fama_french


def made(n: int = 60, **changes: Any) -> Factors:
    rng = np.random.default_rng(0)
    fields: dict[str, Any] = {
        "name": "made up",
        "dates": np.datetime64("2010-01", "M") + np.arange(n),
        "names": ("a", "b"),
        "values": 0.03 * rng.standard_normal((n, 2)),
        "risk_free": np.full(n, 0.001),
    }
    return Factors(**(fields | changes))


def weekdays(first: str, last: str) -> np.ndarray:
    days = np.arange(np.datetime64(first), np.datetime64(last) + 1)
    return days[np.is_busday(days)]


def test_fama_french_is_the_published_table() -> None:
    f = fama_french()
    assert (f.periods[0], f.periods[-1]) == (np.datetime64("1926-07"), np.datetime64("2018-11"))
    assert f.values.shape == (1109, 3) and f.names == ("market", "size", "value")
    # The first and the last month of the library's file, and October 1987.
    np.testing.assert_allclose(f.values[0], [0.0296, -0.0230, -0.0287])
    np.testing.assert_allclose(f.values[-1], [0.0169, -0.0075, 0.0022])
    crash = f.values[f.periods == np.datetime64("1987-10")][0]
    assert crash[0] == pytest.approx(-0.2324, abs=0.0005)
    assert f.risk_free[0] == pytest.approx(0.0022)
    # About 8 % a year over bills, in ninety years.
    assert 0.07 < 12 * f.values[:, 0].mean() < 0.09


def test_months_of_the_index_are_the_market_of_the_table() -> None:
    index = index_ohlcv(symbols=["SP500"])
    returns = index.close[1:, 0] / index.close[:-1, 0] - 1
    m = fama_french().match(index.dates[:-1], index.dates[1:], returns)
    # From the first whole month behind the first close to the last of the table.
    assert (m.periods[0], m.periods[-1]) == (np.datetime64("1999-02"), np.datetime64("2018-11"))
    assert len(m.periods) == 238 and m.periods_per_year == 12
    assert np.corrcoef(m.excess, m.factors[:, 0])[0, 1] > 0.98
    # October 2008, the index alone: 968.75 from 1166.36.
    october = m.returns[m.periods == np.datetime64("2008-10")]
    assert october == pytest.approx([968.75 / 1166.36 - 1], abs=1e-5)


def test_us_stocks_are_measured_against_them_and_nothing_else_is() -> None:
    found = factors_for(index_ohlcv())
    assert found is not None and found.name == "Fama-French"
    assert factors_for(synthetic(n_rows=100)) is None


def test_only_whole_months_count() -> None:
    days = weekdays("2010-01-12", "2013-03-20")
    rng = np.random.default_rng(1)
    returns = 0.01 * rng.standard_normal(len(days) - 1)
    m = made().match(days[:-1], days[1:], returns)
    assert (m.periods[0], m.periods[-1]) == (np.datetime64("2010-02"), np.datetime64("2013-02"))
    for month, ours, excess in zip(m.periods, m.returns, m.excess, strict=True):
        inside = days[1:].astype("datetime64[M]") == month
        assert ours == pytest.approx(np.prod(1 + returns[inside]) - 1, rel=1e-12)
        assert excess == pytest.approx(ours - 0.001, rel=1e-9)
    assert m.reason == ""


def test_a_holiday_at_the_end_of_a_month_is_not_a_gap() -> None:
    days = weekdays("2009-12-31", "2012-12-31")
    shut = {np.datetime64("2010-05-31"), np.datetime64("2011-01-03")}
    open_days = np.array([d for d in days if d not in shut])
    m = made().match(open_days[:-1], open_days[1:], np.zeros(len(open_days) - 1))
    assert len(m.periods) == 36
    # Three days are: what happened in them is not known.
    gone = np.arange(np.datetime64("2010-05-26"), np.datetime64("2010-06-01"))
    hole = open_days[~np.isin(open_days, gone)]
    m = made().match(hole[:-1], hole[1:], np.zeros(len(hole) - 1))
    lost = set(np.arange(np.datetime64("2010-01"), np.datetime64("2013-01"))) - set(m.periods)
    assert lost == {np.datetime64("2010-05"), np.datetime64("2010-06")}


def test_monthly_and_daily_returns_match_by_themselves() -> None:
    ends = (np.datetime64("2010-01", "M") + np.arange(41)).astype("datetime64[D]") - 1
    m = made().match(ends[:-1], ends[1:], np.arange(40) / 1000)
    np.testing.assert_allclose(m.returns, np.arange(40) / 1000, atol=1e-15)
    assert m.periods[0] == np.datetime64("2010-01")
    days = weekdays("2010-01-01", "2010-06-01")
    daily = made(
        len(days),
        dates=days,
        frequency="daily",
        values=np.zeros((len(days), 2)),
        risk_free=np.zeros(len(days)),
    )
    m = daily.match(days[:-1], days[1:], np.full(len(days) - 1, 0.01))
    assert len(m.periods) == len(days) - 1 and m.periods_per_year == 252


@pytest.mark.parametrize(
    ("first", "last"), [("2019-01-01", "2022-12-31"), ("2017-11-01", "2022-12-31")]
)
def test_dates_that_do_not_overlap_get_a_reason(first: str, last: str) -> None:
    days = weekdays(first, last)
    m = fama_french().match(days[:-1], days[1:], np.zeros(len(days) - 1))
    assert m.factors.shape == (0, 3) and len(m.returns) == 0
    assert "Fama-French (1926-07 to 2018-11); 24 are needed" in m.reason


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"frequency": "weekly"}, "daily or monthly"),
        ({"names": ("a",)}, "do not fit 60 dates and 1 names"),
        ({"risk_free": np.zeros(3)}, "do not fit"),
        ({"values": np.full((60, 2), np.nan)}, "values are missing"),
        ({"values": np.full((60, 2), 2.3)}, "divide percent by 100"),
        ({"dates": np.repeat(np.datetime64("2010-01-04"), 60)}, "ascend"),
    ],
)
def test_bad_factors_are_named(change: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        made(**change)
