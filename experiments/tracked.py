"""What the trackers get when a run ends: the report's tables and figures, and the final numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from experiments.evaluation.evidence import Evidence
from experiments.reports.style import Noted, write_png
from experiments.run_folder import open_run_folder
from experiments.tracking import Tracker

Table = tuple[list[str], list[list[Any]]]
# Image files in the folder of every run; the others are drawn where a tracker shows them.
ALWAYS = ("wealth", "differences", "weights", "learning")


def track_results(
    tracker: Tracker, folder: Path, evidence: Evidence, figures: Mapping[str, Noted]
) -> None:
    """Hands the tables and figures of the report and the agents' numbers to the tracker.

    Args:
        tracker: of the run.
        folder: of the run; its `analysis.json` is read where there is one.
        evidence: of the run.
        figures: what was drawn for the report, by key.
    """
    path = folder / "analysis.json"
    analysis = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    for name, (columns, rows) in report_tables(evidence, analysis).items():
        tracker.table(name, columns, rows)
    images = open_run_folder(folder / "figures")
    for name, figure in figures.items():
        if name in ALWAYS or tracker.shows_figures:
            path = images / f"{name.replace('-', '_')}.png"
            tracker.figure(name.replace("-", "_"), write_png(path, figure.draw, figure.height))
    tracker.summary(final_numbers(evidence))


def final_numbers(evidence: Evidence) -> dict[str, float]:
    """`test/AGENT/MEASURE` of every agent, and what its Sharpe ratio is worth."""
    numbers: dict[str, float] = {}
    for name in evidence.of_role("agent"):
        strategy = evidence.strategies[name]
        for metric, estimate in strategy.metrics.items():
            if estimate.value is not None:
                numbers[f"test/{name}/{metric}"] = estimate.value
        for key in ("psr", "dsr"):
            value = None if strategy.skill is None else getattr(strategy.skill, key)
            if value is not None:
                numbers[f"test/{name}/{key}"] = value
    return numbers


def report_tables(evidence: Evidence, analysis: Mapping[str, Any]) -> dict[str, Table]:
    """Name -> `(columns, rows)` of every table of the report that has rows; None is undefined."""
    tables = {
        "metrics": _metrics(evidence),
        "differences": _records([asdict(d) for d in evidence.differences]),
        "skill": _records(
            [
                {"strategy": name, **asdict(s.skill)}
                for name, s in evidence.strategies.items()
                if s.skill is not None
            ]
        ),
        "alpha": _records(
            [
                {"strategy": name, **asdict(a), "factors": _text(a.factors)}
                for name, s in evidence.strategies.items()
                for a in s.alpha
            ]
        ),
        "tests": _tests(evidence.tests),
        **_robustness(analysis.get("robustness", {})),
        **_attribution(analysis.get("attribution", {})),
        **_regimes(analysis.get("regimes", {})),
    }
    return {name: table for name, table in tables.items() if table[1]}


def _metrics(evidence: Evidence) -> Table:
    """A row a strategy; of every measure the value, and where there is one its interval."""
    ends = ("low", "high", "iqm", "iqm_low", "iqm_high")
    records = []
    for name, strategy in evidence.strategies.items():
        record: dict[str, Any] = {"strategy": name, "seeds": len(strategy.seeds)}
        for measure, e in strategy.metrics.items():
            record[measure] = e.value
            record |= {f"{measure}_{end}": getattr(e, end) for end in ends}
        records.append(record)
    columns, rows = _records(records)
    # Without seeds there is no interquartile mean of anything.
    kept = [k for k, c in enumerate(columns) if "_iqm" not in c or any(r[k] for r in rows)]
    return [columns[k] for k in kept], [[row[k] for k in kept] for row in rows]


def _tests(tests: Mapping[str, Mapping[str, Any]]) -> Table:
    """PBO, SPA, StepM and the confidence set: a line a figure, in words where it has none."""
    shown = {
        "pbo": ("pbo", "p_loss", "n_combinations", "n_strategies"),
        "spa": ("p_consistent", "p_lower", "p_upper", "best", "benchmark"),
        "stepm": ("better", "level", "benchmark"),
        "mcs": ("set_95", "set_90"),
    }
    rows = [
        [test, key, _text(found[key])]
        for test, found in tests.items()
        for key in (*shown.get(test, ()), "reason")
        if key in found
    ]
    return ["test", "figure", "value"], rows


def _robustness(found: Mapping[str, Any]) -> dict[str, Table]:
    """Growth a year, mean over seeds, at other costs and with later trades; break-even costs."""
    strategies = {n: s for n, s in found.get("strategies", {}).items() if "reason" not in s}
    factors = [*found.get("factors", ()), *found.get("far_factors", ())]
    delays = found.get("delays", ())
    return {
        "costs": (
            ["strategy", *(f"cagr at {f:g}x" for f in factors)],
            [[n, *map(_mean, [*s["factors"], *s["far_factors"]])] for n, s in strategies.items()],
        ),
        "delays": (
            ["strategy", *(f"cagr {d} rows later" for d in delays)],
            [[n, *map(_mean, s["delays"])] for n, s in strategies.items()],
        ),
        "break_even": _records(list(found.get("pairs", ()))),
    }


def _attribution(found: Mapping[str, Any]) -> dict[str, Table]:
    """Log growth a year by asset, cash and kind of cost."""
    rows = []
    for name, s in found.get("strategies", {}).items():
        if "reason" in s:
            continue
        parts = dict(zip(found["symbols"], s["assets"], strict=True)) | {"cash": s["cash"]}
        parts |= {f"cost: {kind}": value for kind, value in s["costs"].items()}
        parts |= {"other": s["other"], "total": s["total"]}
        rows += [[name, part, value] for part, value in parts.items()]
    return {"attribution": (["strategy", "part", "log growth a year"], rows)}


def _regimes(found: Mapping[str, Any]) -> dict[str, Table]:
    strategies = found.get("strategies", {})
    regimes = found.get("regimes", {})
    return {
        "regimes": (
            ["strategy", "regime", "steps", "cagr", "sharpe"],
            [
                [n, regime, regimes[regime]["steps"], one["cagr"], one["sharpe"]]
                for n, s in strategies.items()
                for regime, one in s.get("regimes", {}).items()
            ],
        ),
        "years": (
            ["strategy", *(str(year["year"]) for year in found.get("years", ()))],
            [[n, *s["years"]] for n, s in strategies.items() if "years" in s],
        ),
    }


def _records(records: Sequence[Mapping[str, Any]]) -> Table:
    """A column for each key, in order of appearance."""
    columns = list(dict.fromkeys(key for record in records for key in record))
    return columns, [[record.get(key) for key in columns] for record in records]


def _mean(seeds: Any) -> float | None:
    known = [x for x in np.atleast_1d(np.array(seeds, dtype=object)) if x is not None]
    return float(np.mean(known)) if known else None


def _text(value: Any) -> Any:
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {v:.4g}" for k, v in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return value if isinstance(value, str) else json.dumps(value)
