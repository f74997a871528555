"""`rollout`: the only evaluation path, and the `Trajectory` that it records."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Trajectory:
    """What one policy did on one window, by step; n steps, A assets, cash last.

    Step k decides at close `decision_dates[k]`; its return is known at close `dates[k]`, one row later.

    Attributes:
        name: of the policy.
        seed: of the trained agent, or None for a policy without one.
        symbols: A asset names.
        decision_dates, dates: `[n]` datetime64[ns].
        weights: `[n, A+1]` weights just after the trade of step k (executed, not wished for).
        gross_return: `[n]` simple return of the step before its costs.
        net_return: `[n]` simple return after costs; `value[k+1] = value[k] * (1 + net_return[k])`.
        asset_return: `[n]` simple return of the daily equal-weight mix of the assets, no costs.
        cash_return: `[n]` simple return of cash over the step.
        costs: kind ("commission", "spread") -> `[n]` cost as a fraction of the value before the trade.
        turnover: `[n]` sum over assets of |traded notional| over the value before the trade, in [0, 2].
        value: `[n+1]` wealth; `value[0]` is 1.
        reward: `[n]` the reward that the env gave.
        periods_per_year: for annualisation.
        ruined: whether the episode ended by ruin before the window did.
    """

    name: str
    seed: int | None
    symbols: tuple[str, ...]
    decision_dates: NDArray[np.datetime64]
    dates: NDArray[np.datetime64]
    weights: Float
    gross_return: Float
    net_return: Float
    asset_return: Float
    cash_return: Float
    costs: dict[str, Float]
    turnover: Float
    value: Float
    reward: Float
    periods_per_year: float
    ruined: bool = False
    notes: tuple[str, ...] = field(default=())

    @property
    def total_cost(self) -> Float:
        """`[n]` all costs of each step, as a fraction of the value before the trade."""
        return np.sum(list(self.costs.values()), axis=0)

    @property
    def active_share(self) -> Float:
        """`[n]` half the sum of |weight - 1/A| over the assets, plus half the cash; 0 is 1/N."""
        n_assets = len(self.symbols)
        assets = np.abs(self.weights[:, :-1] - 1.0 / n_assets).sum(axis=1)
        return 0.5 * (assets + np.abs(self.weights[:, -1]))
