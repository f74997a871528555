"""Planted signals: the bounds are right, every predictor comes close, and none sees what is not."""

import numpy as np
import pytest
from scipy import integrate, stats

from envs.errors import InputError
from experiments import predictors as program
from experiments.evaluation.planted import FEATURES, PARTS, REACH, plant
from experiments.evaluation.planted_scores import (
    Score,
    measure,
    measure_all,
    n_parameters,
    noise_level,
    pooled,
)
from experiments.pages import put_between
from networks.predictors import PREDICTORS, InputShape, make_predictor

NAMES = sorted(PREDICTORS)
# No linear function knows how large a feature was: of three equal parts it can have two.
LINEAR = {"linear": 2 / 3}


# ---------------------------------------------------------------------- the market
@pytest.mark.parametrize("strength", [0.0, 0.3, 0.8])
def test_the_bound_of_the_direction_by_integration(strength):
    """The sign of the signal is right with probability Phi(|s| rho / sqrt(1 - rho²)), given s."""
    slope = strength / np.sqrt(1 - strength**2)
    right, _ = integrate.quad(
        lambda s: 2 * stats.norm.pdf(s) * stats.norm.cdf(s * slope), 0, np.inf
    )
    planted = plant(n_rows=100, n_assets=1, strength=strength)
    assert planted.best_accuracy == pytest.approx(right, abs=1e-9)
    assert planted.best_r2 == pytest.approx(strength**2)


@pytest.mark.parametrize("parts", [PARTS, *((part,) for part in PARTS)])
def test_the_signal_is_standard_normal_and_moves_the_next_return(parts):
    planted = plant(n_rows=4_000, n_assets=20, strength=0.6, parts=parts, seed=5)
    signal = planted.signal[REACH:-1]
    returns = planted.close[REACH + 1 :] / planted.close[REACH:-1] - 1.0
    # Signals of one row are independent of each other; those of one asset may overlap.
    for row in (0, 1_000, 3_000):
        assert stats.kstest(planted.signal[REACH + row], "norm").pvalue > 0.001
    assert stats.kstest(signal[::REACH].ravel(), "norm").pvalue > 0.001
    n = signal.size
    assert np.corrcoef(signal.ravel(), returns.ravel())[0, 1] == pytest.approx(
        0.6, abs=4 / np.sqrt(n)
    )
    right = ((signal > 0) == (returns > 0)).mean()
    assert right == pytest.approx(planted.best_accuracy, abs=4 * 0.5 / np.sqrt(n))
    assert returns.std() == pytest.approx(0.01, rel=0.02)


def test_what_a_linear_function_can_know_of_it():
    """Least squares on all rows that the signal reads: two of its three parts."""
    planted = plant(n_rows=4_000, n_assets=20, strength=0.8, seed=2)
    rows = np.arange(REACH, 3_999)
    x = np.concatenate([planted.panel[rows - k] for k in range(REACH + 1)], axis=2)
    x = x.reshape(-1, x.shape[2]).astype(np.float64)
    y = (planted.close[rows + 1] / planted.close[rows] - 1.0).ravel()
    left = y - x @ np.linalg.lstsq(x, y, rcond=None)[0]
    share = (1.0 - np.square(left).sum() / np.square(y).sum()) / planted.best_r2
    assert share == pytest.approx(LINEAR["linear"], abs=0.01)
    # And of its last row alone: one of the five rows of one part.
    last = planted.panel[rows].reshape(-1, len(FEATURES)).astype(np.float64)
    left = y - last @ np.linalg.lstsq(last, y, rcond=None)[0]
    share = (1.0 - np.square(left).sum() / np.square(y).sum()) / planted.best_r2
    assert share == pytest.approx(1 / 15, abs=0.01)


def test_the_signal_is_known_in_time_and_the_draw_repeats():
    first, again, other = plant(seed=3), plant(seed=3), plant(seed=4)
    assert np.array_equal(first.close, again.close) and np.array_equal(first.panel, again.panel)
    assert not np.array_equal(first.close, other.close)
    # By definition, from features of row t and before.
    late = first.panel[:-2, :, 0]
    part = plant(seed=3, parts=("late",))
    assert np.array_equal(part.signal[2:], late.astype(np.float64))
    slow = plant(seed=3, parts=("slow",))
    x = slow.panel[..., 1].astype(np.float64)
    for t in (4, 77, 3_999):
        np.testing.assert_allclose(slow.signal[t], x[t - 4 : t + 1].sum(axis=0) / np.sqrt(5))


@pytest.mark.parametrize(
    "wrong, words",
    [
        ({"strength": 1.0}, "strength must be"),
        ({"parts": ("early",)}, "late, slow, size"),
        ({"parts": ()}, "one or more"),
        ({"n_rows": 10}, "n_rows"),
    ],
)
def test_markets_that_cannot_be(wrong, words):
    with pytest.raises(InputError, match=words):
        plant(**wrong)


# ---------------------------------------------------------------------- the predictors
@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_it_finds_nine_tenths_of_what_can_be_known(name):
    parts = ("late", "slow") if name in LINEAR else PARTS
    planted = plant(n_rows=4_000, n_assets=16, strength=0.8, parts=parts, seed=0)
    score = measure(name, planted, seed=0)
    assert score.direction_share(planted) >= 0.9
    assert score.r2_share(planted) >= 0.9
    # Nor more than there is: that would be a leak.
    assert score.direction_share(planted) < 1.02 and score.r2_share(planted) < 1.02


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_it_claims_nothing_on_noise(name):
    score = measure(name, plant(n_rows=1_200, n_assets=16, strength=0.0, seed=0), seed=0)
    low, high = score.interval(noise_level(len(NAMES)))
    assert low <= 0.5 <= high
    assert score.r2 < 0.002


def test_the_linear_baseline_finds_what_is_linear_and_no_more():
    planted = plant(strength=0.8, n_assets=16, seed=0)
    score = measure("linear", planted, seed=0)
    assert score.r2_share(planted) == pytest.approx(LINEAR["linear"], abs=0.03)


# ---------------------------------------------------------------------- the program
def test_the_share_of_a_score():
    planted = plant(n_rows=100, strength=0.6)
    score = Score(accuracy=planted.best_accuracy, n=1_000, r2=0.18, parameters=1, seconds=1.0)
    assert score.direction_share(planted) == 1.0
    assert score.r2_share(planted) == pytest.approx(0.5)
    low, high = Score(0.5, 20, 0.0, 1, 1.0).interval(0.95)
    # Clopper and Pearson: 10 of 20.
    assert (low, high) == (pytest.approx(0.2720, abs=5e-5), pytest.approx(0.7280, abs=5e-5))
    both = pooled([score, Score(0.5, 1_000, 0.0, 1, 3.0)])
    assert both.n == 2_000 and both.seconds == 2.0 and both.r2 == pytest.approx(0.09)


def test_the_catalogue_lists_what_there_is(capsys):
    assert program.main(["list"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in NAMES)
    assert [name for name, *_ in program.catalogue()] == list(PREDICTORS)
    # An LSTM has 4 (w (f + w) + 2 w) parameters.
    shape = InputShape(60, 20, 45, program.CATALOGUE_GROUPS)
    heads = sum(64 * n + n for n in (3, 3, 1, 1, 5))
    assert n_parameters(make_predictor("lstm", shape)) == 4 * (64 * (45 + 64) + 2 * 64) + heads


def test_the_table(tmp_path, capsys):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- predictors -->\nold\n<!-- /predictors -->\nafter\n")
    arguments = ["measure", "linear", "--seeds", "2", "--rows", "600", "--markdown", str(page)]
    assert program.main(arguments) == 0
    shown = capsys.readouterr().out
    assert page.read_text() == (
        f"before\n<!-- predictors -->\n{shown}<!-- /predictors -->\nafter\n"
    )
    lines = shown.splitlines()
    assert lines[2].startswith("| linear | 481 | ")
    assert len({line.count("|") for line in lines[:3]}) == 1
    assert "seeds 0 to 1" in shown and "--rows 600" in shown


@pytest.mark.slow
def test_repeated_measurements_are_equal():
    first, again = (measure_all(["eiie"], seeds=1, rows=600, assets=2)[0] for _ in range(2))
    for a, b in zip(first.signal + first.noise, again.signal + again.noise, strict=True):
        assert (a.accuracy, a.r2, a.n) == (b.accuracy, b.r2, b.n)


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["measure", "lstn"], "unknown predictor 'lstn'; known: linear"),
        (["measure", "--seeds", "0"], "seeds"),
        (["measure", "--rows", "100"], "rows"),
    ],
)
def test_bad_input_is_explained(arguments, words, capsys):
    assert program.main(arguments) == 2
    assert words in capsys.readouterr().err


def test_a_table_replaces_the_one_of_a_page(tmp_path):
    page = tmp_path / "page.md"
    put_between(page, "table", "first\n")
    assert page.read_text() == "first\n"
    page.write_text("before\n<!-- table -->\nold\n<!-- /table -->\nafter\n")
    put_between(page, "table", "new\n")
    assert page.read_text() == "before\n<!-- table -->\nnew\n<!-- /table -->\nafter\n"
    put_between(page, "another", "new\n")
    assert page.read_text() == "new\n"
