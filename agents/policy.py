"""`Policy`: the one protocol of everything that decides."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np


@runtime_checkable
class Policy(Protocol):
    """Anything that maps an observation to an action; Stable-Baselines3's signature.

    A baseline, a trained agent, a controller and a meta-learner all are one.

    Attributes:
        name: short label for tables.
        observation: the kind that it reads, "flat" or "indexed" (see `envs.observations`).
        action: the action map in which it answers (see `envs.actions`).

    One that is made for certain limits of `long_short` says so in `action_settings`.
    """

    name: str
    observation: str
    action: str

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = True,
    ) -> tuple[np.ndarray, Any]:
        """Returns `(action, state)` for one observation."""
        ...
