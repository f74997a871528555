"""Steps a second of PPO through Stable-Baselines3, with updates and without.

python -m benchmarks.run learning
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from benchmarks.environments import EPISODE
from benchmarks.measure import Effort, Figures, Row, panel, pinned, rates, take_turns


def measure(effort: Effort) -> list[Row]:
    """PPO with one and two torch threads, with a tiny network, and on long windows."""
    from agents.sb3 import PPO

    usual = PPO()
    tiny = replace(usual, network=(8,), num_envs=2048, n_steps=16, batch_size=16_384, n_epochs=2)
    rows = compare({usual: 25_000, replace(usual, torch_threads=2): None, tiny: 150_000}, effort)
    # Batches of up to 32 MB come from memory that the C library keeps; larger ones are mapped, and
    # every page of them is cleared, each time.
    windows = replace(usual, num_envs=128, n_steps=32, batch_size=512, n_epochs=2)
    return [*rows, *on_windows(windows, effort)]


def compare(agents: dict[Any, float | None], effort: Effort) -> list[Row]:
    """Learning, against its target, and collecting; validation is no part of either."""
    with pinned(2) as note:
        taken = in_turn({agent: learner(agent, effort) for agent in agents}, effort)
    rows = []
    for agent, target in agents.items():
        network = "x".join(str(width) for width in agent.network)
        what = (
            f"network {network}, {agent.num_envs:,} envs x {agent.n_steps} steps, "
            f"{agent.n_epochs} epochs, {agent.torch_threads} torch thread(s)"
        )
        for kind, name, goal in (("learn", "PPO", target), ("collect", "PPO rollouts", None)):
            found = rates(taken[agent, kind], agent.steps_per_round * effort.rounds)
            rows.append(Row(f"{name}, {what}", "steps/s", found, target=goal, cores=2, note=note))
    return rows


def on_windows(agent: Any, effort: Effort) -> list[Row]:
    """The same learning from `flat` and from `indexed` observations of a long window."""
    brief = replace(effort, rounds=1)
    window = min(60, effort.rows // 4)
    kinds = ("flat", "indexed")
    with pinned(2) as note:
        learners = {kind: learner(agent, brief, observation=kind, window=window) for kind in kinds}
        taken = in_turn(learners, brief)
    rows = []
    for kind in kinds:
        for verb, name in (("learn", "PPO"), ("collect", "PPO rollouts")):
            found = rates(taken[kind, verb], agent.steps_per_round)
            what = f"{name}, {kind}, window of {window}, {agent.num_envs} envs"
            rows.append(Row(what, "steps/s", found, cores=2, note=note))
    return rows


def in_turn(
    learners: dict[Any, tuple[Callable[[], None], Callable[[], None]]], effort: Effort
) -> dict[tuple[Any, str], Figures]:
    """Seconds of `learn` and `collect` of each; a call is long, so that few repeats say enough."""
    keys = [(key, verb) for key in learners for verb in ("learn", "collect")]
    functions = [function for pair in learners.values() for function in pair]
    work = {str(k): function for k, function in enumerate(functions)}
    taken = take_turns(work, replace(effort, repeats=min(effort.repeats, 7), seconds=0.0))
    return {key: taken[str(k)] for k, key in enumerate(keys)}


def learner(
    agent: Any, effort: Effort, **arguments: Any
) -> tuple[Callable[[], None], Callable[[], None]]:
    """Functions that learn for some rounds, and that collect the rollouts of as many."""
    import torch
    from stable_baselines3.common.callbacks import CallbackList

    from agents.sb3_env import SB3VecEnv
    from envs.rewards import Reward
    from envs.vector import PortfolioVectorEnv

    market, features = panel(effort.rows)
    envs = PortfolioVectorEnv(
        market,
        features,
        num_envs=agent.num_envs,
        threads=agent.env_threads,
        copy=False,
        reward=Reward({"excess_log_return": 1.0}, scale=100.0),
        episode_length=min(EPISODE, effort.rows // 4),
        random_start=True,
        **arguments,
    )
    model = agent.build(SB3VecEnv(envs), seed=0)
    nothing = CallbackList([])

    def learn() -> None:
        torch.set_num_threads(agent.torch_threads)
        model.learn(agent.steps_per_round * effort.rounds, reset_num_timesteps=False)

    def collect() -> None:
        torch.set_num_threads(agent.torch_threads)
        for _ in range(effort.rounds):
            model.collect_rollouts(
                model.env, nothing, model.rollout_buffer, n_rollout_steps=agent.n_steps
            )

    learn()
    nothing.init_callback(model)
    return learn, collect
