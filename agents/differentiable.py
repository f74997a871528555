"""A policy network trained end to end through the market, on what it earns net of its costs.

No reward is sampled and no value is estimated: the accounting of the market is differentiable
(`networks.accounting`), so the gradient of, say, the Sharpe ratio of a stretch of days reaches
every weight of the network through every trade and its cost. It works because the portfolio is too
small to move the prices, which are then data (Moody and Saffell 2001; Jiang, Xu and Liang 2017;
Zhang, Zohren and Roberts 2020; with volatility scaling Lim, Zohren and Roberts 2019).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agents.gradient_training import Progress, train_epochs
from agents.learner import Trained
from agents.path_market import MAPS, FlatPortfolioPolicy, PathMarket, Traded
from envs.data.arguments import number, truth_value, whole_number
from envs.errors import InputError
from envs.market import kernel
from envs.market.legs import standing_prices
from envs.simulation import Setting
from networks.accounting import wealth_path
from networks.losses import FinancialLoss
from networks.portfolio import PortfolioNetwork, targets, towards
from networks.predictors import InputShape, make_predictor
from networks.targets import ewma_volatility

Float = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Differentiable:
    """Settings of a network that is trained through the market.

    A training looks at stretches of `length` consecutive decisions; each begins at a random place,
    in the portfolio that the network wants there. Their returns, net of the costs of the setting,
    go into the loss together. After every epoch the network trades the validation rows, from cash,
    and the epoch that did best there is kept.

    Where the market is simulated and `env.fresh_paths` is on, every stretch is a path of its own
    and epochs are judged on paths that no training sees (`agents.path_market`).

    Attributes:
        name: of the agent, in tables and folders.
        predictor, predictor_settings: the encoder (`networks.predictors`).
        loss: measure -> weight (`networks.losses.FinancialLoss`).
        length: decisions in a stretch. batch_size: stretches in an update.
        epochs: at most. updates: in an epoch; None: stretches that cover the training rows twice.
        patience, min_delta: epochs without an improvement of more than `min_delta` on validation
            after which the training ends; the best of all is kept, by however little.
        learning_rate, weight_decay, gradient_clip: of Adam, its L2 penalty, the norm of a gradient.
        patient: whether the network also says how much of the way to trade (`PortfolioNetwork`).
        joint: whether the network reads each asset with the features of all and can tell them apart
            (`networks.portfolio.joint_inputs`).
        volatility: long-short: of a full position in one asset, a year, before the positions are
            shared out: its weight is `volatility / volatility of the asset / number of assets`.
        leverage: long-short: the largest such weight, times the number of assets.
        see_costs: whether the cost of an asset over its volatility is a feature more.
        checkpoint_every: epochs. torch_threads: bits of the result may depend on it.
        device: `cpu`, `cuda` or `cuda:N`.

    Raises:
        InputError: for a setting that no training could use.
    """

    name: str = "differentiable"
    predictor: str = "lstm"
    predictor_settings: Mapping[str, Any] = field(default_factory=dict)
    loss: Mapping[str, float] = field(default_factory=lambda: {"sharpe": 1.0})
    length: int = 126
    batch_size: int = 8
    epochs: int = 30
    updates: int | None = None
    patience: int = 10
    min_delta: float = 1e-3
    keep: str = "best"
    learning_rate: float = 3e-3
    anneal: bool = False
    weight_decay: float = 0.0
    gradient_clip: float = 1.0
    patient: bool = True
    joint: bool = False
    volatility: float = 0.15
    leverage: float = 5.0
    see_costs: bool = False
    checkpoint_every: int = 1
    torch_threads: int = 1
    device: str = "cpu"

    def __post_init__(self) -> None:
        for key in ("length", "batch_size", "epochs", "patience", "checkpoint_every"):
            whole_number(getattr(self, key), f"agent.{key}", 2 if key == "length" else 1)
        whole_number(self.torch_threads, "agent.torch_threads", 1)
        if self.updates is not None:
            whole_number(self.updates, "agent.updates", 1)
        for key in ("patient", "joint", "anneal", "see_costs"):
            truth_value(getattr(self, key), f"agent.{key}")
        if self.keep not in ("best", "last"):
            raise InputError(f"unknown agent.keep {self.keep!r}; known: best, last")
        for key in ("learning_rate", "gradient_clip", "volatility", "leverage"):
            if not 0 < number(getattr(self, key), f"agent.{key}") < math.inf:
                raise InputError(f"agent.{key} must be above 0, got {getattr(self, key)}")
        for key in ("weight_decay", "min_delta"):
            if not 0 <= number(getattr(self, key), f"agent.{key}") < math.inf:
                raise InputError(f"agent.{key} must be 0 or more, got {getattr(self, key)}")
        self.objective(252.0)

    @property
    def trained_steps(self) -> int:
        """The progress bar counts epochs."""
        return self.epochs

    def objective(self, periods_per_year: float, risk_aversion: float = 1.0) -> FinancialLoss:
        try:
            return FinancialLoss(dict(self.loss), periods_per_year, risk_aversion=risk_aversion)
        except ValueError as error:
            raise InputError(f"agent.loss: {error}") from None

    def train(self, training: Setting, validation: Setting, *, seed: int, folder: Path,
              **progress: Any) -> Trained:  # fmt: skip
        """See `agents.learner.Learner.train`."""
        torch.set_num_threads(self.torch_threads)
        market: Rows | PathMarket
        if training.fresh is None:
            market = Rows(self, training)
        else:
            market = PathMarket(self.name, training, self.length)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            network = self.network(training, market.n_features)
        policy: PortfolioPolicy | FlatPortfolioPolicy
        if isinstance(market, Rows):
            policy = PortfolioPolicy(self.name, network, market)
        else:
            policy = FlatPortfolioPolicy(self.name, network, market)
        rows = training.last - training.first
        per_epoch = self.updates or max(1, round(2 * rows / self.length / self.batch_size))
        loss = self.objective(training.market.periods_per_year, training.reward.risk_aversion)

        def step(rng: np.random.Generator) -> Tensor:
            starts = market.draw(rng, self.batch_size, self.length)
            path = market.trade(network, starts, self.length, from_cash=False)
            return loss(path.net_return, turnover=path.turnover, cash=path.cash)

        def score() -> float:
            path = market.judge(network, validation)
            return -float(loss(path.net_return, turnover=path.turnover, cash=path.cash))

        return train_epochs(
            self, network, policy, step, per_epoch, score, seed, folder, Progress(**progress)
        )

    def network(self, setting: Setting, n_features: int) -> PortfolioNetwork:
        """An untrained network for the windows of this setting."""
        n_assets = setting.market.n_assets
        if self.joint:
            # No groups: their slices are of the features of one asset.
            shape = InputShape(setting.window, n_assets, n_assets * n_features + n_assets)
        else:
            shape = InputShape(setting.window, n_assets, n_features, setting.groups)
        if not shape.n_features:
            raise InputError(
                f"{self.name} has nothing to read: choose other features, or agent.joint=true, "
                "with which it sees at least which asset it is"
            )
        short = setting.action_map.name == "long_short"
        try:
            predictor = make_predictor(self.predictor, shape, **self.predictor_settings)
        except ValueError as error:
            raise InputError(f"agent.predictor_settings: {error}") from None
        return PortfolioNetwork(
            predictor,
            short=short,
            gross=setting.action_map.gross_limit,
            patient=self.patient,
            joint=self.joint,
        ).to(self.device)


class Rows:
    """A market as the network needs it: features, growth, costs, by row.

    Attributes:
        inputs: `[T, A, F]` float32 features, and the cost over the volatility where asked for.
        full: `[T, A]` weight of a full position (long-short), else None.
        free: `[T, A]` bool, tradable at the close of the row, or None where all always are.

    Raises:
        InputError: for a setting that this way of learning cannot use.
    """

    def __init__(self, agent: Differentiable, setting: Setting) -> None:
        costs = setting.costs
        if setting.action_map.name not in MAPS:
            raise InputError(
                f"{agent.name} names weights: it needs env.action=simplex or env=long_short, got "
                f"{setting.action_map.name}"
            )
        if setting.observation != "indexed":
            raise InputError(f"{agent.name} reads rows of the panel: set env.observation=indexed")
        plain = costs.model == kernel.EXACT and costs.kinds == ("commission", "spread")
        if not plain or setting.delay:
            raise InputError(
                f"{agent.name} is trained through proportional costs without delay; choose "
                "cost=proportional, schedule or free, and env.delay=0"
            )
        self.setting = setting
        market, n_rows = setting.market, setting.market.n_rows
        self.window = setting.window
        self.free = None if setting.mask is None else market.tradable
        features = setting.features.reshape(n_rows, market.n_assets, -1)
        volatility = ewma_volatility(standing_prices(market)[1], market.tradable)
        volatility *= math.sqrt(market.periods_per_year)
        rate = np.broadcast_to(costs.commission + costs.half_spread, (n_rows - 1, market.n_assets))
        if agent.see_costs:
            # What the last decision paid; what this one will pay is known at its execution.
            paid = np.vstack([rate[:1], rate])
            ratio = np.log10(np.maximum(paid, 1e-6) / np.maximum(volatility, 1e-6)) + 3.0
            ratio = np.where(np.isfinite(ratio), np.clip(ratio, -5.0, 5.0), 0.0)
            features = np.concatenate([features, ratio[..., None].astype(np.float32)], axis=2)
        self.inputs = features
        self.full: Float | None = None
        if setting.action_map.name == "long_short":
            known = np.isfinite(volatility) & market.tradable
            count = np.maximum(known.sum(axis=1, keepdims=True), 1)
            full = np.minimum(
                agent.volatility / np.where(known, volatility, np.inf), agent.leverage
            )
            self.full = np.where(known, full, 0.0) / count
        self.rate = rate

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
            "rate": self.rate,
            "cash": setting.legs.cash - 1.0,
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
        aim = network(inputs, cut("full", rows), free)
        held = torch.zeros_like(aim.weights[:, 0])
        held[:, -1] = 1.0
        if not from_cash:
            held = aim.weights[:, 0]
        before, after = cut("before", rows), cut("after", rows)
        wanted = targets(aim, held, after, free)
        rate = cut("rate", rows)
        cash = cut("cash", rows)
        assert rate is not None and cash is not None
        path = wealth_path(wanted, held, before, after, rate, torch.zeros_like(rate))
        return Traded(path.net_return, path.turnover, cash)


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

        aim = self.network(window.to(device), row(market.full), row(market.free))
        held = torch.from_numpy(np.array(observation["weights"], np.float64)).to(device)
        rate = None if aim.rate is None else aim.rate[0, 0]
        target = towards(held, aim.weights[0, 0], rate).cpu().numpy()
        if self.action == "simplex":
            return target, state
        gross = self.market.setting.action_map.gross_limit
        return np.clip(target[:-1] / gross, -1.0, 1.0), state
