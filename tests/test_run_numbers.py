"""What counts as a number of a run, and that one bit of any of them is seen."""

from __future__ import annotations

import json
import shutil

import h5py
import numpy as np
import pytest
from safetensors.numpy import save_file

from envs.errors import InputError
from experiments.evaluation.trajectory_store import save_trajectories
from experiments.run_numbers import compare, count, numbers
from tests.trajectories import simulate

POLICY = "agents/ppo/window_2/seed_0/model.safetensors"


@pytest.fixture
def folder(tmp_path):
    one = tmp_path / "one"
    (one / POLICY).parent.mkdir(parents=True)
    (one / "metrics.json").write_text('{"ppo": {"cagr": 0.1, "seeds": [1, 2]}}')
    (one / "analysis.json").write_text('{"costs": [0.0, 1.0]}')
    (one / "known_answer.json").write_text('{"score": 0.5, "seconds": {"0": 61.2}}')
    (one / "results.csv").write_text("strategy,final_wealth\nppo,1.25\n")
    save_trajectories(one / "trajectories.h5", {"ppo": [simulate(seed=0, n=50)]})
    save_file({"layer.weight": np.arange(6, dtype=np.float32)}, one / POLICY)
    (one / "progress.csv").write_text("seed,step,wall_seconds\n0,1,3.5\n")
    (one / "report.html").write_text("<p>")
    shutil.copytree(one, tmp_path / "two")
    return tmp_path


def differences(folder):
    return compare(numbers(folder / "one"), numbers(folder / "two"))


def test_equal_folders_are_equal_and_every_element_counts(folder):
    found = numbers(folder / "one")
    assert list(found) == [
        "metrics.json", "analysis.json", "known_answer.json", "results.csv", "trajectories.h5",
        POLICY,
    ]  # fmt: skip
    assert differences(folder) == []
    (folder / "one" / "trajectories.h5").unlink()
    # 3 + 2 + 1 of JSON without the seconds, 2 cells, 6 parameters.
    assert count(numbers(folder / "one")) == 14
    assert count(found) > 14 + 50 * 5


def test_clocks_are_no_results(folder):
    text = json.dumps({"score": 0.5, "seconds": {"0": 99.0}})
    (folder / "two" / "known_answer.json").write_text(text)
    (folder / "two" / "progress.csv").write_text("seed,step,wall_seconds\n0,1,99\n")
    assert differences(folder) == []


@pytest.mark.parametrize(
    ("name", "text", "where"),
    [
        ("metrics.json", '{"ppo": {"cagr": 0.1, "seeds": [1, 3]}}', "metrics.json.ppo.seeds[1]"),
        ("analysis.json", '{"costs": [-0.0, 1.0]}', "analysis.json.costs[0]"),
        ("results.csv", "strategy,final_wealth\nppo,1.250\n", "results.csv[0].final_wealth"),
    ],
)
def test_a_changed_value_is_named(folder, name, text, where):
    (folder / "two" / name).write_text(text)
    assert [found for found, _, _ in differences(folder)] == [where]


@pytest.mark.parametrize("key", ["weights", "net_return", "costs/spread", "dates", "value"])
def test_one_bit_of_any_array_is_seen(folder, key):
    with h5py.File(folder / "two" / "trajectories.h5", "r+") as file:
        data = file[f"ppo/0/{key}"]
        values = data[()]
        row = (7, 1) if values.ndim == 2 else (7,)
        bits = values.view(np.uint64)
        bits[row] ^= 1
        data[...] = values
    ((name, one, two),) = differences(folder)
    place = ",".join(map(str, row))
    assert name == f"trajectories.h5.ppo/0/{key}[{place}], 1 of {values.size} differ"
    assert one != two and isinstance(one, int if key == "dates" else float)


def test_zero_has_a_sign_in_an_array():
    a, b = np.zeros((2, 2)), np.zeros((2, 2))
    b[1, 0] = -0.0
    assert [name for name, _, _ in compare({"x": a}, {"x": b})] == ["x[1,0], 1 of 4 differ"]
    assert compare({"x": a}, {"x": a.astype(np.float32)}) == [
        ("x", "float64 [2, 2]", "float32 [2, 2]")
    ]
    nan = np.array([np.nan])
    assert compare({"x": nan}, {"x": nan.copy()}) == []


def test_a_missing_array_and_a_changed_policy_are_seen(folder):
    with h5py.File(folder / "two" / "trajectories.h5", "r+") as file:
        del file["ppo/0/reward"]
    save_file(
        {"layer.weight": np.arange(6, dtype=np.float32)[::-1].copy()}, folder / "two" / POLICY
    )
    assert [(name, two) for name, _, two in differences(folder)] == [
        ("trajectories.h5.ppo/0/reward", None),
        (f"{POLICY}.layer.weight[0], 6 of 6 differ", 5.0),
    ]


@pytest.mark.parametrize("name", ["metrics.json", "trajectories.h5", POLICY])
def test_a_broken_file_is_named(folder, name):
    (folder / "one" / name).write_bytes(b"\x89HDF{")
    with pytest.raises(InputError, match=name.split("/")[-1]):
        numbers(folder / "one")
