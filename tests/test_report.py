"""The report: whole, self-contained, repeatable, and written for every kind of run."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents.baselines import make_baseline
from agents.rollout import Trajectory, rollout
from envs.data.sources import INDEX_NOTE
from envs.data.synthetic import synthetic
from envs.market.costs import ProportionalCost
from envs.portfolio import PortfolioEnv
from experiments.evaluation.attribution import attribute
from experiments.evaluation.evidence import evaluate
from experiments.evaluation.regimes import breakdown
from experiments.evaluation.robustness import study
from experiments.evaluation.skill import Trials
from experiments.evaluation.table import difference_table
from experiments.reports import paths, style, tables
from experiments.reports.figures import Run
from experiments.reports.report import write_report
from experiments.reports.summary import difference_text, sureness
from tests.test_robustness import Plan, wander
from tests.trajectories import example_run, simulate

VOID = {"meta", "img", "br", "path", "use", "line", "rect", "circle"}


class Checker(HTMLParser):
    """Collects ids, tags and attributes, and finds tags that are not closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.ids += [value for key, value in attrs if key == "id" and value]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.ids += [value for key, value in attrs if key == "id" and value]

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


def write(
    path: Path,
    run: dict[str, list[Trajectory]],
    real_dates: bool = True,
    caveats: Sequence[str] = (),
    **more: Any,
) -> str:
    agents = [name for name in run if name in ("ppo", "ddpg")]
    baselines = [name for name in run if name not in (*agents, "benchmark")]
    evidence = evaluate(
        run,
        agents=agents,
        baselines=baselines,
        n_bootstrap=40,
        real_dates=real_dates,
        caveats=caveats,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write_report(
            path,
            title="PPO on <toys> & more",
            evidence=evidence,
            trajectories=run,
            provenance={
                "command": "python -m experiments.run +exp=smoke",
                "data": "toys",
                "versions": {"numpy": "2"},
            },
            splits={"train": ("2010-01-01", "2014-12-31", 1250), "test": ("2015-01-05", "2016")},
            **({"config_yaml": "name: <x>\n", "notes": ["survivors chosen with hindsight"]} | more),
        )
    return path.read_text(encoding="utf-8")


def curves() -> dict[str, dict[str, list[Any]]]:
    steps = list(range(1000, 11000, 1000))
    half = [None, 0.5, None, 0.6, float("nan"), 0.7, None, 0.8, None, 0.9]
    return {
        f"ppo/{seed}": {"steps": steps, "train_reward": [0.1] * 10, "validation": half}
        for seed in range(3)
    }


def test_the_page_is_whole_self_contained_and_repeats(tmp_path: Path) -> None:
    run = example_run(n=400)
    page = write(tmp_path / "a.html", run, learning_curves=curves())
    assert page == write(tmp_path / "b.html", run, learning_curves=curves())
    assert len(page) < 3_000_000
    checker = Checker()
    checker.feed(page)
    assert checker.open == []
    assert len(set(checker.ids)) == len(checker.ids)
    assert not any(tag in ("script", "link", "iframe") for tag, _ in checker.tags)
    for tag, attributes in checker.tags:
        for key in ("src", "href", "xlink:href"):
            value = attributes.get(key)
            assert value is None or value.startswith(("#", "data:")), (tag, value)
        if tag == "svg":
            assert attributes["role"] == "img" and attributes["aria-label"]
        if tag == "img":
            assert attributes["alt"]
    assert not re.search(r"url\((?!#)", page)
    for reference in re.findall(r'(?:xlink:href="#|url\(#)([^")]+)', page):
        assert reference in checker.ids
    for key in ("differences", "wealth", "rolling-sharpe", "weights", "trading", "learning"):
        assert f'<figure id="{key}">' in page
    for text in (
        "PPO on &lt;toys&gt; &amp; more",
        "name: &lt;x&gt;",
        "survivors chosen with hindsight",
        "first decision 2010-01-01, last return 2014-12-31, 1,250 steps",
        "Test window: returns of 2015-01-06 to 2016-07-18, 400 steps, first decided on 2015-01-05",
        "PPO, seed 1: chosen at step 10,000 of 10,000",
        "seed 2",
        "sd over seeds",
        "Monthly returns",
    ):
        assert text in page
    assert not re.search(r"\b(nan|inf|None)\b", re.sub(r"<style>.*?</style>", "", page, flags=re.S))


def test_numbers_in_figures_are_not_rounded_with_the_coordinates(tmp_path: Path) -> None:
    run = example_run(n=300)
    page = write(tmp_path / "r.html", run)
    figure = page[page.index('<figure id="wealth">') : page.index('<figure id="rolling-sharpe">')]
    for name, text in (("equal_weight", "Equal weight"), ("momentum", "Momentum")):
        assert f">{text} {run[name][0].value[-1]:.2f}<" in figure


def test_the_lead_says_who_won_and_how_sure(tmp_path: Path) -> None:
    run = example_run(n=300)
    page = write(tmp_path / "r.html", run)
    lead = page[page.index('class="lead"') : page.index('class="cards"')].replace("&nbsp;", " ")
    assert re.search(r"PPO (earned|lost) \d+\.\d % a year after costs", lead)
    assert "Difference to equal weight:" in lead and "percentage points a year [" in lead
    assert "Its 3 seeds earned" in lead and "highest CAGR:" in lead


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        ({"equal_weight": [simulate("equal_weight", n=120)],
          "momentum": [simulate("momentum", n=120, activity=0.5)]}, "No agent was trained"),
        ({"equal_weight": [simulate("equal_weight", n=120)]}, "these are 1 baseline, which traded"),
        ({"ppo": [simulate("ppo", seed=3, n=30, n_assets=1, activity=1.0)],
          "equal_weight": [simulate("equal_weight", n=30, n_assets=1)]},
         "too short for a rolling Sharpe"),
        ({"ppo": [simulate("ppo", seed=3, n=300)],
          "equal_weight": [simulate("equal_weight", n=300)]}, "one seed: no interval over seeds"),
        ({"ppo": [simulate("ppo", seed=0, n=300), simulate("ppo", seed=1, n=300, ruin_at=90)],
          "equal_weight": [simulate("equal_weight", n=300)]}, "It was ruined in 1 of 2 seeds"),
        ({"ppo": [simulate("ppo", seed=0, n=300, ruin_at=90)],
          "equal_weight": [simulate("equal_weight", n=300)]}, "It was ruined in 1 of 1 seeds"),
        ({"ppo": [simulate("ppo", seed=0, n=2)], "equal_weight": [simulate("equal_weight", n=2)]},
         "2 steps"),
    ],
    ids=["no agent", "one line", "one asset, short", "one seed", "ruin", "only ruin", "two steps"],
)  # fmt: skip
def test_every_kind_of_run_has_a_report(
    tmp_path: Path, run: dict[str, list[Trajectory]], expected: str
) -> None:
    page = write(tmp_path / "r.html", run)
    assert expected in page.replace("&nbsp;", " ")
    checker = Checker()
    checker.feed(page)
    assert checker.open == []


def test_learning_says_which_policy_was_chosen_and_in_what_unit(tmp_path: Path) -> None:
    run = example_run(n=60, seeds=(0, 1))
    curve = {"steps": [100, 200, 300], "train_reward": [-3.0, -2.0, -1.0]}
    curves = {
        "ppo/0": curve | {"validation": [-0.3, -0.1, -0.1]},
        "ppo/1": curve | {"validation": [-0.05, float("nan"), -0.2]},
    }
    config = "reward:\n  scale: 100.0\n  benchmark: equal_weight\n  terms:\n"
    page = write(
        tmp_path / "r.html", run, learning_curves=curves,
        config_yaml=config + "    excess_log_return: 1.0\n",
    )  # fmt: skip
    text = page[page.index('<section id="training">') : page.index('<section id="run">')]
    assert "PPO, seed 0: chosen at step 200 of 300" in text
    assert "PPO, seed 1: chosen at step 100 of 300" in text
    assert "<code>reward.scale</code> (100)" in text and "below zero" in text
    plain = write(
        tmp_path / "p.html", run, learning_curves=curves,
        config_yaml=config + "    log_return: 1.0\n",
    )  # fmt: skip
    assert "<code>reward.scale</code> (100)." in plain and "below zero" not in plain


def test_the_index_is_in_the_table_and_not_among_the_differences(tmp_path: Path) -> None:
    page = write(tmp_path / "r.html", example_run(n=60, seeds=(0,)))
    differences = page[page.index('<figure id="differences">') : page.index('<figure id="wealth">')]
    assert "Risk parity" in differences and "Benchmark" not in differences.split('class="note"')[0]
    assert "an index, no costs" in page


@pytest.mark.parametrize("pair", [[1e8, -(1 - 1e-8)], [99.0, 99.0, -0.5]], ids=["high", "beyond"])
def test_astronomic_wealth_is_drawn_at_the_edge_and_said(tmp_path: Path, pair: list[float]) -> None:
    run = {name: [simulate(name, n=180)] for name in ("equal_weight", "momentum")}
    t = run["momentum"][0]
    net = np.resize(pair, 180)
    value = np.r_[1.0, np.cumprod(1.0 + net)]
    run["momentum"] = [replace(t, net_return=net, gross_return=net, value=value)]
    page = write(tmp_path / "r.html", run)
    beyond = len(pair) == 3
    assert ("is drawn at the edge" in page) == beyond
    assert ("Momentum ends at over 1e+30" in page) == beyond
    assert (">Momentum over 1e+30<" in page) == beyond
    assert "inf" not in re.findall(r"\b\w+\b", re.sub(r"<style>.*?</style>", "", page, flags=re.S))


def test_a_run_without_equal_weight_and_without_agent_has_a_report(tmp_path: Path) -> None:
    page = write(tmp_path / "r.html", {"momentum": [simulate("momentum", n=250, activity=0.5)]})
    assert "Drawdown is shown for Momentum." in page


def test_long_short_weights_are_drawn_below_zero(tmp_path: Path) -> None:
    run = example_run(n=60, seeds=(0,))
    run["ppo"][0].weights[:] = [0.9, 0.6, -0.3, -0.4, 0.2]
    page = write(tmp_path / "r.html", run)
    figure = page[page.index('<figure id="weights">') : page.index('<figure id="trading">')]
    assert "−50" in figure


def test_monthly_returns_compound_and_average_over_seeds() -> None:
    runs = [simulate("ppo", seed=s, n=80, activity=0.5) for s in (0, 1)]
    months, returns = tables.monthly_returns(runs)
    for month, value in zip(months, returns, strict=True):
        expected = []
        for t in runs:
            inside = t.dates.astype("datetime64[M]") == month
            expected.append(np.prod(1 + t.net_return[inside]) - 1)
        assert value == pytest.approx(np.mean(expected))


def test_the_year_beside_the_months_is_the_mean_of_what_each_seed_compounded() -> None:
    runs = [simulate("ppo", seed=s, n=400, activity=0.9) for s in (0, 1)]
    html = tables.monthly_html("ppo", runs)
    for year in (2015, 2016):
        inside = runs[0].dates.astype("datetime64[Y]") == np.datetime64(str(year))
        each = [np.prod(1 + t.net_return[inside]) - 1 for t in runs]
        assert float(cells(html, str(year))[-1].replace("−", "-")) == pytest.approx(
            100 * np.mean(each), abs=0.051
        )


def test_a_fan_keeps_every_peak_and_trough() -> None:
    y = np.random.default_rng(0).standard_normal((2, 1003)).cumsum(axis=1)
    y[0, 517], y[1, 518] = -900.0, 900.0
    keep = paths.extremes(list(y), 50)
    assert len(keep) <= 4 * 50 + 2 and keep[0] == 0 and keep[-1] == 1002
    for rows in np.array_split(np.arange(1003), 4):
        inside = keep[(keep >= rows[0] - 21) & (keep <= rows[-1] + 21)]
        for series in y:
            assert series[inside].min() <= series[rows].min()
            assert series[inside].max() >= series[rows].max()
    assert paths.end_text(0.9963, True) == "0.996" and paths.end_text(0.9963, False) == "1.00"


def test_labels_are_spread_as_little_as_needed() -> None:
    assert style.spread_labels([10, 50, 90], 15, 0, 100) == [10, 50, 90]
    placed = style.spread_labels([50, 50, 51, 99, 99], 15, 0, 100)
    order = sorted(placed)
    assert min(np.diff(order)) >= 15 - 1e-9 and order[0] >= 0 and order[-1] <= 100
    assert style.spread_labels([], 15, 0, 100) == []
    crowded = style.spread_labels([5.0] * 20, 15, 0, 100)
    assert min(crowded) >= -1e-9 and max(crowded) <= 100 + 1e-9


def test_a_strategy_keeps_its_colour() -> None:
    one = style.lines({"ppo": "agent", "equal_weight": "baseline"})
    two = style.lines({"ddpg": "agent", "ppo": "agent", "momentum": "baseline"})
    assert one["ppo"] == two["ppo"] and two["ddpg"].colour != two["ppo"].colour
    assert (
        len({(x.colour, x.dash) for x in style.lines(dict.fromkeys(style.BASELINES, "b")).values()})
        == 9
    )


# ------------------------------------------------------- robustness, attribution, regimes, luck
@pytest.fixture(scope="module")
def analysed(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Any, Any]:
    """A run on a real panel with its analysis: `(page, evidence, analysis)`."""
    # Without the note of simulated prices its dates count as real.
    market = replace(synthetic(n_rows=420, n_assets=3, symbols=["A&B", "<C>", "D"]), notes=())
    cost = ProportionalCost(20, 5)

    def play(policy: Any, seed: int | None = None) -> Trajectory:
        env = PortfolioEnv(
            market, observation="indexed", action=policy.action, cost=cost, start=200
        )
        return replace(rollout(policy, env, seed=seed), name=policy.name)

    names = ("equal_weight", "buy_and_hold", "inverse_volatility")
    run = {"ppo": [play(Plan(wander(market, 219, s), name="ppo"), s) for s in (0, 1)]}
    run |= {name: [play(make_baseline(name, market))] for name in names}
    evidence = evaluate(
        run, agents=["ppo"], baselines=names, n_bootstrap=60,
        trials=Trials(12, 0.25, "twelve lines of a ledger"),
    )  # fmt: skip
    at = {"execution": "next_close"}
    analysis = {
        "robustness": study(market, run, cost=cost, agents=["ppo"], **at),
        "attribution": attribute(market, run, **at),
        "regimes": breakdown(market, run),
    }
    path = tmp_path_factory.mktemp("analysed") / "r.html"
    splits = {
        f"{part} {k}": (f"20{10 + k}-0{m}-01", f"20{10 + k}-0{m + 2}-20", 50)
        for k in (1, 2)
        for part, m in (("train", 1), ("validation", 4), ("test", 7))
    }
    write_report(
        path, title="t", evidence=evidence, trajectories=run, provenance={"costs": "25 bps"},
        config_yaml="name: x\n", splits=splits, analysis=analysis,
    )  # fmt: skip
    return path.read_text(encoding="utf-8"), evidence, analysis


def part_of(page: str, key: str) -> str:
    start = page.index(f'<section id="{key}">')
    return page[start : page.index("</section>", start)].replace("&nbsp;", " ")


def cells(html: str, row: str) -> list[str]:
    """The texts of the cells of the first table row whose head ends with these words."""
    for found in re.findall(r"<tr[^>]*>(.*?)</tr>", html, flags=re.S):
        head = re.search(r"<th[^>]*>(.*?)</th>", found, flags=re.S)
        if head and re.sub(r"<[^>]+>", "", head[1]).startswith(row):
            return [
                re.sub(r"<small>.*?</small>|<[^>]+>", "", c)
                for c in re.findall(r"<td[^>]*>(.*?)</td>", found, flags=re.S)
            ]
    raise AssertionError(f"no row {row}")


def test_the_page_with_an_analysis_is_whole(analysed: tuple[str, Any, Any]) -> None:
    page = analysed[0]
    checker = Checker()
    checker.feed(page)
    assert checker.open == [] and len(set(checker.ids)) == len(checker.ids)
    links = [a["href"] for tag, a in checker.tags if tag == "a"]
    assert len(links) > 8 and all(link and link[1:] in checker.ids for link in links)
    assert len(page) < 2_000_000
    for key in ("costs", "delays", "sources", "fan", "exposure", "windows", "differences"):
        assert f'<figure id="{key}">' in page
    assert not re.search(r"\b(nan|inf|None)\b", re.sub(r"<style>.*?</style>", "", page, flags=re.S))
    assert "<C>" not in page and "&lt;C&gt;" in page and "A&amp;B" in page


def test_break_even_costs_in_the_page_are_those_of_the_analysis(
    analysed: tuple[str, Any, Any],
) -> None:
    html, found = part_of(analysed[0], "robustness"), analysed[2]["robustness"]
    for pair in found["pairs"]:
        name = {"equal_weight": "Equal weight", "buy_and_hold": "Buy and hold",
                "inverse_volatility": "Inverse volatility"}[pair["against"]]  # fmt: skip
        wanted = {
            "crosses": f"up to {pair['multiple'] or 0:.2f}×",
            "gains with costs": f"from {pair['multiple'] or 0:.2f}× on",
            "never behind": "always", "never ahead": "never",
        }[pair["state"]]  # fmt: skip
        assert cells(html, name) == [wanted]
    late = np.mean(found["strategies"]["ppo"]["delays"][1]) * 100
    assert f"it grows by {late:.1f} %".replace("-", "−") in html


def test_growth_by_source_in_the_page_adds_up(analysed: tuple[str, Any, Any]) -> None:
    page, evidence, analysis = analysed
    html = part_of(page, "attribution")
    for name, head in (("ppo", "PPO"), ("equal_weight", "Equal weight")):
        s = analysis["attribution"]["strategies"][name]
        numbers = [float(x.replace("−", "-")) for x in cells(html, head)]
        parts = [sum(s["assets"]), s["cash"], *s["costs"].values(), s["total"]]
        assert numbers == pytest.approx(np.array(parts) * 100, abs=0.051)
        logs = evidence.strategies[name].metrics["mean_log_return"].value
        assert s["total"] == pytest.approx(logs, rel=1e-9)


def test_years_and_regimes_in_the_page_are_those_of_the_analysis(
    analysed: tuple[str, Any, Any],
) -> None:
    html, found = part_of(analysed[0], "when"), analysed[2]["regimes"]
    years = html[html.index("By calendar year") : html.index("By state of the market")]
    states = html[html.index("By state of the market") : html.index("Monthly returns")]
    ppo = found["strategies"]["ppo"]
    shown = [float(x.replace("−", "-")) for x in cells(years, "PPO")]
    assert shown == pytest.approx(np.array(ppo["years"]) * 100, abs=0.051)
    for key, text in zip(ppo["regimes"], cells(states, "PPO"), strict=True):
        value = ppo["regimes"][key]["cagr"]
        if value is None:
            assert text == "–" and found["regimes"][key]["steps"] < found["fewest_steps"]
        else:
            assert float(text.replace("−", "-")) == pytest.approx(value * 100, abs=0.051)


def test_skill_and_the_number_of_trials_are_said(analysed: tuple[str, Any, Any]) -> None:
    page, evidence, _ = analysed
    html = part_of(page, "luck")
    skill = evidence.strategies["ppo"].skill
    shown = cells(html, "PPO")
    for text, value in zip(shown[1:3], (skill.psr, skill.dsr), strict=True):
        assert text == ("under 0.1" if value < 0.001 else f"{value * 100:.1f}")
    assert "If the spread between the 12 trials" in html and "twelve lines of a ledger" in html
    yearly = skill.expected_max * np.sqrt(252)
    assert f"the best of them would show {yearly:.2f};" in html
    for title in ("backtest overfitting", "Superior predictive", "Stepwise", "confidence set"):
        assert title in html
    assert f"{evidence.tests['pbo']['pbo'] * 100:.1f} %" in html


def test_the_lead_says_what_was_done_and_how_sure_it_is(analysed: tuple[str, Any, Any]) -> None:
    page, evidence, _ = analysed
    lead = page[page.index('class="lead"') : page.index('class="cards"')].replace("&nbsp;", " ")
    assert "PPO with 2 seeds was trained anew before each of 2 test windows" in lead
    assert "at costs of 25 bps, beside 3 baselines" in lead
    assert "Corrected for 3 comparisons (Holm)" in lead
    assert "Deflated for 12 trials" in lead
    html = part_of(page, "performance")
    p = evidence.difference("ppo", "equal_weight", "cagr").p_holm
    text = "<0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"
    assert text.replace("<", "&lt;") in cells(html, "PPO − Equal weight")
    assert "IQM over seeds" in html


def test_what_has_no_answer_is_said_in_words(tmp_path: Path) -> None:
    run = {n: [simulate(n, n=120)] for n in ("equal_weight", "momentum")}
    nothing = {"multiple": None, "state": "unknown"}
    fine = {"factors": [[0.1]] * 6, "far_factors": [[None]] * 3, "delays": [[0.1]] * 4,
            "sharpe": [None] * 6, "cash": nothing}  # fmt: skip
    analysis = {
        "robustness": {
            "factors": [0, 0.5, 1.0, 2, 3, 5], "far_factors": [10, 20, 50], "delays": [0, 1, 2, 3],
            "strategies": {"equal_weight": fine, "momentum": {"reason": "margin <call>"}},
            "pairs": [], "impact": {"reason": "no volatility"},
        },
        "attribution": {"symbols": ["A"], "strategies": {"momentum": {"reason": "wealth is gone"}}},
    }  # fmt: skip
    page = write(tmp_path / "r.html", run, analysis=analysis)
    assert "Momentum: margin &lt;call&gt;." in page and "no volatility" in page
    assert '<section id="attribution">' not in page
    assert "n/a" in part_of(page, "robustness")
    empty = write(tmp_path / "e.html", run, analysis={"robustness": {"reason": "nothing"}})
    assert '<section id="robustness">' not in empty


def test_too_few_resampled_histories_for_a_corrected_p_are_said(tmp_path: Path) -> None:
    run = {n: [simulate(n, n=120, activity=0.5)] for n in ("equal_weight", "momentum", "a", "b")}
    page = write(tmp_path / "r.html", run).replace("&nbsp;", " ")
    assert "with 40 resampled histories no p can be below 0.073" in page


def test_shorts_show_gross_net_and_cash(tmp_path: Path) -> None:
    run = example_run(n=60, seeds=(0,))
    run["ppo"][0].weights[:] = [0.9, 0.6, -0.3, -0.4, 0.2]
    page = write(tmp_path / "r.html", run)
    figure = page[page.index('<figure id="exposure">') : page.index('<figure id="trading">')]
    for title in ("Gross exposure", "Net exposure", "Cash, % of value"):
        assert title in figure
    long_only = {n: [simulate(n, n=60)] for n in ("equal_weight", "momentum")}
    assert "fully invested all the time" in write(tmp_path / "l.html", long_only)


def test_several_agents_are_named_together(tmp_path: Path) -> None:
    run = {n: [simulate(n, seed=0, n=60, activity=0.5)] for n in ("ppo", "ddpg")}
    run["equal_weight"] = [simulate("equal_weight", n=60)]
    page = write(tmp_path / "r.html", run).replace("&nbsp;", " ")
    assert "PPO and DDPG, one seed of each, were trained on 2010-01-01 to 2014-12-31" in page
    run["ddpg"].append(simulate("ddpg", seed=1, n=60, activity=0.5))
    page = write(tmp_path / "s.html", run).replace("&nbsp;", " ")
    assert "PPO (seeds: 1) and DDPG (seeds: 2) were trained" in page


def test_made_up_dates_are_said_and_not_used(tmp_path: Path) -> None:
    run = example_run(n=60, seeds=(0, 1))
    regimes = {
        "real_dates": False, "definitions": {"calm": "quiet"}, "fewest_steps": 20, "unknown": 3,
        "regimes": {"calm": {"steps": 57, "share": 0.95}}, "years": [],
        "strategies": {n: {"regimes": {"calm": {"cagr": 0.1, "sharpe": 1.0}}, "years": []}
                       for n in run},
    }  # fmt: skip
    page = write(
        tmp_path / "r.html",
        run,
        real_dates=False,
        analysis={"regimes": regimes},
        caveats=["nothing <to> predict"],
    ).replace("&nbsp;", " ")
    header = page[page.index("<header>") : page.index("</header>")]
    assert "2015" not in header and "nothing &lt;to&gt; predict" in header
    assert (
        "was trained on 1,250 steps before and then traded 60 steps (the dates are made" in header
    )
    when = part_of(page, "when")
    assert "no result by calendar year or month" in when and "Calm" in when
    for text in ("Monthly returns", "By calendar year", "Rising"):
        assert text not in page


def test_a_verdict_counts_all_comparisons_in_and_bounds_have_none() -> None:
    run = {"equal_weight": [simulate("equal_weight", n=400)]}
    base = run["equal_weight"][0]
    drift = np.where(np.arange(400) % 2, 0.002, 0.0)
    for name in ("momentum", "best_stock"):
        net = base.net_return + drift
        value = np.r_[1.0, np.cumprod(1 + net)]
        run[name] = [replace(base, name=name, net_return=net, gross_return=net, value=value)]
    evidence = evaluate(
        run, agents=[], baselines=list(run), n_bootstrap=200, hindsight=["best_stock"]
    )
    d = evidence.difference("momentum", "equal_weight", "cagr")
    assert d is not None and d.standing == "better"
    assert replace(d, p_holm=0.15).standing == "better if alone"
    assert "not when all comparisons are counted" in difference_text(replace(d, p_holm=0.15))
    html = tables.differences_html(Run(evidence, run))
    assert cells(html, "Momentum")[-1] == "better" and "Seeds ahead" not in html
    assert cells(html, "Best stock")[-1] == "a bound in hindsight"
    assert "1 of the differences" in sureness(evidence)[0] and "hindsight" in sureness(evidence)[0]
    found = difference_table(evidence)
    assert str(found.title).startswith("Each less equal weight")
    assert list(found.columns[-1].cells) == ["better", "a bound"]


def test_alpha_against_a_price_index_says_so_and_no_alpha_says_nothing(tmp_path: Path) -> None:
    run = example_run(n=100, seeds=(0,))
    page = write(tmp_path / "r.html", run, notes=[INDEX_NOTE])
    head = part_of(page, "luck").split("</thead>")[0]
    assert "Alpha % against benchmark<small>without dividends" in head
    assert "without dividends" not in part_of(write(tmp_path / "s.html", run), "luck")
    alone = write(tmp_path / "a.html", {"momentum": [simulate("momentum", n=100, activity=0.5)]})
    assert "Alpha" not in part_of(alone, "luck")
