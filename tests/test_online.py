"""Online portfolio selection: every loop against its slow twin, and what a policy must not do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from agents.baselines import make_baseline
from agents.online import ONLINE, kernels, newton_kernels
from agents.online.policies import price_relatives, shared_out
from agents.policy import Policy
from agents.rollout import rollout
from envs.data.synthetic import synthetic
from envs.errors import InputError
from envs.market.costs import ProportionalCost
from envs.portfolio import PortfolioEnv
from tests import gaps
from tests import reference_online as twin

HINDSIGHT = {"best_stock", "bcrp"}
SMALL = {"anticor": {"window": 6}, "up": {"samples": 200}}
FORESEEING = [name for name in ONLINE if name in HINDSIGHT]
DECIDING = [name for name, made in ONLINE.items() if hasattr(made, "decide")]


def relatives(n_rows=45, n_assets=4, seed=0, scale=0.03):
    rng = np.random.default_rng(seed)
    made = np.exp(scale * rng.standard_normal((n_rows, n_assets)))
    made[0] = 1.0
    return made


def compute(kernel, x, *settings):
    weights = np.full_like(x, np.nan)
    kernel(x, *settings, weights)
    assert weights.min() >= 0
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-12)
    np.testing.assert_array_equal(weights[0], weights[0, 0])
    return weights


def decided(name, x, **settings):
    policy = object.__new__(ONLINE[name])
    made = make_baseline(name, synthetic(n_rows=80, n_assets=x.shape[1], seed=1), **settings)
    policy.__dict__.update(made.__dict__)
    return policy.decide(x)


# ------------------------------------------------------------------------------ slow twins
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("eta", [0.0, 0.05, 3.0])
def test_exponentiated_gradient(eta, seed):
    x = relatives(seed=seed)
    np.testing.assert_allclose(compute(kernels.eg_nb, x, eta), twin.eg(x, eta), rtol=1e-12)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("eta", "beta", "delta"), [(0.0, 1.0, 0.125), (0.1, 0.5, 2.0), (0, 1, 20)])
def test_online_newton_step(eta, beta, delta, seed):
    """The twin tries every set of assets that may be held."""
    x = relatives(seed=seed, n_assets=5)
    found = compute(newton_kernels.ons_nb, x, float(eta), float(beta), float(delta))
    np.testing.assert_allclose(found, twin.ons(x, eta, beta, delta), atol=1e-10)
    if eta == 0 and delta > 1:
        assert (found == 0).any() and (found[5:] > 0).any()


@pytest.mark.parametrize("n_mixes", [1, 7, 300])
def test_universal_portfolio(n_mixes):
    """More mixes than a block, and fewer."""
    x = relatives(seed=4)
    rng = np.random.default_rng(1)
    mixes = rng.dirichlet(np.ones(4), n_mixes)
    weights = np.empty_like(x)
    kernels.up_nb(x, mixes, weights)
    np.testing.assert_allclose(weights, twin.up(x, mixes), rtol=1e-11)


def test_universal_portfolio_of_two_assets_is_its_integral():
    """Cover 1991: the weight is the integral of b S(b) over that of S(b), here by quadrature."""
    x = relatives(n_rows=300, n_assets=2, seed=2)
    b = np.linspace(0, 1, 20_001)
    wealth = np.exp(np.log(b[:, None] * x[1:, 0] + (1 - b[:, None]) * x[1:, 1]).sum(axis=1))
    exact = np.trapezoid(b * wealth, b) / np.trapezoid(wealth, b)
    found = decided("up", x, samples=40_000)
    assert found[-1, 0] == pytest.approx(exact, abs=4 * 0.29 / np.sqrt(40_000))
    # Its wealth is the mean of the wealth of all mixes.
    own = (found[:-1] * x[1:]).sum(axis=1).prod()
    assert own == pytest.approx(np.trapezoid(wealth, b), rel=2e-3)
    np.testing.assert_allclose(found[0], 0.5, rtol=1e-12)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("variant", "aggressiveness"), [(0, 1.0), (1, 20.0), (2, 20.0), (1, 1e9)])
@pytest.mark.parametrize("epsilon", [0.5, 0.99])
def test_passive_aggressive(epsilon, variant, aggressiveness, seed):
    x = relatives(seed=seed)
    found = compute(kernels.pamr_nb, x, epsilon, variant, aggressiveness)
    np.testing.assert_allclose(found, twin.pamr(x, epsilon, variant, aggressiveness), atol=1e-11)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("variance", [False, True])
@pytest.mark.parametrize(("phi", "epsilon"), [(2.0, 0.5), (0.5, 0.98)])
def test_confidence_weighted(phi, epsilon, variance, seed):
    x = relatives(seed=seed)
    variant = kernels.VARIANCE if variance else kernels.STDEV
    found = compute(kernels.cwmr_nb, x, phi, epsilon, variant)
    np.testing.assert_allclose(found, twin.cwmr(x, phi, epsilon, variance), atol=1e-8)


@pytest.mark.parametrize("window", [2, 5, 9])
@pytest.mark.parametrize("epsilon", [10.0, 1.01])
def test_moving_average_reversion(epsilon, window):
    x = relatives(seed=3)
    found = compute(kernels.olmar_1_nb, x, epsilon, window, window, 2)
    np.testing.assert_allclose(found, twin.olmar_1(x, epsilon, window), atol=1e-9)
    alpha = 1 / window
    found = compute(kernels.olmar_2_nb, x, epsilon, alpha)
    np.testing.assert_allclose(found, twin.olmar_2(x, epsilon, alpha), atol=1e-9)


def test_median_reversion():
    x = relatives(n_rows=25, n_assets=3, seed=5)
    found = compute(kernels.rmr_nb, x, 1.01, 5)
    np.testing.assert_allclose(found, twin.rmr(x, 1.01, 5), atol=2e-5)


@pytest.mark.parametrize("n", [2, 5, 8])
def test_the_l1_median_has_the_least_sum_of_distances(n):
    points = 1 + 0.05 * np.random.default_rng(n).standard_normal((n, 3))
    median = np.empty(3)
    kernels.l1_median_nb(points, median)
    total = lambda y: np.linalg.norm(points - y, axis=1).sum()  # noqa: E731
    assert total(median) <= total(twin.l1_median(points)) + 1e-9
    # On one of the points, on all at once, on a line.
    same = np.ones((n, 3))
    kernels.l1_median_nb(same, median)
    np.testing.assert_array_equal(median, 1.0)
    line = np.outer(np.arange(5.0), np.ones(3))
    kernels.l1_median_nb(line, median)
    np.testing.assert_allclose(median, 2.0)


@pytest.mark.parametrize("levels", [1, 2])
def test_anticor(levels):
    x = relatives(n_rows=40, n_assets=3, seed=6)
    found = decided("anticor", x, window=5, levels=levels)
    np.testing.assert_allclose(found, twin.anticor(x, 5, levels), atol=1e-11)
    np.testing.assert_allclose(found[:4], found[0] * x[:4].cumprod(0) / x[:4].cumprod(0).mean(
        axis=1, keepdims=True), atol=0.02)  # fmt: skip


@pytest.mark.parametrize("seed", range(4))
def test_projection(seed):
    rng = np.random.default_rng(seed)
    for scale in (1.0, 1e3):
        point = scale * rng.standard_normal(7)
        found = point.copy()
        kernels.project_nb(found)
        np.testing.assert_allclose(found, twin.project(point), atol=1e-12 * scale)
    inside = rng.dirichlet(np.ones(5))
    found = inside.copy()
    kernels.project_nb(found)
    np.testing.assert_allclose(found, inside, atol=1e-15)


# ------------------------------------------------------------------------------ degenerate days
@pytest.mark.parametrize("name", DECIDING)
def test_days_that_tell_nothing(name):
    """Nobody moves, all move alike, one asset alone never moves; and a single asset."""
    x = relatives(n_rows=40, n_assets=3, seed=7)
    x[5:15] = 1.0
    x[15:20] = 1.0123456789
    x[:, 2] = 1.0
    weights = decided(name, x, **SMALL.get(name, {}))
    assert np.isfinite(weights).all() and weights.min() >= 0
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-12)
    alone = decided(name, relatives(n_rows=30, n_assets=1), **SMALL.get(name, {}))
    np.testing.assert_allclose(alone, 1, atol=1e-15)


@pytest.mark.parametrize("name", ["pamr", "pamr_1", "pamr_2", "cwmr_stdev", "cwmr_var"])
def test_a_day_on_which_all_move_alike_moves_nothing(name):
    x = relatives(n_rows=12)
    x[8] = 1.1
    weights = decided(name, x)
    np.testing.assert_array_equal(weights[8], weights[7])


# ------------------------------------------------------------------------------ policies
@pytest.mark.parametrize("name", ONLINE)
def test_policies_say_what_they_are(name):
    policy = make_baseline(name, synthetic(n_rows=60, n_assets=3), **SMALL.get(name, {}))
    assert isinstance(policy, Policy) and policy.name == name
    assert policy.hindsight is (name in HINDSIGHT)
    assert policy.observation == "indexed"
    assert policy.action == ("trade" if name == "market" else "simplex")


@pytest.mark.parametrize("name", DECIDING)
def test_no_weight_depends_on_a_later_price(name):
    market = synthetic(n_rows=120, n_assets=4, seed=3)
    settings = SMALL.get(name, {})
    before = make_baseline(name, market, **settings).weights
    for row in (1, 30, 90):
        close = market.close.copy()
        close[row + 1 :] *= np.random.default_rng(row).uniform(0.5, 2.0, close[row + 1 :].shape)
        after = make_baseline(name, replace(market, close=close), **settings).weights
        np.testing.assert_array_equal(before[: row + 1], after[: row + 1])
        cut = make_baseline(name, market.rows(0, row + 2), **settings).weights
        np.testing.assert_array_equal(before[: row + 1], cut[: row + 1])
        if name != "ucrp":
            assert (before[row + 2 :] != after[row + 2 :]).any()


@pytest.mark.parametrize("name", FORESEEING)
def test_yardsticks_read_the_future_from_the_first_decision_on(name):
    market = synthetic(n_rows=200, n_assets=4, seed=5)
    past = market.close.copy()
    past[:50] *= np.random.default_rng(0).uniform(0.5, 2.0, past[:50].shape)

    def played(panel):
        policy = make_baseline(name, panel)
        env = PortfolioEnv(
            panel,
            observation="indexed",
            action="simplex",
            execution="same_close",
            cost=ProportionalCost(0.0, 0.0),
            start=50,
        )
        return rollout(policy, env)

    one = played(market)
    np.testing.assert_array_equal(one.weights, played(replace(market, close=past)).weights)
    if name == "best_stock":
        best = (market.close[-1] / market.close[50]).argmax()
        assert one.weights[:, best].min() == 1.0
    else:
        assert one.value[-1] >= (market.close[-1] / market.close[50]).max()


def test_a_hold_out_comes_warmed_up_by_the_past():
    market = synthetic(n_rows=200, n_assets=4, seed=5)
    policy = make_baseline("pamr", market)
    action, _ = policy.predict({"t": np.array([150]), "weights": None}, None, np.ones(1, bool))
    np.testing.assert_array_equal(action[:-1], policy.weights[150])
    cold = make_baseline("pamr", market.rows(150, 200)).weights[0]
    assert (cold == 0.25).all() and (action[:-1] != 0.25).any()
    action[0] = 7.0
    again, _ = policy.predict({"t": np.array([150]), "weights": None}, None, np.ones(1, bool))
    np.testing.assert_array_equal(again[:-1], policy.weights[150])


# ------------------------------------------------------------------------------ panels with gaps
def test_relatives_are_one_without_a_price():
    market = synthetic(n_rows=60, n_assets=3, seed=1)
    whole = price_relatives(market)
    np.testing.assert_array_equal(whole[1:], market.close[1:] / market.close[:-1])
    late = gaps.with_listing(market, 1, 20)
    np.testing.assert_array_equal(price_relatives(late)[:21, 1], 1.0)
    np.testing.assert_array_equal(price_relatives(late)[21:], whole[21:])
    halted = gaps.with_halts(market, slice(30, 33), 2)
    x = price_relatives(halted)
    np.testing.assert_array_equal(x[30:33, 2], 1.0)
    assert x[33, 2] == pytest.approx(market.close[33, 2] / market.close[29, 2])


def test_weights_are_shared_out_among_what_is_tradable():
    weights = np.array([[0.5, 0.3, 0.2], [0.5, 0.3, 0.2], [1.0, 0.0, 0.0], [0.5, 0.3, 0.2]])
    can = np.array([[1, 1, 1], [0, 1, 1], [0, 1, 1], [0, 0, 0]], bool)
    expected = [[0.5, 0.3, 0.2, 0], [0, 0.6, 0.4, 0], [0, 0.5, 0.5, 0], [0, 0, 0, 1]]
    np.testing.assert_allclose(shared_out(weights, can), expected, atol=1e-15)


@pytest.mark.parametrize("name", ONLINE)
@pytest.mark.parametrize("execution", ["same_close", "next_close"])
def test_listings_halts_and_delistings(name, execution):
    """Nothing is held before its listing or after it left, and garbage in a halt is not read."""

    def played(panel):
        policy = make_baseline(name, panel, **SMALL.get(name, {}))
        spoken = {"observation": policy.observation, "action": policy.action}
        return rollout(policy, gaps.env_of(panel, cost=0.001, execution=execution, **spoken))

    market = gaps.gappy()
    one = played(market)
    np.testing.assert_allclose(one.weights.sum(axis=1), 1)
    np.testing.assert_array_equal(one.weights[:29, 1], 0.0)
    np.testing.assert_allclose(one.weights[67:, 3], 0.0, atol=1e-15)
    dirty = gaps.with_halts(market, slice(50, 53), 2, garbage=1e6)
    np.testing.assert_array_equal(one.value, played(dirty).value)
    if name not in ("market", "best_stock"):
        assert one.weights[70:, :-1].sum(axis=1) == pytest.approx(1)


# ------------------------------------------------------------------------------ bad input
@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("eg", {"eta": -0.1}, "eg: eta must be a number >= 0, got -0.1"),
        ("eg", {"eta": "fast"}, "eg: eta must be a number"),
        ("eg", {"eta": float("nan")}, "eg: eta must be a number"),
        ("ons", {"eta": 1.5}, "ons: eta must be a number >= 0 and <= 1"),
        ("ons", {"delta": 0}, "ons: delta must be a number > 0"),
        ("anticor", {"window": 1}, "anticor: window must be a whole number >= 2"),
        ("anticor", {"window": 5.5}, "anticor: window must be a whole number"),
        ("anticor", {"levels": 3}, "anticor: levels must be a whole number >= 1 and <= 2"),
        ("pamr", {"epsilon": -1}, "pamr: epsilon must be a number >= 0"),
        ("pamr_1", {"aggressiveness": 0}, "pamr_1: aggressiveness must be a number > 0"),
        ("pamr_2", {"aggressiveness": True}, "pamr_2: aggressiveness must be a number"),
        ("cwmr_var", {"phi": 0}, "cwmr_var: phi must be a number > 0"),
        ("olmar_1", {"window": 1}, "olmar_1: window must be a whole number >= 2"),
        ("olmar_1", {"as_printed": 1}, "olmar_1: as_printed must be true or false"),
        ("olmar_2", {"alpha": 1.1}, "olmar_2: alpha must be a number >= 0 and <= 1"),
        ("rmr", {"epsilon": 0}, "rmr: epsilon must be a number > 0"),
        ("up", {"samples": 0}, "up: samples must be a whole number >= 1"),
        ("up", {"seed": -1}, "up: seed must be a whole number >= 0"),
        ("pamr", {"aggressiveness": 5.0}, "evaluation.baselines.pamr"),
        ("olmar1", {}, "did you mean olmar_1"),
    ],
)
def test_bad_settings(name, settings, words):
    with pytest.raises(InputError, match=words.replace("(", r"\(")):
        make_baseline(name, synthetic(n_rows=40, n_assets=2), **settings)


def test_a_prediction_of_the_last_digit_is_none():
    """Medians of prices that have not moved are off by rounding: no reason to trade."""
    even = np.full(5, 0.2)
    predicted = np.ones(5)
    predicted[2] += 2.220446049250313e-16
    weights = even.copy()
    kernels.reverted_nb(predicted, 5.0, weights)
    assert weights.tobytes() == even.tobytes()
