"""The leaderboard's page says what its evidence says, and a finished market is not run again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from envs.errors import InputError
from experiments import batch, leaderboard
from experiments.cli import checked
from experiments.evaluation.evidence import evaluate
from experiments.reports.leaderboard import page, ranked
from tests.trajectories import simulate

FACTS = {
    "git": {"commit": "0123456789abcdef", "dirty": False},
    "machine": {"processor": "a processor", "cpu_count": 2},
    "started": "2026-11-21T09:10:35+00:00",
    "seconds": 90.0,
    "costs": "commission 5.0 bps",
    "execution": "decided at one close, traded at the next",
}


def test_the_time_is_that_of_all_starts(evidence):
    git = {"commit": "f" * 40, "dirty": False}
    begun = {"started": "2026-11-20T23:00:00+00:00", "git": git}
    earlier = [{**begun, "seconds": None}, {**begun, "seconds": 510.0}]
    text = page({"made": (evidence, {**FACTS, "earlier": earlier})}, {"made": "up"}, small=False)
    assert "commit ffffffffff, 0123456789, 2026-11-20 and 2026-11-21" in text
    assert "10 minutes of runs (1 start cut short not counted)" in text


@pytest.fixture(scope="module")
def evidence():
    paths = {
        # Wandering weights at a cost of 2 % of every trade lose for certain.
        "ppo": [simulate("ppo", seed=s, activity=0.5, rate=0.02) for s in (0, 1)],
        "equal_weight": [simulate("equal_weight", rate=0.001)],
        "free": [simulate("equal_weight", rate=0.0)],
        "best_stock": [simulate("best_stock", rate=0.0)],
    }
    baselines = ["equal_weight", "free", "best_stock"]
    return evaluate(
        paths, baselines=baselines, agents=["ppo"], n_bootstrap=200, hindsight=["best_stock"]
    )


def test_ranks_are_by_sharpe_and_without_hindsight(evidence):
    assert ranked(evidence) == ["free", "equal_weight", "ppo"]


def test_the_page_says_who_wins_and_that_the_agent_lost(evidence):
    text = page({"made": (evidence, FACTS)}, {"made": "made up"}, small=False)
    d = evidence.difference("ppo", "equal_weight", "cagr")
    assert d.verdict == "worse" and d.p_holm <= 0.05 and d.standing == "worse"
    assert "PPO grew faster than equal weight on 0 of 1 markets and slower on 1" in text
    assert "It ranks first on 0." in text
    line = next(line for line in text.splitlines() if line.startswith("| made |"))
    assert "| Free |" in line and "3 of 3" in line
    assert "Best stock †" in text and "commission 5.0 bps" in text and "0123456789" in text
    assert "not results" not in text and "nan" not in text.lower().replace("financ", "")
    assert "no p can be below" not in text
    few = replace(evidence, bootstrap={**evidence.bootstrap, "replications": 19})
    text = page({"made": (few, FACTS)}, {"made": "made up"}, small=False)
    assert "**made: But with 19 resampled histories no p can be below 0.1" in text
    small = page({"made": (evidence, FACTS)}, {"made": "made up"}, small=True)
    assert "these are not results" in small


def test_a_difference_that_only_luck_explains_is_said_to_stand_alone(evidence):
    d = evidence.difference("ppo", "equal_weight", "cagr")
    assert replace(d, p_holm=0.3).standing == "worse if alone"
    assert replace(d, low=-1.0, high=1.0, p_holm=1.0).standing == "unclear"
    assert replace(d, low=None, high=None, p_holm=None).standing == "no interval"


@pytest.mark.parametrize("small", [False, True])
@pytest.mark.parametrize("name", leaderboard.MARKETS)
def test_every_market_composes(name, small):
    checked([leaderboard.RECIPE, *leaderboard.settings(name, small)])


def test_what_cannot_be_run_is_refused(tmp_path, capsys):
    assert leaderboard.main(["sp501"]) == 2
    assert "unknown market 'sp501'; known: futures, crypto, sp500" in capsys.readouterr().err
    assert leaderboard.main(["sp500", "--jobs", "0", "--out", str(tmp_path)]) == 2
    assert "--jobs must be at least 1" in capsys.readouterr().err
    (tmp_path / "sp500").mkdir()
    (tmp_path / "sp500" / "config.yaml").write_text("n_seeds: 5\n")
    with pytest.raises(InputError, match=r"begun with other settings .*choose another --out"):
        leaderboard.run(["sp500"], tmp_path, None, 1, small=True)
    (tmp_path / "gbm").mkdir()
    (tmp_path / "gbm" / "provenance.json").write_text("{}")
    with pytest.raises(InputError, match=r"provenance.json: .*: Field required"):
        leaderboard.read(tmp_path / "gbm")
    (tmp_path / "file").write_text("")
    assert leaderboard.main(["sp500", "--out", str(tmp_path / "file")]) == 2
    assert "choose another with --out FOLDER" in capsys.readouterr().err


def test_a_finished_market_is_not_run_again(tmp_path, monkeypatch, evidence, capsys):
    folder = tmp_path / "gbm"
    folder.mkdir()
    (folder / "report.html").write_text("finished")
    monkeypatch.setattr(leaderboard, "read", lambda path: (evidence, FACTS))
    monkeypatch.setattr(batch.subprocess, "run", lambda *a, **k: pytest.fail("run again"))
    assert leaderboard.run(["gbm"], tmp_path, tmp_path / "page.md", 1, small=False) == 0
    assert "gbm: finished before" in capsys.readouterr().out
    assert (tmp_path / "page.md").read_text().startswith("# Leaderboard")
