"""Steps a second of PPO through Stable-Baselines3, with updates and without.

python -m benchmarks.run learning
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from benchmarks.environments import EPISODE
from benchmarks.measure import Effort, Row, panel, pinned, rates, take_turns


def measure(effort: Effort) -> list[Row]:
    """The PPO of `agent=ppo` as it comes, and with more portfolios at once."""
    from agents.sb3 import PPO

    usual = PPO(torch_threads=2)
    rows = ppo(usual, effort, end_to_end=20_000, rollouts=200_000)
    wide = replace(usual, num_envs=4 * usual.num_envs, n_steps=usual.n_steps // 4)
    return rows + ppo(wide, effort)


def ppo(
    agent: Any, effort: Effort, end_to_end: float | None = None, rollouts: float | None = None
) -> list[Row]:
    """Learning and collecting take turns on the same model; validation is not part of either."""
    import torch
    from stable_baselines3.common.callbacks import CallbackList

    from agents.sb3_env import SB3VecEnv
    from envs.rewards import Reward
    from envs.vector import PortfolioVectorEnv

    market, features = panel(effort.rows)
    reward = Reward({"excess_log_return": 1.0}, scale=100.0)
    with pinned(2) as note:
        torch.set_num_threads(agent.torch_threads)
        envs = PortfolioVectorEnv(
            market,
            features,
            num_envs=agent.num_envs,
            threads=agent.env_threads,
            copy=False,
            reward=reward,
            episode_length=min(EPISODE, effort.rows // 4),
            random_start=True,
        )
        model = agent.build(SB3VecEnv(envs), seed=0)
        size = agent.steps_per_round * effort.rounds

        def learn() -> None:
            model.learn(size, reset_num_timesteps=False)

        learn()
        nothing = CallbackList([])
        nothing.init_callback(model)

        def collect() -> None:
            for _ in range(effort.rounds):
                model.collect_rollouts(
                    model.env, nothing, model.rollout_buffer, n_rollout_steps=agent.n_steps
                )

        # One call is long: a few repeats say enough.
        brief = replace(effort, repeats=min(effort.repeats, 7), seconds=0.0)
        taken = take_turns({"learn": learn, "collect": collect}, brief)
        envs.close()
    what = f"{agent.num_envs:,} envs x {agent.n_steps} steps, batch {agent.batch_size:,}"
    learnt, collected = rates(taken["learn"], size), rates(taken["collect"], size)
    return [
        Row(f"PPO: {what}", "steps/s", learnt, target=end_to_end, cores=2, note=note),
        Row(f"PPO rollouts: {what}", "steps/s", collected, target=rollouts, cores=2, note=note),
    ]
