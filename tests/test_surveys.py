"""Published moods: by the day on which they came out, and errors that name row and column."""

from __future__ import annotations

import numpy as np
import pytest

from envs.data import sp500
from envs.data.fetch import fetched_file
from envs.errors import InputError
from envs.features.inputs import Inputs
from envs.features.moments import close_moments, known_days
from envs.features.mood import SENTIMENT
from envs.features.published import Published
from envs.features.releases import Releases
from envs.features.surveys import (
    aaii_file,
    nfci_file,
    nfci_published,
    packaged_vix,
    published_sentiment,
    put_call_file,
    vix_file,
)


def days(*text: str) -> np.ndarray:
    return np.array(text, "datetime64[D]")


def written(folder, text: str):
    path = folder / "moods.csv"
    path.write_text(text)
    return path


# ------------------------------------------------------------------ moments
def test_closes_of_new_york_with_summer_time_early_closes_and_days_that_are_no_session():
    found = close_moments(
        days("2018-11-23", "2018-11-21", "2018-07-02", "2018-07-07", "2018-12-25"), "XNYS"
    )
    assert found.astype("datetime64[m]").astype(str).tolist() == [
        "2018-11-23T18:00",  # the day after Thanksgiving, 13:00
        "2018-11-21T21:00",
        "2018-07-02T20:00",  # summer time
        "2018-07-07T20:00",  # a Saturday: the usual hour
        "2018-12-25T21:00",
    ]
    # A market without a close ends its day at midnight.
    assert close_moments(days("2018-07-07"), "24/7")[0] == np.datetime64("2018-07-08")
    with pytest.raises(InputError, match="unknown exchange calendar 'XNYZ'"):
        close_moments(days("2018-07-07"), "XNYZ")


def test_what_comes_a_second_after_the_close_is_known_at_the_next():
    moments = np.array(
        ["2018-11-23T18:00:00", "2018-11-23T18:00:01", "2018-11-24T03:00", "2018-07-02T20:00"],
        "datetime64[ns]",
    )
    # The third is still Friday evening in New York.
    expected = days("2018-11-23", "2018-11-24", "2018-11-24", "2018-07-02")
    assert (known_days(moments, "XNYS") == expected).all()


# ------------------------------------------------------------------ VIX and NFCI
def test_the_vix_of_a_day_is_known_the_day_after():
    vix = packaged_vix()
    assert len(vix.value) == 1259 and vix.value[0] == 13.76 and vix.value[-1] == 25.45
    # 2018-02-05: 37.32, the largest rise of a day; a Monday.
    on = days("2018-02-05", "2018-02-06")
    assert vix.known_on(on).tolist() == [17.31, 37.32]
    # Friday's is known on Monday, and nothing before the first day is over.
    assert vix.known_on(days("2014-01-03", "2014-01-06")).tolist()[1] == 13.76
    assert np.isnan(vix.known_on(days("2014-01-03")))[0]


def test_nfci_is_published_on_wednesday_and_on_thursday_after_a_holiday():
    fridays = days("2024-01-05", "2024-01-12", "2024-12-20", "2024-11-22", "2025-06-13")
    assert nfci_published(fridays).astype(str).tolist() == [
        "2024-01-10",
        "2024-01-18",  # Monday 15: Martin Luther King
        "2024-12-26",  # Wednesday is Christmas
        "2024-11-27",  # Thursday is Thanksgiving: nothing is late
        "2025-06-18",  # Thursday is Juneteenth
    ]


def test_nfci_reads_the_format_of_fred(tmp_path):
    path = written(tmp_path, "observation_date,NFCI\n2024-01-05,-0.5\n2024-01-12,-0.6\n")
    nfci = nfci_file(path)
    on = days("2024-01-09", "2024-01-10", "2024-01-17", "2024-01-18")
    known = nfci.known_on(on)
    assert np.isnan(known[0]) and known[1:].tolist() == [-0.5, -0.5, -0.6]
    path = written(tmp_path, "observation_date,NFCI\n2024-01-05,-0.5\n2024-01-13,-0.6\n")
    with pytest.raises(
        InputError, match=r"line 3, column 'observation_date': 2024-01-13 is no Fri"
    ):
        nfci_file(path)


def test_the_fetched_nfci_is_the_published_one():
    try:
        path = fetched_file("nfci", "NFCI.csv")
    except InputError as error:
        pytest.skip(str(error))
    nfci = nfci_file(path)
    assert len(nfci.value) == 2898 and str(nfci.period[0]) == "1971-01-08"
    week = days("2008-10-10")[0]
    # The week in which the crisis peaked, and the mean that the index is normalised to.
    assert nfci.value[nfci.period == week][0] > 2.0 and abs(nfci.value.mean()) < 0.05
    assert not (nfci.released == nfci.period).any()


# ------------------------------------------------------------------ a user's files
PUT_CALL = "date,published,put_call\n2020-03-12,2020-03-13,1.28\n2020-03-13,2020-03-16,1.06\n"
AAII = (
    "week_ending,published,bullish,neutral,bearish\n"
    "2020-03-11,2020-03-12,0.297,0.190,0.513\n"
    "2020-03-18,2020-03-19,0.344,0.144,0.512\n"
)


def test_put_call_is_known_from_its_publication(tmp_path):
    ratio = put_call_file(written(tmp_path, PUT_CALL))
    on = days("2020-03-12", "2020-03-13", "2020-03-16")
    known = ratio.known_on(on)
    assert np.isnan(known[0]) and known[1:].tolist() == [1.28, 1.06]
    timed = PUT_CALL.replace("2020-03-13,1.28", "2020-03-12 17:30-04:00,1.28")
    timed = timed.replace("2020-03-16,1.06", "2020-03-16T13:00Z,1.06")
    again = put_call_file(written(tmp_path, timed))
    # 17:30 is after the close: the same day as the day after.
    assert (again.released == ratio.released).all()


def test_the_ratio_of_a_day_is_not_published_before_its_close(tmp_path):
    text = "date,published,put_call\n2020-03-12,2020-03-12 16:00-04:00,1.28\n"
    with pytest.raises(InputError, match=r"line 2, column 'published'.*not after the close of"):
        put_call_file(written(tmp_path, text))
    ratio = put_call_file(written(tmp_path, text.replace("16:00-", "16:01-")))
    assert ratio.released[0] == np.datetime64("2020-03-13")


def test_aaii_is_known_on_thursday_never_in_the_week_of_the_survey(tmp_path):
    spread = aaii_file(written(tmp_path, AAII))
    known = spread.known_on(days("2020-03-11", "2020-03-12", "2020-03-18", "2020-03-19"))
    assert np.isnan(known[0])
    np.testing.assert_allclose(known[1:], [-0.216, -0.216, -0.168], atol=1e-12)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("2020-03-16,1.06", "2020-03-13,1.06"), "line 3, column 'published': 2020-03-13 is not a"),
        (("1.06", "106"), r"line 3, column 'put_call': 106 is out of range.*puts over calls"),
        (("1.06", "about 1"), "line 3, column 'put_call': 'about 1' is not a number"),
        (("1.06", ""), "line 3, column 'put_call': the figure is missing"),
        (("2020-03-13,2020-03-16", "2020-03-12,2020-03-16"), "line 3.*2020-03-12 stands there tw"),
        (("2020-03-13,2020-03-16", "2020-03-11,2020-03-16"), "line 3, column 'date'.*sort the fi"),
        (("2020-03-16", "2020-03-16 12:00"), "line 3, column 'published'.*has no time zone"),
        (
            ("2020-03-16", "2020-03-16 12:00Z"),
            "line 3, column 'published'.*has a time zone, the firs",
        ),
        (("2020-03-16", ""), "line 3, column 'published': the date is missing"),
        (("put_call", "ratio"), "no column 'put_call'; it has date, published, ratio"),
        (("published", "released"), "no column 'published'"),
    ],
)
def test_errors_name_file_row_and_column(tmp_path, change, says):
    path = written(tmp_path, PUT_CALL.replace(*change))
    with pytest.raises(InputError, match=f"moods.csv.*{says}"):
        put_call_file(path)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        # The classical mistake: the day of the survey stands where that of the publication belongs.
        (
            ("2020-03-11,2020-03-12", "2020-03-11,2020-03-11"),
            "line 2, column 'published'.*not after",
        ),
        (("11,2020-03-12", "10,2020-03-11"), "0% of the days are Thursdays, but AAII publishes"),
        (("0.344", "34.4"), r"line 3, column 'bullish': 34\.4 is out of range.*0.38 for 38 %"),
        (("0.344", "0.644"), "line 3, column 'bearish': bullish and bearish make 1.156"),
        (("bearish", "bears"), "no column 'bearish'"),
    ],
)
def test_aaii_errors(tmp_path, change, says):
    text = AAII.replace(*change)
    if "Thursdays" in says:
        text = text.replace("18,2020-03-19", "17,2020-03-18")
    with pytest.raises(InputError, match=f"moods.csv.*{says}"):
        aaii_file(written(tmp_path, text))


def test_a_vix_of_ones_own(tmp_path):
    path = written(tmp_path, "date,published,vix\n2024-08-05,2024-08-06,38.57\n")
    assert vix_file(path).known_on(days("2024-08-05", "2024-08-06"))[1] == 38.57


def test_what_is_missing_says_why(tmp_path, monkeypatch):
    monkeypatch.setenv("TRADEWIND_DATA", str(tmp_path))
    sentiment = published_sentiment()
    assert set(sentiment.series) == {"vix"}
    assert "python -m envs.data fetch nfci" in sentiment.missing["nfci"]
    assert "put_call=FILE.csv" in sentiment.missing["put_call"]
    assert "week_ending, published, bullish, bearish" in sentiment.missing["aaii"]
    # A file that is named must be right.
    with pytest.raises(InputError, match="no such file"):
        published_sentiment(put_call=str(tmp_path / "nothing.csv"))
    here = published_sentiment(put_call=str(written(tmp_path, PUT_CALL)))
    assert set(here.series) == {"vix", "put_call"} and "put_call" not in here.missing


# ------------------------------------------------------------------ features
def column(name: str, sentiment: Published, market, *numbers: int) -> np.ndarray:
    plane = np.zeros(market.close.shape, dtype=np.float32)
    SENTIMENT[name].compute(Inputs(market, "XNYS", sentiment=sentiment), plane, *numbers)
    assert np.array_equal(plane, np.repeat(plane[:, :1], market.n_assets, axis=1), equal_nan=True)
    return plane[:, 0]


def test_features_of_published_series_are_made_of_what_was_published():
    market = sp500(start="2013-12-20", end="2019-03-01")
    vix = packaged_vix()
    sentiment = Published({"vix": vix})
    level = column("vix", sentiment, market)
    ratio = column("vix_ratio", sentiment, market, 21)
    rank = column("vix_rank", sentiment, market, 252)
    dates = market.dates.astype("datetime64[D]")
    for row in range(market.n_rows):
        past = vix.value[vix.period < dates[row]]
        if not len(past) or dates[row] > np.datetime64("2019-01-14"):
            assert np.isnan([level[row], ratio[row], rank[row]]).all(), dates[row]
            continue
        np.testing.assert_allclose(level[row], past[-1] / 100, rtol=1e-6)
        if len(past) >= 21:
            np.testing.assert_allclose(ratio[row], past[-1] / past[-21:].mean() - 1, atol=1e-6)
        else:
            assert np.isnan(ratio[row])
        if len(past) >= 252:
            window = past[-252:]
            below, equal = (window < past[-1]).sum(), (window == past[-1]).sum()
            np.testing.assert_allclose(rank[row], (below + (equal - 1) / 2) / 251, atol=1e-6)


def test_a_series_that_has_ended_is_not_carried_on():
    market = sp500(start="2018-12-03", end="2019-02-01")
    level = column("vix", Published({"vix": packaged_vix()}), market)
    known = np.isfinite(level)
    last = market.dates[known][-1].astype("datetime64[D]")
    # Last close 2019-01-03, out on 2019-01-04, held for ten days.
    assert str(last) == "2019-01-14" and known[: known.sum()].all()


def test_revisions_are_refused_where_they_would_be_mixed():
    twice = Releases(
        days("2020-01-03", "2020-01-03"), days("2020-01-08", "2020-01-15"), np.array([1.0, 2.0])
    )
    with pytest.raises(InputError, match="holds a period twice"):
        column("nfci", Published({"nfci": twice}), sp500(start="2020-01-02", end="2020-02-03"))


def test_what_comes_out_in_new_york_is_not_known_in_tokyo_on_that_day():
    market = sp500(["AAPL"], start="2018-06-01", end="2018-12-28")
    published = Published({"vix": packaged_vix()})
    levels = {}
    for exchange in ("XNYS", "XTKS", "XLON", "CMES", "24/7"):
        plane = np.zeros(market.close.shape, dtype=np.float32)
        SENTIMENT["vix"].compute(Inputs(market, exchange, sentiment=published), plane)
        levels[exchange] = plane[:, 0]
    # Markets that close with New York or later know what it published; the others a day later.
    for exchange in ("CMES", "24/7"):
        assert levels[exchange].tobytes() == levels["XNYS"].tobytes()
    dates = market.dates.astype("datetime64[D]")
    consecutive = np.flatnonzero(np.diff(dates) == np.timedelta64(1, "D")) + 1
    for exchange in ("XTKS", "XLON"):
        np.testing.assert_array_equal(
            levels[exchange][consecutive], levels["XNYS"][consecutive - 1]
        )


def test_no_published_feature_sees_what_is_published_later():
    """Figures after a day change; nothing before it does, and something after it does."""
    market = sp500(start="2014-01-02", end="2018-12-31")
    rng = np.random.default_rng(0)
    weeks = np.arange(np.datetime64("2013-01-04"), np.datetime64("2018-12-28"), 7)
    daily = packaged_vix()
    sentiment = Published(
        {
            "vix": daily,
            "nfci": Releases(weeks, nfci_published(weeks), rng.normal(size=len(weeks))),
            "put_call": Releases(daily.period, daily.released, daily.value / 20),
            "aaii": Releases(weeks, weeks + 1, rng.uniform(-0.4, 0.4, len(weeks))),
        }
    )
    row = 700
    changed = sentiment.changed_after(market.dates[row], rng)
    for name, family in SENTIMENT.items():
        if not family.source:
            continue
        numbers = tuple(int(text) for text in family.examples[0].split("_") if text.isdigit())
        before, after = (column(name, one, market, *numbers) for one in (sentiment, changed))
        assert before[: row + 1].tobytes() == after[: row + 1].tobytes(), name
        assert np.isfinite(before[row]) and not np.array_equal(before[row:], after[row:]), name
