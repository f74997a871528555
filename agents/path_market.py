"""A simulated market for training by gradients: every stretch of days is a path of its own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from envs.errors import InputError
from envs.market import kernel
from envs.market.fresh_paths import PathBlocks
from envs.simulation import Setting
from networks.accounting import wealth_path
from networks.portfolio import Moves, PortfolioNetwork, towards

Float = NDArray[np.float64]
MAPS = ("simplex", "long_short")
# Paths on which all epochs of all trainings are compared, by their seeds; no training draws them.
JUDGED = np.arange(512, dtype=np.uint64) + np.uint64(2**63)


@dataclass(frozen=True)
class Traded:
    """What the stretches of a batch earned, each `[B, L]`; `cash` is the return of cash, and
    `benchmark` that of what the reward is in excess of, where there is one."""

    net_return: Tensor
    turnover: Tensor
    cash: Tensor
    benchmark: Tensor | None = None


def check_action_map(name: str, setting: Setting) -> None:
    """Raises for limits that the network does not know.

    Raises:
        InputError: naming the key.
    """
    action = setting.action_map
    if action.name not in MAPS:
        raise InputError(
            f"{name} names weights: it needs env.action=simplex or env=long_short, got "
            f"{action.name}"
        )
    if action.name == "long_short" and action.settings()[1] < action.gross_limit:
        raise InputError(
            f"{name} knows a limit of gross leverage alone: env.action_settings.net must be no "
            f"less than gross, {action.gross_limit:g}, got {action.settings()[1]:g}"
        )


def in_cash(n: int, n_assets: int, device: torch.device) -> Tensor:
    """`[n, A+1]` weights of portfolios that hold nothing."""
    held = torch.zeros(n, n_assets + 1, dtype=torch.float64, device=device)
    held[:, -1] = 1.0
    return held


class PathMarket:
    """A simulated market as the network needs it, with the verbs of `agents.row_market.Rows`.

    No path is seen twice, so there is nothing to learn by heart; luck is what batches average out.
    Costs are proportional, quadratic, or none. Long-short, a full position in one asset is the
    whole gross leverage.

    Raises:
        InputError: for a setting that this way of learning cannot use.
    """

    def __init__(self, name: str, setting: Setting, length: int) -> None:
        costs = setting.costs
        known = {"commission", "spread"} | ({"impact"} if costs.impact_square else set())
        check_action_map(name, setting)
        if costs.model != kernel.EXACT or not known.issuperset(costs.kinds) or setting.delay:
            raise InputError(
                f"{name} is trained through proportional or quadratic costs without delay; choose "
                "cost=proportional, quadratic or free, and env.delay=0"
            )
        assert setting.fresh is not None
        self.setting = setting
        self.first, self.window, self.length = setting.first, setting.window, length
        self.fresh = replace(setting.fresh, n_rows=setting.first + length + 1)
        self.blocks = PathBlocks(self.fresh, 0)
        self.rate = torch.from_numpy(costs.commission[0] + costs.half_spread[0])
        self.quadratic = torch.from_numpy(costs.impact[0].copy()) if costs.impact_square else None

    @property
    def n_features(self) -> int:
        """Features of an asset in a row."""
        return self.setting.n_features

    def draw(self, rng: np.random.Generator, n: int, length: int) -> NDArray[Any]:
        """Seeds of n paths."""
        return rng.integers(0, 2**63, n, dtype=np.uint64)

    def trade(
        self,
        network: PortfolioNetwork,
        starts: NDArray[Any],
        length: int,
        *,
        from_cash: bool,
    ) -> Traded:
        """What the network earns on the first `length` decisions of these paths."""
        n, n_rows = len(starts), self.fresh.n_rows
        if len(self.blocks.seeds) != n:
            self.blocks = PathBlocks(self.fresh, n)
        self.blocks.refill(np.arange(n), starts)
        device = next(network.parameters()).device
        rows = slice(self.first, self.first + length)

        def cut(values: NDArray | None, rows: slice = rows) -> Tensor | None:
            if values is None:
                return None
            return torch.from_numpy(values.reshape(n, n_rows, -1)[:, rows].copy()).to(device)

        legs = self.blocks.legs(self.setting.legs)
        before, after = cut(legs.before), cut(legs.after)
        cash = torch.from_numpy(self.blocks.cash.reshape(n, n_rows)[:, rows] - 1.0).to(device)
        shape = n, self.window - 1 + length, self.setting.market.n_assets, self.n_features
        history = slice(self.first - self.window + 1, rows.stop)
        inputs = self.blocks.features.reshape(n, n_rows, self.fresh.n_columns)[:, history]
        x = torch.from_numpy(inputs.copy()).view(shape).to(device)
        start = in_cash(n, shape[2], device) if from_cash else None
        moves = Moves(before, after)
        wanted, held = network.follow(x, start, moves, self.full(network, n, length), None)
        rate = self.rate.to(device)
        square = None if self.quadratic is None else self.quadratic.to(device)
        path = wealth_path(wanted, held, before, after, rate, torch.zeros_like(rate), square)
        return Traded(path.net_return, path.turnover, cash)

    def judge(self, network: PortfolioNetwork, validation: Setting) -> Traded:
        """What the network earns, from cash, on paths that are the same for every epoch: one path,
        as the validation window is, would say more of luck than of the network."""
        return self.trade(network, JUDGED, self.length, from_cash=True)

    def full(self, network: PortfolioNetwork, n: int, length: int) -> Tensor | None:
        """`[n, length, A]` weight of a full position, long-short."""
        if not network.short:
            return None
        device = next(network.parameters()).device
        shape = n, length, self.setting.market.n_assets
        return torch.full(shape, network.gross, dtype=torch.float64, device=device)


class FlatPortfolioPolicy:
    """A `PortfolioNetwork` as a `Policy` on `flat` observations, of one portfolio or of many."""

    observation = "flat"

    def __init__(self, name: str, network: PortfolioNetwork, market: PathMarket) -> None:
        self.name, self.network, self.market = name, network, market
        self.action = market.setting.action_map.name
        if network.short:
            gross, net = market.setting.action_map.settings()
            self.action_settings = {"gross": gross, "net": net}

    @torch.inference_mode()
    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = True,
    ) -> tuple[np.ndarray, Any]:
        """See `Policy.predict`."""
        market, network = self.market, self.network
        network.eval()
        n_assets = market.setting.market.n_assets
        device = next(network.parameters()).device
        rows = torch.from_numpy(np.array(observation, np.float32, ndmin=2)).to(device)
        x = rows[:, : -n_assets - 1].reshape(len(rows), market.window, n_assets, market.n_features)
        held = rows[:, -n_assets - 1 :].double()
        aim = network(x, market.full(network, len(rows), 1), None, held[:, None])
        rate = None if aim.rate is None else aim.rate[:, 0]
        action = towards(held, aim.weights[:, 0], rate, network.limit).cpu().numpy()
        if network.short:
            action = np.clip(action[:, :-1] / network.gross, -1.0, 1.0)
        return (action if np.ndim(observation) == 2 else action[0]), state
