"""`results.csv`: one line a strategy, for spreadsheets and other programs."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence

from agents.rollout import Trajectory
from experiments.evaluation.evidence import Evidence


def results_csv(trajectories: Mapping[str, Sequence[Trajectory]], evidence: Evidence) -> str:
    """The text of `results.csv`: `strategy, final_wealth` and every metric of the catalogue.

    Wealth is that at the end, from 1, after costs; it and the metrics are means over the seeds of a
    strategy. Numbers have all digits and no unit (a fraction, not percent). What is undefined is
    empty; `metrics.json` says why.
    """
    names = list(next(iter(evidence.strategies.values())).metrics)
    out = io.StringIO()
    lines = csv.writer(out, lineterminator="\n")
    lines.writerow(["strategy", "final_wealth", *names])
    for name, strategy in evidence.strategies.items():
        runs = trajectories[name]
        wealth = sum(float(t.value[-1]) for t in runs) / len(runs)
        values = [wealth, *(strategy.metrics[key].value for key in names)]
        cells = ["" if x is None or not math.isfinite(x) else repr(float(x)) for x in values]
        lines.writerow([name, *cells])
    return out.getvalue()
