"""The loop of a training by gradients: epochs, the best on validation, checkpoints, early stop."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from agents.checkpoint import (
    check_settings,
    load_network,
    load_optimiser,
    optimiser_tensors,
    part,
    read_tensors,
    settings_of,
    write_tensors,
)
from agents.learner import CHECKPOINT, MODEL, Advance, Log, Trained
from envs.errors import InputError


@dataclass(frozen=True)
class Progress:
    """Whom a training tells; see `agents.learner.Learner.train`."""

    log: Log | None = None
    advance: Advance | None = None
    resumed: Callable[[int], None] | None = None


def train_epochs(
    agent: Any,
    network: nn.Module,
    policy: Any,
    step: Callable[[np.random.Generator], Tensor],
    steps_per_epoch: int,
    score: Callable[[], float],
    seed: int,
    folder: Path,
    progress: Progress,
) -> Trained:
    """Trains with Adam until the score on validation has not risen for `agent.patience` epochs, or,
    where the last epoch is to be kept, for all of them.

    A training that is resumed from its checkpoint ends with the bits of an unbroken one: every
    epoch draws from generators that are seeded by the seed and its number.

    Args:
        agent: a frozen dataclass with `epochs, patience, min_delta, keep, learning_rate, anneal,
            weight_decay, gradient_clip, checkpoint_every`; written into the files.
        step: the loss of one batch, drawn with this generator.
        score: of the network, more is better.
        folder: as in `Learner.train`.

    Raises:
        InputError: if a loss, a gradient or a score is not finite, naming the epoch and the remedy;
            or if the folder holds files of other settings.
    """
    settings = settings_of(agent)
    if (folder / MODEL).exists():
        best, facts = read_tensors(folder / MODEL, ("agent", "curve", "best_step", "seed"))
        check_settings(folder / MODEL, facts["agent"], agent)
        if facts["seed"] != seed:
            raise InputError(
                f"{folder / MODEL} was trained with seed {facts['seed']}, this run asks for "
                f"{seed}; use another run folder, or delete the file to train anew"
            )
        load_network(network, best, folder / MODEL)
        network.eval()
        if progress.advance is not None:
            progress.advance(agent.epochs, {})
        return Trained(policy, facts["curve"], facts["best_step"])
    optimiser = torch.optim.Adam(
        network.parameters(), lr=agent.learning_rate, weight_decay=agent.weight_decay
    )
    curve: dict[str, list[float]] = {"steps": [], "train_reward": [], "validation": []}
    best, best_step, done = {}, 0, 0
    if (folder / CHECKPOINT).exists():
        keys = ("agent", "curve", "best_step", "epoch")
        tensors, facts = read_tensors(folder / CHECKPOINT, keys)
        check_settings(folder / CHECKPOINT, facts["agent"], agent)
        load_network(network, part(tensors, "network"), folder / CHECKPOINT)
        best = part(tensors, "best")
        load_optimiser(optimiser, part(tensors, "optimiser"))
        curve, best_step, done = facts["curve"], facts["best_step"], facts["epoch"]
        if progress.resumed is not None:
            progress.resumed(done)
        if progress.advance is not None:
            progress.advance(done, {})
    for epoch in range(done + 1, agent.epochs + 1):
        if agent.keep == "best" and _waited(curve, agent.min_delta) >= agent.patience:
            break
        if agent.anneal:
            for group in optimiser.param_groups:
                group["lr"] = agent.learning_rate * (1.0 - (epoch - 1) / agent.epochs)
        reward = _epoch(agent, network, optimiser, step, steps_per_epoch, seed, epoch)
        network.eval()
        with torch.inference_mode():
            try:
                judged = score()
            except ValueError as error:
                raise _diverged("the validation", epoch, error) from None
        if not np.isfinite(judged):
            raise _diverged("the score on validation", epoch)
        if agent.keep == "last" or not best or judged > max(curve["validation"]):
            best, best_step = copy.deepcopy(network.state_dict()), epoch
        for key, value in zip(curve, (epoch, reward, judged), strict=True):
            curve[key].append(value)
        if progress.log is not None:
            progress.log(epoch, {"train/score": reward, "validation/score": judged})
        if progress.advance is not None:
            progress.advance(1, {"validation": judged})
        if epoch % agent.checkpoint_every == 0:
            facts = {"agent": settings, "curve": curve, "best_step": best_step, "epoch": epoch}
            tensors = {f"network/{k}": v for k, v in network.state_dict().items()}
            tensors |= {f"best/{k}": v for k, v in best.items()}
            tensors |= optimiser_tensors("optimiser", optimiser)
            write_tensors(folder / CHECKPOINT, tensors, facts)
    if progress.advance is not None:
        progress.advance(agent.epochs - len(curve["steps"]), {})
    facts = {"agent": settings, "curve": curve, "best_step": best_step, "seed": seed}
    write_tensors(folder / MODEL, best, facts)
    (folder / CHECKPOINT).unlink(missing_ok=True)
    network.load_state_dict(best)
    network.eval()
    return Trained(policy, curve, best_step)


def _epoch(
    agent: Any,
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    step: Callable[[np.random.Generator], Tensor],
    n_steps: int,
    seed: int,
    epoch: int,
) -> float:
    """One epoch; the mean score (minus the loss) of its batches."""
    network.train()
    rng = np.random.default_rng((seed, epoch))
    total = 0.0
    with torch.random.fork_rng():
        # Dropout draws from torch's own generator.
        torch.manual_seed(int(rng.integers(2**31)))
        for batch in range(n_steps):
            try:
                loss = step(rng)
            except ValueError as error:
                # The accounting refuses weights that are not finite; say whose they are.
                raise _diverged(f"batch {batch}", epoch, error) from None
            if not bool(torch.isfinite(loss)):
                raise _diverged(f"the loss of batch {batch}", epoch)
            optimiser.zero_grad()
            loss.backward()
            norm = nn.utils.clip_grad_norm_(network.parameters(), agent.gradient_clip)
            if not bool(torch.isfinite(norm)):
                raise _diverged(f"the gradient of batch {batch}", epoch)
            optimiser.step()
            total -= float(loss.detach())
    return total / n_steps


def _waited(curve: dict[str, list[float]], min_delta: float) -> int:
    """Epochs since the last one that was better, by more than this, than the last such one."""
    highest, waited = -np.inf, 0
    for score in curve["validation"]:
        waited += 1
        if score > highest + min_delta:
            highest, waited = score, 0
    return waited


def _diverged(what: str, epoch: int, why: ValueError | None = None) -> InputError:
    if why is not None and "not finite" not in str(why):
        # What is wrong is a setting, and its message says so.
        return InputError(str(why))
    return InputError(
        f"training diverged: {what} in epoch {epoch} is not finite{f' ({why})' if why else ''}; "
        "lower agent.learning_rate, or look for extreme features (features.scaler.clip)"
    )
