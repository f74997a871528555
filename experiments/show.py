"""`python -m experiments.show RUN_DIR`: the tables of a finished run once more.

With `--markdown` as text for a page, with the command, the commit and the machine it came from;
with `--gross` for the same trades had they cost nothing.
Exit status 0, or 2 if the folder cannot be used.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from agents.rollout import Trajectory
from envs.errors import InputError
from experiments.cli import BAD_INPUT, complain
from experiments.evaluation.evidence import Evidence, evaluate
from experiments.evaluation.known_answer import in_words
from experiments.evaluation.metrics import BY_NAME
from experiments.evaluation.table import bounds, label, print_table, span
from experiments.evaluation.trajectory_store import load_trajectories
from experiments.provenance import Provenance, read_provenance
from experiments.reports.luck import skill_in_words
from experiments.reports.summary import headline, sureness

COLUMNS = ("cagr", "volatility", "sharpe", "max_drawdown", "turnover", "cost", "active_share")
WITH_INTERVAL = ("cagr", "sharpe")


def main(argv: Sequence[str] | None = None) -> int:
    """Parses the arguments, prints, returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.show", description="Prints the tables of a finished run."
    )
    parser.add_argument("run_dir", type=Path, metavar="RUN_DIR", help="folder of a finished run")
    parser.add_argument("--markdown", action="store_true", help="for a page, with its origin")
    parser.add_argument("--gross", action="store_true", help="the same trades without their costs")
    arguments = parser.parse_args(argv)
    try:
        evidence = Evidence.read(arguments.run_dir / "metrics.json")
        said = [*headline(evidence), *sureness(evidence)]
        kind = "net of costs"
        if arguments.gross:
            path = arguments.run_dir / "trajectories.h5"
            evidence = before_costs(evidence, load_trajectories(path))
            said, kind = (
                ["Before costs: what the same trades earned had they cost nothing."],
                "gross",
            )
        first = known_answer(arguments.run_dir / "known_answer.json")
        if arguments.markdown:
            facts = read_provenance(arguments.run_dir / "provenance.json")
            print(markdown(evidence, facts, [*first, *said]), end="")
        else:
            skill = [skill_in_words(evidence, name) for name in evidence.of_role("agent")]
            print("\n".join([*first, *said, *([] if arguments.gross else skill)]) + "\n")
            print_table(evidence, kind=kind)
    except InputError as error:
        complain(str(error))
        return BAD_INPUT
    return 0


def before_costs(evidence: Evidence, trajectories: Mapping[str, Sequence[Trajectory]]) -> Evidence:
    """The evidence of the same weights had no trade cost anything.

    Whoever pays nothing would trade otherwise; this says what the trades earned before they were
    paid for, not what a market without costs would give.
    """
    names = {role: evidence.of_role(role) for role in ("agent", "baseline")}
    drawn = evidence.bootstrap
    return evaluate(
        {name: [_gross(t) for t in trajectories[name]] for name in evidence.strategies},
        baselines=names["baseline"],
        agents=names["agent"],
        seed=drawn["seed"],
        n_bootstrap=drawn["replications"],
        level=drawn["level"],
        trials=evidence.trials,
        hindsight=[name for name, one in evidence.strategies.items() if one.hindsight],
        real_dates=evidence.window["real_dates"],
    )


def _gross(t: Trajectory) -> Trajectory:
    nothing = np.zeros_like(t.net_return)
    return replace(
        t,
        net_return=t.gross_return,
        value=np.append(1.0, np.cumprod(1.0 + t.gross_return)),
        costs=dict.fromkeys(t.costs, nothing),
    )


def known_answer(path: Path) -> list[str]:
    """What a run against a known answer scored, in a sentence; empty for another run.

    Raises:
        InputError: if the file is broken.
    """
    if not path.is_file():
        return []
    try:
        return [in_words(json.loads(path.read_text(encoding="utf-8")))]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} cannot be read ({error!r}); run it again") from None


def markdown(evidence: Evidence, facts: Provenance, said: Sequence[str]) -> str:
    """Sentences, one table with a row a strategy, and where the numbers come from.

    Args:
        evidence: of the run.
        facts: its `provenance.json`.
        said: what stands before the table.
    """
    agents = evidence.of_role("agent")
    heads = ["", *(BY_NAME[key].label for key in COLUMNS)]
    heads += [f"{label(agent)} less this: CAGR, growth is" for agent in agents]
    lines = [" ".join(said), ""]
    lines += [f"| {' | '.join(heads)} |", "|---|" + "---:|" * (len(heads) - 1)]
    for name, strategy in evidence.strategies.items():
        seeds = len(strategy.seeds)
        cells = [label(name) + (f", {seeds} seeds" if seeds > 1 else "")]
        for key in COLUMNS:
            metric, estimate = BY_NAME[key], strategy.metrics[key]
            interval = metric.interval(estimate.low, estimate.high) if key in WITH_INTERVAL else ""
            cells.append(f"{metric.text(estimate.value)} {interval}".rstrip())
        for agent in agents:
            d = evidence.difference(agent, name, "cagr")
            cell = ""
            if d is not None:
                interval = BY_NAME["cagr"].interval(d.low, d.high, sign=True)
                value = BY_NAME["cagr"].text(d.value, sign=True, suffix=False)
                verdict = "a bound" if bounds(evidence, d) else d.standing
                cell = f"{value} {interval} {verdict}"
            cells.append(cell)
        lines.append(f"| {' | '.join(cells)} |")
    b, git, machine = evidence.bootstrap, facts["git"], facts["machine"]
    commit = (git["commit"] or "unknown")[:10] + (" with local changes" if git["dirty"] else "")
    lines += [
        "",
        f"`{facts['command']}`, {facts['started'][:10]}, commit {commit}, "
        f"{facts['seconds']:.0f} s on {machine['processor']}, {machine['cpu_count']} cores. "
        f"Measured: {span(evidence.window)}. "
        f"[low, high]: {b['level']:.0%} intervals over resampled days; unclear: "
        "the interval of the difference contains zero.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
