"""Trend, reversal and volatility target: hand calculations, slow twins, cash, shorts, no future."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from agents.baselines import BASELINES, make_baseline
from agents.baselines.trend import macd_signal
from agents.rollout import rollout
from envs.data.synthetic import synthetic
from envs.errors import InputError
from envs.market.costs import ProportionalCost
from envs.portfolio import PortfolioEnv
from tests import gaps, reference_baselines

ROOT = Path(__file__).resolve().parents[1]
SHORT = {
    "time_series_momentum": {"lookback": 30, "window": 20, "every": 5},
    "macd": {},
    "volatility_target": {"volatility": 0.05, "window": 20, "every": 5},
}
FIRST = 330


def play(name, market, execution="next_close", cost=0.001, start=FIRST, **settings):
    policy = make_baseline(name, market, **{**SHORT[name], **settings})
    env = PortfolioEnv(
        market,
        observation=policy.observation,
        action=policy.action,
        action_settings=policy.action_settings,
        execution=execution,
        cost=ProportionalCost(cost * 1e4, 0.0),
        start=start,
    )
    return rollout(policy, env)


@pytest.fixture(scope="module")
def market():
    return synthetic(n_rows=420, n_assets=5, seed=3, volatility=0.25)


# ---------------------------------------------------------------------- what they decide
@pytest.mark.parametrize("short", [False, True])
def test_time_series_momentum_is_its_twin(market, short):
    policy = make_baseline("time_series_momentum", market, short=short)
    assert policy.history == 253
    for t in (260, 300, 419):
        closes = market.close[t + 1 - policy.history : t + 1]
        twin = reference_baselines.time_series_momentum(closes, 252, 63, short)
        assert policy.target(closes) == pytest.approx(twin, rel=1e-12, abs=1e-15)
        if short:
            assert np.abs(twin).sum() == pytest.approx(1.0)


def test_time_series_momentum_by_hand():
    """One rises, one falls, one is where it was; the second is twice as volatile as the others."""
    steps = np.tile([0.01, -0.01], 10)
    logs = np.column_stack([steps + 0.001, 2 * steps - 0.001, steps])
    closes = np.exp(np.vstack([np.zeros(3), np.cumsum(logs, axis=0)]))
    closes[-1, 2] = closes[0, 2]
    market = synthetic(n_rows=30, n_assets=3)
    settings = {"lookback": 20, "window": 20}
    long = make_baseline("time_series_momentum", market, **settings).target(closes)
    both = make_baseline("time_series_momentum", market, short=True, **settings).target(closes)
    assert long == pytest.approx([0.4, 0.0, 0.0])
    assert both == pytest.approx([0.4, -0.2, 0.0])


@pytest.mark.parametrize("short", [False, True])
def test_macd_is_its_twin(market, short):
    policy = make_baseline("macd", market, short=short)
    assert policy.history == 315
    for t in (314, 350, 419):
        closes = market.close[t + 1 - 315 : t + 1]
        twin = reference_baselines.macd(closes, short)
        assert policy.target(closes) == pytest.approx(twin, rel=1e-9, abs=1e-12)


def test_the_signal_of_macd_is_bounded_and_scale_free():
    """The response is largest at z = sqrt(2)."""
    rng = np.random.default_rng(0)
    closes = np.exp(np.cumsum(rng.normal(0, 0.01, (315, 200)), axis=0))
    signal = macd_signal(closes)
    assert 0.8 < np.abs(signal).max() <= np.sqrt(2) * np.exp(-0.5) / 0.89
    assert macd_signal(closes * 1e6) == pytest.approx(signal, rel=1e-9)
    assert np.corrcoef(macd_signal(1 / closes), signal)[0, 1] < -0.9


def test_volatility_target_is_its_twin(market):
    policy = make_baseline("volatility_target", market, volatility=0.05)
    for t in (100, 419):
        closes = market.close[t + 1 - policy.history : t + 1]
        twin = reference_baselines.volatility_target(closes, 0.05, 63, market.periods_per_year)
        assert policy.target(closes) == pytest.approx(twin, rel=1e-12)
    calm = make_baseline("volatility_target", market, volatility=5.0).target(closes)
    assert calm == pytest.approx(np.full(5, 0.2))


def test_volatility_target_is_met():
    """10 % a year is asked of a market of 40 %: that is what is realised."""
    market = synthetic(n_rows=4000, n_assets=1, seed=0, volatility=0.4)
    made = play("volatility_target", market, cost=0.0, volatility=0.1, window=60, every=1, start=60)
    realised = np.std(made.net_return) * np.sqrt(market.periods_per_year)
    assert realised == pytest.approx(0.1, rel=0.03)


def test_reversal_by_hand(market):
    policy = make_baseline("reversal", market, lookback=10, share=0.4)
    closes = market.close[20:31]
    weights = policy.target(closes)
    assert set(np.flatnonzero(weights)) == set(np.argsort(closes[-1] / closes[0])[:2])
    assert weights.max() == 0.5 and weights.sum() == 1.0


# ---------------------------------------------------------------------- how they hold it
@pytest.mark.parametrize("name", SHORT)
def test_what_is_not_held_is_cash(market, name):
    made = play(name, market)
    assert made.weights.min() >= -1e-12
    assert made.weights.sum(axis=1) == pytest.approx(np.ones(len(made.weights)))
    assert made.weights[1:, -1].max() > 0.05
    # Between the rebalances nothing is traded.
    assert (made.turnover > 1e-9).sum() <= -(-len(made.turnover) // 5)


@pytest.mark.parametrize("name", ["time_series_momentum", "macd"])
def test_shorts_are_restored_at_every_step(market, name):
    made = play(name, market, execution="same_close", cost=0.0, every=10, short=True)
    policy = make_baseline(name, market, **{**SHORT[name], "every": 10, "short": True})
    assert made.weights[:, :-1].min() < -0.01
    assert np.abs(made.weights[:, :-1]).sum(axis=1).max() <= 1 + 1e-12
    for k in (0, 10, 20):
        named = policy.target(market.close[FIRST + k + 1 - policy.history : FIRST + k + 1])
        for step in range(k, k + 10):
            assert made.weights[step, :-1] == pytest.approx(named, abs=1e-12)


@pytest.mark.parametrize("name", SHORT)
@pytest.mark.parametrize("short", [False, True])
def test_blind_to_the_future(market, name, short):
    if short and name == "volatility_target":
        pytest.skip("it is never short")
    cut = 390
    close = market.close.copy()
    close[cut + 1 :] *= np.random.default_rng(0).uniform(0.5, 1.5, close[cut + 1 :].shape)
    other = replace(market, close=close)
    settings = {"short": True} if short else {}
    one, two = (play(name, panel, **settings) for panel in (market, other))
    steps = cut - FIRST - 1
    assert one.weights[:steps].tobytes() == two.weights[:steps].tobytes()
    assert one.weights.tobytes() != two.weights.tobytes()


@pytest.mark.parametrize("name", SHORT)
@pytest.mark.parametrize("still", [1, 5])
def test_prices_that_stand_still(market, name, still):
    close = market.close.copy()
    close[:, :still] = 100.1
    made = play(name, replace(market, close=close))
    assert np.isfinite(made.weights).all()
    if name != "volatility_target":
        # They do not rise.
        assert np.abs(made.weights[:, :still]).max() < 1e-12


@pytest.mark.parametrize("name", SHORT)
@pytest.mark.parametrize("short", [False, True])
def test_gaps(name, short):
    """Nothing is bought that is not listed; a halted holding stays and the rest makes room."""
    if short and name == "volatility_target":
        pytest.skip("it is never short")
    market = synthetic(n_rows=420, n_assets=5, seed=0, ohlcv=True)
    market = gaps.with_listing(market, 1, 340)
    market = gaps.with_halts(market, slice(350, 353), 2)
    market = gaps.with_halts(market, slice(400, None), 3)
    market = replace(market, delisting_value=0.4)
    made = play(name, market, every=5, start=316, **({"short": True} if short else {}))
    # Decision t is executed at t+1.
    rows = 317 + np.arange(len(made.weights))
    held = made.weights[:, :-1]
    assert (held[rows < 340, 1] == 0).all() and (held[rows >= 400, 3] == 0).all()
    if name != "macd":
        # 30 rows after its listing it has the history that they need; macd needs 315.
        assert (held[rows > 380, 1] != 0).any() or name == "time_series_momentum"
    assert made.weights.sum(axis=1) == pytest.approx(np.ones(len(rows)))
    assert np.abs(held).sum(axis=1).max() <= 1 + 1e-9
    assert short or made.weights.min() >= -1e-12


# ---------------------------------------------------------------------- bad input
@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("time_series_momentum", {"lookback": 0}, "lookback=0 must be >= 1"),
        ("time_series_momentum", {"short": "yes"}, "short='yes' must be true or false"),
        ("macd", {"every": 0}, "every=0 must be >= 1"),
        ("macd", {"fast": 8}, "unexpected keyword argument 'fast'"),
        ("volatility_target", {"volatility": 0}, "volatility must be positive a year, got 0"),
        ("volatility_target", {"volatility": "high"}, "volatility='high' must be a number"),
        ("reversal", {"share": 0}, r"share must lie in \(0, 1\], got 0"),
        ("reversal", {"lookback": 2.5}, "lookback=2.5 must be a whole number"),
        ("mean_variance", {"risk_aversion": -1}, "risk_aversion must be positive, got -1"),
        ("minimum_cvar", {"tail": 95}, r"tail must lie in \(0, 1\), got 95"),
        (
            "nested_cluster",
            {},
            r"unknown baseline 'nested_cluster'; did you mean nested_clusters\?",
        ),
        ("zzz", {}, r"unknown baseline 'zzz'\. Known: equal_weight, .*, macd, "),
    ],
)
def test_bad_settings(market, name, settings, words):
    with pytest.raises(InputError, match=words):
        make_baseline(name, market, **settings)


def test_other_limits_than_it_is_made_for(market):
    policy = make_baseline("macd", market, short=True)
    wide = {"action_settings": {"gross": 2.0, "net": 1.0}}
    env = PortfolioEnv(market, start=FIRST, observation="indexed", action="long_short", **wide)
    with pytest.raises(InputError, match=r"macd answers for gross and net leverage \(1\.0, 1\.0\)"):
        rollout(policy, env)


def test_every_baseline_is_in_the_docs_and_can_be_switched_on():
    page = (ROOT / "docs" / "agents.md").read_text()
    for name in BASELINES:
        assert f"\n| `{name}` |" in page, name
        for plan in ("holdout", "walk_forward"):
            text = (ROOT / "hydra_conf" / "evaluation" / f"{plan}.yaml").read_text()
            assert f"\n  {name}: " in text, (plan, name)


def test_too_few_rows(market):
    with pytest.raises(
        InputError, match=r"macd needs 315 rows .* evaluation\.baselines\.macd=null"
    ):
        play("macd", market, start=100)
