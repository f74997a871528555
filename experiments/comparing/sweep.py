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
from experiments.evaluation.metrics import BY_NAME, Float, Steps
from experiments.evaluation.multiple import superior
from experiments.evaluation.overfitting import pbo
from experiments.evaluation.skill import Trials, measure_skill
from experiments.evaluation.table import label


def sweep_tests(jobs: Sequence[Row]) -> dict[str, Any]:
    """Tests of all jobs together on the dates that they share; empty with fewer than two jobs.

    What was chosen with the test window in view is a bound, and no job.

    Args:
        jobs: one row a run and agent, not aggregated.

    Returns:
        `jobs` (how many), `left_out` (name -> why), `steps`, `best` (name of the job with the
        highest Sharpe ratio), `trials` and `skill` (of the best, with the jobs as trials),
        `periods_per_year`, `pbo`, `spa`, `stepm`, `mcs`: each as `overfitting.pbo` and
        `multiple.superior` give it, or with only a `reason`.
    """
    jobs = [job for job in jobs if not job.bound]
    if len(jobs) < 2:
        return {}
    left_out = {job_name(job): "ruined" for job in jobs if job.ruined}
    whole = [job for job in jobs if not job.ruined]
    found: dict[str, Any] = {"jobs": len(jobs), "left_out": left_out}
    if len(whole) < 2:
        return found | {"reason": "fewer than two jobs that were not ruined"}
    references = [[job.reference] for job in whole if job.reference is not None]
    steps, common = common_steps([*(job.trajectories for job in whole), *references])
    if len(common) < FEWEST_STEPS:
        return found | {"reason": f"the jobs share only {len(common)} dates"}
    found["steps"] = len(common)
    names = [job_name(job) for job in whole]
    jobs_steps = steps[: len(whole)]
    pooled = np.stack([s.net_return.mean(axis=0) for s in jobs_steps])
    cash = np.stack([s.cash_return.mean(axis=0) for s in jobs_steps])
    overfit = pbo(pooled - cash)
    if "chosen" in overfit:
        overfit["chosen"] = dict(zip(names, overfit["chosen"], strict=True))
    found["pbo"] = overfit
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


def job_name(job: Row) -> str:
    """Strategy and folder, by which a job is named in the results."""
    return f"{label(job.strategy)} {job.run}"


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
    recorded = max((Trials(**job.evidence.trials) for job in jobs), key=lambda t: t.count)
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
