"""What Lightning hands over comes back as it was, from a file that executes nothing."""

import json
import math
import struct

import pytest
import torch

from networks.lightning_files import TensorFileIO, pack, unpack
from networks.tensor_file import read_tensors

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
