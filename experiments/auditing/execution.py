"""At which price is a decision filled? Measured by moving one price at a time."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from omegaconf import OmegaConf

from envs.data.market_data import MarketData
from envs.portfolio import PortfolioEnv
from experiments.auditing.chain import Recipe
from experiments.auditing.findings import Check, Day, Leak
from experiments.auditing.future import move_price

MOVE = 0.01
# Rows after the decision that are looked at; an order later than this is not found.
HORIZON = 6
# A position of weight w loses w per cent of value for a fill one per cent higher. Costs that
# depend on prices move the value, too, but by far less.
SHARE = 0.5


@dataclass(frozen=True, order=True)
class Fill:
    """A price, counted from the decision: close t is `(0, "close")`."""

    bars: int
    field: str

    def __str__(self) -> str:
        return f"{self.field} t+{self.bars}" if self.bars else f"{self.field} t"


def declared(recipe: Recipe) -> Fill:
    """What the configuration says about the price of its fills."""
    execution = OmegaConf.select(recipe.cfg, "env.execution", default="next_close")
    delay = int(OmegaConf.select(recipe.cfg, "env.delay", default=0) or 0)
    if execution == "same_close":
        return Fill(delay, "close")
    return Fill(1 + delay, "open" if execution == "next_open" else "close")


def measured(recipe: Recipe, row: int) -> tuple[Fill | None, int]:
    """The price at which a decision at `row` is filled, and the number of values looked at.

    The portfolio starts in cash and wants one asset. Any price before the fill leaves its value
    alone; a higher price at the fill makes it poorer. None: it holds nothing within the horizon.
    """
    market = recipe.market
    stop = min(row + HORIZON, market.n_rows - 1)
    asset = _asset(market, row, stop)
    value, weights = _wealth(recipe, market, row, stop, asset)
    held = weights[np.abs(weights) > 1e-6]
    if not held.size:
        return None, 0
    looked = 0
    for bars in range(stop - row + 1):
        for field in ("open", "close"):
            if getattr(market, field) is None or (field == "open" and not bars):
                continue
            other = move_price(market, field, row + bars, asset, 1.0 + MOVE)
            moved, _ = _wealth(recipe, other, row, stop, asset)
            looked += 1
            if math.log(moved / value) / math.log(1.0 + MOVE) < -SHARE * held[0]:
                return Fill(bars, field), looked
    return None, looked


def _asset(market: MarketData, row: int, stop: int) -> int:
    """The first asset that can be traded all the time."""
    return int(np.argmax(market.tradable[row : stop + 1].all(axis=0)))


def _wealth(
    recipe: Recipe, market: MarketData, row: int, stop: int, asset: int
) -> tuple[float, np.ndarray]:
    """Final value, and the weights of the asset after each trade, of wanting nothing else."""
    prepared = recipe.known
    setting: Any = _with_market(recipe, market, (row, stop))
    action = np.zeros(setting.action_map.n_actions)
    action[asset] = 1.0
    if prepared.market.n_assets > 1:
        # A market-neutral portfolio holds nothing long without a short.
        action[(asset + 1) % prepared.market.n_assets] = -1.0
    env = PortfolioEnv.from_setting(setting)
    env.reset(seed=0)
    weights = []
    while True:
        _, _, terminated, truncated, info = env.step(action)
        weights.append(info["weights"][asset])
        if terminated or truncated:
            return info["value"], np.array(weights)


def _with_market(recipe: Recipe, market: MarketData, rows: tuple[int, int]) -> Any:
    return recipe.window(replace(recipe.known, market=market), rows)


def check_execution(
    recipe: Recipe, rows: list[int], check: Check, says: Recipe | None = None
) -> None:
    """Compares the declared and the measured fill at decisions in these rows.

    Args:
        says: the recipe whose declaration counts; None: the same.
    """
    wanted = declared(says or recipe)
    for row in rows:
        day = Day(row, recipe.market.dates)
        found, looked = measured(recipe, row)
        if found is None and not looked:
            continue
        check.days.add(day.date(row))
        check.values += looked
        if found != wanted and check.leak is None:
            check.leak = Leak(
                what="price of a fill",
                row=row,
                date=day.date(row),
                column="",
                before=f"declared as {wanted}",
                after=f"measured at {found}",
                changed=day.date(row),
            )
    check.note = f"filled at {wanted}"
    if wanted == Fill(0, "close"):
        check.note += ", the price that the decision has seen: optimistic, as declared"
