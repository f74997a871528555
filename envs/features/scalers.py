"""Scalers: from features in their own units to numbers of order one that a network can learn from.

Three are fitted on training rows and then fixed, one needs no fitting because it looks back a
window. All
share one interface: `fit(panel, start, stop)` returns the scaler, `transform(panel)` a panel of the
    same shape without NaN, clipped to +-`clip`; `to_dict` and `scaler_from_dict` carry a scaler
    with the model that was trained behind it, exactly.

Missing values become 0, the centre of what was seen in training: an asset before its listing says
nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Protocol

import numpy as np
from numba import njit
from numpy.typing import NDArray

from envs.errors import InputError
from envs.features.panel import FeaturePanel

Float = NDArray[np.float64]

# Fewer training rows than this say nothing about the scale of a feature.
MIN_ROWS = 10
# A spread under the rounding of float32 at the size of the values is no spread.
FLOAT32_EPS = float(np.finfo(np.float32).eps)
# Rows transformed at a time: bounds the temporaries, changes no number (the work is elementwise).
CHUNK = 256


class Scaler(Protocol):
    """What every scaler does."""

    clip: float

    def fit(self, panel: FeaturePanel, start: int, stop: int) -> Scaler: ...

    def transform(self, panel: FeaturePanel) -> FeaturePanel: ...

    def to_dict(self) -> dict[str, Any]: ...


def _check_clip(clip: float) -> float:
    if not clip > 0:
        raise InputError(f"scaler: clip={clip} must be > 0")
    return float(clip)


def _training_values(panel: FeaturePanel, start: int, stop: int, f: int) -> Float:
    """The finite values of feature f in the rows, assets pooled."""
    values = panel.values[start:stop, :, f].astype(np.float64).ravel()
    return values[np.isfinite(values)]


def _has_spread(scale: float, center: float) -> bool:
    return scale > FLOAT32_EPS * abs(center)


class FittedScaler:
    """`(x - center) / scale`, both fixed by the training rows; feature by feature, assets pooled.

    Attributes:
        names: features it was fitted on; empty before `fit`.
        center, scale: `[F]` float64; `scale` is 1 where a feature is constant in training. `center`
            is NaN for a masked feature that is not known in training: it becomes 0 everywhere.
        rows: `(start, stop)` of the rows that were used.
        clip: largest absolute value that comes out.
    """

    kind: ClassVar[str]

    def __init__(self, clip: float = 10.0) -> None:
        self.clip = _check_clip(clip)
        self.names: tuple[str, ...] = ()
        self.center: Float = np.empty(0)
        self.scale: Float = np.empty(0)
        self.rows = (0, 0)

    def statistics(self, values: Float) -> tuple[float, float]:
        """`(center, scale)` of the pooled training values of one feature."""
        raise NotImplementedError

    def fit(self, panel: FeaturePanel, start: int, stop: int) -> FittedScaler:
        """Learns from rows `max(start, warmup):stop` and no others.

        Raises:
            InputError: if the rows lie outside the panel, are fewer than 10, or a feature has fewer
                than 10 values in them and is not masked.
        """
        n_rows = panel.values.shape[0]
        if not 0 <= start < stop <= n_rows:
            raise InputError(
                f"scaler: rows {start}:{stop} are not inside the panel's 0:{n_rows}; give a "
                "training window inside the data"
            )
        first = max(start, panel.warmup)
        if stop - first < MIN_ROWS:
            raise InputError(
                f"scaler: rows {start}:{stop} hold {max(stop - first, 0)} rows after the warm-up "
                f"of {panel.warmup}; fitting needs at least {MIN_ROWS}: start the training "
                "window earlier in the data or use shorter features"
            )
        center, scale = np.empty(panel.n_features), np.empty(panel.n_features)
        for f, name in enumerate(panel.names):
            values = _training_values(panel, first, stop, f)
            if len(values) < MIN_ROWS and name in panel.masked:
                # Nothing is known of its scale: what comes later is kept at 0.
                center[f], scale[f] = np.nan, 1.0
                continue
            if len(values) < MIN_ROWS:
                raise InputError(
                    f"scaler: feature {name!r} has {len(values)} values in rows {first}:{stop}; "
                    f"fitting needs at least {MIN_ROWS}"
                )
            center[f], scale[f] = self.statistics(values)
            if not _has_spread(scale[f], center[f]):
                scale[f] = 1.0
        self.names, self.center, self.scale = panel.names, center, scale
        self.rows = (first, stop)
        return self

    def transform(self, panel: FeaturePanel) -> FeaturePanel:
        """Scales every row with the fitted numbers; NaN becomes 0.

        Raises:
            InputError: before `fit`, or if the panel holds other features.
        """
        if not self.names:
            raise InputError("scaler: fit it on training rows before transform")
        if panel.names != self.names:
            other = sorted(set(panel.names) ^ set(self.names)) or "the same in another order"
            raise InputError(
                f"scaler: fitted on {len(self.names)} features, but the panel's differ: {other}"
            )
        out = np.empty_like(panel.values)
        for first in range(0, len(out), CHUNK):
            part = panel.values[first : first + CHUNK].astype(np.float64)
            part -= self.center
            part /= self.scale
            np.nan_to_num(part, copy=False, nan=0.0)
            np.clip(part, -self.clip, self.clip, out=part)
            out[first : first + CHUNK] = part
        return FeaturePanel(out, panel.names, panel.groups, panel.warmup, panel.masked)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and strings; JSON keeps them exactly."""
        return {
            "kind": self.kind,
            "clip": self.clip,
            "names": list(self.names),
            "center": [None if np.isnan(x) else x for x in self.center.tolist()],
            "scale": self.scale.tolist(),
            "rows": list(self.rows),
        }

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> FittedScaler:
        scaler = cls(clip=state["clip"])
        scaler.names = tuple(state["names"])
        # None becomes NaN.
        scaler.center = np.array(state["center"], dtype=np.float64)
        scaler.scale = np.array(state["scale"], dtype=np.float64)
        scaler.rows = (int(state["rows"][0]), int(state["rows"][1]))
        return scaler


class StandardScaler(FittedScaler):
    """Mean 0 and standard deviation 1 (ddof 0) in the training rows."""

    kind = "standard"

    def statistics(self, values: Float) -> tuple[float, float]:
        return float(values.mean()), float(values.std())


class RobustScaler(FittedScaler):
    """Median 0 and interquartile range 1 in the training rows; outliers do not move it.

    A feature whose quartiles coincide although it varies (a flag, mostly 0) is scaled by its
    standard deviation instead.
    """

    kind = "robust"

    def statistics(self, values: Float) -> tuple[float, float]:
        low, median, high = np.percentile(values, [25.0, 50.0, 75.0])
        if not _has_spread(high - low, median):
            return float(median), float(values.std())
        return float(median), float(high - low)


class MinMaxScaler(FittedScaler):
    """-1 at the smallest and 1 at the largest training value (0 between them, so 0 is neutral)."""

    kind = "minmax"

    def statistics(self, values: Float) -> tuple[float, float]:
        low, high = float(values.min()), float(values.max())
        return 0.5 * (low + high), 0.5 * (high - low)


@njit(cache=True, nogil=True, error_model="numpy")
def rolling_score_nb(values, window, smallest, clip, out):
    """`(x - mean) / deviation` (ddof 0) of what is known of the last `window` rows, recomputed for
    each row; 0 before the first value is `window` rows old, and with less than half of them."""
    n_rows, n_columns = values.shape
    first = np.full(n_columns, n_rows)
    count, mean, square = np.empty(n_columns), np.empty(n_columns), np.empty(n_columns)
    for t in range(n_rows):
        count[:] = 0.0
        mean[:] = 0.0
        square[:] = 0.0
        oldest = max(t - window + 1, 0)
        for s in range(oldest, t + 1):
            for c in range(n_columns):
                x = np.float64(values[s, c])
                known = x == x
                count[c] += 1.0 if known else 0.0
                mean[c] += x if known else 0.0
        for c in range(n_columns):
            mean[c] /= count[c]
        for s in range(oldest, t + 1):
            for c in range(n_columns):
                x = np.float64(values[s, c])
                square[c] += (x - mean[c]) ** 2 if x == x else 0.0
        for c in range(n_columns):
            score = 0.0
            known = values[t, c] == values[t, c]
            if known and first[c] == n_rows:
                first[c] = t
            if known and t - first[c] >= window - 1 and 2.0 * count[c] >= window:
                deviation = np.sqrt(square[c] / count[c])
                if deviation > smallest * abs(mean[c]):
                    score = (values[t, c] - mean[c]) / deviation
            out[t, c] = min(max(score, -clip), clip)


class NoScaler:
    """Leaves features as they are, but for the clip: for those that are near 1 by construction."""

    kind: ClassVar[str] = "none"

    def __init__(self, clip: float = 10.0) -> None:
        self.clip = _check_clip(clip)

    def fit(self, panel: FeaturePanel, start: int, stop: int) -> NoScaler:
        """Does nothing."""
        return self

    def transform(self, panel: FeaturePanel) -> FeaturePanel:
        """The panel, clipped, with 0 for what is missing."""
        values = np.nan_to_num(np.clip(panel.values, -self.clip, self.clip), nan=0.0)
        return FeaturePanel(values, panel.names, panel.groups, panel.warmup, panel.masked)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and strings."""
        return {"kind": self.kind, "clip": self.clip}

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> NoScaler:
        return cls(clip=state["clip"])


class RollingScaler:
    """Score of each value within the last `window` rows of its own asset; nothing is fitted.

    Until the first value of an asset is `window` rows old, and where the window is constant, the
    score is 0, so `warmup` grows by `window - 1`. Rows of a halt are left out; where less than half
    of a window is left the score is 0.
    """

    kind: ClassVar[str] = "rolling"

    def __init__(self, window: int = 252, clip: float = 10.0) -> None:
        if window < 2:
            raise InputError(f"scaler: window={window} must be >= 2")
        self.window = int(window)
        self.clip = _check_clip(clip)

    def fit(self, panel: FeaturePanel, start: int, stop: int) -> RollingScaler:
        """Does nothing: every row is scaled by its own past."""
        return self

    def transform(self, panel: FeaturePanel) -> FeaturePanel:
        """Scales each row by the rows before it and itself.

        Raises:
            InputError: if the panel is too short for warm-up + window.
        """
        n_rows, n_assets, n_features = panel.values.shape
        warmup = panel.warmup + self.window - 1
        if n_rows < warmup + 2:
            raise InputError(
                f"scaler: {n_rows} rows, but a rolling window of {self.window} after a warm-up of "
                f"{panel.warmup} needs at least {warmup + 2}"
            )
        out = np.empty_like(panel.values)
        columns = n_assets * n_features
        rolling_score_nb(
            panel.values.reshape(n_rows, columns), self.window, FLOAT32_EPS, self.clip,
            out.reshape(n_rows, columns),
        )  # fmt: skip
        return FeaturePanel(out, panel.names, panel.groups, warmup, panel.masked)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and strings."""
        return {"kind": self.kind, "window": self.window, "clip": self.clip}

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> RollingScaler:
        return cls(window=int(state["window"]), clip=state["clip"])


def scaler_from_dict(state: dict[str, Any]) -> Scaler:
    """The scaler that `to_dict` wrote.

    Raises:
        InputError: for an unknown kind.
    """
    makers: dict[str, Callable[[dict[str, Any]], Scaler]] = {
        each.kind: each.from_dict
        for each in (StandardScaler, RobustScaler, MinMaxScaler, RollingScaler, NoScaler)
    }
    if state.get("kind") not in makers:
        raise InputError(f"scaler: unknown kind {state.get('kind')!r}; one of {sorted(makers)}")
    return makers[state["kind"]](state)
