"""Leaks to plant in a recipe, each beside its honest twin; `test_audit` must tell them apart."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch

from agents.sb3 import PPO
from envs.data import simulated
from envs.data.synthetic import synthetic
from envs.features import Published, StandardScaler, build_features
from envs.features.panel import FeaturePanel
from envs.features.releases import Releases
from envs.market.processes import Heston
from envs.simulation import make_setting
from experiments.evaluation.holdout import Holdout
from tests.gaps import with_halts, with_listing


def panel(values, name, warmup=0):
    """`[T, A]` as a panel of one feature."""
    return FeaturePanel(values[:, :, None].astype(np.float32), (name,), {}, warmup)


def growth(close):
    """`[T, A]` log return into each row; 0 in the first."""
    return np.vstack([np.zeros(close.shape[1]), np.diff(np.log(close), axis=0)])


# ---------------------------------------------------------------------- features
def filled(market, back):
    """Returns of prices of which every third is missing, filled from the row after or before."""
    rows = np.arange(market.n_rows)
    if back:
        rows[1:-1:3] += 1
    else:
        rows[1::3] -= 1
    return panel(growth(market.close[rows]), "return_of_filled")


def moving_average(market, ahead, window=5):
    """Distance from a moving average whose window ends `ahead` rows after the row."""
    value = np.zeros_like(market.close)
    for t in range(market.n_rows):
        stop = t + ahead + 1
        first = stop - window
        value[t] = market.close[t] / market.close[max(first, 0) : stop].mean(axis=0) - 1.0
    return panel(value, "distance", window - 1)


def shifted(market, rows):
    """The return of the row `rows` ahead: 0 is that of today, 1 the target of tomorrow."""
    value = growth(market.close)
    return panel(np.roll(value, -rows, axis=0), "return", 1)


def noisy(market):
    """Another random number in every call."""
    return panel(np.random.default_rng().normal(size=market.close.shape), "noise")


def drawdown(market, of_all):
    """Price over its highest: so far, or of the whole sample."""
    highest = market.close.max(axis=0) if of_all else np.maximum.accumulate(market.close, axis=0)
    return panel(market.close / highest, "drawdown")


def macro(market, series: Releases, by):
    """A monthly series: by its release, by its period, or by its release in its last revision."""
    days = market.dates.astype("datetime64[D]")
    if by == "release":
        value = series.known_on(market.dates)
    else:
        if by == "last revision":
            # The figure that stands in today's table, stamped with the day it first came out.
            first = {p: series.released[series.period == p].min() for p in series.period}
            stamp = np.array(list(first.values()))
            figure = np.array([series.value[series.period == p][-1] for p in first])
        else:
            stamp, figure = series.period, series.value
        order = np.argsort(stamp, kind="stable")
        place = np.searchsorted(stamp[order], days, side="right") - 1
        value = np.where(place >= 0, figure[order][np.maximum(place, 0)], np.nan)
    value = np.nan_to_num(value)
    return panel(np.repeat(value[:, None], market.n_assets, axis=1), "inflation")


def macro_features(market, macro_series, by):
    """The macro features of the catalogue: figures by their release, or stamped by their period."""
    if by == "period":
        early = {n: replace(x, released=x.period) for n, x in macro_series.series.items()}
        macro_series = Published(early)
    return build_features(market, ["macro"], macro_series=macro_series)


def monthly_series(first="1999-10", months=40, lag=15, revision=45):
    """Figures of a month, published half a month after its end and revised a month later."""
    rng = np.random.default_rng(5)
    month = np.datetime64(first, "M") + np.arange(months)
    end = (month + 1).astype("datetime64[D]")
    value = rng.normal(0.0, 1.0, months)
    return Releases(
        np.tile(month.astype("datetime64[D]"), 2),
        np.concatenate([end + lag, end + revision]),
        np.concatenate([value, value + rng.normal(0.0, 0.1, months)]),
    )


# ---------------------------------------------------------------------- scalers
class WholeSample(StandardScaler):
    """Fitted on all rows."""

    def fit(self, panel, start, stop):
        return super().fit(panel, start, len(panel.values))


class ByWhatItSees(StandardScaler):
    """Honest state; but it scales by the spread of whatever it is given."""

    def transform(self, panel):
        out = super().transform(panel)
        return FeaturePanel(
            (out.values / out.values.std()).astype(np.float32), out.names, out.groups, out.warmup
        )


# ---------------------------------------------------------------------- data, windows, env, agent
def weekly_prices(end=None, back=True):
    """Prices of Fridays (or, honestly, of the last Friday) on every day of their week."""
    market = synthetic(n_rows=420, n_assets=3).between(None, end)
    rows = np.arange(market.n_rows)
    week = rows - rows % 5 + (4 if back else -1)
    return replace(market, close=market.close[np.clip(week, 0, market.n_rows - 1)])


def gappy_prices():
    """One asset lists late, one halts for ten rows, one is delisted at half of its last price."""
    market = with_listing(synthetic(n_rows=420, n_assets=5), 0, 100)
    market = with_halts(market, slice(200, 210), 1)
    value = np.full(5, np.nan)
    value[2] = 0.5
    return replace(with_halts(market, slice(330, None), 2), delisting_value=value)


class ShowsTomorrow:
    """A process whose paths show the return that comes next; otherwise the honest one."""

    def __init__(self, honest):
        self.honest = honest

    def __getattr__(self, name):
        return getattr(self.honest, name)

    def simulate(self, seeds, n_steps):
        made = self.honest.simulate(seeds, n_steps)
        observed = made.observed.copy()
        observed[:, :-1, :, 0] = made.growth - 1.0
        return replace(made, observed=observed)


def market_that_shows_tomorrow(planted=True):
    """A simulated panel, honest by itself, with a process that is not."""
    process = Heston(drift=[0.08, 0.1], mean_variance=[0.03, 0.05])
    market = simulated(process, n_rows=420)
    return replace(market, process=ShowsTomorrow(market.process)) if planted else market


class Overlapping(Holdout):
    """Validation begins inside the training window."""

    def split(self, market, warmup):
        splits = super().split(market, warmup)
        start, stop = splits.validation
        return replace(splits, validation=(start - 60, stop))


class LessThanDeclared(Holdout):
    """Says that it leaves out 21 rows, and leaves out 5."""

    def split(self, market, warmup):
        return replace(replace(self, purge=5)._split(market, warmup), purge=21)

    def _split(self, market, warmup):
        return super().split(market, warmup)


def setting_of_tomorrow(market, features=None, **arguments):
    """An env whose observations show the features of the next row."""
    if features is not None:
        values = np.vstack([features.values[1:], features.values[-1:]])
        features = FeaturePanel(values, features.names, features.groups, features.warmup)
    return make_setting(market, features, **arguments)


@dataclass(frozen=True, kw_only=True)
class Labelled(PPO):
    """Starts from the mean return of the last step over `horizon` rows, as a supervised label."""

    name: ClassVar[str] = "labelled"
    horizon: int = 10

    def build(self, env, seed):
        model = super().build(env, seed)
        setting = env.envs.setting
        close, last = setting.market.close, setting.last - 1
        label = np.log(close[last + self.horizon] / close[last]).mean()
        with torch.no_grad():
            model.policy.value_net.bias += float(label)
        return model
