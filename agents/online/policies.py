"""What all strategies of online portfolio selection share: relatives in, weights by row out.

A strategy is a function of the price relatives up to a row, from the first row of the panel on: it
computes the weights of all rows once, and `act` looks them up. In a hold-out it therefore comes
warmed up by all that lies before the window.

Where assets list, halt and delist, one without a price has the relative 1, and at each decision the
weights of what is tradable share out the whole. What is held of a halted asset stays as it is.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.baselines import BuyAndHold
from agents.baselines.base import Baseline
from envs.data.market_data import MarketData
from envs.errors import InputError
from envs.market.legs import make_legs
from envs.market.solutions.hindsight import best_constant_weights

Float = NDArray[np.float64]
# Weight on tradable assets below which it is dust, not a choice.
DUST = 1e-9


def price_relatives(market: MarketData) -> Float:
    """`[T, A]` close over the close before; 1 in row 0 and where an asset has no price to compare,
    on the row of its delisting too."""
    legs = make_legs(market, "same_close")
    assert legs.after is not None
    relatives = np.ones((market.n_rows, market.n_assets))
    relatives[1:] = legs.after[:, :-1]
    if legs.settles is not None:
        relatives[1:][legs.settles] = 1.0
    return relatives


def shared_out(weights: Float, tradable: NDArray[np.bool_]) -> Float:
    """Weights `[..., A]` over what is tradable alone, with cash `[..., A+1]`.

    Where a strategy names nothing that is tradable, all of that gets the same; where nothing is,
    cash.
    """
    chosen = np.where(tradable, weights, 0.0)
    mass = chosen.sum(axis=-1, keepdims=True)
    even = tradable / np.maximum(tradable.sum(axis=-1, keepdims=True), 1)
    if not tradable.all():
        chosen = np.where(mass > DUST, chosen / np.maximum(mass, DUST), even)
    cash = 1.0 - tradable.any(axis=-1, keepdims=True)
    return np.concatenate([chosen, cash], axis=-1)


class OnlinePolicy(Baseline):
    """Base of the strategies: `decide` is the strategy.

    Attributes:
        hindsight: whether it reads the future.
        weights: `[T, A]` as the strategy decided them, before they are shared out among what is
            tradable.
    """

    hindsight = False

    def __init__(self, market: MarketData) -> None:
        self.weights = self.decide(price_relatives(market))
        self._actions = shared_out(self.weights, market.tradable)

    def decide(self, relatives: Float) -> Float:
        """Weights `[T, A]` of all rows, from relatives `[T, A]`; row t from the rows up to it."""
        raise NotImplementedError

    def act(self, t: int, held: Float, memory: Any) -> tuple[Float, Any]:
        """Under `simplex` weights are the action."""
        return self._actions[t].copy(), memory


class Market(BuyAndHold):
    """Equal weights bought once and left alone: `buy_and_hold` by its name in this literature."""

    name = "market"
    hindsight = False


class Hindsight(Baseline):
    """Base of the yardsticks that read the future: from the first decision to the panel's end,
    which is that of the test window where a run makes them.

    They choose among the assets that are tradable at the first decision, without regard to costs.
    """

    hindsight = True

    def __init__(self, market: MarketData) -> None:
        legs = make_legs(market, "same_close")
        assert legs.after is not None
        self._growth = legs.after[:, :-1]
        self._tradable = market.tradable

    def choose(self, growth: Float) -> Float:
        """Weights `[A]` from the growths `[n, A]` of all days to come."""
        raise NotImplementedError

    def act(self, t: int, held: Float, memory: Any) -> tuple[Float, Any]:
        """The memory holds the weights that were chosen at the first decision."""
        if memory is None:
            can = self._tradable[t]
            usable = can if can.any() else np.ones_like(can)
            memory = np.zeros(len(can))
            memory[usable] = self.choose(np.ascontiguousarray(self._growth[t:, usable]))
        return shared_out(memory, self._tradable[t]), memory


class BestStock(Hindsight):
    """All in the one asset that will have grown most."""

    name = "best_stock"

    def choose(self, growth: Float) -> Float:
        # Zero, where an asset will be worth nothing, has no logarithm to add.
        total = np.log(np.maximum(growth, 1e-300)).sum(axis=0)
        weights = np.zeros(growth.shape[1])
        weights[total.argmax()] = 1.0
        return weights


class BestCRP(Hindsight):
    """BCRP: the constant mix that will have grown most without costs (Cover 1991)."""

    name = "bcrp"

    def choose(self, growth: Float) -> Float:
        return best_constant_weights(growth)[0]


def number(
    strategy: str,
    key: str,
    value: Any,
    *,
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
) -> float:
    """A finite number within its range.

    Raises:
        InputError: for anything else.
    """
    fine = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    fine = fine and (least is None or value >= least) and (above is None or value > above)
    if not (fine and (most is None or value <= most)):
        raise InputError(
            f"{strategy}: {key} must be a number{_range(least, above, most)}, got {value!r}"
        )
    return float(value)


def whole(strategy: str, key: str, value: Any, *, least: int, most: int | None = None) -> int:
    """A whole number within its range.

    Raises:
        InputError: for anything else.
    """
    fine = isinstance(value, int) and not isinstance(value, bool) and value >= least
    if not (fine and (most is None or value <= most)):
        raise InputError(
            f"{strategy}: {key} must be a whole number{_range(least, None, most)}, got {value!r}"
        )
    return int(value)


def _range(least: float | None, above: float | None, most: float | None) -> str:
    words = [
        word
        for word, limit in ((">=", least), (">", above), ("<=", most))
        if limit is not None
        for word in [f"{word} {limit:g}"]
    ]
    return f" {' and '.join(words)}" if words else ""
