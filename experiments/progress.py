"""`Progress`: how far a long computation is and how long it still takes."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, TextIO

PLAIN_LINES = 10  # a log file gets about this many lines


class Progress:
    """A bar with the time left on a terminal, a plain line every tenth where there is none.

        with Progress(total_steps, "PPO, 3 seeds") as progress:
            progress.advance(2048, info={"validation": 0.12})

    Args:
        total: number of steps, > 0.
        label: what is being done.
        done: steps done before, in a run that is resumed; they do not count for the speed.
        file: where to write; default standard output.
    """

    def __init__(
        self, total: int, label: str, *, done: int = 0, file: TextIO | None = None
    ) -> None:
        self.total = max(int(total), 1)
        self.label = label
        self.done = self._first = int(done)
        self._file = sys.stdout if file is None else file
        self._bar: Any = None
        self._info = ""

    def __enter__(self) -> Progress:
        self._start = time.monotonic()
        self._spoken = self._lines_due()
        self._open_bar()
        return self

    def _open_bar(self) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            TaskProgressColumn,
            TextColumn,
            TimeRemainingColumn,
        )
        from rich.progress import Progress as Bar

        console = Console(file=self._file)
        if not console.is_terminal or console.is_dumb_terminal:
            return
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TaskProgressColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[info]}", style="dim"),
            console=console,
            refresh_per_second=4,  # the cores are for the training
            expand=True,
        )
        self._bar.start()
        self._task = self._bar.add_task(self.label, total=self.total, completed=self.done, info="")

    def advance(self, n: int, info: Mapping[str, float] | None = None) -> None:
        """Counts n more steps; `info` (name -> number) stands beside the bar until replaced."""
        self.done += int(n)
        if info is not None:
            self._info = "  ".join(f"{name} {value:.4g}" for name, value in info.items())
        if self._bar is not None:
            self._bar.update(self._task, completed=self.done, info=self._info)
        elif self._spoken < self._lines_due() < PLAIN_LINES:
            self._spoken = self._lines_due()
            self._say(f"{clock(self.seconds_left)} left")

    def _lines_due(self) -> int:
        return PLAIN_LINES * self.done // self.total

    @property
    def seconds_left(self) -> float:
        """Estimated from the mean speed since the start; infinite before the first step."""
        steps = self.done - self._first
        if steps <= 0:
            return float("inf")
        return (time.monotonic() - self._start) * max(self.total - self.done, 0) / steps

    def _say(self, time_text: str) -> None:
        share = min(100 * self.done // self.total, 100)
        text = f"{self.label}: {share} %, {self.done:,} of {self.total:,} steps, {time_text}"
        print(text + (f", {self._info}" if self._info else ""), file=self._file, flush=True)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
        else:
            seconds = time.monotonic() - self._start
            self._say(f"{'stopped' if kind else 'done'} after {clock(seconds)}")


def clock(seconds: float) -> str:
    """`75` -> `1:15`, `3700` -> `1:01:40`; `-:--` where the time is not known."""
    if not seconds < 360_000:
        return "-:--"
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"
