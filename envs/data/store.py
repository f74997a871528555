"""Panels in one HDF5 file: checksummed, appendable, and never half written.

Every write goes to a temporary file beside the store, is flushed to disk and then takes the store's
place in one step (`os.replace`), so that a kill at any moment leaves the former content readable. A
lock file keeps two writers apart; readers need none.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from envs.data.market_data import MarketData
from envs.errors import InputError

if TYPE_CHECKING:
    import h5py

MATRICES = ("close", "open", "high", "low", "volume", "tradable")
# Kept only where it says more than the end of the prices does.
DELISTINGS = "delisting_value"
SERIES = ("cash_rate", "benchmark")
SCALARS = ("periods_per_year", "name", "benchmark_name")
CHUNK_BYTES = 1 << 20


def cache_folder() -> Path:
    """Where fetched sources are kept: `TRADEWIND_DATA`, or `~/.cache/tradewind`."""
    return Path(os.environ.get("TRADEWIND_DATA") or Path.home() / ".cache" / "tradewind")


def save_panel(
    path: str | Path,
    market: MarketData,
    name: str,
    extra: Mapping[str, NDArray[Any]] | None = None,
) -> None:
    """Writes `market` as panel `name` of the store at `path`; other panels stay as they are.

    A panel of that name is replaced. `extra` holds further arrays to keep beside the prices.

    Raises:
        InputError: if the name is not a plain one, the folder cannot be written, or the store that
            is there already is damaged.
    """
    _check_name(name)

    def write(old: h5py.File | None, new: h5py.File) -> None:
        for key in () if old is None else old:
            if old is not None and key != name:
                old.copy(old[key], new, name=key)
        group = new.create_group(name)
        _write_panel(group, market)
        for key, value in (extra or {}).items():
            _dataset(group.require_group("extra"), key, value)

    _rewrite(Path(path), write)


def load_panel(path: str | Path, name: str | None = None) -> MarketData:
    """Reads panel `name` (or the only one) and checks it against its fingerprint.

    Raises:
        InputError: if the file is missing, truncated or not HDF5, if a checksum or the fingerprint
            does not fit, or if there is no such panel.
    """
    with _opened(Path(path)) as file:
        group = file[_panel_name(file, path, name)]
        market = _read_panel(group)
        if market.fingerprint != group.attrs["fingerprint"]:
            raise InputError(
                f"{path}, panel {name or group.name[1:]}: the content does not fit its "
                "fingerprint; the file was changed or damaged: fetch or import the data again"
            )
    return market


def load_extra(path: str | Path, name: str, key: str) -> NDArray[Any]:
    """Reads the array `key` that was saved beside panel `name`.

    Raises:
        InputError: as `load_panel`, and if there is no such array.
    """
    with _opened(Path(path)) as file:
        group = file[_panel_name(file, path, name)]
        if key not in group.get("extra", {}):
            raise InputError(f"{path}, panel {name}: holds no {key!r}; fetch the data again")
        value = group["extra"][key]
        return (value.asstr() if value.dtype.kind == "O" else value)[...]


def append_rows(path: str | Path, name: str, market: MarketData) -> None:
    """Adds the rows of `market` after the last row of panel `name`.

    The first `cash_rate` of the new rows counts: it is the return since the last stored row.

    Raises:
        InputError: if symbols, fields or periods a year differ, or if the new dates do not all
            come after the stored ones.
    """

    def write(old: h5py.File | None, new: h5py.File) -> None:
        if old is None:
            raise InputError(f"{path}: no such store to append to; use save_panel first")
        for key in old:
            old.copy(old[key], new, name=key)
        group = new[_panel_name(new, path, name)]
        if "extra" in group:
            raise InputError(f"{path}, panel {name}: has arrays beside it; save it as a whole")
        before = _read_panel(group)
        joined = _joined(before, market, f"{path}, panel {name}")
        for key in ("dates", *MATRICES, *SERIES):
            if key in group:
                rows = _encoded(getattr(joined, key))
                group[key].resize(rows.shape[0], axis=0)
                group[key][before.n_rows :] = rows[before.n_rows :]
        group.pop(DELISTINGS, None)
        _write_delistings(group, joined)
        group.attrs["fingerprint"] = joined.fingerprint

    _rewrite(Path(path), write)


def list_panels(path: str | Path) -> dict[str, str]:
    """Panel name -> one line on its rows, symbols, dates and fingerprint.

    Raises:
        InputError: as `load_panel`.
    """
    with _opened(Path(path)) as file:
        lines = {}
        for name in sorted(file):
            group = file[name]
            dates = group["dates"][...].astype("datetime64[ns]").astype("datetime64[D]")
            lines[name] = (
                f"{group['close'].shape[0]} rows x {group['close'].shape[1]} symbols, "
                f"{dates[0]}..{dates[-1]}, fingerprint {group.attrs['fingerprint'][:12]}"
            )
        return lines


# ------------------------------------------------------------------ content of one panel
def _write_panel(group: h5py.Group, market: MarketData) -> None:
    import h5py

    for key in ("dates", *MATRICES, *SERIES):
        value = getattr(market, key)
        if value is not None:
            _dataset(group, key, _encoded(value))
    _write_delistings(group, market)
    text = h5py.string_dtype()
    group.create_dataset("symbols", data=list(market.symbols), dtype=text)
    group.create_dataset("notes", shape=(len(market.notes),), data=list(market.notes), dtype=text)
    for key in SCALARS:
        group.attrs[key] = getattr(market, key)
    group.attrs["fingerprint"] = market.fingerprint


def _write_delistings(group: h5py.Group, market: MarketData) -> None:
    declared = market.declared_delistings
    if declared is not None:
        _dataset(group, DELISTINGS, declared)


def _read_panel(group: h5py.Group) -> MarketData:
    fields = {key: group[key][...] for key in (*MATRICES, *SERIES, DELISTINGS) if key in group}
    fields["tradable"] = fields["tradable"].astype(bool)
    return MarketData(
        dates=group["dates"][...].astype("datetime64[ns]"),
        symbols=tuple(group["symbols"].asstr()[...]),
        notes=tuple(group["notes"].asstr()[...]),
        **{key: group.attrs[key] for key in SCALARS},
        **fields,
    )


def _encoded(value: NDArray[Any]) -> NDArray[Any]:
    """HDF5 has neither dates nor booleans."""
    if value.dtype.kind == "M":
        return value.astype("datetime64[ns]").astype(np.int64)
    return value.astype(np.uint8) if value.dtype.kind == "b" else value


def _dataset(group: h5py.Group, key: str, value: NDArray[Any]) -> None:
    if value.dtype.kind == "U":
        import h5py

        group.create_dataset(key, data=value.astype(object), dtype=h5py.string_dtype())
        return
    row_bytes = max(1, value[:1].nbytes)
    group.create_dataset(
        key,
        data=value,
        chunks=(max(1, CHUNK_BYTES // row_bytes), *value.shape[1:]),
        maxshape=(None, *value.shape[1:]),
        compression="gzip",
        compression_opts=4,
        shuffle=True,
        fletcher32=True,
    )


def _joined(before: MarketData, after: MarketData, where: str) -> MarketData:
    from dataclasses import replace

    if after.symbols != before.symbols:
        raise InputError(
            f"{where}: the new rows have the symbols {', '.join(after.symbols[:10])}, the stored "
            f"ones {', '.join(before.symbols[:10])}; append the same symbols in the same order"
        )
    if after.periods_per_year != before.periods_per_year:
        raise InputError(
            f"{where}: periods_per_year is {before.periods_per_year} in the store and "
            f"{after.periods_per_year} in the new rows"
        )
    if after.dates[0] <= before.dates[-1]:
        raise InputError(
            f"{where}: the new rows begin on {after.dates[0]}, the stored ones end on "
            f"{before.dates[-1]}; append only later rows"
        )
    fields: dict[str, Any] = {}
    for key in ("dates", *MATRICES, *SERIES):
        old, new = getattr(before, key), getattr(after, key)
        if (old is None) != (new is None):
            raise InputError(
                f"{where}: {key} is only in the {'new' if old is None else 'stored'} rows"
            )
        fields[key] = None if old is None else np.concatenate([old, new])
    fields[DELISTINGS] = _joined_delistings(before, after)
    return replace(before, **fields)


def _joined_delistings(before: MarketData, after: MarketData) -> NDArray[np.float64] | None:
    """What both parts declare; where neither does, the end of the joined prices decides."""
    if before.declared_delistings is None and after.declared_delistings is None:
        return None
    parts = [
        np.full(part.close.shape, np.nan) if part.delisting_value is None else part.delisting_value
        for part in (before, after)
    ]
    return np.concatenate(parts)


# ------------------------------------------------------------------ files
def _check_name(name: str) -> None:
    if not name or "/" in name or name.startswith("."):
        raise InputError(f"{name!r} cannot name a panel; use letters, digits, '_' and '-'")


def _panel_name(file: h5py.File, path: str | Path, name: str | None) -> str:
    names = sorted(file)
    if name is None and len(names) == 1:
        return names[0]
    if name is None:
        raise InputError(f"{path}: holds the panels {', '.join(names)}; name the one to read")
    if name not in names:
        raise InputError(f"{path}: no panel {name!r}; it holds {', '.join(names) or 'none'}")
    return name


@contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    """The store, open for reading; damage of any kind becomes an `InputError`."""
    import h5py

    if not path.is_file():
        raise InputError(f"{path}: no such store; import or fetch the data first")
    remedy = "restore it from a copy, or delete it and fetch or import the data again"
    try:
        with h5py.File(path, "r") as file:
            yield file
    except InputError as error:
        if str(path) in str(error):
            raise
        raise InputError(f"{path}: {error}") from error
    except (OSError, RuntimeError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path}: not a store of this project, truncated or damaged ({error}); {remedy}"
        ) from error


def _rewrite(path: Path, write: Callable[[h5py.File | None, h5py.File], None]) -> None:
    """Makes the store anew beside the old one with `write(old, new)` and puts it in its place."""
    import h5py

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise InputError(f"{path}: is a folder; name a file such as {path / 'panels.h5'}")
        with _locked(path):
            # Left behind by a killed writer: nobody else can be writing while we hold the lock.
            for stale in path.parent.glob(f".{path.name}.*.tmp"):
                stale.unlink()
            temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
            try:
                with h5py.File(temporary, "w") as new:
                    if path.exists():
                        with _opened(path) as old:
                            write(old, new)
                    else:
                        write(None, new)
                _sync(temporary)
                os.replace(temporary, path)
                _sync(path.parent)
            finally:
                temporary.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(
            f"{path}: cannot be written ({error.strerror or error}); choose a folder that you may "
            "write to and that has space"
        ) from error


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One writer at a time; the kernel releases the lock of a process that dies."""
    import fcntl

    with open(path.with_name(f".{path.name}.lock"), "w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
