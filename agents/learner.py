"""`Learner`: whatever is trained on rows and judged on others, whichever library it stands on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from envs.simulation import Setting

Log = Callable[[int, dict[str, float]], None]
Advance = Callable[[int, dict[str, float]], None]
CHECKPOINT = "checkpoint.safetensors"
MODEL = "model.safetensors"


@dataclass(frozen=True, eq=False)
class Trained:
    """What a training leaves: the policy that was best on validation, and the learning curve.

    `curve` has equally long lists: `steps`, `train_reward` and `validation`. Of who learns from
    rewards: environment steps, mean reward per step of the exploring policy since the point before,
    and of the deterministic policy over the validation window. Of who minimises a loss: epochs, and
    minus the loss in training and on validation. `seconds` is for who measures it.
    `by_validation` names the parameters, and parts of the curve, that rows of the validation window
    decided beside the choice of the policy: a calibration, the strength of a penalty.
    """

    policy: Any
    curve: dict[str, list[float]]
    best_step: int
    seconds: float = 0.0
    by_validation: tuple[str, ...] = ()


class Learner(Protocol):
    """Settings of one way to learn, with one verb.

    Attributes:
        name: of its policies, in tables and folders.
        trained_steps: how far the progress bar goes for one training.
    """

    @property
    def name(self) -> str: ...

    @property
    def trained_steps(self) -> int: ...

    def train(
        self,
        training: Setting,
        validation: Setting,
        *,
        seed: int,
        folder: Path,
        log: Log | None = None,
        advance: Advance | None = None,
        resumed: Callable[[int], None] | None = None,
    ) -> Trained:
        """Trains one seed, or goes on where a former call in the same folder was interrupted.

        Args:
            training, validation: what to learn on and what to choose on; rows of the same panel.
            seed: of everything that is random.
            folder: gets `checkpoint.safetensors` while training and `model.safetensors` at the end.
                With the latter there, nothing is trained.
            log: called with the step and the figures of each round.
            advance: called with the number of new steps and what to show beside the bar.
            resumed: called with the step of the checkpoint that the training goes on from.

        Raises:
            InputError: if the training diverged to NaN, naming the step and the remedy, or if the
                folder holds a file of other settings.
        """
        ...
