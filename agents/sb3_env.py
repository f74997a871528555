"""The adapter between `PortfolioVectorEnv` and the vector environments of Stable-Baselines3."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from stable_baselines3.common.vec_env import VecEnv

from envs.vector import PortfolioVectorEnv


class SB3VecEnv(VecEnv):
    """A `PortfolioVectorEnv` as a Stable-Baselines3 `VecEnv`.

    SB3 wants `terminal_observation` and `TimeLimit.truncated` in the infos of episodes that have
    ended, so that it bootstraps at the end of a window and does not at ruin, and `episode` with the
    sum of rewards for its log. The infos of all other portfolios are one shared empty dict:
    building a thousand at every step would cost as much as the market.

    Observations may live in two alternating buffers (`copy=False` of the env): SB3 copies what it
    stores before the second step after it.
    """

    def __init__(self, envs: PortfolioVectorEnv) -> None:
        self.envs = envs
        self._seed: int | None = None
        self._actions: np.ndarray | None = None
        self.episode_return = np.zeros(envs.num_envs)
        self.episode_length = np.zeros(envs.num_envs, np.int64)
        self.reward_sum = 0.0
        self.steps = 0
        # The base class asks for `render_mode` of each env through get_attr.
        self.render_mode = None
        super().__init__(envs.num_envs, envs.single_observation_space, envs.single_action_space)

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Portfolio i is seeded with `seed + i` at the next reset."""
        self._seed = seed
        return [None if seed is None else seed + i for i in range(self.num_envs)]

    def reset(self) -> Any:
        observation, _ = self.envs.reset(seed=self._seed)
        self._seed = None
        self.episode_return[:] = 0.0
        self.episode_length[:] = 0
        return observation

    def step_async(self, actions: np.ndarray) -> None:
        self._actions = actions

    def step_wait(self) -> tuple[Any, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        assert self._actions is not None
        observation, reward, terminated, truncated, info = self.envs.step(self._actions)
        self.episode_return += reward
        self.episode_length += 1
        self.reward_sum += float(reward.sum())
        self.steps += self.num_envs
        nothing: dict[str, Any] = {}
        infos = [nothing] * self.num_envs
        done = terminated | truncated
        if "final_obs" in info:
            for i in np.flatnonzero(done):
                infos[i] = {
                    "terminal_observation": info["final_obs"][i],
                    "TimeLimit.truncated": bool(truncated[i]),
                    "episode": {
                        "r": float(self.episode_return[i]),
                        "l": int(self.episode_length[i]),
                    },
                }
            self.episode_return[done] = 0.0
            self.episode_length[done] = 0
        return observation, reward.astype(np.float32), done, infos

    def take_mean_reward(self) -> float:
        """Mean reward per step of all portfolios since this was last asked."""
        mean = self.reward_sum / max(self.steps, 1)
        self.reward_sum, self.steps = 0.0, 0
        return mean

    def close(self) -> None:
        self.envs.close()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        value = getattr(self, attr_name, None)
        return [value] * len(list(self._get_indices(indices)))

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        raise NotImplementedError("the portfolios share one setting; make a new env instead")

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> Any:
        raise NotImplementedError("the portfolios have no methods of their own")

    def env_is_wrapped(self, wrapper_class: type, indices: Any = None) -> list[bool]:
        return [False] * len(list(self._get_indices(indices)))

    # ------------------------------------------------------------------ resume
    def state_dict(self) -> dict[str, Any]:
        """All that moves; see `PortfolioVectorEnv.state_dict`."""
        saved = self.envs.state_dict()
        saved["arrays"]["episode_return"] = self.episode_return.copy()
        saved["arrays"]["episode_length"] = self.episode_length.copy()
        return saved

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        arrays = dict(saved["arrays"])
        self.episode_return = arrays.pop("episode_return").copy()
        self.episode_length = arrays.pop("episode_length").copy()
        self.envs.load_state_dict({"arrays": arrays, "rngs": saved["rngs"]})
