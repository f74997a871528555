"""`InvertedTransformer`: attention between assets instead of between rows."""

from __future__ import annotations

from torch import Tensor, nn

from networks.predictors.base import InputShape, Predictor
from networks.predictors.checks import divides, share, whole


class InvertedTransformer(Predictor):
    """iTransformer (Liu et al. 2024): a token is the whole history of one series, not one row.

    A series here is an asset with all its features, so that attention learns which assets tell
    something about which others. There is no position: swapping two assets swaps their forecasts,
    and any number of assets will do. The paper's instance normalisation is left out: the panel is
    scaled, and the level of a feature says something.

    Args:
        shape: of the input. width: of a token. heads: of the attention, a divisor of `width`.
        layers: of the encoder. feedforward: width of its dense layers. dropout: in [0, 1).

    Raises:
        ValueError: for settings out of their range, or heads that do not divide the width.
    """

    def __init__(
        self,
        shape: InputShape,
        width: int = 64,
        heads: int = 4,
        layers: int = 2,
        feedforward: int = 128,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(shape, whole("width", width))
        divides(heads, width)
        whole("feedforward", feedforward)
        share("dropout", dropout)
        self.embedding = nn.Linear(shape.window * shape.n_features, width)
        self.layers = nn.Sequential(
            *(
                nn.TransformerEncoderLayer(
                    width, heads, feedforward, dropout, activation="gelu", batch_first=True
                )
                for _ in range(whole("layers", layers))
            )
        )

    def encode(self, x: Tensor) -> Tensor:
        return self.layers(self.embedding(x.transpose(1, 2).flatten(2)))
