"""Weights & Biases as a tracker; the package is optional."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.run_folder import open_run_folder, write_text
from experiments.tracking import Seed


class WandbTracker:
    """One W&B run for the run folder; a seed's numbers are `seed_N/NAME` over `seed_N/step`.

    Tables are `tables/NAME` and figures `figures/NAME`, for some share their names.

    **A run that is resumed** has every step once. W&B cannot forget what it was sent, and loses
    what its helper had not written when a process is killed; `progress.csv` has it all, to the
    checkpoint from which the training goes on. Online the W&B run goes on: its summary says how
    far each seed had come, what is missing up to the checkpoint is sent from `progress.csv`, and
    what comes again after it is left out (its values are the same). Offline a new W&B run is
    written from the beginning, and the former files are set aside in `wandb/superseded`.

    Raises whatever W&B raises: `Unfailing` stands around it.

    Args:
        former: rows of `progress.csv` of an earlier process: seed -> `(step, values)`.
    """

    shows_figures = True

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
        former: Mapping[str, Sequence[tuple[int, Mapping[str, float]]]],
    ) -> None:
        import wandb

        folder = Path(run_dir)
        self._wandb = wandb
        self._seeds: set[Seed] = set()
        self._former = dict(former)
        own = open_run_folder(folder / "wandb")
        id_file = own / "run_id"
        known = id_file.read_text(encoding="utf-8").strip() if id_file.is_file() else None

        def init(mode: str) -> Any:
            return wandb.init(
                mode=mode,  # type: ignore[arg-type]
                id=None if mode == "offline" else known,
                resume=None if mode == "offline" else "allow",
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
        # How far each seed had come in the W&B run that goes on.
        self._there: dict[str, int] = {}
        if self._run.settings.mode == "offline":
            _set_aside(own, Path(self._run.settings.sync_dir).name)
            print(f"W&B: kept offline; later: wandb sync {self._run.settings.sync_dir}")
        else:
            write_text(id_file, f"{self._run.id}\n")
            for seed in self._former:
                step = self._run.summary.get(f"seed_{seed}/step")
                self._there[seed] = -1 if step is None else int(step)
        if self._run.url:
            print(f"W&B: {self._run.url}")

    def rewind(self, seed: Seed, step: int) -> None:
        """Sends what W&B does not have of an earlier process, up to the checkpoint at `step`."""
        for at, values in self._former.pop(str(seed), ()):
            if at <= step:
                self._send(at, values, seed)

    def log(self, step: int, values: Mapping[str, float], seed: Seed) -> None:
        if str(seed) in self._former:  # killed before its first checkpoint: it starts anew
            self.rewind(seed, step - 1)
        self._send(step, values, seed)

    def _send(self, step: int, values: Mapping[str, float], seed: Seed) -> None:
        if step <= self._there.get(str(seed), -1):
            return
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
        self._run.log({f"tables/{name}": table})

    def figure(self, name: str, figure: Any) -> None:
        self._run.log({f"figures/{name}": self._wandb.Image(str(figure))})

    def summary(self, values: Mapping[str, float]) -> None:
        self._run.summary.update({name: float(value) for name, value in values.items()})

    def finish(self) -> None:
        for seed in list(self._former):  # finished by an earlier process
            self.rewind(seed, max(step for step, _ in self._former[seed]))
        self._run.finish()


def _set_aside(folder: Path, mine: str) -> None:
    """Moves the offline files of earlier processes to where `wandb sync` does not look."""
    for former in sorted(folder.glob("offline-run-*")):
        if former.name != mine:
            former.rename(open_run_folder(folder / "superseded") / former.name)


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
