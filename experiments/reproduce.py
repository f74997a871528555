"""`python -m experiments.reproduce RUN_DIR`: runs again from the saved config, compares numbers.

Compared to the last bit: the measures, the analysis and the results of a run, every array of its
trajectories, its score against a known answer, and the parameters of every policy it trained.
Exit status 0: every number is equal to the last bit; 1: some are not; 2: the folder cannot be used.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from envs.errors import InputError
from experiments.cli import BAD_INPUT, INTERRUPTED, complain, saved_config
from experiments.evaluation.skill import Trials
from experiments.provenance import (
    Provenance,
    git_state,
    machine,
    package_versions,
    read_provenance,
)
from experiments.run_folder import open_run_folder
from experiments.run_numbers import compare, count, numbers

DIFFERENT = 1
MOST_SHOWN = 40
# What every finished run has; the files of its policies are compared with those of the second run.
NEEDED = (
    "config.yaml", "metrics.json", "analysis.json", "results.csv", "trajectories.h5",
    "provenance.json",
)  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Parses the arguments, reports, and returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.reproduce",
        description="Runs again from the saved configuration of a run and compares every number.",
    )
    parser.add_argument("run_dir", type=Path, help="folder of a finished run")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep the second run here")
    arguments = parser.parse_args(argv)
    try:
        return reproduce(arguments.run_dir, arguments.keep)
    except InputError as error:
        complain(str(error))
        return BAD_INPUT
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return INTERRUPTED


def reproduce(run_dir: Path, keep: Path | None = None) -> int:
    """Runs the saved configuration again and prints whether all its numbers are the same.

    Raises:
        InputError: if the folder holds no finished run, or its data are not there any more.
    """
    if not run_dir.is_dir():
        raise InputError(f"{run_dir}: no such folder")
    missing = [name for name in NEEDED if not (run_dir / name).is_file()]
    if missing:
        several = sorted(p.parent for p in run_dir.glob("*/metrics.json"))
        raise InputError(
            f"{run_dir}: not the folder of a finished run ({', '.join(missing)} missing)"
            + (f"; the runs in it are {', '.join(map(str, several))}" if several else "")
        )
    saved, before = numbers(run_dir), read_provenance(run_dir / "provenance.json")
    from omegaconf import OmegaConf

    cfg = saved_config(run_dir)
    OmegaConf.set_struct(cfg, False)
    if "resume" in cfg:
        cfg.resume = None
    # A check is no run of its own on a tracking server or in the ledger, and is judged with the
    # number of trials of then: there may be more now.
    cfg.tracking = {"_target_": "experiments.tracking.csv_tracker", "_partial_": True}
    cfg.ledger = None
    try:
        trials = Trials(**saved["metrics.json"]["trials"])
    except (KeyError, TypeError) as error:
        raise InputError(f"{run_dir / 'metrics.json'}: trials: {error}; run it again") from None
    OmegaConf.set_struct(cfg, True)
    if keep is not None and keep.exists() and any(keep.iterdir() if keep.is_dir() else [keep]):
        raise InputError(f"--keep {keep}: exists already; name a new folder")

    from experiments import pipeline

    fingerprint = pipeline.load_market(cfg).fingerprint
    former = before["data"]["fingerprint"]
    if fingerprint != former:
        raise InputError(
            f"the data have changed since the run in {run_dir}: fingerprint {fingerprint[:16]}..., "
            f"then {former[:16]}...; the numbers cannot be reproduced without the former data"
        )
    with tempfile.TemporaryDirectory() if keep is None else nullcontext(str(keep)) as folder:
        print(
            f"running again in {folder}{'' if keep else ' (removed at the end; --keep keeps it)'}"
        )
        pipeline.run(cfg, open_run_folder(folder, "--keep"), trials)
        again = numbers(Path(folder))
    policies = [name for name in saved if name.startswith("agents/")]
    files = [name for name in saved if name not in policies]
    trained = [f"{len(policies)} trained polic{'y' if len(policies) == 1 else 'ies'}"]
    print(f"compared: {', '.join(files + trained * bool(policies))}")
    differences = compare(saved, again)
    n_values = count(saved)
    if not differences:
        print(f"identical: {n_values} values")
        return 0
    _report(differences, n_values, reasons(before))
    return DIFFERENT


def reasons(before: Provenance) -> list[str]:
    """What is not as it was when the run was made."""
    found = []
    commit, now = before["git"]["commit"], git_state()
    if commit != now["commit"]:
        found.append(f"commit {str(commit)[:12]} then, {str(now['commit'])[:12]} now")
    for when, state in (("then", before["git"]), ("now", now)):
        if state["dirty"]:
            found.append(f"the source had uncommitted changes {when}")
    versions = package_versions()
    for name in sorted({*before["packages"], *versions}):
        one, two = before["packages"].get(name), versions.get(name)
        if one != two:
            found.append(f"{name} {one or 'absent'} then, {two or 'absent'} now")
    for name, value in machine().items():
        if before["machine"].get(name) != value:
            found.append(f"{name} {before['machine'].get(name)} then, {value} now")
    return found


def _report(differences: list[tuple[str, Any, Any]], n_values: int, why: list[str]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(soft_wrap=True)
    table = Table("value", "saved", "again", "difference", box=None)
    for name, one, two in differences[:MOST_SHOWN]:
        numbers = all(type(v) in (int, float) for v in (one, two))
        gap = f"{two - one:.3g}" if numbers else ""
        table.add_row(name, repr(one), repr(two), gap)
    console.print(table)
    if len(differences) > MOST_SHOWN:
        console.print(f"and {len(differences) - MOST_SHOWN} more")
    console.print(f"different: {len(differences)} of {n_values} values")
    for reason in why or ["nothing that is recorded has changed"]:
        console.print(f"possible reason: {reason}" if why else reason, markup=False)


if __name__ == "__main__":
    sys.exit(main())
