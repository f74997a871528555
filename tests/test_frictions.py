"""Frictions: the kernel against fifty digits, against numbers by hand, and invariants."""

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from agents.baselines import make_baseline
from agents.rollout import rollout
from envs.data import futures, olps
from envs.data.market_data import MarketData
from envs.data.store import cache_folder, load_extra, load_panel
from envs.data.synthetic import synthetic
from envs.errors import InputError
from envs.market.cost_arrays import volatility
from envs.market.costs import Frictions, LiteratureCost, ProportionalCost, QuadraticCost
from envs.market.kernel import step_frictions_nb, step_nb
from envs.portfolio import PortfolioEnv
from envs.simulation import Setting, Simulation, make_setting
from envs.vector import PortfolioVectorEnv
from tests import reference
from tests import reference_frictions as twin

EXECUTIONS = ("same_close", "next_close", "next_open")
ACTIONS = ("softmax", "simplex", "long_short", "trade")
T, FIRST = 16, 6
PERIODS = 252.0
# Worlds are drawn from a seed: a smaller seed is no simpler world.
NO_SHRINKING = (Phase.explicit, Phase.reuse, Phase.generate)
KINDS = ("commission", "spread", "impact", "borrow", "financing")


# ------------------------------------------------------------------ worlds
def panel(rng, n_assets, gaps=False, crash=0.0):
    """Prices that jump, volumes from none to plenty, halts, late listings and delistings."""
    move = rng.normal(0.0, 0.05, (T, n_assets)) + crash * rng.normal(0, 1, (T, n_assets))
    close = rng.uniform(5, 200, n_assets) * np.exp(np.cumsum(move, axis=0))
    opens = close * np.exp(rng.normal(0, 0.02, close.shape))
    volume = np.exp(rng.normal(9, 2, close.shape)) * (rng.random(close.shape) > 0.05)
    fields = {"delisting_value": None, "tradable": None}
    if gaps and n_assets > 1:
        tradable = rng.random(close.shape) > 0.15
        tradable[:, 0] = True  # a day without trade is refused
        for i in range(1, n_assets):
            if rng.random() < 0.3:
                tradable[: rng.integers(1, T - 2), i] = False
            if rng.random() < 0.3:
                tradable[rng.integers(FIRST + 1, T) :, i] = False
        tradable[-1, 1] = False
        fields = {
            "tradable": tradable,
            "delisting_value": rng.uniform(0.0, 1.2, n_assets),
        }
    return MarketData(
        np.arange("2020-01-01", T, dtype="datetime64[D]"),
        [f"A{i}" for i in range(n_assets)],
        close,
        open=opens,
        volume=volume,
        cash_rate=rng.uniform(0, 0.002, T),
        periods_per_year=PERIODS,
        **fields,
    )


def draw_cost(rng, n_assets, kind, gross):
    rates = {
        "commission_bps": rng.uniform(0, 40, n_assets).tolist(),
        "half_spread_bps": rng.uniform(0, 40, n_assets).tolist(),
    }
    if kind == "quadratic":
        # An order may turn one side into the other, and its last part must not cost all.
        highest = 0.05 / max(gross, 1.0) ** 2
        return QuadraticCost(quadratic=rng.uniform(0, highest, n_assets).tolist(), **rates)
    return Frictions(
        **rates,
        impact=rng.choice([0.0, 0.3, 0.8]),
        participation=rng.choice([None, 0.01, 0.1, 1.0]),
        capital=float(np.exp(rng.uniform(9, 17))),
        lot_size=rng.choice([None, 1.0, 100.0]) if kind == "lots" else None,
        borrow_fee=rng.uniform(0, 0.5, n_assets).tolist(),
        borrow_rate_spread=float(rng.uniform(0, 0.5)),
        margin=gross * rng.uniform(1.05, 1.3),
    )


def draw_world(seed, n_assets, execution, action, kind, gaps, delay, n):
    """A simulation of `n` portfolios in random states, an action for each, and the costs."""
    rng = np.random.default_rng(seed)
    market = panel(rng, n_assets, gaps, crash=rng.choice([0.0, 0.1]))
    gross = float(rng.uniform(0.5, 2.5)) if action == "long_short" else 1.0
    limits = {"gross": gross, "net": gross * rng.random()} if action == "long_short" else {}
    cost = draw_cost(rng, n_assets, kind, gross)
    setting = make_setting(
        market,
        start=FIRST,
        action=action,
        action_settings=limits,
        execution=execution,
        delay=delay,
        cost=cost,
    )
    simulation = Simulation(setting, n)
    state = simulation.state
    simulation.restart(np.arange(n), [rng] * n)
    state.row[:] = rng.integers(FIRST, T - 1, n)
    state.value[:] = np.exp(rng.normal(0, 0.5, n))
    weights = rng.dirichlet(np.full(n_assets + 1, 0.5), n)
    if action == "long_short":
        signs = rng.choice([-1.0, 1.0], weights.shape)
        weights = weights * signs * gross * rng.uniform(0.2, 1.3, (n, 1))
    if setting.legs.tradable is not None:
        seen = np.logical_or.accumulate(market.tradable, axis=0)[state.row]
        gone = np.logical_or.accumulate(np.isfinite(market.delisting_value), axis=0)[state.row]
        weights[:, :-1][~seen | gone] = 0.0
    weights[:, -1] = 1.0 - weights[:, :-1].sum(axis=1)
    state.weights[:] = weights
    state.pending[:] = rng.uniform(-1, 1, state.pending.shape)
    state.waiting[:] = rng.integers(0, delay + 1, n)
    actions = rng.uniform(-1, 1, (n, setting.action_map.n_actions))
    actions[rng.random(actions.shape) < 0.2] = 0.0
    return simulation, actions, cost


def twin_step(simulation, before, n, action):
    """The twin's step of portfolio `n` from the state `before`."""
    setting, cost = simulation.setting, before["cost"]
    market, legs, rows = setting.market, setting.legs, setting.market.n_assets
    t = int(before["row"][n])
    at = t if before["execution"] == "same_close" else t + 1
    frictions = cost if isinstance(cost, Frictions) else Frictions(0, 0)
    capital = twin.D(frictions.capital)
    long_only = setting.action_map.name != "long_short"

    def day(decision, row):
        """What is met by a trade at `row` whose rates are those of the decision row `decision`."""
        can = [True] * rows if legs.tradable is None else market.tradable[row].tolist()
        needs_volume = frictions.impact > 0 or frictions.participation is not None
        volume = sigma = None
        participation = frictions.participation
        if needs_volume:
            money = np.nan_to_num(market.volume[row] * market.close[row])
            volume = twin.exact(np.where(can, money, 0.0))
            participation = twin.D(1.0 if participation is None else participation)
            sigma = twin.exact(before["sigma"][decision])
        price = market.open[row] if before["execution"] == "next_open" else market.close[row]
        lot = None
        if frictions.lot_size is not None:
            lot = twin.exact(np.where(can, price, 1.0) * frictions.lot_size)
        quadratic = cost.quadratic if isinstance(cost, QuadraticCost) else [0.0] * rows
        return twin.Day(
            tradable=can,
            commission=[twin.D(x) / 10_000 for x in cost.commission_bps],
            spread=[twin.D(x) / 10_000 for x in cost.half_spread_bps],
            quadratic=twin.exact(quadratic),
            impact=twin.D(frictions.impact),
            sigma=sigma,
            volume=volume,
            participation=participation,
            lot=lot,
            capital=capital,
        )

    if before["execution"] == "same_close":
        night_day = day(t + 1, t + 1)
    else:
        night_day = day(t, at)
    due, waits = action, False
    if setting.delay:
        due, waits = before["pending"][n, 0], before["waiting"][n] > 0

    def wish_of(held):
        if waits:
            return held
        a, name = due.tolist(), setting.action_map.name
        if name == "softmax":
            wish = reference.softmax(a, setting.action_map.scale)
        elif name == "simplex":
            wish = reference.simplex(a)
        elif name == "long_short":
            wish = reference.long_short(a, setting.action_map.gross, setting.action_map.net)
        else:
            can = day(t, at).tradable
            a = [x if c else 0.0 for x, c in zip(a, can, strict=True)]
            wish = reference.trade(a, [float(h) for h in held])
        return twin.exact(wish)

    borrow = [twin.D(x) / twin.D(PERIODS) for x in np.broadcast_to(frictions.borrow_fee, rows)]
    financing = twin.D(frictions.borrow_rate_spread) / twin.D(PERIODS)
    return twin.step(
        twin.exact(before["weights"][n]),
        twin.D(float(before["value"][n])) * capital,
        wish_of,
        None if legs.before is None else twin.exact(legs.before[t]),
        None if legs.after is None else twin.exact(legs.after[t]),
        day(t, at),
        night_day,
        (borrow, financing),
        [False] * rows if legs.settles is None else legs.settles[t].tolist(),
        twin.INFINITE if frictions.margin is None else twin.D(frictions.margin),
        twin.D(setting.action_map.gross_limit),
        long_only,
    ), capital


worlds = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 2**32 - 1),
        "n_assets": st.integers(1, 5),
        "execution": st.sampled_from(EXECUTIONS),
        "action": st.sampled_from(ACTIONS),
        "kind": st.sampled_from(["quadratic", "plain", "plain", "lots"]),
        "gaps": st.booleans(),
        "delay": st.sampled_from([0, 0, 1, 3]),
    }
)


def compare(world, n):
    simulation, actions, cost = draw_world(**world, n=n)
    setting, state, last = simulation.setting, simulation.state, simulation.last
    assert simulation._step is step_frictions_nb
    before = {k: v.copy() for k, v in state.__dict__.items()}
    before |= {"cost": cost, "execution": world["execution"]}
    before["sigma"] = volatility(setting.market, 21)
    simulation.step(actions)
    for i in range(n):
        (held, executed, moved, forced), capital = twin_step(simulation, before, i, actions[i])
        where = f"{world}, portfolio {i}"
        if held.value <= 0:
            assert state.value[i] <= 1e-12, where
            continue
        assert bool(last.forced[i]) == forced, where
        value = float(held.value / capital)
        assert state.value[i] == pytest.approx(value, rel=1e-9), where
        assert last.gross_return[i] + 1 == pytest.approx(float(moved), rel=1e-9), where
        assert last.target[i] == pytest.approx([float(w) for w in executed], abs=1e-9), where
        weights = [float(w) for w in held.weights()]
        assert state.weights[i] == pytest.approx(weights, abs=1e-9), where
        for kind in (*KINDS, "turnover"):
            paid = float(held.paid.get(kind, 0))
            assert getattr(last, kind)[i] == pytest.approx(paid, abs=1e-9), (kind, where)
    check_invariants(simulation, before, n)


def check_invariants(simulation, before, n):
    """What holds whatever the twin says."""
    setting, last, state = simulation.setting, simulation.last, simulation.state
    alive = state.value > 0
    assert np.isfinite(state.weights).all() and np.isfinite(state.value).all()
    assert np.abs(state.weights.sum(axis=1) - 1).max() < 1e-12
    # conserved: prices move what is there, and the costs leave
    paid = sum(getattr(last, kind) for kind in KINDS)
    assert np.abs(1 - paid - last.kept)[alive].max(initial=0.0) < 1e-14
    growth = before["value"] * last.before * last.kept * last.after
    assert state.value == pytest.approx(growth, rel=1e-12)
    limit, cost = setting.action_map.gross_limit, setting.costs
    if not cost.lots.any() and np.isinf(cost.capacity).all():
        gross = np.abs(last.target[:, :-1])
        stuck = np.zeros(n)
        if setting.legs.tradable is not None:
            stuck = (gross * ~setting.legs.tradable[before["row"]]).sum(axis=1)
        traded = (alive | (last.after <= 0)) & (before["waiting"] == 0)
        assert (gross.sum(axis=1) <= np.maximum(limit, stuck) + 1e-12)[traded].all()
    if setting.action_map.name != "long_short":
        assert last.target.min() >= 0.0 and state.weights.min() >= 0.0
        assert not last.forced.any()


@settings(max_examples=10, deadline=None, phases=NO_SHRINKING, derandomize=True)
@given(worlds)
def test_five_thousand_steps_equal_the_twin(world):
    compare(world, 500)


@pytest.mark.slow
@settings(max_examples=220, deadline=None, phases=NO_SHRINKING, derandomize=True)
@given(worlds)
def test_a_hundred_thousand_steps_equal_the_twin(world):
    compare(world, 500)


# ------------------------------------------------------------------ one at a time, by hand
def days(close, **fields):
    """A panel of these closes `[T, A]`."""
    close = np.asarray(close, float)
    dates = np.arange("2020-01-01", len(close), dtype="datetime64[D]")
    names = [f"A{i}" for i in range(close.shape[1])]
    return MarketData(dates, names, close, periods_per_year=PERIODS, **fields)


def one_step(market, cost, action, weights=None, kind="simplex", **keywords):
    """The step that this action makes from these weights (default: cash), at the close seen."""
    env = PortfolioEnv(
        market, cost=cost, action=kind, execution="same_close", **{"start": 0, **keywords}
    )
    env.reset(seed=0)
    if weights is not None:
        env.simulation.state.weights[0] = weights
    *_, info = env.step(np.array(action, float))
    return info


FLAT = np.full((8, 1), 100.0)
TWO = np.full((8, 2), 100.0)
FREE = {"commission_bps": 0.0, "half_spread_bps": 0.0}


def test_quadratic_cost_by_hand():
    """All cash into one asset at c = 0.02: x + 0.02 x^2 = 1."""
    info = one_step(days(FLAT), QuadraticCost(quadratic=0.02), [1.0, 0.0])
    x = (-1 + 1.08**0.5) / 0.04
    assert x == pytest.approx(0.980762, abs=5e-7)
    assert info["value"] == pytest.approx(x, abs=1e-14)
    assert info["impact"] == pytest.approx(0.02 * x**2, abs=1e-14)


def test_impact_by_hand():
    """Half of a million in a market that moves by 1 % and trades 100 million: 0.5 % of the volume,
    so the order costs 1 % * sqrt(0.005) = 0.07 % of itself."""
    close = 100.0 * np.cumprod(np.tile([[1.01], [1 / 1.01]], (5, 1)), axis=0)
    market = days(close, volume=1e8 / close)
    # The returns are +1 % and -0.990099 %, so their root mean square is close to 1 %.
    sigma = volatility(market, 21)[6, 0]
    assert sigma == pytest.approx((0.5 * (0.01**2 + (1 / 1.01 - 1) ** 2)) ** 0.5, abs=1e-15)
    cost = Frictions(**FREE, impact=1.0, capital=1e6)
    info = one_step(market, cost, [0.5, 0.5], start=6)
    order = 0.5 * (1 - info["impact"])
    assert info["impact"] == pytest.approx(sigma * (order * 1e6 / 1e8) ** 0.5 * order, abs=1e-16)
    assert info["impact"] == pytest.approx(0.0995e-1 * 0.005**0.5 * 0.5, rel=1e-3)
    assert info["weights"] == pytest.approx([0.5, 0.5], abs=1e-14)
    # four times the capital, twice the cost of the unit
    large = one_step(market, Frictions(**FREE, impact=1.0, capital=4e6), [0.5, 0.5], start=6)
    assert large["impact"] / info["impact"] == pytest.approx(2.0, rel=1e-3)


def test_a_cap_by_hand():
    """10 % of 1,000 shares at 100 is 1 % of a million; the rest of the order is dropped."""
    market = days(FLAT, volume=np.full((8, 1), 1000.0))
    info = one_step(market, Frictions(10.0, 0.0, participation=0.1, capital=1e6), [1.0, 0.0])
    assert info["turnover"] == pytest.approx(0.01, abs=1e-15)
    assert info["commission"] == pytest.approx(0.01 * 0.001, abs=1e-18)
    assert info["weights"] == pytest.approx([0.01 / (1 - 1e-5), 1 - 0.01 / (1 - 1e-5)], abs=1e-15)
    # the same number as currency is a hundredth of that
    money = Frictions(10.0, 0.0, participation=0.1, capital=1e6, volume="currency")
    assert one_step(market, money, [1.0, 0.0])["turnover"] == pytest.approx(1e-4, abs=1e-17)


def test_a_cut_sale_cuts_the_purchase_that_it_pays_for():
    """A may be sold up to 10 % of the portfolio; what it brings less 10 bps buys B and its fee."""
    market = days(TWO, volume=np.full((8, 2), [1000.0, 1e9]))
    cost = Frictions(10.0, 0.0, participation=1.0, capital=1e6)
    info = one_step(market, cost, [0.0, 1.0, 0.0], weights=[1.0, 0.0, 0.0])
    bought = 0.1 * 0.999 / 1.001
    kept = 1 - 0.001 * (0.1 + bought)
    assert info["weights"] == pytest.approx([0.9 / kept, bought / kept, 0.0], abs=1e-14)
    assert info["weights"][2] == 0.0
    assert info["value"] == pytest.approx(kept, abs=1e-15)


def test_without_volume_nothing_trades():
    market = days(TWO, volume=np.zeros((8, 2)))
    for cost in (Frictions(participation=0.5), Frictions(impact=1.0)):
        start = 6 if cost.impact else 0
        info = one_step(market, cost, [0.0, 1.0, 0.0], weights=[0.6, 0.0, 0.4], start=start)
        assert info["turnover"] == info["commission"] == 0.0
        assert info["weights"] == pytest.approx([0.6, 0.0, 0.4], abs=1e-15)


def test_lots_by_hand():
    """1,000 in whole shares at 30: 33 of them and 10 in cash."""
    cost = Frictions(**FREE, lot_size=1, capital=1000.0)
    info = one_step(days(np.full((8, 1), 30.0)), cost, [1.0, 0.0])
    assert info["weights"] == pytest.approx([0.99, 0.01], abs=1e-15)
    # a short of 33.3 shares is one of 33
    info = one_step(days(np.full((8, 1), 30.0)), cost, [-1.0], kind="long_short")
    assert info["weights"] == pytest.approx([-0.99, 1.99], abs=1e-15)
    # and whole shares that fit exactly are bought exactly
    info = one_step(days(np.full((8, 1), 25.0)), cost, [1.0, 0.0])
    assert info["weights"] == pytest.approx([1.0, 0.0], abs=1e-15)


def test_whole_lots_stay_whole_for_thousands_of_steps():
    market = synthetic(n_rows=2500, n_assets=3, seed=5)
    cost = Frictions(5.0, 5.0, lot_size=10, capital=1e5)
    env = PortfolioEnv(market, cost=cost, action="simplex", execution="next_close")
    env.reset(seed=0)
    rng = np.random.default_rng(0)
    for k in range(2400):
        wish = rng.dirichlet(np.ones(4)) if k % 50 == 0 else env.simulation.state.weights[0]
        *_, info = env.step(wish)
        lots = info["weights"][:3] * info["value"] * 1e5 / (10 * market.close[info["t"]])
        assert np.abs(lots - np.rint(lots)).max() < 1e-7
        assert info["weights"][3] >= 0.0


def test_borrow_fee_and_financing_by_hand():
    """A day's fee of 10 % a year on a short of half the value; 5 % a year on debt of as much."""
    cost = Frictions(**FREE, borrow_fee=0.1, borrow_rate_spread=0.05)
    market = days(FLAT, cash_rate=np.full(8, 0.001))
    keywords = {"kind": "long_short", "action_settings": {"gross": 2.0, "net": 2.0}}
    info = one_step(market, cost, [-0.25], **keywords)
    # a fraction of the value that there would be without costs, here after a day's cash rate
    assert info["borrow"] == pytest.approx(0.5 * 0.1 / 252 / 1.0015, abs=1e-18)
    assert info["financing"] == 0.0
    assert info["value"] == pytest.approx(1 + 1.5 * 0.001 - 0.5 * 0.1 / 252, abs=1e-15)
    info = one_step(market, cost, [0.75], **keywords)
    assert info["financing"] == pytest.approx(0.5 * 0.05 / 252 / 0.9995, abs=1e-18)
    assert info["borrow"] == 0.0
    assert info["value"] == pytest.approx(1 - 0.5 * (0.001 + 0.05 / 252), abs=1e-15)


@pytest.mark.parametrize("execution", EXECUTIONS)
@pytest.mark.parametrize(
    "fees", [{"borrow_fee": 5.0}, {"borrow_rate_spread": 5.0}, {"borrow_fee": 1.0, "margin": 2.1}]
)
def test_the_costs_of_a_step_sum_to_what_is_not_kept(execution, fees):
    market = panel(np.random.default_rng(3), 3, crash=0.1)
    env = PortfolioEnv(
        market, cost=Frictions(1000.0, 20.0, **fees), execution=execution, action="long_short",
        action_settings={"gross": 2.0, "net": 2.0}, start=FIRST, ruin=0.0,
    )  # fmt: skip
    rng = np.random.default_rng(0)
    seen = 0
    for seed in range(20):
        env.reset(seed=seed)
        done = False
        while not done:
            *_, done, cut, info = env.step(rng.uniform(-1, 1, 3))
            done |= cut
            last = env.simulation.last
            costs = sum(info.get(kind, 0.0) for kind in KINDS)
            assert 1 - costs == pytest.approx(last.kept[0], abs=1e-15)
            after = (1 + info["gross_return"]) * (1 - costs)
            assert 1 + info["net_return"] == pytest.approx(after, abs=2e-15)
            seen += info.get("borrow", 0) + info.get("financing", 0) + info.get("forced", 0) > 0
    assert seen > 20


def test_forced_sale_by_hand():
    """Twice the value long, then -20 %: 1.6 of assets on 0.6 of value is a leverage of 2.67. Back
    to 2 at 10 bps: x + 0.001 (2.667 - 2 x) = 1."""
    market = days([[100.0], [80.0], [80.0], [80.0]])
    limits = {"kind": "long_short", "action_settings": {"gross": 2.0, "net": 2.0}}
    info = one_step(market, Frictions(10.0, 0.0, margin=2.5), [1.0], **limits)
    bought = 1 / (1 + 0.002)  # x + 0.001 * 2 x = 1
    assert info["forced"] is True
    value = bought * 0.6
    leverage = 1.6 / 0.6
    x = (1 - 0.001 * leverage) / (1 - 0.002)
    assert info["value"] == pytest.approx(value * x, abs=1e-15)
    sold = leverage - 2 * x
    assert info["commission"] == pytest.approx(0.001 * bought * (2 + sold), abs=1e-15)
    assert info["turnover"] == pytest.approx(bought * (2 + sold), abs=1e-14)
    info = one_step(market, Frictions(10.0, 0.0, margin=2.7), [1.0], **limits)
    assert info["forced"] is False and info["value"] == pytest.approx(value, abs=1e-15)


def test_a_forced_sale_at_the_last_close_meets_the_costs_and_halts_of_that_close():
    """Twice the value long at 100, then 80 at the last row, which charges 100 bps, not 10."""
    market = days([[100.0], [100.0], [80.0]])
    rates = [[10.0], [10.0], [100.0]]
    limits = {"kind": "long_short", "action_settings": {"gross": 2.0, "net": 2.0}}
    info = one_step(market, Frictions(rates, 0.0, margin=2.5), [1.0], start=1, **limits)
    leverage = 1.6 / 0.6
    x = (1 - 0.01 * leverage) / (1 - 0.02)
    assert info["forced"]
    assert info["value"] == pytest.approx(0.6 / 1.002 * x, abs=1e-15)
    # a halt that is over at that close is no obstacle, and a lot is worth its price
    tradable = np.ones((3, 2), bool)
    tradable[1, 0] = False
    market = days([[100.0, 1.0], [100.0, 1.0], [80.0, 1.0]], tradable=tradable)
    cost = Frictions(**FREE, capital=600.0, lot_size=10, margin=2.1)
    info = one_step(
        market, cost, [0.0, 0.0], weights=[2.0, 0.0, -1.0], start=1,
        kind="long_short", action_settings={"gross": 2.0, "net": 2.0},
    )  # fmt: skip
    # 12 shares, whatever is wished; worth 960 on 360 at the close; 720 are 9, no whole lot of 10
    assert info["forced"] and info["value"] == pytest.approx(0.6, abs=1e-15)
    assert info["turnover"] == pytest.approx(960 / 360, abs=1e-14)


def test_a_forced_sale_leaves_the_gross_limit():
    market = days([[100.0, 50.0], [80.0, 55.0], [80.0, 55.0], [80.0, 55.0]])
    env = PortfolioEnv(
        market, cost=Frictions(10.0, 5.0, margin=2.2), execution="same_close",
        action="long_short", action_settings={"gross": 2.0, "net": 1.0},
    )  # fmt: skip
    env.reset(seed=0)
    *_, info = env.step(np.array([0.5, -0.5]))
    weights = env.simulation.state.weights[0]
    assert info["forced"] and np.abs(weights[:2]).sum() == pytest.approx(2.0, abs=1e-13)
    assert weights.sum() == pytest.approx(1.0, abs=1e-14)


def test_a_halted_asset_keeps_its_holding_and_the_others_share_the_rest():
    """A is halted at 0.4. Wished were 0.2, 0.6 and cash 0.2: B and cash share 0.6 as 3 to 1."""
    tradable = np.ones((8, 2), bool)
    tradable[1, 0] = False
    market = days(TWO, tradable=tradable)
    env = PortfolioEnv(
        market, cost=ProportionalCost(0.0, 0.0), action="simplex", execution="next_close"
    )
    env.reset(seed=0)
    env.simulation.state.weights[0] = [0.4, 0.3, 0.3]
    *_, info = env.step(np.array([0.2, 0.6, 0.2]))
    assert info["weights"] == pytest.approx([0.4, 0.45, 0.15], abs=1e-15)
    assert info["weights"][0] == 0.4


def test_orders_make_room_for_what_is_halted():
    """All in A, which halts; all into B is asked for, then half of it, then a short of B."""
    tradable = np.ones((40, 2), bool)
    tradable[5:20, 0] = False
    market = days(np.full((40, 2), 100.0), tradable=tradable)
    env = PortfolioEnv(
        market, cost=ProportionalCost(0.0, 0.0), action="long_short", execution="same_close",
        action_settings={"gross": 1.0, "net": 1.0},
    )  # fmt: skip
    env.reset(seed=0)
    for k in range(30):
        action = np.array([1.0, 0.0] if k < 5 else [0.0, 1.0])
        *_, info = env.step(action)
        wanted = [1.0, 0.0, 0.0] if k < 20 else [0.0, 1.0, 0.0]
        assert info["weights"] == pytest.approx(wanted, abs=1e-14)
    halt = {"weights": [0.6, 0.1, 0.3], "kind": "long_short", "start": 5}
    limits = {"action_settings": {"gross": 1.0, "net": 1.0}}
    free = ProportionalCost(0.0, 0.0)
    for asked, got in ((0.3, 0.3), (0.5, 0.4), (1.0, 0.4), (-1.0, -0.4), (0.0, 0.0)):
        info = one_step(market, free, [0.0, asked], **halt, **limits)
        assert info["weights"][1] == pytest.approx(got, abs=1e-14)
    # at 100 bps: 0.6 + h = x and x + 0.01 (h - 0.1) = 1
    info = one_step(market, ProportionalCost(100.0, 0.0), [0.0, 1.0], **halt, **limits)
    x = 1.007 / 1.01
    assert info["weights"] == pytest.approx([0.6 / x, 1 - 0.6 / x, 0.0], abs=1e-14)
    assert info["value"] == pytest.approx(x, abs=1e-15)
    # beyond the limit alone: the rest is sold, and nothing is bought
    halt["weights"] = [1.2, 0.1, -0.3]
    info = one_step(market, free, [0.0, 1.0], **halt, **limits)
    assert info["weights"] == pytest.approx([1.2, 0.0, -0.2], abs=1e-14)


@pytest.mark.parametrize("action", ACTIONS)
def test_no_order_in_a_halted_asset(action):
    rng = np.random.default_rng(3)
    tradable = np.ones((60, 4), bool)
    tradable[2:, :2] = rng.random((58, 2)) > 0.3
    tradable[2:, 2] = False  # never trades again
    tradable[-1] = True
    close = 50 * np.exp(np.cumsum(rng.normal(0, 0.02, (60, 4)), axis=0))
    market = days(close, tradable=tradable)
    env = PortfolioEnv(market, cost=ProportionalCost(20.0), action=action, execution="same_close")
    env.reset(seed=0)
    halts = 0
    for k in range(58):
        held = env.simulation.state.weights[0].copy()
        *_, info = env.step(rng.uniform(-1, 1, env.action_space.shape))
        kept = 1 - info["commission"] - info["spread"]
        for i in np.flatnonzero(~tradable[k]):
            halts += 1
            assert info["weights"][i] * kept == pytest.approx(held[i], rel=1e-15)
            if action != "long_short":
                assert info["weights"].min() >= 0.0
    assert halts > 60


def test_equal_weight_is_among_the_listed():
    tradable = np.ones((8, 3), bool)
    tradable[:4, 2] = False
    market = days(np.full((8, 3), 100.0), tradable=tradable)
    env = PortfolioEnv(
        market, cost=ProportionalCost(0.0, 0.0), action="simplex", execution="same_close"
    )
    env.reset(seed=0)
    for k in range(6):
        *_, info = env.step(np.array([1 / 3, 1 / 3, 1 / 3, 0.0]))
        wanted = [1 / 2, 1 / 2, 0.0, 0.0] if k < 4 else [1 / 3, 1 / 3, 1 / 3, 0.0]
        assert info["weights"] == pytest.approx(wanted, abs=1e-15)


# ------------------------------------------------------------------ what must not change
@pytest.mark.parametrize("execution", EXECUTIONS)
@pytest.mark.parametrize("action", ACTIONS)
def test_without_frictions_the_general_step_has_the_bits_of_the_fast_one(
    execution, action, monkeypatch
):
    market = panel(np.random.default_rng(1), 4)
    limits = {"gross": 1.8, "net": 0.7} if action == "long_short" else {}
    setting = make_setting(
        market,
        execution=execution,
        action=action,
        action_settings=limits,
        cost=ProportionalCost([5.0, 0.0, 30.0, 2.0], 3.0),
    )
    fast = PortfolioVectorEnv.from_setting(setting, 32)
    assert fast.simulation._step is step_nb
    monkeypatch.setattr(Setting, "frictions", True)
    general = PortfolioVectorEnv.from_setting(setting, 32)
    assert general.simulation._step is step_frictions_nb
    rng = np.random.default_rng(0)
    for env in (fast, general):
        env.reset(seed=0)
    for _ in range(3 * T):
        actions = rng.uniform(-1, 1, fast.action_space.shape)
        fast.step(actions)
        general.step(actions)
        for key, value in fast.simulation.last.__dict__.items():
            assert np.array_equal(value, getattr(general.simulation.last, key)), key


def all_on(gross=1.5):
    return Frictions(
        commission_bps=3.0, half_spread_bps=4.0, impact=1.0, participation=0.1, capital=1e5,
        lot_size=1, borrow_fee=0.05, borrow_rate_spread=0.03, margin=1.1 * gross,
    )  # fmt: skip


def everything(seed=4):
    """A market with gaps, and all frictions at once."""
    market = panel(np.random.default_rng(seed), 4, gaps=True, crash=0.1)
    return market, {
        "start": FIRST,
        "action": "long_short",
        "action_settings": {"gross": 1.5, "net": 1.0},
        "cost": all_on(),
        "execution": "same_close",
        "delay": 2,
        "episode_length": 5,
        "random_start": True,
    }


@pytest.mark.parametrize("threads", [1, 3])
def test_one_and_many_have_equal_bits_with_every_friction(threads):
    market, keywords = everything()
    n = 9
    many = PortfolioVectorEnv(market, num_envs=n, threads=threads, **keywords)
    singles = [PortfolioEnv(market, **keywords) for _ in range(n)]
    many.reset(seed=5)
    for i, env in enumerate(singles):
        env.reset(seed=5 + i)
    rng = np.random.default_rng(0)
    forced = 0
    for _ in range(40):
        actions = rng.uniform(-1, 1, many.action_space.shape)
        seen, reward, terminated, truncated, info = many.step(actions)
        forced += info["forced"].sum()
        for i, env in enumerate(singles):
            o, r, te, tr, one = env.step(actions[i])
            assert (r, te, tr) == (reward[i], terminated[i], truncated[i])
            assert one["weights"].tolist() == info["weights"][i].tolist()
            for key in (*KINDS, "turnover", "value", "net_return", "forced", "t"):
                assert one[key] == info[key][i], key
            if te or tr:
                o, _ = env.reset()
            assert np.array_equal(o, seen[i])
    assert forced > 0
    many.close()


def test_a_saved_state_keeps_the_queue():
    market, keywords = everything()
    env = PortfolioVectorEnv(market, num_envs=6, **keywords)
    env.reset(seed=1)
    actions = np.random.default_rng(0).uniform(-1, 1, (30, 6, 4))
    for a in actions[:12]:
        env.step(a)
    saved = env.state_dict()
    rest = [env.step(a) for a in actions[12:]]
    other = PortfolioVectorEnv(market, num_envs=6, **keywords)
    other.load_state_dict(saved)
    for a, (o, r, *_) in zip(actions[12:], rest, strict=True):
        o2, r2, *_ = other.step(a)
        assert np.array_equal(o, o2) and np.array_equal(r, r2)


@pytest.mark.parametrize("execution", EXECUTIONS)
@pytest.mark.parametrize("delay", [1, 2, 3])
def test_a_delay_is_a_shift_of_the_actions(execution, delay):
    market = panel(np.random.default_rng(8), 3)
    rng = np.random.default_rng(0)
    actions = rng.uniform(-1, 1, (T - 1, 3))
    late = PortfolioEnv(market, action="long_short", execution=execution, delay=delay)
    shifted = PortfolioEnv(market, action="long_short", execution=execution)
    late.reset(seed=0), shifted.reset(seed=0)
    for k in range(T - 1):
        *_, info = late.step(actions[k])
        *_, same = shifted.step(actions[k - delay] if k >= delay else np.zeros(3))
        assert info["value"] == same["value"] and info["turnover"] == same["turnover"]
        assert info["weights"].tolist() == same["weights"].tolist()


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(1.0, 3.0))
def test_dearer_is_never_better(seed, factor):
    """More of each rate leaves no more of the value, from the same state by the same action."""
    rng = np.random.default_rng(seed)
    market = panel(rng, 3)
    market = days(market.close, volume=np.full((T, 3), 1e5))
    base = {"commission_bps": 10.0, "half_spread_bps": 5.0, "impact": 0.5}
    wish, held = rng.dirichlet(np.ones(4), 2)
    cheap = one_step(market, Frictions(**base), wish, held, start=FIRST)
    for key in base:
        dear = one_step(
            market, Frictions(**{**base, key: base[key] * factor}), wish, held, start=FIRST
        )
        assert dear["value"] <= cheap["value"] + 1e-14, key


# ------------------------------------------------------------------ schedules and the literature
@pytest.mark.parametrize(("execution", "rate"), [("same_close", 0.001), ("next_close", 0.002)])
def test_rates_by_row_are_those_of_the_execution(execution, rate):
    """10 bps on the first row, 20 on the second, 30 on the third."""
    bps = np.arange(10.0, 90.0, 10.0)[:, None]
    env = PortfolioEnv(
        days(FLAT), cost=ProportionalCost(bps, 0.0), action="simplex", execution=execution
    )
    env.reset(seed=0)
    *_, info = env.step(np.array([1.0, 0.0]))
    assert info["value"] == pytest.approx(1 / (1 + rate), abs=1e-15)
    *_, info = env.step(np.array([0.0, 1.0]))
    assert info["value"] == pytest.approx((1 - rate - 0.001) / (1 + rate), abs=1e-15)
    with pytest.raises(InputError, match="by row must be"):
        PortfolioEnv(days(FLAT), cost=ProportionalCost(bps[1:], 0.0))
    with pytest.raises(InputError, match="not negative"):
        PortfolioEnv(days(FLAT), cost=ProportionalCost(-bps, 0.0))


def test_the_schedule_of_the_futures_is_charged_day_by_day():
    try:
        market = futures(groups=["Bonds"], start="2015-01-01", end="2015-03-31")
    except InputError as error:
        pytest.skip(str(error))
    store = cache_folder() / "futures.h5"
    whole = load_panel(store, "futures")
    column = [whole.symbols.index(s) for s in market.symbols]
    first = int(np.searchsorted(whole.dates, market.dates[0]))
    rates = load_extra(store, "futures", "one_way_cost")[first : first + market.n_rows][:, column]
    cost = ProportionalCost(0.0, "one_way_cost")
    for execution, offset in (("same_close", 0), ("next_close", 1)):
        env = PortfolioEnv(market, cost=cost, action="simplex", execution=execution)
        env.reset(seed=0)
        rng = np.random.default_rng(0)
        for k in range(20):
            held = env.simulation.state.weights[0].copy()
            if offset:
                held[:-1] *= market.close[k + 1] / market.close[k]
                held /= held.sum()
            wish = rng.dirichlet(np.ones(market.n_assets + 1))
            *_, info = env.step(wish)
            kept = 1 - info["spread"]
            sizes = np.abs(kept * wish - held)[:-1]
            assert info["spread"] == pytest.approx(rates[k + offset] @ sizes, abs=1e-14)


# Wealth at 0.1, 0.25 and 0.5 % a side, computed from the formulas by a script of its own.
PUBLISHED = {
    ("nyse_o", "buy_and_hold", "notional"): (
        14.482825451688543,
        14.46115538866856,
        14.425182365313665,
    ),
    ("nyse_o", "buy_and_hold", "mu_eiie"): (
        14.482810968863095,
        14.461065006447383,
        14.424821735754527,
    ),
    ("nyse_o", "buy_and_hold", "simple"): (
        14.482810968863095,
        14.461065006447383,
        14.424821735754527,
    ),
    ("nyse_o", "buy_and_hold", "olps"): (14.482796457044588, 14.460974171184088, 14.42445748177932),
    ("nyse_o", "equal_weight", "notional"): (
        25.333430637687716,
        22.928752244618813,
        19.417857814836996,
    ),
    ("nyse_o", "equal_weight", "mu_eiie"): (
        25.332575731713565,
        22.923917117721864,
        19.401486255224665,
    ),
    ("nyse_o", "equal_weight", "simple"): (
        25.333343401081876,
        22.9282635872855,
        19.416232298827875,
    ),
    ("nyse_o", "equal_weight", "olps"): (
        25.333377925072263,
        22.928450611856668,
        19.416801204292057,
    ),
    ("msci", "buy_and_hold", "notional"): (
        0.9054470156740464,
        0.9040922321094468,
        0.9018432464574333,
    ),
    ("msci", "buy_and_hold", "mu_eiie"): (
        0.9054461102270306,
        0.904086581532996,
        0.9018207003762717,
    ),
    ("msci", "buy_and_hold", "simple"): (0.9054461102270306, 0.904086581532996, 0.9018207003762717),
    ("msci", "buy_and_hold", "olps"): (0.9054452029673321, 0.9040809026328772, 0.9017979277013533),
    ("msci", "equal_weight", "notional"): (
        0.9179708327811525,
        0.9048326797168417,
        0.8833557447477945,
    ),
    ("msci", "equal_weight", "mu_eiie"): (
        0.9179659620457997,
        0.904802672972833,
        0.8832385668292924,
    ),
    ("msci", "equal_weight", "simple"): (0.91796994060545, 0.9048272233983433, 0.883334649770363),
    ("msci", "equal_weight", "olps"): (0.9179700465752253, 0.9048265211875075, 0.8833263419497489),
}


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(c, marks=pytest.mark.slow if c[0] == "nyse_o" else (), id="-".join(c))
        for c in PUBLISHED
    ],
)
def test_the_cost_models_of_the_literature(case):
    name, baseline, model = case
    try:
        market = olps(name=name)
    except InputError as error:
        pytest.skip(str(error))
    for rate, wealth in zip((0.001, 0.0025, 0.005), PUBLISHED[case], strict=True):
        policy = make_baseline(baseline, market)
        env = PortfolioEnv(
            market,
            observation=policy.observation,
            action=policy.action,
            execution="same_close",
            cost=LiteratureCost(model, rate),
        )
        assert rollout(policy, env).value[-1] == pytest.approx(wealth, rel=1e-9)


def test_the_formula_of_eiie_counts_cash():
    """From 0.5 in A and cash into all B: m = (1 - 0.5 c - (2c - c^2) 0.5) / 1."""
    info = one_step(
        days(TWO), LiteratureCost("mu_eiie", 0.01), [0.0, 1.0, 0.0], weights=[0.5, 0.0, 0.5]
    )
    assert info["value"] == pytest.approx(1 - 0.005 - 0.0199 * 0.5, abs=1e-15)


def test_a_trajectory_has_every_kind_of_cost():
    market = synthetic(n_rows=120, n_assets=3, seed=1, ohlcv=True)
    policy = make_baseline("equal_weight", market)
    env = PortfolioEnv(
        market,
        observation=policy.observation,
        action=policy.action,
        cost=Frictions(impact=1.0, borrow_fee=0.01, borrow_rate_spread=0.01, capital=1e9),
        start=30,
    )
    made = rollout(policy, env)
    assert tuple(made.costs) == KINDS
    assert made.costs["impact"].sum() > 0 and not made.costs["borrow"].any()
    total = 1 - made.total_cost
    growth = (1 + made.gross_return) * total
    assert 1 + made.net_return == pytest.approx(growth, rel=1e-12)


def test_reports_tell_every_cost_in_words():
    told = all_on().words()
    for part in (
        "3.0 bps",
        "4.0 bps",
        "sqrt(order / volume)",
        "0.1 of the volume",
        "100,000",
        "lots of 1",
        "0.05 a year on shorts",
        "0.03 a year",
        "leverage of 1.65",
    ):
        assert part in told
    assert "'one_way_cost'" in ProportionalCost(0.0, "one_way_cost").words()
    assert "0.01 times the square" in QuadraticCost(quadratic=0.01).words()
    assert "the formula of Jiang, Xu and Liang (2017)" in LiteratureCost("mu_eiie").words()


# ------------------------------------------------------------------ bad input
@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"cost": lambda: Frictions(impact=1.0)}, "need volume"),
        ({"cost": lambda: Frictions(participation=0.1)}, "need volume"),
        ({"cost": lambda: Frictions(impact=-1.0)}, r"cost\.impact"),
        ({"cost": lambda: Frictions(capital=0.0)}, r"cost\.capital"),
        ({"cost": lambda: Frictions(lot_size=0)}, r"cost\.lot_size"),
        ({"cost": lambda: Frictions(participation=0.0)}, r"cost\.participation"),
        ({"cost": lambda: Frictions(borrow_fee=[0.1])}, r"cost\.borrow_fee"),
        ({"cost": lambda: Frictions(borrow_rate_spread=-0.1)}, r"cost\.borrow_rate_spread"),
        ({"cost": lambda: Frictions(borrow_rate_spread=1e308)}, r"cost\.borrow_rate_spread.*100"),
        ({"cost": lambda: Frictions(borrow_rate_spread=float("inf"))}, "borrow_rate_spread"),
        ({"cost": lambda: Frictions(borrow_fee=1e308)}, r"cost\.borrow_fee must be at most 100"),
        ({"cost": lambda: Frictions(borrow_fee=[0.0, 101.0])}, r"cost\.borrow_fee"),
        ({"cost": lambda: Frictions(capital=float("inf"))}, r"cost\.capital"),
        ({"cost": lambda: Frictions(impact_window=2.5)}, r"cost\.impact_window"),
        ({"cost": lambda: Frictions(volume="lots")}, "shares or currency"),
        ({"cost": lambda: Frictions(margin=1.0)}, "above the gross limit"),
        ({"cost": lambda: QuadraticCost(quadratic=0.6)}, "all there is"),
        ({"cost": lambda: QuadraticCost(quadratic=-1.0)}, r"cost\.quadratic"),
        ({"cost": lambda: LiteratureCost("exact")}, "unknown cost.model"),
        ({"cost": lambda: LiteratureCost(rate=0.5)}, r"cost\.rate"),
        ({"cost": lambda: ProportionalCost("one_way_cost")}, "is a schedule"),
        ({"delay": 4}, "delay"),
        ({"delay": 0.5}, "delay"),
    ],
)
def test_bad_settings_are_refused(keywords, message):
    with pytest.raises(InputError, match=message):
        made = {key: value() if callable(value) else value for key, value in keywords.items()}
        PortfolioEnv(days(TWO), **made)


def test_an_impact_needs_returns_before_the_start():
    market = panel(np.random.default_rng(0), 2)
    with pytest.raises(InputError, match="start=5"):
        PortfolioEnv(market, cost=Frictions(impact=0.1))
    PortfolioEnv(market, cost=Frictions(impact=0.1), start=5)
    wild = days(np.tile([[1.0], [9.0]], (8, 1)), volume=np.ones((16, 1)))
    with pytest.raises(InputError, match="all there is"):
        PortfolioEnv(wild, cost=Frictions(impact=1.0), start=6)


def test_volatility_reads_the_past_only():
    market = panel(np.random.default_rng(2), 3, gaps=True)
    whole = volatility(market, 5)
    for t in range(T - 1):
        close = market.close.copy()
        close[t + 1 :] *= 2.0
        changed = MarketData(
            market.dates, market.symbols, close, tradable=market.tradable,
            delisting_value=market.delisting_value,
        )  # fmt: skip
        assert np.array_equal(volatility(changed, 5)[: t + 1], whole[: t + 1], equal_nan=True)
    plain = panel(np.random.default_rng(2), 1)
    returns = plain.close[1:, 0] / plain.close[:-1, 0] - 1
    assert volatility(plain, 5)[9, 0] == pytest.approx((returns[4:9] ** 2).mean() ** 0.5, rel=1e-14)
