"""Training of a Stable-Baselines3 agent: learn, judge on validation, checkpoint, keep the best."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import KVWriter, Logger

from agents.checkpoint import (
    Tensors,
    check_settings,
    load_checkpoint,
    load_network,
    read_tensors,
    save_checkpoint,
    settings_of,
    write_tensors,
)
from agents.learner import CHECKPOINT, MODEL, Advance, Log, Trained
from agents.rollout import rollout
from agents.sb3 import Agent
from agents.sb3_env import SB3VecEnv
from envs.errors import InputError
from envs.portfolio import PortfolioEnv
from envs.simulation import Setting
from envs.vector import PortfolioVectorEnv
from networks.window_gather import WindowGather


class SB3Policy:
    """A Stable-Baselines3 policy network as a `Policy` on the observations that it learned from.

    On `indexed` observations the network holds the panel of the training, whose rows `t` names.
    `hold(setting.features)` gives it another one, say with the rows of a new day.
    """

    def __init__(self, name: str, network: Any, observation: str, action: str) -> None:
        self.name = name
        self.network = network
        self.observation = observation
        self.action = action

    @property
    def panel(self) -> NDArray[np.float32] | None:
        """`[T, A * F]` the features that the network reads by row; None on `flat` observations."""
        gather = self._gather()
        return None if gather is None else gather.panel.cpu().numpy()

    def hold(self, features: NDArray[np.float32]) -> None:
        """Reads these features `[T, A * F]`, scaled as those of the training, from now on."""
        gather = self._gather()
        if gather is None:
            raise InputError(f"{self.name} reads flat observations: it holds no features")
        gather.hold(features)

    def _gather(self) -> WindowGather | None:
        return next((m for m in self.network.modules() if isinstance(m, WindowGather)), None)

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = True,
    ) -> tuple[np.ndarray, Any]:
        return self.network.predict(observation, state, episode_start, deterministic)


def train(
    agent: Agent,
    training: Setting,
    validation: Setting,
    *,
    seed: int,
    folder: Path,
    log: Log | None = None,
    advance: Advance | None = None,
    resumed: Callable[[int], None] | None = None,
) -> Trained:
    """See `agents.learner.Learner.train`; `agent` has the settings of the algorithm."""
    # The numbers depend on the number of threads through the order of sums.
    torch.set_num_threads(agent.torch_threads)
    envs = PortfolioVectorEnv.from_setting(
        training, agent.num_envs, threads=agent.env_threads, copy=False
    )
    model = agent.build(SB3VecEnv(envs), seed)
    action = training.action_map.name
    policy = SB3Policy(agent.name, model.policy, training.observation, action)
    try:
        if (folder / MODEL).exists():
            best, facts = read_tensors(folder / MODEL, ["agent", "curve", "best_step"])
            check_settings(folder / MODEL, facts["agent"], agent)
            if advance is not None:
                advance(agent.trained_steps, {})
            curve, best_step = facts["curve"], facts["best_step"]
        else:
            rounds = _Rounds(agent, policy, PortfolioEnv.from_setting(validation), folder)
            rounds.log, rounds.advance = log, advance
            if (folder / CHECKPOINT).exists():
                rounds.load(model)
                if resumed is not None:
                    resumed(model.num_timesteps)
            model.set_logger(Logger(None, [rounds.writer]))
            try:
                model.learn(
                    agent.trained_steps - model.num_timesteps,
                    callback=rounds,
                    log_interval=1 if agent.name == "ppo" else agent.num_envs,
                    reset_num_timesteps=model.num_timesteps == 0,
                )
            except ValueError:
                # torch refuses a distribution with NaN or infinite parameters; say whose they are.
                _check_finite(model)
                raise
            best, curve, best_step = rounds.best, rounds.curve, rounds.best_step
            facts = {
                "agent": settings_of(agent),
                "curve": curve,
                "best_step": best_step,
                "seed": seed,
                "action": action,
            }
            write_tensors(folder / MODEL, best, facts)
            (folder / CHECKPOINT).unlink(missing_ok=True)
        load_network(model.policy, best, folder / MODEL)
    finally:
        envs.close()
    return Trained(policy, curve, best_step)


def _check_finite(model: BaseAlgorithm) -> None:
    for name, value in model.policy.state_dict().items():
        # An exponent of 40 is a standard deviation of 1e17: finite, and as dead as NaN.
        finite = torch.isfinite(value).all() and (name != "log_std" or bool((value < 40).all()))
        if not finite:
            raise InputError(
                f"training diverged: parameter {name} is not finite at step {model.num_timesteps}; "
                "lower agent.learning_rate or reward.scale"
            )


class _Writer(KVWriter):
    """Takes what Stable-Baselines3 logs and hands it on."""

    def __init__(self) -> None:
        self.values: dict[str, float] = {}

    def write(
        self, key_values: dict[str, Any], key_excluded: dict[str, Any], step: int = 0
    ) -> None:
        # Wall-clock figures are not results; the tracker keeps its own clock.
        self.values.update(
            {
                key: float(value)
                for key, value in key_values.items()
                if isinstance(value, (int, float, np.number)) and not key.startswith("time/")
            }
        )

    def close(self) -> None:
        pass


class _Rounds(BaseCallback):
    """What happens between two rounds: validation, choice of the best policy, checkpoint, log."""

    def __init__(
        self, agent: Agent, policy: SB3Policy, validation: PortfolioEnv, folder: Path
    ) -> None:
        super().__init__()
        self.agent = agent
        self.judged = policy
        self.validation = validation
        self.folder = folder
        self.writer = _Writer()
        self.log: Log | None = None
        self.advance: Advance | None = None
        self.best: Tensors = {}
        self.best_step = 0
        self.curve: dict[str, list[float]] = {"steps": [], "train_reward": [], "validation": []}
        self._told = 0
        rounds = -(-agent.trained_steps // agent.steps_per_round)
        due = np.unique(np.linspace(0, rounds, agent.evaluations + 1).round().astype(int)[1:])
        self._due = set((due * agent.steps_per_round).tolist())

    def load(self, model: BaseAlgorithm) -> None:
        path = self.folder / CHECKPOINT
        progress, self.best = load_checkpoint(path, model)
        check_settings(path, progress["agent"], self.agent)
        self.curve, self.best_step = progress["curve"], progress["best_step"]
        self.writer.values = progress["logged"]

    def _on_step(self) -> bool:
        return True

    def _on_rollout_start(self) -> None:
        """Between two rounds: the last update is done, the next rollout has not begun."""
        self._between()

    def _on_training_end(self) -> None:
        self._between()

    def _between(self) -> None:
        step = self.model.num_timesteps
        if step in self._due and step not in self.curve["steps"]:
            self._judge(step)
            progress = {
                "curve": self.curve,
                "best_step": self.best_step,
                "logged": self.writer.values,
                "agent": settings_of(self.agent),
            }
            save_checkpoint(self.folder / CHECKPOINT, self.model, progress, self.best)
        if self.advance is not None and step > self._told:
            latest = {"validation": self.curve["validation"][-1]} if self.curve["steps"] else {}
            self.advance(step - self._told, latest)
            self._told = step

    def _judge(self, step: int) -> None:
        _check_finite(self.model)
        parameters = self.model.policy.state_dict()
        judged = rollout(self.judged, self.validation)
        score = float(judged.reward.mean())
        env = self.model.env
        assert isinstance(env, SB3VecEnv)
        if (
            self.agent.keep == "last"
            or not self.curve["validation"]
            or score > max(self.curve["validation"])
        ):
            self.best, self.best_step = copy.deepcopy(dict(parameters)), step
        self.curve["steps"].append(step)
        self.curve["train_reward"].append(env.take_mean_reward())
        self.curve["validation"].append(score)
        if self.log is not None:
            figures = dict(self.writer.values)
            figures["train/reward_per_step"] = self.curve["train_reward"][-1]
            figures["validation/reward_per_step"] = score
            figures["validation/active_share"] = float(judged.active_share.mean())
            figures["validation/turnover_per_step"] = float(judged.turnover.mean())
            self.log(step, figures)
