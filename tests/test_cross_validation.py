"""Combinatorial purged cross-validation: against skfolio, purgedcv and brute force."""

from __future__ import annotations

import json
from itertools import combinations
from math import comb
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from purgedcv import CombinatorialPurgedCV as Purged
from skfolio.model_selection import CombinatorialPurgedCV as Skfolio

from envs.errors import InputError
from experiments.evaluation.cross_validation import CombinatorialPurged, selection


def rows(ranges: Any) -> list[int]:
    return [row for start, stop in ranges for row in range(start, stop)]


CASES = [(120, 6, 2, 0, 0), (120, 6, 2, 3, 4), (127, 6, 3, 5, 0), (100, 10, 8, 2, 1)]


@pytest.mark.parametrize(("n", "groups", "tested", "purge", "embargo"), CASES)
def test_rows_and_paths_are_skfolios(
    n: int, groups: int, tested: int, purge: int, embargo: int
) -> None:
    ours = CombinatorialPurged(n_groups=groups, n_test_groups=tested, purge=purge, embargo=embargo)
    theirs = Skfolio(groups, tested, purge, embargo)
    folds = list(ours.split(0, n))
    assert len(folds) == ours.n_combinations == theirs.n_splits
    for fold, (train, test) in zip(folds, theirs.split(np.zeros((n, 1))), strict=True):
        assert rows(fold.train) == train.tolist()
        assert [list(range(*r)) for r in fold.test] == [t.tolist() for t in test]
    assert ours.n_paths == theirs.n_test_paths == ours.paths().shape[0]
    np.testing.assert_array_equal(ours.paths(), theirs.recombined_paths.T)


@pytest.mark.parametrize(
    ("groups", "tested", "purge", "embargo"), [(6, 2, 1, 2), (6, 2, 4, 7), (5, 3, 3, 2)]
)
def test_rows_are_those_of_purgedcv(groups: int, tested: int, purge: int, embargo: int) -> None:
    n = 30 * groups
    day = pd.Timedelta(days=1)
    known = pd.Series(pd.date_range("2020-01-01", periods=n))
    # Its labels are half open, ours include the row at which they are known; its embargo closed.
    theirs = Purged(
        groups,
        tested,
        prediction_times=known,
        evaluation_times=known + (purge + 1) * day,
        embargo=(embargo - 1) * day,
    )
    ours = CombinatorialPurged(
        n_groups=groups, n_test_groups=tested, purge=purge, embargo=embargo
    ).split(0, n)
    for fold, (train, test) in zip(ours, theirs.split(np.zeros((n, 1))), strict=True):
        assert rows(fold.train) == list(train)
        assert rows(fold.test) == list(test)


@settings(max_examples=150, deadline=None)
@given(
    st.integers(2, 7), st.integers(1, 6), st.integers(0, 6), st.integers(0, 6), st.integers(14, 90)
)
def test_no_label_of_training_touches_a_test_row(
    groups: int, tested: int, purge: int, embargo: int, n: int
) -> None:
    if tested >= groups:
        return
    first = 11
    splitter = CombinatorialPurged(
        n_groups=groups, n_test_groups=tested, purge=purge, embargo=embargo
    )
    try:
        folds = list(splitter.split(first, first + n))
    except InputError as error:
        assert "to train on" in str(error)
        return
    for fold in folds:
        train, test = rows(fold.train), rows(fold.test)
        expected = []
        for t in range(first, first + n):
            label = set(range(t, t + purge + 1))
            leaks = t in test
            for s in test:
                leaks |= s in label or t in range(s, s + purge + 1)
                leaks |= s + purge < t <= s + purge + embargo
            if not leaks:
                expected.append(t)
        # Nothing leaks, and nothing is thrown away for no reason.
        assert train == expected


@pytest.mark.parametrize(("groups", "tested"), [(6, 2), (5, 1), (7, 4), (4, 3)])
def test_every_row_is_out_of_sample_once_in_every_path(groups: int, tested: int) -> None:
    splitter = CombinatorialPurged(n_groups=groups, n_test_groups=tested, purge=0)
    assert splitter.n_paths == comb(groups, tested) * tested // groups
    chosen = list(combinations(range(groups), tested))
    used = set()
    for path in splitter.paths().tolist():
        for g, c in enumerate(path):
            assert g in chosen[c]
            used.add((g, c))
    assert len(used) == splitter.n_combinations * tested  # each result in exactly one path
    n = 10 * groups + 3
    results = [
        [1000 * c + np.arange(a, b) for a, b in fold.test]
        for c, fold in enumerate(splitter.split(0, n))
    ]
    joined = splitter.join(results)
    np.testing.assert_array_equal(joined % 1000, np.tile(np.arange(n), (splitter.n_paths, 1)))
    for path, series in zip(splitter.paths(), joined, strict=True):
        np.testing.assert_array_equal(series[::10][:groups] // 1000, path)


def noise(k: int, n: int, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {f"s{i}": 0.01 * rng.standard_normal(n) for i in range(k)}


def test_a_planted_winner_is_chosen_and_its_paths_are_its_history() -> None:
    returns = noise(8, 600)
    returns["s3"] = returns["s3"] + 0.004
    found = selection(returns, CombinatorialPurged(), periods_per_year=252)
    assert found["chosen"]["s3"] == 1.0 and found["best"] == "s3"
    assert [p["sharpe"] for p in found["paths"]] == pytest.approx([found["best_sharpe"]] * 5)
    assert len(found["paths"]) == found["n_paths"] == 5
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_without_skill_the_choice_earns_nothing_though_the_best_looks_good() -> None:
    runs = [
        selection(noise(20, 400, s), CombinatorialPurged(purge=0), periods_per_year=252)
        for s in range(100)
    ]
    outside = np.array([r["out_of_sample"] for r in runs])
    error = outside.std(ddof=1) / 10
    # Rows are drawn without replacement from one history, so the truth is a little below zero.
    assert outside.mean() < 3 * error
    assert abs(outside.mean()) < 0.5
    assert np.mean([r["best_sharpe"] for r in runs]) > 1.0
    assert np.mean([r["in_sample"] for r in runs]) > 1.0


def test_choice_needs_two_strategies_that_vary() -> None:
    flat = {"a": np.zeros(200), "b": noise(1, 200)["s0"]}
    for returns in (noise(1, 200), flat):
        found = selection(returns, CombinatorialPurged(), periods_per_year=252)
        assert list(found) == ["reason"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"n_groups": 1}, "n_groups=1 must be >= 2"),
        ({"n_test_groups": 0}, "n_test_groups=0 must be >= 1"),
        ({"n_test_groups": 6}, "no group of n_groups=6"),
        ({"n_test_groups": 9}, "lower n_test_groups"),
        ({"purge": -1}, "purge=-1 must be >= 0"),
        ({"embargo": -2}, "embargo=-2 must be >= 0"),
        ({"embargo": 1.5}, "whole number"),
        ({"n_groups": 40, "n_test_groups": 20}, "combinations"),
    ],
)
def test_bad_settings_name_key_and_remedy(change: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        CombinatorialPurged(**change)


@pytest.mark.parametrize(
    ("change", "n", "words"),
    [
        ({}, 11, "11 rows are too few for n_groups=6: at least 12"),
        ({}, -5, "0 rows are too few"),
        ({"embargo": 5000}, 600, "embargo=5000 leave 0 of 600 rows"),
        ({"purge": 300}, 600, "purge=300"),
    ],
)
def test_too_few_rows_name_the_remedy(change: dict[str, Any], n: int, words: str) -> None:
    with pytest.raises(InputError, match=words):
        list(CombinatorialPurged(**change).split(0, n))


def test_bad_results_and_returns_are_named() -> None:
    with pytest.raises(InputError, match="15 results of 2 series"):
        CombinatorialPurged().join([[np.zeros(3)]])
    with pytest.raises(InputError, match="lengths"):
        selection(
            {"a": np.zeros(200), "b": np.zeros(201)}, CombinatorialPurged(), periods_per_year=252
        )
    with pytest.raises(InputError, match="b are missing"):
        selection(
            {"a": np.zeros(200), "b": np.full(200, np.nan)},
            CombinatorialPurged(),
            periods_per_year=252,
        )
