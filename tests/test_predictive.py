"""Measures of forecasts against scikit-learn, SciPy and torchmetrics; intervals against theory."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import binomtest, pearsonr, spearmanr
from sklearn import metrics as sk
from torchmetrics.classification import BinaryCalibrationError

from envs.errors import InputError
from experiments.evaluation.forecast_measures import CLASSES, Predictions
from experiments.evaluation.predictive import binomial_interval, measure

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
HORIZONS = (1, 5, 20)


def forecasts(n=300, n_assets=6, skill=0.3, seed=0, overlap=False):
    """Forecasts that know `skill` of the standardised returns; with `overlap` the labels are sums
    over the coming rows, as those of prices are."""
    rng = np.random.default_rng(seed)
    shocks = rng.normal(size=(n + 20, n_assets))
    if overlap:
        total = np.concatenate([np.zeros((1, n_assets)), np.cumsum(shocks, axis=0)])
        actual = np.stack([(total[h : h + n] - total[:n]) / np.sqrt(h) for h in HORIZONS], axis=-1)
        slow = np.cumsum(rng.normal(size=(n, n_assets, 1)) * 0.2, axis=0)
        noise = np.repeat(slow, 3, axis=2)
    else:
        actual = rng.normal(size=(n, n_assets, 3))
        noise = rng.normal(size=(n, n_assets, 3))
    # The best forecast of what is known: as small as the skill is.
    expected = max(skill, 0.1) * (skill * actual + np.sqrt(1 - skill**2) * noise)
    logits = rng.normal(size=(n, n_assets, 3)) + 3 * skill * np.stack(
        [-actual[..., 0], 0 * actual[..., 0], actual[..., 0]], axis=-1
    )
    probability = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    return Predictions(
        probability=probability,
        direction=np.where(actual[..., 0] > 0.4, 2, np.where(actual[..., 0] < -0.3, 0, 1)),
        confidence=rng.uniform(0.2, 0.8, (n, n_assets)),
        expected=expected,
        actual=actual,
        quantiles=np.sort(rng.normal(size=(n, n_assets, 5)), axis=-1),
        log_volatility=0.2 * rng.normal(size=(n, n_assets)),
        actual_log_volatility=0.2 * rng.normal(size=(n, n_assets)),
        horizons=HORIZONS,
        levels=LEVELS,
    )


def found(*runs, **settings):
    """(name, horizon) -> measure."""
    settings = {"n_bootstrap": 60, "level": 0.9, **settings}
    return {(m.name, m.horizon): m for m in measure(runs, **settings)[0]}


@pytest.fixture(scope="module")
def run():
    one = forecasts()
    # Some labels are not known, and some forecasts are not made.
    rng = np.random.default_rng(9)
    hidden = rng.random(one.direction.shape) < 0.1
    actual = one.actual.copy()
    actual[hidden] = np.nan
    return replace(one, direction=np.where(hidden, -1, one.direction), actual=actual)


@pytest.fixture(scope="module")
def measured(run):
    return found(run)


def test_direction_is_that_of_scikit_learn(run, measured):
    known = run.direction >= 0
    came, called = run.direction[known], run.probability[known].argmax(axis=-1)
    assert measured["accuracy", None].value == pytest.approx(sk.accuracy_score(came, called))
    usual = np.bincount(came).max() / len(came)
    assert measured["accuracy", None].base == pytest.approx(usual)
    assert measured["balanced_accuracy", None].value == pytest.approx(
        sk.balanced_accuracy_score(came, called)
    )
    assert measured["balanced_accuracy", None].base == pytest.approx(1 / 3)
    assert measured["macro_precision", None].value == pytest.approx(
        sk.precision_score(came, called, average="macro")
    )
    precision = sk.precision_score(came, called, average=None)
    recall = sk.recall_score(came, called, average=None)
    for k, name in enumerate(CLASSES):
        assert measured[f"precision_{name}", None].value == pytest.approx(precision[k])
        assert measured[f"precision_{name}", None].base == pytest.approx(np.mean(came == k))
        assert measured[f"recall_{name}", None].value == pytest.approx(recall[k])
        assert measured[f"recall_{name}", None].base == pytest.approx(np.mean(called == k))


def test_returns_are_those_of_scikit_learn(run, measured):
    for k, h in enumerate(HORIZONS):
        known = np.isfinite(run.actual[..., k])
        y, x = run.actual[..., k][known], run.expected[..., k][known]
        assert measured["mae", h].value == pytest.approx(sk.mean_absolute_error(y, x))
        assert measured["mae", h].base == pytest.approx(sk.mean_absolute_error(y, 0 * y))
        assert measured["rmse", h].value == pytest.approx(sk.root_mean_squared_error(y, x))
        assert measured["r2", h].value == pytest.approx(1 - np.sum((y - x) ** 2) / np.sum(y**2))
        assert measured["correlation", h].value == pytest.approx(pearsonr(x, y)[0])
        assert measured["directional_accuracy", h].value == pytest.approx(
            sk.accuracy_score(y > 0, x > 0)
        )
        assert measured["directional_accuracy", h].base == pytest.approx(
            max(np.mean(y > 0), np.mean(y < 0))
        )
    y, x = run.actual_log_volatility, run.log_volatility
    assert measured["volatility_mae", None].value == pytest.approx(np.abs(y - x).mean())
    assert measured["volatility_mae", None].base == pytest.approx(np.abs(y).mean())


def test_information_coefficients_are_those_of_scipy_by_day(run, measured):
    for k, h in enumerate(HORIZONS):
        plain, ranked = [], []
        for y, x in zip(run.actual[..., k], run.expected[..., k], strict=True):
            known = np.isfinite(y)
            if known.sum() >= 3:
                plain.append(pearsonr(x[known], y[known])[0])
                ranked.append(spearmanr(x[known], y[known])[0])
        assert measured["ic", h].value == pytest.approx(np.mean(plain))
        assert measured["rank_ic", h].value == pytest.approx(np.mean(ranked))


def test_calibration_is_that_of_torchmetrics(run, measured):
    known = run.direction >= 0
    right = (run.direction == run.probability.argmax(axis=-1))[known]
    other = BinaryCalibrationError(n_bins=10, norm="l1")(
        torch.tensor(run.confidence[known]), torch.tensor(right.astype(int))
    )
    assert measured["calibration_error", None].value == pytest.approx(float(other), abs=1e-6)


def test_calibrated_forecasts_err_as_chance_does():
    rng = np.random.default_rng(2)
    one = forecasts(n=400, n_assets=3)
    stated = rng.uniform(0.2, 0.9, one.confidence.shape)
    called = one.probability.argmax(axis=-1)
    right = rng.random(stated.shape) < stated
    calibrated = replace(
        one, confidence=stated, direction=np.where(right, called, (called + 1) % 3)
    )
    error = found(calibrated, level=0.95, n_bootstrap=200)["calibration_error", None]
    assert error.value == pytest.approx(error.base, rel=0.6)
    assert error.gain_low < 0 < error.gain_high
    boasting = replace(calibrated, confidence=np.minimum(stated + 0.1, 1.0))
    worse = found(boasting)["calibration_error", None]
    assert worse.value == pytest.approx(0.1, abs=0.04)
    assert worse.gain_high < 0


def test_coverage_counts_what_lies_within(run, measured):
    y, q = run.actual[..., 0], run.quantiles
    known = np.isfinite(y)
    for k, level in enumerate(LEVELS):
        one = measured[f"below_{level:g}", None]
        assert one.value == pytest.approx(np.mean((y <= q[..., k])[known]))
        assert one.base == level and one.gain is None
    inside = ((y > q[..., 0]) & (y <= q[..., -1]))[known]
    assert measured["coverage_0.9", None].value == pytest.approx(inside.mean())
    inside = ((y > q[..., 1]) & (y <= q[..., -2]))[known]
    assert measured["coverage_0.5", None].value == pytest.approx(inside.mean())


# ---------------------------------------------------------------------- intervals
def test_the_interval_of_independent_days_is_that_of_theory():
    one = forecasts(n=800, n_assets=1, skill=0.0, seed=3)
    accuracy = found(one, n_bootstrap=1000, level=0.95)["accuracy", None]
    low, high = binomial_interval(accuracy.value, 800, 0.95)
    assert accuracy.high - accuracy.low == pytest.approx(high - low, rel=0.15)
    assert accuracy.low == pytest.approx(low, abs=0.01)


@pytest.mark.parametrize(("k", "n"), [(0, 20), (7, 20), (530, 1000), (20, 20)])
def test_the_binomial_interval_is_that_of_scipy(k, n):
    other = binomtest(k, n).proportion_ci(0.95, method="wilson")
    assert binomial_interval(k / n, n, 0.95) == pytest.approx((other.low, other.high))


def test_skill_is_seen_and_its_absence_too():
    skilled = found(forecasts(seed=4))
    for name, h in (("accuracy", None), ("rmse", 1), ("rank_ic", 5), ("directional_accuracy", 20)):
        assert skilled[name, h].edge, name
    false = []
    for seed in range(40):
        idle = found(forecasts(n=200, n_assets=4, skill=0.0, seed=seed), level=0.95)
        false.append([idle[key].edge for key in (("balanced_accuracy", None), ("rank_ic", 1))])
    # One in forty is above by chance; six of forty would be so once in ten thousand times.
    assert np.sum(false, axis=0).max() <= 5


def test_overlapping_labels_do_not_pass_for_many(monkeypatch):
    """Slow forecasts without skill: their errors of neighbouring days are nearly the same."""

    def surprising():
        runs = [forecasts(n=400, n_assets=2, skill=0.0, seed=s, overlap=True) for s in range(30)]
        return np.mean([abs(found(run)["correlation", 20].t) > 2 for run in runs])

    honest = surprising()
    monkeypatch.setattr("experiments.evaluation.predictive._block", lambda *_: 1)
    careless = surprising()
    assert careless > 0.5
    assert honest < 0.6 * careless


def test_the_mean_block_is_at_least_the_overlap():
    _, blocks = measure([forecasts(n=200, n_assets=2)], n_bootstrap=40)
    assert all(blocks[h] >= h for h in HORIZONS)


def test_several_seeds_are_their_mean_on_the_same_days():
    runs = [forecasts(seed=s) for s in (1, 2)]
    both = found(*runs)
    each = [found(run) for run in runs]
    for key, one in both.items():
        assert one.seeds == tuple(e[key].value for e in each)
        if None not in one.seeds:
            assert one.value == pytest.approx(np.mean(one.seeds))
    assert found(*runs) == both


def test_one_asset_has_no_correlation_across_assets():
    single = found(forecasts(n=100, n_assets=1))
    assert not {name for name, _ in single} & {"ic", "rank_ic"}
    assert ("correlation", 1) in single


def test_a_class_that_is_never_called_has_no_precision():
    one = forecasts(n=60)
    probability = np.full_like(one.probability, 0.2)
    probability[..., 2] = 0.6
    only = found(replace(one, probability=probability))
    assert ("precision_sell", None) not in only
    assert only["accuracy", None].value == pytest.approx(np.mean(one.direction == 2))
    assert only["balanced_accuracy", None].value == pytest.approx(1 / 3)
    assert not only["balanced_accuracy", None].edge


def test_what_cannot_be_measured_is_refused():
    one = forecasts(n=30)
    with pytest.raises(InputError, match="confidence must be"):
        replace(one, confidence=one.confidence[:5])
    with pytest.raises(InputError, match="same rows"):
        measure([one, forecasts(n=29)])
    with pytest.raises(InputError, match="too few for intervals"):
        measure([one], n_bootstrap=5)
    with pytest.raises(InputError, match="share in"):
        binomial_interval(1.2, 10, 0.95)


def test_days_without_a_move_are_no_third_direction():
    one = forecasts(n=150, n_assets=1)
    direction = np.where(one.direction == 2, 2, 0)
    direction[7] = 1
    few = found(replace(one, direction=direction))
    assert ("recall_hold", None) not in few
    assert few["balanced_accuracy", None].base == 0.5
    called = one.probability.argmax(axis=-1)
    recalls = [np.mean(called[direction == k] == k) for k in (0, 2)]
    assert few["balanced_accuracy", None].value == pytest.approx(np.mean(recalls))
