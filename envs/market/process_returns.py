"""Processes of returns: geometric Brownian motion, jumps, and factors that foretell returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from envs.data.market_data import MarketData
from envs.market.process_base import (
    Float,
    Numbers,
    Paths,
    Process,
    Seeds,
    frozen,
    no_state,
    nothing_observed,
    transposed_factor,
)

# The Poisson law is inverted term by term; more jumps than this in a step are no jumps any more.
MOST_JUMPS = 100.0


@dataclass(frozen=True, eq=False, kw_only=True)
class GeometricBrownian(Process):
    """Correlated geometric Brownian motion; exact at the rows.

    growth = exp((drift - volatility^2 / 2) dt + volatility sqrt(dt) z), so that E[growth] =
    exp(drift dt). Nothing is observed: nothing can be predicted. Black and Scholes 1973, doi
    10.1086/260062.

    Attributes:
        drift: `[A]` of the expected price, a year.
        volatility: `[A]` a year, >= 0.
        correlation: of the shocks z, one number for all pairs or `[A, A]`.

    Raises:
        InputError: naming the field.
    """

    drift: Numbers = 0.06
    volatility: Numbers = 0.2
    correlation: Numbers = 0.0

    randomisable: ClassVar[tuple[str, ...]] = ("drift", "volatility", "correlation")

    def __post_init__(self) -> None:
        self._check_time()
        n_assets = self._correlation_size()
        n_assets = self._check_vectors("drift", "volatility", n_assets=n_assets)
        self._check_correlation(n_assets)
        self._require("volatility", self.volatility >= 0, "must be >= 0")

    @property
    def n_assets(self) -> int:
        return len(self.drift)

    @classmethod
    def fit(cls, market: MarketData) -> Self:
        """Sample moments of the log returns, and the panel's mean cash rate."""
        from envs.market.process_fits import fit_geometric_brownian

        return cls(**fit_geometric_brownian(market))

    def _simulate(self, seeds: Seeds, n_steps: int, parameters: dict[str, Float]) -> Paths:
        from envs.market.process_kernels import geometric_brownian_nb

        growth = np.empty((len(seeds), n_steps, self.n_assets))
        geometric_brownian_nb(
            seeds,
            parameters["drift"],
            parameters["volatility"],
            transposed_factor(parameters["correlation"]),
            self.dt,
            growth,
        )
        state = no_state(len(seeds), n_steps)
        return Paths(growth, state, nothing_observed(len(seeds), n_steps, self.n_assets))


@dataclass(frozen=True, eq=False, kw_only=True)
class MeanReverting(Process):
    """Returns that mean-reverting factors foretell (Garleanu and Pedersen 2013); exact.

    The return in excess of cash from row k to k+1 is r = B f_k + u with u ~ N(0, Sigma dt), and
    f_{k+1} = (1 - phi) f_k + eps with eps of standard deviation factor_volatility sqrt(1 -
    (1 - phi)^2), independent of u. growth = max(1 + cash_rate dt + r, 0.01): the floor keeps prices
    positive and is not met at usual parameters. Doi 10.1111/jofi.12080.

    state: the K factors. Observed for asset a: sign(B[a, j]) f_j / factor_volatility_j, which is
    what factor j says about that asset; 0 where its loading is 0.

    Attributes:
        loadings: B `[A, K]`, return of a period for one unit of the factor.
        reversion: phi `[K]` a period, in (0, 1].
        factor_volatility: `[K]` stationary standard deviation of the factors, > 0.
        volatility: `[A]` of u, a year, >= 0.
        correlation: of u between assets, one number for all pairs or `[A, A]`.

    Raises:
        InputError: naming the field.
    """

    loadings: Numbers = ((1.0,),)
    reversion: Numbers = 0.1
    factor_volatility: Numbers = 0.001
    volatility: Numbers = 0.2
    correlation: Numbers = 0.0

    randomisable: ClassVar[tuple[str, ...]] = (
        "loadings", "reversion", "factor_volatility", "volatility", "correlation",
    )  # fmt: skip

    def __post_init__(self) -> None:
        self._check_time()
        loadings = self._numbers("loadings")
        if loadings.ndim != 2:
            self._refuse(
                "loadings", "must be rows of numbers: one row an asset, one column a factor"
            )
        self._put(loadings=frozen(loadings))
        n_assets, n_factors = loadings.shape
        if self._check_vectors("volatility", n_assets=n_assets) != n_assets:
            self._refuse("volatility", f"has more entries than loadings has rows ({n_assets})")
        for name in ("reversion", "factor_volatility"):
            if self._check_vectors(name, n_assets=n_factors) != n_factors:
                self._refuse(name, f"has more entries than loadings has columns ({n_factors})")
        self._check_correlation(n_assets)
        self._require("volatility", self.volatility >= 0, "must be >= 0")
        self._require("factor_volatility", self.factor_volatility > 0, "must be > 0")
        inside = (self.reversion > 0) & (self.reversion <= 1)
        self._require("reversion", inside, "must lie in (0, 1]: the share that is lost in a period")

    @property
    def n_assets(self) -> int:
        return len(self.volatility)

    @property
    def observed_names(self) -> tuple[str, ...]:
        return tuple(f"factor_{j}" for j in range(len(self.reversion)))

    @classmethod
    def fit(cls, market: MarketData, factors: Float | None = None) -> Self:
        """AR(1) of given `factors` `[T, K]` and least squares of the excess returns on them.

        Both without a constant: the factors must have a mean near 0. No library estimates factors
        that are not given.
        """
        from envs.market.process_fits import fit_mean_reverting

        return cls(**fit_mean_reverting(market, factors))

    def _simulate(self, seeds: Seeds, n_steps: int, parameters: dict[str, Float]) -> Paths:
        from envs.market.process_kernels import BOUND, mean_reverting_nb

        growth = np.empty((len(seeds), n_steps, self.n_assets))
        state = np.empty((len(seeds), n_steps + 1, len(self.reversion)))
        loadings, spread = parameters["loadings"], parameters["factor_volatility"]
        mean_reverting_nb(
            seeds,
            loadings,
            parameters["reversion"],
            spread,
            parameters["volatility"],
            transposed_factor(parameters["correlation"]),
            self.cash_rate * self.dt,
            self.dt,
            growth,
            state,
        )
        unit = np.clip(state / spread[:, None, :], -BOUND, BOUND)
        observed = np.sign(loadings)[:, None] * unit[:, :, None, :]
        return Paths(growth, state, observed.astype(np.float32))


@dataclass(frozen=True, eq=False, kw_only=True)
class JumpDiffusion(Process):
    """Merton's jump diffusion (1976, doi 10.1016/0304-405X(76)90022-2); exact at the rows.

    Geometric Brownian motion whose log price also jumps: a Poisson number of times a step, by
    N(jump_mean, jump_volatility^2) each. The expected jump is taken off the drift, so that
    E[growth] = exp(drift dt). Jumps are independent between assets. Nothing is observed.

    Attributes:
        drift: `[A]` of the expected price, a year.
        volatility: `[A]` of the diffusion, a year, >= 0.
        correlation: of the diffusions, one number for all pairs or `[A, A]`.
        jump_intensity: `[A]` jumps a year, >= 0, at most 100 a step.
        jump_mean: `[A]` of the log jump.
        jump_volatility: `[A]` of the log jump, >= 0.

    Raises:
        InputError: naming the field.
    """

    drift: Numbers = 0.06
    volatility: Numbers = 0.15
    correlation: Numbers = 0.0
    jump_intensity: Numbers = 4.0
    jump_mean: Numbers = -0.02
    jump_volatility: Numbers = 0.04

    randomisable: ClassVar[tuple[str, ...]] = (
        "drift", "volatility", "correlation", "jump_intensity", "jump_mean", "jump_volatility",
    )  # fmt: skip

    def __post_init__(self) -> None:
        self._check_time()
        vectors = [name for name in self.randomisable if name != "correlation"]
        n_assets = self._correlation_size()
        self._check_correlation(self._check_vectors(*vectors, n_assets=n_assets))
        for name in ("volatility", "jump_intensity", "jump_volatility"):
            self._require(name, getattr(self, name) >= 0, "must be >= 0")
        few = self.jump_intensity * self.dt <= MOST_JUMPS
        self._require("jump_intensity", few, f"means more than {MOST_JUMPS:g} jumps a period")

    @property
    def n_assets(self) -> int:
        return len(self.drift)

    @classmethod
    def fit(cls, market: MarketData) -> Self:
        """Maximum likelihood of each asset's log returns through scipy."""
        from envs.market.process_fits import fit_jump_diffusion

        return cls(**fit_jump_diffusion(market))

    def _simulate(self, seeds: Seeds, n_steps: int, parameters: dict[str, Float]) -> Paths:
        from envs.market.process_kernels import jump_diffusion_nb

        growth = np.empty((len(seeds), n_steps, self.n_assets))
        jump_diffusion_nb(
            seeds,
            parameters["drift"],
            parameters["volatility"],
            transposed_factor(parameters["correlation"]),
            parameters["jump_intensity"],
            parameters["jump_mean"],
            parameters["jump_volatility"],
            self.dt,
            growth,
        )
        state = no_state(len(seeds), n_steps)
        return Paths(growth, state, nothing_observed(len(seeds), n_steps, self.n_assets))
