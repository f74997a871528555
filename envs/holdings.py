"""Weights that an episode begins in, where it does not begin in cash."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.data.market_data import MarketData
from envs.errors import InputError
from envs.market.legs import standing_prices

Float = NDArray[np.float64]
# Of sums and of signs: weights that the market has moved are exact to rounding only.
TOLERANCE = 1e-9


def starting_weights(options: dict[str, Any] | None) -> Any:
    """The `weights` of the options of a reset, or None.

    Raises:
        InputError: for an option of another name.
    """
    unknown = sorted(set(options or {}) - {"weights"})
    if unknown:
        raise InputError(f"reset takes the option 'weights', not {unknown[0]!r}")
    return (options or {}).get("weights")


def holdings(
    weights: Any, market: MarketData, n: int, row: NDArray[np.int64] | None, shorts: bool
) -> Float:
    """`[n, A+1]` weights that n portfolios can hold.

    Args:
        weights: `[A+1]` for all, or `[n, A+1]`.
        row: `[n]` rows of the panel at which they are held, or None on paths of their own.
        shorts: whether a weight may be negative.

    Raises:
        InputError: for another shape, a number that is not finite, a sum that is not 1, a short
            position, or an asset that is not listed. What is halted may be held.
    """
    shape = n, market.n_assets + 1
    held = np.asarray(weights, np.float64)
    if held.shape not in (shape, shape[1:]):
        raise InputError(
            f"weights to begin with must be [{shape[1]}] (assets, then cash), got {held.shape}"
        )
    held = np.broadcast_to(held, shape)
    if not np.isfinite(held).all():
        raise InputError(f"weights to begin with must be finite, got {weights}")
    sums = held.sum(axis=1)
    off = int(np.abs(sums - 1.0).argmax())
    if abs(sums[off] - 1.0) > TOLERANCE:
        raise InputError(f"weights to begin with must sum to 1, got {sums[off]:.12g}")
    names = (*market.symbols, "cash")
    if not shorts and held.min() < -TOLERANCE:
        i, worst = np.unravel_index(held.argmin(), shape)
        raise InputError(
            f"weights to begin with have {held[i, worst]:.6g} in {names[worst]}: this action map "
            "is long-only; use 'long_short'"
        )
    if market.delisting_value is not None and row is not None:
        wrong = (held[:, :-1] != 0.0) & ~standing_prices(market)[2][row]
        if wrong.any():
            i, worst = np.unravel_index(wrong.argmax(), wrong.shape)
            day = np.datetime_as_string(market.dates[row[i]], unit="D")
            raise InputError(
                f"weights to begin with have {held[i, worst]:.6g} in {names[worst]}, which is not "
                f"listed on {day}: it cannot be held"
            )
    return held
