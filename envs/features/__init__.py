"""What can be known at each close: indicators, calendar, cross-section, and their scalers."""

from envs.features.build import build_features
from envs.features.catalogue import DEFAULT, GROUPS, catalogue
from envs.features.causality import first_leak
from envs.features.observed import no_features, observed_features
from envs.features.panel import FeaturePanel
from envs.features.scalers import (
    MinMaxScaler,
    NoScaler,
    RobustScaler,
    RollingScaler,
    Scaler,
    StandardScaler,
    scaler_from_dict,
)

__all__ = [
    "DEFAULT",
    "GROUPS",
    "FeaturePanel",
    "MinMaxScaler",
    "NoScaler",
    "RobustScaler",
    "RollingScaler",
    "Scaler",
    "StandardScaler",
    "build_features",
    "catalogue",
    "first_leak",
    "no_features",
    "observed_features",
    "scaler_from_dict",
]
