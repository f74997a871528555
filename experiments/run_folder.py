"""Run folders: checked when opened, and every file in them is either the old one or the new one."""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from envs.errors import InputError

# What Hydra and a run write before anything is computed.
FIRST_FILES = (
    ".lock", "config.yaml", "provenance.json", "trial.json", ".hydra/config.yaml",
    ".hydra/hydra.yaml", ".hydra/overrides.yaml",
)  # fmt: skip


def open_run_folder(path: str | Path, option: str = "hydra.run.dir=") -> Path:
    """Creates the folder where it is missing, proves that it can be written, returns its full path.

    Args:
        option: by which the user names it.

    Raises:
        InputError: naming the folder and the reason (a file in the way, no permission, disk full).
    """
    folder = Path(path).absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Permission bits do not tell (root ignores them, network disks lie): only writing does.
        handle, probe = tempfile.mkstemp(prefix=".probe-", dir=folder)
        try:
            os.write(handle, b"\0" * 4096)
            os.fsync(handle)
        finally:
            os.close(handle)
            os.unlink(probe)
    except OSError as error:
        raise InputError(
            f"run folder {folder} cannot be written: {_reason(error)}; "
            f"choose another with {option if option.endswith('=') else option + ' '}FOLDER"
        ) from error
    return folder


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keeps a second process out of the folder while this one works in it.

    Raises:
        InputError: if another process is at work there.
    """
    import fcntl

    with open(folder / ".lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"{folder}: another process is working in this run folder; wait for it to end"
            ) from None
        yield


def remove_empty_run(folder: Path) -> None:
    """Removes the folder of a run that was refused before it made anything.

    A folder that holds any other file than those that every run begins with is left as it is.
    """
    began = [folder / name for name in FIRST_FILES if (folder / name).is_file()]
    found = [path for path in folder.rglob("*") if not path.is_dir() or path.is_symlink()]
    if not folder.is_dir() or folder.is_symlink() or set(found) != set(began):
        return
    for path in began:
        path.unlink()
    for inner in (folder / ".hydra", folder):
        # A folder that is not empty, or came in between, stays.
        with suppress(OSError):
            inner.rmdir()


def write_text(path: str | Path, text: str) -> None:
    """Replaces the file at once: a kill or a full disk in the middle leaves the former content.

    Raises:
        InputError: naming the file, if it cannot be written.
    """
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: str | Path, data: bytes | memoryview) -> None:
    """As `write_text`."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {_reason(error)}") from error
    finally:
        # After os.replace there is nothing left to remove; after a failure there may be.
        temporary.unlink(missing_ok=True)


def write_json(path: str | Path, value: Any) -> None:
    """Writes plain values, NumPy scalars, arrays and paths as indented JSON, replacing at once.

    Floats keep all their bits (shortest text that reads back equal). A number that is not defined
    is None, never NaN, which JSON does not have.

    Raises:
        ValueError: naming the entry that is NaN or infinite.
        InputError: naming the file, if it cannot be written.
    """
    plain = _plain(value, "")
    write_text(path, json.dumps(plain, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def strict_json(text: str) -> Any:
    """What JSON says, without the numbers that it does not have.

    Raises:
        ValueError: for NaN, infinity and what no float holds as well.
    """

    def number(digits: str) -> float:
        if not math.isfinite(value := float(digits)):
            raise ValueError(f"{digits} is no number")
        return value

    return json.loads(text, parse_constant=number, parse_float=number)


def _plain(value: Any, where: str) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [_plain(item, f"{where}[{i}]") for i, item in enumerate(value)]
    if isinstance(value, (np.datetime64, np.timedelta64)):
        return str(value)
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{where.lstrip('.') or 'the value'} is {value}; write None instead")
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise TypeError(f"{where.lstrip('.') or 'the value'}: {type(value).__name__} has no JSON form")


def _reason(error: OSError) -> str:
    if isinstance(error, (FileExistsError, NotADirectoryError)):
        return "a file is in the way"
    return (error.strerror or str(error)).lower()
