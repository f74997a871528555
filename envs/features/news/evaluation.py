"""How well scorers agree with people, on articles that they were not fitted on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from envs.data.market_data import Float
from envs.features.news.head import fit_head
from envs.features.news.rated import Rated

FOLDS = 5
RESAMPLES = 2000


@dataclass(frozen=True)
class Agreement:
    """Correlation with the mean human score, and its 95 % interval over articles."""

    correlation: float
    low: float
    high: float


def agreement(score: Float, rated: Rated, seed: int = 0) -> Agreement:
    """Of `score [n]` with the ratings; whole articles are resampled, since sentences of one article
    share their subject."""
    _, article = np.unique(rated.article, return_inverse=True)
    x, y = score, rated.score
    of_sentence = np.column_stack([np.ones_like(x), x, y, x * x, y * y, x * y])
    sums = np.zeros((article.max() + 1, of_sentence.shape[1]))
    np.add.at(sums, article, of_sentence)
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, len(sums), (RESAMPLES, len(sums)))
    low, high = np.quantile(_correlation(sums[drawn].sum(axis=1)), [0.025, 0.975])
    return Agreement(float(_correlation(sums.sum(axis=0))), float(low), float(high))


def _correlation(sums: Float) -> Float:
    n, x, y, xx, yy, xy = np.moveaxis(sums, -1, 0)
    found: Float = (n * xy - x * y) / np.sqrt((n * xx - x * x) * (n * yy - y * y))
    return found


def folds_of(article: NDArray[np.int64], seed: int = 0) -> NDArray[np.int64]:
    """`[n]` the fold of each sentence; an article lies in one fold as a whole."""
    names, place = np.unique(article, return_inverse=True)
    fold: NDArray[np.int64] = np.random.default_rng(seed).permutation(len(names)) % FOLDS
    return fold[place]


def held_out_score(vectors: Float, rated: Rated, fold: NDArray[np.int64]) -> Float:
    """`[n]` the score of each sentence by a ridge that was fitted on the other folds."""
    out = np.empty(len(fold))
    for k in np.unique(fold):
        inside = fold == k
        head = fit_head(vectors[~inside], rated.score[~inside], "")
        out[inside] = head.score(vectors[inside])
    return out
