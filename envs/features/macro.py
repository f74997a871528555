"""Macro features: what was published about the economy by each date, the same for all assets.

Every figure counts from its day of publication on (`envs.features.macro_series`), in changes and
rates that have no trend of their own. Rates and growth are fractions: 0.05 is 5 %. A figure that is
older than `MAX_AGE` days says nothing any more: the feature is NaN from then on, and before its
first publication.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from envs.features.family import Family, Plane
from envs.features.inputs import Inputs
from envs.features.releases import Float, Releases

# Days since its publication after which a monthly (quarterly) figure is no longer used: the next
# one is then overdue by more than a month.
MAX_AGE = 75
MAX_AGE_QUARTERLY = 125
MATURITIES = {1: "GS1", 5: "GS5", 10: "GS10"}


def difference(figure: float, before: float) -> float:
    """The change in the unit of the series."""
    return figure - before


def growth(figure: float, before: float) -> float:
    """The relative change; NaN from nothing."""
    return figure / before - 1.0 if before != 0.0 else float("nan")


def known(x: Inputs, series: Releases | None, max_age: int = MAX_AGE) -> Float:
    """`[T]` the figure known on each date of the panel; NaN where there is none."""
    if series is None:
        return np.full(len(x.known_by), np.nan)
    return series.known_on(x.known_by, max_age)


def _level(name: str) -> Callable[..., None]:
    def compute(x: Inputs, out: Plane) -> None:
        out[:] = 0.01 * known(x, x.macro.get(name))[:, None]

    return compute


def _over(x: Inputs, name: str, months: int, change: Callable[[float, float], float]) -> Float:
    series = x.macro.get(name)
    changed = None if series is None else series.over(months, change)
    return known(x, changed, MAX_AGE_QUARTERLY if name == "GDPC1" else MAX_AGE)


def _changed(name: str) -> Callable[..., None]:
    def compute(x: Inputs, out: Plane, months: int) -> None:
        out[:] = 0.01 * _over(x, name, months, difference)[:, None]

    return compute


def _grown(name: str) -> Callable[..., None]:
    def compute(x: Inputs, out: Plane, months: int) -> None:
        out[:] = _over(x, name, months, growth)[:, None]

    return compute


def _yield(x: Inputs, out: Plane, years: int) -> None:
    out[:] = 0.01 * known(x, x.macro.get(MATURITIES[years]))[:, None]


def _yield_change(x: Inputs, out: Plane, years: int, months: int) -> None:
    out[:] = 0.01 * _over(x, MATURITIES[years], months, difference)[:, None]


def _term_spread(x: Inputs, out: Plane, long: int, short: int) -> None:
    above = known(x, x.macro.get(MATURITIES[long])) - known(x, x.macro.get(MATURITIES[short]))
    out[:] = 0.01 * above[:, None]


def _default_spread(x: Inputs, out: Plane) -> None:
    out[:] = 0.01 * (known(x, x.macro.get("BAA")) - known(x, x.macro.get("AAA")))[:, None]


def _real_rate(x: Inputs, out: Plane) -> None:
    inflation = _over(x, "CPIAUCSL", 12, growth)
    out[:] = (0.01 * known(x, x.macro.get("FEDFUNDS")) - inflation)[:, None]


def _maturity(years: int) -> bool:
    return years in MATURITIES


def _positive(*numbers: int) -> bool:
    return all(number >= 1 for number in numbers)


def _family(
    parameters: tuple[str, ...],
    examples: tuple[str, ...],
    description: str,
    compute: Callable[..., None],
    *series: str,
    allowed: Callable[..., bool] = _positive,
    condition: str = "numbers >= 1",
) -> Family:
    return Family(
        "macro", (), parameters, examples, description, compute, lambda *numbers: 0, allowed,
        condition, "macro", series,
    )  # fmt: skip


_YEARS = "years among 1, 5, 10"
_MONTHS = ("months",)

MACRO: dict[str, Family] = {
    "fed_funds": _family(
        (), ("fed_funds",), "federal funds rate, mean of the last month", _level("FEDFUNDS"),
        "FEDFUNDS",
    ),
    "fed_funds_change": _family(
        _MONTHS, ("fed_funds_change_3",), "change of the federal funds rate over months",
        _changed("FEDFUNDS"), "FEDFUNDS",
    ),
    "real_rate": _family(
        (), ("real_rate",), "federal funds rate minus inflation of a year", _real_rate,
        "FEDFUNDS", "CPIAUCSL",
    ),
    "treasury_yield": _family(
        ("years",), ("treasury_yield_1", "treasury_yield_10"),
        "Treasury yield of that maturity, mean of the last month", _yield, "GS1", "GS5", "GS10",
        allowed=_maturity, condition=_YEARS,
    ),
    "treasury_yield_change": _family(
        ("years", "months"), ("treasury_yield_change_10_3",),
        "change of a Treasury yield over months", _yield_change, "GS1", "GS5", "GS10",
        allowed=lambda years, months: _maturity(years) and months >= 1,
        condition=f"{_YEARS}; months >= 1",
    ),
    "term_spread": _family(
        ("long", "short"), ("term_spread_10_1",), "Treasury yield, long minus short maturity",
        _term_spread, "GS1", "GS5", "GS10",
        allowed=lambda long, short: _maturity(long) and _maturity(short) and short < long,
        condition=f"{_YEARS}; long above short",
    ),
    "default_spread": _family(
        (), ("default_spread",), "yield of BAA over AAA corporate bonds (Moody's)",
        _default_spread, "AAA", "BAA",
    ),
    "inflation": _family(
        _MONTHS, ("inflation_12",), "growth of consumer prices over months", _grown("CPIAUCSL"),
        "CPIAUCSL",
    ),
    "unemployment": _family(
        (), ("unemployment",), "unemployment rate", _level("UNRATE"), "UNRATE",
    ),
    "unemployment_change": _family(
        _MONTHS, ("unemployment_change_12",), "change of the unemployment rate over months",
        _changed("UNRATE"), "UNRATE",
    ),
    "payroll_growth": _family(
        _MONTHS, ("payroll_growth_12",), "growth of nonfarm employment over months",
        _grown("PAYEMS"), "PAYEMS",
    ),
    "industrial_production": _family(
        _MONTHS, ("industrial_production_12",), "growth of industrial production over months",
        _grown("INDPRO"), "INDPRO",
    ),
    "gdp_growth": _family(
        _MONTHS, ("gdp_growth_12",), "growth of real GDP over months", _grown("GDPC1"), "GDPC1",
        allowed=lambda months: months >= 3 and months % 3 == 0,
        condition="whole quarters: months 3, 6, 9, 12 ...",
    ),
    "housing_starts": _family(
        _MONTHS, ("housing_starts_12",), "growth of housing starts over months", _grown("HOUST"),
        "HOUST",
    ),
    "money_growth": _family(
        _MONTHS, ("money_growth_12",), "growth of the money stock M2 over months", _grown("M2SL"),
        "M2SL",
    ),
    "dollar": _family(
        _MONTHS, ("dollar_12",), "growth of the trade-weighted dollar over months",
        _grown("TWEXAFEGSMTHx"), "TWEXAFEGSMTHx",
    ),
    "oil": _family(
        _MONTHS, ("oil_12",), "growth of the oil price over months", _grown("OILPRICEx"),
        "OILPRICEx",
    ),
    "gold": _family(
        _MONTHS, ("gold_12",), "return of the gold future over months", _grown("GOLD"), "GOLD",
    ),
}  # fmt: skip
