"""`python -m envs.data`: what data there is, what it holds, and how to get it.

python -m envs.data list
python -m envs.data show sp500
python -m envs.data show olps name=msci
python -m envs.data show file path=prices.csv
python -m envs.data fetch olps crypto futures
python -m envs.data import prices.csv --to panels.h5
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from envs import data
from envs.data.market_data import MarketData
from envs.data.store import cache_folder, list_panels, save_panel
from envs.errors import InputError

FETCHED = ("olps", "crypto", "futures")
HOLDS = {
    "sp500": "20 US stocks and the S&P 500, daily closes 1990-2022 (the default; survivors)",
    "factors": "5 US factor ETFs, daily closes 2014-2022",
    "index_ohlcv": "S&P 500 and Nasdaq Composite, daily OHLCV 1999-2018",
    "ohlcv": "AAPL FB GOOG IBM MSFT, daily OHLCV 2000-2013",
    "futures": "84 futures, daily dollar returns 1959-2026",
    "olps": "six classical sets of online portfolio selection, daily price relatives",
    "crypto": "5 coins, 30-minute OHLCV 2017-2019",
    "file": "your own CSV, Parquet or HDF5 file",
    "synthetic": "a simulated market",
}
# Kept as files, for features.
FILES = {
    "earnings": "days of 36,845 earnings reports of 505 US companies 2003-2025 (seasonal)",
    "nfci": "weekly Chicago Fed financial conditions 1971-2026 (sentiment)",
    "lexicon": "the Loughran-McDonald word lists (news)",
    "rated_news": "5,190 sentences of newspapers with their mean human score (news)",
    "minilm": "weights of the sentence encoder MiniLM, int8 (news; 21 MB)",
    "minilm_tokenizer": "its tokenizer (news; 84 MB are read for it)",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status (2 for input that the user can correct)."""
    parser = argparse.ArgumentParser(
        prog="python -m envs.data", description="Lists, shows, fetches and imports market data."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="all sources, and whether they are here")
    show = commands.add_parser("show", help="rows, symbols, dates, fingerprint and limits of one")
    show.add_argument("source", choices=HOLDS)
    show.add_argument("option", nargs="*", help="keywords of the source, such as name=msci")
    fetch = commands.add_parser("fetch", help="download sources that no dependency brings")
    fetch.add_argument("name", nargs="+", help=", ".join((*FETCHED, *FILES)))
    take = commands.add_parser("import", help="check a file and keep it in an HDF5 store")
    take.add_argument("file")
    take.add_argument("option", nargs="*", help="keywords of the source 'file', such as fill=ffill")
    take.add_argument("--to", required=True, metavar="STORE", help="an .h5 file, made if needed")
    take.add_argument("--name", help="of the panel; default: the name of the file")
    chosen = parser.parse_args(arguments)
    try:
        if chosen.command == "list":
            _list()
        elif chosen.command == "show":
            print(describe(_source(chosen.source, chosen.option)))
        elif chosen.command == "fetch":
            _fetch(chosen.name)
        else:
            _import(chosen.file, chosen.option, chosen.to, chosen.name)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def describe(market: MarketData) -> str:
    """A few lines on a panel: size, dates, fields, symbols, fingerprint and its limits."""
    first, last = np.datetime_as_string(market.dates[[0, -1]], unit="m")
    fields = [key for key in ("open", "high", "low", "close", "volume") if _has(market, key)]
    growth = (1.0 + market.cash_rate[1:]).prod() ** (market.periods_per_year / (market.n_rows - 1))
    lines = [
        f"{market.name}: {market.n_rows} rows x {market.n_assets} symbols",
        f"dates        {first.removesuffix('T00:00')} to {last.removesuffix('T00:00')}, "
        f"{market.periods_per_year:g} rows a year",
        f"fields       {', '.join(fields)}",
        f"symbols      {', '.join(market.symbols[:30])}{' ...' if market.n_assets > 30 else ''}",
        f"tradable     {market.tradable.mean():.1%} of cells",
        f"cash         {growth - 1.0:.2%} a year on average",
        f"benchmark    {market.benchmark_name or 'none'}",
        f"fingerprint  {market.fingerprint}",
    ]
    return "\n".join(lines + [f"note         {note}" for note in market.notes])


def _has(market: MarketData, field: str) -> bool:
    return getattr(market, field) is not None


def _list() -> None:
    for name, holds in HOLDS.items():
        state = "ready"
        if name == "file":
            state = "data.path=YOUR_FILE"
        elif name in FETCHED:
            if not (cache_folder() / f"{name}.h5").is_file():
                state = f"python -m envs.data fetch {name}"
        else:
            try:
                getattr(data, name)()
            except InputError as error:
                state = str(error)
        print(f"{name:12} {holds}\n{'':12} {state}")
    print("\nFor features:")
    for name, holds in FILES.items():
        kept = (cache_folder() / name).is_dir()
        print(
            f"{name:17}{holds}\n{'':17}{'ready' if kept else f'python -m envs.data fetch {name}'}"
        )


def _source(name: str, options: Sequence[str]) -> MarketData:
    return getattr(data, name)(**_keywords(name, options))


def _keywords(name: str, options: Sequence[str]) -> dict[str, object]:
    import inspect

    known = inspect.signature(getattr(data, name)).parameters
    keywords: dict[str, object] = {}
    for option in options:
        key, equals, text = option.partition("=")
        if not equals or key not in known:
            raise InputError(f"{option!r}: write key=value, with one of {', '.join(known)}")
        keywords[key] = _value(text)
    missing = [k for k, p in known.items() if p.default is p.empty and k not in keywords]
    if missing:
        raise InputError(f"{name} needs {missing[0]}=...")
    return keywords


def _value(text: str) -> object:
    """As the same text would be understood in a run: true, null and [AAPL,MSFT] have no quotes."""
    words = {"true": True, "false": False, "null": None}
    if text.lower() in words:
        return words[text.lower()]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        if text.startswith("[") and text.endswith("]"):
            return [_value(part.strip()) for part in text[1:-1].split(",")]
        return text


def _fetch(names: Sequence[str]) -> None:
    from envs.data.fetch import fetch

    for name in names:
        print(f"{name}: fetching ...", flush=True)
        store = fetch(name)
        if store.is_dir():
            print(f"  {store}: {', '.join(sorted(path.name for path in store.iterdir()))}")
            continue
        for panel, line in list_panels(store).items():
            print(f"  {store} {panel}: {line}")


def _import(path: str, options: Sequence[str], store: str, name: str | None) -> None:
    market = _source("file", [f"path={path!r}", *options])
    panel = name or Path(path).name.split(".")[0]
    save_panel(store, market, panel)
    print(describe(market))
    print(f"kept in {store} as {panel!r}; use it with data=file data.path={store}", end="")
    print(f" data.panel={panel}" if len(list_panels(store)) > 1 else "")


if __name__ == "__main__":
    sys.exit(main())
