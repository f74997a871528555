"""`ForecastPolicy`: a predictor and an allocator decide together."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from agents.allocators import Allocator
from agents.outlook import Float, Limits, Outlook
from envs.data.market_data import MarketData
from envs.errors import InputError
from envs.market.legs import standing_prices
from envs.simulation import Setting
from networks.forecast import HORIZONS, QUANTILES, Forecast
from networks.predictors import Predictor
from networks.targets import ewma_volatility
from networks.windows import as_panel

# Windows that are forecast at once where many rows are asked for.
CHUNK = 256


class Forecasts(NamedTuple):
    """Forecasts of n rows and A assets as float64 arrays, in the units of `networks.forecast`.

    Attributes:
        probability: `[n, A, 3]` of sell, hold, buy.
        expected: `[n, A, H]`, standardised returns. confidence: `[n, A]`, a probability.
        log_volatility: `[n, A]`. quantiles: `[n, A, Q]`.
    """

    probability: Float
    expected: Float
    confidence: Float
    log_volatility: Float
    quantiles: Float

    @classmethod
    def of(cls, forecast: Forecast) -> Forecasts:
        """What a predictor has answered."""
        return cls(
            forecast.direction.double().softmax(dim=-1).cpu().numpy(),
            forecast.expected_return.double().cpu().numpy(),
            forecast.confidence.double().sigmoid().cpu().numpy(),
            forecast.log_volatility.double().cpu().numpy(),
            forecast.quantiles.double().cpu().numpy(),
        )


class ForecastPolicy:
    """A predictor and an allocator as a `Policy` that reads the row and the weights held.

    It holds the panel of the training, whose rows the observation names. `hold` gives it another
    one, with the prices that volatilities are measured on.

    Attributes:
        network: the predictor.
        horizons, levels: of its returns in rows, and of its quantiles.
    """

    observation = "indexed"
    horizons, levels = HORIZONS, QUANTILES
    _market: MarketData

    def __init__(
        self, name: str, network: Predictor, allocator: Allocator, setting: Setting
    ) -> None:
        self.name = name
        self.network = network.eval()
        self.allocator = allocator
        self.action = setting.action_map.name
        if self.action == "long_short":
            gross, net = setting.action_map.settings()
            self.action_settings = {"gross": gross, "net": net}
        self._map = setting.action_map
        self._limits = Limits.of(setting.action_map)
        self.hold(setting.features, setting.market)

    @property
    def panel(self) -> NDArray[np.float32]:
        """`[T, A * F]` the features that the network reads by row."""
        return self._features

    def hold(self, features: NDArray[np.float32], market: MarketData | None = None) -> None:
        """Reads these features `[T, A * F]`, scaled as those of the training, from now on.

        Args:
            market: of the same rows; None where only features are exchanged.

        Raises:
            InputError: if the rows do not fit each other or the network.
        """
        market = market or self._market
        shape = self.network.shape
        wanted = (market.n_rows, shape.n_assets * shape.n_features)
        if features.shape != wanted or market.n_assets != shape.n_assets:
            raise InputError(
                f"{self.name} reads features {wanted} beside {market.n_rows} rows of prices of "
                f"{shape.n_assets} assets, got {features.shape} and {market.n_assets} assets; give "
                "hold() the features and the market of the same rows"
            )
        self._market, self._features = market, features
        self._panel = as_panel(features.reshape(len(features), shape.n_assets, -1))
        close = standing_prices(market)[1]
        self._volatility = ewma_volatility(market.close, market.tradable)
        self._returns = np.full(close.shape, np.nan)
        self._returns[1:] = close[1:] / close[:-1] - 1.0

    @torch.inference_mode()
    def forecasts(self, rows: NDArray[np.int64]) -> Forecasts:
        """What is forecast at each of these rows, from their windows alone."""
        parts = []
        for start in range(0, len(rows), CHUNK):
            chosen = torch.as_tensor(rows[start : start + CHUNK])
            wanted = chosen[:, None] + torch.arange(1 - self.network.shape.window, 1)
            parts.append(Forecasts.of(self.network(self._panel[wanted])))
        return Forecasts(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    @torch.inference_mode()
    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = True,
    ) -> tuple[np.ndarray, Any]:
        """See `Policy.predict`: one decision, from the window that ends at the row."""
        t = int(observation["t"][0])
        held = np.asarray(observation["weights"], np.float64)
        window = self._panel[t + 1 - self.network.shape.window : t + 1]
        seen = Forecasts.of(self.network(window[None]))
        known = self._market.tradable[t] & np.isfinite(self._volatility[t])
        weights = self.allocator.weights(self._outlook(seen, t), held, known, self._limits)
        if self.action == "long_short":
            return np.clip(weights[:-1] / self._limits.gross, -1.0, 1.0), state
        # Longs leave rounding of 1e-17 below zero where they sum to 1.
        return self._map.inverse(np.maximum(weights, 0.0), held), state

    def _outlook(self, seen: Forecasts, t: int) -> Outlook:
        market, needed = self._market, self.allocator.history
        if t < needed:
            raise InputError(
                f"{self.name} needs {needed} past returns at every decision and has {t} at row "
                f"{t}; shorten agent.allocator_settings.window, or begin later"
            )
        sigma = self._volatility[t]
        return Outlook(
            probability=seen.probability[0],
            expected=seen.expected[0] * sigma[:, None] * np.sqrt(HORIZONS),
            confidence=seen.confidence[0],
            volatility=sigma * np.exp(np.minimum(seen.log_volatility[0], 50.0)),
            cash=float(market.cash_rate[t]),
            returns=self._returns[t + 1 - needed : t + 1],
            periods_per_year=market.periods_per_year,
        )
