"""What every predictor promises, whatever its architecture; those of the catalogue come by name."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import torch

from networks.forecast import HORIZONS, QUANTILES
from networks.predictors import PREDICTORS, Baseline, InputShape, make_predictor
from networks.predictors.convolution import sees
from networks.targets import Targets
from networks.tensor_file import read_tensors, write_tensors

B, T, A, F = 6, 12, 4, 8
GROUPS = {
    "technical": slice(0, 4),
    "seasonal": slice(4, 5),
    "sentiment": slice(5, 7),
    "macro": slice(7, 8),
}
SHAPE = InputShape(T, A, F, GROUPS)
NAMES = sorted(PREDICTORS)
TRAINED = [name for name in NAMES if not issubclass(PREDICTORS[name], Baseline)]
# These look at a window as a whole; all others read rows in their order.
WHOLE = {"linear", "gradient_boosting", "mlp", "cnn", "eiie", "inverted_transformer"}
# A value that each setting must refuse; predictors are asked about those that they have.
WRONG = {
    "hidden": (),
    "channels": (16, 0),
    "width": 0,
    "layers": 0,
    "levels": 1,
    "maps": 0,
    "kernel": T + 1,
    "heads": 7,
    "feedforward": 0,
    "dropout": 1.0,
    "activation": "softplus",
    "trees": 0,
    "depth": 0,
    "learning_rate": 0.0,
    "leaf": 0,
    "patience": 0,
    "penalties": (-1.0,),
}


def made(name, seed=0, **settings):
    """A predictor that can answer: baselines are fitted to noise."""
    torch.manual_seed(seed)
    predictor = make_predictor(name, SHAPE, **settings)
    if isinstance(predictor, Baseline):
        rng = np.random.default_rng(0)
        panel = rng.normal(size=(300, A, F)).astype(np.float32)
        values = (panel[..., :1] + rng.normal(size=(300, A, 4))).astype(np.float32)
        direction = rng.integers(0, 3, (300, A))
        targets = Targets(
            direction, values[..., :3], values[..., :3], values[..., 3], direction, reach=1
        )
        predictor.fit(panel, targets, np.arange(T, 200), np.arange(220, 299))
    return predictor.eval()


@pytest.fixture
def x():
    return torch.from_numpy(np.random.default_rng(1).normal(size=(B, T, A, F)).astype(np.float32))


@pytest.mark.parametrize("name", NAMES)
def test_one_record_for_every_asset(name, x):
    predictor = made(name)
    with torch.no_grad():
        forecast = predictor(x)
        assert predictor.encode(x).shape == (B, A, predictor.width)
    assert forecast.direction.shape == (B, A, 3)
    assert forecast.expected_return.shape == (B, A, len(HORIZONS))
    assert forecast.confidence.shape == forecast.log_volatility.shape == (B, A)
    assert forecast.quantiles.shape == (B, A, len(QUANTILES))
    assert all(part.dtype == torch.float32 and part.isfinite().all() for part in forecast)
    assert (forecast.quantiles.diff(dim=-1) > 0).all()


@pytest.mark.parametrize("name", NAMES)
def test_swapping_assets_swaps_forecasts(name, x):
    predictor, order = made(name), [2, 0, 3, 1]
    with torch.no_grad():
        for part, swapped in zip(predictor(x), predictor(x[:, :, order]), strict=True):
            torch.testing.assert_close(swapped, part[:, order], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_windows_do_not_look_at_each_other(name, x):
    """Nor while it trains: what a batch holds beside a window changes nothing of its forecast."""
    has = inspect.signature(PREDICTORS[name]).parameters
    predictor = made(name, **({"dropout": 0.0} if "dropout" in has else {})).train()
    with torch.no_grad():
        whole = predictor(x)
        for k in range(B):
            for part, alone in zip(whole, predictor(x[k : k + 1]), strict=True):
                torch.testing.assert_close(alone[0], part[k], rtol=1e-4, atol=1e-5)


def sequence(predictor, x):
    try:
        with torch.no_grad():
            return predictor.encode_sequence(x)
    except NotImplementedError as error:
        assert "looks at a window as a whole" in str(error)
        return None


@pytest.mark.parametrize("name", NAMES)
def test_a_row_has_seen_no_later_one(name, x):
    predictor = made(name)
    before = sequence(predictor, x)
    if before is None:
        return
    assert before.shape == (B, T, A, predictor.width)
    with torch.no_grad():
        torch.testing.assert_close(predictor.encode(x), before[:, -1])
    for t in range(T - 1):
        changed = x.clone()
        changed[:, t + 1 :] = 9.0 - changed[:, t + 1 :]
        after = sequence(predictor, changed)
        assert torch.equal(after[:, : t + 1], before[:, : t + 1]), t
        assert not torch.equal(after[:, t + 1 :], before[:, t + 1 :])


@pytest.mark.parametrize("name", sorted(PREDICTORS.keys() - WHOLE))
def test_these_read_rows_in_their_order(name, x):
    """The last test passes over what looks at a window as a whole; not over these."""
    assert sequence(made(name), x) is not None


@pytest.mark.parametrize("name", TRAINED)
def test_every_row_and_feature_is_read(name, x):
    predictor = made(name)
    x.requires_grad_(True)
    predictor.encode(x).square().sum().backward()
    assert (x.grad.abs().sum(dim=0) > 0).all()


@pytest.mark.parametrize("name", TRAINED)
def test_gradients_reach_every_parameter(name, x):
    predictor = made(name).train()
    forecast = predictor(x)
    torch.stack([part.square().sum() for part in forecast]).sum().backward()
    for key, parameter in predictor.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, key


@pytest.mark.parametrize("name", TRAINED)
def test_the_seed_decides(name, x):
    with torch.no_grad():
        first, same, other = (made(name, seed)(x) for seed in (0, 0, 1))
    for a, b, c in zip(first, same, other, strict=True):
        assert torch.equal(a, b) and not torch.equal(a, c)


@pytest.mark.parametrize("name", NAMES)
def test_a_saved_predictor_answers_the_same(name, x, tmp_path):
    predictor = made(name)
    write_tensors(tmp_path / "model.safetensors", predictor.state_dict(), {})
    other = make_predictor(name, SHAPE).eval()
    other.load_state_dict(read_tensors(tmp_path / "model.safetensors")[0])
    with torch.no_grad():
        for a, b in zip(predictor(x), other(x), strict=True):
            assert torch.equal(a, b)


@pytest.mark.parametrize(
    "name, setting",
    [
        (name, setting)
        for name in NAMES
        for setting in inspect.signature(PREDICTORS[name]).parameters
        if setting in WRONG
    ],
)
def test_wrong_settings_are_named(name, setting):
    with pytest.raises(ValueError, match=setting):
        make_predictor(name, SHAPE, **{setting: WRONG[setting]})


@pytest.mark.parametrize("name", NAMES)
def test_unknown_settings_are_named(name):
    with pytest.raises(ValueError, match=f"predictor {name}: .*'colour'"):
        make_predictor(name, SHAPE, colour="red")
    with pytest.raises(ValueError, match=f"predictor {name}: no setting 'shape'. Known: "):
        make_predictor(name, SHAPE, shape=SHAPE)


def test_the_setting_that_was_meant_is_named():
    with pytest.raises(ValueError, match=r"'hiden'; did you mean hidden\? Known: hidden, dropout"):
        make_predictor("lstm", SHAPE, hiden=[3])


def test_unknown_predictors_are_named():
    with pytest.raises(ValueError, match="unknown predictor 'lstn'; did you mean lstm"):
        make_predictor("lstn", SHAPE)
    with pytest.raises(ValueError, match=r"unknown predictor 3\. Known: linear"):
        make_predictor(3, SHAPE)


# ---------------------------------------------------------------------- single architectures
def test_the_tcn_sees_the_whole_window_and_no_more_blocks_than_that_takes():
    for window in (2, 3, 5, 6, 13, 14, 60):
        predictor = make_predictor("tcn", InputShape(window, 1, 2), kernel=2)
        levels = len(predictor.blocks)
        assert sees(2, levels) >= window > (sees(2, levels - 1) if levels > 1 else 1)


def test_a_tcn_block_sees_the_rows_that_are_claimed():
    """Counted by gradients: one row of the answer reads `sees` rows of the input."""
    for kernel, levels in ((2, 1), (3, 2), (2, 3)):
        window = sees(kernel, levels) + 4
        torch.manual_seed(0)
        predictor = make_predictor(
            "tcn", InputShape(sees(kernel, levels), 1, 2), kernel=kernel, levels=levels
        )
        x = torch.randn(8, window, 1, 2, requires_grad=True)
        predictor.encode_sequence(x)[:, -1].sum().backward()
        read = (x.grad.abs().sum(dim=(0, 2, 3)) > 0).nonzero().flatten()
        assert len(read) == sees(kernel, levels) and read[-1] == window - 1


@pytest.mark.parametrize(
    "name, settings, words",
    [
        ("cnn", {"channels": (8, 8, 8, 8, 8, 8)}, "rows that are left of a window of 12"),
        ("tcn", {"kernel": 2, "levels": 2}, "see 7 rows of a window of 12; take 3"),
        ("inverted_transformer", {"width": 30, "heads": 4}, "heads = 4 does not divide width = 30"),
        ("eiie", {"kernel": 13}, "longer than the window of 12"),
    ],
)
def test_settings_that_do_not_fit_together(name, settings, words):
    with pytest.raises(ValueError, match=words):
        make_predictor(name, SHAPE, **settings)


def test_the_inverted_transformer_reads_other_assets_and_the_others_their_own():
    torch.manual_seed(0)
    x = torch.randn(B, T, A, F)
    changed = x.clone()
    changed[:, :, 0] += 1.0
    with torch.no_grad():
        for name, reads in (("inverted_transformer", True), ("eiie", False), ("cnn", False)):
            predictor = made(name)
            same = torch.equal(predictor.encode(x)[:, 1:], predictor.encode(changed)[:, 1:])
            assert same is not reads
