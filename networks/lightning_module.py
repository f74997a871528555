"""One training by Lightning: the step, what happens between two epochs, and the checkpoints."""

from __future__ import annotations

import logging
import os
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from signal import SIGINT, SIGTERM
from typing import Any, NamedTuple

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback, Checkpoint, EarlyStopping
from lightning.pytorch.plugins.environments import LightningEnvironment
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor
from torch.utils.data import DataLoader

from networks.finite import Guard
from networks.fit_settings import PRECISIONS, FitSettings, l1_penalty
from networks.judging import judge
from networks.lightning_files import TensorFileIO
from networks.memory import keep_memory
from networks.objective import HEADS
from networks.predictors.base import Predictor
from networks.tensor_file import Tensors
from networks.windows import Batch, BatchSampler, WindowDataset, mixed_seed

Report = Callable[[int, dict[str, float]], None]
# With half precision the first scales of the loss are too large by design, and such steps skipped.
MOST_SKIPPED = 50


class Outcome(NamedTuple):
    """What a training ends with: the best parameters, their epoch, and the curve."""

    best: Tensors
    best_step: int
    curve: dict[str, list[float]]


class Learning(pl.LightningModule):
    """The training step of a predictor: inputs, loss and gradients are looked at every time."""

    def __init__(
        self,
        predictor: Predictor,
        settings: FitSettings,
        guard: Guard,
        seed: int,
        about: dict[str, Any],
    ) -> None:
        super().__init__()
        self.predictor, self.settings, self.guard = predictor, settings, guard
        self.seed, self.about = seed, about
        self.batch: Batch | None = None
        self.where = ""
        self.losses: list[Tensor] = []
        self._skipped = 0

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return self.settings.make_optimizer(self.predictor.parameters())

    def on_train_epoch_start(self) -> None:
        self.losses = []

    def transfer_batch_to_device(self, batch: Batch, device: Any, dataloader_idx: int) -> Batch:
        # The dataset lies on the device already.
        return batch

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        if batch_idx == 0:
            # Every epoch has random numbers of its own, so that one that is resumed has the same.
            torch.manual_seed(mixed_seed(self.seed, self.current_epoch, 1 + self.global_rank))
        objective = self.settings.objective
        self.batch = batch
        self.where = f"epoch {self.current_epoch + 1}, batch {batch_idx + 1}"
        self.guard.inputs(batch, self.where)
        forecast = self.predictor(batch.x)
        parts = objective.parts(forecast, batch)
        counts, world = {head: count for head, (_, count) in parts.items()}, self.trainer.world_size
        if world > 1:
            # Gradients are averaged over processes, so that each counts for its known targets.
            known = torch.stack([count.float() for count in counts.values()])
            torch.distributed.all_reduce(known)
            counts = dict(zip(counts, known / world, strict=True))
        loss = objective.total(parts, counts)
        self.guard.loss(loss, {k: v for k, (v, _) in parts.items()}, forecast, batch, self.where)
        self.losses.append(loss.detach())
        if self.settings.l1:
            loss = loss + self.settings.l1 * l1_penalty(self.predictor)
        return loss

    def configure_gradient_clipping(
        self,
        optimizer: Any,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        limit = self.settings.gradient_clip
        norm = torch.nn.utils.get_total_norm(
            [p.grad for p in self.predictor.parameters() if p.grad is not None]
        )
        if not torch.isfinite(norm) and self.settings.precision == "16":
            self._skipped += 1
            if self._skipped <= MOST_SKIPPED:
                return
        assert self.batch is not None
        self.guard.gradients(norm, self.predictor.named_parameters(), self.batch, self.where)
        self._skipped = 0
        if limit is not None:
            torch.nn.utils.clip_grads_with_norm_(self.predictor.parameters(), limit, norm)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["about"] = self.about


class Rounds(Callback):
    """Between two epochs: validation, the learning rate, the best parameters, and the curve."""

    def __init__(
        self, settings: FitSettings, validation: WindowDataset, log: Report, advance: Report
    ) -> None:
        self.settings, self.validation = settings, validation
        self.report, self.moved = log, advance
        self.best: Tensors = {}
        self.best_step = 0
        self.curve: dict[str, list[float]] = {
            "steps": [],
            "training": [],
            "validation": [],
            "learning_rate": [],
        }
        self._plateau: Any = None
        self._plateau_state: dict[str, Any] | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # Lightning steps its own only after the checkpoint is written, and a resumed training would
        # go on at another rate.
        self._plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(
            trainer.optimizers[0],
            factor=self.settings.reduce_factor,
            patience=self.settings.reduce_patience,
            threshold=self.settings.min_delta,
            threshold_mode="abs",
        )
        if self._plateau_state is not None:
            self._plateau.load_state_dict(self._plateau_state)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, Learning)
        step = trainer.current_epoch + 1
        where = f"validation after epoch {step}"
        judged = judge(
            pl_module.predictor,
            self.validation,
            self.settings.objective,
            self.settings.batch_size,
            pl_module.guard,
            where,
        )
        pl_module.log("validation", torch.tensor(judged.loss, dtype=torch.float64))
        rate = float(trainer.optimizers[0].param_groups[0]["lr"])
        mean = torch.stack(pl_module.losses).mean()
        if trainer.world_size > 1:
            torch.distributed.all_reduce(mean)
            mean /= trainer.world_size
        if not self.best or judged.loss < min(self.curve["validation"]):
            state = pl_module.predictor.state_dict()
            self.best = {key: value.detach().cpu().clone() for key, value in state.items()}
            self.best_step = step
        for key, value in (
            ("steps", step),
            ("training", float(mean)),
            ("validation", judged.loss),
            ("learning_rate", rate),
        ):
            self.curve[key].append(value)
        self._plateau.step(judged.loss)
        if trainer.is_global_zero:
            self.report(
                step,
                {
                    "train/loss": float(mean),
                    "train/learning_rate": rate,
                    "validation/loss": judged.loss,
                    **{f"validation/{head}": value for head, value in judged.parts.items()},
                },
            )
            self.moved(1, {"validation": judged.loss})

    def state_dict(self) -> dict[str, Any]:
        return {
            "best": self.best,
            "best_step": self.best_step,
            "curve": self.curve,
            "plateau": self._plateau.state_dict(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best, self.best_step = state_dict["best"], state_dict["best_step"]
        self.curve, self._plateau_state = state_dict["curve"], state_dict["plateau"]


class Saver(Checkpoint):
    """Writes a checkpoint every so many epochs, but after the last, when the model is written.

    A training that is killed between its last epoch and its model goes on from the checkpoint
    before, and stops where it would have stopped.
    """

    def __init__(self, path: Path | None, every: int) -> None:
        self.path, self.every = path, every

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        done = trainer.current_epoch + 1
        if self.path is None or done % self.every:
            return
        if not trainer.should_stop and done != trainer.max_epochs:
            trainer.save_checkpoint(self.path)


class OwnSignals(Callback):
    """Signals do what they did before. Lightning would take a SIGTERM for the end of a training,
    and leave interrupts ignored for good after the first."""

    def __init__(self) -> None:
        self.before = {number: signal.getsignal(number) for number in (SIGINT, SIGTERM)}

    def restore(self) -> None:
        if threading.current_thread() is threading.main_thread():
            for number, handler in self.before.items():
                signal.signal(number, handler)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.restore()


def learn(
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
    rank: int = 0,
) -> Outcome:
    """Trains a predictor to the end, from the checkpoint if it is there.

    Args:
        training: its panel is moved to the device. validation_rows: of the same panel.
        guard: of what is not finite.
        about: kept in checkpoints. checkpoint: the file, or None to keep none.
        log, advance: as in `networks.fitting.fit`. rank: which of `settings.devices` this is; with
            several, the variables of a process group are in the environment.
    """
    torch.set_num_threads(settings.torch_threads)
    keep_memory()
    module = Learning(predictor, settings, guard, seed, about)
    device = settings.torch_device()
    if settings.devices > 1 and device.type == "cuda":
        device = torch.device("cuda", rank)
    training = training.to(device)
    rounds = Rounds(settings, training.with_rows(validation_rows), log, advance)
    sampler = BatchSampler(len(training), settings.batch_size, seed, rank, settings.devices)
    loader = DataLoader(training, batch_size=None, sampler=sampler)
    strategy: Any = "auto"
    if settings.devices > 1:
        backend = "gloo" if device.type == "cpu" else "nccl"
        # A head without a weight has parameters that the loss does not reach.
        objective = settings.objective
        unused = not all(getattr(objective, head) for head in HEADS)
        strategy = DDPStrategy(process_group_backend=backend, find_unused_parameters=unused)
    devices: Any = settings.devices
    if device.type == "cuda" and settings.devices == 1:
        devices = [device.index or 0]
    signals = OwnSignals()
    with quiet(), torch.random.fork_rng([device] if device.type == "cuda" else []):
        trainer = pl.Trainer(
            accelerator="cpu" if device.type == "cpu" else "gpu",
            devices=devices,
            strategy=strategy,
            precision=PRECISIONS[settings.precision],  # type: ignore[arg-type]
            max_epochs=settings.epochs,
            callbacks=[
                signals,
                rounds,
                EarlyStopping(
                    "validation", min_delta=settings.min_delta, patience=settings.patience
                ),
                Saver(checkpoint, settings.checkpoint_every),
            ],
            plugins=[TensorFileIO(), LightningEnvironment()],
            default_root_dir=os.devnull,
            logger=False,
            limit_val_batches=0,
            num_sanity_val_steps=0,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
        )
        predictor.train()
        resume = checkpoint if checkpoint is not None and checkpoint.exists() else None
        try:
            trainer.fit(module, loader, ckpt_path=resume)
        except SystemExit:
            # Lightning turns an interrupt into the end of the program; that is not for it to say.
            signals.restore()
            raise KeyboardInterrupt from None
    return Outcome(rounds.best, rounds.best_step, rounds.curve)


@contextmanager
def quiet() -> Iterator[None]:
    """Lightning says nothing meanwhile: progress is told by `log` and `advance`."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning\..*")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
