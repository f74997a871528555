"""Forecasters as agents: what they learn from, how they decide, and what they leave in a folder."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from agents.forecast_policy import ForecastPolicy, Forecasts
from agents.forecasting import Forecasting
from agents.rollout import rollout
from envs.data.market_data import MarketData
from envs.errors import InputError
from envs.features import StandardScaler, build_features
from envs.portfolio import PortfolioEnv
from envs.simulation import make_setting
from networks.forecast import HORIZONS

WINDOW = 5
SMALL = {
    "predictor": "lstm", "predictor_settings": {"hidden": [8]}, "epochs": 2, "learning_rate": 0.01,
}  # fmt: skip


def market_of(returns):
    """A panel whose closes earn these simple returns `[T-1, A]`."""
    close = 100 * np.vstack([np.ones(returns.shape[1]), np.cumprod(1 + returns, axis=0)])
    days = np.datetime64("2010-01-04") + np.arange(len(close)) * np.timedelta64(1, "D")
    return MarketData(
        dates=days.astype("datetime64[ns]"),
        symbols=tuple(f"A{k}" for k in range(returns.shape[1])),
        close=close,
        name="returns of a test",
    )


@pytest.fixture(scope="module")
def market():
    return market_of(np.random.default_rng(5).normal(0.0003, 0.01, (420, 3)))


def features_of(market, train=(40, 250)):
    panel = build_features(market, ["return_1", "return_5", "volatility_21"])
    return StandardScaler(clip=10.0).fit(panel, *train).transform(panel)


def window(market, start, stop, **settings):
    settings = {"observation": "indexed", "action": "simplex", "window": WINDOW, **settings}
    return make_setting(market, features_of(market), start=start, stop=stop, **settings)


@pytest.fixture(scope="module")
def windows(market):
    return window(market, 40, 251), window(market, 272, 331), window(market, 331, 421)


@pytest.fixture(scope="module")
def trained(windows, tmp_path_factory):
    return Forecasting(**SMALL).train(*windows[:2], seed=0, folder=tmp_path_factory.mktemp("agent"))


# ---------------------------------------------------------------------- what is learned from
def test_labels_and_windows_stay_on_their_side(windows):
    agent = Forecasting(**SMALL)
    targets = agent.targets(windows[0])
    assert targets.reach == 21
    learned, chosen = agent.rows(*windows[:2], targets)
    assert learned[0] == 40 and learned[-1] + targets.reach == windows[0].last
    assert chosen[-1] + targets.reach == windows[1].last
    assert chosen[0] - WINDOW + 1 > learned[-1]
    # Without any rows between the windows, labels still are apart.
    near = window(windows[0].market, 251, 331)
    learned, chosen = agent.rows(windows[0], near, targets)
    assert learned[-1] + targets.reach < chosen[0]


def test_the_label_begins_at_the_execution(windows):
    agent, market = Forecasting(**SMALL), windows[0].market
    labels = agent.targets(windows[0])
    t = 100
    assert labels.raw_return[t, 0, 0] == market.close[t + 2, 0] / market.close[t + 1, 0] - 1
    late = agent.targets(replace(windows[0], delay=1))
    assert late.raw_return[t, 0, 0] == market.close[t + 3, 0] / market.close[t + 2, 0] - 1
    at_once = agent.targets(window(market, 40, 251, execution="same_close"))
    assert at_once.raw_return[t, 0, 0] == market.close[t + 1, 0] / market.close[t, 0] - 1


@pytest.mark.parametrize("predictor", ["lstm", "linear"])
def test_nothing_after_validation_is_read(market, windows, tmp_path, predictor):
    settings = {**SMALL, "predictor": predictor}
    if predictor == "linear":
        del settings["predictor_settings"]
    agent = Forecasting(**settings)
    last = windows[1].last
    changed = market.close.copy()
    changed[last + 1 :] *= np.random.default_rng(1).uniform(0.5, 2.0, changed[last + 1 :].shape)
    other = replace(market, close=changed)
    one = agent.train(*windows[:2], seed=0, folder=tmp_path / "one")
    two = agent.train(
        window(other, 40, 251), window(other, 272, 331), seed=0, folder=tmp_path / "two"
    )
    files = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("one", "two")]
    assert files[0] == files[1] and one.curve == two.curve
    changed[last] *= 1.1
    other = replace(market, close=changed)
    three = agent.train(
        window(other, 40, 251), window(other, 272, 331), seed=0, folder=tmp_path / "three"
    )
    assert one.curve["validation"] != three.curve["validation"]


# ---------------------------------------------------------------------- how it decides
def test_decisions_up_to_a_row_do_not_know_what_comes(market, windows, trained):
    t = 380
    changed = market.close.copy()
    changed[t + 1 :] *= np.random.default_rng(2).uniform(0.5, 2.0, changed[t + 1 :].shape)
    other = replace(market, close=changed)
    test = window(other, 331, 421)
    policy = ForecastPolicy("other", trained.policy.network, trained.policy.allocator, test)
    one = rollout(trained.policy, PortfolioEnv.from_setting(windows[2]))
    two = rollout(policy, PortfolioEnv.from_setting(test))
    # The decision of row t is executed at the next close: its weights are those of step t + 1.
    same = t - 331 + 1
    np.testing.assert_array_equal(one.weights[: same - 1], two.weights[: same - 1])
    assert not np.array_equal(one.weights, two.weights)
    rows = np.arange(331, t + 1)
    for a, b in zip(trained.policy.forecasts(rows), policy.forecasts(rows), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_decision_is_what_the_allocator_makes_of_the_forecast(windows, trained):
    policy, t = trained.policy, 350
    panel = windows[2].features.reshape(-1, 3, 3)
    x = torch.from_numpy(panel[t - WINDOW + 1 : t + 1].copy())[None]
    with torch.no_grad():
        forecast = policy.network(x)
    seen = policy.forecasts(np.array([t]))
    for mine, theirs in zip(seen, Forecasts.of(forecast), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-6)
    # In units of prices: the standardised forecast times the volatility of the last 60 rows.
    returns = windows[2].market.close[1 : t + 1] / windows[2].market.close[:t] - 1.0
    decay = (1 - 2 / 61.0) ** np.arange(t)[::-1, None]
    sigma = np.sqrt((decay * returns**2).sum(axis=0) / decay.sum())
    excess = seen.expected[0, :, 0] * sigma
    score = excess / (sigma * np.exp(seen.log_volatility[0]))
    held = np.array([0.0, 0.0, 0.0, 1.0])
    action, _ = policy.predict({"t": np.array([t]), "weights": held})
    assert (action[:3] > 0).tolist() == (score > 0).tolist()


@pytest.mark.parametrize(
    ("action", "limits"),
    [("simplex", {}), ("trade", {}), ("long_short", {"gross": 2.0, "net": 0.5})],
)
def test_every_action_map_gets_the_weights(market, tmp_path, action, limits):
    make = {"action": action, "action_settings": limits}
    learn, choose, test = (
        window(market, *rows, **make) for rows in ((40, 251), (272, 331), (331, 421))
    )
    agent = Forecasting(**SMALL, allocator="top_k", allocator_settings={"k": 1, "invested": True})
    policy = agent.train(learn, choose, seed=0, folder=tmp_path).policy
    done = rollout(policy, PortfolioEnv.from_setting(test))
    assert done.weights[5:].sum(axis=1) == pytest.approx(1.0)
    if limits:
        assert np.abs(done.weights[2:, :-1]).sum(axis=1) == pytest.approx(2.0)
        assert np.abs(done.weights[:, :-1].sum(axis=1)).max() < 1e-9
    else:
        assert done.weights[2:, :-1].max(axis=1) == pytest.approx(1.0)


def test_below_the_threshold_of_trading_orders_trade_nothing(market, tmp_path):
    learn, choose, test = (
        window(market, *rows, action="trade") for rows in ((40, 251), (272, 331), (331, 421))
    )
    settings = {"k": 1, "invested": True, "hold_below": 0.9}
    agent = Forecasting(**SMALL, allocator_settings=settings)
    policy = agent.train(learn, choose, seed=0, folder=tmp_path).policy
    # From cash the turnover is 1, from one asset to another 2; what prices move is far less.
    done = rollout(policy, PortfolioEnv.from_setting(test))
    traded = done.turnover[done.turnover != 0]
    assert 0 < len(traded) < len(done.turnover)
    assert traded.min() > 0.9


def test_halted_assets_stay_as_they_are(market, tmp_path):
    tradable = np.ones(market.close.shape, bool)
    tradable[340:350, 1] = False
    close = market.close.copy()
    close[340:350, 1] = np.nan
    halted = replace(market, close=close, tradable=tradable)
    agent = Forecasting(**SMALL, allocator_settings={"k": 3, "invested": True})
    policy = agent.train(
        window(halted, 40, 251), window(halted, 272, 331), seed=0, folder=tmp_path
    ).policy
    done = rollout(policy, PortfolioEnv.from_setting(window(halted, 331, 421)))
    assert np.isfinite(done.weights).all()
    assert done.weights[3] == pytest.approx([1 / 3, 1 / 3, 1 / 3, 0.0])


def test_other_features_and_prices_can_be_held(market, windows, trained):
    policy = trained.policy
    before = policy.predict({"t": np.array([400]), "weights": np.array([0, 0, 0, 1.0])})[0]
    longer = market_of(
        np.vstack([np.diff(market.close, axis=0) / market.close[:-1], np.zeros((5, 3))])
    )
    test = window(longer, 331, 426)
    with pytest.raises(InputError, match="features and the market of the same rows"):
        policy.hold(test.features)
    policy.hold(test.features, longer)
    after = policy.predict({"t": np.array([400]), "weights": np.array([0, 0, 0, 1.0])})[0]
    assert after == pytest.approx(before, abs=1e-6)
    assert len(rollout(policy, PortfolioEnv.from_setting(test)).dates) == 94
    policy.hold(windows[0].features, market)


# ---------------------------------------------------------------------- what it finds
@pytest.mark.parametrize("predictor", ["lstm", "linear", "gradient_boosting"])
def test_a_planted_signal_is_found_and_earned(tmp_path, predictor):
    """Tomorrow's return, as it is executed, is told by today's: r(t+2) = 0.6 r(t) + noise."""
    rng = np.random.default_rng(0)
    returns = rng.normal(0, 0.01, (900, 2))
    for t in range(2, len(returns)):
        returns[t] += 0.6 * returns[t - 2]
    market = market_of(returns)
    agent = Forecasting(
        predictor=predictor, threshold=0.0, epochs=8, learning_rate=0.02,
        allocator="top_k", allocator_settings={"k": 1},
        predictor_settings={"hidden": [16]} if predictor == "lstm" else {},
    )  # fmt: skip
    learn, choose, test = (window(market, *rows) for rows in ((40, 520), (541, 700), (701, 901)))
    policy = agent.train(learn, choose, seed=0, folder=tmp_path).policy
    rows = np.arange(701, 878)
    labels, said = agent.targets(test), policy.forecasts(rows)
    right = (said.probability.argmax(axis=-1) == labels.direction[rows]).mean()
    # The best there is: the sign of an AR forecast with a correlation of 0.6 is right in 70.5 %.
    assert right > 0.6
    assert (
        np.corrcoef(said.expected[..., 0].ravel(), labels.expected_return[rows][..., 0].ravel())[
            0, 1
        ]
        > 0.4
    )
    earned = rollout(policy, PortfolioEnv.from_setting(test))
    assert earned.gross_return.mean() > 2 * earned.asset_return.std() / np.sqrt(200)


# ---------------------------------------------------------------------- folders and settings
def test_a_finished_training_is_read_and_a_changed_one_refused(windows, tmp_path):
    agent = Forecasting(**SMALL)
    one = agent.train(*windows[:2], seed=3, folder=tmp_path)
    told = []
    two = agent.train(*windows[:2], seed=3, folder=tmp_path, advance=lambda n, _: told.append(n))
    assert one.curve == two.curve and one.best_step == two.best_step and sum(told) == 2
    for a, b in zip(one.policy.network.parameters(), two.policy.network.parameters(), strict=True):
        assert torch.equal(a, b)
    for change, words in (
        ({"threshold": 0.5}, "threshold"),
        ({"learning_rate": 0.5}, "learning_rate"),
        ({"predictor": "gru"}, "predictor"),
    ):
        with pytest.raises(InputError, match=words):
            replace(agent, name="", **change).train(*windows[:2], seed=3, folder=tmp_path)
    # Who acts on the forecasts is no part of what was learned.
    replace(agent, allocator="fractional_kelly").train(*windows[:2], seed=3, folder=tmp_path)


def test_a_baseline_is_fitted_once(windows, tmp_path):
    agent = Forecasting(predictor="linear")
    one = agent.train(*windows[:2], seed=0, folder=tmp_path)
    two = agent.train(*windows[:2], seed=1, folder=tmp_path)
    assert one.curve == two.curve and len(one.curve["validation"]) == 1
    rows = np.arange(331, 420)
    for a, b in zip(one.policy.forecasts(rows), two.policy.forecasts(rows), strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(InputError, match="was trained with"):
        replace(agent, threshold=1.0).train(*windows[:2], seed=0, folder=tmp_path)


def test_the_seed_decides(windows, tmp_path):
    agent = Forecasting(**SMALL)
    state = torch.random.get_rng_state()
    curves = [
        agent.train(*windows[:2], seed=s, folder=tmp_path / f"{k}").curve
        for k, s in enumerate((0, 0, 1))
    ]
    assert curves[0] == curves[1] != curves[2]
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"predictor": "lstn"}, "agent.predictor: unknown predictor 'lstn'; did you mean lstm"),
        ({"predictor_settings": {"hiden": [3]}}, "agent.predictor_settings: .*hiden"),
        ({"allocator": "kelly"}, "unknown agent.allocator 'kelly'"),
        ({"allocator_settings": {"k": 0}}, "agent.allocator_settings.k=0 must be >= 1"),
        ({"epochs": 0}, "agent.epochs must be a whole number at least 1, got 0"),
        ({"predictor": 3}, "agent.predictor: unknown predictor 3. Known: linear"),
        ({"predictor": ["lstm"]}, "agent.predictor: unknown predictor"),
        ({"predictor_settings": None}, "agent.predictor_settings must be a mapping .* {} for none"),
        ({"allocator_settings": None}, "agent.allocator_settings must be a mapping .* {} for none"),
        ({"allocator_settings": {1: 2}}, "agent.allocator_settings must be a mapping of names"),
        ({"allocator_settings": {"k2": 2}}, "agent.allocator_settings has no k2 .*mean k. Known"),
        ({"objective": {"direction": -1}}, "^agent.objective.direction must be a number, 0 or"),
        ({"objective": {"delta": 1}}, "agent.objective has no delta. Known: direction"),
        ({"objective": None}, "agent.objective must be a mapping"),
        ({"threshold": -1.0}, "agent.threshold must be 0 or more"),
        ({"threshold": float("nan")}, "agent.threshold=nan must be a finite number"),
        ({"allocator_settings": {"hold_below": 0.1}}, "hold_below=0.1 needs env.action=trade"),
        ({"allocator": "mean_variance", "allocator_settings": {"window": 300}}, "needs 300 past"),
    ],
)
def test_wrong_settings_are_named(windows, tmp_path, settings, words):
    with pytest.raises(InputError, match=words):
        Forecasting(**{**SMALL, **settings}).train(*windows[:2], seed=0, folder=tmp_path)


def test_what_cannot_be_learned_on_is_refused(market, windows, tmp_path):
    agent = Forecasting(**SMALL)
    flat = window(market, 40, 251, observation="flat")
    with pytest.raises(InputError, match=r"env\.observation=indexed"):
        agent.train(flat, windows[1], seed=0, folder=tmp_path)
    bare = make_setting(market, None, start=40, stop=251, observation="indexed", action="simplex")
    with pytest.raises(InputError, match="features=default"):
        agent.train(bare, windows[1], seed=0, folder=tmp_path)
    with pytest.raises(InputError, match="validation window: no row is left"):
        agent.train(windows[0], window(market, 272, 290), seed=0, folder=tmp_path)


@pytest.mark.parametrize("predictor", ["lstm", "linear"])
def test_prices_that_stand_still_are_named(windows, tmp_path, predictor):
    still = [replace(w, market=market_of(np.zeros((420, 3)))) for w in windows[:2]]
    with pytest.raises(InputError, match="no price moves up to the last row of the training"):
        Forecasting(predictor=predictor).train(*still, seed=0, folder=tmp_path)


def test_horizons_and_names(trained):
    assert trained.policy.horizons == HORIZONS
    assert Forecasting(predictor="gru").name == "gru"
    assert Forecasting(predictor="gru", name="mine").name == "mine"
    assert Forecasting(epochs=7).trained_steps == 7
