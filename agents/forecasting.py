"""Forecasting first, allocating second: any predictor with any allocator is a learner.

    panel -> predictor -> forecast of every asset -> allocator -> weights

The predictor learns from labels, not from money: `networks.fitting` trains it on the rows of the
training setting and keeps the epoch of the lowest loss on validation. The labels are returns from
the price of the **execution** on (`networks.targets`): under `next_close` a decision of row t is
executed at the close of row t + 1, and what it can earn begins there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from agents.allocators import Allocator, make_allocator
from agents.forecast_policy import ForecastPolicy
from agents.learner import MODEL, Advance, Log, Trained
from envs.data.arguments import number
from envs.errors import InputError
from envs.market.legs import standing_prices
from envs.simulation import Setting
from networks.fit_settings import FitSettings
from networks.objective import Objective
from networks.predictors import PREDICTORS, Baseline, InputShape, Predictor, make_predictor
from networks.targets import LEAST_VOLATILITY, Targets, make_targets, usable_rows
from networks.tensor_file import read_tensors, write_tensors
from networks.windows import as_panel

# Rows that a baseline is judged on at once.
CHUNK = 256
# The head that is calibrated on validation rows.
CALIBRATED = ("heads.confidence.weight", "heads.confidence.bias")


@dataclass(frozen=True, kw_only=True)
class Forecasting(FitSettings):
    """Settings of a predictor that is trained on labels and of the allocator that acts on it.

    The settings of `networks.fit_settings.FitSettings` are those of its training. The baselines
    `linear` and `gradient_boosting` are fitted by scikit-learn; of those settings they use none.

    Attributes:
        name: of the agent, in tables and folders; empty: that of the predictor.
        predictor, predictor_settings: of `networks.predictors.PREDICTORS`.
        allocator, allocator_settings: of `agents.allocators.ALLOCATORS`.
        threshold: a move of less than so many of its own volatilities is `hold`; at 0 there are
            but up and down.

    Raises:
        InputError: for a setting that no training could use.
    """

    name: str = ""
    predictor: str = "lstm"
    predictor_settings: Mapping[str, Any] = field(default_factory=dict)
    allocator: str = "top_k"
    allocator_settings: Mapping[str, Any] = field(default_factory=dict)
    threshold: float = 0.25

    def __post_init__(self) -> None:
        with said("agent."):
            # Of a recipe it comes as a mapping: an objective of Hydra's making would not say whose
            # it is.
            if isinstance(self.objective, Mapping):
                object.__setattr__(self, "objective", _objective(self.objective))
            super().__post_init__()
        for key in ("predictor_settings", "allocator_settings"):
            _check_mapping(key, getattr(self, key))
        if not isinstance(self.predictor, str) or self.predictor not in PREDICTORS:
            # Its message has the known names; the shape does not matter.
            with said("agent.predictor: "):
                make_predictor(self.predictor, InputShape(1, 1, 1))
        if number(self.threshold, "agent.threshold") < 0:
            raise InputError(
                f"agent.threshold must be 0 or more, in units of volatility, got {self.threshold!r}"
            )
        if not self.name:
            object.__setattr__(self, "name", self.predictor)
        self.make_allocator()

    @property
    def trained_steps(self) -> int:
        """The progress bar counts epochs."""
        return self.epochs

    @property
    def fit_settings(self) -> FitSettings:
        """Those of the training alone."""
        return FitSettings(**{f.name: getattr(self, f.name) for f in fields(FitSettings)})

    def make_allocator(self) -> Allocator:
        return make_allocator(self.allocator, **self.allocator_settings)

    def make_predictor(self, setting: Setting) -> Predictor:
        """An untrained predictor for the windows of this setting."""
        n_assets = setting.market.n_assets
        shape = InputShape(setting.window, n_assets, setting.n_features, setting.groups)
        with said("agent.predictor_settings: "):
            return make_predictor(self.predictor, shape, **self.predictor_settings)

    def targets(self, setting: Setting, n_rows: int | None = None) -> Targets:
        """The labels of all rows of the panel, as this setting executes.

        Args:
            n_rows: only the first so many rows are read, and labelled; None: all.
        """
        market, legs = setting.market.rows(0, n_rows or setting.market.n_rows), setting.legs
        if legs.before is None:
            execution = "same_close"
        else:
            execution = "next_close" if legs.after is None else "next_open"
        with said(""):
            return make_targets(
                market.close,
                execution=execution,
                delay=setting.delay,
                open=market.open,
                tradable=market.tradable,
                threshold=self.threshold,
            )

    def rows(
        self, training: Setting, validation: Setting, targets: Targets
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Decision rows to learn from and to choose by.

        Labels lie within their own window of the split, whatever was purged between them, and no
        window of validation has a row of the training's in it.

        Raises:
            InputError: naming the window that is too short.
        """
        with said("training window: "):
            learned = usable_rows((training.first, training.last + 1), targets.reach)
        first = max(validation.first, int(learned[-1]) + max(targets.reach + 1, training.window))
        with said("validation window: "):
            chosen = usable_rows((first, validation.last + 1), targets.reach)
        return learned, chosen

    def train(
        self,
        training: Setting,
        validation: Setting,
        *,
        seed: int,
        folder: Path,
        log: Log | None = None,
        advance: Advance | None = None,
        resumed: Callable[[int], None] | None = None,
    ) -> Trained:
        """See `agents.learner.Learner.train`. The curve is minus the loss: more is better."""
        self._refuse(training, validation)
        torch.set_num_threads(self.torch_threads)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            predictor = self.make_predictor(training)
        targets = self.targets(training)
        rows = self.rows(training, validation, targets)
        for where, part in zip(("training", "validation"), rows, strict=True):
            self._refuse_still(training, targets, part, where)
        if isinstance(predictor, Baseline):
            curve, best = self._fit_baseline(predictor, training, targets, rows, folder)
            # Validation rows chose the penalty, or the number of trees, of everything.
            decided = (*predictor.state_dict(), "train_reward")
            if advance is not None:
                advance(self.epochs, {})
        else:
            curve, best = self._fit(
                predictor, training, targets, rows, folder, seed,
                {"log": log, "advance": advance, "resumed": resumed},
            )  # fmt: skip
            decided = CALIBRATED
        policy = ForecastPolicy(self.name, predictor, self.make_allocator(), training)
        return Trained(policy, curve, best, by_validation=decided)

    def _refuse(self, training: Setting, validation: Setting) -> None:
        if training.observation != "indexed":
            raise InputError(
                f"{self.name} reads rows of the panel: set env.observation=indexed (and on a "
                "simulated market env.fresh_paths=false)"
            )
        if not training.n_features:
            raise InputError(f"{self.name} needs features to read; choose features=default")
        allocator = self.make_allocator()
        if allocator.hold_below and training.action_map.name != "trade":
            raise InputError(
                f"agent.allocator_settings.hold_below={allocator.hold_below:g} needs "
                f"env.action=trade, whose actions are orders: those of "
                f"{training.action_map.name} name weights, and what prices moved until the "
                "execution would be traded back; set env.action=trade, or leave hold_below at 0"
            )
        needed = allocator.history
        if validation.first < needed:
            raise InputError(
                f"agent.allocator={self.allocator} needs {needed} past returns, and validation "
                f"begins at row {validation.first}; shorten agent.allocator_settings.window"
            )

    def _refuse_still(
        self, setting: Setting, targets: Targets, rows: NDArray[np.int64], where: str
    ) -> None:
        """Refuses rows on which no price has ever moved, and no target is known for that."""
        if np.isfinite(targets.volatility[rows]).any():
            return
        close = standing_prices(setting.market)[1][: int(rows[-1]) + 1]
        moves = np.abs(close[1:] / close[:-1] - 1.0)
        if not (moves > LEAST_VOLATILITY).any():
            raise InputError(
                f"{self.name}: no price moves up to the last row of the {where} window, so that no "
                "return has a volatility to be measured in, and there is nothing to forecast; "
                "choose other symbols, or another market"
            )

    def _about(self) -> dict[str, Any]:
        """What decides about the parameters beside `FitSettings`."""
        return {
            "name": self.predictor,
            "settings": dict(self.predictor_settings),
            "threshold": self.threshold,
        }

    def _fit(
        self, predictor: Predictor, setting: Setting, targets: Targets, rows: Any, folder: Path,
        seed: int, progress: dict[str, Any],
    ) -> tuple[dict[str, list[float]], int]:  # fmt: skip
        """By gradient descent; the curve and the epoch that was kept."""
        from networks.fitting import fit

        with said(""):
            fitted = fit(
                predictor,
                as_panel(_panel(setting)),
                targets,
                *rows,
                settings=self.fit_settings,
                seed=seed,
                folder=folder,
                feature_names=setting.feature_names,
                symbols=setting.market.symbols,
                about=self._about(),
                **progress,
            )
        losses = fitted.curve
        curve = {
            "steps": losses["steps"],
            "train_reward": [-x for x in losses["training"]],
            "validation": [-x for x in losses["validation"]],
        }
        return curve, fitted.best_step

    def _fit_baseline(
        self, predictor: Baseline, setting: Setting, targets: Targets, rows: Any, folder: Path
    ) -> tuple[dict[str, list[float]], int]:
        """By scikit-learn, in one go; the curve is one point, the loss on validation."""
        from networks.finite import Guard
        from networks.judging import judge
        from networks.windows import WindowDataset

        about = json.loads(json.dumps(self._about()))
        path = folder / MODEL
        with said(""):
            if path.exists():
                parameters, facts = read_tensors(path)
                if facts.get("predictor") != about:
                    raise InputError(
                        f"{path} was trained with {facts.get('predictor')}, this run asks for "
                        f"{about}; use another run folder, or delete the file to train anew"
                    )
                predictor.load_state_dict(parameters)
                return facts["curve"], 1
            panel = as_panel(_panel(setting))
            predictor.fit(panel, targets, *rows)
            guard = Guard(setting.feature_names, setting.market.symbols)
            losses = [
                judge(
                    predictor,
                    WindowDataset(panel, part, setting.window, targets),
                    self.objective,
                    CHUNK,
                    guard,
                    where,
                ).loss
                for part, where in zip(rows, ("training rows", "validation rows"), strict=True)
            ]
        curve = {"steps": [1.0], "train_reward": [-losses[0]], "validation": [-losses[1]]}
        facts = {"predictor": about, "curve": curve, "best_step": 1}
        with said(""):
            write_tensors(path, predictor.state_dict(), facts)
        return curve, 1


def _panel(setting: Setting) -> NDArray[np.float32]:
    """`[T, A, F]`, a view."""
    return setting.features.reshape(len(setting.features), setting.market.n_assets, -1)


def _check_mapping(key: str, value: Any) -> None:
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise InputError(
            f"agent.{key} must be a mapping of names to values, {{}} for none, got {value!r}"
        )


def _objective(settings: Mapping[str, Any]) -> Objective:
    """The objective of these settings."""
    known = [f.name for f in fields(Objective)]
    for key in settings:
        if key not in known:
            raise InputError(f"agent.objective has no {key}. Known: {', '.join(known)}")
    return Objective(**settings)


@contextmanager
def said(before: str) -> Iterator[None]:
    """Hands on what networks refuse as the error of an input, with words before the message."""
    try:
        yield
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"{before}{error}") from error
