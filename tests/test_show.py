"""The tables of a finished run once more: what stands before them, and folders that are broken."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from experiments import show
from experiments.evaluation.evidence import evaluate
from experiments.evaluation.skill import Skill, Trials
from experiments.reports.luck import search_in_words
from experiments.run_folder import write_json
from tests.trajectories import simulate

FACTS = {
    "command": "python -m experiments.run", "started": "2026-11-21T09:10:35+00:00", "seconds": 61.4,
    "git": {"commit": "0123456789abcdef", "dirty": False},
    "machine": {"processor": "a processor", "cpu_count": 2},
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
        ("metrics.json", '{"format": 1}', "format 1, this version reads 2"),
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
    assert "has no entry 'git'" in capsys.readouterr().err


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
