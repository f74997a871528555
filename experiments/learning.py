"""Agents x seeds x windows: each cell is trained on its own, side by side, and read on its test."""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from omegaconf import DictConfig, OmegaConf

from agents.learner import MODEL, Trained
from agents.rollout import Trajectory, rollout
from envs.errors import InputError
from envs.portfolio import PortfolioEnv
from envs.simulation import Setting
from experiments import pipeline
from experiments.evaluation.joined import joined
from experiments.evaluation.known_answer import KnownAnswer
from experiments.pipeline import Prepared
from experiments.predictions import Foretold, foretold
from experiments.progress import Progress
from experiments.run_folder import write_json
from experiments.tracking import Seed, Tracker

Curves = dict[str, dict[str, list[float]]]
Log = Callable[["Cell", int, dict[str, float]], None]
# How long the parent waits for news before it looks whether a process is done.
PATIENCE = 0.2


class Cell(NamedTuple):
    """One training: the number of its window, the name of its agent, its seed."""

    window: int
    agent: str
    seed: int


@dataclass
class Learned:
    """What training gave: name -> one trajectory a seed over all test windows, and how it went.

    Attributes:
        curves: "AGENT/SEED" -> learning curve, with the window where there are several.
        objective: mean over all cells of the validation score of the chosen policy.
        known: scores against the known answer, if there is one.
        foretold: name -> what was forecast for the test windows, of agents that forecast.
    """

    trajectories: dict[str, list[Trajectory]] = field(default_factory=dict)
    curves: Curves = field(default_factory=dict)
    objective: float = 0.0
    known: dict[str, Any] | None = None
    foretold: dict[str, Foretold] = field(default_factory=dict)


class Listener(NamedTuple):
    """What a training tells while it goes on."""

    advance: Callable[[int, dict[str, float]], None]
    log: Log
    resumed: Callable[[Cell, int], None]


def run_agents(
    cfg: DictConfig, windows: Sequence[Prepared], folder: Path, tracker: Tracker
) -> Learned:
    """Trains every agent and seed before each test window, and reads that window once for each.

    A cell that is finished in `folder` is read, one that was interrupted goes on.

    Raises:
        InputError: for anything that the user can correct.
    """
    agents = {name: pipeline.build(cfg, key) for name, key in pipeline.agent_keys(cfg).items()}
    seeds = pipeline.agent_seeds(cfg)
    # What cannot be judged is refused before anything is trained.
    judged = judged_setting(cfg, windows, list(agents))
    cells = [Cell(k, a, s) for k in range(len(windows)) for a in agents for s in seeds]
    for name in agents:
        for k, window in enumerate(windows):
            path = cell_folder(folder, Cell(k, name, 0), len(windows)).parent
            path.mkdir(parents=True, exist_ok=True)
            write_json(path / "scaler.json", window.scaler.to_dict())
    trained = train_cells(cfg, windows, folder, tracker, cells)
    learned = Learned()
    for name in agents:
        learned.trajectories[name] = [
            tested(cfg, windows, {k: trained[Cell(k, name, s)].policy for k in range(len(windows))},
                   name, s)
            for s in seeds
        ]  # fmt: skip
    learned.foretold = forecasts(cfg, windows, agents, trained)
    for cell, one in trained.items():
        key = f"{cell.agent}/{cell.seed}"
        learned.curves[key if len(windows) == 1 else f"{key}, window {cell.window + 1}"] = one.curve
    learned.objective = float(np.mean([max(t.curve["validation"]) for t in trained.values()]))
    if judged is not None:
        answer, setting = judged
        (name,) = agents
        policies = {str(cell.seed): one.policy for cell, one in trained.items()}
        learned.known = {
            "agent": name,
            # Of those that count epochs, the days that they have seen.
            "steps": getattr(agents[name], "decisions", agents[name].trained_steps),
            "seconds": {str(cell.seed): one.seconds for cell, one in trained.items()},
            **answer.judge(setting, pipeline.build(cfg, "cost"), policies),
        }
        write_json(folder / "known_answer.json", learned.known)
    return learned


def forecasts(
    cfg: DictConfig,
    windows: Sequence[Prepared],
    agents: Mapping[str, Any],
    trained: Mapping[Cell, Trained],
) -> dict[str, Foretold]:
    """Name -> forecasts of the test windows, of the agents whose policies have any."""
    first = windows[0]
    found = {}
    for name, agent in agents.items():
        policies: dict[int, list[Any]] = {}
        for cell in sorted(cell for cell in trained if cell.agent == name):
            policies.setdefault(cell.seed, []).append(trained[cell].policy)
        if all(hasattr(policy, "forecasts") for each in policies.values() for policy in each):
            setting = pipeline.make_window(
                cfg, first.market, first.features, first.splits.test, episode_length=None
            )
            found[name] = foretold(agent, windows, setting, policies)
    return found


def judged_setting(
    cfg: DictConfig, windows: Sequence[Prepared], agents: Sequence[str]
) -> tuple[KnownAnswer, Setting] | None:
    """The known answer and the market on which agents are judged by it; None without one.

    Raises:
        InputError: if the market, the costs or the plan do not fit it.
    """
    if cfg.known_answer is None:
        return None
    if len(agents) > 1 or len(windows) > 1:
        raise InputError(
            f"known_answer judges one agent on one window, not {len(agents)} on {len(windows)}; "
            "use evaluation=simulated with one agent, or known_answer=null"
        )
    answer: KnownAnswer = pipeline.build(cfg, "known_answer")
    setting = pipeline.make_judged(cfg, windows[0], answer)
    answer.policy(setting, pipeline.build(cfg, "cost"))
    return answer, setting


def tested(
    cfg: DictConfig,
    windows: Sequence[Prepared],
    policies: Mapping[int, Any],
    name: str,
    seed: int,
) -> Trajectory:
    """One seed over all test windows; see `rolled_on`."""
    parts = [(window, window.splits.test, policies[k]) for k, window in enumerate(windows)]
    return rolled_on(cfg, parts, name, seed)


def rolled_on(
    cfg: DictConfig,
    parts: Sequence[tuple[Prepared, tuple[int, int], Any]],
    name: str,
    seed: int,
) -> Trajectory:
    """One trajectory over consecutive rows with a policy for each part of them.

    What is held, and what is left of the wealth, at the end of a part is where the next begins: a
    run is ruined by what it lost since its first day.

    Args:
        parts: the window whose features the policy reads, its decision rows, the policy.
    """
    done: list[Trajectory] = []
    wealth, held = 1.0, None
    for window, rows, policy in parts:
        setting = pipeline.make_window(
            cfg,
            window.market,
            window.features,
            rows,
            episode_length=None,
            ruin=cfg.env.ruin / wealth,
        )
        done.append(rollout(policy, PortfolioEnv.from_setting(setting), seed=seed, weights=held))
        wealth, held = wealth * done[-1].value[-1], done[-1].held
        if done[-1].ruined:
            break
    return joined(done, name)


def cell_folder(folder: Path, cell: Cell, n_windows: int) -> Path:
    """`agents/NAME/seed_K`, with `window_W` in between where there are several."""
    agent = folder / "agents" / cell.agent
    return (agent if n_windows == 1 else agent / f"window_{cell.window + 1}") / f"seed_{cell.seed}"


# ---------------------------------------------------------------------- training of cells
def train_cells(
    cfg: DictConfig,
    windows: Sequence[Prepared],
    folder: Path,
    tracker: Tracker,
    cells: Sequence[Cell],
) -> dict[Cell, Trained]:
    """Trains all cells, in `evaluation.workers` processes, with progress and the time left."""
    n_windows = len(windows)
    keys = pipeline.agent_keys(cfg)
    steps = {name: pipeline.build(cfg, key).trained_steps for name, key in keys.items()}
    finished = [c for c in cells if (cell_folder(folder, c, n_windows) / MODEL).exists()]
    alone = len(keys) == 1 and n_windows == 1

    def name(cell: Cell) -> Seed:
        return cell.seed if alone else f"{cell.seed}_{cell.agent}_window_{cell.window + 1}"

    with Progress(
        sum(steps[c.agent] for c in cells), _label(cfg, keys, n_windows),
        done=sum(steps[c.agent] for c in finished),
    ) as progress:  # fmt: skip
        listener = Listener(
            progress.advance,
            lambda cell, step, values: tracker.log(step, values, name(cell)),
            lambda cell, step: tracker.rewind(name(cell), step),
        )
        todo = [cell for cell in cells if cell not in finished]
        n_workers = min(windows[0].plan.workers or os.cpu_count() or 1, len(todo))
        trained = {}
        if n_workers > 1:
            _train_side_by_side(cfg, folder, todo, n_workers, listener)
        else:
            for cell in todo:
                trained[cell] = train_cell(cfg, windows, folder, cell, listener)
    # The cells of other processes and of an earlier start are read from their files.
    silent = Listener(lambda n, info: None, lambda *_: None, lambda *_: None)
    return {
        cell: trained[cell] if cell in trained else train_cell(cfg, windows, folder, cell, silent)
        for cell in cells
    }


def _label(cfg: DictConfig, agents: Mapping[str, str], n_windows: int) -> str:
    n_seeds = len(pipeline.agent_seeds(cfg))
    parts = [", ".join(agents), f"{n_seeds} seed{'s' if n_seeds > 1 else ''}"]
    if n_windows > 1:
        parts.append(f"{n_windows} windows")
    return ", ".join(parts)


def train_cell(
    cfg: DictConfig, windows: Sequence[Prepared], folder: Path, cell: Cell, listener: Listener
) -> Trained:
    """Trains one cell, or reads it where it is finished; the same bits in any process."""
    prepared = windows[cell.window]
    splits = prepared.splits
    key = pipeline.agent_keys(cfg)[cell.agent]
    agent = pipeline.build(cfg, key)
    began = time.perf_counter()
    try:
        trained = agent.train(
            pipeline.training_window(cfg, prepared, splits.train),
            pipeline.make_window(
                cfg, prepared.market, prepared.features, splits.validation, episode_length=None
            ),
            seed=cell.seed,
            folder=cell_folder(folder, cell, len(windows)),
            log=partial(listener.log, cell),
            advance=listener.advance,
            resumed=partial(listener.resumed, cell),
        )
    except InputError as error:
        raise pipeline.at_key(error, key) from error
    trained.policy.name = cell.agent
    return replace(trained, seconds=time.perf_counter() - began)


# ---------------------------------------------------------------------- side by side
class _Worker:
    """What a worker process holds: the prices are read and the features made once for all cells."""

    cfg: DictConfig
    windows: list[Prepared]
    listener: Listener


def _open_worker(config: Any, news: Any, parent: int) -> None:
    # The parent hears of an interruption, and ends its workers: checkpoints lose nothing by that.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    cfg = OmegaConf.create(config)
    OmegaConf.set_struct(cfg, True)
    _Worker.cfg = cfg
    market = pipeline.load_market(cfg)
    _Worker.windows = pipeline.prepare_windows(cfg, market, pipeline.build(cfg, "features.build"))
    _Worker.listener = Listener(
        lambda n, info: news.put(("advance", n, info)),
        lambda cell, step, values: news.put(("log", cell, step, values)),
        lambda cell, step: news.put(("resumed", cell, step)),
    )


def _end_with(parent: int) -> None:
    """A worker whose parent was killed would wait for work for ever."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)


def _work(folder: Path, cell: Cell) -> None:
    train_cell(_Worker.cfg, _Worker.windows, folder, cell, _Worker.listener)


def _train_side_by_side(
    cfg: DictConfig, folder: Path, cells: Sequence[Cell], n_workers: int, listener: Listener
) -> None:
    """Trains the cells in processes; each leaves its model in its folder.

    Raises:
        InputError: what a cell raised; or, naming the remedy, if a process was killed.
    """
    # A forked process would inherit the threads of Numba and torch in whatever state they are.
    context = multiprocessing.get_context("spawn")
    config = OmegaConf.to_container(cfg, resolve=True)
    news = context.Queue()
    pool = ProcessPoolExecutor(n_workers, context, _open_worker, (config, news, os.getpid()))
    waiting = {pool.submit(_work, folder, cell) for cell in cells}
    try:
        while waiting:
            done, waiting = wait(waiting, timeout=PATIENCE, return_when=FIRST_EXCEPTION)
            _hear(news, listener)
            for future in done:
                future.result()
    except BrokenProcessPool:
        raise InputError(
            "a training process was killed (out of memory?); what was finished is kept: go on with "
            f"python -m experiments.run resume={folder}, and with less memory in use"
        ) from None
    finally:
        if waiting:
            # Else a failure would wait for the other cells, for minutes or hours.
            for process in multiprocessing.active_children():
                process.terminate()
        pool.shutdown(wait=True, cancel_futures=True)
    _hear(news, listener)


def _hear(news: Any, listener: Listener) -> None:
    """Hands on what the workers have told since."""
    while True:
        try:
            kind, *content = news.get_nowait()
        except queue.Empty:
            return
        getattr(listener, kind)(*content)
