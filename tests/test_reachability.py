"""What the search finds is what the closed forms say, and what `envs.actions` claims."""

import itertools
import json
import math

import numpy as np
import pytest

from envs.actions import VERTEX_TOLERANCE, LongShort, Simplex, Softmax, Trade
from experiments.reachability import elsewhere, main, measure, minimum, ours, report

E = math.e


@pytest.mark.parametrize("n", [2, 3, 10, 30])
def test_a_softmax_on_0_1_is_confined(n):
    found = measure(elsewhere(n))
    assert found.low == pytest.approx(1 / (1 + (n - 1) * E), rel=1e-9)
    assert found.high == pytest.approx(E / (E + n - 1), rel=1e-9)
    assert found.to_asset == pytest.approx(1 - E / (E + n - 1), rel=1e-9)
    assert (found.cash_low, found.cash_high, found.to_cash) == (0, 0, pytest.approx(1))
    if n == 30:
        assert (round(100 * found.low, 2), round(100 * found.high, 1)) == (1.25, 8.6)


@pytest.mark.parametrize("n", [2, 3, 4])
def test_the_turnover_of_a_softmax_on_0_1_is_that_of_two_corners(n):
    """Between the two corners of the box that lie furthest apart, found by trying all."""
    corners = np.array(list(itertools.product((0.0, 1.0), repeat=n)))
    weights = np.exp(corners) / np.exp(corners).sum(axis=1, keepdims=True)
    largest = np.abs(weights[:, None] - weights[None]).sum(axis=2).max()
    assert measure(elsewhere(n)).turnover == pytest.approx(largest, rel=1e-7)


@pytest.mark.parametrize("n", [1, 3, 10, 30])
def test_softmax_reaches_what_it_claims(n):
    found = measure(ours(Softmax(n)))
    odds = math.exp(2 * Softmax(n).scale)  # between the two ends of the box
    assert found.high == pytest.approx(odds / (odds + n), rel=1e-9)
    assert found.cash_low == pytest.approx(1 / (1 + n * odds), rel=1e-6)
    for highest in (found.high, found.cash_high):
        assert highest == pytest.approx(1 - VERTEX_TOLERANCE, abs=1e-9)
    assert max(found.to_asset, found.to_cash) <= VERTEX_TOLERANCE * (1 + 1e-9)
    assert found.low == pytest.approx(1 / (1 + n * odds), rel=1e-6)


@pytest.mark.parametrize("n", [3, 10, 30])
@pytest.mark.parametrize("make", [Simplex, Trade])
def test_simplex_and_trade_reach_the_whole_simplex(make, n):
    found = measure(ours(make(n)))
    assert (found.low, found.cash_low) == (pytest.approx(0, abs=1e-9), pytest.approx(0, abs=1e-9))
    assert (found.high, found.cash_high) == (pytest.approx(1, abs=1e-9), pytest.approx(1, abs=1e-9))
    assert max(found.to_asset, found.to_cash, found.to_equal) < 1e-7
    assert found.turnover == pytest.approx(2, abs=1e-7)


@pytest.mark.parametrize("make", [Simplex, Trade])
def test_any_portfolio_of_the_simplex_is_found(make):
    """Not by its inverse: the search is told the goal only."""
    rng = np.random.default_rng(0)
    searched = ours(make(4))
    for _ in range(5):
        # No weight below 2 %: those hide from any search on the plateau where they are cut to 0.
        goal, held = 0.02 + 0.9 * rng.dirichlet(np.ones(5), 2)

        def left(actions, goal=goal, held=held):
            reached = searched.weights(actions, np.tile(held, (len(actions), 1)))
            return np.sqrt(((reached - goal) ** 2).sum(axis=1))

        assert minimum(left, searched.size, searched.bounds, 4, 0) < 1e-6


@pytest.mark.parametrize(("gross", "net"), [(1.0, 1.0), (2.0, 0.5), (1.6, 1.0), (1.5, 0.0)])
def test_long_short_reaches_its_limits(gross, net):
    found = measure(ours(LongShort(5, gross, net)))
    assert found.high == pytest.approx((gross + net) / 2, abs=1e-7)
    assert found.low == pytest.approx(-(gross + net) / 2, abs=1e-7)
    assert found.cash_low == pytest.approx(1 - net, abs=1e-7)
    assert found.cash_high == pytest.approx(1 + net, abs=1e-7)
    assert found.turnover == pytest.approx(2 * gross, abs=1e-6)
    assert found.to_cash < 1e-7
    if net >= 1:
        assert max(found.to_asset, found.to_equal) < 1e-7


def test_the_table_has_every_map_for_every_size(tmp_path, capsys):
    assert main(["--assets", "2", "3", "--json", str(tmp_path / "reach.json")]) == 0
    shown = capsys.readouterr().out
    rows = json.loads((tmp_path / "reach.json").read_text())
    assert len(rows) == 10 and {row["map"] for row in rows} >= {"softmax", "trade", "long_short"}
    assert all(row["map"] in shown for row in rows)
    assert main(["--assets", "2", "--markdown"]) == 0
    assert capsys.readouterr().out.count("\n") == 7
    assert report([2], 1.0, 1.0) == report([2], 1.0, 1.0)


@pytest.mark.parametrize("arguments", [["--assets", "0"], ["--net", "3"], ["--gross", "-1"]])
def test_bad_input_is_explained(arguments, capsys):
    assert main(arguments) == 2
    assert "error:" in capsys.readouterr().err
