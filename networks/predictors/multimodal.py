"""Streams of features with a network each, and a gate that weighs them."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from networks.predictors.base import InputShape, Predictor, by_asset, from_assets
from networks.predictors.checks import share, whole

# Groups of features that are read together. Any other group is a stream of its own name.
TECHNICAL = ("price", "ohlc", "volume", "cross")
STREAMS = ("technical", "seasonal", "sentiment", "macro")


class Explanation(NamedTuple):
    """What a forecast was made of; B windows, A assets, S streams, T rows.

    Attributes:
        streams: `[S]` their names.
        weights: `[B, A, S]` of the streams, summing to 1.
        rows: `[B, A, S, T]` of the rows within each stream, summing to 1 over T. A row's weight is
            that of the LSTM's state there, which has seen the rows before it too.
    """

    streams: tuple[str, ...]
    weights: Tensor
    rows: Tensor


class Stream(nn.Module):
    """LSTM over the rows of one stream, then attention of each row to the rows up to it.

    The state of the row asks, the states are asked (Luong et al. 2015, dot product), and both
    together make the answer, which is normalised: no stream is louder than another by itself.
    """

    def __init__(self, n_features: int, width: int, dropout: float) -> None:
        super().__init__()
        self.lstm = nn.LSTM(n_features, width, batch_first=True)
        self.ask = nn.Linear(width, width, bias=False)
        self.combine = nn.Linear(2 * width, width)
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(width, elementwise_affine=False)

    def forward(self, rows: Tensor, last: bool) -> Tensor:
        """`[N, T, F] -> [N, T, width]`, or `[N, 1, width]` for the last row."""
        states = self.dropout(self.lstm(rows)[0])
        asking = states[:, -1:] if last else states
        seen = functional.scaled_dot_product_attention(
            self.ask(asking)[:, None], states[:, None], states[:, None], is_causal=not last
        ).squeeze(1)
        return self.norm(torch.tanh(self.combine(torch.cat([seen, asking], dim=-1))))

    def row_weights(self, rows: Tensor) -> Tensor:
        """`[N, T, F] -> [N, T]`: what the last row looks at, without dropout."""
        states = self.lstm(rows)[0]
        scores = states @ self.ask(states[:, -1]).unsqueeze(-1) / states.shape[-1] ** 0.5
        return scores.squeeze(-1).softmax(dim=-1)


class MultimodalLSTM(Predictor):
    """Technical, seasonal, sentiment and macro features through an LSTM each, then a gate.

    The gate is a softmax over the streams of what each says of itself (after Arevalo et al. 2017,
    gated multimodal units). As the streams are normalised, a stream that tells nothing can only be
    left out by its weight, so that the weights can be read: `explain`.

    Args:
        shape: of the input, with its groups of features: `price, ohlc, volume, cross` are the
            stream `technical`; every other group is a stream of its own name. Streams that the
            panel lacks are not there.
        width: of every stream. dropout: of the states of the LSTMs, in [0, 1).
        without: streams to leave out, to see what they are worth.

    Raises:
        ValueError: if no stream is left; for a wrong name in `without`.
    """

    def __init__(
        self,
        shape: InputShape,
        width: int = 32,
        dropout: float = 0.0,
        without: Sequence[str] = (),
    ) -> None:
        super().__init__(shape, whole("width", width))
        share("dropout", dropout)
        columns = stream_columns(shape.groups, without)
        self.streams = nn.ModuleDict(
            {name: Stream(len(where), width, dropout) for name, where in columns.items()}
        )
        self.gate = nn.ModuleDict({name: nn.Linear(width, 1) for name in columns})
        for name, where in columns.items():
            self.register_buffer(f"columns_{name}", torch.tensor(where), persistent=False)

    def rows_of(self, name: str, rows: Tensor) -> Tensor:
        """`[N, T, F] -> [N, T, F of the stream]`."""
        return rows.index_select(2, self.get_buffer(f"columns_{name}"))

    def _streams(self, rows: Tensor, last: bool) -> tuple[Tensor, Tensor]:
        """What the streams say `[N, T, S, width]`, and their weights `[N, T, S]`."""
        said = [stream(self.rows_of(n, rows), last) for n, stream in self.streams.items()]
        scores = torch.cat([gate(x) for gate, x in zip(self.gate.values(), said, strict=True)], -1)
        return torch.stack(said, dim=-2), scores.softmax(dim=-1)

    def encode_sequence(self, x: Tensor) -> Tensor:
        said, weights = self._streams(by_asset(x), last=False)
        return from_assets((weights.unsqueeze(-1) * said).sum(dim=-2), len(x))

    def encode(self, x: Tensor) -> Tensor:
        said, weights = self._streams(by_asset(x), last=True)
        return from_assets((weights.unsqueeze(-1) * said).sum(dim=-2)[:, 0], len(x))

    @torch.no_grad()
    def explain(self, x: Tensor) -> Explanation:
        """The weights of streams and rows behind the forecasts of these windows `[B, T, A, F]`."""
        training = self.training
        self.eval()
        rows = by_asset(x)
        weights = self._streams(rows, last=True)[1][:, 0]
        seen = [
            stream.row_weights(self.rows_of(name, rows))
            for name, stream in self.streams.items()
            if isinstance(stream, Stream)
        ]
        self.train(training)
        return Explanation(
            tuple(self.streams),
            from_assets(weights, len(x)),
            torch.stack(seen, dim=1).unflatten(0, (len(x), -1)),
        )


def stream_columns(groups: Mapping[str, slice], without: Sequence[str]) -> dict[str, list[int]]:
    """The columns of every stream that these groups of features make, without some.

    Raises:
        ValueError: if none is left; for a wrong name in `without`.
    """
    columns: dict[str, list[int]] = {}
    for group, where in groups.items():
        name = "technical" if group in TECHNICAL else group
        columns.setdefault(name, []).extend(range(where.start, where.stop))
    there = list(columns)
    for name in [without] if isinstance(without, str) else without:
        known = dict.fromkeys([*STREAMS, *there])
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            meant = f"; did you mean {near[0]}?" if near else ""
            raise ValueError(f"without: no stream {name!r}{meant} Streams: {', '.join(known)}")
        columns.pop(name, None)
    if not columns:
        raise ValueError(
            f"no stream of features is left: the panel has {', '.join(there) or 'no groups'}, "
            f"without {', '.join(without) or 'none'}; build features of at least one group"
        )
    return columns
