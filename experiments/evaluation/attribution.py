"""Where a result came from: its growth, split by asset, cash and kind of cost, to the last bit.

In a step of two legs the asset i earns, as a share of the value at the decision,

    held_i * (g1_i - 1) + G1 * weight_i * (g2_i - 1),

with `held` the weights before the trade, `weight` those after it, `g1, g2` the growth of the asset
in the legs and `G1` that of the portfolio in the first. The sum over assets and cash is the return
before costs; a cost of the share c of the value "had the step cost nothing" takes c times one plus
that return. So the parts of a step add up to its net return r.

Steps are **linked by logarithms** (Carino 1999): each part counts `log(1 + r) / r` of itself, so
that the parts of all steps add up to the log of wealth. Divided by the years they are growth a year
in log points, in which every step weighs alike, whatever the wealth at it.

What is left between that and the log of wealth is named `other`: rounding, and the sales that a
margin call forces between two decisions, after which the weights are not recorded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from agents.rollout import Trajectory
from envs.data.market_data import MarketData
from envs.market.legs import Legs, make_legs
from experiments.evaluation.metrics import Float
from experiments.evaluation.robustness import is_portfolio, rows_of

# Log points in total below which what is left over is rounding.
ROUNDING = 1e-9


def steps_by_asset(t: Trajectory, legs: Legs, first: int) -> Float:
    """`[n, A+1]` what each asset and cash earned in each step, as shares of the value before it.

    Args:
        legs: of the market and the execution of the run. first: its first decision row.
    """
    n = len(t.dates)
    rows = slice(first, first + n)
    out = np.zeros(t.weights.shape)
    grown = np.ones(n)
    if legs.before is not None:
        before = legs.before[rows]
        held = held_before(t, legs, first)
        out += held * (before - 1.0)
        grown = np.einsum("ki,ki->k", held, before)
    if legs.after is not None:
        out += grown[:, None] * t.weights * (legs.after[rows] - 1.0)
    return out


def held_before(t: Trajectory, legs: Legs, first: int) -> Float:
    """`[n, A+1]` weights at each decision: those after the last trade, moved by its second leg.

    The first decision is made in cash.
    """
    n = len(t.dates)
    held = np.zeros(t.weights.shape)
    held[0, -1] = 1.0
    last = t.weights[:-1]
    if legs.after is not None:
        last = last * legs.after[first : first + n - 1]
        total = last.sum(axis=1, keepdims=True)
        last = last / np.where(total > 0, total, 1.0)
    held[1:] = last
    return held


def parts(t: Trajectory, market: MarketData, legs: Legs) -> dict[str, Any]:
    """Log growth of one run by part.

    Args:
        legs: of the market and the execution of the run.

    Returns:
        `assets` `[A]`, `cash`, `costs` kind -> number (negative), `other`, and `total`, their sum:
        the log of the last value. With `reason` instead where wealth reached zero.
    """
    first, _ = rows_of(market, t)
    if (t.net_return <= -1.0).any():
        return {"reason": "wealth reached zero, of which there is no logarithm"}
    by_asset = steps_by_asset(t, legs, first)
    link = linking(t.net_return)
    earned = link @ by_asset
    grown = 1.0 + t.gross_return
    costs = {kind: -float(link @ (cost * grown)) for kind, cost in t.costs.items()}
    total = float(np.log1p(t.net_return).sum())
    left = total - float(earned.sum()) - sum(costs.values())
    return {
        "assets": earned[:-1],
        "cash": float(earned[-1]),
        "costs": costs,
        "other": left,
        "total": total,
    }


def linking(returns: Float) -> Float:
    """`log(1 + r) / r`, and 1 where r is 0."""
    moved = np.abs(returns) > 0.0
    safe = np.where(moved, returns, 1.0)
    return np.where(moved, np.log1p(safe) / safe, 1.0)


def attribute(
    market: MarketData, trajectories: Mapping[str, Sequence[Trajectory]], *, execution: str
) -> dict[str, Any]:
    """Growth a year of every strategy by part, mean over its seeds.

    Args:
        trajectories: name -> one a seed; an index, which has no weights, is left out.

    Returns:
        Plain data for JSON: `unit`, `linking`, `symbols`, `strategies: name -> {"assets": [A],
        "cash", "costs": {kind: x}, "other", "total"}` in log growth a year, or `{"reason"}`.
    """
    legs = make_legs(market, execution)
    found: dict[str, Any] = {}
    for name, runs in trajectories.items():
        if not is_portfolio(runs[0], market):
            continue
        each = [(parts(t, market, legs), len(t.dates) / t.periods_per_year) for t in runs]
        why = next((p["reason"] for p, _ in each if "reason" in p), None)
        if why is not None:
            found[name] = {"reason": why}
            continue

        def mean(pick: Any, each: Any = each) -> Any:
            return np.mean([pick(p) / years for p, years in each], axis=0)

        kinds = list(dict.fromkeys(k for p, _ in each for k in p["costs"]))
        found[name] = {
            "assets": mean(lambda p: p["assets"]).tolist(),
            "cash": float(mean(lambda p: p["cash"])),
            "costs": {k: float(mean(lambda p, k=k: p["costs"].get(k, 0.0))) for k in kinds},
            "other": float(mean(lambda p: p["other"])),
            "total": float(mean(lambda p: p["total"])),
        }
    return {
        "unit": "log growth a year",
        "linking": "log(1 + r) / r of each step (Carino)",
        "symbols": list(market.symbols),
        "strategies": found,
    }
