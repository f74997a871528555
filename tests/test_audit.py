"""The audit catches every planted leak by name, and raises no alarm on honest recipes."""

import json
from dataclasses import fields, replace

import numpy as np
import pytest
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf, open_dict

import envs.simulation
from agents.baselines import InverseVolatility
from agents.training import SB3Policy
from envs.data import cash
from envs.data.synthetic import synthetic
from envs.errors import InputError
from envs.features.releases import Releases
from envs.market.legs import make_legs
from experiments.audit import main
from experiments.auditing import control
from experiments.auditing.chain import Recipe
from experiments.auditing.checks import audit
from experiments.auditing.execution import check_execution
from experiments.auditing.findings import Check
from experiments.auditing.future import change_after, move_price
from experiments.auditing.learning import Learner, check_training
from tests import leaks
from tests.gaps import with_halts, with_listing
from tests.test_pipeline import CONFIGS, FORECASTING, FUTURES, with_data

SMALL = [
    "data=synthetic", "data.n_rows=420", "data.n_assets=3", "evaluation.n_bootstrap=40",
    "features.build.names=[return_1,volatility_21]", "evaluation.purge=21",
    "evaluation.baselines.inverse_volatility.window=10", "evaluation.baselines.buy_and_hold=null",
    "evaluation.baselines.momentum=null", "evaluation.baselines.minimum_variance=null",
    "evaluation.baselines.maximum_sharpe=null", "evaluation.baselines.risk_parity=null",
    "evaluation.baselines.hierarchical_risk_parity=null",
]  # fmt: skip
# Recipes that are audited on their own data, cut down; all others run on a synthetic panel.
OWN = FUTURES | FORECASTING
ROLLING = ["features.scaler._target_=envs.features.RollingScaler", "+features.scaler.window=21"]
AGENT = ["agent=ppo", "agent.architecture=mlp", "agent.network=[8]"]


def config(*overrides, **planted):
    """The small recipe; `planted` replaces nodes, with `__` for a dot."""
    with initialize_config_module("hydra_conf", version_base="1.3"):
        cfg = compose("config", [*SMALL, *overrides])
    with open_dict(cfg):
        for key, node in planted.items():
            OmegaConf.update(cfg, key.replace("__", "."), node, merge=False)
    return cfg


def builder(name, **settings):
    return {"_target_": f"tests.leaks.{name}", "_partial_": True, **settings}


def leaking(cfg, days=4):
    """`{check: leak}` of an audit; every control must be caught."""
    report = audit(cfg, days=days)
    assert report.controls and all(report.controls.values())
    assert report.clean == (not [c for c in report.checks if c.leak])
    return {check.name: check.leak for check in report.checks if check.leak is not None}


# ---------------------------------------------------------------------- planted in features
SERIES = {"_target_": "tests.leaks.monthly_series"}
MACRO = {"_target_": "envs.features.published_macro"}
FEATURES = {
    "back-fill of gaps": ("filled", {"back": True}, {"back": False}),
    "centred moving window": ("moving_average", {"ahead": 2}, {"ahead": 0}),
    "target inside the features": ("shifted", {"rows": 1}, {"rows": 0}),
    "off by one": ("moving_average", {"ahead": 1}, {"ahead": 0}),
    "maximum of the whole sample": ("drawdown", {"of_all": True}, {"of_all": False}),
    "macro by period": (
        "macro", {"series": SERIES, "by": "period"}, {"series": SERIES, "by": "release"}
    ),
    "the macro features by period": (
        "macro_features", {"macro_series": MACRO, "by": "period"},
        {"macro_series": MACRO, "by": "release"},
    ),
    "macro in its last revision": (
        "macro", {"series": SERIES, "by": "last revision"}, {"series": SERIES, "by": "release"}
    ),
}  # fmt: skip


@pytest.mark.parametrize("leak", FEATURES)
def test_leaks_in_features_are_caught_and_their_twins_are_not(leak):
    name, planted, honest = FEATURES[leak]
    found = leaking(config(features__build=builder(name, **planted)))
    assert {"features", "scaled features", "observations"} <= found.keys()
    assert found["features"].column.endswith(" of S00") and found["features"].date
    assert not {"execution", "splits", "data"} & found.keys()
    assert leaking(config(features__build=builder(name, **honest))) == {}


def test_a_far_look_ahead_shows_at_the_tested_day():
    """Forty rows ahead, further than a rollout is long: the first leak is still found."""
    found = leaking(config(features__build=builder("shifted", rows=60)), days=3)
    assert "features" in found and "observations" in found


# ---------------------------------------------------------------------- planted elsewhere
def test_scaling_by_the_whole_sample_is_caught():
    scaler = {"_target_": "tests.leaks.WholeSample"}
    found = leaking(config(features__scaler=scaler))
    assert {"scaler", "scaled features", "observations", "purge"} <= found.keys()
    assert found["scaler"].column in ("return_1", "volatility_21")
    assert "features" not in found


def test_a_scaler_that_hides_its_state_is_caught():
    found = leaking(config(features__scaler={"_target_": "tests.leaks.ByWhatItSees"}))
    assert {"scaled features", "observations"} <= found.keys()
    assert not {"features", "scaler"} & found.keys()


def test_a_source_that_fills_backwards_is_caught():
    found = leaking(config(data=builder("weekly_prices", _partial_=False, end=None)))
    assert set(found) == {"data"} and found["data"].what == "close"
    honest = builder("weekly_prices", _partial_=False, end=None, back=False)
    assert leaking(config(data=honest)) == {}


def test_a_process_that_shows_what_comes_is_caught():
    def market(planted):
        return builder("market_that_shows_tomorrow", _partial_=False, planted=planted)

    found = leaking(config(data=market(True)))
    assert set(found) == {"process"} and found["process"].what == "observed of a fresh path"
    assert leaking(config(data=market(False))) == {}


def test_an_env_that_shows_the_next_row_is_caught():
    cfg = config()
    cfg.env._target_ = "tests.leaks.setting_of_tomorrow"
    found = leaking(cfg)
    # The data that training is given show a row beyond its window, but the purge covers it.
    assert set(found) == {"observations"}
    cfg = config("evaluation.purge=0")
    cfg.env._target_ = "tests.leaks.setting_of_tomorrow"
    assert {"observations"} <= leaking(cfg).keys() <= {"observations", "purge"}


@pytest.mark.parametrize(
    ("declared", "real"),
    [("next_close", "same_close"), ("next_open", "same_close"), ("next_close", "next_open")],
)
def test_a_fill_earlier_than_declared_is_caught(declared, real, monkeypatch):
    def wrong(market, execution):
        return make_legs(market, real)

    monkeypatch.setattr(envs.simulation, "make_legs", wrong)
    cfg = config("data.ohlcv=true", f"env.execution={declared}")
    report = audit(cfg, days=3)
    found = {check.name: check.leak for check in report.checks if check.leak is not None}
    assert set(found) == {"execution"}
    field = "open t+1" if real == "next_open" else "close t"
    assert found["execution"].after == f"measured at {field}"


@pytest.mark.parametrize("execution", ["same_close", "next_open", "next_close"])
@pytest.mark.parametrize("env", ["softmax", "simplex", "trade", "long_short"])
def test_fills_are_measured_where_they_are(execution, env):
    found = fills("data.ohlcv=true", f"env.execution={execution}", f"env.action={env}")
    prices = {"same_close": "close t,", "next_open": "open t+1", "next_close": "close t+1"}
    assert found.leak is None and prices[execution] in found.note
    assert ("optimistic" in found.note) == (execution == "same_close")


@pytest.mark.parametrize("execution", ["same_close", "next_open", "next_close"])
def test_a_declared_delay_is_measured(execution):
    found = fills("data.ohlcv=true", f"env.execution={execution}", "env.delay=2")
    assert found.leak is None and found.days
    assert "t+2" in found.note if execution == "same_close" else "t+3" in found.note


def test_a_market_neutral_fill_is_measured():
    found = fills("env=long_short", "env.action_settings.net=0.0")
    assert found.leak is None and found.days and found.note == "filled at close t+1"


def fills(*overrides):
    recipe = Recipe(config(*overrides))
    check = Check("execution")
    check_execution(recipe, [120, 300], check)
    return check


def test_a_reward_against_the_benchmark_of_the_next_day_is_caught(monkeypatch):
    def tomorrow(market, execution):
        legs = make_legs(market, execution)
        return replace(legs, equal_weight=np.append(legs.equal_weight[1:], 1.0))

    monkeypatch.setattr(envs.simulation, "make_legs", tomorrow)
    found = leaking(config())
    assert "rewards" in found and not {"features", "observations", "execution"} & found.keys()
    # Not in the account of net returns, which is right.
    assert found.get("accounts") is None or found["accounts"].what == "asset_return"


def test_a_baseline_that_reads_on_is_caught(monkeypatch):
    honest = InverseVolatility.predict

    def peeking(self, observation, state=None, episode_start=None, deterministic=True):
        observation = {**observation, "t": observation["t"] + 1}
        return honest(self, observation, state, episode_start, deterministic)

    monkeypatch.setattr(InverseVolatility, "predict", peeking)
    assert set(leaking(config())) == {"policy inverse_volatility"}


def test_an_agent_that_reads_on_is_caught(monkeypatch):
    honest = SB3Policy.predict

    def peeking(self, observation, state=None, episode_start=None, deterministic=True):
        observation = {**observation, "t": observation["t"] + 1}
        return honest(self, observation, state, episode_start, deterministic)

    monkeypatch.setattr(SB3Policy, "predict", peeking)
    cfg = config(*AGENT, "env.observation=indexed")
    assert "policy ppo" in leaking(cfg, days=1)


# ---------------------------------------------------------------------- windows and purge
@pytest.mark.parametrize("plan", ["Overlapping", "LessThanDeclared"])
def test_windows_that_overlap_or_touch_are_caught(plan):
    cfg = config()
    cfg.evaluation._target_ = f"tests.leaks.{plan}"
    found = leaking(cfg)
    assert "splits" in found and "purge" in found["splits"].what


def test_a_split_without_purge_is_caught_where_labels_reach_beyond_it(tmp_path):
    def purge(rows):
        cfg = config(*AGENT, f"evaluation.purge={rows}")
        cfg.agent._target_ = "tests.leaks.Labelled"
        recipe, check, choice = Recipe(cfg), Check("purge"), Check("choice")
        check_training(
            recipe, [Learner(recipe, "labelled", tmp_path / str(rows))], 0, check, choice
        )
        # The labels are no part of the choice, whatever the purge.
        assert choice.leak is None and choice.values
        return check

    without = purge(0)
    assert without.leak is not None
    assert without.note.startswith("training reads 9 rows beyond its window; purge 0")
    assert purge(9).leak is None


# ---------------------------------------------------------------------- no false alarm
def test_listings_halts_and_delistings_raise_no_alarm():
    cfg = config(data=builder("gappy_prices", _partial_=False))
    assert leaking(cfg, days=12) == {}


def test_what_is_not_reproducible_is_told_from_a_leak(capsys):
    report = audit(config(features__build=builder("noisy")), days=1)
    found = {check.name: check.leak for check in report.checks if check.leak is not None}
    assert str(found["repeat"]).endswith("when computed again")


RECIPES = sorted(
    str(path.relative_to(CONFIGS / "exp").with_suffix(""))
    for path in (CONFIGS / "exp").rglob("*.yaml")
    # It trains nothing: tests/test_online_published.py.
    if path.stem != "olps"
)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", with_data(RECIPES))
def test_every_recipe_is_clean(recipe):
    """On small data, but for simulated markets, whose own a recipe needs."""
    if "/" in recipe or recipe in OWN:
        with initialize_config_module("hydra_conf", version_base="1.3"):
            cfg = compose("config", [f"+exp={recipe}", *OWN.get(recipe, [])])
    else:
        cfg = config(f"+exp={recipe}")
    report = audit(cfg, days=3)
    assert report.clean
    tested = {check.name for check in report.checks if check.verdict == "clean"}
    assert tested >= {
        "splits", "features", "scaled features", "observations", "rewards", "accounts",
        "execution", "purge", "choice of the policy",
    }  # fmt: skip
    assert len([name for name in tested if name.startswith("policy ")]) >= 2


@pytest.mark.parametrize(
    "overrides",
    [
        ["features=ohlcv", "features.build.names=[price,ohlc]", "data.ohlcv=true", "env.window=5",
         "data.n_rows=900"],
        ["reward=differential_sharpe", *ROLLING],
        ["env.action=trade", "reward=mean_variance", "evaluation.purge=0"],
    ],
)  # fmt: skip
def test_honest_settings_raise_no_alarm(overrides):
    assert leaking(config(*overrides), days=5) == {}


@pytest.mark.slow
@pytest.mark.parametrize("market", ["heston", "regime"])
def test_simulated_markets_raise_no_alarm(market):
    panel = ["data.n_rows=600"] + [o for o in SMALL if not o.startswith(("data", "features"))]
    with initialize_config_module("hydra_conf", version_base="1.3"):
        cfg = compose("config", [f"data=simulated/{market}", "features=observed", *panel, *AGENT])
    assert leaking(cfg, days=4) == {}


@pytest.mark.slow
def test_real_prices_are_clean():
    with initialize_config_module("hydra_conf", version_base="1.3"):
        assert audit(compose("config", ["+exp=ppo_portfolio"])).clean


# ---------------------------------------------------------------------- the audit itself
def test_an_audit_that_is_blind_says_so(monkeypatch, capsys):
    monkeypatch.setattr(control, "next_return", lambda market: np.zeros(market.close.shape))
    assert main([*SMALL, "--days", "2"]) == 1
    shown = capsys.readouterr().out
    assert "control: MISSED (planted in policy)" in shown and "blind to policy" in shown


def test_the_command_prints_a_table_and_writes_json(tmp_path, capsys, monkeypatch):
    path = tmp_path / "audit.json"
    assert main([*SMALL, "--days", "3", "--json", str(path)]) == 0
    shown = capsys.readouterr().out
    assert shown.count("control: caught") == 3 and "clean" in shown
    report = json.loads(path.read_text())
    assert report["clean"] and len(report["days"]) == 3
    assert {c["verdict"] for c in report["checks"]} <= {"clean", "not tested"}
    monkeypatch.setattr(envs.simulation, "make_legs", lambda m, e: make_legs(m, "same_close"))
    assert main([*SMALL, "--days", "3", "--json", str(path)]) == 1
    shown = capsys.readouterr().out
    assert "LEAK" in shown and "declared as close t+1" in shown
    leak = next(c for c in json.loads(path.read_text())["checks"] if c["verdict"] == "LEAK")
    assert leak["check"] == "execution" and leak["leak"]["row"] is not None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["+exp=smok"], "smoke"),
        (["data=synthetic", "data.n_rowz=3"], "n_rows"),
        (["resume=here"], "resume"),
        ([*SMALL, "--days", "0"], "--days"),
        (["data=synthetic", "data.n_rows=60"], "rows"),
    ],
)
def test_bad_input_is_explained(arguments, message, capsys):
    assert main(arguments) == 2
    assert message in capsys.readouterr().err


# ---------------------------------------------------------------------- other futures
@pytest.mark.parametrize("gaps", [False, True])
def test_another_future_is_valid_and_leaves_the_past_alone(gaps):
    market = synthetic(n_rows=120, n_assets=4, ohlcv=True)
    if gaps:
        market = with_halts(with_listing(market, 0, 20), slice(80, 90), 2)
    market = replace(
        market,
        benchmark=market.close.mean(axis=1) if not gaps else np.linspace(1, 2, 120),
        observed=np.zeros((120, 4, 2), np.float32),
        observed_names=("a", "b"),
    )
    other = change_after(market, 70, seed=3)  # MarketData checks itself
    for item in fields(market):
        one, two = getattr(market, item.name), getattr(other, item.name)
        if not isinstance(one, np.ndarray):
            continue
        keep = 72 if item.name == "cash_rate" else 71
        assert one[:keep].tobytes() == two[:keep].tobytes(), item.name
        if item.name in ("dates", "tradable"):
            assert np.array_equal(one, two)
        elif np.isfinite(one[keep:]).any():
            finite = np.isfinite(one[keep:])
            assert np.array_equal(finite, np.isfinite(two[keep:]))
            assert (one[keep:][finite] != two[keep:][finite]).mean() > 0.99, item.name
    # Not the same factor for a whole bar: the shape of the bar changes, too.
    ratio = (other.close / other.open)[71:] / (market.close / market.open)[71:]
    assert np.nanmin(np.abs(ratio - 1)) > 0


def test_one_price_moves_alone():
    market = synthetic(n_rows=30, n_assets=2, ohlcv=True)
    other = move_price(market, "open", 10, 1, 1.5)
    assert np.argwhere(other.open != market.open).tolist() == [[10, 1]]
    assert other.open[10, 1] == market.open[10, 1] * 1.5 <= other.high[10, 1]
    assert np.array_equal(other.close, market.close)


# ---------------------------------------------------------------------- dated series
def known_slowly(series, date):
    """The figure of the latest period published by `date`, in its latest revision."""
    day = np.datetime64(date, "D")
    out = [(p, r, v) for p, r, v in zip(series.period, series.released, series.value) if r <= day]
    return max(out)[2] if out else np.nan


def test_releases_equal_their_twin():
    series = leaks.monthly_series()
    dates = np.arange(np.datetime64("1999-09-01"), np.datetime64("2004-01-01"), 3)
    wanted = [known_slowly(series, date) for date in dates]
    np.testing.assert_array_equal(series.known_on(dates), wanted)
    day = np.datetime64("2001-03-20")
    other = series.changed_after(day, np.random.default_rng(0))
    known = dates <= day
    np.testing.assert_array_equal(other.known_on(dates)[known], series.known_on(dates)[known])
    assert (other.known_on(dates)[dates > np.datetime64("2001-04-15")] != wanted[-1]).all()


@pytest.mark.parametrize(
    ("period", "released", "value", "message"),
    [
        (["2001-01-01"], ["2000-12-01"], [1.0], "before its period"),
        (["2001-01-01"], ["2001-02-01"], [np.nan], "entry 0"),
        (["2001-01-01"], ["2001-02-01"], [1.0, 2.0], "equally long"),
        ([], [], [], "equally long"),
    ],
)
def test_wrong_releases_are_refused(period, released, value, message):
    with pytest.raises(InputError, match=message):
        Releases(period, released, value)


def test_the_rate_of_cash_knows_no_later_publication(monkeypatch):
    """Bills published after close t change no return of cash up to row t + 1."""
    dates = np.arange(np.datetime64("2018-01-01"), np.datetime64("2021-01-01"))
    before, _ = cash.us_bill_rate(dates, 365.25)
    one, three = cash._one_month_bill(), cash._three_month_bill()
    for row in (200, 333, 364, 365, 600, 800):
        day = dates[row]
        bills, later = one[1].copy(), one[0] > day.astype("datetime64[M]")
        bills[later] += 0.01
        growth, after = three[1].copy(), three[0] > day
        growth[after] += 0.05
        monkeypatch.setattr(cash, "_one_month_bill", lambda bills=bills: (one[0], bills))
        monkeypatch.setattr(cash, "_three_month_bill", lambda growth=growth: (three[0], growth))
        other, _ = cash.us_bill_rate(dates, 365.25)
        assert other[: row + 2].tobytes() == before[: row + 2].tobytes()
        assert not np.array_equal(other, before)
