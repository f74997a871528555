"""The tables of a finished run once more: what stands before them, and folders that are broken."""

from __future__ import annotations

import copy
import functools
import json
import operator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments import show
from experiments.evaluation.evidence import evaluate
from experiments.evaluation.skill import Skill, Trials
from experiments.evaluation.trajectory_store import save_trajectories
from experiments.reports.luck import search_in_words
from experiments.run_folder import write_json
from tests.trajectories import simulate

FACTS = {
    "command": "python -m experiments.run", "started": "2026-11-21T09:10:35+00:00", "seconds": 61.4,
    "git": {"commit": "0123456789abcdef", "dirty": False},
    "machine": {
        "python": "3", "platform": "Linux", "processor": "a processor", "cpu_count": 2,
    },
    "data": {"name": "panel", "fingerprint": "abc"}, "packages": {"numpy": "2.0"},
}  # fmt: skip
KNOWN = {
    "agent": "ppo", "market": "Merton", "n_paths": 2048, "n_steps": 252, "optimum": 0.08,
    "equal_weight": 0.05, "policies": {"0": {"score": 0.9}, "1": {"score": 0.8}},
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    paths = {
        "ppo": [simulate("ppo", seed=seed, activity=0.5) for seed in (0, 1)],
        "equal_weight": [simulate("equal_weight")],
    }
    trials = Trials(12, 0.2, "12 by the ledger")
    evidence = evaluate(
        paths, baselines=["equal_weight"], agents=["ppo"], n_bootstrap=50, trials=trials
    )
    evidence.write(tmp_path / "metrics.json")
    write_json(tmp_path / "provenance.json", FACTS)
    return tmp_path


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert show.main(list(arguments)) == 0
    return " ".join(capsys.readouterr().out.split())


def test_trials_and_skill_stand_before_the_tables(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "140")
    text = shown(capsys, str(folder))
    assert "Deflated for 12 trials" in text
    assert "Known answer" not in text
    assert "p (Holm)" in text and text.index("(PSR)") < text.index("Out of sample")
    assert "Deflated for 12 trials" in shown(capsys, str(folder), "--markdown")


def test_a_score_against_a_known_answer_is_said_first(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_json(folder / "known_answer.json", KNOWN)
    words = "Known answer (Merton): PPO scores 0.850 (0.800 to 0.900)"
    assert shown(capsys, str(folder)).startswith(words)
    assert shown(capsys, str(folder), "--markdown").startswith(words)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("metrics.json", '{"format": 1}', "format 1, this version reads 3"),
        ("known_answer.json", "{", "cannot be read"),
        ("known_answer.json", '{"agent": "ppo"}', "cannot be read (KeyError"),
    ],
)
def test_a_broken_file_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str], name: str, text: str, words: str
) -> None:
    (folder / name).write_text(text)
    assert show.main([str(folder)]) == 2
    message = capsys.readouterr().err
    assert message.startswith("error: ") and name in message and words in message


def test_markdown_needs_to_know_where_it_comes_from(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "provenance.json").write_text(json.dumps({"command": "x"}))
    assert show.main([str(folder), "--markdown"]) == 2
    message = capsys.readouterr().err
    assert "provenance.json: started: Field required" in message


def places(tree: Any, way: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The ways to every value of a JSON tree."""
    found = [way] if way else []
    for key in (
        tree if isinstance(tree, dict) else range(len(tree) if isinstance(tree, list) else 0)
    ):
        found += places(tree[key], (*way, key))
    return found


@pytest.mark.parametrize("name", ["metrics.json", "provenance.json"])
def test_a_value_of_another_kind_anywhere_is_refused_by_name(
    folder: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """Each value in turn becomes text, number, list, nothing or goes away: an answer or an error
    that names the file, never a traceback."""
    raw = json.loads((folder / name).read_text())
    cases = [(way, k) for way in places(raw) for k in range(5)]
    refused = 0
    # A prime step: in a large file every kind of change still meets every kind of entry.
    for way, k in cases[:: 1 if len(cases) < 150 else 37]:
        changed = copy.deepcopy(raw)
        parent = functools.reduce(operator.getitem, way[:-1], changed)
        if k == 4 and isinstance(parent, dict):
            del parent[way[-1]]
        else:
            parent[way[-1]] = ("many", 1e300, [], None, {})[k]
        (folder / name).write_text(json.dumps(changed))
        status = show.main([str(folder), "--markdown"])
        message = capsys.readouterr().err
        assert status == 0 or (status == 2 and name in message), way
        refused += status == 2
    assert refused > 20


@pytest.mark.parametrize(
    ("psr", "dsr", "said"),
    [
        (
            0.904,
            0.897,
            "hardly less than the 90.4 % without counting them: the record is too short",
        ),
        (0.30, 0.29, "hardly less than the 30.0 % without counting them."),
        (0.98, 0.60, "so the search itself may explain it."),
        (0.90, 0.60, "both the short record and the search leave room for luck."),
        (0.99, 0.97, "has a probability of 97.0 % (DSR)."),
    ],
)
def test_the_reason_that_matters_is_named(psr: float, dsr: float, said: str) -> None:
    skill = Skill(0.03, 0.0, 3.0, 500, psr, dsr, 0.05 / 252**0.5, 100.0)
    words = search_in_words(skill, Trials(3, 0.0036, "three"), 252.0)
    assert words.endswith(said) or said in words
    assert "standard deviation of 0.06) were all luck, the best of them would show 0.05" in words


def test_gross_is_what_the_same_trades_earned_without_their_costs(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = {
        "ppo": [simulate("ppo", seed=seed, activity=0.5) for seed in (0, 1)],
        "equal_weight": [simulate("equal_weight")],
    }
    save_trajectories(folder / "trajectories.h5", paths)
    found = show.before_costs(show.Evidence.read(folder / "metrics.json"), paths)
    for name, each in paths.items():
        growth = [np.prod(1.0 + t.gross_return) ** (252 / len(t.gross_return)) - 1 for t in each]
        assert found.strategies[name].metrics["cagr"].value == pytest.approx(np.mean(growth))
        assert found.strategies[name].metrics["cost"].value == 0.0
    text = shown(capsys, str(folder), "--gross", "--markdown")
    assert text.startswith("Before costs:") and "after costs" not in text
