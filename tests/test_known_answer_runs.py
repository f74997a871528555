"""The recipes of known answers: they compose, run, are scored, resume, and an agent learns."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hydra import compose, initialize_config_module

from agents.training import train
from envs.errors import InputError
from envs.market.known_answers import ConstantWeights, optimum
from experiments import batch, known_answers, pipeline

RECIPES = known_answers.recipes()
SMALL = ("known_answer.n_paths=4000", "known_answer.n_steps=60", "evaluation.n_bootstrap=40")


def config(recipe: str, *overrides: str):
    with initialize_config_module("hydra_conf", version_base="1.3"):
        return compose("config", overrides=[f"+exp=known_answer/{recipe}", *overrides])


def paths(cfg):
    prepared = pipeline.prepare(
        cfg, pipeline.load_market(cfg), pipeline.build(cfg, "features.build")
    )
    return pipeline.make_paths(cfg, prepared, cfg.known_answer.n_steps, random_weights=False)


def test_every_market_has_a_recipe_for_both_agents():
    markets = {"merton", "mean_reversion", "no_trade_band", "regime", "heston"}
    assert set(RECIPES) >= markets | {f"{name}_ddpg" for name in markets}


@pytest.mark.parametrize(
    "recipe", ["merton", "mean_reversion", "no_trade_band", "regime", "heston"]
)
def test_the_optimum_scores_one_and_equal_weight_none(recipe):
    cfg = config(recipe, "known_answer.n_paths=256")
    setting, answer = paths(cfg), pipeline.build(cfg, "known_answer")
    cost, n = pipeline.build(cfg, "cost"), setting.market.n_assets
    equal = ConstantWeights(np.append(np.full(n, 1 / n), 0.0), "equal")
    best = optimum(setting.market.process, action=setting.action_map, cost=cost, **answer.optimum)
    scores = answer.judge(setting, cost, {"equal": equal, "best": best})["policies"]
    assert scores["best"]["score"] == 1.0
    assert scores["equal"]["score"] == 0.0


OTHERS = [name for name in RECIPES if name.endswith(("_ddpg", "_deep_portfolio"))]


@pytest.mark.parametrize("recipe", OTHERS)
def test_all_agents_stand_on_the_same_market(recipe):
    one = config(recipe)
    two = config(recipe.removesuffix("_ddpg").removesuffix("_deep_portfolio"))
    for key in ("data", "features", "env", "reward", "cost", "known_answer", "evaluation"):
        assert one[key] == two[key], key


def test_a_run_writes_its_score(tmp_path, capsys):
    tiny = ("agent.total_steps=2048", "agent.num_envs=64", "agent.n_steps=16")
    pipeline.run(config("merton", *tiny, *SMALL, "agent.batch_size=512", "n_seeds=2"), tmp_path)
    answer = json.loads((tmp_path / "known_answer.json").read_text())
    assert set(answer["policies"]) == set(answer["seconds"]) == {"0", "1"}
    assert answer["steps"] == 2048
    assert answer["agent"] == "ppo"
    assert "PPO scores" in capsys.readouterr().out
    assert "1 is the optimum" in (tmp_path / "report.html").read_text()
    # What is kept of the run makes one row of the table.
    row = known_answers.row("merton", tmp_path)
    scores = [one["score"] for one in answer["policies"].values()]
    assert row["score"] == np.mean(scores)
    assert row["low"] < row["score"] < row["high"]
    assert "Merton, three assets" in known_answers.markdown([row])


def test_the_command_keeps_what_is_finished(tmp_path, monkeypatch, capsys):
    """Two recipes; the second fails the first time. Called again, only that one is run."""
    ran = []

    class Done:
        returncode = 0

    real = batch.subprocess.run

    def instead(command, **keywords):
        name = next((c for c in command if "known_answer" in c or "resume=" in c), None)
        if name is None:
            return real(command, **keywords)
        ran.append(name)
        if "heston" in name and len(ran) == 2:
            return type("Failed", (), {"returncode": 3})
        folder = tmp_path / ("heston" if "heston" in name else "merton")
        folder.mkdir(exist_ok=True)
        answer = {
            "agent": "ppo", "market": "m", "steps": 10, "seconds": {"0": 1.0}, "utility": "u",
            "equal_weight": 0.0, "optimum": 1.0, "policies": {"0": {"score": 0.5, "utility": 0.5}},
        }  # fmt: skip
        (folder / "known_answer.json").write_text(json.dumps(answer))
        (folder / "report.html").write_text("")
        (folder / "config.yaml").write_text("n_seeds: 1\n")
        return Done

    monkeypatch.setattr(batch.subprocess, "run", instead)
    arguments = ["merton", "heston", "--seeds", "1", "--out", str(tmp_path)]
    assert known_answers.main(arguments) == 1
    assert len(json.loads((tmp_path / "table.json").read_text())) == 1
    assert known_answers.main(arguments) == 0
    assert [("heston" in name) for name in ran] == [False, True, True]
    assert len(json.loads((tmp_path / "table.json").read_text())) == 2
    assert "finished before" in capsys.readouterr().out
    # Other settings do not mix with what is there.
    assert known_answers.main([*arguments[:3], "2", *arguments[4:]]) == 2


def test_overrides_reach_every_run(tmp_path, monkeypatch, capsys):
    ran = []
    real = batch.subprocess.run

    def instead(command, **keywords):
        if "experiments.run" not in command:
            return real(command, **keywords)
        ran.append(command[3:])
        folder = Path(command[-1].removeprefix("hydra.run.dir="))
        model = folder / "agents" / "ppo" / "seed_0" / "checkpoint.safetensors"
        for part in (folder / ".hydra", model.parent):
            part.mkdir(parents=True)
        model.touch()
        (folder / ".hydra" / "overrides.yaml").write_text(json.dumps(command[3:-1]))
        (folder / "config.yaml").write_text("n_seeds: 2\n")
        return type("Failed", (), {"returncode": 3})

    monkeypatch.setattr(batch.subprocess, "run", instead)
    out = ["--out", str(tmp_path), "--seeds", "2"]
    given = ["merton", "agent.total_steps=1000", "heston", *out, "known_answer.n_paths=9"]
    assert known_answers.main(given) == 1
    for name, words in zip(("merton", "heston"), ran, strict=True):
        assert words[:-1] == [
            f"+exp=known_answer/{name}", "n_seeds=2", "agent.total_steps=1000",
            "known_answer.n_paths=9",
        ]  # fmt: skip
    assert "agent.total_steps=1000" in (tmp_path / "table.md").read_text()
    capsys.readouterr()
    for wrong, message in (
        (["merton", *out], "was begun with"),
        (["merton", "agent.total_step=1", *out], "did you mean agent.total_steps?"),
        (["merton", "n_seeds=3", *out], "sets it itself"),
    ):
        assert known_answers.main(wrong) == 2
        assert message in capsys.readouterr().err


def test_bad_arguments_are_named(capsys, tmp_path):
    out = ["--out", str(tmp_path)]
    assert known_answers.main(["mertn", *out]) == 2
    assert "mertn" in capsys.readouterr().err
    assert known_answers.main(["merton", "merton", *out]) == 2
    assert "twice" in capsys.readouterr().err
    (tmp_path / "merton").mkdir()
    for text in ("{bad", "{}", "[]"):
        (tmp_path / "merton" / "known_answer.json").write_text(text)
        assert known_answers.main(["merton", *out]) == 2
        assert "known_answer.json" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert known_answers.main(["merton", "--out", str(tmp_path / "file")]) == 2
    assert "--out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("known_answer.n_paths=1", "n_paths"),
        ("known_answer.n_steps=100000", "known_answer.n_steps"),
        ("+known_answer.seed=-1", "known_answer.seed"),
        ("+known_answer.level=5", "known_answer.level"),
        ("known_answer.utility=turnover", "log_return, mean_variance"),
        ("+known_answer.optimum={foo: 1}", "foo"),
        ("cost=proportional", "one asset"),
        ("env.execution=next_close", "set env.execution=same_close and env.delay=0"),
        ("env.delay=1", "set env.execution=same_close and env.delay=0"),
    ],
)
def test_what_cannot_be_judged_is_refused_before_the_training(override, message, tmp_path):
    with pytest.raises(InputError, match=message):
        pipeline.run(config("merton", override, "evaluation.n_bootstrap=40"), tmp_path)
    assert not (tmp_path / "agents").exists()


def test_a_killed_training_on_fresh_paths_goes_on_to_the_same_bits(tmp_path):
    """Observations of four numbers: the last bits of a matrix product depend on where they lie."""
    cfg = config("merton", "agent.total_steps=400000", "agent.evaluations=3", "env.delay=1")
    cfg.known_answer = None
    market = pipeline.load_market(cfg)
    prepared = pipeline.prepare(cfg, market, pipeline.build(cfg, "features.build"))
    training = pipeline.training_window(cfg, prepared, prepared.splits.train)
    test = pipeline.make_window(cfg, market, prepared.features, prepared.splits.test)
    agent = pipeline.build(cfg, "agent")

    class Killed(Exception):
        pass

    def stop(_, latest):
        if latest:
            raise Killed

    unbroken = train(agent, training, test, seed=0, folder=tmp_path / "one")
    with pytest.raises(Killed):
        train(agent, training, test, seed=0, folder=tmp_path / "two", advance=stop)
    again = train(agent, training, test, seed=0, folder=tmp_path / "two")
    assert again.curve == unbroken.curve
    models = [tmp_path / part / "model.safetensors" for part in ("one", "two")]
    assert models[0].read_bytes() == models[1].read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("recipe", "steps", "least"),
    [("merton", 4_000_000, 0.8), ("regime", 3_000_000, 0.8), ("mean_reversion", 3_000_000, 0.75)],
)
def test_ppo_learns_what_is_known_to_be_there(recipe, steps, least, tmp_path):
    """A fifth of the recipe's steps already earn most of what can be earned."""
    cfg = config(recipe, f"agent.total_steps={steps}", "n_seeds=1", "known_answer.n_paths=4096")
    pipeline.run(cfg, tmp_path)
    answer = json.loads((tmp_path / "known_answer.json").read_text())
    assert answer["policies"]["0"]["score"] > least
