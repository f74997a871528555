"""TensorBoard and Weights & Biases as trackers; both packages are optional."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from envs.errors import InputError
from experiments.tracking import Seed


class TensorBoardTracker:
    """Event files in `run_dir/tensorboard/seed_N`: one chart shows all seeds of a number."""

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


class WandbTracker:
    """One W&B run for the run folder; a seed's numbers are `seed_N/NAME` over `seed_N/step`.

    Raises whatever W&B raises: `Unfailing` stands around it.
    """

    def __init__(
        self,
        run_dir: str | Path,
        config: Mapping[str, Any],
        *,
        project: str,
        entity: str | None,
        group: str | None,
        job_type: str | None,
        tags: Sequence[str],
        init_timeout: float,
        finish_timeout: float,
    ) -> None:
        import wandb

        folder = Path(run_dir)
        self._wandb = wandb
        self._seeds: set[Seed] = set()

        def init(mode: str) -> Any:
            return wandb.init(
                mode=mode,  # type: ignore[arg-type]
                dir=str(folder),
                config=dict(config),
                project=project,
                entity=entity,
                group=group,
                job_type=job_type,
                tags=list(tags),
                name="/".join(folder.absolute().parts[-2:]),
                reinit="create_new",
                settings=wandb.Settings(
                    silent=True,
                    console="off",
                    init_timeout=init_timeout,
                    finish_timeout=finish_timeout,
                    disable_code=True,
                    disable_git=True,  # a remote's address may hold a password
                    use_dot_wandb=False,
                ),
            )

        settings = wandb.setup(settings=wandb.Settings(silent=True)).settings
        mode = os.environ.get("WANDB_MODE") or default_mode(settings.base_url)
        try:
            self._run = init(mode)
        except Exception:
            if mode == "offline":
                raise
            self._run = init("offline")
        if self._run.settings.mode == "offline":
            print(f"W&B: kept offline; later: wandb sync {self._run.settings.sync_dir}")
        elif self._run.url:
            print(f"W&B: {self._run.url}")

    def rewind(self, seed: Seed, step: int) -> None:
        """Nothing: W&B cannot forget; the steps after it are logged again with the same values."""

    def log(self, step: int, values: Mapping[str, float], seed: Seed) -> None:
        axis = f"seed_{seed}/step"
        if seed not in self._seeds:
            self._seeds.add(seed)
            self._run.define_metric(axis, hidden=True)
            self._run.define_metric(f"seed_{seed}/*", step_metric=axis)
        numbers = {f"seed_{seed}/{name}": float(value) for name, value in values.items()}
        self._run.log({axis: int(step), **numbers})

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        data: list[Any] = [list(row) for row in rows]
        table = self._wandb.Table(columns=list(columns), data=data, allow_mixed_types=True)
        self._run.log({name: table})

    def figure(self, name: str, figure: Any) -> None:
        self._run.log({name: self._wandb.Image(str(figure))})

    def summary(self, values: Mapping[str, float]) -> None:
        self._run.summary.update({name: float(value) for name, value in values.items()})

    def finish(self) -> None:
        self._run.finish()


def default_mode(base_url: str) -> str:
    """Online if there is a key and the server answers: W&B must never ask and seldom wait."""
    import netrc
    import socket
    from urllib.parse import urlsplit
    from urllib.request import getproxies

    address = urlsplit(base_url)
    host = address.hostname or ""
    if not os.environ.get("WANDB_API_KEY"):
        try:
            if netrc.netrc().authenticators(host) is None:
                return "offline"
        except (OSError, netrc.NetrcParseError):
            return "offline"
    if address.scheme in getproxies():
        return "online"  # only the proxy can tell
    try:
        socket.create_connection((host, address.port or 443), timeout=5.0).close()
    except OSError:
        return "offline"
    return "online"
