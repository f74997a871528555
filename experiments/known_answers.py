"""`python -m experiments.known_answers`: every agent on every market whose optimum is known.

Runs the recipes `+exp=known_answer/...` one by one, each with several seeds, and prints and saves
one table. Each recipe is a run of its own in a folder below `--out`; called again with the same
folder, the command keeps what is finished and goes on where it was interrupted. KEY=VALUE is handed
to every run.

Exit status 0, 2 if an argument cannot be used, 1 if a recipe failed.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from envs.errors import InputError
from experiments.batch import run_apart
from experiments.cli import BAD_INPUT, INTERRUPTED, checked, complain, saved_config
from experiments.run_folder import open_run_folder, write_json, write_text
from experiments.same_run import is_trained

FAILED = 1
GROUP = "known_answer"
ANSWER = "known_answer.json"
KEYS = (
    "agent", "market", "policies", "seconds", "optimum", "equal_weight", "utility", "steps",
)  # fmt: skip
COLUMNS = (
    "market", "agent", "score", "interval", "lowest", "policy", "optimum", "equal weight",
    "steps", "seconds",
)  # fmt: skip

HIDDEN = ("policy", "optimum", "equal weight", "steps")


def command_line() -> argparse.ArgumentParser:
    """The arguments of the command."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.known_answers",
        description="Scores agents on simulated markets whose best possible policy is known.",
    )
    parser.add_argument(
        "recipes", nargs="*", metavar="RECIPE", help="merton, heston_ddpg, ...; default: all"
    )
    parser.epilog = "KEY=VALUE among the recipes changes a setting of every run."
    parser.add_argument("--seeds", type=int, default=5, help="of each agent (default 5)")
    parser.add_argument("--jobs", type=int, default=1, help="recipes run at once (default 1)")
    parser.add_argument("--out", type=Path, help="default: outputs/known_answers/TIME")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Parses the arguments, runs, prints, and returns the exit status."""
    arguments = command_line().parse_intermixed_args(argv)
    now = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    out = arguments.out or Path("outputs") / "known_answers" / now
    try:
        overrides = [text for text in arguments.recipes if "=" in text]
        names = [text for text in arguments.recipes if "=" not in text]
        return run(names or recipes(), arguments.seeds, arguments.jobs, out, overrides)
    except InputError as error:
        complain(str(error))
        return BAD_INPUT
    except KeyboardInterrupt:
        print(f"\ninterrupted; go on with the same command and --out {out}", file=sys.stderr)
        return INTERRUPTED


def recipes() -> list[str]:
    """Names of all recipes of the group."""
    folder = files("hydra_conf") / "exp" / GROUP
    return sorted(f.name.removesuffix(".yaml") for f in folder.iterdir() if f.name[0] != "_")


def run(
    names: Sequence[str], seeds: int, jobs: int, out: Path, overrides: Sequence[str] = ()
) -> int:
    """Runs the recipes into `out` and writes `table.json`, `table.csv` and `table.md` there.

    Args:
        overrides: KEY=VALUE of every run.

    Raises:
        InputError: for an unknown recipe or key, or a folder of other settings.
    """
    known = recipes()
    unknown = [name for name in names if name not in known]
    if unknown:
        raise InputError(f"unknown recipe {unknown[0]!r}; known: {', '.join(known)}")
    twice = sorted({name for name in names if list(names).count(name) > 1})
    if twice:
        raise InputError(f"recipe {twice[0]!r} is named twice; name each once")
    if seeds < 1 or jobs < 1:
        raise InputError(f"--seeds and --jobs must be at least 1, got {seeds} and {jobs}")
    out = open_run_folder(out, "--out")
    for name in names:
        _check_settings(out / name, seeds, _settings(name, seeds, overrides))
    print(f"{len(names)} recipes, {seeds} seeds each, in {out}")

    def run_one(name: str) -> bool:
        folder = out / name
        finished = (folder / ANSWER).exists() and (folder / "report.html").exists()
        return run_apart(_settings(name, seeds, overrides), folder, finished)

    with ThreadPoolExecutor(jobs) as pool:
        good = list(pool.map(run_one, names))
    rows = [row(name, out / name) for name, fine in zip(names, good) if fine]
    write_json(out / "table.json", rows)
    write_text(out / "table.csv", _csv(rows))
    write_text(out / "table.md", markdown(rows, overrides))
    _print(rows)
    print(f"table: {out / 'table.md'}")
    return 0 if all(good) else FAILED


def _settings(name: str, seeds: int, overrides: Sequence[str]) -> list[str]:
    return [f"+exp={GROUP}/{name}", f"n_seeds={seeds}", *overrides]


def _check_settings(folder: Path, seeds: int, settings: list[str]) -> None:
    taken = [text for text in settings[2:] if text.startswith(("n_seeds=", "resume=", "hydra."))]
    if taken:
        raise InputError(f"{taken[0]}: this command sets it itself; see --seeds and --out")
    checked(settings)
    if (folder / ANSWER).exists():
        _read(folder / ANSWER)
    if (folder / "config.yaml").exists() and saved_config(folder).n_seeds != seeds:
        raise InputError(
            f"{folder} was begun with {saved_config(folder).n_seeds} seeds, not {seeds}; "
            "choose another --out"
        )
    begun = folder / ".hydra" / "overrides.yaml"
    if begun.exists() and is_trained(folder):
        from omegaconf import OmegaConf

        before = sorted(str(text) for text in OmegaConf.load(begun))
        if before != sorted(settings):
            raise InputError(
                f"{folder} was begun with {' '.join(before)}, not with "
                f"{' '.join(sorted(settings))}; choose another --out"
            )


def row(name: str, folder: Path) -> dict[str, Any]:
    """One row of the table: mean score over the seeds, its interval, and what it took.

    The interval is Student's over seeds: how far another set of seeds may be. That of one seed over
    the random paths is in the run's own `known_answer.json`.
    """
    answer = _read(folder / ANSWER)
    scores = np.array([one["score"] for one in answer["policies"].values()])
    seconds = list(answer["seconds"].values())
    low = high = None
    if len(scores) > 1:
        from scipy.stats import t

        half = t.ppf(0.975, len(scores) - 1) * scores.std(ddof=1) / math.sqrt(len(scores))
        low, high = scores.mean() - half, scores.mean() + half
    return {
        "market": answer["market"],
        "agent": answer["agent"],
        "recipe": name,
        "score": scores.mean(),
        "low": low,
        "high": high,
        "scores": scores,
        "policy": np.mean([one["utility"] for one in answer["policies"].values()]),
        "optimum": answer["optimum"],
        "equal_weight": answer["equal_weight"],
        "utility": answer["utility"],
        "steps": answer["steps"],
        "seconds": float(np.mean(seconds)),
        "n_seeds": len(scores),
    }


def _read(path: Path) -> dict[str, Any]:
    try:
        answer = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}); delete {path.parent}") from None
    lost = [key for key in KEYS if key not in answer] if isinstance(answer, dict) else list(KEYS)
    if lost:
        raise InputError(f"{path} has no entry {lost[0]!r}; delete {path.parent} to run it again")
    return answer


def _cells(row: dict[str, Any]) -> list[str]:
    interval = "" if row["low"] is None else f"{row['low']:.3f} to {row['high']:.3f}"
    utilities = [f"{100 * row[key]:.2f}" for key in ("policy", "optimum", "equal_weight")]
    return [
        row["market"], row["agent"], f"{row['score']:.3f}", interval, f"{min(row['scores']):.3f}",
        *utilities, f"{row['steps'] / 1e6:.1f} M", f"{row['seconds']:.0f}",
    ]  # fmt: skip


def _csv(rows: Sequence[dict[str, Any]]) -> str:
    keys = [key for key in rows[0] if key != "scores"] if rows else []
    lines = [",".join(keys)]
    lines += [",".join("" if r[key] is None else str(r[key]) for key in keys) for r in rows]
    return "\n".join(lines) + "\n"


def markdown(rows: Sequence[dict[str, Any]], overrides: Sequence[str] = ()) -> str:
    """The table as text for a page, with where it comes from."""
    from experiments.provenance import git_state, machine

    seeds = rows[0]["n_seeds"] if rows else 0
    lines = ["| " + " | ".join(COLUMNS) + " |", "|---|---|" + "---:|" * (len(COLUMNS) - 2)]
    lines += ["| " + " | ".join(_cells(row)) + " |" for row in rows]
    git, computer = git_state(), machine()
    command = " ".join(["python -m experiments.known_answers", *overrides])
    lines += [
        "",
        f"Score: 1 is the optimum, 0 equal weight; mean of {seeds} seeds, their 95 % interval, and "
        "the lowest seed. Policy, optimum and equal weight: utility in percent a year on common "
        "random paths. Seconds: of one seed.",
        f"`{command}`, commit {str(git['commit'])[:12]}"
        f"{' with changes' if git['dirty'] else ''}, {datetime.now(UTC):%Y-%m-%d}, "
        f"{computer['processor']}, {computer['cpu_count']} cores, Python {computer['python']}.",
    ]
    return "\n".join(lines) + "\n"


def _print(rows: Sequence[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    # Utilities are left to the file: the table fits a terminal of 80 columns.
    shown = [k for k, column in enumerate(COLUMNS) if column not in HIDDEN]
    table = Table(box=None)
    for k in shown:
        table.add_column(COLUMNS[k], justify="left" if k < 2 else "right")
    for one in rows:
        cells = _cells(one)
        table.add_row(*(cells[k] for k in shown))
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
