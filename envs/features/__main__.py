"""The features on the command line.

python -m envs.features list
python -m envs.features show sp500
python -m envs.features show synthetic --names rsi_14 seasonal
"""

from __future__ import annotations

import argparse
import sys

import numpy as np

import envs.data
from envs.data.market_data import MarketData
from envs.errors import InputError
from envs.features import DEFAULT, build_features, catalogue


def _list() -> None:
    print(f"{'name':28s}{'group':10s}{'warm-up':>7s}  {'needs':24s}what it is")
    for entry in catalogue():
        needs = " ".join(entry.needs)
        mark = " " if entry.listed else "-"
        print(
            f"{entry.name:28s}{entry.group:10s}{entry.warmup:7d}{mark} {needs:24s}"
            f"{entry.description}"
        )
    print(
        "\nOther numbers work too: return_3, sma_ratio_100. A group's name stands for its lines, "
        "but not for those marked -."
    )


def _source(name: str) -> MarketData:
    known = [each for each in envs.data.__all__ if each.islower()]
    if name not in known:
        raise InputError(f"unknown source {name!r}; one of {', '.join(known)}")
    market: MarketData = getattr(envs.data, name)()
    return market


def _show(source: str, names: list[str]) -> None:
    market = _source(source)
    panel = build_features(market, names)
    print(
        f"{market.name}: {market.n_rows} rows x {market.n_assets} assets x {panel.n_features} "
        f"features, warm-up {panel.warmup}\n"
    )
    print(
        f"{'feature':28s}{'min':>12s}{'median':>12s}{'max':>12s}{'deviation':>12s}{'missing':>9s}"
    )
    for f, name in enumerate(panel.names):
        values = panel.values[panel.warmup :, :, f].astype(np.float64)
        known = values[np.isfinite(values)]
        missing = f"{1.0 - known.size / values.size:9.1%}"
        if not known.size:
            print(f"{name:28s}" + f"{'-':>12s}" * 4 + missing)
            continue
        numbers = known.min(), np.median(known), known.max(), known.std()
        print(f"{name:28s}" + "".join(f"{x:12.4f}" for x in numbers) + missing)
    for note in panel.notes:
        print(f"\n{note}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m envs.features", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="every feature by default")
    show = commands.add_parser("show", help="what the features of a source look like")
    show.add_argument("source", help="a source of envs.data, e.g. sp500")
    show.add_argument("--names", nargs="+", default=list(DEFAULT), help="features, groups or all")
    arguments = parser.parse_args()
    try:
        if arguments.command == "list":
            _list()
        else:
            _show(arguments.source, arguments.names)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
