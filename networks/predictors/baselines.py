"""Baselines that every network has to beat: fitted by scikit-learn, used like any predictor."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from networks.forecast import HORIZONS, QUANTILES, Forecast
from networks.predictors.base import InputShape, Predictor
from networks.targets import UNKNOWN, Targets, check_apart
from networks.windows import WindowDataset

Float = NDArray[np.float64]
# What a baseline knows of a window: its last row, the rows so many before it, and the means of the
# last so many rows; each as far as the window reaches, and the mean of the whole window.
BEFORE = (0, 1, 2, 5, 10, 20)
MEANS = (5, 20)
# Sell, hold, buy; returns over each horizon; log volatility.
OUTPUTS = 3 + len(HORIZONS) + 1
# Score of a direction that no training row has.
NEVER = -30.0
# Windows that are summarised at once.
CHUNK = 256
# Pairs of a row and an asset that a baseline is fitted to, at most: about a gigabyte of summaries.
MOST_SAMPLES = 100_000


class Samples(NamedTuple):
    """Summaries and targets of n pairs of a row and an asset; K columns.

    Attributes:
        x: `[n, K]` float32. direction: `[n]`, -1 where unknown. values: `[n, H + 1]` standardised
            returns over the horizons, then log volatility; NaN where unknown.
    """

    x: NDArray[np.float32]
    direction: NDArray[np.int64]
    values: Float


class Baseline(Predictor):
    """A predictor without training by gradients: `fit` sets all that it knows.

    It sees a summary of each asset's window: the last row, the rows 1, 2, 5, 10 and 20 before it,
    and the means of the last 5, the last 20 and all rows. Its confidence is its own probability of
    the likeliest direction; its quantiles are its expected return plus the quantiles of its errors
    on the validation rows.

    Args:
        shape: of the input. width: of what `encode` makes.
    """

    fitted: Tensor

    def __init__(self, shape: InputShape, width: int) -> None:
        super().__init__(shape, width)
        # Chance gives a baseline nothing; the head of the confidence stays as it is here.
        for parameter in self.requires_grad_(False).parameters():
            parameter.zero_()
        self.register_buffer("fitted", torch.tensor(False))

    def fit(
        self,
        panel: Tensor | NDArray[np.float32],
        targets: Targets,
        train_rows: Sequence[int] | NDArray[np.int64],
        validation_rows: Sequence[int] | NDArray[np.int64],
    ) -> None:
        """Fits to the training rows; the validation rows decide how strongly.

        Of more than 100,000 pairs of a row and an asset, rows at equal distances are taken.

        Args:
            panel: `[T, A, F]` float32, scaled. targets: of its rows.
            train_rows, validation_rows: decision rows; neither may see targets of the other.

        Raises:
            ValueError: for rows that overlap or lie outside, or where one direction alone occurs.
        """
        check_apart(train_rows, validation_rows, targets.reach, self.shape.window)
        train_rows, validation_rows = (
            thinned(rows, self.shape.n_assets, MOST_SAMPLES)
            for rows in (train_rows, validation_rows)
        )
        train = self._samples(panel, targets, train_rows)
        validation = self._samples(panel, targets, validation_rows)
        for name, samples in (("training", train), ("validation", validation)):
            if not (
                np.isfinite(samples.values).any(axis=0).all() and (samples.direction >= 0).any()
            ):
                raise ValueError(f"no {name} row has known targets; give it more rows")
        if len(np.unique(train.direction[train.direction != UNKNOWN])) < 2:
            raise ValueError(
                "all training rows have the same direction: there is nothing to tell apart; lower "
                "the threshold of the targets"
            )
        self._fit(train, validation)
        self._fit_quantiles(panel, targets, validation_rows)
        self.fitted.fill_(True)

    def _fit(self, train: Samples, validation: Samples) -> None:
        raise NotImplementedError

    def forward(self, x: Tensor) -> Forecast:
        if not self.fitted:
            raise ValueError(f"{type(self).__name__} has not been fitted; call its fit first")
        forecast = super().forward(x)
        sure = forecast.direction.log_softmax(dim=-1).amax(dim=-1)
        # The logit of a probability p out of log p, finite for p = 1.
        return forecast._replace(confidence=sure - torch.log((-torch.expm1(sure)).clamp(min=1e-6)))

    def _samples(
        self, panel: Tensor | NDArray[np.float32], targets: Targets, rows: Sequence[int] | NDArray
    ) -> Samples:
        windows = WindowDataset(panel, rows, self.shape.window, targets)
        x = [
            summary(windows[range(start, min(start + CHUNK, len(windows)))].x)
            for start in range(0, len(windows), CHUNK)
        ]
        chosen = windows.rows.numpy()
        values = np.concatenate(
            [targets.expected_return[chosen], targets.log_volatility[chosen][..., None]], axis=2
        )
        return Samples(
            torch.cat(x).flatten(0, 1).numpy(),
            targets.direction[chosen].ravel(),
            values.reshape(-1, values.shape[2]).astype(np.float64),
        )

    def _fit_quantiles(
        self,
        panel: Tensor | NDArray[np.float32],
        targets: Targets,
        rows: Sequence[int] | NDArray[np.int64],
    ) -> None:
        """Gives the head of the quantiles the expected return and what its errors have been."""
        windows = WindowDataset(panel, rows, self.shape.window, targets)
        errors = []
        for start in range(0, len(windows), CHUNK):
            batch = windows[range(start, min(start + CHUNK, len(windows)))]
            expected = self.heads.expected_return(self.encode(batch.x))
            errors.append((batch.expected_return - expected)[..., 0].flatten())
        levels = np.nanquantile(torch.cat(errors).double().numpy(), QUANTILES)
        head, first = self.heads.quantiles, self.heads.expected_return
        head.weight.zero_()
        head.weight[0] = first.weight[0]
        head.bias[0] = first.bias[0] + levels[0]
        steps = torch.from_numpy(np.maximum(np.diff(levels), 1e-6))
        # The inverse of softplus, which the heads apply to the steps.
        head.bias[1:] = (steps + torch.log(-torch.expm1(-steps))).float()

    def _set_heads(self, weight: Float, bias: Float) -> None:
        """The heads of direction, returns and volatility: `[OUTPUTS, width]` and `[OUTPUTS]`."""
        heads = (self.heads.direction, self.heads.expected_return, self.heads.log_volatility)
        rows = (slice(0, 3), slice(3, OUTPUTS - 1), slice(OUTPUTS - 1, OUTPUTS))
        for head, row in zip(heads, rows, strict=True):
            head.weight.copy_(torch.from_numpy(weight[row]))
            head.bias.copy_(torch.from_numpy(bias[row]))


class Linear(Baseline):
    """Ridge (Hoerl and Kennard 1970) and logistic regression on a summary of the window.

    The former gives returns and volatility, the latter directions.

    Args:
        shape: of the input.
        penalties: on the squared weights of standardised columns, per sample; for every output the
            one that does best on the validation rows is taken.

    Raises:
        ValueError: for penalties that are not positive.
    """

    def __init__(
        self, shape: InputShape, penalties: Sequence[float] = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
    ) -> None:
        super().__init__(shape, n_columns(shape))
        if not penalties or min(penalties) <= 0:
            raise ValueError(f"penalties must be one or more numbers above 0, got {penalties!r}")
        self.penalties = tuple(penalties)

    def encode(self, x: Tensor) -> Tensor:
        return summary(x)

    def _fit(self, train: Samples, validation: Samples) -> None:
        from sklearn.preprocessing import StandardScaler

        scaler = StandardScaler().fit(train.x.astype(np.float64))
        seen, unseen = (
            scaler.transform(s.x.astype(np.float64), copy=False) for s in (train, validation)
        )
        weight, bias = np.zeros((OUTPUTS, self.width)), np.zeros(OUTPUTS)
        known, tested = train.direction != UNKNOWN, validation.direction != UNKNOWN
        weight[:3], bias[:3] = self._logistic(
            seen[known], train.direction[known], unseen[tested], validation.direction[tested]
        )
        for k in range(len(HORIZONS) + 1):
            known, tested = (np.isfinite(s.values[:, k]) for s in (train, validation))
            weight[3 + k], bias[3 + k] = self._ridge(
                seen[known], train.values[known, k], unseen[tested], validation.values[tested, k]
            )
        weight = weight / scaler.scale_
        self._set_heads(weight, bias - weight @ scaler.mean_)

    def _logistic(self, x: Float, y: NDArray, unseen: Float, truth: NDArray) -> tuple[Float, Float]:
        """`[3, K]` and `[3]` of the multinomial logistic regression."""
        from sklearn.linear_model import LogisticRegression

        best, fitted = np.inf, (np.zeros((3, x.shape[1])), np.zeros(3))
        for penalty in self.penalties:
            model = LogisticRegression(C=1.0 / (penalty * len(x)), max_iter=500).fit(x, y)
            weight, bias = np.zeros((3, x.shape[1])), np.full(3, NEVER)
            classes = model.classes_
            if len(classes) == 2:
                # One column of weights: the score of the second class over that of the first.
                bias[classes] = 0.0, model.intercept_[0]
                weight[classes[1]] = model.coef_[0]
            else:
                weight[:], bias[:] = model.coef_, model.intercept_
            scores = torch.from_numpy(unseen @ weight.T + bias)
            loss = functional.cross_entropy(scores, torch.from_numpy(truth)).item()
            if loss < best:
                best, fitted = loss, (weight, bias)
        return fitted

    def _ridge(self, x: Float, y: Float, unseen: Float, truth: Float) -> tuple[Float, float]:
        from sklearn.linear_model import Ridge

        models = [Ridge(alpha=penalty * len(x)).fit(x, y) for penalty in self.penalties]
        errors = [float(np.square(model.predict(unseen) - truth).mean()) for model in models]
        best = models[int(np.argmin(errors))]
        return best.coef_, float(best.intercept_)


def thinned(rows: Sequence[int] | NDArray[np.int64], n_assets: int, most: int) -> NDArray[np.int64]:
    """Every k-th of the rows, so that they make at most so many pairs with the assets."""
    step = max(1, math.ceil(len(rows) * n_assets / most))
    return np.asarray(rows, np.int64)[::step]


def n_columns(shape: InputShape) -> int:
    """Columns of a summary."""
    return len(_parts(shape.window)) * shape.n_features


def summary(x: Tensor) -> Tensor:
    """`[B, T, A, F] -> [B, A, K]`: what a baseline sees of each asset's window."""
    n_rows = x.shape[1]
    columns = [x[:, n_rows - stop : n_rows - start].mean(dim=1) for start, stop in _parts(n_rows)]
    return torch.cat(columns, dim=-1)


def _parts(window: int) -> list[tuple[int, int]]:
    """`(start, stop)` in rows before the end, of each part of the window that is averaged."""
    rows = [(k, k + 1) for k in BEFORE if k < window]
    means = [(0, k) for k in MEANS if k < window]
    return [*rows, *means, *([(0, window)] if window > 1 else [])]
