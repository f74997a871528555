"""`Forecast`: what every predictor answers, whatever its architecture."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

# Rows ahead of the execution over which returns are forecast.
HORIZONS = (1, 5, 20)
# Levels of the forecast quantiles of the return over the first horizon.
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
SELL, HOLD, BUY = range(3)


class Forecast(NamedTuple):
    """A forecast for every asset at the last row of its window; B windows, A assets.

    Returns are in units of the asset's present volatility over the horizon, sigma_t * sqrt(h): a
    forecast of 0.1 for h = 5 at a volatility of 1 % a row is a return of 0.1 * 1 % * sqrt(5).

    Attributes:
        direction: `[B, A, 3]` logits of sell, hold, buy, over the first horizon.
        expected_return: `[B, A, H]` over `HORIZONS`, standardised as above.
        confidence: `[B, A]` logit of the probability that the likeliest direction is right.
        log_volatility: `[B, A]` log of the volatility of the next rows (the longest horizon) over
            the present one.
        quantiles: `[B, A, Q]` of the standardised return over the first horizon, increasing, at
            the levels `QUANTILES`.
    """

    direction: Tensor
    expected_return: Tensor
    confidence: Tensor
    log_volatility: Tensor
    quantiles: Tensor


class ForecastHeads(nn.Module):
    """Five linear heads over what an encoder has made of the windows: `[B, A, width] -> Forecast`.

    Quantiles cannot cross: each is the one before plus a positive step.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.direction = nn.Linear(width, 3)
        self.expected_return = nn.Linear(width, len(HORIZONS))
        self.confidence = nn.Linear(width, 1)
        self.log_volatility = nn.Linear(width, 1)
        self.quantiles = nn.Linear(width, len(QUANTILES))

    def forward(self, encoded: Tensor) -> Forecast:
        raw = self.quantiles(encoded)
        steps = torch.cat([raw[..., :1], functional.softplus(raw[..., 1:])], dim=-1)
        return Forecast(
            self.direction(encoded),
            self.expected_return(encoded),
            self.confidence(encoded).squeeze(-1),
            self.log_volatility(encoded).squeeze(-1),
            steps.cumsum(dim=-1),
        )
