"""Trackers and the progress display: what was logged can be read back, and none stops a run."""

from __future__ import annotations

import csv
import io
import sys
import types

import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

from envs.errors import InputError
from experiments import tracking
from experiments.progress import Progress, clock
from experiments.tracking import CsvTracker, csv_tracker, tensorboard_tracker, wandb_tracker
from tests.wandb_files import finished, rows

KEY = "abcdef0123456789abcdef0123456789abcdef01"


def rows_of(folder):
    with open(folder / "progress.csv", newline="") as file:
        return [{k: v for k, v in r.items() if k != "wall_seconds"} for r in csv.DictReader(file)]


def fill(tracker):
    """What a run does with its tracker."""
    from matplotlib.figure import Figure

    for step in (10, 20):
        for seed in (0, 1):
            tracker.log(step, {"validation": step / 100 + seed, "loss": 1 / step}, seed)
    tracker.table("results", ["strategy", "cagr"], [["ppo", 0.25], ["1/N", None]])
    figure = Figure()
    figure.add_subplot().plot([1, 2, 3])
    tracker.figure("wealth", figure)
    tracker.summary({"sharpe": 1.5})
    tracker.finish()
    tracker.finish()


# ---------------------------------------------------------------------- CSV
def test_csv_keeps_every_bit_and_takes_new_columns(tmp_path):
    tracker = csv_tracker(tmp_path)
    tracker.log(1, {"reward": 0.1 + 0.2}, seed=0)
    tracker.log(2, {"reward": float("nan"), "loss, mean": 1}, seed=0)
    tracker.log(2, {"loss, mean": -1e-300}, seed=1)
    assert rows_of(tmp_path) == [
        {"seed": "0", "step": "1", "reward": "0.30000000000000004", "loss, mean": ""},
        {"seed": "0", "step": "2", "reward": "nan", "loss, mean": "1.0"},
        {"seed": "1", "step": "2", "reward": "", "loss, mean": "-1e-300"},
    ]


def test_csv_resume_drops_what_comes_after_the_checkpoint(tmp_path):
    first = csv_tracker(tmp_path)
    for step in (10, 20, 30):
        first.log(step, {"a": step}, seed=0)
        first.log(step, {"a": step}, seed=1)
    with open(tmp_path / "progress.csv", "a") as file:
        file.write("1,40,0.5")  # what a kill leaves of a row
    again = csv_tracker(tmp_path)
    again.rewind(seed=1, step=10)
    again.log(20, {"a": -20, "b": 1}, seed=1)
    assert [(r["seed"], r["step"], r["a"], r["b"]) for r in rows_of(tmp_path)] == [
        ("0", "10", "10.0", ""),
        ("1", "10", "10.0", ""),
        ("0", "20", "20.0", ""),
        ("0", "30", "30.0", ""),
        ("1", "20", "-20.0", "1.0"),
    ]


def test_csv_start_anew_replaces_what_a_killed_run_left(tmp_path):
    first = csv_tracker(tmp_path)
    for step in (10, 20, 30):
        first.log(step, {"a": step}, seed=0)
    first.log(10, {"a": 1}, seed=1)
    again = csv_tracker(tmp_path)
    again.log(20, {"a": -20}, seed=0)
    again.log(20, {"b": 2}, seed=0)
    assert [(r["seed"], r["step"], r["a"]) for r in rows_of(tmp_path)] == [
        ("0", "10", "10.0"), ("1", "10", "1.0"), ("0", "20", "-20.0"), ("0", "20", ""),
    ]  # fmt: skip


def test_csv_clock_goes_on_over_a_resume(tmp_path):
    (tmp_path / "progress.csv").write_text("seed,step,wall_seconds\n0,1,500.0\n")
    CsvTracker(tmp_path).log(2, {}, seed=0)
    last = (tmp_path / "progress.csv").read_text().splitlines()[-1]
    assert 500.0 <= float(last.split(",")[2]) < 510.0


def test_csv_refuses_a_file_that_is_not_its_own(tmp_path):
    (tmp_path / "progress.csv").write_text("date,close\n2020-01-01,1\n")
    with pytest.raises(InputError, match="not a progress file"):
        csv_tracker(tmp_path)


def test_tables_figures_and_summary_are_files(tmp_path):
    fill(csv_tracker(tmp_path))
    assert (tmp_path / "tables/results.csv").read_text() == "strategy,cagr\nppo,0.25\n1/N,\n"
    assert (tmp_path / "tables/summary.csv").read_text() == "name,value\nsharpe,1.5\n"
    assert (tmp_path / "figures/wealth.png").read_bytes().startswith(b"\x89PNG")


# ---------------------------------------------------------------------- TensorBoard
def test_tensorboard_reads_back(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    fill(tensorboard_tracker(tmp_path))
    for seed in (0, 1):
        events = EventAccumulator(str(tmp_path / f"tensorboard/seed_{seed}")).Reload()
        read = [(e.step, e.value) for e in events.Scalars("validation")]
        assert read == [(10, pytest.approx(0.1 + seed)), (20, pytest.approx(0.2 + seed))]
    run = EventAccumulator(str(tmp_path / "tensorboard/run")).Reload()
    assert run.Tags()["images"] == ["wealth"]
    assert run.Scalars("sharpe")[0].value == 1.5
    assert len(rows_of(tmp_path)) == 4


@pytest.mark.parametrize("rewound", [True, False])
def test_tensorboard_resume_purges_later_steps(tmp_path, rewound):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    first = tensorboard_tracker(tmp_path)
    for step in (10, 20, 30):
        first.log(step, {"a": step}, seed=0)
    first.finish()
    again = tensorboard_tracker(tmp_path)
    if rewound:
        again.rewind(seed=0, step=10)
    again.log(20, {"a": -20}, seed=0)
    again.finish()
    events = EventAccumulator(str(tmp_path / "tensorboard/seed_0")).Reload()
    assert [(e.step, e.value) for e in events.Scalars("a")] == [(10, 10.0), (20, -20.0)]


def test_tensorboard_has_every_row_on_disk_when_it_is_logged(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    tracker = tensorboard_tracker(tmp_path)
    for step in (10, 20):
        tracker.log(step, {"a": step}, seed=0)
        # Read as it lies there, as after a kill.
        events = EventAccumulator(str(tmp_path / "tensorboard/seed_0")).Reload()
        assert [e.step for e in events.Scalars("a")] == list(range(10, step + 1, 10))
    tracker.finish()


def test_missing_tensorboard_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(InputError, match=r"tradewind\[tracking\]"):
        tensorboard_tracker(tmp_path)


# ---------------------------------------------------------------------- Weights & Biases
def test_wandb_offline_holds_what_was_logged_and_no_key(tmp_path, monkeypatch, capfd):
    import json

    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    config = {"seed": 3, "agent": {"_target_": "somewhere.PPO"}}
    fill(wandb_tracker(tmp_path, config, project="p", group="g", job_type="train", tags=["t"]))

    path = next((tmp_path / "wandb").glob("offline-run-*/*.wandb"))
    records = finished(path)
    run = next(r.run for r in records if r.WhichOneof("record_type") == "run")
    assert (run.project, run.run_group, run.job_type, list(run.tags)) == ("p", "g", "train", ["t"])
    saved = {u.key: json.loads(u.value_json) for u in run.config.update}
    assert saved["seed"] == 3 and saved["agent"] == {"_target_": "somewhere.PPO"}
    history = rows(records)
    read = [h["seed_1/validation"] for h in history if "seed_1/validation" in h]
    assert read == [1.1, 1.2]
    assert [h["seed_1/step"] for h in history if "seed_1/step" in h] == [10, 20]
    kinds = {k: v for h in history for k, v in h.items() if k.endswith("._type")}
    assert kinds == {
        "tables/results._type": "table-file",
        "figures/wealth._type": "image-file",
    }
    summaries = [r.summary for r in records if r.WhichOneof("record_type") == "summary"]
    final = {u.key: json.loads(u.value_json) for s in summaries for u in s.update}
    assert final["sharpe"] == 1.5

    assert len(rows_of(tmp_path)) == 4
    for path in tmp_path.rglob("*"):
        assert not (path.is_file() and KEY.encode() in path.read_bytes()), path
    out = capfd.readouterr()
    assert out.out.startswith("W&B: kept offline") and out.out.count("\n") == 1
    assert KEY not in out.out + out.err


def test_wandb_without_key_or_network_is_offline(tmp_path, monkeypatch):
    from experiments.tracking_wandb import default_mode

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    for name in ("WANDB_API_KEY", "https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert default_mode("https://127.0.0.1:9") == "offline"
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    assert default_mode("https://127.0.0.1:9") == "offline"  # nobody listens there


class Raising(types.ModuleType):
    """A wandb whose every attribute can be called, and raises after `n` calls."""

    def __init__(self, n):
        super().__init__("wandb")
        self.left = n

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)

        def call(*arguments, **keywords):
            self.left -= 1
            if self.left < 0:
                raise ConnectionError(f"no network in {name}")
            return self

        call.mode, call.sync_dir, call.base_url, call.update = "offline", "there", "", call
        call.settings = call
        return call


@pytest.mark.parametrize("n", [0, 1, 2, 3, 4, 5, 6, 8, 10, 12])
def test_wandb_that_raises_never_stops_a_run(tmp_path, monkeypatch, capsys, n):
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setitem(sys.modules, "wandb", Raising(n))
    fill(wandb_tracker(tmp_path))
    assert len(rows_of(tmp_path)) == 4
    assert capsys.readouterr().err.count("warning: Weights & Biases is left out") == 1


def test_missing_wandb_is_a_warning(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "wandb", None)
    fill(wandb_tracker(tmp_path))
    assert "warning: Weights & Biases is left out, the run goes on" in capsys.readouterr().err
    assert len(rows_of(tmp_path)) == 4


@pytest.mark.parametrize("name", ["csv", "tensorboard", "wandb"])
def test_config_makes_the_tracker(tmp_path, name, monkeypatch):
    from pathlib import Path

    monkeypatch.setenv("WANDB_MODE", "disabled")
    root = Path(__file__).resolve().parents[1]
    group = OmegaConf.load(root / f"hydra_conf/tracking/{name}.yaml")
    cfg = OmegaConf.create({"name": "tiny", "tracking": group})
    tracker = instantiate(cfg.tracking, _convert_="all")(run_dir=tmp_path, config={"_target_": "x"})
    tracker.log(1, {"a": 1.0}, seed=0)
    tracker.finish()
    assert isinstance(tracker, tracking.Trackers) and len(rows_of(tmp_path)) == 1


# ---------------------------------------------------------------------- progress
def test_progress_without_terminal_is_a_line_a_tenth():
    out = io.StringIO()
    with Progress(1000, "PPO, 3 seeds", file=out) as progress:
        for _ in range(100):
            progress.advance(10, info={"validation": 0.123456})
    lines = out.getvalue().splitlines()
    assert len(lines) == 10 and "\x1b" not in out.getvalue()
    assert lines[0].startswith("PPO, 3 seeds: 10 %, 100 of 1,000 steps, ")
    assert lines[0].endswith("left, validation 0.1235")
    assert lines[-1].startswith("PPO, 3 seeds: 100 %, 1,000 of 1,000 steps, done after 0:0")


def test_progress_of_few_large_steps_and_of_an_interrupted_run():
    out = io.StringIO()
    with pytest.raises(KeyboardInterrupt), Progress(100, "DDPG", file=out) as progress:
        progress.advance(45)
        raise KeyboardInterrupt
    assert [line.split(",")[0] for line in out.getvalue().splitlines()] == ["DDPG: 45 %"] * 2
    assert "stopped after" in out.getvalue()


def test_progress_time_left_counts_new_steps_only(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("experiments.progress.time.monotonic", lambda: now[0])
    with Progress(1000, "PPO", done=800, file=io.StringIO()) as progress:
        assert progress.seconds_left == float("inf")
        now[0] += 50.0
        progress.advance(100)
        assert progress.seconds_left == 50.0


def test_progress_bar_on_a_terminal_shows_time_left(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    out = Terminal()
    with Progress(100, "PPO", file=out) as progress:
        progress.advance(100, info={"validation": 0.5})
    assert "100/100" in out.getvalue() and "validation 0.5" in out.getvalue()
    assert "\x1b" in out.getvalue()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00"), (75.4, "1:15"), (3700, "1:01:40"), (float("inf"), "-:--"), (359_999, "99:59:59")],
)
def test_clock(seconds, text):
    assert clock(seconds) == text
