"""`Family`: a feature up to its numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]
# The last column of a group with published features; `Inputs.share_known`.
KNOWN = "_known"


@dataclass(frozen=True)
class Family:
    """A feature up to its numbers.

    Attributes:
        group: one of `price, ohlc, volume, cross, seasonal, sentiment, macro`.
        needs: fields of the panel that must exist.
        parameters: names of the numbers, e.g. ("n",).
        examples: names that show the numbers; in the group's default list if `listed`.
        description: one line.
        compute: `(inputs, out, *numbers)` fills the `[T, A]` float32 plane `out`.
        warmup: rows without a value, from the numbers.
        allowed: whether the numbers make sense.
        condition: what `allowed` asks for, in words.
        source: the attribute of `Inputs` that holds what is published outside the panel (`macro`,
            `sentiment`, `earnings`, `news`); then values may be NaN. Empty for all other features.
        series: what the feature reads of its source; a missing one is the reason for its NaN.
        listed: whether the group's name stands for the examples too.
    """

    group: str
    needs: tuple[str, ...]
    parameters: tuple[str, ...]
    examples: tuple[str, ...]
    description: str
    compute: Callable[..., None]
    warmup: Callable[..., int] = lambda: 0
    allowed: Callable[..., bool] = lambda *numbers: all(n >= 1 for n in numbers)
    condition: str = "numbers >= 1"
    source: str = ""
    series: tuple[str, ...] = ()
    listed: bool = True
