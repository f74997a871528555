"""Learned agents: the adapter, that they learn, repeat, resume, and stop when they diverge."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from agents.checkpoint import read_tensors, write_tensors
from agents.rollout import rollout
from agents.sb3 import DDPG, PPO
from agents.sb3_env import SB3VecEnv
from agents.training import CHECKPOINT, MODEL, train
from envs.data import sp500
from envs.data.synthetic import synthetic
from envs.errors import InputError
from envs.features import StandardScaler, build_features
from envs.features.panel import FeaturePanel
from envs.market.costs import ProportionalCost
from envs.portfolio import PortfolioEnv
from envs.rewards import Reward
from envs.simulation import make_setting
from envs.vector import PortfolioVectorEnv

REWARD = Reward({"excess_log_return": 1.0}, scale=100.0)
SMALL_PPO = PPO(
    total_steps=4096, num_envs=16, n_steps=16, batch_size=64, evaluations=8, torch_threads=1
)
SMALL_DDPG = DDPG(
    total_steps=600,
    num_envs=4,
    learning_starts=100,
    batch_size=32,
    buffer_size=400,  # smaller than the run, so that it wraps around
    evaluations=6,
    torch_threads=1,
)


def settings(n_rows=400, seed=0, **keywords):
    """`(training, validation)` on simulated prices of two assets; the first drifts up."""
    market = synthetic(
        n_rows=n_rows, n_assets=2, seed=seed, drift=[0.8, -0.2], volatility=0.1, correlation=0.0
    )
    returns = np.diff(np.log(market.close), axis=0, prepend=np.log(market.close[:1]))
    # An agent that cannot tell assets apart by their place can tell them apart by their trend.
    sums = np.cumsum(np.vstack([np.zeros((42, 2)), returns]), axis=0)
    trend = (sums[42:] - sums[:-42]) * 10
    values = np.clip(np.stack([returns * 100, trend], axis=2), -10, 10)
    features = FeaturePanel(np.float32(values), ("return", "trend"), warmup=42)
    cut = n_rows // 2
    keywords = {"reward": REWARD, **keywords}
    training = make_setting(
        market, features, stop=cut, episode_length=64, random_start=True, **keywords
    )
    return training, make_setting(market, features, start=cut, **keywords)


# ------------------------------------------------------------------ adapter
def test_adapter_tells_sb3_about_ends_and_nothing_else():
    training, _ = settings()
    envs = PortfolioVectorEnv.from_setting(training, 3)
    twin = PortfolioVectorEnv.from_setting(training, 3)
    adapter = SB3VecEnv(envs)
    adapter.seed(5)
    assert np.array_equal(adapter.reset(), twin.reset(seed=5)[0])
    rng = np.random.default_rng(0)
    total = np.zeros(3)
    for k in range(64 * 2):
        action = rng.uniform(-1, 1, (3, 3)).astype(np.float32)
        observation, reward, done, infos = adapter.step(action)
        o, r, terminated, truncated, info = twin.step(action)
        total += r
        assert np.array_equal(observation, o) and np.array_equal(reward, r.astype(np.float32))
        assert done.tolist() == (terminated | truncated).tolist()
        assert done.all() == ((k + 1) % 64 == 0)
        for i in range(3):
            if not done[i]:
                assert infos[i] == {}
                continue
            assert infos[i]["TimeLimit.truncated"] is True
            assert np.array_equal(infos[i]["terminal_observation"], info["final_obs"][i])
            assert infos[i]["episode"] == {"r": pytest.approx(total[i]), "l": 64}
            total[i] = 0.0


def test_ruin_is_not_bootstrapped():
    """A portfolio that loses everything ends: SB3 must not add the value of what follows."""
    market = synthetic(n_rows=50, n_assets=1, seed=0)
    close = market.close.copy()
    close[3:] *= 4.0  # fatal for whoever is short
    market = replace(market, close=close)
    training = make_setting(
        market,
        action="long_short",
        action_settings={"gross": 1.0, "net": 1.0},
        execution="same_close",
    )
    adapter = SB3VecEnv(PortfolioVectorEnv.from_setting(training, 2))
    adapter.reset()
    for _ in range(3):
        _, _, done, infos = adapter.step(np.array([[-1.0], [0.0]]))
    assert done.tolist() == [True, False]
    assert infos[0]["TimeLimit.truncated"] is False


# ------------------------------------------------------------------ learning
@pytest.mark.parametrize(
    "agent",
    [
        PPO(
            total_steps=65_536, num_envs=64, n_steps=16, batch_size=256, learning_rate=1e-3,
            evaluations=4, torch_threads=1,
        ),
        PPO(
            total_steps=65_536, num_envs=64, n_steps=16, batch_size=256, learning_rate=3e-3,
            evaluations=4, torch_threads=1, architecture="assets", network=(16, 16), gamma=0.9,
        ),
        DDPG(
            total_steps=12_000, num_envs=16, learning_starts=1_000, evaluations=4,
            gradient_steps=2, torch_threads=1,
        ),
    ],
    ids=["ppo", "ppo-assets", "ddpg"],
)  # fmt: skip
def test_agents_end_in_the_asset_that_drifts_up(agent, tmp_path):
    training, validation = settings(n_rows=1000)
    trained = train(agent, training, validation, seed=0, folder=tmp_path)
    trajectory = rollout(trained.policy, PortfolioEnv.from_setting(validation), seed=0)
    assert trajectory.weights[5:, 0].mean() > 0.9
    assert trajectory.active_share.mean() > 0.4  # it has left 1/N, whose active share is 0


# ------------------------------------------------------------------ repeat and resume
class Killed(Exception):
    pass


@pytest.mark.parametrize("agent", [SMALL_PPO, SMALL_DDPG], ids=["ppo", "ddpg"])
def test_interrupted_training_ends_with_the_bits_of_an_unbroken_one(agent, tmp_path):
    training, validation = settings()
    logs = {"whole": [], "again": [], "broken": []}

    def go(name, folder, stop_after=None):
        done = 0

        def advance(n, _):
            nonlocal done
            done += n
            if stop_after is not None and done > stop_after:
                raise Killed

        return train(
            agent,
            training,
            validation,
            seed=3,
            folder=folder,
            log=lambda step, values: logs[name].append((step, values)),
            advance=advance,
        )

    whole = go("whole", tmp_path / "whole")
    again = go("again", tmp_path / "again")
    resumed_at = []
    with pytest.raises(Killed):
        go("broken", tmp_path / "broken", stop_after=agent.trained_steps * 0.55)
    assert (tmp_path / "broken" / CHECKPOINT).exists()
    # whatever the process did meanwhile must not matter
    np.random.seed(99)  # noqa: NPY002
    torch.manual_seed(99)
    torch.rand(10)
    resumed = train(
        agent,
        training,
        validation,
        seed=3,
        folder=tmp_path / "broken",
        log=lambda step, values: logs["broken"].append((step, values)),
        resumed=resumed_at.append,
    )
    assert 0 < resumed_at[0] < agent.trained_steps
    for other, folder in ((again, "again"), (resumed, "broken")):
        assert other.curve == whole.curve and other.best_step == whole.best_step
        one, _ = read_tensors(tmp_path / "whole" / MODEL)
        two, _ = read_tensors(tmp_path / folder / MODEL)
        assert all(torch.equal(one[key], two[key]) for key in one)
        assert not (tmp_path / folder / CHECKPOINT).exists()
    assert logs["again"] == logs["whole"]
    assert logs["broken"] == logs["whole"]
    assert len(whole.curve["steps"]) == agent.evaluations
    # a finished training is read, not repeated
    other = train(agent, training, validation, seed=3, folder=tmp_path / "whole")
    env = PortfolioEnv.from_setting(validation)
    assert np.array_equal(rollout(other.policy, env).value, rollout(whole.policy, env).value)


def test_seeds_differ(tmp_path):
    training, validation = settings()
    one, two = (
        train(SMALL_PPO, training, validation, seed=s, folder=tmp_path / str(s)) for s in (0, 1)
    )
    assert one.curve != two.curve


def test_env_threads_do_not_change_the_result(tmp_path):
    training, validation = settings()
    curves = [
        train(
            replace(SMALL_PPO, env_threads=n),
            training,
            validation,
            seed=0,
            folder=tmp_path / str(n),
        ).curve
        for n in (1, 2)
    ]
    assert curves[0] == curves[1]


def test_no_action_of_the_whole_chain_knows_the_future(tmp_path):
    """Prices, features, scaler, observations, network: bit-equal actions up to t when all prices
    after t are others, on the twenty stocks."""
    market = sp500(start="2015-01-01", end="2018-12-31")
    cut, train_stop, t_end = 800, 500, market.n_rows
    close = market.close.copy()
    close[cut + 1 :] *= np.random.default_rng(1).uniform(0.5, 2.0, close[cut + 1 :].shape)
    other = replace(market, close=close)
    runs = []
    for panel in (market, other):
        built = build_features(panel)
        scaler = StandardScaler().fit(built, built.warmup, train_stop)
        features = scaler.transform(built)
        keywords = {"reward": REWARD, "window": 2}
        training = make_setting(
            panel, features, stop=train_stop, episode_length=64, random_start=True, **keywords
        )
        validation = make_setting(panel, features, start=train_stop, stop=t_end, **keywords)
        # judged on rows before the cut only, as a window that ends there would
        judged = make_setting(panel, features, start=train_stop, stop=cut, **keywords)
        folder = tmp_path / str(len(runs))
        policy = train(SMALL_PPO, training, judged, seed=0, folder=folder).policy
        env = PortfolioEnv.from_setting(validation)
        observation, info = env.reset()
        seen = []
        while info["t"] <= cut:
            action, _ = policy.predict(observation)
            seen.append(
                (features.values[info["t"]].tobytes(), observation.tobytes(), action.tobytes())
            )
            observation, *_, info = env.step(action)
        runs.append((scaler.to_dict(), seen, observation.tobytes()))
    assert runs[0][0] == runs[1][0]
    assert len(runs[0][1]) == cut - train_stop + 1
    assert runs[0][1] == runs[1][1]
    assert runs[0][2] != runs[1][2]  # the change does arrive, one row later


def test_the_best_policy_on_validation_is_the_one_that_is_kept(tmp_path):
    training, validation = settings()
    trained = train(SMALL_PPO, training, validation, seed=0, folder=tmp_path)
    curve = trained.curve
    assert trained.best_step == curve["steps"][int(np.argmax(curve["validation"]))]
    score = rollout(trained.policy, PortfolioEnv.from_setting(validation)).reward.mean()
    assert score == max(curve["validation"])


# ------------------------------------------------------------------ bad input
def test_a_diverged_network_is_an_error_that_says_so(tmp_path):
    training, validation = settings()
    agent = replace(SMALL_PPO, learning_rate=1e30)
    with pytest.raises(InputError, match=r"diverged.*agent\.learning_rate"):
        train(agent, training, validation, seed=0, folder=tmp_path)


@pytest.mark.parametrize("cut", [0, 100, 5000])
def test_a_truncated_checkpoint_is_named(tmp_path, cut):
    training, validation = settings()
    path = tmp_path / CHECKPOINT

    def stop(n, info):
        if path.exists():
            raise Killed

    with pytest.raises(Killed):
        train(SMALL_PPO, training, validation, seed=0, folder=tmp_path, advance=stop)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(InputError, match=CHECKPOINT):
        train(SMALL_PPO, training, validation, seed=0, folder=tmp_path)


def test_a_model_with_a_flipped_bit_is_refused(tmp_path):
    training, validation = settings()
    train(SMALL_PPO, training, validation, seed=0, folder=tmp_path)
    data = bytearray((tmp_path / MODEL).read_bytes())
    data[-100] ^= 1
    (tmp_path / MODEL).write_bytes(bytes(data))
    with pytest.raises(InputError, match="checksum"):
        train(SMALL_PPO, training, validation, seed=0, folder=tmp_path)


@pytest.mark.parametrize("file", [MODEL, CHECKPOINT])
def test_a_file_of_another_kind_of_agent_is_refused(file, tmp_path):
    training, validation = settings()
    write_tensors(tmp_path / file, {}, {"predictor": {}, "curve": {}})
    with pytest.raises(InputError, match=rf"{file} .*another kind of agent.*delete it"):
        train(SMALL_PPO, training, validation, seed=0, folder=tmp_path)


def test_a_folder_of_other_settings_is_refused(tmp_path):
    training, validation = settings()
    train(SMALL_PPO, training, validation, seed=0, folder=tmp_path)
    with pytest.raises(InputError, match=r"agent\.gamma"):
        train(replace(SMALL_PPO, gamma=0.5), training, validation, seed=0, folder=tmp_path)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"activation": "swish"}, "activation"),
        ({"total_steps": 0}, "total_steps"),
        ({"batch_size": 1000}, "must divide"),
        ({"learning_rate": 0.0}, "learning_rate"),
    ],
)
def test_bad_settings_are_refused(keywords, message):
    with pytest.raises(InputError, match=message):
        PPO(**keywords)


def test_rollout_refuses_what_does_not_fit(tmp_path):
    training, validation = settings(cost=ProportionalCost(0, 0))
    trained = train(SMALL_PPO, training, validation, seed=0, folder=tmp_path)
    with pytest.raises(InputError, match="random_start"):
        rollout(trained.policy, PortfolioEnv.from_setting(training))
    indexed = make_setting(validation.market, observation="indexed", action="simplex")
    with pytest.raises(InputError, match="reads 'flat'"):
        rollout(trained.policy, PortfolioEnv.from_setting(indexed))
