"""Scalers: what they learn, from which rows, and that they survive a trip through JSON."""

from __future__ import annotations

import json

import numpy as np
import pytest

from envs.data import synthetic
from envs.errors import InputError
from envs.features import (
    FeaturePanel,
    MinMaxScaler,
    RobustScaler,
    RollingScaler,
    StandardScaler,
    build_features,
    first_leak,
    scaler_from_dict,
)

FITTED = (StandardScaler, RobustScaler, MinMaxScaler)
MARKET = synthetic(n_rows=500, n_assets=5, seed=4, ohlcv=True)
PANEL = build_features(MARKET, ["return_5", "rsi_14", "volume_roc_5", "turn_of_month"])


def panel_of(values: np.ndarray, warmup: int = 0) -> FeaturePanel:
    values = np.asarray(values, dtype=np.float32)
    return FeaturePanel(values, tuple(f"f{i}" for i in range(values.shape[2])), {}, warmup)


def training_values(panel: FeaturePanel, start: int, stop: int, f: int) -> np.ndarray:
    values = panel.values[max(start, panel.warmup) : stop, :, f].astype(np.float64)
    return values[np.isfinite(values)]


def test_standard_scaler_gives_mean_zero_and_deviation_one():
    scaled = StandardScaler(clip=1e6).fit(PANEL, 0, 300).transform(PANEL)
    for f in range(PANEL.n_features):
        values = training_values(scaled, 0, 300, f)
        np.testing.assert_allclose([values.mean(), values.std()], [0, 1], atol=1e-5)
    assert scaled.names == PANEL.names and scaled.groups == PANEL.groups
    assert scaled.warmup == PANEL.warmup == 14


def test_robust_scaler_gives_median_zero_and_quartile_range_one():
    scaler = RobustScaler(clip=1e6).fit(PANEL, 0, 300)
    scaled = scaler.transform(PANEL)
    for f, name in enumerate(PANEL.names):
        values = training_values(scaled, 0, 300, f)
        assert abs(np.median(values)) < 1e-6
        low, high = np.percentile(values, [25, 75])
        # A flag that is mostly 0 has no quartile range: its deviation stands in.
        spread = values.std() if name == "turn_of_month" else high - low
        np.testing.assert_allclose(spread, 1, atol=1e-5)
    # Outliers do not move it: a tenth of the sample may be anything.
    values = PANEL.values.copy()
    values[20:40, :, 1] = 1e9
    moved = RobustScaler().fit(FeaturePanel(values, PANEL.names, {}, 14), 0, 300)
    np.testing.assert_allclose(moved.center[1], scaler.center[1], rtol=0.05)
    assert moved.scale[1] < 1.5 * scaler.scale[1]


def test_minmax_scaler_spans_minus_one_to_one():
    scaled = MinMaxScaler().fit(PANEL, 0, 300).transform(PANEL)
    for f in range(PANEL.n_features):
        values = training_values(scaled, 0, 300, f)
        np.testing.assert_allclose([values.min(), values.max()], [-1, 1], atol=1e-6)


@pytest.mark.parametrize("kind", FITTED)
def test_rows_outside_the_training_window_change_nothing(kind):
    start, stop = 60, 300
    values = PANEL.values.copy()
    values[:start] = 1e6
    values[stop:] = np.nan
    scaler = kind().fit(PANEL, start, stop)
    again = kind().fit(FeaturePanel(values, PANEL.names, {}, PANEL.warmup), start, stop)
    assert scaler.to_dict() == again.to_dict()
    # Rows before the warm-up are no training rows.
    assert kind().fit(PANEL, 0, stop).to_dict() == kind().fit(PANEL, 14, stop).to_dict()


@pytest.mark.parametrize("kind", FITTED)
def test_missing_is_zero_and_outliers_are_clipped(kind):
    values = np.linspace(0, 1, 40)[:, None, None].repeat(2, axis=1)
    values[30, 0] = np.nan
    values[35, 0], values[36, 0] = 1e30, -1e30
    scaled = kind(clip=3.0).fit(panel_of(values), 0, 30).transform(panel_of(values)).values
    assert scaled[30, 0, 0] == 0.0
    assert scaled[35, 0, 0] == 3.0 and scaled[36, 0, 0] == -3.0
    assert np.abs(scaled).max() <= 3.0 and scaled.dtype == np.float32


@pytest.mark.parametrize("kind", FITTED)
def test_constant_features_become_zero(kind):
    values = np.full((50, 3, 1), 0.1)
    scaler = kind().fit(panel_of(values), 0, 40)
    assert scaler.scale.tolist() == [1.0]
    np.testing.assert_allclose(scaler.transform(panel_of(values)).values, 0.0, atol=1e-7)


@pytest.mark.parametrize("kind", (*FITTED, RollingScaler))
def test_json_round_trip_is_exact(kind):
    scaler = kind().fit(PANEL, 0, 300)
    state = json.loads(json.dumps(scaler.to_dict()))
    again = scaler_from_dict(state)
    assert type(again) is kind and again.to_dict() == scaler.to_dict()
    assert again.transform(PANEL).values.tobytes() == scaler.transform(PANEL).values.tobytes()


@pytest.mark.parametrize("kind", FITTED)
def test_bad_fits_say_what_to_do(kind):
    with pytest.raises(InputError, match="rows 0:501 are not inside the panel's 0:500"):
        kind().fit(PANEL, 0, 501)
    with pytest.raises(InputError, match="rows 20:20 are not inside"):
        kind().fit(PANEL, 20, 20)
    with pytest.raises(InputError, match=r"hold 9 rows after the warm-up of 14; .* at least 10"):
        kind().fit(PANEL, 0, 23)
    empty = PANEL.values.copy()
    empty[:, :, 1] = np.nan
    with pytest.raises(InputError, match="feature 'rsi_14' has 0 values in rows 14:300"):
        kind().fit(FeaturePanel(empty, PANEL.names, {}, 14), 0, 300)
    with pytest.raises(InputError, match="fit it on training rows"):
        kind().transform(PANEL)
    with pytest.raises(InputError, match=r"the panel's differ: \['return_5'"):
        kind().fit(build_features(MARKET, ["return_5", "rsi_7"]), 0, 300).transform(
            build_features(MARKET, ["rsi_7"])
        )
    with pytest.raises(InputError, match="clip=0 must be > 0"):
        kind(clip=0)


def test_unknown_kind_and_short_rolling_window():
    with pytest.raises(InputError, match="unknown kind 'cubic'"):
        scaler_from_dict({"kind": "cubic"})
    with pytest.raises(InputError, match="window=1 must be >= 2"):
        RollingScaler(window=1)
    with pytest.raises(InputError, match=r"500 rows, but a rolling window of 490 .* least 505"):
        RollingScaler(window=490).transform(PANEL)


def test_rolling_scaler_equals_its_definition():
    window = 30
    values = PANEL.values.copy()
    values[:100, 2] = np.nan
    values[200:260, 3, 1] = 7.5
    values[300:310, 1] = np.nan  # halts: a third of a window, and more than half of one
    values[400:420, 1] = np.nan
    panel = FeaturePanel(values, PANEL.names, PANEL.groups, PANEL.warmup)
    scaled = RollingScaler(window=window, clip=4.0).transform(panel)
    assert scaled.warmup == 14 + 29
    for t in (0, 42, 43, 120, 128, 129, 200, 229, 259, 260, 305, 310, 338, 340, 420, 424, 425, 499):
        for a in range(5):
            for f in range(4):
                past = values[max(t - window + 1, 0) : t + 1, a, f].astype(np.float64)
                expected = 0.0
                known = past[np.isfinite(past)]
                old = (
                    np.isfinite(values[: t - window + 2, a, f]).any() if t >= window - 1 else False
                )
                enough = old and np.isfinite(past[-1]) and 2 * len(known) >= window
                if enough and known.std() > 0:
                    expected = np.clip((past[-1] - known.mean()) / known.std(), -4, 4)
                np.testing.assert_allclose(scaled.values[t, a, f], expected, rtol=1e-5, atol=1e-6)
    assert scaled.values[240, 3, 1] == 0.0


def test_scaled_features_do_not_see_the_future():
    def trained(market):
        panel = build_features(market, ["price", "volume", "seasonal"])
        return RobustScaler().fit(panel, 0, 300).transform(panel)

    def rolling(market):
        return RollingScaler(window=50).transform(build_features(market))

    def fitted_on_everything(market):
        panel = build_features(market)
        return StandardScaler().fit(panel, 0, panel.values.shape[0]).transform(panel)

    assert first_leak(trained, MARKET, 300) is None
    assert first_leak(rolling, MARKET, 300) is None
    found = first_leak(fitted_on_everything, MARKET, 300)
    assert found is not None and "row" in found
