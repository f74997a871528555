"""Each measure against a published number, an oracle library or a closed form."""

from __future__ import annotations

import csv
import gzip
from importlib.resources import files

import empyrical
import numpy as np
import pandas as pd
import pytest
from skfolio import measures

from experiments.evaluation import metrics as m

PER_YEAR = 252.0


def skfolio_closes(name: str) -> np.ndarray:
    """`[T, A]` closes that skfolio ships."""
    source = files("skfolio.datasets") / "data" / name
    with source.open("rb") as raw, gzip.open(raw, "rt") as text:
        rows = list(csv.reader(text))[1:]
    return np.array([[float(x) for x in row[1:]] for row in rows])


def all_measures(r: np.ndarray) -> list[float]:
    return [
        float(1 + m.total_return(r)),
        float(m.cagr(r, PER_YEAR)),
        float(m.volatility(r, PER_YEAR)),
        float(m.sharpe(r, PER_YEAR)),
        float(m.sortino(r, PER_YEAR)),
        float(m.max_drawdown(r)),
        float(m.calmar(r, PER_YEAR)),
    ]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "sp500_dataset.csv.gz",
            [248.4244, 0.181998, 0.189347, 0.978002, 1.432454, 0.484075, 0.375970],
        ),
        (
            "sp500_index.csv.gz",
            [10.518002, 0.073946, 0.182960, 0.481619, 0.679846, 0.567754, 0.130244],
        ),
    ],
)
def test_reference_numbers_to_six_digits(name: str, expected: list[float]) -> None:
    closes = skfolio_closes(name)
    returns = (closes[1:] / closes[:-1] - 1).mean(axis=1)
    assert len(returns) == 8312
    got = all_measures(returns)
    assert got[0] == pytest.approx(expected[0], abs=5e-5 if expected[0] > 100 else 5e-7)
    assert got[1:] == pytest.approx(expected[1:], abs=5.1e-7)


@pytest.mark.parametrize("n", [2, 7, 100, 1013])
def test_against_empyrical_and_skfolio(n: int) -> None:
    rng = np.random.default_rng(n)
    r = 0.0005 + 0.01 * rng.standard_t(4, n)
    cash = np.full(n, 0.0001)
    assert m.total_return(r) == pytest.approx(empyrical.cum_returns_final(r))
    assert m.cagr(r, PER_YEAR) == pytest.approx(empyrical.cagr(r, annualization=252))
    assert m.volatility(r, PER_YEAR) == pytest.approx(empyrical.annual_volatility(r))
    assert m.sharpe(r, PER_YEAR, cash) == pytest.approx(empyrical.sharpe_ratio(r, 0.0001))
    assert m.max_drawdown(r) == pytest.approx(-empyrical.max_drawdown(r))
    if (r < cash).any():
        assert m.sortino(r, PER_YEAR, cash) == pytest.approx(empyrical.sortino_ratio(r, 0.0001))
        assert m.downside_deviation(r, PER_YEAR, cash) == pytest.approx(
            empyrical.downside_risk(r, 0.0001)
        )
        assert m.calmar(r, PER_YEAR) == pytest.approx(empyrical.calmar_ratio(r))
    assert m.cvar(r) == pytest.approx(measures.cvar(r, beta=0.95))


def test_batch_axes_equal_one_series_at_a_time() -> None:
    rng = np.random.default_rng(3)
    r = 0.01 * rng.standard_normal((3, 5, 200))
    steps = m.Steps(r, np.full(200, 1e-4), np.abs(r), r**2, np.abs(r), PER_YEAR)
    for metric in m.METRICS:
        batch = metric.compute(steps)
        assert batch.shape == (3, 5), metric.name
        one = m.Steps(
            r[1, 2], steps.cash_return, np.abs(r[1, 2]), r[1, 2] ** 2, np.abs(r[1, 2]), 252
        )
        assert batch[1, 2] == pytest.approx(float(metric.compute(one)), rel=1e-12), metric.name


def test_closed_forms() -> None:
    r = np.array([0.1, -0.5, 0.2, 0.0])
    assert m.total_return(r) == pytest.approx(1.1 * 0.5 * 1.2 - 1)
    assert m.max_drawdown(r) == pytest.approx(0.5)
    assert m.max_drawdown([-0.2, 0.1]) == pytest.approx(0.2)  # the start is a peak
    assert m.hit_rate(r) == 0.5
    assert m.cvar(r, tail=0.5) == pytest.approx(0.25)
    assert m.cvar(r, tail=0.375) == pytest.approx((0.5 - 0.5 * 0.0) / 1.5)
    assert m.per_year([0.1, 0.3], 12) == pytest.approx(2.4)
    assert m.mean_log_return([0.1, -0.5], 2) == pytest.approx(np.log(1.1) + np.log(0.5))
    assert m.cagr([0.1], 1) == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("returns", "undefined"),
    [
        (np.full(50, 0.001), {"sharpe", "sortino", "calmar"}),
        (np.full(50, -0.001), {"sharpe"}),
        (np.zeros(50), {"sharpe", "sortino", "calmar"}),
        # all in cash: the excess is rounding noise, not a Sharpe ratio
        (np.cumprod(np.full(51, 1.0001))[1:] / np.cumprod(np.full(51, 1.0001))[:-1] - 1,
         {"sharpe", "sortino", "calmar"}),
        (np.array([0.01, -1.0, 0.0]), {"mean_log_return"}),
        (np.array([0.01]), {"volatility", "sharpe", "sortino", "calmar"}),
        (np.array([0.01, np.nan]), {metric.name for metric in m.METRICS}),
    ],
)  # fmt: skip
def test_undefined_is_nan_never_infinite_never_a_warning(
    returns: np.ndarray, undefined: set[str]
) -> None:
    steps = m.Steps(returns, np.zeros(len(returns)), returns, returns, returns, PER_YEAR)
    values = {metric.name: float(metric.compute(steps)) for metric in m.METRICS}
    assert {k for k, v in values.items() if np.isnan(v)} == undefined
    assert not any(np.isinf(v) for v in values.values())


def test_cash_noise_is_no_sharpe() -> None:
    wealth = np.cumprod(np.full(300, 1 + 0.02 / 252)) * 0.37
    r = wealth[1:] / wealth[:-1] - 1
    assert np.std(r) > 0
    assert np.isnan(m.sharpe(r, PER_YEAR, 0.02 / 252))


def test_ruin_is_minus_one_hundred_percent() -> None:
    r = np.array([0.1, -1.0, 0.5])
    assert m.total_return(r) == -1 and m.cagr(r, PER_YEAR) == -1 and m.max_drawdown(r) == 1
    assert m.total_return([0.1, -1.5, -1.5]) == -1  # wealth below zero does not come back


@pytest.mark.parametrize(
    ("value", "name", "sign", "text"),
    [
        (0.1234, "cagr", False, "12.3 %"),
        (-0.0042, "cagr", True, "−0.42 %"),
        (-0.0042, "cagr", False, "−0.4 %"),
        (-0.0142, "cagr", True, "−1.4 %"),
        (0.00223, "cost", False, "0.22 %"),
        (0.978, "sharpe", False, "0.98"),
        (-0.001, "sharpe", True, "−0.001"),
        (24.84, "cagr", False, "2,484 %"),
        (2.5e9, "cagr", True, "+2.5e+11 %"),
        (3.21, "turnover", False, "3.2×"),
        (None, "sharpe", False, "n/a"),
        (float("nan"), "sharpe", False, "n/a"),
    ],
)
def test_printing(value: float | None, name: str, sign: bool, text: str) -> None:
    assert m.BY_NAME[name].text(value, sign=sign) == text


def test_printing_an_interval() -> None:
    assert m.BY_NAME["cagr"].interval(-0.05, 0.1, sign=True) == "[−5.0, +10.0]"
    assert m.BY_NAME["cagr"].interval(None, 0.1) == ""


@pytest.mark.parametrize(
    ("metric", "value", "text"),
    [
        ("sharpe", -0.0003, "−0.0003"),
        ("sharpe", -0.004, "−0.004"),
        ("sharpe", 0.0, "0.00"),
        ("sharpe", -0.0, "0.00"),
        ("sharpe", 1e-9, "0.00"),
        ("sharpe", -0.01, "−0.01"),
        ("cagr", -0.00004, "−0.004"),
        ("cagr", 0.0, "0.00"),
        ("cagr", 0.0012, "+0.12"),
        ("cagr", float("inf"), "n/a"),
    ],
)
def test_a_signed_number_shows_its_side_of_zero(metric: str, value: float, text: str) -> None:
    assert m.BY_NAME[metric].text(value, sign=True, suffix=False) == text


def test_signed_intervals_show_their_side_of_zero_and_plain_ones_stay() -> None:
    sharpe = m.BY_NAME["sharpe"]
    assert sharpe.interval(-0.012, -0.0021, sign=True) == "[−0.01, −0.002]"
    assert sharpe.interval(-0.012, -0.0021) == "[−0.01, 0.00]"


def test_wealth_beyond_any_number_is_undefined_without_a_warning() -> None:
    r = np.tile([1e8, 1e8, -0.5], 60)
    for measure in (m.total_return(r), m.cagr(r, 252.0), m.max_drawdown(r), m.calmar(r, 252.0)):
        assert np.isnan(measure)
    assert m.mean_log_return(r, 252.0) == pytest.approx(252 * (2 * np.log1p(1e8) - np.log(2)) / 3)


@pytest.mark.parametrize("name", ["sp500_dataset.csv.gz", "sp500_index.csv.gz"])
def test_against_quantstats(name: str) -> None:
    # Not among the extras: it brings a downloader of prices, which tests have no use for.
    stats = pytest.importorskip("quantstats").stats
    closes = skfolio_closes(name)
    r = (closes[1:] / closes[:-1] - 1).mean(axis=1)
    theirs = pd.Series(r, index=pd.date_range("1990-01-03", periods=len(r), freq="B"))
    assert all_measures(r) == pytest.approx(
        [
            1 + stats.comp(theirs),
            stats.cagr(theirs, periods=252),
            stats.volatility(theirs, periods=252),
            stats.sharpe(theirs, periods=252),
            stats.sortino(theirs, periods=252),
            -stats.max_drawdown(theirs),
            stats.calmar(theirs, periods=252),
        ],
        rel=1e-9,
    )
