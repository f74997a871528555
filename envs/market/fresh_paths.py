"""Fresh paths: every episode of every portfolio runs on its own path of a simulated market.

The kernels read prices and features by row. On real data all portfolios share the rows of one
panel; here each portfolio owns a block of `n_rows` rows of a longer one, which is written anew when
its episode starts. So nothing in the kernels knows whether a path is fresh.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.data.market_data import MarketData
from envs.errors import InputError
from envs.features.panel import FeaturePanel
from envs.market.kernel import log_nb
from envs.market.legs import Legs

Float = NDArray[np.float64]
FeaturesOf = Callable[[MarketData], FeaturePanel]


@dataclass(frozen=True, eq=False)
class FreshPaths:
    """How a path is made.

    Attributes:
        market: a panel with a `process`; its dates and names are those of every path.
        n_rows: of each path: the warm-up, the window and the episode.
        n_columns: features of a row, A * F.
        features_of: the features of a path, scaled to +-10; None: what the process shows of itself.
    """

    market: MarketData
    n_rows: int
    n_columns: int
    features_of: FeaturesOf | None = None

    def __post_init__(self) -> None:
        market = self.market
        if self.n_rows > market.n_rows:
            raise InputError(
                f"an episode with its warm-up needs {self.n_rows} rows, and the simulated panel "
                f"has {market.n_rows}; raise data.n_rows or lower env.episode_length"
            )


class PathBlocks:
    """The memory of N fresh paths; portfolio n reads the rows from `n * n_rows` on."""

    def __init__(self, paths: FreshPaths, n: int) -> None:
        self.paths = paths
        market, rows = paths.market, n * paths.n_rows
        self.growth = np.ones((rows, market.n_assets + 1))
        self.cash = np.full(rows, 1.0 + market.process.cash_rate / market.process.periods_per_year)
        self.growth[:, -1] = self.cash
        self.equal_weight = np.ones(rows)
        self.log_equal_weight, self.log_cash = np.zeros(rows), np.empty(rows)
        log_nb(self.cash, self.log_cash)
        self.features = np.zeros((rows, paths.n_columns), np.float32)
        self.seeds = np.zeros(n, np.uint64)
        # `[N, n_rows, S]`, made with the first paths: what no agent sees, for judging it.
        self.state: Float | None = None

    def legs(self, panel: Legs) -> Legs:
        """The legs of a step on these paths, under the convention of those of the panel."""
        return replace(
            panel,
            before=None if panel.before is None else self.growth,
            after=None if panel.after is None else self.growth,
            equal_weight=self.equal_weight,
            index=self.equal_weight,
            cash=self.cash,
        )

    def log_benchmark(self, name: str) -> Float:
        """`[N * n_rows]` log growth of what rewards are in excess of; a path has no index."""
        return self.log_cash if name == "cash" else self.log_equal_weight

    def refill(self, blocks: NDArray[np.int64], seeds: NDArray[np.uint64]) -> None:
        """Writes the paths of these seeds into these blocks."""
        paths = self.paths
        n_rows, n_assets = paths.n_rows, paths.market.n_assets
        self.seeds[blocks] = seeds
        made = paths.market.process.simulate(seeds, n_rows - 1)
        # min and max find NaN, too.
        if not (made.growth.min() > 0.0 and made.growth.max() < np.inf):
            raise InputError(
                f"a path of {paths.market.name} leaves the range of numbers; choose smaller drifts "
                "and volatilities (data.process)"
            )
        if self.state is None:
            self.state = np.zeros((len(self.seeds), *made.state.shape[1:]))
        self.state[blocks] = made.state
        growth = self.growth.reshape(-1, n_rows, n_assets + 1)
        growth[blocks, :-1, :-1] = made.growth
        mix = made.growth.mean(axis=2)
        logs = np.empty_like(mix)
        log_nb(mix.reshape(-1), logs.reshape(-1))
        self.equal_weight.reshape(-1, n_rows)[blocks, :-1] = mix
        self.log_equal_weight.reshape(-1, n_rows)[blocks, :-1] = logs
        if not paths.n_columns:
            return
        features = self.features.reshape(-1, n_rows, paths.n_columns)
        if paths.features_of is None:
            features[blocks] = made.observed.reshape(len(blocks), n_rows, -1)
            return
        for k, block in enumerate(blocks):
            panel = paths.features_of(_panel(paths.market, made.growth[k], made.observed[k]))
            features[block] = panel.values.reshape(n_rows, -1)
            # Before the warm-up there is nothing, and no observation reads it.
            features[block, : panel.warmup] = 0.0


def _panel(market: MarketData, growth: Float, observed: NDArray[np.float32]) -> MarketData:
    """One path as a panel, for features that are computed from prices."""
    n_rows = len(growth) + 1
    close = np.vstack([np.ones((1, growth.shape[1])), np.cumprod(growth, axis=0)])
    changes: dict[str, Any] = {
        "dates": market.dates[:n_rows],
        "close": market.close[0] * close,
        "cash_rate": market.cash_rate[:n_rows],
        "observed": observed if market.observed is not None else None,
        "tradable": None,
    }
    return replace(market, **changes)
