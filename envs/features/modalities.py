"""`modality_features`: the four kinds of features, each with a switch."""

from __future__ import annotations

from envs.data.arguments import truth_value
from envs.data.market_data import MarketData
from envs.errors import InputError
from envs.features.build import build_features
from envs.features.earnings import EarningsDates
from envs.features.news.scored import News
from envs.features.panel import FeaturePanel
from envs.features.published import Published


def modality_features(
    market: MarketData,
    *,
    technical: bool = True,
    seasonal: bool = True,
    sentiment: bool = True,
    macro: bool = True,
    calendar: str = "XNYS",
    macro_series: Published | None = None,
    sentiment_series: Published | None = None,
    earnings_dates: EarningsDates | None = None,
    news: News | None = None,
) -> FeaturePanel:
    """The default features of the modalities that are switched on; see `build_features`.

    Args:
        market: the panel.
        technical: prices, bars, volume and cross-section, as far as the panel has the fields.
        seasonal: the calendar and earnings season.
        sentiment: volatility and breadth of the panel's own prices, and published moods.
        macro: rates and the economy, as published by then.
        calendar: the exchange of the seasonal features.
        macro_series, sentiment_series, earnings_dates: what is published; None takes the packaged
            or fetched data.
        news: scored texts; where there are any, their features join the sentiment.

    Raises:
        InputError: if all switches are off, one is not true or false, and as `build_features`.
    """
    switches = {
        "technical": technical, "seasonal": seasonal, "sentiment": sentiment, "macro": macro,
    }  # fmt: skip
    names = [name for name, switch in switches.items() if truth_value(switch, name)]
    if not names:
        raise InputError(
            f"{', '.join(switches)} are all false; switch one on (features.build.technical=true), "
            "or choose features=none"
        )
    if sentiment and news is not None and not news.missing:
        names.append("news")
    return build_features(
        market, names, calendar, macro_series, sentiment_series, earnings_dates, news
    )
