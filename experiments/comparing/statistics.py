"""Statistics across rows on the dates they share: ranks, differences, probabilities of improvement.

Two kinds of luck are in every figure. **Dates** are resampled in blocks (stationary bootstrap), the
same for all rows, so that what moves all of them cancels. **Seeds** are another sample: for ranks
and probabilities of improvement they are drawn anew within each row; in the interval of a
difference the error of the mean over seeds (Welch) is added to the studentised one over dates, as
half-widths whose squares add (Zou and Donner 2008, for sums of independent estimates). A row with
a single seed adds nothing, because nothing is known of its luck.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from experiments.comparing.gap import Gap
from experiments.evaluation import bootstrap
from experiments.evaluation import bootstrap_kernels as kernels
from experiments.evaluation.estimates import in_growth
from experiments.evaluation.intervals import holm
from experiments.evaluation.metrics import BY_NAME, Float, Steps
from experiments.evaluation.splits import date_text

if TYPE_CHECKING:
    from agents.rollout import Trajectory
    from experiments.comparing.rows import Row

FEWEST_STEPS = 20
# Of so many histories ranks are sure; corrected p-values of many pairs need more.
MOST_RANKED = 1000
# Draws of seeds for the interval of a probability of improvement.
SEED_DRAWS = 2000
ONE_SEED = "one seed each: no interval over seeds"


@dataclass(frozen=True)
class Standing:
    """Where a row stands among all, by one measure; 1 is the best.

    Attributes:
        observed: rank on the days as they came, ties shared.
        mean, low, high: of the rank over resampled dates and seeds.
        first: share of these in which it was the best; ties shared.
    """

    observed: float
    mean: float
    low: float
    high: float
    first: float


@dataclass(frozen=True)
class Pair:
    """One row less another, on the same dates.

    Attributes:
        value: difference of the means over seeds.
        low, high: its interval over dates and seeds.
        p_value: two-sided, of no difference; p_holm: corrected for all pairs (Holm 1979).
        improvement: P(A > B), the probability that a random seed of A beats a random seed of B in
            the same resampled history (Agarwal et al. 2021), ties count half.
        improvement_low, improvement_high: its interval over seeds; None where both have one.
        improvement_observed: the same on the days as they came.
    """

    value: float
    low: float
    high: float
    p_value: float
    p_holm: float
    improvement: float
    improvement_low: float | None
    improvement_high: float | None
    improvement_observed: float

    @property
    def reason(self) -> str:
        """Why an interval is None; empty otherwise."""
        return ONE_SEED if self.improvement_low is None else ""


@dataclass(frozen=True)
class Statistics:
    """What is said of all rows together.

    Attributes:
        measure: name of the measure by which all is judged.
        first, last, steps: the dates that all rows share.
        settings: `replications, mean_block, level, seed`.
        standings: by row; None for a row that is left out (`notes` say why).
        pairs: `(a, b)` -> row a less row b, for a < b.
    """

    measure: str
    first: str
    last: str
    steps: int
    settings: dict[str, Any]
    standings: list[Standing | None]
    pairs: dict[tuple[int, int], Pair]
    notes: list[str] = field(default_factory=list)

    def improvement(self, a: int, b: int) -> float | None:
        """P(row a > row b); None for a row that is left out, or itself."""
        if (a, b) in self.pairs:
            return self.pairs[a, b].improvement
        return 1.0 - self.pairs[b, a].improvement if (b, a) in self.pairs else None

    @property
    def best(self) -> int | None:
        """The row with the best observed rank; the first of equals."""
        known = [(s.observed, i) for i, s in enumerate(self.standings) if s is not None]
        return min(known)[1] if known else None


def across(
    rows: Sequence[Row], measure: str = "sharpe", *, replications: int, level: float, seed: int = 0
) -> Statistics | None:
    """Ranks, differences and probabilities of improvement of these rows on their common dates.

    Args:
        rows: at least two are needed for a comparison; with fewer, and where fewer than 20 dates
            are common, the answer is None.
        measure: one of `COMPARED`; more is better.
        replications: resampled histories.
        level: of the intervals.
        seed: of the draws; equal seeds give equal bits.
    """
    metric, notes = BY_NAME[measure], []
    kept: list[int] = []
    for i, row in enumerate(rows):
        why = ""
        if row.evidence.strategies[row.strategy].metrics[measure].value is None:
            why = f"has no {metric.label}: {metric.undefined}"
        if row.ruined or row.bound:
            why = "was ruined" if row.ruined else "was chosen with the test window in view"
        per_year = steps_a_year(row)
        if not why and kept and per_year != (usual := steps_a_year(rows[kept[0]])):
            why = f"counts {per_year:g} steps a year, not {usual:g} as {kept[0] + 1}"
        if why:
            notes.append(f"{i + 1} {row.title} {why}; it is not ranked and not compared in pairs")
        else:
            kept.append(i)
    if len(kept) < 2:
        return None
    steps, common = common_steps([rows[i].trajectories for i in kept])
    if len(common) < FEWEST_STEPS:
        return None
    for i in kept:
        own = len(rows[i].trajectories[0].dates)
        if own > len(common):
            notes.append(
                f"{i + 1} {rows[i].title}: {len(common):,} of its {own:,} steps are from and to "
                "the same dates in all rows; ranks and pairs are of these alone"
            )
    # Equal growth is tested by its logarithm, as in a run.
    tested = "mean_log_return" if measure == "cagr" else measure
    j, c = kernels.VALUES.index(tested), kernels.PAIRED.index(tested)
    returns = np.stack([s.net_return.mean(axis=0) for s in steps])
    block = bootstrap.block_length(returns, squares=False)
    draw = partial(bootstrap.resample, mean_block=block, seed=seed)
    places = [(a, b) for a in range(len(kept)) for b in range(a + 1, len(kept))]
    drawn = draw(steps, replications=replications, pairs=places)
    # The same dates once more, now every seed by itself.
    sizes = [len(s.net_return) for s in steps]
    alone = [one for s in steps for one in _seeds(s)]
    each = draw(alone, replications=min(replications, MOST_RANKED)).values[:, j]
    draws = np.split(each, np.cumsum(sizes)[:-1])
    if not np.isfinite(each).all():
        return None
    observed = [np.asarray(BY_NAME[tested].compute(s)) for s in steps]
    rng = np.random.default_rng([seed, 1])
    means = np.stack([_drawn_means(d, rng) for d in draws])
    standings: list[Standing | None] = [None] * len(rows)
    values = np.array([o.mean() for o in observed])
    for i, standing in zip(kept, rank(values, means, level), strict=True):
        standings[i] = standing
    pairs = {}
    for k, (a, b) in enumerate(places):
        gap = Gap(
            value=float(values[a] - values[b]),
            error=float(drawn.observed_pair_errors[k, c]),
            draws=drawn.values[a, j] - drawn.values[b, j],
            errors=drawn.pair_errors[k, c],
            seeds=(observed[a], observed[b]),
        )
        low, high = gap.interval(level)
        value = gap.value
        if measure == "cagr":
            base = float(np.expm1(values[b]))
            value, low, high = (in_growth(x, base) for x in (value, low, high))
        chance, edges = improvement(
            draws[a], draws[b], level, np.random.default_rng([seed, 2, a, b])
        )
        pairs[kept[a], kept[b]] = Pair(
            value=value,
            low=low,
            high=high,
            p_value=gap.p_value(),
            p_holm=1.0,
            improvement=chance,
            improvement_low=edges[0],
            improvement_high=edges[1],
            improvement_observed=float(wins(observed[a][:, None], observed[b][:, None]).mean()),
        )
    corrected = holm([pair.p_value for pair in pairs.values()])
    pairs = {
        at: replace(pair, p_holm=float(p or 0.0))
        for (at, pair), p in zip(pairs.items(), corrected, strict=True)
    }
    settings = {"replications": replications, "mean_block": block, "level": level, "seed": seed}
    first, last = date_text(common, 0), date_text(common, -1)
    return Statistics(measure, first, last, len(common), settings, standings, pairs, notes)


def common_steps(groups: Sequence[Sequence[Trajectory]]) -> tuple[list[Steps], NDArray[Any]]:
    """The seeds of every row `[S, n]` on the steps that all rows share, and their dates.

    A step is the same where it was decided and ended on the same dates: from Friday to Monday is
    another one than from Sunday to Monday. Ruined runs, which end early, do not belong here.
    """
    common, decided = groups[0][0].dates, groups[0][0].decision_dates
    for t in (t for group in groups for t in group):
        at = np.minimum(np.searchsorted(t.dates, common), len(t.dates) - 1)
        same = (t.dates[at] == common) & (t.decision_dates[at] == decided)
        common, decided = common[same], decided[same]
    out = []
    for group in groups:
        net, cash, turnover, cost, active = (
            np.stack([_on_dates(t, getattr(t, key), common) for t in group])
            for key in ("net_return", "cash_return", "turnover", "total_cost", "active_share")
        )
        out.append(Steps(net, cash, turnover, cost, active, group[0].periods_per_year))
    return out, common


def steps_a_year(row: Row) -> float:
    """For annualisation."""
    return row.evidence.window["periods_per_year"]


def _on_dates(t: Trajectory, series: Any, common: NDArray[Any]) -> Float:
    whole = np.broadcast_to(series, t.dates.shape)
    return np.asarray(whole[np.isin(t.dates, common)], dtype=np.float64)


def _seeds(steps: Steps) -> list[Steps]:
    """Every seed as a strategy of its own."""
    own = [np.array([k]) for k in range(len(steps.net_return))]
    return [
        Steps(
            steps.net_return[k],
            steps.cash_return[k],
            steps.turnover[k],
            steps.cost[k],
            steps.active_share[k],
            steps.periods_per_year,
        )
        for k in own
    ]


def _drawn_means(draws: Float, rng: np.random.Generator) -> Float:
    """`[R]` means over seeds that are drawn with replacement in each replication of `[S, R]`."""
    count, replications = draws.shape
    chosen = rng.integers(count, size=(count, replications))
    return np.asarray(np.take_along_axis(draws, chosen, axis=0).mean(axis=0))


def rank(observed: Float, draws: Float, level: float) -> list[Standing]:
    """Standings from scores, of which more is better: `[K]` as observed, `[K, R]` resampled."""
    from scipy.stats import rankdata

    seen, ranks = rankdata(-observed), rankdata(-draws, axis=0)
    top = draws == draws.max(axis=0)
    first = (top / top.sum(axis=0)).mean(axis=1)
    # Of ranks that occurred, not of fractions between them.
    ends = [(1 - level) / 2, (1 + level) / 2]
    edges = np.quantile(ranks, ends, axis=1, method="inverted_cdf").T
    return [
        Standing(float(s), float(r.mean()), float(low), float(high), float(f))
        for s, r, (low, high), f in zip(seen, ranks, edges, first, strict=True)
    ]


def wins(ours: Float, theirs: Float) -> Float:
    """`[A, B]` share of the replications `[A, R]`, `[B, R]` won by each seed of ours; ties half."""
    a, b = ours[:, None, :], theirs[None, :, :]
    return np.asarray((a > b).mean(axis=-1) + 0.5 * (a == b).mean(axis=-1))


def improvement(
    ours: Float, theirs: Float, level: float, rng: np.random.Generator
) -> tuple[float, tuple[float, float] | tuple[None, None]]:
    """P(ours > theirs) from `[A, R]` and `[B, R]`, and its interval over seeds, if there are some.

    Source: Agarwal et al. (2021), Deep RL at the Edge of the Statistical Precipice, for one task;
    seeds are drawn anew within each of the two.
    """
    table = wins(ours, theirs)
    a, b = table.shape
    if a == b == 1:
        return float(table[0, 0]), (None, None)
    mine = rng.integers(a, size=(SEED_DRAWS, a))
    other = rng.integers(b, size=(SEED_DRAWS, b))
    drawn = table[mine[:, :, None], other[:, None, :]].mean(axis=(1, 2))
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return float(table.mean()), (float(low), float(high))
