"""`EIIE`: the ensemble of identical independent evaluators."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from networks.predictors.base import InputShape, Predictor, by_asset, from_assets
from networks.predictors.checks import share, whole


class EIIE(Predictor):
    """Two convolutions that look at each asset alone (Jiang, Xu and Liang 2017, figure 2).

    The first sees `kernel` rows, the second all that are left: what comes out is one column of
    features for each asset. In the paper a 1 x 1 convolution turns it and the weight held into the
    score of the asset; here the heads stand in its place. The paper's maps are 2 and 20, on three
    prices; the defaults are wider, for more features.

    Args:
        shape: of the input. maps: of the first convolution. width: maps of the second.
        kernel: rows of the first. dropout: after each, in [0, 1).

    Raises:
        ValueError: for settings out of their range, or a kernel longer than the window.
    """

    def __init__(
        self,
        shape: InputShape,
        maps: int = 8,
        width: int = 32,
        kernel: int = 3,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(shape, whole("width", width))
        if shape.window < whole("kernel", kernel):
            raise ValueError(f"kernel = {kernel} is longer than the window of {shape.window}")
        self.first = nn.Conv1d(shape.n_features, whole("maps", maps), kernel)
        self.second = nn.Conv1d(maps, width, shape.window - kernel + 1)
        self.dropout = nn.Dropout(share("dropout", dropout))

    def encode(self, x: Tensor) -> Tensor:
        rows = self.dropout(functional.relu(self.first(by_asset(x).transpose(1, 2))))
        column = self.dropout(functional.relu(self.second(rows))).squeeze(2)
        return from_assets(column, len(x))
