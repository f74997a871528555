"""NaN and infinity stop a training with the batch, the row, the asset and the column named."""

import re

import numpy as np
import pytest
import torch

from networks.finite import Guard
from networks.fitting import FitSettings
from networks.objective import Objective
from networks.windows import Batch, BatchSampler
from tests.fitting_cases import SYMBOLS, USUAL, WINDOW, case, network, trained


def told(message, pattern):
    found = re.search(pattern, message)
    assert found, message
    return found


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_inputs(value):
    panel, targets, training, validation = case()
    panel[90, 2, 1] = value
    with pytest.raises(ValueError) as caught:
        trained(data=(panel, targets, training, validation))
    message = str(caught.value)
    found = told(
        message, rf"^epoch 1, batch (\d+): the features are {value} at row 90, asset CCC, "
    )
    assert "column beta" in message and "features=..." in message
    # It is the first batch whose windows hold the row.
    rows = [training[index.numpy()] for index in BatchSampler(len(training), 32, seed=1)]
    holds = [bool(((90 <= r) & (r < 90 + WINDOW)).any()) for r in rows]
    assert int(found[1]) == holds.index(True) + 1


def test_inputs_of_the_validation():
    panel, targets, training, validation = case()
    panel[validation[-1], 0, 3] = np.nan
    where = rf"validation after epoch 1, batch 3: .*row {validation[-1]}, asset AAA, column delta"
    with pytest.raises(ValueError, match=where):
        trained(data=(panel, targets, training, validation))


def test_features_that_no_window_reads_may_be_anything():
    panel, targets, training, validation = case()
    panel[: training[0] - WINDOW + 1] = np.nan
    panel[validation[-1] + 1 :] = np.inf
    one = trained(data=(panel, targets, training, validation))
    assert one.curve == trained().curve


def test_a_large_sum_is_no_infinity():
    """Finite numbers whose sum is not."""
    x = torch.full((2, 3, 1, 2), 3e38)
    nothing = torch.zeros(2, 1)
    batch = Batch(x, nothing.long(), nothing[..., None], nothing, torch.tensor([5, 6]))
    Guard().inputs(batch, "here")
    x[1, 0, 0, 1] = torch.nan
    with pytest.raises(ValueError, match="here: the features are nan at row 4, asset 0, column 1"):
        Guard().inputs(batch, "here")


def test_targets():
    panel, targets, training, validation = case()
    targets.expected_return[100, 1, 2] = np.inf
    with pytest.raises(ValueError) as caught:
        trained(data=(panel, targets, training, validation))
    told(
        str(caught.value),
        r"^epoch 1, batch \d+: the loss is inf \(heads: expected_return\): target",
    )
    told(str(caught.value), r"target expected_return is not finite at row 100, asset BBB")


class Broken(torch.nn.Module):
    """A head that answers NaN for one asset from some step on."""

    def __init__(self, head, after):
        super().__init__()
        self.head, self.after, self.steps = head, after, 0

    def forward(self, encoded):
        answer = self.head(encoded)
        self.steps += 1
        if self.steps > self.after:
            answer = answer.clone()
            answer[3, 1] = torch.nan
        return answer


@pytest.mark.parametrize("head", ["direction", "log_volatility"])
def test_losses(head):
    predictor = network("mlp")
    setattr(predictor.heads, head, Broken(getattr(predictor.heads, head), after=2))
    panel, targets, training, validation = case()
    panel[..., 2] *= 100  # the column to suspect
    with pytest.raises(ValueError) as caught:
        trained(predictor=predictor, data=(panel, targets, training, validation))
    message = str(caught.value)
    told(message, r"^epoch 1, batch 3: the loss is nan")
    told(message, rf"forecast {head} is not finite at row \d+, asset BBB, whose largest feature is")
    told(message, "is column gamma with")
    assert "lower learning_rate" in message


class Steep(torch.autograd.Function):
    """The identity, with a gradient that is not finite."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient * torch.inf


def test_gradients():
    predictor = network("mlp")
    inner = predictor.heads.quantiles

    class Head(torch.nn.Module):
        steps = 0

        def forward(self, encoded):
            Head.steps += 1
            answer = inner(encoded)
            return Steep.apply(answer) if Head.steps == 2 else answer

    predictor.heads.quantiles = Head()
    panel, targets, training, validation = case()
    panel[..., 0] *= 50
    before = {}

    def keep(*_):
        before.update({k: v.clone() for k, v in predictor.layers.state_dict().items()})

    predictor.layers.register_forward_pre_hook(keep)
    with pytest.raises(ValueError) as caught:
        trained(predictor=predictor, data=(panel, targets, training, validation))
    told(str(caught.value), r"^epoch 1, batch 2: the gradient of layers\.0\.weight is not finite")
    told(str(caught.value), r"row \d+, asset ..., whose largest feature is column alpha")
    # It did not train on: the parameters are those with which the step began.
    for key, value in predictor.layers.state_dict().items():
        assert torch.equal(value, before[key]) and torch.isfinite(value).all()


def test_a_learning_rate_that_is_too_high_ends_with_the_remedy():
    settings = FitSettings(
        epochs=50, batch_size=32, optimizer="sgd", learning_rate=1e4, gradient_clip=None,
        objective=Objective(return_loss="mse", volatility_loss="qlike"),
    )  # fmt: skip
    with pytest.raises(ValueError, match=r"epoch \d+, .*row \d+, asset .*, whose.* lower learn"):
        trained(settings, predictor=network("mlp"))


def test_without_names_numbers_are_told():
    guard, named = Guard(), Guard(("a", "b"), SYMBOLS)
    assert (guard.asset(2), guard.column(1)) == ("asset 2", "column 1")
    assert (named.asset(2), named.column(1)) == ("asset CCC", "column b")


def test_nothing_is_written_by_a_training_that_ends_so(tmp_path):
    panel, targets, training, validation = case()
    panel[90, 2, 1] = np.nan
    with pytest.raises(ValueError):
        trained(USUAL, tmp_path, data=(panel, targets, training, validation))
    assert not list(tmp_path.iterdir())
