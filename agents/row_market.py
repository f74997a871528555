"""A panel of prices for training by gradients: stretches of its rows, and what they earn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agents.path_market import Traded, check_action_map, in_cash
from envs.errors import InputError
from envs.market import kernel
from envs.market.legs import standing_prices
from envs.simulation import Setting
from networks.accounting import wealth_path
from networks.portfolio import Moves, PortfolioNetwork, towards
from networks.targets import ewma_volatility

Float = NDArray[np.float64]


class Rows:
    """A market as the network needs it: features, growth, costs, by row.

    Args:
        name: of the agent, for messages. setting: the rows that it learns on.
        volatility, leverage, see_costs: as in `agents.differentiable.Differentiable`.

    Attributes:
        inputs: `[T, A, F]` float32 features, and the cost over the volatility where asked for.
        full: `[T, A]` weight of a full position (long-short), else None.
        free: `[T, A]` bool, tradable at the close of the row, or None where all always are.

    Raises:
        InputError: for a setting that this way of learning cannot use.
    """

    def __init__(
        self,
        name: str,
        setting: Setting,
        *,
        volatility: float = 0.15,
        leverage: float = 5.0,
        see_costs: bool = False,
    ) -> None:
        costs = setting.costs
        check_action_map(name, setting)
        if setting.observation != "indexed":
            raise InputError(f"{name} reads rows of the panel: set env.observation=indexed")
        exact = costs.model == kernel.EXACT and costs.kinds == ("commission", "spread")
        whole = bool(np.isinf(costs.capacity).all()) and not costs.lots.any()
        plain = exact and whole and not costs.can_force
        if not plain or setting.delay:
            raise InputError(
                f"{name} is trained through proportional costs without delay; choose "
                "cost=proportional, schedule or free, and env.delay=0"
            )
        self.setting, self.name = setting, name
        self._how = {"volatility": volatility, "leverage": leverage, "see_costs": see_costs}
        market, n_rows = setting.market, setting.market.n_rows
        self.window = setting.window
        self.free = None if setting.mask is None else market.tradable
        features = setting.features.reshape(n_rows, market.n_assets, -1)
        sigma = ewma_volatility(standing_prices(market)[1], market.tradable)
        sigma *= math.sqrt(market.periods_per_year)
        # Under `same_close` a schedule has a row more, for forced sales after the last decision.
        rate = (costs.commission + costs.half_spread)[: n_rows - 1]
        rate = np.broadcast_to(rate, (n_rows - 1, market.n_assets))
        if see_costs:
            # What the last decision paid; what this one will pay is known at its execution.
            paid = np.vstack([rate[:1], rate])
            ratio = np.log10(np.maximum(paid, 1e-6) / np.maximum(sigma, 1e-6)) + 3.0
            ratio = np.where(np.isfinite(ratio), np.clip(ratio, -5.0, 5.0), 0.0)
            features = np.concatenate([features, ratio[..., None].astype(np.float32)], axis=2)
        self.inputs = features
        self.full: Float | None = None
        if setting.action_map.name == "long_short":
            known = np.isfinite(sigma) & market.tradable
            count = np.maximum(known.sum(axis=1, keepdims=True), 1)
            full = np.minimum(volatility / np.where(known, sigma, np.inf), leverage)
            self.full = np.where(known, full, 0.0) / count
        self.rate = rate

    def of(self, setting: Setting) -> Rows:
        """The rows of another setting, read in the same way."""
        return Rows(self.name, setting, **self._how)  # type: ignore[arg-type]

    @property
    def n_features(self) -> int:
        """Features of an asset in a row, the cost included."""
        return self.inputs.shape[2]

    def draw(self, rng: np.random.Generator, n: int, length: int) -> NDArray[Any]:
        """First rows of n stretches.

        Raises:
            InputError: if none fits.
        """
        first, last = self.setting.first, self.setting.last
        if last - first < length:
            raise InputError(
                f"agent.length={length} does not fit the {last - first} decisions of the training "
                "window; shorten it"
            )
        return rng.choice(last - first - length + 1, n) + first

    def judge(self, network: PortfolioNetwork, validation: Setting) -> Traded:
        """What the network earns on the validation rows, from cash."""
        first, last = validation.first, validation.last
        return self.trade(network, np.array([first]), last - first, from_cash=True)

    def _charged(self) -> Float:
        """`[T-1, A]` rates; what settles is paid out, and no trade is charged for it."""
        settles = self.setting.legs.settles
        if settles is None:
            return self.rate
        rate = np.array(self.rate)
        if self.setting.legs.before is None:
            # The holding becomes cash at the end of the step, after its trade.
            rate[1:][settles[:-1]] = 0.0
        else:
            rate[settles] = 0.0
        return rate

    @cached_property
    def _tensors(self) -> dict[str, Tensor | None]:
        """What a stretch is cut from, once."""
        setting = self.setting
        arrays: dict[str, Any] = {
            "inputs": self.inputs,
            "full": self.full,
            "free": self.free,
            "before": setting.legs.before,
            "after": setting.legs.after,
            "executed": setting.legs.tradable,
            "settles": setting.legs.settles,
            "rate": self._charged(),
            "cash": setting.legs.cash - 1.0,
            "benchmark": getattr(setting.legs, setting.reward.benchmark) - 1.0,
        }
        return {k: None if v is None else torch.from_numpy(np.array(v)) for k, v in arrays.items()}

    def trade(
        self, network: PortfolioNetwork, starts: Sequence[int] | NDArray, length: int,
        *, from_cash: bool,
    ) -> Traded:  # fmt: skip
        """What the network earns on `length` decisions from each of these rows on."""
        data = self._tensors
        device = next(network.parameters()).device
        first = torch.as_tensor(np.asarray(starts), dtype=torch.long)[:, None]
        rows = first + torch.arange(length)
        history = first + torch.arange(1 - self.window, length)

        def cut(name: str, index: Tensor) -> Tensor | None:
            whole = data[name]
            return None if whole is None else whole[index].to(device)

        inputs = cut("inputs", history)
        assert inputs is not None
        free = cut("free", rows)
        before, after = cut("before", rows), cut("after", rows)
        start = in_cash(len(inputs), inputs.shape[2], device) if from_cash else None
        moves = Moves(before, after, cut("executed", rows), cut("settles", rows))
        wanted, held = network.follow(inputs, start, moves, cut("full", rows), free)
        rate = cut("rate", rows)
        cash = cut("cash", rows)
        assert rate is not None and cash is not None
        path = wealth_path(wanted, held, before, after, rate, torch.zeros_like(rate))
        return Traded(path.net_return, path.turnover, cash, cut("benchmark", rows))


class PortfolioPolicy:
    """A `PortfolioNetwork` as a `Policy`: reads the row and the weights held, names weights."""

    observation = "indexed"

    def __init__(self, name: str, network: PortfolioNetwork, market: Rows) -> None:
        self.name = name
        self.network = network
        self.market = market
        self.action = market.setting.action_map.name
        if self.action == "long_short":
            gross, net = market.setting.action_map.settings()
            self.action_settings = {"gross": gross, "net": net}

    @property
    def panel(self) -> NDArray[np.float32]:
        """`[T, A * F]` the features of the setting whose rows it reads."""
        return self.market.setting.features

    def hold(self, features: NDArray[np.float32], setting: Setting | None = None) -> None:
        """Reads these features `[T, A * F]`, scaled as those of the training, from now on.

        Args:
            setting: whose prices and costs positions are scaled by, of the same rows; None where
                only features are exchanged.

        Raises:
            InputError: if the rows do not fit each other or the network.
        """
        setting = setting or self.market.setting
        wanted = (setting.market.n_rows, self.market.setting.features.shape[1])
        if features.shape != wanted:
            raise InputError(
                f"{self.name} reads features {wanted}, got {features.shape}; give hold() the "
                "features and the setting of the same rows and assets"
            )
        self.market = self.market.of(replace(setting, features=features))

    @torch.inference_mode()
    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = True,
    ) -> tuple[np.ndarray, Any]:
        """See `Policy.predict`: one decision, from the window that ends at the row."""
        market, t = self.market, int(observation["t"][0])
        device = next(self.network.parameters()).device
        self.network.eval()
        window = torch.from_numpy(market.inputs[t - market.window + 1 : t + 1].copy())[None]

        def row(array: NDArray | None) -> Tensor | None:
            return (
                None if array is None else torch.from_numpy(array[t].copy())[None, None].to(device)
            )

        held = torch.from_numpy(np.array(observation["weights"], np.float64)).to(device)
        aim = self.network(window.to(device), row(market.full), row(market.free), held[None, None])
        rate = None if aim.rate is None else aim.rate[0, 0]
        target = towards(held, aim.weights[0, 0], rate, self.network.limit).cpu().numpy()
        if self.action == "simplex":
            return target, state
        gross = self.market.setting.action_map.gross_limit
        return np.clip(target[:-1] / gross, -1.0, 1.0), state
