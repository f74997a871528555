"""Walk-forward: windows that do not leak, cells alike whoever trains them, and kills."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from skfolio.model_selection import WalkForward as SkfolioWalkForward

from agents.baselines import make_baseline
from agents.rollout import rollout
from envs.data import synthetic
from envs.errors import InputError
from envs.portfolio import PortfolioEnv
from envs.simulation import make_setting
from experiments.evaluation.joined import joined
from experiments.evaluation.trajectory_store import load_trajectories
from experiments.evaluation.walk_forward import WalkForward

SMALL = (
    "+exp=smoke", "evaluation=walk_forward", "evaluation.n_windows=2", "evaluation.n_bootstrap=40",
    "n_seeds=2", "+agent@agents.second=ppo", "agents.second.total_steps=4096",
    "agents.second.num_envs=64", "agents.second.n_steps=16", "agents.second.batch_size=256",
    "agents.second.evaluations=4", "evaluation.baselines.momentum=null",
    "evaluation.baselines.maximum_sharpe=null", "evaluation.baselines.minimum_variance=null",
    "evaluation.baselines.risk_parity=null", "evaluation.baselines.hierarchical_risk_parity=null",
)  # fmt: skip


@pytest.mark.parametrize("train_rows", [None, 150])
@pytest.mark.parametrize(("n_windows", "purge", "warmup"), [(1, 0, 0), (3, 5, 20), (7, 21, 63)])
def test_no_window_sees_a_return_of_a_later_one(n_windows, purge, warmup, train_rows):
    market = synthetic(n_rows=900)
    plan = WalkForward(n_windows=n_windows, purge=purge, train_rows=train_rows)
    windows = plan.windows(market, warmup)
    assert len(windows) == n_windows
    decided = []
    for w in windows:
        # The return of the decision at row t is known at row t + 1.
        known = [set(range(start + 1, stop + 1)) for start, stop in (w.train, w.validation, w.test)]
        assert not (known[0] & known[1] or known[1] & known[2] or known[0] & known[2])
        assert w.train[0] >= warmup
        # `purge` whole rows lie between the last return of the earlier and the later's decision.
        assert w.validation[0] - w.train[1] - 1 == purge
        assert w.test[0] - w.validation[1] - 1 == purge
        if train_rows is not None:
            assert w.train[1] - w.train[0] <= train_rows
        decided += range(*w.test)
    # Every row of the last share is decided on once, in order, up to the last but one of the data.
    assert decided == list(range(900 - 180, 899))
    lengths = [w.test[1] - w.test[0] for w in windows]
    assert max(lengths) - min(lengths) <= 1


def test_the_windows_are_those_of_skfolio_where_it_has_the_same():
    """skfolio counts returns where we count decisions, purges once, and knows no validation."""
    market = synthetic(n_rows=1000)
    ours = WalkForward(n_windows=4, purge=0, test_share=0.201, train_rows=300).windows(market, 0)
    size = ours[0].test[1] - ours[0].test[0]
    rows = ours[-1].test[1] - (ours[0].test[0] - 300)
    splitter = SkfolioWalkForward(test_size=size, train_size=300)
    theirs = [test for _, test in splitter.split(np.zeros((rows, 1)))]
    first = ours[0].test[0] - 300
    assert [(t[0] + first, t[-1] + 1 + first) for t in theirs] == [w.test for w in ours]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"n_windows": 0}, "evaluation.n_windows="),
        ({"n_windows": 2.5}, "evaluation.n_windows="),
        ({"test_share": 1.0}, "test_share must lie between 0 and 1"),
        ({"validation_share": 0.0}, "validation_share must lie between 0 and 1"),
        ({"train_rows": 1}, "evaluation.train_rows="),
        ({"purge": -1}, "evaluation.purge="),
        ({"workers": 0}, "evaluation.workers="),
        ({"n_windows": 200}, "test of walk-forward window 1 .* fewer evaluation.n_windows"),
        ({"purge": 200}, "train of walk-forward window 1 .* 2 needed"),
        ({"baselines": {}}, "at least one baseline"),
    ],
)
def test_what_cannot_be_cut_is_refused(settings, words):
    with pytest.raises(InputError, match=words):
        WalkForward(**settings).windows(synthetic(n_rows=500), 63)


def test_joined_windows_are_the_unbroken_rollout():
    """A policy that is exchanged for itself at every window changes nothing, to the last bit."""
    market = synthetic(n_rows=400)
    policy = make_baseline("equal_weight", market)

    def part(start: int, stop: int, held=None):
        setting = make_setting(
            market, start=start, stop=stop + 1, observation="indexed", action="simplex"
        )
        return rollout(policy, PortfolioEnv.from_setting(setting), weights=held)

    whole = part(100, 399)
    parts = [part(100, 200)]
    parts.append(part(200, 300, parts[-1].held))
    parts.append(part(300, 399, parts[-1].held))
    one = joined(parts, "equal_weight")
    for key in ("dates", "decision_dates", "weights", "net_return", "gross_return", "turnover",
                "cash_return", "asset_return", "reward", "held"):  # fmt: skip
        np.testing.assert_array_equal(getattr(one, key), getattr(whole, key), err_msg=key)
    for kind in whole.costs:
        np.testing.assert_array_equal(one.costs[kind], whole.costs[kind])
    np.testing.assert_allclose(one.value, whole.value, rtol=1e-13)
    assert not one.ruined and replace(one, value=whole.value).total_cost.shape == (299,)


def test_ruin_is_of_the_first_day_whatever_the_window():
    """A fall of 10 % to 20 % in each of four windows ruins at a half as it does in one window."""
    from experiments import learning
    from experiments.pipeline import Prepared
    from tests.test_pipeline import config

    market = synthetic(n_rows=400, drift=-0.9, seed=3)
    cfg = config("env.ruin=0.5", "env.action=simplex", "env.observation=indexed")
    policy = make_baseline("equal_weight", market)
    window = Prepared(market, None, None, None, None, None)
    whole = learning.rolled_on(cfg, [(window, (0, 399), policy)], "one", 0)
    cuts = [(0, 100), (100, 200), (200, 300), (300, 399)]
    parts = learning.rolled_on(cfg, [(window, rows, policy) for rows in cuts], "four", 0)
    assert whole.ruined and parts.ruined
    np.testing.assert_array_equal(parts.dates, whole.dates)
    np.testing.assert_allclose(parts.value, whole.value, rtol=1e-12)
    assert 100 < len(whole.dates) < 399 and whole.value[-1] <= 0.5 < whole.value[-2]


def run(folder, *arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "experiments.run", *arguments, f"hydra.run.dir={folder}"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def numbers(folder):
    """Everything that a run found, bit for bit, and the bytes of every model."""
    models = {
        str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*.safetensors"))
    }
    runs = load_trajectories(folder / "trajectories.h5")
    series = {(n, k): t.net_return.tobytes() for n, ts in runs.items() for k, t in enumerate(ts)}
    return json.loads((folder / "metrics.json").read_text()), series, models


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_numbers_of_an_unbroken_one(tmp_path):
    whole, killed, alone = tmp_path / "whole", tmp_path / "killed", tmp_path / "alone"
    assert run(whole, *SMALL, "evaluation.workers=2").wait() == 0
    process = run(killed, *SMALL, "evaluation.workers=2")
    # Killed as soon as the first cell of eight is finished: others are half way.
    while not list(killed.rglob("model.safetensors")):
        assert process.poll() is None
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    # Its workers see that they are orphans.
    time.sleep(2.5)
    finished = len(list(killed.rglob("model.safetensors")))
    assert finished < 8 and not (killed / "metrics.json").exists()
    command = [sys.executable, "-m", "experiments.run", f"resume={killed}"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    assert numbers(killed) == numbers(whole)
    # Nor do the numbers depend on how many processes there are.
    assert run(alone, *SMALL, "evaluation.workers=1").wait() == 0
    assert numbers(alone) == numbers(whole)


@pytest.mark.slow
def test_returns_behind_a_window_change_nothing_that_was_learned_for_it(tmp_path):
    """Rows after the first test window are changed: its models, and its returns, stay."""
    from omegaconf import OmegaConf

    from experiments import learning, pipeline
    from experiments.auditing.future import change_after
    from tests.test_pipeline import config

    cfg = config(*SMALL, "evaluation.workers=1", "n_seeds=1", "agents.second=null")
    OmegaConf.resolve(cfg)
    market = pipeline.load_market(cfg)
    builder = pipeline.build(cfg, "features.build")
    windows = pipeline.prepare_windows(cfg, market, builder)
    stop = windows[0].splits.test[1]
    other = change_after(market, stop, seed=0)
    assert not np.array_equal(other.close[stop + 1 :], market.close[stop + 1 :])
    changed = pipeline.prepare_windows(cfg, other, builder)
    silent = learning.Listener(lambda *_: None, lambda *_: None, lambda *_: None)
    found = []
    for name, prepared in (("one", windows), ("two", changed)):
        cell = learning.Cell(0, "ppo", 0)
        trained = learning.train_cell(cfg, prepared, tmp_path / name, cell, silent)
        path = learning.cell_folder(tmp_path / name, cell, 2) / "model.safetensors"
        run = learning.tested(cfg, prepared[:1], {0: trained.policy}, "ppo", 0)
        found.append((path.read_bytes(), run.net_return.tobytes(), run.weights.tobytes()))
    assert found[0] == found[1]
