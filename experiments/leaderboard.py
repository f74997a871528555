"""`python -m experiments.leaderboard`: agents and every baseline on every market, in one page.

Runs `+exp=leaderboard` on each market (walk-forward over the last 20 % of the rows, several seeds,
net of stated costs) and writes one page of tables. Each market is a run of its own below `--out`;
called again with the same folder, the command keeps what is finished and goes on where it was
interrupted.

Exit status 0, 2 if an argument cannot be used, 1 if a market failed.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import OmegaConf

from envs.errors import InputError
from experiments.batch import run_apart
from experiments.cli import BAD_INPUT, INTERRUPTED, complain, saved_config
from experiments.evaluation.evidence import Evidence
from experiments.provenance import read_provenance
from experiments.reports.leaderboard import page
from experiments.results import EXECUTION
from experiments.run_folder import open_run_folder, write_text

FAILED = 1
RECIPE = "+exp=leaderboard"
# The longest come first, so that no core waits for a last long one.
MARKETS: dict[str, tuple[str, list[str]]] = {
    "futures": ("84 futures in 7 groups, daily, their own cost schedule",
                ["data=futures", "cost=schedule"]),
    "crypto": ("5 cryptocurrencies, half-hourly", ["data=crypto"]),
    "sp500": ("20 US large caps of today, daily", ["data=sp500"]),
    "nyse_n": ("23 stocks, NYSE 1985 to 2010, daily", ["data=olps", "data.name=nyse_n"]),
    "nyse_o": ("36 stocks, NYSE 1962 to 1984, daily", ["data=olps", "data.name=nyse_o"]),
    "tse": ("88 stocks, Toronto 1994 to 1998, daily", ["data=olps", "data.name=tse"]),
    "sp500_olps": ("25 stocks, S&P 500 1998 to 2003, daily", ["data=olps", "data.name=sp500"]),
    "msci": ("24 indices of countries, 2006 to 2010, daily", ["data=olps", "data.name=msci"]),
    "djia": ("30 stocks, Dow Jones 2001 to 2003, daily", ["data=olps", "data.name=djia"]),
    "gbm": ("simulated: geometric Brownian motion", ["data=simulated/gbm"]),
    "mean_reverting": ("simulated: factors that revert", ["data=simulated/mean_reverting"]),
    "regime": ("simulated: hidden regimes", ["data=simulated/regime"]),
    "garch": ("simulated: GARCH with fat tails", ["data=simulated/garch"]),
}  # fmt: skip
# One window where the panel is short, or its law does not change.
ONE_WINDOW = ("tse", "sp500_olps", "msci", "djia", "gbm", "mean_reverting", "regime", "garch")
SMALL = ("sp500", "regime")
SMALL_SETTINGS = (
    "n_seeds=2", "agents.ppo.total_steps=16384", "agents.ppo.evaluations=1",
    "agents.ddpg.total_steps=3000", "agents.ddpg.evaluations=1", "evaluation.n_bootstrap=100",
)  # fmt: skip


def command_line() -> argparse.ArgumentParser:
    """The arguments of the command."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.leaderboard",
        description="PPO, DDPG and all baselines on all markets, walk-forward, net of costs.",
    )
    parser.add_argument(
        "markets", nargs="*", metavar="MARKET", help=f"of {', '.join(MARKETS)}; default: all"
    )
    parser.add_argument(
        "--small", action="store_true", help=f"{' and '.join(SMALL)} with little training: a check"
    )
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, help="markets at once (default: cores)"
    )
    parser.add_argument(
        "--out", type=Path, help="default: outputs/leaderboard, and outputs/leaderboard_small"
    )
    parser.add_argument("--page", type=Path, metavar="FILE", help="default: OUT/leaderboard.md")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Parses the arguments, runs, writes the page, and returns the exit status."""
    arguments = command_line().parse_args(argv)
    small = arguments.small
    names = arguments.markets or list(SMALL if small else MARKETS)
    out = arguments.out or Path("outputs") / ("leaderboard_small" if small else "leaderboard")
    try:
        return run(names, out, arguments.page, arguments.jobs, small)
    except InputError as error:
        complain(str(error))
        return BAD_INPUT
    except KeyboardInterrupt:
        print("\ninterrupted; the same command goes on", file=sys.stderr)
        return INTERRUPTED


def run(names: Sequence[str], out: Path, to: Path | None, jobs: int, small: bool) -> int:
    """Runs the markets into `out` and writes the page of those that are finished.

    Raises:
        InputError: for an unknown market, or a folder of other settings.
    """
    unknown = [name for name in names if name not in MARKETS]
    if unknown:
        raise InputError(f"unknown market {unknown[0]!r}; known: {', '.join(MARKETS)}")
    if jobs < 1:
        raise InputError(f"--jobs must be at least 1, got {jobs}")
    out = open_run_folder(out, "--out")
    for name in names:
        _check_same(name, out / name, small)
    print(f"{len(names)} markets, {jobs} at once, in {out}", flush=True)

    def run_one(name: str) -> bool:
        what = [RECIPE, *settings(name, small), f"name={name}"]
        return run_apart(what, out / name, (out / name / "report.html").exists())

    with ThreadPoolExecutor(jobs) as pool:
        good = list(pool.map(run_one, names))
    found = {name: read(out / name) for name, fine in zip(names, good, strict=True) if fine}
    if found:
        to = out / "leaderboard.md" if to is None else to
        told = {name: MARKETS[name][0] for name in found}
        write_text(to, page(found, told, small))
        print(f"page: {to}")
    return 0 if all(good) else FAILED


def settings(name: str, small: bool) -> list[str]:
    """The overrides of one market."""
    windows = 1 if name in ONE_WINDOW else 2 if small else 3
    return [
        *MARKETS[name][1],
        f"evaluation.n_windows={windows}",
        # Markets run side by side: each has one core.
        "evaluation.workers=1",
        *(SMALL_SETTINGS if small else ()),
    ]


def _check_same(name: str, folder: Path, small: bool) -> None:
    """Refuses a folder of other settings, which its finished cells were trained with."""
    if not (folder / "config.yaml").exists():
        return
    from hydra import compose, initialize_config_module

    with initialize_config_module("hydra_conf", version_base="1.3"):
        asked = compose("config", [RECIPE, *settings(name, small), f"name={name}"])
    if OmegaConf.to_yaml(asked, resolve=True) != OmegaConf.to_yaml(saved_config(folder)):
        raise InputError(
            f"{folder} was begun with other settings (--small or not, or another recipe); choose "
            "another --out"
        )


def read(folder: Path) -> tuple[Evidence, Mapping[str, Any]]:
    """Evidence of a finished market, and its provenance with `costs` and `execution` in words.

    Raises:
        InputError: if they cannot be read.
    """
    facts = read_provenance(folder / "provenance.json")
    cfg = saved_config(folder)
    words = {
        "costs": instantiate(cfg.cost, _convert_="all").words(),
        "execution": EXECUTION[cfg.env.execution],
    }
    return Evidence.read(folder / "metrics.json"), {**facts, **words}


if __name__ == "__main__":
    sys.exit(main())
