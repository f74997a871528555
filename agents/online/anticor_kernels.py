"""The day loop of Anticor's experts.

Arrays are those of `agents.online.kernels`.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def claims_nb(logs, stop, window, claims):
    """Which share of its weight each asset hands to which other, for one day and window.

    Args:
        logs: `[T, A]` log relatives; known are the rows before `stop`, at least `2 * window`.
        claims: out, `[A, A]`; row i sums to 1, or to 0 where i keeps all. What i claims of itself
            stays in the sum.
    """
    n_assets = logs.shape[1]
    early = np.empty((window, n_assets))
    late = np.empty((window, n_assets))
    means = np.zeros((2, n_assets))
    squares = np.zeros((2, n_assets))
    for side in range(2):
        rows = early if side == 0 else late
        first = stop - (2 - side) * window
        for k in range(window):
            for i in range(n_assets):
                means[side, i] += logs[first + k, i]
        for i in range(n_assets):
            means[side, i] /= window
        for k in range(window):
            for i in range(n_assets):
                rows[k, i] = logs[first + k, i] - means[side, i]
                squares[side, i] += rows[k, i] * rows[k, i]
    claims[:] = 0.0
    for k in range(window):
        for i in range(n_assets):
            for j in range(n_assets):
                claims[i, j] += early[k, i] * late[k, j]
    # One over the root of the sum of squares, or 0: what has not moved is correlated with nothing.
    for side in range(2):
        for i in range(n_assets):
            square = squares[side, i]
            squares[side, i] = 1.0 / np.sqrt(square) if square > 0.0 else 0.0
    against = np.zeros(n_assets)
    for i in range(n_assets):
        for j in range(n_assets):
            claims[i, j] *= squares[0, i] * squares[1, j]
        against[i] = max(-claims[i, i], 0.0)
    for i in range(n_assets):
        total = 0.0
        for j in range(n_assets):
            if means[1, i] >= means[1, j] and claims[i, j] > 0.0:
                claims[i, j] += against[i] + against[j]
                total += claims[i, j]
            else:
                claims[i, j] = 0.0
        if total > 0.0:
            claims[i] /= total


@njit(cache=True, nogil=True)
def experts_nb(relatives, logs, most, portfolios):
    """Anticor with each window 2 ... `most`; its weights drift with prices between days.

    Args:
        logs: `[T, A]` logarithms of the relatives, made outside so that they have NumPy's bits:
            where two assets grew alike, the last bit decides which of them hands over.
        portfolios: out, `[T, most-1, A]`.
    """
    n_rows, n_assets = relatives.shape
    claims = np.empty((n_assets, n_assets))
    portfolios[0] = 1.0 / n_assets
    for t in range(1, n_rows):
        for k in range(most - 1):
            before = portfolios[t - 1, k] * relatives[t]
            before /= before.sum()
            after = portfolios[t, k]
            after[:] = before
            window = k + 2
            if t < 2 * window:
                continue
            claims_nb(logs, t + 1, window, claims)
            for i in range(n_assets):
                for j in range(n_assets):
                    transfer = before[i] * claims[i, j]
                    after[i] -= transfer
                    after[j] += transfer
            # Who hands over everything is left with rounding.
            for i in range(n_assets):
                after[i] = max(after[i], 0.0)
            after /= after.sum()


@njit(cache=True, nogil=True)
def mixed_nb(relatives, portfolios, growth, shares):
    """Growth `[T, K]` of the portfolios `[T, K, A]` of experts, and the shares `[T, K]` of who gave
    each 1/K at row 0 and left it there."""
    n_rows, n_experts, n_assets = portfolios.shape
    growth[0] = 1.0
    shares[0] = 1.0 / n_experts
    for t in range(1, n_rows):
        for k in range(n_experts):
            total = 0.0
            for i in range(n_assets):
                total += portfolios[t - 1, k, i] * relatives[t, i]
            growth[t, k] = total
            shares[t, k] = shares[t - 1, k] * total
        shares[t] /= shares[t].sum()
