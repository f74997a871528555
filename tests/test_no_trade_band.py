"""The no-trade band: free boundary problem, asymptotics, slow twin and rollouts agree."""

from __future__ import annotations

import numpy as np
import pytest

from envs.errors import InputError
from envs.market.kernel import trade_nb
from envs.market.solutions import no_trade_band as b
from envs.market.solutions.merton import step_growth
from envs.market.solutions.outcomes import brownian_outcomes, normal_nodes
from tests import reference_known_answers as reference


def outcomes(drift, volatility, steps_a_year, cash_rate=0.0, order=7):
    growth, probability = brownian_outcomes(
        np.array([drift]), np.array([[volatility**2]]), 1 / steps_a_year, cash_rate, order
    )
    return growth[:, 0], probability, 1 + cash_rate / steps_a_year


def test_kept_share_is_that_of_the_kernel():
    rng = np.random.default_rng(0)
    held, target = rng.uniform(-1, 2, (2, 500))
    out = [np.empty(500) for _ in range(4)]
    rows = [np.column_stack([w, 1 - w]) for w in (held, target)]
    trade_nb(*rows, np.array([0.004]), np.array([0.001]), *out)
    np.testing.assert_allclose(b.kept_share(held, target, 0.005), out[0], rtol=0, atol=1e-14)


@pytest.mark.parametrize("gamma", [1.0, 4.0])
def test_a_sweep_equals_its_slow_twin(gamma):
    nodes, probability = normal_nodes(1, 3)
    growth = np.exp(np.array([[0.02], [-0.01]]) + 0.1 * nodes[:, 0])
    transition = np.array([[0.9, 0.1], [0.3, 0.7]])
    grid = np.linspace(0.2, 0.8, 13)
    value = -(np.abs(grid - np.array([[0.6], [0.35]])) ** 1.5)  # concave, so that a band is best
    cash, cost = 1.001, 0.01
    twin, lower, upper = reference.value_sweep(
        grid, growth, probability, transition, cash, cost, gamma, value
    )
    shape = (2, 13, 3)
    place, part, gain = np.empty(shape, np.int64), np.empty(shape), np.empty(shape)
    b.prepare_nb(grid, growth, cash, cost, place, part, gain)
    power = 1 - gamma
    seen = transition @ value
    if gamma != 1:
        seen = np.log(transition @ np.exp(power * value)) / power
    fast, low, high = value.copy(), np.zeros(2, np.int64), np.zeros(2, np.int64)
    b.sweep_nb(
        grid, place, part, gain, probability, cost, gamma, seen, fast, np.empty((2, 13)), low, high
    )
    np.testing.assert_allclose(fast, twin, rtol=0, atol=1e-14)
    np.testing.assert_array_equal(grid[low], lower)
    np.testing.assert_array_equal(grid[high], upper)


@pytest.mark.parametrize("weight", [0.3, 0.5, 0.8])
@pytest.mark.parametrize("gamma", [1.0, 5.0])
def test_asymptotic_width_and_growth_are_the_limit_of_the_free_boundary_problem(weight, gamma):
    sigma = 0.3
    mu = gamma * weight * sigma**2
    errors = []
    for cost in (1e-3, 1e-5, 1e-7):
        lower, upper, growth = reference.band_of_continuous_trading(mu, sigma, cost, gamma)
        width = b.asymptotic_half_width(weight, cost, gamma)
        errors.append(abs((upper - lower) / 2 / width - 1))
        assert (upper + lower) / 2 == pytest.approx(weight, abs=2 * width**2)
        free = gamma / 2 * (weight * sigma) ** 2
        loss = b.asymptotic_growth_loss(weight, sigma, cost, gamma)
        assert free - growth == pytest.approx(loss, rel=30 * cost ** (1 / 3))
    # The next term is of the order of the cost: relative to the width, cost^(2/3).
    assert errors[0] < 0.05 and errors[1] < errors[0] / 10 and errors[2] < errors[1] / 10


@pytest.mark.parametrize(
    "weight, gamma, cost", [(0.5, 1.0, 0.01), (0.3, 1.0, 0.002), (0.6, 4.0, 0.005)]
)
def test_dynamic_programme_tends_to_continuous_trading(weight, gamma, cost):
    """Edges differ by a multiple of one step's move of the weight, so they meet as its root."""
    sigma, cash_rate = 0.4, 0.02
    mu = cash_rate + gamma * weight * sigma**2
    exact = reference.band_of_continuous_trading(mu, sigma, cost, gamma, cash_rate)
    edges = []
    for steps in (500, 2000):
        growth, probability, cash = outcomes(mu, sigma, steps, cash_rate)
        band = b.solve_band(growth, probability, cash, cost, risk_aversion=gamma, n_weights=2401)
        edges.append([band.lower[0], band.upper[0]])
        per_step = sigma * weight * (1 - weight) / np.sqrt(steps)
        # About two thirds of a step's move on each side, inwards.
        assert band.lower[0] - exact[0] == pytest.approx(0.66 * per_step, rel=0.35)
        assert exact[1] - band.upper[0] == pytest.approx(0.66 * per_step, rel=0.35)
        assert band.growth * steps == pytest.approx(exact[2], rel=2e-4)
    coarse, fine = np.array(edges)
    np.testing.assert_allclose(2 * fine - coarse, exact[:2], rtol=0, atol=1.5e-3)


def test_without_costs_the_band_is_the_best_constant_weight():
    growth, probability, cash = outcomes(0.08, 0.4, 252)
    band = b.solve_band(growth, probability, cash, 0.0)
    assert band.lower == band.upper == pytest.approx(0.5, abs=1e-3)
    weights = np.array([0.5, 0.5])
    free = step_growth(weights, np.array([0.08]), np.array([[0.16]]), 1 / 252)
    assert band.growth == pytest.approx(free, abs=1e-10)


@pytest.mark.parametrize("weight", [0.2, 0.5, 0.9])
def test_the_band_holds_the_merton_weight_and_widens_with_the_cost(weight):
    widths = []
    for cost in (0.0005, 0.002, 0.01):
        growth, probability, cash = outcomes(weight * 0.16, 0.4, 252)
        band = b.solve_band(growth, probability, cash, cost)
        assert band.lower[0] < weight < band.upper[0]
        widths.append(band.upper[0] - band.lower[0])
    assert widths[0] < widths[1] < widths[2]


def test_growth_of_the_band_is_what_a_rollout_earns_and_no_neighbour_earns_more():
    drift, sigma, cost, steps = 0.08, 0.4, 0.01, 252
    growth, probability, cash = outcomes(drift, sigma, steps)
    band = b.solve_band(growth, probability, cash, cost)
    low, high = band.lower[0], band.upper[0]
    rng = np.random.default_rng(3)
    half = rng.standard_normal((1000, 1500))
    shocks = np.concatenate([half, -half])
    paths = np.exp((drift - sigma**2 / 2) / steps + sigma / np.sqrt(steps) * shocks)

    grid = np.linspace(0, 1, 201)
    mean = np.log(grid[:, None] * growth + (1 - grid[:, None]) * cash) @ probability

    def earned(lower, upper, expected=lambda w: np.interp(w, grid, mean)):
        return reference.band_growth(paths, cash, cost, lower, upper, (low + high) / 2, expected)

    for best in (earned(low, high), earned(low, high, None)):
        pairs = best.reshape(2, -1).mean(axis=0)  # a path and its mirror image
        error = pairs.std() / np.sqrt(pairs.size)
        assert abs(pairs.mean() - 1500 * band.growth) < 4 * error + 0.02 * cost
    best = earned(low, high)
    neighbours = {
        "wider": (low - 0.06, high + 0.06),
        "narrower": (low + 0.05, high - 0.05),
        "higher": (low + 0.06, high + 0.06),
        "lower": (low - 0.06, high - 0.06),
        "always": (0.5, 0.5),
        "never": (0.0, 1.0),
    }
    for name, edges in neighbours.items():
        gain = (best - earned(*edges)).reshape(2, -1).mean(axis=0)
        assert gain.mean() > 3 * gain.std() / np.sqrt(gain.size), name


def test_states_that_differ_in_nothing_give_one_band():
    growth, probability, cash = outcomes(0.08, 0.4, 252)
    one = b.solve_band(growth, probability, cash, 0.005)
    moves = np.array([[0.9, 0.1], [0.2, 0.8]])
    two = b.solve_band(np.stack([growth, growth]), probability, cash, 0.005, transition=moves)
    np.testing.assert_allclose(two.lower, one.lower[0], atol=1e-3)
    np.testing.assert_allclose(two.upper, one.upper[0], atol=1e-3)
    assert two.growth == pytest.approx(one.growth, abs=1e-11)


def test_a_state_moves_the_band_and_short_lived_states_move_it_less():
    nodes, probability = normal_nodes(1, 7)
    growth = 1 + np.array([[-0.001], [0.0014]]) + 0.02 * nodes[:, 0]
    widths = []
    for stay in (0.99, 0.5):
        moves = np.array([[stay, 1 - stay], [1 - stay, stay]])
        band = b.solve_band(growth, probability, 1.0, 0.005, transition=moves)
        assert band.upper[0] < band.lower[1] or stay == 0.5
        assert band.lower[0] <= band.lower[1] and band.upper[0] <= band.upper[1]
        widths.append(np.clip(0.5, band.lower, band.upper))
    # From 0.5 one sells when the bad state lasts, and waits when it will be over soon.
    assert widths[0][0] < 0.2 and widths[1][0] > 0.4


@pytest.mark.parametrize("reversion", [0.02, 0.3, 1.0])
def test_factor_states_have_the_moments_of_the_factor(reversion):
    values, moves = b.factor_states(reversion)
    decay = 1 - reversion
    np.testing.assert_allclose(moves.sum(axis=1), 1, atol=1e-12)
    assert (moves >= 0).all()
    np.testing.assert_allclose(moves @ values, decay * values, atol=1e-12)
    spread = moves @ values**2 - (moves @ values) ** 2
    np.testing.assert_allclose(spread, 1 - decay**2, atol=1e-12)
    law = np.full(len(values), 1 / len(values)) @ np.linalg.matrix_power(moves, 5000)
    assert law @ values**2 == pytest.approx(1, abs=1e-9)
    assert law @ values**4 == pytest.approx(3, abs=0.06)  # nearly normal


def test_what_cannot_be_solved_is_refused():
    growth, probability, cash = outcomes(0.08, 0.4, 252)
    with pytest.raises(InputError, match=r"cost must be a rate per side in \[0, 0.5\), got 0.7"):
        b.solve_band(growth, probability, cash, 0.7)
    with pytest.raises(InputError, match="a risky weight of 40 loses everything"):
        b.solve_band(growth, probability, cash, 0.001, highest=40.0)
