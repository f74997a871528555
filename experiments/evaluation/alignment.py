"""`align`: the trajectories of all strategies on the dates that they share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import TypedDict  # that of typing cannot be checked before Python 3.12

from agents.rollout import Trajectory
from envs.errors import InputError
from experiments.evaluation.metrics import Float, Steps
from experiments.evaluation.splits import date_text


def check_finite(name: str, t: Trajectory) -> None:
    """Refuses a trajectory that holds something that is not a number.

    Raises:
        InputError: naming strategy, seed, series and first date.
    """
    series = {
        "net_return": t.net_return,
        "gross_return": t.gross_return,
        "asset_return": t.asset_return,
        "weights": t.weights.sum(axis=1),
        "value": t.value[1:],
        "cash_return": t.cash_return,
        "turnover": t.turnover,
        **{f"costs of {kind}": x for kind, x in t.costs.items()},
    }
    for key, values in series.items():
        bad = np.flatnonzero(~np.isfinite(values))
        if len(bad):
            who = name if t.seed is None else f"{name} (seed {t.seed})"
            raise InputError(
                f"{who}: {key} is {values[bad[0]]} at step {bad[0]}, on "
                f"{date_text(t.dates, int(bad[0]))} ({len(bad)} of {len(values)} steps); look for "
                "a price of zero or a missing price there, or for a policy whose weights are not "
                "numbers"
            )


def check_not_all_ruined(runs: Sequence[Trajectory]) -> None:
    """Refuses runs that all end at their first step: nothing can be said of them.

    Raises:
        InputError: with what may have caused it.
    """
    if runs and all(t.ruined and len(t.dates) < 2 for t in runs):
        raise InputError(
            "every strategy was ruined at the first step: its value fell below env.ruin of the "
            "start; lower env.ruin or the costs, or look for a broken price in the data"
        )


class Window(TypedDict):
    """The test window: days, for bars with the time; the first return is after the decision.

    Where the dates are made up, as of simulated prices, they only number the rows.
    """

    first_decision: str
    first: str
    last: str
    steps: int
    periods_per_year: float
    real_dates: bool


@dataclass(frozen=True)
class Aligned:
    """All strategies on the dates that they share.

    Attributes:
        steps: name -> `Steps` with arrays `[S, n]`.
        window: what all are measured on.
        notes: what was left out, in plain words.
        decision_dates, dates: `[n]` when each return begins and ends.
    """

    steps: dict[str, Steps]
    window: Window
    notes: list[str]
    decision_dates: NDArray[np.datetime64]
    dates: NDArray[np.datetime64]


def align(
    trajectories: Mapping[str, Sequence[Trajectory]], benchmark: str, real_dates: bool
) -> Aligned:
    """Stacks the seeds of every strategy on the dates that all share; says what was left out.

    A ruined run is shorter than the window: what was left of its wealth stays as it is to the end,
    so that its yearly figures are of the same window as the others'.
    """
    notes: list[str] = []
    every = [t for runs in trajectories.values() for t in runs]
    for name, runs in trajectories.items():
        for t in runs:
            check_finite(name, t)
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
        rows = [_on_dates(t, common, is_index=name == benchmark) for t in runs]
        net, cash, turnover, cost, active = (np.stack(x) for x in zip(*rows, strict=True))
        steps[name] = Steps(net, cash, turnover, cost, active, runs[0].periods_per_year)
        for t in runs:
            label = name if t.seed is None else f"{name} (seed {t.seed})"
            if t.ruined:
                end = f", on {date_text(t.dates, -1)}" if real_dates else ""
                notes.append(
                    f"{label} was ruined after {len(t.dates)} of {len(common)} steps{end}; "
                    "its figures count nothing earned or paid afterwards; no intervals"
                )
            elif len(t.dates) != len(common):
                notes.append(
                    f"{label}: {len(common)} of its {len(t.dates)} steps are common to all "
                    "strategies; only these are measured"
                )
    rows_of = np.searchsorted(whole[0].dates, common)
    window: Window = {
        "first_decision": date_text(whole[0].decision_dates, int(rows_of[0])),
        "first": date_text(common, 0),
        "last": date_text(common, -1),
        "steps": len(common),
        "periods_per_year": float(whole[0].periods_per_year),
        "real_dates": real_dates,
    }
    return Aligned(steps, window, notes, whole[0].decision_dates[rows_of], common)


def _on_dates(t: Trajectory, common: Any, is_index: bool) -> tuple[Float, ...]:
    """`net_return, cash_return, turnover, cost, active_share` on the common dates."""
    keep = np.isin(t.dates, common)
    n, missing = len(t.dates), len(common) - int(keep.sum())
    active = np.full(n, np.nan) if is_index else t.active_share
    series = (t.net_return, t.cash_return, t.turnover, np.broadcast_to(t.total_cost, (n,)), active)
    if missing == 0:
        return tuple(np.ascontiguousarray(x[keep], dtype=np.float64) for x in series)
    return tuple(np.r_[x[keep], np.zeros(missing)] for x in series)
