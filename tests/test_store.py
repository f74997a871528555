"""The HDF5 store: what goes in comes out, damage is found, no kill or rival writer loses data."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from envs.data import MarketData, file, synthetic
from envs.data.store import append_rows, list_panels, load_extra, load_panel, save_panel
from envs.errors import InputError

PRICES = st.floats(1e-6, 1e9)


@st.composite
def panels(draw: st.DrawFn) -> MarketData:
    shape = draw(st.tuples(st.integers(2, 12), st.integers(1, 4)))
    close = draw(hnp.arrays(np.float64, shape, elements=PRICES | st.just(np.nan)))
    volume = draw(st.none() | hnp.arrays(np.float64, shape, elements=st.floats(0, 1e12)))
    days = draw(
        st.lists(st.integers(-40_000, 40_000), min_size=shape[0], max_size=shape[0], unique=True)
    )
    texts = st.text(st.characters(exclude_characters="\x00", exclude_categories=("Cs",)))
    return MarketData(
        dates=np.array(sorted(days), dtype="datetime64[D]"),
        symbols=draw(
            st.lists(texts.filter(bool), min_size=shape[1], max_size=shape[1], unique=True)
        ),
        close=close,
        volume=volume,
        cash_rate=draw(hnp.arrays(np.float64, shape[0], elements=st.floats(-0.5, 0.5))),
        benchmark=draw(st.none() | hnp.arrays(np.float64, shape[0], elements=PRICES)),
        benchmark_name=draw(texts),
        periods_per_year=draw(st.floats(0.1, 1e6)),
        name=draw(texts),
        notes=draw(st.lists(texts, max_size=3)),
    )


def same(a: MarketData, b: MarketData) -> bool:
    return (
        a.fingerprint == b.fingerprint
        and (a.name, a.notes, a.symbols) == (b.name, b.notes, b.symbols)
        and (a.benchmark_name, a.periods_per_year) == (b.benchmark_name, b.periods_per_year)
    )


@settings(max_examples=25, deadline=None)
@given(panels())
def test_round_trip(market: MarketData) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "store.h5"
        save_panel(path, market, "panel")
        assert same(load_panel(path, "panel"), market)


@settings(max_examples=12, deadline=None)
@given(panels().filter(lambda m: m.n_rows >= 4), st.data())
def test_appended_rows_make_the_whole(market: MarketData, data: st.DataObject) -> None:
    cut = data.draw(st.integers(2, market.n_rows - 2))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "store.h5"
        save_panel(path, market.rows(0, cut), "panel")
        append_rows(path, "panel", market.rows(cut, market.n_rows))
        assert same(load_panel(path), market)


def test_panels_live_side_by_side_and_are_replaced_by_name(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "store.h5"
    first, second = synthetic(50, 2, ohlcv=True), synthetic(60, 3, seed=1)
    save_panel(path, first, "a", extra={"cost": np.ones(3), "groups": np.array(["x", "yé"])})
    save_panel(path, first, "b")
    save_panel(path, second, "b")
    assert same(load_panel(path, "a"), first) and same(load_panel(path, "b"), second)
    assert load_extra(path, "a", "cost").tolist() == [1.0, 1.0, 1.0]
    assert load_extra(path, "a", "groups").tolist() == ["x", "yé"]
    assert list(list_panels(path)) == ["a", "b"]
    assert list_panels(path)["b"].startswith("60 rows x 3 symbols, 2000-01-03..")
    assert same(file(str(path), panel="a", symbols=["S01"]), first.select(["S01"]))


def test_datasets_are_chunked_compressed_checksummed_and_growable(tmp_path: Path) -> None:
    path = tmp_path / "store.h5"
    save_panel(path, synthetic(5000, 20, ohlcv=True, volatility=0.0), "a")
    with h5py.File(path) as store:
        for name in ("close", "volume", "tradable", "dates", "cash_rate"):
            dataset = store["a"][name]
            assert dataset.chunks and dataset.compression == "gzip" and dataset.shuffle
            assert dataset.fletcher32 and dataset.maxshape[0] is None
    assert path.stat().st_size < 5000 * 20 * 8 * 5


def test_wrong_requests_are_named(tmp_path: Path) -> None:
    path = tmp_path / "store.h5"
    market = synthetic(50, 2)
    with pytest.raises(InputError, match=r"store\.h5: no such store; import or fetch"):
        load_panel(path)
    with pytest.raises(InputError, match="no such store to append to"):
        append_rows(path, "a", market)
    assert not path.exists()
    save_panel(path, market.rows(0, 30), "a", extra=None)
    save_panel(path, market, "b", extra={"x": np.ones(2)})
    with pytest.raises(InputError, match=r"no panel 'c'; it holds a, b"):
        load_panel(path, "c")
    with pytest.raises(InputError, match=r"holds the panels a, b; name the one"):
        load_panel(path)
    with pytest.raises(InputError, match="holds no 'y'"):
        load_extra(path, "b", "y")
    with pytest.raises(InputError, match="'x/y' cannot name a panel"):
        save_panel(path, market, "x/y")
    with pytest.raises(InputError, match="append only later rows"):
        append_rows(path, "a", market.rows(29, 40))
    with pytest.raises(InputError, match="append the same symbols"):
        append_rows(path, "a", market.rows(30, 40).select(["S01", "S00"]))
    with pytest.raises(InputError, match=r"periods_per_year is 252.* and 12"):
        append_rows(path, "a", replace(market.rows(30, 40), periods_per_year=12.0))
    with pytest.raises(InputError, match="open is only in the new rows"):
        append_rows(path, "a", synthetic(50, 2, ohlcv=True).rows(30, 40))
    with pytest.raises(InputError, match="has arrays beside it"):
        append_rows(path, "b", market)
    assert same(load_panel(path, "a"), market.rows(0, 30)), "a refused append changed the store"


def test_a_store_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("x")
    with pytest.raises(InputError, match=r"cannot be written .*; choose a folder"):
        save_panel(tmp_path / "plain" / "store.h5", synthetic(5, 1), "a")
    with pytest.raises(InputError, match="is a folder; name a file"):
        save_panel(tmp_path, synthetic(5, 1), "a")


# ------------------------------------------------------------------ damage
@pytest.mark.parametrize("keep", [0.0, 0.01, 0.3, 0.7, 0.99])
def test_a_truncated_file_is_found(tmp_path: Path, keep: float) -> None:
    path = tmp_path / "store.h5"
    save_panel(path, synthetic(500, 3), "a")
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(InputError, match=r"store\.h5: .*truncated or damaged .*restore it"):
        load_panel(path, "a")
    # A write must not bury the damage either.
    with pytest.raises(InputError, match="truncated or damaged"):
        save_panel(path, synthetic(5, 1), "b")


def test_a_flipped_bit_in_the_prices_is_found(tmp_path: Path) -> None:
    path = tmp_path / "store.h5"
    save_panel(path, synthetic(500, 3), "a")
    with h5py.File(path) as store:
        start = store["a"]["close"].id.get_chunk_info(0).byte_offset
    data = bytearray(path.read_bytes())
    data[start + 100] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match="truncated or damaged"):
        load_panel(path, "a")


def test_content_that_does_not_fit_the_fingerprint_is_found(tmp_path: Path) -> None:
    path = tmp_path / "store.h5"
    save_panel(path, synthetic(50, 3), "a")
    with h5py.File(path, "r+") as store:
        store["a"]["close"][7, 1] *= 1.0000001
    with pytest.raises(InputError, match=r"store\.h5, panel a: .* does not fit its fingerprint"):
        load_panel(path, "a")
    with h5py.File(path, "r+") as store:
        store["a"]["close"][7, 1] = -1.0
    with pytest.raises(InputError, match=r"store\.h5: .*close is zero or negative at row 7"):
        load_panel(path, "a")


@pytest.mark.parametrize(
    "content", [b"", b"date,A\n2020-01-01,1\n", b"\x89HDF\r\n\x1a\n" + b"\0" * 90]
)
def test_something_else_than_a_store_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "store.h5"
    path.write_bytes(content)
    with pytest.raises(InputError, match="not a store of this project"):
        list_panels(path)


def test_an_hdf5_file_of_another_kind_is_named(tmp_path: Path) -> None:
    path = tmp_path / "store.h5"
    with h5py.File(path, "w") as other:
        other["x"] = np.ones(3)
    with pytest.raises(InputError, match="not a store of this project"):
        load_panel(path, "x")


# ------------------------------------------------------------------ kills and rivals
KILLED = """
import os, signal, sys
import h5py
from envs.data import synthetic
from envs.data import store

def die(*_args, **_keywords):
    os.kill(os.getpid(), signal.SIGKILL)

path, when = sys.argv[1:]
if when == "between datasets":
    real, seen = h5py.Group.create_dataset, []
    def create(self, name, *args, **keywords):
        seen.append(name)
        return die() if len(seen) == 4 else real(self, name, *args, **keywords)
    h5py.Group.create_dataset = create
elif when == "before the flush":
    store._sync = die
elif when == "before the swap":
    os.replace = die
elif when == "while appending":
    h5py.Dataset.resize = die
if when == "while appending":
    store.append_rows(path, "old", synthetic(300, 4).rows(200, 300))
else:
    store.save_panel(path, synthetic(5000, 4, seed=9), "new")
"""


@pytest.mark.parametrize(
    "when", ["between datasets", "before the flush", "before the swap", "while appending"]
)
def test_a_kill_in_the_middle_of_a_write_loses_nothing(tmp_path: Path, when: str) -> None:
    path = tmp_path / "store.h5"
    before = synthetic(300, 4).rows(0, 200)
    save_panel(path, before, "old")
    content = path.read_bytes()
    done = subprocess.run([sys.executable, "-c", KILLED, str(path), when], check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.read_bytes() == content
    assert same(load_panel(path, "old"), before)
    # The next writer neither waits for the dead one's lock nor leaves its debris.
    save_panel(path, before, "next")
    assert sorted(list_panels(path)) == ["next", "old"]
    assert not list(tmp_path.glob("*.tmp")) and not list(tmp_path.glob(".*.tmp"))


def test_two_writers_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "store.h5"
    code = (
        "import sys; from envs.data import synthetic; from envs.data.store import save_panel\n"
        "for i in range(8):\n"
        "    save_panel(sys.argv[1], synthetic(200, 3, seed=i), sys.argv[2] + str(i))"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code, str(path), name]) for name in "ab"]
    assert [writer.wait(timeout=60) for writer in writers] == [0, 0]
    assert sorted(list_panels(path)) == sorted(f"{name}{i}" for name in "ab" for i in range(8))
    assert load_panel(path, "b3").fingerprint == synthetic(200, 3, seed=3).fingerprint
    assert os.listdir(tmp_path).count("store.h5") == 1
