"""A portfolio environment in plain NumPy, written as such environments usually are.

It is a yardstick, not a part of the library: one portfolio, softmax weights, first-order
proportional costs, and the same 20 assets and 8 features as the others.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np


class NumpyPortfolioEnv(gym.Env):
    """Observes the features of the day and the weights; earns the log return net of costs.

    Args:
        close: `[T, A]` prices. features: `[T, A, F]`.
        cost: fraction of the traded notional.
        episode_length: rows in an episode; starts are random.
    """

    def __init__(
        self,
        close: np.ndarray,
        features: np.ndarray,
        cost: float = 1e-3,
        episode_length: int = 252,
    ) -> None:
        self.returns = close[1:] / close[:-1] - 1.0
        self.features = features
        self.cost = cost
        self.episode_length = episode_length
        n_assets, n_features = features.shape[1:]
        size = n_assets * n_features + n_assets + 1
        self.action_space = gym.spaces.Box(-1.0, 1.0, (n_assets + 1,), np.float32)
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (size,), np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.t = int(self.np_random.integers(0, len(self.returns) - self.episode_length))
        self.end = self.t + self.episode_length
        self.value = 1.0
        self.weights = np.zeros(self.action_space.shape[0])  # type: ignore[index]
        self.weights[-1] = 1.0
        return self._observation(), {"value": self.value}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        action = np.clip(action, self.action_space.low, self.action_space.high)  # type: ignore[attr-defined]
        exponents = np.exp(action - action.max())
        target = exponents / exponents.sum()
        turnover = np.abs(target[:-1] - self.weights[:-1]).sum()
        cost = self.cost * turnover
        growth = 1.0 + np.append(self.returns[self.t], 0.0)
        gross = (target * growth).sum()
        net = (1.0 - cost) * gross
        self.weights = target * growth / gross
        self.value *= net
        self.t += 1
        info = {
            "value": self.value,
            "weights": self.weights.copy(),
            "gross_return": gross - 1.0,
            "net_return": net - 1.0,
            "cost": cost,
            "turnover": turnover,
        }
        return self._observation(), float(np.log(net)), False, self.t >= self.end, info

    def _observation(self) -> np.ndarray:
        return np.concatenate([self.features[self.t].ravel(), self.weights]).astype(np.float32)
