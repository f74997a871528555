"""`fit`: trains a predictor on rows of a panel, and goes on where it was interrupted."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from networks.calibration import calibrate_head, platt
from networks.finite import Guard
from networks.fit_settings import FitSettings
from networks.judging import forecasts
from networks.objective import was_right
from networks.predictors.base import Predictor
from networks.predictors.baselines import Baseline
from networks.targets import Targets, check_apart
from networks.tensor_file import Tensors, read_tensors, write_tensors
from networks.windows import WindowDataset

__all__ = ["CHECKPOINT", "MODEL", "FitSettings", "Fitted", "fit"]

CHECKPOINT = "checkpoint.safetensors"
MODEL = "model.safetensors"
# What a model's file says of its training besides how it was asked for.
LEFT = ("curve", "best_step", "calibration")
Report = Callable[[int, dict[str, float]], None]


@dataclass(frozen=True, eq=False)
class Fitted:
    """What a training leaves.

    Attributes:
        predictor: with the parameters of the lowest validation loss, confidence calibrated; in
            evaluation mode, on the CPU.
        curve: equally long lists by epoch: `steps` (1, 2, ...), `training` and `validation` loss,
            `learning_rate`.
        best_step: the epoch of the lowest validation loss.
        calibration: slope and intercept by which the logit of confidence was corrected on the
            validation rows; they are part of the predictor's parameters already.
    """

    predictor: Predictor
    curve: dict[str, list[float]]
    best_step: int
    calibration: tuple[float, float]


def fit(
    predictor: Predictor,
    panel: Tensor | NDArray[np.float32],
    targets: Targets,
    train_rows: Sequence[int] | NDArray[np.int64],
    validation_rows: Sequence[int] | NDArray[np.int64],
    *,
    settings: FitSettings,
    seed: int,
    folder: Path | None = None,
    log: Report | None = None,
    advance: Report | None = None,
    resumed: Callable[[int], None] | None = None,
    feature_names: Sequence[str] = (),
    symbols: Sequence[str] = (),
    about: dict[str, Any] | None = None,
) -> Fitted:
    """Trains a predictor with Lightning; one step is one epoch.

    Resumed after it was killed, it ends with the numbers of an unbroken training: an epoch's order
    and dropout depend on the seed and the epoch alone, and a checkpoint holds all else.

    Args:
        predictor: with its first parameters; its window is that of the training.
        panel: `[T, A, F]` float32, scaled by the training rows; it is not copied.
        targets: of the panel's rows (`networks.targets.make_targets`).
        train_rows, validation_rows: decision rows to learn from and to choose by
            (`networks.targets.usable_rows`), further apart than targets reach and windows are long.
        seed: of the order of the rows and of dropout.
        folder: gets `checkpoint.safetensors` meanwhile and `model.safetensors` in the end; with the
            latter there, nothing is trained. None: nothing is kept.
        log: called with the epoch and its figures. advance: with the number of new epochs and what
            to show. resumed: with the epoch of the checkpoint that the training goes on from.
        feature_names, symbols: of the panel, for messages.
        about: JSON-able facts of the predictor (name, settings) that a model in the folder must
            share.

    Raises:
        ValueError: if inputs, a loss or a gradient are not finite, naming batch, row, asset and
            column; if rows of training and validation overlap; if the folder holds a file of other
            settings, naming the key; if the predictor is a baseline, which fits itself.
    """
    if isinstance(predictor, Baseline):
        raise ValueError(
            f"{type(predictor).__name__} is fitted by predictor.fit(panel, targets, train_rows, "
            "validation_rows), in one go; this trains networks"
        )
    shape = predictor.shape
    check_apart(train_rows, validation_rows, targets.reach, shape.window)
    training = WindowDataset(panel, train_rows, shape.window, targets)
    validation = WindowDataset(training.panel, validation_rows, shape.window, targets)
    if training.panel.shape[1:] != (shape.n_assets, shape.n_features):
        raise ValueError(
            f"the panel has {tuple(training.panel.shape[1:])} assets and features and the "
            f"predictor is for {(shape.n_assets, shape.n_features)}; make it for this panel"
        )
    facts = _facts(predictor, settings, seed, about)
    advance = advance or _ignore
    if folder is not None and (folder / MODEL).exists():
        parameters, found = read_tensors(folder / MODEL, [*facts, *LEFT])
        _check_same(folder / MODEL, found, facts)
        _load(predictor, parameters, folder / MODEL)
        advance(settings.epochs, {})
        return Fitted(predictor, found["curve"], found["best_step"], tuple(found["calibration"]))
    checkpoint = None if folder is None else folder / CHECKPOINT
    begun = 0
    if checkpoint is not None and checkpoint.exists():
        found = read_tensors(checkpoint, ["about", "epoch"])[1]
        _check_same(checkpoint, found["about"], facts)
        begun = int(found["epoch"]) + 1
        if resumed is not None:
            resumed(begun)
        advance(begun, {})
    from networks.lightning_module import learn
    from networks.processes import learn_together

    outcome = (learn if settings.devices == 1 else learn_together)(
        predictor,
        training,
        validation.rows,
        settings=settings,
        seed=seed,
        guard=Guard(feature_names, symbols),
        about=facts,
        checkpoint=checkpoint,
        log=log or _ignore,
        advance=advance,
    )
    advance(settings.epochs - len(outcome.curve["steps"]), {})
    _load(predictor.cpu(), outcome.best, folder)
    calibration = _calibrate(predictor, validation, settings.batch_size)
    facts |= {
        "curve": outcome.curve,
        "best_step": outcome.best_step,
        "calibration": list(calibration),
    }
    if folder is not None:
        write_tensors(folder / MODEL, predictor.state_dict(), facts)
        (folder / CHECKPOINT).unlink(missing_ok=True)
    return Fitted(predictor, outcome.curve, outcome.best_step, calibration)


def _calibrate(
    predictor: Predictor, validation: WindowDataset, batch_size: int
) -> tuple[float, float]:
    """Corrects the predictor's confidence on these rows; slope and intercept."""
    logits, hits = [], []
    for batch, forecast in forecasts(predictor, validation, batch_size):
        right, known = was_right(forecast, batch)
        logits.append(forecast.confidence[known])
        hits.append(right[known])
    slope, intercept = platt(torch.cat(logits).numpy(), torch.cat(hits).numpy())
    calibrate_head(predictor.heads.confidence, slope, intercept)
    return slope, intercept


def _facts(
    predictor: Predictor, settings: FitSettings, seed: int, about: dict[str, Any] | None
) -> dict[str, Any]:
    shape = predictor.shape
    return json.loads(
        json.dumps(
            {
                "settings": settings.to_dict(),
                "predictor": {"class": type(predictor).__name__, **(about or {})},
                "shape": {
                    "window": shape.window,
                    "n_assets": shape.n_assets,
                    "n_features": shape.n_features,
                },
                "seed": seed,
            }
        )
    )


def _check_same(path: Path, found: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Refuses a file of another training; `wanted` names what must be equal."""
    for key, value in wanted.items():
        if isinstance(value, dict):
            mine, theirs = value, found.get(key) or {}
            for part in sorted(mine.keys() | theirs.keys()):
                _same(path, f"{key}.{part}", theirs.get(part), mine.get(part))
        else:
            _same(path, key, found.get(key), value)


def _same(path: Path, key: str, found: Any, wanted: Any) -> None:
    if found != wanted:
        raise ValueError(
            f"{path} was trained with {key}={found}, this training asks for {wanted}; use another "
            "folder, or delete the file to train anew"
        )


def _load(predictor: Predictor, parameters: Tensors, path: Path | None) -> None:
    try:
        predictor.load_state_dict(parameters)
    except RuntimeError as error:
        raise ValueError(f"{path} belongs to another network: {error}") from None
    predictor.eval()


def _ignore(step: int, figures: dict[str, float]) -> None:
    pass
