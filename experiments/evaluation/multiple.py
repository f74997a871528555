"""Tests of many strategies at once: is the best one better than luck, and which are not the worst?

Whoever looks at twenty strategies sees a good one, also where none is. Three tests that know how
many were looked at, all on the same resampled dates (stationary bootstrap) and through arch:

- **SPA** (Hansen 2005, "A test for superior predictive ability", JBES 23(4)): one p-value for "no
  strategy is better than the benchmark strategy".
- **StepM** (Romano and Wolf 2005, Econometrica 73(4)): which are better, with the probability of
  naming even one wrongly held below `1 - level`.
- **Model confidence set** (Hansen, Lunde and Nason 2011, Econometrica 79(2)): without a benchmark,
  the strategies that cannot be told from the best.

What is compared is growth: the mean of `log(1 + return)`. `across` adds the probability of backtest
overfitting, and is the one call that a table of strategies or a whole sweep needs.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from envs.errors import InputError
from experiments.evaluation import bootstrap
from experiments.evaluation.metrics import RESOLUTION, Float
from experiments.evaluation.overfitting import pbo

TESTS = ("pbo", "spa", "stepm", "mcs")
# Below this a resampled mean has no distribution to speak of.
FEWEST_STEPS = 30
UNDEFINED = "a return is missing or infinite"
RUINED = "ruined: resampling repeats or forgets the ruin"


def across(
    series: Mapping[str, Float],
    benchmark: str,
    *,
    cash: ArrayLike = 0.0,
    seed: int = 0,
    replications: int = 1000,
    level: float = 0.95,
    mean_block: int | None = None,
    ruined: Collection[str] = (),
) -> dict[str, dict[str, Any]]:
    """All tests over a set of strategies: `Evidence.tests` of a run, or the jobs of a sweep.

    Strategies that were chosen with the test window in view (the best stock, the best constant
    weights) do not belong here: they are bounds, and would win.

    Args:
        series: name -> net returns per period, `[n]`, or `[S, n]` for S seeds, which enter as one
            strategy with its capital spread evenly over them. All share the dates.
        benchmark: the name in `series` that the others are to beat: a baseline, say. In a sweep, a
            baseline that all jobs have in common, beside one entry a job.
        cash: return of cash per period, `[n]` or a number: what the Sharpe ratio is in excess of.
        seed: of the bootstrap; equal seeds give equal bits.
        replications, level, mean_block, ruined: as in `superior`.

    Returns:
        `pbo` (as `overfitting.pbo`, `chosen` by name), `spa`, `stepm` and `mcs` (as `superior`),
        each with `left_out`: name -> why, or only a `reason` where it cannot be computed.

    Raises:
        InputError: an unknown benchmark, series of different lengths, replications or a level
            outside their range.
    """
    usable, left_out = _usable(series, ruined)
    _check(series, benchmark, replications, level)
    excess = {name: returns - np.asarray(cash) for name, returns in usable.items()}
    flat = [name for name, x in excess.items() if x.std() <= RESOLUTION]
    excess = {name: x for name, x in excess.items() if name not in flat}
    overfit: dict[str, Any] = {"reason": "needs two strategies to choose from"}
    if excess:
        overfit = pbo(np.stack(list(excess.values())))
    if "chosen" in overfit:
        overfit["chosen"] = dict(zip(excess, overfit["chosen"], strict=True))
    overfit["left_out"] = left_out | dict.fromkeys(flat, "constant returns have no Sharpe ratio")
    tests = superior(
        series,
        benchmark,
        seed=seed,
        replications=replications,
        level=level,
        mean_block=mean_block,
        ruined=ruined,
    )
    return {"pbo": overfit, **tests}


def superior(
    returns: Mapping[str, Float],
    benchmark: str,
    *,
    seed: int = 0,
    replications: int = 1000,
    level: float = 0.95,
    mean_block: int | None = None,
    ruined: Collection[str] = (),
) -> dict[str, dict[str, Any]]:
    """SPA, StepM and the model confidence set of strategies on the same dates.

    Differences of growth are divided by their standard error, as Hansen (2005) asks: without, the
    wildest strategy decides alone. (arch computes that error, but does not divide by it.)

    Args:
        returns: name -> net returns per period, `[n]` or `[S, n]`, as in `across`.
        benchmark: the strategy that SPA and StepM compare the others with.
        seed: of the bootstrap.
        replications: resampled histories.
        level: 1 less the probability of a false claim, for StepM; in (0, 1).
        mean_block: of the stationary bootstrap; None: by Politis and White from the differences.
        ruined: names that were ruined and are left out, beside those with a return of -1 or less:
            resampling would repeat or forget the ruin.

    Returns:
        - `spa`: `p_consistent` (the one to quote), `p_lower`, `p_upper` (bounds: weak strategies
          count for nothing, or fully), `best`: the alternative with the largest statistic. A p of 0
          is below `1 / replications`.
        - `stepm`: `better`: names that are better than the benchmark, family-wise.
        - `mcs`: `p_values` by name, `set_95` and `set_90`: the names that belong to the confidence
          set of that level, `same_as`: name -> a strategy with equal returns, whose p it has.

        Each also has `replications, mean_block, steps, left_out`, and what was compared; or only a
        `reason` and `left_out`.

    Raises:
        InputError: as `across`.
    """
    usable, left_out = _usable(returns, ruined)
    _check(returns, benchmark, replications, level)
    growth = {name: np.log1p(r) for name, r in usable.items()}
    steps = next((len(x) for x in growth.values()), 0)
    if steps < FEWEST_STEPS:
        why = {"reason": f"{steps} steps are too few: {FEWEST_STEPS} needed", "left_out": left_out}
        return {"spa": why, "stepm": dict(why), "mcs": dict(why)}
    if mean_block is None:
        every = np.stack(list(growth.values()))
        base = growth.get(benchmark, every.mean(axis=0))
        # Growth, as in the differences of a run: volatility clusters for longer than it depends.
        mean_block = bootstrap.block_length(every - base, squares=False)
    facts = {"replications": int(replications), "mean_block": int(mean_block), "steps": steps}
    spa, stepm = _against(growth, benchmark, left_out, facts, seed, level)
    return {"spa": spa, "stepm": stepm, "mcs": _confidence_set(growth, left_out, facts, seed)}


def _usable(
    series: Mapping[str, Float], ruined: Collection[str]
) -> tuple[dict[str, Float], dict[str, str]]:
    """One series a strategy, and why some have none."""
    usable: dict[str, Float] = {}
    left_out: dict[str, str] = {}
    for name, returns in series.items():
        seeds = np.atleast_2d(np.asarray(returns, dtype=np.float64))
        if not np.isfinite(seeds).all():
            left_out[name] = UNDEFINED
        elif name in ruined or (seeds <= -1.0).any():
            left_out[name] = RUINED
        else:
            usable[name] = seeds.mean(axis=0)
    lengths = {name: len(x) for name, x in usable.items()}
    if len(set(lengths.values())) > 1:
        raise InputError(
            f"the strategies must share their dates, but have lengths {lengths}; "
            "evaluate all on one window"
        )
    return usable, left_out


def _check(series: Mapping[str, Float], benchmark: str, replications: int, level: float) -> None:
    bootstrap.check_replications(replications)
    if not 0 < level < 1:
        raise InputError(f"level must lie in (0, 1), got {level}; 0.95 is usual")
    if benchmark not in series:
        raise InputError(
            f"benchmark {benchmark!r} is none of the strategies: {', '.join(series) or 'none'}"
        )


def _against(
    growth: Mapping[str, Float],
    benchmark: str,
    left_out: dict[str, str],
    facts: dict[str, int],
    seed: int,
    level: float,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """SPA and StepM of all others against the benchmark strategy."""
    from arch.bootstrap import SPA

    left_out = dict(left_out)
    ahead = {}
    for name, x in growth.items():
        if name == benchmark or benchmark not in growth:
            continue
        if (difference := x - growth[benchmark]).std() <= RESOLUTION:
            left_out[name] = f"differs from {benchmark} by the same amount on every date"
        else:
            ahead[name] = difference
    if not ahead:
        why = "no strategy to compare with it"
        if benchmark in left_out:
            why = left_out[benchmark]
        reason = {"reason": f"{benchmark}: {why}", "left_out": left_out}
        return reason, dict(reason)
    names = list(ahead)
    d = np.stack(list(ahead.values()), axis=1)
    scaled = d / np.sqrt(bootstrap_variance(d, facts["mean_block"]))
    spa = SPA(
        np.zeros(len(d)),
        -scaled,
        block_size=facts["mean_block"],
        reps=facts["replications"],
        seed=seed,
    )
    spa.compute()
    p = {f"p_{kind}": float(x) for kind, x in spa.pvalues.items()}
    best = names[int(scaled.mean(axis=0).argmax())]
    # arch's own StepM stops with an error once every strategy is found better in several rounds.
    left = np.ones(len(names), dtype=np.bool_)
    while len(found := spa.better_models(1 - level)):
        left[found] = False
        if not left.any():
            break
        spa.subset(left)
        spa.compute()
    better = [name for name, stays in zip(names, left, strict=True) if not stays]
    shared = {"benchmark": benchmark, "compared": names, **facts, "left_out": left_out}
    return {**p, "best": best, **shared}, {"better": better, "level": level, **shared}


def bootstrap_variance(x: Float, mean_block: int) -> Float:
    """`[K]`: n times the variance that the stationary bootstrap gives to the means of `[n, K]`.

    Source: Politis and Romano (1994), lemma 1; Hansen (2005) studentises by it.
    """
    n = len(x)
    spectrum = np.fft.rfft(x - x.mean(axis=0), 2 * n, axis=0)
    covariance = np.fft.irfft(np.abs(spectrum) ** 2, 2 * n, axis=0)[:n] / n
    lag, stay = np.arange(1, n), 1.0 - 1.0 / mean_block
    weight = (1 - lag / n) * stay**lag + lag / n * stay ** (n - lag)
    return np.asarray(covariance[0] + 2 * weight @ covariance[1:])


def _confidence_set(
    growth: Mapping[str, Float], left_out: dict[str, str], facts: dict[str, int], seed: int
) -> dict[str, Any]:
    """The model confidence set; strategies with equal returns enter once."""
    left_out, same_as = dict(left_out), {}
    kept: dict[str, Float] = {}
    # The better of two that differ by a constant comes first, and stays.
    for name in sorted(growth, key=lambda name: -growth[name].mean()):
        twin = _twin(growth[name], kept)
        if twin is None:
            kept[name] = growth[name]
        elif np.abs(growth[name] - growth[twin]).max() <= RESOLUTION:
            same_as[name] = twin
        else:
            left_out[name] = f"behind {twin} by the same amount on every date"
    if len(kept) < 2:
        return {"reason": "needs two strategies that differ", "left_out": left_out}
    x = np.stack(list(kept.values()), axis=1)
    drawn = _resampled_means(x, facts["mean_block"], facts["replications"], seed)
    p = dict(zip(kept, _set_p_values(x.mean(axis=0), drawn).tolist(), strict=True))
    p |= {name: p[twin] for name, twin in same_as.items()}
    p = {name: p[name] for name in growth if name in p}
    inside = {f"set_{at}": [x for x in p if p[x] > 1 - at / 100] for at in (95, 90)}
    return {"p_values": p, **inside, "same_as": same_as, **facts, "left_out": left_out}


def _resampled_means(x: Float, mean_block: int, replications: int, seed: int) -> Float:
    """`[R, K]` means of the columns of `[n, K]` in resampled histories."""
    chunk = max(1, bootstrap.CHUNK_ELEMENTS // x.size)
    draws = bootstrap.index_chunks(len(x), mean_block, replications, seed, chunk)
    return np.concatenate([x[index].mean(axis=1) for index in draws])


def _set_p_values(mean: Float, drawn: Float) -> Float:
    """`[K]`: the largest test size at which each strategy stays in the set (range statistic).

    Which strategy leaves next does not depend on the draws, so the order comes first; the range
    over nested sets then grows by one strategy at a time, from the last one to stay. The same as
    arch's `MCS(method="R")`, without its `[R, K, K]` array, and with ties between equal means.

    Args:
        mean: `[K]` growth of each strategy; no two may differ by a constant.
        drawn: `[R, K]` the same in resampled histories.
    """
    n = len(mean)
    error = drawn - mean
    # Not from covariances: strategies that hardly differ would lose all digits.
    deviation = np.stack([np.sqrt(((error - x[:, None]) ** 2).mean(axis=0)) for x in error.T])
    deviation[deviation == 0.0] = 1.0
    behind = (mean[None, :] - mean[:, None]) / deviation
    staying = np.ones(n, dtype=np.bool_)
    leaving, statistics = [], []
    for _ in range(n - 1):
        worst = np.where(staying[:, None] & staying, behind, -np.inf).max(axis=1)
        leaving.append(int(worst.argmax()))
        statistics.append(worst.max())
        staying[leaving[-1]] = False
    inside = [int(staying.argmax())]
    p = np.ones(n)
    widest = np.zeros(len(error))
    for name, statistic in zip(reversed(leaving), reversed(statistics), strict=True):
        gaps = np.abs(error[:, inside] - error[:, [name]]) / deviation[name, inside]
        widest = np.maximum(widest, gaps.max(axis=1))
        p[name] = np.mean(widest > statistic)
        inside.append(name)
    # Who leaves later is not less surely in the set than who left before.
    p[leaving] = np.maximum.accumulate(p[leaving])
    return p


def _twin(x: Float, kept: Mapping[str, Float]) -> str | None:
    if not kept:
        return None
    others = np.stack(list(kept.values()))
    equal: NDArray[np.bool_] = (others - x).std(axis=1) <= RESOLUTION
    return list(kept)[int(equal.argmax())] if equal.any() else None
