"""Probabilistic and deflated Sharpe ratio: printed digits, purgedcv, and draws without skill."""

from __future__ import annotations

import numpy as np
import purgedcv
import pytest

from envs.errors import InputError
from experiments.evaluation.skill import (
    Trials,
    expected_max_sharpe,
    measure_skill,
    min_track_record,
    probabilistic_sharpe,
)


def test_the_digits_of_the_papers() -> None:
    # Bailey and Lopez de Prado 2012: 24 months, once as they are, once as if normal.
    assert probabilistic_sharpe(0.458, 24, -2.448, 10.164) == pytest.approx(0.91336, abs=5e-6)
    assert probabilistic_sharpe(0.458, 24, 0.0, 3.0) == pytest.approx(0.98167, abs=1e-5)
    # The same 2014: a Sharpe ratio of 2.5 a year over five years of 250 days.
    highest = expected_max_sharpe(100, 0.5 / 250)
    assert highest == pytest.approx(0.113172, abs=5e-7)
    daily = 2.5 / np.sqrt(250)
    assert probabilistic_sharpe(daily, 1250, -3, 10, highest) == pytest.approx(0.900397, abs=5e-7)
    fewer = expected_max_sharpe(46, 0.5 / 250)
    assert probabilistic_sharpe(daily, 1250, -3, 10, fewer) == pytest.approx(0.950502, abs=5e-7)


@pytest.mark.parametrize("count", [1, 2, 30, 1000])
def test_against_purgedcv(count: int) -> None:
    r = 0.0007 + 0.01 * np.random.default_rng(count).standard_t(5, 700)
    trials = Trials(count, 0.3, "a test")
    skill = measure_skill(r[None], 252.0, trials)
    assert skill.skewness is not None and skill.kurtosis is not None
    # purgedcv divides by the deviation with ddof 0, we by ddof 1 as in the table of measures.
    assert skill.sharpe == pytest.approx(r.mean() / r.std(ddof=1))
    theirs = r.mean() / r.std()
    for above in (0.0, expected_max_sharpe(count, 0.3 / 252)):
        assert probabilistic_sharpe(
            theirs, 700, skill.skewness, skill.kurtosis, above
        ) == pytest.approx(purgedcv.probabilistic_sharpe_ratio(r, above), rel=1e-12)
    assert purgedcv.deflated_sharpe_ratio(r, count, 0.3, bars_per_year=252) == pytest.approx(
        probabilistic_sharpe(theirs, 700, skill.skewness, skill.kurtosis, above), rel=1e-12
    )
    assert skill.expected_max == above
    assert skill.dsr == probabilistic_sharpe(
        skill.sharpe, 700, skill.skewness, skill.kurtosis, above
    )
    length = purgedcv.min_track_record_length(
        skill.sharpe, 0.0, 0.05, skill.skewness, skill.kurtosis
    )
    if np.isfinite(length):
        assert skill.min_track_record is not None and np.ceil(skill.min_track_record) == length


def test_one_trial_deflates_nothing_and_says_so() -> None:
    r = 0.001 + 0.01 * np.random.default_rng(0).standard_normal((3, 300))
    skill = measure_skill(r, 252.0, Trials())
    assert skill.dsr == skill.psr and skill.expected_max == 0.0
    assert "one trial" in skill.reason
    unknown = measure_skill(r, 252.0, Trials(7, None, "a ledger"))
    assert unknown.dsr is None and unknown.expected_max is None
    assert "7 trials is not known" in unknown.reason


def test_the_expected_maximum_is_that_of_draws() -> None:
    draws = np.random.default_rng(1).standard_normal((20_000, 50)).max(axis=1)
    # The formula is asymptotic: at 50 it lies within 2 % of the mean of the maximum.
    assert expected_max_sharpe(50, 1.0) == pytest.approx(draws.mean(), rel=0.02)
    assert expected_max_sharpe(50, 4.0) == pytest.approx(2 * expected_max_sharpe(50, 1.0))


@pytest.mark.slow
def test_without_skill_it_exceeds_95_percent_in_5_percent_of_cases() -> None:
    r = 0.01 * np.random.default_rng(2).standard_normal((4000, 250))
    sure = [measure_skill(x[None], 252.0, Trials()).psr > 0.95 for x in r]  # type: ignore[operator]
    assert np.mean(sure) == pytest.approx(0.05, abs=3 * np.sqrt(0.05 * 0.95 / 4000))


def test_what_is_undefined_is_none_with_its_reason() -> None:
    constant = measure_skill(np.full((1, 100), 0.001), 252.0, Trials())
    assert constant.psr is None and "constant" in constant.reason
    few = measure_skill(0.01 * np.random.default_rng(0).standard_normal((1, 19)), 252.0, Trials())
    assert few.psr is None and "19 returns are too few" in few.reason
    lost = measure_skill(-0.002 + 0.01 * np.random.default_rng(0).standard_normal((1, 99)), 252.0,
                         Trials())  # fmt: skip
    assert lost.psr is not None and lost.psr < 0.5
    assert lost.min_track_record is None and "not above 0" in lost.reason
    assert min_track_record(0.0, 0.0, 3.0) == float("inf")


@pytest.mark.parametrize("bad", [{"count": 0}, {"count": 1.5}, {"sharpe_variance": -1.0},
                                 {"sharpe_variance": float("nan")}])  # fmt: skip
def test_bad_trials_are_named(bad: dict[str, float]) -> None:
    with pytest.raises(InputError, match=r"trials\.(count|sharpe_variance) must be"):
        Trials(**bad)  # type: ignore[arg-type]
