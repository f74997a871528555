"""Settings of a training, half precision, and devices."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from networks.fitting import CHECKPOINT, FitSettings
from networks.tensor_file import read_tensors
from tests.fitting_cases import USUAL, WINDOW, case, network, trained

BF16 = replace(USUAL, precision="bf16")


def test_bf16_computes_in_bf16_and_keeps_parameters_and_judgement_in_full():
    seen = {True: set(), False: set()}
    predictor = network("mlp")
    predictor.layers[0].register_forward_hook(
        lambda module, _, answer: seen[module.training].add(answer.dtype)
    )
    fitted = trained(replace(BF16, epochs=2), predictor=predictor)
    assert seen == {True: {torch.bfloat16}, False: {torch.float32}}
    assert {p.dtype for p in fitted.predictor.parameters()} == {torch.float32}


def test_bf16_learns_what_full_precision_learns():
    data = case(rows=500)
    settings = replace(USUAL, epochs=8, learning_rate=1e-2)
    full, half = (
        trained(replace(settings, precision=p), predictor=network("mlp"), data=data)
        for p in ("32", "bf16")
    )
    assert half.curve["training"] != full.curve["training"]
    # Eight bits of a number: the losses agree to about a per cent.
    np.testing.assert_allclose(half.curve["validation"], full.curve["validation"], rtol=0.01)
    panel, _, _, validation = data
    windows = torch.stack([torch.from_numpy(panel[t - WINDOW + 1 : t + 1]) for t in validation])
    one, two = (
        f.predictor(windows).expected_return[..., 0].detach().flatten() for f in (full, half)
    )
    assert float(torch.corrcoef(torch.stack([one, two]))[0, 1]) > 0.98


def test_bf16_goes_on_to_the_same_bits(tmp_path):
    def stop(step, figures):
        if step == 3:
            raise KeyError(step)

    with pytest.raises(KeyError):
        trained(BF16, tmp_path, log=stop)
    whole, again = trained(BF16), trained(BF16, tmp_path)
    assert again.curve == whole.curve
    for key, value in whole.predictor.state_dict().items():
        assert torch.equal(value, again.predictor.state_dict()[key])


def test_a_checkpoint_is_read_without_executing_anything(tmp_path):
    def stop(step, figures):
        if step == 2:
            raise KeyError(step)

    with pytest.raises(KeyError):
        trained(USUAL, tmp_path, log=stop)
    tensors, facts = read_tensors(tmp_path / CHECKPOINT)
    assert facts["epoch"] == 0 and facts["about"]["seed"] == 1
    assert {"optimizer_states", "loops", "callbacks", "state_dict"} <= facts.keys()
    assert all(isinstance(value, torch.Tensor) for value in tensors.values())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"precision": "16"}, "precision=16 needs device=cuda"),
        ({"precision": "64"}, "unknown precision '64'; known: 32, bf16, 16"),
        ({"optimizer": "lion"}, "unknown optimizer 'lion'; known: sgd, rmsprop, adam, adamw"),
        ({"epochs": 0}, "epochs must be a whole number at least 1, got 0"),
        ({"epochs": 1.5}, "epochs must be a whole number"),
        ({"batch_size": True}, "batch_size must be a whole number"),
        ({"learning_rate": 0.0}, "learning_rate must be at least 1e-12"),
        ({"learning_rate": math.nan}, "learning_rate must be"),
        ({"learning_rate": "fast"}, "learning_rate must be"),
        ({"weight_decay": -1.0}, "weight_decay must be at least 0"),
        ({"l1": math.inf}, "l1 must be"),
        ({"gradient_clip": 0.0}, "gradient_clip must be"),
        ({"momentum": 1.0}, "momentum must be below 1"),
        ({"reduce_factor": 1.0}, "reduce_factor must be below 1"),
        ({"reduce_factor": 0.0}, "reduce_factor must be above 0"),
        ({"device": "gpu"}, "device must be cpu, cuda or cuda:N"),
        ({"devices": 2, "batch_size": 1}, "leaves some of devices=2 without rows"),
        ({"devices": 2, "device": "cuda:1"}, "needs device=cpu or cuda"),
    ],
)
def test_wrong_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        FitSettings(**settings)


def test_numbers_of_yaml_are_precisions():
    assert FitSettings(precision=32).precision == "32"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_a_device_that_is_not_there_is_named():
    with pytest.raises(ValueError, match=r"device=cuda .*finds 0 CUDA device\(s\); use device=cpu"):
        trained(replace(USUAL, device="cuda", precision="16"))


@pytest.mark.slow
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["32", "bf16", "16"])
def test_a_gpu_learns_what_the_cpu_learns(precision):
    settings = replace(USUAL, epochs=6, learning_rate=1e-2)
    here = trained(settings, predictor=network("mlp"))
    there = trained(replace(settings, device="cuda", precision=precision), predictor=network("mlp"))
    rtol = 1e-4 if precision == "32" else 0.01
    np.testing.assert_allclose(there.curve["validation"], here.curve["validation"], rtol=rtol)
    assert {p.device.type for p in there.predictor.parameters()} == {"cpu"}
