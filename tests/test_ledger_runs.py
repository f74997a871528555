"""Whole runs and the ledger: what they leave there, repeat and go on with."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

from envs.errors import InputError
from experiments import hash_chain, ledger, pipeline
from experiments.evaluation.evidence import Evidence
from experiments.reproduce import main as reproduce
from experiments.trials import NO_LEDGER

ROOT = Path(__file__).resolve().parents[1]
QUICK = [
    "data=synthetic", "data.n_rows=700", "evaluation.n_bootstrap=40",
    "~evaluation.baselines.minimum_variance", "~evaluation.baselines.maximum_sharpe",
    "~evaluation.baselines.risk_parity", "~evaluation.baselines.hierarchical_risk_parity",
]  # fmt: skip
AGENT = [
    "agent=ppo", "agent.total_steps=512", "agent.num_envs=16", "agent.n_steps=16",
    "agent.batch_size=64", "agent.evaluations=1", "env.episode_length=63",
]  # fmt: skip


def config(*overrides):
    with initialize_config_module("hydra_conf", version_base="1.3"):
        return compose("config", [*QUICK, *overrides])


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Three runs with one ledger: two agents, and the first of them once more."""
    folder = tmp_path_factory.mktemp("runs")
    path = folder / "ledger.jsonl"
    for name, seed in (("one", 0), ("two", 1), ("again", 0)):
        pipeline.run(config(*AGENT, f"ledger={path}", f"seed={seed}"), folder / name)
    return folder


def lines(folder):
    return hash_chain.read(folder / "ledger.jsonl").lines


def test_every_run_is_in_the_ledger(runs):
    found = list(ledger.runs(lines(runs)).values())
    assert [run.outcome for run in found] == ["finished"] * 3
    assert found[0].agents == found[2].agents != found[1].agents
    for run, name in zip(found, ("one", "two", "again"), strict=True):
        note = json.loads((runs / name / "trial.json").read_text())
        assert note["run"] == run.begun["run"] and note["config"] == run.config
        provenance = json.loads((runs / name / "provenance.json").read_text())
        assert run.data == provenance["data"]
        evidence = Evidence.read(runs / name / "metrics.json")
        assert set(run.strategies) == set(evidence.strategies)
        skill = evidence.strategies["ppo"].skill
        assert run.strategies["ppo"]["sharpe"] == skill.sharpe
        assert run.windows[0][1] == evidence.window["last"]


def test_the_deflated_sharpe_ratio_has_the_trials_of_the_ledger(runs):
    told = [Evidence.read(runs / n / "metrics.json").trials for n in ("one", "two", "again")]
    assert [t.count for t in told] == [1, 2, 2]
    assert told[0].sharpe_variance is None
    assert told[1].sharpe_variance == pytest.approx(told[2].sharpe_variance, rel=1e-12)
    report = (runs / "again" / "report.html").read_text()
    assert "read by 3 runs with 2 different configurations" in report


def test_a_run_is_repeated_with_its_own_trials_and_leaves_none(runs, capsys):
    before = lines(runs)
    # There was one trial then, and there are two now.
    assert reproduce([str(runs / "one")]) == 0
    printed = capsys.readouterr().out
    assert "identical" in printed and "ledger" not in printed and "report.html" not in printed
    assert lines(runs) == before


def test_without_a_ledger_the_report_says_so(tmp_path, capsys):
    pipeline.run(config("ledger=null"), tmp_path / "run")
    assert NO_LEDGER in capsys.readouterr().out
    assert (
        "how often this test window was read before is not"
        in (tmp_path / "run" / "report.html").read_text()
    )
    assert Evidence.read(tmp_path / "run" / "metrics.json").trials.count == 1
    assert not (tmp_path / "run" / "trial.json").exists()
    # The configuration of a run that was made before there was a ledger.
    cfg = OmegaConf.load(tmp_path / "run" / "config.yaml")
    del cfg["ledger"]
    pipeline.run(cfg, tmp_path / "old")


def test_a_run_that_is_refused_is_in_the_ledger(tmp_path):
    path = tmp_path / "ledger.jsonl"
    with pytest.raises(InputError, match="softmaks"):
        pipeline.run(config(f"ledger={path}", "env.action=softmaks"), tmp_path / "run")
    (run,) = ledger.runs(hash_chain.read(path).lines).values()
    assert run.outcome == "refused" and "softmaks" in run.reason
    assert not run.windows


def test_costs_of_published_comparisons_are_remarked_on(tmp_path):
    for execution, said in (("same_close", False), ("next_close", True)):
        folder = tmp_path / execution
        pipeline.run(config("cost=literature", f"env.execution={execution}"), folder)
        assert ("do not compare with theirs" in (folder / "report.html").read_text()) == said


@pytest.mark.slow
def test_a_killed_run_goes_on_as_the_same_trial_to_the_same_numbers(tmp_path):
    """kill -9 in the training of the second seed, resume=RUN_DIR; then a sweep of two jobs."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TRADEWIND_LEDGER": "ledger.jsonl"}

    def start(*arguments):
        words = [sys.executable, "-m", "experiments.run", *arguments]
        return subprocess.Popen(
            words, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True
        )

    settings = [*QUICK, *AGENT, "n_seeds=2", "agent.total_steps=8192", "agent.evaluations=8"]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    process = start(*settings, f"hydra.run.dir={whole}")
    printed = process.communicate(timeout=300)[0]
    assert process.returncode == 0 and "read by 1 run with 1 different" in printed
    process = start(*settings, f"hydra.run.dir={broken}")
    deadline = time.monotonic() + 200
    checkpoint = broken / "agents" / "ppo" / "seed_1" / "checkpoint.safetensors"
    while not checkpoint.exists() and time.monotonic() < deadline:
        assert process.poll() is None, "the run ended before it could be killed"
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    outcomes = [run.outcome for run in ledger.runs(lines(tmp_path)).values()]
    assert outcomes == ["finished", ledger.KILLED]
    process = start(f"resume={broken}")
    printed = process.communicate(timeout=300)[0]
    assert process.returncode == 0 and "read by 2 runs with 1 different" in printed
    outcomes = [run.outcome for run in ledger.runs(lines(tmp_path)).values()]
    assert outcomes == ["finished", "finished"]
    assert (broken / "metrics.json").read_bytes() == (whole / "metrics.json").read_bytes()
    process = start("-m", *settings, "seed=1,2", "agent.total_steps=512", "agent.evaluations=1")
    process.communicate(timeout=300)
    assert process.returncode == 0
    found = list(ledger.runs(lines(tmp_path)).values())[2:]
    assert [run.begun["seed"] for run in found] == [1, 2]
    for run in found:
        assert f"seed={run.begun['seed']}" in run.begun["overrides"]
