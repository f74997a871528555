"""Allocators against closed forms, other solvers and the limits that they must keep."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from sklearn.covariance import ledoit_wolf

from agents.allocators import (
    ConfidenceWeighted,
    FractionalKelly,
    MeanVariance,
    TopK,
    VolatilityTarget,
    make_allocator,
)
from agents.outlook import Limits, Outlook
from envs.actions import LongShort, Simplex
from envs.errors import InputError
from envs.market.known_answers import optimum
from envs.market.processes import GeometricBrownian

QUICK = (
    TopK(k=2),
    TopK(k=2, by="score", invested=True),
    ConfidenceWeighted(low=0.4, high=0.5),
    FractionalKelly(),
    VolatilityTarget(window=5),
)
SETTINGS = "agent.allocator_settings"
LONG, BOTH = Limits(), Limits(True, 1.5, 0.5)


def outlook(expected, volatility=0.01, *, direction=None, confidence=0.6, returns=None, cash=0.0):
    """An outlook in which the return over h rows is h times that of one."""
    expected = np.asarray(expected, np.float64)
    n = len(expected)
    if direction is None:
        direction = np.where(expected > 0, 2, 0)
    return Outlook(
        probability=np.eye(3)[direction] * 0.5 + 1 / 6,
        expected=expected[:, None] * np.array([1.0, 5.0, 20.0]),
        confidence=np.broadcast_to(np.asarray(confidence, np.float64), n),
        volatility=np.broadcast_to(np.asarray(volatility, np.float64), n),
        cash=cash,
        returns=np.zeros((0, n)) if returns is None else returns,
        periods_per_year=252.0,
    )


def decide(allocator, seen, limits=LONG, held=None, tradable=None):
    n = len(seen.confidence)
    held = np.append(np.zeros(n), 1.0) if held is None else np.asarray(held)
    can = np.ones(n, bool) if tradable is None else np.asarray(tradable)
    return allocator.weights(seen, held, can, limits)


# ---------------------------------------------------------------------- each against its definition
def test_top_k_holds_the_best_in_equal_parts():
    seen = outlook([0.001, 0.004, -0.002, 0.003])
    assert decide(TopK(k=2), seen).tolist() == [0, 0.5, 0, 0.5, 0]


def test_top_k_ranks_by_return_for_the_risk():
    seen = outlook([0.004, 0.003], volatility=[0.04, 0.01])
    assert decide(TopK(k=1), seen).tolist() == [0, 1, 0]


def test_top_k_leaves_in_cash_what_is_not_expected_to_beat_it():
    seen = outlook([0.001, -0.001, -0.002], cash=0.0005)
    assert decide(TopK(k=2), seen).tolist() == [1, 0, 0, 0]
    assert decide(TopK(k=2), outlook([0.0002, -0.001], cash=0.0005)).tolist() == [0, 0, 1]
    assert decide(TopK(k=2, invested=True), seen).tolist() == [0.5, 0.5, 0, 0]


def test_top_k_by_score_and_short():
    seen = outlook([0.003, 0.001, -0.001, -0.004])
    found = decide(TopK(k=2, by="score"), seen, Limits(True, 2.0, 1.0))
    assert found == pytest.approx([0.75, 0.25, -0.2, -0.8, 1.0])


def test_top_k_never_holds_one_asset_on_both_sides():
    seen = outlook([0.003, 0.002, 0.001])
    found = decide(TopK(k=5, invested=True), seen, Limits(True, 1.0, 1.0))
    assert found == pytest.approx([0.5, 0, -0.5, 1])


@pytest.mark.parametrize("invested", [False, True])
def test_top_k_holds_a_single_asset_by_its_sign(invested):
    for expected, weight in ((0.002, 0.75), (-0.002, -0.75), (0.0, 0.0)):
        seen = outlook([expected])
        found = decide(TopK(k=1, invested=invested), seen, Limits(True, 1.5, 0.75))
        assert found == pytest.approx([weight, 1.0 - weight])


def test_the_horizon_chooses_the_forecast_that_is_read():
    seen = outlook([0.001, 0.002])
    seen.expected[0, 2] = 1.0
    assert decide(TopK(k=1), seen).argmax() == 1
    assert decide(TopK(k=1, horizon=20), seen).argmax() == 0


def test_confidence_is_the_size_and_the_likeliest_direction_the_sign():
    seen = outlook([0, 0, 0, 0], direction=[2, 0, 1, 2], confidence=[0.55, 0.7, 0.9, 0.4])
    allocator = ConfidenceWeighted(low=0.5, high=0.6)
    assert decide(allocator, seen) == pytest.approx([0.125, 0, 0, 0, 0.875])
    assert decide(allocator, seen, Limits(True, 1, 1)) == pytest.approx([0.125, -0.25, 0, 0, 1.125])


@pytest.mark.parametrize("drift", [0.03, 0.05, 0.11])
def test_whole_kelly_is_merton(drift):
    """The closed form of the known-answer markets, on steps so short that they hardly differ."""
    process = GeometricBrownian(
        drift=[drift], volatility=[0.4], cash_rate=0.02, periods_per_year=25200
    )
    known = optimum(process, action="long_short", gross=2.0, net=2.0).target
    seen = outlook([drift / 25200], 0.4 / np.sqrt(25200), cash=0.02 / 25200)
    limits = Limits.of(LongShort(1, 2.0, 2.0))
    found = decide(FractionalKelly(fraction=1.0, cap=9.0), seen, limits)
    assert found == pytest.approx(known, rel=2e-3)
    half = decide(FractionalKelly(fraction=0.5, cap=9.0), seen, limits)
    assert half[0] == pytest.approx(found[0] / 2)


def test_kelly_is_capped_by_asset():
    seen = outlook([0.01, -0.01, 0.00001])
    found = decide(FractionalKelly(fraction=1.0, cap=0.2), seen, Limits(True, 2, 2))
    assert found == pytest.approx([0.2, -0.2, 0.1, 0.9])


def test_the_portfolio_is_as_volatile_as_asked_for():
    rng = np.random.default_rng(1)
    returns = rng.normal(0, 0.01, (63, 3)) @ rng.normal(0, 1, (3, 3))
    volatility = np.array([0.02, 0.03, 0.05])
    seen = outlook([0.001, -0.002, 0.001], volatility, returns=returns)
    found = decide(VolatilityTarget(volatility=0.1), seen, Limits(True, 9, 9))[:-1]
    covariance = np.corrcoef(returns.T) * np.outer(volatility, volatility)
    assert np.sqrt(found @ covariance @ found * 252) == pytest.approx(0.1)
    assert np.abs(found * volatility) == pytest.approx(np.abs(found[0] * volatility[0]))
    assert np.sign(found).tolist() == [1, -1, 1]


def test_long_only_volatility_targeting_is_cash_when_all_shall_fall():
    seen = outlook([-0.001, -0.002], returns=np.ones((63, 2)))
    assert decide(VolatilityTarget(), seen).tolist() == [0, 0, 1]


@pytest.fixture(scope="module")
def trailing():
    rng = np.random.default_rng(3)
    return rng.normal(0, 0.01, (252, 4)) @ (np.eye(4) + 0.3)


def test_mean_variance_inside_the_limits_is_the_closed_form(trailing):
    expected = np.array([0.0004, -0.0003, 0.0002, 0.0001])
    allocator = MeanVariance(risk_aversion=8.0)
    found = decide(allocator, outlook(expected, returns=trailing), Limits(True, 50, 50))
    # The estimator of scikit-learn: with the divisor n, as that of skfolio.
    exact = np.linalg.solve(ledoit_wolf(trailing)[0], expected) / 8.0
    assert found[:-1] == pytest.approx(exact, rel=1e-3, abs=1e-4)


@pytest.mark.parametrize("limits", [LONG, BOTH], ids=["long", "both"])
def test_mean_variance_at_the_limits_is_that_of_another_solver(trailing, limits):
    expected, cash = np.array([0.002, -0.001, 0.0015, 0.001]), 0.0002
    seen = outlook(expected, returns=trailing, cash=cash)
    found = decide(MeanVariance(risk_aversion=5.0), seen, limits)[:-1]
    covariance = ledoit_wolf(trailing)[0]

    # Longs and shorts apart, so that the gross leverage is smooth.
    def loss(x):
        w = x[:4] - x[4:]
        return 1e3 * (2.5 * w @ covariance @ w - (expected - cash) @ w)

    other = minimize(
        loss, np.full(8, 0.1), method="SLSQP", options={"ftol": 1e-15, "maxiter": 1000},
        bounds=[(0, 2)] * 4 + [(0, 2 if limits.short else 0)] * 4,
        constraints=[
            {"type": "ineq", "fun": lambda x: limits.gross - x.sum()},
            {"type": "ineq", "fun": lambda x: limits.net - (x[:4] - x[4:]).sum()},
            {"type": "ineq", "fun": lambda x: limits.net + (x[:4] - x[4:]).sum()},
        ],
    )  # fmt: skip
    assert found == pytest.approx(other.x[:4] - other.x[4:], abs=2e-3)


def test_mean_variance_leaves_out_what_has_no_past_or_does_not_move(trailing):
    returns = trailing.copy()
    returns[0, 1], returns[:, 2] = np.nan, 0.0
    found = decide(MeanVariance(), outlook([0.001] * 4, returns=returns))
    assert found[1] == found[2] == 0 and found[0] > 0 and found[3] > 0


# ---------------------------------------------------------------------- what holds for all of them
@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), which=st.integers(0, len(QUICK) - 1), short=st.booleans())
def test_weights_keep_every_limit(seed, which, short):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 7))
    limits = BOTH if short else LONG
    seen = Outlook(
        rng.dirichlet([1, 1, 1], n), rng.normal(0, 0.02, (n, 3)), rng.random(n),
        rng.uniform(1e-4, 0.1, n), rng.normal(0, 1e-4), rng.normal(0, 0.01, (5, n)), 252.0,
    )  # fmt: skip
    held = limits.within(rng.normal(0, 0.5, n))
    can = rng.random(n) < 0.7
    found = decide(QUICK[which], seen, limits, np.append(held, 1 - held.sum()), can)
    assert found.sum() == pytest.approx(1.0, abs=1e-12)
    assert np.abs(found[:-1]).sum() <= limits.gross + 1e-9
    assert abs(found[:-1].sum()) <= limits.net + 1e-9 or not short
    if not short:
        assert found.min() >= -1e-12
        assert found[:-1][~can] == pytest.approx(held[~can], abs=1e-12)
    # Whoever answers in an action map reaches them.
    map_ = LongShort(n, limits.gross, limits.net) if short else Simplex(n)
    map_.inverse(found, np.append(held, 1 - held.sum()))


@settings(deadline=None)
@given(st.lists(st.floats(-3, 3), min_size=1, max_size=6))
def test_limits_cut_as_the_action_map_does(numbers):
    wished = np.array(numbers)
    action_map = LongShort(len(wished), 1.5, 0.5)
    target = np.empty((1, len(wished) + 1))
    small = np.clip(wished / 1.5, -1, 1)
    action_map.apply(small[None], np.zeros_like(target), target)
    assert BOTH.within(small * 1.5) == pytest.approx(target[0, :-1], abs=1e-12)


def test_a_halted_asset_stays_and_the_others_share_the_rest():
    seen = outlook([0.004, 0.003, 0.002])
    found = decide(TopK(k=2), seen, held=[0.4, 0.1, 0, 0.5], tradable=[False, True, True])
    assert found == pytest.approx([0.4, 0.3, 0.3, 0])


def test_what_cannot_be_traded_needs_no_forecast():
    seen = outlook([np.nan, 0.003])
    assert decide(TopK(k=1), seen, tradable=[False, True]) == pytest.approx([0, 1, 0])
    none = decide(TopK(), seen, held=[0.2, 0.3, 0.5], tradable=[False, False])
    assert none == pytest.approx([0.2, 0.3, 0.5])


def test_a_small_change_is_not_traded():
    seen = outlook([0.004, 0.003])
    held = [0.45, 0.5, 0.05]
    assert decide(TopK(k=2, hold_below=0.1), seen, held=held) == pytest.approx(held, abs=1e-15)
    assert decide(TopK(k=2, hold_below=0.01), seen, held=held) == pytest.approx([0.5, 0.5, 0])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: TopK(k=0), ".k=0 must be >= 1"),
        (lambda: TopK(by="rank"), ".by must be equal or score, got 'rank'"),
        (
            lambda: TopK(horizon=2),
            ".horizon must be one of 1, 5, 20, got 2",
        ),
        (lambda: TopK(hold_below=-1.0), ".hold_below must be 0 or more"),
        (
            lambda: TopK(invested="no"),
            ".invested='no' must be true or false",
        ),
        (
            lambda: ConfidenceWeighted(low=0.6, high=0.6),
            ".high must be above",
        ),
        (
            lambda: ConfidenceWeighted(low=-0.1),
            ".low must be a probability",
        ),
        (
            lambda: FractionalKelly(fraction=0.0),
            ".fraction must be positive",
        ),
        (
            lambda: VolatilityTarget(volatility=0.0),
            ".volatility must be positive",
        ),
        (lambda: VolatilityTarget(window=1), ".window=1 must be >= 2"),
        (lambda: make_allocator("topk"), "unknown agent.allocator 'topk'; did you mean top_k"),
        (lambda: make_allocator(3), "unknown agent.allocator 3"),
        (
            lambda: make_allocator("top_k", k2=3),
            " has no k2 .top_k.; did you mean k. Known: horizon, hold_below, k, by, invested",
        ),
        (lambda: make_allocator("top_k", name=3), " has no name .top_k."),
        (
            lambda: MeanVariance(risk_aversion=0.0),
            ".risk_aversion must be positive",
        ),
    ],
)
def test_wrong_settings_are_named(make, words):
    with pytest.raises(
        InputError, match=(words if words[0] == "u" else SETTINGS + words).replace("'", ".")
    ):
        make()


def test_a_forecast_that_is_not_finite_is_refused():
    with pytest.raises(InputError, match=r"forecast of asset 1 is not finite.*learning_rate"):
        decide(TopK(), outlook([0.1, np.nan]))
