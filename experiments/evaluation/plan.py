"""`Plan`: what every way to evaluate shares: the baselines, the intervals, the processes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from envs.data.arguments import whole_number
from envs.data.market_data import MarketData
from envs.errors import InputError
from experiments.evaluation import bootstrap
from experiments.evaluation.splits import Splits


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Base of `Holdout`, `WalkForward` and others, which say how the rows are cut.

    Attributes:
        trains: whether there are rows to train agents on.
        purge: rows left out between windows.
        baselines: name -> settings of its constructor; None instead of settings leaves it out.
        n_bootstrap, level: replications and level of the intervals.
        workers: processes that train agents side by side; None is one for each core. The result
            does not depend on it.

    Raises:
        InputError: without a baseline, or for a number that no run could use.
    """

    trains: ClassVar[bool] = True
    purge: int = 21
    baselines: Mapping[str, Mapping[str, Any] | None] = field(
        default_factory=lambda: {"equal_weight": {}}
    )
    n_bootstrap: int = 1000
    level: float = 0.95
    workers: int | None = 1

    def __post_init__(self) -> None:
        if not isinstance(self.baselines, Mapping) or not any(
            settings is not None for settings in self.baselines.values()
        ):
            raise InputError(
                "evaluation.baselines must keep at least one baseline to compare with; "
                "leave single ones out with evaluation.baselines.NAME=null"
            )
        whole_number(self.purge, "evaluation.purge", 0)
        if self.workers is not None:
            whole_number(self.workers, "evaluation.workers", 1)
        # Before hours of training, not after them.
        bootstrap.check_intervals(self.n_bootstrap, self.level)

    def windows(self, market: MarketData, warmup: int) -> list[Splits]:
        """One `Splits` for each test window, in the order of time; test windows are consecutive.

        Args:
            warmup: rows at the start of the data at which no decision is possible.
        """
        raise NotImplementedError
