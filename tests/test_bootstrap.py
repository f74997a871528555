"""The bootstrap against its definition in plain NumPy, closed forms and SciPy."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from scipy.stats import trim_mean

from envs.errors import InputError
from experiments.evaluation import bootstrap as b
from experiments.evaluation import bootstrap_kernels as kernels
from experiments.evaluation.estimates import interquartile_mean
from experiments.evaluation.intervals import studentised_interval
from experiments.evaluation.metrics import METRICS, Steps
from tests import reference_statistics


def steps(returns: np.ndarray) -> Steps:
    zero = np.zeros_like(returns)
    return Steps(returns, zero, np.abs(returns), zero, zero, 252.0)


def random_steps(rng: np.random.Generator, seeds: int, n: int, index: bool) -> Steps:
    net = 0.0005 + 0.01 * rng.standard_t(4, (seeds, n))
    active = np.full((seeds, n), np.nan) if index else rng.random((seeds, n))
    cash = np.broadcast_to(1e-4 * rng.random(n), (seeds, n))
    return Steps(net, cash, rng.random((seeds, n)), 0.01 * rng.random((seeds, n)), active, 252.0)


def normal(seeds: int, n: int, seed: int = 0) -> np.ndarray:
    return 0.0004 + 0.01 * np.random.default_rng(seed).standard_normal((seeds, n))


def test_equal_seeds_equal_bits_and_chunks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    data = [steps(normal(3, 120)), steps(normal(1, 120, seed=1))]

    def run(seed: int) -> b.Resampled:
        return b.resample(data, replications=40, mean_block=5, seed=seed, pairs=[(0, 1)])

    first, again, other = run(7), run(7), run(8)
    assert first.values.shape == (2, len(METRICS), 40)
    monkeypatch.setattr(b, "CHUNK_ELEMENTS", 1000)
    chunks = run(7)
    for f in fields(b.Resampled):
        one = getattr(first, f.name)
        np.testing.assert_array_equal(one, getattr(again, f.name))
        np.testing.assert_array_equal(one, getattr(chunks, f.name))
    assert (first.values[:, 1] != other.values[:, 1]).all()


def test_more_seeds_do_not_change_the_dates_drawn() -> None:
    one, more = (
        b.resample([steps(normal(k, 120))] + [steps(normal(1, 120, seed=1))],
                   replications=20, mean_block=5, seed=3)
        for k in (2, 4)
    )  # fmt: skip
    np.testing.assert_array_equal(one.values[1], more.values[1])


def test_kernels_are_the_catalogue_of_measures_and_the_definition_of_their_errors() -> None:
    rng = np.random.default_rng(1)
    data = [
        random_steps(rng, 3, 90, index=False),
        random_steps(rng, 1, 90, index=True),
        random_steps(rng, 2, 90, index=False),
    ]
    pairs = [(0, 1), (2, 0)]
    got = b.resample(data, replications=12, mean_block=6, seed=5, pairs=pairs)
    index = np.concatenate(list(b.index_chunks(90, 6, 12, 5, chunk=4)))
    assert set(kernels.VALUES) == {metric.name for metric in METRICS}
    for r in range(-1, 12):
        rows = np.arange(90) if r < 0 else index[r]
        values, errors, pair_errors = reference_statistics.measures(data, rows, pairs, 1 - 1 / 6)
        if r < 0:
            np.testing.assert_allclose(got.observed_errors, errors, rtol=1e-9)
            np.testing.assert_allclose(got.observed_pair_errors, pair_errors, rtol=1e-9)
        else:
            np.testing.assert_allclose(got.values[..., r], values, rtol=1e-9)
            np.testing.assert_allclose(got.errors[..., r], errors, rtol=1e-9)
            np.testing.assert_allclose(got.pair_errors[..., r], pair_errors, rtol=1e-9)


def test_seeds_are_drawn_within_their_strategy_and_trimmed() -> None:
    # Constant returns: no date matters, so that only the seeds drawn are seen.
    level = np.arange(1.0, 9.0)[:, None] / 1000
    net = np.tile(level, (1, 50))
    drawn = b.resample([steps(net), steps(net[:1])], replications=400, mean_block=2, seed=0)
    j = kernels.VALUES.index("mean_log_return")
    seeds = np.random.default_rng([0, 1]).integers(0, np.repeat([8, 1], [8, 1]), (400, 9))
    grown = 252 * np.log1p(level[seeds[:, :8], 0])
    expected = trim_mean(grown, 0.25, axis=1)
    np.testing.assert_allclose(drawn.trimmed[0, j], expected, rtol=1e-12)
    np.testing.assert_allclose(drawn.trimmed[1, j], drawn.values[1, j], rtol=1e-12)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 8, 11])
def test_interquartile_mean_is_that_of_scipy(count: int) -> None:
    x = np.random.default_rng(count).standard_normal(count)
    assert interquartile_mean(x) == pytest.approx(trim_mean(x, 0.25))
    assert kernels.trimmed_mean_nb(x.copy(), count) == pytest.approx(trim_mean(x, 0.25))


def test_broken_and_ruined_series_are_undefined_without_a_warning() -> None:
    ruined, wild = normal(1, 60), np.tile([1e8, 1e8, -0.5], 20)[None]
    ruined[0, 30] = -1.0
    flat = np.zeros((1, 60))
    drawn = b.resample([steps(x) for x in (ruined, wild, flat)], replications=20, mean_block=3,
                       seed=0)  # fmt: skip
    value = {name: drawn.values[:, j] for j, name in enumerate(kernels.VALUES)}
    assert not np.isinf(drawn.values).any()
    assert np.isnan(value["sharpe"][2]).all() and np.isnan(value["calmar"][2]).all()
    assert np.isnan(value["cagr"][1]).any()
    assert (value["total_return"][0] == -1).any() and np.isnan(value["mean_log_return"][0]).any()


def test_dates_are_drawn_in_blocks_of_the_mean_length_with_wrap_around() -> None:
    index = np.concatenate(list(b.index_chunks(500, 10, 200, 0, chunk=64)))
    assert index.shape == (200, 500) and index.min() >= 0 and index.max() < 500
    continues = (np.diff(index, axis=1) % 500) == 1
    # A step goes on in its block with probability 1 - 1/10, or lands on the next date by chance.
    assert continues.mean() == pytest.approx(0.9 + 0.1 / 500, abs=0.004)


def test_strategies_are_paired() -> None:
    base = normal(1, 300)
    drawn = b.resample(
        [steps(base), steps(base + 0.0001)], replications=100, mean_block=5, seed=0, pairs=[(1, 0)]
    )
    j = kernels.VALUES.index("mean_log_return")
    gap = drawn.values[1, j] - drawn.values[0, j]
    assert gap.mean() == pytest.approx(0.0252, abs=1e-4)
    assert gap.std() < 0.001 * drawn.values[0, j].std() + 1e-4  # the luck of the days cancels
    c = kernels.PAIRED.index("mean_log_return")
    assert drawn.observed_pair_errors[0, c] < 0.001 * drawn.observed_errors[0, j] + 1e-4


def test_interval_of_independent_returns_has_the_width_of_theory() -> None:
    returns = normal(1, 2000)
    drawn = b.resample([steps(returns)], replications=2000, mean_block=1, seed=1)
    j = kernels.VALUES.index("mean_log_return")
    theory = np.log1p(returns).std() / np.sqrt(2000) * 252
    assert drawn.observed_errors[0, j] == pytest.approx(theory, rel=1e-12)
    value, error = 252 * np.log1p(returns).mean(), drawn.observed_errors[0, j]
    interval = studentised_interval(value, error, drawn.values[0, j], drawn.errors[0, j], 0.95)
    assert interval is not None
    assert interval[1] - interval[0] == pytest.approx(2 * 1.96 * theory, rel=0.06)
    sharpe = kernels.VALUES.index("sharpe")
    # Lo (2002): the standard error of the Sharpe ratio of independent normal returns.
    ratio = returns.mean() / returns.std(ddof=1)
    expected = np.sqrt(252 * (1 + ratio**2 / 2) / 2000)
    assert drawn.observed_errors[0, sharpe] == pytest.approx(expected, rel=0.01)


def test_the_error_of_a_mean_is_what_the_bootstrap_draws() -> None:
    noise = np.random.default_rng(4).standard_normal(1000)
    series = np.empty(1000)
    series[0] = noise[0]
    for t in range(1, 1000):
        series[t] = 0.5 * series[t - 1] + noise[t]
    drawn = b.resample([steps(0.001 * series[None])], replications=4000, mean_block=12, seed=0)
    j = kernels.VALUES.index("mean_log_return")
    assert drawn.observed_errors[0, j] == pytest.approx(drawn.values[0, j].std(), rel=0.05)


def test_block_length_grows_with_dependence_and_survives_constants() -> None:
    rng = np.random.default_rng(0)
    noise = rng.standard_normal(2000)
    slow = np.convolve(noise, np.ones(20) / 20, mode="same")
    assert b.block_length(noise[None]) <= 6 < 15 < b.block_length(slow[None])
    assert b.block_length(np.zeros((2, 300))) == 1
    assert b.block_length(noise[None, :5]) == 1
    clustered = noise * np.exp(np.sin(np.arange(2000) / 40))
    assert b.block_length(clustered[None]) > 10  # squares have their say
    assert b.block_length(clustered[None], squares=False) <= 6


def test_block_length_is_that_of_most_series() -> None:
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((5, 1000))
    slow = np.convolve(rng.standard_normal(1000), np.ones(30) / 30, mode="same")
    assert b.block_length(np.r_[noise, slow[None]]) <= 6 < 15 < b.block_length(slow[None])


def test_the_number_of_replications_is_checked() -> None:
    with pytest.raises(InputError, match="n_bootstrap"):
        b.resample([steps(normal(1, 9))], replications=0, mean_block=1, seed=0)
