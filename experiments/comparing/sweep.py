"""What choosing the best of several jobs is worth: overfitting, tests against the reference, DSR.

Every job counts, also those that differ in their seed alone: whoever keeps the best of them has
chosen among all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments.comparing.rows import REFERENCE, Row
from experiments.comparing.statistics import FEWEST_STEPS, common_steps
from experiments.evaluation.metrics import BY_NAME, RESOLUTION, Float, Steps
from experiments.evaluation.multiple import superior
from experiments.evaluation.overfitting import pbo
from experiments.evaluation.skill import Trials, measure_skill
from experiments.evaluation.table import label

FEWEST_JOBS = 3


def sweep_tests(jobs: Sequence[Row], rows: Sequence[Row] = ()) -> dict[str, Any]:
    """Tests of all jobs together on the dates that they share; empty with fewer than two jobs.

    What was chosen with the test window in view is a bound, and no job. Nor is equal weight, which
    the others are tested against.

    Args:
        jobs: one row a run and agent, not aggregated.
        rows: in which they are shown, and by whose numbers they are named; default: `jobs`.

    Returns:
        `jobs` (how many), `left_out` (name -> why), `steps`, `best` (name of the job with the
        highest Sharpe ratio), `trials` and `skill` (of the best, with the jobs as trials),
        `periods_per_year`, `pbo`, `spa`, `stepm`, `mcs`: each as `overfitting.pbo` and
        `multiple.superior` give it, or with only a `reason`.
    """
    jobs = [job for job in jobs if not job.bound]
    if len(jobs) < 2:
        return {}
    named = job_names(rows or jobs)
    found: dict[str, Any] = {"jobs": len(jobs)}
    jobs = [job for job in jobs if job.strategy != REFERENCE]
    if len(jobs) < 2:
        many = "only one" if jobs else "none"
        other = label(REFERENCE).lower()
        found["reason"] = f"beside {other}, which jobs are tested against, there is {many}"
        return found | {"left_out": {}}
    found |= {"jobs": len(jobs), "left_out": {named[_key(j)]: "ruined" for j in jobs if j.ruined}}
    whole = [job for job in jobs if not job.ruined]
    if len(whole) < 2:
        return found | {"reason": "fewer than two jobs that were not ruined"}
    references = [[job.reference] for job in whole if job.reference is not None]
    steps, common = common_steps([*(job.trajectories for job in whole), *references])
    if len(common) < FEWEST_STEPS:
        return found | {"reason": f"the jobs share only {len(common)} dates"}
    found["steps"] = len(common)
    names = [named[_key(job)] for job in whole]
    jobs_steps = steps[: len(whole)]
    pooled = np.stack([s.net_return.mean(axis=0) for s in jobs_steps])
    cash = np.stack([s.cash_return.mean(axis=0) for s in jobs_steps])
    found["pbo"] = _overfitting(names, pooled - cash)
    own = [s.net_return[0] for s in steps[len(whole) :]]
    settings = whole[0].evidence.bootstrap
    if len(own) < len(whole):
        why = {"reason": f"not every run has {REFERENCE} among its baselines"}
        found |= dict.fromkeys(("spa", "stepm", "mcs"), why)
    else:
        found |= superior(
            relative(dict(zip(names, pooled, strict=True)), own),
            REFERENCE,
            seed=settings["seed"],
            replications=max(job.evidence.bootstrap["replications"] for job in whole),
            level=settings["level"],
        )
    return found | _best(names, whole, jobs_steps)


def _key(job: Row) -> tuple[str, str]:
    return job.strategy, job.runs[0]


def job_names(rows: Sequence[Row]) -> dict[tuple[str, str], str]:
    """`(strategy, folder)` -> name of the job: its row's number, and which of the row's runs."""
    return {
        (row.strategy, run): f"{number} {label(row.strategy)}"
        + (f" (run {run})" if len(row.runs) > 1 else "")
        for number, row in enumerate(rows, 1)
        for run in row.runs
    }


def _overfitting(names: Sequence[str], excess: Float) -> dict[str, Any]:
    """`pbo` with jobs by name and `alike`: the smallest correlation of the returns of two jobs."""
    if len(excess) < FEWEST_JOBS:
        return {
            "reason": f"it says something of {FEWEST_JOBS} jobs or more, these are {len(names)}"
        }
    overfit = pbo(excess)
    if "chosen" in overfit:
        overfit["chosen"] = dict(zip(names, overfit["chosen"], strict=True))
        if (excess.std(axis=1) > RESOLUTION).all():
            overfit["alike"] = float(np.corrcoef(excess).min())
    return overfit


def relative(returns: dict[str, Float], own: Sequence[Float]) -> dict[str, Float]:
    """Returns of jobs made comparable with one reference, which is first in the result.

    Where costs differ each job has a reference of its own. Its growth beyond that is added to the
    growth of the first reference; where all references are the same, nothing changes.
    """
    first = own[0]
    out = {REFERENCE: first}
    for (name, series), reference in zip(returns.items(), own, strict=True):
        same = np.array_equal(reference, first)
        out[name] = series if same else (1 + series) * (1 + first) / (1 + reference) - 1
    return out


def _best(names: Sequence[str], jobs: Sequence[Row], steps: Sequence[Steps]) -> dict[str, Any]:
    """The job with the highest Sharpe ratio, and what is left of it after so many trials."""
    ratios = np.array([float(BY_NAME["sharpe"].compute(s).mean()) for s in steps])
    defined = np.isfinite(ratios)
    if defined.sum() < 2:
        return {"best": None, "skill": None}
    best = int(np.nanargmax(ratios))
    compared = int(defined.sum())
    trials = Trials(
        compared, float(np.var(ratios[defined], ddof=1)), f"the {compared} jobs compared here"
    )
    recorded = max((job.evidence.trials for job in jobs), key=lambda t: t.count)
    if recorded.count > compared:
        # Who looked at these jobs has looked at more before.
        spread = recorded.sharpe_variance
        trials = Trials(
            recorded.count,
            trials.sharpe_variance if spread is None else spread,
            f"{compared} of them compared here; {recorded.source}",
        )
    winner = steps[best]
    excess = winner.net_return - winner.cash_return
    worth = measure_skill(excess, winner.periods_per_year, trials)
    return {
        "best": names[best],
        "sharpe": float(ratios[best]),
        "trials": trials,
        "skill": worth,
        "periods_per_year": winner.periods_per_year,
    }
