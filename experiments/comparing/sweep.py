"""What choosing the best of several candidates is worth: overfitting, tests, deflated Sharpe ratio.

Every candidate counts, also those that differ in their seed alone: whoever keeps the best of them
has chosen among all.
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

FEWEST = 3


def sweep_tests(candidates: Sequence[Row], rows: Sequence[Row] = ()) -> dict[str, Any]:
    """Tests of all candidates together on the dates that they share; empty with fewer than two.

    What was chosen with the test window in view is a bound, and no candidate. Nor is equal weight,
    which the others are tested against.

    Args:
        candidates: one row a run and agent, not aggregated.
        rows: in which they are shown, and by whose numbers they are named; default: `candidates`.

    Returns:
        `candidates` (how many), `left_out` (name -> why), `steps`, `best` (name of the one
        with the highest Sharpe ratio), `trials` and `skill` (of the best, with the candidates as
        trials), `periods_per_year`, `pbo`, `spa`, `stepm`, `mcs`: each as `overfitting.pbo` and
        `multiple.superior` give it, or with only a `reason`.
    """
    candidates = [candidate for candidate in candidates if not candidate.bound]
    if len(candidates) < 2:
        return {}
    named = candidate_names(rows or candidates)
    found: dict[str, Any] = {"candidates": len(candidates)}
    candidates = [candidate for candidate in candidates if candidate.strategy != REFERENCE]
    if len(candidates) < 2:
        many = "only one" if candidates else "none"
        other = label(REFERENCE).lower()
        found["reason"] = f"beside {other}, which candidates are tested against, there is {many}"
        return found | {"left_out": {}}
    found |= {
        "candidates": len(candidates),
        "left_out": {named[_key(j)]: "ruined" for j in candidates if j.ruined},
    }
    whole = [candidate for candidate in candidates if not candidate.ruined]
    if len(whole) < 2:
        return found | {"reason": "fewer than two candidates that were not ruined"}
    references = [[candidate.reference] for candidate in whole if candidate.reference is not None]
    steps, common = common_steps([*(candidate.trajectories for candidate in whole), *references])
    if len(common) < FEWEST_STEPS:
        return found | {"reason": f"the candidates share only {len(common)} dates"}
    found["steps"] = len(common)
    if len({candidate.evidence.window["periods_per_year"] for candidate in whole}) > 1:
        return found | {"reason": "they do not count the same number of steps a year"}
    names = [named[_key(candidate)] for candidate in whole]
    candidate_steps = steps[: len(whole)]
    pooled = np.stack([s.net_return.mean(axis=0) for s in candidate_steps])
    cash = np.stack([s.cash_return.mean(axis=0) for s in candidate_steps])
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
            replications=max(candidate.evidence.bootstrap["replications"] for candidate in whole),
            level=settings["level"],
        )
    return found | _best(names, whole, candidate_steps)


def _key(candidate: Row) -> tuple[str, str]:
    return candidate.strategy, candidate.runs[0]


def candidate_names(rows: Sequence[Row]) -> dict[tuple[str, str], str]:
    """`(strategy, folder)` -> its name: its row's number, and which of the row's runs."""
    return {
        (row.strategy, run): f"{number} {label(row.strategy)}"
        + (f" (run {run})" if len(row.runs) > 1 else "")
        for number, row in enumerate(rows, 1)
        for run in row.runs
    }


def _overfitting(names: Sequence[str], excess: Float) -> dict[str, Any]:
    """`pbo` with candidates by name and `alike`: the smallest correlation of two of them."""
    if len(excess) < FEWEST:
        return {
            "reason": f"it says something of {FEWEST} candidates or more, these are {len(names)}"
        }
    overfit = pbo(excess)
    if "chosen" in overfit:
        overfit["chosen"] = dict(zip(names, overfit["chosen"], strict=True))
        if (excess.std(axis=1) > RESOLUTION).all():
            overfit["alike"] = float(np.corrcoef(excess).min())
    return overfit


def relative(returns: dict[str, Float], own: Sequence[Float]) -> dict[str, Float]:
    """Returns of candidates made comparable with one reference, which is first in the result.

    Where costs differ each candidate has a reference of its own. Its growth beyond that is added to
    the growth of the first reference; where all references are the same, nothing changes.
    """
    first = own[0]
    out = {REFERENCE: first}
    for (name, series), reference in zip(returns.items(), own, strict=True):
        same = np.array_equal(reference, first)
        out[name] = series if same else (1 + series) * (1 + first) / (1 + reference) - 1
    return out


def _best(
    names: Sequence[str], candidates: Sequence[Row], steps: Sequence[Steps]
) -> dict[str, Any]:
    """The candidate with the highest Sharpe ratio, and what is left of it after so many trials."""
    ratios = np.array([float(BY_NAME["sharpe"].compute(s).mean()) for s in steps])
    defined = np.isfinite(ratios)
    if defined.sum() < 2:
        return {"best": None, "skill": None}
    best = int(np.nanargmax(ratios))
    compared = int(defined.sum())
    trials = Trials(
        compared, float(np.var(ratios[defined], ddof=1)), f"the {compared} candidates compared here"
    )
    recorded = max((candidate.evidence.trials for candidate in candidates), key=lambda t: t.count)
    if recorded.count > compared:
        # Who looked at these candidates has looked at more before.
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
