"""What an agent sees: `flat` windows of features with the weights, or `indexed` time and weights.

`flat` is one float32 vector: the features of the last `window` rows, oldest first, each row asset
by asset, then the weights held (assets, then cash), just before the trade. A window is one
contiguous piece of the panel, so it is copied straight out of it and no array of windows ever
exists.

`indexed` is a dict: `t` `[1]`, the row of the decision, and `weights` `[A+1]`. Whoever reads it
holds the panel.

Where the panel has cells that are not tradable, every asset has one feature more, the last: 1 in
rows where it is tradable and 0 where it is not. `indexed` then has `tradable` `[A]` beside the
weights, that of the row of the decision. It says what is public at that close: whether there was
trading, not whether there will be.
"""

from __future__ import annotations

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from envs.data.market_data import MarketData
from envs.errors import InputError
from envs.features.panel import FeaturePanel

OBSERVATIONS = ("flat", "indexed")
# Scaled features lie within +-BOUND (the scalers clip there), which makes the space a finite box.
BOUND = 10.0


def observation_space(
    kind: str,
    n_rows: int,
    n_assets: int,
    n_features: int,
    window: int,
    highest: float,
    masked: bool = False,
) -> spaces.Space:
    """The space of one observation; all numbers lie within +-`highest`.

    `n_features` counts the mask of a panel with gaps; `masked` says that it is one.

    Raises:
        InputError: for an unknown kind.
    """
    if kind == "flat":
        size = window * n_assets * n_features + n_assets + 1
        return spaces.Box(-highest, highest, (size,), np.float32)
    if kind == "indexed":
        parts: dict[str, spaces.Space] = {
            "t": spaces.Box(0, n_rows - 1, (1,), np.int64),
            "weights": spaces.Box(-highest, highest, (n_assets + 1,), np.float64),
        }
        if masked:
            parts["tradable"] = spaces.Box(0.0, 1.0, (n_assets,), np.float32)
        return spaces.Dict(parts)
    raise InputError(f"unknown observation {kind!r}; known: {', '.join(OBSERVATIONS)}")


def feature_rows(
    market: MarketData, features: FeaturePanel | None
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """`(values [T, A * F], mask [T, A])`: what observations are copied from.

    Where all cells of the panel are tradable the mask is None. Else it is the last of the F
    features of every asset, and NaN becomes 0 where an asset is not tradable or younger than the
    warm-up of the features; any other NaN stays, for the caller to refuse.

    Raises:
        InputError: if the features are those of another panel.
    """
    shape = market.close.shape
    if features is not None and features.values.shape[:2] != shape:
        raise InputError(
            f"features are for {features.values.shape[:2]} rows and assets, the market has "
            f"{shape}; build them from the same panel"
        )
    values = np.zeros((*shape, 0), np.float32) if features is None else features.values
    if market.tradable.all():
        return np.ascontiguousarray(values).reshape(len(values), -1), None
    mask = market.tradable.astype(np.float32)
    masked = np.empty((*shape, values.shape[2] + 1), np.float32)
    masked[..., :-1], masked[..., -1] = values, mask
    if features is not None:
        silent = np.isnan(masked) & _may_be_unknown(market.tradable, features.warmup)[..., None]
        masked[silent] = 0.0
    return masked.reshape(len(values), -1), mask


def _may_be_unknown(tradable: NDArray[np.bool_], warmup: int) -> NDArray[np.bool_]:
    """`[T, A]` not tradable, or in the asset's own warm-up: as long as that of the first listed."""
    rows = np.arange(len(tradable))[:, None]
    start = np.where(tradable.any(axis=0), tradable.argmax(axis=0), len(tradable))
    return ~tradable | (rows < start + max(warmup - int(start.min()), 0))
