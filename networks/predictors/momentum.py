"""Networks for trend following: an LSTM, and an LSTM with attention over its own past.

Both read each asset's rows in order, so that `encode_sequence` gives every row of a sequence at
once; neither knows how long a sequence is, so that they may be trained on longer ones than the
windows of decisions.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from networks.predictors.base import InputShape, Predictor, by_asset, from_assets
from networks.predictors.checks import divides, share, whole


class VariationalDropout(nn.Module):
    """Dropout with one mask for all rows of a sequence `[N, T, width]` (Gal and Ghahramani 2016).

    Args:
        dropped: share of the columns, in [0, 1).
    """

    def __init__(self, dropped: float) -> None:
        super().__init__()
        self.dropped = share("dropout", dropped)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.dropped == 0:
            return x
        mask = torch.empty_like(x[:, :1]).bernoulli_(1 - self.dropped)
        return x * mask.div_(1 - self.dropped)


class VariableSelection(nn.Module):
    """A weight for every feature at every row, and the weighted sum of their embeddings.

    `[N, T, F] -> [N, T, width]`. The weights are a softmax of a gated residual network of the row
    (Lim et al. 2021, Temporal Fusion Transformers). Theirs puts every feature through a network of
    its own; here the embeddings are linear, so that the sum is two products of matrices.
    """

    def __init__(self, n_features: int, width: int, dropout: float) -> None:
        super().__init__()
        self.read = nn.Linear(n_features, width)
        self.residual = GatedResidual(width, dropout)
        self.choose = nn.Linear(width, n_features)
        self.embeddings = nn.Linear(n_features, width, bias=False)
        self.offsets = nn.Linear(n_features, width, bias=False)

    def weights(self, x: Tensor) -> Tensor:
        """`[N, T, F] -> [N, T, F]`, at least 0, summing to 1 over the features."""
        return self.choose(self.residual(self.read(x))).softmax(dim=-1)

    def forward(self, x: Tensor) -> Tensor:
        weights = self.weights(x)
        return self.embeddings(weights * x) + self.offsets(weights)


class GatedSkip(nn.Module):
    """`LayerNorm(skip + GLU(x))`: the gate can close, and leave what came before."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.dropout = VariationalDropout(dropout)
        self.gate = nn.Linear(width, 2 * width)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        return self.norm(skip + functional.glu(self.gate(self.dropout(x))))


class GatedResidual(nn.Module):
    """Two layers behind a gated skip: the gated residual network of Lim et al. 2021."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.first = nn.Linear(width, width)
        self.second = nn.Linear(width, width)
        self.skip = GatedSkip(width, dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.skip(self.second(functional.elu(self.first(x))), x)


class SharedValueAttention(nn.Module):
    """Causal self-attention whose heads differ in where they look, not in what they see there.

    The mean over the heads of their looks at the same values (Lim et al. 2021), so that the mean of
    their weights says what the answer is made of. `[N, T, width] -> [N, T, width]`.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.each = heads, width // divides(heads, width)
        self.looks = nn.Linear(width, 2 * width + self.each, bias=False)
        self.out = nn.Linear(self.each, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        looks = self.looks(x).unflatten(-1, (2 * self.heads + 1, self.each)).transpose(1, 2)
        queries, keys, value = looks.split([self.heads, self.heads, 1], dim=1)
        seen = functional.scaled_dot_product_attention(
            queries, keys, value.expand_as(keys), is_causal=True
        )
        return self.out(seen.mean(dim=1))


class DeepMomentum(Predictor):
    """The LSTM of deep momentum networks (Lim, Zohren and Roberts 2019), one for all assets.

    Dropout has one mask for all rows of a sequence, on what goes into the LSTM and on what comes
    out; the state that it hands from row to row has none.

    Args:
        shape: of the input. width: of the LSTM. dropout: in [0, 1).
        variable_selection: whether features are weighted at every row before the LSTM.
    """

    def __init__(
        self,
        shape: InputShape,
        width: int = 32,
        dropout: float = 0.0,
        variable_selection: bool = False,
    ) -> None:
        super().__init__(shape, whole("width", width))
        self.select = (
            VariableSelection(shape.n_features, width, dropout)
            if variable_selection
            else nn.Identity()
        )
        inputs = width if variable_selection else shape.n_features
        self.lstm = nn.LSTM(inputs, width, batch_first=True)
        self.dropout = VariationalDropout(dropout)

    def encode_sequence(self, x: Tensor) -> Tensor:
        rows = self.dropout(self.select(by_asset(x)))
        return from_assets(self.dropout(self.lstm(rows)[0]), len(x))


class MomentumTransformer(Predictor):
    """LSTM, then causal attention over what it made of the past (Wood et al. 2021).

    The decoder of a Temporal Fusion Transformer (Lim et al. 2021) without static inputs: embedding,
    LSTM, gated residual network, attention with shared values, gated residual network, and a gated
    skip around each of them. The LSTM gives the order of the rows: there are no positions.

    Args:
        shape: of the input. width: of every layer. heads: of the attention; divides
            `width`. dropout: in [0, 1), one mask for all rows of a sequence.
        variable_selection: whether features are weighted at every row, or embedded as they are.
    """

    def __init__(
        self,
        shape: InputShape,
        width: int = 32,
        heads: int = 2,
        dropout: float = 0.0,
        variable_selection: bool = False,
    ) -> None:
        super().__init__(shape, whole("width", width))
        self.embed = (
            VariableSelection(shape.n_features, width, dropout)
            if variable_selection
            else nn.Linear(shape.n_features, width)
        )
        self.lstm = nn.LSTM(width, width, batch_first=True)
        self.after_lstm = GatedSkip(width, dropout)
        self.enrich = GatedResidual(width, dropout)
        self.attention = SharedValueAttention(width, heads)
        self.after_attention = GatedSkip(width, dropout)
        self.refine = GatedResidual(width, dropout)
        self.last = GatedSkip(width, 0.0)

    def encode_sequence(self, x: Tensor) -> Tensor:
        embedded = self.embed(by_asset(x))
        local = self.after_lstm(self.lstm(embedded)[0], embedded)
        enriched = self.enrich(local)
        attended = self.after_attention(self.attention(enriched), enriched)
        return from_assets(self.last(self.refine(attended), local), len(x))
