"""Known answers against integration, enumeration, other optimisers and published numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import optimize, stats

from envs.data import olps
from envs.errors import InputError
from envs.market.solutions import hindsight, merton, outcomes, regimes
from envs.market.solutions import volatility_timing as timing
from envs.market.solutions.best_mix import best_weights, certainty_equivalent, corners
from tests import reference_known_answers as reference

DRIFT = np.array([0.08, 0.06, 0.10])
VOLATILITY = np.array([0.20, 0.15, 0.30])
CORRELATION = np.array([[1, 0.3, 0.2], [0.3, 1, 0.1], [0.2, 0.1, 1.0]])
COVARIANCE = CORRELATION * np.outer(VOLATILITY, VOLATILITY)
DAY = 1 / 252


# ------------------------------------------------------------------ the convex problem
@pytest.mark.parametrize("gamma", [0.5, 1.0, 6.0])
@pytest.mark.parametrize("limits", [None, (2.0, 2.0), (2.0, 0.5), (1.5, 0.0)])
def test_best_weights_are_those_of_another_optimiser(gamma, limits):
    rng = np.random.default_rng(0)
    growth = np.exp(rng.normal([0.05, 0.02, 0.06], [0.2, 0.15, 0.25], (300, 3)))
    growth = np.column_stack([np.clip(growth, 0.7, 1.4), np.full(300, 1.01)])
    portfolios = corners(3, *(limits or ()))
    weights, missed = best_weights(growth, portfolios=portfolios, risk_aversion=gamma)
    assert weights.sum() == pytest.approx(1, abs=1e-12) and missed < 1e-11

    def loss(assets):
        wealth = growth @ np.append(assets, 1 - assets.sum())
        return -reference.utility(wealth, gamma).mean() if wealth.min() > 0 else 1e6

    # Longs and shorts apart, so that the limits are linear.
    if limits is None:
        rules = [{"type": "ineq", "fun": lambda x: 1 - x.sum()}]
        bounds, unite = [(0, 1)] * 3, lambda x: x
        start = np.full(3, 0.2)
    else:
        gross, net = limits
        rules = [
            {"type": "ineq", "fun": lambda x: gross - x.sum()},
            {"type": "ineq", "fun": lambda x: net - (x[:3] - x[3:]).sum()},
            {"type": "ineq", "fun": lambda x: net + (x[:3] - x[3:]).sum()},
        ]
        bounds, unite = [(0, gross)] * 6, lambda x: x[:3] - x[3:]
        start = np.full(6, 0.1)
    found = optimize.minimize(
        lambda x: loss(unite(x)), start, method="SLSQP", bounds=bounds, constraints=rules,
        options={"ftol": 1e-14, "maxiter": 500},
    )  # fmt: skip
    assert loss(weights[:-1]) <= found.fun + 1e-9
    np.testing.assert_allclose(weights[:-1], unite(found.x), atol=2e-4)
    if limits is not None:
        assert np.abs(weights[:-1]).sum() <= limits[0] + 1e-9
        assert abs(weights[:-1].sum()) <= limits[1] + 1e-9


def test_best_weights_miss_nothing_on_any_problem():
    """The bound is a certificate: by concavity no mix gains more than the steepest slope."""
    rng = np.random.default_rng(0)
    for _ in range(400):
        n, size = int(rng.integers(1, 5)), 10 ** rng.uniform(-3.5, -0.5)
        limits = [(), (1.0, 1.0), (2.0, 2.0), (2.0, 0.5), (1.5, 0.0), (3.0, 1.0)][rng.integers(6)]
        bound = 0.8 / (limits[0] if limits else 1.0)
        moves = rng.normal(rng.normal(0, 0.3, n) * size, size, (int(rng.integers(2, 60)), n))
        growth = np.column_stack([1 + np.clip(moves, -bound, bound), np.full(len(moves), 1.0001)])
        chance = rng.dirichlet(np.ones(len(moves)))
        weights, missed = best_weights(
            growth, chance, portfolios=corners(n, *limits), risk_aversion=10 ** rng.uniform(-0.5, 1)
        )
        assert weights.sum() == pytest.approx(1, abs=1e-12) and missed < 1e-11


def test_corners_span_the_limits():
    """Every portfolio within the limits is a mix of the corners, by a linear programme."""
    rng = np.random.default_rng(1)
    for gross, net in ((1.0, 1.0), (2.0, 0.5), (3.0, 0.0)):
        spanning = corners(3, gross, net)
        assert (np.abs(spanning[:, :-1]).sum(axis=1) <= gross + 1e-12).all()
        assert (np.abs(spanning[:, :-1].sum(axis=1)) <= net + 1e-12).all()
        done = 0
        while done < 20:
            w = rng.uniform(-gross, gross, 3)
            if np.abs(w).sum() > gross or abs(w.sum()) > net:
                w -= w.mean()  # dollar neutral
                w *= gross * rng.uniform() / np.abs(w).sum()
            equations = np.vstack([spanning[:, :-1].T, np.ones(len(spanning))])
            mix = optimize.linprog(np.zeros(len(spanning)), A_eq=equations, b_eq=np.append(w, 1))
            assert mix.success
            done += 1


def test_certainty_equivalent():
    wealth, chance = np.array([[0.9, 1.2], [0.5, 1.4]]), np.array([0.4, 0.6])
    for gamma in (0.5, 1.0, 3.0):
        sure = np.exp(certainty_equivalent(wealth, chance, gamma))
        expected = reference.utility(wealth, gamma) @ chance
        np.testing.assert_allclose(reference.utility(sure, gamma), expected, rtol=1e-12)
    # Long horizons do not overflow.
    assert certainty_equivalent(np.exp([700.0, -700.0]), None, 3.0) == pytest.approx(
        -700 + math.log(2) / 2
    )
    with pytest.raises(InputError, match="risk_aversion must be positive"):
        best_weights(wealth, chance, risk_aversion=0.0)
    with pytest.raises(InputError, match="loses everything in some outcome"):
        best_weights(np.array([[0.0, 0.0], [1.0, 1.1]]))


# ------------------------------------------------------------------ Merton and Kelly
def test_merton_weights_of_one_asset():
    # Merton 1969: (0.08 - 0.03) / (2 * 0.2^2).
    weights = merton.merton_weights(np.array([0.08]), np.array([[0.04]]), 0.03, 2.0)
    assert weights == pytest.approx([0.625], abs=1e-15)


@pytest.mark.parametrize("seed", range(30))
def test_long_only_weights_satisfy_the_conditions_of_kuhn_and_tucker(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 9))
    mix = rng.standard_normal((n, n))
    covariance = 0.02 * (mix @ mix.T + 0.1 * np.eye(n))
    drift, gamma = rng.normal(0.05, 0.08, n), float(rng.uniform(0.5, 8))
    w = merton.merton_long_only(drift, covariance, 0.01, gamma)
    gradient = drift - 0.01 - gamma * covariance @ w
    price = gradient[w > 0].mean() if w.sum() > 1 - 1e-9 else 0.0
    assert w.min() >= 0 and w.sum() <= 1 + 1e-12 and price > -1e-12
    np.testing.assert_allclose(gradient[w > 0], price, atol=1e-12)
    assert (gradient[w == 0] <= price + 1e-12).all()


def test_without_limits_that_bind_long_only_is_merton():
    unbound = merton.merton_weights(DRIFT, COVARIANCE, 0.02, 8.0)
    np.testing.assert_allclose(
        merton.merton_long_only(DRIFT, COVARIANCE, 0.02, 8.0), unbound, rtol=1e-12
    )


@pytest.mark.parametrize("weight", [0.3, 1.0])
def test_growth_of_a_step_is_that_of_adaptive_integration(weight):
    law = stats.norm((0.08 - 0.02) / 12, 0.2 / math.sqrt(12))
    exact = reference.log_growth_by_integration(weight, law, 1 + 0.03 / 12)
    weights = np.array([weight, 1 - weight])
    got = merton.step_growth(weights, np.array([0.08]), np.array([[0.04]]), 1 / 12, 0.03)
    assert got == pytest.approx(exact, abs=1e-12)


@pytest.mark.parametrize("gamma", [1.0, 4.0])
def test_step_growth_of_three_assets_against_simulation_and_continuous_trading(gamma):
    weights = np.array([0.3, 0.2, 0.4, 0.1])
    exact = merton.step_growth(weights, DRIFT, COVARIANCE, DAY, 0.02, gamma)
    rng = np.random.default_rng(0)
    shocks = rng.standard_normal((400_000, 3)) @ np.linalg.cholesky(COVARIANCE).T
    shocks = np.concatenate([shocks, -shocks])
    asset = np.exp((DRIFT - np.diag(COVARIANCE) / 2) * DAY + shocks * math.sqrt(DAY))
    wealth = asset @ weights[:3] + weights[3] * (1 + 0.02 * DAY)
    assert exact == pytest.approx(certainty_equivalent(wealth, None, gamma), abs=3e-7)
    # Daily rebalancing earns what continuous rebalancing does, up to the order of one step.
    continuous = merton.continuous_growth(weights[:3], DRIFT, COVARIANCE, 0.02, gamma)
    assert exact / DAY == pytest.approx(continuous, abs=3e-5)
    rough = merton.step_growth(weights, DRIFT, COVARIANCE, DAY, 0.02, gamma, order=4)
    assert exact == pytest.approx(rough, abs=1e-14)


def test_many_assets_by_quasi_random_points():
    """Independent equal assets: by symmetry and by the tensor rule of fewer assets."""
    n = 12
    drift, covariance = np.full(n, 0.06), 0.04 * (0.3 * np.ones((n, n)) + 0.7 * np.eye(n))
    weights = merton.best_step_weights(drift, covariance, DAY, 0.0, 2.0)
    continuous = merton.merton_long_only(drift, covariance, 0.0, 2.0)
    np.testing.assert_allclose(weights[:-1], continuous, atol=2e-3)
    alone = np.zeros(n + 1)
    alone[[0, 5, -1]] = 0.4, 0.3, 0.3
    pair = merton.step_growth(
        np.array([0.4, 0.3, 0.3]), drift[:2], covariance[:2, :2], DAY, 0.01, 2.0
    )
    assert merton.step_growth(alone, drift, covariance, DAY, 0.01, 2.0) == pytest.approx(
        pair, abs=1e-9
    )


@pytest.mark.parametrize("gamma", [1.0, 3.0, 8.0])
def test_best_weights_of_a_step_tend_to_merton_and_beat_their_neighbours(gamma):
    continuous = merton.merton_long_only(DRIFT, COVARIANCE, 0.02, gamma)
    distances = []
    for steps in (12, 252, 5040):
        weights = merton.best_step_weights(DRIFT, COVARIANCE, 1 / steps, 0.02, gamma)
        distances.append(np.abs(weights[:-1] - continuous).max())
    assert distances[1] < distances[0] / 10 and distances[2] < distances[1] / 10
    weights = merton.best_step_weights(DRIFT, COVARIANCE, 1 / 12, 0.02, gamma)
    best = merton.step_growth(weights, DRIFT, COVARIANCE, 1 / 12, 0.02, gamma)
    rng = np.random.default_rng(2)
    for _ in range(50):
        other = 0.9 * weights + 0.1 * rng.dirichlet(np.ones(4))
        assert merton.step_growth(other, DRIFT, COVARIANCE, 1 / 12, 0.02, gamma) < best


def test_kelly():
    # Kelly 1956: even money at 60 % is a bet of 20 %. Shannon's coin (double or half): one half,
    # which grows by sqrt(9/8) a toss.
    assert merton.kelly_fraction(0.6, 1.0) == pytest.approx(0.2)
    assert merton.kelly_fraction(0.5, 1.0, 0.5) == pytest.approx(0.5)
    weights, missed = best_weights(np.array([[2.0, 1.0], [0.5, 1.0]]))
    assert weights == pytest.approx([0.5, 0.5], abs=1e-9) and missed < 1e-12
    growth = certainty_equivalent(np.array([[2.0, 1.0], [0.5, 1.0]]) @ weights)
    assert growth == pytest.approx(0.5 * math.log(9 / 8), abs=1e-14)
    for p, gain, loss in ((0.55, 0.8, 0.7), (0.3, 3.0, 0.9), (0.2, 1.0, 0.9)):
        bets = np.array([[1 + gain, 1.0], [1 - loss, 1.0]])
        weights, _ = best_weights(bets, np.array([p, 1 - p]), portfolios=corners(1, 1.0))
        assert weights[0] == pytest.approx(merton.kelly_fraction(p, gain, loss), abs=1e-7)


def test_jumps_against_simulation():
    parts = [np.array(x) for x in ([30.0, 10.0], [-0.05, 0.02], [0.06, 0.04])]
    growth, probability = outcomes.jump_outcomes(
        DRIFT[:2], COVARIANCE[:2, :2], DAY, 0.02, *parts, most_jumps=4
    )
    assert probability.sum() == pytest.approx(1, abs=1e-15) and probability.min() >= 0
    np.testing.assert_allclose(probability @ growth[:, :2], np.exp(DRIFT[:2] * DAY), rtol=1e-6)
    rng = np.random.default_rng(0)
    n = 1_000_000
    intensity, mean, spread = parts
    jumps = rng.poisson(intensity * DAY, (n, 2))
    log = (DRIFT[:2] - np.diag(COVARIANCE)[:2] / 2) * DAY
    log = log - intensity * DAY * np.expm1(mean + spread**2 / 2)
    log = log + rng.standard_normal((n, 2)) @ np.linalg.cholesky(COVARIANCE[:2, :2] * DAY).T
    log = log + jumps * mean + np.sqrt(jumps) * spread * rng.standard_normal((n, 2))
    weights = np.array([0.5, 0.3, 0.2])
    drawn = np.log(np.column_stack([np.exp(log), np.full(n, 1 + 0.02 * DAY)]) @ weights)
    got = certainty_equivalent(growth @ weights, probability)
    assert got == pytest.approx(drawn.mean(), abs=4 * drawn.std() / math.sqrt(n))
    spread_got = math.sqrt(probability @ np.log(growth @ weights) ** 2 - got**2)
    assert spread_got == pytest.approx(drawn.std(), rel=0.01)


# ------------------------------------------------------------------ regimes
TRANSITION = np.array([[0.9, 0.1], [0.25, 0.75]])
REGIMES = {
    "drift": np.array([[0.5, 0.2], [-0.6, 0.1]]),
    "volatility": np.array([[0.15, 0.2], [0.4, 0.25]]),
    "correlation": np.array([[1.0, 0.4], [0.4, 1.0]]),
    "transition": TRANSITION,
    "dt": 1 / 52,
    "cash_rate": 0.02,
}


def test_stationary_law():
    assert regimes.stationary_law(TRANSITION) == pytest.approx([5 / 7, 2 / 7], abs=1e-14)
    three = np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.3, 0.3, 0.4]])
    law = np.linalg.matrix_power(three, 200)[0]
    assert regimes.stationary_law(three) == pytest.approx(law, abs=1e-13)


def test_filter_is_bayes_rule_over_all_paths_of_the_regimes():
    law = regimes.Law(**REGIMES, portfolios=corners(2))
    rng = np.random.default_rng(0)
    log_growth = 0.05 * rng.standard_normal((7, 2))
    mean = (REGIMES["drift"] - REGIMES["volatility"] ** 2 / 2) / 52
    covariance = [REGIMES["correlation"] * np.outer(v, v) / 52 for v in REGIMES["volatility"]]
    exact = reference.beliefs_by_enumeration(
        log_growth, mean, covariance, TRANSITION, regimes.stationary_law(TRANSITION)
    )
    belief = law.start(1)
    for k in range(8):
        np.testing.assert_allclose(belief[0], exact[k], rtol=1e-11)
        if k < 7:
            belief = law.update(belief, log_growth[k : k + 1])
    # Outliers and certain beliefs leave no NaN.
    sure = law.update(np.array([[1.0, 0.0]]), np.array([[-3.0, 3.0]]))
    np.testing.assert_allclose(sure, TRANSITION[:1])


def test_weights_under_a_belief_maximise_the_expected_log_of_the_mixture():
    one = {**REGIMES, "drift": [[0.3], [-0.2]], "volatility": [[0.3], [0.6]], "dt": 1 / 12}
    law = regimes.Law(**{**one, "correlation": np.eye(1)}, portfolios=corners(1), order=9)
    laws = [
        stats.norm((m - v * v / 2) / 12, v / math.sqrt(12)) for m, v in ((0.3, 0.3), (-0.2, 0.6))
    ]
    for p in (0.0, 0.5, 0.62, 0.8, 1.0):

        def loss(w, p=p):
            parts = [reference.log_growth_by_integration(w, x, 1 + 0.02 / 12) for x in laws]
            return -(p * parts[0] + (1 - p) * parts[1])

        best = optimize.minimize_scalar(
            loss, bounds=(0, 1), method="bounded", options={"xatol": 1e-9}
        )
        weights = law.weights(np.array([[p, 1 - p]]))[0]
        assert weights.sum() == pytest.approx(1, abs=1e-12)
        assert loss(weights[0]) <= best.fun + 1e-12
        assert weights[0] == pytest.approx(best.x, abs=2e-4)


def test_weights_of_two_assets_under_beliefs_against_covers_update():
    law = regimes.Law(**REGIMES, portfolios=corners(2), order=5)
    rng = np.random.default_rng(3)
    for p in (0.3, 0.75):
        growth, mass = [], []
        for m in range(2):
            v = REGIMES["volatility"][m]
            covariance = REGIMES["correlation"] * np.outer(v, v)
            g, q = outcomes.brownian_outcomes(REGIMES["drift"][m], covariance, 1 / 52, 0.02, 9)
            growth.append(g)
            mass.append((p, 1 - p)[m] * q)
        growth, mass = np.concatenate(growth), np.concatenate(mass)
        weights = law.weights(np.array([[p, 1 - p]]))[0]
        slow = reference.cover(growth, mass, 3000)
        best = np.log(growth @ weights) @ mass
        assert best >= np.log(growth @ slow) @ mass - 1e-13
        for _ in range(30):
            other = 0.9 * weights + 0.1 * rng.dirichlet(np.ones(3))
            assert np.log(growth @ other) @ mass < best


# ------------------------------------------------------------------ volatility timing
@pytest.mark.parametrize("variance", [0.01, 0.05, 0.09, 0.4])
def test_timing_by_integration_and_tends_to_the_continuous_rule(variance):
    nodes, probability = outcomes.normal_nodes(1, 7)
    location = np.array([[(0.06 - variance / 2) / 12]])
    scale = np.sqrt([[variance / 12]])
    weights = timing.myopic_weights(location, scale, nodes, probability, 1 + 0.01 / 12, corners(1))
    law = stats.norm(location[0, 0], scale[0, 0])

    def loss(w):
        return -reference.log_growth_by_integration(w, law, 1 + 0.01 / 12)

    best = optimize.minimize_scalar(loss, bounds=(0, 1), method="bounded", options={"xatol": 1e-9})
    assert loss(weights[0, 0]) <= best.fun + 1e-12
    assert weights[0, 0] == pytest.approx(best.x, abs=3e-4)
    continuous = timing.continuous_weight(0.06, variance, 0.01)
    assert weights[0, 0] == pytest.approx(continuous, abs=0.01)
    leveraged = timing.myopic_weights(
        location, scale, nodes, probability, 1 + 0.01 / 12, corners(1, 3.0)
    )
    wide = timing.continuous_weight(0.06, variance, 0.01, -3.0, 3.0)
    assert leveraged[0, 0] == pytest.approx(wide, rel=0.05)


@pytest.mark.parametrize("dof, error", [(2.5, 1e-4), (4.0, 1e-6), (8.0, 1e-8), (30.0, 1e-9)])
def test_student_shocks_by_integration(dof, error):
    nodes, probability = outcomes.student_nodes(dof)
    mean, sigma = 0.0002, 0.03
    law = stats.t(dof, mean, sigma * math.sqrt((dof - 2) / dof))
    for w in (0.2, 0.7, 1.0):
        exact = reference.log_growth_by_integration(w, law, 1.0001)
        growth = w * np.exp(mean + sigma * nodes[:, 0]) + (1 - w) * 1.0001
        assert np.log(growth) @ probability == pytest.approx(exact, abs=error * sigma)


def test_shocks_of_several_student_laws():
    """Second moments are exact, fourth ones near; best weights are those of a large sample."""
    dof, correlation = np.array([6.0, np.inf]), np.array([[1.0, 0.4], [0.4, 1.0]])
    nodes, probability = outcomes.garch_nodes(dof, correlation)
    assert probability.sum() == pytest.approx(1, abs=1e-14)
    np.testing.assert_allclose(probability @ nodes, 0, atol=1e-14)
    np.testing.assert_allclose(probability @ nodes**2, 1, rtol=1e-12)
    # Student t with 6 degrees of freedom has a kurtosis of 6.
    np.testing.assert_allclose(probability @ nodes**4, [6.0, 3.0], rtol=0.12)
    dof = np.array([5.0, 7.0])
    nodes, probability = outcomes.garch_nodes(dof, correlation)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((400_000, 2)) @ np.linalg.cholesky(correlation).T
    x *= np.sqrt((dof - 2) / rng.chisquare(dof, x.shape))
    # Covariances of the nodes are those of the law: rho E[m_i] E[m_j] of the mixing scales.
    scales = np.sqrt((dof - 2) / rng.chisquare(dof, (2_000_000, 2)))
    covariance = (nodes * probability[:, None]).T @ nodes
    np.testing.assert_allclose(np.diag(covariance), 1, rtol=1e-12)
    assert covariance[0, 1] == pytest.approx(0.4 * scales.mean(axis=0).prod(), rel=2e-3)
    x = np.concatenate([x, -x])
    # The sample gets the same covariance: what is left to differ is the shape.
    x = x @ np.linalg.inv(np.linalg.cholesky(np.cov(x.T, ddof=0))).T
    x = x @ np.linalg.cholesky(covariance).T
    weights = []
    for shocks, mass in ((nodes, probability), (x, None)):
        growth = np.exp(np.array([0.0001, 0.0002]) + np.array([0.02, 0.03]) * shocks)
        weights.append(best_weights(np.column_stack([growth, np.ones(len(growth))]), mass)[0])
    np.testing.assert_allclose(weights[0], weights[1], atol=2e-3)
    alone, chance = outcomes.garch_nodes(np.array([5.0]), np.eye(1))
    np.testing.assert_array_equal(alone, outcomes.student_nodes(5.0)[0])
    assert chance.sum() == pytest.approx(1)


# ------------------------------------------------------------------ hindsight
def test_bcrp_of_the_pairs_of_cover():
    """Cover 1991: wealth over 22 years of New York, 8.915 and 4.128 alone (Iroquois, Kin Ark)."""
    close = olps(name="nyse_o").close
    relatives = close[1:] / close[:-1]
    published = [
        (8.915, 4.128, 73.70),  # Iroquois Brands and Kin Ark
        (52.02, 4.128, 144.0),  # Commercial Metals and Kin Ark
        (52.02, 22.92, 102.96),  # Commercial Metals and Meicco
        (13.36, 12.21, 15.07),  # IBM and Coca-Cola
    ]
    for first, second, wealth in published:
        pair = [int(np.abs(close[-1] - final).argmin()) for final in (first, second)]
        np.testing.assert_allclose(close[-1][pair], [first, second], atol=0.006)
        rows = relatives[:, pair]
        weights, _ = hindsight.best_constant_weights(rows)
        assert hindsight.wealth(weights, rows) == pytest.approx(wealth, abs=0.01)
        grid = np.linspace(0, 1, 1001)
        brute = [hindsight.wealth(np.array([w, 1 - w]), rows) for w in grid]
        assert abs(weights[0] - grid[int(np.argmax(brute))]) <= 0.0011


@pytest.mark.parametrize("name, wealth", [("nyse_o", 250.59707492), ("msci", 1.5056928880)])
def test_bcrp_of_whole_markets(name, wealth):
    """250.60 and 1.5057 as published (Li and Hoi 2012; OLPS manual), here in all digits."""
    close = olps(name=name).close
    relatives = close[1:] / close[:-1]
    weights, missed = hindsight.best_constant_weights(relatives)
    assert hindsight.wealth(weights, relatives) == pytest.approx(wealth, rel=1e-9)
    assert missed < 1e-13
    # Kuhn and Tucker: mean relative to the mix is 1 for what is held, at most 1 for the rest.
    ratio = (relatives / (relatives @ weights)[:, None]).mean(axis=0)
    np.testing.assert_allclose(ratio[weights > 0], 1, atol=1e-9)
    assert (ratio <= 1 + 1e-9).all()
    cash = np.ones(len(relatives))
    with_cash, _ = hindsight.best_constant_weights(relatives, cash)
    assert with_cash.shape == (relatives.shape[1] + 1,)
    grown = np.log(np.column_stack([relatives, cash]) @ with_cash).sum()
    assert grown >= math.log(wealth) - 1e-9
