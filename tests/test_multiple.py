"""SPA, StepM, model confidence set: against arch and a slow twin, under the null, in power."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from arch.bootstrap import MCS, SPA, StationaryBootstrap, StepM

from envs.errors import InputError
from experiments.evaluation.evidence import Evidence, evaluate
from experiments.evaluation.multiple import TESTS, across, bootstrap_variance, superior
from tests import reference_multiple
from tests.trajectories import example_run, simulate


def series(k: int, n: int, seed: int = 0, own: float = 0.004) -> dict[str, np.ndarray]:
    """k strategies of equal growth that share a market; the first is the benchmark strategy."""
    rng = np.random.default_rng(seed)
    market = 0.0004 + 0.01 * rng.standard_normal(n)
    return {f"s{i}": market + own * rng.standard_normal(n) for i in range(k)}


def differences(strategies: dict[str, np.ndarray]) -> np.ndarray:
    growth = np.log1p(np.stack(list(strategies.values()), axis=1))
    return growth[:, 1:] - growth[:, :1]


# ------------------------------------------------------------------------------- oracles
@pytest.mark.parametrize("mean_block", [1, 7])
def test_spa_is_hansens(mean_block: int) -> None:
    strategies = series(6, 90, seed=3)
    strategies["s5"] = strategies["s5"] * 3 - 0.004
    strategies["s2"] = strategies["s2"] + 0.0015
    found = superior(strategies, "s0", seed=5, replications=200, mean_block=mean_block)["spa"]
    expected = reference_multiple.spa(differences(strategies), mean_block, 200, 5)
    assert {key: found[key] for key in expected} == expected
    assert found["p_lower"] <= found["p_upper"]
    assert found["best"] == "s2" and found["compared"] == ["s1", "s2", "s3", "s4", "s5"]


@pytest.mark.parametrize("mean_block", [1, 4, 30])
def test_standard_errors_are_those_of_the_bootstrap(mean_block: int) -> None:
    rng = np.random.default_rng(1)
    d = rng.standard_normal((150, 3)) + 0.5 * np.sin(np.arange(150) / 5)[:, None]
    ours = bootstrap_variance(d, mean_block)
    oracle = SPA(np.zeros(150), -d, block_size=mean_block, reps=2, seed=0)
    oracle._compute_variance()
    np.testing.assert_allclose(ours, oracle._loss_diff_var, rtol=1e-10)
    draws = StationaryBootstrap(mean_block, d, seed=2).apply(lambda x: x.mean(axis=0), 4000)
    np.testing.assert_allclose(150 * draws.var(axis=0), ours, rtol=0.1)


def test_stepm_is_archs_on_differences_of_equal_scale() -> None:
    strategies = series(9, 400, seed=8)
    for i, gain in ((2, 0.002), (4, 0.0012), (6, 0.0008)):
        strategies[f"s{i}"] = strategies[f"s{i}"] + gain
    found = superior(strategies, "s0", seed=1, replications=500, mean_block=3)["stepm"]["better"]
    d = differences(strategies)
    scaled = d / np.sqrt(bootstrap_variance(d, 3))
    oracle = StepM(np.zeros(400), -scaled, size=0.05, block_size=3, reps=500, seed=1)
    oracle.compute()
    assert found == [f"s{i + 1}" for i in oracle.superior_models]
    assert {"s2", "s4"} <= set(found)


def test_stepm_ends_when_all_are_better() -> None:
    # In rounds: the strongest first. arch's own loop asks for the maximum of nothing then.
    n = 400
    strategies = {"base": np.zeros(n)}
    rng = np.random.default_rng(0)
    noise = 0.01 * rng.standard_normal((8, n))
    noise -= noise.mean(axis=1, keepdims=True)
    for i, x in enumerate(noise):
        strategies[f"s{i}"] = x + 0.01 * (2.4 + 0.3 * i) / np.sqrt(n)
    found = superior(strategies, "base", replications=500, mean_block=1)["stepm"]
    assert found["better"] == [f"s{i}" for i in range(8)]


@pytest.mark.parametrize(("k", "mean_block"), [(2, 1), (5, 6), (12, 3)])
def test_confidence_set_is_archs(k: int, mean_block: int) -> None:
    strategies = series(k, 200, seed=k)
    strategies["s1"] = strategies["s1"] + 0.0004
    found = superior(strategies, "s0", seed=9, replications=300, mean_block=mean_block)["mcs"]
    names = sorted(strategies, key=lambda name: -np.log1p(strategies[name]).mean())
    losses = -np.log1p(np.stack([strategies[name] for name in names], axis=1))
    oracle = MCS(losses, size=0.05, reps=300, block_size=mean_block, method="R", seed=9)
    oracle.compute()
    expected = {names[i]: p for i, p in oracle.pvalues["Pvalue"].items()}
    assert found["p_values"] == expected
    assert set(found["set_95"]) == {names[i] for i in oracle.included}
    assert set(found["set_90"]) <= set(found["set_95"])


# --------------------------------------------------------------------- null and power
@pytest.mark.slow
def test_without_skill_nobody_is_named_at_more_than_the_nominal_rate() -> None:
    runs, rejected, named, missing = 400, 0, 0, 0
    for seed in range(runs):
        found = superior(series(6, 250, seed), "s0", seed=seed, replications=200, mean_block=1)
        rejected += found["spa"]["p_consistent"] < 0.05
        named += bool(found["stepm"]["better"])
        missing += len(found["mcs"]["set_95"]) < 6
    error = np.sqrt(0.05 * 0.95 / runs)
    assert abs(rejected / runs - 0.05) < 3 * error
    assert abs(named / runs - 0.05) < 3 * error
    assert abs(missing / runs - 0.05) < 3 * error


def test_many_bad_strategies_do_not_hide_a_good_one() -> None:
    strategies = series(20, 1500)
    for i in range(3, 20):
        strategies[f"s{i}"] = strategies[f"s{i}"] * 4 - 0.01
    strategies["s1"] = strategies["s1"] + 0.0006
    found = superior(strategies, "s0")
    assert found["spa"]["p_consistent"] < 0.01 and found["spa"]["best"] == "s1"
    assert "s1" in found["stepm"]["better"] and set(found["stepm"]["better"]) <= {"s1", "s2"}
    assert found["mcs"]["set_95"] == ["s1"]


def test_seeds_of_an_agent_are_one_strategy() -> None:
    strategies = series(4, 300)
    both = np.stack([strategies["s1"], strategies["s2"]])
    mean = superior({"a": strategies["s0"], "b": both.mean(axis=0)}, "a")
    assert superior({"a": strategies["s0"], "b": both}, "a") == mean


def test_equal_seeds_give_equal_bits_and_json() -> None:
    strategies = series(5, 300)
    found = across(strategies, "s0", seed=4)
    assert list(found) == list(TESTS)
    assert found == across(strategies, "s0", seed=4) != across(strategies, "s0", seed=5)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert list(found["pbo"]["chosen"]) == list(strategies)


# ----------------------------------------------------------------------- in the evidence
def test_evidence_tests_its_competitors_against_the_first_baseline(tmp_path: Path) -> None:
    runs = example_run(n=200, seeds=(0, 1))
    runs["momentum"] = [simulate("momentum", n=200, n_assets=4, ruin_at=50)]
    runs["best_stock"] = [simulate("best_stock", n=200, n_assets=4)]
    baselines = ["equal_weight", "buy_and_hold", "momentum", "risk_parity", "best_stock"]
    made = evaluate(
        runs, baselines=baselines, agents=["ppo"], n_bootstrap=100, hindsight=["best_stock"]
    )
    assert list(made.tests) == list(TESTS)
    assert made.tests["spa"]["benchmark"] == "equal_weight"
    assert made.tests["spa"]["compared"] == ["ppo", "buy_and_hold", "risk_parity"]
    assert "ruined" in made.tests["mcs"]["left_out"]["momentum"]
    assert "ppo" in made.tests["pbo"]["chosen"] and "best_stock" not in made.tests["pbo"]["chosen"]
    made.write(tmp_path / "metrics.json")
    assert Evidence.read(tmp_path / "metrics.json").tests == made.tests


# ---------------------------------------------------------------- what cannot be compared
def test_copies_and_constants_are_named_and_do_no_harm() -> None:
    strategies = series(4, 300)
    strategies |= {
        "copy": strategies["s0"].copy(),
        "again": strategies["s2"].copy(),
        "still": np.zeros(300),
        "stiller": np.full(300, -1e-5),
        "mixture": (strategies["s1"] + strategies["s2"]) / 2,
        "ruined": np.r_[-1.0, np.zeros(299)],
        "gap": np.r_[np.nan, np.zeros(299)],
    }
    found = across(strategies, "s0")
    for test in TESTS:
        assert "ruined" in found[test]["left_out"]["ruined"]
        assert "missing" in found[test]["left_out"]["gap"]
    assert "s0" in found["spa"]["left_out"]["copy"] and "copy" not in found["stepm"]["compared"]
    mcs = found["mcs"]
    assert mcs["same_as"] == {"copy": "s0", "again": "s2"}
    assert mcs["p_values"]["again"] == mcs["p_values"]["s2"]
    assert "behind still" in mcs["left_out"]["stiller"]
    assert "no Sharpe" in found["pbo"]["left_out"]["still"]


@pytest.mark.parametrize(
    ("strategies", "tests", "words"),
    [
        (series(1, 300), TESTS, "two strategies"),
        (series(3, 20), TESTS, "too few"),
        ({"s0": np.zeros(300), "s1": np.zeros(300)}, TESTS, "strateg"),
        (series(3, 300) | {"s0": np.full(300, -1.0)}, ("spa", "stepm"), "s0: ruined"),
        (series(2, 300) | {"s1": np.full(300, np.nan)}, TESTS, "strateg"),
    ],
)
def test_too_little_gets_a_reason_and_no_number(
    strategies: dict[str, np.ndarray], tests: tuple[str, ...], words: str
) -> None:
    found = across(strategies, "s0")
    for test in tests:
        assert set(found[test]) == {"reason", "left_out"}
    assert any(words in found[test]["reason"] for test in tests)


def test_equal_means_tie() -> None:
    x = series(1, 300)["s0"]
    found = superior({"x": x, "reversed": x[::-1]}, "x")
    assert found["mcs"]["p_values"] == pytest.approx({"x": 1.0, "reversed": 1.0}, abs=0.01)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"benchmark": "s9"}, "'s9' is none of the strategies: s0, s1, s2"),
        ({"replications": 0}, "n_bootstrap"),
        ({"level": 1.0}, "level"),
        ({"series": {"s0": np.zeros(50), "s1": np.zeros(51)}}, "share their dates"),
    ],
)
def test_bad_input_names_the_remedy(change: dict[str, Any], words: str) -> None:
    call = {"series": series(3, 300), "benchmark": "s0"} | change
    with pytest.raises(InputError, match=words):
        across(**call)
