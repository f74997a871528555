"""Convolutions over the window of each asset, one network for all assets."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import weight_norm

from networks.predictors.base import InputShape, Predictor, by_asset, from_assets
from networks.predictors.checks import share, whole, widths


class CNN(Predictor):
    """Convolutions down the window, then one dense layer over what is left (LeCun et al. 1998).

    Every layer is a convolution over time without padding and a ReLU; features are channels. There
    is no pooling: it would blur at which row something happened.

    Args:
        shape: of the input. channels: of the layers. kernel: rows that a convolution sees.
        width: of the dense layer. dropout: after every layer, in [0, 1).

    Raises:
        ValueError: for settings out of their range, or a window that the layers use up.
    """

    def __init__(
        self,
        shape: InputShape,
        channels: Sequence[int] = (32, 32),
        kernel: int = 3,
        width: int = 64,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(shape, whole("width", width))
        whole("kernel", kernel)
        share("dropout", dropout)
        layers: list[nn.Module] = []
        inputs, rows = shape.n_features, shape.window
        for outputs in widths("channels", channels):
            if rows < kernel:
                raise ValueError(
                    f"kernel = {kernel} is longer than the {rows} rows that are left of a window "
                    f"of {shape.window}; take fewer channels, a smaller kernel or a longer window"
                )
            layers += [nn.Conv1d(inputs, outputs, kernel), nn.ReLU(), nn.Dropout(dropout)]
            inputs, rows = outputs, rows - kernel + 1
        self.layers = nn.Sequential(
            *layers, nn.Flatten(), nn.Linear(inputs * rows, width), nn.ReLU(), nn.Dropout(dropout)
        )

    def encode(self, x: Tensor) -> Tensor:
        return from_assets(self.layers(by_asset(x).transpose(1, 2)), len(x))


class TCN(Predictor):
    """Temporal convolutional network: dilated causal convolutions (Bai, Kolter and Koltun 2018).

    Residual blocks of two convolutions each, dilated by 1, 2, 4, ...; row t sees no later row.

    Args:
        shape: of the input. width: channels of every block. kernel: rows of a convolution, >= 2.
        levels: blocks; None for as many as it takes to see the whole window.
        dropout: after every convolution, in [0, 1).

    Raises:
        ValueError: for settings out of their range, or levels that do not see the whole window.
    """

    def __init__(
        self,
        shape: InputShape,
        width: int = 32,
        kernel: int = 3,
        levels: int | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(shape, whole("width", width))
        whole("kernel", kernel, 2)
        share("dropout", dropout)
        if kernel > shape.window:
            raise ValueError(f"kernel = {kernel} is longer than the window of {shape.window}")
        needed = next(n for n in range(1, 64) if sees(kernel, n) >= shape.window)
        if levels is not None and whole("levels", levels) < needed:
            raise ValueError(
                f"levels = {levels} see {sees(kernel, levels)} rows of a window of "
                f"{shape.window}; take {needed}, or a longer kernel"
            )
        self.blocks = nn.Sequential(
            *(
                _Residual(width if level else shape.n_features, width, kernel, 2**level, dropout)
                for level in range(levels or needed)
            )
        )

    def encode_sequence(self, x: Tensor) -> Tensor:
        rows = self.blocks(by_asset(x).transpose(1, 2))
        return from_assets(rows.transpose(1, 2), len(x))


def sees(kernel: int, levels: int) -> int:
    """Rows that so many blocks of a `TCN` see: each block adds two convolutions of its dilation."""
    return 1 + 2 * (kernel - 1) * (2**levels - 1)


class _Residual(nn.Module):
    """Two weight-normalised causal convolutions beside a shortcut: `[N, C, T] -> [N, width, T]`."""

    def __init__(self, inputs: int, width: int, kernel: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.before = (kernel - 1) * dilation
        self.first = weight_norm(nn.Conv1d(inputs, width, kernel, dilation=dilation))
        self.second = weight_norm(nn.Conv1d(width, width, kernel, dilation=dilation))
        self.shortcut = nn.Conv1d(inputs, width, 1) if inputs != width else nn.Identity()
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        rows = x
        for convolution in (self.first, self.second):
            # Zeros before the first row, none after the last: no row sees a later one.
            rows = convolution(functional.pad(rows, (self.before, 0)))
            rows = self.dropout(functional.relu(rows))
        return functional.relu(rows + self.shortcut(x))
