"""Statistics across rows against enumeration, other libraries and planted truths."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from experiments.comparing import statistics
from experiments.comparing.configs import differing, without_luck
from experiments.comparing.gap import Gap
from experiments.comparing.rows import Row
from experiments.comparing.statistics import across, improvement, rank, wins
from experiments.comparing.sweep import sweep_tests
from experiments.evaluation.evidence import evaluate
from tests.trajectories import simulate


def row(name="ppo", drift=0.0, seeds=3, n=400, noise=0.0, first=0, **kinds):
    """A row whose seeds earn `drift` a day more than equal weight, and own luck of size `noise`."""
    runs = []
    for seed in range(first, first + seeds):
        t = simulate("equal_weight", seed=seed, n=n, **kinds)
        luck = noise * np.random.default_rng(1000 + seed).standard_normal()
        net = t.net_return + (0.0 if t.ruined else drift + luck)
        runs.append(replace(t, net_return=net, value=np.r_[1.0, np.cumprod(1 + net)]))
    evidence = evaluate({name: runs}, agents=[name], baselines=[], n_bootstrap=40)
    return Row(("a",), name, {}, evidence, runs, None, {}, None, runs[0])


def compared(*rows, **settings):
    found = across(rows, **{"measure": "cagr", "replications": 200, "level": 0.95, **settings})
    assert found is not None
    return found


# ---------------------------------------------------------------------- probability of improvement
def test_improvement_is_the_share_of_all_pairs_of_seeds_and_histories():
    rng = np.random.default_rng(0)
    ours, theirs = (rng.integers(0, 4, (k, 50)).astype(float) for k in (3, 5))
    expected = np.mean(
        [
            1.0 if a[r] > b[r] else 0.5 if a[r] == b[r] else 0.0
            for a, b in product(ours, theirs)
            for r in range(50)
        ]
    )
    chance, (low, high) = improvement(ours, theirs, 0.95, np.random.default_rng(1))
    assert chance == pytest.approx(expected, abs=1e-12)
    assert low is not None and high is not None and low <= chance <= high
    back, _ = improvement(theirs, ours, 0.95, np.random.default_rng(1))
    assert chance + back == pytest.approx(1.0, abs=1e-12)


def test_improvement_of_one_history_is_the_statistic_of_mann_and_whitney():
    rng = np.random.default_rng(3)
    a, b = rng.standard_normal(7).round(1), rng.standard_normal(9).round(1)
    u = stats.mannwhitneyu(a, b).statistic
    assert wins(a[:, None], b[:, None]).mean() == pytest.approx(u / 63, abs=1e-12)


def test_the_interval_of_improvement_draws_seeds_within_each_side():
    """Two seeds that always win and two that never do, against one: 0, 1/2 or 1 by the seeds."""
    ours = np.repeat([[1.0], [1.0], [-1.0], [-1.0]], 10, axis=1)
    theirs = np.zeros((1, 10))
    chance, (low, high) = improvement(ours, theirs, 0.9, np.random.default_rng(0))
    # The number of winners among four draws is binomial: 5 % lie at 0, and 5 % at 4.
    expected = stats.binom(4, 0.5).ppf([0.05, 0.95]) / 4
    assert chance == 0.5 and [low, high] == list(expected)


def test_one_seed_each_has_no_interval_over_seeds():
    found = compared(row(seeds=1), row("ddpg", drift=1e-4, seeds=1))
    pair = found.pairs[0, 1]
    assert pair.improvement_low is None and pair.improvement_high is None
    assert pair.reason == "one seed each: no interval over seeds"
    several = compared(row(seeds=1), row("ddpg", drift=1e-4, seeds=2, noise=1e-3)).pairs[0, 1]
    assert several.improvement_low is not None and several.reason == ""


# ---------------------------------------------------------------------- ranks
def test_ranks_are_those_of_scipy_in_every_history():
    rng = np.random.default_rng(1)
    draws = rng.integers(0, 5, (4, 300)).astype(float)
    seen = rng.standard_normal(4)
    found = rank(seen, draws, 0.9)
    ranks = np.array([stats.rankdata(-column) for column in draws.T]).T
    for k, standing in enumerate(found):
        assert standing.observed == stats.rankdata(-seen)[k]
        assert standing.mean == pytest.approx(ranks[k].mean(), abs=1e-12)
        # The ends are ranks that occurred, and at most a twentieth lies beyond each.
        assert np.mean(ranks[k] < standing.low) <= 0.05 and standing.low in ranks[k]
        assert np.mean(ranks[k] > standing.high) <= 0.05 and standing.high in ranks[k]
    assert sum(s.first for s in found) == pytest.approx(1.0, abs=1e-12)
    assert sum(s.mean for s in found) == pytest.approx(10.0, abs=1e-12)


def test_a_planted_better_agent_is_first_and_told_apart():
    """All hold the same portfolio; one earns two basis points a day more, which never reverses."""
    rows = [row("a"), row("b", drift=2e-4), row("c", drift=-2e-4)]
    found = compared(*rows)
    assert found.best == 1
    assert [s.mean for s in found.standings] == [2.0, 1.0, 3.0]
    assert found.standings[1].first == 1.0 and found.standings[1].high == 1.0
    for pair in found.pairs.values():
        assert pair.improvement in (0.0, 1.0)
        assert pair.p_value == pytest.approx(1 / 201) and pair.p_holm < 0.05
    assert found.pairs[0, 1].value < 0 < found.pairs[0, 2].value
    assert (found.improvement(1, 0), found.improvement(0, 1)) == (1.0, 0.0)
    assert found.improvement(1, 1) is None


def test_rows_that_are_equal_share_their_ranks_and_are_not_told_apart():
    found = compared(row("a"), row("b"))
    assert [s.mean for s in found.standings] == [1.5, 1.5]
    assert [s.first for s in found.standings] == [0.5, 0.5]
    pair = found.pairs[0, 1]
    assert (pair.value, pair.p_value, pair.improvement) == (0.0, 1.0, 0.5)


# ---------------------------------------------------------------------- differences
def gap(seeds=((1.0,), (0.5,)), value=0.5, error=0.3, n=999, seed=0):
    rng = np.random.default_rng(seed)
    draws = value + error * rng.standard_normal(n)
    return Gap(value, error, draws, np.full(n, error), tuple(np.array(s) for s in seeds))


def test_with_one_seed_each_it_is_the_studentised_difference_of_the_report():
    """The same pair through `evaluate`, which knows nothing of several runs."""
    one, other = row("a", seeds=1, first=1), row("b", seeds=1, drift=1e-4)
    rng = np.random.default_rng(5)
    t = one.trajectories[0]
    net = t.net_return + 0.002 * rng.standard_normal(len(t.net_return))
    one = replace(one, trajectories=[replace(t, net_return=net)])
    found = compared(one, other, replications=300, seed=4)
    paths = {"a": one.trajectories, "b": other.trajectories}
    evidence = evaluate(paths, agents=["a"], baselines=["b"], n_bootstrap=300, seed=4)
    expected = evidence.difference("a", "b", "cagr")
    assert found.settings["mean_block"] == evidence.bootstrap["mean_block"]
    pair = found.pairs[0, 1]
    assert pair.value == pytest.approx(expected.value, abs=1e-14)
    assert (pair.low, pair.high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert pair.p_value == expected.p_value


def test_without_luck_of_dates_it_is_the_t_test_of_welch():
    rng = np.random.default_rng(2)
    a, b = rng.standard_normal(6) + 1.0, 2.0 * rng.standard_normal(9)
    value = float(a.mean() - b.mean())
    n = 9999
    one = Gap(value, 0.0, np.full(n, value), np.zeros(n), (a, b))
    test = stats.ttest_ind(a, b, equal_var=False)
    expected = test.confidence_interval(0.95)
    assert one.interval(0.95) == pytest.approx((expected.low, expected.high), rel=1e-9)
    assert one.p_value() == pytest.approx(test.pvalue, abs=2 / n)


def test_the_two_kinds_of_luck_add_as_squares_of_half_widths():
    seeds = ((1.0, 1.2, 0.9), (0.5, 0.7, 0.3, 0.6))
    both, dates = gap(seeds), gap()
    only = Gap(0.5, 0.0, np.full(999, 0.5), np.zeros(999), both.seeds)
    halves = [(g.interval(0.9)[1] - g.interval(0.9)[0]) / 2 for g in (both, dates, only)]
    assert halves[0] == pytest.approx(np.hypot(halves[1], halves[2]), rel=1e-12)
    assert both.p_value() > dates.p_value()


def test_interval_and_p_value_say_the_same():
    for seed, seeds in product(range(20), (((1.0,), (0.5,)), ((1.0, 1.4), (0.5, 0.6, 0.4)))):
        one = gap(seeds, value=0.1 * seed, seed=seed)
        low, high = one.interval(0.95)
        assert (low <= 0 <= high) == (one.p_value() > 0.05)


@pytest.mark.parametrize("n_seeds", [1, 3, 5, 10])
@pytest.mark.parametrize("ratio", [0.3, 1.0, 3.0])
def test_a_difference_of_nothing_is_refused_as_often_as_the_level_says(n_seeds, ratio):
    """The luck of seeds is `ratio` times that of dates; both are normal."""
    rng = np.random.default_rng([n_seeds, int(10 * ratio)])
    refused, tries = 0, 600
    for _ in range(tries):
        seeds = ratio * np.sqrt(n_seeds / 2) * rng.standard_normal((2, n_seeds))
        value = rng.standard_normal()
        if n_seeds > 1:
            value += seeds[0].mean() - seeds[1].mean()
        draws = value + rng.standard_normal(199)
        refused += Gap(value, 1.0, draws, np.ones(199), (seeds[0], seeds[1])).p_value() <= 0.05
    # Half-widths that add are on the safe side where both kinds of luck are of one size.
    assert stats.binom(tries, 0.01).ppf(0.001) <= refused <= stats.binom(tries, 0.05).ppf(0.999)


@pytest.mark.slow
def test_null_agents_are_told_apart_at_the_nominal_rate():
    """Two rows of three seeds each, with luck of seeds and of dates, and nothing between them."""
    rng = np.random.default_rng(0)
    rejected = []
    for k in range(300):
        days = 0.005 * rng.standard_normal((2, 250))
        luck = 0.0004 * rng.standard_normal((2, 3))
        rows = []
        for r in range(2):
            base = simulate("equal_weight", seed=0, n=250, market_seed=0)
            runs = [replace(base, seed=s, net_return=days[r] + luck[r, s]) for s in range(3)]
            evidence = evaluate({"a": runs}, agents=["a"], baselines=[], n_bootstrap=39)
            rows.append(Row(("a",), "a", {}, evidence, runs, None, {}))
        found = compared(*rows, measure="mean_log_return", seed=k)
        rejected.append(found.pairs[0, 1].p_value <= 0.05)
    # Added half-widths are on the safe side where both kinds of luck are of one size.
    assert 1 <= np.sum(rejected) <= stats.binom(300, 0.05).ppf(0.9995)


def test_holm_is_that_of_statsmodels():
    rows = [row(n, drift=d, noise=2e-4) for n, d in (("a", 0.0), ("b", 1e-4), ("c", 3e-4))]
    found = compared(*rows)
    raw = [pair.p_value for pair in found.pairs.values()]
    expected = multipletests(raw, method="holm")[1]
    assert [pair.p_holm for pair in found.pairs.values()] == pytest.approx(list(expected))


# ---------------------------------------------------------------------- what cannot be compared
def test_ruined_rows_are_left_out_and_named():
    found = compared(row("a"), row("b", drift=1e-4), row("c", ruin_at=30))
    assert found.standings[2] is None and set(found.pairs) == {(0, 1)}
    assert any("3 C" in note and "was ruined" in note for note in found.notes)


def test_what_was_chosen_in_hindsight_is_no_competitor():
    bound = row("best", drift=1e-3)
    evidence = evaluate(
        {"best": bound.trajectories}, agents=["best"], baselines=[], n_bootstrap=40,
        hindsight=["best"],
    )  # fmt: skip
    bound = replace(bound, evidence=evidence)
    found = compared(row("a"), bound, row("b", drift=1e-4))
    assert found.standings[1] is None and found.best == 2 and set(found.pairs) == {(0, 2)}
    assert any("with the test window in view" in note for note in found.notes)
    assert sweep_tests([row("a"), bound]) == {}


def test_a_row_without_the_measure_is_left_out_and_named():
    flat = row("flat")
    runs = [replace(t, net_return=t.cash_return) for t in flat.trajectories]
    evidence = evaluate({"flat": runs}, agents=["flat"], baselines=[], n_bootstrap=40)
    flat = replace(flat, trajectories=runs, evidence=evidence)
    found = compared(row("a"), flat, row("b", drift=1e-4), measure="sharpe")
    assert found.standings[1] is None
    assert any("return in excess of cash is constant" in note for note in found.notes)


def test_too_few_rows_or_dates_are_no_statistics():
    settings = {"replications": 20, "level": 0.95}
    assert across([row("a")], **settings) is None
    apart = row("b", start="2025-01-06")
    assert across([row("a"), apart], **settings) is None


def test_common_dates_are_those_of_all():
    late = row("b", start="2015-06-01")
    steps, common = statistics.common_steps([row("a").trajectories, late.trajectories])
    assert common[0] == late.trajectories[0].dates[0]
    assert common[-1] == row("a").trajectories[0].dates[-1]
    assert [s.net_return.shape for s in steps] == [(3, len(common))] * 2
    assert steps[1].net_return[0] == pytest.approx(late.trajectories[0].net_return[: len(common)])
    assert compared(row("a"), late).steps == len(common)


def test_equal_seeds_give_equal_bits():
    rows = [row("a"), row("b", drift=1e-4, noise=1e-4)]
    assert compared(*rows, seed=3) == compared(*rows, seed=3)
    assert compared(*rows, seed=3) != compared(*rows, seed=4)


def test_where_trials_are_counted_is_no_setting():
    runs = [{"seed": 0, "ledger": "one.jsonl"}, {"seed": 1, "ledger": None}]
    assert differing(runs) == ["seed"]
    assert without_luck(runs[0]) == without_luck(runs[1])
