"""Alpha and its HAC t-statistic: statsmodels, planted values, and rejections without an alpha."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm

from experiments.evaluation.alpha import long_run_variance, measure_alpha


def autoregressive(rng: np.random.Generator, n: int, phi: float) -> np.ndarray:
    noise = rng.standard_normal(n + 50)
    out = np.empty(n + 50)
    out[0] = noise[0]
    for t in range(1, n + 50):
        out[t] = phi * out[t - 1] + np.sqrt(1 - phi**2) * noise[t]
    return out[50:]


def test_coefficients_are_those_of_statsmodels() -> None:
    rng = np.random.default_rng(0)
    factors = 0.01 * rng.standard_normal((600, 3))
    excess = 0.0002 + factors @ [0.9, 0.2, -0.1] + 0.004 * autoregressive(rng, 600, 0.3)
    ours = measure_alpha(excess, factors, ("market", "size", "value"), 252.0, "a set")
    fit = sm.OLS(excess, sm.add_constant(factors)).fit()
    assert ours.alpha == pytest.approx(252 * fit.params[0], rel=1e-10)
    assert list(ours.factors.values()) == pytest.approx(list(fit.params[1:]), rel=1e-10)
    assert (ours.n, ours.reason) == (600, "")


@pytest.mark.parametrize("lags", [0, 1, 4, 12])
def test_the_error_without_whitening_is_that_of_statsmodels(lags: int) -> None:
    rng = np.random.default_rng(1)
    factors = 0.01 * rng.standard_normal((400, 2))
    excess = factors @ [0.5, 0.3] + 0.01 * autoregressive(rng, 400, 0.4)
    design = sm.add_constant(factors)
    fit = sm.OLS(excess, design).fit(cov_type="HAC", cov_kwds={"maxlags": lags})
    moved = 400 * np.linalg.pinv(design)[0] * fit.resid
    variance, used = long_run_variance(moved, lags=lags, whiten=False)
    assert used == lags
    assert np.sqrt(variance / 400) == pytest.approx(fit.bse[0], rel=1e-10)


def test_the_t_statistic_of_a_mean_from_its_parts() -> None:
    rng = np.random.default_rng(2)
    x = 0.01 * autoregressive(rng, 500, 0.5) + 0.001
    ours = measure_alpha(x, np.empty((500, 0)), (), 252.0, "nothing")
    e = x - x.mean()
    rho = np.sum(e[1:] * e[:-1]) / np.sum(e[:-1] ** 2)
    v = e[1:] - rho * e[:-1]
    c = [np.sum(v[i:] * v[: 499 - i]) / 499 for i in range(500)]
    reach = int(3 * (499 / 100) ** (2 / 9))
    s0, s1 = c[0] + 2 * sum(c[1 : reach + 1]), 2 * sum(i * c[i] for i in range(1, reach + 1))
    lags = int(1.1447 * abs(s1 / s0) ** (2 / 3) * 499 ** (1 / 3))
    variance = c[0] + 2 * sum((1 - i / (lags + 1)) * c[i] for i in range(1, lags + 1))
    expected = x.mean() / np.sqrt(variance / (1 - rho) ** 2 / 499)
    assert ours.lags == lags and ours.t == pytest.approx(expected)


def test_the_long_run_variance_of_an_autoregression() -> None:
    x = autoregressive(np.random.default_rng(3), 200_000, 0.6)
    assert long_run_variance(x)[0] == pytest.approx((1 + 0.6) / (1 - 0.6), rel=0.05)


def test_a_planted_alpha_is_found() -> None:
    rng = np.random.default_rng(4)
    market = 0.0003 + 0.01 * rng.standard_normal(2520)
    excess = 0.10 / 252 + 0.8 * market + 0.003 * rng.standard_normal(2520)
    found = measure_alpha(excess, market[:, None], ("benchmark",), 252.0, "benchmark")
    assert found.alpha == pytest.approx(0.10, abs=3 * 0.003 * 252 / np.sqrt(2520))
    assert found.factors["benchmark"] == pytest.approx(0.8, abs=0.02)
    assert found.t is not None and found.t > 4 and found.p is not None and found.p < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("phi", [0.0, 0.3])
@pytest.mark.parametrize("n", [500, 2000])
def test_no_alpha_is_rejected_in_5_percent_of_cases(phi: float, n: int) -> None:
    rng = np.random.default_rng(n)
    rejected = []
    for _ in range(2000):
        market = 0.01 * rng.standard_normal((n, 1))
        excess = 0.7 * market[:, 0] + 0.005 * autoregressive(rng, n, phi)
        p = measure_alpha(excess, market, ("benchmark",), 252.0, "benchmark").p
        rejected.append(p is not None and p <= 0.05)
    assert np.mean(rejected) == pytest.approx(0.05, abs=3 * np.sqrt(0.05 * 0.95 / 2000))


def test_what_cannot_be_measured_says_why() -> None:
    rng = np.random.default_rng(5)
    market = 0.01 * rng.standard_normal(300)
    few = measure_alpha(market[:19], market[:19, None], ("m",), 252.0, "m")
    assert few.alpha is None and few.reason == "19 returns are too few: 24 are needed"
    twice = np.column_stack([market, 2 * market])
    assert "follows from the others" in measure_alpha(market, twice, ("a", "b"), 252.0, "x").reason
    flat = measure_alpha(market, np.zeros((300, 1)), ("m",), 252.0, "m")
    assert flat.alpha is None and "constant" in flat.reason
    same = measure_alpha(0.5 * market, market[:, None], ("m",), 252.0, "m")
    assert same.t is None and same.factors["m"] == pytest.approx(0.5) and "no error" in same.reason
