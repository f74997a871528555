"""Processes with a hidden or observed state: regimes and stochastic volatility."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from envs.data.arguments import whole_number
from envs.data.market_data import MarketData
from envs.errors import InputError
from envs.market.process_base import (
    Float,
    Numbers,
    Paths,
    Process,
    Seeds,
    frozen,
    transposed_factor,
)

OBSERVE = ("state", "belief", "return")
# Rows of a transition matrix may miss 1 by what rounding to a few digits does.
ROUNDING = 1e-9


@dataclass(frozen=True, eq=False, kw_only=True)
class RegimeSwitching(Process):
    """Log-normal growth whose drift and volatility follow a Markov chain (Hamilton 1989); exact.

    The regime s_k of row k governs the growth from k to k+1, as in `GeometricBrownian`; s_{k+1} is
    drawn from transition[s_k]; row 0 from the stationary law. Doi 10.2307/1912559.

    state: the number of the regime. Observed, `observe` =
        state: M columns, 1 for the regime of the row, else 0;
        belief: M columns, P(s_k | growths up to row k), the Hamilton filter with true parameters;
        return: one column, the asset's log growth into row k over its unconditional standard
            deviation; 0 at row 0.

    Attributes:
        drift: `[M, A]`: a list with one entry a regime, each a number or a list of A; a year.
        volatility: `[M, A]` likewise, a year, > 0.
        correlation: of the shocks in all regimes, one number for all pairs or `[A, A]`.
        transition: `[M, M]` chances a period, rows sum to 1; must have one stationary law.
        observe: state, belief or return.

    Raises:
        InputError: naming the field.
    """

    drift: Numbers = (0.15, -0.20)
    volatility: Numbers = (0.12, 0.28)
    correlation: Numbers = 0.0
    transition: Numbers = ((0.99, 0.01), (0.03, 0.97))
    observe: str = "belief"

    randomisable: ClassVar[tuple[str, ...]] = ("drift", "volatility", "correlation")

    def __post_init__(self) -> None:
        self._check_time()
        transition = self._numbers("transition")
        if transition.ndim != 2 or transition.shape[0] != transition.shape[1]:
            self._refuse("transition", "must be square: one row and one column a regime")
        if (transition < 0).any() or (np.abs(transition.sum(axis=1) - 1.0) > ROUNDING).any():
            self._refuse("transition", "must hold chances >= 0 whose rows sum to 1")
        self._put(transition=frozen(transition / transition.sum(axis=1, keepdims=True)))
        m = len(transition)
        # One stationary law means that the equations for it leave one direction open, not two.
        if m > 1 and np.linalg.svd(np.eye(m) - self.transition, compute_uv=False)[-2] < ROUNDING:
            self._refuse("transition", "falls apart into regimes that never meet; connect them")
        n_assets = self._correlation_size()
        tables = {name: self._rows(name, m) for name in ("drift", "volatility")}
        n_assets = max(n_assets, *(len(row) for table in tables.values() for row in table))
        for name, table in tables.items():
            if any(len(row) not in (1, n_assets) for row in table):
                self._refuse(name, f"must have 1 or {n_assets} entries in each regime")
            self._put(**{name: frozen(np.array([np.broadcast_to(r, n_assets) for r in table]))})
        self._check_correlation(n_assets)
        self._require("volatility", self.volatility > 0, "must be > 0")
        if self.observe not in OBSERVE:
            self._refuse("observe", f"is unknown; choose one of {', '.join(OBSERVE)}")

    def _rows(self, name: str, n_regimes: int) -> list[Float]:
        """One `[1]` or `[A]` array a regime."""
        value = getattr(self, name)
        if isinstance(value, (int, float)):
            value = [value] * n_regimes
        if not isinstance(value, (list, tuple, np.ndarray)) or len(value) != n_regimes:
            self._refuse(name, f"must have one entry for each of the {n_regimes} regimes")
        try:
            rows = [np.atleast_1d(np.asarray(row, dtype=np.float64)) for row in value]
        except (TypeError, ValueError):
            self._refuse(name, "must hold numbers, or one list of numbers a regime")
        if any(row.ndim != 1 or not row.size or not np.isfinite(row).all() for row in rows):
            self._refuse(name, "must hold finite numbers, or one list of them a regime")
        return rows

    @property
    def n_assets(self) -> int:
        return self.drift.shape[1]

    @property
    def n_regimes(self) -> int:
        return len(self.transition)

    @property
    def observed_names(self) -> tuple[str, ...]:
        if self.observe == "return":
            return ("return",)
        kind = "regime" if self.observe == "state" else "belief"
        return tuple(f"{kind}_{s}" for s in range(self.n_regimes))

    @property
    def stationary(self) -> Float:
        """`[M]` long-run share of time in each regime."""
        m = self.n_regimes
        equations = np.vstack([(np.eye(m) - self.transition).T[:-1], np.ones(m)])
        return np.maximum(np.linalg.solve(equations, np.eye(m)[-1]), 0.0)

    def belief(self, growth: Float) -> Float:
        """`[N, n+1, M]` P(s_k | growths up to row k) for growths `[N, n, A]`: Hamilton's filter."""
        growth = np.ascontiguousarray(growth, dtype=np.float64)
        if growth.ndim != 3 or growth.shape[2] != self.n_assets or not (growth > 0).all():
            raise InputError(
                f"RegimeSwitching: growth must be [N, n, {self.n_assets}] and > 0, got the shape "
                f"{growth.shape}"
            )
        return self._belief(growth, self._parameters())

    @classmethod
    def fit(cls, market: MarketData, n_regimes: int = 2, observe: str = "belief") -> Self:
        """Regimes of the mean log return of all assets, by maximum likelihood through statsmodels.

        Each asset's drift and volatility are its moments under the smoothed probabilities of the
        regimes, and the correlation is that of its residuals. Regimes are sorted by volatility.
        """
        from envs.market.process_fits import fit_regimes

        return cls(**fit_regimes(market, n_regimes), observe=observe)

    def _belief(self, growth: Float, parameters: dict[str, Float]) -> Float:
        from envs.market.process_kernels import regime_filter_nb

        n_paths, n_steps, _ = growth.shape
        belief = np.empty((n_paths, n_steps + 1, self.n_regimes))
        regime_filter_nb(growth, *self._law(parameters), belief)
        return belief

    def _law(self, parameters: dict[str, Float]) -> tuple[Float, Float, Float, Float, Float, float]:
        """What both kernels read, in their order."""
        drift = parameters["drift"]
        return (
            drift,
            parameters["volatility"],
            transposed_factor(parameters["correlation"]),
            np.repeat(self.transition[None], len(drift), axis=0),
            np.repeat(self.stationary[None], len(drift), axis=0),
            self.dt,
        )

    def _simulate(self, seeds: Seeds, n_steps: int, parameters: dict[str, Float]) -> Paths:
        from envs.market.process_kernels import regime_switching_nb

        growth = np.empty((len(seeds), n_steps, self.n_assets))
        state = np.empty((len(seeds), n_steps + 1, 1))
        regime_switching_nb(seeds, *self._law(parameters), growth, state)
        return Paths(growth, state, self._observed(growth, state, parameters))

    def _observed(
        self, growth: Float, state: Float, parameters: dict[str, Float]
    ) -> NDArray[np.float32]:
        from envs.market.process_kernels import scaled_return_nb

        n_paths, n_rows, _ = state.shape
        n_features = len(self.observed_names)
        observed = np.empty((n_paths, n_rows, self.n_assets, n_features), np.float32)
        if self.observe == "state":
            observed[:] = (state == np.arange(self.n_regimes))[:, :, None, :]
        elif self.observe == "belief":
            observed[:] = self._belief(growth, parameters)[:, :, None, :]
        else:
            drift, volatility = parameters["drift"], parameters["volatility"]
            share = self.stationary[:, None]
            means = (drift - 0.5 * volatility**2) * self.dt
            mean = (share * means).sum(axis=1, keepdims=True)
            variance = (share * (volatility**2 * self.dt + (means - mean) ** 2)).sum(axis=1)
            scaled_return_nb(growth, np.sqrt(variance), observed)
        return observed


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
