"""When a result came: by calendar year, by rising and falling months, and by how much the market
moved before.

The market is the daily equal-weight mix of the listed assets, without costs.

- **Calendar years** compound the returns known in them; the first and the last may be partial.
- **Rising and falling months**: a calendar month belongs to `up` if the market rose in it. That is
  known afterwards only: it describes, and could not have been traded on.
- **Calm, usual and wild**: terciles of the market's volatility over the last `WINDOW` rows. The
  volatility of a decision reads rows up to it, and it is compared with the terciles of all the
  volatilities before it in the panel (at least `FEWEST_PAST`), so the regime is known beforehand.

Where the dates of a panel are made up there are no years and months, and only the last of these.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.rollout import Trajectory
from envs.data.fetched import INVENTED_DATES
from envs.data.market_data import MarketData
from envs.data.synthetic import MADE_UP_DATES
from envs.market.legs import make_legs
from experiments.evaluation.metrics import Float, cagr, sharpe, total_return
from experiments.evaluation.robustness import rows_of

WINDOW = 63
FEWEST_PAST = 126
# Fewer steps than this, or than a quarter of a year, say nothing at a yearly rate: they are counted
# and not measured.
FEWEST_STEPS = 20
REGIMES = {
    "up": "months in which the equal-weight mix rose",
    "down": "months in which it fell",
    "calm": f"its volatility of {WINDOW} rows was in the lowest third of all before",
    "usual": "in the middle third",
    "wild": "in the highest third",
}

CALENDAR = ("up", "down")


def has_real_dates(market: MarketData) -> bool:
    """Whether its prices were paid on its dates: simulated rows are only numbered by them."""
    return not {MADE_UP_DATES, INVENTED_DATES} & set(market.notes)


def trailing_volatility(returns: Float, window: int = WINDOW) -> Float:
    """`[n]` standard deviation (ddof 1) of the last `window` values up to each, NaN before."""
    out = np.full(len(returns), np.nan)
    if len(returns) >= window:
        view = np.lib.stride_tricks.sliding_window_view(returns, window)
        out[window - 1 :] = view.std(axis=1, ddof=1)
    return out


def terciles_so_far(values: Float, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each of `rows`: 0, 1 or 2, the third of `values[:row]` in which `values[row]` lies; -1
    where it is NaN or fewer than `FEWEST_PAST` values lie before it."""
    out = np.full(len(rows), -1)
    for k, row in enumerate(rows):
        past = values[:row]
        past = past[np.isfinite(past)]
        if np.isfinite(values[row]) and len(past) >= FEWEST_PAST:
            out[k] = np.searchsorted(np.quantile(past, [1 / 3, 2 / 3]), values[row])
    return out


def market_regimes(market: MarketData, first: int, stop: int) -> dict[str, NDArray[np.bool_]]:
    """name of a regime -> `[n]` whether each step of the decision rows `first:stop` is in it."""
    mix = make_legs(market, "same_close").equal_weight - 1.0  # known at row + 1
    # What is known at row t are the returns 0 .. t-1.
    volatility = np.r_[np.nan, trailing_volatility(mix)]
    third = terciles_so_far(volatility, np.arange(first, stop))
    month = market.dates[first + 1 : stop + 1].astype("datetime64[M]")
    names, place = np.unique(month, return_inverse=True)
    grown = np.zeros(len(names))
    np.add.at(grown, place, np.log1p(mix[first:stop]))
    up = grown[place] > 0
    return {"up": up, "down": ~up, "calm": third == 0, "usual": third == 1, "wild": third == 2}


def breakdown(
    market: MarketData, trajectories: Mapping[str, Sequence[Trajectory]]
) -> dict[str, Any]:
    """Every strategy by calendar year and by regime, mean over its seeds.

    Args:
        trajectories: name -> one a seed, an index among them too; on rows of the market. Steps
            after a ruin count as returns of zero.

    Returns:
        Plain data for JSON: `real_dates`, without which there are no `years` and neither of the
        regimes `up` and `down`; `definitions`; `unknown`, steps without a volatility before them;
        `regimes: name -> {"steps", "share"}`; `years: [{"year", "steps", "partial"}]`;
        `strategies: name -> {"regimes": {name: {"cagr", "sharpe"}}, "years": [total return]}`, with
        None where there are fewer than `fewest_steps` steps, `FEWEST_STEPS` or a quarter of a
        year, or the measure is not defined.
    """
    runs = [t for each in trajectories.values() for t in each]
    longest = max(runs, key=lambda t: len(t.dates))
    first, stop = rows_of(market, longest)
    real = has_real_dates(market)
    regimes = market_regimes(market, first, stop)
    inside = {k: rows for k, rows in regimes.items() if real or k not in CALENDAR}
    n = stop - first
    fewest = max(FEWEST_STEPS, math.ceil(longest.periods_per_year / 4))
    year_of = longest.dates.astype("datetime64[Y]").astype(int) + 1970
    years = np.unique(year_of) if real else np.array([], np.int64)
    strategies = {}
    for name, each in trajectories.items():
        padded = [np.r_[t.net_return, np.zeros(n - len(t.dates))] for t in each]
        cash = [np.r_[t.cash_return, np.zeros(n - len(t.dates))] for t in each]
        a_year = each[0].periods_per_year
        found = {}
        for regime, rows in inside.items():
            enough = int(rows.sum()) >= fewest
            found[regime] = {
                "cagr": _mean([cagr(r[rows], a_year) for r in padded]) if enough else None,
                "sharpe": _mean(
                    [sharpe(r[rows], a_year, c[rows]) for r, c in zip(padded, cash, strict=True)]
                )
                if enough
                else None,
            }
        by_year = [_mean([total_return(r[year_of == y]) for r in padded]) for y in years]
        strategies[name] = {"regimes": found, "years": by_year}
    return {
        "real_dates": real,
        "definitions": {k: REGIMES[k] for k in inside},
        "fewest_steps": fewest,
        "unknown": int(n - (inside["calm"] | inside["usual"] | inside["wild"]).sum()),
        "regimes": {
            k: {"steps": int(v.sum()), "share": float(v.mean())} for k, v in inside.items()
        },
        "years": [
            {"year": int(y), "steps": int((year_of == y).sum()),
             "partial": _partial(market, int(y), first, stop)}
            for y in years
        ],
        "strategies": strategies,
    }  # fmt: skip


def _partial(market: MarketData, year: int, first: int, stop: int) -> bool:
    """Whether the panel or the calendar holds more of the year than the window does."""
    dates = market.dates[first : stop + 1].astype("datetime64[D]")
    start, end = np.datetime64(f"{year}-01-01"), np.datetime64(f"{year}-12-31")
    usual = np.median(np.diff(dates).astype(int)) if len(dates) > 1 else 1
    # Holidays and weekends at the turn of a year are no gap.
    slack = np.timedelta64(int(4 * max(usual, 1)), "D")
    return bool(dates[0] > start + slack or dates[-1] < end - slack)


def _mean(values: Sequence[Any]) -> float | None:
    mean = float(np.mean(values))
    return mean if np.isfinite(mean) else None
