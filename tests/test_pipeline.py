"""The main path as a user runs it: configs, the smoke recipe, repeat, resume, a file, a sweep."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

from envs.data.store import cache_folder
from envs.data.synthetic import synthetic
from envs.errors import InputError
from experiments import pipeline
from experiments.reproduce import main as reproduce
from experiments.run_folder import locked

ROOT = Path(__file__).resolve().parent.parent
CONFIGS = ROOT / "hydra_conf"
GROUPS = ("data", "features", "env", "reward", "cost", "agent", "evaluation", "tracking")
QUICK = [
    "agent.total_steps=2048", "agent.num_envs=16", "agent.n_steps=16", "agent.batch_size=64",
    "agent.torch_threads=1", "evaluation.n_bootstrap=50",
    "~evaluation.baselines.minimum_variance", "~evaluation.baselines.maximum_sharpe",
    "~evaluation.baselines.risk_parity", "~evaluation.baselines.hierarchical_risk_parity",
]  # fmt: skip
# Recipes of forecasters, on a few real years.
FORECASTING = {
    "lstm_direction": [
        "data.start=2012-01-01", "agent.epochs=1",
        "+agents.gradient_boosting.predictor_settings.trees=5",
    ],
    "multimodal_lstm": [
        "data.start=2012-01-01", "data.symbols=[AAPL,JPM,XOM]", "agent.epochs=1",
        "agents.technical_lstm.epochs=1",
        *(f"~evaluation.baselines.{name}" for name in (
            "minimum_variance", "maximum_sharpe", "risk_parity", "hierarchical_risk_parity",
        )),
    ],
}  # fmt: skip

# Recipes on three futures.
FUTURES = {
    name: [
        "data.symbols=[ES1 Index,TY1 Comdty,GC1 Comdty]", "data.start='2004-01-01'",
        "evaluation.test_start='2020-01-01'", "evaluation.workers=1", "env.window=10",
    ]
    for name in ("deep_momentum", "momentum_transformer")
}  # fmt: skip
needs_futures = pytest.mark.skipif(
    not (cache_folder() / "futures.h5").exists(),
    reason="the futures were not fetched: python -m envs.data fetch futures",
)


def with_data(recipes):
    """Recipes as parameters; those on futures are skipped where they were not fetched."""
    return [pytest.param(r, marks=needs_futures) if r in FUTURES else r for r in recipes]


def config(*overrides):
    with initialize_config_module("hydra_conf", version_base="1.3"):
        return compose("config", list(overrides))


def options(group):
    return sorted(path.stem for path in (CONFIGS / group).glob("*.yaml"))


def command(*arguments, cwd, **keywords):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "WANDB_MODE": "offline"}
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        **keywords,
    )


# ------------------------------------------------------------------ configs
@pytest.mark.parametrize("choice", [f"{g}={o}" for g in GROUPS for o in options(g)])
def test_every_option_composes_and_instantiates(choice, tmp_path):
    group = choice.partition("=")[0]
    extra = ["data.path=prices.csv"] if choice == "data=file" else []
    cfg = config(choice, *extra)
    if group == "data":
        assert cfg.data._target_.startswith("envs.data.")
        return  # what the sources do is tested with them
    if group == "agent" and cfg.agent is None:
        return
    if group == "features":
        assert callable(pipeline.build(cfg, "features.build"))
        assert hasattr(pipeline.build(cfg, "features.scaler"), "fit")
    elif group == "tracking":
        made = pipeline.build(cfg, "tracking")(tmp_path, OmegaConf.to_container(cfg, resolve=True))
        made.finish()
    else:
        assert pipeline.build(cfg, group) is not None


@pytest.mark.parametrize("recipe", with_data(options("exp")))
def test_every_recipe_says_its_command_and_runs_small(recipe, tmp_path):
    text = (CONFIGS / "exp" / f"{recipe}.yaml").read_text()
    assert text.startswith("# @package _global_\n# python -m experiments.run +exp=" + recipe)
    small = ["data=synthetic", "data.n_rows=420", "evaluation.n_bootstrap=40", "n_seeds=1"]
    agent = ["agent.total_steps=512", "agent.num_envs=16", "agent.evaluations=2"]
    if "ppo" in recipe or recipe == "smoke":
        agent += ["agent.n_steps=16", "agent.batch_size=64"]
    else:
        agent += ["agent.learning_starts=64", "agent.buffer_size=1000"]
    if recipe == "olps":  # trains nothing
        small, agent = [*small[:-1], "features=none"], []
    if recipe == "deep_portfolio" or recipe in FUTURES:
        agent = [f"agent.{s}" for s in ("epochs=1", "updates=2", "length=16", "batch_size=2")]
    if recipe == "leaderboard":
        ppo = ["total_steps=512", "num_envs=16", "evaluations=2", "n_steps=16", "batch_size=64"]
        ddpg = [*ppo[:3], "learning_starts=64", "buffer_size=1000"]
        agent = [f"agents.{a}.{s}" for a, b in (("ppo", ppo), ("ddpg", ddpg)) for s in b]
        small += ["evaluation.n_windows=2", "evaluation.workers=1"]
    quick = QUICK[5:] if agent else []
    if recipe in FORECASTING:
        small, agent, quick = ["evaluation.n_bootstrap=40", "n_seeds=1"], FORECASTING[recipe], []
    if recipe in FUTURES:
        small, quick = ["evaluation.n_bootstrap=40", "n_seeds=1", *FUTURES[recipe]], []
    cfg = config(f"+exp={recipe}", *small, *agent, *quick)
    assert np.isfinite(pipeline.run(cfg, tmp_path))
    assert (tmp_path / "report.html").stat().st_size > 10_000
    assert (tmp_path / "predictions.json").exists() == (recipe in FORECASTING)


def test_without_an_agent_what_a_recipe_says_of_one_is_left_alone():
    assert pipeline.agent_keys(config("+exp=smoke", "agent=none")) == {}


@pytest.mark.parametrize("name", ["equal_weight", "benchmark", "PPO", "a.b", "9"])
def test_names_of_agents_that_no_table_could_tell_apart_are_refused(name):
    cfg = config("+agent@agents.one=ppo")
    cfg.agents = {name: cfg.agents.one}
    with pytest.raises(InputError, match=r"agents\..*small letters"):
        pipeline.agent_keys(cfg)


@pytest.mark.parametrize("name", ["equal_weight", "benchmark", "../../x", "PPO"])
def test_the_name_of_the_agent_stays_in_the_run_folder(name):
    cfg = config("agent=forecasting", f"agent.name='{name}'")
    with pytest.raises(InputError, match=r"agent\.name=.*small letters"):
        pipeline.agent_keys(cfg)


# ------------------------------------------------------------------ one run
@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run of the smoke recipe with two seeds."""
    folder = tmp_path_factory.mktemp("run")
    pipeline.run(config("+exp=smoke", "n_seeds=2", *QUICK), folder)
    return folder


def test_a_run_leaves_everything_that_is_needed(finished):
    names = {path.name for path in finished.iterdir()}
    assert names >= {
        "config.yaml", "metrics.json", "trajectories.h5", "provenance.json", "report.html",
        "progress.csv", "agents", "tables",
    }  # fmt: skip
    metrics = json.loads((finished / "metrics.json").read_text())
    assert list(metrics["strategies"]) == [
        "ppo", "equal_weight", "buy_and_hold", "inverse_volatility", "momentum"
    ]  # fmt: skip
    assert metrics["strategies"]["ppo"]["seeds"] == [0, 1]
    provenance = json.loads((finished / "provenance.json").read_text())
    fingerprint = pipeline.load_market(OmegaConf.load(finished / "config.yaml")).fingerprint
    assert provenance["data"]["fingerprint"] == fingerprint
    rows = list(csv.DictReader((finished / "progress.csv").open()))
    assert {row["seed"] for row in rows} == {"0", "1"}
    assert all(float(row["validation/reward_per_step"]) for row in rows)
    with h5py.File(finished / "trajectories.h5") as file:
        assert len(file) > 0
    assert (finished / "agents" / "ppo" / "seed_1" / "model.safetensors").exists()
    figures = {path.name for path in (finished / "figures").iterdir()}
    assert figures == {"wealth.png", "differences.png", "weights.png", "learning.png"}
    assert (finished / "agents" / "ppo" / "scaler.json").exists()
    assert not list(finished.rglob("checkpoint*"))


def test_the_same_seed_gives_the_same_bits(finished, tmp_path, capsys):
    pipeline.run(OmegaConf.load(finished / "config.yaml"), tmp_path)
    assert (tmp_path / "metrics.json").read_bytes() == (finished / "metrics.json").read_bytes()
    capsys.readouterr()
    assert reproduce([str(finished)]) == 0
    assert "identical" in capsys.readouterr().out


def test_another_seed_gives_other_numbers(finished, tmp_path):
    pipeline.run(config("+exp=smoke", "n_seeds=2", "seed=1", *QUICK), tmp_path)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["strategies"]["ppo"]["seeds"] == [2, 3]
    one = json.loads((finished / "metrics.json").read_text())["strategies"]["ppo"]["metrics"]
    assert metrics["strategies"]["ppo"]["metrics"]["cagr"] != one["cagr"]


def test_the_test_window_decides_nothing(finished, tmp_path):
    """Other prices in the test window: the same policies, to the bit, in the agents' folders."""
    cfg = OmegaConf.load(finished / "config.yaml")
    market = pipeline.load_market(cfg)
    plan = pipeline.build(cfg, "evaluation")
    split = plan.split(market, pipeline.build(cfg, "features.build")(market).warmup)
    close = market.close.copy()
    close[split.test[0] + 1 :] *= np.random.default_rng(0).uniform(
        0.8, 1.25, close[split.test[0] + 1 :].shape
    )
    path = tmp_path / "prices.csv"
    for name, prices in (("same", market.close), ("other", close)):
        lines = ["date," + ",".join(market.symbols)]
        days = np.datetime_as_string(market.dates, unit="D")
        lines += [
            f"{d}," + ",".join(map(repr, r)) for d, r in zip(days, prices.tolist(), strict=True)
        ]
        path.write_text("\n".join(lines) + "\n")
        pipeline.run(
            config("+exp=smoke", "data=file", f"data.path={path}", "n_seeds=1", *QUICK),
            tmp_path / name,
        )
    model = Path("agents/ppo/seed_0/model.safetensors")
    assert (tmp_path / "same" / model).read_bytes() == (tmp_path / "other" / model).read_bytes()
    metrics = [(tmp_path / n / "metrics.json").read_text() for n in ("same", "other")]
    assert metrics[0] != metrics[1]


def test_objective_is_the_validation_score(finished, tmp_path):
    from agents.checkpoint import read_tensors

    score = pipeline.run(OmegaConf.load(finished / "config.yaml"), tmp_path)
    best = [
        max(read_tensors(path)[1]["curve"]["validation"])
        for path in sorted(finished.glob("agents/ppo/*/model.safetensors"))
    ]
    assert score == pytest.approx(np.mean(best))


# ------------------------------------------------------------------ from the shell
@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_numbers(tmp_path):
    """kill -9 in the middle of the training of the second seed, then resume=RUN_DIR."""
    arguments = ["experiments.run", "+exp=smoke", "n_seeds=2", *QUICK, "agent.total_steps=16384"]
    whole = tmp_path / "whole"
    done = command(*arguments, f"hydra.run.dir={whole}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    broken = tmp_path / "broken"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-m", *arguments, f"hydra.run.dir={broken}"],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.DEVNULL,
    )
    checkpoint = broken / "agents" / "ppo" / "seed_1" / "checkpoint.safetensors"
    deadline = time.monotonic() + 200
    while not checkpoint.exists() and time.monotonic() < deadline:
        assert process.poll() is None, "the run ended before it could be killed"
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (broken / "metrics.json").exists()
    resumed = command("experiments.run", f"resume={broken}", cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    assert (broken / "metrics.json").read_bytes() == (whole / "metrics.json").read_bytes()

    def figures(folder):
        rows = list(csv.DictReader((folder / "progress.csv").open()))
        return [{k: v for k, v in row.items() if k != "wall_seconds"} for row in rows]

    assert figures(broken) == figures(whole)


@pytest.mark.slow
def test_a_sweep_runs_every_job_and_compares(tmp_path):
    done = command(
        "experiments.run", "-m", "+exp=ppo_portfolio,ddpg_portfolio", "seed=0,1", "n_seeds=1",
        "cost.commission_bps=0,10", "data=synthetic", "agent.total_steps=256", "agent.num_envs=128",
        "agent.network=[8,8]", "agent.evaluations=1", "tracking=csv", *QUICK[5:], cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    sweep = max((tmp_path / "outputs" / "multirun").iterdir())
    jobs = sorted(p for p in sweep.iterdir() if (p / "metrics.json").exists())
    assert len(jobs) == 8
    compared = command("experiments.compare", str(sweep), cwd=tmp_path)
    assert compared.returncode == 0, compared.stderr
    assert "ppo" in compared.stdout.lower() and "ddpg" in compared.stdout.lower()
    page = sorted((tmp_path / "outputs" / "compare").iterdir())
    assert {"compare.html", "compare.csv"} <= {path.name for path in page}
    assert "commission_bps" in (tmp_path / "outputs" / "compare" / "compare.csv").read_text()


@pytest.mark.slow
def test_a_users_own_csv(tmp_path):
    market = synthetic(n_rows=600, n_assets=3, seed=4)
    days = np.datetime_as_string(market.dates, unit="D")
    lines = ["date,AAA,BBB,CCC"]
    lines += [
        f"{d},{a:.4f},{b:.4f},{c:.4f}" for d, (a, b, c) in zip(days, market.close, strict=True)
    ]
    (tmp_path / "prices.csv").write_text("\n".join(lines) + "\n")
    arguments = ["experiments.run", "+exp=smoke", "data=file", "data.path=prices.csv", *QUICK]
    done = command(*arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "report:" in done.stdout
    lines[300] = lines[300].replace(lines[300].split(",")[1], "-5")
    (tmp_path / "prices.csv").write_text("\n".join(lines) + "\n")
    done = command(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert "prices.csv" in done.stderr and "301" in done.stderr and "AAA" in done.stderr
    assert "Traceback" not in done.stderr


# ------------------------------------------------------------------ bad input
@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["evaluation.train=['2000-01-01','2001-01-01']"], "evaluation.validation"),
        (["evaluation.train_share=0.9", "evaluation.validation_share=0.2"], "shares"),
        (["data.n_rows=60"], "rows"),
        (["n_seeds=0"], "n_seeds"),
        (["seed=-1"], "seed"),
        (["cost.commission_bps=10000"], "basis points"),
        (["env.window=10000"], "warm-up"),
        (["data=sp500", "data.symbols=[AAPL,NOPE]"], "NOPE"),
        (["env.action=softmaks"], "softmaks"),
        (["features.build.names=[rsi_14,nonsense_3]"], "nonsense"),
        (["features.build.names=[atr_14]"], "high"),
        (["evaluation.baselines.momentum.lookback=5000"], "needs 5001 rows"),
        (["evaluation.baselines=null"], "at least one baseline"),
        (["+evaluation.baselines.momentum.foo=1"], "foo"),
        (["features.scaler=null"], "features.scaler is null"),
        (["env.action=long_short", "+env.action_settings.foo=1"], "foo"),
        (["env.action=long_short", "+env.action_settings.gross=inf"], "gross"),
        (["cost.commission_bps=[1,2,3,x]"], "commission_bps"),
        (["seed=1099511627776"], "2\\*\\*32"),
        (["agent=ddpg"], "n_steps"),
        (["agent.network=[]"], "network"),
        (["agent.network=[0]"], "network"),
        (["agent.clip_coef=.nan"], "clip_coef"),
        (["agent.batch_size=0"], "batch_size"),
        (["agent.batch_size=96"], "agent.batch_size=64 does"),
        (["agent.log_std_init=-1000"], "log_std_init"),
        (["reward.terms.excess_log_return=0.0"], "reward.terms"),
        (["name=null"], "name"),
    ],
)
def test_bad_input_is_explained(overrides, message, tmp_path):
    with pytest.raises(InputError, match=message):
        pipeline.run(config("+exp=smoke", *QUICK, *overrides), tmp_path)
    assert not (tmp_path / "metrics.json").exists()


def test_the_env_is_checked_without_an_agent_too(tmp_path):
    with pytest.raises(InputError, match="softmaks"):
        pipeline.run(config("data=synthetic", *QUICK[6:], "env.action=softmaks"), tmp_path)


def test_an_episode_without_a_length_is_the_training_window(tmp_path):
    pipeline.run(config("+exp=smoke", *QUICK, "env.episode_length=null"), tmp_path)


def test_a_finished_run_is_not_worked_in_twice(finished):
    with locked(finished), pytest.raises(InputError, match="another process"), locked(finished):
        pass


def test_windows_outside_the_data_are_explained(tmp_path):
    windows = [
        "evaluation.train=['1950-01-01','1960-01-01']",
        "evaluation.validation=['1961-01-01','1962-01-01']",
        "evaluation.test=['1963-01-01','1964-01-01']",
    ]
    with pytest.raises(InputError, match="2000-01-03"):
        pipeline.run(config("+exp=smoke", *QUICK, *windows), tmp_path)
