"""Best weights of a log investor who knows the volatility of the next step.

In continuous time w = covariance^-1 (drift - cash rate) at the current variance (Merton 1971; no
hedge against changes of the variance, because log utility is myopic). Here: the weights that
maximise the expected log growth of the coming step exactly, within the limits, by quadrature. The
same holds where the expected return is what varies (factors without trading costs).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from envs.market.solutions.best_mix import conditional_rows_nb

Float = NDArray[np.float64]


def myopic_weights(
    location: Float,
    scale: Float,
    nodes: Float,
    probability: Float,
    cash: float,
    portfolios: Float,
    *,
    arithmetic: bool = False,
    risk_aversion: float = 1.0,
) -> Float:
    """`[N, A+1]` weights (cash last) of highest expected utility of the next step.

    Args:
        location, scale: `[N, A]`; the growth is exp(location + scale z), or, if `arithmetic`,
            max(1 + location + scale z, 0.01).
        nodes, probability: `[Q, A]`, `[Q]` of z, with the correlation of the shocks.
        cash: gross growth of cash. portfolios: `[V, A+1]` that may be mixed.
    """
    location = np.ascontiguousarray(location, np.float64)
    scale = np.ascontiguousarray(np.broadcast_to(scale, location.shape), np.float64)
    weights = np.empty((len(location), location.shape[1] + 1))
    conditional_rows_nb(
        location,
        scale,
        np.ascontiguousarray(nodes),
        probability,
        arithmetic,
        float(cash),
        np.ascontiguousarray(portfolios),
        float(risk_aversion),
        weights,
    )
    return weights


def continuous_weight(
    drift: Float, variance: Float, cash_rate: float, lowest: float = 0.0, highest: float = 1.0
) -> Float:
    """(drift - cash_rate) / variance within limits: one risky asset, continuous trading."""
    return np.clip((drift - cash_rate) / np.maximum(variance, 1e-300), lowest, highest)
