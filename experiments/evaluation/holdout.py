"""`Holdout`: one split in time, the baselines, and how sure to be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from envs.data.market_data import MarketData
from envs.errors import InputError
from experiments.evaluation import bootstrap
from experiments.evaluation.splits import Splits, split_rows, split_shares


@dataclass(frozen=True, kw_only=True)
class Holdout:
    """Train, validation and test windows in this order; the test window is read once.

    Attributes:
        train, validation, test: `(first, last)` days, or None for all three: by shares of the rows.
        train_share, validation_share: the rest is test.
        purge: rows left out between windows.
        baselines: name -> settings of its constructor; None instead of settings leaves it out.
        n_bootstrap, level: replications and level of the intervals.

    Raises:
        InputError: without a baseline, or for a number of replications that no run could compute.
    """

    train: Sequence[str | None] | None = None
    validation: Sequence[str | None] | None = None
    test: Sequence[str | None] | None = None
    train_share: float = 0.6
    validation_share: float = 0.2
    purge: int = 21
    baselines: Mapping[str, Mapping[str, Any] | None] = field(
        default_factory=lambda: {"equal_weight": {}}
    )
    n_bootstrap: int = 1000
    level: float = 0.95

    def __post_init__(self) -> None:
        if not isinstance(self.baselines, Mapping) or not any(
            settings is not None for settings in self.baselines.values()
        ):
            raise InputError(
                "evaluation.baselines must keep at least one baseline to compare with; "
                "leave single ones out with evaluation.baselines.NAME=null"
            )
        # Before hours of training, not after them.
        bootstrap.check_replications(self.n_bootstrap)

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
