"""`provenance`: what is needed to know where a number came from, and nothing that is secret."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, NotRequired

from typing_extensions import TypedDict  # that of typing cannot be checked before Python 3.12

from envs.errors import InputError
from experiments.run_folder import strict_json

# Packages whose version can move a digit of the result.
PACKAGES = (
    "arch", "exchange-calendars", "gymnasium", "h5py", "hydra-core", "numba", "numpy", "pandas",
    "pyarrow", "scikit-learn", "scipy", "skfolio", "stable-baselines3", "torch", "tradewind",
)  # fmt: skip
SECRET = re.compile(r"(key|token|secret|password|passwd|credential)s?$", re.IGNORECASE)
HIDDEN = "***"


class GitState(TypedDict):
    """Commit of the source tree and whether tracked files differ; None where it is not known."""

    commit: str | None
    dirty: bool | None


class Data(TypedDict):
    """Which panel it was."""

    name: str
    fingerprint: str


class Machine(TypedDict):
    """Python, platform and processors; no name of host or user."""

    python: str
    platform: str
    processor: str
    cpu_count: int | None


class Start(TypedDict):
    """An earlier start of the same run; `seconds` where it came to its end."""

    started: str
    git: GitState
    seconds: float | None


class Provenance(TypedDict):
    """What readers need of the `provenance.json` of a finished run; `earlier` where it went on."""

    command: str
    started: str
    seconds: float
    earlier: NotRequired[list[Start]]
    data: Data
    git: GitState
    machine: Machine
    packages: dict[str, str]


def read_provenance(path: Path) -> Provenance:
    """Reads the `provenance.json` of a finished run.

    Raises:
        InputError: naming the file, and the entry that is missing or of another kind.
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        text = path.read_text(encoding="utf-8")
        strict_json(text)
        return TypeAdapter(Provenance).validate_json(text, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise InputError(f"{path}: {where}: {first['msg']}; name a finished run") from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read ({error}); name a finished run") from None


def provenance(
    *,
    data_name: str,
    data_fingerprint: str,
    seeds: Sequence[int],
    started: datetime,
    overrides: Sequence[str] = (),
) -> dict[str, Any]:
    """What made a run, as plain values for `provenance.json`.

    Args:
        data_name, data_fingerprint: of the `MarketData`.
        seeds: of the agents that were trained; empty for a run of baselines only.
        started: a moment with a time zone.
        overrides: of this job, where one command runs several.
    """
    return {
        "command": command_line(),
        "overrides": [scrubbed(text) for text in overrides],
        "started": started.astimezone(UTC).isoformat(timespec="seconds"),
        "seeds": [int(seed) for seed in seeds],
        "data": {"name": data_name, "fingerprint": data_fingerprint},
        "git": git_state(),
        "machine": machine(),
        "packages": package_versions(),
    }


def machine() -> Machine:
    """This one."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor(),
        "cpu_count": os.cpu_count(),
    }


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def package_versions() -> dict[str, str]:
    """Versions of the installed packages that matter; one that is not installed is left out."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def git_state(folder: Path | None = None) -> GitState:
    """State of the source tree; both None where the source is not under git.

    `dirty` counts changes of tracked files only: results and data beside the source do not change
    what runs.
    """
    folder = folder or Path(__file__).resolve().parent
    # An installed copy may lie inside somebody else's repository: then that commit means nothing.
    if _git(folder, "ls-files", "--error-unmatch", "--", ".") is None:
        return {"commit": None, "dirty": None}
    commit = _git(folder, "rev-parse", "HEAD")
    status = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return {"commit": commit, "dirty": None if commit is None or status is None else bool(status)}


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def command_line(arguments: Sequence[str] | None = None) -> str:
    """The command as it was typed, secrets replaced by `***`."""
    import shlex

    words = list(sys.orig_argv if arguments is None else arguments)
    if words:
        words[0] = Path(words[0]).name
    return " ".join(shlex.quote(scrubbed(word)) for word in words)


def scrubbed(word: str) -> str:
    """A word of a command, secrets replaced by `***`."""
    name, equals, _ = word.partition("=")
    if equals and SECRET.search(name):
        return f"{name}={HIDDEN}"
    for variable, value in os.environ.items():
        if SECRET.search(variable) and len(value) >= 8:
            word = word.replace(value, HIDDEN)
    return re.sub(r"(://)[^/@\s]+@", rf"\1{HIDDEN}@", word)
