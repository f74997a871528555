"""All numbers that a run left in its folder, and whether those of two runs are the same bits."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np

from envs.errors import InputError

JSON = ("metrics.json", "analysis.json", "known_answer.json", "predictions.json")
TABLES = ("results.csv",)
ARRAYS = ("trajectories.h5", "predictions.h5")
POLICIES = "agents/**/model.safetensors"
# What a clock says is no result.
TIMINGS = ("seconds",)


def numbers(folder: Path) -> dict[str, Any]:
    """File -> what it holds: a tree of JSON, a list of rows, or name -> array.

    Raises:
        InputError: naming the file that is broken.
    """
    found: dict[str, Any] = {}
    for name in JSON:
        if (folder / name).is_file():
            tree = read_json(folder / name)
            if isinstance(tree, dict):
                tree = {key: value for key, value in tree.items() if key not in TIMINGS}
            found[name] = tree
    for name in TABLES:
        if (folder / name).is_file():
            with open(folder / name, encoding="utf-8", newline="") as file:
                found[name] = list(csv.DictReader(file))
    for name in ARRAYS:
        if (folder / name).is_file():
            found[name] = _arrays(folder / name)
    for path in sorted(folder.glob(POLICIES)):
        found[path.relative_to(folder).as_posix()] = _parameters(path)
    return found


def read_json(path: Path) -> Any:
    """Raises:
    InputError: naming the file, if it is no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path} cannot be read: {error}") from error


def _arrays(path: Path) -> dict[str, Any]:
    """Every dataset and attribute of an HDF5 file by its path."""
    import h5py

    found: dict[str, Any] = {}

    def visit(name: str, item: Any) -> None:
        found.update({f"{name}@{key}": np.asarray(value) for key, value in item.attrs.items()})
        if isinstance(item, h5py.Dataset):
            found[name] = np.asarray(item)

    try:
        with h5py.File(path, "r") as file:
            visit("", file)
            file.visititems(visit)
    except (OSError, RuntimeError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    return found


def _parameters(path: Path) -> dict[str, Any]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return dict(load_file(path))
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error


def flat(tree: Any, path: str = "") -> dict[str, Any]:
    """`{"a": {"b": [1, 2]}}` -> `{"a.b[0]": 1, "a.b[1]": 2}`; an empty container is a value."""
    if isinstance(tree, dict) and tree:
        parts = [flat(value, f"{path}.{name}" if path else name) for name, value in tree.items()]
    elif isinstance(tree, list) and tree:
        parts = [flat(value, f"{path}[{i}]") for i, value in enumerate(tree)]
    else:
        return {path: tree}
    return {name: value for part in parts for name, value in part.items()}


def count(tree: Any) -> int:
    """How many values there are; of an array its elements."""
    return sum(v.size if isinstance(v, np.ndarray) else 1 for v in flat(tree).values())


def compare(saved: Any, again: Any) -> list[tuple[str, Any, Any]]:
    """`(name, saved, again)` of every value that is not equal to the last bit; None if missing.

    Of two arrays the first element that differs stands for all.
    """
    one, two = flat(saved), flat(again)
    names = [*one, *(name for name in two if name not in one)]
    found = []
    for name in names:
        a, b = one.get(name), two.get(name)
        if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
            found += _compare_arrays(name, a, b)
        # repr tells 1 from 1.0 and True, and 0.0 from -0.0; floats from JSON have one repr each.
        elif name not in one or name not in two or repr(a) != repr(b):
            found.append((name, _short(a), _short(b)))
    return found


def _compare_arrays(name: str, a: np.ndarray, b: np.ndarray) -> list[tuple[str, Any, Any]]:
    if a.dtype != b.dtype or a.shape != b.shape:
        return [(name, _short(a), _short(b))]
    if a.dtype == object:
        same = np.array([x == y for x, y in zip(a.flat, b.flat, strict=True)], dtype=np.bool_)
    else:
        # Bytes tell 0.0 from -0.0, and one NaN from another.
        width = max(a.dtype.itemsize, 1)
        bits = [np.frombuffer(x.tobytes(), dtype=np.uint8).reshape(-1, width) for x in (a, b)]
        same = (bits[0] == bits[1]).all(axis=1)
    if same.all():
        return []
    first = int(same.argmin())
    where = ",".join(str(i) for i in np.unravel_index(first, a.shape))
    several = f", {int((~same).sum())} of {a.size} differ"
    return [(f"{name}[{where}]{several}", _element(a, first), _element(b, first))]


def _element(array: np.ndarray, index: int) -> Any:
    value = array.reshape(-1)[index]
    return value.item() if isinstance(value, np.generic) else value


def _short(value: Any) -> Any:
    """An array that has no counterpart, in words."""
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {list(value.shape)}"
    return value
