"""Checkpoints of Lightning as safetensors with JSON: reading one executes nothing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import CheckpointIO

from networks.tensor_file import Tensors, read_tensors, write_tensors


class TensorFileIO(CheckpointIO):
    """Writes what Lightning hands over with `write_tensors`; the former file stays until then."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        tensors: Tensors = {}
        facts = pack(checkpoint, tensors)
        write_tensors(Path(path), tensors, facts)

    def load_checkpoint(
        self, path: Any, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        tensors, facts = read_tensors(Path(path))
        return unpack(facts, tensors)

    def remove_checkpoint(self, path: Any) -> None:
        os.remove(path)


def pack(value: Any, tensors: Tensors) -> Any:
    """JSON of nested dicts, lists, tuples and plain values; tensors are moved into `tensors`.

    Raises:
        TypeError: for anything else.
    """
    if isinstance(value, torch.Tensor):
        key = str(len(tensors))
        # Cloned, since a file holds no memory twice, and some modules share theirs.
        tensors[key] = value.detach().cpu().clone()
        return {"$tensor": key}
    if isinstance(value, dict):
        if all(isinstance(key, str) and not key.startswith("$") for key in value):
            return {key: pack(one, tensors) for key, one in value.items()}
        return {"$items": [[pack(k, tensors), pack(v, tensors)] for k, v in value.items()]}
    if isinstance(value, tuple):
        return {"$tuple": [pack(one, tensors) for one in value]}
    if isinstance(value, list):
        return [pack(one, tensors) for one in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"a checkpoint holds no {type(value).__name__}: {value!r}")


def unpack(value: Any, tensors: Tensors) -> Any:
    """What `pack` was given."""
    if isinstance(value, list):
        return [unpack(one, tensors) for one in value]
    if not isinstance(value, dict):
        return value
    if "$tensor" in value:
        return tensors[value["$tensor"]]
    if "$tuple" in value:
        return tuple(unpack(one, tensors) for one in value["$tuple"])
    if "$items" in value:
        return {unpack(k, tensors): unpack(v, tensors) for k, v in value["$items"]}
    return {key: unpack(one, tensors) for key, one in value.items()}
