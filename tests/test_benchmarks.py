"""The benchmarks run at a tiny size and say something finite; nothing here holds a clock."""

import json
import math
import os
import sys
import warnings
from dataclasses import asdict, replace
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from benchmarks import (
    environments,
    evidence,
    learning,
    memory,
    networks,
    online,
    peers,
    processes,
    programs,
    rollouts,
    run,
    scaling,
    torchtrade_peer,
)
from benchmarks.measure import Effort, Row, panel, pinned, take_turns
from benchmarks.numpy_env import NumpyPortfolioEnv

TINY = Effort(
    repeats=2, seconds=1e-4, rows=120, envs=4, rounds=1, feature_panel=(2, 300), large=(3, 8)
)


def finite(rows):
    for row in rows:
        assert row.figures is not None, f"{row.name}: {row.note}"
        assert all(math.isfinite(figure) and figure > 0 for figure in row.figures), row
    return {row.name: row for row in rows}


def test_environments():
    market, features = panel(TINY.rows)
    assert finite(environments.kernel(market, TINY))
    assert finite(environments.one_env(market, features, TINY))
    assert len(finite(environments.vector_env(market, features, TINY))) == 3
    rows = finite(environments.two_threads(market, features, TINY))
    assert rows["two threads, 4 envs"].unit == "steps/s"
    assert rows["two threads, 64 envs, over one"].target == 1.7
    assert len(finite(environments.window(market, features, TINY))) == 3


@pytest.mark.skipif(memory.resident_bytes() is None, reason="this system has no /proc")
def test_memory_of_a_window_is_its_buffers():
    row = memory.window(replace(TINY, rows=2000, envs=512))[0]
    # All windows at once would be four times the buffers; a third may be noise of the allocator.
    assert row.figures[0] < 1.5, row


def test_memory_of_rollouts_and_of_large_batches():
    row = memory.rollouts(TINY)[0]
    # A row and 21 weights instead of 60 x 160 features and them; 21 actions and 6 numbers in both.
    assert row.figures[0] == pytest.approx(100 * (8 + 168 + 84 + 24) / (4 * 9621 + 84 + 24))
    assert row.reached > 1
    assert len(finite(memory.large(TINY))) == 4


def test_growth_is_an_exponent_and_a_figure(tmp_path):
    sizes = [1.0, 10.0, 100.0]
    assert scaling.exponent(sizes, [3.0 * s**0.7 for s in sizes]) == pytest.approx(0.7)
    row = scaling.growth("assets", "indexed", TINY, [(a, 4, 2) for a in (2, 4, 8)])
    assert [size for size, _ in row.points] == [2.0, 4.0, 8.0] and "assets" in row.name
    scaling.draw([asdict(row), asdict(row)], tmp_path / "a" / "figure.png")
    assert (tmp_path / "a" / "figure.png").read_bytes().startswith(b"\x89PNG")


def test_learning():
    from agents.sb3 import PPO

    agent = PPO(num_envs=4, n_steps=8, batch_size=16, torch_threads=1)
    rows = learning.compare({agent: 100.0, replace(agent, num_envs=8): None}, TINY)
    assert len(finite(rows)) == 4
    assert [row.target for row in rows] == [100.0, None, None, None]
    assert len(finite(learning.on_windows(agent, TINY))) == 4


def test_networks(monkeypatch):
    monkeypatch.setattr(networks, "WINDOW", 6)
    rows = networks.measure(replace(TINY, rows=400))
    assert len(finite(rows)) == 4
    assert [row.target for row in rows] == [1.3, None, 5.0, 1.5]


def test_torchtrade_or_how_to_get_it(tmp_path):
    rows = torchtrade_peer.measure(TINY, tmp_path)
    assert [row.figures is None for row in rows] == [True, False, True]
    assert "python -m benchmarks.torchtrade_peer" in rows[0].note


# Stands in for torchtrade: answers as its program does, a millisecond for every step.
STAND_IN = """import sys
print(0.0, flush=True)
for line in sys.stdin:
    print(int(line) / 1000, flush=True)
"""


def test_a_peer_in_another_process_holds_its_own_clock(tmp_path, monkeypatch):
    program = tmp_path / "program.py"
    program.write_text(STAND_IN)
    monkeypatch.setattr(torchtrade_peer, "PROGRAM", program)
    monkeypatch.setattr(torchtrade_peer, "interpreter", lambda folder: Path(sys.executable))
    (tmp_path / "ready").touch()
    rows = finite(torchtrade_peer.measure(TINY, tmp_path))
    assert rows["torchtrade, 4 envs"].figures == pytest.approx((4000.0, 4000.0))
    assert rows["ours over torchtrade, 4 envs"].target == 5.0


def test_a_peer_that_ends_is_an_error(tmp_path, monkeypatch):
    program = tmp_path / "program.py"
    program.write_text("raise SystemExit(3)")
    monkeypatch.setattr(torchtrade_peer, "PROGRAM", program)
    with pytest.raises(RuntimeError, match="ended with status 3"):
        torchtrade_peer.Peer(Path(sys.executable), 4, 1, 100)


def test_processes():
    rows = finite(processes.measure(TINY))
    assert sum(row.target == 15e6 for row in rows.values()) == 2


def test_rollouts():
    rows = finite(rollouts.measure(TINY))
    assert "rollout of equal_weight, 120 days" in rows
    assert "one decision of nested_clusters, 20 assets" in rows
    assert all(row.less and row.target is None for row in rows.values())


def test_online():
    (row,) = online.measure(TINY)
    assert row.name == "16 online strategies on NYSE(N), 119 days x 23"
    assert row.figures is not None or "not fetched" in row.note
    assert row.less and row.target is None


def test_statistics():
    rows = finite(evidence.measure(TINY))
    assert "full statistics, 20 strategies x 5 seeds x 120 days" in rows


def test_peers_or_how_to_get_them():
    rows = peers.measure(TINY)
    here = [row for row in rows if row.note != peers.MISSING]
    assert len(here) >= 4
    finite(here)


def test_a_missing_peer_says_how_to_get_it(monkeypatch):
    def absent(*arguments):
        raise ImportError("no module named so")

    monkeypatch.setattr(peers, "gym_trading_env", absent)
    monkeypatch.setattr(peers, "gym_anytrading", absent)
    rows = {row.name: row for row in peers.measure(TINY)}
    for name in ("gym-trading-env", "gym-anytrading"):
        assert rows[name].figures is None and "pip install" in rows[name].note
    assert len(rows) == 6


def test_programs():
    rows = finite(programs.all_features(TINY))
    assert all(row.less for row in rows.values())
    assert finite(programs.modalities(replace(TINY, repeats=1)))
    assert finite(programs.help_text(replace(TINY, repeats=1)))


def test_numpy_env_is_a_gymnasium_env_that_charges_its_costs():
    market, features = panel(40)
    flat = np.ones_like(market.close)
    env = NumpyPortfolioEnv(flat, features.values, cost=0.01, episode_length=10)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about its endless box, as such environments usually have
        check_env(env)
    env.reset(seed=0)
    # From cash to 20/21 of assets at constant prices: 1 % of 20/21 is charged.
    _, reward, _, _, info = env.step(np.zeros(21, np.float32))
    assert info["value"] == pytest.approx(1 - 0.01 * 20 / 21, rel=1e-6)
    assert reward == pytest.approx(math.log(info["value"]), rel=1e-12)
    assert isinstance(env.observation_space, gym.spaces.Box)


def test_ratio_reached_is_good_when_it_is_above_one():
    assert Row("speed", "steps/s", (300.0, 200.0), target=100).reached == 2.0
    assert Row("seconds", "s", (1.0, 2.0), target=4, less=True).reached == 2.0
    assert Row("no target", "s", (1.0, 2.0)).reached is None
    assert Row("nothing measured", "s", target=4).reached is None


def test_functions_take_turns():
    order = []
    work = {"a": lambda: order.append("a"), "b": lambda: order.append("b")}
    taken = take_turns(work, replace(TINY, repeats=3, seconds=0.0))
    assert "".join(order) == "aabb" + "ab" * 3  # warmed and gauged first
    assert all(0 < best <= middle for best, middle in taken.values())


def test_cores_are_given_back():
    before = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    with pinned(1) as note:
        assert note or len(os.sched_getaffinity(0)) == 1
    with pinned(10_000) as note:
        assert note
    if before is not None:
        assert os.sched_getaffinity(0) == before


def test_command_writes_json_and_the_table(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(run, "QUICK", TINY)
    target, page = tmp_path / "a" / "result.json", tmp_path / "table.md"
    run.main(
        [
            "memory",
            "scaling",
            "--quick",
            "--figure",
            str(tmp_path / "a.png"),
            "--json",
            str(target),
            "--markdown",
            str(page),
        ]
    )
    found = json.loads(target.read_text())
    assert {"started", "git", "machine", "packages", "rows"} <= found.keys()
    assert found["effort"]["envs"] == TINY.envs
    name = found["rows"][0]["name"]
    assert (tmp_path / "a.png").exists()
    assert name in page.read_text() and "memory" in capsys.readouterr().out


def test_a_concern_that_fails_does_not_take_the_others_with_it(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "QUICK", TINY)
    monkeypatch.setitem(run.CONCERNS, "broken", math.sqrt)
    target, page = tmp_path / "result.json", tmp_path / "table.md"
    with pytest.raises(SystemExit, match="not measured, see above: broken"):
        run.main(["broken", "memory", "--quick", "--json", str(target), "--markdown", str(page)])
    found = json.loads(target.read_text())
    assert found["failed"] == ["broken"] and found["rows"]
    assert "Not measured, since they failed: broken." in page.read_text()


def test_an_unknown_concern_is_an_error(capsys):
    with pytest.raises(SystemExit):
        run.main(["peer"])
    assert "known: environments" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, ""), (3_456_789, "3.46 M"), (54_321, "54,300"), (0.7, "0.7"), (12.345, "12.3")],
)
def test_three_digits(value, text):
    assert run.number(value) == text
