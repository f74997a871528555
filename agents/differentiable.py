"""A policy network trained end to end through the market, on what it earns net of its costs.

No reward is sampled and no value is estimated: the accounting of the market is differentiable
(`networks.accounting`), so the gradient of, say, the Sharpe ratio of a stretch of days reaches
every weight of the network through every trade and its cost. It works because the portfolio is too
small to move the prices, which are then data (Moody and Saffell 2001; Jiang, Xu and Liang 2017;
Zhang, Zohren and Roberts 2020; with volatility scaling Lim, Zohren and Roberts 2019).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from agents.gradient_training import Progress, train_epochs
from agents.learner import Trained
from agents.path_market import FlatPortfolioPolicy, PathMarket, Traded
from agents.row_market import PortfolioPolicy, Rows
from envs.data.arguments import number, truth_value, whole_number
from envs.errors import InputError
from envs.simulation import Setting
from networks.losses import FinancialLoss
from networks.memory import keep_memory
from networks.portfolio import PortfolioNetwork
from networks.predictors import PREDICTORS, Baseline, InputShape, make_predictor

# Those that read rows in order are trained on whole stretches, and decide on one window: with a
# shorter one they would decide on a past that is hardly that of the training.
LEAST_WINDOW = 10


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
        loss: measure -> weight, None for none (`networks.losses.FinancialLoss`). `mean_variance`
            takes the risk aversion of the reward.
        length: decisions in a stretch. batch_size: stretches in an update.
        epochs: at most. updates: in an epoch; None: stretches that cover the training rows twice.
        patience, min_delta: epochs without an improvement of more than `min_delta` on validation
            after which the training ends; the best of all is kept, by however little.
        learning_rate, weight_decay, gradient_clip: of Adam, its L2 penalty, the norm of a gradient.
        patient: whether the network also says how much of the way to trade (`PortfolioNetwork`).
        joint: whether the network reads each asset with the features of all and can tell them apart
            (`networks.portfolio.joint_inputs`). memory: whether the score of an asset also reads
            the weight held in it.
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
    loss: Mapping[str, float | None] = field(default_factory=lambda: {"sharpe": 1.0})
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
    memory: bool = False
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
        for key in ("patient", "joint", "memory", "anneal", "see_costs"):
            truth_value(getattr(self, key), f"agent.{key}")
        if self.keep not in ("best", "last"):
            raise InputError(f"unknown agent.keep {self.keep!r}; known: best, last")
        for key in ("learning_rate", "gradient_clip", "volatility", "leverage"):
            if not 0 < number(getattr(self, key), f"agent.{key}") < math.inf:
                raise InputError(f"agent.{key} must be above 0, got {getattr(self, key)}")
        if self.predictor not in PREDICTORS:
            try:
                # Its message has the known names; the shape does not matter.
                make_predictor(self.predictor, InputShape(1, 1, 1))
            except ValueError as error:
                raise InputError(f"agent.predictor: {error}") from None
        for key in ("predictor_settings", "loss"):
            if not isinstance(getattr(self, key), Mapping):
                raise InputError(f"agent.{key} must be a mapping, got {getattr(self, key)!r}")
        if not re.fullmatch(r"cpu|cuda(:\d+)?", str(self.device)):
            raise InputError(f"agent.device must be cpu, cuda or cuda:N, got {self.device!r}")
        for key in ("weight_decay", "min_delta"):
            if not 0 <= number(getattr(self, key), f"agent.{key}") < math.inf:
                raise InputError(f"agent.{key} must be 0 or more, got {getattr(self, key)}")
        self.objective(252.0)

    @property
    def trained_steps(self) -> int:
        """The progress bar counts epochs."""
        return self.epochs

    @property
    def decisions(self) -> int:
        """Days that a training on fresh paths sees; 0 where that depends on the training window."""
        return self.epochs * (self.updates or 0) * self.batch_size * self.length

    def objective(self, periods_per_year: float, risk_aversion: float = 1.0) -> FinancialLoss:
        """The loss.

        Raises:
            InputError: for a measure that is not known, or a weight that is none.
        """
        try:
            weights = {name: weight for name, weight in self.loss.items() if weight is not None}
            return FinancialLoss(weights, periods_per_year, risk_aversion=risk_aversion)
        except ValueError as error:
            raise InputError(f"agent.loss: {error}") from None

    def train(self, training: Setting, validation: Setting, *, seed: int, folder: Path,
              **progress: Any) -> Trained:  # fmt: skip
        """See `agents.learner.Learner.train`."""
        torch.set_num_threads(self.torch_threads)
        keep_memory()
        market: Rows | PathMarket
        if training.fresh is None:
            market = Rows(
                self.name,
                training,
                volatility=self.volatility,
                leverage=self.leverage,
                see_costs=self.see_costs,
            )
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

        def earned(path: Traded) -> Tensor:
            return loss(
                path.net_return,
                turnover=path.turnover,
                cash=path.cash,
                benchmark=path.benchmark,
            )

        def step(rng: np.random.Generator) -> Tensor:
            starts = market.draw(rng, self.batch_size, self.length)
            path = market.trade(network, starts, self.length, from_cash=False)
            return earned(path)

        def score() -> float:
            path = market.judge(network, validation)
            return -float(earned(path))

        return train_epochs(
            self, network, policy, step, per_epoch, score, seed, folder, Progress(**progress)
        )

    def network(self, setting: Setting, n_features: int) -> PortfolioNetwork:
        """An untrained network for the windows of this setting.

        Args:
            n_features: of an asset in a row, as the market of the training has them.

        Raises:
            InputError: for a predictor, or a window, that this way of learning cannot use.
        """
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
        if isinstance(predictor, Baseline):
            raise InputError(
                f"agent.predictor={self.predictor} is fitted to labels and has no gradient; choose "
                "a network, or agent=forecasting"
            )
        if predictor.ordered and setting.window < LEAST_WINDOW:
            raise InputError(
                f"agent.predictor={self.predictor} reads rows in order, and a decision shows it "
                f"env.window={setting.window} of them: in training it would have seen many more; "
                f"set env.window={LEAST_WINDOW} or longer"
            )
        return PortfolioNetwork(
            predictor,
            short=short,
            gross=setting.action_map.gross_limit,
            patient=self.patient,
            joint=self.joint,
            memory=self.memory,
        ).to(self.device)
