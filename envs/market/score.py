"""The score: how much of what can be earned a policy earns, where the best policy is known.

    score = (utility of the policy - utility of equal weight)
            / (utility of the optimum - utility of equal weight)

1 is the optimum, 0 is equal weight, and a policy can be worse than that.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.errors import InputError

Float = NDArray[np.float64]
# Elements of one block of drawn indices.
CHUNK = 1 << 21


def score(
    policy: Float,
    equal_weight: Float,
    optimum: Float,
    *,
    level: float = 0.95,
    n_bootstrap: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """The score, and an interval over paths.

    Args:
        policy, equal_weight, optimum: `[n]` utility of each path. Path i has the same random
            numbers for all three, so that what moves all of them cancels.
        level: of the interval, in (0, 1).
        n_bootstrap: resamples of whole paths, drawn for all three at once.
        seed: of the resampling.

    Returns:
        `score`; `interval`, the percentile interval `[low, high]`, or None where the optimum does
        not beat equal weight in all resamples (too few paths: the score has no scale); and
        `difference`, mean utility of the optimum less that of equal weight, the score's unit.

    Raises:
        InputError: for arrays of unequal length or below 2, numbers that are not finite, or an
            optimum that does not beat equal weight on these paths.
    """
    rows = [np.asarray(u, np.float64) for u in (policy, equal_weight, optimum)]
    if len({row.shape for row in rows}) != 1 or rows[0].ndim != 1 or len(rows[0]) < 2:
        raise InputError(
            f"score needs three arrays of one utility a path, for at least 2 paths; got shapes "
            f"{[row.shape for row in rows]}"
        )
    if not all(np.isfinite(row).all() for row in rows):
        raise InputError("score needs finite utilities; a policy that is ruined has none")
    if not 0 < level < 1 or n_bootstrap < 1:
        raise InputError("score needs level in (0, 1) and n_bootstrap of at least 1")
    gain, scale = rows[0] - rows[1], rows[2] - rows[1]
    n = len(gain)
    if not scale.mean() > 0:
        raise InputError(
            f"the optimum does not beat equal weight on these {n} paths (by {scale.mean():.3g}): "
            "use more or longer paths, or a market in which equal weight is not the optimum"
        )
    rng = np.random.default_rng(seed)
    scores = np.empty(n_bootstrap)
    chunk = max(1, CHUNK // n)
    sure = True
    for start in range(0, n_bootstrap, chunk):
        index = rng.integers(0, n, (min(chunk, n_bootstrap - start), n))
        below = scale[index].mean(axis=1)
        sure = sure and bool((below > 0).all())
        if not sure:
            break
        scores[start : start + len(index)] = gain[index].mean(axis=1) / below
    tail = 0.5 * (1.0 - level)
    return {
        "score": float(gain.mean() / scale.mean()),
        "interval": [float(x) for x in np.quantile(scores, [tail, 1.0 - tail])] if sure else None,
        "difference": float(scale.mean()),
    }
