"""What a run leaves in its folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from agents.rollout import Trajectory
from envs.data.fetched import OLPS_ARTEFACT
from envs.data.market_data import MarketData
from envs.data.sources import SURVIVORS
from envs.errors import InputError
from experiments import predictions
from experiments.evaluation.attribution import attribute
from experiments.evaluation.evidence import Evidence
from experiments.evaluation.regimes import breakdown
from experiments.evaluation.results_csv import results_csv
from experiments.evaluation.robustness import study
from experiments.evaluation.splits import WINDOWS, Splits, date_text
from experiments.evaluation.trajectory_store import save_trajectories
from experiments.predictions import Foretold
from experiments.provenance import provenance
from experiments.reports.style import Noted, noted_figures
from experiments.run_folder import write_json, write_text

EXECUTION = {
    "next_close": "decided at one close, traded at the next",
    "next_open": "decided at the close, traded at the next open",
    "same_close": "traded at the very close that the decision has seen (optimistic)",
}

# Notes of a panel that begin like this are on the first page.
FIRST_PAGE = ("Simulated prices", OLPS_ARTEFACT, SURVIVORS)


def begin_provenance(
    folder: Path, market: MarketData, seeds: Sequence[int], settings: str, started: datetime
) -> dict[str, Any]:
    """Writes `provenance.json` as the run begins, since the source may change while it runs.

    A run that goes on keeps, under `earlier`, when and from which commit it was begun, and the
    seconds that this took where it came to its end.

    Args:
        settings: hash of the settings, by which `experiments.same_run` knows the run again.
        started: when the run was.
    """
    from hydra.core.hydra_config import HydraConfig

    overrides = HydraConfig.get().overrides.task if HydraConfig.initialized() else []
    facts = provenance(
        data_name=market.name,
        data_fingerprint=market.fingerprint,
        seeds=seeds,
        started=started,
        overrides=list(overrides),
    )
    facts["settings"] = settings
    path = folder / "provenance.json"
    if path.exists():
        try:
            before = json.loads(path.read_text(encoding="utf-8"))
            begun = {key: before[key] for key in ("started", "git", "command")}
            begun["seconds"] = before.get("seconds")
            facts["earlier"] = [*before.get("earlier", []), begun]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(
                f"{path} does not say when the run was begun ({error!r}); start a new run"
            ) from None
    write_json(path, facts)
    return facts


def write_results(
    cfg: DictConfig,
    folder: Path,
    market: MarketData,
    windows: Sequence[Splits],
    trajectories: dict[str, list[Trajectory]],
    evidence: Evidence,
    curves: Mapping[str, Mapping[str, list[float]]],
    facts: dict[str, Any],
    first: Sequence[str] = (),
    notes: Sequence[str] = (),
    forecasts: tuple[Mapping[str, Foretold], Mapping[str, Any]] = ({}, {}),
) -> dict[str, Noted]:
    """Writes `trajectories.h5`, `metrics.json`, `results.csv`, `analysis.json`, `provenance.json`,
    `report.html`, and for agents that forecast `predictions.json` and `predictions.h5`; returns the
    figures of the report."""
    from experiments.reports.report import write_report

    save_trajectories(folder / "trajectories.h5", trajectories)
    write_json(folder / "metrics.json", evidence.as_dict())
    write_text(folder / "results.csv", results_csv(trajectories, evidence))
    analysis = analyse(cfg, market, trajectories, evidence.of_role("agent"))
    write_json(folder / "analysis.json", analysis)
    predictions.write(folder, *forecasts)
    began = datetime.fromisoformat(facts["started"])
    facts = {**facts, "seconds": round((datetime.now(UTC) - began).total_seconds(), 1)}
    write_json(folder / "provenance.json", facts)
    with noted_figures() as figures:
        write_report(
            folder / "report.html",
            title=cfg.name,
            evidence=evidence,
            trajectories=trajectories,
            provenance=told(cfg, market, facts),
            config_yaml=OmegaConf.to_yaml(cfg, resolve=True),
            learning_curves=curves,
            splits=days_of_windows(market, windows),
            notes=[*market.notes, *remarks(cfg), *notes],
            first=first,
            analysis=analysis,
            forecasts=forecasts[1],
        )
    return figures


def caveats(cfg: DictConfig, market: MarketData) -> list[str]:
    """What the first page says of the prices and of an execution that nobody could have had."""
    said = [note for note in market.notes if note.startswith(FIRST_PAGE)]
    if cfg.env.execution == "same_close":
        said.append(f"Everything was {EXECUTION['same_close']}.")
    return said


def remarks(cfg: DictConfig) -> list[str]:
    """What a reader must know of settings that do not quite fit together."""
    literature = cfg.cost._target_.endswith(".LiteratureCost")
    if not literature or cfg.env.execution == "same_close":
        return []
    return [
        "Published comparisons that use these costs trade at the very close that the decision has "
        f"seen; under env.execution={cfg.env.execution} the figures do not compare with theirs."
    ]


def analyse(
    cfg: DictConfig,
    market: MarketData,
    trajectories: Mapping[str, Sequence[Trajectory]],
    agents: Sequence[str],
) -> dict[str, Any]:
    """What `analysis.json` holds: the result at other costs, by asset and cost, and by regime."""
    execution = cfg.env.execution
    cost = instantiate(cfg.cost, _convert_="all")
    return {
        "format": 1,
        "robustness": study(market, trajectories, cost=cost, execution=execution, agents=agents),
        "attribution": attribute(market, trajectories, execution=execution),
        "regimes": breakdown(market, trajectories),
    }


def days_of_windows(
    market: MarketData, windows: Sequence[Splits]
) -> dict[str, tuple[str, str, int]]:
    """`window_days` of train, validation and test, numbered where there are several of each; none
    of an empty window."""
    names = [""] if len(windows) == 1 else [f" {k + 1}" for k in range(len(windows))]
    return {
        f"{key}{name}": window_days(market, getattr(splits, key))
        for name, splits in zip(names, windows, strict=True)
        for key in WINDOWS
        if len(range(*getattr(splits, key)))
    }


def window_days(market: MarketData, rows: tuple[int, int]) -> tuple[str, str, int]:
    """First decision, last return, and number of steps of a window."""
    first, stop = rows
    return date_text(market.dates, first), date_text(market.dates, stop), stop - first


def told(cfg: DictConfig, market: MarketData, facts: dict[str, Any]) -> dict[str, Any]:
    """The provenance in the words and the order of the report."""
    late = f", {cfg.env.delay} rows later" if cfg.env.delay else ""
    git = facts["git"]
    return {
        "command": facts["command"],
        "commit": f"{git['commit']}{' with changes' if git['dirty'] else ''}",
        "data": f"{market.name}: {market.n_assets} assets, {market.n_rows} rows",
        "fingerprint": market.fingerprint,
        "execution": EXECUTION[cfg.env.execution] + late,
        "costs": instantiate(cfg.cost, _convert_="all").words(),
        "seeds": facts["seeds"] or "none: nothing is trained",
        "started": facts["started"],
        "seconds": facts["seconds"],
        "machine": facts["machine"],
        "versions": facts["packages"],
    }
