"""`WindowGather`: windows of features cut out of one panel inside the network.

An observation with a window of 60 rows is 60 times as large as what is new in it. Who learns from
`flat` observations pays for that in every buffer and at every copy; who learns from `indexed` ones
keeps the row and the weights, and cuts the window here, when the network needs it.
"""

from __future__ import annotations

import warnings

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


class WindowGather(nn.Module):
    """Turns the rows and weights of `indexed` observations into the `flat` ones, bit for bit.

    The panel is a buffer that is not part of `state_dict`: a saved model is as small as one on
    `flat` observations and loads into either. It moves with the module (`gather.to("cuda")`), and
    several networks can share one module, since it has no parameters.

    Args:
        panel: `[T, K]` or `[T, A, F]` float32, all rows that `t` can name, scaled. On the CPU its
            memory is shared, not copied.
        window: rows in a window.
        highest: weights are clipped to +-highest, as `flat` does (`Setting.space_highest`).

    Shapes:
        `(t [batch] or [batch, 1], weights [batch, A+1]) -> [batch, window * K + A+1]` float32: the
        rows `t - window + 1 ... t`, oldest first, then the weights. `t` may be of any number type;
        as float32 it is exact below 2**24.

    Raises:
        ValueError: if the panel is not float32, or shorter than a window.
    """

    # float32 holds whole numbers exactly up to here, and Stable-Baselines3 makes `t` a float32.
    MOST_ROWS = 2**24

    panel: Tensor
    _back: Tensor

    def __init__(self, panel: Tensor | NDArray[np.float32], window: int, highest: float) -> None:
        super().__init__()
        self.window, self.highest = window, highest
        self.register_buffer("panel", _rows(panel), persistent=False)
        self.register_buffer("_back", torch.arange(1 - window, 1), persistent=False)
        self._check()

    def _check(self) -> None:
        if not self.window <= len(self.panel) < self.MOST_ROWS:
            raise ValueError(
                f"a panel of {len(self.panel)} rows does not fit: at least a window of "
                f"{self.window}, and fewer than {self.MOST_ROWS:,}"
            )

    def hold(self, panel: Tensor | NDArray[np.float32]) -> None:
        """Reads another panel from now on, of as many columns and of any number of rows."""
        rows = _rows(panel)
        if rows.shape[1] != self.panel.shape[1]:
            raise ValueError(f"{rows.shape[1]} features a row; this reads {self.panel.shape[1]}")
        self.panel = rows.to(self.panel.device)
        self._check()

    @property
    def size(self) -> int:
        """Numbers in one window."""
        return self.window * self.panel.shape[1]

    def forward(self, t: Tensor, weights: Tensor) -> Tensor:
        rows = (t.reshape(-1, 1).long() + self._back).flatten()
        windows = self.panel.index_select(0, rows).view(len(weights), self.size)
        clipped = weights.float().clamp(-self.highest, self.highest)
        return torch.cat([windows, clipped], dim=1)


def _rows(panel: Tensor | NDArray[np.float32]) -> Tensor:
    if isinstance(panel, np.ndarray):
        with warnings.catch_warnings():
            # Panels are read-only; so is what is done with them here.
            warnings.filterwarnings("ignore", message=".*not writable")
            panel = torch.from_numpy(panel)
    if panel.dtype != torch.float32:
        raise ValueError(f"the panel must be float32, not {panel.dtype}")
    return panel.reshape(len(panel), -1)
