"""`rollout` gives bit for bit what stepping the env by hand gives."""

import numpy as np
import pytest

from agents.rollout import rollout
from envs.data.simulated import simulated
from envs.data.synthetic import synthetic
from envs.errors import InputError
from envs.market.costs import Frictions, ProportionalCost
from envs.market.processes import GeometricBrownian
from envs.portfolio import PortfolioEnv
from envs.rewards import Reward
from tests import gaps

COLUMNS = ("gross_return", "net_return", "asset_return", "cash_return", "turnover")


class Wanderer:
    """Answers noise that depends on all that it sees and on what it remembers."""

    name = "wanderer"

    def __init__(self, env, scale):
        setting = env.setting
        self.observation, self.action = setting.observation, setting.action_map.name
        self.size, self.scale = setting.action_map.n_actions, scale

    def predict(self, observation, state=None, episode_start=None, deterministic=True):
        state = 0 if episode_start[0] else state + 1
        parts = observation.values() if isinstance(observation, dict) else [observation]
        seen = sum(float(np.sum(part)) for part in parts)
        seed = abs(hash((round(seen * 1e9), state))) % 2**32
        action = np.random.default_rng(seed).normal(0, self.scale, self.size)
        return action.astype(np.float32), state


def by_hand(policy, env, weights=None):
    """The episode through `reset` and `step`, as `(infos, rewards, terminated, held)`."""
    options = None if weights is None else {"weights": weights}
    observation, info = env.reset(seed=0, options=options)
    infos, rewards, state, start = [info], [], None, True
    while True:
        action, state = policy.predict(observation, state, np.array([start]))
        observation, reward, terminated, truncated, info = env.step(action)
        infos.append(info)
        rewards.append(reward)
        start = False
        if terminated or truncated:
            return infos, rewards, terminated, env.simulation.state.weights[0]


SHORTS = {"action": "long_short", "action_settings": {"gross": 1.5, "net": 1.0}}
CASES = {
    "flat": {"window": 3},
    "indexed": {"observation": "indexed", "action": "simplex"},
    "trade": {"observation": "indexed", "action": "trade", "execution": "next_open"},
    "same_close": {"execution": "same_close", "reward": Reward(terms={"drawdown": 1.0})},
    "delay": {"delay": 2, "cost": ProportionalCost(20, 5)},
    "frictions": {
        **SHORTS,
        "cost": Frictions(impact=0.1, borrow_fee=0.03, participation=0.5, borrow_rate_spread=0.02),
    },
    "forced": {**SHORTS, "cost": Frictions(margin=1.55), "execution": "same_close"},
    "ruin": {**SHORTS, "ruin": 0.9, "cost": ProportionalCost(100, 0)},
    "gaps": {"observation": "indexed", "action": "trade"},
    "flat gaps": {"execution": "next_open", "window": 2},
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("given", [False, True])
def test_bits(case, given):
    market = gaps.gappy() if "gaps" in case else synthetic(n_rows=90, n_assets=4, ohlcv=True)
    env = PortfolioEnv(market, **{"start": 5, **CASES[case]})
    weights = np.zeros(market.n_assets + 1)
    weights[[0, -1]] = 0.25, 0.75
    weights = weights if given else None
    policy = Wanderer(env, 1.0 if case == "forced" else 0.3)
    infos, rewards, terminated, held = by_hand(policy, env, weights)
    held = held.copy()
    made = rollout(policy, env, weights=weights)
    assert made.ruined == terminated == (case == "ruin")
    if case == "forced":
        assert any(info["forced"] for info in infos[1:])
    n = len(rewards)
    assert n == 84 or case == "ruin"
    assert made.decision_dates.tolist() == [info["date"].item() for info in infos[:-1]]
    assert made.dates.tolist() == [info["date"].item() for info in infos[1:]]
    assert made.weights.tobytes() == np.array([info["weights"] for info in infos[1:]]).tobytes()
    assert made.value.tobytes() == np.array([info["value"] for info in infos]).tobytes()
    assert made.reward.tobytes() == np.array(rewards).tobytes()
    assert made.held.tobytes() == held.tobytes()
    for name in COLUMNS:
        assert getattr(made, name).tolist() == [info[name] for info in infos[1:]], name
    assert set(made.costs) == set(env.setting.costs.kinds)
    for kind, cost in made.costs.items():
        assert cost.tolist() == [info[kind] for info in infos[1:]], kind
    if "gaps" in case:
        listed = env.setting.legs.n_listed[5 : 5 + n]
        assert made.n_listed.tolist() == listed.tolist()


@pytest.mark.parametrize("random_weights", [False, True])
def test_bits_on_a_fresh_path(random_weights):
    market = simulated(process=GeometricBrownian(drift=0.1, volatility=0.2), n_rows=60)
    env = PortfolioEnv(market, fresh_paths=True, episode_length=40, random_weights=random_weights)
    policy = Wanderer(env, 0.3)
    infos, rewards, _, held = by_hand(policy, env)
    held = held.copy()
    made = rollout(policy, env)
    assert made.value.tobytes() == np.array([info["value"] for info in infos]).tobytes()
    assert made.reward.tobytes() == np.array(rewards).tobytes()
    assert made.held.tobytes() == held.tobytes()
    for name in COLUMNS:
        assert getattr(made, name).tolist() == [info[name] for info in infos[1:]], name


def test_the_env_stays_where_it_is():
    env = PortfolioEnv(synthetic(n_rows=60, n_assets=3))
    policy = Wanderer(env, 1.0)
    actions = np.random.default_rng(0).normal(size=(20, 4))
    env.reset(seed=0)
    alone = [env.step(action)[4]["value"] for action in actions]
    env.reset(seed=0)
    disturbed = []
    for action in actions:
        rollout(policy, env)
        disturbed.append(env.step(action)[4]["value"])
    assert disturbed == alone


def test_an_action_of_another_shape_or_with_nan():
    env = PortfolioEnv(synthetic(n_rows=60, n_assets=3))
    policy = Wanderer(env, 1.0)
    policy.size = 3
    with pytest.raises(InputError, match=r"wanderer: an action must have shape \(4,\), got \(3,\)"):
        rollout(policy, env)
    policy.size, policy.scale = 4, np.nan
    with pytest.raises(InputError, match="contains NaN"):
        rollout(policy, env)


def test_what_a_trajectory_holds_is_its_own():
    """A second rollout writes nothing into the first one."""
    env = PortfolioEnv(synthetic(n_rows=60, n_assets=3))
    first = rollout(Wanderer(env, 0.5), env)
    kept = {key: np.copy(value) for key, value in vars(first).items() if key != "costs"}
    rollout(Wanderer(env, 2.0), env)
    for key, value in kept.items():
        assert np.array_equal(getattr(first, key), value), key
