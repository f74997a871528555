"""Whole runs and the ledger: what they leave there, repeat and go on with."""

from __future__ import annotations

import json

import pytest
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

from envs.errors import InputError
from experiments import hash_chain, ledger, pipeline
from experiments.evaluation.evidence import Evidence
from experiments.reproduce import main as reproduce
from experiments.trials import NO_LEDGER

QUICK = [
    "data=synthetic", "data.n_rows=700", "evaluation.n_bootstrap=20",
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
    assert [t["count"] for t in told] == [1, 2, 2]
    assert told[0]["sharpe_variance"] is None
    assert told[1]["sharpe_variance"] == pytest.approx(told[2]["sharpe_variance"], rel=1e-12)
    report = (runs / "again" / "report.html").read_text()
    assert "read by 3 runs with 2 different configurations" in report


def test_a_run_is_repeated_with_its_own_trials_and_leaves_none(runs, capsys):
    before = lines(runs)
    # There was one trial then, and there are two now.
    assert reproduce([str(runs / "one")]) == 0
    assert "identical" in capsys.readouterr().out
    assert lines(runs) == before


def test_without_a_ledger_the_report_says_so(tmp_path, capsys):
    pipeline.run(config("ledger=null"), tmp_path / "run")
    assert NO_LEDGER in capsys.readouterr().out
    assert (
        "how often this test window was read before is not"
        in (tmp_path / "run" / "report.html").read_text()
    )
    assert Evidence.read(tmp_path / "run" / "metrics.json").trials["count"] == 1
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
