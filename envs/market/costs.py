"""What trading costs, as typed settings that become the arrays the kernel reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from envs.errors import InputError

Float = NDArray[np.float64]


@dataclass(frozen=True)
class ProportionalCost:
    """Costs proportional to the traded notional, on each side of a trade.

    Attributes:
        commission_bps: commission in basis points of the notional; one number or one per asset.
        half_spread_bps: half the bid-ask spread in basis points; one number or one per asset.
    """

    commission_bps: float | Sequence[float] = 5.0
    half_spread_bps: float | Sequence[float] = 5.0

    def rates(self, n_assets: int, gross_limit: float = 1.0) -> tuple[Float, Float]:
        """`(commission, half_spread)`, each `[A]`, as fractions.

        Raises:
            InputError: for a negative or missing rate, a wrong number of rates, or costs that take
                all of the value (rate times gross leverage of 100 % or more).
        """
        commission = _per_asset("cost.commission_bps", self.commission_bps, n_assets)
        half_spread = _per_asset("cost.half_spread_bps", self.half_spread_bps, n_assets)
        worst = float((commission + half_spread).max()) * gross_limit
        if worst >= 1.0:
            raise InputError(
                f"commission plus half spread, times gross leverage, is {worst:.0%} of the traded "
                "value: a trade would cost all there is; cost.commission_bps and "
                "cost.half_spread_bps are in basis points (10 is 0.1 %)"
            )
        return commission, half_spread


def _per_asset(key: str, bps: float | Sequence[float], n_assets: int) -> Float:
    try:
        rate = np.asarray(bps, np.float64) / 1e4
    except (TypeError, ValueError):
        raise InputError(f"{key} must be one number or {n_assets} of them, got {bps}") from None
    if rate.ndim == 0:
        rate = np.full(n_assets, float(rate))
    if rate.shape != (n_assets,):
        raise InputError(f"{key} must be one number or {n_assets} of them, got {rate.size}")
    if not (np.isfinite(rate).all() and (rate >= 0).all()):
        raise InputError(f"{key} must be finite and not negative, got {bps}")
    return rate
