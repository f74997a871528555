"""The main path, from prices to the report. Who reads `run` knows the system."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from agents.baselines import make_baseline
from agents.policy import Policy
from agents.rollout import Trajectory, index_trajectory, rollout
from envs.data.arguments import whole_number
from envs.data.market_data import MarketData
from envs.errors import InputError
from envs.features import NoScaler, Scaler
from envs.features.panel import FeaturePanel
from envs.portfolio import PortfolioEnv
from envs.simulation import Setting
from experiments.evaluation.evidence import evaluate
from experiments.evaluation.factors import factors_for
from experiments.evaluation.known_answer import KnownAnswer, in_words
from experiments.evaluation.plan import Plan
from experiments.evaluation.regimes import has_real_dates
from experiments.evaluation.skill import Trials
from experiments.evaluation.splits import Splits
from experiments.evaluation.table import print_table
from experiments.predictions import Foretold, judge, print_forecasts
from experiments.results import begin_provenance, caveats, write_results
from experiments.run_folder import open_run_folder, write_text
from experiments.same_run import check_same, settings_hash
from experiments.tracked import track_results
from experiments.tracking import Tracker
from experiments.trials import Entry, trial


@dataclass(frozen=True, eq=False)
class Prepared:
    """What is known before anyone decides: prices, windows, and features scaled on `train`.

    Attributes:
        panel: the features in their own units; features: the same through the fitted scaler.
    """

    market: MarketData
    plan: Plan
    panel: FeaturePanel
    splits: Splits
    scaler: Scaler
    features: FeaturePanel


def run(cfg: DictConfig, run_dir: str | Path, trials: Trials | None = None) -> float:
    """Runs one experiment into `run_dir` and returns its objective.

    The objective is the agents' mean score on the *validation* windows (mean reward per step), so
    that a search over configurations never looks at a test window; without an agent it is 0.

    Args:
        trials: of a former run, which is only repeated: the ledger is left alone.

    Raises:
        InputError: for anything that the user can correct.
    """
    if not isinstance(cfg.name, str) or not cfg.name:
        raise InputError(f"name must be a text, got {cfg.name}")
    folder = open_run_folder(run_dir)
    with trial(cfg, folder, trials) as entry:
        return _run(cfg, folder, entry)


def _run(cfg: DictConfig, folder: Path, entry: Entry) -> float:
    started = datetime.now(UTC)
    config_yaml = OmegaConf.to_yaml(cfg, resolve=True)
    market = load_market(cfg)
    agents = agent_keys(cfg)
    whole_number(cfg.seed, "seed", 0)
    seeds = agent_seeds(cfg) if agents else []
    check_same(folder, cfg, market.fingerprint, seeds)
    windows = prepare_windows(cfg, market, build(cfg, "features.build"))
    plan, splits = windows[0].plan, [window.splits for window in windows]
    if agents and not plan.trains:
        raise InputError(
            f"evaluation {type(plan).__name__} tests on every row and has none to train "
            f"{', '.join(agents)} on; choose agent=none, or evaluation=holdout or walk_forward"
        )

    # Checks the configured env whether or not an agent is there to use it.
    for window in windows:
        make_window(cfg, market, window.features, window.splits.test, episode_length=None)

    policies = make_baselines(plan, market, splits[-1].test[1])
    chosen_from = [name for name, policy in policies.items() if not knows_the_future(policy)]
    # Whatever is refused before leaves the folder as it was. A report marks a finished run.
    facts = begin_provenance(folder, market, seeds, settings_hash(cfg), started)
    (folder / "report.html").unlink(missing_ok=True)
    write_text(folder / "config.yaml", config_yaml)
    # From here on the test windows are looked at.
    entry.reads(market, splits, chosen_from)
    trajectories = run_baselines(cfg, policies, market, tested(splits))
    curves: dict[str, dict[str, list[float]]] = {}
    told: tuple[str, ...] = ()
    foretold: dict[str, Foretold] = {}
    objective = 0.0
    tracker: Tracker = build(cfg, "tracking")(folder, OmegaConf.to_container(cfg, resolve=True))
    try:
        if agents:
            # Torch is slow to import, and a run of baselines does without.
            from experiments.learning import run_agents

            learned = run_agents(cfg, windows, folder, tracker)
            trajectories = {**learned.trajectories, **trajectories}
            curves, objective = learned.curves, learned.objective
            foretold = learned.foretold
            told = () if learned.known is None else (in_words(learned.known),)
        evidence = evaluate(
            trajectories,
            baselines=list(policies),
            agents=list(agents),
            seed=cfg.seed,
            n_bootstrap=plan.n_bootstrap,
            level=plan.level,
            factors=factors_for(market),
            trials=entry.trials({n: trajectories[n] for n in agents or chosen_from}),
            hindsight=[n for n in policies if n not in chosen_from],
            real_dates=has_real_dates(market),
            caveats=caveats(cfg, market),
        )
        entry.found(evidence)
        notes = [entry.words, *windows[0].panel.notes]
        judged = judge(foretold, n_bootstrap=plan.n_bootstrap, level=plan.level, seed=cfg.seed)
        figures = write_results(
            cfg, folder, market, splits, trajectories, evidence, curves, facts, told, notes,
            (foretold, judged),
        )  # fmt: skip
        track_results(tracker, folder, evidence, figures)
    finally:
        tracker.finish()
    print_table(evidence)
    print_forecasts(judged)
    for line in told:
        print(line)
    if not entry.repeats:
        print(entry.words)
        print(f"report: {folder / 'report.html'}")
    return objective


def build(cfg: DictConfig, key: str) -> Any:
    """Instantiates the part of the configuration at `key`, with plain containers.

    Raises:
        InputError: for what its constructor does not take.
    """
    node = OmegaConf.select(cfg, key)
    if node is None:
        raise InputError(f"{key} is null; choose one of its options")
    try:
        return instantiate(node, _convert_="all")
    except InstantiationException as error:
        # Hydra wraps what a constructor raises; the message for the user is inside.
        cause = error.__cause__
        if isinstance(cause, InputError):
            raise at_key(cause, key) from None
        if cause is None or isinstance(cause, (TypeError, ValueError, ArithmeticError)):
            reason = str(cause or error).splitlines()[0]
            raise InputError(f"{key}: {reason}") from error
        raise


def at_key(error: InputError, key: str) -> InputError:
    """The error of an agent by the key at which its settings are: they speak of `agent.NAME`."""
    return InputError(
        re.sub(r"\bagent\.", f"{key}.", str(error)) if key[:7] == "agents." else error
    )


def load_market(cfg: DictConfig) -> MarketData:
    """The panel of prices that this configuration names."""
    return build(cfg, "data")


def prepare_windows(
    cfg: DictConfig, market: MarketData, builder: Callable[[MarketData], FeaturePanel]
) -> list[Prepared]:
    """Features, windows and the scaler of each window, of this configuration on these prices.

    Args:
        builder: what the configuration names as `features.build`.
    """
    plan: Plan = build(cfg, "evaluation")
    panel = builder(market)
    found = []
    for splits in plan.windows(market, panel.warmup + cfg.env.window - 1):
        scaler: Scaler = build(cfg, "features.scaler").fit(panel, *splits.train)
        features = scaler.transform(panel)
        found.append(Prepared(market, plan, panel, splits, scaler, features))
    return found


def prepare(
    cfg: DictConfig, market: MarketData, builder: Callable[[MarketData], FeaturePanel]
) -> Prepared:
    """The first of `prepare_windows`; the others differ only in their rows."""
    return prepare_windows(cfg, market, builder)[0]


def tested(windows: Sequence[Splits]) -> tuple[int, int]:
    """The decision rows of all test windows together."""
    return windows[0].test[0], windows[-1].test[1]


def plan_baselines(plan: Plan) -> dict[str, dict[str, Any]]:
    """The baselines that are not switched off, with their settings."""
    return {name: dict(s) for name, s in plan.baselines.items() if s is not None}


def make_window(
    cfg: DictConfig,
    market: MarketData,
    features: FeaturePanel | None,
    rows: tuple[int, int],
    **changes: Any,
) -> Setting:
    """The market between two decision rows under the configured costs, reward and execution."""
    start, stop = rows
    return build(cfg, "env")(
        market=market,
        features=features,
        start=start,
        # The return of the last decision lies one row later.
        stop=stop + 1,
        reward=build(cfg, "reward"),
        cost=build(cfg, "cost"),
        # Only a learner's episodes begin anywhere; who is judged begins in cash.
        **{"fresh_paths": False, "random_weights": False, **changes},
    )


def make_paths(cfg: DictConfig, prepared: Prepared, length: int, **changes: Any) -> Setting:
    """A simulated market on which every episode of this length runs on a fresh path."""
    market, features, scaler = prepared.market, prepared.features, prepared.scaler
    builder = build(cfg, "features.build")
    # What a process shows of itself needs no scaler, and is written without a panel of prices.
    shown = isinstance(scaler, NoScaler) and features.names == market.observed_names
    return build(cfg, "env")(
        market=market,
        features=features,
        reward=build(cfg, "reward"),
        cost=build(cfg, "cost"),
        fresh_paths=True,
        features_of=None if shown else lambda path: scaler.transform(builder(path)),
        episode_length=length,
        **changes,
    )


def make_judged(cfg: DictConfig, prepared: Prepared, answer: KnownAnswer) -> Setting:
    """The simulated market on which agents are judged by the known answer."""
    room = prepared.market.n_rows - (prepared.panel.warmup + cfg.env.window)
    if answer.n_steps > room:
        raise InputError(
            f"known_answer.n_steps={answer.n_steps} does not fit the {prepared.market.n_rows} rows "
            f"of the panel: at most {room}; lower it or raise data.n_rows"
        )
    return make_paths(cfg, prepared, answer.n_steps, random_weights=False)


def make_baselines(plan: Plan, market: MarketData, last: int) -> dict[str, Policy]:
    """The baselines of a plan.

    Args:
        last: row of the last return. Those that are chosen in hindsight see no further: beyond it
            they would be no bound.
    """
    seen = market.rows(0, last + 1)
    found = {n: make_baseline(n, market, **s) for n, s in plan_baselines(plan).items()}
    for name, policy in found.items():
        if knows_the_future(policy) and seen.n_rows < market.n_rows:
            found[name] = make_baseline(name, seen, **plan_baselines(plan)[name])
    return found


def run_baselines(
    cfg: DictConfig, policies: Mapping[str, Policy], market: MarketData, rows: tuple[int, int]
) -> dict[str, list[Trajectory]]:
    """One trajectory of each baseline, and of the index where the panel has one, on these rows."""
    trajectories = {}
    for name, policy in policies.items():
        setting = baseline_window(cfg, market, policy, rows)
        trajectories[name] = [rollout(policy, PortfolioEnv.from_setting(setting))]
    if market.benchmark is not None:
        trajectories["benchmark"] = [index_trajectory(market, *rows)]
    return trajectories


def knows_the_future(policy: Policy) -> bool:
    """Whether it is a bound chosen with hindsight, as the best stock, and no competitor."""
    return getattr(policy, "hindsight", False)


def baseline_window(
    cfg: DictConfig, market: MarketData, policy: Policy, rows: tuple[int, int]
) -> Setting:
    """The market between two decision rows as a baseline sees it."""
    return make_window(
        cfg,
        market,
        None,
        rows,
        window=1,
        observation=policy.observation,
        action=policy.action,
        action_settings=getattr(policy, "action_settings", {}),
        episode_length=None,
    )


def training_window(cfg: DictConfig, prepared: Prepared, rows: tuple[int, int]) -> Setting:
    """What an agent learns on: these decision rows, or fresh paths of a simulated market."""
    market, features = prepared.market, prepared.features
    window = rows[1] - rows[0]
    length = window if cfg.env.episode_length is None else min(cfg.env.episode_length, window)
    if market.process is not None and cfg.env.fresh_paths:
        return make_paths(cfg, prepared, length)
    changes = {"random_start": True, "random_weights": cfg.env.random_weights}
    return make_window(cfg, market, features, rows, episode_length=length, **changes)


def agent_keys(cfg: DictConfig) -> dict[str, str]:
    """Name -> key in the configuration of every agent: `agent`, and those of `agents`.

    Raises:
        InputError: for a name that is taken twice, is a baseline's, or fits no folder.
    """
    # With agent=none a recipe's own settings of its agent are left, of nothing.
    chosen = OmegaConf.select(cfg, "agent._target_") is not None
    named = [(build(cfg, "agent").name, "agent", "agent.name")] if chosen else []
    for name, settings in (cfg.agents or {}).items():
        if settings is not None:
            named.append((name, f"agents.{name}", f"agents.{name}"))
    keys: dict[str, str] = {}
    for name, key, where in named:
        taken = [*keys, *(cfg.evaluation.baselines or {}), "benchmark"]
        # An agent's files lie in a folder of its name.
        if not re.fullmatch(r"[a-z][a-z0-9_]*", str(name)) or name in taken:
            got = f"={name}" if key == "agent" else ""
            raise InputError(
                f"{where}{got}: choose a name of small letters, digits and _ that is not taken "
                f"by another strategy ({', '.join(taken)})"
            )
        keys[name] = key
    return keys


def agent_seeds(cfg: DictConfig) -> list[int]:
    """The seeds of the agents: those of `seed=0` and `seed=1` do not overlap."""
    whole_number(cfg.n_seeds, "n_seeds", 1)
    whole_number(cfg.seed, "seed", 0)
    seeds = [cfg.seed * cfg.n_seeds + k for k in range(cfg.n_seeds)]
    if seeds[-1] >= 2**32:
        raise InputError(f"seed={cfg.seed} is too large: agents' seeds must be below 2**32")
    return seeds
