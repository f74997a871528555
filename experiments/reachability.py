"""`python -m experiments.reachability`: what each action map can reach, found by optimisation.

An agent cannot hold what its action map cannot express, however well it learns. For every map the
box of actions is searched for the extremes; no formula of a map enters the search, so the figures
check what `envs.actions` claims. Beside our maps stands the softmax on a [0, 1] box that is common
elsewhere. Exit status 0, or 2 for bad input.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from envs.actions import ActionMap, make_action_map
from envs.errors import InputError
from envs.market import kernel
from experiments.cli import BAD_INPUT, complain
from experiments.run_folder import write_json

Float = NDArray[np.float64]
Objective = Callable[[Float], Float]

MAPS = ("softmax", "simplex", "long_short", "trade")
ELSEWHERE = "softmax, box [0, 1]"
STARTS = 8
SEED = 0
# Step of the numerical gradient: maps are float64, so a relative error near 1e-8 is left.
STEP = 1e-6
SMALLEST_STEP = 1e-10
# Points of the scan of one axis; turns of the improvement, and the gain that counts.
SCAN, ROUNDS, SOLVED = 65, 20, 1e-9


@dataclass(frozen=True)
class Reach:
    """What one action map reaches in one step.

    Attributes:
        map, assets: its name, and the number of assets.
        low, high: lowest and highest weight of one asset.
        cash_low, cash_high: of cash.
        turnover: largest sum of |change of weight| over the assets, between two portfolios that
            the map reaches.
        to_asset, to_cash, to_equal: distance (half the sum of |differences of weights|, in [0, 1]
            for long-only weights) that is left to all in one asset, all in cash, and 1/A in every
            asset; 0 is reached.
    """

    map: str
    assets: int
    low: float
    high: float
    cash_low: float
    cash_high: float
    turnover: float
    to_asset: float
    to_cash: float
    to_equal: float


@dataclass(frozen=True, eq=False)
class Searched:
    """A map as the search sees it: a box and a function.

    Attributes:
        bounds: `(low, high)` of every action. size: of an action.
        weights: `(actions [N, size], held [N, A+1]) -> [N, A+1]`.
    """

    name: str
    n_assets: int
    size: int
    bounds: tuple[float, float]
    weights: Callable[[Float, Float], Float]


def ours(action_map: ActionMap) -> Searched:
    """An action map of the environment."""

    def weights(actions: Float, held: Float) -> Float:
        target = np.empty((len(actions), action_map.n_assets + 1))
        action_map.apply(actions, held, target)
        return target

    return Searched(
        action_map.name, action_map.n_assets, action_map.n_actions, (-1.0, 1.0), weights
    )


def elsewhere(n_assets: int) -> Searched:
    """The plain softmax of a `Box(0, 1)` over the assets; it holds no cash."""

    def weights(actions: Float, held: Float) -> Float:
        target = np.zeros((len(actions), n_assets + 1))
        part = np.empty((len(actions), n_assets))
        kernel.softmax_nb(actions, part, 1.0, 0.0, part)
        target[:, :-1] = part
        return target

    return Searched(ELSEWHERE, n_assets, n_assets, (0.0, 1.0), weights)


def measure(searched: Searched, starts: int = STARTS, seed: int = SEED) -> Reach:
    """All extremes of a map.

    Weights are those after one step from 1/A in every asset without cash, the hardest start for a
    map that trades: what is bought must be sold first. Turnover is sought over both the portfolio
    before (reached from cash) and the one after.

    Args:
        searched: the map. starts: random starts of each search. seed: of these starts.
    """
    n_assets, size = searched.n_assets, searched.size
    equal = np.append(np.full(n_assets, 1.0 / n_assets), 0.0)
    cash = np.append(np.zeros(n_assets), 1.0)
    one = np.append(1.0, np.zeros(n_assets))

    def after(actions: Float) -> Float:
        return searched.weights(actions, np.tile(equal, (len(actions), 1)))

    def turnover(actions: Float) -> Float:
        first, second = np.ascontiguousarray(actions[:, :size]), actions[:, size:]
        before = searched.weights(first, np.tile(cash, (len(actions), 1)))
        target = searched.weights(np.ascontiguousarray(second), before)
        return np.abs(target - before)[:, :-1].sum(axis=1)

    def lowest(objective: Objective, n: int = size) -> float:
        return minimum(objective, n, searched.bounds, starts, seed)

    def distance(goal: Float) -> float:
        return lowest(lambda a: 0.5 * np.abs(after(a) - goal).sum(axis=1))

    return Reach(
        map=searched.name,
        assets=n_assets,
        low=lowest(lambda a: after(a)[:, 0]),
        high=-lowest(lambda a: -after(a)[:, 0]),
        cash_low=lowest(lambda a: after(a)[:, -1]),
        cash_high=-lowest(lambda a: -after(a)[:, -1]),
        turnover=-lowest(lambda a: -turnover(a), 2 * size),
        to_asset=distance(one),
        to_cash=distance(cash),
        to_equal=distance(equal),
    )


def minimum(
    objective: Objective, n: int, bounds: tuple[float, float], starts: int, seed: int
) -> float:
    """The smallest value of `objective ([N, n] -> [N])` found on the box.

    L-BFGS-B from the centre, from random points and from random corners. The best is then improved
    by turns: a scan of every axis from end to end, which crosses the plateaus on which a gradient
    is zero, L-BFGS-B again, and a search along the axes with ever smaller steps, which ends in the
    kinks that a gradient does not see.
    """
    from scipy.optimize import minimize

    low, high = bounds
    rng = np.random.default_rng(seed)
    points = [np.full(n, 0.5 * (low + high))]
    points += list(rng.uniform(low, high, (starts, n)))
    points += list(np.where(rng.random((starts, n)) < 0.5, low, high))

    def with_gradient(x: Float) -> tuple[float, Float]:
        # One call of the map for the value and both sides of all differences.
        shifted = np.vstack([x, x + STEP * np.eye(n), x - STEP * np.eye(n)])
        shifted = np.clip(shifted, low, high)
        values = objective(shifted)
        width = np.diagonal(shifted[1 : n + 1]) - np.diagonal(shifted[n + 1 :])
        return float(values[0]), (values[1 : n + 1] - values[n + 1 :]) / width

    best, least = points[0], np.inf

    def better(candidates: Float) -> bool:
        nonlocal best, least
        values = objective(candidates)
        k = int(np.argmin(values))
        if not values[k] < least:
            return False
        gain = least - float(values[k])
        best, least = candidates[k], float(values[k])
        return gain > SOLVED

    def descend(point: Float) -> None:
        found = minimize(with_gradient, point, jac=True, method="L-BFGS-B", bounds=[bounds] * n)
        better(found.x[None])

    for point in points:
        descend(point)
    grid = np.linspace(low, high, SCAN)
    for _ in range(ROUNDS):
        before = least
        scan = np.tile(best, (n, SCAN, 1))
        scan[np.arange(n), :, np.arange(n)] = grid
        if better(scan.reshape(-1, n)):
            descend(best)
        step = 0.5 * (high - low)
        while step > SMALLEST_STEP:
            around = np.vstack([best + step * np.eye(n), best - step * np.eye(n)])
            if not better(np.clip(around, low, high)):
                step *= 0.5
        if not least < before - SOLVED:
            break
    return least


def report(assets: Sequence[int], gross: float, net: float) -> list[Reach]:
    """Every map, and the one of elsewhere, for each number of assets.

    Raises:
        InputError: for a number below 1, or limits that `long_short` refuses.
    """
    if not assets or min(assets) < 1:
        raise InputError(f"--assets must be whole numbers of at least 1, got {list(assets)}")
    rows = []
    for n in assets:
        for name in MAPS:
            settings = {"gross": gross, "net": net} if name == "long_short" else {}
            rows.append(measure(ours(make_action_map(name, n, **settings))))
        rows.append(measure(elsewhere(n)))
    return rows


HEADS = ("an asset", "cash", "turnover", "to one asset", "to cash", "to 1/A each")


def cells(row: Reach) -> list[str]:
    """One line of the table in per cent, as text, without map and assets."""
    return [
        f"{percent(row.low)} to {percent(row.high)}",
        f"{percent(row.cash_low)} to {percent(row.cash_high)}",
        *(percent(x) for x in (row.turnover, row.to_asset, row.to_cash, row.to_equal)),
    ]


def percent(share: float) -> str:
    """`0.0125` as `1.25`; a difference below the search's own error is not shown."""
    value = 100.0 * share
    if abs(value - round(value)) < 1e-6:
        return f"{round(value)}".replace("-", "−")
    return f"{value:.{2 if abs(value) >= 0.1 else 4}f}".replace("-", "−")


def markdown(rows: Sequence[Reach]) -> str:
    """The table for a page."""
    lines = [f"| assets | map | {' | '.join(HEADS)} |", "|---:|---|" + "---:|" * len(HEADS)]
    lines += [f"| {row.assets} | {row.map} | {' | '.join(cells(row))} |" for row in rows]
    return "\n".join(lines) + "\n"


def command_line() -> argparse.ArgumentParser:
    """What the program takes."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.reachability",
        description="Searches every action map for the portfolios that it can reach in one step.",
    )
    parser.add_argument("--assets", type=int, nargs="+", default=[3, 10, 30], metavar="A")
    parser.add_argument("--gross", type=float, default=1.0, help="limit of long_short")
    parser.add_argument("--net", type=float, default=1.0, help="limit of long_short")
    parser.add_argument("--markdown", action="store_true", help="for a page")
    parser.add_argument("--json", type=Path, metavar="PATH", help="also write the figures there")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Parses the arguments, searches, prints, returns the exit status."""
    arguments = command_line().parse_args(argv)
    try:
        rows = report(arguments.assets, arguments.gross, arguments.net)
        if arguments.json is not None:
            write_json(arguments.json, [asdict(row) for row in rows])
    except InputError as error:
        complain(str(error))
        return BAD_INPUT
    if arguments.markdown:
        print(markdown(rows), end="")
        return 0
    from rich.console import Console
    from rich.table import Column, Table

    console = Console(width=100, highlight=False)
    console.print(
        "In per cent: lowest to highest weight of an asset and of cash, largest turnover of a "
        "step,\nand the distance left to all in one asset, all in cash and 1/A in every asset."
    )
    for n in dict.fromkeys(row.assets for row in rows):
        table = Table(Column(f"{n} assets", no_wrap=True), *HEADS, box=None)
        for row in rows:
            if row.assets == n:
                table.add_row(row.map, *cells(row))
        console.print()
        console.print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
