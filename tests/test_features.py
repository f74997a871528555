"""`build_features`: names, warm-up, gaps, causality, memory; and the calendar features."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import hydra_conf
from envs.data import sp500, synthetic
from envs.data.market_data import MarketData
from envs.errors import InputError
from envs.features import DEFAULT, GROUPS, FeaturePanel, build_features, catalogue, first_leak
from envs.features.catalogue import feature
from envs.features.families import FAMILIES
from envs.features.seasonal import SEASONAL, published_calendar, seasonal
from tests.gaps import with_halts, with_listing

BARS = synthetic(n_rows=420, n_assets=4, seed=11, ohlcv=True)
CLOSES = synthetic(n_rows=420, n_assets=4, seed=11)
SHORT = [
    "return_5", "volatility_10", "sma_ratio_10", "ema_ratio_12", "rsi_14", "macd_hist_5_10_4",
    "bollinger_20", "atr_14", "stochastic_d_14_3_3", "obv_20", "vwap_ratio_20", "day_of_month",
    "return_rank_5", "market_beta_21", "breadth_20", "advance_decline_10",
]  # fmt: skip


# ------------------------------------------------------------------ names
def test_default_is_eight_features_of_closes():
    panel = build_features(CLOSES)
    assert panel.names == DEFAULT and len(DEFAULT) == 8
    assert panel.values.shape == (420, 4, 8) and panel.values.dtype == np.float32
    assert panel.warmup == 49 and panel.groups == {"price": slice(0, 8)}
    assert not panel.values.flags.writeable


def test_groups_expand_as_far_as_the_panel_goes():
    everything, closes = build_features(BARS, ["all"]), build_features(CLOSES, ["all"])
    assert set(everything.groups) == set(GROUPS) - {"macro"}
    assert set(closes.groups) == {"price", "cross", "seasonal", "sentiment"}
    own = [e for e in catalogue() if e.listed and not feature(e.name).family.source]
    assert everything.names == tuple(entry.name for entry in own)
    assert closes.names == tuple(e.name for e in catalogue(CLOSES) if e in own)
    # Every family is in the catalogue: nothing escapes the tests that walk through it.
    assert {feature(entry.name).family.description for entry in catalogue()} == {
        family.description for family in FAMILIES.values()
    }
    for group, where in everything.groups.items():
        assert all(feature(name).family.group == group for name in everything.names[where])


def test_order_is_by_group_and_repeats_fall_away():
    panel = build_features(BARS, ["breadth_20", "rsi_14", "obv_20", "rsi_014", "return_3"])
    assert build_features(BARS, ["cross", "volume", "technical"]).names == tuple(
        entry.name
        for entry in catalogue()
        if entry.listed and entry.group in ("price", "ohlc", "volume", "cross")
    )
    assert panel.names == ("rsi_14", "return_3", "obv_20", "breadth_20")
    assert panel.groups == {"price": slice(0, 2), "volume": slice(2, 3), "cross": slice(3, 4)}
    alone = build_features(BARS, ["obv_20"])
    assert alone.values[..., 0].tobytes() == panel.values[..., 2].tobytes()


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["rsi14"], r"unknown feature 'rsi14'.*rsi_14"),
        (["volatilty_21"], "near: .*volatility_21"),
        (["Rsi_14"], "unknown feature"),
        (["rsi"], r"rsi takes 1 numbers \(n\), got 0; write rsi_14"),
        (["rsi_14_2"], "got 2"),
        (["sma_ratio_1"], "needs n >= 2"),
        (["return_0"], "needs numbers >= 1"),
        (["macd_26_12_9"], "fast < slow"),
        (["momentum_21_21"], "1 <= skip < n"),
        (["atr_14"], "feature 'atr_14' needs high and low, which market.* does not have"),
        (["volume_ratio_20"], "'volume_ratio_20' needs volume"),
        (["overnight_gap"], "needs open"),
        (["volume"], "no features"),
        ([], "no features"),
        (["sma_ratio_420"], "420 rows, but feature 'sma_ratio_420' needs 419 .* least 421 rows"),
    ],
)
def test_wrong_names_say_what_to_do(names, says):
    with pytest.raises(InputError, match=says):
        build_features(replace(CLOSES, name="market"), names)


def test_a_panel_of_warmup_and_two_rows_is_enough():
    assert build_features(BARS.rows(0, 51)).warmup == 49
    with pytest.raises(InputError, match=r"'sma_ratio_50' needs 49 rows .* at least 51 rows"):
        build_features(BARS.rows(0, 50))
    with pytest.raises(InputError, match="unknown exchange calendar 'XNYZ'"):
        build_features(BARS, ["seasonal"], calendar="XNYZ")


# ------------------------------------------------------------------ warm-up and gaps
def test_warmup_is_the_first_row_where_every_feature_is_known():
    for names in (DEFAULT, SHORT, ["all"], ["day_of_month"], ["macd_12_26_9"]):
        panel = build_features(BARS, names)
        known = np.isfinite(panel.values).all(axis=(1, 2))
        assert int(np.argmax(known)) == panel.warmup and known[panel.warmup :].all()


def test_an_asset_that_lists_later_starts_its_own_warmup_and_disturbs_nobody():
    late = with_listing(BARS, asset=1, row=100)
    own = [n for n in SHORT if feature(n).family.group != "cross"]
    panel = build_features(late, own)
    # As if its life began with the panel.
    alone = build_features(BARS.rows(100, 420).select(["S01"]), own)
    assert panel.values[100:, 1].tobytes() == alone.values[:, 0].tobytes()
    assert np.isnan(panel.values[:100, 1]).all()
    # The others as if it did not exist.
    others = [0, 2, 3]
    without = build_features(BARS.select(["S00", "S02", "S03"]), own)
    assert panel.values[:, others].tobytes() == without.values.tobytes()
    # Among them, too, until it lists.
    cross = [n for n in SHORT if feature(n).family.group == "cross"]
    panel, without = (build_features(m, cross) for m in (late, BARS.select(["S00", "S02", "S03"])))
    assert panel.values[:100, others].tobytes() == without.values[:100].tobytes()
    assert panel.warmup == without.warmup == 21
    assert np.isfinite(panel.values[121:]).all()


def test_a_halt_costs_no_history_and_its_cells_are_never_read():
    halt = slice(200, 210)
    one, other = (with_halts(BARS, halt, 2, garbage) for garbage in (np.nan, 1e9))
    panel = build_features(one, SHORT)
    assert panel.values.tobytes() == build_features(other, SHORT).values.tobytes()
    assert np.isnan(panel.values[halt, 2]).all()
    assert np.isfinite(panel.values[panel.warmup :, [0, 1, 3]]).all()
    assert np.isfinite(panel.values[210:, 2]).all()
    # The price stood still: the return since before the halt is that of the reopening.
    reopening = panel.values[210, 2, panel.names.index("return_5")]
    expected = BARS.close[210, 2] / BARS.close[199, 2] - 1
    np.testing.assert_allclose(reopening, expected, rtol=1e-6)


def test_delisting_and_an_asset_that_never_trades():
    market = with_halts(with_halts(BARS, slice(300, None), 0, np.nan), slice(None), 3, np.nan)
    panel = build_features(market, SHORT)
    assert np.isnan(panel.values[300:, 0]).all() and np.isnan(panel.values[:, 3]).all()
    assert np.isfinite(panel.values[panel.warmup :, 1:3]).all()
    everyone = with_halts(BARS, slice(0, 50), slice(None), np.nan)
    assert build_features(everyone, SHORT).warmup == 50 + 21


# ------------------------------------------------------------------ nothing sees the future
HOLEY = with_halts(with_listing(BARS, asset=1, row=40), slice(280, 290), 2, np.nan)


@settings(max_examples=12, deadline=None)
@given(row=st.integers(274, 418), seed=st.integers(0, 2**31))
def test_no_feature_of_the_catalogue_sees_the_future(row, seed):
    assert first_leak(lambda market: build_features(market, ["all"]), HOLEY, row, seed) is None


def test_no_feature_sees_the_future_of_real_prices():
    market = sp500()
    for row in (300, 4321, 8310):
        assert first_leak(lambda m: build_features(m, ["all"]), market, row) is None


def centred_mean(market: MarketData) -> FeaturePanel:
    """A leak as it happens: a smoother whose window is not trailing."""
    values = np.full((*market.close.shape, 1), np.nan, dtype=np.float32)
    c = market.close
    values[1:-1, :, 0] = (c[:-2] + c[1:-1] + c[2:]) / 3
    return FeaturePanel(values, ("centred_mean_3",), {}, 1)


def whole_sample_score(market: MarketData) -> FeaturePanel:
    score = (market.close - market.close.mean(axis=0)) / market.close.std(axis=0)
    return FeaturePanel(score.astype(np.float32)[..., None], ("score",), {}, 0)


def test_the_causality_check_finds_planted_leaks():
    found = first_leak(centred_mean, BARS, 200)
    assert found is not None and "'centred_mean_3' of S00 in row 200" in found
    assert "the future changes after row 200" in found
    found = first_leak(whole_sample_score, BARS, 200)
    assert found is not None and "in row 0" in found


def test_same_input_same_bits():
    one, other = build_features(BARS, ["all"]), build_features(BARS, ["all"])
    assert one.values.tobytes() == other.values.tobytes()


# ------------------------------------------------------------------ memory
@pytest.mark.parametrize("names", [["all"], DEFAULT])
@pytest.mark.parametrize("holes", [False, True])
def test_peak_memory_is_under_three_times_the_output(names, holes):
    market = synthetic(n_rows=2000, n_assets=30, ohlcv=True)
    if holes:
        market = with_halts(market, slice(500, 510), 3, np.nan)
    build_features(market, names)
    tracemalloc.start()
    try:
        panel = build_features(market, names)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3 * panel.values.nbytes


# ------------------------------------------------------------------ calendar
NEW_YORK = published_calendar("XNYS")


def on(family: str, *days: str) -> list[float]:
    return seasonal(family, np.array(days, dtype="datetime64[ns]"), NEW_YORK).tolist()


def test_known_dates():
    # Thanksgiving 2021-11-25 is a Thursday; the last session of that month is Tuesday 30.
    week = ("2021-11-22", "2021-11-23", "2021-11-24", "2021-11-25", "2021-11-26", "2021-11-29")
    assert on("sessions_to_holiday", *week) == [0.2, 0.1, 0.0, 0.0, 1.0, 1.0]
    assert on("sessions_since_holiday", *week) == [1.0, 1.0, 1.0, 0.0, 0.0, 0.1]
    assert on("sessions_to_month_end", *week) == [0.5, 0.4, 0.3, 0.3, 0.2, 0.1]
    assert on("turn_of_month", "2021-11-29", "2021-11-30", "2021-12-03", "2021-12-06") == [
        0,
        1,
        1,
        0,
    ]
    assert on("sessions_since_month_start", "2021-12-01", "2021-12-03", "2021-12-31") == [0, 0.2, 1]
    assert on("sessions_to_quarter_end", "2021-12-30", "2021-12-31", "2022-01-03") == [0.1, 0, 1]
    assert on("day_of_month", "2024-02-01", "2024-02-29", "2023-02-28") == [0, 1, 1]
    np.testing.assert_allclose(
        on("day_of_week_sin", "2021-11-22", "2021-11-23", "2021-11-28"),
        np.sin(2 * np.pi * np.array([0, 1, 6]) / 7), atol=1e-15,
    )  # fmt: skip
    np.testing.assert_allclose(on("month_of_year_cos", "2021-01-31", "2021-07-01"), [1, -1])
    np.testing.assert_allclose(
        on("week_of_year_cos", "2021-01-07", "2021-01-08"), [1, np.cos(2 * np.pi / 53)]
    )


def test_sessions_equal_those_of_the_exchange_where_none_was_closed_unscheduled():
    import exchange_calendars

    calendar = exchange_calendars.get_calendar("XNYS", start="2013-12-02", end="2017-01-31")
    sessions = calendar.sessions.to_numpy().astype("datetime64[D]")
    days = np.arange("2014-01-01", "2017-01-01", dtype="datetime64[D]")
    to_end, since = [], []
    for day in days:
        month = day.astype("datetime64[M]")
        inside = sessions[sessions.astype("datetime64[M]") == month]
        to_end.append(min(int((inside > day).sum()), 10) / 10)
        since.append(min(int((inside < day).sum()), 10) / 10)
    assert seasonal("sessions_to_month_end", days, NEW_YORK).tolist() == to_end
    assert seasonal("sessions_since_month_start", days, NEW_YORK).tolist() == since
    weekdays = days[np.is_busday(days)]
    holidays = np.setdiff1d(weekdays, sessions)
    expected = []
    for day in days[:-30]:
        coming = holidays[holidays >= day][0]
        between = (sessions > day) & (sessions < coming)
        expected.append(min(int(between.sum()), 10) / 10)
    assert seasonal("sessions_to_holiday", days[:-30], NEW_YORK).tolist() == expected


def test_unscheduled_closures_are_not_known_before_they_happen():
    # The exchange closed on 2001-09-11 to 14 and, for a hurricane, on 2012-10-29 and 30.
    for day in ("2001-09-10", "2012-10-26"):
        assert on("sessions_to_holiday", day) == [1.0]
    # A mourning day of 2018-12-05 shortened the month in hindsight only.
    assert on("sessions_to_month_end", "2018-12-20") == on("sessions_to_month_end", "2019-12-20")


def test_any_date_has_a_value_that_does_not_depend_on_the_others():
    days = np.arange("2019-12-20", "2020-01-10", dtype="datetime64[D]")
    odd = np.array(["1700-03-03", "1899-12-31", "2200-06-06", "2262-01-01"], dtype="datetime64[D]")
    for family in SEASONAL:
        whole = seasonal(family, np.r_[days, odd], NEW_YORK)
        single = [seasonal(family, np.array([day]), NEW_YORK)[0] for day in np.r_[days, odd]]
        assert whole.tolist() == single
        assert np.isfinite(whole).all() and np.abs(whole).max() <= 1.0
    # Every hour of a day has the values of the day; Christmas is one for a coin as well.
    hours = np.array(["2019-12-25T00:30", "2019-12-25T23:30"], dtype="datetime64[ns]")
    assert seasonal("sessions_to_holiday", hours, NEW_YORK).tolist() == [0.0, 0.0]
    around_the_clock = published_calendar("24/7")
    assert (seasonal("sessions_to_holiday", days, around_the_clock) == 1.0).all()
    assert seasonal("sessions_to_month_end", days[-1:], around_the_clock) == [1.0]
    assert seasonal("sessions_to_month_end", days[9:12], around_the_clock).tolist() == [0.2, 0.1, 0]


def test_seasonal_features_are_the_same_for_all_assets():
    panel = build_features(CLOSES, list(SEASONAL))
    assert panel.warmup == 0 and np.isfinite(panel.values).all()
    assert (panel.values == panel.values[:, :1]).all()


# ------------------------------------------------------------------ command line and configs
def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "envs.features", *arguments], capture_output=True, text=True
    )


def test_command_line():
    listed = command("list")
    assert listed.returncode == 0
    assert all(entry.name in listed.stdout for entry in catalogue())
    shown = command("show", "synthetic", "--names", "rsi_14", "turn_of_month")
    assert shown.returncode == 0 and "warm-up 14" in shown.stdout
    # 2000-2003 has no put/call ratio: a line without numbers, and why.
    shown = command("show", "synthetic", "--names", "put_call_5", "fed_funds")
    assert shown.returncode == 0 and "put_call_5 (no file was given" in shown.stdout
    assert "one vintage" in shown.stdout
    wrong = command("show", "synthetic", "--names", "rsi14")
    assert wrong.returncode == 2 and "rsi_14" in wrong.stderr and "Traceback" not in wrong.stderr
    assert command("show", "sp5000").returncode == 2


@pytest.mark.parametrize(
    "option", ["default", "technical", "ohlcv", "all", "momentum", "modalities"]
)
def test_configs_build_and_scale(option):
    from hydra.utils import instantiate

    path = Path(hydra_conf.__file__).parent / "features" / f"{option}.yaml"
    config = instantiate(yaml.safe_load(path.read_text()), _convert_="all")
    for market in (BARS, CLOSES):
        panel = config["build"](market)
        scaled = config["scaler"].fit(panel, 0, 400).transform(panel)
        assert np.isfinite(scaled.values).all()
    if option == "default":
        assert panel.names == DEFAULT


def test_the_manual_has_a_line_for_every_family():
    manual = (Path(__file__).parent.parent / "docs" / "features.md").read_text()
    for name, family in FAMILIES.items():
        assert f"`{'_'.join([name, *family.parameters])}`" in manual, name
