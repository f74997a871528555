"""What a run leaves of its forecasts: the file, the table, the words and the section."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from hydra import compose, initialize_config_module
from sklearn.metrics import accuracy_score

from experiments import pipeline, predictions
from experiments.evaluation.predictive import Measure
from experiments.predictions import forecast_table, in_words, interval, named, number, verdict

SMALL = [
    "data=synthetic", "data.n_rows=420", "data.n_assets=3", "evaluation.n_bootstrap=40",
    "env.observation=indexed", "env.action=simplex", "env.window=4", "ledger=null", "n_seeds=2",
    "features.build.names=[return_1,return_5]",
    *(f"evaluation.baselines.{name}=null" for name in (
        "inverse_volatility", "momentum", "minimum_variance", "maximum_sharpe", "risk_parity",
        "hierarchical_risk_parity",
    )),
]  # fmt: skip
WINDOWS = ["evaluation=walk_forward", "evaluation.n_windows=2", "evaluation.workers=1"]


def config(*overrides):
    with initialize_config_module("hydra_conf", version_base="1.3"):
        return compose("config", list(overrides))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    agent = ["agent=forecasting", "agent.epochs=1", "+agent.predictor_settings.hidden=[4]"]
    pipeline.run(config(*SMALL[:1], *WINDOWS, *SMALL[1:], *agent), folder)
    return folder


@pytest.fixture(scope="module")
def judged(finished):
    return json.loads((finished / "predictions.json").read_text())


def test_all_test_rows_are_foretold_and_their_labels_end_with_them(finished):
    with (
        h5py.File(finished / "predictions.h5") as file,
        h5py.File(finished / "trajectories.h5") as money,
    ):
        assert list(file) == ["lstm"]
        assert set(file["lstm"]) == {"dates", "symbols", "0", "1"}
        decided = money["lstm"]["0"]["decision_dates"][:]
        np.testing.assert_array_equal(file["lstm"]["dates"][:], decided)
        actual = file["lstm"]["0"]["actual"][:]
        # Of the last rows, those whose execution and horizon do not fit before the end.
        for k, h in enumerate((1, 5, 20)):
            known = np.isfinite(actual[..., k]).all(axis=1)
            assert known[: len(known) - h].all() and not known[len(known) - h :].any()
        assert (file["lstm"]["0"]["direction"][-1] == -1).all()
        one, two = (file["lstm"][seed]["expected"][:] for seed in "01")
        assert not np.array_equal(one, two)


def test_the_measures_are_those_of_the_arrays(finished, judged):
    one = judged["agents"]["lstm"]
    found = {(m["name"], m["horizon"]): m for m in one["measures"]}
    with h5py.File(finished / "predictions.h5") as file:
        for k, seed in enumerate("01"):
            group = file["lstm"][seed]
            came, said = group["direction"][:], group["probability"][:].argmax(axis=-1)
            accuracy = accuracy_score(came[came >= 0], said[came >= 0])
            assert found["accuracy", None]["seeds"][k] == pytest.approx(accuracy)
        assert one["forecasts"] == (came >= 0).sum()
    assert sum(c["came"] for c in one["classes"].values()) == pytest.approx(1.0)
    assert sum(bin["count"] for bin in one["reliability"]) == 2 * one["forecasts"]
    assert one["seeds"] == [0, 1] and one["assets"] == 3


def test_the_report_has_a_section(finished, judged):
    page = (finished / "report.html").read_text()
    assert '<section id="forecasts"><h2>How good the forecasts were</h2>' in page
    (said,) = in_words(judged)
    start = said.partition(" (")[0]
    assert start.startswith("LSTM forecast") and start.replace(" %", "&nbsp;%") in page
    assert 'id="reliability"' in page


def test_the_terminal_shows_values_beside_what_needs_no_skill(judged):
    table = forecast_table(judged)
    heads = [column.header for column in table.columns]
    assert heads == ["", "value", "interval", "no skill", ""]
    shown = [str(cell).strip() for cell in table.columns[0].cells]
    assert shown[:3] == ["LSTM", "Accuracy", "Balanced accuracy"]
    assert "Rank IC, 1 row" in shown and "Within the 90 % range" in shown


def test_forecasts_decide_about_no_training(finished, tmp_path):
    """The same run without reading its forecasts: the same models and the same objective."""
    cfg = config(*SMALL[:1], *WINDOWS, *SMALL[1:], "agent=forecasting", "agent.epochs=1",
                 "+agent.predictor_settings.hidden=[4]")  # fmt: skip
    market = pipeline.load_market(cfg)
    windows = pipeline.prepare_windows(cfg, market, pipeline.build(cfg, "features.build"))
    from experiments.learning import Cell, Listener, cell_folder, train_cell

    silent = Listener(lambda n, info: None, lambda *_: None, lambda *_: None)
    cell = Cell(1, "lstm", 1)
    train_cell(cfg, windows, tmp_path, cell, silent)
    one, two = (cell_folder(f, cell, 2) / "model.safetensors" for f in (finished, tmp_path))
    assert one.read_bytes() == two.read_bytes()


def test_who_forecasts_nothing_leaves_nothing(tmp_path):
    assert predictions.judge({}, n_bootstrap=100, level=0.95, seed=0) == {}
    for name in (predictions.JSON, predictions.ARRAYS):
        Path(tmp_path / name).write_text("of a former run")
    predictions.write(tmp_path, {}, {})
    assert not list(tmp_path.iterdir())
    assert in_words({}) == []


def test_words_of_measures():
    assert named("mae", 5) == "MAE, 5 rows"
    assert named("coverage_0.9", None) == "Within the 90 % range"
    assert named("below_0.05", None) == "Below the 5 % quantile"
    assert named("recall_buy", None) == "Recall of buy"
    assert number("accuracy", 0.5234) == "52.3 %"
    assert number("rank_ic", -0.01) == "-0.010"
    assert number("rank_ic", None) == "n/a"
    assert interval("accuracy", 0.5, 0.6) == "[50.0, 60.0 %]"
    assert interval("accuracy", None, None) == ""


def test_a_verdict_is_of_what_could_be_known():
    def of(name, value, low, high, base, gain_low=None, gain_high=None):
        judged = gain_low is not None
        return Measure(name, None, value, low, high, base, value - base if judged else None,
                       gain_low, gain_high, (value,))  # fmt: skip

    assert verdict(of("accuracy", 0.4, 0.3, 0.5, 0.6, -0.3, -0.1)) == "below hindsight"
    assert verdict(of("directional_accuracy", 0.4, 0.3, 0.5, 0.6, -0.3, -0.1)) == "below hindsight"
    assert verdict(of("balanced_accuracy", 0.4, 0.3, 0.45, 0.5, -0.2, -0.05)) == "worse"
    assert verdict(of("r2", 0.1, 0.05, 0.2, 0.0, 0.05, 0.2)) == "better"
    assert verdict(of("coverage_0.9", 0.85, 0.82, 0.88, 0.9)) == "off"
    assert verdict(of("below_0.05", 0.06, 0.04, 0.08, 0.05)) == "as stated"
    assert verdict(of("macro_precision", 0.3, 0.2, 0.4, 0.5)) == ""
