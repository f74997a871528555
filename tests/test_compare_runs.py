"""Runs together: seeds in one row, sweeps, known answers, what makes runs incomparable."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from experiments import compare
from experiments.comparing import sweep
from experiments.comparing.comparison import Comparison, compare_runs
from experiments.comparing.configs import independent
from experiments.comparing.origins import origin_cells
from experiments.comparing.rows import read_rows, together
from experiments.comparing.tables import table_cells
from experiments.comparing.words import sentences
from experiments.evaluation.evidence import evaluate
from experiments.evaluation.overfitting import pbo
from experiments.evaluation.skill import Trials, expected_max_sharpe
from experiments.evaluation.trajectory_store import load_trajectories, save_trajectories
from experiments.reports.comparison import comparison_page
from experiments.reports.parallel import axes_of, axis, beside
from tests.trajectories import simulate

DAYS = 260


def make_run(
    folder: Path,
    *,
    seeds: tuple[int, ...] = (0,),
    bps: float = 5.0,
    rate: float = 1e-3,
    drift: float = 0.0,
    reference: bool = True,
    fingerprint: str | None = "f" * 64,
    known: list[float] | None = None,
    **config: Any,
) -> Path:
    """A run of PPO that earns `drift` a day beyond its own portfolio."""
    folder.mkdir(parents=True)
    agents = []
    for seed in seeds:
        t = simulate("ppo", seed=seed, n=DAYS, activity=0.3, rate=bps / 1e4)
        net = t.net_return + drift
        agents.append(replace(t, net_return=net, value=np.r_[1.0, np.cumprod(1 + net)]))
    paths = {"ppo": agents, "momentum": [simulate("momentum", n=DAYS, activity=0.5)]}
    if reference:
        paths["equal_weight"] = [simulate("equal_weight", n=DAYS, rate=bps / 1e4)]
    baselines = [name for name in paths if name != "ppo"]
    evidence = evaluate(paths, agents=["ppo"], baselines=baselines, n_bootstrap=60)
    evidence.write(folder / "metrics.json")
    save_trajectories(folder / "trajectories.h5", paths)
    settings = {
        "name": "tiny", "seed": seeds[0], "resume": None, "cost": {"commission_bps": bps},
        "agent": {"_target_": "agents.sb3.PPO", "learning_rate": rate},
        "tracking": {"project": folder.name}, **config,
    }  # fmt: skip
    (folder / "config.yaml").write_text(yaml.safe_dump(settings))
    if fingerprint is not None:
        facts = {"data": {"name": "simulated", "fingerprint": fingerprint}}
        (folder / "provenance.json").write_text(json.dumps(facts))
    if known is not None:
        policies = {str(s): {"score": x} for s, x in zip(seeds, known, strict=True)}
        text = json.dumps({"agent": "ppo", "policies": policies})
        (folder / "known_answer.json").write_text(text)
    return folder


def lines(out: Path, name: str = "compare.csv") -> list[dict[str, str]]:
    return list(csv.DictReader((out / name).open()))


# ---------------------------------------------------------------------- seeds together
def test_runs_that_differ_in_their_seed_alone_are_one_row(tmp_path: Path) -> None:
    for job, (seed, bps) in enumerate([(0, 5.0), (0, 10.0), (1, 5.0), (1, 10.0), (2, 5.0)]):
        make_run(tmp_path / "multi" / str(job), seeds=(seed,), bps=bps)
    comparison = compare_runs([tmp_path / "multi"])
    rows = comparison.rows
    assert [row.runs for row in rows] == [("0", "2", "4"), ("1", "3")]
    assert [row.config for row in rows] == [
        {"cost.commission_bps": 5.0}, {"cost.commission_bps": 10.0},
    ]  # fmt: skip
    assert [[t.seed for t in row.trajectories] for row in rows] == [[0, 1, 2], [0, 1]]
    # The mean over seeds is that of the runs; the run's own evidence has each of them.
    each = read_rows([tmp_path / "multi" / job for job in ("0", "2", "4")])
    sharpes = [row.evidence.strategies["ppo"].metrics["sharpe"].value for row in each]
    merged = rows[0].evidence.strategies["ppo"].metrics["sharpe"]
    assert merged.seeds == sharpes and merged.value == pytest.approx(np.mean(sharpes))
    assert merged.iqm == pytest.approx(np.mean(sharpes)) and merged.iqm_low is not None
    assert not any("one seed" in note or "single seed" in note for note in comparison.notes)
    heads, cells = table_cells(comparison)
    assert cells[0][heads.index("Seeds")] == "3" and "Sharpe, IQM over seeds" in heads


def test_each_run_has_its_row_on_demand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed in (0, 1):
        make_run(tmp_path / "multi" / str(seed), seeds=(seed,))
    out = tmp_path / "out"
    for option in ("--each", "--no-aggregate"):
        assert compare.main([str(tmp_path / "multi"), option, "--out", str(out)]) == 0
        assert [line["run"] for line in lines(out)] == ["0", "1"]
        assert [line["seed"] for line in lines(out)] == ["0", "1"]
        assert "no interval over seeds" in capsys.readouterr().out
    assert compare.main([str(tmp_path / "multi"), "--out", str(out)]) == 0
    (line,) = lines(out)
    assert (line["run"], line["seeds"]) == ("0, 1", "2") and "seed" not in line
    assert lines(out, "compare_pairs.csv") == []


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"seeds": (0,)}, {"seeds": (0,)}),  # the same training, by another version say
        ({"seeds": (0, 1)}, {"seeds": (1, 2)}),
        ({"seeds": (0,)}, {"seeds": (1,), "fingerprint": "e" * 64}),
        ({"seeds": (0,)}, {"seeds": (1,), "env": {"window": 5}}),
    ],
)
def test_other_runs_stay_apart(tmp_path: Path, one: Any, other: Any) -> None:
    runs = [make_run(tmp_path / "a", **one), make_run(tmp_path / "b", **other)]
    assert len(together(read_rows(runs))) == 2


# ---------------------------------------------------------------------- the whole set
def test_a_planted_better_run_is_first_in_every_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for job, (seed, rate) in enumerate([(s, r) for s in (0, 1, 2) for r in (1e-4, 1e-3, 1e-2)]):
        drift = {1e-4: 0.0, 1e-3: 0.004, 1e-2: -0.001}[rate]
        make_run(tmp_path / "m" / str(job), seeds=(seed,), rate=rate, drift=drift)
    out = tmp_path / "out"
    assert compare.main([str(tmp_path / "m"), "--out", str(out), "--by", "cagr"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "Highest by CAGR: 2 PPO: learning_rate 0.001. It is first in 100 %" in printed
    assert "it can be told apart from 2 of the 2 others" in printed
    found = lines(out)
    assert [line["rank_observed"] for line in found] == ["2.0", "1.0", "3.0"]
    assert [line["share_first"] for line in found] == ["0.0", "1.0", "0.0"]
    assert float(found[1]["p_holm_across_rows"]) < 0.05 < float(found[0]["p_holm_across_rows"])
    pairs = {(line["a"], line["b"]): line for line in lines(out, "compare_pairs.csv")}
    assert set(pairs) == {("1", "2"), ("1", "3"), ("2", "3")}
    assert pairs["1", "2"]["improvement"] == "0.0" and pairs["2", "3"]["improvement"] == "1.0"
    assert float(pairs["1", "2"]["p_holm"]) < 0.05 and float(pairs["1", "2"]["difference"]) < 0
    # Nine jobs: the three good ones are the best in every half of the dates.
    assert "Probability of backtest overfitting: 0 %" in printed
    assert "There are 9 trials (the 9 candidates compared here)" in printed
    assert "(StepM): 2 PPO (run 1), 2 PPO (run 4), 2 PPO (run 7)." in printed
    page = (out / "compare.html").read_text()
    assert "<script" not in page and "http" not in page.replace("http-equiv", "").replace(
        "http://www.w3.org", ""
    )
    for key in ("intervals", "standings", "settings", "wealth"):
        assert page.count(f'<figure id="{key}">') == 1
    assert "<b>100*</b>" in page and "What choosing the best of 9 candidates is worth" in page


def test_the_tests_of_a_sweep_are_those_of_all_jobs(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / str(k), seeds=(k,), drift=1e-4 * k) for k in range(4)]
    jobs = read_rows(runs)
    found = sweep.sweep_tests(jobs)
    excess = [row.trajectories[0].net_return - row.trajectories[0].cash_return for row in jobs]
    expected = pbo(np.stack(excess))
    assert found["pbo"]["pbo"] == expected["pbo"]
    assert list(found["pbo"]["chosen"].values()) == expected["chosen"]
    ratios = [x.mean() / x.std(ddof=1) for x in excess]
    assert found["best"] == f"{np.argmax(ratios) + 1} PPO"
    assert found["trials"].count == 4
    assert found["trials"].sharpe_variance == pytest.approx(252 * np.var(ratios, ddof=1))
    threshold = expected_max_sharpe(4, float(np.var(ratios, ddof=1)))
    assert found["skill"].expected_max == pytest.approx(threshold)
    assert set(found["mcs"]["p_values"]) == {"equal_weight", "1 PPO", "2 PPO", "3 PPO", "4 PPO"}


def test_jobs_that_pay_other_costs_are_measured_against_their_own_equal_weight() -> None:
    rng = np.random.default_rng(0)
    first, other, job = 0.01 * rng.standard_normal((3, 50))
    found = sweep.relative({"a": job, "b": job}, [first, other])
    growth = {name: np.log1p(x) for name, x in found.items()}
    assert (found["equal_weight"] == first).all() and (found["a"] == job).all()
    expected = np.log1p(job) - np.log1p(other)
    assert growth["b"] - growth["equal_weight"] == pytest.approx(expected, abs=1e-14)


def test_a_sweep_without_the_reference_says_so(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / str(k), seeds=(k,), reference=False) for k in range(2)]
    comparison = compare_runs(runs, aggregate=False)
    assert comparison.sweep["spa"]["reason"].startswith("not every run has equal_weight")
    assert any("No test against equal weight" in s for s in sentences(comparison))
    assert all(row.less_reference is None for row in comparison.rows)


def test_of_two_jobs_nothing_is_said_that_needs_more(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / str(k), seeds=(k,)) for k in range(2)]
    said = " ".join(sentences(compare_runs(runs, aggregate=False)))
    assert "It cannot be told apart from the other one at 5 %." in said
    assert (
        "No probability of backtest overfitting: it says something of 3 candidates or more" in said
    )


def test_jobs_that_hardly_differ_are_said_to(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / str(k), drift=1e-6 * k, job=k) for k in range(3)]
    said = " ".join(sentences(compare_runs(runs)))
    assert "The candidates hardly differ (any two have returns with a correlation of 0.999" in said
    runs = [make_run(tmp_path / f"other_{k}", seeds=(k,)) for k in range(3)]
    said = " ".join(sentences(compare_runs(runs, aggregate=False)))
    assert "With only 3 candidates it is a rough figure." in said


def test_equal_weight_is_not_tested_against_itself(tmp_path: Path) -> None:
    jobs = read_rows([make_run(tmp_path / str(k), seeds=(k,)) for k in range(2)])
    equal = replace(
        jobs[0], strategy="equal_weight", trajectories=[jobs[0].reference], less_reference=None
    )
    found = sweep.sweep_tests([equal, jobs[1]])
    assert found["reason"].endswith("which candidates are tested against, there is only one")
    found = sweep.sweep_tests([equal, *jobs])
    assert found["candidates"] == 2 and set(found["mcs"]["p_values"]) == {
        "equal_weight",
        "2 PPO",
        "3 PPO",
    }


def test_the_page_says_where_its_rows_come_from(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / str(k), seeds=(k,), bps=bps) for k, bps in enumerate((5, 5, 9))]
    facts = json.loads((runs[0] / "provenance.json").read_text())
    facts |= {"command": "python -m x <1>", "git": {"commit": "abc" * 9, "dirty": True}}
    facts["data"]["name"] = "sp500"
    (runs[0] / "provenance.json").write_text(json.dumps(facts))
    comparison = compare_runs(runs)
    known, other = origin_cells(comparison.rows)
    assert known[0] == "1" and known[1].startswith(f"sp500, {'f' * 12}; ")
    assert known[3] == "costs: commission_bps 5" and other[3] == "costs: commission_bps 9"
    assert known[4] == "python -m x <1>; not recorded"
    assert known[5] == "abcabcabcabc with local changes; not recorded"
    page = comparison_page(comparison, table_cells(comparison))
    assert "Where the rows come from" in page and "python -m x &lt;1&gt;; not recorded" in page


def test_the_trials_of_a_ledger_count_where_they_are_more(tmp_path: Path) -> None:
    jobs = read_rows([make_run(tmp_path / str(k), seeds=(k,)) for k in range(2)])
    jobs[0] = replace(
        jobs[0], evidence=replace(jobs[0].evidence, trials=Trials(40, source="by the ledger"))
    )
    found = sweep.sweep_tests(jobs)
    assert found["trials"].count == 40 and "; by the ledger" in found["trials"].source
    assert found["skill"].dsr < found["skill"].psr


def test_a_single_row_has_no_statistics_and_a_page(tmp_path: Path) -> None:
    comparison = compare_runs([make_run(tmp_path / "a", seeds=(0, 1))])
    assert comparison.statistics is None and comparison.sweep == {}
    page = comparison_page(comparison, table_cells(comparison))
    assert 'id="intervals"' in page and 'id="standings"' not in page
    assert sentences(comparison) == []


# ---------------------------------------------------------------------- what is said first
def test_what_makes_runs_incomparable_is_said(tmp_path: Path) -> None:
    one = make_run(tmp_path / "a", env={"execution": "next_close", "delay": 0})
    other = make_run(
        tmp_path / "b", bps=20.0, fingerprint="e" * 64, env={"execution": "same_close", "delay": 0}
    )
    said = " | ".join(compare_runs([one, other]).notes)
    assert "the data differ" in said and "eeeeeeeeeeee: b" in said and "ffffffffffff: a" in said
    assert "the costs differ (cost.commission_bps)" in said
    assert "orders are executed differently (env.execution)" in said
    same = " | ".join(compare_runs([one]).notes)
    assert not any(word in same for word in ("data differ", "costs differ", "executed"))


def test_a_trajectory_without_a_number_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path / "a", seeds=(0, 1))
    paths = load_trajectories(run / "trajectories.h5")
    paths["ppo"][1].net_return[7] = np.nan
    save_trajectories(run / "trajectories.h5", paths)
    assert compare.main([str(run), "--out", str(tmp_path / "out")]) == 2
    message = capsys.readouterr().err
    assert f"{run}: ppo (seed 1): net_return is nan at step 7" in message
    assert not (tmp_path / "out").exists()


def test_known_answers_are_a_column(tmp_path: Path) -> None:
    runs = [
        make_run(tmp_path / "a", seeds=(0, 1), known=[0.5, 0.75]),
        make_run(tmp_path / "b", rate=1.0),
    ]
    comparison = compare_runs(runs)
    heads, cells = table_cells(comparison)
    column = heads.index("Known answer")
    assert [line[column] for line in cells] == ["0.625 [0.500, 0.750]", "—"]
    compare.write_comparison(comparison, tmp_path)
    assert [line["known_answer"] for line in lines(tmp_path)] == ["0.625", ""]
    (runs[0] / "known_answer.json").write_text("{")
    assert compare.main([str(runs[0])]) == 2


# ---------------------------------------------------------------------- parallel coordinates
def test_axes_place_numbers_by_size_and_names_at_equal_distances() -> None:
    rates = axis("rate", [1e-4, 1e-2, 1e-3, 1e-3])
    assert rates.places == pytest.approx([0.0, 1.0, 0.5, 0.5])  # decades
    assert [text for _, text in rates.ticks] == ["0.0001", "0.001", "0.01"]
    sizes = axis("size", [0, 2, 8])
    assert sizes.places == pytest.approx([0.0, 0.25, 1.0])  # a zero has no logarithm
    names = axis("agent", ["a.PPO", "a.DDPG", None, "a.PPO"], "agent._target_")
    assert names.places == pytest.approx([0.0, 0.5, 1.0, 0.0])
    assert [text for _, text in names.ticks] == ["PPO", "DDPG", "—"]
    flags = axis("flag", [True, False])
    assert [text for _, text in flags.ticks] == ["True", "False"]


def test_rows_at_one_place_are_drawn_beside_each_other() -> None:
    places = beside(np.array([0.5, 0.5, 0.0, 0.5]), [3, 0, 2, 1])
    assert places[2] == 0.0 and len(set(places)) == 4
    assert places[3] < places[0] < places[1] and places[[0, 1, 3]].mean() == pytest.approx(0.5)


def test_settings_that_go_together_are_one_axis(tmp_path: Path) -> None:
    configs = [
        {"agent._target_": "PPO", "agent.clip": 0.2, "cost.bps": 1, "env.window": 5},
        {"agent._target_": "DDPG", "agent.tau": 0.1, "cost.bps": 1, "env.window": 5},
        {"agent._target_": "PPO", "agent.clip": 0.2, "cost.bps": 9, "env.window": 5},
    ]
    assert independent(configs) == ["agent._target_", "cost.bps"]
    runs = [make_run(tmp_path / str(k), rate=10.0**-k, bps=1.0 + k // 2) for k in range(4)]
    comparison = compare_runs(runs)
    axes, kept, left_out = axes_of(comparison.rows, "sharpe")
    assert [one.name for one in axes] == ["commission_bps", "learning_rate", "Sharpe"]
    assert kept == [0, 1, 2, 3] and left_out == []
    values = [r.evidence.strategies["ppo"].metrics["sharpe"].value for r in comparison.rows]
    assert np.argsort(axes[-1].places).tolist() == np.argsort(values).tolist()


def test_nothing_that_differs_is_no_figure(tmp_path: Path) -> None:
    rows = read_rows([make_run(tmp_path / str(k)) for k in range(3)])
    assert axes_of([replace(row, config={}) for row in rows], "sharpe")[0] == []
    page = comparison_page(Comparison(rows), table_cells(Comparison(rows)))
    assert 'id="settings"' not in page
