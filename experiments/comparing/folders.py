"""Which runs are compared: the folders that were named, and the jobs of those that hold many."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from envs.errors import InputError

NEEDED = ("config.yaml", "metrics.json", "trajectories.h5")


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


def short_names(runs: Sequence[Path]) -> list[str]:
    """The last parts of the paths, as many as it takes to tell them apart."""
    paths = [run.resolve().parts for run in runs]
    for count in range(1, max(map(len, paths)) + 1):
        names = ["/".join(parts[-count:]) for parts in paths]
        if len(set(names)) == len(names):
            break
    return names


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
