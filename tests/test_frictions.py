"""Frictions: the kernel against fifty digits, against numbers by hand, and invariants."""


import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from envs.data.market_data import MarketData
from envs.market.costs import (
    Frictions,
    QuadraticCost,
    volatility,
)
from envs.market.kernel import step_frictions_nb
from envs.simulation import Simulation, make_setting
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
        return QuadraticCost(quadratic=rng.uniform(0, 0.05, n_assets).tolist(), **rates)
    return Frictions(
        **rates,
        impact=rng.choice([0.0, 0.3, 1.0]),
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
        later = min(t + 1, T - 2)
        night_day = day(later, later)
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
        (held, executed, moved, at_trade, forced), capital = twin_step(
            simulation, before, i, actions[i]
        )
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
            paid = float(held.paid.get(kind, 0) / at_trade)
            assert getattr(last, kind)[i] == pytest.approx(paid, abs=1e-9), (kind, where)
    check_invariants(simulation, before, n)


def check_invariants(simulation, before, n):
    """What holds whatever the twin says."""
    setting, last, state = simulation.setting, simulation.last, simulation.state
    alive = state.value > 0
    assert np.isfinite(state.weights).all() and np.isfinite(state.value).all()
    assert np.abs(state.weights.sum(axis=1) - 1).max() < 1e-12
    # conserved: prices move what is there, and the costs leave
    at_trade = before["value"] * last.before
    paid = sum(getattr(last, kind) for kind in KINDS)
    if setting.legs.before is not None and setting.legs.after is None:
        left = at_trade * (1 - paid)
        assert state.value[alive] == pytest.approx(left[alive], rel=1e-12)
    growth = before["value"] * last.before * last.kept * last.after
    assert state.value == pytest.approx(growth, rel=1e-12)
    if setting.action_map.name != "long_short":
        assert last.target.min() >= 0.0 and state.weights.min() >= 0.0
        assert not last.forced.any()


@settings(max_examples=10, deadline=None, phases=NO_SHRINKING)
@given(worlds)
def test_five_thousand_steps_equal_the_twin(world):
    compare(world, 500)


@pytest.mark.slow
@settings(max_examples=220, deadline=None, phases=NO_SHRINKING)
@given(worlds)
def test_a_hundred_thousand_steps_equal_the_twin(world):
    compare(world, 500)
