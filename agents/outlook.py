"""What an allocator reads: the outlook of one decision, and the limits of a portfolio."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from envs.actions import ActionMap
from networks.forecast import HORIZONS

Float = NDArray[np.float64]
Bool = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Outlook:
    """What is forecast at one decision for A assets, and what of the past a portfolio needs.

    Attributes:
        probability: `[A, 3]` of sell, hold, buy over the first horizon.
        expected: `[A, H]` simple return over each of `HORIZONS` rows.
        confidence: `[A]` probability that the likeliest direction is right.
        volatility: `[A]` deviation of the return of one row, positive.
        cash: simple return of cash over one row.
        returns: `[n, A]` simple returns of the last rows, oldest first; NaN before a listing. As
            many as the allocator asks for in `history`.
        periods_per_year: rows a year.
    """

    probability: Float
    expected: Float
    confidence: Float
    volatility: Float
    cash: float
    returns: Float
    periods_per_year: float

    def excess(self, horizon: int) -> Float:
        """`[A]` expected simple return of one row in excess of cash, from that over `horizon`."""
        return self.expected[:, HORIZONS.index(horizon)] / horizon - self.cash

    def only(self, assets: Bool) -> Outlook:
        """The same for some of the assets."""
        return replace(
            self,
            probability=self.probability[assets],
            expected=self.expected[assets],
            confidence=self.confidence[assets],
            volatility=self.volatility[assets],
            returns=self.returns[:, assets],
        )


@dataclass(frozen=True)
class Limits:
    """What a portfolio may hold.

    Attributes:
        short: whether a weight may be negative.
        gross, net: the largest sum of |weight|, and the largest |sum of weights|, of the assets.
    """

    short: bool = False
    gross: float = 1.0
    net: float = 1.0

    @classmethod
    def of(cls, action_map: ActionMap) -> Limits:
        """Those of an action map."""
        if action_map.name == "long_short":
            return cls(True, *action_map.settings())
        return cls()

    def within(self, weights: Float) -> Float:
        """`[A]` cut to the limits: all scaled to `gross`, then the larger side to `net`."""
        if not self.short:
            weights = np.maximum(weights, 0.0)
        gross = np.abs(weights).sum()
        if gross > self.gross:
            weights = weights * (self.gross / gross)
        long, short = np.maximum(weights, 0.0), np.maximum(-weights, 0.0)
        over = abs(long.sum() - short.sum()) - self.net
        if over > 0:
            if long.sum() > short.sum():
                long = long * (1.0 - over / long.sum())
            else:
                short = short * (1.0 - over / short.sum())
        return long - short
