"""`Published`: dated series from outside the panel, and why some of them are not there.

Sources of the groups `macro` and `sentiment`. A feature reads a series as of its day of publication
(`Releases`); where a series is missing, or nothing of it is published yet, the feature is NaN and
`FeaturePanel.masked` says why.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from envs.features.releases import Releases


@dataclass(frozen=True, eq=False)
class Published:
    """Series by name.

    Attributes:
        series: name -> its publications.
        missing: name of a series that is not here -> why, and the remedy; one sentence.
        notes: limits of the series in plain words.
    """

    series: Mapping[str, Releases] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def get(self, name: str) -> Releases | None:
        """The series of this name, or None if it is missing."""
        return self.series.get(name)

    def changed_after(self, day: np.datetime64, rng: np.random.Generator) -> Published:
        """The same figures as far as they were published by `day`, others after it."""
        changed = {name: one.changed_after(day, rng) for name, one in self.series.items()}
        return Published(changed, self.missing, self.notes)
