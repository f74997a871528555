"""Training and forecasts of a network on windows, beside a bare torch loop.

python -m benchmarks.run networks
"""

from __future__ import annotations

import time
from statistics import median
from typing import Any

import numpy as np

from benchmarks.measure import ASSETS, Effort, Row, pinned, take_turns
from benchmarks.memory import NO_PROC, resident_bytes

WINDOW, N_FEATURES, WIDTH, BATCH = 60, 45, 64, 16
WHAT = f"LSTM {WIDTH}, windows of {WINDOW} x {N_FEATURES}, {ASSETS} assets"


def measure(effort: Effort) -> list[Row]:
    """Training, one decision, and the memory of the windows; one torch thread."""
    return [*training(effort), decision(effort), windows(effort)]


def training(effort: Effort) -> list[Row]:
    """Seconds of an epoch over those of the same batches in a bare loop.

    The two take turns, epoch by epoch. Ours has all five heads, gathers its windows, looks at
    every input, loss and gradient, clips, and judges one batch of validation rows; the bare loop
    has the same layer, one head and Adam, and windows that lie ready as copies.
    """
    import torch
    from torch import nn
    from torch.nn import functional

    from networks.fitting import FitSettings, fit
    from networks.predictors import InputShape, make_predictor
    from networks.targets import usable_rows

    n_batches, epochs = (16, 6) if effort.repeats >= 10 else (4, 3)
    first = WINDOW + 20
    split = first + n_batches * BATCH + 21
    panel, targets = data(split + 2 * WINDOW + 21)
    rows = np.arange(first, first + n_batches * BATCH)
    judged = usable_rows((split, len(panel)), targets.reach, WINDOW)[:BATCH]

    lstm, head = nn.LSTM(N_FEATURES, WIDTH, batch_first=True), nn.Linear(WIDTH, 3)
    optimiser = torch.optim.Adam([*lstm.parameters(), *head.parameters()])
    views = np.lib.stride_tricks.sliding_window_view(panel, WINDOW, axis=0)[rows - WINDOW + 1]
    ready = torch.from_numpy(np.ascontiguousarray(views.transpose(0, 1, 3, 2)))
    labels = torch.from_numpy(targets.direction[rows])

    def bare() -> None:
        for index in torch.randperm(len(rows)).split(BATCH):
            optimiser.zero_grad()
            last = lstm(ready[index].flatten(0, 1))[0][:, -1]
            functional.cross_entropy(head(last), labels[index].flatten()).backward()
            optimiser.step()

    ours: list[float] = []
    theirs: list[float] = []

    def between(step: int, figures: dict[str, float]) -> None:
        nonlocal begin
        now = time.perf_counter()
        ours.append(now - begin)
        bare()
        begin = time.perf_counter()
        theirs.append(begin - now)

    with pinned(1) as note:
        torch.set_num_threads(1)
        shape = InputShape(WINDOW, ASSETS, N_FEATURES)
        begin = time.perf_counter()
        fit(
            make_predictor("lstm", shape, hidden=(WIDTH,)),
            panel,
            targets,
            rows,
            judged,
            settings=FitSettings(epochs=epochs, batch_size=BATCH, patience=epochs),
            seed=0,
            log=between,
        )
    # The first epoch warms up.
    mine, other = ours[1:], theirs[1:]
    ratios = [a / b for a, b in zip(mine, other, strict=True)]
    n_windows = len(rows) * ASSETS
    name = f"training {WHAT}, batches of {BATCH} rows"
    return [
        Row(
            f"{name}, over a bare torch loop",
            "times",
            (min(ratios), median(ratios)),
            target=1.3,
            less=True,
            note=note,
        ),
        Row(name, "windows/s", (n_windows / min(mine), n_windows / median(mine)), note=note),
    ]


def decision(effort: Effort) -> Row:
    """Milliseconds of one forecast for all assets, eager, without gradients."""
    import torch

    from networks.predictors import InputShape, make_predictor
    from networks.windows import WindowDataset

    panel, targets = data(WINDOW + 40)
    predictor = make_predictor("lstm", InputShape(WINDOW, ASSETS, N_FEATURES), hidden=(WIDTH,))
    predictor.eval()
    dataset = WindowDataset(panel, [WINDOW + 10], WINDOW, targets)

    @torch.inference_mode()
    def decide() -> None:
        predictor(dataset[0].x)

    with pinned(1) as note:
        torch.set_num_threads(1)
        best, middle = take_turns({"": decide}, effort)[""]
    found = (1e3 * best, 1e3 * middle)
    return Row(f"one decision, {WHAT}, eager", "ms", found, target=5.0, less=True, note=note)


def windows(effort: Effort) -> Row:
    """The panel and what the process grows by over an epoch of its batches, over the panel."""
    from networks.windows import BatchSampler, WindowDataset

    name = f"memory of a panel and all its windows of {WINDOW} in an epoch, over the panel"
    panel, targets = data(effort.rows)
    rows = np.arange(WINDOW, len(panel) - 21)
    WindowDataset(panel, rows, WINDOW, targets)[range(BATCH)]
    before = resident_bytes()
    if before is None:
        return Row(name, "times", target=1.5, less=True, note=NO_PROC)
    dataset = WindowDataset(panel, rows, WINDOW, targets)
    most = 0
    for index in BatchSampler(len(rows), BATCH, seed=0):
        batch: Any = dataset[index]
        most = max(most, resident_bytes() or 0)
        del batch
    ratio = 1 + max(most - before, 0) / panel.nbytes
    copies = len(rows) * WINDOW * ASSETS * N_FEATURES * 4
    note = f"panel {panel.nbytes / 1e6:.0f} MB; as copies {copies / 1e6:,.0f} MB"
    return Row(name, "times", (ratio, ratio), target=1.5, less=True, note=note)


def data(n_rows: int) -> tuple[Any, Any]:
    """A panel of white noise and the targets of random prices."""
    from networks.targets import make_targets

    rng = np.random.default_rng(0)
    panel = rng.standard_normal((n_rows, ASSETS, N_FEATURES), np.float32)
    returns = 0.01 * rng.standard_normal((n_rows, ASSETS))
    return panel, make_targets(np.exp(np.cumsum(returns, axis=0)))
