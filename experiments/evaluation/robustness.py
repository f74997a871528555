"""How much a result depends on its costs: the same trades, replayed at other costs and later.

What a strategy held after each of its trades is recorded. It is held again, on the same rows,
through the kernel that moved the money the first time, with the costs multiplied, with every trade
some rows later, or with orders that move their own prices. The strategy itself is not asked again:
one that knew of the other costs might have traded less.

- On a row without a trade the replay does not trade either, however late it is.
- At costs times 1 and no delay it is the run itself; where it is not (weights that were not
  recorded, such as those after a margin call), the strategy is left out and said so.
- The rule of ruin is off, so that growth is a smooth function of the costs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from agents.rollout import Trajectory
from envs.actions import LongShort, Simplex
from envs.data.market_data import MarketData
from envs.errors import InputError
from envs.market import kernel
from envs.market.cost_arrays import CostArrays, volatility
from envs.market.costs import Cost, Frictions
from envs.simulation import Setting, Simulation, make_setting
from experiments.evaluation.metrics import Float, sharpe

FACTORS = (0.0, 0.5, 1.0, 2.0, 3.0, 5.0)
# Only where a break-even is looked for.
FAR_FACTORS = (10.0, 20.0, 50.0)
DELAYS = (0, 1, 2, 3)
# Steps that no delay is measured on: the latest of them is still in cash there, and the growth of
# the market meanwhile is not what a delay costs.
SETTLED = DELAYS[-1] + 1
# Wealth in the currency of the prices, where the panel has volume; else wealth over the volume of
# one row, for every asset alike.
CAPITALS = (1e6, 1e7, 1e8)
SHARES = (0.001, 0.01, 0.1)
IMPACT_WINDOW = 21
# An order below this share of the value is the rounding of a holding that drifted.
NO_TRADE = 1e-12
# Net returns of the replay and of the run that differ by more are not the same trades.
SAME = 1e-9
# Beyond this a unit traded costs so much that the equation of costs has no single answer.
MOST_MARGINAL = 0.5


def scaled(costs: CostArrays, factor: float) -> CostArrays:
    """The same costs, each rate multiplied by `factor`; caps, lots and margin stay."""
    return replace(
        costs,
        commission=costs.commission * factor,
        half_spread=costs.half_spread * factor,
        impact=costs.impact * factor,
        borrow=costs.borrow * factor,
        financing=costs.financing * factor,
    )


def rows_of(market: MarketData, t: Trajectory) -> tuple[int, int]:
    """The decision rows `first, stop` of a trajectory in its panel.

    Raises:
        InputError: if its dates are not consecutive rows of the panel.
    """
    first = int(np.searchsorted(market.dates, t.decision_dates[0]))
    stop = first + len(t.dates)
    if stop >= market.n_rows or not (
        np.array_equal(market.dates[first:stop], t.decision_dates)
        and np.array_equal(market.dates[first + 1 : stop + 1], t.dates)
    ):
        raise InputError(f"{t.name}: its dates are not consecutive rows of {market.name}")
    return first, stop


def is_portfolio(t: Trajectory, market: MarketData) -> bool:
    """Whether these are weights of the market's assets: those of an index are not known."""
    return t.symbols == market.symbols and bool(abs(t.weights[0].sum() - 1.0) < 1e-6)


@dataclass(frozen=True, eq=False)
class Replay:
    """Trajectories of one market that are held again side by side.

    Attributes:
        setting: the market over their rows, at their own costs.
        runs: N trajectories with a common first row; one that was ruined may be shorter.
        actions: `[n, N, n_actions]` that lead to the weights held after each trade.
        still: `[n, N]` whether nothing was traded on a row.
    """

    setting: Setting
    runs: Sequence[Trajectory]
    actions: Float
    still: Any

    @staticmethod
    def of(market: MarketData, runs: Sequence[Trajectory], *, cost: Cost, execution: str) -> Replay:
        """Prepares the replay of these runs.

        Raises:
            InputError: for dates that are not rows of the market, or different first rows.
        """
        spans = [rows_of(market, t) for t in runs]
        if len({first for first, _ in spans}) != 1:
            raise InputError("trajectories that are replayed together must begin on one row")
        n, n_assets = max(len(t.dates) for t in runs), market.n_assets
        held = np.zeros((n, len(runs), n_assets + 1))
        held[:, :, -1] = 1.0
        still = np.ones((n, len(runs)), np.bool_)
        for k, t in enumerate(runs):
            held[: len(t.dates), k] = t.weights
            still[: len(t.dates), k] = t.turnover <= NO_TRADE
        assets = held[:, :, :-1]
        action: Simplex | LongShort = Simplex(n_assets)
        if held.min() < -NO_TRADE:
            # Weights that drifted between trades may lie beyond the limits of the strategy.
            gross = float(np.abs(assets).sum(axis=2).max()) * (1 + 1e-9)
            action = LongShort(n_assets, gross, gross)
            held = assets / gross
        setting = make_setting(
            market,
            start=min(first for first, _ in spans),
            stop=max(stop for _, stop in spans) + 1,
            observation="indexed",
            action=action,
            cost=cost,
            execution=execution,
            ruin=0.0,
        )
        return Replay(setting, runs, np.ascontiguousarray(held), still)

    def growth(self, costs: CostArrays | None = None, delay: int = 0) -> Float:
        """`[n, N]` net growth of each step at these costs, every trade `delay` rows later.

        Beyond the end of a shorter run it is what holding on would have earned.
        """
        setting = replace(self.setting, costs=costs or self.setting.costs, delay=delay)
        n, n_runs = self.still.shape
        simulation = Simulation(setting, n_runs)
        nobody = np.random.default_rng(0)
        simulation.restart(np.arange(n_runs), [nobody] * n_runs)
        out = np.empty((n, n_runs))
        waiting, growth = simulation.state.waiting, simulation.last.growth
        for k in range(n):
            if delay and k >= delay:
                # What waits is held as it has drifted: a late "do nothing" must do nothing.
                waiting[:] = self.still[k - delay]
            simulation.step(self.actions[k])
            out[k] = growth
        return out

    def faithful(self, growth: Float) -> list[bool]:
        """Whether the replay at its own costs repeats each run, step by step."""
        return [
            bool(np.allclose(growth[: len(t.dates), k], 1.0 + t.net_return, rtol=SAME, atol=SAME))
            for k, t in enumerate(self.runs)
        ]


def dearest(setting: Setting, costs: CostArrays) -> float:
    """The most that the last unit of an order may cost, times gross leverage."""
    # The rows that may trade; rates by row are those of decisions.
    part = slice(setting.first, setting.last)
    rows = [x if len(x) == 1 else x[part] for x in (costs.commission, costs.half_spread)]
    impact = costs.impact if len(costs.impact) == 1 else costs.impact[part]
    capacity = costs.capacity if len(costs.capacity) == 1 else costs.capacity[part]
    gross = setting.action_map.gross_limit
    order = 2.0 * gross
    if costs.impact_square:
        marginal = 2.0 * impact * order
    else:
        room = np.where(np.isfinite(capacity), capacity, order)
        marginal = 1.5 * impact * np.sqrt(room)
    return float(np.max(rows[0] + rows[1]) + np.max(marginal)) * max(gross, 1.0)


def with_impact(market: MarketData, costs: CostArrays, execution: str, size: float) -> CostArrays:
    """These costs and a square root impact of coefficient 1: an order of the share s of the volume
    of its row costs `volatility * sqrt(s)` of its notional, and no order exceeds the volume.

    Args:
        size: with volume, the starting wealth in the currency of the prices; without, the starting
            wealth over the volume of a row, of every asset.
    """
    if market.volume is not None:
        own = Frictions(0.0, 0.0, impact=1.0, impact_window=IMPACT_WINDOW, capital=size)
        made = own.arrays(market, execution)
        impact, capacity = made.impact, made.capacity
    else:
        rows = market.n_rows if execution == "same_close" else market.n_rows - 1
        sigma = volatility(market, IMPACT_WINDOW)[:rows]
        impact, capacity = sigma * np.sqrt(size), np.full((1, market.n_assets), 1.0 / size)
    kinds = tuple(dict.fromkeys([*costs.kinds, "impact"]))
    return replace(
        costs, impact=impact, impact_square=False, capacity=capacity, stretch=1.0, kinds=kinds
    )


def study(
    market: MarketData,
    trajectories: Mapping[str, Sequence[Trajectory]],
    *,
    cost: Cost,
    execution: str,
    agents: Sequence[str] = (),
) -> dict[str, Any]:
    """Growth of every strategy at other costs and later, and where it stops to be worth it.

    Args:
        trajectories: name -> one a seed; of portfolios of the market's assets (no index).
        agents: those that are compared with all others; without any, everyone is compared with the
            first.

    Returns:
        Plain data for JSON: `factors, delays`; `delays_after`, the first steps that growth with
        delays, and without one beside it, leaves out, as late trades begin in cash;
        `strategies: name -> {"factors", "delays": [[growth a year of each seed] ...], "sharpe": at
        each factor, the mean over seeds, "cash": break-even with cash}`, or `{"reason"}`; `pairs:
        [{"strategy", "against", "break_even": text or number, ...}]`; `impact: {"sizes", "by",
        "strategies": name -> [growth a year, mean over seeds]}` or
        `{"reason"}`. Growth a year is CAGR; None where it is not known.
    """
    usable = {n: list(r) for n, r in trajectories.items() if is_portfolio(r[0], market)}
    runs = [t for each in usable.values() for t in each]
    out: dict[str, Any] = {
        "factors": list(FACTORS),
        "far_factors": list(FAR_FACTORS),
        "delays": list(DELAYS),
        "delays_after": SETTLED,
    }
    if not runs:
        return out | {"reason": "no portfolio to replay"}
    replay = Replay.of(market, runs, cost=cost, execution=execution)
    base = replay.setting.costs
    grown: dict[float, Float] = {1.0: replay.growth()}
    faithful = replay.faithful(grown[1.0])
    for factor in (*FACTORS, *FAR_FACTORS):
        if factor != 1.0 and dearest(replay.setting, scaled(base, factor)) < MOST_MARGINAL:
            grown[factor] = replay.growth(scaled(base, factor))
    late = {d: grown[1.0] if d == 0 else replay.growth(delay=d) for d in DELAYS}
    place: dict[str, range] = {}
    strategies: dict[str, dict[str, Any]] = {}
    k = 0
    for name, each in usable.items():
        place[name] = range(k, k + len(each))
        k += len(each)

    def yearly(growth: Float | None, name: str, skip: int = 0) -> list[float | None]:
        return [
            _cagr(growth[:, j], runs[j], skip)
            if growth is not None and len(runs[j].dates) > skip
            else None
            for j in place[name]
        ]

    for name in usable:
        if not all(faithful[j] for j in place[name]):
            strategies[name] = {
                "reason": "the weights recorded do not repeat the run (a margin call, or a start "
                "in other weights than cash), so that they say nothing about other costs"
            }
            continue
        strategies[name] = {
            "factors": [yearly(grown.get(f), name) for f in FACTORS],
            "far_factors": [yearly(grown.get(f), name) for f in FAR_FACTORS],
            "delays": [yearly(late[d], name, SETTLED) for d in DELAYS],
            "sharpe": [_mean_sharpe(grown.get(f), runs, place[name]) for f in FACTORS],
            "cash": None,
        }
    known = [n for n, s in strategies.items() if "reason" not in s]
    every = np.array([*FACTORS, *FAR_FACTORS])
    curves = {n: _curve(strategies[n]) for n in known}
    for name in known:
        t = runs[place[name][0]]
        cash = _cagr(1.0 + t.cash_return, t)
        strategies[name]["cash"] = break_even(every, curves[name] - cash)
    first = [n for n in agents if n in known] or known
    against = [n for n in known if n not in agents] if agents else known[:1]
    pairs = [
        {"strategy": n, "against": m, **break_even(every, curves[n] - curves[m])}
        for n in first
        for m in against
        if n != m
    ]
    impact = _impact(market, replay, execution, known, place)
    return out | {"strategies": strategies, "pairs": pairs, "impact": impact}


def break_even(factors: Float, gain: Float) -> dict[str, Any]:
    """Where a gain that falls as costs rise crosses zero.

    The root of the monotone cubic (Fritsch and Carlson 1980) through the multiples at which the
    trades were replayed; between two of them growth is all but linear in the costs.

    Args:
        factors: `[K]` multiples of the costs, rising. gain: `[K]`, NaN where it is not known.

    Returns:
        `{"multiple": number or None, "state": ...}` with the state "crosses", "never behind",
        "never ahead", "gains with costs" (behind when trading is free and ahead when it is dear:
        the other pays more), or "unknown".
    """
    from scipy.interpolate import PchipInterpolator

    known = np.isfinite(gain)
    x, y = factors[known], gain[known]
    if len(x) < 2:
        return {"multiple": None, "state": "unknown"}
    sign = np.sign(y)
    if (sign >= 0).all() or (sign <= 0).all():
        ahead = bool((sign >= 0).all() and (sign > 0).any())
        return {"multiple": None, "state": "never behind" if ahead else "never ahead",
                "up_to": float(x[-1])}  # fmt: skip
    roots = [r for r in PchipInterpolator(x, y).roots(extrapolate=False) if x[0] <= r <= x[-1]]
    state = "crosses" if y[0] > 0 else "gains with costs"
    return {"multiple": float(roots[0]), "state": state}


def _curve(strategy: Mapping[str, Any]) -> Float:
    """Mean over seeds at all factors, NaN where not known."""
    values = [*strategy["factors"], *strategy["far_factors"]]
    return np.array([np.nan if None in v else float(np.mean(v)) for v in values])


def _cagr(growth: Float, t: Trajectory, skip: int = 0) -> float:
    """Growth a year over the steps of the run but the first `skip`, through logarithms: wealth may
    leave any range."""
    logs = np.log(np.maximum(growth[skip : len(t.dates)], kernel.LOWEST_GROWTH))
    with np.errstate(over="ignore"):
        return float(min(np.expm1(logs.mean() * t.periods_per_year), np.finfo(float).max))


def _mean_sharpe(growth: Float | None, runs: Sequence[Trajectory], place: range) -> float | None:
    if growth is None:
        return None
    values = [
        sharpe(growth[: len(runs[j].dates), j] - 1.0, runs[j].periods_per_year, runs[j].cash_return)
        for j in place
    ]
    return float(np.mean(values)) if np.isfinite(values).all() else None


def _impact(
    market: MarketData,
    replay: Replay,
    execution: str,
    known: Sequence[str],
    place: Mapping[str, range],
) -> dict[str, Any]:
    """Growth where orders move their own prices, by the size of the portfolio."""
    setting = replay.setting
    if setting.costs.model != kernel.EXACT:
        return {"reason": "the cost formula of the literature knows no impact"}
    if setting.costs.impact.any():
        return {"reason": "the costs of this run hold an impact already: see the multiples"}
    by = "capital" if market.volume is not None else "share of volume"
    sizes = CAPITALS if market.volume is not None else SHARES
    found: dict[str, list[float]] = {n: [] for n in known}
    used = []
    for size in sizes:
        try:
            costs = with_impact(market, setting.costs, execution, size)
        except InputError as error:
            return {"reason": str(error)}
        rows = costs.impact[setting.first : setting.last]
        if np.isnan(rows).any():
            return {"reason": "too few rows before the window for a volatility"}
        if dearest(setting, costs) >= 1.0:
            return {"reason": "prices so volatile that an order would cost all it is worth"}
        growth = replay.growth(costs)
        used.append(size)
        for n in known:
            found[n].append(float(np.mean([_cagr(growth[:, j], replay.runs[j]) for j in place[n]])))
    return {"by": by, "sizes": used, "strategies": found}
