"""All benchmarks in one run, as a table and as JSON.

    python -m benchmarks.run                      # everything but the recipe: two minutes
    python -m benchmarks.run --quick              # a look: half a minute
    python -m benchmarks.run --full               # and +exp=ppo_portfolio: minutes more
    python -m benchmarks.run peers learning       # some concerns only

Each concern runs in a process of its own, one after the other: what one leaves behind (threads,
memory, warning filters) does not touch the next.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks import (
    environments,
    evidence,
    learning,
    memory,
    networks,
    online,
    peers,
    processes,
    programs,
    rollouts,
    scaling,
    torchtrade_peer,
)
from benchmarks.measure import FULL, QUICK, Effort, Row
from experiments.pages import put_between

CONCERNS = {
    "environments": environments.measure,
    "memory": memory.measure,
    "scaling": scaling.measure,
    "learning": learning.measure,
    "networks": networks.measure,
    "peers": peers.measure,
    "processes": processes.measure,
    "rollouts": rollouts.measure,
    "online": online.measure,
    "statistics": evidence.measure,
    "torchtrade": torchtrade_peer.measure,
    "programs": programs.measure,
    "recipe": programs.recipe,
}
MARK = "table"
USUAL = [name for name in CONCERNS if name != "recipe"]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.run", description="Speed and memory, beside their targets."
    )
    parser.add_argument(
        "concerns", nargs="*", help=f"any of: {', '.join(CONCERNS)}; default: all but recipe"
    )
    parser.add_argument("--quick", action="store_true", help="few repeats, a small feature panel")
    parser.add_argument("--full", action="store_true", help="also +exp=ppo_portfolio (minutes)")
    parser.add_argument("--json", type=Path, help="default: outputs/benchmarks/TIME.json")
    parser.add_argument(
        "--markdown",
        type=Path,
        help="also write the table; into a page, between its marks, if it has them",
    )
    parser.add_argument("--figure", type=Path, help="also draw how time grows (concern: scaling)")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.concerns if name not in CONCERNS]
    if unknown:
        parser.error(f"unknown concern {unknown[0]!r}; known: {', '.join(CONCERNS)}")
    result = collect(options.concerns or USUAL, QUICK if options.quick else FULL, options.full)
    show(result)
    default = Path("outputs/benchmarks") / f"{result['started'].replace(':', '-')}.json"
    path = options.json or default
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(f"written: {path}")
    if options.markdown:
        put_between(options.markdown, MARK, markdown(result))
        print(f"written: {options.markdown}")
    if options.figure and any(row["points"] for row in result["rows"]):
        scaling.draw(result["rows"], options.figure)
        print(f"written: {options.figure}")
    if result["failed"]:
        raise SystemExit(f"not measured, see above: {', '.join(result['failed'])}")


def collect(concerns: list[str], effort: Effort, full: bool = False) -> dict[str, Any]:
    """Runs the concerns one after the other; all that the table and the JSON say."""
    from rich.console import Console

    from experiments.provenance import command_line, git_state, machine, package_versions

    console = Console(stderr=True)
    started = datetime.now(UTC)
    rows, failed = [], []
    for name in [*concerns, "recipe"] if full and "recipe" not in concerns else concerns:
        load = load_average()
        with (
            console.status(f"measuring {name} ..."),
            # A child that is spawned has no threads or compiled code of its parent.
            ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool,
        ):
            try:
                found: list[Row] = pool.submit(CONCERNS[name], effort).result()
            except Exception as error:  # minutes of the other concerns are not lost with it
                console.print(f"{name} failed: {error}", markup=False)
                failed.append(name)
                found = []
        rows += [
            {"concern": name, "load_before": load, "reached": row.reached, **asdict(row)}
            for row in found
        ]
    return {
        "started": started.isoformat(timespec="seconds"),
        "seconds": round((datetime.now(UTC) - started).total_seconds(), 1),
        "command": command_line(),
        "effort": asdict(effort),
        "git": git_state(),
        "machine": machine(),
        "packages": package_versions(),
        "failed": failed,
        "rows": rows,
    }


def load_average() -> float | None:
    """Processes that wanted a core in the last minute; None where the system does not tell."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def show(result: dict[str, Any]) -> None:
    """The table on the terminal."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"Benchmarks, {headline(result)}", title_justify="left")
    table.add_column("what")
    for title in ("cores", "median", "best", "unit", "target", "reached"):
        table.add_column(title, justify="left" if title == "unit" else "right")
    table.add_column("note")
    concern = None
    for row in result["rows"]:
        if concern not in (None, row["concern"]):
            table.add_section()
        concern = row["concern"]
        style = None if row["reached"] is None else "green" if row["reached"] >= 1 else "yellow"
        table.add_row(*cells(row), row["note"], style=style)
    Console(width=None if sys.stdout.isatty() else 150).print(table)


def markdown(result: dict[str, Any]) -> str:
    """The table of `docs/benchmarks.md`, with where its figures come from."""
    lines = [f"`{result['command']}`: {headline(result)}", ""]
    lines.append("| what | cores | median | best | unit | target | reached |")
    lines.append("|---|---:|---:|---:|---|---:|---:|")
    for row in result["rows"]:
        name, *figures = cells(row)
        note = f" ({row['note']})" if row["note"] else ""
        lines.append(f"| {name}{note} | " + " | ".join(figures) + " |")
    if result["failed"]:
        lines += ["", f"Not measured, since they failed: {', '.join(result['failed'])}."]
    return "\n".join(lines) + "\n"


def headline(result: dict[str, Any]) -> str:
    machine = result["machine"]
    commit = (result["git"]["commit"] or "no commit")[:10]
    changed = " with local changes" if result["git"]["dirty"] else ""
    loads = [row["load_before"] for row in result["rows"] if row["load_before"] is not None]
    load = f", load before each part {min(loads)} to {max(loads)}" if loads else ""
    return (
        f"{result['started'][:10]}, commit {commit}{changed}, {machine['processor']}, "
        f"{machine['cpu_count']} cores, Python {machine['python']}{load}"
    )


def cells(row: dict[str, Any]) -> list[str]:
    reached = "" if row["reached"] is None else f"{row['reached']:.2f}x"
    figures = [number(figure) for figure in reversed(row["figures"] or (None, None))]
    target = ("< " if row["less"] and row["target"] else "") + number(row["target"])
    return [row["name"], str(row["cores"]), *figures, row["unit"], target, reached]


def number(value: float | None) -> str:
    """Three digits that mean something."""
    if value is None:
        return ""
    if abs(value) >= 1e6:
        return f"{value / 1e6:.3g} M"
    if abs(value) >= 1000:
        return f"{float(f'{value:.3g}'):,.0f}"
    return f"{value:.3g}"


if __name__ == "__main__":
    main()
