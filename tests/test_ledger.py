"""The trial ledger: what a run leaves in it, and how many trials it says there were."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hydra import compose, initialize_config_module

from envs.data.synthetic import synthetic
from envs.errors import InputError
from experiments import hash_chain, ledger, pipeline
from experiments.evaluation.evidence import Evidence, StrategyEvidence
from experiments.evaluation.skill import measure_skill
from experiments.evaluation.splits import Splits
from experiments.provenance import command_line
from experiments.trials import (
    NO_LEDGER,
    agent_hashes,
    annual_sharpe,
    baseline_hashes,
    config_hash,
    trial,
)
from tests.trajectories import simulate

ROOT = Path(__file__).resolve().parents[1]
MARKET = synthetic(n_rows=300)
OTHER = synthetic(n_rows=300, seed=1)
EARLY = Splits(train=(0, 100), validation=(100, 150), test=(150, 200))
LATE = Splits(train=(0, 150), validation=(150, 200), test=(200, 299))
WHOLE = Splits(train=(0, 100), validation=(100, 150), test=(150, 299))


def config(*overrides):
    with initialize_config_module("hydra_conf", version_base="1.3"):
        return compose("config", ["data=synthetic", *overrides])


def evidence(paths, trials):
    """What the ledger reads of the evidence of these trajectories."""
    strategies = {}
    for name, runs in paths.items():
        excess = np.stack([t.net_return - t.cash_return for t in runs])
        skill = measure_skill(excess, runs[0].periods_per_year, trials)
        role = "agent" if name == "ppo" else "baseline"
        strategies[name] = StrategyEvidence(role, [0], [False], {}, skill)
    window = {"periods_per_year": runs[0].periods_per_year}
    return Evidence(window, {}, strategies, [], trials=trials)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "outputs" / "ledger.jsonl"


@pytest.fixture
def run(path, tmp_path):
    """One run that reads windows and finds trajectories, as the pipeline does it."""
    count = 0

    def run(*overrides, market=MARKET, windows=(WHOLE,), seeds=(0,), fails=None, folder=None):
        nonlocal count
        count += 1
        folder = folder or tmp_path / f"run_{count}"
        folder.mkdir(exist_ok=True)
        cfg = config(f"ledger={path}", *overrides)
        with trial(cfg, folder) as entry:
            entry.reads(market, windows, ["equal_weight"])
            if fails is not None:
                raise fails
            paths = {"equal_weight": [simulate("equal_weight")]}
            if cfg.agent is not None:
                paths = {"ppo": [simulate("ppo", seed=s, activity=0.5) for s in seeds], **paths}
            tried = {name: paths[name] for name in entry.agents or paths}
            entry.found(evidence(paths, entry.trials(tried)))
        return entry

    return run


def lines(path):
    return hash_chain.read(path).lines


def events(path):
    return [line["event"] for line in lines(path)]


# ------------------------------------------------------------------ hashes
@pytest.mark.parametrize(
    "override",
    [
        "name=other", "tracking=wandb", "resume=folder", "ledger=null", "agent.torch_threads=4",
        "agent.env_threads=2", "agent.device=cuda", "evaluation.workers=3",
        "evaluation.n_bootstrap=40", "evaluation.level=0.9", "hydra.run.dir=elsewhere",
    ],
)  # fmt: skip
def test_what_no_result_depends_on_is_not_in_the_hash(override):
    one, two = config("agent=ppo"), config("agent=ppo", override)
    assert config_hash(one) == config_hash(two)
    assert agent_hashes(one) == agent_hashes(two)


@pytest.mark.parametrize(
    "override", ["seed=1", "n_seeds=2", "agent.learning_rate=0.5", "cost=free", "data.n_rows=500"]
)
def test_what_a_result_depends_on_is_in_the_hash(override):
    one, two = config("agent=ppo"), config("agent=ppo", override)
    assert config_hash(one) != config_hash(two)
    assert agent_hashes(one) != agent_hashes(two)


def test_an_agent_is_the_same_trial_whoever_is_beside_it():
    alone = agent_hashes(config("agent=ppo"))
    many = agent_hashes(
        config("+agent@agents.ppo=ppo", "+agent@agents.ddpg=ddpg", "~evaluation.baselines.momentum")
    )
    assert set(alone) == {"ppo"} and set(many) == {"ppo", "ddpg"}
    assert many["ppo"] == alone["ppo"] != many["ddpg"]


@pytest.mark.parametrize(
    "choice", ["agent=none", "agent=ppo", "agent=ddpg", "+agent@agents.a=ddpg", "agents.a=null"]
)
def test_agents_have_the_names_that_the_run_gives_them(choice):
    cfg = config("agents={}" if choice == "agents.a=null" else choice)
    assert list(agent_hashes(cfg)) == list(pipeline.agent_keys(cfg))


# ------------------------------------------------------------------ what a run leaves
def test_a_line_is_there_before_anything_is_computed(path, tmp_path):
    cfg = config("agent=ppo", "seed=3", "n_seeds=2", "name=mine", f"ledger={path}")
    with trial(cfg, tmp_path):
        genesis, begun = lines(path)
        assert (genesis["event"], begun["event"]) == ("genesis", "begun")
        assert begun["config"] == config_hash(cfg)
        assert begun["agents"] == agent_hashes(cfg)
        assert (begun["name"], begun["seed"], begun["n_seeds"]) == ("mine", 3, 2)
        assert begun["time"].endswith("+00:00") and begun["command"] == command_line()
        assert len(begun["commit"]) == 40
        (run,) = ledger.runs([genesis, begun]).values()
        assert run.outcome == ledger.KILLED


def test_a_finished_run_says_what_it_found(run, path):
    entry = run("agent=ppo", seeds=(0, 1))
    assert events(path) == ["genesis", "begun", "read", "ended"]
    read, ended = lines(path)[2:]
    assert read["data"] == {"name": MARKET.name, "fingerprint": MARKET.fingerprint}
    days = np.datetime_as_string(MARKET.dates, unit="D")
    assert read["windows"] == [
        {"train": [days[0], days[100]], "validation": [days[100], days[150]],
         "test": [days[150], days[299]]}
    ]  # fmt: skip
    assert ended["outcome"] == "finished"
    # The figures of the mean over seeds, from their definition.
    runs = [simulate("ppo", seed=s, activity=0.5) for s in (0, 1)]
    excess = [t.net_return - t.cash_return for t in runs]
    sharpe = np.mean([x.mean() / x.std(ddof=1) for x in excess])
    ppo = ended["strategies"]["ppo"]
    assert ppo["role"] == "agent" and ppo["n"] == len(excess[0])
    assert ppo["sharpe"] == pytest.approx(sharpe, rel=1e-12)
    assert ppo["kurtosis"] > 1
    assert ended["strategies"]["equal_weight"]["role"] == "baseline"
    annual = sharpe * np.sqrt(ended["periods_per_year"])
    assert annual_sharpe(runs) == pytest.approx(annual, rel=1e-12)
    assert entry.evidence.trials.count == 1


@pytest.mark.parametrize(
    ("error", "outcome", "reason"),
    [
        (InputError("wrong"), "refused", "wrong"),
        (ZeroDivisionError("no\nway"), "failed", "ZeroDivisionError: no"),
        (KeyboardInterrupt(), "interrupted", "KeyboardInterrupt"),
        (SystemExit(3), "failed", "SystemExit: 3"),
    ],
)
def test_a_run_that_does_not_finish_says_so(run, path, error, outcome, reason):
    with pytest.raises(type(error)):
        run("agent=ppo", fails=error)
    ended = lines(path)[-1]
    assert (ended["event"], ended["outcome"], ended["reason"]) == ("ended", outcome, reason)
    assert ended["strategies"] == {}


def test_secrets_do_not_get_into_the_ledger(run, path, monkeypatch):
    monkeypatch.setenv("SOME_API_KEY", "s3cr3t-value")
    with pytest.raises(RuntimeError):
        run(fails=RuntimeError("no answer from https://me:pass@host/?q=s3cr3t-value"))
    text = path.read_text()
    assert "s3cr3t-value" not in text and "me:pass" not in text


def test_a_run_that_goes_on_is_the_same_trial(run, path, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run("agent=ppo", fails=KeyboardInterrupt(), folder=tmp_path)
    entry = run("agent=ppo", folder=tmp_path)
    assert events(path) == ["genesis", "begun", "read", "ended", "resumed", "read", "ended"]
    (one,) = ledger.runs(lines(path)).values()
    assert one.outcome == "finished"
    assert entry.words.startswith("This test window has now been read by 1 run with 1 different")
    # Other settings in the same folder are another trial.
    run("agent=ppo", "seed=1", folder=tmp_path)
    # So is everything that begins where a run has finished.
    (tmp_path / "report.html").write_text("")
    run("agent=ppo", "seed=1", folder=tmp_path)
    assert len(ledger.runs(lines(path))) == 3


def test_a_run_goes_on_in_the_ledger_that_it_was_begun_in(run, path, tmp_path, monkeypatch):
    with pytest.raises(KeyboardInterrupt):
        run("agent=ppo", fails=KeyboardInterrupt(), folder=tmp_path)
    run("agent=ppo", f"ledger={tmp_path / 'second.jsonl'}", folder=tmp_path)
    assert not (tmp_path / "second.jsonl").exists()
    assert events(path)[-1] == "ended"


def test_a_broken_ledger_stops_a_run_before_anything_is_computed(run, path):
    run("agent=ppo")
    text = path.read_text()
    path.write_text(text.replace('"n_seeds":1', '"n_seeds":2'))
    with pytest.raises(InputError, match=r"ledger\.jsonl, line 2: was changed.* ledger=FILE"):
        run("agent=ppo", fails=AssertionError("computed"))
    path.write_text("".join(text.splitlines(keepends=True)[:-1]))
    with pytest.raises(InputError, match="line 4: was removed"):
        run("agent=ppo", fails=AssertionError("computed"))


def test_a_ledger_that_breaks_during_a_run_hides_no_other_error(path, tmp_path, capsys):
    cfg = config("agent=ppo", f"ledger={path}")
    with pytest.raises(ZeroDivisionError), trial(cfg, tmp_path):
        path.write_text("")
        raise ZeroDivisionError
    assert "line 1" in capsys.readouterr().err


@pytest.mark.parametrize("wrong", ["5", "[a]", "true"])
def test_a_ledger_is_a_file(wrong, tmp_path):
    with (
        pytest.raises(InputError, match="ledger must name a file"),
        trial(config(f"ledger={wrong}"), tmp_path),
    ):
        pass


def test_without_a_ledger(tmp_path):
    with trial(config("ledger=null"), tmp_path) as entry:
        entry.reads(MARKET, [WHOLE])
        assert entry.trials({}) is None
        assert entry.words == NO_LEDGER
    assert not list(tmp_path.iterdir())


# ------------------------------------------------------------------ how many trials
def test_trials_are_different_agents_on_returns_that_were_seen_before(run):
    def count(*overrides, **keywords):
        return run(*overrides, **keywords).evidence.trials.count

    assert count("agent=ppo", windows=[EARLY]) == 1
    assert count("agent=ppo", windows=[EARLY]) == 1  # the same again
    assert count("agent=ppo", "seed=1", windows=[EARLY]) == 2
    assert count("agent=ppo", windows=[LATE]) == 1  # begins where the early window ends
    assert count("agent=ppo", "seed=2", windows=[WHOLE]) == 3
    assert count("agent=ppo", "seed=3", windows=[EARLY, LATE]) == 4
    assert count("agent=ppo", windows=[EARLY], market=OTHER) == 1
    # What failed behind the point at which it could look has been tried; what was refused, not.
    with pytest.raises(RuntimeError):
        run("agent=ppo", "seed=4", windows=[EARLY], fails=RuntimeError("late"))
    assert count("agent=ppo", windows=[EARLY]) == 5
    with pytest.raises(InputError):
        run("agent=ppo", "seed=5", windows=[EARLY], fails=InputError("bad"))
    again = run("agent=ppo", windows=[EARLY])
    assert again.evidence.trials.count == 5 and "read by 9 runs" in again.words


def test_a_refusal_takes_no_trial_back(run, path, tmp_path):
    """Neither one behind the results, nor one of a run that was killed before it went on."""
    with (
        pytest.raises(InputError),
        trial(config("agent=ppo", "seed=8", f"ledger={path}"), tmp_path) as entry,
    ):
        entry.reads(MARKET, [WHOLE])
        entry.found(run("agent=ppo").evidence)
        raise InputError("the tracker is away")
    assert next(iter(ledger.runs(lines(path)).values())).outcome == "failed"
    assert run("agent=ppo").evidence.trials.count == 2
    folder = tmp_path / "killed"
    with pytest.raises(KeyboardInterrupt):
        run("agent=ppo", "seed=9", fails=KeyboardInterrupt(), folder=folder)
    with pytest.raises(InputError):
        run("agent=ppo", "seed=9", fails=InputError("no data here"), folder=folder)
    assert list(ledger.runs(lines(path)).values())[-1].outcome == "refused"
    assert run("agent=ppo").evidence.trials.count == 3


def test_a_run_that_was_refused_before_it_read_is_no_trial(run, path, tmp_path):
    with (
        pytest.raises(InputError),
        trial(config("agent=ppo", "seed=9", f"ledger={path}"), tmp_path),
    ):
        raise InputError("early")
    assert run("agent=ppo").evidence.trials.count == 1
    assert len(ledger.runs(lines(path))) == 2


def test_the_variance_is_that_of_the_annual_sharpe_ratios(run, path):
    entries = [run("agent=ppo", f"seed={k}", seeds=(k,)) for k in range(4)]
    sharpes = []
    for k in range(4):
        t = simulate("ppo", seed=k, activity=0.5)
        excess = t.net_return - t.cash_return
        sharpes.append(excess.mean() / excess.std(ddof=1) * np.sqrt(t.periods_per_year))
        told = entries[k].evidence.trials
        assert told.count == k + 1
        if k:
            assert told.sharpe_variance == pytest.approx(np.var(sharpes, ddof=1), rel=1e-9)
        else:
            assert told.sharpe_variance is None
    # The same run once more has the same numbers.
    again = run("agent=ppo", "seed=3", seeds=(3,))
    assert again.evidence.as_dict() == entries[3].evidence.as_dict()
    assert "read by 5 runs with 4 different configurations" in again.words


def test_without_agents_every_strategy_of_the_run_is_a_trial(run):
    assert run().evidence.trials.count == 1
    run("agent=ppo")
    assert run().evidence.trials.count == 2


def test_a_baseline_is_one_trial_however_the_rows_are_split(run):
    run()
    assert run("evaluation=walk_forward").evidence.trials.count == 1
    assert run("evaluation=walk_forward", "env.execution=same_close").evidence.trials.count == 2
    tuned = "evaluation.baselines.equal_weight.every=5"
    one, two = baseline_hashes(config()), baseline_hashes(config(f"+{tuned}"))
    assert one.pop("equal_weight") != two.pop("equal_weight") and one == two


def test_report_and_command_say_one_number(run, path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    run()
    run("seed=1", "features=none")  # equal weight needs neither
    run("cost.commission_bps=50")
    for overrides, count in ((["agent=ppo"], 3), (["agent=ppo", "seed=1"], 4)):
        assert run(*overrides).evidence.trials.count == count
        capsys.readouterr()
        assert ledger.main(["trials", str(path)]) == 0
        assert capsys.readouterr().out.split()[-1] == str(count)
    # One that was killed may have looked.
    with pytest.raises(KeyboardInterrupt):
        run("cost.commission_bps=60", fails=KeyboardInterrupt())
    assert run().evidence.trials.count == 5


# ------------------------------------------------------------------ another machine
def test_a_ledger_from_another_machine_goes_on_and_says_so(run, path, monkeypatch, capsys):
    run("agent=ppo")
    monkeypatch.setattr(ledger, "machine_mark", lambda identity: "elsewhere")
    assert ledger.main(["verify", str(path)]) == 0
    assert "were written on another machine" in capsys.readouterr().out
    entry = run("agent=ppo", "seed=1")
    assert events(path)[4:] == ["moved", "begun", "read", "ended"]
    assert entry.evidence.trials.count == 2
    assert "moved between machines" in entry.evidence.trials.source
    run("agent=ppo", "seed=2")
    assert events(path).count("moved") == 1
    assert ledger.main(["verify", str(path)]) == 0
    assert "moved between machines 1x" in capsys.readouterr().out


def test_the_mark_of_a_machine_tells_nothing_but_that(path, run, monkeypatch):
    run()
    genesis = lines(path)[0]
    assert ledger.machine_mark(genesis["ledger"]) == genesis["machine"]
    assert ledger.machine_mark("another ledger") != genesis["machine"]
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: "")
    monkeypatch.setattr(ledger.uuid, "getnode", lambda: 1 << 40)
    assert ledger.machine_mark("x") is None
    assert not ledger.moved([genesis])


# ------------------------------------------------------------------ the command
def test_verify_names_what_is_wrong(run, path, capsys):
    assert ledger.main(["verify", str(path)]) == 2
    assert "no such file" in capsys.readouterr().err
    run("agent=ppo")
    run()
    assert ledger.main(["verify", str(path)]) == 0
    assert "7 lines, 2 runs, chain whole" in capsys.readouterr().out
    text = path.read_text()
    path.write_text(text.replace('"finished"', '"refused"', 1))
    assert ledger.main(["verify", str(path)]) == 1
    assert "line 4: was changed" in capsys.readouterr().err
    path.write_text(text + '{"half')
    assert ledger.main(["verify", str(path)]) == 0
    assert "6 bytes at the end" in capsys.readouterr().out


def test_a_chain_of_something_else_is_no_ledger(path, tmp_path, capsys):
    with hash_chain.writing(path) as chain:
        chain.append({"event": "begun"})
    assert ledger.main(["verify", str(path)]) == 1
    assert "not how a ledger begins" in capsys.readouterr().err
    with pytest.raises(InputError, match="not how a ledger begins"), ledger.opened(path):
        pass


@pytest.mark.parametrize(
    ("event", "change"),
    [
        ("begun", {"config": None}),
        ("begun", {"agents": ["ppo"]}),
        ("read", {"windows": [{"train": ["2020-01-01", "2020-02-01"]}]}),
        ("read", {"windows": [{"test": ["once", "later"]}]}),
        ("read", {"data": "sp500"}),
        ("ended", {"strategies": {"ppo": {"role": "agent"}}}),
        ("ended", {"periods_per_year": "daily"}),
        ("genesis", {"ledger": 5}),
        ("begun", {"agents": {"ppo": []}}),
        ("begun", {"overrides": 5}),
        ("begun", {"overrides": [5]}),
        ("read", {"strategies": {"a": [1]}}),
        ("read", {"data": {"name": 1}}),
        ("ended", {"strategies": {"ppo": {"sharpe": 10**400}}}),
    ],
)
def test_a_line_that_says_nothing_of_a_trial_is_named(run, path, capsys, event, change):
    """Well hashed and linked, as of a program that writes something else."""
    run("agent=ppo")
    entries = [
        {k: v for k, v in line.items() if k not in ("line", "previous", "hash")}
        for line in lines(path)
    ]
    number = events(path).index(event) + 1
    other = path.with_name("other.jsonl")
    with hash_chain.writing(other) as chain:
        for k, entry in enumerate(entries, 1):
            chain.append({**entry, **(change if k == number else {})})
    for command in ("verify", "show", "trials"):
        assert ledger.main([command, str(other)]) == 1
        assert f"line {number}: is not of a trial ledger" in capsys.readouterr().err
    with pytest.raises(InputError, match=f"line {number}"), ledger.opened(other):
        pass


def test_show_and_trials(run, path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    run("agent=ppo", "name=one")
    with pytest.raises(InputError):
        run("agent=ppo", "name=two", "seed=1", fails=InputError("not [like] this"))
    run("name=three", market=OTHER)
    capsys.readouterr()
    assert ledger.main(["show", str(path)]) == 0
    printed = capsys.readouterr().out
    for text in ("one", "two", "three", "finished", "refused: not [like] this", "ppo"):
        assert text in printed
    assert ledger.main(["trials", str(path)]) == 0
    rows = [row.split() for row in capsys.readouterr().out.splitlines()[1:]]
    assert [row[-3:] for row in rows] == [["2", "2", "1"], ["1", "1", "1"]]
    assert ledger.main(["trials", str(path), "--data", OTHER.fingerprint[:8]]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_show_tells_the_jobs_of_a_sweep_apart(path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    with ledger.opened(path) as chain:
        for k in range(4):
            overrides = ["+exp=smoke", f"agent.learning_rate=0.{k + 1}"]
            ledger.add(
                chain, "begun", run=f"{k}abcdef0123456789", name="smoke", config="c",
                agents={"ppo": str(k)}, seed=k // 2, n_seeds=5, overrides=overrides,
            )  # fmt: skip
    assert ledger.main(["show", str(path)]) == 0
    printed = capsys.readouterr().out
    assert "exp=smoke" not in printed
    assert max(map(len, printed.splitlines())) <= 100
    for k in range(4):
        assert f"{k}abcde " in printed and f"agent.learning_rate=0.{k + 1} " in printed
    assert printed.count("5 seeds from 0") == printed.count("5 seeds from 1") == 2


def test_a_run_that_was_killed_is_counted(run, path, tmp_path):
    """kill -9 of a process between the line that it reads and the line of its end."""
    program = f"""
from pathlib import Path
from envs.data.synthetic import synthetic
from experiments.evaluation.splits import Splits
from experiments.trials import trial
from hydra import compose, initialize_config_module
with initialize_config_module("hydra_conf", version_base="1.3"):
    cfg = compose("config", ["data=synthetic", "agent=ppo", "seed=7", "ledger={path}"])
with trial(cfg, Path({str(tmp_path)!r})) as entry:
    entry.reads(synthetic(n_rows=300), [Splits((0, 100), (100, 150), (150, 299))])
    print("ready", flush=True)
    input()
"""
    process = subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, text=True,
        stdout=subprocess.PIPE, stdin=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert run("agent=ppo").evidence.trials.count == 2
    killed, finished = ledger.runs(lines(path)).values()
    assert (killed.outcome, finished.outcome) == (ledger.KILLED, "finished")
    assert ledger.main(["verify", str(path)]) == 0
    assert json.loads((tmp_path / "trial.json").read_text())["run"] == killed.begun["run"]


def test_numbers_that_json_does_not_know_have_a_hash():
    cfg = config("agent=ppo", "agent.clip_coef=.nan")
    assert config_hash(cfg) != config_hash(config("agent=ppo"))
    assert SimpleNamespace(**agent_hashes(cfg)).ppo
