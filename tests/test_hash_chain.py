"""The chain of hashes: what was changed is found, and nobody's line is lost."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from envs.errors import InputError
from experiments import hash_chain
from experiments.hash_chain import BrokenChain, read, writing

ROOT = Path(__file__).resolve().parents[1]
WRITER = """
import sys
from pathlib import Path
from experiments.hash_chain import writing
path, name, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
for k in range(count):
    with writing(path) as chain:
        chain.append({"event": "test", "writer": name, "k": k})
    print(k, flush=True)
"""


def write(path, count=6):
    for k in range(count):
        with writing(path) as chain:
            chain.append({"event": "test", "k": k, "text": "déjà\n vu", "number": 0.1 + k})


def texts(path):
    return path.read_bytes().split(b"\n")[:-1]


def put(path, lines):
    path.write_bytes(b"".join(line + b"\n" for line in lines))


def forged(line, without=(), **changes):
    """The line with other content and a hash that fits it, written from the definition."""
    entry = {**json.loads(line), **changes}
    for key in ("hash", *without):
        del entry[key]
    text = json.dumps(entry, sort_keys=True, separators=(",", ":"))
    entry["hash"] = hashlib.sha256(text.encode()).hexdigest()
    return json.dumps(entry, sort_keys=True, separators=(",", ":")).encode()


@pytest.fixture
def path(tmp_path):
    write(tmp_path / "chain.jsonl")
    return tmp_path / "chain.jsonl"


def broken(path):
    with pytest.raises(BrokenChain) as caught:
        read(path)
    before = path.read_bytes() if path.exists() else None
    with pytest.raises(BrokenChain), writing(path) as chain:
        chain.append({"event": "never"})
    if before is not None:
        assert path.read_bytes() == before
    return caught.value


def test_the_hashes_are_what_the_definition_says(path):
    """SHA-256 of sorted JSON without spaces; each line holds the hash of the one before."""
    previous = "0" * 64
    for number, text in enumerate(texts(path), 1):
        line = json.loads(text)
        own = line.pop("hash")
        plain = json.dumps(line, sort_keys=True, separators=(",", ":"))
        assert hashlib.sha256(plain.encode()).hexdigest() == own
        assert (line["line"], line["previous"]) == (number, previous)
        previous = own
    assert json.loads((path.parent / "chain.jsonl.head").read_text()) == {
        "lines": 6,
        "hash": previous,
    }
    assert [line["k"] for line in read(path).lines] == list(range(6))


@pytest.mark.parametrize("k", range(6))
def test_every_changed_byte_is_found(path, k):
    lines = texts(path)
    for position in range(0, len(lines[k]), 7):
        changed = bytearray(lines[k])
        changed[position] ^= 1
        put(path, [*lines[:k], bytes(changed), *lines[k + 1 :]])
        assert broken(path).line == k + 1


@pytest.mark.parametrize("k", range(6))
def test_a_removed_line_is_named(path, k):
    lines = texts(path)
    put(path, [*lines[:k], *lines[k + 1 :]])
    error = broken(path)
    assert error.line == k + 1
    assert "removed" in str(error)


@pytest.mark.parametrize("k", range(6))
def test_a_repeated_line_is_named(path, k):
    lines = texts(path)
    put(path, [*lines[: k + 1], lines[k], *lines[k + 1 :]])
    assert broken(path).line == k + 1


@pytest.mark.parametrize("k", range(6))
def test_a_line_with_a_hash_of_its_own_is_named(path, k):
    lines = texts(path)
    put(path, [*lines[:k], forged(lines[k], k=99), *lines[k + 1 :]])
    assert broken(path).line == k + 1


@pytest.mark.parametrize("k", range(1, 6))
def test_an_inserted_line_that_fits_the_ones_before_is_named(path, k):
    lines = texts(path)
    new = forged(lines[k], k=99)
    put(path, [*lines[:k], new, *lines[k:]])
    assert broken(path).line == k + 1


def test_two_lines_that_changed_places_are_named(path):
    lines = texts(path)
    put(path, [lines[0], lines[2], lines[1], *lines[3:]])
    assert broken(path).line == 2


@pytest.mark.parametrize("kept", range(6))
def test_lines_missing_at_the_end_are_found(path, kept):
    put(path, texts(path)[:kept])
    error = broken(path)
    assert error.line == kept + 1
    assert "6 lines" in str(error)


def test_a_cut_last_line_is_not_taken_for_a_torn_one(path):
    path.write_bytes(path.read_bytes()[:-20])
    error = broken(path)
    assert (error.line, "was cut" in str(error)) == (6, True)


def test_the_rest_written_anew_is_found_by_the_head(path):
    lines = texts(path)[:3]
    previous = json.loads(lines[-1])["hash"]
    for k in (3, 4, 5):
        lines.append(forged(texts(path)[k], k=99, previous=previous))
        previous = json.loads(lines[-1])["hash"]
    put(path, lines)
    assert "chain.jsonl.head" in str(broken(path))


def test_without_file_or_head(path, tmp_path):
    head = tmp_path / "chain.jsonl.head"
    text = head.read_text()
    head.unlink()
    assert "head is missing" in str(broken(path))
    deep = "[" * 100_000
    numbers = (
        '{"lines": "many", "hash": ""}',
        '{"lines": Infinity, "hash": ""}',
        '{"lines": -1, "hash": ""}',
    )
    for wrong in ("", "{}", "[1]", deep, *numbers):
        head.write_text(wrong)
        assert "cannot be read" in str(broken(path))
    head.write_text(text)
    path.unlink()
    with pytest.raises(BrokenChain, match="gone"):
        read(path)
    with pytest.raises(InputError, match="no such file"):
        read(tmp_path / "other.jsonl")


def test_a_line_that_no_reader_can_take_in_is_named(path):
    """Too deep for the parser, or without the hash of the line before it, and well hashed."""
    lines = texts(path)
    put(path, [*lines[:3], b"[" * 100_000, *lines[4:]])
    assert broken(path).line == 4
    put(path, [*lines[:3], forged(lines[3], without=["previous"]), *lines[4:]])
    assert broken(path).line == 4


def test_a_file_of_something_else_is_left_alone(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("remember the milk")
    with pytest.raises(BrokenChain, match="no whole line"), writing(path):
        pass
    assert path.read_text() == "remember the milk"


def test_two_chains_of_one_stem_have_each_their_head(tmp_path):
    for name in ("chain.jsonl", "chain.json", "chain"):
        write(tmp_path / name, 2)
    for name in ("chain.jsonl", "chain.json", "chain"):
        assert len(read(tmp_path / name).lines) == 2


def test_a_kill_between_line_and_head_is_mended(path, tmp_path):
    head = tmp_path / "chain.jsonl.head"
    before = head.read_text()
    write(path, 1)
    head.write_text(before)
    assert len(read(path).lines) == 7
    with writing(path):
        pass
    assert json.loads(head.read_text())["lines"] == 7
    head.write_text(before)
    write(path, 1)
    assert len(read(path).lines) == 8


@pytest.mark.parametrize("torn", [b"{", b'{"event":"test","k":6,"li', b"\xff\x00half"])
def test_a_torn_line_is_kept_in_a_line_of_its_own(path, torn):
    with path.open("ab") as file:
        file.write(torn)
    assert read(path).torn == torn
    write(path, 1)
    lines = read(path).lines
    assert [line["event"] for line in lines[6:]] == ["torn", "test"]
    assert lines[6]["text"] == torn.decode("utf-8", "backslashreplace")


def test_a_full_disk_leaves_the_chain_as_it_was(path, monkeypatch):
    before = path.read_bytes()

    def half(file, data):
        return real(file, data[: len(data) // 2])

    real = os.write
    with writing(path) as chain:
        monkeypatch.setattr(hash_chain.os, "write", half)
        with pytest.raises(InputError, match="disk full"):
            chain.append({"event": "test"})
    monkeypatch.undo()
    assert path.read_bytes() == before
    write(path, 1)
    assert len(read(path).lines) == 7


def test_where_no_chain_can_be(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "chain.jsonl", tmp_path):
        with pytest.raises(InputError, match="ledger=FILE"), writing(path):
            pass
    with pytest.raises(InputError, match="another name"):
        write(tmp_path / "chain.head")


def start(path, name, count):
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), name, str(count)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_processes_at_once_lose_nothing(tmp_path):
    path = tmp_path / "chain.jsonl"
    writers = {name: start(path, name, 60) for name in "abcd"}
    for writer in writers.values():
        writer.communicate(timeout=120)
        assert writer.returncode == 0
    lines = read(path).lines
    assert len(lines) == 240
    for name in writers:
        assert [line["k"] for line in lines if line["writer"] == name] == list(range(60))


def test_kills_lose_no_line_that_was_written(tmp_path):
    """kill -9 at random moments, with a second writer at work: what was reported is there."""
    path = tmp_path / "chain.jsonl"
    steady = start(path, "steady", 250)
    reported = {}
    for name in "abcde":
        victim = start(path, name, 10_000)
        assert victim.stdout.readline() == "0\n"
        time.sleep(0.03 * (1 + ord(name) % 4))
        victim.send_signal(signal.SIGKILL)
        rest = victim.communicate(timeout=60)[0].split("\n")[:-1]
        reported[name] = 1 + len(rest)
    steady.communicate(timeout=120)
    assert steady.returncode == 0
    write(path, 1)
    lines = read(path).lines
    assert [line["k"] for line in lines if line.get("writer") == "steady"] == list(range(250))
    for name, count in reported.items():
        kept = [line["k"] for line in lines if line.get("writer") == name]
        assert kept == list(range(len(kept)))
        assert count <= len(kept) <= count + 1


def test_a_real_limit_on_the_size_of_files(tmp_path):
    """The system refuses the second half of a line; the chain stays whole."""
    path = tmp_path / "chain.jsonl"
    write(path, 3)
    size = path.stat().st_size + 100

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    done = subprocess.run(
        [sys.executable, "-c", WRITER, str(path), "a", "1"],
        cwd=ROOT, preexec_fn=limit, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert "cannot be written" in done.stderr
    assert len(read(path).lines) == 3 and not read(path).torn
