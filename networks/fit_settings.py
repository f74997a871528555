"""`FitSettings`: how a network is trained; every number that decides what it becomes."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import nn

from networks.objective import Objective

OPTIMIZERS = ("sgd", "rmsprop", "adam", "adamw")
# As Lightning calls them.
PRECISIONS = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}


@dataclass(frozen=True, kw_only=True)
class FitSettings:
    """Settings of a training by gradient descent.

    Attributes:
        epochs: at most; one epoch is one pass over the training rows.
        batch_size: decision rows in a batch, of all assets each, over all processes.
        learning_rate: step size. optimizer: `sgd`, `rmsprop`, `adam`, `adamw`.
        momentum: of `sgd` and `rmsprop`, in [0, 1).
        weight_decay: L2: added to the gradient of all parameters, or apart from it with `adamw`
            (Loshchilov and Hutter 2019).
        l1: penalty on the sum of the absolute weights, biases left out.
        gradient_clip: largest norm of the gradient of all parameters; None: any that is finite.
        patience: epochs without a validation loss lower by `min_delta` before training stops; the
            parameters of the lowest are kept either way.
        min_delta: what counts as lower, for `patience` and `reduce_patience`.
        reduce_factor, reduce_patience: the learning rate is multiplied by the factor after more
            than so many epochs without a lower loss.
        checkpoint_every: epochs between two checkpoints.
        precision: `32`, `bf16` (mixed, on any device), or `16` (mixed, on CUDA only).
        devices: processes that train together (DistributedDataParallel; gloo on the CPU).
        torch_threads: of each process; the last bits of the result may depend on it.
        device: `cpu`, `cuda` or `cuda:N`; no part of what is learned.
        objective: the loss and its weights.
    """

    epochs: int = 50
    batch_size: int = 64
    learning_rate: float = 1e-3
    optimizer: str = "adam"
    momentum: float = 0.0
    weight_decay: float = 0.0
    l1: float = 0.0
    gradient_clip: float | None = 1.0
    patience: int = 10
    min_delta: float = 0.0
    reduce_factor: float = 0.5
    reduce_patience: int = 4
    checkpoint_every: int = 1
    precision: str = "32"
    devices: int = 1
    torch_threads: int = 1
    device: str = "cpu"
    objective: Objective = field(default_factory=Objective)

    def __post_init__(self) -> None:
        object.__setattr__(self, "precision", str(self.precision))
        for key in ("epochs", "batch_size", "patience", "checkpoint_every", "devices"):
            self._check(key, 1, math.inf, whole=True)
        self._check("torch_threads", 1, math.inf, whole=True)
        self._check("reduce_patience", 0, math.inf, whole=True)
        self._check("learning_rate", 1e-12, math.inf)
        for key in ("weight_decay", "l1", "min_delta"):
            self._check(key, 0, math.inf)
        if self.gradient_clip is not None:
            self._check("gradient_clip", 1e-12, math.inf)
        for key in ("momentum", "reduce_factor"):
            self._check(key, 0, 1)
            if getattr(self, key) == 1:
                raise ValueError(f"{key} must be below 1, got 1")
        if self.reduce_factor == 0:
            raise ValueError("reduce_factor must be above 0, got 0; a high reduce_patience: never")
        for key, known in (("optimizer", OPTIMIZERS), ("precision", tuple(PRECISIONS))):
            if getattr(self, key) not in known:
                raise ValueError(f"unknown {key} {getattr(self, key)!r}; known: {', '.join(known)}")
        if not isinstance(self.objective, Objective):
            raise ValueError(
                "objective must be a mapping of its settings, or an Objective; {} has its "
                f"defaults, got {self.objective!r}"
            )
        if not re.fullmatch(r"cpu|cuda(:\d+)?", str(self.device)):
            raise ValueError(f"device must be cpu, cuda or cuda:N, got {self.device!r}")
        if self.precision == "16" and self.device == "cpu":
            raise ValueError(
                "precision=16 needs device=cuda: half precision has no range for gradients without "
                "the scaling that is there only; use precision=bf16 on the CPU"
            )
        if self.batch_size < self.devices:
            raise ValueError(
                f"batch_size={self.batch_size} leaves some of devices={self.devices} without rows; "
                "raise it, or use fewer devices"
            )
        if self.devices > 1 and ":" in self.device:
            raise ValueError(f"devices={self.devices} needs device=cpu or cuda, not {self.device}")

    def _check(self, key: str, low: float, high: float, whole: bool = False) -> None:
        """Refuses a setting outside [low, high]; infinity and NaN are outside of everything."""
        value = getattr(self, key)
        number = isinstance(value, (int,) if whole else (int, float)) and not isinstance(
            value, bool
        )
        if not (number and low <= value <= high and math.isfinite(value)):
            kind = "a whole number " if whole else ""
            limits = f"at least {low:g}" if high == math.inf else f"from {low:g} to {high:g}"
            raise ValueError(f"{key} must be {kind}{limits}, got {value!r}")

    def torch_device(self) -> torch.device:
        """The first device, if all are there.

        Raises:
            ValueError: if not.
        """
        if self.device == "cpu":
            return torch.device("cpu")
        found = torch.cuda.device_count()
        needed = int(self.device.partition(":")[2] or 0) + self.devices
        if needed > found:
            raise ValueError(
                f"device={self.device} with devices={self.devices} is not there: PyTorch "
                f"{torch.__version__} finds {found} CUDA device(s); use device=cpu, or install a "
                "PyTorch for CUDA"
            )
        return torch.device(self.device)

    def make_optimizer(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """The optimiser of these settings over the parameters that learn."""
        learning = [p for p in parameters if p.requires_grad]
        how: dict[str, Any] = {"lr": self.learning_rate, "weight_decay": self.weight_decay}
        if self.optimizer == "sgd":
            return torch.optim.SGD(learning, momentum=self.momentum, **how)
        if self.optimizer == "rmsprop":
            return torch.optim.RMSprop(learning, momentum=self.momentum, **how)
        kind = torch.optim.Adam if self.optimizer == "adam" else torch.optim.AdamW
        return kind(learning, **how)

    def to_dict(self) -> dict[str, Any]:
        """All that decides what is learned, as JSON has it: the device does not."""
        return json.loads(json.dumps({k: v for k, v in asdict(self).items() if k != "device"}))


def l1_penalty(network: nn.Module) -> torch.Tensor:
    """Sum of the absolute weights that learn; biases and gains of norms are left out."""
    weights = [p for p in network.parameters() if p.requires_grad and p.dim() > 1]
    return torch.stack([p.abs().sum() for p in weights]).sum()
