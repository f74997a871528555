"""Measures of forecasts from sums by day, and what each would be without any skill.

A history that a bootstrap draws is a weighting of days, and all measures of it follow from the
weighted sums: of the answers right by class, of errors, of products.

| measure | without skill (`base`) |
|---|---|
| accuracy | always the class that was most frequent in these very days (hindsight) |
| balanced accuracy, macro precision | 1 / number of classes that occurred (in 1 % or more) |
| precision, recall of a class | its share of the days; the share of the forecasts that name it |
| directional accuracy | always the sign that was more frequent |
| MAE, RMSE, R^2 | the forecast zero: no return, or for volatility no change |
| correlation, IC, rank IC | zero |
| calibration error | what chance alone makes of as many perfectly calibrated forecasts |
| coverage | its own level |
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from envs.errors import InputError
from experiments.evaluation.metrics import RESOLUTION

Float = NDArray[np.float64]
CLASSES = ("sell", "hold", "buy")
BINS = 10
# Assets that a day must have for a correlation across them.
LEAST_ASSETS = 3
# Share of the days below which a class is left out of the means over classes: where there are but
# up and down, the few days without any move are no third direction.
RARE = 0.01
# Draws of what chance makes of calibrated forecasts.
CHANCE = 200


@dataclass(frozen=True, eq=False)
class Predictions:
    """Forecasts of one seed for n decision rows and A assets, beside what came; H horizons.

    What is unknown of the forecast or of what came is NaN (direction: -1) and counts nowhere.

    Attributes:
        probability: `[n, A, 3]` of sell, hold, buy; direction: `[n, A]` int, which it was.
        confidence: `[n, A]` stated probability that the likeliest direction is right.
        expected, actual: `[n, A, H]` returns in units of sigma_t * sqrt(h).
        quantiles: `[n, A, Q]` of the return over the first horizon, in the same units.
        log_volatility, actual_log_volatility: `[n, A]`, log of later over present volatility.
        horizons: `[H]` rows; levels: `[Q]` of the quantiles.
    """

    probability: Float
    direction: NDArray[np.int64]
    confidence: Float
    expected: Float
    actual: Float
    quantiles: Float
    log_volatility: Float
    actual_log_volatility: Float
    horizons: tuple[int, ...]
    levels: tuple[float, ...]

    def __post_init__(self) -> None:
        n, n_assets, n_horizons = self.actual.shape
        shapes = {
            "probability": (n, n_assets, len(CLASSES)),
            "direction": (n, n_assets),
            "confidence": (n, n_assets),
            "expected": (n, n_assets, n_horizons),
            "quantiles": (n, n_assets, len(self.levels)),
            "log_volatility": (n, n_assets),
            "actual_log_volatility": (n, n_assets),
        }
        for key, shape in shapes.items():
            if getattr(self, key).shape != shape:
                raise InputError(f"{key} must be {shape}, got {getattr(self, key).shape}")
        if len(self.horizons) != n_horizons:
            raise InputError(f"{n_horizons} columns of returns and {len(self.horizons)} horizons")


# ---------------------------------------------------------------------- sums by day
def day_sums(p: Predictions) -> dict[str, Float]:
    """What every measure is made of, `[n, ...]` by day.

    `confusion [3, 3]`: came, forecast. `bins [BINS, 3]` of the confidence: count, sum of it, number
    right. By horizon `errors [H, 5]`: count, sums of |error|, error^2, |actual|, actual^2; `signs
    [H, 3]`: count, right, up; `moments [H, 6]`: count, x, y, x^2, y^2, xy; `ic`, `rank_ic [H, 2]`:
    whether there is one, and it. `below [Q + 1]`: count, number below each quantile. `within
    [Q // 2]`: number between the quantiles of a level and of its complement. `volatility [3]`:
    count, sums of |error| and |actual|.
    """
    n, n_assets, _ = p.actual.shape
    known = (p.direction >= 0) & np.isfinite(p.probability).all(axis=-1)
    called = np.where(known, p.probability.argmax(axis=-1), 0)
    came = np.where(known, p.direction, 0)
    confusion = np.zeros((n, 9))
    cells = (np.arange(n)[:, None].repeat(n_assets, 1), came * 3 + called)
    np.add.at(confusion, cells, known.astype(float))
    sure = known & np.isfinite(p.confidence)
    stated = np.where(sure, p.confidence, 0.0)
    # Right-closed bins, as in the definition of Guo et al. 2017.
    place = np.clip(np.ceil(stated * BINS).astype(np.int64) - 1, 0, BINS - 1)
    bins = np.zeros((n, BINS, 3))
    right = sure & (called == came)
    for k, value in enumerate((sure, stated, right)):
        np.add.at(bins[:, :, k], (cells[0], place), value.astype(float))
    both = np.isfinite(p.expected) & np.isfinite(p.actual)
    x, y = np.where(both, p.expected, 0.0), np.where(both, p.actual, 0.0)
    moved = both & (y != 0)
    quantile = np.isfinite(p.quantiles).all(axis=-1) & np.isfinite(p.actual[..., 0])
    below = quantile[..., None] & (p.actual[..., :1] <= p.quantiles)
    n_pairs = len(p.levels) // 2
    pairs = np.stack([below[..., -1 - k] & ~below[..., k] for k in range(n_pairs)], axis=-1)
    later = np.isfinite(p.log_volatility) & np.isfinite(p.actual_log_volatility)
    v, w = np.where(later, p.log_volatility, 0.0), np.where(later, p.actual_log_volatility, 0.0)
    return {
        "confusion": confusion.reshape(n, 3, 3),
        "bins": bins,
        "errors": _by_day(both, np.abs(x - y), (x - y) ** 2, np.abs(y), y**2),
        "signs": _by_day(moved, moved & (np.sign(x) == np.sign(y)), moved & (y > 0)),
        "moments": _by_day(both, x, y, x**2, y**2, x * y),
        "ic": daily_correlation(x, y, both),
        "rank_ic": daily_correlation(_ranks(x, both), _ranks(y, both), both),
        "below": np.column_stack([quantile.sum(axis=1), below.sum(axis=1)]).astype(float),
        "within": pairs.sum(axis=1).astype(float),
        "volatility": _by_day(later, np.abs(v - w), np.abs(w)),
    }


def _by_day(*columns: NDArray) -> Float:
    """Sums over the assets, the columns side by side in the last axis."""
    return np.stack([np.asarray(c, np.float64).sum(axis=1) for c in columns], axis=-1)


def daily_correlation(x: Float, y: Float, known: NDArray[np.bool_]) -> Float:
    """`[n, H, 2]`: whether a day has a correlation across its assets, and it; zero without.

    It has none with fewer than `LEAST_ASSETS` assets, or where one side is constant.
    """
    count = known.sum(axis=1)
    safe = np.maximum(count, 1)
    dx = np.where(known, x - (np.where(known, x, 0).sum(axis=1) / safe)[:, None], 0.0)
    dy = np.where(known, y - (np.where(known, y, 0).sum(axis=1) / safe)[:, None], 0.0)
    scale = np.sqrt((dx**2).sum(axis=1) * (dy**2).sum(axis=1))
    there = (count >= LEAST_ASSETS) & (scale > RESOLUTION)
    value = np.divide((dx * dy).sum(axis=1), scale, out=np.zeros(scale.shape), where=there)
    return np.stack([there.astype(float), value], axis=-1)


def _ranks(x: Float, known: NDArray[np.bool_]) -> Float:
    """Ranks among the known assets of a day, ties shared."""
    return np.nan_to_num(rankdata(np.where(known, x, np.nan), axis=1, nan_policy="omit"))


# ---------------------------------------------------------------------- measures of sums
def measures(sums: dict[str, Float], base: dict[str, Any]) -> dict[tuple[str, int | None], Float]:
    """(name, horizon index or None) -> `[R, 2]` the value and that of no skill, from sums
    `[R, ...]` over the days of R histories; NaN where it is not defined.

    Args:
        base: what `base_of` chose, once for all histories: the answers that need no skill.
    """
    found: dict[tuple[str, int | None], Float] = {}

    def put(name: str, value: Float, without: Float | float, horizon: int | None = None) -> None:
        found[name, horizon] = np.stack(np.broadcast_arrays(value, without), axis=-1)

    confusion = sums["confusion"]
    total, came, called = confusion.sum((1, 2)), confusion.sum(2), confusion.sum(1)
    hits = np.diagonal(confusion, axis1=1, axis2=2)
    put("accuracy", over(hits.sum(1), total), over(came[:, base["class"]], total))
    recall, precision = over(hits, came), over(hits, called)
    there = (came > 0) & base["usual"]
    occurred = there.sum(1)
    recall = np.where(there, recall, np.nan)
    put("balanced_accuracy", _nanmean(recall), over(np.ones(len(total)), occurred))
    # A class that is never called has no precision of its own, and counts as nothing here.
    whole = np.where(there, np.where(called > 0, precision, 0.0), np.nan)
    put("macro_precision", _nanmean(whole), over(np.ones(len(total)), occurred))
    for k, name in enumerate(CLASSES):
        if not base["usual"][k]:
            continue
        put(f"precision_{name}", precision[:, k], over(came[:, k], total))
        put(f"recall_{name}", recall[:, k], over(called[:, k], total))
    put("calibration_error", calibration_error(sums["bins"]), base["chance"])
    for k, level in enumerate(base["levels"]):
        put(f"below_{level:g}", over(sums["below"][:, 1 + k], sums["below"][:, 0]), level)
    for k in range(sums["within"].shape[1]):
        level = round(base["levels"][-1 - k] - base["levels"][k], 9)
        put(f"coverage_{level:g}", over(sums["within"][:, k], sums["below"][:, 0]), level)
    count, error, zero = np.moveaxis(sums["volatility"], -1, 0)
    put("volatility_mae", over(error, count), over(zero, count))
    for h in range(sums["errors"].shape[1]):
        count, mae, mse, mae0, mse0 = np.moveaxis(sums["errors"][:, h], -1, 0)
        put("mae", over(mae, count), over(mae0, count), h)
        put("rmse", np.sqrt(over(mse, count)), np.sqrt(over(mse0, count)), h)
        put("r2", 1.0 - over(mse, mse0), 0.0, h)
        count, right, up = np.moveaxis(sums["signs"][:, h], -1, 0)
        usual = up if base["up"][h] else count - up
        put("directional_accuracy", over(right, count), over(usual, count), h)
        count, x, y, xx, yy, xy = np.moveaxis(sums["moments"][:, h], -1, 0)
        spread = np.sqrt(np.maximum((count * xx - x**2) * (count * yy - y**2), 0.0))
        put("correlation", over(count * xy - x * y, spread), 0.0, h)
        for name in ("ic", "rank_ic"):
            days, total_ic = np.moveaxis(sums[name][:, h], -1, 0)
            put(name, over(total_ic, days), 0.0, h)
    return found


def base_of(sums: dict[str, Float], levels: Sequence[float], seed: int) -> dict[str, Any]:
    """The answers that need no skill, from sums over all days (without a leading axis)."""
    signs = sums["signs"]
    came = sums["confusion"].sum(axis=1)
    return {
        "class": int(came.argmax()),
        "usual": came >= max(RARE * came.sum(), 1.0),
        "up": (2 * signs[:, 2] >= signs[:, 0]).tolist(),
        "chance": chance_error(sums["bins"], seed),
        "levels": tuple(levels),
    }


def calibration_error(bins: Float) -> Float:
    """`[R]` expected calibration error of `[R, BINS, 3]`: |share right - mean confidence| by bin,
    weighted by its count (Guo et al. 2017)."""
    count = bins[..., 0].sum(axis=-1)
    return over(np.abs(bins[..., 2] - bins[..., 1]).sum(axis=-1), count)


def chance_error(bins: Float, seed: int) -> float:
    """The mean calibration error of forecasts that are right, independently, as often as they
    say: with few forecasts it is not zero."""
    count = bins[:, 0]
    if count.sum() == 0:
        return float("nan")
    share = over(bins[:, 1], count)
    rng = np.random.default_rng([seed, 2])
    right = rng.binomial(
        count.astype(np.int64), np.clip(np.nan_to_num(share), 0, 1), (CHANCE, BINS)
    )
    return float(np.abs(right - bins[:, 1]).sum(axis=1).mean() / count.sum())


def over(x: Float, y: Float) -> Float:
    """x / y; NaN where y is zero."""
    shape = np.broadcast_shapes(np.shape(x), np.shape(y))
    return np.divide(x, y, out=np.full(shape, np.nan), where=np.abs(y) > RESOLUTION)


def _nanmean(x: Float) -> Float:
    """Mean over the last axis of what is known; NaN where nothing is."""
    known = np.isfinite(x)
    return over(np.where(known, x, 0.0).sum(axis=-1), known.sum(axis=-1).astype(float))
