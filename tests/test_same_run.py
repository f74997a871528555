"""A run folder belongs to one experiment: nothing trained or found in it is used by another."""

import json
import shutil

import numpy as np
import pytest
from hydra import compose, initialize_config_module

from envs.errors import InputError
from experiments import pipeline
from experiments.cli import saved_config
from experiments.cross_validate import _same_config

SMALL = [
    "+exp=smoke", "agent.total_steps=512", "agent.num_envs=8", "agent.n_steps=16",
    "agent.batch_size=64", "agent.evaluations=1", "n_seeds=1", "evaluation.n_bootstrap=40",
    "ledger=null", "data.n_rows=500",
]  # fmt: skip


def config(*overrides):
    with initialize_config_module("hydra_conf", version_base="1.3"):
        return compose("config", [*SMALL, *overrides])


def contents(folder):
    return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.name != ".lock"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished") / "run"
    pipeline.run(config(), folder)
    return folder


@pytest.fixture
def folder(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "run")


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("cost.commission_bps=50", "other settings"),
        ("reward=mean_variance", "other settings"),
        ("evaluation.train=[2000-01-01,2000-12-31]", "other settings"),
        ("agent=none", "other settings"),
        ("data.seed=5", "other settings"),
    ],
)
def test_models_of_other_settings_are_not_used(folder, override, words):
    before = contents(folder)
    with pytest.raises(InputError, match=words) as caught:
        pipeline.run(config(override), folder)
    assert str(folder) in str(caught.value)
    assert contents(folder) == before


@pytest.mark.parametrize("state", ["finished", "trained", "begun"])
def test_models_of_other_prices_are_not_used(folder, monkeypatch, state):
    """The settings name a file whose prices have changed in between."""
    if state != "finished":
        (folder / "metrics.json").unlink()
    if state == "begun":
        (model,) = folder.glob("agents/**/model.safetensors")
        model.rename(model.with_name("checkpoint.safetensors"))
    real = pipeline.load_market
    monkeypatch.setattr(pipeline, "load_market", lambda cfg: real(config("data.seed=7")))
    before = contents(folder)
    with pytest.raises(InputError, match="trained or found on other data"):
        pipeline.run(config(), folder)
    assert contents(folder) == before


def test_the_same_run_and_more_seeds_go_on(folder):
    before = {p: p.stat().st_mtime_ns for p in folder.glob("agents/**/*.safetensors")}
    pipeline.run(config("n_seeds=2", "evaluation.level=0.9"), folder)
    after = {p: p.stat().st_mtime_ns for p in folder.glob("agents/**/*.safetensors")}
    assert len(before) == 1 and len(after) == 2
    assert before.items() <= after.items()


@pytest.mark.parametrize("text", ["{", "[]", "[" * 100_000, None])
def test_models_of_unknown_origin_are_not_used(folder, text):
    path = folder / "provenance.json"
    path.unlink()
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=r"provenance\.json cannot be read"):
        pipeline.run(config(), folder)


def test_a_run_of_another_version_is_not_used(folder):
    path = folder / "provenance.json"
    facts = json.loads(path.read_text())
    del facts["settings"]
    path.write_text(json.dumps(facts))
    with pytest.raises(InputError, match="another version"):
        pipeline.run(config(), folder)


def test_what_was_refused_before_anything_was_made_can_be_corrected(tmp_path):
    with pytest.raises(InputError):
        pipeline.run(config("agent.batch_size=7"), tmp_path / "run")
    pipeline.run(config(), tmp_path / "run")
    assert (tmp_path / "run" / "report.html").exists()


@pytest.mark.parametrize(
    "overrides",
    [
        ["evaluation.n_bootstrap=10"],
        ["evaluation.level=2"],
        ["cost.commission_bps=50", "n_seeds=2"],
    ],
)
def test_what_is_refused_leaves_a_finished_run_as_it_was(folder, overrides):
    before = contents(folder)
    with pytest.raises(InputError):
        pipeline.run(config(*overrides), folder)
    assert contents(folder) == before


def test_the_first_setting_that_differs_is_named(folder):
    with pytest.raises(InputError, match=r"cost\.commission_bps=.*, now 50"):
        pipeline.run(config("cost.commission_bps=50"), folder)


def test_seeds_may_be_added_and_not_exchanged(folder):
    pipeline.run(config("n_seeds=2"), folder)
    for overrides in (["n_seeds=1"], ["n_seeds=2", "seed=1"]):
        with pytest.raises(InputError, match=r"holds seed \d as well|seed=0, now 1"):
            pipeline.run(config(*overrides), folder)


def test_a_kill_while_seeds_are_added_leaves_a_run_that_goes_on(folder, monkeypatch):
    def killed(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "run_baselines", killed)
        with pytest.raises(KeyboardInterrupt):
            pipeline.run(config("n_seeds=2"), folder)
    # `resume=` goes on where there is no report.
    assert not (folder / "report.html").exists()
    pipeline.run(saved_config(folder), folder)
    assert len(list(folder.glob("agents/ppo/seed_*/model.safetensors"))) == 2
    assert (folder / "report.html").exists()


def test_models_of_a_run_are_not_those_of_a_cross_validation(folder):
    with pytest.raises(InputError, match="other settings, data or splits"):
        _same_config(folder / "cross_validation.yaml", config(), "a" * 64)


def test_a_cross_validation_belongs_to_its_data(tmp_path):
    path = tmp_path / "cross_validation.yaml"
    _same_config(path, config("agent.batch_size=8"), "a" * 64)
    # Nothing was trained: what was wrong can be corrected.
    _same_config(path, config(), "a" * 64)
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "model.safetensors").write_text("")
    _same_config(path, config("evaluation.workers=2", "tracking=tensorboard"), "a" * 64)
    for cfg, fingerprint in ((config(), "b" * 64), (config("seed=3"), "a" * 64)):
        with pytest.raises(InputError, match="of other settings, data or splits"):
            _same_config(path, cfg, fingerprint)


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("seed=-1", "seed"), ("seed=null", "seed"), ("n_seeds=0", "n_seeds"),
        ("evaluation.purge=null", "purge"), ("evaluation.level=1.5", "level"),
        ("evaluation.level=null", "level"), ("evaluation.n_bootstrap=null", "n_bootstrap"),
        ("evaluation.n_bootstrap=38", "n_bootstrap=38 is too few"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("agent", ["ppo", "none"])
def test_numbers_that_no_run_can_use_are_refused_before_anything_is_read(
    tmp_path, monkeypatch, override, key, agent
):
    if (agent, override) == ("none", "n_seeds=0"):
        pytest.skip("nothing is trained")
    monkeypatch.setattr(pipeline, "run_baselines", None)
    with pytest.raises(InputError, match=key):
        pipeline.run(config(f"agent={agent}" if agent == "none" else "seed=0", override), tmp_path)


def test_bounds_are_those_of_the_test_window():
    """Whoever grows most after the window must not be the best stock of the window."""
    cfg = config("data.n_rows=800")
    market = pipeline.load_market(cfg)
    plan = pipeline.build(config("+evaluation.baselines.best_stock={}",
                                 "+evaluation.baselines.bcrp={}"), "evaluation")  # fmt: skip
    first = 400
    from_then = (market.close / market.close[first])[first + 20 :].argmax(axis=1)
    last = first + 20 + int(np.flatnonzero(from_then != from_then[-1])[0])
    growth = market.close[last] / market.close[first]
    policies = pipeline.make_baselines(plan, market, last)
    seen = {"t": np.array([first]), "weights": np.zeros(market.n_assets + 1)}
    weights, _ = policies["best_stock"].predict(seen, None, np.array([True]))
    assert weights.argmax() == growth.argmax()
    relatives = market.close[first + 1 : last + 1] / market.close[first:last]
    mix, _ = policies["bcrp"].predict(seen, None, np.array([True]))
    best = np.log(relatives @ mix[:-1]).sum()
    others = np.random.default_rng(0).dirichlet(np.ones(market.n_assets), 500)
    assert best >= np.log(relatives @ others.T).sum(axis=0).max() - 1e-9
