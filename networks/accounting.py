"""The accounting kernel once more, in torch: value and costs of a portfolio with their gradients.

A policy network is trained through the market by differentiating what it earns, net of what its own
trades cost. The arithmetic is that of `envs/market/kernel.py`: prices move from the decision to the
execution, the portfolio is rebalanced to its target and charged, prices move on to the next
decision, and

    value_next = value * growth_1 * kept * growth_2.

The kernel moves the money of all rollouts; this twin is for training alone and equals it to 1e-10.
Money is float64. Cash is the last column and is never charged. Costs are proportional, constant or
by row, and quadratic ones on top; halts, lots, caps and fees are the kernel's alone.

The approach is that of Moody and Saffell (2001), "Learning to trade via direct reinforcement", and
of Jiang, Xu and Liang (2017), whose cost formula is first order; this one is exact.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

MAX_NEWTON_STEPS = 64
# The cost equation is solved to this, and the last step, the one with a gradient, is exact.
SOLVED = 1e-12
# Weights must sum to 1 as closely: money must not come out of the rounding of a network.
SUM_TOLERANCE = 1e-9


class Traded(NamedTuple):
    """What a trade did, each `[...]`, relative to the value before it.

    Attributes:
        kept: share of the value that the costs leave; not positive if they exceed it.
        cost: `1 - kept`. turnover: sum of |traded notional|.
    """

    kept: Tensor
    cost: Tensor
    turnover: Tensor


class Stepped(NamedTuple):
    """One step of N portfolios.

    Attributes:
        held: `[N, A+1]` weights at the next decision. growth: `[N]` of the value, net of costs.
        cost, turnover: `[N]` relative to the value before the trade.
    """

    held: Tensor
    growth: Tensor
    cost: Tensor
    turnover: Tensor


class Path(NamedTuple):
    """A sequence of steps, each `[B, T]`: simple return net of costs, turnover, and costs, the
    latter two relative to the value before each trade."""

    net_return: Tensor
    turnover: Tensor
    cost: Tensor


def drift(weights: Tensor, growth: Tensor) -> tuple[Tensor, Tensor]:
    """`(drifted [..., A+1], factor [...])`: weights after one leg of prices, and its growth.

    Where the value is not positive (ruin of a leveraged portfolio) the weights are all cash and
    constant, as in the kernel; `factor` keeps its gradient.
    """
    held = weights * growth
    factor = held.sum(dim=-1)
    alive = factor > 0.0
    drifted = held / torch.where(alive, factor, 1.0).unsqueeze(-1)
    if not bool(alive.all()):
        cash = torch.zeros_like(drifted)
        cash[..., -1] = 1.0
        drifted = torch.where(alive.unsqueeze(-1), drifted, cash)
    return drifted, factor


def trade(drifted: Tensor, target: Tensor, rate: Tensor, quadratic: Tensor | None = None) -> Traded:
    """Rebalances from `drifted` to `target` and charges it.

    The share x of the value that is left solves

        x + sum_i cost_i(|x * target_i - drifted_i|) = 1,    cost_i(o) = rate_i o + quadratic_i o^2.

    Newton's method finds it without a gradient; one more step, whose slope is held constant, has
    the gradient of the implicit function. It is that of one side where an order is exactly 0.

    Args:
        drifted, target: `[..., A+1]`, sum 1. rate, quadratic: `[A]` or `[..., A]`.

    Raises:
        ValueError: if the equation has no solution, for costs beyond the traded value.
    """
    wish, held = target[..., :-1], drifted[..., :-1]
    x = torch.ones_like(wish[..., 0])
    with torch.no_grad():
        for _ in range(MAX_NEWTON_STEPS):
            excess, slope = _cost_equation(x, wish, held, rate, quadratic)
            if bool((excess.abs() <= SOLVED).all()):
                break
            x = x - excess / slope
        else:
            raise ValueError(
                "the cost of a trade exceeds what it trades, so that nothing is left to solve for; "
                "lower the costs (cost.*) or the leverage of the policy"
            )
    excess = _cost_equation(x, wish, held, rate, quadratic)[0]
    kept = x - excess / slope
    turnover = (kept.unsqueeze(-1) * wish - held).abs().sum(dim=-1)
    return Traded(kept, 1.0 - kept, turnover)


def step(
    held: Tensor,
    target: Tensor,
    growth_before: Tensor | None,
    growth_after: Tensor | None,
    commission: Tensor,
    half_spread: Tensor,
    quadratic: Tensor | None = None,
) -> Stepped:
    """One step of N portfolios, differentiable in `held` and `target`.

    Args:
        held: `[N, A+1]` float64 weights at the decision. target: `[N, A+1]` float64, sum 1.
        growth_before, growth_after: `[N, A+1]` gross growth of the two legs; None: nothing moves.
        commission, half_spread: `[A]` or `[N, A]` fractions of the traded notional, each side.
        quadratic: `[A]` or `[N, A]`, an order o costs that times o^2 on top; None: none.

    Raises:
        ValueError: for costs beyond the traded value.
    """
    value = torch.ones((), dtype=held.dtype, device=held.device)
    if growth_before is not None:
        held, value = drift(held, growth_before)
    traded = trade(held, target, commission + half_spread, quadratic)
    growth = value * traded.kept
    if growth_after is not None:
        target, value = drift(target, growth_after)
        growth = growth * value
    return Stepped(target, growth, traded.cost, traded.turnover)


def wealth_path(
    targets: Tensor,
    held: Tensor,
    growth_before: Tensor | None,
    growth_after: Tensor | None,
    commission: Tensor,
    half_spread: Tensor,
    quadratic: Tensor | None = None,
) -> Path:
    """`T` steps of `B` portfolios whose targets are known beforehand, differentiable in both.

    A trade reaches its target exactly, so the weights held at a step depend on the target before it
    alone, and all steps are made at once, without a loop over time. A policy that has to see the
    weights it holds calls `step` instead.

    Nothing ends after a ruin: that step returns -1 or less, and the next begins in cash.

    Args:
        targets: `[B, T, A+1]` float64 weights just after each trade, sum 1. An asset that cannot
            trade must have weight 0 before and after.
        held: `[B, A+1]` float64 at the first decision, as `[0, ..., 0, 1]` for cash.
        growth_before, growth_after: `[B, T, A+1]` or `[T, A+1]` gross growth; None: nothing moves.
        commission, half_spread, quadratic: as in `step`, `[A]`, `[T, A]` or `[B, T, A]`.

    Raises:
        ValueError: for targets or growth that are not finite, naming row and column; for targets
            that are not float64 or do not sum to 1; for costs beyond the traded value.
    """
    _check(targets, growth_before, growth_after)
    end, after = targets, None
    if growth_after is not None:
        end, after = drift(targets, growth_after)
    start = torch.cat([held.unsqueeze(1), end[:, :-1]], dim=1)
    before = None
    if growth_before is not None:
        start, before = drift(start, growth_before)
    traded = trade(start, targets, commission + half_spread, quadratic)
    growth = traded.kept
    for factor in (before, after):
        if factor is not None:
            growth = growth * factor
    return Path(growth - 1.0, traded.turnover, traded.cost)


def _cost_equation(
    x: Tensor, wish: Tensor, held: Tensor, rate: Tensor, quadratic: Tensor | None
) -> tuple[Tensor, Tensor]:
    """`(excess, slope)`: the left side less 1, and its derivative by x."""
    order = x.unsqueeze(-1) * wish - held
    size = order.abs()
    charged, marginal = rate * size, rate
    if quadratic is not None:
        charged = charged + quadratic * size * size
        marginal = rate + 2.0 * quadratic * size
    slope = 1.0 + (marginal * torch.where(order > 0.0, wish, -wish)).sum(dim=-1)
    return x + charged.sum(dim=-1) - 1.0, slope


def _check(targets: Tensor, growth_before: Tensor | None, growth_after: Tensor | None) -> None:
    """Raises for what would silently become a wrong gradient."""
    if targets.dtype != torch.float64:
        raise ValueError(
            f"targets must be float64, got {targets.dtype}: money is; make weights of the "
            "network's output in float64 (logits.double().softmax(-1))"
        )
    named = {"targets": targets, "growth_before": growth_before, "growth_after": growth_after}
    for name, values in named.items():
        if values is None:
            continue
        good = torch.isfinite(values)
        if not bool(good.all()):
            where = (~good).nonzero()[0].tolist()
            raise ValueError(
                f"{name} is not finite at row {where[-2]}, column {where[-1]}"
                + (f" of sequence {where[0]}" if len(where) > 2 else "")
                + "; look at the inputs and the loss of the step before"
            )
    off = (targets.detach().sum(dim=-1) - 1.0).abs().max()
    if float(off) > SUM_TOLERANCE:
        raise ValueError(
            f"targets must sum to 1 with cash, and are off by up to {float(off):.2g}; the last "
            "column is cash: 1 less the others"
        )
