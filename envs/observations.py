"""What an agent sees: `flat` windows of features with the weights, or `indexed` time and weights.

`flat` is one float32 vector: the features of the last `window` rows, oldest first, each row asset
by asset, then the weights held (assets, then cash), just before the trade. A window is one
contiguous piece of the panel, so it is copied straight out of it and no array of windows ever
exists.

`indexed` is a dict: `t` `[1]`, the row of the decision, and `weights` `[A+1]`. Whoever reads it
holds the panel.
"""

from __future__ import annotations

import numpy as np
from gymnasium import spaces

from envs.errors import InputError

OBSERVATIONS = ("flat", "indexed")
# Scaled features lie within +-BOUND (the scalers clip there), which makes the space a finite box.
BOUND = 10.0


def observation_space(
    kind: str, n_rows: int, n_assets: int, n_features: int, window: int, highest: float
) -> spaces.Space:
    """The space of one observation; all numbers lie within +-`highest`.

    Raises:
        InputError: for an unknown kind.
    """
    if kind == "flat":
        size = window * n_assets * n_features + n_assets + 1
        return spaces.Box(-highest, highest, (size,), np.float32)
    if kind == "indexed":
        return spaces.Dict(
            {
                "t": spaces.Box(0, n_rows - 1, (1,), np.int64),
                "weights": spaces.Box(-highest, highest, (n_assets + 1,), np.float64),
            }
        )
    raise InputError(f"unknown observation {kind!r}; known: {', '.join(OBSERVATIONS)}")
