"""`Predictor`: windows of features in, a forecast for every asset out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor, nn

from networks.forecast import Forecast, ForecastHeads


@dataclass(frozen=True)
class InputShape:
    """What a predictor is built for.

    Attributes:
        window: rows T in a window, oldest first. n_assets: A. n_features: F.
        groups: name of a group of features -> its slice of the feature axis, as a `FeaturePanel`
            has them, for predictors that treat them apart.
    """

    window: int
    n_assets: int
    n_features: int
    groups: Mapping[str, slice] = field(default_factory=dict)


class Predictor(nn.Module):
    """Base of all architectures: an encoder of its own, and the heads that all share.

    Shapes:
        input `[B, T, A, F]` float, scaled and finite; `encode` gives `[B, A, width]`; `forward` a
        `Forecast`. A predictor may look at all assets of a window, and never beyond its last row.

    A subclass gives `width` to this constructor and implements `encode_sequence` if it reads the
    rows in order (then row t of its answer has seen rows 0..t only), else `encode`.
    """

    def __init__(self, shape: InputShape, width: int) -> None:
        super().__init__()
        self.shape, self.width = shape, width
        self.heads = ForecastHeads(width)

    @property
    def ordered(self) -> bool:
        """Whether it reads the rows in order, and `encode_sequence` answers for each of them."""
        return type(self).encode_sequence is not Predictor.encode_sequence

    def encode_sequence(self, x: Tensor) -> Tensor:
        """`[B, T, A, F] -> [B, T, A, width]`, causal: row t has seen rows 0..t of the window only.

        Raises:
            NotImplementedError: for architectures that look at a window as a whole.
        """
        raise NotImplementedError(f"{type(self).__name__} looks at a window as a whole")

    def encode(self, x: Tensor) -> Tensor:
        """`[B, T, A, F] -> [B, A, width]` at the last row of the windows."""
        return self.encode_sequence(x)[:, -1]

    def forward(self, x: Tensor) -> Forecast:
        return self.heads(self.encode(x))


def by_asset(x: Tensor) -> Tensor:
    """`[B, T, A, F] -> [B * A, T, F]`: each asset's window on its own, one network for all."""
    batch, rows, assets, features = x.shape
    return x.transpose(1, 2).reshape(batch * assets, rows, features)


def from_assets(encoded: Tensor, batch: int) -> Tensor:
    """`[B * A, T, width] -> [B, T, A, width]`, or `[B * A, width] -> [B, A, width]`."""
    whole = encoded.view(batch, encoded.shape[0] // batch, *encoded.shape[1:])
    return whole.transpose(1, 2) if encoded.dim() == 3 else whole
