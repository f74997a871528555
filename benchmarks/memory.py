"""What windows, many assets and rollouts cost in memory.

python -m benchmarks.run memory
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from benchmarks.environments import vector, vector_stepper
from benchmarks.measure import ASSETS, FEATURES, Effort, Row, panel, pinned, rates, take_turns

NO_PROC = "this system has no /proc"


def measure(effort: Effort) -> list[Row]:
    return [*window(effort), *rollouts(effort), *large(effort)]


def window(effort: Effort, window: int = 60) -> list[Row]:
    """What the process grows by when a vector env with a `flat` window is made and stepped."""
    name = f"memory of {effort.envs:,} envs, flat window of {window}, over its buffers"
    market, features = panel(effort.rows)
    warm = vector(market, features, 2, effort, window=window)
    vector_stepper(warm)()
    before = resident_bytes()
    if before is None:
        return [Row(name, "times", target=1.2, less=True, note=NO_PROC)]
    envs = vector(market, features, effort.envs, effort, window=window)
    step = vector_stepper(envs)
    for _ in range(20):
        step()
    grown = (resident_bytes() or 0) - before
    buffers = 2 * effort.envs * 4 * (window * ASSETS * FEATURES + ASSETS + 1)
    whole = market.n_rows * window * ASSETS * FEATURES * 4
    note = f"grew {grown / 1e6:.0f} MB; all windows at once would be {whole / 1e6:,.0f} MB"
    ratio = grown / buffers
    return [Row(name, "times", (ratio, ratio), target=1.2, less=True, note=note)]


def rollouts(effort: Effort, window: int = 60) -> list[Row]:
    """All arrays of PPO's rollout buffer: `indexed` as a share of `flat`."""
    from agents.sb3 import PPO
    from agents.sb3_env import SB3VecEnv

    market, features = panel(effort.rows)
    agent = PPO(num_envs=16, n_steps=16, batch_size=256)
    sizes = {}
    for kind in ("flat", "indexed"):
        envs = vector(market, features, 16, effort, window=window, observation=kind)
        sizes[kind] = buffer_bytes(agent.build(SB3VecEnv(envs), seed=0).rollout_buffer) / 256
    share = 100 * sizes["indexed"] / sizes["flat"]
    note = f"{sizes['indexed']:,.0f} of {sizes['flat']:,.0f} bytes a step, actions included"
    name = f"PPO's rollout memory, window of {window}, indexed over flat"
    return [Row(name, "%", (share, share), target=1.0, less=True, note=note)]


def buffer_bytes(buffer: object) -> int:
    """All arrays that a buffer of Stable-Baselines3 holds."""
    arrays: list[object] = []
    for value in vars(buffer).values():
        arrays += value.values() if isinstance(value, dict) else [value]
    return sum(a.nbytes for a in arrays if isinstance(a, np.ndarray))


def large(effort: Effort) -> list[Row]:
    """Many assets in many portfolios: resident memory of the whole process, and its speed."""
    n_assets, n = effort.large
    market, features = panel(effort.rows, n_assets)
    rows = []
    for kind, length in (("indexed", 60), ("flat", 5)):
        with pinned(2) as note:
            envs = vector(market, features, n, effort, threads=2, observation=kind, window=length)
            step = vector_stepper(envs)
            brief = Effort(repeats=min(effort.repeats, 3), seconds=0.0)
            taken = take_turns({"": step}, brief)[""]
        found = resident_bytes()
        what = f"{n_assets} assets x {n:,} envs, {kind}, window of {length}"
        rows += [
            Row(
                f"memory of the process, {what}",
                "GB",
                (found / 1e9, found / 1e9) if found else None,
                target=24 if (n_assets, n) == (500, 16_384) else None,
                less=True,
                cores=2,
                note="" if found else NO_PROC,
            ),
            Row(f"{what}, two threads", "steps/s", rates(taken, n), cores=2, note=note),
        ]
        envs.close()
        del envs, step
    return rows


def resident_bytes() -> int | None:
    """Resident memory of this process; None where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")
