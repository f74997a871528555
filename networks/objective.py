"""`Objective`: one loss over the five heads of a forecast, each against a target of its own."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from networks.forecast import QUANTILES, Forecast
from networks.targets import UNKNOWN
from networks.windows import Batch

HEADS = ("direction", "expected_return", "quantiles", "volatility", "confidence")
RETURN_LOSSES = ("huber", "mse")
VOLATILITY_LOSSES = ("mse", "qlike")
# Sum of the losses of one head over its known targets, and how many these are.
Parts = Mapping[str, tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Objective:
    """Weights of the heads, and what each is judged by. A head of weight 0 learns nothing.

    Unknown targets count nothing; each head's loss is a mean over its known ones.

    Attributes:
        direction: weight of the cross entropy of sell, hold and buy.
        expected_return: weight of the error of the standardised returns over all horizons.
        quantiles: weight of the pinball loss (Koenker and Bassett 1978) over the first horizon.
        volatility: weight of the error of the log of the volatility.
        confidence: weight of the binary cross entropy against whether the likeliest direction was
            right. What was right is a target: no gradient flows from here into the directions.
        return_loss: `huber` (1964; quadratic up to `huber_delta`, linear beyond) or `mse`.
        volatility_loss: `mse` of the log, or `qlike` (Patton 2011) of the variance.
        class_weights: of sell, hold and buy in the cross entropy, or None: equal.
    """

    direction: float = 1.0
    expected_return: float = 1.0
    quantiles: float = 1.0
    volatility: float = 0.5
    confidence: float = 0.5
    return_loss: str = "huber"
    huber_delta: float = 1.0
    volatility_loss: str = "mse"
    class_weights: tuple[float, float, float] | None = None

    def __post_init__(self) -> None:
        for head in HEADS:
            if not (_is_number(getattr(self, head)) and getattr(self, head) >= 0):
                raise ValueError(
                    f"objective.{head} must be a number, 0 or more, got {getattr(self, head)!r}"
                )
        if not any(getattr(self, head) for head in HEADS):
            raise ValueError(f"objective has no head to learn; give one a weight: {HEADS}")
        for key, known in (
            ("return_loss", RETURN_LOSSES),
            ("volatility_loss", VOLATILITY_LOSSES),
        ):
            if getattr(self, key) not in known:
                raise ValueError(
                    f"unknown objective.{key} {getattr(self, key)!r}; known: {', '.join(known)}"
                )
        if not (_is_number(self.huber_delta) and self.huber_delta > 0):
            raise ValueError(
                f"objective.huber_delta must be a number above 0, got {self.huber_delta!r}"
            )
        if self.class_weights is not None:
            given: Any = self.class_weights
            weights = tuple(given) if isinstance(given, Sequence) else ()
            if len(weights) != 3 or not all(_is_number(w) and w > 0 for w in weights):
                raise ValueError(
                    "objective.class_weights must be three numbers above 0, for sell, hold and "
                    f"buy, or null: all alike; got {given!r}"
                )
            object.__setattr__(self, "class_weights", tuple(float(w) for w in weights))

    def parts(self, forecast: Forecast, batch: Batch) -> Parts:
        """Sum and number of the losses of each head that has a weight, in float32."""
        found: dict[str, tuple[Tensor, Tensor]] = {}
        for head in HEADS:
            if getattr(self, head):
                found[head] = getattr(self, f"_{head}")(forecast, batch)
        return found

    def total(self, parts: Parts, counts: Mapping[str, Tensor] | None = None) -> Tensor:
        """The weighted sum of the mean losses; `counts` replaces the numbers of known targets."""
        total: Tensor | float = 0.0
        for head, (loss, count) in parts.items():
            known = count if counts is None else counts[head]
            total = total + getattr(self, head) * loss / known.clamp(min=1e-12)
        assert isinstance(total, Tensor)
        return total

    def __call__(self, forecast: Forecast, batch: Batch) -> Tensor:
        """The loss of a batch, to be minimised."""
        return self.total(self.parts(forecast, batch))

    def _direction(self, forecast: Forecast, batch: Batch) -> tuple[Tensor, Tensor]:
        label = batch.direction.flatten()
        known = label != UNKNOWN
        logits = forecast.direction.float().flatten(0, 1)
        loss = functional.cross_entropy(
            logits, label, ignore_index=UNKNOWN, reduction="none", weight=self._classes(logits)
        )
        if self.class_weights is None:
            return loss.sum(), known.sum()
        weights = self._classes(logits)
        assert weights is not None
        return loss.sum(), (weights[label.clamp(min=0)] * known).sum()

    def _classes(self, like: Tensor) -> Tensor | None:
        return None if self.class_weights is None else like.new_tensor(self.class_weights)

    def _expected_return(self, forecast: Forecast, batch: Batch) -> tuple[Tensor, Tensor]:
        target, known = _known(batch.expected_return)
        made = forecast.expected_return.float()
        if self.return_loss == "mse":
            loss = (made - target) ** 2
        else:
            loss = functional.huber_loss(made, target, reduction="none", delta=self.huber_delta)
        return (loss * known).sum(), known.sum()

    def _quantiles(self, forecast: Forecast, batch: Batch) -> tuple[Tensor, Tensor]:
        target, known = _known(batch.expected_return[..., :1])
        made = forecast.quantiles.float()
        levels = made.new_tensor(QUANTILES)
        above = target - made
        loss = torch.maximum(levels * above, (levels - 1.0) * above).mean(dim=-1, keepdim=True)
        return (loss * known).sum(), known.sum()

    def _volatility(self, forecast: Forecast, batch: Batch) -> tuple[Tensor, Tensor]:
        target, known = _known(batch.log_volatility)
        above = target - forecast.log_volatility.float()
        if self.volatility_loss == "mse":
            loss = above**2
        else:
            # Variances over each other, less their log, less 1: 0 where they are equal.
            loss = torch.expm1(2.0 * above) - 2.0 * above
        return (loss * known).sum(), known.sum()

    def _confidence(self, forecast: Forecast, batch: Batch) -> tuple[Tensor, Tensor]:
        right, known = was_right(forecast, batch)
        loss = functional.binary_cross_entropy_with_logits(
            forecast.confidence.float(), right, reduction="none"
        )
        return (loss * known).sum(), known.sum()


def was_right(forecast: Forecast, batch: Batch) -> tuple[Tensor, Tensor]:
    """`[B, A]` 1 where the likeliest direction is that of the target, and where that is known."""
    known = batch.direction != UNKNOWN
    return (forecast.direction.detach().argmax(dim=-1) == batch.direction).float(), known


def _is_number(value: object) -> bool:
    """Whether this is a finite number: truth values and text are none."""
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def _known(target: Tensor) -> tuple[Tensor, Tensor]:
    """The target with 0 where it is unknown, and where it is not. Infinity stays, to be found."""
    unknown = torch.isnan(target)
    return torch.where(unknown, 0.0, target), ~unknown
