"""Action maps: the one place where actions become target weights.

Every map reads a `Box(-1, 1)` and states what it can reach. All of them clip the action to the box
first, as learners with Gaussian noise leave it. Cash is the last weight.

| name | action | weights | reaches |
|---|---|---|---|
| `softmax` | A+1 logits | exp(s a) / sum exp(s a) | all A+1 vertices of the simplex to 1e-3 |
| `simplex` | A+1 numbers | Euclidean projection on the simplex | the whole simplex, exactly |
| `long_short` | A numbers | a * gross, cut to the limits | all weights within the limits |
| `trade` | A orders | sell part of a holding, spend part of the cash | the whole simplex, exactly |

A `Box(0, 1)` with a plain softmax, common elsewhere, confines 30 weights to 1.3 %-8.6 %.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from envs.errors import InputError
from envs.market import kernel

Float = NDArray[np.float64]
# How far from 1 the largest softmax weight may stay at the corner of the box.
VERTEX_TOLERANCE = 1e-3


class ActionMap:
    """Base of the maps: `space()` is what the learner sees, `apply` is the one verb."""

    name: str
    kind: int  # for `step_nb`
    kernel: Any  # the same map alone

    def __init__(self, n_assets: int) -> None:
        self.n_assets = n_assets

    def space(self) -> spaces.Box:
        """Box(-1, 1) of one action."""
        return spaces.Box(-1.0, 1.0, (self.n_actions,), np.float32)

    @property
    def n_actions(self) -> int:
        return self.n_assets + 1

    @property
    def gross_limit(self) -> float:
        """The largest sum of |weight| over the assets."""
        return 1.0

    def settings(self) -> tuple[float, float]:
        """Two numbers that the kernel needs."""
        return 0.0, 0.0

    def apply(self, actions: Float, drifted: Float, target: Float) -> None:
        """Writes `target [N, A+1]` for `actions [N, n_actions]` and the weights held.

        Raises:
            InputError: if an action is NaN.
        """
        refuse_nan(self.kernel(actions, drifted, *self.settings(), target), actions)

    def inverse(self, weights: Float, drifted: Float | None = None) -> Float:
        """An action `[n_actions]` that leads to these target weights `[A+1]`.

        Raises:
            InputError: if no action does, naming the weight and a map that can.
        """
        weights = np.asarray(weights, np.float64)
        if weights.shape != (self.n_assets + 1,):
            raise InputError(
                f"weights must be [{self.n_assets + 1}] (assets, then cash), got {weights.shape}"
            )
        if not np.isfinite(weights).all() or abs(weights.sum() - 1.0) > 1e-9:
            raise InputError(f"weights must be finite and sum to 1, got sum {weights.sum()!r}")
        if self.name != "long_short" and weights.min() < -1e-12:
            worst = int(np.argmin(weights))
            raise InputError(
                f"action map {self.name!r} cannot reach weight {weights[worst]:.6g} in column "
                f"{worst}: it is long-only; use action map 'long_short'"
            )
        return self._inverse(weights, drifted)

    def _inverse(self, weights: Float, drifted: Float | None) -> Float:
        raise NotImplementedError


class Softmax(ActionMap):
    """Scaled logits. The scale makes a corner of the box a vertex of the simplex to 1e-3."""

    name = "softmax"
    kind = kernel.SOFTMAX
    kernel = staticmethod(kernel.softmax_nb)

    def __init__(self, n_assets: int) -> None:
        super().__init__(n_assets)
        self.scale = 0.5 * math.log(n_assets * (1.0 - VERTEX_TOLERANCE) / VERTEX_TOLERANCE)

    def settings(self) -> tuple[float, float]:
        return self.scale, 0.0

    def _inverse(self, weights: Float, drifted: Float | None) -> Float:
        logits = np.log(np.maximum(weights, 1e-300)) / self.scale
        return np.clip(logits - logits.max() + 1.0, -1.0, 1.0)


class Simplex(ActionMap):
    """Euclidean projection on the simplex (Duchi et al. 2008); weights map to themselves."""

    name = "simplex"
    kind = kernel.SIMPLEX
    kernel = staticmethod(kernel.simplex_nb)

    def _inverse(self, weights: Float, drifted: Float | None) -> Float:
        return weights.copy()


class LongShort(ActionMap):
    """Weights `a * gross`, then cut to the limits; cash is what is left (it may exceed 1).

    The sum of |weights| is cut to `gross` by scaling all of them; then, if |sum of weights| exceeds
    `net`, the larger side is scaled until it does not. Weights within both limits map to
    themselves.
    """

    name = "long_short"
    kind = kernel.LONG_SHORT
    kernel = staticmethod(kernel.long_short_nb)

    def __init__(self, n_assets: int, gross: float = 1.0, net: float = 1.0) -> None:
        super().__init__(n_assets)
        numbers = all(isinstance(limit, (int, float)) for limit in (gross, net))
        if not (numbers and 0 < gross < math.inf and 0 <= net <= gross):
            raise InputError(
                f"long_short needs 0 < gross < inf and 0 <= net <= gross, got {gross} and {net}"
            )
        self.gross, self.net = float(gross), float(net)

    @property
    def n_actions(self) -> int:
        return self.n_assets

    @property
    def gross_limit(self) -> float:
        return self.gross

    def settings(self) -> tuple[float, float]:
        return self.gross, self.net

    def _inverse(self, weights: Float, drifted: Float | None) -> Float:
        assets = weights[:-1]
        gross, net = np.abs(assets).sum(), abs(assets.sum())
        if gross > self.gross * (1 + 1e-12) or net > self.net * (1 + 1e-12) + 1e-15:
            raise InputError(
                f"action map 'long_short' cannot reach gross {gross:.6g}, net {net:.6g}: its "
                f"limits are gross {self.gross:g}, net {self.net:g}; raise them"
            )
        return assets / self.gross


class Trade(ActionMap):
    """Buy, sell or hold, in percent. a < 0 sells the share |a| of the holding; a > 0 spends the
    share a of the cash there is after the sales; 0 trades nothing. Buys of more than all cash are
    scaled.
    """

    name = "trade"
    kind = kernel.TRADE
    kernel = staticmethod(kernel.trade_orders_nb)

    @property
    def n_actions(self) -> int:
        return self.n_assets

    def _inverse(self, weights: Float, drifted: Float | None) -> Float:
        if drifted is None:
            raise InputError("action map 'trade' needs the weights held to find the orders")
        order = weights[:-1] - drifted[:-1]
        sold = np.maximum(-order, 0.0)
        cash = drifted[-1] + sold.sum()
        action = np.maximum(order, 0.0) / cash if cash > 0 else np.zeros(self.n_assets)
        held = drifted[:-1] > 0
        action[held & (sold > 0)] = -(sold[held & (sold > 0)] / drifted[:-1][held & (sold > 0)])
        return np.clip(action, -1.0, 1.0)


def make_action_map(action: str | ActionMap, n_assets: int, **settings: float) -> ActionMap:
    """The map of this name (see the table above) for `n_assets`.

    Raises:
        InputError: for an unknown name.
    """
    if isinstance(action, ActionMap):
        return action
    maps = {"softmax": Softmax, "simplex": Simplex, "long_short": LongShort, "trade": Trade}
    if action not in maps:
        raise InputError(f"unknown action map {action!r}; known: {', '.join(maps)}")
    if settings and action != "long_short":
        raise InputError(f"action map {action!r} takes no settings, got {sorted(settings)}")
    unknown = sorted(settings.keys() - {"gross", "net"})
    if unknown:
        raise InputError(f"action map {action!r} takes gross and net, not {', '.join(unknown)}")
    return maps[action](n_assets, **settings)  # type: ignore[arg-type]


def refuse_nan(bad: int, actions: Float) -> None:
    """Raises the error for row `bad` of `actions`, if it is one (not negative)."""
    if bad >= 0:
        raise InputError(
            f"the action of portfolio {bad} contains NaN: {actions[bad]}; check the policy's "
            "output (a diverged network, or an observation that is not scaled)"
        )
