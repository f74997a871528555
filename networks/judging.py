"""What a predictor's forecasts are worth by an objective, on rows that it does not learn from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch

from networks.finite import Guard
from networks.forecast import Forecast
from networks.objective import Objective
from networks.predictors.base import Predictor
from networks.windows import Batch, BatchSampler, WindowDataset


class Judged(NamedTuple):
    """The loss of all rows together: `loss`, and `parts`, the unweighted mean of each head."""

    loss: float
    parts: dict[str, float]


def forecasts(
    predictor: Predictor, rows: WindowDataset, batch_size: int
) -> Iterator[tuple[Batch, Forecast]]:
    """Every batch of the rows, in their order, with its forecast: no dropout, no gradients."""
    learning = predictor.training
    predictor.eval()
    try:
        for index in BatchSampler(len(rows), batch_size, seed=None):
            batch = rows[index]
            with torch.no_grad():
                forecast = predictor(batch.x)
            yield batch, forecast
    finally:
        predictor.train(learning)


def judge(
    predictor: Predictor,
    rows: WindowDataset,
    objective: Objective,
    batch_size: int,
    guard: Guard,
    where: str,
) -> Judged:
    """The objective over all rows; every head's mean is over all its known targets together.

    Raises:
        ValueError: if inputs or losses are not finite, or nothing is known of these rows.
    """
    sums: dict[str, float] = {}
    counts: dict[str, float] = {}
    for k, (batch, forecast) in enumerate(forecasts(predictor, rows, batch_size)):
        at = f"{where}, batch {k + 1}"
        guard.inputs(batch, at)
        parts = objective.parts(forecast, batch)
        losses = {head: loss for head, (loss, _) in parts.items()}
        guard.loss(objective.total(parts), losses, forecast, batch, at)
        for head, (loss, count) in parts.items():
            sums[head] = sums.get(head, 0.0) + float(loss)
            counts[head] = counts.get(head, 0.0) + float(count)
    unknown = [head for head, count in counts.items() if not count]
    if unknown:
        raise ValueError(
            f"{where}: no target of {', '.join(unknown)} is known on any of these rows; use more "
            "rows, or rows on which the assets trade"
        )
    means = {head: sums[head] / counts[head] for head in sums}
    return Judged(sum(getattr(objective, head) * value for head, value in means.items()), means)
