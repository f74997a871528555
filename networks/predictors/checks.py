"""Checks of the settings of predictors: each error names the setting, its value and the range."""

from __future__ import annotations

from collections.abc import Sequence


def whole(name: str, value: int, least: int = 1) -> int:
    """The value, if it is a whole number of at least `least`.

    Raises:
        ValueError: otherwise.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, got {value!r}")
    return value


def widths(name: str, values: Sequence[int]) -> tuple[int, ...]:
    """The values as a tuple, if there is one at least and all are positive whole numbers.

    Raises:
        ValueError: otherwise.
    """
    if isinstance(values, (str, int)) or not values:
        raise ValueError(f"{name} must list at least one width, e.g. (64, 32), got {values!r}")
    return tuple(whole(f"{name}[{i}]", value) for i, value in enumerate(values))


def share(name: str, value: float) -> float:
    """The value, if it lies in [0, 1).

    Raises:
        ValueError: otherwise.
    """
    if not 0 <= value < 1:
        raise ValueError(f"{name} must be at least 0 and below 1, got {value!r}")
    return value


def divides(heads: int, width: int) -> int:
    """The number of heads, if as many equal parts make up the width.

    Raises:
        ValueError: otherwise, with numbers of heads that do.
    """
    if width % whole("heads", heads):
        fitting = [n for n in range(1, min(width, 16) + 1) if width % n == 0]
        raise ValueError(f"heads = {heads} does not divide width = {width}; it could be {fitting}")
    return heads
