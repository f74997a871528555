"""`joined`: the trajectories of consecutive windows as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from agents.rollout import Trajectory

SERIES = (
    "decision_dates", "dates", "weights", "gross_return", "net_return", "asset_return",
    "cash_return", "turnover", "reward",
)  # fmt: skip


def joined(parts: Sequence[Trajectory], name: str) -> Trajectory:
    """One trajectory from those of consecutive windows, each begun with what the last one held.

    Wealth is chained; the name is the strategy's, whichever policy decided in a window.
    """
    if len(parts) == 1:
        return replace(parts[0], name=name)
    series: dict[str, Any] = {k: np.concatenate([getattr(p, k) for p in parts]) for k in SERIES}
    starts = np.cumprod([1.0] + [part.value[-1] for part in parts[:-1]])
    value = [part.value[1:] * start for part, start in zip(parts, starts, strict=True)]
    listed = [part.n_listed for part in parts if part.n_listed is not None]
    return replace(
        parts[-1],
        name=name,
        costs={
            kind: np.concatenate([part.costs[kind] for part in parts]) for kind in parts[0].costs
        },
        value=np.concatenate([[1.0], *value]),
        n_listed=np.concatenate(listed) if listed else None,
        **series,
    )
