"""Both environments: contract, timing, causality, equality of one and many, and bad input."""

import warnings
from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as check_env_sb3

from envs.data.market_data import MarketData
from envs.data.synthetic import synthetic
from envs.errors import InputError
from envs.features.panel import FeaturePanel
from envs.market.costs import ProportionalCost
from envs.portfolio import PortfolioEnv
from envs.rewards import TERMS, Reward
from envs.vector import PortfolioVectorEnv
from envs.workers import Worker
from tests import reference

A, T, F = 4, 120, 3
WARMUP = 5


@pytest.fixture(scope="module")
def market():
    panel = synthetic(n_rows=T, n_assets=A, seed=3, ohlcv=True)
    return replace(panel, cash_rate=np.full(T, 2e-4))


@pytest.fixture(scope="module")
def features(market):
    """Features that are a function of the closes up to t, so that causality can be tested."""
    return made_features(market)


def made_features(market):
    log = np.log(market.close / market.close[0])
    values = np.stack([log, np.vstack([np.zeros((1, A)), np.diff(log, axis=0)]), log**2], axis=2)
    return FeaturePanel(
        np.clip(values, -10, 10).astype(np.float32), ("level", "return", "square"), warmup=WARMUP
    )


def random_actions(env, n, seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(-1, 1, (n, *env.action_space.shape)).astype(np.float32)


# ------------------------------------------------------------------ contract
@pytest.mark.parametrize("observation", ["flat", "indexed"])
@pytest.mark.parametrize("action", ["softmax", "simplex", "long_short", "trade"])
def test_checkers_pass_without_warnings(market, features, observation, action):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env = gym.make(
            "envs:Portfolio-v0",
            market=market,
            features=features,
            observation=observation,
            action=action,
            window=3,
            episode_length=20,
            random_start=True,
            render_mode="rgb_array",
        )
        check_env(env.unwrapped)
        check_env_sb3(env.unwrapped)


def test_registered_vector_env(market, features):
    envs = gym.make_vec(
        "envs:Portfolio-v0",
        num_envs=3,
        vectorization_mode="vector_entry_point",
        market=market,
        features=features,
    )
    observation, _ = envs.reset(seed=1)
    assert observation.shape == (3, A * F + A + 1)
    assert envs.observation_space.contains(observation)


def test_picture_of_an_episode(market, features):
    env = PortfolioEnv(market, features, action="long_short", render_mode="rgb_array")
    env.reset(seed=0)
    for action in random_actions(env, 10):
        env.step(action)
    picture = env.render()
    assert picture.shape == (400, 640, 3) and picture.dtype == np.uint8
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 50  # something is drawn


# ------------------------------------------------------------------ the step, by hand
@pytest.mark.parametrize("execution", ["same_close", "next_close", "next_open"])
@pytest.mark.parametrize("action", ["softmax", "simplex", "long_short", "trade"])
def test_trajectory_equals_the_slow_twin(market, features, execution, action):
    settings = {"gross": 1.8, "net": 0.7} if action == "long_short" else {}
    commission, half_spread = [0.002, 0.0, 0.001, 0.003], [0.0005] * A
    env = PortfolioEnv(
        market,
        features,
        action=action,
        action_settings=settings,
        execution=execution,
        cost=ProportionalCost([c * 1e4 for c in commission], 5.0),
        reward=Reward({name: float(k + 1) for k, name in enumerate(TERMS)}, scale=2.0),
    )
    env.reset(seed=0)
    twin_reward = reference.RewardTwin(0.01, 1.0)
    held, value = [0.0] * A + [1.0], 1.0
    for k, action_given in enumerate(random_actions(env, T - 1 - WARMUP)):
        t, a = WARMUP + k, action_given.tolist()
        close, opens = market.close, market.open
        night = day = [1.0] * (A + 1)
        whole = [*(close[t + 1] / close[t]), 1 + 2e-4]
        if execution == "same_close":
            day = whole
        elif execution == "next_close":
            night = whole
        else:
            night = [*(opens[t + 1] / close[t]), 1 + 2e-4]
            day = [*(close[t + 1] / opens[t + 1]), 1.0]
        drifted, first = reference.drift(held, night)
        if action == "softmax":
            target = reference.softmax(a, env.setting.action_map.scale)
        elif action == "simplex":
            target = reference.simplex(a)
        elif action == "long_short":
            target = reference.long_short(a, 1.8, 0.7)
        else:
            target = reference.trade(a, drifted)
        kept = float(reference.kept_exactly(drifted, target, commission, half_spread))
        paid, spread, turnover = reference.cost_of(kept, drifted, target, commission, half_spread)
        held, second = reference.drift(target, day)
        growth = first * kept * second
        value *= growth
        terms = twin_reward.step(growth, float((close[t + 1] / close[t]).mean()), turnover)

        observation, reward, terminated, truncated, info = env.step(action_given)
        assert info["value"] == pytest.approx(value, rel=1e-11)
        assert info["weights"] == pytest.approx(target, abs=1e-12)
        assert (info["commission"], info["spread"], info["turnover"]) == pytest.approx(
            (paid, spread, turnover), abs=1e-12
        )
        assert info["net_return"] == pytest.approx(growth - 1, abs=1e-12)
        assert info["gross_return"] == pytest.approx(first * second - 1, abs=1e-12)
        assert list(info["reward_terms"].values()) == pytest.approx(terms, abs=1e-9)
        assert reward == pytest.approx(2 * sum((i + 1) * x for i, x in enumerate(terms)), abs=1e-8)
        assert observation[-A - 1 :] == pytest.approx(np.float32(held), abs=1e-6)
        assert observation[: A * F] == pytest.approx(features.values[t + 1].ravel())
        assert (terminated, truncated) == (False, t + 1 == T - 1)


def test_flat_window_is_the_last_rows_oldest_first(market, features):
    env = PortfolioEnv(market, features, window=4)
    observation, info = env.reset()
    t = info["t"]
    assert t == WARMUP + 3
    assert observation[: 4 * A * F].tolist() == features.values[t - 3 : t + 1].ravel().tolist()


# ------------------------------------------------------------------ one and many
@pytest.mark.parametrize("observation", ["flat", "indexed"])
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_row_of_the_vector_env_is_bit_equal_to_the_scalar_env(
    market, features, observation, threads
):
    n, steps, seed = 7, 150, 11
    keywords = {
        "observation": observation,
        "window": 2,
        "episode_length": 40,
        "random_start": True,
        "action": "long_short",
        "action_settings": {"gross": 2.0, "net": 1.0},
        "reward": Reward({"log_return": 1.0, "differential_sharpe": 0.1, "drawdown": -0.1}),
    }
    many = PortfolioVectorEnv(market, features, num_envs=n, threads=threads, **keywords)
    rng = np.random.default_rng(0)
    actions = rng.uniform(-1, 1, (steps, n, A)).astype(np.float32)

    def flat(value):
        return value if observation == "flat" else np.append(value["weights"], value["t"])

    def row(value, i):
        return value[i] if observation == "flat" else {k: v[i] for k, v in value.items()}

    singles = [PortfolioEnv(market, features, **keywords) for _ in range(n)]
    first, _ = many.reset(seed=seed)
    for i, env in enumerate(singles):
        assert np.array_equal(flat(env.reset(seed=seed + i)[0]), flat(row(first, i)))
    ended = 0
    for a in actions:
        seen, reward, terminated, truncated, info = many.step(a)
        for i, env in enumerate(singles):
            o, r, te, tr, one = env.step(a[i])
            assert (r, te, tr) == (reward[i], terminated[i], truncated[i])
            assert one["value"] == info["value"][i]
            assert one["weights"].tolist() == info["weights"][i].tolist()
            for key in ("gross_return", "net_return", "commission", "spread", "turnover", "t"):
                assert one[key] == info[key][i], key
            if te or tr:
                ended += 1
                assert info["_final_obs"][i]
                assert np.array_equal(flat(o), flat(info["final_obs"][i]))
                o, _ = env.reset()
            assert np.array_equal(flat(o), flat(row(seen, i)))
    assert ended >= 2 * n
    many.close()


def test_saved_state_goes_on_bit_equal(market, features):
    keywords = {"num_envs": 5, "episode_length": 20, "random_start": True}
    env = PortfolioVectorEnv(market, features, **keywords)
    env.reset(seed=4)
    rng = np.random.default_rng(0)
    actions = rng.uniform(-1, 1, (60, 5, A + 1))
    for a in actions[:30]:
        env.step(a)
    saved = env.state_dict()
    rest = [env.step(a) for a in actions[30:]]
    other = PortfolioVectorEnv(market, features, **keywords)
    other.load_state_dict(saved)
    for a, (o, r, *_) in zip(actions[30:], rest, strict=True):
        o2, r2, *_ = other.step(a)
        assert np.array_equal(o, o2) and np.array_equal(r, r2)
    with pytest.raises(InputError, match="saved env state"):
        PortfolioVectorEnv(market, features, num_envs=6).load_state_dict(saved)


def test_uncopied_observations_live_for_one_more_step(market, features):
    env = PortfolioVectorEnv(market, features, num_envs=2, copy=False)
    first, _ = env.reset(seed=0)
    kept = first.copy()
    second, *_ = env.step(np.zeros((2, A + 1)))
    assert np.array_equal(first, kept)
    third, *_ = env.step(np.ones((2, A + 1)))
    assert third is first and not np.array_equal(first, kept)
    assert second is not first


def test_a_worker_hands_back_results_and_errors_and_ends():
    worker = Worker()
    for k in range(100):
        worker.start(lambda a, b: a + b, k, 1)
        assert worker.wait() == k + 1
    worker.start(lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        worker.wait()
    worker.start(lambda: "still there")
    assert worker.wait() == "still there"
    worker.close()
    worker._thread.join(timeout=10)
    assert not worker._thread.is_alive()
    worker.close()


def test_seeds_repeat_and_differ(market, features):
    env = PortfolioVectorEnv(market, features, num_envs=50, episode_length=10, random_start=True)
    _, one = env.reset(seed=7)
    _, two = env.reset(seed=7)
    _, other = env.reset(seed=1000)
    assert one["t"].tolist() == two["t"].tolist() != other["t"].tolist()
    assert one["t"].min() >= WARMUP and one["t"].max() <= T - 1 - 10
    assert len(set(one["t"])) > 10


# ------------------------------------------------------------------ the future
def test_changing_all_prices_after_t_changes_nothing_up_to_t(market):
    """Observations, rewards and values up to t keep their bits when all after t changes."""
    for cut in (20, 57, 110):
        rng = np.random.default_rng(cut)
        fields, factor = {}, np.exp(rng.normal(0, 0.1, (T - cut - 1, A)))
        for key in ("open", "high", "low", "close", "volume"):
            changed = getattr(market, key).copy()
            changed[cut + 1 :] *= factor
            fields[key] = changed
        rate = market.cash_rate.copy()
        rate[cut + 1 :] = 0.01
        other = replace(market, **fields, cash_rate=rate)
        for execution in ("same_close", "next_close", "next_open"):
            runs = []
            for panel in (market, other):
                env = PortfolioEnv(panel, made_features(panel), window=3, execution=execution)
                observation, info = env.reset(seed=0)
                record = [observation.tobytes()]
                for a in random_actions(env, cut - info["t"]):
                    observation, reward, *_, info = env.step(a)
                    record += [observation.tobytes(), reward, info["value"], info["turnover"]]
                assert info["t"] == cut
                runs.append(record)
            assert runs[0] == runs[1]


# ------------------------------------------------------------------ ends
def test_ruin_terminates_without_nan():
    close = np.array([[100.0], [100.0], [190.0], [50.0], [60.0]])
    market = MarketData(np.arange(5).astype("datetime64[D]"), ["A"], close)
    keywords = {
        "action": "long_short",
        "action_settings": {"gross": 2.0, "net": 2.0},
        "execution": "same_close",
        "reward": Reward({name: 1.0 for name in TERMS}),
    }
    env = PortfolioEnv(market, **keywords)
    env.reset()
    env.step(np.array([-1.0]))
    observation, reward, terminated, truncated, info = env.step(np.array([-1.0]))
    assert terminated and not truncated
    assert info["value"] < 0 and np.isfinite(reward) and np.isfinite(observation).all()
    assert info["reward_terms"]["drawdown"] == 1.0
    with pytest.raises(gym.error.ResetNeeded):
        env.step(np.array([0.0]))
    many = PortfolioVectorEnv(market, num_envs=2, **keywords)
    many.reset()
    many.step(np.array([[-1.0], [0.0]]))
    observation, reward, terminated, truncated, info = many.step(np.array([[-1.0], [0.0]]))
    assert terminated.tolist() == [True, False] and not truncated.any()
    assert np.isfinite(observation).all() and np.isfinite(reward).all()
    assert observation[0].tolist() == [0.0, 1.0]  # the next episode has begun, in cash


# ------------------------------------------------------------------ bad input
@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"window": 0}, "window"),
        ({"window": T}, "warm-up"),
        ({"start": 2}, "warm"),
        ({"stop": T + 1}, "outside the data"),
        ({"start": 50, "stop": 51}, "no step fits"),
        ({"episode_length": T}, "episode_length"),
        ({"episode_length": 0}, "episode_length"),
        ({"action": "soft"}, "unknown action map"),
        ({"action": "softmax", "action_settings": {"gross": 2}}, "takes no settings"),
        ({"observation": "pixels"}, "unknown observation"),
        ({"execution": "now"}, "unknown execution"),
        ({"ruin": 1.0}, "ruin"),
        ({"render_mode": "human"}, "render_mode"),
        ({"cost": ProportionalCost(1e4)}, "basis points"),
        ({"window": 1.5}, "window=1.5 must be a whole number"),
        ({"window": "a"}, "window='a' must be a whole number"),
        ({"start": float("nan")}, "start=nan must be a whole number"),
        ({"start": 30.5}, "start=30.5 must be a whole number"),
        ({"stop": 40.5}, "stop=40.5 must be a whole number"),
        ({"episode_length": "x"}, "episode_length='x' must be a whole number"),
        ({"episode_length": 1.5}, "episode_length=1.5 must be a whole number"),
        ({"random_start": 1}, "random_start=1 must be true or false"),
        ({"random_weights": "no"}, "random_weights='no' must be true or false"),
        ({"fresh_paths": "no"}, "fresh_paths='no' must be true or false"),
        ({"ruin": "x"}, "ruin='x' must be a number"),
        ({"ruin": float("nan")}, "ruin=nan must be a finite number"),
        ({"delay": "x"}, "delay='x' must be a whole number"),
        ({"cost": "x"}, "cost='x' must be a cost"),
        ({"cost": 0.001}, "cost=0.001 must be a cost"),
        ({"reward": "x"}, "reward='x' must be"),
    ],
)
def test_bad_arguments_are_refused(market, features, keywords, message):
    with pytest.raises(InputError, match=message):
        PortfolioEnv(market, features, **keywords)


def test_bad_features_and_actions_are_refused(market, features):
    wild = FeaturePanel(features.values * 1000, features.names, warmup=WARMUP)
    with pytest.raises(InputError, match="scale them first"):
        PortfolioEnv(market, wild)
    holes = features.values.copy()
    holes[50, 1, 1] = np.nan
    with pytest.raises(InputError, match="scale them first"):
        PortfolioEnv(market, FeaturePanel(holes, features.names, warmup=WARMUP))
    with pytest.raises(InputError, match="same panel"):
        PortfolioEnv(market.rows(0, 60), features)
    env = PortfolioEnv(market, features)
    with pytest.raises(gym.error.ResetNeeded):
        env.step(np.zeros(A + 1))
    env.reset()
    with pytest.raises(InputError, match="NaN"):
        env.step(np.full(A + 1, np.nan))
    with pytest.raises(InputError, match="shape"):
        env.step(np.zeros(A))
    many = PortfolioVectorEnv(market, features, num_envs=3)
    with pytest.raises(gym.error.ResetNeeded):
        many.step(np.zeros((3, A + 1)))
    many.reset()
    actions = np.zeros((3, A + 1))
    actions[2, 0] = np.nan
    with pytest.raises(InputError, match="portfolio 2"):
        many.step(actions)
    with pytest.raises(InputError, match="seeds"):
        many.reset(seed=[1, 2])
    split = PortfolioVectorEnv(market, features, num_envs=3, threads=2)
    split.reset()
    before = split.simulation.state.row.copy()
    with pytest.raises(InputError, match="portfolio 2"):
        split.step(actions)
    assert split.simulation.state.row.tolist() == before.tolist()  # nothing has moved
    with pytest.raises(InputError, match="num_envs"):
        PortfolioVectorEnv(market, features, num_envs=0)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"terms": {"sharp": 1.0}}, "unknown reward term"),
        ({"benchmark": "bitcoin"}, "unknown reward benchmark"),
        ({"sharpe_decay": 0.0}, "sharpe_decay"),
        ({"scale": float("nan")}, "finite"),
    ],
)
def test_bad_rewards_are_refused(keywords, message):
    with pytest.raises(InputError, match=message):
        Reward(**keywords)
