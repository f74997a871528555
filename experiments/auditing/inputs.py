"""What a recipe begins with: its source, the process of a simulated market, its windows."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from omegaconf import DictConfig

from envs.data.market_data import MarketData
from envs.errors import InputError
from experiments import pipeline
from experiments.auditing.chain import Recipe
from experiments.auditing.findings import Check, Day

WINDOWS = ("train", "validation", "test")
PANEL_FIELDS = ("close", "open", "high", "low", "volume", "tradable", "cash_rate", "benchmark")
LONGEST_PATH = 64


def check_data(cfg: DictConfig, market: MarketData, row: int, check: Check) -> None:
    """Reads the source again as if it ended on the day of `row`, where it can be told to.

    This sees what a source makes of the rows that it was asked for. Whatever it does to its table
    before it cuts it is beyond the reach of an audit that begins with a panel.
    """
    if "end" not in cfg.data:
        check.note = "the source cannot be asked for an earlier last day"
        return
    check.note = "read again up to the day; what the source does before it cuts is not seen"
    date = market.dates[row].astype("datetime64[D]")
    cut = cfg.copy()
    cut.data.end = str(date)
    if "periods_per_year" in cut.data:
        # Counted from all dates where it is not given; it is no secret of the future.
        cut.data.periods_per_year = market.periods_per_year
    try:
        known = pipeline.load_market(cut)
    except InputError as error:
        check.note = f"cannot be cut on {date}: {error}"
        return
    stop = int(np.searchsorted(market.dates, date + np.timedelta64(1, "D")))
    day = Day(stop - 1, market.dates)
    # A symbol that lists later is not there yet.
    missing = [i for i, s in enumerate(market.symbols) if s not in known.symbols]
    if market.tradable[:stop, missing].any():
        day.same(check, "symbols", np.array(market.symbols), np.array(known.symbols))
        return
    whole = market.rows(0, stop).select(known.symbols)
    day.same(check, "dates", whole.dates, known.dates, first=0)
    for name in PANEL_FIELDS:
        one, two = getattr(whole, name), getattr(known, name)
        if one is None or two is None:
            continue
        day.same(check, name, one, two, first=0, column=lambda i: whole.symbols[i[0]] if i else "")


def check_process(market: MarketData, check: Check) -> None:
    """Fresh paths: what one shows and does up to a row is the same however long it goes on.

    A process that shows a return before it is made cannot know the one after the last row.
    """
    steps = min(LONGEST_PATH, market.n_rows - 1)
    seeds = np.arange(4, dtype=np.uint64)
    whole = market.process.simulate(seeds, steps)
    for shorter in {steps - 1, steps // 2, 1}:
        day = Day(shorter, market.dates)
        part = market.process.simulate(seeds, shorter)
        for name, rows in (("growth", shorter), ("observed", shorter + 1)):
            one, two = (np.moveaxis(getattr(p, name), 1, 0) for p in (whole, part))
            day.same(
                check,
                f"{name} of a fresh path",
                one[:rows],
                two,
                first=0 if name == "observed" else 1,
                column=lambda i: f"path {i[0]}, asset {i[1]}" if i else "",
            )


def check_windows(recipe: Recipe, check: Check) -> None:
    """The windows come one after the other, and leave out at least the rows of the purge."""
    splits = recipe.known.splits
    day = Day(splits.train[1], recipe.market.dates)
    for early, late in pairwise(WINDOWS):
        end, begin = getattr(splits, early)[1], getattr(splits, late)[0]
        # The decision at row end - 1 earns its return at row `end`.
        gap = begin - end - 1
        day.same(
            check,
            f"rows between the end of {early} and {late}, at least the purge of {splits.purge}:",
            np.array(max(gap, splits.purge)),
            np.array(gap),
        )
