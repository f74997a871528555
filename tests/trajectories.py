"""Simulated `Trajectory` objects that are honest: weights drift, trades cost, wealth adds up."""

from __future__ import annotations

import numpy as np

from agents.rollout import Trajectory


def market_returns(n: int, n_assets: int, seed: int = 0) -> np.ndarray:
    """`[n, A]` correlated simple returns with clustered volatility."""
    rng = np.random.default_rng(seed)
    scale = np.exp(0.6 * np.sin(np.arange(n) / 60.0) + 0.1 * rng.standard_normal(n))
    common = 0.0003 + 0.007 * rng.standard_t(6, n) * scale
    own = 0.009 * rng.standard_normal((n, n_assets)) * scale[:, None]
    drift = np.linspace(0.0003, -0.0001, n_assets)
    return np.maximum(common[:, None] + own + drift, -0.5)


def simulate(
    name: str = "ppo",
    seed: int | None = None,
    n: int = 500,
    n_assets: int = 4,
    activity: float = 0.0,
    rate: float = 0.001,
    market_seed: int = 0,
    ruin_at: int | None = None,
    start: str = "2015-01-05",
) -> Trajectory:
    """A policy that rebalances to slowly wandering weights and pays `rate` per traded unit.

    `activity` 0 is daily equal weight; 1 is weights far from it. `ruin_at` ends the episode there.
    """
    asset_returns = market_returns(n, n_assets, market_seed)
    name_key = sum(ord(c) for c in name)
    rng = np.random.default_rng([market_seed, 99 if seed is None else seed, name_key])
    logits = np.cumsum(rng.standard_normal((n, n_assets)) * 0.15, axis=0) * activity
    target = np.exp(logits - logits.max(axis=1, keepdims=True))
    cash = 0.05 * activity
    target = np.c_[target / target.sum(axis=1, keepdims=True) * (1 - cash), np.full(n, cash)]
    days = np.arange(np.datetime64(start, "D"), np.datetime64(start, "D") + 2 * n + 10)
    days = days[np.is_busday(days)][: n + 1].astype("datetime64[ns]")

    held = np.r_[np.zeros(n_assets), 1.0]
    value, gross, net, turnover, cost = [1.0], [], [], [], []
    cash_return = np.full(n, 0.02 / 252)
    stop = n
    for k in range(n):
        traded = np.abs(target[k, :-1] - held[:-1]).sum()
        fee = rate * traded
        step = np.r_[asset_returns[k], cash_return[k]]
        growth = 1.0 + target[k] @ step
        if ruin_at is not None and k == ruin_at:
            growth = 1e-9
        gross.append(growth - 1.0)
        net.append((1.0 - fee) * growth - 1.0)
        turnover.append(traded)
        cost.append(fee)
        value.append(value[-1] * (1.0 + net[-1]))
        held = target[k] * (1.0 + step) / (target[k] @ (1.0 + step))
        if ruin_at is not None and k == ruin_at:
            stop = k + 1
            break
    costs = np.array(cost)
    return Trajectory(
        name=name,
        seed=seed,
        symbols=tuple(f"A{i:02d}" for i in range(n_assets)),
        decision_dates=days[:stop],
        dates=days[1 : stop + 1],
        weights=target[:stop],
        gross_return=np.array(gross),
        net_return=np.array(net),
        asset_return=asset_returns[:stop].mean(axis=1),
        cash_return=cash_return[:stop],
        costs={"commission": 0.7 * costs, "spread": 0.3 * costs},
        turnover=np.array(turnover),
        value=np.array(value),
        reward=np.log1p(net),
        periods_per_year=252.0,
        ruined=ruin_at is not None,
    )


def benchmark(n: int = 500, n_assets: int = 4, market_seed: int = 0) -> Trajectory:
    """The mean of the assets as an index: no costs, no turnover, one symbol."""
    base = simulate("equal_weight", n=n, n_assets=n_assets, market_seed=market_seed, rate=0.0)
    r = market_returns(n, n_assets, market_seed).mean(axis=1)
    return Trajectory(
        name="benchmark",
        seed=None,
        symbols=("index",),
        decision_dates=base.decision_dates,
        dates=base.dates,
        weights=np.tile([1.0, 0.0], (n, 1)),
        gross_return=r,
        net_return=r,
        asset_return=base.asset_return,
        cash_return=base.cash_return,
        costs={},
        turnover=np.zeros(n),
        value=np.r_[1.0, np.cumprod(1.0 + r)],
        reward=np.log1p(r),
        periods_per_year=252.0,
    )


def example_run(
    n: int = 500, n_assets: int = 4, seeds: tuple[int, ...] = (0, 1, 2)
) -> dict[str, list[Trajectory]]:
    """One agent with several seeds, four baselines and an index."""
    make = lambda *a, **k: simulate(*a, n=n, n_assets=n_assets, **k)  # noqa: E731
    return {
        "ppo": [make("ppo", seed=s, activity=0.7) for s in seeds],
        "equal_weight": [make("equal_weight")],
        "buy_and_hold": [make("buy_and_hold", activity=0.05, rate=0.0)],
        "momentum": [make("momentum", activity=0.5)],
        "risk_parity": [make("risk_parity", activity=0.1)],
        "benchmark": [benchmark(n=n, n_assets=n_assets)],
    }
