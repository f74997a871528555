"""Files inside installed packages, read without importing the package; and `narrow`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from envs.data.market_data import MarketData
from envs.errors import InputError


def package_file(package: str, *parts: str, remedy: str) -> Path:
    """Path of a data file inside an installed package.

    Raises:
        InputError: with `remedy`, if the package or the file is missing.
    """
    # Finding is enough: importing skfolio or arch takes seconds.
    from importlib.util import find_spec

    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise InputError(f"the package {package} is not installed; {remedy}")
    path = Path(spec.submodule_search_locations[0]).joinpath(*parts)
    if not path.is_file():
        raise InputError(f"{path} is missing from the installed package {package}; {remedy}")
    return path


def narrow(
    market: MarketData,
    symbols: Sequence[str] | None = None,
    start: str | None = None,
    end: str | None = None,
) -> MarketData:
    """The asked-for symbols and dates, without leading and trailing rows where nothing trades.

    Raises:
        InputError: for an unknown symbol, an empty list (None is all), and if fewer than two
            rows are left.
    """
    if symbols is not None:
        market = market.select(symbols)
    if start is not None or end is not None:
        market = market.between(start, end)
    alive = np.asarray(market.tradable.any(axis=1))
    if alive.all():
        return market
    if not alive.any():
        raise InputError(
            f"{market.name}: none of {', '.join(market.symbols[:10])} has a price between {start} "
            f"and {end}; choose other dates or symbols"
        )
    return market.rows(int(alive.argmax()), market.n_rows - int(alive[::-1].argmax()))
