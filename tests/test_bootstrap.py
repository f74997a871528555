"""The bootstrap against a plain loop, a closed form, and a coverage count."""

from __future__ import annotations

import numpy as np
import pytest

from envs.errors import InputError
from experiments.evaluation import bootstrap as b
from experiments.evaluation.metrics import BY_NAME, METRICS, Steps


def steps(returns: np.ndarray) -> Steps:
    zero = np.zeros_like(returns)
    return Steps(returns, zero, np.abs(returns), zero, zero, 252.0)


def normal(seeds: int, n: int, seed: int = 0) -> np.ndarray:
    return 0.0004 + 0.01 * np.random.default_rng(seed).standard_normal((seeds, n))


def test_equal_seeds_equal_bits_and_chunks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    data = [steps(normal(3, 120)), steps(normal(1, 120, seed=1))]

    def run(seed: int) -> np.ndarray:
        return b.bootstrap_measures(data, METRICS, replications=40, mean_block=5, seed=seed)

    first = run(7)
    assert first.shape == (2, len(METRICS), 40)
    np.testing.assert_array_equal(first, run(7))
    assert (first[:, 1] != run(8)[:, 1]).all()
    monkeypatch.setattr(b, "CHUNK_ELEMENTS", 1000)
    np.testing.assert_array_equal(first, run(7))


def test_against_a_plain_loop_over_the_same_dates() -> None:
    returns = normal(2, 60)
    got = b.bootstrap_measures(
        [steps(returns)],
        [BY_NAME["sharpe"], BY_NAME["max_drawdown"]],
        replications=15,
        mean_block=4,
        seed=3,
    )
    index = np.concatenate(list(b.index_chunks(60, 4, 15, 3, chunk=4)))
    for r in range(15):
        sharpes, drawdowns = [], []
        for series in returns:
            x = [series[i] for i in index[r]]
            sharpes.append(np.mean(x) / np.std(x, ddof=1) * np.sqrt(252))
            wealth, peak, worst = 1.0, 1.0, 0.0
            for value in x:
                wealth *= 1 + value
                peak = max(peak, wealth)
                worst = max(worst, 1 - wealth / peak)
            drawdowns.append(worst)
        assert got[0, 0, r] == pytest.approx(np.mean(sharpes), rel=1e-12)
        assert got[0, 1, r] == pytest.approx(np.mean(drawdowns), rel=1e-12)


def test_dates_are_drawn_in_blocks_of_the_mean_length_with_wrap_around() -> None:
    index = np.concatenate(list(b.index_chunks(500, 10, 200, 0, chunk=64)))
    assert index.shape == (200, 500) and index.min() >= 0 and index.max() < 500
    continues = (np.diff(index, axis=1) % 500) == 1
    # A step goes on in its block with probability 1 - 1/10, or lands on the next date by chance.
    assert continues.mean() == pytest.approx(0.9 + 0.1 / 500, abs=0.004)


def test_strategies_are_paired() -> None:
    base = normal(1, 300)
    draws = b.bootstrap_measures(
        [steps(base), steps(base + 0.0001)],
        [BY_NAME["mean_log_return"]],
        replications=100,
        mean_block=5,
        seed=0,
    )
    gap = draws[1, 0] - draws[0, 0]
    assert gap.mean() == pytest.approx(0.0252, abs=1e-4)
    assert gap.std() < 0.001 * draws[0, 0].std() + 1e-4  # the common luck of the days cancels


def test_interval_of_independent_returns_has_the_width_of_theory() -> None:
    returns = normal(1, 2000)
    draws = b.bootstrap_measures(
        [steps(returns)], [BY_NAME["mean_log_return"]], replications=2000, mean_block=1, seed=1
    )[0, 0]
    interval = b.percentile_interval(draws, 0.95)
    assert interval is not None
    expected = 2 * 1.96 * np.log1p(returns).std() / np.sqrt(2000) * 252
    assert interval[1] - interval[0] == pytest.approx(expected, rel=0.06)


def test_coverage_of_the_mean_of_dependent_returns() -> None:
    rng = np.random.default_rng(5)
    covered = []
    for trial in range(60):
        noise = rng.standard_normal(450)
        series = np.empty(450)
        series[0] = noise[0]
        for t in range(1, 450):
            series[t] = 0.4 * series[t - 1] + noise[t]
        returns = (0.001 + 0.01 * series[50:])[None]
        block = b.block_length(returns)
        (index,) = b.index_chunks(400, block, 150, seed=trial, chunk=150)
        interval = b.percentile_interval(returns[0][index].mean(axis=1), 0.95)
        assert interval is not None
        low, high = interval
        covered.append(low <= 0.001 <= high)
    assert 0.85 <= np.mean(covered) <= 1.0


def test_block_length_grows_with_dependence_and_survives_constants() -> None:
    rng = np.random.default_rng(0)
    noise = rng.standard_normal(2000)
    slow = np.convolve(noise, np.ones(20) / 20, mode="same")
    assert b.block_length(noise[None]) <= 6 < 15 < b.block_length(slow[None])
    assert b.block_length(np.zeros((2, 300))) == 1
    assert b.block_length(noise[None, :5]) == 1
    clustered = noise * np.exp(np.sin(np.arange(2000) / 40))
    assert b.block_length(clustered[None]) > 10  # squares have their say


def test_undefined_draws_give_no_interval() -> None:
    assert b.percentile_interval(np.array([1.0, np.nan, 2.0]), 0.95) is None
    assert b.percentile_interval(np.arange(101.0), 0.9) == pytest.approx((5.0, 95.0))
    with pytest.raises(InputError, match="n_bootstrap"):
        b.bootstrap_measures([steps(normal(1, 9))], METRICS, replications=0, mean_block=1, seed=0)
