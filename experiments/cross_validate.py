"""`python -m experiments.cross_validate +exp=ANY`: combinatorial purged cross-validation.

One history gives many backtests, each of rows that the agent was not trained on. The test windows
of the recipe are not touched: the rows before them are cross-validated. Exit status 0: the table
was printed and `cross_validation.json` written; 2: bad input; 130: interrupted.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from envs.errors import InputError
from experiments.cli import BAD_INPUT, INTERRUPTED, complain

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from agents.rollout import Trajectory


def command_line() -> argparse.ArgumentParser:
    """What the program takes."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.cross_validate",
        description="Trains on every combination of groups of rows and tests on the others.",
    )
    parser.add_argument(
        "overrides", nargs="*", metavar="OVERRIDE", help="as of experiments.run, such as +exp=NAME"
    )
    add = parser.add_argument
    add("--groups", type=int, default=6, metavar="N", help="groups of rows (default: %(default)s)")
    add("--test-groups", type=int, default=2, metavar="K",
        help="groups that are tested at a time (default: %(default)s)")  # fmt: skip
    add("--purge", type=int, default=21, metavar="ROWS",
        help="cut before and after test groups (default: %(default)s)")  # fmt: skip
    add("--embargo", type=int, default=21, metavar="ROWS",
        help="cut after them as well (default: %(default)s)")  # fmt: skip
    add("--workers", type=int, metavar="N", help="processes (default: one for each core)")
    add("--out", type=Path, metavar="DIR", help="folder; an unfinished one is gone on with")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Parses the arguments, cross-validates, prints, returns the exit status."""
    arguments = command_line().parse_intermixed_args(argv)
    try:
        from experiments.audit import compose

        cfg = compose(arguments.overrides)
        stamp = f"{datetime.now():%Y-%m-%d_%H-%M-%S}"
        out = arguments.out or Path("outputs") / f"{cfg.name}_cross_validation" / stamp
        found = cross_validate(
            cfg,
            out,
            n_groups=arguments.groups,
            n_test_groups=arguments.test_groups,
            purge=arguments.purge,
            embargo=arguments.embargo,
            workers=arguments.workers,
        )
    except InputError as error:
        complain(str(error))
        return BAD_INPUT
    except KeyboardInterrupt:
        print("\ninterrupted; go on with the same command and --out", file=sys.stderr)
        return INTERRUPTED
    show(found)
    print(f"written: {out / 'cross_validation.json'}")
    return 0


def cross_validate(
    cfg: DictConfig,
    out: Path,
    *,
    n_groups: int = 6,
    n_test_groups: int = 2,
    purge: int = 21,
    embargo: int = 21,
    workers: int | None = None,
) -> dict[str, Any]:
    """Paths of all agents and baselines of a configuration; writes `cross_validation.json`.

    Args:
        cfg: as of a run; its plan says which rows are tested, and those are left alone.
        out: models and results go there; trainings that it already holds are not repeated.
        n_groups, n_test_groups, purge, embargo: as in `CombinatorialPurged`.
        workers: processes; the result does not depend on it.

    Returns:
        `rows` (first and last date, their number), `splitter` (its settings, `n_combinations`,
        `n_paths`), `strategies`: name -> list of `{seed, path, sharpe, cagr, max_drawdown}` (one
        entry for a baseline, whose paths are all the same), `agents`: which of them are trained,
        and `selection` of the baselines (`cross_validation.selection`).

    Raises:
        InputError: for anything that the user can correct.
    """
    from omegaconf import OmegaConf

    from experiments import pipeline
    from experiments.evaluation.cross_validation import selection
    from experiments.evaluation.splits import date_text
    from experiments.run_folder import open_run_folder, write_json

    market = pipeline.load_market(cfg)
    if market.process is not None and cfg.env.fresh_paths:
        raise InputError(
            "env.fresh_paths draws a new market for every episode, so nothing can leak and nothing "
            "is to be cross-validated; use experiments.run"
        )
    builder = pipeline.build(cfg, "features.build")
    known = pipeline.prepare(cfg, market, builder)
    if not known.plan.trains:
        raise InputError(
            f"evaluation {type(known.plan).__name__} has no rows before its test window; "
            "use evaluation=holdout"
        )
    policies = pipeline.make_baselines(known.plan, market, known.splits.validation[1])
    # The first group begins where every baseline has the closes that it needs.
    history = max(getattr(policy, "history", 1) for policy in policies.values())
    first, stop = max(known.splits.train[0], history - 1), known.splits.validation[1]
    settings = {
        "first": first,
        "stop": stop,
        "n_groups": n_groups,
        "n_test_groups": n_test_groups,
        "purge": purge,
        "embargo": embargo,
        "workers": workers,
    }
    target = "experiments.evaluation.combinatorial.Combinatorial"
    baselines = OmegaConf.to_container(cfg.evaluation.baselines, resolve=True)
    plan = {"_target_": target, "baselines": baselines, **settings}
    plain: Any = OmegaConf.to_container(cfg, resolve=True)
    cfg = OmegaConf.create({**plain, "evaluation": plan})
    OmegaConf.set_struct(cfg, True)
    windows = pipeline.prepare_windows(cfg, market, builder)
    splitter = windows[0].plan.splitter  # type: ignore[attr-defined]
    folder = open_run_folder(out, "--out")
    _same_config(folder / "cross_validation.yaml", cfg, market.fingerprint)

    histories = pipeline.run_baselines(cfg, policies, market, (first, stop))
    histories.pop("benchmark", None)
    choice = selection(
        {
            name: run.net_return
            for name, (run,) in histories.items()
            if not run.ruined and not pipeline.knows_the_future(policies[name])
        },
        splitter,
        periods_per_year=market.periods_per_year,
        cash=market.cash_rate[first + 1 : stop + 1],
    )
    strategies = {name: [_measures(runs[0], 0)] for name, runs in histories.items()}
    learned = _agents(cfg, windows, splitter, (first, stop), folder)
    for name, paths in learned.items():
        strategies = {name: [_measures(t, k) for k, t in paths], **strategies}
    found = {
        "rows": {
            "first_decision": date_text(market.dates, first),
            "last": date_text(market.dates, stop),
            "steps": stop - first,
            "test_begins": date_text(market.dates, known.splits.test[0]),
        },
        "splitter": {
            "n_groups": n_groups,
            "n_test_groups": n_test_groups,
            "purge": purge,
            "embargo": embargo,
            "n_combinations": splitter.n_combinations,
            "n_paths": splitter.n_paths,
        },
        "agents": list(learned),
        "strategies": strategies,
        "selection": choice,
    }
    write_json(folder / "cross_validation.json", found)
    return found


def _same_config(path: Path, cfg: DictConfig, fingerprint: str) -> None:
    """Keeps models of other settings or data from being taken for those of this one."""
    from omegaconf import OmegaConf

    from experiments.run_folder import write_text
    from experiments.same_run import is_trained, settings_hash

    mark = f"# settings {settings_hash(cfg)}, data {fingerprint}\n"
    former = path.read_text(encoding="utf-8") if path.exists() else ""
    # Models without the file are those of a run.
    if is_trained(path.parent) and not former.endswith(mark):
        raise InputError(
            f"{path.parent} holds models of other settings, data or splits; choose another --out"
        )
    write_text(path, OmegaConf.to_yaml(cfg) + mark)


def _agents(
    cfg: DictConfig, windows: Sequence[Any], splitter: Any, rows: tuple[int, int], folder: Path
) -> dict[str, list[tuple[int, Trajectory]]]:
    """Name -> `(path, trajectory)` of every seed and path over all rows."""
    from experiments import pipeline

    agents = pipeline.agent_keys(cfg)
    if not agents:
        return {}
    from experiments.learning import Cell, rolled_on, train_cells
    from experiments.tracking import csv_tracker

    seeds = pipeline.agent_seeds(cfg)
    cells = [Cell(c, a, s) for c in range(len(windows)) for a in agents for s in seeds]
    tracker = csv_tracker(folder)
    try:
        trained = train_cells(cfg, windows, folder, tracker, cells)
    finally:
        tracker.finish()
    groups = splitter.groups(*rows)
    found: dict[str, list[tuple[int, Trajectory]]] = {}
    for name in agents:
        found[name] = []
        for seed in seeds:
            for number, path in enumerate(splitter.paths().tolist()):
                # Each combination has scaled the features by its own training rows.
                parts = [
                    (windows[c], group, trained[Cell(c, name, seed)].policy)
                    for group, c in zip(groups, path, strict=True)
                ]
                found[name].append((number, rolled_on(cfg, parts, name, seed)))
    return found


def _measures(t: Trajectory, path: int) -> dict[str, Any]:
    from experiments.evaluation import metrics

    year = t.periods_per_year
    values = {
        "sharpe": metrics.sharpe(t.net_return, year, t.cash_return),
        "cagr": metrics.cagr(t.net_return, year),
        "max_drawdown": metrics.max_drawdown(t.net_return),
    }
    shown = {key: float(x) if np.isfinite(x) else None for key, x in values.items()}
    return {"seed": t.seed, "path": path, "ruined": bool(t.ruined), **shown}


def show(found: Mapping[str, Any]) -> None:
    """The table and what it says in words."""
    from rich.console import Console
    from rich.table import Column, Table

    console = Console(highlight=False)
    heads = ["paths", "Sharpe", "lowest", "highest", "CAGR", "drawdown"]
    table = Table("strategy", *[Column(head, justify="right") for head in heads], box=None)
    for name, runs in found["strategies"].items():
        ratios = [run["sharpe"] for run in runs if run["sharpe"] is not None]
        lowest, highest = (f"{f(ratios):.2f}" if len(runs) > 1 else "" for f in (min, max))
        table.add_row(
            name.replace("_", " "),
            str(len(runs)),
            f"{np.median(ratios):.2f}" if ratios else "-",
            lowest if ratios else "",
            highest if ratios else "",
            _percent([run["cagr"] for run in runs]),
            _percent([run["max_drawdown"] for run in runs]),
        )
    rows, cut = found["rows"], found["splitter"]
    console.print(
        f"{rows['steps']} decisions from {rows['first_decision']} to {rows['last']}, before the "
        f"test window ({rows['test_begins']}): {cut['n_groups']} groups, {cut['n_test_groups']} "
        f"tested at a time, {cut['n_combinations']} combinations, {cut['n_paths']} paths; medians",
        soft_wrap=True,
    )
    console.print(table)
    for sentence in sentences(found):
        console.print(sentence, soft_wrap=True)


def sentences(found: Mapping[str, Any]) -> list[str]:
    """What the paths say, in plain words."""
    said = []
    others = {n: r[0]["sharpe"] for n, r in found["strategies"].items() if n not in found["agents"]}
    for name in found["agents"]:
        ratios = [run["sharpe"] for run in found["strategies"][name]]
        other, bar = next(iter(others.items()))
        ahead = sum(x is not None and bar is not None and x > bar for x in ratios)
        said.append(
            f"{name} is ahead of {other.replace('_', ' ')} by Sharpe ratio in {ahead} of "
            f"{len(ratios)} paths."
        )
    for name, runs in found["strategies"].items():
        if ruined := sum(run["ruined"] for run in runs):
            said.append(f"{name} was ruined in {ruined} of {len(runs)} paths, which end there.")
    choice = found["selection"]
    if "reason" in choice:
        return [*said, f"Choice of the best baseline: {choice['reason']}."]
    outside = choice["out_of_sample"]
    return [
        *said,
        "Choosing the baseline with the best Sharpe ratio on training rows: "
        f"{choice['in_sample']:.2f} there, "
        + ("undefined" if outside is None else f"{outside:.2f}")
        + f" on the rows left out; the best in hindsight is {choice['best'].replace('_', ' ')} "
        f"with {choice['best_sharpe']:.2f}.",
        "Paths share their rows and their trainings: their spread is not a confidence interval.",
    ]


def _percent(values: Sequence[float | None]) -> str:
    known = [x for x in values if x is not None]
    return f"{100 * np.median(known):.1f} %" if known else "-"


if __name__ == "__main__":
    sys.exit(main())
