"""`Online`: every row of the panel is a test row, for strategies that train on nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from envs.data.market_data import MarketData
from experiments.evaluation.plan import Plan
from experiments.evaluation.splits import Splits


@dataclass(frozen=True, kw_only=True)
class Online(Plan):
    """One test window from the first row to the last, and no training rows.

    ┌ Execution timing and look-ahead control ────────────────────────────────────────────────────┐
    │ The first decision is taken at row 0, before any return is known; a decision at close t     │
    │ earns from close t to close t+1. Nothing is fitted, so nothing is held out: parameters that │
    │ were published after the data ended were chosen with it in view.                            │
    └─────────────────────────────────────────────────────────────────────────────────────────────┘

    Attributes:
        baselines, n_bootstrap, level: as in `Plan`. There is nothing to purge.
    """

    trains: ClassVar[bool] = False
    purge: int = 0

    def windows(self, market: MarketData, warmup: int) -> list[Splits]:
        """One `Splits` with an empty training and validation window; features need no warm-up."""
        return [Splits((0, 0), (0, 0), (0, market.n_rows - 1))]
