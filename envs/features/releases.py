"""`Releases`: a published series, such as inflation, by the day on which each figure came out.

A figure of March is published in April and revised in May. A feature may use it from the day of
publication on, in the revision that was known by then; aligning it by its period is the commonest
way to see the future.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from envs.errors import InputError

Float = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Releases:
    """n publications of one series, in any order.

    Attributes:
        period: `[n]` first day of the period that a figure describes.
        released: `[n]` day of its publication, known at the close of that day. Several
            publications of one period are its revisions.
        value: `[n]` finite figures.

    Raises:
        InputError: for unequal lengths, a missing day or value, or a figure that is published
            before its period begins.
    """

    period: NDArray[np.datetime64]
    released: NDArray[np.datetime64]
    value: Float

    def __post_init__(self) -> None:
        period = np.array(self.period, "datetime64[D]")
        released = np.array(self.released, "datetime64[D]")
        value = np.array(self.value, np.float64)
        if not period.shape == released.shape == value.shape or value.ndim != 1 or not value.size:
            raise InputError(
                f"releases: period, released and value must be equally long lists, got "
                f"{period.shape}, {released.shape} and {value.shape}"
            )
        wrong = np.isnat(period) | np.isnat(released) | ~np.isfinite(value)
        if wrong.any():
            raise InputError(f"releases: entry {int(np.argmax(wrong))} has no day or no value")
        if (released < period).any():
            first = int(np.argmax(released < period))
            raise InputError(
                f"releases: entry {first} is published on {released[first]}, before its period "
                f"{period[first]} begins; swap the two days"
            )
        order = np.lexsort((period, released))
        for name, array in (("period", period), ("released", released), ("value", value)):
            array = array[order]
            array.setflags(write=False)
            object.__setattr__(self, name, array)

    def known_on(self, dates: NDArray[np.datetime64], max_age: int | None = None) -> Float:
        """`[T]` the figure of the latest period published by each date, in its latest revision.

        NaN before the first publication, and more than `max_age` days after the figure came out
        (None: it is held for ever).
        """
        latest = np.maximum.accumulate(self.period.astype(np.int64))
        # A late revision of an older period does not replace the figure of a newer one.
        current = np.where(self.period.astype(np.int64) == latest, np.arange(len(latest)), 0)
        current = np.maximum.accumulate(current)
        days = dates.astype("datetime64[D]")
        place = np.searchsorted(self.released, days, side="right") - 1
        index = current[np.maximum(place, 0)]
        known = place >= 0
        if max_age is not None:
            known &= days - self.released[index] <= np.timedelta64(max_age, "D")
        return np.where(known, self.value[index], np.nan)

    def over(self, months: int, change: Callable[[float, float], float]) -> Releases | None:
        """The series `change(figure, figure so many months before)`, as it could be computed then.

        At each publication both figures are taken in the revision known by that day, so a revision
        of the older one is a revision of the result. Periods whose older figure is not published
        are left out; None if that is all of them. For series with at most one period a month.
        """
        known: dict[int, float] = {}
        latest = -(10**9)
        found = []
        month = self.period.astype("datetime64[M]").astype(np.int64)
        for m, released, value in zip(month.tolist(), self.released, self.value, strict=True):
            known[m] = float(value)
            latest = max(latest, m)
            if latest - months in known:
                figure = change(known[latest], known[latest - months])
                if np.isfinite(figure):
                    found.append((latest, released, figure))
        if not found:
            return None
        of_month, released_on, figures = zip(*found, strict=True)
        periods = np.array(of_month, dtype="datetime64[M]").astype("datetime64[D]")
        return Releases(periods, np.array(released_on), np.array(figures))

    def changed_after(self, day: np.datetime64, rng: np.random.Generator) -> Releases:
        """The same figures as far as they were published by `day`, others after it."""
        later = self.released > day.astype("datetime64[D]")
        size = float(np.abs(self.value).max()) or 1.0
        changed = np.where(later, self.value + rng.normal(0.0, size, len(later)), self.value)
        return Releases(self.period, self.released, changed)
