"""`python -m experiments.compare RUN_DIR ...`: one table and one page for several runs.

Exit status 0: the table was printed and `compare.html` and `compare.csv` were written; 2: a folder
cannot be used.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from envs.errors import InputError
from experiments.cli import BAD_INPUT, INTERRUPTED, complain
from experiments.evaluation.evidence import Difference, Evidence
from experiments.evaluation.metrics import BY_NAME
from experiments.evaluation.table import WIDE, WITH_INTERVAL, label

if TYPE_CHECKING:
    from rich.table import Table

    from agents.rollout import Trajectory

NEEDED = ("config.yaml", "metrics.json", "trajectories.h5")
REFERENCE = "equal_weight"
MOST_SHOWN = 4
# Where many settings differ, those that tell most, first.
TELLING = (
    "name", "agent._target_", "seed", "cost.", "data._target_", "data.path", "reward.terms",
    "reward.", "env.", "agent.total_steps", "agent.", "features.",
)  # fmt: skip
COLUMNS = {"cagr": "CAGR %", "sharpe": "Sharpe", "max_drawdown": "Max DD %", "cost": "Cost %/y"}
MEASURES = ("cagr", "sharpe", "max_drawdown", "turnover", "cost")


@dataclass(frozen=True)
class Row:
    """One agent of one run; of a run without an agent, its equal weight.

    Attributes:
        run: the folder as it is told apart from the others.
        strategy: name of the agent.
        config: what differs between the runs, `key -> value`.
        evidence: of the run.
        trajectories: of this strategy, one a seed.
        less_reference: its growth less that of equal weight; None for equal weight itself.
    """

    run: str
    strategy: str
    config: dict[str, Any]
    evidence: Evidence
    trajectories: Sequence[Trajectory]
    less_reference: Difference | None

    @property
    def special(self) -> str:
        """What differs in this run's config: `commission_bps 10, seed 2`.

        Where much differs, the most telling settings that the run has, and how many there are more.
        """
        shown = list(self.config)
        if len(shown) > MOST_SHOWN:
            shown = [key for key in shown if self.config[key] is not None]
            shown = sorted(shown, key=_rank)[:MOST_SHOWN]
        last = [_short(key) for key in shown]
        names = [k if last.count(e) > 1 else e for k, e in zip(shown, last, strict=True)]
        told = [f"{n} {_value(k, self.config[k])}" for n, k in zip(names, shown, strict=True)]
        more = len(self.config) - len(shown)
        return ", ".join(told) + (f" and {more} more" if more else "")

    @property
    def title(self) -> str:
        """Strategy and what is special about the run, or its folder."""
        told = 0 < len(self.config) <= MOST_SHOWN and len(self.special) <= 40
        return f"{label(self.strategy)}: {self.special if told else self.run}"


def main(argv: Sequence[str] | None = None) -> int:
    """Parses the arguments, writes and prints the comparison, returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.compare",
        description="Puts finished runs side by side: one table, one page with figures, one CSV.",
    )
    parser.add_argument(
        "folders", nargs="+", type=Path, metavar="RUN_DIR",
        help="a finished run, or the folder of a multirun, which stands for all its jobs",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, default=Path("outputs/compare"), metavar="DIR",
        help="where compare.html and compare.csv go (default: %(default)s)",
    )  # fmt: skip
    arguments = parser.parse_args(argv)
    try:
        runs, unfinished = expand(arguments.folders)
        rows = read_rows(runs)
        notes = unfinished + warnings(rows)
        page = write_comparison(rows, notes, arguments.out)
    except InputError as error:
        complain(str(error))
        return BAD_INPUT
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return INTERRUPTED
    from rich.console import Console

    console = Console()
    console.print(comparison_table(rows, console.width))
    for note in notes:
        console.print(f"note: {note}", highlight=False, markup=False)
    print(f"page: {page}")
    return 0


def expand(folders: Sequence[Path]) -> tuple[list[Path], list[str]]:
    """The run folders among these; a folder of runs stands for its finished jobs, sorted by name.

    Returns:
        `(runs, notes)`; a note names the jobs that did not finish.

    Raises:
        InputError: naming a folder that is missing, no run, an unfinished run, or without a
            finished one.
    """
    runs: list[Path] = []
    notes: list[str] = []
    for folder in folders:
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder; name the folder of a finished run")
        alone = _looks_like_run(folder)
        jobs = [folder] if alone else _jobs(folder)
        if not jobs:
            raise InputError(
                f"{folder}: not the folder of a run and without runs in it (no config.yaml, no "
                "metrics.json); name a folder that experiments.run has written"
            )
        unfinished = [job for job in jobs if _missing(job)]
        if len(unfinished) == len(jobs):
            job = unfinished[0]
            count = "" if alone else f", nor did another of the {len(jobs)} in {folder}"
            raise InputError(
                f"{job}: {', '.join(_missing(job))} missing, so the run did not finish{count}; "
                f"finish it with python -m experiments.run resume={job}, or leave it out"
            )
        if unfinished:
            names = ", ".join(str(job.relative_to(folder)) for job in unfinished)
            notes.append(
                f"{folder}: {len(unfinished)} of {len(jobs)} jobs did not finish and are left "
                f"out: {names}; python -m experiments.run resume={folder}/JOB finishes one"
            )
        for job in jobs:
            if job not in unfinished and job.resolve() not in {r.resolve() for r in runs}:
                runs.append(job)
    return runs, notes


def _missing(job: Path) -> list[str]:
    return [name for name in NEEDED if not (job / name).is_file()]


def _looks_like_run(folder: Path) -> bool:
    return (folder / "config.yaml").is_file() or (folder / "metrics.json").is_file()


def _jobs(folder: Path) -> list[Path]:
    """Runs at most two levels below, as multirun and output folders have them; 2 before 10."""
    found = {
        p.parent for depth in ("*", "*/*") for n in NEEDED[:2] for p in folder.glob(f"{depth}/{n}")
    }
    # A job that failed before it wrote its config has only Hydra's.
    runs = {path.parent if path.name == ".hydra" else path for path in found} - {folder}
    return sorted(runs, key=lambda path: [_in_order(p) for p in path.relative_to(folder).parts])


def _in_order(part: str) -> tuple[int, int, str]:
    return (0, int(part), "") if part.isdigit() else (1, 0, part)


def read_rows(runs: Sequence[Path]) -> list[Row]:
    """Reads the runs; a row for each agent, and for the equal weight of a run without one.

    Raises:
        InputError: naming the file that is broken or of another version.
    """
    from experiments.evaluation.trajectory_store import load_trajectories

    configs = [_flat(_config(run / "config.yaml")) for run in runs]
    keys = dict.fromkeys(k for config in configs for k in config)
    differs = [k for k in keys if len({repr(c.get(k)) for c in configs}) > 1]
    names = _short_names(runs)
    rows = []
    for run, name, config in zip(runs, names, configs, strict=True):
        evidence = Evidence.read(run / "metrics.json")
        trajectories = load_trajectories(run / "trajectories.h5")
        special = {k: config.get(k) for k in differs}
        strategies = evidence.of_role("agent") or [REFERENCE]
        for strategy in strategies:
            if strategy not in evidence.strategies or strategy not in trajectories:
                raise InputError(
                    f"{run}: neither an agent nor {REFERENCE} in metrics.json and trajectories.h5; "
                    "run it again with that baseline"
                )
            difference = evidence.difference(strategy, REFERENCE, "cagr")
            rows.append(Row(name, strategy, special, evidence, trajectories[strategy], difference))
    return rows


def _config(path: Path) -> dict[str, Any]:
    import yaml

    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise InputError(f"{path}: not readable as YAML ({error})") from None
    if not isinstance(config, dict):
        raise InputError(f"{path}: holds no configuration")
    return config


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{"cost": {"bps": 5}}` -> `{"cost.bps": 5}`; lists stay whole."""
    out: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            out |= _flat(value, f"{prefix}{key}.")
        else:
            out[f"{prefix}{key}"] = value
    return out


def _short_names(runs: Sequence[Path]) -> list[str]:
    """The last parts of the paths, as many as it takes to tell them apart."""
    paths = [run.resolve().parts for run in runs]
    for count in range(1, max(map(len, paths)) + 1):
        names = ["/".join(parts[-count:]) for parts in paths]
        if len(set(names)) == len(names):
            break
    return names


def _plain(value: Any) -> str:
    return "—" if value is None else str(value)


def _rank(key: str) -> int:
    """Place of a setting among those worth naming first; what is not in TELLING keeps its order."""
    return next((i for i, start in enumerate(TELLING) if key.startswith(start)), len(TELLING))


def _short(key: str) -> str:
    """`cost.commission_bps` -> `commission_bps`, `agent._target_` -> `agent`."""
    return key.removesuffix("._target_").split(".")[-1]


def _value(key: str, value: Any) -> str:
    text = _plain(value)
    return text.split(".")[-1] if key.endswith("_target_") else text


def warnings(rows: Sequence[Row]) -> list[str]:
    """What makes the rows less than comparable, and what was noted in the runs."""
    found = []
    spans = {(r.evidence.window["first"], r.evidence.window["last"]) for r in rows}
    if len(spans) > 1:
        text = "; ".join(f"{a} to {b}" for a, b in sorted(spans))
        found.append(f"the test windows differ, so the figures are not comparable: {text}")
    found.append(f"the best of {len(rows)} is partly luck: choose on validation, not on this table")
    noted = {f"{r.run}: {note}" for r in rows for note in r.evidence.notes}
    return found + sorted(noted)


def table_cells(rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """`(heads, cells)` of the table as text."""
    heads = ["Strategy", "What differs", *(BY_NAME[m].label for m in MEASURES)]
    heads += ["CAGR less equal weight, points", "Growth is", "Run"]
    cells = []
    for row in rows:
        metrics = row.evidence.strategies[row.strategy].metrics
        line = [label(row.strategy), row.special or "nothing"]
        for measure in MEASURES:
            e, metric = metrics[measure], BY_NAME[measure]
            interval = metric.interval(e.low, e.high) if measure in WITH_INTERVAL else ""
            line.append(f"{metric.text(e.value)} {interval}".rstrip())
        d = row.less_reference
        if d is None:
            line += ["—", "—"]
        else:
            interval = BY_NAME["cagr"].interval(d.low, d.high, sign=True)
            value = BY_NAME["cagr"].text(d.value, sign=True, suffix=False)
            line += [f"{value} {interval}".rstrip(), d.verdict]
        cells.append([*line, row.run])
    return heads, cells


def comparison_table(rows: Sequence[Row], width: int = WIDE) -> Table:
    """The table for the terminal: measures by row, and below it what the rows are."""
    from rich import box
    from rich.table import Table

    legend = [f"{i} {r.run}: {r.special or 'the same config'}" for i, r in enumerate(rows, 1)]
    table = Table(
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        caption="\n".join(legend),
        caption_justify="left",
    )
    table.add_column("", no_wrap=True)
    columns = COLUMNS if width >= WIDE else {key: COLUMNS[key] for key in WITH_INTERVAL}
    for head in (*columns.values(), "less 1/N, pts"):
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("growth", no_wrap=True)
    for i, row in enumerate(rows, 1):
        cells = [f"{i} {label(row.strategy)}"]
        metrics, growth = row.evidence.strategies[row.strategy].metrics, BY_NAME["cagr"]
        for key in columns:
            e, metric = metrics[key], BY_NAME[key]
            text = metric.interval(e.low, e.high) if key in WITH_INTERVAL else ""
            cells.append(f"{metric.text(e.value, suffix=False)}\n{text}".rstrip())
        d = row.less_reference
        if d is None:
            cells += ["—", ""]
        else:
            text = growth.interval(d.low, d.high, sign=True)
            cells.append(f"{growth.text(d.value, sign=True, suffix=False)}\n{text}".rstrip())
            cells.append("unclear" if d.verdict.startswith("not") else d.verdict)
        table.add_row(*(cell.replace("[", r"\[") for cell in cells))
    return table


def write_comparison(rows: Sequence[Row], notes: Sequence[str], out: Path) -> Path:
    """Writes `compare.html`, with the notes, and `compare.csv` into `out`; returns the page's path.

    Raises:
        InputError: if the folder cannot be written.
    """
    from experiments.reports.comparison import comparison_page
    from experiments.run_folder import open_run_folder, write_text

    folder = open_run_folder(out)
    write_text(folder / "compare.csv", comparison_csv(rows))
    write_text(folder / "compare.html", comparison_page(rows, table_cells(rows), notes))
    return folder / "compare.html"


def comparison_csv(rows: Sequence[Row]) -> str:
    """One line a row; numbers in full precision, fractions not percent, empty where undefined."""
    import csv
    import io

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    ends = ("", "_low", "_high")
    heads = ["run", "strategy", "seeds", "first", "last", *rows[0].config]
    heads += [f"{m}{end}" for m in BY_NAME for end in ends]
    heads += [f"cagr_less_{REFERENCE}{end}" for end in ends] + ["share_above_zero"]
    writer.writerow(heads)
    for row in rows:
        strategy, window = row.evidence.strategies[row.strategy], row.evidence.window
        line = [row.run, row.strategy, len(strategy.seeds), window["first"], window["last"]]
        line += list(row.config.values())
        for measure in BY_NAME:
            e = strategy.metrics[measure]
            line += [e.value, e.low, e.high]
        d = row.less_reference
        line += [None] * 4 if d is None else [d.value, d.low, d.high, d.share_above_zero]
        writer.writerow(["" if x is None else repr(x) if isinstance(x, float) else x for x in line])
    return text.getvalue()


if __name__ == "__main__":
    sys.exit(main())
