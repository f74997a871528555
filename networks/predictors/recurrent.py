"""Recurrent networks over the window of each asset."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from networks.predictors.base import InputShape, Predictor, by_asset, from_assets
from networks.predictors.checks import share, widths


class Recurrent(Predictor):
    """Stacked recurrent layers, one network for all assets.

    Args:
        shape: of the input. hidden: widths of the layers, e.g. (128, 64, 32).
        dropout: between and after the layers, in [0, 1).

    Raises:
        ValueError: for settings out of their range.
    """

    cell: Callable[..., nn.RNNBase]

    def __init__(
        self, shape: InputShape, hidden: Sequence[int] = (64,), dropout: float = 0.0
    ) -> None:
        hidden = widths("hidden", hidden)
        super().__init__(shape, hidden[-1])
        inputs = [shape.n_features, *hidden[:-1]]
        self.layers = nn.ModuleList(
            self.cell(n, width, batch_first=True) for n, width in zip(inputs, hidden, strict=True)
        )
        self.dropout = nn.Dropout(share("dropout", dropout))

    def encode_sequence(self, x: Tensor) -> Tensor:
        rows = by_asset(x)
        for layer in self.layers:
            rows = self.dropout(layer(rows)[0])
        return from_assets(rows, len(x))


class RNN(Recurrent):
    """Elman's network (1990), tanh."""

    cell = nn.RNN


class LSTM(Recurrent):
    """Long short-term memory (Hochreiter and Schmidhuber 1997)."""

    cell = nn.LSTM


class GRU(Recurrent):
    """Gated recurrent units (Cho et al. 2014)."""

    cell = nn.GRU
