"""Costs multiplied and trades delayed: closed forms, the run itself at times 1, and gaps."""

import numpy as np
import pytest

from agents.baselines import make_baseline
from agents.rollout import rollout
from envs.data.market_data import MarketData
from envs.data.synthetic import synthetic
from envs.errors import InputError
from envs.market.costs import Frictions, LiteratureCost, ProportionalCost, QuadraticCost
from envs.portfolio import PortfolioEnv
from experiments.evaluation import robustness
from experiments.evaluation.robustness import (
    FACTORS,
    FAR_FACTORS,
    Replay,
    break_even,
    scaled,
    study,
)
from tests import gaps
from tests.trajectories import benchmark


class Plan:
    """Asks for given weights, row by row."""

    observation = "indexed"

    def __init__(self, weights, action="simplex", name="plan"):
        self.weights, self.action, self.name, self.k = weights, action, name, 0

    def predict(self, observation, state=None, episode_start=None, deterministic=True):
        wish = self.weights[self.k]
        self.k += 1
        return (wish if self.action == "simplex" else wish[:-1] / 2.0), state


def daily(close, cash_rate=0.0):
    close = np.asarray(close, float)
    days = (np.datetime64("2020-01-01") + np.arange(len(close))).astype("datetime64[ns]")
    return MarketData(
        dates=days,
        symbols=tuple("ABCDEFGH"[: close.shape[1]]),
        close=close,
        cash_rate=np.full(len(close), cash_rate),
        periods_per_year=365.0,
        name="hand",
    )


def run(market, policy, cost, execution, **more):
    settings = (
        {"action_settings": {"gross": 2.0, "net": 2.0}} if policy.action == "long_short" else {}
    )
    return rollout(
        policy,
        PortfolioEnv(
            market, observation="indexed", action=policy.action, cost=cost, execution=execution,
            **settings, **more,
        ),
    )  # fmt: skip


def wander(market, n, seed=0, short=False):
    rng = np.random.default_rng(seed)
    raw = (
        rng.normal(size=(n, market.n_assets))
        if short
        else rng.exponential(size=(n, market.n_assets + 1))
    )
    if short:
        assets = raw / np.abs(raw).sum(axis=1, keepdims=True) * 1.5
        return np.c_[assets, 1 - assets.sum(axis=1)]
    return raw / raw.sum(axis=1, keepdims=True)


def test_switching_between_two_assets_has_a_closed_form():
    """Selling all of one for the other leaves (1 - c) / (1 + c), the first purchase 1 / (1 + c)."""
    n, c = 40, 0.002
    growth = 1 + 0.01 * np.random.default_rng(1).normal(size=(n, 2))
    market = daily(np.vstack([[1.0, 1.0], np.cumprod(growth, axis=0)]))
    weights = np.zeros((n, 3))
    weights[np.arange(n), np.arange(n) % 2] = 1.0
    t = run(market, Plan(weights), ProportionalCost(c * 1e4, 0.0), "same_close")
    out = study(market, {"plan": [t]}, cost=ProportionalCost(c * 1e4, 0.0), execution="same_close")
    earned = np.log(growth[np.arange(n), np.arange(n) % 2]).sum()
    found = out["strategies"]["plan"]
    for factor, (value,) in zip(
        (*FACTORS, *FAR_FACTORS), [*found["factors"], *found["far_factors"]], strict=True
    ):
        f = factor * c
        log = earned - np.log(1 + f) + (n - 1) * np.log((1 - f) / (1 + f))
        assert value == pytest.approx(np.expm1(log * 365 / n), rel=1e-11)
    for d in range(4):
        # Each step from the fifth on is one switch, and what was chosen d rows before.
        rows = np.arange(4, n)
        late = np.log(growth[rows, (rows - d) % 2]).sum() + (n - 4) * np.log((1 - c) / (1 + c))
        assert found["delays"][d][0] == pytest.approx(np.expm1(late * 365 / (n - 4)), rel=1e-11)
    assert out["delays_after"] == 4


def test_a_delay_alone_costs_a_holder_nothing():
    """Prices that double before the late ones have bought: growth from then on is the same."""
    close = np.cumprod(np.r_[1.0, 2.0, 2.0, np.full(40, 1.001)])[:, None]
    market = daily(close)
    t = run(market, make_baseline("buy_and_hold", market), ProportionalCost(10, 0), "next_close")
    out = study(market, {"hold": [t]}, cost=ProportionalCost(10, 0), execution="next_close")
    for (value,) in out["strategies"]["hold"]["delays"]:
        assert value == pytest.approx(1.001**365 - 1, rel=1e-9)
    short = run(daily(close[:4]), make_baseline("buy_and_hold", daily(close[:4])),
                ProportionalCost(10, 0), "next_close")  # fmt: skip
    out = study(daily(close[:4]), {"hold": [short]}, cost=ProportionalCost(10, 0),
                execution="next_close")  # fmt: skip
    assert out["strategies"]["hold"]["delays"] == [[None]] * 4


def test_break_even_with_cash_is_the_root_of_the_closed_form():
    """Bought once: wealth is G / (1 + f c), which is 1 at f = (G - 1) / c."""
    market = daily(np.linspace(1.0, 1.02, 31)[:, None])
    t = run(market, make_baseline("buy_and_hold", market), ProportionalCost(20, 0), "same_close")
    out = study(market, {"hold": [t]}, cost=ProportionalCost(20, 0), execution="same_close")
    found = out["strategies"]["hold"]["cash"]
    assert found["state"] == "crosses" and found["multiple"] == pytest.approx(10.0, rel=1e-3)


@pytest.mark.parametrize("delay", [1, 2, 3])
def test_what_holds_trades_nothing_however_late(delay):
    market = synthetic(n_rows=60, n_assets=3)
    cost = ProportionalCost(30, 0)
    t = run(market, make_baseline("buy_and_hold", market), cost, "same_close")
    replay = Replay.of(market, [t], cost=cost, execution="same_close")
    growth = replay.growth(delay=delay)[:, 0]
    assert growth[:delay] == pytest.approx(1 + market.cash_rate[1 : delay + 1], rel=1e-14)
    bought = (market.close[-1] / market.close[delay]) @ np.full(3, 1 / 3)
    assert np.prod(growth[delay:]) == pytest.approx(bought / 1.003, rel=1e-12)


@pytest.mark.parametrize("execution", gaps.EXECUTIONS)
@pytest.mark.parametrize(
    "cost",
    [
        ProportionalCost(10, 5),
        QuadraticCost(quadratic=0.01, commission_bps=5),
        Frictions(5, 5, impact=0.5, borrow_fee=0.02, borrow_rate_spread=0.03),
        LiteratureCost("mu_eiie", 0.0025),
        LiteratureCost("olps", 0.001),
    ],
    ids=["proportional", "quadratic", "frictions", "mu_eiie", "olps"],
)
@pytest.mark.parametrize("kind", ["baselines", "short"])
def test_at_once_and_at_its_own_costs_it_is_the_run(execution, cost, kind):
    market = synthetic(n_rows=90, ohlcv=True)
    if kind == "short":
        runs = [
            run(market, Plan(wander(market, 89, s, True), "long_short"), cost, execution, start=30)
            for s in (0, 1)
        ]
    else:
        names = ("equal_weight", "buy_and_hold")
        runs = [run(market, make_baseline(n, market), cost, execution, start=30) for n in names]
    replay = Replay.of(market, runs, cost=cost, execution=execution)
    growth = replay.growth()
    for k, t in enumerate(runs):
        assert growth[:, k] - 1 == pytest.approx(t.net_return, rel=1e-12, abs=1e-12)
    assert all(replay.faithful(growth))


@pytest.mark.parametrize("execution", gaps.EXECUTIONS)
def test_halts_and_delistings_are_replayed(execution):
    market, cost = gaps.gappy(), ProportionalCost(10, 5)
    names = ("equal_weight", "buy_and_hold")
    runs = [run(market, make_baseline(n, market), cost, execution, start=5) for n in names]
    replay = Replay.of(market, runs, cost=cost, execution=execution)
    for k, t in enumerate(runs):
        assert replay.growth()[:, k] - 1 == pytest.approx(t.net_return, rel=1e-12, abs=1e-12)


def test_free_trading_earns_what_the_run_earned_before_costs():
    market, cost = synthetic(n_rows=80), ProportionalCost(20, 5)
    t = run(market, Plan(wander(market, 79)), cost, "next_close")
    replay = Replay.of(market, [t], cost=cost, execution="next_close")
    free = replay.growth(scaled(replay.setting.costs, 0.0))
    assert free[:, 0] - 1 == pytest.approx(t.gross_return, rel=1e-12, abs=1e-13)


def test_agents_are_compared_with_all_others_and_each_seed_counts():
    market, cost = synthetic(n_rows=150), ProportionalCost(10, 5)
    at = {"cost": cost, "execution": "next_close", "start": 30}
    trajectories = {
        "ppo": [run(market, Plan(wander(market, 119, s)), **at) for s in (0, 1)],
        "equal_weight": [run(market, make_baseline("equal_weight", market), **at)],
        "buy_and_hold": [run(market, make_baseline("buy_and_hold", market), **at)],
        "benchmark": [benchmark(n=119)],
    }
    out = study(market, trajectories, cost=cost, execution="next_close", agents=["ppo"])
    assert list(out["strategies"]) == ["ppo", "equal_weight", "buy_and_hold"]
    assert [(p["strategy"], p["against"]) for p in out["pairs"]] == [
        ("ppo", "equal_weight"), ("ppo", "buy_and_hold"),
    ]  # fmt: skip
    assert [len(v) for v in out["strategies"]["ppo"]["factors"]] == [2] * len(FACTORS)
    falls = [np.mean(v) for v in out["strategies"]["ppo"]["factors"]]
    assert (np.diff(falls) < 0).all()
    assert out["impact"]["by"] == "share of volume"
    assert (np.diff(out["impact"]["strategies"]["ppo"]) < 0).all()


def test_orders_that_move_prices_cost_by_the_square_root_law():
    """One purchase of everything, at the share s of the volume: x + sigma sqrt(s) x^1.5 = 1."""
    market = synthetic(n_rows=60, n_assets=1)
    t = run(market, make_baseline("buy_and_hold", market), ProportionalCost(0, 0), "same_close",
            start=30)  # fmt: skip
    replay = Replay.of(market, [t], cost=ProportionalCost(0, 0), execution="same_close")
    costs = robustness.with_impact(market, replay.setting.costs, "same_close", 0.04)
    returns = market.close[10:31, 0] / market.close[9:30, 0] - 1
    k = np.sqrt(np.mean(returns**2)) * 0.2
    x = 1.0
    for _ in range(60):
        x = 1.0 - k * x**1.5
    first = market.close[31, 0] / market.close[30, 0]
    assert replay.growth(costs)[0, 0] == pytest.approx(x * first, rel=1e-12)


def test_break_even_in_words():
    x = np.array([0.0, 1.0, 2.0, 4.0])
    line = break_even(x, 3.0 - x)
    assert line["state"] == "crosses" and line["multiple"] == pytest.approx(3.0, abs=1e-9)
    assert break_even(x, 5.0 - x) == {"multiple": None, "state": "never behind", "up_to": 4.0}
    assert break_even(x, -1.0 - x)["state"] == "never ahead"
    assert break_even(x, x - 1.0) == {"multiple": pytest.approx(1.0), "state": "gains with costs"}
    missing = break_even(x, np.array([1.0, 0.5, np.nan, -1.0]))
    assert missing["state"] == "crosses" and 1 < missing["multiple"] < 4
    assert break_even(x, np.full(4, np.nan))["state"] == "unknown"


def test_what_cannot_be_replayed_is_said():
    market, cost = synthetic(n_rows=80), ProportionalCost(20, 5)
    t = run(market, Plan(wander(market, 79)), cost, "next_close")
    out = study(market, {"plan": [t]}, cost=ProportionalCost(1, 0), execution="next_close")
    assert "do not repeat the run" in out["strategies"]["plan"]["reason"] and out["pairs"] == []
    assert study(market, {}, cost=cost, execution="next_close")["reason"]
    with pytest.raises(InputError, match="not consecutive rows"):
        study(synthetic(n_rows=81, seed=3, first_date="2001-01-01"), {"plan": [t]}, cost=cost,
              execution="next_close")  # fmt: skip
