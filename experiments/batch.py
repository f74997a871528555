"""One run of several, in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from experiments.run_folder import open_run_folder
from experiments.same_run import is_trained


def run_apart(settings: Sequence[str], folder: Path, finished: bool) -> bool:
    """Runs what the overrides name into the folder, or goes on there; False if that failed.

    What the run prints stands in `log.txt` of the folder.

    Args:
        finished: whether there is nothing left to do.
    """
    if finished:
        print(f"{folder.name}: finished before", flush=True)
        return True
    what = [*settings, f"hydra.run.dir={folder}"]
    # What was refused, or killed before it trained anything, is begun anew.
    if (folder / "config.yaml").exists() and is_trained(folder):
        what = [f"resume={folder}"]
    log = open_run_folder(folder) / "log.txt"
    with open(log, "a", encoding="utf-8") as file:
        command = [sys.executable, "-m", "experiments.run", *what]
        status = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT).returncode
    last = "" if status == 0 else f" failed with status {status}, see {log}"
    print(f"{folder.name}:{last or ' done'}", flush=True)
    return status == 0
