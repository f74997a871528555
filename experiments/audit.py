"""`python -m experiments.audit +exp=ANY`: does anything in a recipe know the future?

Everything after sampled days is changed, and all that is known by these days is compared bit by
bit: features, scaler, observations, rewards, accounts, trainings and the actions of all policies.
Exit status 0 if nothing differs and every planted leak was caught, 1 otherwise, 2 for bad input.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from envs.errors import InputError
from experiments.cli import BAD_INPUT, checked, complain

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from experiments.auditing.checks import Report

FOUND = 1


def command_line() -> argparse.ArgumentParser:
    """What the program takes."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.audit",
        description="Changes all data after sampled days and compares what was known before.",
    )
    parser.add_argument(
        "overrides", nargs="*", metavar="OVERRIDE", help="as of experiments.run, such as +exp=NAME"
    )
    parser.add_argument("--days", type=int, default=12, metavar="N", help="sampled days")
    parser.add_argument("--seed", type=int, default=0, help="of the days and the changes")
    parser.add_argument("--json", type=Path, metavar="PATH", help="also write the report there")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Parses the arguments, audits, prints, returns the exit status."""
    arguments = command_line().parse_intermixed_args(argv)
    try:
        cfg = compose(arguments.overrides)
        from experiments.auditing.checks import audit

        report = audit(cfg, days=arguments.days, seed=arguments.seed, advance=_tell)
        _tell("")
        if arguments.json is not None:
            from experiments.run_folder import write_json

            write_json(arguments.json, report.as_dict())
    except InputError as error:
        _tell("")
        complain(str(error))
        return BAD_INPUT
    show(report)
    return 0 if report.clean else FOUND


def compose(overrides: Sequence[str]) -> DictConfig:
    """The configuration of a run, its overrides checked as a run checks them.

    Raises:
        InputError: naming what is wrong.
    """
    from hydra import compose, initialize_config_module

    if any(text.startswith("resume=") for text in overrides):
        raise InputError("an audit goes on with nothing; leave out resume=")
    given = checked(list(overrides))
    with initialize_config_module("hydra_conf", version_base="1.3"):
        return compose("config", given)


def _tell(text: str) -> None:
    """One line that is written over, where somebody is looking."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{text and 'testing ' + text}")
        sys.stderr.flush()


def show(report: Report) -> None:
    """The table, the controls and the verdict."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Column, Table

    console = Console(width=140, highlight=False)
    numbers = [Column(head, justify="right") for head in ("days", "values")]
    heads: list[Column | str] = ["check", *numbers, "verdict"]
    if any(check.leak for check in report.checks):
        heads += ["first leak", "row", "date", "column"]
    table = Table(*heads, box=None)
    for check in report.checks:
        cells = [check.name, str(len(check.days)), f"{check.values:,}", check.verdict]
        if check.leak is not None:
            row = "" if check.leak.row is None else str(check.leak.row)
            cells += [check.leak.what, row, check.leak.date, check.leak.column]
        table.add_row(*map(escape, cells))
    console.print(table)
    for check in report.checks:
        for said in (check.leak, check.note):
            if said:
                console.print(f"{check.name}: {said}", markup=False, soft_wrap=True)
    for name, caught in report.controls.items():
        console.print(f"control: {'caught' if caught else 'MISSED'} (planted in {name})")
    values = sum(check.values for check in report.checks)
    leaks = [check.name for check in report.checks if check.leak is not None]
    missed = [name for name, caught in report.controls.items() if not caught]
    if leaks:
        console.print(f"{report.name}: LEAK, the future is known to: {', '.join(leaks)}")
    elif missed:
        console.print(f"{report.name}: no verdict: the audit is blind to {', '.join(missed)}")
    else:
        console.print(
            f"{report.name}: clean, {values:,} values on {len(report.days)} days from "
            f"{report.days[0]} to {report.days[-1]}"
        )


if __name__ == "__main__":
    sys.exit(main())
