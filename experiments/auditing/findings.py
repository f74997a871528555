"""What the audit finds: bits that are equal, or the first that is not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

CLEAN, LEAK, UNTESTED = "clean", "LEAK", "not tested"


@dataclass(frozen=True)
class Leak:
    """The first value that depends on what comes later.

    Attributes:
        what: the quantity. row, date: at which it is known, if it belongs to one. column: of which
            asset, feature or account.
        before, after: its value with the data as they are, and with other data after `changed`.
        changed: the last day that was left as it is; empty where nothing was changed at all.
    """

    what: str
    row: int | None
    date: str
    column: str
    before: str
    after: str
    changed: str

    def __str__(self) -> str:
        where = f" in row {self.row} ({self.date})" if self.row is not None else ""
        column = f" {self.column}" if self.column else ""
        when = f"when data after {self.changed} change" if self.changed else "when computed again"
        return f"{self.what}{column}{where} is {self.before} and becomes {self.after} {when}"


@dataclass(eq=False)
class Check:
    """One question of the audit, over all days on which it was asked.

    Attributes:
        name: of the check. days: last known days that were tested. values: numbers compared.
        leak: the first that was found. note: what else there is to say.
    """

    name: str
    days: set[str] = field(default_factory=set)
    values: int = 0
    leak: Leak | None = None
    note: str = ""

    @property
    def verdict(self) -> str:
        if self.leak is not None:
            return LEAK
        return CLEAN if self.days else UNTESTED

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        leak = None if self.leak is None else asdict(self.leak)
        return {
            "check": self.name,
            "verdict": self.verdict,
            "days": sorted(self.days),
            "values": self.values,
            "leak": leak,
            "note": self.note,
        }


@dataclass(frozen=True, eq=False)
class Day:
    """The last known row of a comparison, and the dates of all rows.

    Attributes:
        untouched: nothing is changed after the row either; what differs is not reproducible.
    """

    row: int
    dates: NDArray[np.datetime64]
    untouched: bool = False

    def date(self, row: int) -> str:
        """The date of a row, without a time where that is midnight."""
        text = str(np.datetime_as_string(self.dates[row], unit="s"))
        return text.removesuffix("T00:00:00").replace("T", " ")

    def same(
        self,
        check: Check,
        what: str,
        before: Any,
        after: Any,
        *,
        first: int | None = None,
        column: Callable[[tuple[int, ...]], str] = lambda index: "",
    ) -> bool:
        """Compares two arrays bit by bit, counts the values, and keeps the first difference.

        Args:
            first: the row of the market to which the first entry belongs; None: to no row.
            column: names an entry from its index, without the row.
        """
        one, two = np.asarray(before), np.asarray(after)
        check.days.add(self.date(self.row))
        check.values += one.size
        if one.shape != two.shape or one.dtype != two.dtype:
            index: tuple[int, ...] | None = None
        else:
            places = np.argwhere(_differs(one, two))
            if not len(places):
                return True
            index = tuple(int(i) for i in places[0])
        if check.leak is None:
            row = None if first is None or not index else first + index[0]
            check.leak = Leak(
                what=what,
                row=row,
                date="" if row is None else self.date(row),
                column="" if index is None else column(index if first is None else index[1:]),
                before=_text(one, index),
                after=_text(two, index),
                changed="" if self.untouched else self.date(self.row),
            )
        return False


def _differs(one: NDArray[Any], two: NDArray[Any]) -> NDArray[np.bool_]:
    if one.dtype.kind == "f":
        kind = {4: np.uint32, 8: np.uint64}[one.dtype.itemsize]
        one, two = np.ascontiguousarray(one).view(kind), np.ascontiguousarray(two).view(kind)
    return np.asarray(one != two)


def _text(array: NDArray[Any], index: tuple[int, ...] | None) -> str:
    if index is None:
        return f"{array.dtype} {list(array.shape)}"
    value = array[index]
    return f"{value:.9g}" if array.dtype.kind == "f" else str(value)
