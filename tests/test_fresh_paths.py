"""Fresh paths: every episode has its own, the same in both environments, and nothing of it is known
early."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from agents.paths import utility_on_paths
from envs.data import simulated
from envs.errors import InputError
from envs.features import build_features, observed_features
from envs.features.panel import FeaturePanel
from envs.market.costs import ProportionalCost
from envs.market.known_answers import ConstantWeights
from envs.market.processes import GeometricBrownian, RegimeSwitching
from envs.portfolio import PortfolioEnv
from envs.rewards import Reward
from envs.simulation import make_setting
from envs.vector import PortfolioVectorEnv

MARKET = simulated(
    process=RegimeSwitching(drift=(0.2, -0.3), volatility=(0.1, 0.3), cash_rate=0.03), n_rows=300
)


def arguments(**changes: Any) -> dict[str, Any]:
    return {
        "market": MARKET,
        "features": observed_features(MARKET),
        "fresh_paths": True,
        "episode_length": 12,
        "action": "simplex",
        **changes,
    }


def prices(market) -> FeaturePanel:
    """Features of the path's own prices, for `features_of`."""
    panel = build_features(market, ["return_1", "sma_ratio_5"])
    return FeaturePanel(
        np.nan_to_num(np.clip(panel.values * 10, -10, 10)), panel.names, warmup=panel.warmup
    )


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("kind", ["shown", "prices"])
def test_each_portfolio_of_the_vector_env_is_the_scalar_env(threads, kind):
    changes: dict[str, Any] = {"random_weights": True, "window": 2}
    if kind == "prices":
        changes |= {"features": prices(MARKET), "features_of": prices}
    settings = arguments(**changes)
    vector = PortfolioVectorEnv(num_envs=5, threads=threads, **settings)
    singles = [PortfolioEnv(**settings) for _ in range(5)]
    observation, info = vector.reset(seed=7)
    expected = [env.reset(seed=7 + i) for i, env in enumerate(singles)]
    assert (info["t"] == [i["t"] for _, i in expected]).all()
    rng = np.random.default_rng(0)
    for _ in range(30):
        np.testing.assert_array_equal(observation, [o for o, *_ in expected])
        actions = rng.uniform(-1, 1, (5, 2)).astype(np.float32)
        observation, reward, _, truncated, info = vector.step(actions)
        expected = [env.step(a) for env, a in zip(singles, actions, strict=True)]
        np.testing.assert_array_equal(reward, [e[1] for e in expected])
        np.testing.assert_array_equal(info["t"], [e[4]["t"] for e in expected])
        if truncated.any():
            for i in range(5):
                np.testing.assert_array_equal(info["final_obs"][i], expected[i][0])
            expected = [env.reset() for env in singles]


def test_growth_of_an_episode_is_that_of_the_seed_it_drew():
    """The env draws one seed an episode; the process, asked for that path, tells the returns."""
    env = PortfolioEnv(
        **arguments(cost=ProportionalCost(0, 0), execution="same_close", episode_length=12)
    )
    env.reset(seed=3)
    rng = np.random.default_rng()
    rng.bit_generator.state = np.random.default_rng(3).bit_generator.state
    seen = []
    for _ in range(2):
        seed = rng.integers(0, 2**63, dtype=np.uint64)
        paths = MARKET.process.simulate(np.array([seed], np.uint64), 12)
        got = [env.step(np.array([1.0, -1.0]))[4]["net_return"] for _ in range(12)]
        np.testing.assert_allclose(got, paths.growth[0, :, 0] - 1.0, rtol=0, atol=1e-15)
        seen.append(got)
        env.reset()
    assert seen[0] != seen[1]


def test_resumes_on_the_very_paths_it_was_on():
    env, other = (PortfolioVectorEnv(num_envs=3, **arguments()) for _ in range(2))
    env.reset(seed=1)
    for _ in range(17):
        env.step(np.full((3, 2), 0.5, np.float32))
    other.reset(seed=99)
    other.load_state_dict(env.state_dict())
    for _ in range(30):
        one, two = (e.step(np.full((3, 2), 0.3, np.float32)) for e in (env, other))
        np.testing.assert_array_equal(one[0], two[0])
        np.testing.assert_array_equal(one[1], two[1])


def test_random_weights_are_uniform_on_the_simplex():
    envs = PortfolioVectorEnv(num_envs=20_000, **arguments(random_weights=True))
    observation, _ = envs.reset(seed=0)
    risky = observation[:, -2]
    # Uniform on [0, 1]: mean 1/2, variance 1/12.
    assert abs(risky.mean() - 0.5) < 4 * (1 / 12 / 20_000) ** 0.5
    assert abs(risky.var() - 1 / 12) < 0.002
    np.testing.assert_allclose(observation[:, -2:].sum(axis=1), 1.0, atol=1e-6)


def test_utility_on_paths_is_the_closed_form_and_shares_its_random_numbers():
    """All in one asset: the mean log growth is drift - volatility^2 / 2."""
    process = GeometricBrownian(drift=0.08, volatility=0.2)
    market = simulated(process=process, n_rows=60)
    setting = make_setting(
        market,
        observed_features(market),
        fresh_paths=True,
        episode_length=50,
        action="simplex",
        execution="same_close",
        cost=ProportionalCost(0, 0),
        reward=Reward({"mean_variance": 1.0}),
    )
    keywords: dict[str, Any] = {"term": "log_return", "n_paths": 4000, "seed": 5}
    one = utility_on_paths(ConstantWeights(np.array([1.0, 0.0]), "all"), setting, **keywords)
    error = 0.2 / np.sqrt(252 * 50 * 4000)
    assert abs(one.mean() - (0.08 - 0.02) / 252) < 4 * error
    cash = utility_on_paths(ConstantWeights(np.array([0.0, 1.0]), "cash"), setting, **keywords)
    np.testing.assert_array_equal(cash, 0.0)
    again = utility_on_paths(ConstantWeights(np.array([1.0, 0.0]), "all"), setting, **keywords)
    np.testing.assert_array_equal(one, again)


def test_expected_utility_has_the_mean_of_the_drawn_one_and_less_noise():
    setting = make_setting(
        **arguments(
            execution="same_close",
            cost=ProportionalCost(20, 0),
            reward=Reward({"mean_variance": 1.0}, risk_aversion=3.0),
        )
    )
    policy = ConstantWeights(np.array([0.6, 0.4]), "mix")
    for term in ("log_return", "mean_variance"):
        drawn, expected = (
            utility_on_paths(policy, setting, term=term, n_paths=5000, seed=5, expected=flag)
            for flag in (False, True)
        )
        error = np.std(drawn - expected) / 5000**0.5
        assert abs(drawn.mean() - expected.mean()) < 4 * error
        assert expected.std() < 0.3 * drawn.std()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"episode_length": None}, "episode_length"),
        ({"start": 5}, "no start"),
        ({"observation": "indexed"}, "env.fresh_paths=false"),
        ({"execution": "next_open"}, "open prices"),
        ({"episode_length": 400}, "data.n_rows"),
    ],
)
def test_what_fresh_paths_cannot_do_is_refused(changes, message):
    with pytest.raises(InputError, match=message):
        PortfolioEnv(**arguments(**changes))


def test_a_market_that_is_not_simulated_is_refused():
    from envs.data import synthetic

    with pytest.raises(InputError, match="data=simulated"):
        PortfolioEnv(**arguments(market=synthetic(n_rows=100), features=None))
    with pytest.raises(InputError, match="data=simulated"):
        observed_features(synthetic(n_rows=100))


def test_paths_that_leave_the_range_of_numbers_are_refused():
    market = simulated(process=GeometricBrownian(drift=0.0, volatility=0.2), n_rows=60)
    object.__setattr__(market, "process", GeometricBrownian(drift=0.0, volatility=3e4))
    env = PortfolioEnv(
        market, features=observed_features(market), fresh_paths=True, episode_length=50
    )
    with pytest.raises(InputError, match="range of numbers"):
        env.reset(seed=0)
