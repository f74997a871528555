"""What trackers get at the end of a run: the report's own tables and figures."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest

from experiments import pipeline
from experiments.evaluation.evidence import Evidence
from experiments.reports.style import figure_html, noted_figures
from experiments.run_folder import open_run_folder
from experiments.tracked import final_numbers, report_tables
from tests.wandb_files import finished, rows


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small run that W&B, offline, and TensorBoard would show."""
    from hydra import compose, initialize_config_module

    folder = open_run_folder(tmp_path_factory.mktemp("runs") / "one")
    given = [
        "+exp=smoke", "n_seeds=2", "agent.total_steps=2048", "agent.evaluations=1",
        "tracking=wandb", "ledger=null",
    ]  # fmt: skip
    with (
        pytest.MonkeyPatch.context() as patch,
        initialize_config_module("hydra_conf", version_base="1.3"),
    ):
        patch.setenv("WANDB_MODE", "offline")
        pipeline.run(compose("config", given), folder)
    return folder


def table(folder: Path, name: str) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / "tables" / f"{name}.csv").open()))


@pytest.mark.slow
def test_the_figures_are_those_of_the_report(run: Path) -> None:
    shown = re.findall(r'<figure id="([^"]+)"', (run / "report.html").read_text())
    images = {path.stem for path in (run / "figures").glob("*.png")}
    assert images == {name.replace("-", "_") for name in shown} and len(images) >= 10
    (file,) = (run / "wandb").glob("offline-run-*/*.wandb")
    kinds = {
        key.removesuffix("._type"): kind
        for row in rows(finished(file))
        for key, kind in row.items()
        if key.endswith("._type")
    }
    assert {key for key, kind in kinds.items() if kind == "image-file"} == {
        f"figures/{name}" for name in images
    }
    tables = {f"tables/{path.stem}" for path in (run / "tables").glob("*.csv")} - {"tables/summary"}
    assert {key for key, kind in kinds.items() if kind == "table-file"} == tables


@pytest.mark.slow
def test_the_tables_hold_the_evidence(run: Path) -> None:
    evidence = Evidence.read(run / "metrics.json")
    by_name = {line["strategy"]: line for line in table(run, "metrics")}
    assert list(by_name) == list(evidence.strategies)
    sharpe = evidence.strategies["ppo"].metrics["sharpe"]
    found = [float(by_name["ppo"][f"sharpe{end}"]) for end in ("", "_low", "_high", "_iqm")]
    assert found == [sharpe.value, sharpe.low, sharpe.high, sharpe.iqm]
    assert by_name["equal_weight"]["sharpe_iqm"] == ""
    pairs = table(run, "differences")
    assert len(pairs) == len(evidence.differences)
    assert float(pairs[0]["p_holm"]) == evidence.differences[0].p_holm
    analysis = json.loads((run / "analysis.json").read_text())
    paid = [line for line in table(run, "attribution") if line["strategy"] == "ppo"]
    parts = {line["part"]: float(line["log growth a year"]) for line in paid}
    total = parts.pop("total")
    assert total == analysis["attribution"]["strategies"]["ppo"]["total"]
    assert sum(parts.values()) == pytest.approx(total, abs=1e-12)
    for name in ("costs", "delays", "break_even", "regimes", "years", "skill", "alpha", "tests"):
        assert table(run, name), name
    growth = evidence.strategies["equal_weight"].metrics["cagr"].value
    costs = next(line for line in table(run, "costs") if line["strategy"] == "equal_weight")
    assert float(costs["cagr at 1x"]) == pytest.approx(growth, abs=1e-9)
    summary = {line["name"]: float(line["value"]) for line in table(run, "summary")}
    assert summary == final_numbers(evidence)
    assert summary["test/ppo/sharpe"] == sharpe.value and "test/ppo/dsr" in summary


def test_without_an_analysis_there_are_the_tables_of_the_evidence() -> None:
    evidence = Evidence({}, {}, {}, [], tests={"pbo": {"reason": "too few steps"}})
    assert report_tables(evidence, {}) == {
        "tests": (["test", "figure", "value"], [["pbo", "reason", "too few steps"]])
    }


def test_figures_are_noted_while_asked_for() -> None:
    def draw(fig, narrow):
        fig.subplots().plot([1, 2])

    with noted_figures() as notes:
        figure_html("a", draw, (200, 100), "", "")
        with noted_figures() as inner:
            figure_html("b", draw, (300, 100), "", "")
    figure_html("c", draw, (200, 100), "", "")
    assert {key: note.height for key, note in notes.items()} == {"a": 200, "b": 300}
    assert list(inner) == ["b"] and notes["a"].draw is draw
