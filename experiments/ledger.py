"""The trial ledger: every run leaves lines in it, also one that fails or is killed.

    python -m experiments.ledger verify     whether a line was changed or removed
    python -m experiments.ledger show       every run, and what became of it
    python -m experiments.ledger trials     trials on each test window, and who read it

Exit status 0; 1: the chain is broken; 2: there is no such file. The lines are chained by
`experiments.hash_chain`; `experiments.trials` writes them.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import os
import secrets
import sys
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import UnionType
from typing import Any

import numpy as np

from envs.errors import InputError
from experiments import hash_chain
from experiments.cli import BAD_INPUT, complain
from experiments.evaluation.skill import Trials
from experiments.hash_chain import BrokenChain, Chain, Line

BROKEN = 1
DEFAULT = "outputs/ledger.jsonl"
VARIABLE = "TRADEWIND_LEDGER"
KILLED = "killed or running"
SHORT = 12
DIGITS = 6  # of the id of a run, where a reader tells a few of them apart
# What the lines of an event hold.
HOLDS: dict[str, dict[str, type | UnionType]] = {
    "genesis": {"ledger": str, "machine": str | None},
    "moved": {"machine": str | None},
    "begun": {"run": str, "time": str, "name": str, "config": str, "agents": dict},
    "resumed": {"run": str},
    "read": {"run": str, "data": dict, "windows": list, "strategies": dict},
    "ended": {"run": str, "outcome": str, "reason": str, "strategies": dict,
              "periods_per_year": float | int},
}  # fmt: skip
# First decision and last return, as text that NumPy reads.
Window = tuple[str, str]


@dataclass
class Run:
    """What the lines of one run say together.

    Attributes:
        config: hash of its configuration; agents: name -> hash of what concerns this agent alone.
        choice: the same of the strategies of a run without agents, once it has read a window.
        windows: the test windows that it read; none where it did not come so far.
        outcome: "finished", "refused", "failed", "interrupted", or `KILLED`.
        looked: whether it may have seen results before it went on where it had been interrupted.
        strategies: name -> Sharpe ratio per period and so on; empty unless finished.
    """

    begun: Line
    config: str
    agents: dict[str, str]
    choice: dict[str, str] = field(default_factory=dict)
    data: dict[str, str] = field(default_factory=dict)
    windows: list[Window] = field(default_factory=list)
    outcome: str = KILLED
    looked: bool = False
    reason: str = ""
    periods_per_year: float = 1.0
    strategies: dict[str, dict[str, Any]] = field(default_factory=dict)

    def has_read(self, fingerprint: str, windows: Sequence[Window]) -> bool:
        """Whether it looked at some of these returns."""
        return self.data.get("fingerprint") == fingerprint and any(
            overlap(mine, other) for mine in self.windows for other in windows
        )

    @property
    def may_have_looked(self) -> bool:
        """Whether somebody may have seen what it earns there: not if it was refused."""
        return bool(self.windows) and (self.looked or self.outcome != "refused")


# ---------------------------------------------------------------------- lines
@contextmanager
def opened(path: Path) -> Iterator[Chain]:
    """The ledger, checked and locked for writing; begun where there is none.

    A ledger that was written on another machine goes on, behind a line that says so.

    Raises:
        InputError: if it is broken, naming line and remedy, or cannot be written.
    """
    try:
        with hash_chain.writing(path) as chain:
            _check(chain)
            if not chain.lines:
                identity = secrets.token_hex(16)
                add(chain, "genesis", ledger=identity, machine=machine_mark(identity))
            if moved(chain.lines):
                add(chain, "moved", machine=machine_mark(chain.lines[0]["ledger"]))
            yield chain
    except BrokenChain as error:
        raise InputError(
            f"{error}. Nothing was computed. Restore the ledger and its head from a copy, or begin "
            "another with ledger=FILE: trials before it are then not counted"
        ) from error


def add(chain: Chain, event: str, **entries: Any) -> Line:
    """Appends one line with the time."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return chain.append({"event": event, "time": now, **entries})


def machine_mark(ledger: str) -> str | None:
    """Tells machines apart within one ledger, and says nothing else; None where nothing does."""
    try:
        text = Path("/etc/machine-id").read_text(encoding="utf-8").strip()
    except OSError:
        text = ""
    if not text:
        node = uuid.getnode()
        if node >> 40 & 1:  # made up anew by every process, for want of a network card
            return None
        text = str(node)
    return hashlib.sha256(f"{ledger}:{text}".encode()).hexdigest()[:SHORT]


def moved(lines: Sequence[Line]) -> bool:
    """Whether the last lines were written on another machine than this."""
    marks = [line["machine"] for line in lines if line["event"] in ("genesis", "moved")]
    here = machine_mark(lines[0]["ledger"])
    return bool(marks) and None not in (here, marks[-1]) and marks[-1] != here


def _check(chain: Chain) -> None:
    """The lines say what `add` writes: a whole chain may still be one of something else.

    Raises:
        BrokenChain: naming the first line that does not.
    """
    for number, line in enumerate(chain.lines, 1):
        if (line.get("event") == "genesis") is not (number == 1):
            what = "is not how a ledger begins" if number == 1 else "begins a second ledger"
            raise BrokenChain(chain.path, number, what)
        for key, kind in HOLDS.get(str(line.get("event")), {"event": str}).items():
            if not isinstance(line.get(key), kind):
                raise BrokenChain(chain.path, number, f"is not of a trial ledger: its {key!r}")
        if not _well_formed(line):
            raise BrokenChain(
                chain.path, number, "is not of a trial ledger: its windows or figures"
            )


def _well_formed(line: Line) -> bool:
    """What lies deeper in a line can be read: days of windows, Sharpe ratios."""
    try:
        for window in line.get("windows", []):
            first, last = window["test"]
            overlap((first, last), (first, last))
        texts = [*line.get("agents", {}).values(), *line.get("data", {}).values()]
        texts += line.get("overrides", [])
        found = line.get("strategies", {}).values()
        if line["event"] == "ended":
            ratios = [one["sharpe"] for one in found if one["sharpe"] is not None]
            return all(math.isfinite(x) for x in (*ratios, line["periods_per_year"]))
        return all(isinstance(text, str) for text in (*texts, *found))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        return False


def runs(lines: Sequence[Line]) -> dict[str, Run]:
    """Run id -> run, in the order in which they were begun."""
    found: dict[str, Run] = {}
    for line in lines:
        if line["event"] == "begun":
            found[line["run"]] = Run(line, line["config"], line["agents"])
            continue
        run = found.get(line.get("run", ""))
        if run is None:
            continue
        if line["event"] == "resumed":
            run.looked = run.may_have_looked
            run.outcome, run.reason = KILLED, ""
        elif line["event"] == "read":
            run.data, run.choice = line["data"], line.get("strategies", {})
            run.windows = [tuple(window["test"]) for window in line["windows"]]
        elif line["event"] == "ended":
            run.outcome, run.reason = line["outcome"], line["reason"]
            run.strategies = line["strategies"]
            run.periods_per_year = line["periods_per_year"]
    return found


def overlap(one: Window, two: Window) -> bool:
    """Whether two windows share a return; one may begin with the decision that ends another."""
    first, last = np.array(one, "datetime64[s]"), np.array(two, "datetime64[s]")
    return bool(first[0] < last[1] and last[0] < first[1])


# ---------------------------------------------------------------------- counts
def tried(
    lines: Sequence[Line], fingerprint: str, windows: Sequence[Window]
) -> dict[str, float | None]:
    """Hash -> annualised Sharpe ratio of every trial on these test windows.

    A trial is an agent, or a strategy of a run without agents, with all settings that it depends
    on; the same trial twice counts once. One that failed or was killed behind the point at which
    the test window is read counts, too, and has None; one that was refused has shown nothing and
    does not count.

    Args:
        windows: first decision and last return of each.
    """
    found: dict[str, float | None] = {}
    for run in runs(lines).values():
        if run.may_have_looked and run.has_read(fingerprint, windows):
            for name, key in (run.agents or run.choice).items():
                sharpe = run.strategies.get(name, {}).get("sharpe")
                annual = None if sharpe is None else sharpe * run.periods_per_year**0.5
                found[key] = found.get(key) if annual is None else annual
    return found


def trials(
    lines: Sequence[Line],
    fingerprint: str,
    windows: Sequence[Window],
    own: Mapping[str, float | None],
) -> Trials:
    """Trials for the deflated Sharpe ratio of what is being evaluated.

    Args:
        own: hash -> annualised Sharpe ratio of that; it counts with the trials, and replaces what
            the ledger knows of the same hash.

    Returns:
        the count, and the variance of the annualised Sharpe ratios (ddof 1), None where fewer than
        two are known.
    """
    found = {**tried(lines, fingerprint, windows), **own}
    known = [sharpe for sharpe in found.values() if sharpe is not None]
    variance = float(np.var(known, ddof=1)) if len(known) > 1 else None
    source = (
        "the trial ledger: agents, and strategies of runs without an agent, with different "
        "settings, on these very prices in a window that shares returns with this one"
    )
    if any(line["event"] == "moved" for line in lines):
        source += "; the ledger has been moved between machines, and may lack trials made elsewhere"
    return Trials(max(len(found), 1), variance, source)


def readings(lines: Sequence[Line], fingerprint: str, windows: Sequence[Window]) -> tuple[int, int]:
    """Runs, and different configurations among them, that have read some of these windows; also
    those that were refused afterwards."""
    found = [run for run in runs(lines).values() if run.has_read(fingerprint, windows)]
    return len(found), len({run.config for run in found})


# ---------------------------------------------------------------------- the command
def command_line() -> argparse.ArgumentParser:
    """The arguments of the command."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.ledger", description="Reads the ledger of all runs."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    where = Path(os.environ.get(VARIABLE) or DEFAULT)
    for name, text in (
        ("verify", "checks that no line was changed, inserted or removed"),
        ("show", "lists every run and what became of it"),
        ("trials", "counts the trials on each test window"),
    ):
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument(
            "path", nargs="?", type=Path, default=where, metavar="FILE", help=f"default: {where}"
        )
        if name == "trials":
            command.add_argument("--data", default="", help="name or fingerprint, or its beginning")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Parses the arguments, prints, returns the exit status."""
    arguments = command_line().parse_args(argv)
    try:
        chain = hash_chain.read(arguments.path)
        _check(chain)
    except BrokenChain as error:
        complain(str(error))
        return BROKEN
    except InputError as error:
        complain(str(error))
        return BAD_INPUT
    if arguments.command == "verify":
        print(f"{chain.path}: {in_words(chain)}")
    elif arguments.command == "show":
        heads = ("run", "begun", "name, settings", "agents", "data", "test", "outcome", "sharpe")
        _print(heads, _rows(chain))
        for key, run in runs(chain.lines).items():
            if run.reason:
                print(f"{key[:DIGITS]} {run.begun['name']}, {run.outcome}: {run.reason}")
    else:
        columns = ("data", "fingerprint", "test", "runs", "configurations", "trials")
        _print(columns, _counts(chain, arguments.data))
    return 0


def in_words(chain: Chain) -> str:
    """What a whole chain holds, and what a reader must know about it."""
    text = f"{len(chain.lines)} lines, {len(runs(chain.lines))} runs, chain whole"
    places = sum(line["event"] == "moved" for line in chain.lines)
    torn = [line["line"] for line in chain.lines if line["event"] == "torn"]
    if places:
        text += f"\nit has been moved between machines {places}x: it may lack trials made elsewhere"
    if chain.lines and moved(chain.lines):
        text += "\nits last lines were written on another machine than this one"
    if torn:
        text += f"\nlines {', '.join(map(str, torn))}: what was left of a line that a kill tore"
    if chain.torn:
        text += f"\n{len(chain.torn)} bytes at the end are of a line that a kill tore"
    return text


def _shown(run: Run) -> str:
    """Sharpe ratios of the agents; of a run without them, how many strategies and the highest."""
    annual = run.periods_per_year**0.5
    names = run.agents or run.choice or run.strategies
    sharpes = {
        name: s["sharpe"] * annual
        for name, s in run.strategies.items()
        if s["sharpe"] is not None and name in names
    }
    if run.agents or not sharpes:
        return "\n".join(f"{name} {value:.2f}" for name, value in sharpes.items())
    best = max(sharpes, key=lambda name: sharpes[name])
    return f"{best} {sharpes[best]:.2f}\nbest of {len(sharpes)}"


def _apart(run: Run, every: Iterable[Run]) -> list[str]:
    """The settings of its command line that not all runs of its name share, in short."""
    alike = [r.begun.get("overrides", []) for r in every if _name(r) == _name(run)]
    given = run.begun.get("overrides", [])
    parts = [text.partition("=") for text in given if any(text not in other for other in alike)]
    return [".".join(key.split(".")[-2:]) + sign + value for key, sign, value in parts]


def _name(run: Run) -> str:
    return str(run.begun["name"])


def _rows(chain: Chain) -> list[list[str]]:
    rows = []
    known = runs(chain.lines)
    for key, run in known.items():
        test = "\n".join((run.windows[0][0], run.windows[-1][1])) if run.windows else "not read"
        begun = str(run.begun["time"])[:16].replace("T", "\n")
        first, count = run.begun.get("seed", "?"), run.begun.get("n_seeds", 1)
        seeds = f"seed {first}" if count == 1 else f"{count} seeds from {first}"
        agents = f"{', '.join(run.agents)}\n{seeds}" if run.agents else "none"
        name = "\n".join([_name(run), *_apart(run, known.values())])
        data = run.data.get("name", "")
        rows.append([key[:DIGITS], begun, name, agents, data, test, run.outcome, _shown(run)])
    return rows


def _counts(chain: Chain, data: str) -> list[list[str]]:
    groups: dict[tuple[str, str, str], Run] = {}
    for run in runs(chain.lines).values():
        if run.windows and any(text.startswith(data) for text in run.data.values()):
            span = f"{run.windows[0][0]} .. {run.windows[-1][1]}"
            groups.setdefault((run.data["name"], run.data["fingerprint"], span), run)
    rows = []
    for (name, fingerprint, span), run in groups.items():
        counted = readings(chain.lines, fingerprint, run.windows)
        count = len(tried(chain.lines, fingerprint, run.windows))
        rows.append([name, fingerprint[:SHORT], span, *map(str, (*counted, count))])
    return rows


def _print(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 1, 0, 0))
    for k, column in enumerate(columns):
        whole = k == 0 or any("\n" in row[k] and "=" not in row[k] for row in rows)
        table.add_column(column, no_wrap=whole, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
