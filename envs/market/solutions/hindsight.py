"""BCRP: the best constant rebalanced portfolio, chosen with the whole history known.

Cover 1991, "Universal portfolios". It is the yardstick of online portfolio selection and beats
every single asset and every fixed mix; nobody can hold it, because it reads the future. In a market
of independent, identically distributed steps it converges to the growth-optimal portfolio.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from envs.market.solutions.best_mix import best_weights

Float = NDArray[np.float64]


def best_constant_weights(growth: Float, cash: Float | None = None) -> tuple[Float, float]:
    """Long-only weights of highest wealth when restored every step without costs.

    Args:
        growth: `[n, A]` gross growth of the assets (price relatives).
        cash: `[n]` gross growth of cash; None: fully invested, cash has no column.

    Returns:
        `(weights, missed)`: `[A]` or `[A+1]` with cash last, and a bound on the mean log growth a
        step that they miss. Where several mixes are equally good, one of them.
    """
    rows = growth if cash is None else np.column_stack([growth, cash])
    return best_weights(rows)


def wealth(weights: Float, growth: Float) -> float:
    """Final wealth, from 1, of constant weights `[A]` on gross growths `[n, A]`, without costs."""
    return float(np.exp(np.log(growth @ weights).sum()))
