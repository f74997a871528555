"""What Lightning hands over comes back as it was, from a file that executes nothing."""

import errno
import json
import math
import struct

import pytest
import torch

from agents import checkpoint
from envs.errors import InputError
from networks.lightning_files import TensorFileIO, pack, unpack
from networks.tensor_file import read_tensors, write_tensors

NESTED = {
    "epoch": 3,
    "empty": {},
    "rates": [0.1, 1e-300, math.inf, -math.inf, None, True],
    "betas": (0.9, 0.999),
    "state": {0: {"step": torch.tensor(7.0), "square": torch.randn(3, 2)}, 1: {}},
    "$tensor": "a key that looks like a mark",
    "text": "é",
    "double": torch.tensor([1 / 3], dtype=torch.float64),
    "scalar": torch.tensor(5),
}


def equal(one, two):
    if isinstance(one, torch.Tensor):
        return one.dtype == two.dtype and torch.equal(one, two)
    if type(one) is not type(two):
        return False
    if isinstance(one, dict):
        return list(one) == list(two) and all(equal(one[key], two[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(two) and all(map(equal, one, two))
    return one == two


def test_nested_values_come_back(tmp_path):
    io = TensorFileIO()
    io.save_checkpoint(NESTED, tmp_path / "a.safetensors")
    assert equal(NESTED, io.load_checkpoint(tmp_path / "a.safetensors"))
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]
    io.remove_checkpoint(tmp_path / "a.safetensors")
    assert not list(tmp_path.iterdir())


def test_the_file_is_safetensors_with_json(tmp_path):
    TensorFileIO().save_checkpoint(NESTED, tmp_path / "a.safetensors")
    data = (tmp_path / "a.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    facts = json.loads(header["__metadata__"]["record"])["facts"]
    assert json.dumps(facts) == json.dumps(read_tensors(tmp_path / "a.safetensors")[1])
    assert b"pickle" not in data


def test_memory_that_is_shared_is_written_twice():
    tensors = {}
    value = torch.randn(4)
    packed = pack([value, value[:2]], tensors)
    assert len(tensors) == 2 and tensors["0"].data_ptr() != tensors["1"].data_ptr()
    assert torch.equal(unpack(packed, tensors)[1], value[:2])


def test_anything_else_is_refused():
    with pytest.raises(TypeError, match="a checkpoint holds no Generator"):
        pack({"rng": torch.Generator()}, {})


# ------------------------------------------------------------------------- damaged, and no room
def with_header(path, change):
    """Rewrites the JSON header of a file."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    change(header)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])


def reshaped(header):
    header["a"]["shape"] = [3, 2]


def retyped(header):
    header["a"]["dtype"] = "I32"


def later(header):
    record = header["__metadata__"]["record"]
    header["__metadata__"]["record"] = record.replace('"epoch": 3', '"epoch": 9')


def put(record):
    return lambda header: header["__metadata__"].update(record=json.dumps(record))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (reshaped, "checksum is wrong"),
        (retyped, "checksum is wrong"),
        (later, "checksum is wrong"),
        (put([1, 2]), "no facts"),
        (put({"facts": None, "sha256": ""}), "no facts"),
        (put({"facts": {}}), "checksum is wrong"),
        (lambda header: header.pop("__metadata__"), "no facts"),
    ],
)
def test_a_changed_header_is_refused(tmp_path, change, reason):
    path = tmp_path / "a.safetensors"
    write_tensors(path, {"a": torch.ones(2, 3)}, {"epoch": 3, "ages": {10: 1, 9: 2}})
    with_header(path, lambda header: None)
    assert read_tensors(path)[1] == {"epoch": 3, "ages": {"10": 1, "9": 2}}
    with_header(path, change)
    with pytest.raises(ValueError, match=rf"a\.safetensors is missing.*{reason}.*delete it"):
        read_tensors(path)


def test_every_kind_of_number_comes_back(tmp_path):
    path = tmp_path / "a.safetensors"
    given = {"half": torch.ones(3, dtype=torch.bfloat16), "none": torch.ones(0, 2)}
    given["flag"] = torch.tensor(True)
    write_tensors(path, given, {"limit": math.inf})
    assert equal(dict(sorted(given.items())), dict(sorted(read_tensors(path)[0].items())))


def test_facts_of_another_kind_are_refused(tmp_path):
    write_tensors(tmp_path / "a.safetensors", {}, {"curve": []})
    with pytest.raises(ValueError, match="another kind of agent"):
        read_tensors(tmp_path / "a.safetensors", ["curve", "epoch"])


def test_a_full_disk_leaves_the_former_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "a.safetensors"
    write_tensors(path, {}, {"epoch": 3})

    def full(file):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(ValueError, match=r"a\.safetensors cannot be written.*No space.*resume="):
        write_tensors(path, {}, {"epoch": 4})
    with pytest.raises(InputError, match=r"cannot be written.*No space.*resume=RUN_DIR"):
        checkpoint.write_tensors(path, {}, {"epoch": 4})
    assert list(tmp_path.iterdir()) == [path] and read_tensors(path)[1] == {"epoch": 3}


def test_a_folder_in_the_way_is_named(tmp_path):
    (tmp_path / "a.tmp").mkdir()
    with pytest.raises(ValueError, match=r"cannot be written.*directory.*a\.tmp.*remove what"):
        write_tensors(tmp_path / "a.safetensors", {}, {})
