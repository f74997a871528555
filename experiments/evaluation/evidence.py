"""`evaluate`: from trajectories to `Evidence`, the content of `metrics.json`."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from typing_extensions import TypedDict  # the one of typing cannot be checked before Python 3.12

from agents.rollout import Trajectory
from envs.errors import InputError
from experiments.evaluation import bootstrap, multiple
from experiments.evaluation.alignment import Aligned, Window, align, check_not_all_ruined
from experiments.evaluation.alpha import Alpha, measure_alpha
from experiments.evaluation.estimates import (
    COMPARED,
    Difference,
    Estimate,
    corrected,
    difference,
    estimate,
)
from experiments.evaluation.factors import Factors
from experiments.evaluation.metrics import METRICS, Steps
from experiments.evaluation.skill import Skill, Trials, measure_skill
from experiments.run_folder import strict_json

FORMAT = 3
BENCHMARK = "benchmark"
EQUAL_WEIGHT = "equal_weight"
# What depends on how volatility clusters is drawn in blocks as long as that takes.
RISKS = ("volatility", "downside_deviation", "max_drawdown", "calmar", "cvar")
MOST_DRAWS = 10_000


class BootstrapSettings(TypedDict):
    """How the intervals were drawn; `mean_block_risk` is for `RISKS`."""

    method: str
    interval: str
    replications: int
    mean_block: int
    mean_block_risk: int
    level: float
    seed: int


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
class Evidence:
    """What is known about every strategy of a run; JSON by `write`, and back by `read`.

    Attributes:
        window, bootstrap: see `Window`, `BootstrapSettings`.
        strategies: name -> measures; agents, then baselines, then the benchmark.
        differences: every agent against every baseline, without agents every baseline against the
            first; the benchmark pays no costs and is not compared.
        notes: what a reader must know about the numbers, in plain words.
        caveats: what a reader must know about the prices and the execution, in plain words.
        trials: `count, sharpe_variance, source`: how many strategies were tried, for `skill.dsr`.
        tests: of the whole set: `pbo, spa, stepm, mcs`, each with its figures or a `reason`.
    """

    window: Window
    bootstrap: BootstrapSettings
    strategies: dict[str, StrategyEvidence]
    differences: list[Difference]
    notes: list[str] = field(default_factory=list)
    caveats: list[str] = field(default_factory=list)
    trials: Trials = field(default_factory=Trials)
    tests: dict[str, dict[str, Any]] = field(default_factory=dict)

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
        from pydantic import TypeAdapter, ValidationError

        try:
            text = Path(path).read_text(encoding="utf-8")
            raw = strict_json(text)
        except FileNotFoundError:
            raise InputError(f"{path}: no such file; is the run complete?") from None
        except (OSError, ValueError, RecursionError) as error:
            raise InputError(f"{path}: not readable as JSON ({error}); run it again") from None
        found = raw.get("format") if isinstance(raw, dict) else None
        if found != FORMAT:
            raise InputError(
                f"{path}: format {found!r}, this version reads {FORMAT}; run it again, or use the "
                "version that wrote it"
            )
        try:
            evidence = TypeAdapter(Evidence).validate_json(text, strict=True)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise InputError(f"{path}: {where}: {first['msg']}; run it again") from None
        evidence._check_whole(path)
        return evidence

    def _check_whole(self, path: Path | str) -> None:
        """Every strategy has every measure, and is there where it is compared."""
        for name, strategy in self.strategies.items():
            lost = [metric.name for metric in METRICS if metric.name not in strategy.metrics]
            if lost:
                raise InputError(f"{path}: {name} has no measure {lost[0]!r}; run it again")
        for d in self.differences:
            unknown = {d.agent, d.baseline} - set(self.strategies)
            if unknown:
                raise InputError(f"{path}: compares {min(unknown)!r}, which is not in it")


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
    factors: Factors | None = None,
    hindsight: Collection[str] = (),
    real_dates: bool = True,
    caveats: Sequence[str] = (),
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
        factors: to measure alpha against as well, where their dates overlap.
        hindsight: names of strategies that were chosen with the test window in view.
        real_dates: whether the dates are those on which something happened.
        caveats: what a reader must know about the prices and the execution.

    Raises:
        InputError: a name without trajectories, no common dates, strategies that are all ruined at
            once, a level outside (0, 1), or a number of replications outside its range.
    """
    bootstrap.check_intervals(n_bootstrap, level)
    named = [BENCHMARK] if BENCHMARK in trajectories else []
    roles = dict.fromkeys(agents, "agent") | dict.fromkeys(baselines, "baseline")
    roles |= dict.fromkeys(named, "benchmark")
    missing = [name for name in roles if not trajectories.get(name)]
    if missing or not roles:
        raise InputError(
            f"no trajectories for {', '.join(missing) or 'any strategy'}; "
            f"there are: {', '.join(trajectories) or 'none'}"
        )
    check_not_all_ruined([t for name in roles if name not in named for t in trajectories[name]])
    aligned = align({name: trajectories[name] for name in roles}, BENCHMARK, real_dates)
    steps, window, notes = aligned.steps, aligned.window, aligned.notes
    if window["steps"] < bootstrap.FEW_STEPS:
        notes.append(
            f"{window['steps']} steps are few: below {bootstrap.FEW_STEPS}, the intervals are "
            "somewhat too narrow, and a difference that they call better or worse is less sure"
        )
    notes += [
        f"{name} has one seed: there is no interval over seeds, and how much of its result is luck "
        "of training is not known"
        for name in agents
        if len(trajectories[name]) == 1
    ]
    bounds = [name for name in steps if name in hindsight]
    if bounds:
        notes.append(
            f"{', '.join(bounds)} {'was' if len(bounds) == 1 else 'were'} chosen with the test "
            "window in view: a bound, not a competitor"
        )
    names, stacked = list(steps), list(steps.values())
    nets = np.stack([s.net_return.mean(axis=0) for s in stacked])
    compared = compared_pairs(agents, baselines)
    # Blocks that are longer than a measure needs make its interval too narrow.
    mean_block = bootstrap.block_length(nets, squares=False)
    risk_block = bootstrap.block_length(nets)
    drawn = bootstrap.resample(
        stacked,
        replications=n_bootstrap,
        mean_block=mean_block,
        seed=seed,
        pairs=[(names.index(one), names.index(other)) for one, other in compared],
        progress=progress,
    )
    risks = drawn
    if risk_block != mean_block:
        risks = bootstrap.resample(
            stacked, replications=n_bootstrap, mean_block=risk_block, seed=seed
        )
    ruined = {name: [bool(t.ruined) for t in trajectories[name]] for name in names}
    counted = trials or Trials()
    strategies = {
        name: StrategyEvidence(
            role=roles[name],
            seeds=[t.seed for t in trajectories[name]],
            ruined=ruined[name],
            metrics={
                m.name: estimate(
                    m, series, risks if m.name in RISKS else drawn, k, level, any(ruined[name])
                )
                for m in METRICS
            },
            skill=None if any(ruined[name]) else _skill(series, counted),
            alpha=[] if any(ruined[name]) else _alphas(name, aligned, factors),
            hindsight=name in hindsight,
        )
        for k, (name, series) in enumerate(steps.items())
    }
    differences = [
        difference(
            (one, other),
            measure,
            (steps[one], steps[other]),
            drawn,
            (names.index(one), names.index(other), pair),
            level,
            any(ruined[one] + ruined[other]),
        )
        for pair, (one, other) in enumerate(compared)
        for measure in COMPARED
    ]
    settings: BootstrapSettings = {
        "method": "stationary",
        "interval": "studentised",
        "replications": n_bootstrap,
        "mean_block": mean_block,
        "mean_block_risk": risk_block,
        "level": level,
        "seed": seed,
    }
    tests = _tests(steps, strategies, seed, n_bootstrap, level)
    return Evidence(
        window=window,
        bootstrap=settings,
        strategies=strategies,
        differences=corrected(differences, bounds),
        notes=notes,
        caveats=list(caveats),
        trials=counted,
        tests=tests,
    )


def _skill(steps: Steps, trials: Trials) -> Skill:
    return measure_skill(steps.net_return - steps.cash_return, steps.periods_per_year, trials)


def _alphas(name: str, aligned: Aligned, factors: Factors | None) -> list[Alpha]:
    """Against the index, or equal weight where there is none, and against the factors."""
    steps, found = aligned.steps, []
    mine = steps[name]
    net = mine.net_return.mean(axis=0)
    other = next((key for key in (BENCHMARK, EQUAL_WEIGHT) if key in steps), name)
    if other != name:
        index = steps[other].net_return[0] - steps[other].cash_return[0]
        excess = (mine.net_return - mine.cash_return).mean(axis=0)
        found.append(measure_alpha(excess, index[:, None], (other,), mine.periods_per_year, other))
    if factors is not None:
        match = factors.match(aligned.decision_dates, aligned.dates, net)
        if match.reason:
            found.append(Alpha(factors.name, {}, None, None, None, None, 0, match.reason))
        else:
            found.append(
                measure_alpha(
                    match.excess,
                    match.factors,
                    factors.names,
                    match.periods_per_year,
                    factors.name,
                )
            )
    return found


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
