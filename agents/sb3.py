"""PPO and DDPG through Stable-Baselines3, as typed settings with one verb: `build`."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from stable_baselines3 import DDPG as SB3DDPG
from stable_baselines3 import PPO as SB3PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.noise import NormalActionNoise
from torch import nn

from agents.learner import Trained
from agents.sb3_env import SB3VecEnv
from agents.sb3_policy import AssetScorerPolicy, WindowExtractor
from envs.errors import InputError
from envs.simulation import Setting
from networks.window_gather import WindowGather

ARCHITECTURES = ("mlp", "assets")
ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU}


@dataclass(frozen=True, kw_only=True)
class Agent:
    """What every Stable-Baselines3 agent of ours has.

    Attributes:
        total_steps: environment steps of training, all portfolios together.
        num_envs: portfolios stepped at once.
        evaluations: how often, evenly spaced, the policy is scored on the validation window. A
            checkpoint is written as often.
        keep: `best`, the policy that scored best on validation, or `last`, where one window of
            validation is noisier than the differences between policies.
        network: widths of the hidden layers, of actor and critic each.
        activation: `tanh` or `relu`.
        learning_rate, gamma: step size of Adam; discount per step.
        env_threads: threads that step the market; the result does not depend on it.
        torch_threads: threads of the network. Two wait for each other at every small layer, which
            on a busy machine is far slower than one; and the bits of the result may depend on it.
        device: where the network lives: `cpu`, `cuda` or `cuda:N`. The market stays on the CPU.
    """

    name: ClassVar[str]
    total_steps: int
    num_envs: int
    evaluations: int = 20
    keep: str = "best"
    network: tuple[int, ...] = (64, 64)
    activation: str = "tanh"
    learning_rate: float = 3e-4
    gamma: float = 0.99
    env_threads: int = 1
    torch_threads: int = 1
    device: str = "cpu"

    def __post_init__(self) -> None:
        object.__setattr__(self, "network", tuple(self.network))
        if not re.fullmatch(r"cpu|cuda(:\d+)?", str(self.device)):
            raise InputError(f"agent.device must be cpu, cuda or cuda:N, got {self.device!r}")
        if self.activation not in ACTIVATIONS:
            raise InputError(
                f"unknown agent.activation {self.activation!r}; known: {', '.join(ACTIVATIONS)}"
            )
        if self.keep not in ("best", "last"):
            raise InputError(f"unknown agent.keep {self.keep!r}; known: best, last")
        for key in ("total_steps", "num_envs", "evaluations", "env_threads", "torch_threads"):
            self._check(key, 1, math.inf)
        self._check("learning_rate", 1e-12, math.inf)
        self._check("gamma", 0, 1)
        widths = self.network
        if not widths or not all(isinstance(w, int) and w >= 1 for w in widths):
            raise InputError(f"agent.network must be a list of widths >= 1, got {list(widths)}")

    def _check(self, key: str, low: float, high: float) -> None:
        """Refuses a setting outside [low, high]; infinity and NaN are outside of everything."""
        value = getattr(self, key)
        if not (isinstance(value, (int, float)) and low <= value <= high and math.isfinite(value)):
            limits = f"at least {low:g}" if high == math.inf else f"from {low:g} to {high:g}"
            raise InputError(f"agent.{key} must be {limits}, got {value}")

    @property
    def steps_per_round(self) -> int:
        """Steps between two looks at the validation window are a multiple of this."""
        return self.num_envs

    @property
    def trained_steps(self) -> int:
        """`total_steps`, rounded up to whole rounds as Stable-Baselines3 does."""
        return -(-self.total_steps // self.steps_per_round) * self.steps_per_round

    def policy_kwargs(self, setting: Setting) -> dict[str, Any]:
        """What a policy of Stable-Baselines3 is made of, the panel included where it needs one."""
        network = {"net_arch": list(self.network), "activation_fn": ACTIVATIONS[self.activation]}
        if setting.observation == "flat":
            return network
        gather = WindowGather(setting.features, setting.window, setting.space_highest)
        return network | {
            "features_extractor_class": WindowExtractor,
            # Moved before it is shared, or every network would move a panel of its own.
            "features_extractor_kwargs": {"gather": gather.to(self.torch_device())},
        }

    def torch_device(self) -> torch.device:
        """The device, if it is there.

        Raises:
            InputError: if it is not.
        """
        found = torch.cuda.device_count() if self.device != "cpu" else 0
        if self.device != "cpu" and int(self.device.partition(":")[2] or 0) >= found:
            raise InputError(
                f"agent.device={self.device} is not there: PyTorch {torch.__version__} finds "
                f"{found} CUDA device(s); use agent.device=cpu, or install a PyTorch for CUDA"
            )
        return torch.device(self.device)

    def build(self, env: SB3VecEnv, seed: int) -> BaseAlgorithm:
        """A fresh, seeded model on this env."""
        raise NotImplementedError

    def train(self, training: Setting, validation: Setting, **how: Any) -> Trained:
        """See `agents.learner.Learner.train`."""
        from agents.training import train

        return train(self, training, validation, **how)


@dataclass(frozen=True, kw_only=True)
class PPO(Agent):
    """Proximal policy optimisation (Schulman et al. 2017).

    Attributes:
        architecture: `mlp`, a network over the whole observation, or `assets`, one small network
            that scores every asset (`networks.asset_scorer`).
        n_steps: steps of each portfolio in one rollout. batch_size, n_epochs: of its updates.
        gae_lambda, clip_coef, ent_coef, vf_coef, max_grad_norm: as in the paper.
        log_std_init: log of the first standard deviation of an action. Under `softmax` an action
            of 1 is about 5 logits: wide noise makes random portfolios whose costs drown the signal.
        anneal: whether the learning rate falls linearly to zero.
    """

    name: ClassVar[str] = "ppo"
    total_steps: int = 1_000_000
    architecture: str = "mlp"
    num_envs: int = 512
    n_steps: int = 32
    batch_size: int = 4096
    n_epochs: int = 4
    gae_lambda: float = 0.95
    clip_coef: float = 0.2
    ent_coef: float = 0.0
    vf_coef: float = 0.5
    max_grad_norm: float = 0.5
    log_std_init: float = -2.0
    anneal: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.architecture not in ARCHITECTURES:
            raise InputError(
                f"unknown agent.architecture {self.architecture!r}; "
                f"known: {', '.join(ARCHITECTURES)}"
            )
        for key in ("n_steps", "n_epochs"):
            self._check(key, 1, math.inf)
        self._check("batch_size", 2, math.inf)
        self._check("gae_lambda", 0, 1)
        for key in ("clip_coef", "max_grad_norm"):
            self._check(key, 1e-12, math.inf)
        for key in ("ent_coef", "vf_coef"):
            self._check(key, 0, 1e6)
        self._check("log_std_init", -20, 5)
        samples = self.n_steps * self.num_envs
        if samples % self.batch_size:
            fits = max(b for b in range(1, min(samples, self.batch_size) + 1) if samples % b == 0)
            raise InputError(
                f"agent.batch_size={self.batch_size} must divide agent.n_steps * agent.num_envs = "
                f"{samples}, or the last batch of every epoch is a small one; "
                f"agent.batch_size={fits} does"
            )

    @property
    def steps_per_round(self) -> int:
        return self.num_envs * self.n_steps

    def build(self, env: SB3VecEnv, seed: int) -> BaseAlgorithm:
        rate = self.learning_rate
        setting = env.envs.setting
        network = self.policy_kwargs(setting)
        policy: Any = _policy(setting)
        if self.architecture == "assets":
            policy = AssetScorerPolicy
            del network["net_arch"]
            network |= {
                "n_assets": setting.market.n_assets,
                "window": setting.window,
                "hidden": self.network,
            }
        return SB3PPO(
            policy,
            env,
            learning_rate=(lambda remaining: rate * remaining) if self.anneal else rate,
            n_steps=self.n_steps,
            batch_size=self.batch_size,
            n_epochs=self.n_epochs,
            gamma=self.gamma,
            gae_lambda=self.gae_lambda,
            clip_range=self.clip_coef,
            ent_coef=self.ent_coef,
            vf_coef=self.vf_coef,
            max_grad_norm=self.max_grad_norm,
            policy_kwargs={**network, "log_std_init": self.log_std_init},
            seed=seed,
            device=self.torch_device(),
        )


@dataclass(frozen=True, kw_only=True)
class DDPG(Agent):
    """Deep deterministic policy gradient (Lillicrap et al. 2016).

    Attributes:
        buffer_size, batch_size: transitions kept and drawn. learning_starts: steps of uniformly
            random actions before the first update.
        gradient_steps: updates after each step of all portfolios. tau: rate of the target networks.
        action_noise: standard deviation of the Gaussian exploration noise.
    """

    name: ClassVar[str] = "ddpg"
    total_steps: int = 100_000
    num_envs: int = 32
    activation: str = "relu"
    learning_rate: float = 1e-3
    buffer_size: int = 100_000
    batch_size: int = 256
    learning_starts: int = 2_000
    gradient_steps: int = 2
    tau: float = 0.005
    action_noise: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        for key in ("batch_size", "gradient_steps"):
            self._check(key, 1, math.inf)
        self._check("buffer_size", self.num_envs, 1e8)
        self._check("learning_starts", 0, math.inf)
        self._check("tau", 1e-12, 1)
        self._check("action_noise", 0, 10)

    def build(self, env: SB3VecEnv, seed: int) -> BaseAlgorithm:
        import numpy as np

        n_actions = env.action_space.shape[0]  # type: ignore[index]
        return SB3DDPG(
            _policy(env.envs.setting),
            env,
            learning_rate=self.learning_rate,
            buffer_size=self.buffer_size,
            learning_starts=self.learning_starts,
            batch_size=self.batch_size,
            tau=self.tau,
            gamma=self.gamma,
            train_freq=1,
            gradient_steps=self.gradient_steps,
            action_noise=NormalActionNoise(
                np.zeros(n_actions), np.full(n_actions, self.action_noise)
            ),
            policy_kwargs=self.policy_kwargs(env.envs.setting),
            seed=seed,
            device=self.torch_device(),
        )


def _policy(setting: Setting) -> str:
    """Stable-Baselines3's name for a network over one vector, or over what an extractor makes."""
    return "MlpPolicy" if setting.observation == "flat" else "MultiInputPolicy"
