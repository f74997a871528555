"""How the time of a step grows with portfolios, assets and window; the exponents, and a figure.

    python -m benchmarks.run scaling --figure scaling.png

An exponent of 1 is growth in proportion, 0 is none. Fitted by least squares to the logarithms.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.environments import vector, vector_stepper
from benchmarks.measure import ASSETS, Effort, Row, panel, pinned, take_turns

# Up to here growth counts as linear: larger batches leave the caches one after the other.
LINEAR = 1.1


def measure(effort: Effort) -> list[Row]:
    n = effort.envs
    longest = min(256, effort.rows // 4)
    windows = [max(1, longest // k) for k in (64, 16, 4, 1)]
    return [
        growth("envs", "indexed", effort, [(ASSETS, k * n // 2, 1) for k in (1, 4, 16, 64)]),
        growth("assets", "indexed", effort, [(a, n, 1) for a in (10, 40, 160, 640)]),
        growth("window", "flat", effort, [(ASSETS, n, w) for w in windows]),
        growth("window", "indexed", effort, [(ASSETS, n, w) for w in windows]),
    ]


def growth(what: str, kind: str, effort: Effort, cases: list[tuple[int, int, int]]) -> Row:
    """The exponent over cases of (assets, envs, window), of which one thing grows."""
    brief = Effort(repeats=min(effort.repeats, 10), seconds=0.2 * effort.seconds)
    rows = min(effort.rows, 2000)
    with pinned(1) as note:
        work = {}
        for case in cases:
            n_assets, n, window = case
            market, features = panel(rows, n_assets)
            envs = vector(market, features, n, effort_of(rows), observation=kind, window=window)
            work[str(case)] = vector_stepper(envs)
        taken = take_turns(work, brief)
    place = {"assets": 0, "envs": 1, "window": 2}[what]
    sizes = [float(case[place]) for case in cases]
    found = [taken[str(case)] for case in cases]
    best, middle = (exponent(sizes, [figures[k] for figures in found]) for k in (0, 1))
    return Row(
        f"growth with {what}, {kind}, {sizes[0]:,.0f} to {sizes[-1]:,.0f}",
        "exponent",
        (best, middle),
        # Beside no growth at all, a share of it means nothing.
        target=None if (what, kind) == ("window", "indexed") else LINEAR,
        less=True,
        note=note,
        points=tuple((size, f[1]) for size, f in zip(sizes, found, strict=True)),
    )


def effort_of(rows: int) -> Effort:
    return Effort(repeats=1, seconds=0.0, rows=rows)


def exponent(sizes: list[float], seconds: list[float]) -> float:
    """Slope of log seconds over log size."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Seconds of a step over what grows, with the fitted lines."""
    from matplotlib.figure import Figure

    grown = [row for row in rows if row["points"]]
    figure = Figure(figsize=(3.1 * len(grown), 3.0), layout="constrained")
    for axes, row in zip(np.atleast_1d(figure.subplots(1, len(grown))), grown, strict=True):
        sizes, seconds = np.array(row["points"]).T
        slope, at_one = np.polyfit(np.log(sizes), np.log(seconds), 1)
        what, kind = row["name"].removeprefix("growth with ").split(", ")[:2]
        axes.loglog(sizes, 1e3 * np.exp(at_one) * sizes**slope, color="0.6", linewidth=1)
        axes.loglog(sizes, 1e3 * seconds, "o", color="C0", markersize=5)
        axes.set_title(f"{kind}: exponent {slope:.2f}", fontsize=10)
        axes.set_xlabel(what)
        axes.set_xticks(sizes, [f"{size:,.0f}" for size in sizes], fontsize=8)
        axes.minorticks_off()
        low, high = 1e3 * seconds.min(), 1e3 * seconds.max()
        axes.set_ylim(low / 3, max(high, 10 * low) * 3)
    np.atleast_1d(figure.axes)[0].set_ylabel("milliseconds a step")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
