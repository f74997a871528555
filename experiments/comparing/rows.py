"""From run folders to the rows of the comparison: one an agent, seeds of equal runs together."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from envs.errors import InputError
from experiments.comparing.configs import (
    MOST_SHOWN,
    differing,
    in_words,
    own_settings,
    read_config,
    without_luck,
)  # fmt: skip
from experiments.comparing.folders import short_names
from experiments.comparing.origins import Origin, read_origin
from experiments.evaluation.alignment import check_finite
from experiments.evaluation.bootstrap import check_intervals
from experiments.evaluation.evidence import Difference, Evidence, evaluate
from experiments.evaluation.table import label

if TYPE_CHECKING:
    from agents.rollout import Trajectory

REFERENCE = "equal_weight"


@dataclass(frozen=True)
class Row:
    """One agent of one run, or of several that differ in their seed alone.

    Of a run without an agent: its equal weight, or all its baselines where that is missing.

    Attributes:
        runs: the folders as they are told apart from the others.
        strategy: name of the agent.
        config: what differs between the rows, `key -> value`.
        evidence: of the run; of several, of their seeds together, beside equal weight.
        trajectories: of this strategy, one a seed.
        less_reference: its growth less that of equal weight; None for equal weight itself.
        whole_config: every setting, of agents' only its own.
        fingerprint: of the data; None where it is not recorded.
        origins: where each run comes from.
        reference: trajectory of the run's own equal weight, after the run's own costs.
        known: scores against the known answer, one a seed; empty where there is none.
    """

    runs: tuple[str, ...]
    strategy: str
    config: dict[str, Any]
    evidence: Evidence
    trajectories: Sequence[Trajectory]
    less_reference: Difference | None
    whole_config: Mapping[str, Any]
    fingerprint: str | None = None
    origins: tuple[Origin, ...] = ()
    reference: Trajectory | None = None
    known: tuple[float, ...] = ()

    @property
    def run(self) -> str:
        """The folders in one word: `0`, `0, 4`, `0 … 12 (5 runs)`."""
        if len(self.runs) <= 3:
            return ", ".join(self.runs)
        return f"{self.runs[0]} … {self.runs[-1]} ({len(self.runs)} runs)"

    @property
    def seeds(self) -> int:
        """Trainings with different seeds."""
        return len(self.trajectories)

    @property
    def bound(self) -> bool:
        """Whether it was chosen with the test window in view: no competitor."""
        return self.evidence.strategies[self.strategy].hindsight

    @property
    def verdict(self) -> str:
        """On its growth against equal weight; empty where it is not compared."""
        d = self.less_reference
        return "" if d is None else "a bound" if self.bound else d.standing

    @property
    def ruined(self) -> bool:
        return any(bool(t.ruined) for t in self.trajectories)

    @property
    def special(self) -> str:
        """What differs in this row's config."""
        return in_words(self.config)

    @property
    def title(self) -> str:
        """Strategy and what is special about the run, or its folder."""
        told = 0 < len(self.config) <= MOST_SHOWN and len(self.special) <= 40
        return f"{label(self.strategy)}: {self.special if told else self.run}"


def read_rows(runs: Sequence[Path]) -> list[Row]:
    """Reads the runs; a row for each agent, and for the equal weight of a run without one.

    Raises:
        InputError: naming the file that is broken or of another version, or the trajectory that
            holds no number somewhere.
    """
    from experiments.evaluation.trajectory_store import load_trajectories

    rows: list[Row] = []
    for run, name in zip(runs, short_names(runs), strict=True):
        config = read_config(run / "config.yaml")
        evidence = Evidence.read(run / "metrics.json")
        _check_bootstrap(run / "metrics.json", evidence)
        trajectories = load_trajectories(run / "trajectories.h5")
        strategies = evidence.of_role("agent") or [REFERENCE]
        if strategies == [REFERENCE] and REFERENCE not in evidence.strategies:
            strategies = evidence.of_role("baseline")
        known, origin = _known(run), read_origin(run / "provenance.json")
        for strategy in strategies:
            if strategy not in evidence.strategies or strategy not in trajectories:
                raise InputError(
                    f"{run}: {strategy} is not in both metrics.json and trajectories.h5; "
                    "run it again"
                )
            for trajectory in trajectories[strategy]:
                check_finite(f"{run}: {strategy}", trajectory)
            learned = evidence.strategies[strategy].role == "agent"
            rows.append(
                Row(
                    runs=(name,),
                    strategy=strategy,
                    config={},
                    evidence=evidence,
                    trajectories=trajectories[strategy],
                    less_reference=evidence.difference(strategy, REFERENCE, "cagr"),
                    whole_config=own_settings(config, strategy if learned else None),
                    fingerprint=origin.fingerprint,
                    origins=(origin,),
                    reference=next(iter(trajectories.get(REFERENCE, [])), None),
                    known=known.get(strategy, ()),
                )
            )
    if not rows:
        raise InputError(f"{runs[0]}: neither an agent nor a baseline in metrics.json")
    return _with_differences(rows)


def _check_bootstrap(path: Path, evidence: Evidence) -> None:
    """Refuses settings that no bootstrap can have had, before it is repeated by them."""
    settings = evidence.bootstrap
    try:
        check_intervals(settings["replications"], settings["level"])
        if settings["seed"] < 0:
            raise InputError(f"seed must not be negative, got {settings['seed']}")
    except InputError as error:
        raise InputError(f"{path}: bootstrap: {error}") from None


def _with_differences(rows: Sequence[Row]) -> list[Row]:
    """The rows with `config` as what differs among them."""
    keys = differing([row.whole_config for row in rows])
    return [replace(r, config={k: r.whole_config.get(k) for k in keys}) for r in rows]


def once(rows: Sequence[Row]) -> tuple[list[Row], list[str]]:
    """Each result once: a training that several runs repeat bit for bit is no further candidate.

    Returns:
        `(rows, notes)`; a note names the runs of a result that was left out.
    """
    found: dict[str, Row] = {}
    again: dict[str, list[Row]] = {}
    for row in rows:
        result = [(t.seed, t.dates.tobytes(), t.net_return.tobytes()) for t in row.trajectories]
        key = repr((_kind(row), result))
        if key in found:
            again.setdefault(key, []).append(row)
        else:
            found[key] = row
    notes = []
    for key, others in again.items():
        runs = ", ".join(row.run for row in [found[key], *others])
        notes.append(
            f"{label(found[key].strategy)} is the same in {runs}: equal settings, seeds and "
            "returns; it is shown and counted once"
        )
    return _with_differences(list(found.values())), notes


def _kind(row: Row) -> str:
    """What rows have in common that differ in nothing but luck."""
    kind = sorted(without_luck(row.whole_config).items())
    return repr((kind, row.strategy, row.fingerprint))


def together(rows: Sequence[Row]) -> list[Row]:
    """Rows of runs that differ in nothing but their seed become one, at the place of the first.

    Runs that have a seed in common stay apart: they are the same training twice.
    """
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(_kind(row), []).append(row)
    found = {id(row): group for group in groups.values() for row in group}
    out: list[Row] = []
    for row in rows:
        group = found[id(row)]
        seeds = [t.seed for member in group for t in member.trajectories]
        if len(group) == 1 or None in seeds or len(set(seeds)) < len(seeds) or not same_days(group):
            out.append(row)
        elif row is group[0]:
            out.append(_merged(group))
    return _with_differences(out)


def same_days(group: Sequence[Row]) -> bool:
    """Whether all are of one test window."""
    return len({days(row) for row in group}) == 1


def days(row: Row) -> tuple[str, str]:
    """First and last of the row's test window."""
    return row.evidence.window["first"], row.evidence.window["last"]


def _merged(group: Sequence[Row]) -> Row:
    """One row with all seeds, in the order of the runs, measured anew."""
    first = group[0]
    runs = [t for row in group for t in row.trajectories]
    paths: dict[str, Sequence[Trajectory]] = {first.strategy: runs}
    baselines = [REFERENCE] if first.reference is not None else []
    if first.reference is not None:
        paths[REFERENCE] = [first.reference]
    settings = first.evidence.bootstrap
    evidence = evaluate(
        paths,
        agents=[first.strategy],
        baselines=baselines,
        seed=settings["seed"],
        n_bootstrap=settings["replications"],
        level=settings["level"],
        real_dates=first.evidence.window["real_dates"],
        caveats=first.evidence.caveats,
    )
    config = {k: v for k, v in first.whole_config.items() if k in without_luck(first.whole_config)}
    return replace(
        first,
        runs=tuple(name for row in group for name in row.runs),
        evidence=evidence,
        trajectories=runs,
        less_reference=evidence.difference(first.strategy, REFERENCE, "cagr"),
        whole_config=config,
        origins=tuple(origin for row in group for origin in row.origins),
        known=tuple(score for row in group for score in row.known),
    )


def _known(run: Path) -> dict[str, tuple[float, ...]]:
    """Agent -> score of each seed, from `known_answer.json` where the run has one."""
    path = run / "known_answer.json"
    if not path.is_file():
        return {}
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        # A run of several agents has one entry for each.
        entries = [raw] if "policies" in raw else list(raw.values())
        found = {
            one["agent"]: tuple(float(p["score"]) for p in one["policies"].values())
            for one in entries
        }
        if not np.isfinite([score for scores in found.values() for score in scores]).all():
            raise ValueError("a score is no number")
    except (OSError, ArithmeticError, ValueError, LookupError, TypeError, AttributeError,
            RecursionError) as error:  # fmt: skip
        raise InputError(f"{path}: not readable ({error!r}); run it again") from None
    return found


def known_text(row: Row) -> str:
    """Score against the known answer: mean over seeds and range; empty where there is none."""
    if not row.known:
        return ""
    mean = float(np.mean(row.known))
    if len(row.known) == 1:
        return f"{mean:.3f}"
    return f"{mean:.3f} [{min(row.known):.3f}, {max(row.known):.3f}]"
