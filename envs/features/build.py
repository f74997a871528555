"""`build_features`: from a panel of prices to what can be known at each close."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numba import njit

from envs.data.market_data import MarketData
from envs.errors import InputError
from envs.features.catalogue import DEFAULT, GROUPS, Feature, resolve
from envs.features.earnings import EarningsDates
from envs.features.family import Plane
from envs.features.inputs import Inputs
from envs.features.news.scored import News
from envs.features.panel import FeaturePanel
from envs.features.published import Published

# Planes computed before they are interleaved: 16 float32 fill one cache line of the output, which
# then is written once and not sixteen times.
PLANES = 16
FLOAT32_MAX = float(np.finfo(np.float32).max)


@njit(cache=True, nogil=True)
def interleave_nb(planes, tradable, start, warmup, may_miss, first, largest, out):
    """Writes `planes [P, T, A]` to `out[:, :, first:first+P]`; NaN without history or trading.

    Returns the number of cells that should hold a number and do not; planes with `may_miss` are
    not counted.
    """
    n_planes, n_rows, n_assets = planes.shape
    wrong = 0
    for t in range(n_rows):
        for a in range(n_assets):
            for p in range(n_planes):
                value = np.float32(np.nan)
                if tradable[t, a] and t >= start[a] + warmup[p]:
                    value = planes[p, t, a]
                    if np.isnan(value):
                        wrong += not may_miss[p]
                    else:
                        value = min(max(value, -largest), largest)
                out[t, a, first + p] = value
    return wrong


def build_features(
    market: MarketData,
    names: Sequence[str] = DEFAULT,
    calendar: str = "XNYS",
    macro_series: Published | None = None,
    sentiment_series: Published | None = None,
    earnings_dates: EarningsDates | None = None,
    news: News | None = None,
) -> FeaturePanel:
    """Computes features of every asset on every date; row t reads rows 0..t only.

    Bit for bit: values up to row t do not change when anything after t does, or when the panel ends
    there. An asset that lists later starts its own warm-up then; it has NaN before, as it has
    wherever it is not tradable, and no other asset notices. In a halt its price stands still.

    Args:
        market: the panel.
        names: features (`rsi_14`), groups (`price, ohlc, volume, cross, seasonal, sentiment,
            macro`; `technical` is the first four: their default lists as far as the panel has the
            fields) or `all` that the panel itself gives; see docs/features.md and
            `python -m envs.features list`.
        calendar: the exchange whose published holidays the seasonal features use.
        macro_series, sentiment_series: what is published for these groups; None takes the packaged
            series.
        earnings_dates: days of earnings reports by symbol; None takes the fetched ones.
        news: scored texts for the features of `news`; None has none.

    Returns:
        A panel ordered by group. `warmup` follows from the definitions: the row of the first
        listing plus the longest history that a feature needs. Numbers are finite, but for `masked`
        features: those of published series, NaN where nothing is known. The last column of a group
        with such features is `<group>_known`, the share of them that is known.

    Raises:
        InputError: unknown name, field that the panel lacks, unknown calendar, or too few rows.
    """
    features = resolve(names, market)
    inputs = Inputs(market, calendar, macro_series, sentiment_series, earnings_dates, news)
    longest = max(features, key=lambda one: one.warmup)
    warmup = int(inputs.start.min()) + longest.warmup
    if market.n_rows < warmup + 2:
        raise InputError(
            f"{market.name}: {market.n_rows} rows, but feature {longest.name!r} needs "
            f"{longest.warmup} rows of history, so at least {warmup + 2} rows are needed; use more "
            "data or shorter features"
        )
    shape = market.close.shape
    values = np.empty((*shape, len(features)), dtype=np.float32)
    planes = np.empty((min(PLANES, len(features)), *shape), dtype=np.float32)
    for first in range(0, len(features), PLANES):
        batch = features[first : first + PLANES]
        for plane, one in zip(planes, batch, strict=False):
            one.family.compute(inputs, plane, *one.numbers)
            if one.family.source and not one.says_known:
                inputs.count_known(one.family.group, plane)
        history = np.array([one.warmup for one in batch], dtype=np.int64)
        may_miss = np.array([bool(one.family.source) for one in batch])
        wrong = interleave_nb(
            planes[: len(batch)], inputs.tradable, inputs.start, history, may_miss, first,
            np.float32(FLOAT32_MAX), values,
        )  # fmt: skip
        if wrong:
            raise InputError(
                f"{market.name}: {wrong} values among {', '.join(one.name for one in batch)} "
                "cannot be computed in float64; bring the prices to a usual size"
            )
    groups = {}
    for group in GROUPS:
        members = [f for f, one in enumerate(features) if one.family.group == group]
        if members:
            groups[group] = slice(members[0], members[-1] + 1)
    masked = {
        one.name: reason
        for f, one in enumerate(features)
        if one.family.source and (reason := _why_missing(inputs, one, values[..., f], warmup))
    }
    names = tuple(one.name for one in features)
    return FeaturePanel(values, names, groups, warmup, masked, _notes(inputs, features, masked))


def _notes(inputs: Inputs, features: Sequence[Feature], masked: dict[str, str]) -> tuple[str, ...]:
    """Limits of the sources in use, and one sentence for each reason of missing values."""
    sources = dict.fromkeys(
        one.family.source for one in features if one.family.source and not one.says_known
    )
    notes = [note for source in sources for note in getattr(inputs, source).notes]
    for reason in dict.fromkeys(masked.values()):
        those = ", ".join(name for name, why in masked.items() if why == reason)
        notes.append(f"Missing in some or all rows, and then 0 to an agent: {those} ({reason}).")
    return tuple(notes)


def _why_missing(inputs: Inputs, one: Feature, column: Plane, warmup: int) -> str:
    """Why a published feature is NaN in some tradable cells after the warm-up; "" if it is not."""
    traded = inputs.tradable[warmup:]
    known = np.isfinite(column[warmup:]) & traded
    if known.sum() == traded.sum():
        return ""
    share = known.sum() / traded.sum()
    missing = getattr(inputs, one.family.source).missing
    reasons = [missing[name] for name in one.family.series if name in missing]
    if not known.any():
        return "; ".join(reasons) or "nothing is published for any date of the panel"
    rows = warmup + np.flatnonzero(known.any(axis=1))
    first, last = inputs.market.dates[rows[[0, -1]]].astype("datetime64[D]")
    return "; ".join([f"known for {share:.1%} of the cells, from {first} to {last}", *reasons])
