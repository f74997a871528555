"""`WindowDataset`: windows cut out of one panel when a batch needs them, never kept."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from networks.targets import Targets


class Batch(NamedTuple):
    """Windows and their targets; B windows of T rows, A assets, F features, H horizons.

    Attributes:
        x: `[B, T, A, F]` float32, oldest row first.
        direction: `[B, A]` int64, -1 where unknown.
        expected_return: `[B, A, H]` float32, NaN where unknown.
        log_volatility: `[B, A]` float32, NaN where unknown.
        rows: `[B]` int64, the decision rows: the last rows of the windows.
    """

    x: Tensor
    direction: Tensor
    expected_return: Tensor
    log_volatility: Tensor
    rows: Tensor


class WindowDataset(Dataset[Batch]):
    """The windows that end at the given decision rows, with their targets.

    The panel lies in memory once, however many datasets read it; a batch is one `index_select`.
    `dataset[[3, 8]]` is the batch of the fourth and the ninth of the rows.

    Args:
        panel: `[T, A, F]` float32, scaled. A NumPy panel on the CPU is shared, not copied.
        rows: `[n]` decision rows. window: rows in a window. targets: of all rows of the panel.

    Raises:
        ValueError: if a window would begin before the panel, or shapes do not fit.
    """

    def __init__(
        self,
        panel: Tensor | NDArray[np.float32],
        rows: Sequence[int] | NDArray[np.int64],
        window: int,
        targets: Targets,
    ) -> None:
        self.panel = as_panel(panel)
        self.window = window
        n_rows = len(self.panel)
        asked = np.asarray(rows, np.int64)
        if asked.ndim != 1 or not len(asked):
            raise ValueError(f"rows must be a list of decision rows, got shape {asked.shape}")
        if asked.min() < window - 1 or asked.max() >= n_rows:
            raise ValueError(
                f"rows run from {asked.min()} to {asked.max()}: windows of {window} rows end at "
                f"{window - 1} to {n_rows - 1} of this panel; leave the others out"
            )
        if targets.direction.shape != self.panel.shape[:2]:
            raise ValueError(
                f"targets are {targets.direction.shape} and the panel is "
                f"{tuple(self.panel.shape)}; make them of the same rows and assets"
            )
        self.rows = torch.from_numpy(asked.copy())
        self.direction = shared(targets.direction)
        self.expected_return = shared(targets.expected_return)
        self.log_volatility = shared(targets.log_volatility)
        self._back = torch.arange(1 - window, 1)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int | Sequence[int] | Tensor) -> Batch:
        rows = self.rows[torch.as_tensor(index, device=self.rows.device).reshape(-1)]
        wanted = (rows[:, None] + self._back).flatten()
        x = self.panel.index_select(0, wanted)
        return Batch(
            x.view(len(rows), self.window, *self.panel.shape[1:]),
            self.direction.index_select(0, rows),
            self.expected_return.index_select(0, rows),
            self.log_volatility.index_select(0, rows),
            rows,
        )

    def to(self, device: torch.device | str) -> WindowDataset:
        """The same with panel and targets on a device, where batches are gathered then."""
        moved = copy.copy(self)
        for key in ("panel", "rows", "direction", "expected_return", "log_volatility", "_back"):
            setattr(moved, key, getattr(self, key).to(device))
        return moved

    def with_rows(self, rows: Tensor) -> WindowDataset:
        """Other rows of the same panel, which both share."""
        other = copy.copy(self)
        other.rows = rows.to(self.rows.device)
        return other


class BatchSampler(Sampler[Tensor]):
    """Indices of each batch; a new order each epoch, that the seed and the epoch alone decide.

    Of several processes each takes every n-th index of the same batches, so that they learn
    together what one would learn alone; a last batch with fewer indices than processes is left out.

    Args:
        n: rows. batch_size: over all processes. seed: of the order; None keeps it.
        rank, world: which process this is, of how many.
    """

    def __init__(
        self, n: int, batch_size: int, seed: int | None, rank: int = 0, world: int = 1
    ) -> None:
        self.n, self.batch_size, self.seed = n, batch_size, seed
        self.rank, self.world = rank, world
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        whole, left = divmod(self.n, self.batch_size)
        return whole + (left >= self.world)

    def __iter__(self) -> Iterator[Tensor]:
        order = torch.arange(self.n)
        if self.seed is not None:
            order = torch.randperm(self.n, generator=generator(self.seed, self.epoch))
        for k in range(len(self)):
            yield order[k * self.batch_size : (k + 1) * self.batch_size][self.rank :: self.world]


def generator(*key: int) -> torch.Generator:
    """A generator that depends on all numbers of the key, however close they are."""
    return torch.Generator().manual_seed(mixed_seed(*key))


def mixed_seed(*key: int) -> int:
    """One seed out of several numbers >= 0."""
    return int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0] >> 1)


def as_panel(panel: Tensor | NDArray[np.float32]) -> Tensor:
    """`[T, A, F]` float32 as a tensor that shares the memory of what is given."""
    tensor = shared(panel) if isinstance(panel, np.ndarray) else panel
    if tensor.dtype != torch.float32 or tensor.dim() != 3:
        raise ValueError(
            f"the panel must be [T, A, F] float32, not {tuple(tensor.shape)} {tensor.dtype}"
        )
    return tensor


def shared(array: NDArray) -> Tensor:
    """The array as a tensor over the same memory."""
    with warnings.catch_warnings():
        # Panels are read-only; so is what is done with them here.
        warnings.filterwarnings("ignore", message=".*not writable")
        return torch.from_numpy(array)
