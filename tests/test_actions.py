"""Action maps against their slow twins, and what each of them can reach."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from envs.actions import LongShort, Simplex, Softmax, Trade, make_action_map
from envs.errors import InputError
from tests import reference

A = 4
wide = st.floats(-1.5, 1.5, width=32)
full_actions = arrays(np.float64, A + 1, elements=wide)
asset_actions = arrays(np.float64, A, elements=wide)
held_weights = arrays(np.float64, A + 1, elements=st.floats(1e-3, 1.0)).map(lambda w: w / w.sum())


def weights_of(action_map, action, held=None):
    held = np.append(np.zeros(A), 1.0) if held is None else held
    target = np.empty((1, A + 1))
    action_map.apply(np.asarray(action, np.float64)[None], held[None], target)
    return target[0]


@settings(max_examples=300, deadline=None)
@given(full_actions)
def test_softmax_and_simplex_equal_their_twins(action):
    softmax = Softmax(A)
    assert weights_of(softmax, action) == pytest.approx(
        reference.softmax(action, softmax.scale), abs=1e-13
    )
    projected = weights_of(Simplex(A), action)
    assert projected == pytest.approx(reference.simplex(action), abs=1e-13)
    for weights in (weights_of(softmax, action), projected):
        assert weights.min() >= 0 and weights.sum() == pytest.approx(1.0, abs=1e-14)


@settings(max_examples=300, deadline=None)
@given(asset_actions, held_weights, st.floats(0.5, 3.0), st.floats(0.0, 1.0))
def test_long_short_and_trade_equal_their_twins(action, held, gross, share):
    net = gross * share
    weights = weights_of(LongShort(A, gross, net), action)
    assert weights == pytest.approx(reference.long_short(action, gross, net), abs=1e-12)
    assert np.abs(weights[:-1]).sum() <= gross + 1e-12
    assert abs(weights[:-1].sum()) <= net + 1e-12
    traded = weights_of(Trade(A), action, held)
    assert traded == pytest.approx(reference.trade(action, held), abs=1e-13)
    assert traded.min() >= -1e-15 and traded.sum() == pytest.approx(1.0, abs=1e-14)


@pytest.mark.parametrize("n_assets", [1, 2, 20, 500])
def test_every_vertex_is_reached_within_the_box(n_assets):
    held = np.full((1, n_assets + 1), 1.0 / (n_assets + 1))
    for vertex in {0, n_assets - 1, n_assets}:
        goal = np.zeros(n_assets + 1)
        goal[vertex] = 1.0
        for action_map in (Softmax(n_assets), Simplex(n_assets), Trade(n_assets)):
            action = action_map.inverse(goal, held[0])
            assert np.abs(action).max() <= 1.0
            reached = np.empty_like(held)
            action_map.apply(action[None], held, reached)
            tolerance = 1e-3 if action_map.name == "softmax" else 1e-12
            assert np.abs(reached[0] - goal).max() <= tolerance + 1e-12
    long_short = LongShort(n_assets, 2.0, 1.0)
    if n_assets >= 2:
        goal = np.zeros(n_assets + 1)
        goal[[0, 1]] = 1.5, -0.5  # a vertex of gross 2, net 1
        goal[-1] = 0.0
        reached = np.empty_like(held)
        long_short.apply(long_short.inverse(goal)[None], held, reached)
        assert reached[0] == pytest.approx(goal, abs=1e-12)


@settings(max_examples=200, deadline=None)
@given(held_weights, held_weights)
def test_weights_survive_their_inverse(goal, held):
    for action_map in (Simplex(A), Trade(A), LongShort(A)):
        action = action_map.inverse(goal, held)
        assert weights_of(action_map, action, held) == pytest.approx(goal, abs=1e-12)
    if goal[:-1].max() / goal.min() < 500:  # softmax spans a finite ratio
        softmax = Softmax(A)
        assert weights_of(softmax, softmax.inverse(goal)) == pytest.approx(goal, abs=1e-9)


def test_simplex_leaves_weights_as_they_are():
    """Baselines name weights through this map; what they name must be what is traded."""
    rng = np.random.default_rng(0)
    for _ in range(200):
        goal = rng.dirichlet(np.full(A + 1, 0.3))
        assert np.abs(weights_of(Simplex(A), goal) - goal).max() <= 4e-16


def test_trade_holds_exactly():
    held = np.random.default_rng(1).dirichlet(np.ones(A + 1))
    assert weights_of(Trade(A), np.zeros(A), held)[:-1].tolist() == held[:-1].tolist()


@pytest.mark.parametrize("name", ["softmax", "simplex", "long_short", "trade"])
def test_nan_is_refused(name):
    action_map = make_action_map(name, A)
    action = np.zeros(action_map.n_actions)
    action[1] = np.nan
    with pytest.raises(InputError, match="portfolio 0 contains NaN"):
        weights_of(action_map, action)


@pytest.mark.parametrize("name", ["softmax", "simplex", "trade"])
def test_unreachable_weights_are_refused(name):
    short = np.array([1.2, -0.2, 0.0, 0.0, 0.0])
    with pytest.raises(InputError, match="long_short"):
        make_action_map(name, A).inverse(short, np.full(A + 1, 0.2))
    with pytest.raises(InputError, match="sum to 1"):
        make_action_map(name, A).inverse(np.full(A + 1, 0.5), np.full(A + 1, 0.2))


def test_limits_are_refused():
    with pytest.raises(InputError, match="gross 2"):
        LongShort(A, 1.0, 1.0).inverse(np.array([1.0, -1.0, 0, 0, 1.0]))
    with pytest.raises(InputError, match="net"):
        LongShort(A, 1.0, 2.0)
    with pytest.raises(InputError, match="softmax, simplex"):
        make_action_map("softmaks", A)
