"""Probability of backtest overfitting: does the best of several strategies stay good on other rows?

Combinatorially symmetric cross-validation (Bailey, Borwein, Lopez de Prado and Zhu 2017, "The
probability of backtest overfitting", Journal of Computational Finance 20(4)): the rows are cut into
blocks, every half of the blocks is in-sample once and its complement out-of-sample. The strategy
that is best in-sample is looked up out-of-sample. Where it often falls below the median, choosing
the best strategy has chosen luck.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, islice
from math import comb
from typing import Any, Literal

import numpy as np

from envs.errors import InputError
from experiments.evaluation.metrics import RESOLUTION, Float

Measure = Literal["sharpe", "mean"]
# Fewer rows a block say nothing of a block.
ROWS_A_BLOCK = 5
# C(20, 10) = 184,756 combinations; two more blocks are four times as many, and no surer.
MOST_BLOCKS = 20
CHUNK_ELEMENTS = 1 << 18


def pbo(returns: Float, n_blocks: int = 16, measure: Measure = "sharpe") -> dict[str, Any]:
    """Probability that the best strategy in-sample is below the median out-of-sample.

    Args:
        returns: `[K, n]` returns per period of K strategies on the same dates, in excess of cash.
            Where n is no multiple of `n_blocks`, the first blocks are a row longer.
        n_blocks: even, 2 to 20; 16 is the authors' choice.
        measure: what is "best": "sharpe" (mean over standard deviation; 0 on rows where a series is
            constant) or "mean".

    Returns:
        A plain dict that fits into JSON:

        - `pbo`: in [0, 1]. 0: the best stays above the median. 0.5: no better than drawing lots.
        - `logits, counts`: the distinct logits of the out-of-sample rank of the chosen strategy, in
          ascending order, and how many combinations have each; `pbo` is the share below 0.
        - `slope`: of out-of-sample on in-sample performance of the chosen; None where undefined.
        - `p_loss`: share of combinations in which the chosen strategy has a performance below 0
          out-of-sample.
        - `chosen`: K counts: how often each strategy was the best in-sample.
        - `n_combinations, n_blocks, n_strategies, n_steps, measure`.

        Or `{"reason": ...}` where it cannot be computed: fewer than two strategies, or two that are
        the same, or too few rows.

    Raises:
        InputError: for a number of blocks that is odd or out of range, an unknown measure, returns
            that are not two-dimensional or not finite.
    """
    if n_blocks != int(n_blocks) or n_blocks % 2 or not 2 <= n_blocks <= MOST_BLOCKS:
        raise InputError(
            f"n_blocks must be even, from 2 to {MOST_BLOCKS}, got {n_blocks}; 16 is usual"
        )
    if measure not in ("sharpe", "mean"):
        raise InputError(f"measure must be sharpe or mean, got {measure!r}")
    returns = np.asarray(returns, dtype=np.float64)
    if returns.ndim != 2:
        raise InputError(f"returns must be [strategies, rows], got shape {returns.shape}")
    if not np.isfinite(returns).all():
        k, row = np.argwhere(~np.isfinite(returns))[0]
        raise InputError(
            f"returns hold {returns[k, row]} (strategy {k}, row {row}); leave this strategy out"
        )
    n_strategies, n = returns.shape
    if n_strategies < 2:
        return {"reason": "needs two strategies to choose from"}
    if np.ptp(returns, axis=0).max(initial=0.0) <= RESOLUTION:
        return {"reason": "the strategies do not differ: there is nothing to choose"}
    if n < n_blocks * ROWS_A_BLOCK:
        return {
            "reason": f"{n} steps are too few: {n_blocks} blocks need {n_blocks * ROWS_A_BLOCK}"
        }
    inside, outside, best, ranks = _choices(returns, int(n_blocks), measure)
    logits, counts = np.unique(ranks, return_counts=True)
    logits = np.log(logits / (n_strategies + 1 - logits))
    spread = inside.var()
    slope = None
    if spread > RESOLUTION**2:
        slope = float(((inside - inside.mean()) * (outside - outside.mean())).mean() / spread)
    return {
        "pbo": float(np.mean(ranks < (n_strategies + 1) / 2)),
        "logits": logits.tolist(),
        "counts": counts.tolist(),
        "slope": slope,
        "p_loss": float(np.mean(outside < 0)),
        "chosen": np.bincount(best, minlength=n_strategies).tolist(),
        "n_combinations": len(best),
        "n_blocks": int(n_blocks),
        "n_strategies": n_strategies,
        "n_steps": n,
        "measure": measure,
    }


def _choices(returns: Float, n_blocks: int, measure: Measure) -> tuple[Any, ...]:
    """Of every combination the chosen: performance in and out of sample, index, outer rank."""
    sums = _BlockSums(returns, n_blocks, measure)
    size = comb(n_blocks, n_blocks // 2)
    inside, outside, ranks = (np.empty(size) for _ in range(3))
    best = np.empty(size, dtype=np.int64)
    done = 0
    for mask in _masks(n_blocks, max(1, CHUNK_ELEMENTS // len(returns))):
        within, without = sums.performance(mask), sums.performance(1.0 - mask)
        at = slice(done, done + len(mask))
        best[at] = within.argmax(axis=1)
        each = np.arange(len(mask))
        inside[at], outside[at] = within[each, best[at]], without[each, best[at]]
        chosen = outside[at, None]
        # Equal performances share the mean of their ranks, so that copies change nothing.
        ranks[at] = (without < chosen).sum(axis=1) + ((without == chosen).sum(axis=1) + 1) / 2
        done += len(mask)
    return inside, outside, best, ranks


def _masks(n_blocks: int, chunk: int) -> Iterator[Float]:
    """`[<= chunk, J]` ones where a block is in-sample, over all halves of the blocks."""
    halves = combinations(range(n_blocks), n_blocks // 2)
    while rows := list(islice(halves, chunk)):
        mask = np.zeros((len(rows), n_blocks))
        np.put_along_axis(mask, np.array(rows), 1.0, axis=1)
        yield mask


class _BlockSums:
    """Count, sum and sum of squares of every block: enough for the performance of any union."""

    def __init__(self, returns: Float, n_blocks: int, measure: Measure) -> None:
        # About the mean of all rows, so that no digits are lost in the squares.
        self.centre = returns.mean(axis=1)
        blocks = np.array_split(returns - self.centre[:, None], n_blocks, axis=1)
        self.count = np.array([b.shape[1] for b in blocks], dtype=np.float64)
        self.first = np.stack([b.sum(axis=1) for b in blocks])
        self.second = np.stack([(b**2).sum(axis=1) for b in blocks])
        self.measure = measure

    def performance(self, mask: Float) -> Float:
        """`[C, K]` performance on the blocks of each row of `mask`."""
        count = (mask @ self.count)[:, None]
        mean = self._add(mask, self.first) / count
        if self.measure == "mean":
            return np.asarray(mean + self.centre)
        second = self._add(mask, self.second)
        variance = np.maximum(second - count * mean**2, 0.0) / (count - 1.0)
        deviation = np.sqrt(variance)
        # What is left of equal numbers after the subtraction is rounding of their squares.
        varies = (deviation > RESOLUTION) & (variance > RESOLUTION * second / count)
        return np.where(varies, (mean + self.centre) / np.where(varies, deviation, 1.0), 0.0)

    @staticmethod
    def _add(mask: Float, sums: Float) -> Float:
        # Not a matrix product: its order of addition differs between columns, and copies of a
        # strategy must come out equal to the last bit.
        out = np.zeros((len(mask), sums.shape[1]))
        for j in range(len(sums)):
            out += mask[:, j, None] * sums[j]
        return out
