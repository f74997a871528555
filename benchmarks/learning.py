"""Steps a second of PPO through Stable-Baselines3, with updates and without.

python -m benchmarks.run learning
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from benchmarks.environments import EPISODE
from benchmarks.measure import Effort, Row, panel, pinned, rates, take_turns


def measure(effort: Effort) -> list[Row]:
    """The PPO of `agent=ppo` with one and two torch threads, and with more portfolios at once."""
    from agents.sb3 import PPO

    usual = PPO(torch_threads=1)
    wide = replace(usual, num_envs=4 * usual.num_envs, n_steps=usual.n_steps // 4)
    return compare([usual, replace(usual, torch_threads=2), wide], effort)


def compare(agents: list[Any], effort: Effort) -> list[Row]:
    """Learning and collecting of all agents take turns; validation is no part of either."""
    with pinned(2) as note:
        pairs = [learner(agent, effort) for agent in agents]
        work = {
            f"{k} {kind}": function
            for k, pair in enumerate(pairs)
            for kind, function in zip(("learn", "collect"), pair, strict=True)
        }
        # One call is long: a few repeats say enough.
        brief = replace(effort, repeats=min(effort.repeats, 7), seconds=0.0)
        taken = take_turns(work, brief)
    rows = []
    for k, agent in enumerate(agents):
        what = (
            f"64x64 network, {agent.num_envs:,} envs x {agent.n_steps} steps, "
            f"{agent.torch_threads} torch thread(s)"
        )
        # Two threads are there to show why one is the default.
        judged = agent.torch_threads == 1
        for kind, name, target in (
            ("learn", "PPO", 20_000),
            ("collect", "PPO rollouts", 200_000),
        ):
            found = rates(taken[f"{k} {kind}"], agent.steps_per_round * effort.rounds)
            goal = target if judged else None
            rows.append(Row(f"{name}, {what}", "steps/s", found, target=goal, cores=2, note=note))
    return rows


def learner(agent: Any, effort: Effort) -> tuple[Callable[[], None], Callable[[], None]]:
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
