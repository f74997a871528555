"""A training in several processes: DistributedDataParallel, each with a part of every batch."""

from __future__ import annotations

import copy
import os
import queue
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.environments import LightningEnvironment
from torch import Tensor, multiprocessing
from torch.multiprocessing.spawn import ProcessException

from networks.finite import Guard
from networks.fit_settings import FitSettings
from networks.lightning_module import Outcome, Report, learn
from networks.predictors.base import Predictor
from networks.windows import WindowDataset

# How long the parent waits for news before it looks whether the processes live.
PATIENCE = 0.1


def learn_together(
    predictor: Predictor,
    training: WindowDataset,
    validation_rows: Tensor,
    *,
    settings: FitSettings,
    seed: int,
    guard: Guard,
    about: dict[str, Any],
    checkpoint: Path | None,
    log: Report,
    advance: Report,
) -> Outcome:
    """`networks.lightning_module.learn` in `settings.devices` fresh processes on this machine.

    The gradients are those of one process with the same batches, to rounding. Panel and targets lie
    in shared memory. The program that calls this needs the usual `if __name__ == "__main__":`.

    Raises:
        ValueError: what a process refused, in its words.
    """
    settings.torch_device()
    news: Any = multiprocessing.get_context("spawn").Queue()
    job = (predictor, training, validation_rows, settings, seed, guard, about, checkpoint)
    running = multiprocessing.start_processes(
        _work,
        (job, news, LightningEnvironment().main_port),
        nprocs=settings.devices,
        join=False,
        start_method="spawn",
    )
    assert running is not None
    outcome: Outcome | None = None
    failure: Exception | None = None
    alive = True
    try:
        while alive or not news.empty():
            try:
                alive = alive and not running.join(timeout=0)
            except ProcessException as error:
                failure, alive = failure or error, False
            try:
                kind, *what = news.get(timeout=PATIENCE)
            except queue.Empty:
                continue
            if kind == "log":
                log(*what)
            elif kind == "advance":
                advance(*what)
            elif kind == "refused":
                failure = ValueError(*what)
            else:
                best, best_step, curve = what
                tensors = {key: torch.from_numpy(value) for key, value in best.items()}
                outcome = Outcome(tensors, best_step, curve)
    finally:
        for process in running.processes:
            if process.is_alive():
                process.kill()
    if failure is not None:
        raise failure from None
    assert outcome is not None
    return outcome


def _work(rank: int, job: tuple[Any, ...], news: Any, port: int) -> None:
    """One of the processes; the first one tells the parent what happens."""
    predictor, training, validation_rows, settings, seed, guard, about, checkpoint = job
    # By these Lightning sees that the processes are there, and which it is.
    os.environ |= {
        "LOCAL_RANK": str(rank),
        "NODE_RANK": "0",
        "WORLD_SIZE": str(settings.devices),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    try:
        outcome = learn(
            # Parameters arrive in memory that all processes share, and each has its own.
            copy.deepcopy(predictor),
            training,
            validation_rows,
            settings=settings,
            seed=seed,
            guard=guard,
            about=about,
            checkpoint=checkpoint,
            log=lambda step, figures: news.put(("log", step, figures)),
            advance=lambda new, figures: news.put(("advance", new, figures)),
            rank=rank,
        )
        if rank == 0:
            best = {key: value.numpy() for key, value in outcome.best.items()}
            news.put(("done", best, outcome.best_step, outcome.curve))
    except ValueError as error:
        news.put(("refused", str(error)))
        raise
    finally:
        # What was said arrives before the process ends.
        news.close()
        news.join_thread()
