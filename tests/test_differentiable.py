"""Networks trained through the market: they learn, repeat, resume, and see no future."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from agents.checkpoint import read_tensors
from agents.differentiable import Differentiable
from agents.learner import CHECKPOINT, MODEL
from agents.rollout import rollout
from agents.row_market import PortfolioPolicy, Rows
from envs.data.synthetic import synthetic
from envs.errors import InputError
from envs.features.panel import FeaturePanel
from envs.market.costs import LiteratureCost, ProportionalCost
from envs.portfolio import PortfolioEnv
from envs.simulation import make_setting
from tests.gaps import with_halts, with_listing

SMALL = Differentiable(
    predictor="mlp", predictor_settings={"hidden": (8,)}, length=20, batch_size=4, epochs=4
)
LONG_SHORT = {"action": "long_short", "action_settings": {"gross": 2.0, "net": 2.0}}


def panel(market, seed=1, window=1):
    """A feature that tells the direction of the return after the next close, and one of noise."""
    growth = np.zeros(market.close.shape)
    growth[:-2] = np.sign(np.log(market.close[2:] / market.close[1:-1]))
    noise = np.random.default_rng(seed).normal(size=market.close.shape)
    values = np.stack([np.nan_to_num(growth), noise], axis=2)
    return FeaturePanel(np.float32(values), ("oracle", "noise"), {"price": slice(0, 2)})


def setting(market, start, stop, features=None, **keywords):
    keywords = {"action": "simplex", "window": 2, "cost": ProportionalCost(half_spread_bps=5.0),
                **keywords}  # fmt: skip
    return make_setting(
        market, features or panel(market), start=start, stop=stop, observation="indexed", **keywords
    )


def windows(market=None, cut=200, stop=300, **keywords):
    market = market or synthetic(n_rows=320, n_assets=3, seed=3)
    return setting(market, 10, cut, **keywords), setting(market, cut, stop, **keywords)


def parameters(folder):
    return read_tensors(folder / MODEL)[0]


def same(one, two):
    return one.keys() == two.keys() and all(torch.equal(one[k], two[k]) for k in one)


# ------------------------------------------------------------------ what it earns is what it earns
@pytest.mark.parametrize("execution", ["same_close", "next_close", "next_open"])
@pytest.mark.parametrize("patient", [True, False])
@pytest.mark.parametrize("keywords", [{"action": "simplex"}, LONG_SHORT], ids=["long", "short"])
def test_training_earns_what_the_env_pays(tmp_path, execution, patient, keywords):
    market = synthetic(n_rows=120, n_assets=3, seed=5, ohlcv=True)
    agent = replace(SMALL, patient=patient)
    part = setting(market, 10, 90, execution=execution, **keywords)
    rows = Rows(agent.name, part, see_costs=agent.see_costs)
    torch.manual_seed(0)
    network = agent.network(part, rows.inputs.shape[2]).eval()
    followed = rollout(PortfolioPolicy("x", network, rows), PortfolioEnv.from_setting(part))
    with torch.inference_mode():
        path = rows.trade(network, np.array([part.first]), part.last - part.first, from_cash=True)
    # A network's float32 differs in its last bits between one row and many.
    np.testing.assert_allclose(path.net_return[0], followed.net_return, atol=1e-8)
    np.testing.assert_allclose(path.turnover[0], followed.turnover, atol=1e-6)


@pytest.mark.parametrize("execution", ["same_close", "next_close", "next_open"])
@pytest.mark.parametrize("patient", [True, False])
@pytest.mark.parametrize("keywords", [{"action": "simplex"}, LONG_SHORT], ids=["long", "short"])
def test_listings_halts_and_delistings_are_trained_as_the_env_has_them(
    execution, patient, keywords
):
    market = with_listing(synthetic(n_rows=220, n_assets=5, seed=2, ohlcv=True), asset=0, row=100)
    market = with_halts(market, slice(120, 128), asset=1)
    market = with_halts(market, slice(124, 126), asset=2)
    # A halt without an end is a delisting; its holders are paid 0.4 of the last close.
    market = replace(with_halts(market, slice(140, 220), asset=3), delisting_value=0.4)
    assert np.isfinite(market.delisting_value).any()
    part = setting(market, 60, 200, execution=execution, **keywords)
    rows = Rows("x", part)
    torch.manual_seed(0)
    network = replace(SMALL, patient=patient).network(part, rows.n_features).eval()
    followed = rollout(PortfolioPolicy("x", network, rows), PortfolioEnv.from_setting(part))
    assert not followed.weights[:39, 0].any() and followed.weights[45:, 0].any()
    with torch.inference_mode():
        path = rows.trade(network, np.array([part.first]), part.last - part.first, from_cash=True)
    # The share that costs take of what is stuck is the kernel's alone.
    np.testing.assert_allclose(path.net_return[0], followed.net_return, atol=3e-5)
    # What a delisting pays counts as traded here, and is not charged.
    others = np.setdiff1d(np.arange(len(followed.turnover)), [79, 80])
    np.testing.assert_allclose(path.turnover[0][others], followed.turnover[others], atol=3e-3)


# ------------------------------------------------------------------ learning
@pytest.mark.parametrize("keywords", [{"action": "simplex"}, LONG_SHORT], ids=["long", "short"])
def test_it_learns_to_follow_a_feature_that_knows(tmp_path, keywords):
    training, validation = windows(cut=220, **keywords)
    agent = replace(SMALL, epochs=40, learning_rate=0.03, patience=40)
    trained = agent.train(training, validation, seed=0, folder=tmp_path)
    earned = rollout(trained.policy, PortfolioEnv.from_setting(validation)).net_return
    sharpe = earned.mean() / earned.std() * 252**0.5
    assert sharpe > 6.0  # without the feature it is below 2
    assert trained.curve["validation"][-1] > trained.curve["validation"][0] + 2.0


def test_costs_teach_patience(tmp_path):
    """The same market with and without costs: who pays learns to trade less."""
    turnover = {}
    for bps in (0.0, 60.0):
        training, validation = windows(cost=ProportionalCost(half_spread_bps=bps))
        agent = replace(SMALL, epochs=15, learning_rate=0.03, patience=40)
        trained = agent.train(training, validation, seed=0, folder=tmp_path / str(bps))
        followed = rollout(trained.policy, PortfolioEnv.from_setting(validation))
        turnover[bps] = followed.turnover.mean()
    assert turnover[60.0] < 0.5 * turnover[0.0]


# ------------------------------------------------------------------ repeat, resume, refuse
def test_the_same_seed_gives_the_same_bits_and_another_does_not(tmp_path):
    training, validation = windows(window=10)
    agent = replace(SMALL, predictor="lstm", predictor_settings={"hidden": (8,), "dropout": 0.3})
    for name, seed in (("one", 0), ("two", 0), ("three", 1)):
        # Whatever was drawn from torch's generator before has no say.
        torch.rand(3)
        agent.train(training, validation, seed=seed, folder=tmp_path / name)
    assert same(parameters(tmp_path / "one"), parameters(tmp_path / "two"))
    assert not same(parameters(tmp_path / "one"), parameters(tmp_path / "three"))


def test_an_interrupted_training_ends_with_the_bits_of_an_unbroken_one(tmp_path):
    training, validation = windows(window=10)
    agent = replace(SMALL, predictor="lstm", predictor_settings={"hidden": (8,), "dropout": 0.3})
    whole = agent.train(training, validation, seed=0, folder=tmp_path / "whole")

    class Killed(Exception):
        pass

    def kill(epoch, values):
        if epoch == 3:
            raise Killed

    with pytest.raises(Killed):
        agent.train(training, validation, seed=0, folder=tmp_path / "broken", log=kill)
    assert (tmp_path / "broken" / CHECKPOINT).exists()
    went_on = []
    rest = agent.train(
        training, validation, seed=0, folder=tmp_path / "broken", resumed=went_on.append
    )
    assert went_on == [2]
    assert same(parameters(tmp_path / "whole"), parameters(tmp_path / "broken"))
    assert rest.curve == whole.curve
    assert not (tmp_path / "broken" / CHECKPOINT).exists()


def test_a_finished_training_is_read_and_not_repeated(tmp_path):
    training, validation = windows()
    first = SMALL.train(training, validation, seed=0, folder=tmp_path)
    told = []
    again = SMALL.train(
        training, validation, seed=0, folder=tmp_path, log=lambda *_: told.append(1)
    )
    assert not told and again.curve == first.curve
    env = PortfolioEnv.from_setting(validation)
    np.testing.assert_array_equal(
        rollout(first.policy, env).weights, rollout(again.policy, env).weights
    )
    with pytest.raises(InputError, match="trained with seed 0, this run asks for 1"):
        SMALL.train(training, validation, seed=1, folder=tmp_path)
    with pytest.raises(InputError, match=r"agent\.learning_rate=0\.003, this run asks for 0\.1"):
        replace(SMALL, learning_rate=0.1).train(training, validation, seed=0, folder=tmp_path)


def test_training_ends_when_validation_no_longer_improves(tmp_path):
    training, validation = windows()
    told = []
    agent = replace(SMALL, epochs=50, patience=2, min_delta=1e9)
    trained = agent.train(
        training, validation, seed=0, folder=tmp_path, advance=lambda n, info: told.append(n)
    )
    # The first epoch is an improvement on nothing, the next two are none by this measure.
    assert trained.curve["steps"] == [1, 2, 3]
    assert sum(told) == 50
    scores = trained.curve["validation"]
    assert trained.best_step == 1 + int(np.argmax(scores))


# ------------------------------------------------------------------ no future
def test_nothing_after_the_validation_window_changes_the_model(tmp_path):
    market = synthetic(n_rows=320, n_assets=3, seed=3)
    features = panel(market)
    changed = np.array(market.close)
    changed[301:] *= 1.5
    other = replace(market, close=changed, tradable=None)
    values = np.array(features.values)
    values[301:] += 1.0
    later = FeaturePanel(values, features.names, features.groups)
    SMALL.train(*windows(market, features=features), seed=0, folder=tmp_path / "one")
    SMALL.train(*windows(other, features=later), seed=0, folder=tmp_path / "two")
    assert same(parameters(tmp_path / "one"), parameters(tmp_path / "two"))


@pytest.mark.parametrize("predictor", ["lstm", "mlp"])
@pytest.mark.parametrize("keywords", [{"action": "simplex"}, LONG_SHORT], ids=["long", "short"])
def test_a_decision_depends_on_its_window_only(predictor, keywords):
    market = synthetic(n_rows=120, n_assets=3, seed=5)
    features = panel(market)
    agent = replace(SMALL, predictor=predictor, see_costs=True)
    values, close = np.array(features.values), np.array(market.close)
    values[61:] += 1.0
    close[61:] *= 1.3
    other = replace(market, close=close, tradable=None)
    found = []
    for one, rows in ((market, features), (other, FeaturePanel(values, features.names))):
        part = setting(one, 10, 100, features=rows, window=10, **keywords)
        torch.manual_seed(0)
        market_rows = Rows(agent.name, part, see_costs=agent.see_costs)
        network = agent.network(part, market_rows.inputs.shape[2])
        policy = PortfolioPolicy("x", network, market_rows)
        held = {"weights": np.array([0.2, 0.3, 0.1, 0.4])}
        found.append([policy.predict({"t": np.array([t]), **held})[0] for t in (58, 60, 61)])
    np.testing.assert_array_equal(found[0][:2], found[1][:2])
    assert not np.array_equal(found[0][2], found[1][2])


def test_a_policy_goes_on_with_the_rows_of_another_panel():
    old = setting(synthetic(n_rows=120, n_assets=3, seed=5), 10, 100, **LONG_SHORT)
    new = setting(synthetic(n_rows=150, n_assets=3, seed=6), 10, 140, **LONG_SHORT)
    network = SMALL.network(old, 2)
    policy = PortfolioPolicy("x", network, Rows("x", old, volatility=0.3))
    with pytest.raises(InputError, match="the features and the setting of the same rows"):
        policy.hold(new.features)
    policy.hold(new.features, new)
    fresh = PortfolioPolicy("x", network, Rows("x", new, volatility=0.3))
    env = PortfolioEnv.from_setting(new)
    np.testing.assert_array_equal(rollout(policy, env).weights, rollout(fresh, env).weights)


# ------------------------------------------------------------------ bad input
@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"length": 1}, "agent.length=1 must be >= 2"),
        ({"epochs": 0}, "agent.epochs=0 must be >= 1"),
        ({"learning_rate": 0.0}, "agent.learning_rate must be above 0"),
        ({"loss": {"sharp": 1.0}}, "agent.loss: unknown measure 'sharp'.*did you mean sharpe"),
        ({"loss": {}}, "agent.loss: a loss needs a weight above 0"),
        ({"patient": 1}, "agent.patient"),
        ({"min_delta": -1.0}, "agent.min_delta must be 0 or more"),
        ({"device": "gpu"}, "agent.device must be cpu, cuda or cuda:N"),
        ({"predictor": 3}, "agent.predictor: unknown predictor 3"),
        ({"loss": None}, "agent.loss must be a mapping"),
    ],
)
def test_wrong_settings_are_refused(settings, words):
    with pytest.raises(InputError, match=words):
        replace(SMALL, **settings)


@pytest.mark.parametrize(
    ("keywords", "words"),
    [
        ({"action": "softmax"}, "env.action=simplex or env=long_short, got softmax"),
        (
            {"cost": LiteratureCost("simple"), "execution": "same_close"},
            "proportional costs without delay",
        ),
        ({"delay": 1}, "env.delay=0"),
    ],
)
def test_settings_of_the_market_that_cannot_be_differentiated_are_refused(
    tmp_path, keywords, words
):
    with pytest.raises(InputError, match=words):
        SMALL.train(*windows(**keywords), seed=0, folder=tmp_path)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"predictor": "linear"}, "agent.predictor=linear is fitted to labels and has no gradient"),
        ({"predictor": "lstm"}, r"env\.window=2 of them.*set env\.window=10 or longer"),
    ],
)
def test_predictors_that_would_not_learn_what_they_decide_on_are_refused(tmp_path, settings, words):
    with pytest.raises(InputError, match=words):
        replace(SMALL, predictor_settings={}, **settings).train(*windows(), seed=0, folder=tmp_path)


def test_the_information_ratio_has_the_benchmark_of_the_reward(tmp_path):
    agent = replace(SMALL, loss={"information_ratio": 1.0}, epochs=1)
    trained = agent.train(*windows(), seed=0, folder=tmp_path)
    assert np.isfinite(trained.curve["validation"]).all()


def test_unknown_predictors_and_too_long_stretches_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"agent\.predictor: unknown predictor 'lstn'; did you"):
        replace(SMALL, predictor="lstn")
    with pytest.raises(InputError, match=r"agent\.length=500 does not fit the 189 decisions"):
        replace(SMALL, length=500).train(*windows(), seed=0, folder=tmp_path)


def test_a_training_that_diverges_is_stopped(tmp_path):
    agent = replace(SMALL, learning_rate=1e30, gradient_clip=1e30, epochs=10)
    with pytest.raises(InputError, match=r"training diverged: .* in epoch .* is not finite"):
        agent.train(*windows(), seed=0, folder=tmp_path)
    assert not (tmp_path / MODEL).exists()
