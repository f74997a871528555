"""Cross-validation of a recipe: nothing of a test group reaches its training; paths are whole."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from envs.data.market_data import MarketData
from envs.errors import InputError
from experiments import cross_validate as program
from experiments import pipeline
from experiments.audit import compose
from experiments.cross_validate import cross_validate, main
from experiments.evaluation.combinatorial import Combinatorial
from experiments.evaluation.metrics import sharpe

SMALL = ["+exp=smoke", "agent.total_steps=1024", "agent.evaluations=2", "evaluation.n_bootstrap=40"]
FEW = {"n_groups": 3, "n_test_groups": 1, "purge": 5, "embargo": 60, "workers": 1}


def toy(n: int = 700) -> MarketData:
    dates = np.datetime64("2020-01-01", "D") + np.arange(n)
    return MarketData(dates=dates, symbols=("A",), close=np.ones((n, 1)), name="toy")


@pytest.mark.parametrize(("tested", "purge", "embargo"), [(1, 0, 0), (2, 7, 11)])
def test_windows_lie_in_the_training_rows_of_their_combination(
    tested: int, purge: int, embargo: int
) -> None:
    plan = Combinatorial(
        first=20, stop=640, n_groups=5, n_test_groups=tested, purge=purge, embargo=embargo
    )
    folds = list(plan.splitter.split(20, 640))
    windows = plan.windows(toy(), 20)
    assert len(windows) == len(folds)
    for splits, fold in zip(windows, folds, strict=True):
        allowed = {row for a, b in fold.train for row in range(a, b)}
        train, validation = set(range(*splits.train)), set(range(*splits.validation))
        assert train | validation <= allowed
        # Last return of training, purged rows, first decision of validation.
        assert splits.validation[0] - splits.train[1] == purge + 1
        longest = max(b - a for a, b in fold.train)
        assert len(train) + len(validation) == longest - purge - 1
        assert splits.test == (fold.test[0][0], fold.test[-1][1])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"stop": 45}, "25 rows"),
        ({"stop": 60}, r"validation has 1 steps where groups"),
        ({"validation_share": 1.0}, "validation_share"),
        ({"n_test_groups": 5}, "leaves no group"),
    ],
)
def test_bad_plans_name_the_remedy(change: dict[str, Any], words: str) -> None:
    settings: dict[str, Any] = {"first": 20, "stop": 640, "n_groups": 5, "purge": 2} | change
    if "25" in words:
        settings["n_groups"] = 13
    with pytest.raises(InputError, match=words):
        Combinatorial(**settings).windows(toy(), 20)


@pytest.mark.slow
def test_what_is_tested_is_not_trained_on_and_a_second_start_trains_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Features that forget within the embargo; an exponential average never does entirely.
    cfg = compose([*SMALL, "features.build.names=[return_1,volatility_21,sma_ratio_50]"])
    market = pipeline.load_market(cfg)
    monkeypatch.setattr(pipeline, "load_market", lambda cfg: market)
    found = cross_validate(cfg, tmp_path / "a", **FEW)
    begin = int(np.searchsorted(market.dates, np.datetime64(found["rows"]["first_decision"])))
    size = found["rows"]["steps"] // 3

    # Other prices in the first group, and from there on the same returns as before.
    rng = np.random.default_rng(0)
    factor = np.ones((market.n_rows, 1))
    factor[begin : begin + size] = np.exp(0.1 * rng.standard_normal((size, 1)))
    changed = replace(market, close=market.close * factor)
    monkeypatch.setattr(pipeline, "load_market", lambda cfg: changed)
    other = cross_validate(cfg, tmp_path / "b", **FEW)
    models = [
        [(tmp_path / run / f"agents/ppo/window_{k}/seed_0/model.safetensors") for run in "ab"]
        for k in (1, 2, 3)
    ]
    same = [a.read_bytes() == b.read_bytes() for a, b in models]
    assert same == [True, False, False]
    assert found["strategies"] != other["strategies"]

    monkeypatch.setattr(pipeline, "load_market", lambda cfg: market)
    stamp = models[0][0].stat().st_mtime_ns
    assert cross_validate(cfg, tmp_path / "a", **FEW) == found
    assert models[0][0].stat().st_mtime_ns == stamp
    assert json.loads((tmp_path / "a/cross_validation.json").read_text()) == found
    with pytest.raises(InputError, match="other settings, data or splits; choose another --out"):
        cross_validate(cfg, tmp_path / "a", **(FEW | {"purge": 6}))


@pytest.mark.slow
def test_paths_are_backtests_of_all_rows_before_the_test_window(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    measure = program._measures

    def record(t: Any, path: int) -> dict[str, Any]:
        seen.append(t)
        return measure(t, path)

    monkeypatch.setattr(program, "_measures", record)
    cfg = compose([*SMALL, "n_seeds=2"])
    settings = FEW | {"n_test_groups": 2, "embargo": 0}
    found = cross_validate(cfg, tmp_path, **settings)
    assert found["splitter"]["n_paths"] == 2 and found["splitter"]["n_combinations"] == 3
    paths = [t for t in seen if t.name == "ppo"]
    whole = next(t for t in seen if t.name == "equal_weight")
    assert len(paths) == 4  # two seeds, two paths
    for t in paths:
        np.testing.assert_array_equal(t.dates, whole.dates)
        np.testing.assert_allclose(t.value[1:], np.cumprod(1 + t.net_return))
    # The portfolio is carried over a border between groups: it is not bought anew there.
    size = found["rows"]["steps"] // 3
    assert paths[0].turnover[0] > 0.9 and paths[0].turnover[size] < 0.9
    listed = [run["sharpe"] for run in found["strategies"]["ppo"]]
    assert listed == [float(sharpe(t.net_return, 252.0, t.cash_return)) for t in paths]
    assert np.datetime64(found["rows"]["last"]) < np.datetime64(found["rows"]["test_begins"])


@pytest.mark.slow
def test_the_command_prints_what_it_found(tmp_path: Path, capsys: Any) -> None:
    words = ["data=synthetic"]
    assert main([*words, "--groups", "4", "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "6 combinations, 3 paths" in printed and "Choosing the baseline" in printed


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--groups", "2"], "leaves no group"),
        (["--purge", "-1"], "purge=-1"),
        (["--embargo", "99999"], "leave"),
        (["evaluation.purge=-3"], "purge"),
        (["agnet=ppo"], "agent"),
        (["+exp=known_answer/merton", "agent.total_steps=1"], "fresh_paths"),
    ],
)
def test_bad_input_is_one_line_with_the_remedy(
    words: list[str], said: str, tmp_path: Path, capsys: Any
) -> None:
    base = [] if "+exp" in words[0] else ["data=synthetic"]
    assert main([*base, *words, "--out", str(tmp_path)]) == 2
    assert said in capsys.readouterr().err


def test_words_say_who_was_ruined_and_who_is_ahead() -> None:
    path = {"seed": 0, "path": 0, "ruined": False, "sharpe": 0.4, "cagr": 0.1, "max_drawdown": 0.2}
    found = {
        "agents": ["ppo"],
        "strategies": {
            "ppo": [path | {"sharpe": 0.6}, path | {"sharpe": None, "ruined": True}],
            "equal_weight": [path],
        },
        "selection": {"reason": "needs two strategies to choose from"},
    }
    said = program.sentences(found)
    assert said[0] == "ppo is ahead of equal weight by Sharpe ratio in 1 of 2 paths."
    assert said[1] == "ppo was ruined in 1 of 2 paths, which end there."
    assert "needs two strategies" in said[2]
