"""Checkpoints of a training in full, and models of what came out; safetensors, never pickle.

A checkpoint holds everything that decides how the training goes on: networks, optimisers, replay
buffer, the state of every portfolio, the last observations, and every random state. A training that
is resumed from it ends with the numbers of an unbroken one.
"""

from __future__ import annotations

import json
import random
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from torch import nn

from agents.sb3_env import SB3VecEnv
from envs.errors import InputError
from networks import tensor_file
from networks.tensor_file import Tensors

__all__ = [
    "Tensors",
    "check_settings",
    "load_checkpoint",
    "load_network",
    "load_optimiser",
    "optimiser_tensors",
    "part",
    "read_tensors",
    "save_checkpoint",
    "settings_of",
    "write_tensors",
]

REPLAY = ("observations", "next_observations", "actions", "rewards", "dones", "timeouts")
COUNTERS = ("num_timesteps", "_n_updates", "_episode_num", "_current_progress_remaining")
FACTS = ("progress", "counters", "env_rngs", "numpy", "python", "action_space", "episodes")


def write_tensors(path: Path, tensors: Tensors, facts: dict[str, Any]) -> None:
    """See `networks.tensor_file.write_tensors`.

    Raises:
        InputError: if it cannot be written, say on a full disk; nothing is left of it.
    """
    try:
        tensor_file.write_tensors(path, tensors, facts)
    except ValueError as error:
        raise InputError(str(error)) from None


def read_tensors(path: Path, keys: Sequence[str] = ()) -> tuple[Tensors, dict[str, Any]]:
    """What `write_tensors` wrote; `keys` are those that its facts must have.

    Raises:
        InputError: if the file is missing or damaged, or lacks one of the keys.
    """
    try:
        return tensor_file.read_tensors(path, keys)
    except ValueError as error:
        raise InputError(str(error)) from None


def settings_of(agent: Any) -> dict[str, Any]:
    """The settings of a learner, a dataclass, as its files have them."""
    # The device is no setting of what is learned: a model of one is read on any other.
    settings = {key: value for key, value in asdict(agent).items() if key != "device"}
    return json.loads(json.dumps({"name": agent.name, **settings}))


def check_settings(path: Path, found: dict[str, Any], agent: Any) -> None:
    """Raises `InputError` if a file was trained with other settings than those of `agent`."""
    wanted = settings_of(agent)
    for key in wanted.keys() | found.keys():
        if wanted.get(key) != found.get(key):
            raise InputError(
                f"{path} was trained with agent.{key}={found.get(key)}, this run asks for "
                f"{wanted.get(key)}; use another run folder, or delete the file to train anew"
            )


def load_network(network: nn.Module, parameters: Tensors, path: Path) -> None:
    """Puts the parameters of a file into a network; `InputError` if they are of another one."""
    try:
        network.load_state_dict(parameters)
    except RuntimeError as error:
        raise InputError(f"{path} belongs to another network: {error}") from None


def part(tensors: Tensors, prefix: str) -> Tensors:
    """Those whose names begin with `prefix/`, by the rest of their names."""
    start = f"{prefix}/"
    return {k[len(start) :]: v for k, v in tensors.items() if k.startswith(start)}


def optimiser_tensors(prefix: str, optimiser: torch.optim.Optimizer) -> Tensors:
    """What an optimiser remembers, under names that `load_optimiser` knows."""
    return {
        f"{prefix}/{index}/{key}": value
        for index, moments in optimiser.state_dict()["state"].items()
        for key, value in moments.items()
    }


def load_optimiser(optimiser: torch.optim.Optimizer, saved: Tensors) -> None:
    """Puts back what `optimiser_tensors` named, less its prefix."""
    moments: dict[int, Tensors] = {}
    for key, value in saved.items():
        index, _, moment = key.partition("/")
        moments.setdefault(int(index), {})[moment] = value
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": moments, "param_groups": groups})


def _optimisers(model: BaseAlgorithm) -> dict[str, torch.optim.Optimizer]:
    policy: Any = model.policy
    if isinstance(model, OffPolicyAlgorithm):
        return {"actor": policy.actor.optimizer, "critic": policy.critic.optimizer}
    return {"policy": policy.optimizer}


def _named(name: str, value: Any) -> dict[str, np.ndarray]:
    """One array, or the arrays of a dict of observations, under names of their own."""
    if isinstance(value, dict):
        return {f"{name}/{key}": np.asarray(array) for key, array in value.items()}
    return {name: np.asarray(value)}


def _arrays(name: str, tensors: Tensors) -> dict[str, np.ndarray]:
    """What `_named` named: by key, or under "" where it was one array."""
    if name in tensors:
        return {"": tensors[name].numpy()}
    start = f"{name}/"
    return {k[len(start) :]: v.numpy() for k, v in tensors.items() if k.startswith(start)}


def save_checkpoint(
    path: Path, model: BaseAlgorithm, progress: dict[str, Any], best: Tensors
) -> None:
    """Saves a training between two rounds.

    Args:
        path: of the file. model: of Stable-Baselines3, on an `SB3VecEnv`.
        progress: JSON-able facts of the caller (learning curve, best score).
        best: parameters of the best policy so far.
    """
    env = model.env
    assert isinstance(env, SB3VecEnv)
    tensors: Tensors = {f"policy/{k}": v for k, v in model.policy.state_dict().items()}
    tensors |= {f"best/{k}": v for k, v in best.items()}
    for name, optimiser in _optimisers(model).items():
        tensors |= optimiser_tensors(f"optimiser/{name}", optimiser)
    saved = env.state_dict()
    arrays = {f"env/{k}": v for k, v in saved["arrays"].items()}
    arrays |= _named("last/obs", model._last_obs)
    arrays["last/starts"] = np.asarray(model._last_episode_starts)
    # Stable-Baselines3 draws batches and noise from the global generator of NumPy.
    numpy_state: Any = np.random.get_state()  # noqa: NPY002
    arrays["random/numpy"] = np.asarray(numpy_state[1])
    facts: dict[str, Any] = {
        "progress": progress,
        "counters": {key: getattr(model, key) for key in COUNTERS if hasattr(model, key)},
        "env_rngs": saved["rngs"],
        "numpy": [numpy_state[0], *numpy_state[2:]],
        "python": random.getstate(),
        "action_space": model.action_space.np_random.bit_generator.state,
        "episodes": [{"r": e["r"], "l": e["l"]} for e in model.ep_info_buffer or ()],
    }
    replay = getattr(model, "replay_buffer", None)
    if replay is not None:
        filled = replay.buffer_size if replay.full else replay.pos
        for key in REPLAY:
            kept = _named(f"replay/{key}", getattr(replay, key))
            arrays |= {name: array[:filled] for name, array in kept.items()}
        facts["replay"] = {"pos": replay.pos, "full": replay.full}
    tensors |= {key: torch.from_numpy(np.ascontiguousarray(a)) for key, a in arrays.items()}
    tensors["random/torch"] = torch.get_rng_state()
    if model.device.type == "cuda":
        tensors["random/cuda"] = torch.cuda.get_rng_state(model.device)
    write_tensors(path, tensors, facts)


def load_checkpoint(path: Path, model: BaseAlgorithm) -> tuple[dict[str, Any], Tensors]:
    """Puts a fresh model, built with the same settings, where the checkpoint was taken.

    Returns:
        `(progress, best)` as they were given to `save_checkpoint`.

    Raises:
        InputError: if the file is damaged or belongs to other settings.
    """
    tensors, facts = read_tensors(path, FACTS)
    env = model.env
    assert isinstance(env, SB3VecEnv)
    load_network(model.policy, part(tensors, "policy"), path)
    for name, optimiser in _optimisers(model).items():
        load_optimiser(optimiser, part(tensors, f"optimiser/{name}"))
    arrays = {key: value.numpy() for key, value in part(tensors, "env").items()}
    env.load_state_dict({"arrays": arrays, "rngs": facts["env_rngs"]})
    last = _arrays("last/obs", tensors)
    model._last_obs = last.get("", last)
    model._last_episode_starts = tensors["last/starts"].numpy()
    for key, value in facts["counters"].items():
        setattr(model, key, value)
    replay = getattr(model, "replay_buffer", None)
    if replay is not None:
        for key in REPLAY:
            for name, saved in _arrays(f"replay/{key}", tensors).items():
                whole = getattr(replay, key)
                (whole[name] if name else whole)[: len(saved)] = saved
        replay.pos, replay.full = facts["replay"]["pos"], facts["replay"]["full"]
    model.ep_info_buffer = deque(facts["episodes"], maxlen=model._stats_window_size)
    model.ep_success_buffer = deque(maxlen=model._stats_window_size)
    name, *rest = facts["numpy"]
    np.random.set_state((name, tensors["random/numpy"].numpy(), *rest))  # noqa: NPY002
    version, state, gauss = facts["python"]
    random.setstate((version, tuple(state), gauss))
    model.action_space.np_random.bit_generator.state = facts["action_space"]
    torch.set_rng_state(tensors["random/torch"])
    if "random/cuda" in tensors and model.device.type == "cuda":
        torch.cuda.set_rng_state(tensors["random/cuda"], model.device)
    return facts["progress"], part(tensors, "best")
