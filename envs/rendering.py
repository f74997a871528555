"""Pictures of an episode; matplotlib is imported only when one is asked for."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def draw_episode(
    value: NDArray[np.float64], weights: NDArray[np.float64], symbols: tuple[str, ...]
) -> NDArray[np.uint8]:
    """Draws wealth above and weights below.

    Args:
        value: `[n]` wealth at each decision. weights: `[n, A+1]`, cash last. symbols: A names.

    Returns:
        `[400, 640, 3]` uint8.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.0), dpi=100, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    top, bottom = figure.subplots(2, 1, sharex=True)
    steps = np.arange(len(value))
    top.plot(steps, value, color="#0b5fa5")
    top.set_ylabel("wealth")
    top.set_title(f"step {len(value) - 1}: wealth {value[-1]:.4f}", fontsize=10)
    # Longs and shorts are stacked apart: a stack of mixed signs would draw nonsense.
    labels = [*symbols, "cash"]
    for side in (np.maximum(weights, 0.0), np.minimum(weights, 0.0)):
        if side.any():
            bottom.stackplot(steps, side.T, labels=labels, linewidth=0)
    bottom.set_ylabel("weights")
    bottom.set_xlabel("step")
    if len(symbols) <= 8:
        handles, names = bottom.get_legend_handles_labels()
        bottom.legend(
            handles[: len(labels)], names[: len(labels)], fontsize=7, ncols=5, loc="lower left"
        )
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
