"""Stochastic volatility: Heston and GARCH."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from envs.data.arguments import whole_number
from envs.data.market_data import MarketData
from envs.market.process_base import Float, Numbers, Paths, Process, Seeds, transposed_factor


@dataclass(frozen=True, eq=False, kw_only=True)
class Heston(Process):
    """Heston's stochastic volatility (1993, doi 10.1093/rfs/6.2.327).

    dS/S = drift dt + sqrt(v) dW, dv = reversion (mean_variance - v) dt + volatility_of_variance
    sqrt(v) dZ, with corr(dW, dZ) = leverage. Discretised by full truncation Euler in v (Lord,
    Koekkoek and van Dijk 2010, doi 10.1080/14697680802392496) and log-Euler in S, in `substeps`
    equal steps a period; so E[growth | v] = exp(drift dt) exactly, and the law of v has an error of
    the order of reversion dt / substeps. v_0 is drawn from the stationary gamma law of the exact
    process. Where 2 reversion mean_variance < volatility_of_variance^2 (Feller) v touches zero:
    that is allowed, and the discretisation error is then larger.

    state: v `[A]`, a year, >= 0. Observed: log(v / mean_variance), v counted from 1e-4 of its mean
    on: the volatility is known.

    Attributes:
        drift: `[A]` of the expected price, a year.
        mean_variance: `[A]` theta, long-run variance a year, > 0 (0.04 is a volatility of 20 %).
        reversion: `[A]` kappa a year, > 0, at most substeps * periods_per_year.
        volatility_of_variance: `[A]` xi, >= 0.
        leverage: `[A]` rho in [-1, 1], of the shocks of price and variance.
        correlation: of the price shocks between assets, one number for all pairs or `[A, A]`.
        substeps: Euler steps in a period, >= 1.

    Raises:
        InputError: naming the field.
    """

    drift: Numbers = 0.06
    mean_variance: Numbers = 0.04
    reversion: Numbers = 4.0
    volatility_of_variance: Numbers = 0.5
    leverage: Numbers = -0.7
    correlation: Numbers = 0.0
    substeps: int = 1

    randomisable: ClassVar[tuple[str, ...]] = (
        "drift", "mean_variance", "reversion", "volatility_of_variance", "leverage", "correlation",
    )  # fmt: skip

    def __post_init__(self) -> None:
        self._check_time()
        self._put(substeps=whole_number(self.substeps, "Heston: substeps", 1))
        vectors = [name for name in self.randomisable if name != "correlation"]
        n_assets = self._correlation_size()
        self._check_correlation(self._check_vectors(*vectors, n_assets=n_assets))
        self._require("mean_variance", self.mean_variance > 0, "must be > 0")
        self._require("volatility_of_variance", self.volatility_of_variance >= 0, "must be >= 0")
        self._require("leverage", np.abs(self.leverage) <= 1, "must lie in [-1, 1]")
        self._require("reversion", self.reversion > 0, "must be > 0: else there is no long run")
        stable = self.reversion * self.dt / self.substeps <= 1
        self._require("reversion", stable, "overshoots in a step; raise substeps")

    @property
    def n_assets(self) -> int:
        return len(self.drift)

    @property
    def observed_names(self) -> tuple[str, ...]:
        return ("log_variance",)

    def _simulate(self, seeds: Seeds, n_steps: int, parameters: dict[str, Float]) -> Paths:
        from envs.market.process_kernels import heston_nb, log_ratio_nb

        growth = np.empty((len(seeds), n_steps, self.n_assets))
        state = np.empty((len(seeds), n_steps + 1, self.n_assets))
        heston_nb(
            seeds,
            parameters["drift"],
            parameters["mean_variance"],
            parameters["reversion"],
            parameters["volatility_of_variance"],
            parameters["leverage"],
            transposed_factor(parameters["correlation"]),
            self.dt,
            self.substeps,
            growth,
            state,
        )
        observed = np.empty((*state.shape, 1), np.float32)
        log_ratio_nb(state, parameters["mean_variance"], observed)
        return Paths(growth, state, observed)


@dataclass(frozen=True, eq=False, kw_only=True)
class Garch(Process):
    """GARCH(1,1) or GJR-GARCH with normal or Student t shocks; all parameters a period.

    log growth from row k to k+1 = mean + e_k, e_k = sqrt(h_k) z_k, h_{k+1} = omega + (alpha + gamma
    1[e_k < 0]) e_k^2 + beta h_k: Bollerslev 1986, doi 10.1016/0304-4076(86)90063-1, and Glosten,
    Jagannathan and Runkle 1993, doi 10.1111/j.1540-6261.1993.tb05128.x. z has unit variance: a
    normal x, or x sqrt((dof - 2) / chi2_dof) with a chi2 of each asset's own; x is correlated
    (constant conditional correlation, Bollerslev 1990, doi 10.2307/2109358). Exact, except that the
    stationary law of h has no closed form: `burn_in` steps from its mean come before row 0.

    With finite dof the *simple* growth has no finite mean, as the exponential of a t variable has
    none; log growth has.

    state: h `[A]`, variance of the log growth from k to k+1, known at k. Observed: log(h / long-run
    h).

    Attributes:
        mean: `[A]` of the log return.
        omega: `[A]` > 0. alpha: `[A]` >= 0. beta: `[A]` >= 0.
        gamma: `[A]` extra weight of bad news, alpha + gamma >= 0; alpha + beta + gamma / 2 < 1.
        dof: `[A]` > 2; infinite for normal shocks.
        correlation: of x between assets, one number for all pairs or `[A, A]`.
        burn_in: >= 0 periods.

    Raises:
        InputError: naming the field.
    """

    mean: Numbers = 0.0003
    omega: Numbers = 2e-6
    alpha: Numbers = 0.08
    beta: Numbers = 0.9
    gamma: Numbers = 0.0
    dof: Numbers = math.inf
    correlation: Numbers = 0.0
    burn_in: int = 500

    randomisable: ClassVar[tuple[str, ...]] = (
        "mean", "omega", "alpha", "beta", "gamma", "dof", "correlation",
    )  # fmt: skip

    def __post_init__(self) -> None:
        self._check_time()
        self._put(burn_in=whole_number(self.burn_in, "Garch: burn_in", 0))
        n_assets = self._check_vectors(
            "mean", "omega", "alpha", "beta", "gamma", "dof",
            n_assets=self._correlation_size(), infinite=("dof",),
        )  # fmt: skip
        self._check_correlation(n_assets)
        self._require("omega", self.omega > 0, "must be > 0")
        self._require("alpha", self.alpha >= 0, "must be >= 0")
        self._require("beta", self.beta >= 0, "must be >= 0")
        self._require("gamma", self.alpha + self.gamma >= 0, "must be >= -alpha")
        self._require("dof", self.dof > 2, "must be > 2: else the variance is not finite")
        persistence = self.alpha + self.beta + 0.5 * self.gamma
        if not (persistence < 1).all():
            self._refuse(
                "beta",
                f"makes alpha + beta + gamma / 2 = {persistence.max():g}, and it must be below 1: "
                "else the variance has no long run",
            )

    @property
    def n_assets(self) -> int:
        return len(self.omega)

    @property
    def observed_names(self) -> tuple[str, ...]:
        return ("log_variance",)

    @property
    def long_run_variance(self) -> Float:
        """`[A]` mean of h."""
        return _long_run(self._parameters())[0]

    def _simulate(self, seeds: Seeds, n_steps: int, parameters: dict[str, Float]) -> Paths:
        from envs.market.process_kernels import garch_nb, log_ratio_nb

        growth = np.empty((len(seeds), n_steps, self.n_assets))
        state = np.empty((len(seeds), n_steps + 1, self.n_assets))
        garch_nb(
            seeds,
            parameters["mean"],
            parameters["omega"],
            parameters["alpha"],
            parameters["beta"],
            parameters["gamma"],
            parameters["dof"],
            transposed_factor(parameters["correlation"]),
            self.burn_in,
            growth,
            state,
        )
        observed = np.empty((*state.shape, 1), np.float32)
        log_ratio_nb(state, _long_run(parameters), observed)
        return Paths(growth, state, observed)

    @classmethod
    def fit(cls, market: MarketData) -> Self:
        """GJR-GARCH with Student t shocks of each asset, by maximum likelihood through arch."""
        from envs.market.process_fits import fit_garch

        return cls(**fit_garch(market))


def _long_run(parameters: dict[str, Float]) -> Float:
    keep = parameters["alpha"] + parameters["beta"] + 0.5 * parameters["gamma"]
    return parameters["omega"] / (1.0 - keep)
