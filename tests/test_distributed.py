"""Two processes that learn together learn what one learns alone."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from networks.fitting import FitSettings
from networks.objective import Objective
from networks.predictors import InputShape
from networks.predictors.mlp import MLP
from tests.fitting_cases import WINDOW, A, F, case, network, trained

# Plain gradient descent: a gradient that is wrong by a factor is a parameter that is wrong by it.
PLAIN = FitSettings(
    epochs=3, batch_size=32, optimizer="sgd", learning_rate=0.1, l1=1e-4,
    objective=Objective(class_weights=(2.0, 1.0, 1.5)),
)  # fmt: skip


class Stale(MLP):
    """A predictor that refuses, in whichever process it learns."""

    def forward(self, x):
        if self.training:
            raise ValueError("these windows are stale; open one")
        return super().forward(x)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "drop"),
    [(PLAIN, 0), (replace(PLAIN, objective=Objective(confidence=0.0, quantiles=0.0)), 1)],
    ids=["every head", "some heads, batches that cannot be halved"],
)
def test_parameters_are_those_of_one_process_with_the_same_batches(tmp_path, settings, drop):
    panel, targets, training, validation = case()
    # The last batch has one row more or less; halts leave the processes with unlike numbers of
    # known targets.
    data = (panel, targets, training[drop:], validation)
    told, moved = [], []
    alone = trained(settings, predictor=network(dropout=0.0), data=data)
    together = trained(
        replace(settings, devices=2), tmp_path, network(dropout=0.0), data=data,
        log=lambda step, figures: told.append(step), advance=lambda new, _: moved.append(new),
    )  # fmt: skip
    assert told == [1, 2, 3] and sum(moved) == 3
    for key, value in alone.predictor.state_dict().items():
        found = together.predictor.state_dict()[key]
        torch.testing.assert_close(found, value, atol=1e-6, rtol=1e-6)
        assert key.startswith("heads.") or not torch.equal(value, network().state_dict()[key])
    for key, values in alone.curve.items():
        np.testing.assert_allclose(together.curve[key], values, rtol=1e-5, err_msg=key)
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]


@pytest.mark.slow
def test_what_one_process_refuses_is_said_in_its_words():
    torch.manual_seed(0)
    stale = Stale(InputShape(WINDOW, A, F), hidden=(4,))
    with pytest.raises(ValueError, match=r"^these windows are stale; open one$"):
        trained(replace(PLAIN, devices=2), predictor=stale)
