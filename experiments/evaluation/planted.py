"""Planted signals: features and prices whose best possible forecast is known in closed form.

A predictor that does not find what is surely there is broken, and so is one that finds something
where there is nothing. Neither can be told from market data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from envs.data.arguments import whole_number
from envs.errors import InputError

Float = NDArray[np.float64]

# Of the six features three can carry the signal; each kind needs something else of a predictor.
FEATURES = ("late", "slow", "size", "noise_1", "noise_2", "noise_3")
# As the streams of multimodal networks are called.
GROUPS = {
    "technical": slice(0, 2),
    "sentiment": slice(2, 3),
    "seasonal": slice(3, 4),
    "macro": slice(4, 6),
}
PARTS = ("late", "slow", "size")
# Rows by which the first and the third part are late, and over which the second is summed.
LATE, SLOW, SIZE = 2, 5, 2
# Rows that the whole signal reads.
REACH = 5
# Return of a row: its standard deviation.
VOLATILITY = 0.01


@dataclass(frozen=True, eq=False)
class Planted:
    """Features, prices and the truth; T rows, A assets, F features.

    Attributes:
        panel: `[T, A, F]` float32, independent standard normal.
        close: `[T, A]` > 0; the return of row t + 1 is that of the signal of row t.
        signal: `[T, A]` standard normal, a function of the last rows of `panel`; what is known at
            row t of the next return.
        strength: correlation of the signal with the next return, in [0, 1).
    """

    panel: NDArray[np.float32]
    close: Float
    signal: Float
    strength: float

    @property
    def best_accuracy(self) -> float:
        """Largest expected share of right directions: 1/2 + arcsin(strength) / pi.

        Signal and return are jointly normal; their signs agree with this probability (Sheppard
        1899), and the sign of the signal is the likelier direction.
        """
        return 0.5 + float(np.arcsin(self.strength)) / np.pi

    @property
    def best_r2(self) -> float:
        """Largest expected R² of the next return, against a forecast of 0."""
        return self.strength**2


def plant(
    *,
    n_rows: int = 4_000,
    n_assets: int = 8,
    strength: float = 0.6,
    parts: Sequence[str] = PARTS,
    seed: int = 0,
) -> Planted:
    """Draws a market with a signal.

    The signal is the sum of its parts, scaled to variance 1: `late` is a feature of two rows ago;
    `slow` the sum of another over five rows; `size` says how large a third was two rows ago, up or
    down, which no linear function of it knows. Each part is standard normal by itself, so that the
    bounds of the whole are exact.

    Args:
        n_rows: T. n_assets: A. seed: of the draw.
        strength: correlation of the signal with the next return; 0 for pure noise.
        parts: which of `late`, `slow`, `size` are in it.

    Raises:
        InputError: for a number outside its range or a part that is not known.
    """
    whole_number(n_rows, "n_rows", 100)
    whole_number(n_assets, "n_assets", 1)
    whole_number(seed, "seed", 0)
    if not 0 <= strength < 1:
        raise InputError(f"strength must be at least 0 and below 1, got {strength!r}")
    if not parts or not set(parts) <= set(PARTS):
        raise InputError(f"parts must be one or more of {', '.join(PARTS)}, got {list(parts)}")
    rng = np.random.default_rng(seed)
    panel = rng.standard_normal((n_rows, n_assets, len(FEATURES))).astype(np.float32)
    carried = [_part(panel[..., FEATURES.index(name)], name) for name in PARTS if name in parts]
    signal = np.sum(carried, axis=0) / np.sqrt(len(carried))
    noise = rng.standard_normal((n_rows, n_assets))
    returns = np.zeros((n_rows, n_assets))
    returns[1:] = strength * signal[:-1] + np.sqrt(1.0 - strength**2) * noise[1:]
    close = np.cumprod(1.0 + VOLATILITY * returns, axis=0, dtype=np.float64)
    return Planted(panel, close, signal, strength)


def _part(feature: NDArray[np.float32], name: str) -> Float:
    """`[T, A]` one part of the signal; it is 0 in the first rows, before the feature begins."""
    x, part = feature.astype(np.float64), np.zeros(feature.shape)
    if name == "late":
        part[LATE:] = x[:-LATE]
    elif name == "slow":
        for k in range(SLOW):
            part[k:] += x[: len(x) - k] / np.sqrt(SLOW)
    else:
        # |x| through its own distribution function is uniform, and so normal through this one.
        uniform = 2.0 * norm.cdf(np.abs(x[:-SIZE])) - 1.0
        part[SIZE:] = norm.ppf(np.clip(uniform, 1e-12, 1.0 - 1e-12))
    return part
