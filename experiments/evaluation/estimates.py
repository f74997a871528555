"""One measure of one strategy, and of one strategy less another, with what is sure about them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from experiments.evaluation.bootstrap import Resampled
from experiments.evaluation.bootstrap_kernels import PAIRED, SCALES, VALUES
from experiments.evaluation.intervals import (
    holm,
    p_value,
    percentile_interval,
    studentised_interval,
)
from experiments.evaluation.metrics import BY_NAME, Float, Metric, Steps

# What an agent is compared by: the two ways to say growth, and growth for the risk taken.
COMPARED = ("cagr", *PAIRED)
NO_INTERVAL_RUIN = "a ruined run has no interval: resampling repeats or forgets the ruin"
NO_INTERVAL_UNDEFINED = "undefined in some resampled histories"
# A corrected p-value above it is no finding.
CHANCE = 0.05
# What is left of the seeds after a quarter on each side (Agarwal et al. 2021).
QUARTER = 4


@dataclass(frozen=True)
class Estimate:
    """One measure of one strategy: the mean over its seeds, and how sure that is.

    Attributes:
        value: mean over seeds; None where undefined (`reason` says why).
        low, high: bootstrap interval over dates, drawn for all seeds together; None: see `reason`.
        seeds: the measure of each seed; None where undefined.
        reason: why something is None; empty otherwise.
        iqm: interquartile mean over seeds (Agarwal et al. 2021); None with one seed.
        iqm_low, iqm_high: its interval, with seeds drawn anew within the strategy and dates drawn
            jointly; None as for `low`, and with one seed.
    """

    value: float | None
    low: float | None
    high: float | None
    seeds: list[float | None]
    reason: str = ""
    iqm: float | None = None
    iqm_low: float | None = None
    iqm_high: float | None = None

    @property
    def spread(self) -> tuple[float, float, float] | None:
        """`(min, max, standard deviation)` over seeds; None for one seed or an undefined value."""
        known = [x for x in self.seeds if x is not None]
        if len(known) < 2 or len(known) < len(self.seeds):
            return None
        return min(known), max(known), float(np.std(known, ddof=1))


@dataclass(frozen=True)
class Difference:
    """Agent less baseline in one measure, on the same dates.

    Attributes:
        agent: in a run without agents, the baseline that is compared with the first one.
        low, high: bootstrap interval; None as `reason` says.
        share_above_zero: share of replications in which the agent was ahead.
        seeds_above_zero: share of the agent's seeds that were ahead on the dates as they came.
        p_value: two-sided, of no difference; None without an interval.
        p_holm: the same, corrected (Holm 1979) for all pairs of agent and baseline of the measure
            but those with a bound, which have None.
    """

    agent: str
    baseline: str
    measure: str
    value: float | None
    low: float | None
    high: float | None
    share_above_zero: float | None
    seeds_above_zero: float | None
    reason: str = ""
    p_value: float | None = None
    p_holm: float | None = None

    @property
    def verdict(self) -> str:
        """ "better", "worse", "unclear" (the interval contains zero) or "no interval"."""
        if self.low is None or self.high is None:
            return "no interval"
        if self.low > 0:
            return "better"
        return "worse" if self.high < 0 else "unclear"

    @property
    def standing(self) -> str:
        """What is left of the verdict when the number of comparisons is counted in: "if alone"
        stands behind it where the corrected p-value takes it back."""
        sure = self.p_holm is None or self.p_holm <= CHANCE
        return self.verdict if sure or self.verdict == "unclear" else f"{self.verdict} if alone"


def interquartile_mean(seeds: Float) -> float:
    """Mean of the middle half: a quarter of the values, rounded down, is cut off on each side."""
    cut = len(seeds) // QUARTER
    return float(np.mean(np.sort(seeds)[cut : len(seeds) - cut]))


def estimate(
    metric: Metric, steps: Steps, drawn: Resampled, k: int, level: float, ruined: bool
) -> Estimate:
    """A measure of the strategy at position `k` of `drawn`.

    Args:
        metric: of the catalogue.
        steps: of the strategy, `[S, n]`.
        drawn: the resampled histories of all strategies.
        k: position of the strategy in them.
        level: of the interval.
        ruined: whether any of its seeds was: then there is no interval.
    """
    each = metric.compute(steps)
    value = _number(each.mean())
    seeds = [_number(x) for x in each]
    several = len(seeds) > 1
    middle = _number(interquartile_mean(each)) if several else None
    if value is None or ruined:
        why = metric.undefined if value is None else NO_INTERVAL_RUIN
        return Estimate(value, None, None, seeds, why, middle)
    j = VALUES.index(metric.name)
    draws = drawn.values[k, j]
    if j < len(SCALES):
        error, errors = float(drawn.observed_errors[k, j]), drawn.errors[k, j]
        interval = studentised_interval(value, error, draws, errors, level, SCALES[j])
    else:
        interval = percentile_interval(draws, level)
    low, high = interval or (None, None)
    around = percentile_interval(drawn.trimmed[k, j], level) if several else None
    iqm_low, iqm_high = around or (None, None)
    reason = "" if interval else NO_INTERVAL_UNDEFINED
    return Estimate(value, low, high, seeds, reason, middle, iqm_low, iqm_high)


def difference(
    names: tuple[str, str],
    measure: str,
    steps: tuple[Steps, Steps],
    drawn: Resampled,
    positions: tuple[int, int, int],
    level: float,
    ruined: bool,
) -> Difference:
    """One strategy less another in one measure, without the correction for many.

    Args:
        names: of the two.
        measure: one of `COMPARED`.
        steps: of the two, on the same dates.
        drawn: the resampled histories of all strategies.
        positions: of the two in them, and of the pair.
        level: of the interval.
        ruined: whether any seed of either was.
    """
    metric = BY_NAME[measure]
    ours, theirs = metric.compute(steps[0]), metric.compute(steps[1]).mean()
    value = _number(ours.mean() - theirs)
    if value is None:
        return Difference(*names, measure, None, None, None, None, None, metric.undefined)
    ahead = float(np.mean(ours > theirs))
    if ruined:
        return Difference(*names, measure, value, None, None, None, ahead, NO_INTERVAL_RUIN)
    if measure == "cagr":
        logs = difference(names, "mean_log_return", steps, drawn, positions, level, ruined)
        base = float(np.expm1(BY_NAME["mean_log_return"].compute(steps[1]).mean()))
        told = [
            None if x is None else in_growth(x, base) for x in (logs.value, logs.low, logs.high)
        ]
        return replace(logs, measure=measure, value=told[0], low=told[1], high=told[2])
    j, c = VALUES.index(measure), PAIRED.index(measure)
    one, other, pair = positions
    gap, errors = drawn.values[one, j] - drawn.values[other, j], drawn.pair_errors[pair, c]
    error = float(drawn.observed_pair_errors[pair, c])
    interval = studentised_interval(value, error, gap, errors, level)
    if interval is None:
        return Difference(*names, measure, value, None, None, None, ahead, NO_INTERVAL_UNDEFINED)
    above = float(np.mean(gap > 0))
    p = p_value(value, error, gap, errors)
    return Difference(*names, measure, value, *interval, above, ahead, p_value=p)


def in_growth(gap: float, growth: float) -> float:
    """A difference of log growth a year in terms of growth a year, beside one that grows by
    `growth`.

    Of several seeds both are geometric means: value, interval and p are of one statistic, and
    whoever grows faster in one grows faster in the other. The difference of growth itself is not
    tested: it weighs resampled histories by how rich both became in them, and finds little where
    growth is strong.
    """
    return float((1.0 + growth) * np.expm1(gap))


def corrected(differences: list[Difference], bounds: Collection[str] = ()) -> list[Difference]:
    """The same with `p_holm`: corrected for all pairs of a measure.

    Args:
        bounds: strategies that were chosen with the test window in view. Nobody is to be told from
            them, so pairs with one are not counted, and have none.
    """
    of: dict[str, list[int]] = {}
    for i, d in enumerate(differences):
        if d.agent not in bounds and d.baseline not in bounds:
            of.setdefault(d.measure, []).append(i)
    out = list(differences)
    for places in of.values():
        for i, p in zip(places, holm([differences[i].p_value for i in places]), strict=True):
            out[i] = replace(out[i], p_holm=p)
    return out


def _number(x: Any) -> float | None:
    return float(x) if np.isfinite(x) else None
