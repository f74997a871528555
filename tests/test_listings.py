"""Assets that list, halt and delist inside an episode."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.baselines import make_baseline
from agents.rollout import index_trajectory, rollout
from envs.data import file
from envs.data.market_data import MarketData
from envs.data.store import append_rows, load_panel, save_panel
from envs.data.synthetic import synthetic
from envs.errors import InputError
from envs.features import RollingScaler, StandardScaler, build_features
from envs.features.causality import change_after
from envs.features.panel import FeaturePanel
from envs.market.costs import Frictions, LiteratureCost, ProportionalCost
from envs.market.legs import make_legs
from envs.portfolio import PortfolioEnv
from envs.simulation import make_setting
from envs.vector import PortfolioVectorEnv
from tests import reference_listings as reference
from tests.gaps import with_halts, with_listing

NO = np.nan
EXECUTIONS = ("same_close", "next_close", "next_open")
BASELINES = {
    "equal_weight": {},
    "buy_and_hold": {},
    "inverse_volatility": {"window": 10, "every": 5},
    "momentum": {"lookback": 10, "skip": 2, "every": 5},
    "minimum_variance": {"window": 20, "every": 5},
    "maximum_sharpe": {"window": 20, "every": 5},
    "risk_parity": {"window": 20, "every": 5},
    "hierarchical_risk_parity": {"window": 20, "every": 5},
}


def days(n):
    return np.datetime64("2020-01-01", "D") + np.arange(n)


def small(**changes):
    """H halts in row 2 and comes back twice as high, L lists in row 2, D leaves after row 2."""
    halts, late, dies = [10, 20, NO, 40, 40, 40], [NO, NO, 5, 10, 10, 20], [10, 10, 20, NO, NO, NO]
    close = np.array([halts, late, dies], float).T
    arguments = {"delisting_value": 0.3, "name": "small"} | changes
    return MarketData(days(6), ("H", "L", "D"), close, **arguments)


def gappy(n_rows=90, n_assets=5, seed=0, **changes):
    """Asset 1 lists in row 30, asset 2 halts in rows 50-52 and 60, asset 3 leaves after row 66."""
    market = with_listing(synthetic(n_rows=n_rows, n_assets=n_assets, seed=seed, ohlcv=True), 1, 30)
    market = with_halts(market, slice(50, 53), 2, garbage=np.nan)
    market = with_halts(market, slice(60, 61), 2, garbage=7.0)
    market = with_halts(market, slice(67, None), 3)
    return replace(market, **({"delisting_value": 0.4} | changes))


def env_of(market, features=None, cost=0.0, **keywords):
    return PortfolioEnv(market, features, cost=ProportionalCost(cost * 1e4, 0.0), **keywords)


def play(name, market, cost=0.0, execution="same_close", **keywords):
    policy = make_baseline(name, market, **BASELINES[name])
    keywords = {"observation": policy.observation, "action": policy.action, **keywords}
    return rollout(policy, env_of(market, cost=cost, execution=execution, **keywords))


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
    assert legs.tradable.tolist() == can[:-1]
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


# ------------------------------------------------------------------ observations
def test_the_mask_is_the_last_feature_of_every_asset_and_weights_stay_last():
    market = gappy()
    panel = build_features(market, ["return_1", "rsi_14"])
    scaled = StandardScaler().fit(panel, 20, 60).transform(panel)
    env = env_of(market, scaled, window=3, start=48, action="simplex")
    observation, info = env.reset(seed=0)
    t, n_assets = info["t"], market.n_assets
    for _ in range(15):
        rows = observation[: -n_assets - 1].reshape(3, n_assets, 3)
        assert (rows[..., 2] == market.tradable[t - 2 : t + 1]).all()
        assert (rows[..., :2] == scaled.values[t - 2 : t + 1]).all()
        assert env.observation_space.contains(observation)
        observation, _, _, _, info = env.step(np.full(n_assets + 1, 1 / (n_assets + 1)))
        t = info["t"]
    assert (
        observation[-n_assets - 1 :] == env.simulation.state.weights[0].astype(np.float32)
    ).all()


def test_indexed_observations_say_what_is_tradable_on_the_row_of_the_decision():
    market = gappy()
    env = env_of(market, observation="indexed", start=48, action="simplex")
    observation, _ = env.reset(seed=0)
    for _ in range(15):
        assert set(observation) == {"t", "weights", "tradable"}
        assert env.observation_space.contains(observation)
        assert (observation["tradable"] == market.tradable[observation["t"][0]]).all()
        observation = env.step(np.ones(market.n_assets + 1))[0]


def test_panels_without_gaps_keep_their_observations():
    market = synthetic(n_rows=30, n_assets=3, seed=0)
    assert env_of(market, window=2).observation_space.shape == (4,)
    indexed = env_of(market, observation="indexed")
    assert set(indexed.observation_space.spaces) == {"t", "weights"}
    # In a window of a panel with gaps the mask is there even where all trade: every window of a
    # panel has observations of one size.
    tail = env_of(gappy(), start=70, stop=85)
    assert tail.observation_space.shape == (5 + 6,)


def test_unknown_features_are_zero_only_where_nothing_can_be_known():
    market = gappy()
    values = np.ones((market.n_rows, market.n_assets, 2), np.float32)
    values[~market.tradable] = np.nan
    values[30:34, 1] = np.nan  # the warm-up of asset 1 after its listing
    panel = FeaturePanel(values, ("a", "b"), warmup=4)
    env = env_of(market, panel, start=20)
    made = env.setting.features.reshape(market.n_rows, market.n_assets, 3)
    assert np.isfinite(made).all()
    assert (made[..., :2] == np.nan_to_num(values)).all()
    for row, asset in ((34, 1), (30, 0), (53, 2)):
        broken = values.copy()
        broken[row, asset, 1] = np.nan
        with pytest.raises(InputError, match="features run from nan"):
            env_of(market, FeaturePanel(broken, ("a", "b"), warmup=4), start=20)


@pytest.mark.parametrize("scaler", [StandardScaler(), RollingScaler(window=10)])
def test_scalers_learn_from_what_is_known_and_leave_no_nan(scaler):
    market = gappy()
    panel = build_features(market, ["return_1", "volatility_10"])
    fitted = scaler.fit(panel, 0, 60)
    if isinstance(scaler, StandardScaler):
        known = panel.values[panel.warmup : 60, :, 1].astype(float)
        assert fitted.center[1] == pytest.approx(np.nanmean(known), rel=1e-12)
        assert fitted.scale[1] == pytest.approx(np.nanstd(known), rel=1e-12)
    scaled = fitted.transform(panel)
    assert np.isfinite(scaled.values).all()
    assert (scaled.values[~market.tradable] == 0).all()
    env_of(market, scaled).reset(seed=0)


def test_rows_on_which_nothing_trades_are_refused_with_the_ways_out():
    market = with_halts(synthetic(n_rows=30, n_assets=2, seed=0), slice(20, 22), slice(0, 2))
    message = r"nothing is tradable on .*, 2 such row\(s\).*data\.start"
    with pytest.raises(InputError, match=message):
        env_of(market)
    env_of(market, stop=20)
    env_of(market, start=22)


# ------------------------------------------------------------------ one and many, and the future
@pytest.mark.parametrize("execution", EXECUTIONS)
@pytest.mark.parametrize("observation", ["flat", "indexed"])
def test_many_portfolios_are_the_bits_of_one(execution, observation):
    market = gappy()
    keywords = {
        "observation": observation, "execution": execution, "episode_length": 25,
        "random_start": True, "random_weights": True, "window": 2,
    }  # fmt: skip
    setting = make_setting(market, **keywords)
    many = [PortfolioVectorEnv.from_setting(setting, 5, threads=threads) for threads in (1, 2)]
    ones = [PortfolioEnv.from_setting(setting) for _ in range(5)]
    seen = [envs.reset(seed=7)[0] for envs in many]
    alone = [env.reset(seed=7 + i)[0] for i, env in enumerate(ones)]
    rng = np.random.default_rng(1)

    def bits(part):
        parts = part.values() if isinstance(part, dict) else [part]
        return b"".join(np.ascontiguousarray(p).tobytes() for p in parts)

    def row(batch, i):
        return {k: v[i] for k, v in batch.items()} if isinstance(batch, dict) else batch[i]

    for i in range(5):
        assert bits(row(seen[0], i)) == bits(alone[i])
        assert (
            ones[i].simulation.state.weights[0, :-1][~market.tradable[ones[i]._when()["t"]]] == 0
        ).all()
    for _ in range(60):
        actions = rng.uniform(-1, 1, (5, market.n_assets + 1))
        steps = [envs.step(actions) for envs in many]
        assert bits(steps[0][0]) == bits(steps[1][0])
        for i, env in enumerate(ones):
            observation, reward, terminated, truncated, info = env.step(actions[i])
            assert reward == steps[0][1][i] and info["value"] == steps[0][4]["value"][i]
            if terminated or truncated:
                assert bits(steps[0][4]["final_obs"][i]) == bits(observation)
                observation, _ = env.reset()
            assert bits(row(steps[0][0], i)) == bits(observation)


@pytest.mark.parametrize("execution", EXECUTIONS)
@pytest.mark.parametrize("row", [28, 49, 51, 55, 66, 67, 70])
def test_the_future_changes_nothing_up_to_today(execution, row):
    """Prices, halts and delistings after `row` are others, or the panel ends there: observations up
    to it and what the steps up to it did are the same bits. In a halt (51) nobody knows from the
    panel's end that it lasts: a delisting is declared on its row."""
    market = gappy()
    names = ["return_1", "volatility_10"]
    past = {}
    for other, panel in (
        ("as it was", market),
        ("changed", change_after(market, row, seed=3)),
        ("cut", market.rows(0, row + 1)),
    ):
        scaled = RollingScaler(window=5).transform(build_features(panel, names))
        env = env_of(panel, scaled, cost=0.001, execution=execution, start=20, window=2)
        seen = [env.reset(seed=0)[0]]
        told = []
        rng = np.random.default_rng(0)
        for _ in range(20, row):
            observation, reward, _, _, info = env.step(rng.uniform(-1, 1, 6))
            seen.append(observation)
            told.append([reward, info["value"], info["asset_return"], *info["weights"]])
        past[other] = np.array(seen).tobytes(), np.array(told).tobytes()
    assert past["changed"] == past["as it was"]
    assert past["cut"] == past["as it was"]


@pytest.mark.parametrize("name", BASELINES)
def test_baselines_are_blind_to_the_future_and_hold_nothing_unlisted(name):
    market, row, start = gappy(n_rows=110), 70, 25
    one, two = (
        play(name, panel, 0.001, "next_close", start=start)
        for panel in (market, change_after(market, row, seed=1))
    )
    steps = row - start
    assert one.weights[: steps - 1].tobytes() == two.weights[: steps - 1].tobytes()
    listed = np.array([[reference.listed(market, t, a) for a in range(5)] for t in range(110)])
    executed = listed[start + 1 :][: len(one.weights)]
    assert (one.weights[:, :-1][~executed] == 0).all()
    assert one.weights.sum(axis=1) == pytest.approx(np.ones(len(one.weights)))
    assert one.weights.min() > -1e-12
    assert one.weights[:, 3].max() > 0 or name == "maximum_sharpe"
    # Nothing is traded in the halt: in rows 50 to 52 the holding moves with the others alone.
    held = one.weights[:, 2] * one.value[1:]
    halt = [t - start - 1 for t in (49, 50, 51, 52)]
    assert held[halt] == pytest.approx(np.full(4, held[halt[0]]), rel=5e-3, abs=1e-12)


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
    with pytest.raises(InputError, match="delisting_value names C"):
        file(path, delisting_value={"C": 0.0})


# ------------------------------------------------------------------ with the other frictions
def test_no_forced_sale_and_no_delayed_order_trades_in_a_halt():
    market = gappy()
    cost = Frictions(impact=0.5, participation=0.01, capital=1e6, margin=1.6, lot_size=1.0)
    for execution in EXECUTIONS:
        env = PortfolioEnv(
            market, cost=cost, execution=execution, delay=2, action="long_short",
            action_settings={"gross": 1.5, "net": 1.5}, start=45, ruin=0.0,
        )  # fmt: skip
        env.reset(seed=0)
        rng = np.random.default_rng(0)
        for t in range(45, 70):
            before, value = env.simulation.state.weights[0, 2], env.simulation.state.value[0]
            env.step(rng.uniform(0, 1, 5))
            state = env.simulation.state
            row = t if execution == "same_close" else t + 1
            if not market.tradable[row, 2] and not market.tradable[t + 1, 2]:
                assert state.weights[0, 2] * state.value[0] == pytest.approx(before * value)


def test_formulas_that_know_no_halt_are_refused():
    with pytest.raises(InputError, match="needs assets that all trade throughout"):
        PortfolioEnv(gappy(), cost=LiteratureCost("olps"), execution="same_close")
    PortfolioEnv(gappy(), cost=LiteratureCost("notional"), execution="same_close")


# ------------------------------------------------------------------ learning and the whole path
@pytest.mark.parametrize("observation", ["flat", "indexed"])
@pytest.mark.parametrize("agent", ["ppo", "ppo-assets", "ddpg"])
def test_agents_learn_on_a_panel_with_gaps(agent, observation, tmp_path):
    from agents.sb3 import DDPG, PPO
    from agents.training import train

    small_ppo = PPO(total_steps=256, num_envs=8, n_steps=16, batch_size=64, evaluations=2)
    made = {
        "ppo": small_ppo,
        "ppo-assets": replace(small_ppo, architecture="assets", network=(8, 8)),
        "ddpg": DDPG(
            total_steps=200, num_envs=4, learning_starts=50, batch_size=32, buffer_size=200,
            evaluations=2,
        ),
    }[agent]  # fmt: skip
    market = gappy()
    panel = build_features(market, ["return_1", "volatility_10"])
    features = StandardScaler().fit(panel, 15, 55).transform(panel)
    keywords = {"observation": observation, "window": 3}
    training = make_setting(
        market, features, start=15, stop=56, episode_length=20, random_start=True, **keywords
    )
    validation = make_setting(market, features, start=56, **keywords)
    trained = train(made, training, validation, seed=0, folder=tmp_path)
    trajectory = rollout(trained.policy, PortfolioEnv.from_setting(validation))
    assert np.isfinite(trajectory.value).all()
    assert (trajectory.weights[12:, 3] == 0).all()  # left on row 67


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


@pytest.mark.slow
def test_a_file_with_gaps_runs_from_prices_to_report(tmp_path):
    from experiments.evaluation.trajectory_store import load_trajectories
    from experiments.pipeline import run
    from tests.test_pipeline import config

    market = synthetic(n_rows=600, n_assets=5, seed=4)
    lines = ["date," + ",".join(market.symbols)]
    for t, day in enumerate(market.dates.astype("datetime64[D]")):
        cells = [f"{p:.4f}" for p in market.close[t]]
        cells[1] = cells[1] if t >= 150 else ""  # lists late
        cells[2] = "" if 300 <= t < 303 or t == 520 else cells[2]  # halts
        cells[3] = cells[3] if t < 530 else ""  # leaves, in the test window
        lines.append(",".join([str(day), *cells]))
    path = tmp_path / "prices.csv"
    path.write_text("\n".join(lines) + "\n")
    cfg = config(
        "+exp=smoke", "data=file", f"data.path={path}", "data.fill=ffill",
        f"data.delisting_value={{{market.symbols[3]}: 0.3}}", "n_seeds=1",
    )  # fmt: skip
    assert np.isfinite(run(cfg, tmp_path / "run"))
    stored = load_trajectories(tmp_path / "run" / "trajectories.h5")
    mix = stored["equal_weight"][0]
    assert mix.n_listed.tolist() == sorted(mix.n_listed.tolist(), reverse=True)
    assert {4, 5} == set(mix.n_listed.tolist())
    assert (mix.weights[mix.n_listed == 4, 3] == 0).all()
