"""How things are timed: rows, repeats taken in turn, and cores."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median

import numpy as np

from envs.data.market_data import MarketData
from envs.features.panel import FeaturePanel

ASSETS, FEATURES = 20, 8
PATIENCE = 40.0
Figures = tuple[float, float]  # best, median


@dataclass(frozen=True)
class Effort:
    """How hard to look. `seconds` is the length of one repeat of one measurement."""

    repeats: int
    seconds: float
    rows: int = 8000
    envs: int = 1024
    rounds: int = 4  # of PPO in one repeat
    feature_panel: tuple[int, int] = (500, 8000)
    large: tuple[int, int] = (500, 16_384)  # assets, envs


FULL = Effort(repeats=40, seconds=0.05)
QUICK = Effort(repeats=5, seconds=0.02, rounds=1, feature_panel=(50, 2000), large=(100, 1024))


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        figures: (best, median) over the repeats; None where there is nothing to show, and `note`
            says why.
        target: what must be reached; the median is held against it.
        less: whether less is better (seconds, memory).
        cores: how many the work was pinned to.
        points: (size, median seconds) of a row that says how something grows; `benchmarks.scaling`
            draws them.
    """

    name: str
    unit: str
    figures: Figures | None = None
    target: float | None = None
    less: bool = False
    cores: int = 1
    note: str = ""
    points: tuple[tuple[float, float], ...] = ()

    @property
    def reached(self) -> float | None:
        """How many times the target; 1 or more is good for either direction."""
        if self.target is None or self.figures is None:
            return None
        middle = self.figures[1]
        return self.target / middle if self.less else middle / self.target


def take_turns(work: Mapping[str, Callable[[], object]], effort: Effort) -> dict[str, Figures]:
    """Seconds for one call of each function, as (best, median) over the repeats.

    The functions are called once before (compiled, warm) and then take turns, so that whatever else
    the machine does hits all of them alike. On a machine that is too busy for all repeats in
    `PATIENCE` seconds, there are fewer.
    """
    calls = {}
    for name, function in work.items():
        function()
        begin = time.perf_counter()
        function()
        calls[name] = max(1, round(effort.seconds / max(time.perf_counter() - begin, 1e-9)))
    seconds: dict[str, list[float]] = {name: [] for name in work}
    gc.collect()
    gc.disable()
    try:
        started = time.perf_counter()
        for repeat in range(effort.repeats):
            if repeat > 1 and time.perf_counter() - started > PATIENCE:
                break
            for name, function in work.items():
                begin = time.perf_counter()
                for _ in range(calls[name]):
                    function()
                seconds[name].append((time.perf_counter() - begin) / calls[name])
    finally:
        gc.enable()
    return {name: (min(taken), median(taken)) for name, taken in seconds.items()}


def rates(taken: Figures, per_call: float) -> Figures:
    """(best, median) seconds a call as rates, when one call does `per_call` of something."""
    return per_call / taken[0], per_call / taken[1]


def over(above: Figures, below: Figures) -> Figures:
    """One over the other: best by best, median by median."""
    return above[0] / below[0], above[1] / below[1]


@contextmanager
def pinned(cores: int) -> Iterator[str]:
    """Runs the block on the first `cores` cores; yields a note where the system cannot do that."""
    if not hasattr(os, "sched_setaffinity"):
        yield "not pinned: this system cannot"
        return
    before = os.sched_getaffinity(0)
    if len(before) < cores:
        yield f"on {len(before)} core(s): no more here"
        return
    os.sched_setaffinity(0, sorted(before)[:cores])
    try:
        yield ""
    finally:
        os.sched_setaffinity(0, before)


def panel(
    rows: int, n_assets: int = ASSETS, n_features: int = FEATURES
) -> tuple[MarketData, FeaturePanel]:
    """The task of all rows: a synthetic market of 20 assets and 8 features of white noise."""
    from envs.data.synthetic import synthetic

    noise = np.random.default_rng(0).standard_normal((rows, n_assets, n_features), np.float32)
    names = tuple(f"noise_{k}" for k in range(n_features))
    features = FeaturePanel(np.clip(noise, -10, 10), names, warmup=0)
    return synthetic(n_rows=rows, n_assets=n_assets, seed=0), features
