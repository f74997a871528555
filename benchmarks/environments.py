"""Steps a second of the kernel and of both environments, and what a `flat` window costs.

python -m benchmarks.run environments
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from benchmarks.measure import ASSETS, FEATURES, Effort, Row, over, panel, pinned, rates, take_turns
from envs.data.market_data import MarketData
from envs.features.panel import FeaturePanel
from envs.market.kernel import drift_nb, trade_nb
from envs.portfolio import PortfolioEnv
from envs.vector import PortfolioVectorEnv

WINDOW = 30
EPISODE = 252


def measure(effort: Effort) -> list[Row]:
    market, features = panel(effort.rows)
    return [
        *kernel(market, effort),
        *one_env(market, features, effort),
        *vector_env(market, features, effort),
        *two_threads(market, features, effort),
        *window(market, features, effort),
    ]


def kernel(market: MarketData, effort: Effort) -> list[Row]:
    """Prices move and the portfolio is rebalanced to other weights: the whole accounting."""
    n = effort.envs
    with pinned(1) as note:
        taken = take_turns({"": accounting(market, n)}, effort)[""]
    name = f"accounting kernel, {n:,} portfolios"
    return [Row(name, "steps/s", rates(taken, 2 * n), target=5e6, note=note)]


def accounting(market: MarketData, n: int) -> Callable[[], None]:
    """A function that makes two steps of n portfolios, to other weights and back."""
    rng = np.random.default_rng(0)
    targets = [rng.dirichlet(np.ones(ASSETS + 1), n) for _ in range(2)]
    growth = np.ones((market.n_rows - 1, ASSETS + 1))
    growth[:, :-1] = market.close[1:] / market.close[:-1]
    rows = rng.integers(0, market.n_rows - 1, n)
    drifted = np.empty((n, ASSETS + 1))
    out = [np.empty(n) for _ in range(5)]
    rate = np.full(ASSETS, 5e-4)

    def both_ways() -> None:
        for held, target in (targets, targets[::-1]):
            drift_nb(rows, growth, held, drifted, out[0])
            trade_nb(drifted, target, rate, rate, *out[1:])

    return both_ways


def one_env(market: MarketData, features: FeaturePanel, effort: Effort) -> list[Row]:
    """One `PortfolioEnv`, random actions, resets included."""
    env = PortfolioEnv(market, features, episode_length=_episode(effort), random_start=True)
    with pinned(1) as note:
        taken = take_turns({"": stepper(env)}, effort)[""]
    return [Row("PortfolioEnv", "steps/s", rates(taken, 1), target=40_000, note=note)]


def stepper(env: PortfolioEnv) -> Callable[[], None]:
    """A function that makes one step of one env with random actions, resets included."""
    env.reset(seed=0)
    rng = np.random.default_rng(1)
    shape = env.action_space.shape
    actions = itertools.cycle(rng.uniform(-1, 1, (64, *shape)).astype(np.float32))  # type: ignore[misc]

    def step() -> None:
        _, _, terminated, truncated, _ = env.step(next(actions))
        if terminated or truncated:
            env.reset()

    return step


def vector_env(market: MarketData, features: FeaturePanel, effort: Effort) -> list[Row]:
    """`PortfolioVectorEnv` on one core: `indexed` with a short and a long window, and `flat`."""
    n, long = effort.envs, effort.rows // 32
    kinds: dict[str, dict[str, Any]] = {
        "indexed, window of 1": {"observation": "indexed"},
        f"indexed, window of {long}": {"observation": "indexed", "window": long},
        "flat, window of 1": {"observation": "flat"},
    }
    with pinned(1) as note:
        work = {
            k: vector_stepper(vector(market, features, n, effort, **v)) for k, v in kinds.items()
        }
        taken = take_turns(work, effort)
    return [
        Row(
            f"PortfolioVectorEnv, {n:,} envs, {kind}",
            "steps/s",
            rates(taken[kind], n),
            target=3e6 if "indexed" in kind else None,
            note=note,
        )
        for kind in kinds
    ]


def two_threads(market: MarketData, features: FeaturePanel, effort: Effort) -> list[Row]:
    """`indexed` with one and with two threads in turn, after what two cores can give."""
    rows = [two_cores(market, effort)]
    for n in (effort.envs, 4 * effort.envs, 16 * effort.envs):
        with pinned(2) as note:
            both = {
                k: vector(market, features, n, effort, threads=k, observation="indexed")
                for k in (1, 2)
            }
            taken_by = take_turns({str(k): vector_stepper(e) for k, e in both.items()}, effort)
            for each in both.values():
                each.close()
        two = f"two threads, {n:,} envs"
        ratio = over(taken_by["1"], taken_by["2"])
        rows += [
            Row(two, "steps/s", rates(taken_by["2"], n), cores=2, note=note),
            Row(f"{two}, over one", "times", ratio, target=1.7, cores=2, note=note),
        ]
    return rows


def two_cores(market: MarketData, effort: Effort) -> Row:
    """What the machine has to give: the kernel alone, in calls of milliseconds, on two threads."""
    works = [accounting(market, 32 * effort.envs) for _ in range(2)]

    def in_turn() -> None:
        for work in works:
            work()

    with pinned(2) as note, ThreadPoolExecutor(1) as pool:

        def at_once() -> None:
            other = pool.submit(works[1])
            works[0]()
            other.result()

        taken = take_turns({"one": in_turn, "two": at_once}, effort)
    ratio = over(taken["one"], taken["two"])
    return Row(
        "the machine: long kernels on two threads, over one", "times", ratio, cores=2, note=note
    )


def vector_stepper(envs: PortfolioVectorEnv) -> Callable[[], None]:
    """A function that steps all portfolios once with random actions."""
    envs.reset(seed=0)
    rng = np.random.default_rng(1)
    drawn = rng.uniform(-1, 1, (8, *envs.action_space.shape)).astype(np.float32)  # type: ignore[misc]
    actions = itertools.cycle(drawn)

    def step() -> None:
        envs.step(next(actions))

    return step


def window(market: MarketData, features: FeaturePanel, effort: Effort) -> list[Row]:
    """Bytes a second of flat observations with a window, beside a plain copy of as many."""
    n = effort.envs
    with pinned(1) as note:
        envs = vector(market, features, n, effort, window=WINDOW)
        envs.reset(seed=0)
        out = np.zeros((n, WINDOW * ASSETS * FEATURES + ASSETS + 1), np.float32)
        source, copy = np.ones_like(out), np.zeros_like(out)
        taken = take_turns(
            {
                "observe": lambda: envs.simulation.write_flat(out),
                "copy": lambda: np.copyto(copy, source),
                "step": vector_stepper(envs),
            },
            effort,
        )
    size = out.nbytes / 1e9
    shares = {k: over(taken["copy"], taken[k]) for k in ("observe", "step")}
    what = f"window of {WINDOW}, {n:,} envs"
    return [
        Row(f"plain copy of {out.nbytes / 1e6:.1f} MB", "GB/s", rates(taken["copy"], size)),
        Row(f"flat observation, {what}", "GB/s", rates(taken["observe"], size)),
        Row(f"flat observation, {what}", "of copy", shares["observe"], target=0.8, note=note),
        Row(f"whole step, {what}", "of copy", shares["step"]),
        Row(f"whole step, {what}", "steps/s", rates(taken["step"], n)),
    ]


def _episode(effort: Effort) -> int:
    return min(EPISODE, effort.rows // 4)


def vector(
    market: MarketData, features: FeaturePanel, n: int, effort: Effort, **arguments: Any
) -> PortfolioVectorEnv:
    """A vector env as a learner uses it: random starts, episodes of a year, shared buffers."""
    return PortfolioVectorEnv(
        market,
        features,
        num_envs=n,
        copy=False,
        episode_length=_episode(effort),
        random_start=True,
        **arguments,
    )
