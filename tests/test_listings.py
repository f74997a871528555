"""Assets that list, halt and delist inside an episode: what happens to the money."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.rollout import index_trajectory
from envs.data import file
from envs.data.market_data import MarketData
from envs.data.store import append_rows, load_panel, save_panel
from envs.data.synthetic import synthetic
from envs.errors import InputError
from envs.market.costs import Frictions, LiteratureCost
from envs.market.legs import make_legs
from envs.portfolio import PortfolioEnv
from tests import reference_listings as reference
from tests.gaps import EXECUTIONS, NO, days, env_of, gappy, play, small


# ------------------------------------------------------------------ by hand
def test_legs_by_hand():
    market = small()
    whole = [
        [2, 1, 1],  # L is not listed
        [1, 1, 2],  # H stands still
        [2, 2, 0.3],  # H has its whole jump, D pays 0.3 of its last close
        [1, 1, 1],
        [1, 2, 1],
    ]
    legs = make_legs(market, "same_close")
    assert legs.after[:, :-1].tolist() == whole and legs.before is None
    assert make_legs(market, "next_close").before[:, :-1].tolist() == whole
    can = market.tradable.tolist()
    assert legs.tradable.tolist() == can
    assert make_legs(market, "next_close").tradable.tolist() == can[1:]
    assert np.argwhere(legs.settles).tolist() == [[2, 2]]
    assert np.argwhere(make_legs(market, "next_close").settles).tolist() == [[2, 2]]
    # H counts in its halt, with nothing and then its jump; L from the row on which it is listed.
    assert legs.equal_weight == pytest.approx([1.5, 1.5, (2 + 2 + 0.3) / 3, 1.0, 1.5], rel=1e-15)
    assert legs.n_listed.tolist() == [2, 2, 3, 2, 2]
    whole = synthetic(n_rows=9, n_assets=2, seed=0)
    complete = make_legs(whole, "same_close")
    assert complete.tradable is complete.settles is complete.n_listed is None
    assert whole.delisting_value is None


def test_next_open_legs_by_hand():
    opens = small().close * 1.25
    legs = make_legs(small(open=opens), "next_open")
    night, day = legs.before[:, :-1], legs.after[:, :-1]
    assert night.tolist() == [
        [2.5, 1, 1.25],
        [1, 1, 2.5],
        [2.5, 2.5, 0.3],
        [1.25, 1.25, 1],
        [1.25, 2.5, 1],
    ]
    # L can be bought at its first open; nobody held it in the night before.
    assert day == pytest.approx(
        np.array([[0.8, 1, 0.8], [1, 0.8, 0.8], [0.8, 0.8, 1], [0.8, 0.8, 1], [0.8, 0.8, 1]])
    )
    assert np.argwhere(legs.settles).tolist() == [[2, 2]]


def test_value_through_listing_halt_and_delisting_by_hand():
    """Rows 0, 1: half H, half D. Row 2: H is halted, so what is not in it is shared by L and D.
    Row 3: D has paid 0.3 of its 0.75."""
    trajectory = play("equal_weight", small())
    assert trajectory.value[1:] == pytest.approx([1.5, 2.25, 3.225, 3.225, 4.8375], rel=1e-14)
    assert trajectory.weights == pytest.approx(
        np.array([[1, 0, 1, 0], [1, 0, 1, 0], [2 / 3, 2 / 3, 2 / 3, 0], [1, 1, 0, 0], [1, 1, 0, 0]])
        / 2
    )
    assert trajectory.asset_return == pytest.approx([0.5, 0.5, 4.3 / 3 - 1, 0.0, 0.5])
    assert trajectory.active_share[[0, 1, 3, 4]] == pytest.approx(np.zeros(4), abs=1e-12)
    # One step later each: on row 2 H cannot be traded, on row 3 D is cash and L takes all.
    late = play("equal_weight", small(), execution="next_close")
    assert late.value[1:] == pytest.approx([1.0, 1.5, 1.3, 1.3, 1.95], rel=1e-14)
    assert late.weights[2] == pytest.approx([0, 1, 0, 0], abs=1e-14)


def test_what_a_delisting_pays_stays_in_cash_with_buy_and_hold():
    trajectory = play("buy_and_hold", small())
    # Half in H: 1, 1, 2, 2, 2. Half in D: 0.5, 1, then 0.3 in cash.
    assert trajectory.value[1:] == pytest.approx([1.5, 2.0, 2.3, 2.3, 2.3], rel=1e-14)
    assert trajectory.weights[-1] == pytest.approx([2 / 2.3, 0, 0, 0.3 / 2.3])
    assert trajectory.turnover[1:].max() < 1e-12


@pytest.mark.parametrize("execution", ["same_close", "next_close"])
def test_the_last_tradable_row_is_the_last_to_sell_on(execution):
    """Sold on row 2 D brings 20; held a row longer, 0.3 of it."""
    sale = 2 if execution == "same_close" else 1
    for late, value in ((0, 2.0), (1, 0.6)):
        wishes = np.tile([0.0, 0.0, 1.0, 0.0], (5, 1))
        wishes[sale + late :] = [0.0, 0.0, 0.0, 1.0]
        env = env_of(small(), action="simplex", execution=execution)
        env.reset(seed=0)
        for wish in wishes:
            _, _, _, _, info = env.step(wish)
        assert info["value"] == pytest.approx(value, rel=1e-14)


def test_a_delisting_at_nothing_ruins_who_holds_nothing_else():
    env = env_of(small(delisting_value=0.0), action="simplex")
    env.reset(seed=0)
    for _ in range(3):
        _, reward, terminated, _, info = env.step(np.array([0.0, 0.0, 1.0, 0.0]))
    assert terminated and info["value"] == 0.0 and np.isfinite(reward)


# ------------------------------------------------------------------ against the twin
@st.composite
def listings(draw):
    """A panel in which assets list, halt and leave; asset 0 always trades."""
    n_rows, n_assets = draw(st.integers(4, 12)), draw(st.integers(2, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.2, (n_rows, n_assets)), axis=0))
    opens = close * np.exp(rng.normal(0, 0.1, close.shape))
    tradable = rng.random(close.shape) > draw(st.sampled_from([0.1, 0.4]))
    for a in range(1, n_assets):
        tradable[: draw(st.integers(0, n_rows - 2)), a] = False
        tradable[draw(st.integers(2, n_rows)) :, a] = False
        tradable[draw(st.integers(0, n_rows - 1)), a] = True
    tradable[:, 0] = True
    tradable[1, 1] &= not tradable.all()
    # What a source wrote where nothing trades must not be read.
    close[~tradable] = draw(st.sampled_from([np.nan, 1e-3]))
    opens[~tradable] = np.nan
    paid = rng.choice([0.0, 0.3, 1.0, 1.4], n_assets)
    cash = rng.uniform(0, 1e-3, n_rows)
    market = MarketData(
        days(n_rows), tuple("ABCD"[:n_assets]), close, open=opens, tradable=tradable,
        cash_rate=cash, delisting_value=paid,
    )  # fmt: skip
    wishes = rng.dirichlet(np.full(n_assets + 1, 0.5), n_rows - 1)
    return market, paid.tolist(), wishes


@given(case=listings(), execution=st.sampled_from(EXECUTIONS), rate=st.sampled_from([0.0, 0.02]))
@settings(max_examples=300, deadline=None)
def test_money_is_that_of_a_portfolio_counted_in_shares(case, execution, rate):
    market, paid, wishes = case
    env = env_of(market, cost=rate, action="simplex", execution=execution, ruin=0.0)
    env.reset(seed=0)
    steps = [env.step(wish) for wish in wishes]
    values, weights = reference.replay(market, wishes.tolist(), execution, rate, paid)
    assert [info["value"] for *_, info in steps] == pytest.approx(values, rel=1e-11)
    assert np.array([info["weights"] for *_, info in steps]) == pytest.approx(
        np.array(weights), abs=1e-11
    )
    mix = [reference.equal_weight(market, t, paid) - 1 for t in range(len(wishes))]
    assert [info["asset_return"] for *_, info in steps] == pytest.approx(mix, abs=1e-4)


@given(
    case=listings(),
    execution=st.sampled_from(EXECUTIONS),
    action=st.sampled_from(["softmax", "simplex", "trade", "long_short"]),
    seed=st.integers(0, 1000),
)
@settings(max_examples=200, deadline=None)
def test_invariants(case, execution, action, seed):
    """Weights sum to 1, nothing is held that is not listed, what is halted is not traded, and value
    is lost to costs alone."""
    market, _, _ = case
    keywords = {"action_settings": {"gross": 1.5, "net": 1.0}} if action == "long_short" else {}
    env = env_of(market, cost=0.01, action=action, execution=execution, **keywords)
    env.reset(seed=0)
    rng = np.random.default_rng(seed)
    legs = env.setting.legs
    listed = np.array(
        [
            [reference.listed(market, t, a) for a in range(market.n_assets)]
            for t in range(market.n_rows)
        ]
    )
    done, t = False, 0
    while not done:
        before = env.simulation.state.weights[0].copy()
        _, _, terminated, truncated, info = env.step(rng.uniform(-1, 1, env.action_space.shape))
        done = terminated or truncated
        at = t if execution == "same_close" else t + 1
        after = env.simulation.state.weights[0]
        assert info["weights"].sum() == pytest.approx(1.0, abs=1e-12)
        assert after.sum() == pytest.approx(1.0, abs=1e-12)
        assert (info["weights"][:-1][~listed[at]] == 0).all()
        assert (after[:-1][~listed[t + 1]] == 0).all()
        last = env.simulation.last
        assert last.growth[0] == pytest.approx(
            last.before[0] * last.kept[0] * last.after[0], rel=1e-12
        )
        if not done:
            held, settled = before[:-1], np.zeros(market.n_assets, bool)
            if legs.before is not None:
                held, settled = held * legs.before[t, :-1], legs.settles[t]
            stuck = ~market.tradable[at] & ~settled
            now = info["weights"][:-1] * last.kept[0] * last.before[0]
            assert now[stuck] == pytest.approx(held[stuck], abs=1e-12)
        t += 1


# ------------------------------------------------------------------ what the data declare
@pytest.mark.parametrize(
    ("value", "message"),
    [
        (-0.1, "must be 0 or more"),
        (np.inf, "must be 0 or more"),
        ([0.3, 0.3], "one number or 3 of them"),
        ("half", "array of numbers"),
        (np.where(np.arange(18).reshape(6, 3) == 8, 0.3, np.nan), "after its delisting, at row 2"),
    ],
)
def test_a_wrong_delisting_value_is_refused(value, message):
    with pytest.raises(InputError, match=message):
        small(delisting_value=value)


def test_a_halt_at_the_end_of_a_shorter_panel_is_no_delisting():
    """What is known of row 2 does not depend on where the panel ends."""
    market = small()
    cut = market.rows(0, 3)  # H is halted on its last row and comes back in the whole panel
    assert not make_legs(cut, "same_close").settles.any()
    assert np.isnan(cut.delisting_value).all()
    # Who has only these rows sees H end: without a word from the data that is a delisting.
    alone = replace(cut, delisting_value=None)
    assert make_legs(alone, "same_close").settles[1].tolist() == [True, False, False]
    # And the data may say that nothing was paid, that it is halted still.
    still = replace(cut, delisting_value=[NO, 1.0, 1.0])
    assert not make_legs(still, "same_close").settles.any()
    assert play("buy_and_hold", still).value[-1] == pytest.approx(2.0)  # H at 20, D at 20


def test_the_fingerprint_holds_what_the_prices_do_not_say():
    plain, same = small(delisting_value=None), small(delisting_value=1.0)
    assert plain.fingerprint == same.fingerprint
    assert small().fingerprint != plain.fingerprint
    assert small().rows(0, 4).fingerprint != plain.rows(0, 4).fingerprint
    assert small().select(("H",)).fingerprint == plain.select(("H",)).fingerprint


def test_a_store_keeps_what_a_delisting_pays(tmp_path):
    store = tmp_path / "panels.h5"
    market = small()
    save_panel(store, market, "small")
    back = load_panel(store, "small")
    np.testing.assert_array_equal(back.delisting_value, market.delisting_value)
    # Rows that are added decide: D has left for good only when it does not come back.
    for first, paid in ((small(delisting_value=None), 1.0), (market, 0.3)):
        save_panel(store, first.rows(0, 4), "grows")
        append_rows(store, "grows", first.rows(4, 6))
        joined = load_panel(store, "grows")
        assert joined.delisting_value[3].tolist()[2] == paid
        assert np.isfinite(joined.delisting_value).sum() == 1
        assert joined.fingerprint == first.fingerprint


def test_a_file_says_what_its_delistings_pay(tmp_path):
    path = tmp_path / "prices.csv"
    rows = [f"{d},{a},{b}" for d, a, b in zip(days(6), range(1, 7), ["2", "3", "", "", "", ""])]
    path.write_text("date,A,B\n" + "\n".join(rows) + "\n")
    for said, paid in ((None, 1.0), (0.3, 0.3), ({"B": 0.0}, 0.0), ({"A": 0.5}, 1.0)):
        market = file(path, delisting_value=said)
        assert market.delisting_value[2, 1] == paid
        assert np.isfinite(market.delisting_value).sum() == 1
    assert np.isnan(file(path, delisting_value={"B": None}).delisting_value).all()
    assert any("B ends before the rest; delisted" in note for note in market.notes)
    for wrong in (np.nan, 1e308, np.inf, -0.1):
        with pytest.raises(InputError, match="delisting_value must be 0 or more, at most 1e"):
            file(path, delisting_value=wrong)
    with pytest.raises(InputError, match="delisting_value names C"):
        file(path, delisting_value={"C": 0.0})


# ------------------------------------------------------------------ with the other frictions
@pytest.mark.parametrize("n_rows", [2, 4])
def test_a_forced_sale_sells_what_can_be_sold(n_rows):
    """A is halted in row 1, where B has lost 60 %: at a leverage of 3.5 everything should shrink by
    2 / 3.5, and only B can."""
    close = np.array([[10.0, 10.0], [NO, 4.0], [10.0, 4.0], [10.0, 4.0]])
    env = PortfolioEnv(
        MarketData(days(n_rows), ("A", "B"), close[:n_rows], delisting_value=[NO, NO]),
        cost=Frictions(0.0, 0.0, margin=3.0), execution="same_close", action="long_short",
        action_settings={"gross": 2.0, "net": 2.0}, ruin=0.0,
    )  # fmt: skip
    env.reset(seed=0)
    _, _, _, _, info = env.step(np.array([0.5, 0.5]))
    assert info["value"] == pytest.approx(0.4)
    amounts = env.simulation.state.weights[0] * info["value"]
    assert amounts == pytest.approx([1.0, 0.4 * 2 / 3.5, 0.4 - 1.0 - 0.4 * 2 / 3.5])


@pytest.mark.parametrize("execution", EXECUTIONS)
def test_no_delayed_capped_or_rounded_order_trades_in_a_halt(execution):
    market = gappy()
    env = PortfolioEnv(
        market, cost=Frictions(impact=0.5, participation=0.01, lot_size=1.0), execution=execution,
        delay=2, start=45,
    )  # fmt: skip
    env.reset(seed=0)
    rng = np.random.default_rng(0)
    halted = 0
    for t in range(45, 70):
        before = env.simulation.state.weights[0, 2] * env.simulation.state.value[0]
        env.step(rng.uniform(-1, 1, 6))
        at = t if execution == "same_close" else t + 1
        if not market.tradable[at, 2] and not market.tradable[t + 1, 2]:
            halted += 1
            after = env.simulation.state.weights[0, 2] * env.simulation.state.value[0]
            assert after == pytest.approx(before) and before > 1e-3
    assert halted >= 2


def test_formulas_that_know_no_halt_are_refused():
    with pytest.raises(InputError, match="needs assets that all trade throughout"):
        PortfolioEnv(gappy(), cost=LiteratureCost("olps"), execution="same_close")
    PortfolioEnv(gappy(), cost=LiteratureCost("notional"), execution="same_close")


def test_survivors_alone_tell_another_story():
    """Four shares that go nowhere; two of them fail on rows 3 and 6 and pay nothing. In a daily 1/N
    the failure of one of four takes a quarter, that of one of three a third: half is left. Whoever
    looks only at those that are there at the end sees 1."""
    close = np.full((9, 4), 50.0)
    close[3:, 1] = NO
    close[6:, 2] = NO
    market = MarketData(days(9), tuple("ABCD"), close, delisting_value=0.0)
    for execution in ("same_close", "next_close"):
        everyone = play("equal_weight", market, execution=execution)
        assert everyone.value[-1] == pytest.approx((3 / 4) * (2 / 3), rel=1e-12)
        assert np.prod(1 + everyone.asset_return) == pytest.approx(0.5, rel=1e-12)
        survivors = play("equal_weight", market.select(("A", "D")), execution=execution)
        assert survivors.value[-1] == 1.0


def test_the_index_is_compared_with_the_mix_of_what_is_listed():
    market = small(benchmark=np.arange(1.0, 7.0))
    index = index_trajectory(market, 0, 5)
    assert index.asset_return == pytest.approx(play("equal_weight", market).asset_return)
    assert index.value[-1] == pytest.approx(6.0)
