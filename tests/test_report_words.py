"""What the report says in words is so, and every figure and table shows what is said of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from experiments.evaluation.evidence import evaluate
from experiments.reports.html import table
from experiments.reports.luck import chance, listed
from experiments.reports.report import write_report
from experiments.reports.summary import sureness
from tests import test_report
from tests.test_report import part_of, write
from tests.trajectories import example_run, simulate

analysed = test_report.analysed


def test_several_windows_are_said_to_be_traded_by_agents_of_the_days_before(
    analysed: tuple[str, Any, Any],
) -> None:
    page = analysed[0]
    lead = page[page.index('class="lead"') : page.index('class="cards"')]
    assert "in 2 consecutive windows" in lead and "none of which" not in lead
    assert "each by agents that were trained and chosen on days before it, at costs" in lead
    ran = part_of(page, "run")
    assert "those of a later one may learn from rows on which those of an earlier" in ran


def test_the_luck_of_the_search_is_said_beside_what_equal_weight_has(
    analysed: tuple[str, Any, Any],
) -> None:
    page, evidence, _ = analysed
    psr = evidence.strategies["equal_weight"].skill.psr
    lead = page[page.index('class="lead"') : page.index('class="cards"')].replace("&nbsp;", " ")
    assert "a Sharpe ratio (against cash) beyond the luck of the search is: PPO" in lead
    assert f"; that of equal weight, without trials: {chance(psr)}." in lead
    alone = replace(evidence, strategies={"ppo": evidence.strategies["ppo"]}, differences=[])
    assert "equal weight" not in sureness(alone)[-1]


def test_an_untrained_network_is_called_so(tmp_path: Path) -> None:
    run = {n: [simulate(n, seed=s, n=60, activity=0.5) for s in (0, 1)] for n in ("ppo", "ddpg")}
    run["equal_weight"] = [simulate("equal_weight", n=60)]
    never, later = {"validation": [-0.1, -0.2, -0.3]}, {"validation": [-0.3, -0.2, -0.1]}
    steps = {"steps": [0, 100, 200]}
    curves = {
        "ppo/0, window 1": steps | never, "ppo/0, window 2": steps | later,
        "ppo/1, window 1": steps | never, "ppo/1, window 2": steps | later,
        # No update before learning_starts, whose score lasts until then.
        "ddpg/0": {"steps": [100, 200, 300], "validation": [-0.1, -0.1, -0.2]},
        "ddpg/1": {"steps": [100, 200, 300], "validation": [-0.1, -0.1, 0.0]},
    }  # fmt: skip
    config = "agents:\n  ddpg:\n    learning_starts: 250\n  ppo: {keep: best}\n"
    page = write(tmp_path / "r.html", run, learning_curves=curves, config_yaml=config)
    lead = page[page.index('class="lead"') : page.index('class="cards"')]
    assert "PPO: in 2 of 4 trainings the network that is tested is the untrained one" in lead
    assert "DDPG: in 1 of 2 trainings" in lead
    text = part_of(page, "training")
    assert "PPO, seed 0, window 1: chosen at step 0 of 200, the untrained network<" in text
    assert "PPO, seed 0, window 2: chosen at step 200 of 200<" in text
    assert "DDPG, seed 0: chosen at step 100 of 300, the untrained network<" in text
    assert "DDPG, seed 1: chosen at step 300 of 300<" in text
    assert "One line a seed and window." in text
    last = write(
        tmp_path / "l.html", run, learning_curves=curves, config_yaml=config.replace("best", "last")
    )
    text = part_of(last, "training")
    assert "PPO, seed 0, window 1: kept at step 200 of 200<" in text
    assert "validation (PPO: with the one at the end of training); the test window" in text
    assert "PPO: in" not in last[: last.index('class="cards"')]


def test_every_bar_of_the_delays_has_its_number(analysed: tuple[str, Any, Any]) -> None:
    html, found = part_of(analysed[0], "robustness"), analysed[2]["robustness"]
    wide = html[html.index('<figure id="delays">') :].split('<div class="narrow">')[0]
    for strategy in found["strategies"].values():
        for seeds in strategy["delays"]:
            assert f">{np.mean(seeds) * 100:.1f}<".replace("-", "−") in wide


def test_every_strategy_of_a_test_is_named() -> None:
    names = [f"strategy_{k}" for k in range(15)]
    assert all(f"strategy {k}" in listed(names) for k in range(15))


def test_what_is_written_below_a_figure_is_in_it(tmp_path: Path) -> None:
    run = example_run(n=60, seeds=(0, 1))
    page = write(tmp_path / "r.html", run)
    exposure = page[page.index('<figure id="exposure">') : page.index('<figure id="trading">')]
    assert "Gross" not in exposure
    fan = page[page.index('<figure id="fan">') : page.index('<figure id="weights">')]
    end = np.median([t.value[-1] for t in run["ppo"]])
    narrow = fan[fan.index('<div class="narrow">') :]
    assert f"wealth (log scale): ends at {end:.2f}" in narrow
    assert "of 2 seeds: wealth (log scale)<" in fan
    trading = page[page.index('<figure id="trading">') :].split("</figure>")[0]
    assert "may pass 100 %" in trading
    path = tmp_path / "t.html"
    write_report(
        path, title="t", evidence=evaluate(run, agents=[], baselines=["equal_weight"]),
        trajectories=run, provenance={}, config_yaml="", splits={"test": ("2015-01-05", "2016")},
    )  # fmt: skip
    assert "left out" not in part_of(path.read_text(), "run")


def test_a_wide_table_says_on_a_phone_that_it_goes_on() -> None:
    cells = ["<td>1</td>"] * 12
    for count, hint in ((5, False), (6, True)):
        html = table(["head"] * count, [("row", cells[1:count])], "name")
        assert ("Scroll sideways" in html) is hint
        assert '<div class="scroll"' in html
