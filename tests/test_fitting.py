"""Training: it learns, stops, keeps the best, and goes on after a kill as if nothing had been."""

import json
import random
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from networks.fitting import CHECKPOINT, MODEL, FitSettings
from networks.objective import Objective
from networks.predictors import InputShape, make_predictor
from networks.predictors.mlp import MLP
from networks.tensor_file import read_tensors, write_tensors
from networks.windows import WindowDataset
from tests.fitting_cases import USUAL, WINDOW, A, F, case, network, trained

ROOT = Path(__file__).resolve().parents[1]


def parameters(fitted):
    return {key: value.clone() for key, value in fitted.predictor.state_dict().items()}


def assert_same(one, two):
    """Bit for bit, in all that a training leaves."""
    assert one.curve == two.curve
    assert (one.best_step, one.calibration) == (two.best_step, two.calibration)
    first, second = parameters(one), parameters(two)
    assert first.keys() == second.keys()
    for key in first:
        assert torch.equal(first[key], second[key]), key


@pytest.fixture(scope="module")
def unbroken():
    return trained()


# --------------------------------------------------------------------------------------- learning
def test_the_loss_falls_and_the_signal_is_found():
    data = case(rows=500)
    fitted = trained(
        replace(USUAL, epochs=12, learning_rate=1e-2), data=data, predictor=network("mlp")
    )
    assert fitted.curve["steps"] == list(range(1, 13))
    assert fitted.curve["training"][-1] < fitted.curve["training"][0]
    panel, targets, _, validation = data
    windows = torch.stack([torch.from_numpy(panel[t - WINDOW + 1 : t + 1]) for t in validation])
    forecast = fitted.predictor(windows)
    known = targets.direction[validation] >= 0
    right = (forecast.direction.argmax(-1).numpy() == targets.direction[validation])[known]
    base = np.bincount(targets.direction[validation][known]).max() / known.sum()
    # Half the variance of the next return is the signal; twice the standard error of the base rate.
    assert right.mean() > base + 2 * np.sqrt(base * (1 - base) / known.sum())
    slope = np.polyfit(
        panel[validation, :, 0].ravel(), forecast.expected_return[..., 0].detach().ravel(), 1
    )[0]
    assert slope > 0.2


def expected_calibration_error(said, right, bins=8):
    """Mean distance of what was said from what was so, in bins of as many cases each."""
    order = np.argsort(said)
    parts = zip(np.array_split(said[order], bins), np.array_split(right[order], bins))
    return float(np.mean([abs(p.mean() - r.mean()) for p, r in parts]))


def test_confidence_is_the_share_of_directions_that_are_right_on_rows_never_seen():
    """An overfitted network is too sure of itself; calibrated on validation rows it is not."""
    rows = 6000
    panel, targets, training, _ = case(rows=rows, signal=0.01)
    training = training[:120]
    validation, test = np.arange(600, 1500), np.arange(1530, rows - 30)
    settings = FitSettings(
        epochs=40, batch_size=32, learning_rate=2e-2, patience=40, reduce_patience=40,
        objective=Objective(confidence=3.0),
    )  # fmt: skip
    data = (panel, targets, training, validation)
    fitted = trained(settings, predictor=network("mlp", hidden=(32,)), data=data)
    windows = torch.stack([torch.from_numpy(panel[t - WINDOW + 1 : t + 1]) for t in test])
    forecast = fitted.predictor(windows)
    known = targets.direction[test] >= 0
    right = (forecast.direction.argmax(-1).numpy() == targets.direction[test])[known]
    logit = forecast.confidence.detach().numpy()[known].astype(float)
    slope, intercept = fitted.calibration
    before = expected_calibration_error(1 / (1 + np.exp(-(logit - intercept) / slope)), right)
    after = expected_calibration_error(1 / (1 + np.exp(-logit)), right)
    assert before > 0.1 and after < 0.025


def test_it_says_nothing_by_itself(capfd):
    trained(replace(USUAL, epochs=2))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("optimizer", ["sgd", "rmsprop", "adam", "adamw"])
def test_every_optimiser_takes_the_step_of_its_formula(optimizer):
    """One step on one batch, against the definition in NumPy."""
    data = case()
    rows = data[2][:8]
    before = network("mlp").state_dict()
    how = {"optimizer": optimizer, "epochs": 1, "batch_size": 8, "learning_rate": 0.01}
    how |= {"weight_decay": 0.1, "gradient_clip": None}
    settings = FitSettings(**how, momentum=0.5 if optimizer == "rmsprop" else 0.0)
    fitted = trained(settings, predictor=network("mlp"), data=(*data[:2], rows, data[3]))
    other = network("mlp")
    batch = dataset(data, rows)[range(8)]
    Objective()(other(batch.x), batch).backward()
    for name, gradient in ((k, p.grad.numpy()) for k, p in other.named_parameters()):
        w = before[name].numpy()
        g = gradient + 0.1 * w
        expected = {
            "sgd": w - 0.01 * g,
            "rmsprop": w - 0.01 * g / (np.sqrt(0.01 * g**2) + 1e-8),
            "adam": w - 0.01 * g / (np.abs(g) + 1e-8),
            "adamw": w * (1 - 0.01 * 0.1) - 0.01 * gradient / (np.abs(gradient) + 1e-8),
        }[optimizer]
        if not name.startswith("heads.confidence"):  # corrected afterwards
            found = fitted.predictor.state_dict()[name].numpy()
            np.testing.assert_allclose(found, expected, rtol=2e-4, atol=2e-6, err_msg=name)


def dataset(data, rows):
    return WindowDataset(data[0], rows, WINDOW, data[1])


def test_momentum_carries_the_last_step_on():
    """Two steps on one batch, against the definition in NumPy."""
    data = case()
    rows = data[2][:8]
    how = {"batch_size": 8, "optimizer": "sgd", "learning_rate": 0.01, "gradient_clip": None}
    other = network("mlp")
    velocity: dict = {}
    for _ in range(2):
        batch = dataset(data, rows)[range(8)]
        other.zero_grad()
        Objective()(other(batch.x), batch).backward()
        with torch.no_grad():
            for key, p in other.named_parameters():
                velocity[key] = 0.9 * velocity.get(key, 0.0) + p.grad
                p -= 0.01 * velocity[key]
    found = trained(
        FitSettings(epochs=2, momentum=0.9, **how),
        predictor=network("mlp"),
        data=(*data[:2], rows, data[3]),
    )
    assert found.best_step == 2
    for key in ("layers.0.weight", "heads.quantiles.bias"):
        mine = other.state_dict()[key].numpy()
        np.testing.assert_allclose(
            found.predictor.state_dict()[key].numpy(), mine, rtol=1e-5, atol=1e-7
        )


def test_l1_empties_weights_and_l2_shrinks_them():
    def weights(**penalty):
        settings = replace(USUAL, epochs=6, learning_rate=1e-2, **penalty)
        fitted = trained(settings, predictor=network("mlp"))
        return torch.cat([p.flatten() for p in fitted.predictor.layers.parameters() if p.dim() > 1])

    plain, l1, l2 = weights(), weights(l1=0.05), weights(weight_decay=0.5)
    near = 0.02
    assert l1.abs().sum() < 0.5 * plain.abs().sum() and l2.norm() < 0.5 * plain.norm()
    assert (l1.abs() < near).float().mean() > 2 * (plain.abs() < near).float().mean()


def test_gradients_are_clipped_to_their_norm():
    data = case()
    rows = data[2][:8]
    settings = FitSettings(
        epochs=1, batch_size=8, optimizer="sgd", learning_rate=1.0, gradient_clip=0.01
    )
    before = network("mlp").state_dict()
    after = trained(settings, predictor=network("mlp"), data=(*data[:2], rows, data[3]))
    keys = [key for key in before if "confidence" not in key]
    moved = [(after.predictor.state_dict()[key] - before[key]).flatten() for key in keys]
    assert 0.008 < float(torch.cat(moved).norm()) <= 0.01 * (1 + 1e-4)


def test_dropout_is_random_in_training_and_gone_afterwards(unbroken):
    x = torch.randn(2, WINDOW, A, F)
    assert not unbroken.predictor.training
    assert torch.equal(unbroken.predictor(x).direction, unbroken.predictor(x).direction)
    assert trained(seed=2).curve["training"] != unbroken.curve["training"]


def test_training_leaves_the_random_numbers_of_others_alone():
    predictor = network()
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    trained(replace(USUAL, epochs=1), predictor=predictor)
    assert torch.equal(torch.rand(3), expected)


# --------------------------------------------------------------------- stopping and learning rates
class Scripted(MLP):
    """Its validation loss follows a script, an entry an epoch, whatever it learns."""

    def __init__(self, losses):
        torch.manual_seed(0)
        super().__init__(InputShape(WINDOW, A, F), hidden=(8,))
        self.register_buffer("script", torch.tensor(losses, dtype=torch.float64))
        self.register_buffer("judged", torch.tensor(-1))

    def train(self, mode=True):
        self.judged += self.training and not mode
        return super().train(mode)

    def forward(self, x):
        forecast = super().forward(x)
        if self.training:
            return forecast
        now = self.script[self.judged.clamp(max=len(self.script) - 1)]
        # Targets are 0, and the loss is the square.
        return forecast._replace(log_volatility=now.sqrt().expand(x.shape[0], A))


def scripted(losses, folder=None, log=None, resumed=None, advance=None, **settings):
    """Trains on the volatility alone; the curve, and the parameters after each epoch."""
    only = Objective(direction=0, expected_return=0, quantiles=0, volatility=1, confidence=0)
    usual = {"epochs": 10, "batch_size": 128, "learning_rate": 0.1, "optimizer": "sgd"}
    predictor, states = Scripted(losses), []

    def keep(step, figures):
        states.append({key: value.clone() for key, value in predictor.state_dict().items()})
        if log is not None:
            log(step, figures)

    panel, targets, training, validation = case()
    zero = np.zeros_like(targets.log_volatility)
    fitted = trained(
        FitSettings(**{**usual, **settings}, objective=only),
        folder,
        predictor,
        data=(panel, targets._replace(log_volatility=zero), training, validation),
        log=keep,
        advance=advance,
        resumed=resumed,
    )
    return fitted, states


def test_it_stops_after_patience_and_restores_the_best():
    fitted, states = scripted([5.0, 4.0, 3.0, 3.5, 3.4, 3.3, 9.0], patience=3)
    np.testing.assert_allclose(fitted.curve["validation"], [5.0, 4.0, 3.0, 3.5, 3.4, 3.3])
    assert fitted.best_step == 3
    final = fitted.predictor.state_dict()
    for key in ("heads.log_volatility.weight", "layers.0.weight"):
        assert torch.equal(final[key], states[2][key])
        assert not torch.equal(final[key], states[5][key])


def test_what_falls_by_less_than_min_delta_is_no_progress():
    fitted, _ = scripted([5.0, 4.95, 4.90, 4.85, 4.80], patience=3, min_delta=0.5)
    assert len(fitted.curve["steps"]) == 4
    # The best is still the lowest.
    assert fitted.best_step == 4


def test_the_learning_rate_falls_on_a_plateau():
    losses = [5.0, 4.0, 4.0, 4.0, 4.0, 4.0, 3.0, 3.0, 3.0, 3.0]
    fitted, _ = scripted(losses, patience=10, reduce_factor=0.1, reduce_patience=1)
    # Two epochs that are no better are more than one.
    expected = [0.1] * 4 + [0.01] * 2 + [0.001] * 3 + [0.0001]
    np.testing.assert_allclose(fitted.curve["learning_rate"], expected, rtol=1e-12)


def test_it_tells_every_epoch_and_fills_the_bar_when_it_stops_early():
    told, moved = [], []
    scripted(
        [5.0, 6.0, 7.0, 8.0],
        log=lambda step, figures: told.append((step, figures)),
        advance=lambda new, figures: moved.append(new),
        patience=2,
    )
    assert [step for step, _ in told] == [1, 2, 3] and sum(moved) == 10
    wanted = {"train/loss", "train/learning_rate", "validation/loss", "validation/volatility"}
    assert all(wanted <= figures.keys() for _, figures in told)


# ----------------------------------------------------------------------------- resume, bit for bit
def test_the_same_seed_gives_the_same_bits(unbroken):
    assert_same(trained(), unbroken)


class Killed(Exception):
    pass


@pytest.mark.parametrize("after", [1, 2, 3])
@pytest.mark.parametrize("every", [1, 2])
def test_interrupted_between_epochs_it_goes_on_to_the_same_bits(tmp_path, unbroken, after, every):
    settings = replace(USUAL, checkpoint_every=every)

    def stop(step, figures):
        if step == after + 1:
            raise Killed

    with pytest.raises(Killed):
        trained(settings, tmp_path, log=stop)
    saved = after - after % every
    assert (tmp_path / CHECKPOINT).exists() == (saved > 0)
    seen, moved = [], []
    again = trained(settings, tmp_path, predictor=network(seed=9) if saved else network(),
                    resumed=seen.append, advance=lambda new, _: moved.append(new))  # fmt: skip
    assert seen == ([saved] if saved else []) and sum(moved) == 4
    assert_same(again, unbroken)
    assert [path.name for path in tmp_path.iterdir()] == [MODEL]
    # And once more from the finished model.
    assert_same(trained(settings, tmp_path, predictor=network(seed=5)), unbroken)


LOSSES = [5.0, 4.0, 4.5, 4.4, 4.3, 4.2, 1.0]
PLATEAU = {"patience": 4, "reduce_patience": 1, "reduce_factor": 0.1}


@pytest.mark.parametrize("after", [3, 4, 5])
def test_a_resumed_training_keeps_its_patience_and_its_rate(tmp_path, after):
    whole, _ = scripted(LOSSES, **PLATEAU)
    assert len(whole.curve["steps"]) == 6 and whole.curve["learning_rate"][-1] < 0.02

    def stop(step, figures):
        if step == after + 1:
            raise Killed

    with pytest.raises(Killed):
        scripted(LOSSES, tmp_path, log=stop, **PLATEAU)
    seen = []
    assert_same(scripted(LOSSES, tmp_path, resumed=seen.append, **PLATEAU)[0], whole)
    assert seen == [after]


@pytest.mark.parametrize("epochs", [4, 10])
def test_killed_between_its_last_epoch_and_its_model_it_stops_at_the_same_epoch(tmp_path, epochs):
    """By its number of epochs, or by its patience."""
    whole, _ = scripted(LOSSES, epochs=epochs, **PLATEAU)

    def stop(new, figures):
        if not figures:
            raise Killed

    with pytest.raises(Killed):
        scripted(LOSSES, tmp_path, advance=stop, epochs=epochs, **PLATEAU)
    assert [path.name for path in tmp_path.iterdir()] == [CHECKPOINT]
    assert_same(scripted(LOSSES, tmp_path, epochs=epochs, **PLATEAU)[0], whole)


@pytest.mark.slow
@pytest.mark.parametrize("number", [0])
def test_killed_at_any_moment_it_goes_on_to_the_same_bits(tmp_path, number):
    settings = replace(USUAL, epochs=30, patience=30)
    as_text = json.dumps({"epochs": 30, "batch_size": 32, "learning_rate": 3e-3, "patience": 30})
    command = [sys.executable, "-m", "tests.fitting_cases", str(tmp_path), as_text]
    moments = random.Random(number)
    kills, resumes = 0, 0
    while True:
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        lines = iter(process.stdout)
        stop_after = moments.randint(3, 12)
        for line in lines:
            resumes += line.startswith("resumed")
            stop_after -= line.startswith("epoch")
            if not stop_after and kills < 3:
                try:
                    process.wait(timeout=moments.uniform(0.0, 0.1))
                except subprocess.TimeoutExpired:
                    process.send_signal(signal.SIGKILL)
                    kills += 1
                break
        process.stdout.close()
        if process.wait() == 0:
            break
        assert process.returncode == -signal.SIGKILL
    assert kills >= 1 and resumes >= 1
    assert_same(trained(settings, tmp_path, predictor=network(seed=3)), trained(settings))


def test_signals_stay_those_of_the_program():
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in numbers]

    def stop(step, figures):
        assert [signal.getsignal(number) for number in numbers] == before
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained(log=stop)
    assert [signal.getsignal(number) for number in numbers] == before


# ---------------------------------------------------------------------- what is in a folder
def test_a_model_says_how_it_came_to_be(tmp_path):
    about = {"name": "lstm", "hidden": [6]}
    fitted = trained(replace(USUAL, epochs=2), tmp_path, about=about)
    tensors, facts = read_tensors(tmp_path / MODEL)
    assert facts["settings"]["epochs"] == 2 and facts["settings"]["objective"]["direction"] == 1.0
    assert "device" not in facts["settings"]
    assert facts["predictor"] == {"class": "LSTM", "name": "lstm", "hidden": [6]}
    assert facts["shape"] == {"window": WINDOW, "n_assets": A, "n_features": F}
    assert facts["seed"] == 1 and facts["best_step"] == fitted.best_step
    assert facts["curve"] == fitted.curve and tuple(facts["calibration"]) == fitted.calibration
    for key, value in fitted.predictor.state_dict().items():
        assert torch.equal(tensors[key], value)


@pytest.mark.parametrize(
    ("settings", "how", "key"),
    [
        ({"learning_rate": 0.5}, {}, r"settings.learning_rate=0.003.*asks for 0.5"),
        ({"objective": Objective(confidence=0.0)}, {}, "settings.objective"),
        ({}, {"seed": 8}, "seed=1.*asks for 8"),
        ({}, {"about": {"dropout": 0.1}}, "predictor.dropout=None"),
    ],
)
@pytest.mark.parametrize("file", [MODEL, CHECKPOINT])
def test_a_folder_of_another_training_is_refused(folders, file, settings, how, key):
    folder, kept = folders[file]
    with pytest.raises(ValueError, match=key) as caught:
        trained(replace(kept, **settings), folder, **how)
    assert str(folder / file) in str(caught.value)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    kept = replace(USUAL, epochs=2)
    finished, broken = tmp_path_factory.mktemp("finished"), tmp_path_factory.mktemp("broken")
    trained(kept, finished)

    def stop(step, figures):
        if step == 2:
            raise Killed

    with pytest.raises(Killed):
        trained(kept, broken, log=stop)
    return {MODEL: (finished, kept), CHECKPOINT: (broken, kept)}


def test_a_damaged_checkpoint_is_named(tmp_path):
    (tmp_path / CHECKPOINT).write_bytes(b"half a file")
    with pytest.raises(ValueError, match=r"checkpoint.safetensors .*delete it"):
        trained(folder=tmp_path)


@pytest.mark.parametrize("file", [MODEL, CHECKPOINT])
@pytest.mark.parametrize("facts", [{}, {"agent": {}, "curve": {}, "best_step": 1, "seed": 1}])
def test_a_file_of_another_kind_of_agent_is_refused(tmp_path, file, facts):
    write_tensors(tmp_path / file, {}, facts)
    with pytest.raises(ValueError, match=rf"{file} .*another kind of agent.*delete it"):
        trained(folder=tmp_path)


def test_a_baseline_fits_itself():
    with pytest.raises(ValueError, match=r"Linear is fitted by predictor\.fit"):
        trained(predictor=make_predictor("linear", InputShape(WINDOW, A, F)))


def test_the_device_is_no_setting_of_what_is_learned():
    assert FitSettings(device="cuda").to_dict() == FitSettings().to_dict()


# ---------------------------------------------------------------------------- rows and traps
def test_rows_that_overlap_are_refused():
    panel, targets, _, validation = case()
    with pytest.raises(ValueError, match=r"purge them with networks\.targets\.usable_rows"):
        trained(data=(panel, targets, np.arange(25, validation[0] - 3), validation))
    with pytest.raises(ValueError, match="window crosses the split"):
        short = targets._replace(reach=1)
        trained(data=(panel, short, np.arange(25, validation[0] - 3), validation))


def test_a_panel_of_another_shape_is_refused():
    panel, targets, training, validation = case()
    with pytest.raises(ValueError, match="make it for this panel"):
        trained(data=(panel[..., :3], targets, training, validation))


def test_validation_without_known_targets_is_refused():
    panel, targets, training, validation = case()
    targets.direction[validation] = -1
    with pytest.raises(ValueError, match="no target of direction, confidence is known"):
        trained(data=(panel, targets, training, validation))
