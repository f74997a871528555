"""The network of several streams finds the one that tells something, and says which it is."""

from __future__ import annotations

import math

import pytest
import torch

from networks.predictors import InputShape, make_predictor
from networks.predictors.multimodal import stream_columns

# Two streams of several columns, one of them of two groups; the signal is in the column given here.
GROUPS = {
    "price": slice(0, 2),
    "volume": slice(2, 3),
    "seasonal": slice(3, 5),
    "sentiment": slice(5, 7),
    "macro": slice(7, 9),
}
SIGNAL = {"technical": 2, "seasonal": 3, "sentiment": 6, "macro": 8}
SHAPE = InputShape(window=4, n_assets=1, n_features=9, groups=GROUPS)
# Correlation of the signal and the return: the best R^2 is its square, and the best share of right
# directions 1/2 + arcsin / pi.
STRENGTH = 0.7
BEST_ACCURACY = 0.5 + math.asin(STRENGTH) / math.pi


def draw(n: int, column: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Windows of noise, and returns that follow one column of the row before the last."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 4, 1, 9, generator=generator)
    noise = torch.randn(n, 1, generator=generator)
    return x, STRENGTH * x[:, 2, :, column] + math.sqrt(1 - STRENGTH**2) * noise


def trained(column: int, without: tuple[str, ...] = ()):
    """On 150 fresh batches: nothing is seen twice, so nothing is learned by heart."""
    torch.manual_seed(0)
    network = make_predictor("multimodal_lstm", SHAPE, width=16, without=without)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 150)
    for step in range(150):
        x, returns = draw(256, column, seed=1000 + step)
        loss = (network(x).expected_return[..., 0] - returns).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return network.eval()


def scores(network, column: int) -> tuple[float, float]:
    """R^2 and the share of right directions on 8,192 windows that it has not seen."""
    x, returns = draw(8192, column, seed=1)
    with torch.no_grad():
        forecast = network(x).expected_return[..., 0]
    r2 = 1.0 - ((forecast - returns).square().mean() / returns.square().mean()).item()
    return r2, ((forecast > 0) == (returns > 0)).float().mean().item()


@pytest.mark.parametrize("stream", SIGNAL)
def test_it_finds_the_stream_with_the_signal_and_gives_it_the_largest_weight(stream):
    network = trained(SIGNAL[stream])
    r2, accuracy = scores(network, SIGNAL[stream])
    assert r2 >= 0.9 * STRENGTH**2
    assert accuracy - 0.5 >= 0.9 * (BEST_ACCURACY - 0.5)
    explanation = network.explain(draw(1000, SIGNAL[stream], seed=2)[0])
    mean = explanation.weights.mean(dim=(0, 1))
    assert explanation.streams[int(mean.argmax())] == stream
    # Within it, no row has a larger weight than the one with the signal.
    rows = explanation.rows.mean(dim=(0, 1))[int(mean.argmax())]
    assert int(rows.argmax()) == 2


def test_without_the_stream_with_the_signal_there_is_nothing_to_find():
    r2, accuracy = scores(trained(SIGNAL["macro"], without=("macro",)), SIGNAL["macro"])
    assert abs(r2) < 0.01
    assert abs(accuracy - 0.5) < 1.96 * 0.5 / math.sqrt(8192)


def test_a_stream_that_is_left_out_is_not_read():
    network = make_predictor("multimodal_lstm", SHAPE, without=["macro", "seasonal"]).eval()
    x, _ = draw(5, 0, seed=3)
    changed = x.clone()
    changed[..., 3:5] += 1.0
    changed[..., 7:9] = torch.nan
    with torch.no_grad():
        assert torch.equal(network.encode(x), network.encode(changed))
        changed[..., 5] += 1.0
        assert not torch.equal(network.encode(x), network.encode(changed))


def test_groups_make_streams():
    assert stream_columns(GROUPS, ()) == {
        "technical": [0, 1, 2], "seasonal": [3, 4], "sentiment": [5, 6], "macro": [7, 8],
    }  # fmt: skip
    # Columns need not lie side by side, and a group of another name is a stream of its own.
    apart = {"price": slice(0, 1), "seasonal": slice(1, 2), "cross": slice(2, 4)}
    assert stream_columns(apart, ()) == {"technical": [0, 2, 3], "seasonal": [1]}
    assert stream_columns({"observed": slice(0, 2)}, ["macro"]) == {"observed": [0, 1]}
    assert stream_columns(GROUPS, "macro").keys() == {"technical", "seasonal", "sentiment"}


@pytest.mark.parametrize(
    "groups, without, words",
    [
        (GROUPS, ["makro"], "no stream 'makro'; did you mean macro"),
        (GROUPS, ["price"], "no stream 'price'.*technical, seasonal, sentiment, macro"),
        ({}, [], "has no groups"),
        ({"macro": slice(0, 9)}, ["macro"], "has macro, without macro"),
    ],
)
def test_wrong_streams_say_what_is_there(groups, without, words):
    with pytest.raises(ValueError, match=words):
        make_predictor("multimodal_lstm", InputShape(4, 1, 9, groups), without=without)


def test_what_is_explained_is_what_is_done():
    """The answer, made again from the weights that `explain` gives and the states of the LSTMs."""
    torch.manual_seed(4)
    network = make_predictor("multimodal_lstm", InputShape(4, 3, 9, GROUPS), dropout=0.3)
    x = torch.randn(2, 4, 3, 9)
    explanation = network.explain(x)
    assert network.training
    network.eval()
    assert explanation.streams == ("technical", "seasonal", "sentiment", "macro")
    assert explanation.weights.shape == (2, 3, 4) and explanation.rows.shape == (2, 3, 4, 4)
    columns = stream_columns(GROUPS, ())
    with torch.no_grad():
        encoded = network.encode(x)
        for b in range(2):
            for a in range(3):
                answer = torch.zeros(network.width)
                for s, name in enumerate(explanation.streams):
                    stream = network.streams[name]
                    states = stream.lstm(x[b, :, a, columns[name]])[0]
                    seen = explanation.rows[b, a, s] @ states
                    said = torch.tanh(stream.combine(torch.cat([seen, states[-1]])))
                    said = (said - said.mean()) / torch.sqrt(said.var(correction=0) + 1e-5)
                    answer += explanation.weights[b, a, s] * said
                torch.testing.assert_close(encoded[b, a], answer, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(explanation.weights.sum(-1), torch.ones(2, 3))
    torch.testing.assert_close(explanation.rows.sum(-1), torch.ones(2, 3, 4))
