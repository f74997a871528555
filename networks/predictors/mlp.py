"""A plain network over the whole window."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from networks.predictors.base import InputShape, Predictor
from networks.predictors.checks import share, widths

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}


class MLP(Predictor):
    """Dense layers over all rows of an asset's window (Rumelhart, Hinton and Williams 1986).

    All assets share them.

    Args:
        shape: of the input. hidden: widths of the layers. activation: `relu`, `tanh`, `sigmoid`.
        dropout: after every layer, in [0, 1).

    Raises:
        ValueError: for settings out of their range.
    """

    def __init__(
        self,
        shape: InputShape,
        hidden: Sequence[int] = (64, 32),
        activation: str = "relu",
        dropout: float = 0.0,
    ) -> None:
        hidden = widths("hidden", hidden)
        super().__init__(shape, hidden[-1])
        if activation not in ACTIVATIONS:
            raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}: {activation!r}")
        share("dropout", dropout)
        layers: list[nn.Module] = []
        inputs = shape.window * shape.n_features
        for width in hidden:
            layers += [nn.Linear(inputs, width), ACTIVATIONS[activation](), nn.Dropout(dropout)]
            inputs = width
        self.layers = nn.Sequential(*layers)

    def encode(self, x: Tensor) -> Tensor:
        return self.layers(x.transpose(1, 2).flatten(2))
