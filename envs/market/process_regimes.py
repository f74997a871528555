"""Markov regime switching, seen, filtered or hidden."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

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
