"""Where prices come from: each source is a function with plain keywords, returning `MarketData`."""

from envs.data.fetched import crypto, futures, olps
from envs.data.files import file
from envs.data.market_data import MarketData
from envs.data.simulated import simulated
from envs.data.sources import factors, index_ohlcv, ohlcv, sp500
from envs.data.synthetic import synthetic

__all__ = [
    "MarketData",
    "crypto",
    "factors",
    "file",
    "futures",
    "index_ohlcv",
    "ohlcv",
    "olps",
    "simulated",
    "sp500",
    "synthetic",
]
