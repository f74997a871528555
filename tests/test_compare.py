"""Comparison of finished runs: what differs, the numbers, and folders that cannot be used."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from experiments import compare
from experiments.comparing.comparison import compare_runs
from experiments.comparing.folders import NEEDED, expand
from experiments.comparing.rows import read_rows
from experiments.comparing.tables import table_cells
from experiments.evaluation.evidence import evaluate
from experiments.evaluation.trajectory_store import save_trajectories
from tests.trajectories import example_run, simulate


def make_run(folder: Path, seed: int = 0, bps: float = 5.0, agent: bool = True) -> Path:
    folder.mkdir(parents=True)
    run = example_run(n=120, seeds=(seed, seed + 1))
    if not agent:
        del run["ppo"]
    agents = ["ppo"] if agent else []
    baselines = [name for name in run if name not in ("ppo", "benchmark")]
    evaluate(run, agents=agents, baselines=baselines, n_bootstrap=40).write(folder / "metrics.json")
    save_trajectories(folder / "trajectories.h5", run)
    config = {"seed": seed, "cost": {"commission_bps": bps}, "env": {"window": 1}}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return folder


def test_one_row_an_agent_with_what_differs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [make_run(tmp_path / "a"), make_run(tmp_path / "b", seed=4, bps=10.0)]
    out = tmp_path / "out"
    assert compare.main([*map(str, runs), "--out", str(out)]) == 0
    assert str(out / "compare.html") in capsys.readouterr().out
    lines = list(csv.DictReader((out / "compare.csv").open()))
    assert [line["run"] for line in lines] == ["a", "b"]
    assert [line["cost.commission_bps"] for line in lines] == ["5.0", "10.0"]
    assert "env.window" not in lines[0]
    rows = compare_runs(runs, aggregate=False).rows
    expected = rows[1].evidence.strategies["ppo"].metrics["sharpe"]
    assert float(lines[1]["sharpe"]) == expected.value
    assert float(lines[1]["sharpe_low"]) == expected.low
    difference = rows[1].evidence.difference("ppo", "equal_weight", "cagr")
    assert difference is not None
    assert float(lines[1]["cagr_less_equal_weight"]) == difference.value
    page = (out / "compare.html").read_text()
    assert "<script" not in page and "http-equiv" in page and 'id="wealth"' in page
    assert "commission_bps 10.0" in page
    first = (out / "compare.html").read_bytes()
    assert compare.main([*map(str, runs), "--out", str(out)]) == 0
    assert (out / "compare.html").read_bytes() == first


def test_a_multirun_folder_stands_for_its_jobs_in_order(tmp_path: Path) -> None:
    for job in (10, 2, 0):
        make_run(tmp_path / "multi" / str(job), seed=job)
    (tmp_path / "multi" / "0" / ".hydra").mkdir()
    (tmp_path / "multi" / "0" / ".hydra" / "config.yaml").write_text("seed: 0\n")
    (tmp_path / "multi" / "multirun.yaml").write_text("x: 1\n")
    jobs, notes = expand([tmp_path / "multi", tmp_path / "multi" / "2"])
    assert notes == []
    assert [job.name for job in jobs] == ["0", "2", "10"]
    assert [row.special for row in read_rows(jobs)] == ["seed 0", "seed 2", "seed 10"]


def test_a_run_without_an_agent_shows_its_equal_weight(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / "a"), make_run(tmp_path / "b", agent=False)]
    comparison = compare_runs(runs)
    rows = comparison.rows
    assert [row.strategy for row in rows] == ["ppo", "equal_weight"]
    assert rows[1].less_reference is None
    compare.write_comparison(comparison, tmp_path)
    assert (tmp_path / "compare.html").stat().st_size > 10_000


def test_unfinished_jobs_of_a_multirun_are_left_out_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    multi = tmp_path / "multi"
    for job in range(3):
        make_run(multi / str(job), seed=job)
    (multi / "1" / "metrics.json").unlink()
    (multi / "3" / ".hydra").mkdir(parents=True)
    (multi / "3" / ".hydra" / "config.yaml").write_text("seed: 3\n")
    assert compare.main([str(multi), "--out", str(tmp_path / "out")]) == 0
    words = "2 of 4 jobs did not finish and are left out: 1, 3"
    assert words in " ".join(capsys.readouterr().out.split())
    assert words in (tmp_path / "out" / "compare.html").read_text()
    lines = list(csv.DictReader((tmp_path / "out" / "compare.csv").open()))
    assert [line["run"] for line in lines] == ["0, 2"]
    for named in ([str(multi / "1")], [str(multi), str(multi / "1")]):
        assert compare.main([*named, "--out", str(tmp_path / "out")]) == 2
        assert "metrics.json missing, so the run did not finish" in capsys.readouterr().err
    for job in (0, 2):
        (multi / str(job) / "metrics.json").unlink()
    assert compare.main([str(multi), "--out", str(tmp_path / "out")]) == 2
    assert "nor did another of the 4" in capsys.readouterr().err


def test_where_much_differs_the_most_telling_settings_come_first(tmp_path: Path) -> None:
    rows = read_rows([make_run(tmp_path / "a"), make_run(tmp_path / "b")])
    config = {
        "features.names": ["x"],
        "agent.gamma": 0.9,
        "agent.tau": None,
        "cost.commission_bps": 5.0,
        "agent._target_": "agents.sb3.PPO",
        "seed": 3,
        "name": "ppo_portfolio",
    }
    row = replace(rows[0], config=config)
    words = "name ppo_portfolio, agent PPO, seed 3, commission_bps 5.0 and 3 more"
    assert row.special == words


def test_growth_less_equal_weight_is_in_points(tmp_path: Path) -> None:
    heads, cells = table_cells(compare_runs([make_run(tmp_path / "a")]))
    cell = cells[0][heads.index("CAGR less equal weight, points")]
    assert cell[0] in "+−" and "%" not in cell and "[" in cell


def test_different_windows_are_said(tmp_path: Path) -> None:
    one, two = make_run(tmp_path / "a"), make_run(tmp_path / "b")
    run = {"equal_weight": [simulate("equal_weight", n=90)]}
    evaluate(run, agents=[], baselines=["equal_weight"], n_bootstrap=40).write(two / "metrics.json")
    save_trajectories(two / "trajectories.h5", run)
    assert any("test windows differ" in w for w in compare_runs([one, two]).notes)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("no folder", "no such folder"),
        ("empty", "not the folder of a run"),
        ("trajectories.h5", "trajectories.h5 missing"),
        ("metrics.json", "metrics.json missing"),
        ("format", "format 0, this version reads 3"),
        (
            "yaml",
            "config.yaml cannot be read: expected ',' or ']', but got '<stream end>' in line 1; ",
        ),
        ("truncated", "truncated"),
    ],
)
def test_a_folder_that_cannot_be_used_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: str, words: str
) -> None:
    folder = tmp_path / "run"
    if damage == "empty":
        folder.mkdir()
    elif damage != "no folder":
        make_run(folder)
    if damage in NEEDED:
        (folder / damage).unlink()
    elif damage == "format":
        (folder / "metrics.json").write_text('{"format": 0}')
    elif damage == "yaml":
        (folder / "config.yaml").write_text("a: [1")
    elif damage == "truncated":
        (folder / "trajectories.h5").write_bytes(b"\x89HDF")
    assert compare.main([str(folder), "--out", str(tmp_path / "out")]) == 2
    message = capsys.readouterr().err
    assert message.startswith("error: ") and words in message and str(folder) in message
    assert not (tmp_path / "out").exists()
