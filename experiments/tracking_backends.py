"""TensorBoard as a tracker; the package is optional."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from envs.errors import InputError
from experiments.tracking import Seed


class TensorBoardTracker:
    """Event files in `run_dir/tensorboard/seed_N`: one chart shows all seeds of a number."""

    shows_figures = True

    def __init__(self, run_dir: str | Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise InputError(
                "tracking=tensorboard needs the package tensorboard: "
                'pip install "tradewind[tracking]", or tracking=csv'
            ) from error
        self._open = SummaryWriter
        self._folder = Path(run_dir) / "tensorboard"
        self._writers: dict[str, Any] = {}

    def _writer(self, name: str, first_step: int = 0) -> Any:
        if name not in self._writers:
            # What a former process logged from this step on is purged.
            self._writers[name] = self._open(str(self._folder / name), purge_step=first_step)
        return self._writers[name]

    def rewind(self, seed: Seed, step: int) -> None:
        name = f"seed_{seed}"
        if name in self._writers:
            self._writers.pop(name).close()
        self._writer(name, step + 1)

    def log(self, step: int, values: Mapping[str, float], seed: Seed) -> None:
        writer = self._writer(f"seed_{seed}", step)
        for name, value in values.items():
            writer.add_scalar(name, float(value), step)
        # A kill must not take what comes before the checkpoint from which the run goes on.
        writer.flush()

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        lines = [list(columns), ["---"] * len(columns), *rows]
        text = "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)
        self._writer("run").add_text(name, text)

    def figure(self, name: str, figure: Any) -> None:
        import numpy as np
        from PIL import Image

        with Image.open(figure) as image:
            pixels = np.asarray(image.convert("RGB"))
        self._writer("run").add_image(name, pixels, dataformats="HWC")

    def summary(self, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer("run").add_scalar(name, float(value), 0)

    def finish(self) -> None:
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()
