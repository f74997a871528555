"""`audit`: all checks of a recipe, on sampled days, each with a control that must be caught."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf

from agents.baselines import catalogue, make_baseline
from agents.policy import Policy
from envs.data.market_data import MarketData
from envs.errors import InputError
from envs.features import causality
from envs.features.panel import FeaturePanel
from envs.simulation import Setting
from experiments import pipeline
from experiments.auditing import control
from experiments.auditing.chain import OpenLoop, Recipe, Trace, trace
from experiments.auditing.execution import check_execution
from experiments.auditing.findings import LEAK, Check, Day
from experiments.auditing.future import Builder, change_builder
from experiments.auditing.inputs import WINDOWS, check_data, check_process, check_windows
from experiments.auditing.learning import Learner, check_repeat, check_training, scaler_numbers

# Makes the policy of one name on a market, with the env that it decides in over some rows.
Player = Callable[[pipeline.Prepared, tuple[int, int]], tuple[Policy, Setting]]
MAIN_PATH = (
    "repeat", "data", "splits", "features", "scaler", "scaled features", "observations", "rewards",
    "accounts", "execution", "purge",
)  # fmt: skip
# Reading a source again costs more than any other check: not on every day.
MOST_CUTS, MOST_FILLS = 3, 3


@dataclass(frozen=True, eq=False)
class Report:
    """What an audit found.

    Attributes:
        checks: in the order of the main path.
        controls: name of a planted leak -> whether it was caught. Each passes through the same
            comparison as the real thing.
        days: the last known days that were tried.
    """

    name: str
    fingerprint: str
    seed: int
    checks: list[Check]
    controls: dict[str, bool]
    days: list[str]

    @property
    def clean(self) -> bool:
        return all(self.controls.values()) and not any(c.verdict == LEAK for c in self.checks)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "name": self.name,
            "clean": self.clean,
            "data": self.fingerprint,
            "seed": self.seed,
            "days": self.days,
            "controls": self.controls,
            "checks": [check.as_dict() for check in self.checks],
        }


def audit(
    cfg: DictConfig,
    *,
    days: int = 12,
    seed: int = 0,
    advance: Callable[[str], None] = lambda text: None,
) -> Report:
    """Changes everything after sampled days, and compares everything up to them bit by bit.

    Args:
        cfg: the configuration of a run.
        days: how many; those at the borders of the windows come first.
        seed: of the days and of the changes.
        advance: told what is tested next.

    Raises:
        InputError: as a run of this configuration does, or for fewer days than one.
    """
    if days < 1:
        raise InputError(f"--days must be at least 1, got {days}")
    recipe = Recipe(cfg)
    market = recipe.market
    rows = sample_rows(recipe, days, seed)
    checks: dict[str, Check] = {name: Check(name) for name in MAIN_PATH}

    def check(name: str) -> Check:
        return checks.setdefault(name, Check(name))

    advance("data")
    for row in _spread(rows, MOST_CUTS):
        check_data(cfg, market, row, check("data"))
    if market.process is not None:
        check_process(market, check("process"))
    trains = recipe.known.plan.trains
    if trains:
        check_windows(recipe, check("splits"))
    for name in foreseeing(recipe):
        check(f"policy {name}").note = "not tested: it says of itself that it reads the future"
    with tempfile.TemporaryDirectory() as folder:
        names = pipeline.agent_keys(cfg) if trains else {}
        learners = [Learner(recipe, name, Path(folder)) for name in names]
        advance("repeat")
        check_repeat(recipe, learners, check("repeat"))
        players = {f"policy {name}": player for name, player in _baselines(recipe).items()}
        players |= {f"policy {one.name}": _agent(recipe, one) for one in learners}
        controls = {"policy": Check("policy"), "features": Check("features")}
        for row in rows:
            day = Day(row, market.dates)
            advance(day.date(row))
            other = recipe.after(row, seed)
            check_preparation(recipe, other, day, check)
            check_features(recipe.builder, recipe.known.panel, market, day, seed, check("features"))
            other = recipe.as_known_at(row, other)
            check_env(recipe, other, day, seed, check)
            for name, player in {**players, "control": control.player(recipe)}.items():
                target = controls["policy"] if name == "control" else check(name)
                check_policy(recipe, other, day, player, target)
        hole = control.builder(recipe.builder)
        row = rows[len(rows) // 2]
        check_features(
            hole, hole(market), market, Day(row, market.dates), seed, controls["features"]
        )
        if trains:
            advance("training")
            chosen = check("choice of the policy") if learners else Check("")
            check_training(recipe, learners, seed, check("purge"), chosen)
    advance("execution")
    decisions = [min(row, market.n_rows - 3) for row in _spread(rows, MOST_FILLS)]
    check_execution(recipe, decisions, check("execution"))
    if OmegaConf.select(cfg, "env.execution") is not None:
        controls["execution"] = control.execution(recipe, decisions)
    return Report(
        name=str(cfg.name),
        fingerprint=market.fingerprint,
        seed=seed,
        checks=list(checks.values()),
        controls={name: found.leak is not None for name, found in controls.items()},
        days=[Day(row, market.dates).date(row) for row in rows],
    )


def sample_rows(recipe: Recipe, days: int, seed: int) -> list[int]:
    """Last known rows to test: the borders of the windows, the ends of the data, and others."""
    splits, last = recipe.known.splits, recipe.market.n_rows - 2
    ends = [splits.train[1], splits.validation[1], splits.test[0], last, recipe.first]
    ends += [splits.validation[0], splits.train[1] - 1, splits.test[0] - 1]
    chosen = list(dict.fromkeys(row for row in ends if recipe.first <= row <= last))[:days]
    others = np.setdiff1d(np.arange(recipe.first, last + 1), chosen)
    n_others = min(days - len(chosen), len(others))
    rng = np.random.default_rng(seed)
    return sorted([*chosen, *rng.choice(others, n_others, replace=False).tolist()])


def _spread(rows: list[int], most: int) -> list[int]:
    places = np.unique(np.linspace(0, len(rows) - 1, min(most, len(rows))).round().astype(int))
    return [rows[i] for i in places]


# ---------------------------------------------------------------------- one check each
def check_preparation(
    recipe: Recipe, other: pipeline.Prepared, day: Day, check: Callable[[str], Check]
) -> None:
    """Windows, features and scaler up to the day."""
    known = recipe.known
    for name in WINDOWS:
        one, two = (np.array(getattr(p.splits, name)) for p in (known, other))
        day.same(check("splits"), f"first and last row of {name}", one, two)
    symbols = recipe.market.symbols
    _same_panel(day, check("features"), known.panel, other.panel, symbols)
    if day.row >= known.splits.train[1]:
        after = scaler_numbers(other)
        for key, value in scaler_numbers(known).items():
            label = _named(known.panel.names)
            day.same(check("scaler"), key, value, after.get(key, np.empty(0)), column=label)
    again = recipe.as_known_at(day.row, other)
    _same_panel(day, check("scaled features"), known.features, again.features, symbols)


def _named(names: tuple[str, ...]) -> Callable[[tuple[int, ...]], str]:
    return lambda index: names[index[0]] if len(index) == 1 and index[0] < len(names) else ""


def _same_panel(
    day: Day, check: Check, one: FeaturePanel, two: FeaturePanel, symbols: tuple[str, ...]
) -> None:
    stop = day.row + 1
    day.same(check, "names", np.array(one.names), np.array(two.names))
    day.same(check, "warm-up", np.array(one.warmup), np.array(two.warmup))
    day.same(
        check,
        "feature",
        one.values[:stop],
        two.values[:stop],
        first=0,
        column=lambda i: f"{one.names[i[1]]} of {symbols[i[0]]}" if i else "",
    )


def check_features(
    builder: Builder, panel: FeaturePanel, market: MarketData, day: Day, seed: int, check: Check
) -> None:
    """Features alone, with other dates and halts after the day, and with data that end there."""
    builder = change_builder(builder, market.dates[day.row], seed)
    futures = [causality.change_after(market, day.row, seed)]
    if day.row > panel.warmup + 1:
        futures.append(market.rows(0, day.row + 1))
    for future in futures:
        _same_panel(day, check, panel, builder(future), market.symbols)


def check_env(
    recipe: Recipe,
    other: pipeline.Prepared,
    day: Day,
    seed: int,
    check: Callable[[str], Check],
) -> None:
    """Observations, rewards and accounts up to the day, under actions that look at nothing."""
    rows = recipe.steps_to(day.row)
    settings = [recipe.window(prepared, rows) for prepared in (recipe.known, other)]
    one, two = (trace(OpenLoop(setting, seed), setting, day.row) for setting in settings)
    _same_seen(day, check("observations"), "observation", one, two)
    for name in one.happened:
        kind = check("rewards" if name.startswith("reward") else "accounts")
        _same_happened(day, kind, name, one, two)


def check_policy(
    recipe: Recipe, other: pipeline.Prepared, day: Day, player: Player, check: Check
) -> None:
    """Actions up to the day: of an episode that is under way, and of one that begins there."""
    for rows in {recipe.steps_to(day.row), (day.row, day.row + 1)}:
        try:
            one = trace(*player(recipe.known, rows), day.row)
        except InputError as error:
            # A baseline that looks back a year cannot decide in the first year.
            check.note = f"not on every day: {str(error).partition(';')[0]}"
            continue
        two = trace(*player(other, rows), day.row)
        _same_seen(day, check, "action", one, two)
        for name in one.happened:
            _same_happened(day, check, name, one, two)


def _same_seen(day: Day, check: Check, name: str, one: Trace, two: Trace) -> None:
    day.same(
        check,
        name,
        one.seen[name],
        two.seen[name],
        first=one.first,
        column=lambda i: f"entry {i[0]}" if i else "",
    )


def _same_happened(day: Day, check: Check, name: str, one: Trace, two: Trace) -> None:
    day.same(
        check,
        name,
        one.happened[name],
        two.happened.get(name, np.empty(0)),
        first=one.first + 1,
        column=lambda i: f"entry {i[0]}" if i else "",
    )


# ---------------------------------------------------------------------- who decides
def _baselines(recipe: Recipe) -> dict[str, Player]:
    cfg = recipe.cfg

    def player(name: str, settings: dict[str, Any]) -> Player:
        def play(prepared: pipeline.Prepared, rows: tuple[int, int]) -> tuple[Policy, Setting]:
            policy = make_baseline(name, prepared.market, **settings)
            return policy, pipeline.baseline_window(cfg, prepared.market, policy, rows)

        return play

    plan = pipeline.plan_baselines(recipe.known.plan)
    known = set(plan) - set(foreseeing(recipe))
    return {name: player(name, settings) for name, settings in plan.items() if name in known}


def foreseeing(recipe: Recipe) -> list[str]:
    """The baselines that are yardsticks in hindsight, and say so."""
    known = catalogue()
    chosen = pipeline.plan_baselines(recipe.known.plan)
    return [name for name in chosen if getattr(known.get(name), "hindsight", False)]


def _agent(recipe: Recipe, learner: Learner) -> Player:
    """The agent with the parameters of one tiny training, put to work on other data."""

    def play(prepared: pipeline.Prepared, rows: tuple[int, int]) -> tuple[Policy, Setting]:
        policy, _ = learner.train(prepared, "known")
        return policy, recipe.window(prepared, rows)

    # Trained before anything else, on the data as they are.
    learner.train(recipe.known, "known")
    return play
