"""How good the forecasts of an agent were: measures with intervals, each beside no skill.

Days are drawn in blocks (stationary bootstrap), because forecasts of one day share the market, and
labels of h rows overlap for h - 1 days: the mean block is at least h. All seeds see the same days,
so an interval is that of the mean over seeds. `forecast_measures` has the measures themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import norm

from envs.errors import InputError
from experiments.evaluation.bootstrap import block_length, check_intervals, index_chunks
from experiments.evaluation.forecast_measures import (
    Predictions,
    base_of,
    day_sums,
    measures,
    over,
)
from experiments.evaluation.metrics import RESOLUTION, Float


@dataclass(frozen=True)
class Measure:
    """One measure, as the mean over seeds; numbers that are not defined are None.

    Attributes:
        name, horizon: which; horizon None where there is only one.
        value, low, high: with the interval of the block bootstrap.
        base: of no skill. gain: how much better the value is, positive is better in every measure;
            None where more is neither better nor worse.
        gain_low, gain_high: its interval, from the same days.
        seeds: the value of each seed.
        t: value over its bootstrap standard error, of correlations.
    """

    name: str
    horizon: int | None
    value: float | None
    low: float | None
    high: float | None
    base: float | None
    gain: float | None
    gain_low: float | None
    gain_high: float | None
    seeds: tuple[float | None, ...]
    t: float | None = None

    @property
    def edge(self) -> bool:
        """Whether the whole interval of the gain is above nothing."""
        return self.gain_low is not None and self.gain_low > 0


# Better when lower; neither better nor worse; told with a t-statistic.
LOWER = ("mae", "rmse", "calibration_error", "volatility_mae")
# Of precisions, a direction that is never named has none, so that no skill has no one value.
NEITHER = ("below_", "coverage_", "macro_precision")
WITH_T = ("correlation", "ic", "rank_ic")


def measure(
    runs: Sequence[Predictions], *, n_bootstrap: int = 1000, level: float = 0.95, seed: int = 0
) -> tuple[list[Measure], dict[int, int]]:
    """All measures of one agent, with intervals; and the mean block by horizon, in rows.

    Args:
        runs: one a seed, on the same rows.

    Raises:
        InputError: if seeds are of other rows, or for settings of an interval that cannot be.
    """
    check_intervals(n_bootstrap, level)
    if len({run.actual.shape for run in runs}) != 1:
        raise InputError("the seeds of an agent must have forecast the same rows")
    horizons = runs[0].horizons
    days = [day_sums(run) for run in runs]
    bases = [base_of({k: v.sum(0) for k, v in d.items()}, runs[0].levels, seed) for d in days]
    observed = [measures({k: v.sum(0)[None] for k, v in d.items()}, b)
                for d, b in zip(days, bases, strict=True)]  # fmt: skip
    blocks = {h: _block(days, k, h) for k, h in enumerate(horizons)}
    drawn = {h: _drawn(days, bases, blocks[h], n_bootstrap, seed) for h in horizons}
    found = []
    for name, k in observed[0]:
        values = np.array([one[name, k][0] for one in observed])
        draws = drawn[horizons[k or 0]][name, k]
        if np.isfinite(values[:, 0]).any():
            found.append(_measure(name, None if k is None else horizons[k], values, draws, level))
    return found, blocks


def _block(days: Sequence[dict[str, Float]], horizon: int, rows: int) -> int:
    """The mean block of one horizon: what the errors of the forecasts ask for, and the overlap."""
    series = [over(d["errors"][:, horizon, 2], d["errors"][:, horizon, 0]) for d in days]
    if horizon == 0:
        hits = [np.trace(d["confusion"], axis1=1, axis2=2) for d in days]
        series += [over(x, d["confusion"].sum((1, 2))) for x, d in zip(hits, days, strict=True)]
    whole = [s[np.isfinite(s)] for s in series]
    lengths = [block_length(s[None], squares=False) for s in whole if len(s)]
    return max(rows, *lengths, 1)


def _drawn(
    days: Sequence[dict[str, Float]], bases: Sequence[dict[str, Any]], block: int, n: int, seed: int
) -> dict[tuple[str, int | None], Float]:
    """The means over seeds of all measures, `[n, 2]`, in n histories of resampled days."""
    n_days = len(days[0]["confusion"])
    parts: list[dict[tuple[str, int | None], Float]] = []
    for index in index_chunks(n_days, min(block, max(n_days // 3, 1)), n, seed, 256):
        weights = np.stack([np.bincount(rows, minlength=n_days) for rows in index]).astype(float)
        each = []
        for sums, base in zip(days, bases, strict=True):
            resampled = {
                key: (weights @ value.reshape(n_days, -1)).reshape(len(index), *value.shape[1:])
                for key, value in sums.items()
            }
            each.append(measures(resampled, base))
        parts.append({key: np.mean([one[key] for one in each], axis=0) for key in each[0]})
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


def _measure(name: str, horizon: int | None, values: Float, draws: Float, level: float) -> Measure:
    value, base = values.mean(axis=0)
    sign = -1.0 if name in LOWER else 1.0
    gain, gains = sign * (value - base), sign * (draws[:, 0] - draws[:, 1])
    drawn = draws[:, 0]
    if name == "calibration_error":
        # Noise in a resampled bin adds to it: the draws lie around a higher value than was found.
        shift = value - drawn.mean()
        drawn, gains = np.maximum(drawn + shift, 0.0), gains - shift
    low, high = _interval(drawn, level)
    gain_low, gain_high = _interval(gains, level)
    judged = not name.startswith(NEITHER)
    error = float(np.std(drawn, ddof=1)) if name in WITH_T and np.isfinite(drawn).all() else 0.0
    return Measure(
        name=name, horizon=horizon, value=_known(value), low=low, high=high, base=_known(base),
        gain=_known(gain) if judged else None,
        gain_low=gain_low if judged else None, gain_high=gain_high if judged else None,
        seeds=tuple(_known(v) for v in values[:, 0]),
        t=_known(value / error) if error > RESOLUTION else None,
    )  # fmt: skip


def _interval(draws: Float, level: float) -> tuple[float | None, float | None]:
    if not np.isfinite(draws).all():
        return None, None
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _known(x: float) -> float | None:
    return float(x) if np.isfinite(x) else None


def binomial_interval(share: float, n: int, level: float) -> tuple[float, float]:
    """The interval of Wilson (1927) for a share of n independent trials; the share may be a mean
    over seeds.

    It is right where the labels are independent: one asset, and horizons that do not overlap. With
    several assets, which move together, it is too narrow: the block bootstrap is then to be
    believed.
    """
    if n < 1 or not 0 <= share <= 1:
        raise InputError(f"a share in [0, 1] of at least one trial is needed, got {share} of {n}")
    z = float(norm.ppf((1 + level) / 2))
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    reach = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return float(max(centre - reach, 0.0)), float(min(centre + reach, 1.0))
