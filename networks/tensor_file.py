"""Tensors and facts in one file: safetensors with JSON, never pickle: reading executes nothing."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

Tensors = dict[str, torch.Tensor]


def write_tensors(path: Path, tensors: Tensors, facts: dict[str, Any]) -> None:
    """Writes tensors and JSON-able facts to one file; the former one stays until it is whole.

    Raises:
        ValueError: if it cannot be written, say on a full disk; nothing is left of it.
    """
    # One key: safetensors keeps several in the random order of a hash map, and equal models would
    # differ in their bytes.
    facts = json.loads(json.dumps(facts))
    record = json.dumps({"facts": facts, "sha256": _digest(tensors, facts)})
    data = save(
        {key: value.detach().cpu().contiguous() for key, value in tensors.items()},
        metadata={"record": record},
    )
    temporary = path.with_suffix(".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise ValueError(
            f"{path} cannot be written ({error}); free space, or remove what stands in the way, "
            "then go on with resume=RUN_DIR"
        ) from None


def read_tensors(path: Path, keys: Sequence[str] = ()) -> tuple[Tensors, dict[str, Any]]:
    """What `write_tensors` wrote.

    Args:
        keys: that the facts must have.

    Raises:
        ValueError: if the file is missing or damaged, or lacks one of the keys.
    """
    try:
        with safe_open(path, framework="pt") as file:
            record = json.loads((file.metadata() or {}).get("record", "null"))
            # Copied to aligned memory: the last bits of a matrix product depend on it, and in the
            # file a tensor begins anywhere.
            tensors = {key: file.get_tensor(key).clone() for key in file.keys()}
        facts = record.get("facts") if isinstance(record, dict) else None
        if not isinstance(facts, dict):
            raise ValueError("it has no facts")
        if _digest(tensors, facts) != record.get("sha256"):
            raise ValueError("its checksum is wrong")
        if any(key not in facts for key in keys):
            raise ValueError("it belongs to another kind of agent")
        return tensors, facts
    except (OSError, SafetensorError, ValueError, RecursionError) as error:
        raise ValueError(
            f"{path} is missing, truncated or not one of ours ({error}); delete it to train anew"
        ) from None


def _digest(tensors: Tensors, facts: dict[str, Any]) -> str:
    """SHA-256 of the facts, and of name, dtype, shape and bytes of every tensor."""
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for key in sorted(tensors):
        value = tensors[key].detach().cpu().contiguous()
        digest.update(json.dumps([key, str(value.dtype), list(value.shape)]).encode())
        # As bytes, since NumPy knows no bfloat16.
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
