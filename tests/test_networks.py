"""The asset scorer: it reads the flat observation aright and cannot tell assets apart."""

import numpy as np
import pytest
import torch

from agents.sb3 import PPO
from agents.sb3_env import SB3VecEnv
from envs.data.synthetic import synthetic
from envs.errors import InputError
from envs.features.panel import FeaturePanel
from envs.portfolio import PortfolioEnv
from envs.simulation import make_setting
from envs.vector import PortfolioVectorEnv
from networks.asset_scorer import AssetScorer

A, F, WINDOW = 5, 3, 4


@pytest.fixture
def setting():
    market = synthetic(n_rows=80, n_assets=A, seed=0)
    values = np.random.default_rng(0).normal(size=(80, A, F)).astype(np.float32)
    return make_setting(market, FeaturePanel(values, ("a", "b", "c")), window=WINDOW)


@pytest.fixture
def scorer():
    torch.manual_seed(0)
    return AssetScorer(A, F, WINDOW, (8, 8), cash=True)


def test_it_reads_what_the_environment_writes(setting, scorer):
    env = PortfolioEnv.from_setting(setting)
    env.reset()
    observation, *_, info = env.step(np.linspace(-0.5, 0.5, A + 1))
    t = info["t"]
    seen = scorer.by_asset(torch.from_numpy(observation[None]))[0].numpy()
    features = setting.features.reshape(80, A, F)[t - WINDOW + 1 : t + 1]
    for asset in range(A):
        assert seen[asset, :-1].tolist() == features[:, asset].ravel().tolist()
        assert seen[asset, -1] == pytest.approx(info["weights"][asset] * A - 1, abs=1e-6)


def test_swapping_assets_swaps_scores(scorer):
    observation = torch.randn(7, WINDOW * A * F + A + 1)
    order = [3, 1, 4, 0, 2]
    rows = observation[:, : -A - 1].reshape(7, WINDOW, A, F)[:, :, order].reshape(7, -1)
    weights = observation[:, -A - 1 : -1][:, order]
    swapped = torch.cat([rows, weights, observation[:, -1:]], dim=1)
    scores, other = scorer.actions(observation), scorer.actions(swapped)
    torch.testing.assert_close(other[:, :A], scores[:, order])
    torch.testing.assert_close(other[:, A], scores[:, A])  # cash depends on the market alone
    torch.testing.assert_close(scorer.market(swapped), scorer.market(observation))
    assert scores[:, :A].std(dim=1).min() > 0


def test_it_begins_close_to_equal_weight(setting):
    agent = PPO(architecture="assets", network=(8, 8), num_envs=4, n_steps=4, batch_size=16)
    env = PortfolioEnv.from_setting(setting)
    model = agent.build(SB3VecEnv(PortfolioVectorEnv.from_setting(setting, 4)), seed=0)
    observation, _ = env.reset()
    action, _ = model.predict(observation, deterministic=True)
    weights = env.step(action)[-1]["weights"]
    assert weights[:-1] == pytest.approx(np.full(A, weights[:-1].mean()), rel=0.15)
    assert weights[-1] < 0.05


def test_gradients_reach_every_parameter(scorer):
    observation = torch.randn(16, WINDOW * A * F + A + 1)
    (scorer.actions(observation).square().sum() + scorer.market(observation).sum()).backward()
    for name, parameter in scorer.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("action", ["softmax", "simplex", "long_short", "trade"])
def test_ppo_trains_it_under_every_action_map(action):
    market = synthetic(n_rows=80, n_assets=A, seed=0)
    values = np.random.default_rng(0).normal(size=(80, A, F)).astype(np.float32)
    setting = make_setting(
        market, FeaturePanel(values, ("a", "b", "c")), action=action, episode_length=20
    )
    agent = PPO(architecture="assets", network=(8,), num_envs=4, n_steps=8, batch_size=32)
    model = agent.build(SB3VecEnv(PortfolioVectorEnv.from_setting(setting, 4)), seed=0)
    before = model.policy.state_dict()["mlp_extractor.scorer.score.weight"].clone()
    model.learn(64)
    assert not torch.equal(before, model.policy.state_dict()["mlp_extractor.scorer.score.weight"])


def test_unknown_architecture_is_refused():
    with pytest.raises(InputError, match="mlp, assets"):
        PPO(architecture="transformer")
