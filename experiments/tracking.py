"""Trackers: where numbers go while a run is under way. CSV always, TensorBoard or W&B beside it.

The run folder's own files are the record; TensorBoard and W&B are windows onto it.
"""

from __future__ import annotations

import csv
import hashlib
import io
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from envs.errors import InputError
from experiments.run_folder import open_run_folder, write_text

# Of one training: the seed, or where a run has several agents or windows, a name with the seed.
Seed = int | str


class Tracker(Protocol):
    """One place that numbers go to.

    Attributes:
        shows_figures: whether they are shown anywhere but in the run folder.
    """

    @property
    def shows_figures(self) -> bool: ...

    def rewind(self, seed: Seed, step: int) -> None:
        """Forgets what `seed` logged after `step`: training goes on from a checkpoint there."""

    def log(self, step: int, values: Mapping[str, float], seed: Seed) -> None:
        """Numbers known after `step` steps of the agent with this seed."""

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """A finished table."""

    def figure(self, name: str, figure: Any) -> None:
        """A finished figure: a matplotlib `Figure` or the path of an image."""

    def summary(self, values: Mapping[str, float]) -> None:
        """The final numbers of the run."""

    def finish(self) -> None:
        """Writes what is left and closes; belongs in a `finally`, may be called twice."""


# ---------------------------------------------------------------------- built by tracking/*.yaml
def csv_tracker(run_dir: str | Path, config: Mapping[str, Any] | None = None) -> Tracker:
    """`tracking=csv`: `progress.csv` and `tables/` in the run folder, nothing else."""
    return Trackers(run_dir, [CsvTracker(run_dir)])


def tensorboard_tracker(run_dir: str | Path, config: Mapping[str, Any] | None = None) -> Tracker:
    """`tracking=tensorboard`: CSV and event files in `run_dir/tensorboard/seed_N`.

    Raises:
        InputError: if TensorBoard is not installed.
    """
    from experiments.tracking_backends import TensorBoardTracker

    return Trackers(run_dir, [CsvTracker(run_dir), TensorBoardTracker(run_dir)])


def wandb_tracker(
    run_dir: str | Path,
    config: Mapping[str, Any] | None = None,
    *,
    project: str = "tradewind",
    entity: str | None = None,
    group: str | None = None,
    job_type: str | None = None,
    tags: Sequence[str] = (),
    init_timeout: float = 30.0,
    finish_timeout: float = 60.0,
) -> Tracker:
    """`tracking=wandb`: CSV and a Weights & Biases run; offline without a network or key.

    Args:
        run_dir: W&B's own files go into `run_dir/wandb`.
        config: the resolved configuration, shown beside the run.
        project, entity, tags: where the run is filed; entity None is the default of the account.
        group: runs that W&B shows as one; None: those that differ in nothing but their seed
            (`run_group`).
        job_type: None: "train" where an agent is trained, else "baselines".
        init_timeout, finish_timeout: seconds to wait for the server; then the run is kept offline,
            or what is not uploaded stays on disk for `wandb sync`.
    """
    from experiments.tracking_wandb import WandbTracker

    table = CsvTracker(run_dir)
    former = table.former()

    def open_run() -> Tracker:
        return WandbTracker(
            run_dir,
            config or {},
            project=project,
            entity=entity,
            group=group or run_group(config or {}),
            job_type=job_type or job_type_of(config or {}),
            tags=tags,
            init_timeout=init_timeout,
            finish_timeout=finish_timeout,
            former=former,
        )

    return Trackers(run_dir, [table, Unfailing("Weights & Biases", open_run)])


def run_group(config: Mapping[str, Any]) -> str:
    """Name of the recipe and a hash of all settings but the seed: `ppo_portfolio-1f0c9a2b`.

    Equal for runs that differ in nothing but their seed, or in how they are tracked.
    """
    from experiments.comparing.configs import flat, without_luck

    settings = sorted(without_luck(flat(config)).items())
    digest = hashlib.sha256(repr(settings).encode()).hexdigest()[:8]
    return f"{config.get('name', 'run')}-{digest}"


def job_type_of(config: Mapping[str, Any]) -> str:
    """ "train" where the configuration has an agent, else "baselines"."""
    return "train" if config.get("agent") or config.get("agents") else "baselines"


# ---------------------------------------------------------------------- what they are made of
class Trackers:
    """Several trackers as one; figures become image files in `run_dir/figures` once for all."""

    def __init__(self, run_dir: str | Path, trackers: Sequence[Tracker]) -> None:
        self._folder = Path(run_dir) / "figures"
        self._trackers = list(trackers)

    @property
    def shows_figures(self) -> bool:
        return any(tracker.shows_figures for tracker in self._trackers)

    def rewind(self, seed: Seed, step: int) -> None:
        for tracker in self._trackers:
            tracker.rewind(seed, step)

    def log(self, step: int, values: Mapping[str, float], seed: Seed) -> None:
        for tracker in self._trackers:
            tracker.log(step, values, seed)

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        for tracker in self._trackers:
            tracker.table(name, columns, rows)

    def figure(self, name: str, figure: Any) -> None:
        if hasattr(figure, "savefig"):
            path = open_run_folder(self._folder) / f"{name}.png"
            figure.savefig(path, dpi=150, bbox_inches="tight")
            figure = path
        for tracker in self._trackers:
            tracker.figure(name, Path(figure))

    def summary(self, values: Mapping[str, float]) -> None:
        for tracker in self._trackers:
            tracker.summary(values)

    def finish(self) -> None:
        for tracker in self._trackers:
            tracker.finish()


class Unfailing:
    """A tracker that never stops a run: its first failure is a warning and its end."""

    def __init__(self, name: str, make: Callable[[], Tracker]) -> None:
        self._name = name
        self._tracker: Tracker | None = None
        self._tracker = self._try(make)

    @property
    def shows_figures(self) -> bool:
        return self._tracker is not None and self._tracker.shows_figures

    def _try(self, action: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return action(*arguments)
        except Exception as error:
            self._tracker = None
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            print(f"warning: {self._name} is left out, the run goes on: {reason}", file=sys.stderr)
            return None

    def rewind(self, seed: Seed, step: int) -> None:
        if self._tracker is not None:
            self._try(self._tracker.rewind, seed, step)

    def log(self, step: int, values: Mapping[str, float], seed: Seed) -> None:
        if self._tracker is not None:
            self._try(self._tracker.log, step, values, seed)

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        if self._tracker is not None:
            self._try(self._tracker.table, name, columns, rows)

    def figure(self, name: str, figure: Any) -> None:
        if self._tracker is not None:
            self._try(self._tracker.figure, name, figure)

    def summary(self, values: Mapping[str, float]) -> None:
        if self._tracker is not None:
            self._try(self._tracker.summary, values)

    def finish(self) -> None:
        if self._tracker is not None:
            self._try(self._tracker.finish)


class CsvTracker:
    """`progress.csv`: `seed, step, wall_seconds` and a column for each name as they appear.

    A row is on disk when `log` returns. A column that appears later is empty in the rows above.
    `wall_seconds` counts on over a resume.
    """

    KEYS = ("seed", "step", "wall_seconds")
    shows_figures = False

    def __init__(self, run_dir: str | Path) -> None:
        self._folder = open_run_folder(run_dir)
        self._path = self._folder / "progress.csv"
        self._columns = list(self.KEYS)
        rows: list[dict[str, str]] = []
        if self._path.exists():
            rows = self._read()
        self._write(rows)
        self._former = {row["seed"] for row in rows}
        before = max((float(row["wall_seconds"]) for row in rows), default=0.0)
        self._start = time.monotonic() - before

    def _read(self) -> list[dict[str, str]]:
        text = self._path.read_text(encoding="utf-8")
        whole = text[: text.rfind("\n") + 1]  # a kill may have cut the last line
        reader = csv.DictReader(io.StringIO(whole, newline=""))
        columns = list(reader.fieldnames or self.KEYS)
        if tuple(columns[:3]) != self.KEYS:
            raise InputError(f"{self._path}: not a progress file (its first line is {columns})")
        self._columns = columns
        return list(reader)

    def _write(self, rows: Sequence[Mapping[str, str]]) -> None:
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, self._columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_text(self._path, text.getvalue())

    def former(self) -> dict[str, list[tuple[int, dict[str, float]]]]:
        """Seed -> `(step, values)` of every row that is there, in their order."""
        found: dict[str, list[tuple[int, dict[str, float]]]] = {}
        for row in self._read():
            values = {k: float(v) for k, v in row.items() if k not in self.KEYS and v}
            found.setdefault(row["seed"], []).append((int(row["step"]), values))
        return found

    def rewind(self, seed: Seed, step: int) -> None:
        rows = self._read()
        self._write([r for r in rows if r["seed"] != str(seed) or int(r["step"]) <= step])

    def log(self, step: int, values: Mapping[str, float], seed: Seed) -> None:
        # A run that was killed before its first checkpoint starts anew.
        if str(seed) in self._former:
            self._former.remove(str(seed))
            self.rewind(seed, step - 1)
        new = [name for name in values if name not in self._columns]
        if new:
            rows = self._read()
            self._columns += new
            self._write(rows)
        row = {name: repr(float(value)) for name, value in values.items()}
        row |= {"seed": str(seed), "step": str(int(step))}
        row["wall_seconds"] = f"{time.monotonic() - self._start:.3f}"
        with open(self._path, "a", encoding="utf-8", newline="") as file:
            csv.DictWriter(file, self._columns, restval="", lineterminator="\n").writerow(row)

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
        write_text(open_run_folder(self._folder / "tables") / f"{name}.csv", text.getvalue())

    def figure(self, name: str, figure: Any) -> None:
        """Nothing: the image file is in the run folder."""

    def summary(self, values: Mapping[str, float]) -> None:
        self.table("summary", ["name", "value"], [[k, repr(float(v))] for k, v in values.items()])

    def finish(self) -> None:
        """Nothing: every row is on disk already."""
