"""`FeaturePanel`: what is known at each close, for each asset."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from envs.errors import InputError


@dataclass(frozen=True, eq=False)
class FeaturePanel:
    """Features of A assets on T dates.

    Attributes:
        values: `[T, A, F]` float32. Row t holds only what was known at close t. NaN is allowed only
            in rows before `warmup`, where an asset is not tradable, in the rows of its own
            warm-up after an asset lists later than the others, and in `masked` features.
        names: F feature names.
        groups: group name -> slice of the feature axis.
        warmup: number of leading rows that are not usable because some feature has no full history.
        masked: name of a feature that is NaN in some or all rows because nothing was published, or
            its source is missing -> why, in words. Scalers turn its NaN into 0; `<group>_known` is
            the share of the published features of a group that is known, 0 to 1.
        notes: limits of what was published, and what is masked, in plain words for a report.
    """

    values: NDArray[np.float32]
    names: tuple[str, ...]
    groups: dict[str, slice] = field(default_factory=dict)
    warmup: int = 0
    masked: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.values.ndim != 3 or self.values.shape[2] != len(self.names):
            raise InputError(f"features must be [T, A, {len(self.names)}], got {self.values.shape}")
        if self.values.dtype != np.float32:
            raise InputError(f"features must be float32, got {self.values.dtype}")
        if not 0 <= self.warmup:
            raise InputError(f"warmup must be >= 0, got {self.warmup}")
        unknown = sorted(set(self.masked) - set(self.names))
        if unknown:
            raise InputError(f"masked names {', '.join(unknown)}, which the panel does not have")
        self.values.setflags(write=False)

    @property
    def n_features(self) -> int:
        return self.values.shape[2]
