"""`simulated`: a path of a process as a panel, its options on the command line, and a run on it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hydra import compose, initialize_config_module
from hydra.utils import instantiate

from envs import data
from envs.data.market_data import MarketData
from envs.errors import InputError
from envs.market.processes import (
    Bootstrap,
    Garch,
    GeometricBrownian,
    Heston,
    MeanReverting,
    Process,
    Randomised,
)

FOLDER = Path(__file__).parents[1] / "hydra_conf" / "data" / "simulated"
OPTIONS = sorted(path.stem for path in FOLDER.glob("*.yaml"))


def made(*overrides: str) -> MarketData:
    with initialize_config_module("hydra_conf", version_base="1.3"):
        return instantiate(compose("config", list(overrides)).data, _convert_="all")


def test_a_panel_is_one_path_of_its_process():
    process = Heston(drift=[0.05, 0.1], cash_rate=0.0252)
    market = data.simulated(process, n_rows=30, seed=2**64 - 1, start_price=50.0)
    paths = process.simulate(np.array([2**64 - 1], np.uint64), 29)
    assert market.close[0].tolist() == [50.0, 50.0]
    np.testing.assert_allclose(market.close[1:] / market.close[:-1], paths.growth[0], rtol=1e-14)
    assert market.observed.tobytes() == paths.observed[0].tobytes()
    assert market.observed_names == ("log_variance",)
    assert market.process is process and market.periods_per_year == 252.0
    assert (market.cash_rate == 0.0252 / 252).all()
    assert market.symbols == ("S00", "S01") and market.name == "simulated Heston"
    assert "Simulated prices: one path of Heston" in market.notes[0]
    again = data.simulated(process, n_rows=30, seed=2**64 - 1, start_price=50.0)
    assert again.fingerprint == market.fingerprint
    other = data.simulated(process, n_rows=30, seed=1, start_price=50.0)
    assert other.fingerprint != market.fingerprint


def test_what_shows_nothing_has_no_observed():
    market = data.simulated(GeometricBrownian(), n_rows=5)
    assert market.observed is None and market.observed_names == ()


def test_dates_follow_the_periods_of_a_year():
    days = data.simulated(GeometricBrownian(), n_rows=6, first_date="2000-01-01").dates
    assert days.astype("datetime64[D]").astype(str).tolist() == [
        "2000-01-03", "2000-01-04", "2000-01-05", "2000-01-06", "2000-01-07", "2000-01-10",
    ]  # fmt: skip
    hours = data.simulated(GeometricBrownian(periods_per_year=8766.0), n_rows=4).dates
    assert (np.diff(hours) == np.timedelta64(1, "h")).all()
    assert str(hours[0])[:10] == "2000-01-03"
    years = data.simulated(GeometricBrownian(periods_per_year=1.0), n_rows=101).dates
    assert str(years[-1])[:4] == "2100"


def test_a_bootstrap_keeps_the_names_and_the_mean_cash_rate():
    panel = data.sp500(symbols=["KO", "XOM"], start="2010-01-01")
    market = data.simulated(Bootstrap(market=panel), n_rows=300)
    assert market.symbols == ("KO", "XOM")
    assert market.cash_rate[0] == pytest.approx(panel.cash_rate[1:].mean())
    named = data.simulated(Bootstrap(market=panel), n_rows=300, symbols=["A", "B"])
    assert named.symbols == ("A", "B")


BAD = {
    "process='heston' is no price process": lambda: data.simulated("heston"),
    "n_rows=1 must be >= 2": lambda: data.simulated(Heston(), n_rows=1),
    "seed=-1": lambda: data.simulated(Heston(), seed=-1),
    "below 2\\^64": lambda: data.simulated(Heston(), seed=2**64),
    "start_price=0": lambda: data.simulated(Heston(), start_price=0.0),
    "first_date=2000": lambda: data.simulated(Heston(), first_date="2000"),
    "simulated: 90000 weekdays .* end on": lambda: data.simulated(Heston(), n_rows=90_000),
    "9000 rows .* which no panel can hold": lambda: data.simulated(
        Heston(periods_per_year=12.0), n_rows=9000
    ),
    "prices of GeometricBrownian leave the range": lambda: data.simulated(
        GeometricBrownian(drift=100.0), n_rows=2000
    ),
    "2 symbols for 1 columns": lambda: data.simulated(Heston(), n_rows=5, symbols=["A", "B"]),
}


@pytest.mark.parametrize("message", BAD)
def test_bad_input_is_named(message):
    with pytest.raises(InputError, match=message):
        BAD[message]()


# ------------------------------------------------------------------ command line
def test_there_is_an_option_for_each_kind():
    assert OPTIONS == [
        "bootstrap", "garch", "gbm", "heston", "jump", "mean_reverting", "randomised", "regime",
    ]  # fmt: skip


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_makes_a_panel(option):
    market = made(f"data=simulated/{option}", "data.n_rows=60")
    assert market.n_rows == 60 and isinstance(market.process, Process)
    if option == "bootstrap":
        assert market.n_assets == 20
    elif option != "randomised":
        assert market.cash_rate[0] == pytest.approx(0.02 / 252)
    if option == "mean_reverting":
        assert isinstance(market.process, MeanReverting)
        assert market.observed.shape == (60, 3, 2)
    if option == "randomised":
        assert isinstance(market.process, Randomised)


def test_parameters_are_set_on_the_command_line():
    market = made(
        "data=simulated/garch", "data.n_rows=9", "data.process.dof=inf", "data.process.alpha=0.02"
    )
    assert isinstance(market.process, Garch)
    assert np.isinf(market.process.dof).all() and (market.process.alpha == 0.02).all()


@pytest.mark.slow
def test_the_usual_run_on_a_simulated_market(tmp_path):
    done = subprocess.run(
        [
            sys.executable, "-m", "experiments.run", "data=simulated/regime",
            "evaluation.n_bootstrap=40", f"hydra.run.dir={tmp_path / 'run'}",
        ],
        cwd=Path(__file__).parents[1], capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Equal weight" in done.stdout
    assert "one path of RegimeSwitching, seed 0" in (tmp_path / "run" / "report.html").read_text()


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("data=simulated/hestn", "did you mean data=simulated/heston?"),
        ("data.process.drft=1", "did you mean data.process.drift?"),
        ("data.process.leverage=-2", "Heston: leverage=[-2.0, -2.0] must lie in [-1, 1]"),
    ],
)
def test_a_slip_is_named_on_the_command_line(argument, message, tmp_path):
    choice = [] if argument.startswith("data=") else ["data=simulated/heston"]
    done = subprocess.run(
        [sys.executable, "-m", "experiments.run", *choice, argument,
         f"hydra.run.dir={tmp_path / 'run'}"],
        cwd=Path(__file__).parents[1], capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert message in done.stderr


def test_the_dates_are_said_to_be_made_up():
    for market in (data.synthetic(), data.simulated(GeometricBrownian(), 50)):
        assert any("dates" in note and "made up" in note for note in market.notes)
