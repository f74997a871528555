"""What can be known at each close: indicators, calendar, published figures, and their scalers."""

from envs.features.build import build_features
from envs.features.catalogue import DEFAULT, GROUPS, catalogue
from envs.features.causality import first_leak
from envs.features.earnings import EarningsDates, published_earnings
from envs.features.macro_series import published_macro
from envs.features.modalities import modality_features
from envs.features.news import News, read_news
from envs.features.observed import no_features, observed_features
from envs.features.panel import FeaturePanel
from envs.features.published import Published
from envs.features.releases import Releases
from envs.features.scalers import (
    MinMaxScaler,
    NoScaler,
    RobustScaler,
    RollingScaler,
    Scaler,
    StandardScaler,
    scaler_from_dict,
)
from envs.features.surveys import published_sentiment

__all__ = [
    "DEFAULT",
    "GROUPS",
    "EarningsDates",
    "FeaturePanel",
    "MinMaxScaler",
    "News",
    "NoScaler",
    "Published",
    "Releases",
    "RobustScaler",
    "RollingScaler",
    "Scaler",
    "StandardScaler",
    "build_features",
    "catalogue",
    "first_leak",
    "modality_features",
    "no_features",
    "observed_features",
    "published_earnings",
    "published_macro",
    "published_sentiment",
    "read_news",
    "scaler_from_dict",
]
