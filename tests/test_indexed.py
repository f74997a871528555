"""`indexed` observations for learning: the same numbers as `flat`, without the memory."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_module

from agents.checkpoint import read_tensors
from agents.rollout import rollout
from agents.sb3 import DDPG, PPO
from agents.sb3_env import SB3VecEnv
from agents.training import CHECKPOINT, MODEL, train
from envs.data.synthetic import synthetic
from envs.errors import InputError
from envs.features.panel import FeaturePanel
from envs.portfolio import PortfolioEnv
from envs.rewards import Reward
from envs.simulation import make_setting
from envs.vector import PortfolioVectorEnv
from experiments import pipeline
from networks.window_gather import WindowGather

PPO_MLP = PPO(total_steps=1024, num_envs=16, n_steps=16, batch_size=64, evaluations=4)
AGENTS = {
    "ppo": PPO_MLP,
    "ppo-assets": replace(PPO_MLP, architecture="assets", network=(8, 8)),
    "ddpg": DDPG(
        total_steps=400,
        num_envs=4,
        learning_starts=100,
        batch_size=32,
        buffer_size=200,  # smaller than the run, so that it wraps around
        evaluations=4,
    ),
}


def setting(observation, n_assets=3, n_features=2, window=7, n_rows=300, **keywords):
    market = synthetic(n_rows=n_rows, n_assets=n_assets, seed=1)
    values = np.random.default_rng(2).normal(size=(n_rows, n_assets, n_features))
    panel = FeaturePanel(
        np.clip(values, -10, 10).astype(np.float32), tuple("abcdefgh"[:n_features]), warmup=0
    )
    reward = Reward({"excess_log_return": 1.0}, scale=100.0)
    keywords = {"window": window, "reward": reward, "random_start": True, **keywords}
    return make_setting(market, panel, observation=observation, **keywords)


def tensors(observation):
    return {key: torch.from_numpy(np.asarray(value)) for key, value in observation.items()}


# ------------------------------------------------------------------ the module
@pytest.mark.parametrize("window", [1, 7])
@pytest.mark.parametrize("n_features", [0, 2])
@pytest.mark.parametrize("action", ["softmax", "long_short"])
def test_gathered_windows_are_the_flat_observations_bit_for_bit(window, n_features, action):
    settings = [
        setting(kind, window=window, n_features=n_features, action=action, episode_length=20)
        for kind in ("flat", "indexed")
    ]
    flat, indexed = (PortfolioVectorEnv.from_setting(s, 5) for s in settings)
    gather = WindowGather(settings[1].features, window, settings[1].space_highest)
    seen, t = flat.reset(seed=3)[0], indexed.reset(seed=3)[0]
    rng = np.random.default_rng(4)
    for _ in range(50):
        found = gather(**tensors(t)).numpy()
        assert found.dtype == seen.dtype and found.tobytes() == seen.tobytes()
        actions = rng.uniform(-1, 1, flat.action_space.shape)
        seen, t = flat.step(actions)[0], indexed.step(actions)[0]


def test_weights_are_clipped_as_flat_clips_them():
    gather = WindowGather(np.zeros((4, 1), np.float32), 2, highest=10.0)
    weights = torch.tensor([[40.0, -39.0, 0.25]], dtype=torch.float64)
    assert gather(torch.tensor([[3]]), weights).tolist() == [[0, 0, 10.0, -10.0, 0.25]]


def test_the_panel_is_shared_and_no_part_of_a_model():
    panel = np.arange(12, dtype=np.float32).reshape(6, 2)
    panel.flags.writeable = False
    gather = WindowGather(panel, 3, 10.0)
    assert gather.panel.numpy().ctypes.data == panel.ctypes.data
    assert not gather.state_dict() and not list(gather.parameters())
    assert gather(torch.tensor([2.0]), torch.zeros(1, 1)).tolist() == [[0, 1, 2, 3, 4, 5, 0]]


def test_a_panel_with_gaps_brings_its_mask_along():
    market = synthetic(n_rows=60, n_assets=3, seed=1)
    tradable = np.ones((60, 3), bool)
    tradable[:25, 1] = False  # listed late
    tradable[40:44, 2] = False  # halted
    close = np.where(tradable, market.close, np.nan)
    market = replace(market, close=close, tradable=tradable)
    values = np.random.default_rng(0).normal(size=(60, 3, 2)).astype(np.float32).clip(-10, 10)
    panel = FeaturePanel(values, ("a", "b"), warmup=0)
    flat, indexed = (
        make_setting(market, panel, window=4, observation=kind) for kind in ("flat", "indexed")
    )
    envs = [PortfolioVectorEnv.from_setting(one, 2) for one in (flat, indexed)]
    gather = WindowGather(indexed.features, 4, indexed.space_highest)
    seen, found = (each.reset(seed=0)[0] for each in envs)
    rng = np.random.default_rng(1)
    for _ in range(50):
        whole = gather(*tensors({key: found[key] for key in ("t", "weights")}).values()).numpy()
        assert whole.tobytes() == seen.tobytes()
        mask = whole[:, 3 * 9 : 4 * 9].reshape(2, 3, 3)[:, :, -1]
        assert np.array_equal(mask, tradable[found["t"][:, 0]])
        actions = rng.uniform(-1, 1, (2, 4))
        seen, found = (each.step(actions)[0] for each in envs)


@pytest.mark.parametrize("panel", [np.zeros((2, 1), np.float32), np.zeros((9, 1))])
def test_a_panel_that_does_not_fit_is_refused(panel):
    with pytest.raises(ValueError, match=r"a window of 3|float32"):
        WindowGather(panel, 3, 10.0)


def test_gradients_of_what_reads_it_are_those_of_flat():
    one = setting("indexed")
    envs = PortfolioVectorEnv.from_setting(one, 32)
    observed = tensors(envs.reset(seed=0)[0])
    flat = np.empty((32, 7 * 6 + 4), np.float32)
    envs.simulation.write_flat(flat)
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(46, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
    gradients = []
    for seen in (WindowGather(one.features, 7, 10.0)(**observed), torch.from_numpy(flat)):
        network.zero_grad()
        network(seen).square().mean().backward()
        gradients.append([p.grad.clone() for p in network.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*gradients))
    assert all(g.abs().sum() > 0 for g in gradients[0])


@pytest.mark.parametrize("threads", [1, 3])
def test_shared_buffers_and_threads_do_not_change_what_is_seen(threads):
    one = setting("indexed", episode_length=9)
    plain = PortfolioVectorEnv.from_setting(one, 7)
    other = PortfolioVectorEnv.from_setting(one, 7, threads=threads, copy=False)
    rng = np.random.default_rng(0)
    seen, also = plain.reset(seed=1)[0], other.reset(seed=1)[0]
    for _ in range(30):
        assert {k: v.tobytes() for k, v in seen.items()} == {
            k: v.tobytes() for k, v in also.items()
        }
        before = {key: value.copy() for key, value in also.items()}
        actions = rng.uniform(-1, 1, plain.action_space.shape)
        seen, latest = plain.step(actions)[0], other.step(actions)[0]
        # What was seen last stays until the second step after it.
        assert all(np.array_equal(also[key], before[key]) for key in before)
        also = latest
    other.close()


# ------------------------------------------------------------------ learning
@pytest.fixture(scope="module", params=AGENTS)
def trained(request, tmp_path_factory):
    """`(agent, {observation: (Trained, tensors, bytes of the model, logged figures)})`."""
    agent, found = AGENTS[request.param], {}
    for kind in ("flat", "indexed"):
        folder = tmp_path_factory.mktemp(kind)
        logged = []
        result = train(
            agent,
            setting(kind, stop=200, episode_length=32),
            setting(kind, start=200, random_start=False),
            seed=5,
            folder=folder,
            log=lambda step, values, logged=logged: logged.append((step, values)),
        )
        path = folder / MODEL
        found[kind] = (result, read_tensors(path)[0], path.stat().st_size, logged)
    return agent, found


def test_losses_and_parameters_are_those_of_flat(trained):
    _, found = trained
    (flat, one, _, logged), (indexed, two, _, also) = found["flat"], found["indexed"]
    assert one.keys() == two.keys()
    for key in one:
        torch.testing.assert_close(two[key], one[key], rtol=1e-6, atol=1e-6)
    assert indexed.curve["validation"] == pytest.approx(flat.curve["validation"], rel=1e-6)
    losses = [key for key in logged[-1][1] if "loss" in key]
    assert losses
    for (_, before), (_, after) in zip(logged, also):
        for key in losses:
            if key in before:
                assert after[key] == pytest.approx(before[key], rel=1e-6, abs=1e-6)


def test_a_model_does_not_carry_the_panel_and_judges_rows_of_the_whole_one(trained):
    _, found = trained
    (flat, _, flat_bytes, _), (indexed, _, size, _) = found["flat"], found["indexed"]
    assert size == flat_bytes
    assert (flat.policy.observation, indexed.policy.observation) == ("flat", "indexed")
    values = [
        rollout(
            found[kind][0].policy,
            PortfolioEnv.from_setting(setting(kind, start=200, random_start=False)),
        ).value
        for kind in ("flat", "indexed")
    ]
    assert values[1] == pytest.approx(values[0], rel=1e-6)


def test_another_panel_is_refused_until_it_is_held(trained):
    _, found = trained
    policy = found["indexed"][0].policy
    longer = setting("indexed", n_rows=320, start=200, random_start=False)
    env = PortfolioEnv.from_setting(longer)
    with pytest.raises(InputError, match=r"policy\.hold"):
        rollout(policy, env)
    before = policy.panel
    policy.hold(longer.features)
    try:
        assert len(rollout(policy, env).value) == 120
    finally:
        policy.hold(before)
    with pytest.raises(InputError, match="flat"):
        found["flat"][0].policy.hold(longer.features)


class Killed(Exception):
    pass


@pytest.mark.parametrize("name", AGENTS)
def test_resumed_training_ends_with_the_bits_of_an_unbroken_one(name, tmp_path):
    agent = AGENTS[name]
    learn = setting("indexed", stop=200, episode_length=32)
    judge = setting("indexed", start=200, random_start=False)
    train(agent, learn, judge, seed=1, folder=tmp_path / "whole")
    done = 0

    def kill(n, _):
        nonlocal done
        done += n
        if done > 0.55 * agent.trained_steps:
            raise Killed

    broken = tmp_path / "broken"
    with pytest.raises(Killed):
        train(agent, learn, judge, seed=1, folder=broken, advance=kill)
    assert (broken / CHECKPOINT).exists()
    train(agent, learn, judge, seed=1, folder=broken)
    assert (broken / MODEL).read_bytes() == (tmp_path / "whole" / MODEL).read_bytes()


# ------------------------------------------------------------------ memory and devices
def buffer_bytes(buffer):
    """All arrays that a buffer of Stable-Baselines3 holds."""
    arrays = []
    for value in vars(buffer).values():
        arrays += value.values() if isinstance(value, dict) else [value]
    return sum(a.nbytes for a in arrays if isinstance(a, np.ndarray))


@pytest.mark.parametrize("agent", [AGENTS["ppo"], AGENTS["ddpg"]], ids=["rollout", "replay"])
def test_memory_of_a_long_window_is_under_a_hundredth_of_flat(agent):
    sizes = {}
    for kind in ("flat", "indexed"):
        one = setting(kind, n_assets=20, n_features=8, window=60, episode_length=100)
        envs = PortfolioVectorEnv.from_setting(one, agent.num_envs)
        model = agent.build(SB3VecEnv(envs), seed=0)
        buffer = getattr(model, "replay_buffer", None) or model.rollout_buffer
        sizes[kind] = buffer_bytes(buffer)
    assert sizes["indexed"] < 0.01 * sizes["flat"]


def test_networks_share_one_panel():
    one = setting("indexed", stop=200, episode_length=32)
    envs = PortfolioVectorEnv.from_setting(one, 4)
    policy = AGENTS["ddpg"].build(SB3VecEnv(envs), seed=0).policy
    gathers = [m for m in policy.modules() if isinstance(m, WindowGather)]
    assert {g.panel.data_ptr() for g in gathers} == {one.features.ctypes.data}


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_gpu_is_an_error_that_says_so():
    envs = PortfolioVectorEnv.from_setting(setting("indexed", episode_length=32), 16)
    with pytest.raises(InputError, match=r"agent\.device=cuda is not there.*agent\.device=cpu"):
        replace(PPO_MLP, device="cuda").build(SB3VecEnv(envs), seed=0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("name", AGENTS)
def test_training_on_a_gpu(name, tmp_path):
    agent = replace(AGENTS[name], device="cuda")
    learn = setting("indexed", stop=200, episode_length=32)
    judge = setting("indexed", start=200, random_start=False)
    trained = train(agent, learn, judge, seed=1, folder=tmp_path)
    assert len(trained.curve["steps"]) == agent.evaluations
    on_cpu = train(AGENTS[name], learn, judge, seed=1, folder=tmp_path).policy
    env = PortfolioEnv.from_setting(judge)
    assert rollout(on_cpu, env).value == pytest.approx(rollout(trained.policy, env).value, rel=1e-4)


@pytest.mark.parametrize("device", ["gpu", "cuda:x", "mps", None])
def test_an_unknown_device_is_refused(device):
    with pytest.raises(InputError, match=r"agent\.device must be cpu, cuda"):
        PPO(device=device)


# ------------------------------------------------------------------ the whole path
SMALL = (
    "data.n_rows=600",
    "env.window=12",
    "evaluation.n_bootstrap=40",
    "agent.evaluations=2",
    "agent.num_envs=16",
)
RUNS = {
    "mlp": ("agent.architecture=mlp", "agent.total_steps=1024"),
    "assets": ("agent.architecture=assets", "agent.total_steps=1024"),
    "ddpg": ("agent=ddpg", "agent.total_steps=400", "agent.learning_starts=100"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_a_run_from_prices_to_report_is_that_of_flat(name, tmp_path):
    """Training, validation and test are rows of one panel, and `t` names them in all of it."""
    with initialize_config_module("hydra_conf", version_base="1.3"):
        for kind in ("flat", "indexed"):
            choice = ["+exp=smoke", f"env.observation={kind}", *RUNS[name], *SMALL]
            if name == "ddpg":
                choice += ["~agent.n_steps", "agent.batch_size=32"]
            pipeline.run(compose("config", choice), tmp_path / kind)
    flat, indexed = (
        json.loads((tmp_path / kind / "metrics.json").read_text()) for kind in ("flat", "indexed")
    )
    assert flat == indexed
    models = [next((tmp_path / kind).rglob(MODEL)).read_bytes() for kind in ("flat", "indexed")]
    assert models[0] == models[1]
