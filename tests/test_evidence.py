"""Evidence from trajectories: what is averaged, paired, left out, and read back."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import fields, replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from rich.console import Console
from scipy.stats import trim_mean
from statsmodels.stats.multitest import multipletests

from agents.rollout import Trajectory
from envs.errors import InputError
from experiments.evaluation import bootstrap
from experiments.evaluation import metrics as m
from experiments.evaluation.alpha import measure_alpha
from experiments.evaluation.estimates import estimate
from experiments.evaluation.evidence import Evidence, evaluate
from experiments.evaluation.factors import fama_french
from experiments.evaluation.holdout import Holdout
from experiments.evaluation.metrics import Steps
from experiments.evaluation.skill import Trials, measure_skill
from experiments.evaluation.table import label, print_table, spread_text
from experiments.evaluation.trajectory_store import load_trajectories, save_trajectories
from experiments.reports.summary import headline
from tests.trajectories import benchmark, example_run, simulate

BASELINES = ["equal_weight", "buy_and_hold", "momentum", "risk_parity"]


def evidence_of(run: dict[str, list[Trajectory]], n_bootstrap: int = 60) -> Evidence:
    agents = [name for name in run if name in ("ppo", "ddpg")]
    baselines = [name for name in run if name not in (*agents, "benchmark")]
    return evaluate(run, agents=agents, baselines=baselines, n_bootstrap=n_bootstrap, seed=1)


def test_an_agent_is_the_mean_over_its_seeds_and_its_spread_is_told() -> None:
    run = example_run(n=200)
    e = evidence_of(run).strategies["ppo"].metrics["sharpe"]
    each = [float(m.sharpe(t.net_return, 252.0, t.cash_return)) for t in run["ppo"]]
    assert e.seeds == pytest.approx(each)
    assert e.value == pytest.approx(np.mean(each))
    assert e.spread == pytest.approx((min(each), max(each), np.std(each, ddof=1)))
    assert e.low is not None and e.high is not None
    assert e.low < np.mean(each) < e.high
    one = evidence_of(example_run(n=200, seeds=(5,))).strategies["ppo"].metrics["sharpe"]
    assert one.spread is None
    assert spread_text(one, m.BY_NAME["sharpe"]) == "no spread: one seed"


def test_costs_and_wealth_agree_with_the_trajectory() -> None:
    run = example_run(n=150)
    t = run["momentum"][0]
    e = evidence_of(run).strategies["momentum"].metrics
    assert e["total_return"].value == pytest.approx(t.value[-1] - 1)
    assert e["cost"].value == pytest.approx(t.total_cost.mean() * 252)
    assert e["turnover"].value == pytest.approx(t.turnover.mean() * 252)
    assert e["active_share"].value == pytest.approx(t.active_share.mean())


def test_differences_are_paired_and_signed() -> None:
    run = example_run(n=300)
    base = run["equal_weight"][0]
    better = base.net_return + 0.0002
    ahead = replace(
        base, name="ppo", seed=0, net_return=better, value=np.r_[1, np.cumprod(1 + better)]
    )
    run["ppo"] = [ahead]
    e = evidence_of(run)
    d = e.difference("ppo", "equal_weight", "cagr")
    assert d is not None and d.verdict == "better"
    assert d.share_above_zero == 1.0 and d.seeds_above_zero == 1.0
    ours, theirs = (m.cagr(x, 252.0) for x in (better, base.net_return))
    assert d.value == pytest.approx(ours - theirs)
    same = evidence_of(run | {"ppo": [replace(base, name="ppo", seed=0)]})
    zero = same.difference("ppo", "equal_weight", "cagr")
    assert zero is not None and (zero.value, zero.low, zero.high) == (0.0, 0.0, 0.0)
    assert zero.verdict == "unclear"
    # An index pays no costs: it has a row, and does not compete.
    assert e.difference("ppo", "benchmark", "sharpe") is None and "benchmark" in e.strategies
    assert e.difference("momentum", "equal_weight", "cagr") is None


def test_p_values_say_what_the_intervals_say_and_holm_counts_the_pairs() -> None:
    e = evidence_of(example_run(n=250), n_bootstrap=199)
    for d in e.differences:
        assert d.p_value is not None and d.p_holm is not None
        assert (d.verdict in ("better", "worse")) == (d.p_value <= 0.05)
    sharpe = [d for d in e.differences if d.measure == "sharpe"]
    assert len(sharpe) == 4
    p = [d.p_value for d in sharpe if d.p_value is not None]
    expected = multipletests(p, method="holm")[1]
    assert [d.p_holm for d in sharpe] == pytest.approx(list(expected))


def test_the_interquartile_mean_needs_seeds() -> None:
    run = example_run(n=150, seeds=tuple(range(8)))
    e = evidence_of(run)
    growth = e.strategies["ppo"].metrics["cagr"]
    assert growth.iqm == pytest.approx(trim_mean([x or 0.0 for x in growth.seeds], 0.25))
    assert growth.iqm_low is not None and growth.iqm_high is not None
    assert growth.iqm_low < growth.iqm < growth.iqm_high
    alone = e.strategies["momentum"].metrics["cagr"]
    assert (alone.iqm, alone.iqm_low, alone.iqm_high) == (None, None, None)
    assert not any("one seed" in note for note in e.notes)
    one = evidence_of(example_run(n=150, seeds=(3,)))
    assert any("ppo has one seed: there is no interval over seeds" in note for note in one.notes)


def test_skill_and_alpha_of_each_strategy() -> None:
    run = example_run(n=700)
    names = {"baselines": BASELINES, "agents": ["ppo"]}
    e = evaluate(
        run, **names, n_bootstrap=40, trials=Trials(9, 0.2, "a ledger"), factors=fama_french()
    )
    assert e.trials == Trials(9, 0.2, "a ledger")
    ppo, index = e.strategies["ppo"], e.strategies["benchmark"]
    excess = np.stack([t.net_return - t.cash_return for t in run["ppo"]])
    assert ppo.skill == measure_skill(excess, 252.0, Trials(9, 0.2))
    market = (run["benchmark"][0].net_return - run["benchmark"][0].cash_return)[:, None]
    each = [measure_alpha(x, market, ("benchmark",), 252.0, "benchmark").alpha for x in excess]
    assert ppo.alpha[0].alpha == pytest.approx(np.mean([a or 0.0 for a in each]))
    assert [a.against for a in ppo.alpha] == ["benchmark", "Fama-French"]
    assert ppo.alpha[1].n == 31 and ppo.alpha[1].t is not None
    assert [a.against for a in index.alpha] == ["Fama-French"]
    without = {name: runs for name, runs in run.items() if name != "benchmark"}
    e = evaluate(without, **names, n_bootstrap=40)
    assert [a.against for a in e.strategies["ppo"].alpha] == ["equal_weight"]
    assert e.strategies["equal_weight"].alpha == []


def test_risks_are_drawn_in_blocks_as_long_as_volatility_clusters() -> None:
    run = example_run(n=500)
    e = evidence_of(run)
    nets = np.stack([np.mean([t.net_return for t in runs], axis=0) for runs in run.values()])
    short, long = bootstrap.block_length(nets, squares=False), bootstrap.block_length(nets)
    assert (e.bootstrap["mean_block"], e.bootstrap["mean_block_risk"]) == (short, long)
    assert short < long
    t = run["momentum"][0]
    one = Steps(*(x[None] for x in (t.net_return, t.cash_return, t.turnover, t.total_cost,
                                    t.active_share)), 252.0)  # fmt: skip
    for name, block in (("cagr", short), ("cvar", long)):
        drawn = bootstrap.resample([one], replications=60, mean_block=block, seed=1)
        expected = estimate(m.BY_NAME[name], one, drawn, 0, 0.95, False)
        assert e.strategies["momentum"].metrics[name] == expected


def test_hindsight_is_marked() -> None:
    run = example_run(n=100)
    e = evaluate(run, baselines=BASELINES, agents=["ppo"], n_bootstrap=40, hindsight=["momentum"])
    assert [name for name, s in e.strategies.items() if s.hindsight] == ["momentum"]
    assert any("momentum was chosen with the test window in view" in note for note in e.notes)
    console = Console(width=140, record=True, file=open("/dev/null", "w"))
    print_table(e, console)
    assert console.export_text().count("in hindsight") == 1


@pytest.mark.parametrize(
    ("series", "value", "words"),
    [
        ("net_return", np.nan, "net_return is nan"),
        ("turnover", np.inf, "turnover is inf"),
        ("gross_return", np.nan, "gross_return is nan"),
        ("weights", np.nan, "weights is nan"),
        ("costs", np.nan, "costs of commission is nan"),
    ],
)
def test_what_is_no_number_is_named_with_strategy_seed_and_date(
    series: str, value: float, words: str
) -> None:
    run = example_run(n=100)
    t = run["ppo"][1]
    if series == "costs":
        broken = {k: x.copy() for k, x in t.costs.items()}
        broken["commission"][[40, 60]] = value
        run["ppo"][1] = replace(t, costs=broken)
    else:
        values = getattr(t, series).copy()
        values[[40, 60]] = value
        run["ppo"][1] = replace(t, **{series: values})
    with pytest.raises(InputError) as error:
        evidence_of(run)
    day = str(t.dates[40])[:10]
    assert f"ppo (seed 1): {words} at step 40, on {day} (2 of 100 steps)" in str(error.value)


def test_constant_returns_have_no_sharpe_ratio_and_say_so() -> None:
    run = example_run(n=120)
    cash = run["momentum"][0].cash_return
    run["momentum"] = [replace(run["momentum"][0], net_return=cash.copy())]
    e = evidence_of(run)
    momentum = e.strategies["momentum"]
    sharpe = momentum.metrics["sharpe"]
    assert (sharpe.value, sharpe.low) == (None, None) and sharpe.reason
    assert momentum.skill is not None and "constant" in momentum.skill.reason
    growth = momentum.metrics["cagr"]
    assert growth.low == growth.value == growth.high
    d = e.difference("ppo", "momentum", "sharpe")
    assert d is not None and d.p_value is None and d.p_holm is None
    json.dumps(e.as_dict(), allow_nan=False)


def test_without_agents_every_baseline_is_compared_with_the_first() -> None:
    run = {name: runs for name, runs in example_run(n=120).items() if name != "ppo"}
    e = evidence_of(run)
    assert e.compared == ["buy_and_hold", "momentum", "risk_parity"]
    assert {d.baseline for d in e.differences} == {"equal_weight"}
    console = Console(width=140, record=True, file=open("/dev/null", "w"))
    print_table(e, console)
    assert "Momentum − Equal weight" in console.export_text()


def test_json_is_deterministic_without_nan_and_reads_back(tmp_path: Path) -> None:
    run = example_run(n=120)
    e = evidence_of(run)
    e.write(tmp_path / "a.json")
    evidence_of(run).write(tmp_path / "b.json")
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert Evidence.read(tmp_path / "a.json") == e
    raw = json.loads((tmp_path / "a.json").read_text())
    assert raw["format"] == 3
    share = raw["strategies"]["benchmark"]["metrics"]["active_share"]
    assert share["value"] is None and share["reason"] == "not a portfolio of these assets"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "no such file"),
        ("{", "not readable as JSON"),
        ('{"format": 1}', "format 1, this version reads 3"),
        ("[]", "format None"),
        ('{"format": 3, "x": NaN}', "NaN is no number"),
        ('{"format": 3, "x": -Infinity}', "-Infinity is no number"),
        ('{"format": 3, "x": 1e400}', "1e400 is no number"),
        ('{"format": 3, "strategies": {"ppo": {}}}', "Field required"),
    ],
)
def test_a_bad_file_is_named(tmp_path: Path, content: str | None, words: str) -> None:
    path = tmp_path / "metrics.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError) as error:
        Evidence.read(path)
    assert words in str(error.value) and str(path) in str(error.value)


def test_ruin_keeps_the_window_and_loses_the_interval() -> None:
    run = example_run(n=200)
    run["ppo"][1] = simulate("ppo", seed=1, n=200, activity=0.7, ruin_at=50)
    e = evidence_of(run)
    assert e.window["steps"] == 200
    ppo = e.strategies["ppo"]
    assert ppo.ruined == [False, True, False]
    growth = ppo.metrics["cagr"].seeds[1]
    lost = run["ppo"][1].value[-1]
    assert growth == pytest.approx(lost ** (252 / 200) - 1)
    assert ppo.metrics["cagr"].low is None and "ruined" in ppo.metrics["cagr"].reason
    d = e.difference("ppo", "equal_weight", "cagr")
    assert d is not None and d.verdict == "no interval"
    assert any("ppo (seed 1) was ruined after 51 of 200 steps" in note for note in e.notes)
    d = e.difference("ppo", "equal_weight", "cagr")
    each = [strategy.metrics["cagr"].value for strategy in (ppo, e.strategies["equal_weight"])]
    assert d is not None and each[0] is not None and each[1] is not None
    assert d.value == pytest.approx(each[0] - each[1]) and d.low is None and "ruined" in d.reason
    assert e.strategies["equal_weight"].metrics["cagr"].low is not None


def test_unequal_lengths_are_measured_on_common_dates_and_said() -> None:
    run = {"equal_weight": [simulate("equal_weight", n=200)], "momentum": [simulate("momentum")]}
    e = evidence_of(run)
    assert e.window["steps"] == 200
    assert any("momentum: 200 of its 500 steps" in note for note in e.notes)
    late = simulate("momentum", n=100, start="2019-01-01")
    with pytest.raises(InputError, match="fewer than two dates"):
        evidence_of(run | {"momentum": [late]})


def test_bad_calls_are_named() -> None:
    run = example_run(n=50)
    with pytest.raises(InputError, match="no trajectories for ddpg"):
        evaluate(run, agents=["ddpg"], baselines=BASELINES)
    with pytest.raises(InputError, match=r"level .* got 95"):
        evaluate(run, agents=["ppo"], baselines=BASELINES, level=95)
    for count in (10_000_000_000, 1e10, 0, 1.5, float("nan")):
        with pytest.raises(InputError, match=r"n_bootstrap must be .* at most 1,000,000"):
            evaluate(run, agents=["ppo"], baselines=BASELINES, n_bootstrap=count)  # type: ignore[arg-type]
        with pytest.raises(InputError, match="n_bootstrap must be"):
            Holdout(n_bootstrap=count)  # type: ignore[arg-type]


@pytest.mark.parametrize("with_index", [True, False])
def test_ruin_of_everything_at_the_first_step_is_called_ruin(with_index: bool) -> None:
    run = {name: [simulate(name, n=100, ruin_at=0)] for name in ("ppo", "equal_weight")}
    if with_index:
        run["benchmark"] = [benchmark(n=100)]
    with pytest.raises(InputError, match=r"every strategy was ruined .*env\.ruin"):
        evidence_of(run)
    one_lives = evidence_of(run | {"ppo": [simulate("ppo", seed=0, n=100)]})
    assert one_lives.strategies["equal_weight"].ruined == [True]


@pytest.mark.parametrize(("n", "few"), [(199, True), (200, False)])
def test_short_windows_are_noted_and_the_headline_is_softened(n: int, few: bool) -> None:
    run = example_run(n=n, seeds=(0,))
    base = run["equal_weight"][0]
    net = base.net_return + 0.0005
    run["ppo"] = [replace(base, name="ppo", seed=0, net_return=net)]
    # From fewer histories no p-value that is corrected for four baselines could be below 5 %.
    e = evidence_of(run, n_bootstrap=200)
    assert any(note.startswith(f"{n} steps are few: below 200") for note in e.notes) == few
    first = headline(e)[0]
    assert "better, beyond what the choice of days explains" in first
    soft = f"explains, but {n} steps are few: intervals this short are somewhat too narrow."
    assert (soft in first) == few


def test_who_prints_the_same_shares_the_first_place() -> None:
    run = example_run(n=250, seeds=(0,))
    base = run["equal_weight"][0]
    run = {
        "equal_weight": [base],
        "risk_parity": [replace(base, net_return=base.net_return + 1e-9)],
        "momentum": [replace(base, net_return=base.net_return - 0.001)],
    }
    text = headline(evidence_of(run))[-1]
    assert "highest CAGR: Equal weight and Risk parity (" in text
    assert "highest Sharpe ratio: Equal weight and Risk parity (" in text


def test_windows_within_days_are_told_with_the_time() -> None:
    run = example_run(n=120, seeds=(0,))
    start = np.datetime64("2024-01-02T09:30", "ns")
    minutes = start + np.arange(121) * np.timedelta64(1, "m")
    for name, (t,) in run.items():
        run[name] = [replace(t, decision_dates=minutes[:-1], dates=minutes[1:])]
    w = evidence_of(run).window
    expected = ("2024-01-02 09:30", "2024-01-02 09:31", "2024-01-02 11:30")
    assert (w["first_decision"], w["first"], w["last"]) == expected


def test_trajectories_round_trip_to_the_bit(tmp_path: Path) -> None:
    run = example_run(n=40)
    run["ppo"][0] = replace(run["ppo"][0], notes=("a note", "ünïcode"))
    run["ppo"][1] = simulate("ppo", seed=0, n=40, ruin_at=7)
    save_trajectories(tmp_path / "t.h5", run)
    back = load_trajectories(tmp_path / "t.h5")
    assert list(back) == list(run)
    for name, runs in run.items():
        for one, two in zip(runs, back[name], strict=True):
            for f in fields(Trajectory):
                a, c = getattr(one, f.name), getattr(two, f.name)
                if f.name == "costs":
                    assert list(a) == list(c)
                    for kind in a:
                        np.testing.assert_array_equal(a[kind], c[kind])
                elif isinstance(a, np.ndarray):
                    assert a.dtype == c.dtype, f.name
                    np.testing.assert_array_equal(a, c)
                else:
                    assert a == c and type(a) is type(c), f.name


def test_a_truncated_or_foreign_store_is_named(tmp_path: Path) -> None:
    path = tmp_path / "t.h5"
    with pytest.raises(InputError, match="no such file"):
        load_trajectories(path)
    save_trajectories(path, {"equal_weight": [simulate("equal_weight", n=300)]})
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="truncated or not a file of trajectories"):
        load_trajectories(path)


def test_equal_growth_is_tested_by_its_logarithm() -> None:
    """One that multiplies wealth beside one that does not: growth a year is as sure as its log."""
    rng = np.random.default_rng(5)
    market = 0.01 * rng.standard_normal(400)
    run = {
        "ppo": [simulate("ppo", seed=0, n=400)],
        "equal_weight": [simulate("equal_weight", n=400)],
    }
    for name, net in (("ppo", market + 0.02 * rng.standard_normal(400) + 0.006),
                      ("equal_weight", market)):  # fmt: skip
        run[name] = [replace(run[name][0], net_return=net, value=np.r_[1, np.cumprod(1 + net)])]
    e = evidence_of(run, n_bootstrap=499)
    growth, log = (e.difference("ppo", "equal_weight", k) for k in ("cagr", "mean_log_return"))
    assert growth is not None and log is not None
    assert growth.value == pytest.approx(
        m.cagr(run["ppo"][0].net_return, 252) - m.cagr(market, 252)
    )
    assert growth.value > 1.0  # more than 100 percentage points a year
    assert growth.p_value == log.p_value and growth.verdict == log.verdict == "better"
    base = 1 + m.cagr(market, 252)
    assert (growth.low, growth.high) == pytest.approx(
        [base * np.expm1(log.low), base * np.expm1(log.high)]
    )


def test_seeds_far_apart_have_one_statistic_for_value_interval_and_p() -> None:
    """Their mean growth may be far above that of a market which their mean log is far below."""
    base = simulate("equal_weight", n=400)
    run = {"equal_weight": [base]}
    run["ppo"] = [
        replace(base, name="ppo", seed=k, net_return=net, value=np.r_[1, np.cumprod(1 + net)])
        for k, net in enumerate((base.net_return + 0.004, base.net_return - 0.0042))
    ]
    d = evidence_of(run, n_bootstrap=199).difference("ppo", "equal_weight", "cagr")
    assert d is not None and d.value is not None and d.low is not None and d.high is not None
    assert np.mean([m.cagr(t.net_return, 252) for t in run["ppo"]]) > m.cagr(base.net_return, 252)
    assert d.low <= d.value <= d.high < 0 and d.verdict == "worse"
    middle = np.exp(252 * np.mean([np.log1p(t.net_return).mean() for t in run["ppo"]]))
    assert d.value == pytest.approx(middle - 1 - m.cagr(base.net_return, 252))
    assert type(d.low) is float


def test_the_interval_of_a_difference_in_growth_covers_the_true_one() -> None:
    rng = np.random.default_rng(6)
    covered, means = 0, (0.0008, 0.0004)
    logs = [252 * (mean - 0.01**2 / 2) for mean in means]
    truth = np.exp(logs[0]) - np.exp(logs[1])
    for _ in range(200):
        common = 0.008 * rng.standard_normal(500)
        run = {}
        for name, log in zip(("ppo", "equal_weight"), logs, strict=True):
            net = np.expm1(log / 252 + common + 0.006 * rng.standard_normal(500))
            t = simulate(name, n=500)
            run[name] = [replace(t, net_return=net, value=np.r_[1, np.cumprod(1 + net)])]
        d = evaluate(run, agents=["ppo"], baselines=["equal_weight"], n_bootstrap=99).difference(
            "ppo", "equal_weight", "cagr"
        )
        assert d is not None and d.low is not None and d.high is not None
        covered += d.low <= truth <= d.high
    assert 0.95 - 3.3 * np.sqrt(0.05 * 0.95 / 200) <= covered / 200 <= 1.0


def test_pairs_with_a_bound_are_not_counted() -> None:
    run = example_run(n=200)
    names = {"agents": ["ppo"], "baselines": BASELINES, "n_bootstrap": 99, "seed": 1}
    e = evaluate(run, **names, hindsight=["momentum"])  # type: ignore[arg-type]
    others = {key: runs for key, runs in run.items() if key != "momentum"}
    names["baselines"] = [name for name in BASELINES if name != "momentum"]
    without = evaluate(others, **names)  # type: ignore[arg-type]
    assert e.difference("ppo", "momentum", "cagr").p_holm is None  # type: ignore[union-attr]
    for d in without.differences:
        mine = e.difference(d.agent, d.baseline, d.measure)
        assert mine is not None and d.p_holm == mine.p_holm


def test_arrays_of_unequal_length_are_named(tmp_path: Path) -> None:
    path = tmp_path / "t.h5"
    save_trajectories(path, {"equal_weight": [simulate("equal_weight", n=30)]})
    with h5py.File(path, "r+") as file:
        del file["equal_weight/0/turnover"]
        file["equal_weight/0/turnover"] = np.zeros(29)
    with pytest.raises(InputError, match=r"turnover has 29 steps, not 30"):
        load_trajectories(path)


def test_a_full_disk_leaves_the_former_trajectories(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "t.h5"
    save_trajectories(path, {"equal_weight": [simulate("equal_weight", n=30)]})
    before = path.read_bytes()

    def fail(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(InputError, match=r"t\.h5 cannot be written: no space left on device"):
        save_trajectories(path, {"momentum": [simulate("momentum", n=60)]})
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("count", "level", "words"),
    [
        (38, 0.95, "at least 39"), (198, 0.99, "at least 199"), (100, 1.0, "level must lie"),
        (100, float("nan"), "level must lie"), (0, 0.95, "n_bootstrap must"),
    ],
)  # fmt: skip
def test_replications_must_reach_the_level(count: int, level: float, words: str) -> None:
    with pytest.raises(InputError, match=words):
        evaluate(example_run(), agents=["ppo"], baselines=BASELINES, n_bootstrap=count, level=level)


def test_the_terminal_shows_agents_intervals_and_reasons() -> None:
    run = example_run(n=120)
    for width in (80, 140):
        console = Console(width=width, record=True, file=open("/dev/null", "w"))
        print_table(evidence_of(run), console)
        text = console.export_text()
        assert "PPO, 3 seeds" in text and "PPO − Equal weight" in text
        assert "Active share is n/a for Benchmark" in text
        assert max(len(line) for line in text.splitlines()) <= width
    assert label("maximum_sharpe") == "Maximum Sharpe" and label("ppo") == "PPO"
