"""W&B runs of resumed trainings, and the groups under which runs are compared there."""

from __future__ import annotations

import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

from experiments.tracking import job_type_of, run_group, wandb_tracker
from tests.wandb_files import finished, rows

ROOT = Path(__file__).resolve().parents[1]
KILLED = """
import sys
from experiments.tracking import wandb_tracker
tracker = wandb_tracker(sys.argv[1], {"name": "tiny"})
for step in (10, 20):
    tracker.log(step, {"validation": 2 + step / 100}, seed=2)
for step in (10, 20, 30):
    tracker.log(step, {"validation": step / 100}, seed=0)
tracker.log(10, {"validation": 1.1}, seed=1)
print("logged", flush=True)
sys.stdin.read()
"""


def killed(folder):
    """A run that logs steps 10 to 30 of seed 0, 10 of seed 1, all of seed 2, and is killed."""
    child = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(folder)],
        cwd=ROOT,
        # With a helper process of its own, as on the next day.
        env={k: v for k, v in os.environ.items() if k != "WANDB_SERVICE"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    while "logged" not in child.stdout.readline():
        assert child.poll() is None
    child.kill()
    child.communicate()


def go_on(tracker):
    """Seed 0 goes on from a checkpoint at 20; seed 1 starts anew; seed 2 was finished before."""
    tracker.rewind(0, 20)
    for step in (30, 40):
        tracker.log(step, {"validation": step / 100}, seed=0)
    for step in (10, 20):
        tracker.log(step, {"validation": 1 + step / 100}, seed=1)
    tracker.log(20, {"loss": 0.5}, seed=1)
    tracker.finish()


WHOLE = {
    0: [(10, 0.1), (20, 0.2), (30, 0.3), (40, 0.4)],
    1: [(10, 1.1), (20, 1.2)],
    2: [(10, 2.1), (20, 2.2)],
}


def test_a_resumed_offline_run_holds_every_step_once(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    killed(tmp_path)
    go_on(wandb_tracker(tmp_path, {"name": "tiny"}))
    (mine,) = (tmp_path / "wandb").glob("offline-run-*/*.wandb")
    assert len(list((tmp_path / "wandb" / "superseded").glob("offline-run-*"))) == 1
    logged = rows(finished(mine))
    for seed, expected in WHOLE.items():
        name, axis = f"seed_{seed}/validation", f"seed_{seed}/step"
        assert [(row[axis], row[name]) for row in logged if name in row] == expected
    assert [row["seed_1/step"] for row in logged if "seed_1/loss" in row] == [20]


class Server(types.ModuleType):
    """W&B online: runs by id, and what they were sent; remembers it over processes."""

    def __init__(self):
        super().__init__("wandb")
        self.runs: dict[str, list[dict]] = {}

    def setup(self, settings):
        return types.SimpleNamespace(settings=types.SimpleNamespace(base_url=""))

    def Settings(self, **settings):
        return types.SimpleNamespace(**settings)

    def init(self, id, resume, mode, **_):
        assert (mode, resume) == ("online", "allow")
        id = id or f"run{len(self.runs)}"
        sent = self.runs.setdefault(id, [])
        summary = {k: v for row in sent for k, v in row.items()}
        return types.SimpleNamespace(
            id=id, url="", summary=summary, settings=types.SimpleNamespace(mode="online"),
            define_metric=lambda *_, **__: None, log=sent.append, finish=lambda: None,
        )  # fmt: skip


@pytest.mark.parametrize("lost", [0, 1, 2, 4, 6])
def test_a_resumed_online_run_goes_on_and_holds_every_step_once(tmp_path, monkeypatch, lost):
    """Whatever number of the last rows a kill has kept from the server."""
    server = Server()
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setitem(sys.modules, "wandb", server)
    tracker = wandb_tracker(tmp_path, {"name": "tiny"})
    for seed, steps in ((2, (10, 20)), (0, (10, 20, 30)), (1, (10,))):
        for step in steps:
            tracker.log(step, {"validation": seed + step / 100}, seed=seed)
    del server.runs["run0"][6 - lost :]
    go_on(wandb_tracker(tmp_path, {"name": "tiny"}))
    assert list(server.runs) == ["run0"]
    for seed, expected in WHOLE.items():
        name, axis = f"seed_{seed}/validation", f"seed_{seed}/step"
        found = [(row[axis], row[name]) for row in server.runs["run0"] if name in row]
        assert found == [(step, pytest.approx(value)) for step, value in expected]


def test_runs_that_differ_in_their_seed_alone_are_one_group():
    config = {"name": "tiny", "seed": 0, "cost": {"bps": 5.0}, "agent": {"lr": 1e-3}}
    group = run_group(config)
    assert group.startswith("tiny-") and group == run_group({**config, "seed": 7})
    assert group == run_group({**config, "resume": "x", "tracking": {"project": "other"}})
    assert group == run_group({**dict(reversed(config.items()))})
    assert group != run_group({**config, "cost": {"bps": 10.0}})
    assert group != run_group({**config, "agent": None})


@pytest.mark.parametrize(
    ("config", "job"),
    [
        ({"agent": None}, "baselines"),
        ({"agent": {"lr": 1}}, "train"),
        ({"agent": None, "agents": {"ppo": {}}}, "train"),
        ({}, "baselines"),
    ],
)
def test_the_kind_of_job(config, job):
    assert job_type_of(config) == job


def test_group_and_kind_of_job_reach_wandb(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    config = {"name": "tiny", "seed": 1, "agent": {"lr": 1}}
    wandb_tracker(tmp_path, config).finish()
    records = finished(next((tmp_path / "wandb").glob("offline-run-*/*.wandb")))
    run = next(r.run for r in records if r.WhichOneof("record_type") == "run")
    assert (run.run_group, run.job_type) == (run_group(config), "train")
