"""Tensors and facts in one file: safetensors with JSON, never pickle: reading executes nothing."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

Tensors = dict[str, torch.Tensor]


def write_tensors(path: Path, tensors: Tensors, facts: dict[str, Any]) -> None:
    """Writes tensors and JSON-able facts to one file; the former one stays until it is whole."""
    # One key: safetensors keeps several in the random order of a hash map, and equal models would
    # differ in their bytes.
    record = json.dumps({"facts": facts, "sha256": _digest(tensors)})
    data = save(
        {key: value.detach().cpu().contiguous() for key, value in tensors.items()},
        metadata={"record": record},
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    with open(temporary, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def read_tensors(path: Path) -> tuple[Tensors, dict[str, Any]]:
    """What `write_tensors` wrote.

    Raises:
        ValueError: if the file is missing or damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            record = json.loads((file.metadata() or {})["record"])
            facts = record["facts"]
            # Copied to aligned memory: the last bits of a matrix product depend on it, and in the
            # file a tensor begins anywhere.
            tensors = {key: file.get_tensor(key).clone() for key in file.keys()}
        if _digest(tensors) != record["sha256"]:
            raise ValueError("its checksum is wrong")
        return tensors, facts
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise ValueError(
            f"{path} is missing, truncated or not one of ours ({error}); delete it to train anew"
        ) from None


def _digest(tensors: Tensors) -> str:
    """SHA-256 of names and values."""
    digest = hashlib.sha256()
    for key in sorted(tensors):
        digest.update(key.encode())
        digest.update(np.ascontiguousarray(tensors[key].detach().cpu().numpy()).data)
    return digest.hexdigest()
