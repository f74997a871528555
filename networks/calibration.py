"""Platt's calibration: confidence becomes the share of cases in which it was right."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

# Keeps the slope finite where all logits are the same.
RIDGE = 1e-6


def platt(logits: NDArray, right: NDArray) -> tuple[float, float]:
    """Slope a and intercept b, so that the probability of being right is sigmoid(a * logit + b).

    The two-parameter logistic regression of Platt (1999), with his targets (n1 + 1) / (n1 + 2) and
    1 / (n0 + 2) in place of 1 and 0, so that it is finite when all were right; by Newton's method
    (Lin, Lin and Weng 2007) in float64, so that it is the same on every machine to the last digits.

    Args:
        logits: `[n]` of the uncalibrated confidence. right: `[n]` 0 or 1.

    Raises:
        ValueError: without any case, or with logits that are not finite.
    """
    x, y = np.asarray(logits, np.float64).ravel(), np.asarray(right, np.float64).ravel()
    if not len(x) or len(x) != len(y) or not np.isfinite(x).all():
        raise ValueError(
            f"calibration needs finite logits, each with whether it was right; got {len(x)} and "
            f"{len(y)}: use validation rows whose targets are known"
        )
    ones = y.sum()
    target = np.where(y > 0.5, (ones + 1) / (ones + 2), 1 / (len(y) - ones + 2))
    design = np.column_stack([x, np.ones_like(x)])

    def loss(at: NDArray) -> float:
        z = design @ at
        likelihood = np.logaddexp(0.0, z) - target * z
        return float(likelihood.mean() + 0.5 * RIDGE * at[0] ** 2)

    at = np.array([0.0, np.log(target.mean() / (1 - target.mean()))])
    now = loss(at)
    for _ in range(100):
        p = 1.0 / (1.0 + np.exp(-np.clip(design @ at, -500, 500)))
        slope = design.T @ (p - target) / len(x) + [RIDGE * at[0], 0.0]
        curve = (design * (p * (1 - p))[:, None]).T @ design / len(x)
        curve += np.diag([RIDGE, 1e-15])
        step, length = np.linalg.solve(curve, slope), 1.0
        while length > 1e-10 and loss(at - length * step) > now:
            length /= 2
        if length <= 1e-10 or np.abs(slope).max() < 1e-13:
            break
        at = at - length * step
        now = loss(at)
    return float(at[0]), float(at[1])


def calibrate_head(head: nn.Linear, slope: float, intercept: float) -> None:
    """Makes a linear head answer `slope * logit + intercept`: the calibration is in the weights."""
    with torch.no_grad():
        head.weight.mul_(slope)
        head.bias.mul_(slope).add_(intercept)
