"""Train, validation and test windows by date or by share, with purged rows between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

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
    asked = {"train": train, "validation": validation, "test": test}
    _check(market, purge, warmup, min_steps)
    rows = {key: _rows(market, key, asked[key]) for key in WINDOWS}
    texts = {key: _text(asked[key]) for key in WINDOWS}
    for early, late in pairwise(WINDOWS):
        if rows[early][0] >= rows[late][0]:
            raise InputError(
                f"{early} {texts[early]} does not begin before {late} {texts[late]}; "
                "the order in time is train, validation, test"
            )
        if rows[early][1] > rows[late][0]:
            raise InputError(
                f"{early} {texts[early]} and {late} {texts[late]} overlap; "
                f"end {early} before {late} begins"
            )
    return _decisions(market, rows, texts, purge, warmup, min_steps)


def split_shares(
    market: MarketData,
    train: float = 0.6,
    validation: float = 0.2,
    *,
    purge: int = 0,
    warmup: int = 0,
    min_steps: int = 2,
) -> Splits:
    """Shares out the rows in this order, for data whose dates the config does not know.

    The cuts lie between rows, so bars of minutes or hours are split within a day. Timing, purge and
    warm-up as in `split_rows`.

    Args:
        market: the panel whose rows are cut.
        train, validation: shares of the rows, in (0, 1); the rest is `test`.
        purge, warmup, min_steps: as in `split_rows`.

    Raises:
        InputError: if a share is not in (0, 1), nothing is left for the test window, or a window is
            too short.
    """
    if not (0 < train < 1 and 0 < validation < 1 and train + validation < 1):
        raise InputError(
            f"shares of train ({train}) and validation ({validation}) must be positive and leave "
            "something for test"
        )
    _check(market, purge, warmup, min_steps)
    shares = (0, train, train + validation, 1)
    cuts = [int(market.n_rows * share) for share in shares]
    if min(np.diff(cuts)) < 1:
        raise InputError(f"{market.name}: {market.n_rows} rows are too few for three windows")
    rows = dict(zip(WINDOWS, pairwise(cuts), strict=True))
    dates = market.dates
    texts = {k: _text((date_text(dates, a), date_text(dates, b - 1))) for k, (a, b) in rows.items()}
    return _decisions(market, rows, texts, purge, warmup, min_steps)


def date_text(dates: NDArray[np.datetime64], row: int) -> str:
    """`dates[row]` as `2020-01-31`, with the time of day where a day holds several of the dates."""
    unit: Literal["D", "m", "s"] = "D"
    if _repeats(dates, "D"):
        unit = "s" if _repeats(dates, "m") else "m"
    return str(np.datetime_as_string(dates[row], unit=unit)).replace("T", " ")


def _repeats(dates: NDArray[np.datetime64], unit: str) -> bool:
    whole = dates.astype(f"datetime64[{unit}]")
    return bool((whole[1:] == whole[:-1]).any())


def _check(market: MarketData, purge: int, warmup: int, min_steps: int) -> None:
    if purge < 0 or warmup < 0:
        raise InputError(f"purge and warmup must be >= 0, got {purge} and {warmup}")
    if warmup + min_steps >= market.n_rows:
        raise InputError(
            f"{market.name}: {market.n_rows} rows, and warm-up ({warmup}) plus window "
            f"({min_steps} steps) need {warmup + min_steps + 1}; use more data, shorter "
            "features or a shorter window"
        )


def _decisions(
    market: MarketData,
    rows: Mapping[str, tuple[int, int]],
    texts: Mapping[str, str],
    purge: int,
    warmup: int,
    min_steps: int,
) -> Splits:
    """The decision rows within windows of rows, after warm-up and purge."""
    decisions: dict[str, tuple[int, int]] = {}
    for index, key in enumerate(WINDOWS):
        first, stop = rows[key]
        if index < 2:
            stop = min(stop, rows[WINDOWS[index + 1]][0] - purge)
        first = max(first, warmup)
        if stop - 1 - first < min_steps:
            raise InputError(
                f"{key} {texts[key]} has {max(stop - 1 - first, 0)} steps after warm-up "
                f"({warmup} rows) and purge ({purge} rows), {min_steps} needed; {_range(market)}; "
                "widen the window"
            )
        decisions[key] = (first, stop - 1)
    return Splits(**decisions, purge=purge, warmup=warmup)


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


def _range(market: MarketData) -> str:
    first, last = (date_text(market.dates, row) for row in (0, -1))
    return f"{market.name} runs from {first} to {last}"
