"""Years and regimes: planted markets, a slow twin, and nothing from the future."""

from dataclasses import replace

import numpy as np
import pytest

from agents.baselines import make_baseline
from envs.data.fetched import INVENTED_DATES
from envs.data.synthetic import synthetic
from envs.market.costs import ProportionalCost
from experiments.evaluation import regimes
from experiments.evaluation.regimes import breakdown, market_regimes, terciles_so_far
from tests.test_robustness import run


def dated(**more):
    """A random walk whose dates count as real."""
    return replace(synthetic(**more), notes=())


def hold(market, name="equal_weight", **more):
    return run(market, make_baseline(name, market), ProportionalCost(10, 0), "next_close", **more)


def test_years_compound_what_was_earned_in_them():
    market = dated(n_rows=900)
    t = hold(market, start=100)
    found = breakdown(market, {"equal_weight": [t]})
    total = 1.0
    for entry, value in zip(
        found["years"], found["strategies"]["equal_weight"]["years"], strict=True
    ):
        inside = [str(d)[:4] == str(entry["year"]) for d in t.dates]
        assert entry["steps"] == sum(inside)
        assert value == pytest.approx(np.prod(1 + t.net_return[inside]) - 1, rel=1e-12)
        total *= 1 + value
    assert total == pytest.approx(t.value[-1], rel=1e-12)
    assert [e["partial"] for e in found["years"]] == [True, False, False, True]


def test_a_planted_market_is_told_by_month_and_volatility():
    """Months alternate between rise and fall; the last third of the panel is wild."""
    base = dated(n_rows=800, n_assets=2)
    month = base.dates.astype("datetime64[M]").astype(int)
    size = np.where(np.arange(800) < 500, 0.002, 0.02)
    noise = np.where(np.arange(800) % 2, 1.0, -1.0) * size
    # The planted drift outweighs what is left of the alternating noise in any month.
    moves = np.where(month % 2, 0.004, -0.004) + noise
    close = np.cumprod(1 + np.c_[moves, moves], axis=0)
    market = replace(base, close=close)
    t = hold(market, start=420)
    found = breakdown(market, {"equal_weight": [t]})
    inside = market_regimes(market, 420, 799)
    up = t.dates.astype("datetime64[M]").astype(int) % 2 == 1
    assert (inside["up"] == up).all() and (inside["down"] == ~up).all()
    assert inside["wild"][500 + regimes.WINDOW - 420 :].sum() > 150
    values = found["strategies"]["equal_weight"]["regimes"]
    assert values["up"]["cagr"] > 0 > values["down"]["cagr"]
    wanted = np.prod(1 + t.net_return[up]) ** (252 / up.sum()) - 1
    assert values["up"]["cagr"] == pytest.approx(wanted, rel=1e-12)
    assert found["regimes"]["up"]["steps"] + found["regimes"]["down"]["steps"] == len(t.dates)


def test_terciles_against_a_plain_loop():
    market = dated(n_rows=420, seed=5)
    inside = market_regimes(market, 200, 419)
    mix = (market.close[1:] / market.close[:-1] - 1).mean(axis=1)

    def volatility(t):  # from returns known at close t
        return np.std(mix[t - regimes.WINDOW : t], ddof=1)

    for k, t in enumerate(range(200, 419)):
        past = sorted(volatility(s) for s in range(regimes.WINDOW, t))
        if len(past) < regimes.FEWEST_PAST:
            wanted = {"calm": False, "usual": False, "wild": False}
        else:
            low, high = np.quantile(past, [1 / 3, 2 / 3])
            v = volatility(t)
            wanted = {"calm": v <= low, "usual": low < v <= high, "wild": v > high}
        assert {key: bool(inside[key][k]) for key in wanted} == wanted


def test_what_comes_later_changes_no_regime_that_is_known_beforehand():
    market = dated(n_rows=500)
    close = market.close.copy()
    close[401:] *= 1 + 0.3 * np.sin(np.arange(99))[:, None]
    other = replace(market, close=close)
    for key in ("calm", "usual", "wild"):
        one, two = (market_regimes(m, 250, 401)[key] for m in (market, other))
        assert (one == two).all()


def test_too_little_is_said_and_not_measured():
    market = dated(n_rows=150)
    found = breakdown(market, {"equal_weight": [hold(market, start=135)]})
    assert found["unknown"] == 14
    for name, regime in found["regimes"].items():
        assert regime["steps"] < 20
        assert found["strategies"]["equal_weight"]["regimes"][name] == {
            "cagr": None,
            "sharpe": None,
        }
    assert (terciles_so_far(np.full(10, np.nan), np.arange(10)) == -1).all()


@pytest.mark.parametrize(("per_year", "fewest"), [(252.0, 63), (365.0, 92), (12.0, 20)])
def test_less_than_a_quarter_of_a_year_has_no_yearly_rate(per_year, fewest):
    market = replace(dated(n_rows=300), periods_per_year=per_year)
    found = breakdown(market, {"equal_weight": [hold(market, start=180)]})
    assert found["fewest_steps"] == fewest
    steps = {name: regime["steps"] for name, regime in found["regimes"].items()}
    assert any(20 <= n < 63 for n in steps.values())
    measured = found["strategies"]["equal_weight"]["regimes"]
    assert all((measured[name]["cagr"] is None) is (n < fewest) for name, n in steps.items())


def test_seeds_are_averaged_and_a_ruined_one_earns_nothing_afterwards():
    market = dated(n_rows=300)
    whole = hold(market, start=150)
    short = replace(
        whole, dates=whole.dates[:60], decision_dates=whole.decision_dates[:60],
        net_return=whole.net_return[:60], cash_return=whole.cash_return[:60], ruined=True,
    )  # fmt: skip
    found = breakdown(market, {"ppo": [whole, short]})["strategies"]["ppo"]["regimes"]
    inside = market_regimes(market, 150, 299)["up"]
    padded = np.r_[whole.net_return[:60], np.zeros(len(whole.dates) - 60)]
    wanted = [
        np.prod(1 + r[inside]) ** (252 / inside.sum()) - 1 for r in (whole.net_return, padded)
    ]
    assert found["up"]["cagr"] == pytest.approx(np.mean(wanted), rel=1e-12)


def test_made_up_dates_have_no_years_and_months():
    market = synthetic(n_rows=300)
    found = breakdown(market, {"equal_weight": [hold(market, start=150)]})
    assert not found["real_dates"] and found["years"] == []
    assert list(found["regimes"]) == list(found["definitions"]) == ["calm", "usual", "wild"]
    assert breakdown(dated(n_rows=300), {"equal_weight": [hold(market, start=150)]})["real_dates"]
    assert not regimes.has_real_dates(replace(market, notes=("a set", INVENTED_DATES)))
