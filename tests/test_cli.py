"""The command line: near misses, sweeps, resume, exit status."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from envs.errors import InputError
from experiments.cli import checked
from experiments.overrides import check_job
from experiments.run_folder import remove_empty_run

ROOT = Path(__file__).resolve().parents[1]
CONF = "tiny_conf"
FILES = {
    f"{CONF}/__init__.py": "",
    f"{CONF}/config.yaml": """\
        defaults:
          - agent: none
          - cost: proportional
          - source: builtin
          - override hydra/job_logging: disabled
          - _self_
        name: tiny
        seed: 0
        rate: 0.5
        agents: {}
        resume: null
        evaluation: {start: "2015-01-01", seeds: [0, 1], reset: true, window: null}
        hydra:
          job: {chdir: false}
          run: {dir: "outputs/${name}/${now:%Y-%m-%d_%H-%M-%S-%f}"}
          sweep: {dir: "outputs/multirun/${now:%Y-%m-%d_%H-%M-%S-%f}", subdir: "${hydra:job.num}"}
        """,
    f"{CONF}/agent/none.yaml": "# @package _global_\nagent: null",
    f"{CONF}/agent/ppo.yaml": "{_target_: tiny_objects.PPO, learning_rate: 1e-3}",
    f"{CONF}/cost/proportional.yaml": """\
        _target_: tiny_objects.cost
        commission_bps: 5.0
        terms: {log_return: 1.0}
        """,
    f"{CONF}/source/builtin.yaml": "{}",
    f"{CONF}/source/file.yaml": "path: ???",
    f"{CONF}/exp/ppo_portfolio.yaml": """\
        # @package _global_
        defaults:
          - override /agent: ppo
        name: ppo_portfolio
        """,
    "tiny_objects.py": """\
        class PPO:
            def __init__(self, learning_rate=1e-3, clip_coef=0.2): ...


        def cost(commission_bps=0.0, half_spread_bps=0.0, terms=None): ...
        """,
    "tiny_run.py": """\
        from pathlib import Path

        import hydra
        from hydra.core.hydra_config import HydraConfig

        from envs.errors import InputError
        from omegaconf import OmegaConf

        from experiments.cli import reported, saved_config, start


        @hydra.main(version_base="1.3", config_path="pkg://tiny_conf", config_name="config")
        def main(cfg):
            run_dir = Path(HydraConfig.get().runtime.output_dir)
            with reported(run_dir):
                if cfg.seed == 7:
                    raise InputError("seven is unlucky")
                if cfg.seed == 8:
                    raise ZeroDivisionError("a fault of the program")
                if cfg.seed == 9:
                    saved = OmegaConf.to_container(cfg) | {"data": None, "seed": 4}
                    OmegaConf.save(saved, run_dir / "config.yaml")
                    raise KeyboardInterrupt
                if cfg.resume:
                    cfg = saved_config(run_dir)
                print("ran", cfg.seed, cfg.name, run_dir)
                return 1.0


        start(main, "tiny_conf")
        """,
}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A folder with a small configuration and an entry point like the real one."""
    folder = tmp_path_factory.mktemp("tiny")
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
    return folder


@pytest.fixture
def check(tiny, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tiny))
    monkeypatch.chdir(tmp_path)
    return lambda *argv: checked(argv, CONF)


def run(tiny, folder, *argv, program=("tiny_run",)):
    environment = {**os.environ, "PYTHONPATH": f"{tiny}{os.pathsep}{ROOT}"}
    return subprocess.run(
        [sys.executable, "-m", *program, *argv],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


NEAR_MISSES = {
    "cost.comission_bps=5": "no key cost.comission_bps; did you mean cost.commission_bps?",
    "commission_bps=5": "no key commission_bps; did you mean cost.commission_bps?",
    "agnt=ppo": "no key agnt; did you mean agent?",
    "agents.x=ppo": "no key agents.x: first add that agent: +agent@agents.x=OPTION",
    "+cost@agents.x=proportional": "cost@agents.x: only agents stand beside each other",
    "agent=pp0": "no option agent=pp0; did you mean agent=ppo? (options: none, ppo)",
    "+exp=ppo_portfolo": "no option +exp=ppo_portfolo; did you mean +exp=ppo_portfolio?",
    "exp=ppo_portfolio": "write +exp=ppo_portfolio",
    "exp=ppo_portfolo": "did you mean +exp=ppo_portfolio?",
    "+expp=ppo_portfolio": "no key expp; did you mean +exp?",
    "+agent=ppo": "write agent=ppo",
    "+seed=1": "leave out the +",
    "+cost.foo=1": "no key cost.foo; there are cost.commission_bps, cost.half_spread_bps",
    "+cost.half_spread=1": "no key cost.half_spread; did you mean cost.half_spread_bps?",
    "+foo=1": "no key foo",
    "cost.terms.turnover=-1": "to add it write +cost.terms.turnover=VALUE",
    "~seed": "seed cannot be left out",
    "~agent": "agent cannot be left out",
    "seed=abc": "seed must be a whole number, got 'abc'",
    "seed=true": "seed must be a whole number, got True",
    "seed=1e3": "write seed=1000",
    "rate=fast": "rate must be a number, got 'fast'",
    "evaluation.reset=1": "evaluation.reset must be true or false, got 1",
    "evaluation.seeds=3": "write evaluation.seeds=[3]",
    "evaluation=3": "evaluation is no single value, got 3; set one of start, seeds, reset, window",
    "agents=3": "agents is no single value, got 3; add to it with +agent@agents.NAME=OPTION",
    "cost.terms={turnover: 1}": "would not replace what cost.terms holds",
    "source=file": "source.path is needed: add source.path=VALUE",
    "seed=0,1": "add -m",
    "seed": "'seed' cannot be read",
    "=3": "'=3' cannot be read",
    "a b=1": "cannot be read",
    "resume=outputs/nowhere": "no run folder there",
    "hydra.rn.dir=x": "hydra.rn.dir",
}


@pytest.mark.parametrize("argument", NEAR_MISSES)
def test_wrong_override_names_the_near_miss(check, argument):
    with pytest.raises(InputError) as caught:
        check(argument)
    assert NEAR_MISSES[argument] in str(caught.value)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["+exp=ppo_portfolio", "agent.learning_rate=1", "seed=3"],
        ["+exp=ppo_portfolio", "+agent.clip_coef=0.1"],
        ["+cost.terms.turnover=-1"],
        ["++seed=3", "evaluation.window=[1,2]", "evaluation.start=null"],
        ["source=file", "source.path=prices.csv"],
        ["-m", "+exp=ppo_portfolio", "seed=range(0,3)", "agent=none,ppo"],
        ["--multirun", "seed=0,1", "cost.commission_bps=0,10.5"],
        ["hydra.run.dir=elsewhere"],
        ["--help", "nonsense"],
    ],
)
def test_right_overrides_pass_unchanged(check, arguments):
    assert sorted(check(*arguments)) == sorted(arguments)


def test_in_a_sweep_keys_wait_for_the_recipe_that_brings_them(check):
    """Hydra applies plain overrides before it knows which recipe of the sweep is meant."""
    given = check("-m", "+exp=ppo_portfolio,ppo_portfolio", "agent.learning_rate=1", "seed=0,1")
    assert "agent.learning_rate=choice(1)" in given
    assert "seed=0,1" in given and "+exp=ppo_portfolio,ppo_portfolio" in given
    assert "evaluation.start=null" in check("-m", "seed=0,1", "evaluation.start=null")


def test_every_job_of_a_sweep_is_checked_before_the_first(check):
    with pytest.raises(InputError, match="did you mean agent=ppo"):
        check("-m", "seed=0,1", "agent=none,ppo,pp0")
    with pytest.raises(InputError, match="got 'b'"):
        check("-m", "seed=0,b")


def test_keys_of_an_option_count_only_where_it_is_chosen(check):
    check("agent=ppo", "agent.learning_rate=0.1")
    with pytest.raises(InputError, match=r"no key agent\.learning_rate: first choose agent=ppo"):
        check("agent=none", "agent.learning_rate=0.1")


def test_unwritable_run_folder_is_found_before_hydra_makes_it(check, tmp_path):
    (tmp_path / "outputs").write_text("a file in the way")
    with pytest.raises(InputError, match="outputs cannot be written: a file is in the way"):
        check("seed=1")


def test_exit_status_and_message(tiny, tmp_path):
    done = run(tiny, tmp_path, "seed=3", "+exp=ppo_portfolio")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("ran 3 ppo_portfolio") and not done.stderr
    assert (tmp_path / "outputs/ppo_portfolio").is_dir()

    wrong = run(tiny, tmp_path, "cost.comission_bps=5")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr == ("error: no key cost.comission_bps; did you mean cost.commission_bps?\n")

    bad_input = run(tiny, tmp_path, "seed=7")
    assert (bad_input.returncode, bad_input.stderr) == (2, "error: seven is unlucky\n")
    assert not list((tmp_path / "outputs/tiny").iterdir())
    (tmp_path / "kept").mkdir()
    run(tiny, tmp_path, "seed=7", "hydra.run.dir=kept")
    assert (tmp_path / "kept/.hydra/overrides.yaml").exists()

    fault = run(tiny, tmp_path, "seed=8")
    assert fault.returncode == 1
    assert "Traceback" in fault.stderr and "ZeroDivisionError: a fault" in fault.stderr


def test_interrupted_run_says_how_to_go_on_and_can(tiny, tmp_path):
    spaced = tmp_path / "my runs"
    stopped = run(tiny, tmp_path, "+exp=ppo_portfolio", "seed=9", f"hydra.run.dir='{spaced}/one'")
    assert stopped.returncode == 130
    hint = stopped.stderr.strip().rpartition("resume=")[2]
    again = run(tiny, tmp_path, f"resume={hint}")
    assert again.returncode == 0, again.stderr
    assert again.stdout == f"ran 4 ppo_portfolio {spaced}/one\n"
    mixed = run(tiny, tmp_path, f"resume={hint}", "seed=5")
    assert mixed.returncode == 2
    assert "leave out seed=5" in mixed.stderr
    (spaced / "one" / "report.html").touch()
    finished = run(tiny, tmp_path, f"resume={hint}")
    assert finished.returncode == 2
    assert "that run is finished" in finished.stderr
    assert [p.name for p in spaced.iterdir()] == ["one"]
    assert not (tmp_path / "outputs").exists()


def test_sweep_goes_on_after_a_failure_and_reports_it(tiny, tmp_path):
    done = run(tiny, tmp_path, "-m", "seed=0,7,1")
    assert done.returncode == 2
    assert [line.split()[1] for line in done.stdout.splitlines() if line.startswith("ran")] == [
        "0", "1",
    ]  # fmt: skip
    assert "1: seven is unlucky" in done.stderr
    assert len(list((tmp_path / "outputs/multirun").glob("*/[012]"))) == 3


def test_runs_of_the_same_moment_have_their_own_folders(tiny, tmp_path):
    for _ in range(2):
        run(tiny, tmp_path, "seed=1")
    assert len(list((tmp_path / "outputs/tiny").iterdir())) == 2


def test_only_what_every_run_begins_with_is_removed(tmp_path):
    def begun(*more):
        folder = tmp_path / "run"
        for name in (".hydra/hydra.yaml", ".lock", "config.yaml", *more):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text("")
        remove_empty_run(folder)
        return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())

    for name in ("notes.txt", "agents/ppo/checkpoint", ".hydra/mine.yaml"):
        assert begun(name) == sorted((".hydra/hydra.yaml", ".lock", "config.yaml", name))
        (tmp_path / "run" / name).unlink()
    (tmp_path / "run" / "link").symlink_to(tmp_path)
    assert len(begun()) == 3
    (tmp_path / "run" / "link").unlink()
    (tmp_path / "run" / "agents").mkdir(exist_ok=True)
    assert begun() == [] and (tmp_path / "run" / "agents").is_dir()
    remove_empty_run(tmp_path / "nowhere")


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path):
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m experiments.run --help | true; "
         "echo ${PIPESTATUS[0]}"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        timeout=60,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("141\n", "")


def test_help_is_quick(tmp_path):
    start = time.monotonic()
    done = run(ROOT, tmp_path, "--help", program=["experiments.run"])
    seconds = time.monotonic() - start
    assert done.returncode == 0, done.stderr
    assert "exp" in done.stdout
    assert seconds < 4.0
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("job", "value"),
    [
        (["data=simulated/gbm", "data.process.drift=0.08"], 0.08),
        (["data=simulated/regime", "data.process.drift=0"], 0),
        (["data=simulated/gbm", "data.process.drift=[0.1,0.2,0.3]"], [0.1, 0.2, 0.3]),
        (["cost=realistic", "cost.lot_size=0.5"], 0.5),
    ],
)
def test_one_number_may_stand_for_a_list_of_them(job, value):
    with initialize_config_dir(str(ROOT / "hydra_conf"), version_base=None):
        cfg = check_job(job, GlobalHydra.instance().config_loader())
    assert OmegaConf.select(cfg, job[1].partition("=")[0]) == value
    with (
        initialize_config_dir(str(ROOT / "hydra_conf"), version_base=None),
        pytest.raises(InputError, match="must be"),
    ):
        wrong = [job[0], job[1].partition("=")[0] + "=true"]
        check_job(wrong, GlobalHydra.instance().config_loader())
