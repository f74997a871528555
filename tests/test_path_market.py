"""Networks trained on simulated paths: they earn what the env pays, and find the known optimum."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_module

from agents.differentiable import Differentiable
from agents.learner import CHECKPOINT, MODEL
from agents.path_market import JUDGED, FlatPortfolioPolicy, PathMarket
from agents.rollout import rollout
from agents.row_market import PortfolioPolicy, Rows
from envs.data import futures, simulated
from envs.data.synthetic import synthetic
from envs.errors import InputError
from envs.features import build_features, observed_features
from envs.features.scalers import StandardScaler
from envs.market.costs import LiteratureCost, ProportionalCost, QuadraticCost
from envs.market.processes import GeometricBrownian, MeanReverting
from envs.portfolio import PortfolioEnv
from envs.rewards import Reward
from envs.simulation import Simulation, make_setting
from experiments import pipeline
from experiments.learning import Cell, Listener, judged_setting, train_cell

FACTORS = MeanReverting(
    loadings=[[1.0, 0.0], [0.0, 1.0], [-0.5, 0.5]],
    reversion=[0.2, 0.02],
    factor_volatility=[0.002, 0.001],
    volatility=0.2,
    correlation=0.3,
    cash_rate=0.02,
)
SMALL = Differentiable(
    predictor="mlp", predictor_settings={"hidden": (8,)}, joint=True, length=12, batch_size=16,
    epochs=4, updates=3,
)  # fmt: skip
LONG_SHORT = {"action": "long_short", "action_settings": {"gross": 5.0, "net": 5.0}}


def paths(length=12, process=FACTORS, **keywords):
    market = simulated(process, n_rows=60)
    keywords = {"action": "simplex", "execution": "same_close", "cost": ProportionalCost(5.0, 5.0),
                "window": 3, **keywords}  # fmt: skip
    return make_setting(
        market, observed_features(market), fresh_paths=True, episode_length=length, **keywords
    )


def shaken(network):
    """Weights far from those of the start, so that every part of the network has a say."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.5 * torch.randn_like(parameter))
    return network.eval()


@pytest.mark.parametrize("memory", [False, True])
@pytest.mark.parametrize("patient", [False, True])
@pytest.mark.parametrize(
    "keywords",
    [
        {},
        {"execution": "next_close"},
        {**LONG_SHORT, "cost": QuadraticCost(quadratic=0.005)},
    ],
    ids=["same_close", "next_close", "quadratic"],
)
def test_training_earns_what_the_env_pays(keywords, patient, memory):
    """On paths of the same seeds, step by step through the env."""
    setting, n = paths(**keywords), 6
    agent = replace(SMALL, patient=patient, memory=memory)
    market = PathMarket("x", setting, 12)
    network = shaken(agent.network(setting, market.n_features))
    policy = FlatPortfolioPolicy("x", network, market)
    seeds = np.arange(n, dtype=np.uint64)
    simulation = Simulation(setting, n)
    simulation.restart(np.arange(n), [np.random.default_rng(0)] * n)
    simulation.paths.refill(np.arange(n), seeds)
    returns, turnover = [], []
    for _ in range(12):
        observation = simulation.empty_observations()
        simulation.write(observation)
        simulation.step(policy.predict(observation)[0].astype(np.float64))
        returns.append(simulation.last.net_return.copy())
        turnover.append(simulation.last.turnover.copy())
    with torch.inference_mode():
        path = market.trade(network, seeds, 12, from_cash=True)
    # What the env shows of the weights held is float32.
    np.testing.assert_allclose(path.net_return, np.stack(returns, axis=1), atol=1e-6)
    np.testing.assert_allclose(path.turnover, np.stack(turnover, axis=1), atol=1e-4)
    assert np.ptp(turnover) > 0.01


@pytest.mark.parametrize("execution", ["same_close", "next_close"])
@pytest.mark.parametrize("keywords", [{"action": "simplex"}, LONG_SHORT], ids=["long", "short"])
def test_with_a_memory_training_on_rows_earns_what_the_env_pays(execution, keywords):
    market = synthetic(n_rows=150, n_assets=3, seed=5)
    raw = build_features(market, ["return_1", "return_5"])
    features = StandardScaler().fit(raw, 10, 90).transform(raw)
    setting = make_setting(
        market, features, start=20, stop=90, window=4, observation="indexed", execution=execution,
        cost=ProportionalCost(20.0, 20.0), **keywords,
    )  # fmt: skip
    agent = replace(SMALL, joint=False, patient=False, memory=True)
    rows = Rows("x", setting)
    network = shaken(agent.network(setting, rows.n_features))
    followed = rollout(PortfolioPolicy("x", network, rows), PortfolioEnv.from_setting(setting))
    with torch.inference_mode():
        start, length = np.array([setting.first]), setting.last - setting.first
        path = rows.trade(network, start, length, from_cash=True)
        network.memory.zero_()
        without = rows.trade(network, start, length, from_cash=True)
    np.testing.assert_allclose(path.net_return[0], followed.net_return, atol=1e-8)
    assert not np.allclose(path.turnover, without.turnover, atol=1e-3)


@pytest.mark.parametrize("execution", ["same_close", "next_close"])
def test_a_schedule_of_costs_is_charged_on_its_days(execution):
    market = futures(start="2000-01-03", end="2000-07-03", symbols=["ES1 Index", "TY1 Comdty"])
    raw = build_features(market, ["return_1"])
    features = StandardScaler().fit(raw, 1, 60).transform(raw)
    setting = make_setting(
        market, features, start=20, stop=90, window=4, observation="indexed", execution=execution,
        cost=ProportionalCost(0.0, "one_way_cost"), **LONG_SHORT,
    )  # fmt: skip
    rows = Rows("x", setting, see_costs=True)
    agent = replace(SMALL, joint=False, see_costs=True)
    network = shaken(agent.network(setting, rows.n_features))
    followed = rollout(PortfolioPolicy("x", network, rows), PortfolioEnv.from_setting(setting))
    with torch.inference_mode():
        start, length = np.array([setting.first]), setting.last - setting.first
        path = rows.trade(network, start, length, from_cash=True)
    np.testing.assert_allclose(path.net_return[0], followed.net_return, atol=1e-8)
    assert followed.costs["spread"].sum() > 1e-4


def test_no_training_draws_the_paths_on_which_epochs_are_judged():
    market = PathMarket("x", paths(), 12)
    drawn = market.draw(np.random.default_rng(0), 100_000, 12)
    assert int(drawn.max()) < int(JUDGED.min())
    assert len(set(drawn.tolist())) == 100_000


def train(agent, folder, setting=None, **progress):
    setting = setting or paths()
    validation = make_setting(
        setting.market, observed_features(setting.market), start=30, stop=50, window=3,
        action=setting.action_map, execution="same_close",
    )  # fmt: skip
    return agent.train(setting, validation, seed=0, folder=folder, **progress)


def test_an_interrupted_annealed_training_ends_with_the_bits_of_an_unbroken_one(tmp_path):
    agent = replace(SMALL, anneal=True, keep="last", learning_rate=0.03)
    whole = train(agent, tmp_path / "whole")

    class Killed(Exception):
        pass

    def kill(epoch, values):
        if epoch == 3:
            raise Killed

    with pytest.raises(Killed):
        train(agent, tmp_path / "broken", log=kill)
    assert (tmp_path / "broken" / CHECKPOINT).exists()
    rest = train(agent, tmp_path / "broken")
    assert rest.curve == whole.curve and rest.best_step == 4
    one, two = (tmp_path / name / MODEL for name in ("whole", "broken"))
    assert one.read_bytes() == two.read_bytes()


def test_a_network_that_sees_nothing_but_its_number_learns_which_asset_is_best(tmp_path):
    """Two assets, one far better: nearly everything is in it."""
    process = GeometricBrownian(drift=[0.0, 0.6], volatility=[0.2, 0.2], correlation=0.0)
    agent = replace(
        SMALL, loss={"growth": 1.0}, batch_size=256, updates=25, learning_rate=0.1, patient=False
    )
    setting = paths(process=process, window=1)
    policy = train(agent, tmp_path, setting).policy
    observation = np.array([0.5, 0.5, 0.0], np.float32)
    weights, _ = policy.predict(observation)
    assert weights.shape == (3,) and weights[1] > 0.9
    np.testing.assert_array_equal(policy.predict(observation[None])[0][0], weights)
    with pytest.raises(InputError, match=r"nothing to read: .* or agent\.joint=true"):
        train(replace(agent, joint=False), tmp_path / "blind", setting)


@pytest.mark.parametrize(
    ("keywords", "words"),
    [
        (
            {"action": "softmax"},
            r"needs env\.action=simplex or env=long_short, got softmax",
        ),
        ({"cost": LiteratureCost("simple")}, "proportional or quadratic costs without delay"),
        ({"delay": 1}, r"env\.delay=0"),
        (
            {"action": "long_short", "action_settings": {"gross": 2.0, "net": 1.0}},
            r"env\.action_settings\.net must be no less than gross, 2, got 1",
        ),
    ],
)
def test_markets_that_cannot_be_differentiated_are_refused(tmp_path, keywords, words):
    with pytest.raises(InputError, match=words):
        train(SMALL, tmp_path, paths(**keywords))


def test_unknown_choices_are_refused():
    with pytest.raises(InputError, match=r"unknown agent\.keep 'first'; known: best, last"):
        replace(SMALL, keep="first")
    with pytest.raises(InputError, match=r"agent\.updates=0 must be >= 1"):
        replace(SMALL, updates=0)


def test_a_measure_is_taken_out_by_none_and_risk_aversion_is_that_of_the_reward(tmp_path):
    agent = replace(SMALL, loss={"sharpe": None, "mean_variance": 1.0}, epochs=1)
    loss = agent.objective(252.0, 10.0)
    assert loss.weights == {"mean_variance": 1.0} and loss.risk_aversion == 10.0
    means = []
    for risk_aversion in (1.0, 10.0):
        setting = paths(reward=Reward(risk_aversion=risk_aversion), **LONG_SHORT)
        folder = tmp_path / str(risk_aversion)
        means.append(train(agent, folder, setting).curve["validation"][0])
    # Both networks barely began; what they earn is worth less to who minds the risk.
    assert means[1] < means[0] - 0.01


# ------------------------------------------------------------------ the optimum
@pytest.mark.slow
@pytest.mark.parametrize(
    ("recipe", "reached"),
    [("merton_deep_portfolio", 0.98), ("mean_reversion_deep_portfolio", 0.9)],
)
def test_a_recipe_comes_as_near_to_the_optimum_as_it_says(tmp_path, recipe, reached):
    with initialize_config_module("hydra_conf", version_base="1.3"):
        cfg = compose(
            "config", overrides=[f"+exp=known_answer/{recipe}", "known_answer.n_paths=256"]
        )
    market = pipeline.load_market(cfg)
    windows = pipeline.prepare_windows(cfg, market, pipeline.build(cfg, "features.build"))
    answer, setting = judged_setting(cfg, windows, ["deep_portfolio"])
    silent = Listener(lambda n, info: None, lambda *_: None, lambda *_: None)
    trained = train_cell(cfg, windows, tmp_path, Cell(0, "deep_portfolio", 0), silent)
    judged = answer.judge(setting, pipeline.build(cfg, "cost"), {"it": trained.policy})
    assert judged["policies"]["it"]["score"] >= reached
