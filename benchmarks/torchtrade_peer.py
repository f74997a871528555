"""The fastest vectorised trading env that we know, torchtrade 0.1.0, beside ours on its own task.

    python -m benchmarks.torchtrade_peer    # makes its environment, once: a minute
    python -m benchmarks.run torchtrade

Its pins do not go together with ours, so it lives in a virtual environment of its own and answers
over a pipe; it holds the clock over its own steps. The task is its own: one asset, the last 10 bars
of 5 columns, a position of 0, 25, 50, 75 or 100 % taken at the close that is observed, 10 bps of
the traded notional, episodes of 252 bars from random starts, resets included.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path
from typing import IO

import numpy as np

from benchmarks.environments import EPISODE
from benchmarks.measure import Effort, Figures, Row, over, pinned, rates, take_turns
from envs.data.synthetic import synthetic
from envs.features.panel import FeaturePanel
from envs.market.costs import ProportionalCost
from envs.vector import PortfolioVectorEnv

FOLDER = Path(".peers/torchtrade")
PROGRAM = Path(__file__).with_name("torchtrade_program.py")
MISSING = "not installed: python -m benchmarks.torchtrade_peer"
# (envs, cores): a second thread helps neither of us in small batches.
CASES = (64, 1), (1024, 1), (16_384, 1), (16_384, 2)
WINDOW, COLUMNS, LEVELS, FEE = 10, 5, 5, 1e-3
# torch first and pinned, or the next line would choose one with CUDA.
PACKAGES = (["torch==2.13.0"], ["torch==2.13.0", "torchtrade==0.1.0"])


def install(folder: Path = FOLDER) -> None:
    """Makes the virtual environment."""
    venv.create(folder, with_pip=True, clear=True)
    for packages in PACKAGES:
        print("installing", *packages, flush=True)
        pip = [str(interpreter(folder)), "-m", "pip", "--disable-pip-version-check", "-q"]
        subprocess.run([*pip, "install", *packages], check=True)
    (folder / "ready").touch()


def interpreter(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


class Peer:
    """The other process: each call makes `steps` steps of its env and tells the seconds."""

    def __init__(self, python: Path, envs: int, threads: int, rows: int) -> None:
        numbers = (envs, threads, rows, EPISODE, LEVELS, WINDOW, FEE)
        self.process = subprocess.Popen(
            [str(python), "-P", "-W", "ignore", str(PROGRAM), *(str(number) for number in numbers)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.answer()

    def ask(self, steps: int) -> float:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{steps}\n")
        self.process.stdin.flush()
        return self.answer()

    def answer(self) -> float:
        out: IO[str] | None = self.process.stdout
        assert out is not None
        line = out.readline()
        if not line:
            raise RuntimeError(f"torchtrade ended with status {self.process.wait()}")
        return float(json.loads(line))

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def measure(effort: Effort, folder: Path = FOLDER) -> list[Row]:
    """Both in turn, on as many cores and threads; theirs first, then ours, then the ratio."""
    rows = []
    there = (folder / "ready").exists()
    for n, cores in CASES if effort.envs >= 1024 else ((effort.envs, 1),):
        theirs: Figures | None = None
        with pinned(cores) as note:
            step = stepper(n, effort, cores)
            if there:
                theirs, ours = both(interpreter(folder), n, cores, step, effort)
            else:
                ours = take_turns({"": step}, effort)[""]
        missing = "" if there else MISSING
        rows += [
            Row(
                f"torchtrade, {n:,} envs",
                "steps/s",
                theirs and rates(theirs, n),
                cores=cores,
                note=missing,
            ),
            Row(f"ours, its task, {n:,} envs", "steps/s", rates(ours, n), cores=cores, note=note),
            Row(
                f"ours over torchtrade, {n:,} envs",
                "times",
                theirs and over(theirs, ours),
                target=5.0,
                cores=cores,
                note=missing,
            ),
        ]
    return rows


def both(
    python: Path, n: int, threads: int, step: Callable[[], None], effort: Effort
) -> tuple[Figures, Figures]:
    """(best, median) seconds of one step of each."""
    peer = Peer(python, n, threads, effort.rows)
    try:
        peer.ask(3)
        steps = max(1, round(effort.seconds / peer.ask(1)))
        seconds: list[float] = []
        work = {"theirs": lambda: seconds.append(peer.ask(steps) / steps), "ours": step}
        ours = take_turns(work, effort)["ours"]
    finally:
        peer.close()
    return (min(seconds), float(np.median(seconds))), ours


def stepper(n: int, effort: Effort, threads: int = 1) -> Callable[[], None]:
    """Our env on the same task: weights of the asset and of cash, in steps of a quarter."""
    market = synthetic(n_rows=effort.rows, n_assets=1, seed=0)
    noise = np.random.default_rng(0).standard_normal((effort.rows, 1, COLUMNS), np.float32)
    names = ("open", "high", "low", "close", "volume")
    envs = PortfolioVectorEnv(
        market,
        FeaturePanel(np.clip(noise, -10, 10), names, warmup=0),
        num_envs=n,
        threads=threads,
        copy=False,
        window=WINDOW,
        action="simplex",
        execution="same_close",
        cost=ProportionalCost(commission_bps=1e4 * FEE, half_spread_bps=0.0),
        episode_length=min(EPISODE, effort.rows // 4),
        random_start=True,
    )
    envs.reset(seed=0)
    level = np.random.default_rng(1).integers(0, LEVELS, (8, n, 1)) / (LEVELS - 1)
    actions = itertools.cycle(np.concatenate([level, 1.0 - level], axis=2).astype(np.float32))

    def step() -> None:
        envs.step(next(actions))

    return step


if __name__ == "__main__":
    install()
