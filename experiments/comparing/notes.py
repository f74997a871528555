"""What a reader of several rows must know: what makes them incomparable, and what runs noted."""

from __future__ import annotations

from collections.abc import Sequence

from experiments.comparing.configs import differing
from experiments.comparing.rows import Row, days, same_days
from experiments.evaluation.table import span


def comparable(rows: Sequence[Row]) -> bool:
    """Whether all are of the same data and test window: then one can be the best of them."""
    return same_days(rows) and len({row.fingerprint for row in rows}) == 1


def warnings(rows: Sequence[Row]) -> list[str]:
    """What makes the rows less than comparable, and what was noted in the runs."""
    found = []
    spans = {days(row): span(row.evidence.window) for row in rows}
    if len(spans) > 1:
        text = "; ".join(spans[key] for key in sorted(spans))
        found.append(f"the test windows differ, so the figures are not comparable: {text}")
    prints = {r.fingerprint for r in rows}
    if len(prints) > 1:
        names = "; ".join(
            f"{'not recorded' if p is None else p[:12]}: "
            + ", ".join(dict.fromkeys(r.run for r in rows if r.fingerprint == p))
            for p in sorted(prints, key=str)
        )
        found.append(f"the data differ (fingerprint: runs), so luck of the data is in it: {names}")
    keys = differing([r.whole_config for r in rows])
    costs = [k for k in keys if k.startswith("cost.")]
    if costs:
        found.append(
            f"the costs differ ({', '.join(costs)}): who pays less earns more; each row's equal "
            "weight pays the row's own costs"
        )
    timing = [k for k in ("env.execution", "env.delay") if k in keys]
    if timing:
        found.append(f"orders are executed differently ({', '.join(timing)})")
    if any(r.seeds == 1 and r.trajectories[0].seed is not None for r in rows):
        found.append(
            "rows with a single seed have no interval over seeds: how much of their place is luck "
            "of training is not known"
        )
    found.append(f"the best of {len(rows)} is partly luck: choose on validation, not on this table")
    return found + _each_once([(row.run, row.evidence.notes) for row in rows])


def caveats(rows: Sequence[Row]) -> list[str]:
    """What is to be known of the rows' prices and execution, each once."""
    return _each_once([(row.run, row.evidence.caveats) for row in rows])


def _each_once(said: Sequence[tuple[str, Sequence[str]]]) -> list[str]:
    """Sentences of runs, each once, after the names of its runs where it is not of all."""
    runs_of: dict[str, dict[str, None]] = {}
    for run, sentences in said:
        for sentence in sentences:
            runs_of.setdefault(sentence, {})[run] = None
    count = len({run for run, _ in said})
    return [
        sentence
        if len(runs) == count
        else f"run{'s' if len(runs) > 1 else ''} {'; '.join(runs)}: {sentence}"
        for sentence, runs in runs_of.items()
    ]
