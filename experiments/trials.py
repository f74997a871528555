"""What a run writes into the trial ledger, and what it reads there."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf

from agents.rollout import Trajectory
from envs.data.market_data import MarketData
from envs.errors import InputError
from experiments import ledger
from experiments.cli import complain
from experiments.evaluation import metrics
from experiments.evaluation.evidence import Evidence
from experiments.evaluation.skill import Trials
from experiments.evaluation.splits import WINDOWS, Splits, date_text
from experiments.hash_chain import canonical
from experiments.ledger import Window
from experiments.provenance import command_line, git_state, scrubbed
from experiments.run_folder import write_json

NOTE = "trial.json"
# What a result does not depend on: an experiment keeps its hash whatever these are.
ASIDE = ("name", "resume", "ledger", "tracking", "hydra")
ASIDE_ANYWHERE = ("env_threads", "torch_threads", "device", "workers", "n_bootstrap", "level")
NO_LEDGER = (
    "No ledger of trials is kept (ledger=null): how often this test window was read before is not "
    "known, and the deflated Sharpe ratio counts this run alone."
)


@dataclass
class Entry:
    """The lines of one run.

    Attributes:
        path: of the ledger; None: nothing is written.
        run: name of the run in the ledger.
        agents: name -> hash of what concerns that agent alone.
        baselines: the same of the baselines; in a run without agents these are the trials.
        words: who has read the test windows, this run included.
        given: what `trials` answers where no ledger is asked.
        repeats: whether this run only repeats another one: nobody needs to be told where it is.
    """

    path: Path | None
    run: str = ""
    agents: dict[str, str] = field(default_factory=dict)
    baselines: dict[str, str] = field(default_factory=dict)
    fingerprint: str = ""
    windows: list[Window] = field(default_factory=list)
    words: str = NO_LEDGER
    given: Trials | None = None
    repeats: bool = False
    evidence: Evidence | None = None

    def reads(
        self, market: MarketData, windows: Sequence[Splits], strategies: Sequence[str] = ()
    ) -> None:
        """Says which data and windows the run is about to look at.

        Args:
            strategies: without agents, what the reader of the table will choose from.

        Raises:
            InputError: if the ledger is broken.
        """
        if self.path is None:
            return
        told = [{key: _days(market, getattr(w, key)) for key in WINDOWS} for w in windows]
        self.fingerprint, self.windows = market.fingerprint, [w["test"] for w in told]
        data = {"name": market.name, "fingerprint": market.fingerprint}
        choice = {} if self.agents else {name: self._hash_of(name) for name in strategies}
        with ledger.opened(self.path) as chain:
            ledger.add(chain, "read", run=self.run, data=data, windows=told, strategies=choice)
            n, different = ledger.readings(chain.lines, self.fingerprint, self.windows)
        self.words = (
            f"This test window has now been read by {n} run{'s' if n > 1 else ''} with {different} "
            f"different configuration{'s' if different > 1 else ''}."
        )

    def trials(self, tried: Mapping[str, Sequence[Trajectory]]) -> Trials | None:
        """How many trials there are, those of this run included; None without a ledger.

        Args:
            tried: trajectories of the agents. In a run without them, of every strategy that could
                have been chosen: the reader of the table will look at the best of them.

        Raises:
            InputError: if the ledger is broken.
        """
        if self.path is None:
            return self.given
        own = {self._hash_of(name): annual_sharpe(runs) for name, runs in tried.items()}
        with ledger.opened(self.path) as chain:
            return ledger.trials(chain.lines, self.fingerprint, self.windows, own)

    def _hash_of(self, name: str) -> str:
        return (self.agents or self.baselines).get(name, name)

    def found(self, evidence: Evidence) -> None:
        """Keeps what the line of the end will say."""
        self.evidence = evidence

    def end(self, outcome: str, reason: str = "") -> None:
        """Writes the line of the end."""
        if self.path is None:
            return
        strategies, periods = {}, 1.0
        if self.evidence is not None:
            periods = self.evidence.window["periods_per_year"]
            for name, one in self.evidence.strategies.items():
                figures = one.skill and {
                    key: getattr(one.skill, key) for key in ("sharpe", "n", "skewness", "kurtosis")
                }
                strategies[name] = {"role": one.role, "sharpe": None, **(figures or {})}
        with ledger.opened(self.path) as chain:
            ledger.add(
                chain,
                "ended",
                run=self.run,
                outcome=outcome,
                reason=reason,
                strategies=strategies,
                periods_per_year=periods,
            )


@contextmanager
def trial(cfg: DictConfig, folder: Path, given: Trials | None = None) -> Iterator[Entry]:
    """Writes a line before anything is computed and another one when the block is left.

    A run that goes on in the folder of one that did not end is the same trial. With `ledger=null`
    nothing is written.

    Args:
        given: the trials of a former run, which is only repeated: nothing is written.

    Raises:
        InputError: if the ledger is broken or cannot be written; nothing was computed then.
    """
    if given is not None:
        words = "This run repeats another one, and is judged with the number of trials of that one."
        yield Entry(None, words=words, given=given, repeats=True)
        return
    if not OmegaConf.select(cfg, "ledger"):
        yield Entry(None)
        return
    if not isinstance(cfg.ledger, str):
        raise InputError(f"ledger must name a file, got {cfg.ledger!r}; null keeps none")
    entry = _begin(cfg, folder)
    try:
        yield entry
    except BaseException as error:
        # What comes behind the results, a tracker's complaint say, comes too late to be a refusal.
        refused = isinstance(error, InputError) and entry.evidence is None
        outcome = "refused" if refused else "failed"
        if isinstance(error, KeyboardInterrupt):
            outcome = "interrupted"
        entry.evidence = None
        try:
            entry.end(outcome, _reason(error))
        except InputError as second:  # the first one is what the user must see last
            complain(str(second))
        raise
    entry.end("finished")


def _begin(cfg: DictConfig, folder: Path) -> Entry:
    path, config = Path(cfg.ledger).absolute(), config_hash(cfg)
    agents, baselines = agent_hashes(cfg), baseline_hashes(cfg)
    before = _earlier(folder, config)
    if before is not None and Path(before["ledger"]).exists():
        path = Path(before["ledger"])
    with ledger.opened(path) as chain:
        known = ledger.runs(chain.lines)
        if before is not None and before["run"] in known:
            ledger.add(chain, "resumed", run=before["run"], command=command_line())
            return Entry(path, before["run"], agents, baselines)
        run = secrets.token_hex(8)
        # Before the line: a kill between the two leaves a note of a run that is not known.
        write_json(folder / NOTE, {"run": run, "ledger": path, "config": config})
        git = git_state()
        ledger.add(
            chain,
            "begun",
            run=run,
            name=cfg.name,
            config=config,
            agents=agents,
            seed=cfg.seed,
            n_seeds=cfg.n_seeds,
            command=command_line(),
            overrides=_overrides(),
            commit=git["commit"],
            dirty=git["dirty"],
        )
    return Entry(path, run, agents, baselines)


def _earlier(folder: Path, config: str) -> dict[str, Any] | None:
    """The note of the run that was begun in this folder and did not finish."""
    if (folder / "report.html").exists():
        return None
    try:
        note = json.loads((folder / NOTE).read_text(encoding="utf-8"))
        return note if note["config"] == config and note["run"] and note["ledger"] else None
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _overrides() -> list[str]:
    from hydra.core.hydra_config import HydraConfig

    texts = HydraConfig.get().overrides.task if HydraConfig.initialized() else []
    return [scrubbed(text) for text in texts]


def _reason(error: BaseException) -> str:
    lines = str(error).splitlines()
    kind = "" if isinstance(error, InputError) else type(error).__name__
    text = ": ".join(part for part in (kind, lines[0] if lines else "") if part)
    return " ".join(scrubbed(word) for word in text.split(" "))[:300]


# ---------------------------------------------------------------------- hashes and figures
def config_hash(cfg: DictConfig) -> str:
    """SHA-256 of what a result depends on: not of names, folders, trackers, threads or devices."""
    tree = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(tree, dict)
    return _hash({key: value for key, value in tree.items() if key not in ASIDE})


def agent_hashes(cfg: DictConfig) -> dict[str, str]:
    """Name of each agent -> hash of the configuration without the other agents and the baselines.

    The same agent is the same trial whoever else was there.
    """
    tree = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(tree, dict)
    tree["evaluation"].pop("baselines", None)
    tree.pop("known_answer", None)
    agents = {name: one for name, one in (tree.pop("agents", None) or {}).items() if one}
    alone = tree.pop("agent", None)
    if alone and "_target_" in alone:
        agents[alone["_target_"].rpartition(".")[2].lower()] = alone
    shared = {key: value for key, value in tree.items() if key not in ASIDE}
    return {name: _hash({**shared, "agent": one}) for name, one in agents.items()}


def baseline_hashes(cfg: DictConfig) -> dict[str, str]:
    """Name of each baseline -> hash of its settings and of what it is measured on.

    Seeds, features and rewards are for agents: a baseline is the same whatever they are. So it is
    however the rows are split: on which of them it was tried, the ledger knows from the windows.
    """
    tree = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(tree, dict)
    baselines = tree["evaluation"].get("baselines") or {}
    shared = {key: tree.get(key) for key in ("data", "env", "cost")}
    return {
        name: _hash({**shared, "baseline": name, "settings": one})
        for name, one in baselines.items()
        if one is not None
    }


def _hash(tree: Any) -> str:
    return hashlib.sha256(canonical(_bare(tree)).encode()).hexdigest()


def _bare(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {str(k): _bare(v) for k, v in tree.items() if k not in ASIDE_ANYWHERE}
    if isinstance(tree, list):
        return [_bare(item) for item in tree]
    # NaN and infinity have no JSON form, and may stand in settings that are refused later.
    return repr(tree) if isinstance(tree, float) and not np.isfinite(tree) else tree


def annual_sharpe(runs: Sequence[Trajectory]) -> float | None:
    """Mean over seeds of the annualised Sharpe ratio; None where it is not defined."""
    values = [metrics.sharpe(t.net_return, t.periods_per_year, t.cash_return) for t in runs]
    mean = float(np.mean(values))
    return mean if np.isfinite(mean) else None


def _days(market: MarketData, rows: tuple[int, int]) -> Window:
    return date_text(market.dates, rows[0]), date_text(market.dates, rows[1])
