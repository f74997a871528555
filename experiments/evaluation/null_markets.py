"""Returns whose truth is known, to count how often the statistics miss it.

Two strategies and the market that both follow: `strategy = market + noise of its own`, with the
same expected value, so that neither is ahead of the other and neither has an alpha. Market and
noises are of one kind: independent normal, AR(1), or GARCH(1,1).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

Float = NDArray[np.float64]

PER_YEAR = 252.0
# Mean a day, deviations a day of the market and of what each strategy adds: a Sharpe ratio of 0.7.
MEAN, MARKET, OWN = 0.0005, 0.01, 0.005
BURN_IN = 500
# For the mean log return, whose truth has no closed form: only the small part beyond the mean of
# the returns is simulated, so that its error does not show.
TRUTH_STEPS, TRUTH_SEED = 400_000, 20_260_101


@njit(cache=True, nogil=True)
def autoregressive_nb(noise: Float, phi: float, out: Float) -> None:
    """`x[t] = phi x[t-1] + sqrt(1 - phi²) noise[t]`: variance 1; what came first is left out.

    Args:
        noise: `[n + burn-in]` standard normal.
        phi: in (-1, 1).
        out: `[n]` written.
    """
    skipped, scale, x = len(noise) - len(out), np.sqrt(1.0 - phi * phi), 0.0
    for t in range(len(noise)):
        x = phi * x + scale * noise[t]
        if t >= skipped:
            out[t - skipped] = x


@njit(cache=True, nogil=True)
def garch_nb(noise: Float, shock: float, memory: float, out: Float) -> None:
    """`x[t] = sqrt(h[t]) noise[t]`, `h[t+1] = 1 - shock - memory + shock x[t]² + memory h[t]`.

    The variance is 1 in the long run; what came first is left out.

    Args:
        noise: `[n + burn-in]` of variance 1.
        shock, memory: not negative, their sum below 1.
        out: `[n]` written.
    """
    skipped, h = len(noise) - len(out), 1.0
    for t in range(len(noise)):
        x = np.sqrt(h) * noise[t]
        h = 1.0 - shock - memory + shock * x * x + memory * h
        if t >= skipped:
            out[t - skipped] = x


@dataclass(frozen=True)
class NullMarket:
    """A kind of returns.

    Attributes:
        name: what a table calls it.
        phi: of AR(1); 0 is independent.
        shock, memory: of GARCH(1,1); 0 is constant volatility.
    """

    name: str
    phi: float = 0.0
    shock: float = 0.0
    memory: float = 0.0

    def series(self, rng: np.random.Generator, n: int) -> Float:
        """`[n]` of mean 0 and variance 1."""
        if self.phi == 0.0 and self.shock == 0.0:
            return rng.standard_normal(n)
        noise, out = rng.standard_normal(n + BURN_IN), np.empty(n)
        if self.shock:
            garch_nb(noise, self.shock, self.memory, out)
        else:
            autoregressive_nb(noise, self.phi, out)
        return out

    def draw(self, rng: np.random.Generator, n: int) -> tuple[Float, Float]:
        """`market [n]` and `strategies [2, n]`: simple returns a day."""
        market = MEAN + MARKET * self.series(rng, n)
        own = np.stack([self.series(rng, n), self.series(rng, n)])
        return market, market + OWN * own

    def truth(self) -> dict[str, float]:
        """`mean_log_return`, `cagr` and `sharpe` of either strategy, a year."""
        deviation = np.hypot(MARKET, OWN)
        _, strategies = self.draw(np.random.default_rng(TRUTH_SEED), TRUTH_STEPS)
        growth = PER_YEAR * (MEAN + float(np.mean(np.log1p(strategies) - strategies)))
        return {
            "mean_log_return": growth,
            "cagr": float(np.expm1(growth)),
            "sharpe": float(MEAN / deviation * np.sqrt(PER_YEAR)),
        }


NULL_MARKETS = (
    NullMarket("independent, normal"),
    NullMarket("AR(1), 0.2", phi=0.2),
    NullMarket("GARCH(1,1), 0.08 and 0.90", shock=0.08, memory=0.90),
)
# Volatility that takes months to return, kurtosis 16: what lies beyond the promise of 93 to 97 %.
HARDER = NullMarket("GARCH(1,1), 0.09 and 0.90", shock=0.09, memory=0.90)
