"""Targets: from the execution's price on, three directions that differ, nothing beyond reach."""

import math

import numpy as np
import pandas as pd
import pytest

from networks.forecast import BUY, HOLD, HORIZONS, SELL
from networks.targets import UNKNOWN, check_apart, ewma_volatility, make_targets, usable_rows

T, A = 120, 3
LAG = {"same_close": 0, "next_close": 1, "next_open": 1}


def prices(seed=0, rows=T, assets=A, scale=0.02):
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(scale * rng.standard_normal((rows, assets)), axis=0))
    return close, close * np.exp(0.01 * rng.standard_normal((rows, assets)))


def twin(close, opens, can, execution, delay, threshold):
    """Every target from its definition, one cell at a time."""
    lag = LAG[execution] + delay
    traded = opens if execution == "next_open" else close
    rows, assets = close.shape

    def at(table, t, a):
        while t >= 0 and not can[t, a]:
            t -= 1
        return table[t, a] if t >= 0 else math.nan

    found = {}
    for t in range(rows):
        for a in range(assets):
            changes = [
                at(close, s, a) / at(close, s - 1, a) - 1
                for s in range(1, t + 1)
                if can[s, a] and not math.isnan(at(close, s - 1, a))
            ]
            sigma = math.nan
            if len(changes) >= 20:
                decay = [(1 - 2 / 61) ** k for k in range(len(changes))][::-1]
                total = sum(w * r * r for w, r in zip(decay, changes, strict=True))
                sigma = math.sqrt(total / sum(decay))
            raw, standard = [], []
            for h in HORIZONS:
                entry, leave = t + lag, t + lag + h
                one = math.nan
                if leave < rows and can[t, a] and can[entry, a] and can[leave, a]:
                    one = traded[leave, a] / traded[entry, a] - 1
                raw.append(one)
                standard.append(one / (sigma * math.sqrt(h)))
            direction = UNKNOWN
            if not math.isnan(standard[0]):
                direction = HOLD
                if standard[0] > threshold:
                    direction = BUY
                if standard[0] < -threshold:
                    direction = SELL
            log_volatility = math.nan
            if not math.isnan(standard[-1]):
                steps = [
                    at(traded, s, a) / at(traded, s - 1, a) - 1
                    for s in range(t + lag + 1, t + lag + 21)
                ]
                log_volatility = math.log(math.sqrt(sum(r * r for r in steps) / 20) / sigma)
            found[t, a] = (direction, raw, standard, log_volatility, sigma)
    return found


@pytest.mark.parametrize("execution", list(LAG))
@pytest.mark.parametrize("delay", [0, 2])
def test_every_cell_is_what_its_definition_says(execution, delay):
    close, opens = prices(1, rows=70)
    can = np.ones(close.shape, bool)
    can[:10, 1] = can[30:34, 2] = can[60:, 0] = False
    close[~can] = opens[~can] = np.nan
    made = make_targets(
        close, execution=execution, delay=delay, open=opens, tradable=can, threshold=0.3
    )
    expected = twin(close, opens, can, execution, delay, 0.3)
    for (t, a), (direction, raw, standard, log_volatility, sigma) in expected.items():
        assert made.direction[t, a] == direction
        np.testing.assert_allclose(made.raw_return[t, a], raw, rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(made.expected_return[t, a], standard, rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(made.log_volatility[t, a], log_volatility, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(made.volatility[t, a], sigma, rtol=1e-12)
    assert {UNKNOWN, SELL, HOLD, BUY} == set(np.unique(made.direction))


def test_volatility_is_the_weighted_mean_square_of_pandas():
    close, _ = prices(2)
    square = pd.DataFrame(close).pct_change() ** 2
    expected = np.sqrt(square.ewm(span=60, min_periods=20).mean())
    np.testing.assert_allclose(
        ewma_volatility(close, np.ones(close.shape, bool)), expected, rtol=1e-12
    )


def test_what_moves_between_decision_and_execution_is_in_no_target():
    """A jump in the row of the execution is missed by next_close, and earned by same_close."""
    close = np.full((60, 1), 100.0)
    close[1::2] = 101.0
    jump = close.copy()
    jump[41:] *= 1.5  # the decision of row 40 is executed at row 41
    calm, moved = make_targets(close), make_targets(jump)
    np.testing.assert_allclose(moved.raw_return[40], calm.raw_return[40], rtol=1e-12)
    early = make_targets(jump, execution="same_close")
    assert early.raw_return[40, 0, 0] > 0.4 and early.direction[40, 0] == BUY


@pytest.mark.parametrize("execution", list(LAG))
@pytest.mark.parametrize("delay", [0, 1])
def test_nothing_beyond_the_reach_is_in_a_target_and_the_reach_is_no_longer_than_it_must(
    execution, delay
):
    close, opens = prices(3)
    made = make_targets(close, execution=execution, delay=delay, open=opens)
    assert made.reach == LAG[execution] + delay + 20
    for t in (30, 61, T - made.reach - 2):
        other, other_opens = close.copy(), opens.copy()
        other[t + made.reach + 1 :] *= 3
        other_opens[t + made.reach + 1 :] *= 3
        again = make_targets(other, execution=execution, delay=delay, open=other_opens)
        for one, two in zip(made[:-1], again[:-1], strict=True):
            np.testing.assert_array_equal(one[: t + 1], two[: t + 1])
        # One row earlier, the longest horizon of row t sees it.
        other[t + made.reach] *= 1.001
        other_opens[t + made.reach] *= 1.001
        again = make_targets(other, execution=execution, delay=delay, open=other_opens)
        assert (made.raw_return[t, :, -1] != again.raw_return[t, :, -1]).all()


def test_volatility_knows_nothing_of_the_future():
    close, _ = prices(4)
    other = close.copy()
    other[51:] = prices(5)[0][51:]
    one, two = make_targets(close).volatility, make_targets(other).volatility
    np.testing.assert_array_equal(one[:51], two[:51])
    assert (one[51:] != two[51:]).all()


# ------------------------------------------------------------------ trap: labels that fall together
def directions_of(label, z):
    """`label` on standardised returns z, through prices that make them."""
    rows = 40
    close = np.full((rows + 3, len(z)), 100.0)
    close[1::2] = 101.0
    sigma = ewma_volatility(close, np.ones(close.shape, bool))[rows - 1]
    close[rows] = close[rows - 1]
    close[rows + 1] = close[rows] * (1 + np.asarray(z) * sigma)
    close[rows + 2] = close[rows + 1]
    return label(close)[rows - 1].tolist()


def planted(close):
    """Sell is 0, and hold, buy and a weak sell are all 1, as in a well-known example."""
    made = make_targets(close, threshold=0.25)
    change = made.expected_return[..., 0]
    return np.where(change < -1.0, 0, np.where(np.isfinite(change), 1, -1))


CASES = {-3.0: SELL, -0.3: SELL, -0.2: HOLD, 0.0: HOLD, 0.2: HOLD, 0.3: BUY, 3.0: BUY}


def test_strong_and_weak_moves_of_either_sign_and_none_have_their_own_labels():
    def label(close):
        return make_targets(close, threshold=0.25).direction

    assert directions_of(label, list(CASES)) == list(CASES.values())
    assert directions_of(planted, list(CASES)) != list(CASES.values())


def test_labels_are_symmetric():
    close, _ = prices(6, scale=0.01)
    logs = np.log(close / close[0])
    z = make_targets(close, threshold=0.4).direction
    mirrored = make_targets(100 * np.exp(-logs), threshold=0.4).direction
    known = z != UNKNOWN
    # Simple returns of a mirrored price differ from the negative ones by their square.
    assert (mirrored[known] == 2 - z[known]).mean() > 0.95


def test_a_threshold_of_zero_holds_only_where_nothing_moved():
    close, _ = prices(7)
    close[80] = close[81]
    made = make_targets(close, threshold=0.0)
    assert (made.direction[79] == HOLD).all()
    assert set(np.unique(made.direction[22:75])) == {SELL, BUY}


# ------------------------------------------------------------------ trap: no gap at the split
def overlaps(train, validation_first, reach):
    """Whether a change of all prices from the validation on changes a training target."""
    close, _ = prices(8, rows=200)
    other = close.copy()
    other[validation_first:] *= np.linspace(1.1, 2, 200 - validation_first)[:, None]
    one, two = make_targets(close), make_targets(other)
    assert one.reach == reach
    return not np.array_equal(one.raw_return[train], two.raw_return[train], equal_nan=True)


def test_training_rows_that_are_purged_see_nothing_of_the_validation():
    reach = make_targets(prices()[0]).reach
    purged = usable_rows((40, 140), reach)
    assert purged[-1] == 140 - reach - 1
    assert not overlaps(purged, 140, reach)
    check_apart(purged, np.arange(140, 160), reach, window=5)


@pytest.mark.parametrize("gap", [0, 1, 20])
def test_a_gap_that_is_too_short_is_refused(gap):
    reach = make_targets(prices()[0]).reach
    rows = np.arange(40, 140 - gap)
    assert overlaps(rows, 140, reach)
    with pytest.raises(
        ValueError, match=rf"training row {139 - gap} and validation row 140 .*purge"
    ):
        check_apart(rows, np.arange(140, 160), reach, window=5)


def test_windows_do_not_cross_the_split():
    validation = usable_rows((140, 199), 21, window=30)
    assert validation[0] == 169 and validation[-1] == 177
    check_apart(np.arange(40, 140), validation, 21, window=30)
    with pytest.raises(ValueError, match="window crosses the split"):
        check_apart(np.arange(40, 140), validation - 1, 21, window=30)
    # Rows after the validation are held to the same distance.
    with pytest.raises(ValueError, match="training row 190 and validation row 177"):
        check_apart(np.arange(190, 199), validation, 21, window=10)


def test_a_split_that_is_too_short_is_named():
    with pytest.raises(ValueError, match="give the split more than 50 rows"):
        usable_rows((100, 150), 21, window=30)
    assert usable_rows((100, 151), 21, window=30).tolist() == [129]


# -------------------------------------------------------------------------------- wrong input
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"execution": "tomorrow"}, "known: same_close, next_close, next_open"),
        ({"execution": "next_open"}, "needs open prices"),
        ({"delay": -1}, "delay must be 0 or more whole rows, got -1"),
        ({"delay": True}, "delay must be 0 or more whole rows"),
        ({"threshold": -0.1}, "threshold must be 0 or more"),
        ({"threshold": float("nan")}, "threshold must be 0 or more"),
        ({"tradable": np.ones((2, 2), bool)}, "tradable must be"),
    ],
)
def test_wrong_settings_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        make_targets(prices()[0], **arguments)


@pytest.mark.parametrize("value", [np.nan, 0.0, -1.0, np.inf])
def test_wrong_prices_are_named(value):
    close, _ = prices()
    close[17, 2] = value
    with pytest.raises(ValueError, match="row 17, asset 2"):
        make_targets(close, tradable=np.ones(close.shape, bool))


def test_data_shorter_than_the_horizons_have_unknown_targets():
    made = make_targets(prices(rows=15)[0])
    assert (made.direction == UNKNOWN).all() and np.isnan(made.expected_return).all()
