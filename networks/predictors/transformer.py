"""A Transformer encoder over the rows of each asset."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from networks.predictors.base import InputShape, Predictor, by_asset, from_assets
from networks.predictors.checks import divides, share, whole

POSITIONS = ("sinusoidal", "learned")


def sinusoids(rows: int, width: int) -> Tensor:
    """`[rows, width]`: sine and cosine of the row number, at wavelengths from 2 pi to 20,000 pi."""
    place = torch.arange(rows, dtype=torch.float32)[:, None]
    rates = torch.exp(torch.arange(0, width, 2) * (-math.log(10_000.0) / width))
    out = torch.empty(rows, width)
    out[:, 0::2] = torch.sin(place * rates)
    out[:, 1::2] = torch.cos(place * rates)[:, : width // 2]
    return out


class EncoderLayer(nn.Module):
    """Causal self-attention, then a layer four times as wide; each added to what came in.

    `[N, T, width] -> [N, T, width]`. What goes into either is normalised, not what comes out (Xiong
    et al. 2020): it trains without a warm-up of the learning rate.
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = divides(heads, width)
        self.before_attention = nn.LayerNorm(width)
        self.looks = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.wide = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.ReLU(), nn.Linear(4 * width, width)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        looks = self.looks(self.before_attention(x)).unflatten(-1, (3, self.heads, -1))
        query, key, value = looks.permute(2, 0, 3, 1, 4)
        seen = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + self.dropout(self.out(seen.transpose(1, 2).flatten(2)))
        return x + self.dropout(self.wide(x))


class Transformer(Predictor):
    """The encoder of Vaswani et al. 2017 with a causal mask, one network for all assets.

    Row t looks at rows 0..t only, so every row of a sequence has an answer of its own. Small by
    default; `width=512, heads=8, layers=6` is the size of the paper.

    Args:
        shape: of the input. width: of every layer. heads: of the attention; divides
            `width`. layers: how many. dropout: of what each half of a layer adds, in [0, 1).
        positions: `sinusoidal`, or `learned`: a vector for each row of the window; then no sequence
            may be longer than it.
    """

    def __init__(
        self,
        shape: InputShape,
        width: int = 32,
        heads: int = 2,
        layers: int = 2,
        dropout: float = 0.0,
        positions: str = "sinusoidal",
    ) -> None:
        super().__init__(shape, whole("width", width))
        share("dropout", dropout)
        if positions not in POSITIONS:
            raise ValueError(f"positions must be {' or '.join(POSITIONS)}, got {positions!r}")
        self.embed = nn.Linear(shape.n_features, width)
        self.positions = (
            nn.Parameter(0.02 * torch.randn(shape.window, width))
            if positions == "learned"
            else None
        )
        self.layers = nn.ModuleList(
            EncoderLayer(width, heads, dropout) for _ in range(whole("layers", layers))
        )
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(width)

    def encode_sequence(self, x: Tensor) -> Tensor:
        rows = self.embed(by_asset(x))
        rows = self.dropout(rows + self.places(x.shape[1]).to(rows))
        for layer in self.layers:
            rows = layer(rows)
        return from_assets(self.norm(rows), len(x))

    def places(self, rows: int) -> Tensor:
        """`[rows, width]` what tells one row from another.

        Raises:
            ValueError: for more rows than there are learned positions.
        """
        if self.positions is None:
            return sinusoids(rows, self.width)
        if rows > len(self.positions):
            raise ValueError(
                f"a sequence of {rows} rows is longer than the {len(self.positions)} learned "
                "positions of this transformer; positions = 'sinusoidal' takes any length"
            )
        return self.positions[:rows]
