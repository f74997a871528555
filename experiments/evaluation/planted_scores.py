"""What predictors find of a planted signal, and of pure noise."""

from __future__ import annotations

import inspect
import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from envs.data.arguments import whole_number
from envs.errors import InputError
from experiments.evaluation.planted import GROUPS, REACH, Planted, plant

if TYPE_CHECKING:
    from networks.fit_settings import FitSettings
    from networks.predictors import Predictor

WINDOW = REACH + 1
# Of the rows of a planted market: the first are without a volatility to measure returns by.
SKIPPED, TRAINING, VALIDATION = 60, 0.5, 0.6
# Correlation of the planted signal with the next return.
STRENGTH = 0.8
ROWS, ASSETS = 4_000, 16
LEAST_ROWS = 600
SEEDS, EPOCHS = 3, 6


@dataclass(frozen=True)
class Score:
    """What a predictor knows of held-out rows.

    Attributes:
        accuracy: share of right directions, up or down. n: forecasts that it is a share of.
        r2: of the expected next return, against a forecast of 0.
        parameters: numbers that are learned; None of trees, whose size the data decide.
        seconds: of training, of this process alone.
    """

    accuracy: float
    n: int
    r2: float
    parameters: int | None
    seconds: float

    def interval(self, level: float) -> tuple[float, float]:
        """Of the accuracy, by Clopper and Pearson (1934); directions are independent."""
        from scipy.stats import binomtest

        found = binomtest(round(self.accuracy * self.n), self.n).proportion_ci(level, "exact")
        return float(found.low), float(found.high)

    def direction_share(self, planted: Planted) -> float:
        """How far the accuracy lies from chance to the best possible: 0 to 1."""
        return (self.accuracy - 0.5) / (planted.best_accuracy - 0.5)

    def r2_share(self, planted: Planted) -> float:
        """R² over the best possible one."""
        return self.r2 / planted.best_r2


def budget(epochs: int = EPOCHS) -> FitSettings:
    """The training that all networks get here."""
    from networks.fit_settings import FitSettings

    return FitSettings(
        epochs=epochs, batch_size=32, learning_rate=7e-3, patience=epochs, reduce_patience=0
    )


def measure(name: str, planted: Planted, seed: int, epochs: int = EPOCHS) -> Score:
    """Trains a predictor on the first half of a market and judges it on the last two fifths.

    Networks have the settings of the catalogue, without dropout.

    Args:
        name: of the predictor. planted: the market. seed: of the first parameters and the order.
        epochs: of networks.
    """
    import torch

    from networks.fitting import fit
    from networks.judging import forecasts
    from networks.predictors import PREDICTORS, Baseline, InputShape, make_predictor
    from networks.targets import make_targets, usable_rows
    from networks.windows import WindowDataset

    n_rows, n_assets, n_features = planted.panel.shape
    # The signal of row t is one of the return from its close to the next.
    targets = make_targets(planted.close, execution="same_close", threshold=0.0)
    bounds = (SKIPPED, int(TRAINING * n_rows), int(VALIDATION * n_rows), n_rows)
    train, validation, test = (
        usable_rows(part, targets.reach, WINDOW) for part in itertools.pairwise(bounds)
    )
    has = inspect.signature(PREDICTORS[name]).parameters
    settings = {"dropout": 0.0} if "dropout" in has else {}
    began = time.process_time()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        shape = InputShape(WINDOW, n_assets, n_features, GROUPS)
        predictor = make_predictor(name, shape, **settings)
        if isinstance(predictor, Baseline):
            predictor.fit(planted.panel, targets, train, validation)
        else:
            fit(
                predictor, planted.panel, targets, train, validation,
                settings=budget(epochs), seed=seed,
            )  # fmt: skip
    seconds = time.process_time() - began
    up, expected = [], []
    for _, forecast in forecasts(
        predictor, WindowDataset(planted.panel, test, WINDOW, targets), 256
    ):
        up.append(forecast.direction[..., 2] > forecast.direction[..., 0])
        expected.append(forecast.expected_return[..., 0])
    returns = targets.raw_return[test][..., 0]
    errors = returns - torch.cat(expected).double().numpy() * targets.volatility[test]
    return Score(
        accuracy=float(((returns > 0) == torch.cat(up).numpy()).mean()),
        n=returns.size,
        r2=1.0 - float(np.square(errors).sum() / np.square(returns).sum()),
        parameters=n_parameters(predictor),
        seconds=seconds,
    )


def n_parameters(predictor: Predictor) -> int | None:
    """Numbers that a predictor learns; None of trees, whose size the data decide."""
    from networks.predictors.boosting import GradientBoosting

    if isinstance(predictor, GradientBoosting):
        return None
    return sum(parameter.numel() for parameter in predictor.parameters())


# ---------------------------------------------------------------------- measurement
@dataclass(frozen=True)
class Row:
    """One predictor over several seeds; a seed decides about the market, too.

    Attributes:
        signal, noise: by seed: with the planted signal, and without any.
    """

    name: str
    signal: list[Score]
    noise: list[Score]


def measure_all(
    names: Sequence[str],
    *,
    seeds: int = SEEDS,
    rows: int = ROWS,
    assets: int = ASSETS,
    strength: float = STRENGTH,
    epochs: int = EPOCHS,
    advance: Callable[[int], None] | None = None,
) -> list[Row]:
    """Every predictor on the same markets.

    Args:
        names: of predictors. seeds: markets of each kind, seeds 0, 1, ...
        rows, assets: of each market. strength: of the signal.
        epochs: of networks.
        advance: called with the number of trainings done since the last call.

    Raises:
        InputError: for a name or a number that cannot be.
    """
    from networks.predictors import PREDICTORS

    unknown = sorted(set(names) - set(PREDICTORS))
    if unknown:
        raise InputError(f"unknown predictor {unknown[0]!r}; known: {', '.join(PREDICTORS)}")
    whole_number(seeds, "seeds", 1)
    whole_number(rows, "rows", LEAST_ROWS)
    whole_number(epochs, "epochs", 1)
    found = [Row(name, [], []) for name in names]
    for seed in range(seeds):
        for kind, correlation in (("signal", strength), ("noise", 0.0)):
            market = plant(n_rows=rows, n_assets=assets, strength=correlation, seed=seed)
            for row in found:
                getattr(row, kind).append(measure(row.name, market, seed, epochs))
                if advance is not None:
                    advance(1)
    return found


def pooled(scores: Sequence[Score]) -> Score:
    """Scores of several markets of one size as one."""
    return replace(
        scores[0],
        accuracy=float(np.mean([s.accuracy for s in scores])),
        n=sum(s.n for s in scores),
        r2=float(np.mean([s.r2 for s in scores])),
        seconds=float(np.mean([s.seconds for s in scores])),
    )


def noise_level(n_predictors: int) -> float:
    """Of each interval, so that all of them cover the truth together with 95 % (Bonferroni)."""
    return 1.0 - 0.05 / n_predictors
