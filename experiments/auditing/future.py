"""Other futures: the same data up to a row, and other data after it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.data.market_data import MarketData
from envs.features.panel import FeaturePanel

Builder = Callable[[MarketData], FeaturePanel]

# Standard deviation of the logarithm of a shock: many times a day's move, far from ruin.
SHOCK = 0.1
# Kept as they are: the calendar of the exchange and the listings decide which rows there are.
KEPT = ("dates", "tradable")


def change_after(market: MarketData, row: int, seed: int) -> MarketData:
    """The panel with other numbers in all its arrays after `row`, and the same bits up to it.

    Every cell gets its own shock: prices keep low <= open, close <= high, but not the shape of
    their bar. Missing cells stay missing, dates and the tradable mask are kept. The return of cash
    in row + 1 is fixed at `row` and so is kept, too. A field that this function does not know is
    scaled by factors between 1/2 and 1, which keeps signs and limits.
    """
    rng = np.random.default_rng([seed, row])
    changed: dict[str, Any] = {}
    for item in fields(market):
        value = getattr(market, item.name)
        if not isinstance(value, np.ndarray) or item.name in KEPT:
            continue
        first = row + 2 if item.name == "cash_rate" else row + 1
        value = value.copy()
        value[first:] = _shocked(item.name, value[first:], rng)
        changed[item.name] = value
    later = slice(row + 1, None)
    inside = [changed[name][later] for name in ("open", "close") if name in changed]
    for name, outer, sign in (("high", np.fmax, 1.0), ("low", np.fmin, -1.0)):
        if name in changed:
            edge = changed[name][later]
            for price in inside:
                edge = outer(edge, price)
            changed[name][later] = edge * np.exp(sign * np.abs(rng.normal(0, SHOCK, edge.shape)))
    return replace(market, **changed)


def _shocked(name: str, value: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
    noise = rng.normal(0.0, SHOCK, value.shape)
    if name == "observed":
        return np.clip(value + 10.0 * noise, -10.0, 10.0)
    if name == "cash_rate":
        return value + 0.01 * np.abs(noise)
    if name in ("open", "high", "low", "close", "volume", "benchmark"):
        return value * np.exp(noise)
    return value * rng.uniform(0.5, 1.0, value.shape) if value.dtype.kind == "f" else value


def move_price(market: MarketData, field: str, row: int, asset: int, factor: float) -> MarketData:
    """The panel with this one price multiplied; the range of the bar gives way."""
    changed = {field: getattr(market, field).copy()}
    changed[field][row, asset] *= factor
    price = changed[field][row, asset]
    for name, outer in (("high", max), ("low", min)):
        edge = getattr(market, name)
        if edge is not None:
            changed[name] = edge.copy()
            changed[name][row, asset] = outer(edge[row, asset], price)
    return replace(market, **changed)


def change_builder(builder: Builder, day: np.datetime64, seed: int) -> Builder:
    """The builder with other publications after `day` in the dated series that it was given.

    A dated series is any keyword with a method `changed_after(day, rng)`, as `Releases` has.
    """
    if not isinstance(builder, partial):
        return builder
    rng = np.random.default_rng([seed, 1])
    changed = {
        name: value.changed_after(day, rng)
        for name, value in builder.keywords.items()
        if hasattr(value, "changed_after")
    }
    return partial(builder, **changed) if changed else builder
