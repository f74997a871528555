"""Episodes that begin in given weights: a portfolio goes on where another rollout left it."""

from dataclasses import replace

import numpy as np
import pytest

from agents.baselines import make_baseline
from agents.rollout import rollout
from envs.data.synthetic import synthetic
from envs.errors import InputError
from envs.market.costs import ProportionalCost
from envs.portfolio import PortfolioEnv
from envs.simulation import make_setting
from envs.vector import PortfolioVectorEnv
from experiments.evaluation.trajectory_store import load_trajectories, save_trajectories
from tests import gaps

SERIES = ("weights", "gross_return", "net_return", "turnover", "asset_return", "cash_return")


def env_of(market, **keywords):
    arguments = {"observation": "indexed", "action": "simplex", "cost": ProportionalCost(10, 5)}
    return PortfolioEnv(market, **{**arguments, **keywords})


@pytest.mark.parametrize("execution", gaps.EXECUTIONS)
@pytest.mark.parametrize("panel", ["complete", "gappy"])
def test_two_windows_are_one(execution, panel):
    """Row 51 lies in a halt of the gappy panel: what is held of the asset is carried over."""
    market = gaps.gappy() if panel == "gappy" else synthetic(n_rows=90, ohlcv=True)
    policy = make_baseline("equal_weight", market)
    whole = rollout(policy, env_of(market, execution=execution, start=5, stop=90))
    one = rollout(policy, env_of(market, execution=execution, start=5, stop=52))
    two = rollout(policy, env_of(market, execution=execution, start=51, stop=90), weights=one.held)
    assert two.decision_dates[0] == market.dates[51]
    for name in SERIES:
        joined = np.concatenate([getattr(one, name), getattr(two, name)])
        if name == "weights":
            assert joined.tobytes() == whole.weights.tobytes()
        # The value starts at 1 in each window, which moves last bits of what is divided by it.
        assert joined == pytest.approx(getattr(whole, name), rel=1e-12, abs=1e-15)
    assert one.value[-1] * two.value[-1] == pytest.approx(whole.value[-1], rel=1e-12)
    assert two.held == pytest.approx(whole.held, rel=1e-12)


def test_held_is_what_the_market_made_of_the_last_trade():
    market = synthetic(n_rows=30, n_assets=3)
    policy = make_baseline("buy_and_hold", market)
    made = rollout(policy, env_of(market, action="trade", execution="same_close"))
    grown = made.weights[-1] * np.append(
        market.close[-1] / market.close[-2], 1 + market.cash_rate[-1]
    )
    assert made.held == pytest.approx(grown / grown.sum(), rel=1e-12)


def test_held_is_stored(tmp_path):
    market = synthetic(n_rows=30, n_assets=3)
    made = rollout(make_baseline("equal_weight", market), env_of(market))
    index = replace(made, held=None)
    save_trajectories(tmp_path / "trajectories.h5", {"one": [made, index]})
    read = load_trajectories(tmp_path / "trajectories.h5")["one"]
    assert read[0].held.tobytes() == made.held.tobytes() and read[1].held is None


def test_a_waiting_order_leaves_what_is_held():
    market = synthetic(n_rows=30, n_assets=2)
    weights = np.array([0.3, 0.5, 0.2])
    made = rollout(make_baseline("equal_weight", market), env_of(market, delay=2), weights=weights)
    assert made.turnover[:2] == pytest.approx(np.zeros(2)) and made.turnover[2] > 0.1
    grown = weights * np.append(market.close[1] / market.close[0], 1 + market.cash_rate[1])
    assert made.weights[0] == pytest.approx(grown / grown.sum(), rel=1e-12)


def test_the_vector_env_begins_as_the_scalar_one():
    market = synthetic(n_rows=40, n_assets=3)
    setting = make_setting(market, action="simplex", episode_length=3)
    weights = np.random.default_rng(0).dirichlet(np.ones(4), 5)
    many = PortfolioVectorEnv.from_setting(setting, 5)
    seen, _ = many.reset(seed=0, options={"weights": weights})
    for i, held in enumerate(weights):
        one = PortfolioEnv.from_setting(setting)
        assert one.reset(seed=i, options={"weights": held})[0].tobytes() == seen[i].tobytes()
    seen, _ = many.reset(options={"weights": weights[0]})
    assert (seen == seen[0]).all() and seen[0, -4:] == pytest.approx(weights[0])
    actions = np.tile(weights[0], (5, 1))
    for _ in range(3):
        seen, *_ = many.step(actions)
    # The episodes that follow begin in cash again.
    assert (seen[:, -4:] == [0, 0, 0, 1]).all()


def test_shorts_need_long_short():
    market = synthetic(n_rows=40, n_assets=2)
    weights = np.array([-0.5, 0.25, 1.25])
    with pytest.raises(InputError, match=r"-0\.5 in S00.*'long_short'"):
        env_of(market).reset(options={"weights": weights})
    env = env_of(market, action="long_short")
    seen, _ = env.reset(options={"weights": weights})
    assert seen["weights"].tobytes() == weights.tobytes()


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ([0.5, 0.5], r"must be \[4\] \(assets, then cash\), got \(2,\)"),
        ([0.5, 0.5, 0.5, 0.0], r"must sum to 1, got 1\.5"),
        ([np.nan, 0.5, 0.5, 0.0], "must be finite"),
        ([np.inf, -np.inf, 0.5, 0.5], "must be finite"),
        ([0.0, 1.0, 0.0, 0.0], "1 in L, which is not listed on 2020-01-02"),
    ],
)
def test_bad_weights(weights, words):
    market = gaps.small()
    env = env_of(market, start=1)
    with pytest.raises(InputError, match=words):
        env.reset(options={"weights": weights})


def test_what_was_delisted_is_not_held_and_what_halts_is():
    market = gaps.small()
    env = env_of(market, start=3, observation="flat")
    with pytest.raises(InputError, match="D, which is not listed on 2020-01-04"):
        env.reset(options={"weights": [0, 0, 0.5, 0.5]})
    halted = env_of(market, start=2, observation="flat")
    seen, _ = halted.reset(options={"weights": [0.5, 0, 0, 0.5]})
    assert seen[-4:].tolist() == [0.5, 0, 0, 0.5]


def test_an_option_of_another_name():
    market = synthetic(n_rows=40, n_assets=2)
    for env in (env_of(market), PortfolioVectorEnv(market, num_envs=2)):
        env.reset(options={})
        with pytest.raises(InputError, match="takes the option 'weights', not 'weight'"):
            env.reset(options={"weight": [1, 0, 0]})
