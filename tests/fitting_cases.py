"""A small market with a signal, and how a network is trained on it, for several test files."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import torch

from networks.fitting import FitSettings, fit
from networks.predictors import InputShape, make_predictor
from networks.targets import make_targets, usable_rows

T, A, F, WINDOW = 260, 3, 4, 5
NAMES, SYMBOLS = ("alpha", "beta", "gamma", "delta"), ("AAA", "BBB", "CCC")
USUAL = FitSettings(epochs=4, batch_size=32, learning_rate=3e-3)


def case(seed=0, rows=T, signal=0.01):
    """Panel, targets, training and validation rows; the first feature moves the next return."""
    rng = np.random.default_rng(seed)
    panel = rng.standard_normal((rows, A, F)).astype(np.float32)
    returns = 0.01 * rng.standard_normal((rows, A))
    returns[2:] += signal * panel[:-2, :, 0]
    tradable = np.ones((rows, A), bool)
    tradable[60:75, 1] = False
    targets = make_targets(np.exp(np.cumsum(returns, axis=0)), tradable=tradable)
    split = int(rows * 0.65)
    training = usable_rows((25, split), targets.reach)
    return panel, targets, training, usable_rows((split, rows), targets.reach, WINDOW)


def network(kind="lstm", seed=0, **settings):
    torch.manual_seed(seed)
    default = {"lstm": {"hidden": (6,), "dropout": 0.3}, "mlp": {"hidden": (8,)}}[kind]
    return make_predictor(kind, InputShape(WINDOW, A, F), **{**default, **settings})


def trained(settings=USUAL, folder=None, predictor=None, seed=1, data=None, **how):
    torch.set_num_threads(1)
    panel, targets, training, validation = data or case()
    return fit(
        predictor or network(), panel, targets, training, validation,
        settings=settings, seed=seed, folder=folder,
        feature_names=NAMES, symbols=SYMBOLS, **how,
    )  # fmt: skip


def main():
    """`python -m tests.fitting_cases FOLDER SETTINGS.json`: trains, and tells every epoch."""
    folder, settings = Path(sys.argv[1]), FitSettings(**json.loads(sys.argv[2]))
    trained(
        settings,
        folder,
        log=lambda step, figures: print(f"epoch {step}", flush=True),
        resumed=lambda step: print(f"resumed {step}", flush=True),
    )


if __name__ == "__main__":
    main()
