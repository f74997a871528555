"""`Holdout`: one split in time, the baselines, and how sure to be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from envs.data.market_data import MarketData
from envs.errors import InputError
from experiments.evaluation.plan import Plan
from experiments.evaluation.splits import Splits, split_rows, split_shares


@dataclass(frozen=True, kw_only=True)
class Holdout(Plan):
    """Train, validation and test windows in this order; the test window is read once.

    Attributes:
        train, validation, test: `(first, last)` days, or None for all three: by shares of the rows.
        train_share, validation_share: the rest is test.
    """

    train: Sequence[str | None] | None = None
    validation: Sequence[str | None] | None = None
    test: Sequence[str | None] | None = None
    train_share: float = 0.6
    validation_share: float = 0.2

    def windows(self, market: MarketData, warmup: int) -> list[Splits]:
        """The one split, as a list."""
        return [self.split(market, warmup)]

    def split(self, market: MarketData, warmup: int) -> Splits:
        """The windows as ranges of decision rows; see `split_rows` and `split_shares`.

        Raises:
            InputError: if some windows are named and others are not, or as these do.
        """
        named = {"train": self.train, "validation": self.validation, "test": self.test}
        given = [key for key, window in named.items() if window is not None]
        if given and len(given) < 3:
            missing = ", ".join(f"evaluation.{key}" for key in named if key not in given)
            raise InputError(f"name all three windows or none: {missing} is missing")
        for key in given:
            window = named[key]
            if isinstance(window, str) or len(window or ()) != 2:
                raise InputError(
                    f"evaluation.{key} must be [first day, last day], got {window!r}; null is open"
                )
        cut: dict[str, Any] = {"purge": self.purge, "warmup": warmup}
        if not given:
            return split_shares(market, self.train_share, self.validation_share, **cut)
        windows: dict[str, Any] = named
        return split_rows(market, **windows, **cut)
