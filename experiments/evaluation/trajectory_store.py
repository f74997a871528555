"""`trajectories.h5`: every trajectory of a run, exactly as it was recorded."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import h5py
import numpy as np

from agents.rollout import Trajectory
from envs.errors import InputError
from experiments.run_folder import write_bytes

FORMAT = 1
DATES = ("decision_dates", "dates")
SERIES = (
    "weights", "gross_return", "net_return", "asset_return", "cash_return", "turnover", "value",
    "reward",
)  # fmt: skip
OPTIONAL = ("n_listed", "held")


def save_trajectories(path: Path | str, trajectories: Mapping[str, Sequence[Trajectory]]) -> None:
    """Writes name -> trajectories, replacing at once: a kill leaves the former file as it was.

    Layout: `/NAME/INDEX/` with one dataset a series and `costs/KIND`; dates are int64 nanoseconds.

    Raises:
        InputError: naming the file, if it cannot be written.
    """
    path = Path(path)
    # Made in memory: on a full disk the library fails again and again, and at last in its exit.
    made = io.BytesIO()
    with h5py.File(made, "w", track_order=True) as file:
        file.attrs["format"] = FORMAT
        for name, runs in trajectories.items():
            group = file.create_group(name, track_order=True)
            for index, trajectory in enumerate(runs):
                _write(group.create_group(str(index), track_order=True), trajectory)
    write_bytes(path, made.getbuffer())


def load_trajectories(path: Path | str) -> dict[str, list[Trajectory]]:
    """Reads what `save_trajectories` wrote; every array comes back bit for bit.

    Raises:
        InputError: for a missing, truncated or foreign file, naming it.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file; is the run complete?")
    try:
        with h5py.File(path, "r", track_order=True) as file:
            found = file.attrs.get("format")
            if found != FORMAT:
                raise InputError(
                    f"{path}: format {found!r}, this version reads {FORMAT}; run it again"
                )
            return {name: [_read(file[name][index]) for index in file[name]] for name in file}
    except (OSError, KeyError, RuntimeError) as error:
        raise InputError(
            f"{path}: truncated or not a file of trajectories ({error}); run it again"
        ) from None


def _write(group: h5py.Group, t: Trajectory) -> None:
    text = h5py.string_dtype()
    group.attrs["name"] = t.name
    if t.seed is not None:
        group.attrs["seed"] = t.seed
    group.attrs["periods_per_year"] = t.periods_per_year
    group.attrs["ruined"] = t.ruined
    group.create_dataset("symbols", data=list(t.symbols), dtype=text)
    group.create_dataset("notes", data=list(t.notes), shape=(len(t.notes),), dtype=text)
    for key in DATES:
        dates = np.asarray(getattr(t, key), dtype="datetime64[ns]").astype(np.int64)
        group.create_dataset(key, data=dates, **_packed(dates))
    for key in SERIES:
        series = np.asarray(getattr(t, key))
        group.create_dataset(key, data=series, **_packed(series))
    for key in OPTIONAL:
        found = getattr(t, key)
        if found is not None:
            group.create_dataset(key, data=found, **_packed(found))
    costs = group.create_group("costs", track_order=True)
    for kind, cost in t.costs.items():
        costs.create_dataset(kind, data=cost, **_packed(cost))


def _packed(array: np.ndarray) -> dict[str, object]:
    return {"compression": "gzip", "shuffle": True, "fletcher32": True} if array.size else {}


def _read(group: h5py.Group) -> Trajectory:
    seed = group.attrs.get("seed")
    n = len(group["dates"])
    for series in [*(group[key] for key in (*DATES, *SERIES)), *group["costs"].values()]:
        # The value before the first step is there, too.
        steps = len(series) - series.name.endswith("/value")
        if steps != n:
            raise KeyError(f"{series.name} has {steps} steps, not {n}")
    return Trajectory(
        name=str(group.attrs["name"]),
        seed=None if seed is None else int(seed),
        symbols=tuple(group["symbols"].asstr()[:]),
        costs={kind: group["costs"][kind][:] for kind in group["costs"]},
        periods_per_year=float(group.attrs["periods_per_year"]),
        ruined=bool(group.attrs["ruined"]),
        notes=tuple(group["notes"].asstr()[:]),
        n_listed=_optional(group, "n_listed"),
        held=_optional(group, "held"),
        **{key: group[key][:].astype("datetime64[ns]") for key in DATES},
        **{key: group[key][:] for key in SERIES},
    )


def _optional(group: h5py.Group, key: str) -> np.ndarray | None:
    return group[key][:] if key in group else None
