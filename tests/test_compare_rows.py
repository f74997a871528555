"""Rows of a comparison: whose settings they carry, what counts once, and what is said of them."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from experiments import compare
from experiments.comparing.comparison import Comparison, compare_runs
from experiments.comparing.configs import own_settings
from experiments.comparing.rows import read_rows
from experiments.comparing.tables import table_cells
from experiments.comparing.words import sentences, sweep_sentences
from experiments.evaluation.evidence import evaluate
from experiments.evaluation.intervals import holm
from experiments.evaluation.trajectory_store import save_trajectories
from experiments.reports import style
from experiments.reports.comparison import comparison_page
from experiments.reports.comparison_figures import shared_reference
from experiments.reports.parallel import axes_of, parallel
from tests.trajectories import simulate

PPO, DDPG = "agents.sb3.PPO", "agents.sb3.DDPG"
SIMULATED = "Simulated prices: nothing here can be predicted."


def make_run(
    folder: Path,
    agents: Mapping[str, dict[str, Any]],
    *,
    drift: Mapping[str, float] | None = None,
    seeds: Sequence[int] = (0,),
    caveats: Sequence[str] = (),
    real_dates: bool = True,
    fingerprint: str = "f" * 64,
    rate: float = 1e-3,
    n: int = 130,
    **config: Any,
) -> Path:
    """A run of several agents, the first under `agent`; each earns its drift beyond its path."""
    folder.mkdir(parents=True)
    paths = {}
    for name in agents:
        runs = [simulate(name, seed=s, n=n, activity=0.3, rate=rate) for s in seeds]
        extra = (drift or {}).get(name, 0.0)
        nets = [t.net_return + extra for t in runs]
        paths[name] = [
            replace(t, net_return=net, value=np.r_[1.0, np.cumprod(1 + net)])
            for t, net in zip(runs, nets, strict=True)
        ]
    paths["equal_weight"] = [simulate("equal_weight", n=n, rate=rate)]
    evidence = evaluate(
        paths, agents=list(agents), baselines=["equal_weight"], n_bootstrap=60,
        real_dates=real_dates, caveats=caveats,
    )  # fmt: skip
    evidence.write(folder / "metrics.json")
    save_trajectories(folder / "trajectories.h5", paths)
    first, *others = agents
    settings = {
        "seed": seeds[0], "cost": {"commission_bps": 1e4 * rate}, "agent": agents[first],
        "agents": {name: agents[name] for name in others}, **config,
    }  # fmt: skip
    (folder / "config.yaml").write_text(yaml.safe_dump(settings))
    facts = {"data": {"name": "panel", "fingerprint": fingerprint}}
    (folder / "provenance.json").write_text(json.dumps(facts))
    return folder


def page_of(comparison: Comparison) -> str:
    return comparison_page(comparison, table_cells(comparison))


def in_print(page: str) -> str:
    """What a reader sees: no tags, no style."""
    return re.sub(r"\s+", " ", re.sub(r"<style>.*?</style>|<[^>]*>", " ", page, flags=re.DOTALL))


# ---------------------------------------------------------------------- settings
def test_a_row_has_the_settings_of_its_own_agent_alone(tmp_path: Path) -> None:
    """A sweep over the second agent: the first one's rows must not show the second one's steps."""
    ppo = {"_target_": PPO, "total_steps": 8192, "clip": 0.2}
    for job, steps in enumerate((4096, 8192)):
        ddpg = {"_target_": DDPG, "total_steps": steps, "tau": 0.1}
        make_run(tmp_path / str(job), {"ppo": ppo, "ddpg": ddpg}, drift={"ddpg": 1e-4 * job})
    rows = read_rows([tmp_path / "0", tmp_path / "1"])
    steps = [row.whole_config["agent.total_steps"] for row in rows]
    assert [row.strategy for row in rows] == ["ppo", "ddpg"] * 2
    assert steps == [8192, 4096, 8192, 8192]
    assert not any(key.startswith("agents") for row in rows for key in row.whole_config)
    assert "agent.clip" not in rows[1].whole_config and "agent.tau" not in rows[0].whole_config
    out = tmp_path / "out"
    assert compare.main([str(tmp_path / "0"), str(tmp_path / "1"), "--out", str(out)]) == 0
    lines = list(csv.DictReader((out / "compare.csv").open()))
    found = {(line["run"], line["strategy"]): line["agent.total_steps"] for line in lines}
    assert found == {("0", "ppo"): "8192", ("0", "ddpg"): "4096", ("1", "ddpg"): "8192"}


def test_two_agents_of_one_run_differ_in_their_settings(tmp_path: Path) -> None:
    one, two = ({"_target_": PPO, "total_steps": steps} for steps in (8192, 4096))
    comparison = compare_runs([make_run(tmp_path / "2026-11-21_18-19", {"ppo": one, "b": two})])
    assert [row.special for row in comparison.rows] == ["total_steps 8192", "total_steps 4096"]
    assert "2026-11-21" not in sentences(comparison)[0]
    assert "nothing" not in [cells[1] for cells in table_cells(comparison)[1]]


def test_strategies_that_are_no_agents_have_no_settings_of_one() -> None:
    config = {"seed": 0, "agent.gamma": 0.9, "agents.b.gamma": 0.5, "agents.b_2.gamma": 0.1}
    assert own_settings(config, None) == {"seed": 0}
    assert own_settings(config, "ppo") == {"seed": 0, "agent.gamma": 0.9}
    assert own_settings(config, "b") == {"seed": 0, "agent.gamma": 0.5}
    assert own_settings({"agents": {}, "agent": None, "x": 1}, None) == {"x": 1}


# ---------------------------------------------------------------------- once
def test_the_same_training_twice_counts_once(tmp_path: Path) -> None:
    """PPO is the same in both jobs: three candidates, three trials, ranks among three."""
    ppo = {"_target_": PPO, "total_steps": 8192}
    for job, steps in enumerate((1, 2)):
        other = {"_target_": PPO, "total_steps": steps}
        make_run(
            tmp_path / str(job), {"ppo": ppo, "b": other}, drift={"b": 1e-3 * job}, seeds=(0, 1)
        )
    for aggregate in (True, False):
        comparison = compare_runs([tmp_path / "0", tmp_path / "1"], aggregate=aggregate)
        assert [(r.strategy, r.run) for r in comparison.rows] == [
            ("ppo", "0"), ("b", "0"), ("b", "1"),
        ]  # fmt: skip
        assert comparison.sweep["candidates"] == 3 and comparison.sweep["trials"].count == 3
        assert comparison.statistics is not None and len(comparison.statistics.pairs) == 3
        assert "PPO is the same in 0, 1: equal settings, seeds and returns; it is shown and " in (
            " ".join(comparison.notes)
        )


@pytest.mark.parametrize(
    "change", [{"drift": {"ppo": 1e-9}}, {"seeds": (1,)}, {"fingerprint": "e" * 64}, {"x": 1}]
)
def test_what_differs_in_returns_seeds_data_or_settings_is_another_candidate(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    agents = {"ppo": {"_target_": PPO}}
    runs = [make_run(tmp_path / "a", agents), make_run(tmp_path / "b", agents, **change)]
    comparison = compare_runs(runs, aggregate=False)
    assert len(comparison.rows) == 2 and not any("counted once" in n for n in comparison.notes)


# ---------------------------------------------------------------------- what prices are worth
def test_caveats_and_the_line_at_the_top(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    agents = {"ppo": {"_target_": PPO}}
    fills = "Everything was traded at the close that decided it."
    both, one = [SIMULATED, fills], [SIMULATED]
    runs = [
        make_run(tmp_path / "a", agents, caveats=both),
        make_run(tmp_path / "b", agents, caveats=one, drift={"ppo": 1e-3}, x=1),
    ]
    comparison = compare_runs(runs)
    assert comparison.caveats == [SIMULATED, f"run a: {fills}"]
    page = page_of(comparison)
    assert page.count(SIMULATED) == 1 and page.count(f"run a: {fills}") == 1
    top = re.search(r'<p class="where">(.*?)</p>', page)
    window = comparison.rows[0].evidence.window
    assert top is not None and top[1] == (
        f"panel · returns of {window['first']} to {window['last']}, 130 steps · "
        "costs: commission_bps 10.0"
    )
    assert compare.main([*map(str, runs), "--out", str(tmp_path / "out")]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert printed.startswith("panel · returns of") and SIMULATED in printed and fills in printed


def test_seeds_in_one_row_keep_their_caveats(tmp_path: Path) -> None:
    agents, settings = {"ppo": {"_target_": PPO}}, {"caveats": [SIMULATED], "real_dates": False}
    runs = [make_run(tmp_path / str(s), agents, seeds=(s,), **settings) for s in (0, 1)]
    comparison = compare_runs(runs)
    (row,) = comparison.rows
    assert row.seeds == 2 and comparison.caveats == [SIMULATED]
    assert not row.evidence.window["real_dates"]


def test_made_up_dates_are_nowhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    agents = {"ppo": {"_target_": PPO}, "b": {"_target_": DDPG}}
    one = make_run(tmp_path / "a", agents, real_dates=False)
    other = make_run(tmp_path / "b", agents, real_dates=False, n=150, drift={"b": 1e-3}, x=1)
    out = tmp_path / "out"
    assert compare.main([str(one), str(other), "--out", str(out)]) == 0
    printed = capsys.readouterr().out + in_print((out / "compare.html").read_text())
    assert "130 steps on made-up dates" in printed and "the 130 steps that all rows share" in (
        " ".join(printed.split())
    )
    # The paths of `simulate` begin in 2015.
    assert "2015" not in printed
    assert {line["first"] for line in csv.DictReader((out / "compare.csv").open())} == {""}


# ---------------------------------------------------------------------- verdicts
def test_verdicts_count_the_rows_that_are_shown(tmp_path: Path) -> None:
    """The p-values of the rows, corrected by Holm over them, decide; the caption says how many."""
    agents = {f"a{k}": {"_target_": PPO, "k": k} for k in range(6)}
    drift = {name: 1.2e-3 * k / 5 for k, name in enumerate(agents)}
    comparison = compare_runs([make_run(tmp_path / "a", agents, drift=drift)])
    raw = [row.less_reference.p_value for row in comparison.rows]
    expected = holm(raw)
    heads, cells = table_cells(comparison)
    for row, p, line in zip(comparison.rows, expected, cells, strict=True):
        assert row.less_reference.p_holm == p
        sure = p <= 0.05
        verdict = row.less_reference.verdict
        assert line[heads.index("Growth is")] == (
            verdict if sure or verdict == "unclear" else f"{verdict} if alone"
        )
    assert any(line[heads.index("Growth is")].endswith(" if alone") for line in cells)
    said = "p, of no difference in growth from equal weight, counts the 6 comparisons of this table"
    assert said in page_of(comparison)
    alone = compare_runs([make_run(tmp_path / "b", {"a5": agents["a5"]}, drift=drift)])
    assert "counts one comparison." in page_of(alone)
    assert alone.rows[0].less_reference.p_holm == alone.rows[0].less_reference.p_value


def test_the_confidence_set_is_said_to_be_about_growth() -> None:
    sweep = {
        "candidates": 2, "best": "1 PPO", "skill": None, "pbo": {"reason": "few"},
        "spa": {"reason": "x"}, "stepm": {"reason": "x"},
        "mcs": {
            "set_95": ["equal_weight", "2 B"],
            "p_values": {"equal_weight": 0.5, "1 PPO": 0.01, "2 B": 1.0},
        },
    }  # fmt: skip
    assert sweep_sentences(sweep)[-1] == (
        "By growth, the best is at 95 % among 2 of 3 (model confidence set): equal weight, 2 B. "
        "Told apart from the fastest growing, by however little: 1 PPO. 1 PPO has the highest "
        "Sharpe ratio all the same: that is growth for the risk taken, another measure."
    )
    sweep["mcs"]["set_95"] = list(sweep["mcs"]["p_values"])
    assert (
        "By growth, all 3 with equal weight are in the model confidence set at 95 %"
        in (sweep_sentences(sweep)[-1])
    )


@pytest.mark.parametrize(("other", "said"), [("f", False), ("e", True)])
def test_who_leads_on_different_data_leads_by_luck_too(
    tmp_path: Path, other: str, said: bool
) -> None:
    agents = {"ppo": {"_target_": PPO}}
    one = make_run(tmp_path / "a", agents)
    two = make_run(tmp_path / "b", agents, fingerprint=other * 64, drift={"ppo": 1e-3}, x=1)
    found = sentences(compare_runs([one, two]))
    assert ("The rows are of different data, so luck of the data is in their order." in found) == (
        said
    )


# ---------------------------------------------------------------------- figures
def test_rows_of_different_data_have_no_best_in_a_figure(tmp_path: Path) -> None:
    def page(kind: str, **last: Any) -> str:
        runs = [
            make_run(tmp_path / kind / str(k), {"ppo": {"_target_": PPO, "rate": k}},
                     drift={"ppo": 1e-4 * k}, **(last if k == 2 else {}))
            for k in range(3)
        ]  # fmt: skip
        return page_of(compare_runs(runs))

    assert 'id="settings"' in page("same")
    assert 'id="settings"' not in page("data", fingerprint="e" * 64)
    assert 'id="settings"' not in page("window", n=140)


def test_what_was_chosen_in_hindsight_is_not_the_best_in_a_figure(tmp_path: Path) -> None:
    agents = {f"a{k}": {"_target_": PPO, "k": k} for k in range(3)}
    rows = compare_runs([make_run(tmp_path / "a", agents, drift={"a2": 0.01})]).rows
    strategies = rows[2].evidence.strategies
    bound = strategies | {"a2": replace(strategies["a2"], hindsight=True)}
    rows[2] = replace(rows[2], evidence=replace(rows[2].evidence, strategies=bound))
    axes, kept, _ = axes_of(rows, "sharpe")
    assert kept == [0, 1] and all(len(one.places) == 2 for one in axes)
    assert rows[2].verdict == "a bound"


def test_long_values_stay_inside_the_figure_of_settings(tmp_path: Path) -> None:
    """Measured by matplotlib: every text between the edges of the figure, on both widths."""
    words = [f"a value with very many words in it, number {k}" for k in range(3)]
    agents = [{"ppo": {"_target_": PPO, "kind": words[k], "k": k % 2}} for k in range(3)]
    runs = [make_run(tmp_path / str(k), agents[k], drift={"ppo": 1e-4 * k}) for k in range(3)]
    draw = partial(parallel, compare_runs(runs).rows, "sharpe")
    for width, narrow in ((style.WIDE, False), (style.NARROW, True)):
        with style._drawn("settings", draw, width, 360, narrow) as figure:
            boxes = [text.get_window_extent() for text in figure.axes[0].texts]
        assert len(boxes) > 8
        assert min(box.x0 for box in boxes) >= 0 and max(box.x1 for box in boxes) <= width


def test_equal_weight_is_drawn_where_rows_share_it(tmp_path: Path) -> None:
    agents = {"ppo": {"_target_": PPO}, "b": {"_target_": DDPG}}
    rows = compare_runs([make_run(tmp_path / "a", agents)]).rows
    assert shared_reference(rows) is not None
    assert "Black: equal weight." in page_of(Comparison(rows))
    dear = compare_runs([tmp_path / "a", make_run(tmp_path / "b", agents, rate=2e-3)]).rows
    assert shared_reference(dear) is None
    assert "Black: equal weight." not in page_of(Comparison(dear))
    itself = [replace(rows[0], strategy="equal_weight"), rows[1]]
    assert shared_reference(itself) is None
