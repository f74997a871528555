"""Transformer and momentum networks against their definitions."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from networks.predictors import InputShape, make_predictor
from networks.predictors.momentum import (
    GatedResidual,
    SharedValueAttention,
    VariableSelection,
    VariationalDropout,
)
from networks.predictors.transformer import EncoderLayer, sinusoids

SHAPE = InputShape(window=7, n_assets=3, n_features=5)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


# ------------------------------------------------------------------ Transformer
def test_a_layer_equals_the_one_of_torch():
    ours = EncoderLayer(width=16, heads=4, dropout=0.0)
    theirs = nn.TransformerEncoderLayer(16, 4, 64, 0.0, batch_first=True, norm_first=True)
    pairs = {
        "self_attn.in_proj_": ours.looks, "self_attn.out_proj.": ours.out,
        "norm1.": ours.before_attention, "norm2.": ours.wide[0],
        "linear1.": ours.wide[1], "linear2.": ours.wide[3],
    }  # fmt: skip
    theirs.load_state_dict(
        {
            f"{name}{part}": getattr(x, part)
            for name, x in pairs.items()
            for part in ("weight", "bias")
        }
    )
    x = torch.randn(3, 6, 16)
    later = nn.Transformer.generate_square_subsequent_mask(6)
    torch.testing.assert_close(ours(x), theirs(x, src_mask=later), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("width", [8, 9])
def test_positions_are_those_of_the_paper(width):
    """PE(pos, 2i) = sin(pos / 10000^(2i / width)), PE(pos, 2i + 1) the cosine of the same."""
    expected = [
        [
            (math.cos if j % 2 else math.sin)(pos / 10000 ** ((j - j % 2) / width))
            for j in range(width)
        ]
        for pos in range(40)
    ]
    torch.testing.assert_close(sinusoids(40, width), torch.tensor(expected), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("positions", ["sinusoidal", "learned"])
def test_rows_in_another_order_say_something_else(positions):
    network = make_predictor("transformer", SHAPE, positions=positions).eval()
    x = torch.randn(2, 7, 3, 5)
    # The last row asks: the order of the others is told by their positions alone.
    other = x[:, [3, 0, 5, 1, 4, 2, 6]]
    with torch.no_grad():
        assert not torch.allclose(network.encode(x), network.encode(other), atol=1e-4)


def test_learned_positions_end_with_the_window():
    x = torch.randn(2, 8, 3, 5)
    network = make_predictor("transformer", SHAPE, positions="learned")
    with pytest.raises(ValueError, match=r"8 rows is longer than the 7 learned.*sinusoidal"):
        network.encode_sequence(x)
    assert make_predictor("transformer", SHAPE).encode_sequence(x).shape == (2, 8, 3, 32)
    with pytest.raises(ValueError, match="positions must be sinusoidal or learned, got 'none'"):
        make_predictor("transformer", SHAPE, positions="none")


def test_the_size_of_the_paper_is_a_setting():
    network = make_predictor("transformer", SHAPE, width=512, heads=8, layers=6)
    layer = 12 * 512**2 + 13 * 512
    body = sum(x.numel() for x in network.layers.parameters())
    assert body == 6 * layer
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3)
    x = torch.randn(2, 7, 3, 5)
    losses = []
    for _ in range(2):
        network.eval()
        loss = network(x).expected_return.sub(1.0).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[1] < losses[0]


# ------------------------------------------------------------------ momentum networks
def test_deep_momentum_is_an_lstm_with_a_dropout_of_its_own():
    network = make_predictor("deep_momentum", SHAPE, width=8, dropout=0.5).eval()
    plain = make_predictor("lstm", SHAPE, hidden=(8,)).eval()
    plain.layers[0].load_state_dict(network.lstm.state_dict())
    x = torch.randn(2, 7, 3, 5)
    with torch.no_grad():
        assert torch.equal(network.encode_sequence(x), plain.encode_sequence(x))


def test_dropout_has_one_mask_for_all_rows_and_another_for_each_sequence():
    dropout = VariationalDropout(0.25)
    dropped = dropout(torch.ones(400, 9, 50))
    assert (dropped == dropped[:, :1]).all()
    torch.testing.assert_close(dropped.unique(), torch.tensor([0.0, 4 / 3]))
    # 20,000 draws: five standard errors of the share.
    assert abs((dropped[:, 0] == 0).float().mean().item() - 0.25) < 0.0155
    assert len(dropped[:, 0].unique(dim=0)) > 390
    assert torch.equal(dropout.eval()(dropped), dropped)


def test_attention_with_shared_values_by_its_definition():
    attention = SharedValueAttention(width=6, heads=3)
    x = torch.randn(2, 5, 6)
    q, k, v = attention.looks.weight[:6], attention.looks.weight[6:12], attention.looks.weight[12:]
    for n in range(2):
        for t in range(5):
            past = x[n, : t + 1]
            mean = torch.zeros(t + 1)
            for h in range(3):
                asks, keys = q[2 * h : 2 * h + 2] @ x[n, t], past @ k[2 * h : 2 * h + 2].T
                mean += torch.softmax(keys @ asks / math.sqrt(2), dim=0) / 3
            expected = attention.out.weight @ (mean @ (past @ v.T))
            torch.testing.assert_close(attention(x)[n, t], expected, rtol=1e-4, atol=1e-5)


def test_a_gated_residual_by_its_definition():
    block = GatedResidual(4, dropout=0.3).eval()
    x = torch.randn(2, 3, 4)
    hidden = block.second(functional.elu(block.first(x)))
    value, gate = block.skip.gate(hidden).chunk(2, dim=-1)
    expected = functional.layer_norm(x + value * torch.sigmoid(gate), (4,))
    torch.testing.assert_close(block(x), expected)
    # A closed gate leaves what came in.
    with torch.no_grad():
        block.skip.gate.bias[4:] = -100.0
    torch.testing.assert_close(block(x), functional.layer_norm(x, (4,)))


def test_selected_variables_are_a_weighted_sum_of_their_embeddings():
    selection = VariableSelection(5, 8, dropout=0.3).eval()
    x = torch.randn(2, 3, 5)
    weights = selection.weights(x)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 3))
    expected = sum(
        weights[..., f, None]
        * (selection.embeddings.weight[:, f] * x[..., f, None] + selection.offsets.weight[:, f])
        for f in range(5)
    )
    torch.testing.assert_close(selection(x), expected)


@pytest.mark.parametrize("name", ["deep_momentum", "momentum_transformer"])
@pytest.mark.parametrize("selection", [False, True])
def test_sequences_may_be_longer_than_the_window(name, selection):
    network = make_predictor(name, SHAPE, variable_selection=selection).eval()
    x = torch.randn(2, 30, 3, 5)
    with torch.no_grad():
        whole = network.encode_sequence(x)
        torch.testing.assert_close(whole[:, :7], network.encode_sequence(x[:, :7]))
        changed = x.clone()
        changed[:, 12:] += 1.0
        assert torch.equal(network.encode_sequence(changed)[:, :12], whole[:, :12])


@pytest.mark.parametrize("name", ["deep_momentum", "momentum_transformer"])
def test_dropout_varies_while_it_trains_only(name):
    network = make_predictor(name, SHAPE, dropout=0.2)
    x = torch.randn(2, 7, 3, 5)
    with torch.no_grad():
        assert not torch.equal(network.encode(x), network.encode(x))
        network.eval()
        assert torch.equal(network.encode(x), network.encode(x))
