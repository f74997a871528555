"""Intervals and p-values: two sides of one test, scales, degenerate draws, Holm."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from experiments.evaluation.intervals import (
    holm,
    p_value,
    percentile_interval,
    studentised_interval,
)

RNG = np.random.default_rng(0)
DRAWS = RNG.standard_normal(999)
ERRORS = np.exp(0.1 * RNG.standard_normal(999))


def test_the_quantile_of_the_quotients_stands_where_1_96_would() -> None:
    draws = 5 + 0.3 * DRAWS
    interval = studentised_interval(5.0, 0.3, draws, np.full(999, 0.3), 0.95)
    assert interval is not None
    # The 950th of 999 distances: one more would lie beyond with a chance of 5 %.
    reach = np.sort(np.abs(DRAWS))[949] * 0.3
    assert interval == pytest.approx((5 - reach, 5 + reach))
    assert reach == pytest.approx(1.96 * 0.3, rel=0.05)


@settings(max_examples=200, deadline=None)
@given(st.floats(-4, 4), st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_the_interval_leaves_out_zero_exactly_where_p_is_small(value: float, level: float) -> None:
    interval = studentised_interval(value, 1.0, value + DRAWS, ERRORS, level)
    p = p_value(value, 1.0, value + DRAWS, ERRORS)
    assert interval is not None and p is not None
    outside = interval[0] > 0 or interval[1] < 0
    assert outside == (p <= 1 - level + 1e-12)


def test_on_a_logarithm_a_loss_stays_above_all() -> None:
    loss = np.expm1(2.0 * DRAWS)
    low, high = studentised_interval(0.0, 2.0, loss, np.full(999, 2.0), 0.95, "log1p") or (0, 0)
    assert -1 < low < 0 < high and (1 + low) * (1 + high) == pytest.approx(1.0)


def test_without_variation_a_value_is_known() -> None:
    zero = np.zeros(99)
    assert studentised_interval(0.0, 0.0, zero, zero, 0.95) == (0.0, 0.0)
    assert p_value(0.0, 0.0, zero, zero) == 1.0
    assert p_value(0.02, 0.0, zero + 0.02, zero) == 0.01


def test_undefined_draws_give_no_interval() -> None:
    broken = np.r_[DRAWS[:-1], np.nan]
    assert percentile_interval(broken, 0.95) is None
    assert studentised_interval(0.0, 1.0, broken, ERRORS, 0.95) is None
    assert p_value(0.0, 1.0, broken, ERRORS) is None
    assert studentised_interval(0.0, float("nan"), DRAWS, ERRORS, 0.95) is None
    # A few histories without variation do not matter; if they are many there is no quantile.
    few, many = ERRORS.copy(), ERRORS.copy()
    few[:20], many[:80] = 0.0, 0.0
    assert studentised_interval(0.0, 1.0, DRAWS, few, 0.95) is not None
    assert studentised_interval(0.0, 1.0, DRAWS, many, 0.95) is None
    assert percentile_interval(np.arange(101.0), 0.9) == pytest.approx((5.0, 95.0))


@pytest.mark.parametrize("count", [1, 2, 7, 30])
def test_holm_is_that_of_statsmodels(count: int) -> None:
    p = np.random.default_rng(count).random(count) ** 3
    assert holm(list(p)) == pytest.approx(multipletests(p, method="holm")[1])
    with_gaps = holm([None, *p, None])
    assert with_gaps[0] is None and with_gaps[-1] is None
    assert with_gaps[1:-1] == pytest.approx(multipletests(p, method="holm")[1])
