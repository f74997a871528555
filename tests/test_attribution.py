"""The parts of a result: they add up, and each is what the definition says."""

import numpy as np
import pytest

from agents.baselines import make_baseline
from agents.rollout import rollout
from envs.data.synthetic import synthetic
from envs.market.costs import Frictions, LiteratureCost, ProportionalCost
from envs.market.legs import make_legs
from envs.portfolio import PortfolioEnv
from experiments.evaluation.attribution import attribute, linking, parts
from tests import gaps
from tests.test_robustness import Plan, daily, run, wander


def summed(found):
    return sum(found["assets"]) + found["cash"] + sum(found["costs"].values())


@pytest.mark.parametrize("execution", gaps.EXECUTIONS)
@pytest.mark.parametrize(
    "cost",
    [
        ProportionalCost(30, 10),
        Frictions(5, 5, impact=0.5, borrow_fee=0.1, borrow_rate_spread=0.1),
        LiteratureCost("olps", 0.003),
    ],
    ids=["proportional", "frictions", "olps"],
)
@pytest.mark.parametrize("kind", ["long", "short"])
def test_the_parts_add_up_to_the_log_of_wealth(execution, cost, kind):
    market = synthetic(n_rows=120, ohlcv=True)
    action = "simplex" if kind == "long" else "long_short"
    plan = Plan(wander(market, 119, 0, kind == "short"), action)
    t = run(market, plan, cost, execution, start=30)
    found = parts(t, market, make_legs(market, execution))
    assert found["total"] == pytest.approx(np.log(t.value[-1]), abs=1e-12)
    assert summed(found) == pytest.approx(found["total"], abs=1e-12)
    assert abs(found["other"]) < 1e-12
    assert list(found["costs"]) == list(t.costs)


@pytest.mark.parametrize("execution", gaps.EXECUTIONS)
@pytest.mark.parametrize("name", ["equal_weight", "buy_and_hold"])
def test_the_parts_add_up_through_halts_and_delistings(execution, name):
    market = gaps.gappy()
    t = run(market, make_baseline(name, market), ProportionalCost(10, 5), execution, start=5)
    found = parts(t, market, make_legs(market, execution))
    assert summed(found) == pytest.approx(np.log(t.value[-1]), abs=1e-12)


def test_one_step_by_hand():
    """Bought at the close for 1/(1+c) each half: A doubles, B halves, so r is 1.25/(1+c) - 1."""
    market = daily([[1.0, 1.0], [2.0, 0.5], [2.0, 0.5]])
    t = run(market, Plan(np.array([[0.5, 0.5, 0.0]] * 2)), ProportionalCost(100, 0), "same_close",
            stop=2 + 1)  # fmt: skip
    one = parts_of_first(t, market)
    c, r = 0.01, 1.25 / 1.01 - 1
    k = np.log1p(r) / r
    # The cost is the share c / (1 + c) of what the value would have become.
    assert one["A"] == pytest.approx(k * 0.5) and one["B"] == pytest.approx(-k * 0.25)
    assert one["commission"] == pytest.approx(-k * 1.25 * c / (1 + c))
    assert one["A"] + one["B"] + one["commission"] == pytest.approx(np.log1p(r), abs=1e-15)


def parts_of_first(t, market):
    from dataclasses import replace

    first = replace(
        t, dates=t.dates[:1], decision_dates=t.decision_dates[:1], weights=t.weights[:1],
        gross_return=t.gross_return[:1], net_return=t.net_return[:1],
        costs={k: v[:1] for k, v in t.costs.items()}, turnover=t.turnover[:1], value=t.value[:2],
    )  # fmt: skip
    found = parts(first, market, make_legs(market, "same_close"))
    return dict(zip(market.symbols, found["assets"], strict=True)) | found["costs"]


def test_against_a_plain_loop_over_steps_and_assets():
    market = synthetic(n_rows=60, n_assets=3, ohlcv=True)
    weights = wander(market, 59)
    t = run(market, Plan(weights), ProportionalCost(20, 0), "next_open")
    total = np.zeros(4)
    held = np.array([0.0, 0.0, 0.0, 1.0])
    for k in range(59):
        night = np.append(market.open[k + 1] / market.close[k], 1 + market.cash_rate[k + 1])
        day = np.append(market.close[k + 1] / market.open[k + 1], 1.0)
        earned = [held[i] * (night[i] - 1) for i in range(4)]
        grown = sum(held[i] * night[i] for i in range(4))
        earned = [earned[i] + grown * weights[k, i] * (day[i] - 1) for i in range(4)]
        r = t.net_return[k]
        total += np.array(earned) * np.log1p(r) / r
        held = weights[k] * day / (weights[k] @ day)
    found = parts(t, market, make_legs(market, "next_open"))
    assert np.append(found["assets"], found["cash"]) == pytest.approx(total, rel=1e-11)


def test_linking_of_a_step_that_earned_nothing():
    assert linking(np.array([0.0, 1e-300, 1.0])) == pytest.approx([1.0, 1.0, np.log(2)])


def test_seeds_are_averaged_and_an_index_is_left_out():
    from tests.trajectories import benchmark

    market, cost = synthetic(n_rows=100), ProportionalCost(10, 5)
    runs = [run(market, Plan(wander(market, 99, s)), cost, "next_close") for s in (0, 1)]
    both = attribute(market, {"ppo": runs, "benchmark": [benchmark(n=99)]}, execution="next_close")
    assert list(both["strategies"]) == ["ppo"]
    years = 99 / 252
    for key in ("cash", "total"):
        each = [parts(t, market, make_legs(market, "next_close"))[key] / years for t in runs]
        assert both["strategies"]["ppo"][key] == pytest.approx(np.mean(each), rel=1e-14)
    assert summed(both["strategies"]["ppo"]) == pytest.approx(
        np.mean([np.log(t.value[-1]) / years for t in runs]), abs=1e-12
    )


def test_wealth_that_is_gone_has_no_parts():
    market = daily([[1.0], [3.0], [3.0]])
    policy = Plan(np.array([[-2.0, 3.0]] * 2), "long_short")
    env = PortfolioEnv(
        market, observation="indexed", action="long_short", execution="same_close",
        action_settings={"gross": 2.0, "net": 2.0}, cost=ProportionalCost(0, 0), ruin=0.0,
    )  # fmt: skip
    t = rollout(policy, env)
    found = attribute(market, {"plan": [t]}, execution="same_close")
    assert "wealth reached zero" in found["strategies"]["plan"]["reason"]
