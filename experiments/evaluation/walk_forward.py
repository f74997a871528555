"""`WalkForward`: consecutive test windows, with agents trained anew before each of them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from envs.data.arguments import number, whole_number
from envs.data.market_data import MarketData
from envs.errors import InputError
from experiments.evaluation.plan import Plan
from experiments.evaluation.splits import Splits, date_text

MIN_STEPS = 2


@dataclass(frozen=True, kw_only=True)
class WalkForward(Plan):
    """The last `test_share` of the rows as `n_windows` consecutive test windows.

        expanding   |train........|purge|validation|purge|test 1|
                    |train................|purge|validation|purge|test 2|
        rolling     |train........|purge|validation|purge|test 1|
                           |train........|purge|validation|purge|test 2|

    ┌ Execution timing and look-ahead control ────────────────────────────────────────────────────┐
    │ A decision is taken at close t with what is known at close t; its return is measured from   │
    │ close t to close t+1, whatever the execution convention.                                    │
    │ · For each test window, scaler and agents are fitted anew, from fresh parameters, on rows   │
    │   before it; `purge` rows are cut between training and validation and between validation    │
    │   and test, from the end of the earlier one. Choose it at least as long as the longest      │
    │   label or holding horizon that training looks ahead by.                                    │
    │ · The next test window begins with the first decision after the last of this one, so every  │
    │   test row is decided on once, by agents that have seen nothing of it. The portfolio is     │
    │   carried over: what is held when an agent is replaced is what its successor begins with.   │
    │ · No embargo is needed: nothing is trained on rows after a test window.                     │
    └─────────────────────────────────────────────────────────────────────────────────────────────┘

    Attributes:
        n_windows: test windows, of equal length to one step.
        test_share: share of the rows that they cover together, the last ones.
        test_start, test_years: instead of these two, windows of so many calendar years from a day
            (YYYY-MM-DD) on; what is left at the end, if less than half a window, joins the last.
        validation_share: share of the rows before a test window (behind the warm-up) that agents
            are chosen on.
        train_rows: rolling windows of so many training rows; None: expanding, all rows before.
        purge, baselines, n_bootstrap, level, workers: as in `Plan`; all cores by default.

    Source: Pardo (2008), The Evaluation and Optimization of Trading Strategies; purging: Lopez de
    Prado (2018), ch. 7.

    Raises:
        InputError: for a setting outside its range.
    """

    n_windows: int = 4
    test_share: float = 0.2
    test_start: str | None = None
    test_years: int | None = None
    validation_share: float = 0.2
    train_rows: int | None = None
    workers: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        whole_number(self.n_windows, "evaluation.n_windows", 1)
        if self.train_rows is not None:
            whole_number(self.train_rows, "evaluation.train_rows", MIN_STEPS + 1)
        if (self.test_start is None) != (self.test_years is None):
            raise InputError(
                "evaluation.test_start and evaluation.test_years belong together: name both, or "
                "leave both null and say evaluation.n_windows and test_share"
            )
        if self.test_years is not None:
            whole_number(self.test_years, "evaluation.test_years", 1)
        for key in ("test_share", "validation_share"):
            if not 0 < number(getattr(self, key), f"evaluation.{key}") < 1:
                raise InputError(
                    f"evaluation.{key} must lie between 0 and 1, got {getattr(self, key)}"
                )

    def windows(self, market: MarketData, warmup: int) -> list[Splits]:
        """One `Splits` for each test window, in the order of time.

        Raises:
            InputError: if some window would hold fewer than two steps, naming it and the remedy.
        """
        edges = self._edges(market)
        return [
            self._window(market, warmup, k, start, stop)
            for k, (start, stop) in enumerate(pairwise(edges))
        ]

    def _edges(self, market: MarketData) -> list[int]:
        """The first decision row of each test window, and where the last one stops."""
        n = market.n_rows
        # The last decision is made one row before the last.
        if self.test_start is None or self.test_years is None:
            first = n - round(n * self.test_share)
            return [int(row) for row in np.linspace(first, n - 1, self.n_windows + 1)]
        first, _ = market.span(str(self.test_start), None)
        if not 0 < first < n:
            raise InputError(
                f"evaluation.test_start={self.test_start} lies outside the data; {market.name} "
                f"runs from {date_text(market.dates, 0)} to {date_text(market.dates, -1)}"
            )
        day = np.datetime64(self.test_start, "D")
        month, rest = day.astype("datetime64[M]"), day - day.astype("datetime64[M]")
        edges, later = [first], month
        while True:
            later = later + np.timedelta64(12 * self.test_years, "M")
            row = int(np.searchsorted(market.dates, later.astype("datetime64[D]") + rest))
            if row >= n - 1:
                break
            edges.append(row)
        if len(edges) > 1 and 2 * (n - 1 - edges[-1]) < edges[-1] - edges[-2]:
            edges.pop()
        return [*edges, n - 1]

    def _window(self, market: MarketData, warmup: int, k: int, start: int, stop: int) -> Splits:
        # The return of a decision lies one row later and must be known before the purged rows.
        validation_stop = start - self.purge - 1
        room = validation_stop - warmup
        validation_start = validation_stop - round(max(room, 0) * self.validation_share)
        train_stop = validation_start - self.purge - 1
        train_start = warmup
        if self.train_rows is not None:
            train_start = max(warmup, train_stop - self.train_rows)
        found = {
            "train": (train_start, train_stop),
            "validation": (validation_start, validation_stop),
            "test": (start, stop),
        }
        for key, (first, last) in found.items():
            if last - first < MIN_STEPS:
                raise InputError(
                    f"{market.name}: {key} of walk-forward window {k + 1} (test from "
                    f"{date_text(market.dates, min(max(start, 0), market.n_rows - 1))}) has "
                    f"{max(last - first, 0)} steps, {MIN_STEPS} needed; of {market.n_rows} rows, "
                    f"{warmup} are warm-up and {self.purge} are purged twice: use more data, fewer "
                    "evaluation.n_windows, or other shares"
                )
        return Splits(**found, purge=self.purge, warmup=warmup)
