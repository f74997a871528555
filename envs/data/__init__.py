"""Where prices come from. Every source is a function with plain keywords that returns `MarketData`."""

from envs.data.market_data import MarketData
from envs.data.sources import factors, index_ohlcv, ohlcv, sp500
from envs.data.synthetic import synthetic

__all__ = ["MarketData", "factors", "index_ohlcv", "ohlcv", "sp500", "synthetic"]
