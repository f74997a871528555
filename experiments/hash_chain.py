"""A file of JSON lines that shows when a line was changed, inserted or removed.

Every line holds its number, the hash of the line before it and its own hash (SHA-256 of the line's
canonical JSON without that entry). A head file beside the chain, `FILE.head`, holds the number of
lines and the last hash, so that lines missing at the end are seen, too. Lines are only ever
appended, each by one write that is flushed to the disk before anything else happens, under a lock
that the system releases when its holder dies.

What it cannot show: somebody who writes file and head anew as a whole has made another chain.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from envs.errors import InputError
from experiments.run_folder import write_json

NOTHING = "0" * 64
HEAD = ".head"
Line = dict[str, Any]


class BrokenChain(InputError):
    """A line was changed, inserted or removed; `line` is the first one."""

    def __init__(self, path: Path, line: int, what: str) -> None:
        super().__init__(f"{path}, line {line}: {what}")
        self.path, self.line = path, line


@dataclass
class Chain:
    """A chain whose hashes have been checked.

    Attributes:
        lines: one dict a line, `line`, `previous` and `hash` among its entries.
        known: number of lines that the head knows, one less than there are where a writer was
            killed between the two.
        torn: what a writer that was killed in the middle of a line has left of it; empty otherwise.
        file: open for appending; -1 where the chain was only read.
    """

    path: Path
    lines: list[Line]
    known: int
    torn: bytes = b""
    file: int = field(default=-1, repr=False)

    def append(self, entry: Line) -> Line:
        """Writes one line after the last, and returns it with its number and hashes.

        Raises:
            InputError: where it cannot be written; the file is then as before.
        """
        before = self.lines[-1]["hash"] if self.lines else NOTHING
        line = {**entry, "line": len(self.lines) + 1, "previous": before}
        line["hash"] = hash_of(line)
        data = canonical(line).encode() + b"\n"
        size = os.fstat(self.file).st_size
        try:
            if os.write(self.file, data) != len(data):
                os.ftruncate(self.file, size)
                raise OSError(None, "disk full")
            os.fsync(self.file)
        except OSError as error:
            raise _unwritable(self.path, error) from error
        self.lines.append(line)
        self._write_head()
        return line

    def _write_head(self) -> None:
        last = self.lines[-1]
        write_json(head_of(self.path), {"lines": last["line"], "hash": last["hash"]})
        self.known = len(self.lines)
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # the new name of the head
        finally:
            os.close(folder)


@contextmanager
def writing(path: Path) -> Iterator[Chain]:
    """The checked chain, which nobody else can write to until the block is left.

    A line that was torn by a kill is kept in a line of its own, `{"event": "torn", "text": ...}`.

    Raises:
        BrokenChain: before anything is written.
        InputError: if the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        chain = _checked(path, file)
        if chain.torn and not chain.lines:
            raise BrokenChain(path, 1, "is no whole line, and there is no other")
        chain.file = file
        if chain.known < len(chain.lines):
            chain._write_head()
        if chain.torn:
            os.ftruncate(file, os.fstat(file).st_size - len(chain.torn))
            text, chain.torn = chain.torn.decode("utf-8", "backslashreplace"), b""
            chain.append({"event": "torn", "text": text})
        yield chain
    finally:
        os.close(file)


def read(path: Path) -> Chain:
    """The checked chain, as it is at this moment.

    Raises:
        BrokenChain: if a line was changed, inserted or removed.
        InputError: if there is no such file, or it cannot be read.
    """
    try:
        file = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        if head_of(path).exists():
            raise BrokenChain(path, 1, f"the file is gone, {head_of(path)} is there") from None
        raise InputError(f"{path}: no such file") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    try:
        fcntl.flock(file, fcntl.LOCK_SH)
        return _checked(path, file)
    finally:
        os.close(file)


def head_of(path: Path) -> Path:
    """The head file of a chain."""
    if path.suffix == HEAD:
        raise InputError(f"{path}: {HEAD} is the ending of the head file; choose another name")
    return path.with_name(path.name + HEAD)


def canonical(value: Any) -> str:
    """The one JSON text of a value: sorted keys, no spaces, ASCII."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def hash_of(line: Line) -> str:
    """SHA-256 of a line's canonical JSON without its own hash."""
    body = {key: value for key, value in line.items() if key != "hash"}
    return hashlib.sha256(canonical(body).encode()).hexdigest()


# ------------------------------------------------------------------ checks
def _checked(path: Path, file: int) -> Chain:
    try:
        with os.fdopen(os.dup(file), "rb") as stream:
            stream.seek(0)
            *whole, torn = stream.read().split(b"\n")
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    lines: list[Line] = []
    for number, data in enumerate(whole, 1):
        lines.append(_line(path, number, data))
        _check_link(path, lines)
    return Chain(path, lines, _check_end(path, lines, bool(torn)), torn)


def _line(path: Path, number: int, data: bytes) -> Line:
    """One line whose hash fits what it says."""
    try:
        line = json.loads(data)
        good = isinstance(line, dict) and canonical(line).encode() == data
        good = good and isinstance(line.get("line"), int) and isinstance(line.get("previous"), str)
        good = good and line.get("hash") == hash_of(line)
    except (ValueError, RecursionError):
        good = False
    if not good:
        raise BrokenChain(path, number, "was changed or inserted: its hash does not fit its text")
    return line


def _check_link(path: Path, lines: list[Line]) -> None:
    """The last of the lines follows the one before it."""
    line, number = lines[-1], len(lines)
    before = lines[-2]["hash"] if number > 1 else NOTHING
    if line["previous"] == before and line["line"] == number:
        return
    known = [NOTHING, *(earlier["hash"] for earlier in lines[:-1])]
    if line["previous"] in known:
        # It follows an earlier line: what lies between them does not belong there.
        first = known.index(line["previous"]) + 1
        raise BrokenChain(path, first, "was inserted, or written anew after the lines behind it")
    if line["line"] > number:
        raise BrokenChain(path, number, "was removed")
    first = max(number - 1, 1)
    raise BrokenChain(path, first, "was changed, and its hash was written anew")


def _check_end(path: Path, lines: list[Line], torn: bool) -> int:
    """The chain ends as its head says, or one line later: a writer was killed before the head.

    Returns:
        number of lines that the head knows.
    """
    head = head_of(path)
    try:
        told = json.loads(head.read_text(encoding="utf-8"))
        count, last = int(told["lines"]), str(told["hash"])
    except FileNotFoundError:
        count, last = 0, NOTHING
    except (OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError):
        raise BrokenChain(path, max(len(lines), 1), f"{head} cannot be read") from None
    hashes = [NOTHING, *(line["hash"] for line in lines)]
    n = len(lines)
    if count < 0:
        raise BrokenChain(path, max(n, 1), f"{head} cannot be read")
    if count > n:
        what = "was cut" if torn else f"was removed: {head} knows {count} lines"
        raise BrokenChain(path, n + 1, what)
    if hashes[count] != last:
        raise BrokenChain(path, max(count, 1), f"is not the one that {head} ends with")
    if n - count > 1:
        what = f"is not known to {head}"
        raise BrokenChain(path, count + 1, what if head.exists() else f"{head} is missing")
    return count


def _unwritable(path: Path, error: OSError) -> InputError:
    reason = (error.strerror or str(error)).lower()
    return InputError(f"{path} cannot be written: {reason}; choose another with ledger=FILE")
