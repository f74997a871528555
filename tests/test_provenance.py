"""Provenance, run folders and reproduction: where a number came from, and that it comes again."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import types
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf
from safetensors.numpy import save_file

import experiments
from envs.errors import InputError
from experiments import provenance as module
from experiments import reproduce, run_folder
from experiments.evaluation.trajectory_store import save_trajectories
from experiments.provenance import command_line, git_state, provenance
from experiments.run_folder import open_run_folder, write_json, write_text
from experiments.run_numbers import compare
from tests.trajectories import simulate

SECRET = "s3cr3t-0123456789abcdef"


def record(fingerprint="f" * 64):
    started = datetime.now(UTC) - timedelta(seconds=90)
    return provenance(
        data_name="sp500", data_fingerprint=fingerprint, seeds=np.arange(3), started=started
    ) | {"seconds": 90.0}


# ---------------------------------------------------------------------- provenance
def test_provenance_holds_what_moves_a_digit():
    entry = record()
    assert entry["data"] == {"name": "sp500", "fingerprint": "f" * 64}
    assert entry["seeds"] == [0, 1, 2]
    assert datetime.fromisoformat(entry["started"]).tzinfo is not None
    assert entry["packages"]["numpy"] == np.__version__
    assert entry["machine"]["cpu_count"] == os.cpu_count()
    assert entry["machine"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert json.loads(json.dumps(entry)) == entry


def test_command_line_hides_secrets(monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", SECRET)
    monkeypatch.setenv("HARMLESS_NAME", "python-experiments")
    words = [
        "/usr/bin/python3.11", "-m", "experiments.run", f"a={SECRET}", "data.api_key=abc",
        "data.url=https://user:word@host/x", "data.path=my prices.csv", "name=python-experiments",
    ]  # fmt: skip
    assert command_line(words) == (
        "python3.11 -m experiments.run 'a=***' 'data.api_key=***' 'data.url=https://***@host/x' "
        "'data.path=my prices.csv' name=python-experiments"
    )


def test_environment_is_not_recorded(monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", SECRET)
    monkeypatch.setenv("SOME_PLACE", "somewhere-in-the-environment")
    text = json.dumps(record())
    assert SECRET not in text and "somewhere-in-the-environment" not in text


def test_git_state(tmp_path):
    def git(*arguments):
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        subprocess.run(
            ["git", *identity, *arguments], cwd=tmp_path, check=True, capture_output=True
        )

    assert git_state(tmp_path) == {"commit": None, "dirty": None}
    git("init", "-q")
    package = tmp_path / "package"
    package.mkdir()
    (package / "a.py").write_text("a = 1\n")
    assert git_state(package) == {"commit": None, "dirty": None}  # not tracked: someone else's
    git("add", "package")
    git("commit", "-q", "-m", "one")
    state = git_state(package)
    assert len(state["commit"]) == 40 and state["dirty"] is False
    (package / "results.csv").write_text("1\n")
    assert git_state(package)["dirty"] is False
    (package / "a.py").write_text("a = 2\n")
    assert git_state(package) == {**state, "dirty": True}


def test_without_git_installed(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert git_state() == {"commit": None, "dirty": None}


# ---------------------------------------------------------------------- run folder
def test_run_folder_is_made_and_left_clean(tmp_path):
    folder = open_run_folder(tmp_path / "a" / "b")
    assert folder.is_absolute() and list(folder.iterdir()) == []
    assert open_run_folder(folder) == folder


@pytest.mark.parametrize("path", ["file", "file/below"])
def test_run_folder_with_a_file_in_the_way(tmp_path, path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match=r"a file is in the way; choose another with hydra\.run"):
        open_run_folder(tmp_path / path)
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("failing", ["mkstemp", "fsync"])
def test_run_folder_on_a_full_or_forbidden_disk(tmp_path, monkeypatch, failing):
    def fail(*arguments, **keywords):
        raise OSError(28, "No space left on device")

    owner = run_folder.tempfile if failing == "mkstemp" else run_folder.os
    monkeypatch.setattr(owner, failing, fail)
    with pytest.raises(InputError, match="no space left on device"):
        open_run_folder(tmp_path)
    monkeypatch.undo()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_failed_write_leaves_the_former_content(tmp_path, monkeypatch, failing):
    path = tmp_path / "metrics.json"
    write_json(path, {"sharpe": 1.0})

    def fail(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(run_folder.os, failing, fail)
    with pytest.raises(InputError, match=r"metrics\.json cannot be written: no space"):
        write_json(path, {"sharpe": 2.0})
    monkeypatch.undo()
    assert json.loads(path.read_text()) == {"sharpe": 1.0}
    assert list(tmp_path.iterdir()) == [path]


def test_kill_in_the_middle_leaves_the_former_content(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")
    program = (
        "import os, signal, sys\n"
        "from experiments import run_folder\n"
        "run_folder.os.fsync = lambda handle: os.kill(os.getpid(), signal.SIGKILL)\n"
        "run_folder.write_text(sys.argv[1], 'new' * 100_000)\n"
    )
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run([sys.executable, "-c", program, str(path)], cwd=root)
    assert done.returncode == -9
    assert path.read_text() == "old"


def test_json_keeps_floats_to_the_bit_and_numpy_plain(tmp_path):
    rng = np.random.default_rng(0)
    floats = rng.standard_normal(1000) * 10.0 ** rng.integers(-300, 300, 1000)
    write_json(tmp_path / "a.json", {"x": floats, "n": np.int64(3), "b": np.True_, "p": tmp_path})
    read = json.loads((tmp_path / "a.json").read_text())
    assert struct.pack("<1000d", *read["x"]) == floats.tobytes()
    assert (read["n"], read["b"], read["p"]) == (3, True, str(tmp_path))


@pytest.mark.parametrize("number", [float("nan"), float("inf"), np.float64("-inf")])
def test_json_refuses_what_is_no_number(tmp_path, number):
    with pytest.raises(ValueError, match=r"ppo\.calmar\[1\] is -?(nan|inf)"):
        write_json(tmp_path / "a.json", {"ppo": {"calmar": [1.0, number]}})
    assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------------- reproduce
@pytest.fixture
def pipeline(monkeypatch):
    """A pipeline whose numbers depend on the config, and can be told to change."""
    stub = types.ModuleType("experiments.pipeline")
    stub.fingerprint = "f" * 64
    stub.drift = 0.0

    def run(cfg, run_dir, trials=None):
        assert cfg.resume is None
        if "tracking" in cfg:
            assert cfg.tracking._target_ == "experiments.tracking.csv_tracker"
        value = float(np.random.default_rng(cfg.seed).standard_normal()) + stub.drift
        write_json(
            run_dir / "metrics.json",
            {"ppo": {"cagr": value, "calmar": None, "n": 3}, "trials": {"count": 1}},
        )
        write_json(run_dir / "analysis.json", {})
        (run_dir / "results.csv").write_text("strategy\nppo\n")
        save_trajectories(run_dir / "trajectories.h5", {"ppo": [simulate("ppo", n=20)]})
        OmegaConf.save(cfg, run_dir / "config.yaml")
        write_json(run_dir / "provenance.json", record(stub.fingerprint))
        return value

    stub.run = run
    stub.load_market = lambda cfg: types.SimpleNamespace(fingerprint=stub.fingerprint)
    monkeypatch.setitem(sys.modules, "experiments.pipeline", stub)
    monkeypatch.setattr(experiments, "pipeline", stub, raising=False)
    return stub


@pytest.fixture
def finished(pipeline, tmp_path):
    folder = open_run_folder(tmp_path / "runs" / "one")
    pipeline.run(OmegaConf.create({"seed": 5, "resume": None}), folder)
    (folder / "config.yaml").write_text("seed: 5\nresume: somewhere\n")
    return folder


def test_same_numbers_are_identical(finished, capsys):
    assert reproduce.main([str(finished)]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("identical: ") and last.endswith(" values")
    assert sorted(p.name for p in finished.parent.iterdir()) == ["one"]


def test_one_bit_is_a_difference(pipeline, finished, capsys):
    pipeline.drift = 5e-16
    assert reproduce.main([str(finished), "--keep", str(finished.parent / "two")]) == 1
    one, two = (
        json.loads((finished.parent / name / "metrics.json").read_text())["ppo"]["cagr"]
        for name in ("one", "two")
    )
    out = capsys.readouterr().out
    assert one != two and repr(one) in out and repr(two) in out
    assert "metrics.json.ppo.cagr" in out and "different: 1 of " in out


@pytest.mark.parametrize(
    "name", ["analysis.json", "results.csv", "trajectories.h5", "provenance.json"]
)
def test_what_is_missing_is_not_identical(finished, capsys, name):
    (finished / name).unlink()
    assert reproduce.main([str(finished)]) == 2
    assert f"{name} missing" in capsys.readouterr().err


def test_a_policy_that_only_the_second_run_has_is_a_difference(pipeline, finished, capsys):
    def run(cfg, run_dir, trials=None):
        former(cfg, run_dir, trials)
        model = run_dir / "agents" / "ppo" / "seed_0" / "model.safetensors"
        model.parent.mkdir(parents=True)
        save_file({"weight": np.ones(3)}, model)

    former, pipeline.run = pipeline.run, run
    assert reproduce.main([str(finished)]) == 1
    assert "model.safetensors.weight" in capsys.readouterr().out


def test_what_changed_is_named(pipeline, finished, capsys):
    before = json.loads((finished / "provenance.json").read_text())
    before["packages"]["numpy"] = "1.0"
    before["git"]["commit"] = "0" * 40
    before["machine"]["cpu_count"] = 999
    write_json(finished / "provenance.json", before)
    pipeline.drift = 1.0
    assert reproduce.main([str(finished)]) == 1
    out = capsys.readouterr().out
    assert f"numpy 1.0 then, {np.__version__} now" in out
    assert "commit 000000000000 then" in out
    assert f"cpu_count 999 then, {os.cpu_count()} now" in out


def test_changed_data_are_named_before_anything_runs(pipeline, finished, capsys):
    pipeline.fingerprint = "e" * 64
    pipeline.run = None
    assert reproduce.main([str(finished)]) == 2
    assert "the data have changed" in capsys.readouterr().err


def test_folders_that_cannot_be_used(finished, tmp_path, capsys):
    def message(*arguments):
        assert reproduce.main([str(a) for a in arguments]) == 2
        return capsys.readouterr().err

    assert "no such folder" in message(tmp_path / "nowhere")
    assert f"the runs in it are {finished}" in message(finished.parent)
    assert "exists already" in message(finished, "--keep", finished)
    (finished / "config.yaml").write_text("a: [1")
    assert "config.yaml cannot be read" in message(finished)
    (finished / "metrics.json").write_text('{"a": ')
    assert "metrics.json cannot be read" in message(finished)
    (finished / "metrics.json").unlink()
    assert "not the folder of a finished run (metrics.json missing)" in message(finished)


def test_compare_sees_missing_values_types_and_signed_zero():
    saved = {"a": 1, "b": [0.0, 1.0], "c": {}, "d": None}
    assert compare(saved, json.loads(json.dumps(saved))) == []
    again = {"a": 1.0, "b": [-0.0], "c": {}, "d": None, "e": 2}
    assert [name for name, _, _ in compare(saved, again)] == ["a", "b[0]", "b[1]", "e"]


def test_every_recorded_package_is_a_real_name():
    assert set(module.package_versions()) >= set(module.PACKAGES) - {"tradewind"}
