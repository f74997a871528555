"""Train, validation and test windows by date, with purged rows between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from envs.data.market_data import MarketData
from envs.errors import InputError

Window = Sequence[str | None]
WINDOWS = ("train", "validation", "test")
# A window may name the weekend or holidays around the data, not another year.
SLACK = np.timedelta64(31, "D")


@dataclass(frozen=True)
class Splits:
    """Decision rows of each window, half open: `range(*splits.train)`.

    Attributes:
        train, validation, test: `(start, stop)`. The decision at row `stop - 1` earns its return at
            row `stop`, which is the last row of the window.
        purge: rows left out between consecutive windows.
        warmup: rows at the start of the data at which no decision is possible.
    """

    train: tuple[int, int]
    validation: tuple[int, int]
    test: tuple[int, int]
    purge: int = 0
    warmup: int = 0


def split_rows(
    market: MarketData,
    *,
    train: Window,
    validation: Window,
    test: Window,
    purge: int = 0,
    warmup: int = 0,
    min_steps: int = 2,
) -> Splits:
    """Turns three windows of dates into ranges of decision rows.

    ┌ Execution timing and look-ahead control ────────────────────────────────────────────────────┐
    │ A decision is taken at close t with what is known at close t; whatever the execution        │
    │ convention, its return is measured from close t to close t+1.                               │
    │ · Both closes lie in the window: the last decision of a window is one row before its last   │
    │   row, so no return of one window is seen in another.                                       │
    │ · `purge` rows are cut from the *end of the earlier window*, so that the dates of the later │
    │   window are the ones that were asked for. Choose it at least as long as what training may  │
    │   look ahead by (n-step targets, overlapping labels); days that the dates themselves leave  │
    │   out between two windows count towards it.                                                 │
    │ · Features and observations of a window may read rows before it: those are its past.        │
    │ · Scalers and agents are fitted on `train`, chosen on `validation`; `test` is read once.    │
    └─────────────────────────────────────────────────────────────────────────────────────────────┘

    Args:
        market: the panel whose dates are cut.
        train, validation, test: `(first, last)` days, both inclusive; None is the end of the data.
        purge: rows to leave out between consecutive windows.
        warmup: rows before the first possible decision: the feature warm-up plus the observation
            window less one. A training window that begins earlier begins there.
        min_steps: decisions that a window must hold (an episode's length, say).

    Raises:
        InputError: a window outside the data, without rows, too short, out of order or overlapping;
            the message names the window, the range of the data and the remedy.
    """
    if purge < 0 or warmup < 0:
        raise InputError(f"purge and warmup must be >= 0, got {purge} and {warmup}")
    asked = {"train": train, "validation": validation, "test": test}
    if warmup + min_steps >= market.n_rows:
        raise InputError(
            f"{market.name}: {market.n_rows} rows, and warm-up ({warmup}) plus window "
            f"({min_steps} steps) need {warmup + min_steps + 1}; use more data, shorter "
            "features or a shorter window"
        )
    rows = {key: _rows(market, key, asked[key]) for key in WINDOWS}
    for early, late in pairwise(WINDOWS):
        if rows[early][0] >= rows[late][0]:
            raise InputError(
                f"{early} {_text(asked[early])} does not begin before {late} {_text(asked[late])}; "
                "the order in time is train, validation, test"
            )
        if rows[early][1] > rows[late][0]:
            raise InputError(
                f"{early} {_text(asked[early])} and {late} {_text(asked[late])} overlap; "
                f"end {early} before {late} begins"
            )
    decisions: dict[str, tuple[int, int]] = {}
    for index, key in enumerate(WINDOWS):
        first, stop = rows[key]
        if index < 2:
            stop = min(stop, rows[WINDOWS[index + 1]][0] - purge)
        first = max(first, warmup)
        if stop - 1 - first < min_steps:
            raise InputError(
                f"{key} {_text(asked[key])} has {max(stop - 1 - first, 0)} steps after warm-up "
                f"({warmup} rows) and purge ({purge} rows), {min_steps} needed; {_range(market)}; "
                "widen the window"
            )
        decisions[key] = (first, stop - 1)
    return Splits(**decisions, purge=purge, warmup=warmup)


def windows_by_share(
    market: MarketData, train: float = 0.6, validation: float = 0.2
) -> dict[str, tuple[str, str]]:
    """Windows of dates that share out the rows, for data whose dates the config does not know.

    Returns `{"train": (first, last), ...}` for `split_rows`; the rest of the rows is `test`.

    Raises:
        InputError: if a share is not in (0, 1) or nothing is left for the test window.
    """
    if not (0 < train < 1 and 0 < validation < 1 and train + validation < 1):
        raise InputError(
            f"shares of train ({train}) and validation ({validation}) must be positive and leave "
            "something for test"
        )
    cut = [
        0,
        int(market.n_rows * train),
        int(market.n_rows * (train + validation)),
        market.n_rows,
    ]
    if min(np.diff(cut)) < 1:
        raise InputError(f"{market.name}: {market.n_rows} rows are too few for three windows")
    return {
        key: (_date(market, cut[i]), _date(market, cut[i + 1] - 1)) for i, key in enumerate(WINDOWS)
    }


def _rows(market: MarketData, key: str, window: Window) -> tuple[int, int]:
    if isinstance(window, str) or len(window) != 2:
        raise InputError(f"{key}: give two dates (first, last), got {window!r}")
    start, end = (None if day is None else str(day) for day in window)
    first, stop = market.span(start, end)
    if (
        start is not None
        and end is not None
        and np.datetime64(start, "D") > np.datetime64(end, "D")
    ):
        raise InputError(f"{key} {_text(window)} ends before it begins; swap the two dates")
    early = start is not None and np.datetime64(start, "D") < market.dates[0] - SLACK
    late = end is not None and np.datetime64(end, "D") > market.dates[-1] + SLACK
    if first >= market.n_rows or stop <= 0 or late or early:
        raise InputError(
            f"{key} {_text(window)} lies outside the data; {_range(market)}; name dates inside it"
        )
    if stop <= first:
        raise InputError(f"{key} {_text(window)} has no rows; {_range(market)}; widen the window")
    return first, stop


def _text(window: Window) -> str:
    return f"[{window[0] or 'start'} .. {window[1] or 'end'}]"


def _date(market: MarketData, row: int) -> str:
    return str(np.datetime_as_string(market.dates[row], unit="D"))


def _range(market: MarketData) -> str:
    return f"{market.name} runs from {_date(market, 0)} to {_date(market, market.n_rows - 1)}"
