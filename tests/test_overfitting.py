"""Probability of backtest overfitting: against purgedcv, under the null, with a planted winner."""

from __future__ import annotations

import json
from math import comb
from typing import Any

import numpy as np
import pytest
from purgedcv import probability_of_backtest_overfitting as oracle

from envs.errors import InputError
from experiments.evaluation.overfitting import pbo


def noise(k: int, n: int, seed: int = 0) -> np.ndarray:
    return 0.0003 + 0.01 * np.random.default_rng(seed).standard_normal((k, n))


@pytest.mark.parametrize(
    ("k", "n", "blocks"), [(2, 100, 6), (7, 203, 8), (10, 240, 10), (25, 160, 8)]
)
def test_agrees_with_purgedcv(k: int, n: int, blocks: int) -> None:
    returns = noise(k, n, seed=k)
    ours, theirs = pbo(returns, blocks), oracle(returns, blocks)
    assert ours["pbo"] == theirs.pbo
    assert ours["n_combinations"] == theirs.n_combos == comb(blocks, blocks // 2)
    assert ours["slope"] == pytest.approx(theirs.slope, rel=1e-9)
    assert ours["p_loss"] == np.mean(theirs.is_oos_performance[:, 1] < 0)
    drawn = np.repeat(ours["logits"], ours["counts"])
    np.testing.assert_allclose(drawn, np.sort(theirs.logits), rtol=1e-12, atol=1e-12)


def test_mean_as_measure_agrees_with_purgedcv() -> None:
    returns = noise(6, 150)
    ours, theirs = pbo(returns, 8, "mean"), oracle(returns, 8, metric=np.mean)
    assert ours["pbo"] == theirs.pbo
    assert ours["slope"] == pytest.approx(theirs.slope, rel=1e-9)


def test_copies_of_strategies_tie_as_in_purgedcv() -> None:
    returns = noise(3, 120)
    returns = np.vstack([returns, returns, returns[:1]])
    ours, theirs = pbo(returns, 8), oracle(returns, 8)
    assert ours["pbo"] == theirs.pbo
    drawn = np.repeat(ours["logits"], ours["counts"])
    np.testing.assert_allclose(drawn, np.sort(theirs.logits), rtol=1e-12, atol=1e-12)


def test_rows_without_risk_score_zero_as_in_purgedcv() -> None:
    returns = noise(4, 160)
    returns[0, 20:100] = 0.0004
    returns[1] = 0.0
    ours, theirs = pbo(returns, 8), oracle(returns, 8)
    assert (ours["pbo"], ours["p_loss"]) == (
        theirs.pbo,
        np.mean(theirs.is_oos_performance[:, 1] < 0),
    )


def test_without_skill_the_best_is_below_the_median_half_of_the_time() -> None:
    # In-sample and out-of-sample rows are independent, so the rank of the chosen is uniform.
    draws = [pbo(noise(10, 320, seed), 8)["pbo"] for seed in range(300)]
    error = np.std(draws, ddof=1) / np.sqrt(len(draws))
    assert abs(np.mean(draws) - 0.5) < 3 * error
    assert error < 0.02


def test_a_planted_winner_stays_the_winner() -> None:
    returns = noise(20, 2000)
    returns[7] += 0.002
    found = pbo(returns)
    assert found["pbo"] < 0.01
    assert found["chosen"][7] > 0.99 * found["n_combinations"] == 0.99 * 12_870
    assert found["p_loss"] < 0.01


def test_strategies_that_win_by_turns_are_overfit() -> None:
    # Whoever was best in one half of the blocks has used its luck up: each earns in its own block.
    returns = noise(8, 400) * 0.1
    for k, block in enumerate(np.array_split(np.arange(400), 8)):
        returns[k, block] += 0.01
    assert pbo(returns, 8)["pbo"] == 1.0


def test_many_strategies_fit_in_memory_and_json() -> None:
    found = pbo(noise(150, 1000), 12)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert sum(found["counts"]) == sum(found["chosen"]) == found["n_combinations"] == 924
    below = sum(c for x, c in zip(found["logits"], found["counts"], strict=True) if x < 0)
    assert found["pbo"] == below / 924


@pytest.mark.parametrize(
    ("returns", "words"),
    [
        (noise(1, 500), "two strategies"),
        (noise(5, 79), "79 steps"),
        (np.repeat(noise(1, 500), 3, axis=0), "do not differ"),
    ],
)
def test_too_little_gets_a_reason_and_no_number(returns: np.ndarray, words: str) -> None:
    found = pbo(returns)
    assert list(found) == ["reason"] and words in found["reason"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"n_blocks": 7}, "even, from 2 to 20, got 7"),
        ({"n_blocks": 0}, "even, from 2 to 20"),
        ({"n_blocks": 22}, "even, from 2 to 20"),
        ({"measure": "sortino"}, "sharpe or mean"),
        ({"returns": np.zeros(100)}, "strategies, rows"),
        ({"returns": np.where(np.eye(2, 100), np.nan, 0.0)}, r"strategy 0, row 0"),
    ],
)
def test_bad_input_names_the_remedy(change: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        pbo(**({"returns": noise(3, 200)} | change))
