"""`evaluate`: from trajectories to `Evidence`, the content of `metrics.json`."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from agents.rollout import Trajectory
from envs.errors import InputError
from experiments.evaluation import bootstrap, multiple
from experiments.evaluation.alpha import Alpha
from experiments.evaluation.metrics import BY_NAME, METRICS, Float, Steps
from experiments.evaluation.skill import Skill, Trials
from experiments.evaluation.splits import date_text

FORMAT = 2
BENCHMARK = "benchmark"
# What an agent is compared by: the two ways to say growth, and growth for the risk taken.
COMPARED = ("cagr", "mean_log_return", "sharpe")
MOST_DRAWS = 10_000
NO_INTERVAL_RUIN = "a ruined run has no interval: resampling repeats or forgets the ruin"
NO_INTERVAL_UNDEFINED = "undefined in some resampled histories"


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
class StrategyEvidence:
    """All measures of one strategy.

    Attributes:
        role: "agent", "baseline" or "benchmark".
        seeds: of the training runs; None for a strategy that is not trained.
        ruined: whether each seed was ruined.
        metrics: name -> estimate, in the order of the catalogue.
        skill: what the Sharpe ratio is worth; None for a ruined strategy.
        alpha: against the benchmark index (equal weight where there is none), and against factors
            where they were given.
        hindsight: whether it was chosen with the test window in view (the best stock, the best
            constant weights): a bound, not a competitor.
    """

    role: str
    seeds: list[int | None]
    ruined: list[bool]
    metrics: dict[str, Estimate]
    skill: Skill | None = None
    alpha: list[Alpha] = field(default_factory=list)
    hindsight: bool = False


@dataclass(frozen=True)
class Difference:
    """Agent less baseline in one measure, on the same dates.

    Attributes:
        agent: in a run without agents, the baseline that is compared with the first one.
        low, high: bootstrap interval; None as `reason` says.
        share_above_zero: share of replications in which the agent was ahead.
        seeds_above_zero: share of the agent's seeds that were ahead on the dates as they came.
        p_value: two-sided, of no difference; None without an interval.
        p_holm: the same, corrected (Holm 1979) for all pairs of agent and baseline of the measure.
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
        """Plain words: "better", "worse" or "not distinguishable from zero"."""
        if self.low is None or self.high is None:
            return "no interval"
        if self.low > 0:
            return "better"
        return "worse" if self.high < 0 else "not distinguishable from zero"


@dataclass(frozen=True)
class Evidence:
    """What is known about every strategy of a run; JSON by `write`, and back by `read`.

    Attributes:
        window: `first_decision, first, last` (days, for bars with the time),
            `steps`, `periods_per_year`.
        bootstrap: `method, replications, mean_block, level, seed`.
        strategies: name -> measures; agents, then baselines, then the benchmark.
        differences: every agent against every baseline, without agents every baseline against the
            first; the benchmark pays no costs and is not compared.
        notes: what a reader must know about the numbers, in plain words.
        trials: `count, sharpe_variance, source`: how many strategies were tried, for `skill.dsr`.
        tests: of the whole set: `pbo, spa, stepm, mcs`, each with its figures or a `reason`.
    """

    window: dict[str, Any]
    bootstrap: dict[str, Any]
    strategies: dict[str, StrategyEvidence]
    differences: list[Difference]
    notes: list[str] = field(default_factory=list)
    trials: dict[str, Any] = field(default_factory=dict)
    tests: dict[str, Any] = field(default_factory=dict)

    def of_role(self, role: str) -> list[str]:
        """Names of the strategies of a role, in table order."""
        return [name for name, s in self.strategies.items() if s.role == role]

    @property
    def compared(self) -> list[str]:
        """Who is on the left side of the differences: agents, or without agents the baselines."""
        return list(dict.fromkeys(d.agent for d in self.differences))

    def difference(self, agent: str, baseline: str, measure: str) -> Difference | None:
        """The comparison of the two, or None if it was not made."""
        key = (agent, baseline, measure)
        return next((d for d in self.differences if (d.agent, d.baseline, d.measure) == key), None)

    def as_dict(self) -> dict[str, Any]:
        """Plain dict for JSON: no NaN, no timings; equal inputs give equal dicts."""
        return {"format": FORMAT, **asdict(self)}

    def write(self, path: Path | str) -> None:
        """Writes `metrics.json`; floats round-trip exactly."""
        text = json.dumps(self.as_dict(), indent=1, allow_nan=False) + "\n"
        Path(path).write_text(text, encoding="utf-8")

    @staticmethod
    def read(path: Path | str) -> Evidence:
        """Reads what `write` wrote.

        Raises:
            InputError: for a missing or broken file, or one of another format.
        """
        try:
            raw = json.loads(Path(path).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise InputError(f"{path}: no such file; is the run complete?") from None
        except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
            raise InputError(f"{path}: not readable as JSON ({error}); run it again") from None
        found = raw.get("format") if isinstance(raw, dict) else None
        if found != FORMAT:
            raise InputError(
                f"{path}: format {found!r}, this version reads {FORMAT}; run it again, or use the "
                "version that wrote it"
            )
        try:
            return Evidence(
                raw["window"],
                raw["bootstrap"],
                {name: _read_strategy(s) for name, s in raw["strategies"].items()},
                [Difference(**d) for d in raw["differences"]],
                raw["notes"],
                raw["trials"],
                raw["tests"],
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{path}: incomplete ({error}); run it again") from None


def _read_strategy(raw: dict[str, Any]) -> StrategyEvidence:
    parts = {
        "metrics": {k: Estimate(**e) for k, e in raw["metrics"].items()},
        "skill": None if raw["skill"] is None else Skill(**raw["skill"]),
        "alpha": [Alpha(**a) for a in raw["alpha"]],
    }
    return StrategyEvidence(**{**raw, **parts})


def evaluate(
    trajectories: Mapping[str, Sequence[Trajectory]],
    *,
    baselines: Sequence[str],
    agents: Sequence[str],
    seed: int = 0,
    n_bootstrap: int = 1000,
    level: float = 0.95,
    progress: Callable[[int], None] | None = None,
    trials: Trials | None = None,
    hindsight: Collection[str] = (),
) -> Evidence:
    """Measures every strategy on common dates and compares each agent with each baseline.

    Args:
        trajectories: name -> one trajectory a seed (one only for a strategy that is not trained).
        baselines, agents: their names, in table order; "benchmark" may be there beside them.
        seed: of the bootstrap.
        n_bootstrap: replications.
        level: of the intervals, in (0, 1).
        progress: called with the number of replications done.
        trials: how many strategies were tried, for the deflated Sharpe ratio; default: one.
        hindsight: names of strategies that were chosen with the test window in view.

    Raises:
        InputError: a name without trajectories, no common dates, strategies that are all ruined at
            once, a level outside (0, 1), or a number of replications outside its range.
    """
    bootstrap.check_replications(n_bootstrap)
    if not 0 < level < 1:
        raise InputError(f"level must lie in (0, 1), got {level}; 0.95 is usual")
    named = [BENCHMARK] if BENCHMARK in trajectories else []
    roles = dict.fromkeys(agents, "agent") | dict.fromkeys(baselines, "baseline")
    roles |= dict.fromkeys(named, "benchmark")
    missing = [name for name in roles if not trajectories.get(name)]
    if missing or not roles:
        raise InputError(
            f"no trajectories for {', '.join(missing) or 'any strategy'}; "
            f"there are: {', '.join(trajectories) or 'none'}"
        )
    _check_not_all_ruined([t for name in roles if name not in named for t in trajectories[name]])
    steps, window, notes = _align({name: trajectories[name] for name in roles})
    if window["steps"] < bootstrap.FEW_STEPS:
        notes.append(
            f"{window['steps']} steps are few: below {bootstrap.FEW_STEPS}, the intervals are "
            "somewhat too narrow, and a difference that they call better or worse is less sure"
        )
    stacked = list(steps.values())
    mean_block = bootstrap.block_length(np.stack([s.net_return.mean(axis=0) for s in stacked]))
    draws = bootstrap.bootstrap_measures(
        stacked,
        METRICS,
        replications=n_bootstrap,
        mean_block=mean_block,
        seed=seed,
        progress=progress,
    )
    strategies: dict[str, StrategyEvidence] = {}
    for k, (name, series) in enumerate(steps.items()):
        runs = trajectories[name]
        ruined = [bool(t.ruined) for t in runs]
        strategies[name] = StrategyEvidence(
            role=roles[name],
            seeds=[t.seed for t in runs],
            ruined=ruined,
            metrics={
                m.name: _estimate(m.compute(series), draws[k, j], level, m.undefined, any(ruined))
                for j, m in enumerate(METRICS)
            },
            hindsight=name in hindsight,
        )
    differences = [
        _difference(agent, other, measure, strategies, steps, draws, level)
        for agent, other in compared_pairs(agents, baselines)
        for measure in COMPARED
    ]
    settings = {
        "method": "stationary",
        "interval": "percentile",
        "replications": n_bootstrap,
        "mean_block": mean_block,
        "level": level,
        "seed": seed,
    }
    counted = asdict(trials or Trials())
    tests = _tests(steps, strategies, seed, n_bootstrap, level)
    return Evidence(window, settings, strategies, differences, notes, counted, tests)


def _tests(
    steps: Mapping[str, Steps],
    strategies: Mapping[str, StrategyEvidence],
    seed: int,
    n_bootstrap: int,
    level: float,
) -> dict[str, Any]:
    """Tests of the whole set, against the first baseline; bounds and the index are not in it."""
    chosen = {n: s for n, s in strategies.items() if s.role != BENCHMARK and not s.hindsight}
    others = [name for name, s in chosen.items() if s.role == "baseline"]
    if not others:
        return {key: {"reason": "needs a baseline to compare with"} for key in multiple.TESTS}
    return multiple.across(
        {name: steps[name].net_return for name in chosen},
        others[0],
        cash=steps[others[0]].cash_return[0],
        seed=seed,
        # A p-value needs no more, and they are drawn one by one.
        replications=min(n_bootstrap, MOST_DRAWS),
        level=level,
        ruined=[name for name, s in chosen.items() if any(s.ruined)],
    )


def compared_pairs(agents: Sequence[str], baselines: Sequence[str]) -> list[tuple[str, str]]:
    """Who is compared with whom: agents with baselines; without agents all with the first one."""
    if not agents:
        return [(name, baselines[0]) for name in baselines[1:]]
    return [(agent, other) for agent in agents for other in baselines]


def _check_not_all_ruined(runs: Sequence[Trajectory]) -> None:
    if runs and all(t.ruined and len(t.dates) < 2 for t in runs):
        raise InputError(
            "every strategy was ruined at the first step: its value fell below env.ruin of the "
            "start; lower env.ruin or the costs, or look for a broken price in the data"
        )


def _align(
    trajectories: Mapping[str, Sequence[Trajectory]],
) -> tuple[dict[str, Steps], dict[str, Any], list[str]]:
    """Stacks the seeds of every strategy on the dates that all share; says what was left out.

    A ruined run is shorter than the window: what was left of its wealth stays as it is to the end,
    so that its yearly figures are of the same window as the others'.
    """
    notes: list[str] = []
    every = [t for runs in trajectories.values() for t in runs]
    whole = [t for t in every if not t.ruined] or [max(every, key=lambda t: len(t.dates))]
    common = whole[0].dates
    for t in whole[1:]:
        common = common[np.isin(common, t.dates)]
    if len(common) < 2:
        raise InputError(
            "the trajectories share fewer than two dates; evaluate all strategies on one window"
        )
    steps: dict[str, Steps] = {}
    for name, runs in trajectories.items():
        rows = [_on_dates(t, common, is_index=name == BENCHMARK) for t in runs]
        net, cash, turnover, cost, active = (np.stack(x) for x in zip(*rows, strict=True))
        steps[name] = Steps(net, cash, turnover, cost, active, runs[0].periods_per_year)
        for t in runs:
            label = name if t.seed is None else f"{name} (seed {t.seed})"
            if t.ruined:
                end = date_text(t.dates, -1)
                notes.append(
                    f"{label} was ruined after {len(t.dates)} of {len(common)} steps, on {end}; "
                    "its figures count nothing earned or paid afterwards; no intervals"
                )
            elif len(t.dates) != len(common):
                notes.append(
                    f"{label}: {len(common)} of its {len(t.dates)} steps are common to all "
                    "strategies; only these are measured"
                )
    row = int(np.searchsorted(whole[0].dates, common[0]))
    window = {
        "first_decision": date_text(whole[0].decision_dates, row),
        "first": date_text(common, 0),
        "last": date_text(common, -1),
        "steps": len(common),
        "periods_per_year": float(whole[0].periods_per_year),
    }
    return steps, window, notes


def _on_dates(t: Trajectory, common: Any, is_index: bool) -> tuple[Float, ...]:
    """`net_return, cash_return, turnover, cost, active_share` on the common dates."""
    keep = np.isin(t.dates, common)
    n, missing = len(t.dates), len(common) - int(keep.sum())
    active = np.full(n, np.nan) if is_index else t.active_share
    series = (t.net_return, t.cash_return, t.turnover, np.broadcast_to(t.total_cost, (n,)), active)
    if missing == 0:
        return tuple(np.ascontiguousarray(x[keep], dtype=np.float64) for x in series)
    return tuple(np.r_[x[keep], np.zeros(missing)] for x in series)


def _estimate(values: Float, draws: Float, level: float, why: str, ruined: bool) -> Estimate:
    seeds = [_number(x) for x in values]
    value = _number(values.mean())
    interval = None if value is None or ruined else bootstrap.percentile_interval(draws, level)
    low, high = interval or (None, None)
    reason = ""
    if value is None:
        reason = why
    elif interval is None:
        reason = NO_INTERVAL_RUIN if ruined else NO_INTERVAL_UNDEFINED
    return Estimate(value, low, high, seeds, reason)


def _difference(
    agent: str,
    other: str,
    measure: str,
    strategies: Mapping[str, StrategyEvidence],
    steps: Mapping[str, Steps],
    draws: Float,
    level: float,
) -> Difference:
    metric, j = BY_NAME[measure], [m.name for m in METRICS].index(measure)
    names = list(strategies)
    ours, theirs = metric.compute(steps[agent]), metric.compute(steps[other]).mean()
    value = _number(ours.mean() - theirs)
    if value is None:
        return Difference(agent, other, measure, None, None, None, None, None, metric.undefined)
    ahead = float(np.mean(ours > theirs))
    ruined = any(strategies[agent].ruined) or any(strategies[other].ruined)
    gap = draws[names.index(agent), j] - draws[names.index(other), j]
    interval = None if ruined else bootstrap.percentile_interval(gap, level)
    if interval is None:
        why = NO_INTERVAL_RUIN if ruined else NO_INTERVAL_UNDEFINED
        return Difference(agent, other, measure, value, None, None, None, ahead, why)
    above = float(np.mean(gap > 0))
    return Difference(agent, other, measure, value, *interval, above, ahead)


def _number(x: Any) -> float | None:
    return float(x) if np.isfinite(x) else None
