"""Ten mistakes that are common in example code of this field, each planted and caught.

Every test states what must hold as a guard. Ours passes it; the mistake, written out beside it, is
caught by the very same guard.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn import functional

from agents.forecasting import Forecasting
from agents.rollout import rollout
from envs.data import file
from envs.data.synthetic import synthetic
from envs.errors import InputError
from envs.features import Published, StandardScaler, build_features
from envs.features.panel import FeaturePanel
from envs.features.releases import Releases
from envs.portfolio import PortfolioEnv
from envs.simulation import make_setting
from experiments.evaluation import metrics
from experiments.evaluation.predictive import Measure
from experiments.evaluation.skill import Trials, measure_skill
from experiments.predictions import in_words
from networks import losses
from networks.forecast import BUY, HOLD, SELL, Forecast
from networks.objective import Objective
from networks.targets import check_apart, make_targets
from networks.windows import Batch
from tests.gaps import with_listing


def only_the_trap_is_caught(guard, ours, *traps):
    """The guard passes what is ours and catches every mistake."""
    guard(ours)
    for trap in traps:
        with pytest.raises(AssertionError):
            guard(trap)


# ---------------------------------------------------------------------- 1: labels
def test_1_every_direction_has_a_label_of_its_own():
    calm = np.tile([1.01, 1 / 1.01], 30)

    def guard(label):
        found = {}
        for name, move in (("fall", -0.03), ("dip", -0.004), ("drift", 0.001), ("rise", 0.03)):
            # Decided at row 60, executed at 61, earned by 62.
            growth = np.concatenate([[100.0], calm, [1.0, 1 + move], np.ones(25)])
            found[name] = int(label(np.cumprod(growth)[:, None])[60, 0])
        assert found["rise"] == BUY
        assert found["fall"] == found["dip"] == SELL
        assert found["drift"] == HOLD

    def ours(close):
        return make_targets(close, threshold=0.25).direction

    def middle_for_all(close):
        """A chain of conditions that leaves hold, buy and a weak fall in the same class."""
        move = np.full(close.shape, np.nan)
        move[:-2] = close[2:] / close[1:-1] - 1
        label = np.where(move < -0.01, 0, 1)
        return np.where(move > 0.05, 2, label)

    def two_without_a_middle(close):
        label = ours(close)
        return np.where(label == HOLD, BUY, label)

    def same_day(close):
        """The return that the decision has already seen."""
        return np.roll(ours(close), 2, axis=0)

    only_the_trap_is_caught(guard, ours, middle_for_all, two_without_a_middle, same_day)


# ---------------------------------------------------------------------- 2: filling and scaling
@pytest.fixture(scope="module")
def prices():
    return synthetic(n_rows=240, n_assets=3, seed=8)


def test_2_nothing_is_filled_from_the_future(prices):
    market = with_listing(prices, 1, 120)

    def guard(build):
        row = 60
        close = market.close.copy()
        close[row + 1 :] *= np.linspace(1.0, 3.0, market.n_rows - row - 1)[:, None]
        one, two = build(market), build(replace(market, close=close))
        np.testing.assert_array_equal(one.values[: row + 1], two.values[: row + 1])

    def ours(market):
        return build_features(market, ["return_1", "sma_ratio_50"])

    def filled_from_both_sides(market):
        close = pd.DataFrame(market.close).ffill().bfill().to_numpy()
        whole = replace(
            market, close=close, tradable=np.ones(close.shape, bool), delisting_value=None
        )
        level = np.log(whole.close)[:, :, None].astype(np.float32)
        return FeaturePanel(level, ("level",))

    only_the_trap_is_caught(guard, ours, filled_from_both_sides)


def test_2_a_file_cannot_be_filled_backwards(tmp_path):
    with pytest.raises(InputError, match="fill='bfill' must be null or ffill"):
        file(str(tmp_path / "any.csv"), fill="bfill")


def test_2_the_scaler_sees_training_rows_alone(prices):
    panel = build_features(prices, ["return_1", "volatility_21"])
    stop = 150

    def guard(fit):
        values = panel.values.copy()
        values[stop:] = values[stop:] * 3.0 + 1.0
        later = replace(panel, values=values)
        one, two = (fit(p).transform(p).values[:stop] for p in (panel, later))
        np.testing.assert_array_equal(one, two)

    only_the_trap_is_caught(
        guard,
        lambda p: StandardScaler(clip=10.0).fit(p, 0, stop),
        lambda p: StandardScaler(clip=10.0).fit(p, 0, len(p.values)),
    )


# ---------------------------------------------------------------------- 3: walk-forward
def windows_of(market, *rows):
    panel = build_features(market, ["return_1", "return_5"])
    features = StandardScaler(clip=10.0).fit(panel, *rows[0]).transform(panel)
    make = {"observation": "indexed", "action": "simplex", "window": 4}
    return [make_setting(market, features, start=a, stop=b, **make) for a, b in rows]


@dataclass(frozen=True, kw_only=True)
class WithoutAGap(Forecasting):
    """Learns from every row of the window, though its labels reach into the next."""

    def rows(self, training, validation, targets):
        learned = np.arange(training.first, training.last + 1)
        return learned, np.arange(validation.first, validation.last + 1 - targets.reach)


TINY = {"predictor": "lstm", "predictor_settings": {"hidden": [4]}, "epochs": 1}


def test_3_labels_of_training_end_before_validation_begins(prices):
    training, validation = windows_of(prices, (30, 130), (131, 200))

    def guard(agent):
        targets = agent.targets(training)
        assert targets.reach >= 20
        learned, chosen = agent.rows(training, validation, targets)
        assert learned[-1] + targets.reach < validation.first <= chosen[0]

    only_the_trap_is_caught(guard, Forecasting(**TINY), WithoutAGap(**TINY))


def test_3_a_training_without_a_gap_is_refused(prices, tmp_path):
    with pytest.raises(InputError, match="training would see prices of the validation"):
        WithoutAGap(**TINY).train(
            *windows_of(prices, (30, 130), (131, 200)), seed=0, folder=tmp_path
        )
    with pytest.raises(ValueError, match="a window crosses the split"):
        check_apart(range(30, 60), range(90, 99), reach=20, window=40)


def test_3_every_window_begins_with_a_new_network(prices, tmp_path):
    first = windows_of(prices, (30, 100), (121, 160))
    second = windows_of(prices, (30, 140), (161, 210))

    @dataclass(frozen=True, kw_only=True)
    class Warm(Forecasting):
        """Hands the network of one window on to the next."""

        def make_predictor(self, setting):
            if not hasattr(Warm, "kept"):
                Warm.kept = super().make_predictor(setting)
            return Warm.kept.train()

    def guard(kind):
        agent = kind(**TINY)
        folder = tmp_path / kind.__name__
        agent.train(*first, seed=0, folder=folder / "window_1")
        after = agent.train(*second, seed=0, folder=folder / "window_2").policy.network
        alone = Forecasting(**TINY).train(*second, seed=0, folder=folder / "alone").policy.network
        for one, two in zip(after.parameters(), alone.parameters(), strict=True):
            assert torch.equal(one, two)

    only_the_trap_is_caught(guard, Forecasting, Warm)


# ---------------------------------------------------------------------- 4, 5, 6: measures
EARNED = np.array([0.02, -0.01, 0.03, -0.02, 0.01, 0.005])


def test_4_sortino_has_one_unit_and_the_root_mean_square_of_shortfalls():
    def guard(sortino):
        # Mean 0.035 / 6; shortfalls 0.01 and 0.02: root of 0.0005 / 6.
        assert sortino(EARNED) == pytest.approx(np.sqrt(252) * (0.035 / 6) / np.sqrt(0.0005 / 6))

    def mixed_units(r):
        below = np.minimum(r, 0.0)
        return r.mean() / (np.sqrt(np.mean(below**2)) * np.sqrt(252))

    def deviation_of_losses(r):
        return np.sqrt(252) * r.mean() / r[r < 0].std(ddof=1)

    only_the_trap_is_caught(
        guard, lambda r: metrics.sortino(r, 252.0), mixed_units, deviation_of_losses
    )
    guard(lambda r: float(losses.sortino(torch.tensor(r), 252.0)))


def test_5_profit_factor_is_all_gains_over_all_losses():
    def guard(profit_factor):
        assert profit_factor(EARNED) == pytest.approx(0.065 / 0.03)

    def payoff_ratio(r):
        return r[r > 0].mean() / -r[r < 0].mean()

    only_the_trap_is_caught(guard, metrics.profit_factor, payoff_ratio)


class Sure:
    """Half of the wealth in each asset, every day."""

    name, observation, action = "sure", "indexed", "simplex"

    def predict(self, observation, state=None, episode_start=None, deterministic=True):
        return np.array([0.5, 0.5, 0.0, 0.0]), state


def test_6_total_return_is_compounded_everywhere(prices):
    done = rollout(Sure(), PortfolioEnv.from_setting(windows_of(prices, (30, 230))[0]))

    def guard(total_return):
        assert total_return(np.array([0.5, -0.5])) == pytest.approx(-0.25)
        assert total_return(done.net_return) == pytest.approx(done.value[-1] / done.value[0] - 1)

    def summed(r):
        return r.sum()

    def of_logs(r):
        return np.log1p(r).sum()

    only_the_trap_is_caught(guard, metrics.total_return, summed, of_logs)
    # What is derived from it elsewhere agrees.
    growth = 1 + metrics.cagr(done.net_return, 252.0)
    assert growth ** (len(done.dates) / 252.0) == pytest.approx(done.value[-1])


# ---------------------------------------------------------------------- 7: confidence
def test_7_confidence_is_held_against_whether_it_was_right():
    n = 40
    logits = torch.zeros(n, 1, 3)
    logits[..., BUY] = 1.0

    def guard(loss):
        for share in (0.25, 0.75):
            came = torch.full((n, 1), SELL)
            came[: int(share * n)] = BUY
            batch = Batch(torch.empty(n, 1, 1, 1), came, None, None, torch.arange(n))  # type: ignore[arg-type]
            stated = torch.linspace(0.05, 0.95, 19)
            each = [
                float(
                    loss(
                        Forecast(logits, None, torch.full((n, 1), float(p)).logit(), None, None),
                        batch,
                    )
                )  # type: ignore[arg-type]
                for p in stated
            ]
            assert stated[int(np.argmin(each))] == pytest.approx(share)

    only_confidence = Objective(
        direction=0.0, expected_return=0.0, quantiles=0.0, volatility=0.0, confidence=1.0
    )

    def of_itself(forecast, batch):
        """A loss without a target: it drives every confidence to the same number."""
        return functional.mse_loss(forecast.confidence.sigmoid(), torch.ones(n, 1))

    def of_the_class(forecast, batch):
        """A target that is no confidence: which direction came."""
        return functional.mse_loss(forecast.confidence.sigmoid(), batch.direction / 2.0)

    only_the_trap_is_caught(guard, only_confidence, of_itself)
    # Here buy is what is forecast, so that the two agree; where sell is, they do not.
    logits[..., SELL] = 2.0

    def sold(loss):
        came = torch.full((n, 1), SELL)
        came[:10] = BUY
        batch = Batch(torch.empty(n, 1, 1, 1), came, None, None, torch.arange(n))  # type: ignore[arg-type]
        low, high = (
            float(loss(Forecast(logits, None, torch.full((n, 1), p).logit(), None, None), batch))  # type: ignore[arg-type]
            for p in (0.25, 0.75)
        )
        assert high < low

    only_the_trap_is_caught(sold, only_confidence, of_the_class)


# ---------------------------------------------------------------------- 8: publication
def inflation():
    periods = np.arange("2020-01", "2020-09", dtype="datetime64[M]")
    released = (periods + 1).astype("datetime64[D]") + 12
    return Releases(periods.astype("datetime64[D]"), released, np.arange(8.0))


DAYS = np.arange("2020-01-01", "2020-10-01", dtype="datetime64[D]")


def test_8_a_figure_counts_from_its_publication_on():
    series = inflation()

    def guard(align):
        daily = align(series, DAYS)
        day = np.datetime64("2020-05-31")
        # The figure of April came out on 13 May, that of May on 13 June.
        assert daily[DAYS == day] == 3.0
        assert np.isnan(daily[DAYS < series.released[0]]).all()
        changed = series.changed_after(day, np.random.default_rng(0))
        np.testing.assert_array_equal(daily[DAYS <= day], align(changed, DAYS)[DAYS <= day])

    def by_period(releases, days):
        """A join on the month that a figure describes."""
        place = np.searchsorted(releases.period, days, side="right") - 1
        return releases.value[place]

    def final_vintage(releases, days):
        """The right day and the wrong figure: what later revisions made of it."""
        known = releases.known_on(days)
        last = dict(zip(releases.period.tolist(), releases.value, strict=True))
        return np.where(np.isnan(known), known, known + last[releases.period[-1].item()] * 1e-3)

    only_the_trap_is_caught(guard, Releases.known_on, by_period, final_vintage)


def test_8_revisions_are_known_from_their_own_day_on():
    months = np.array(["2020-01", "2020-01"], "datetime64[M]").astype("datetime64[D]")
    revised = Releases(months, np.array(["2020-02-13", "2020-03-13"], "datetime64[D]"), [1.0, 5.0])

    def guard(align):
        daily = align(revised, DAYS)
        assert daily[DAYS == np.datetime64("2020-02-20")] == 1.0
        assert daily[DAYS == np.datetime64("2020-03-20")] == 5.0

    def final_vintage(releases, days):
        known = releases.known_on(days)
        return np.where(np.isnan(known), known, releases.value[-1])

    only_the_trap_is_caught(guard, Releases.known_on, final_vintage)


def test_8_so_does_a_feature_of_the_panel(prices):
    dates = np.arange("2020-01-01", "2020-08-28", dtype="datetime64[D]").astype("datetime64[ns]")
    market = replace(prices, dates=dates[: prices.n_rows])
    funds = inflation()

    def guard(source):
        row = 120
        later = source.changed_after(market.dates[row], np.random.default_rng(0))
        one, two = (
            build_features(market, ["fed_funds"], macro_series=Published({"FEDFUNDS": s})).values
            for s in (source, later)
        )
        np.testing.assert_array_equal(one[: row + 1], two[: row + 1])
        assert np.isnan(one[: np.searchsorted(market.dates, funds.released[0]), :, 0]).all()

    without_a_lag = replace(funds, released=funds.period)
    only_the_trap_is_caught(guard, funds, without_a_lag)


# ---------------------------------------------------------------------- 9: many trials
def test_9_the_best_of_a_hundred_trials_is_deflated():
    rng = np.random.default_rng(0)
    best = []
    for _ in range(60):
        tried = rng.normal(0, 0.01, (100, 500))
        ratio = np.sqrt(252) * tried.mean(axis=1) / tried.std(axis=1, ddof=1)
        best.append((tried[ratio.argmax()][None], float(ratio.var(ddof=1))))

    def guard(probability):
        claimed = np.mean([probability(*one) > 0.95 for one in best])
        assert claimed <= 0.15

    def deflated(excess, variance):
        return measure_skill(excess, 252.0, Trials(100, variance)).dsr

    def as_if_it_were_the_only_one(excess, variance):
        return measure_skill(excess, 252.0, Trials(1)).dsr

    only_the_trap_is_caught(guard, deflated, as_if_it_were_the_only_one)


# ---------------------------------------------------------------------- 10: what was measured
def judged(value, base, gain):
    m = Measure("accuracy", None, value, value - 0.01, value + 0.01, base, *gain, (value,))
    return {
        "level": 0.95,
        "agents": {
            "lstm": {
                "forecasts": 1000, "seeds": [0], "binomial": [value - 0.03, value + 0.03],
                "measures": [vars(m)],
            }
        },
    }  # fmt: skip


def test_10_an_accuracy_below_the_base_rate_is_no_success():
    fallen = judged(0.47, 0.54, (-0.07, -0.09, -0.05))

    def guard(words):
        said = " ".join(words(fallen))
        assert "47.0 %" in said and "54.0 %" in said
        assert "right less often than that" in said and "better" not in said

    def success(judged):
        """What it would say if the number were not looked at."""
        m = judged["agents"]["lstm"]["measures"][0]
        return [
            f"accuracy improved to {max(m['value'], m['base']) * 100:.1f} %: better than chance"
        ]

    only_the_trap_is_caught(guard, in_words, success)
    said = " ".join(in_words(judged(0.55, 0.54, (0.01, -0.02, 0.04))))
    assert "no difference" in said and "55.0 %" in said
    assert "are better than that" in " ".join(in_words(judged(0.6, 0.54, (0.06, 0.03, 0.09))))


def test_10_a_score_that_falls_in_training_is_kept_as_it_fell(prices, tmp_path):
    settings = windows_of(prices, (30, 120), (141, 200))
    told = []
    agent = Forecasting(**{**TINY, "epochs": 6}, learning_rate=0.3, gradient_clip=None)
    curve = agent.train(
        *settings, seed=1, folder=tmp_path, log=lambda step, figures: told.append((step, figures))
    ).curve

    def guard(shown):
        assert shown["validation"] == curve["validation"]
        assert len(shown["validation"]) == len(told)
        # The case at hand: it did fall after its best epoch.
        assert shown["validation"][-1] < max(shown["validation"])

    def best_so_far(curve):
        return {**curve, "validation": list(np.maximum.accumulate(curve["validation"]))}

    only_the_trap_is_caught(guard, curve, best_so_far(curve))
    logged = [next(v for k, v in f.items() if k.startswith("validation")) for _, f in told]
    assert [-x for x in logged] == pytest.approx(curve["validation"])
