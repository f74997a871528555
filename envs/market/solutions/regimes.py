"""Markov regimes: the Bayes filter, and the best weights of a log investor.

A log investor is myopic: in every step the weights that maximise the expected log growth of that
step are optimal for every horizon, whatever the regimes do next (Mossin 1968; with a hidden regime,
given the belief: Brendle 2006). So the answer has two parts: the belief (Hamilton 1989), and the
optimum of the mixture of the regimes' laws that the belief implies.

The regime s_k governs the growth from row k to k+1; s_{k+1} is drawn from `transition[s_k]`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from envs.market.solutions.best_mix import mixture_rows_nb
from envs.market.solutions.outcomes import brownian_outcomes

Float = NDArray[np.float64]


def stationary_law(transition: Float) -> Float:
    """`[M]` long-run shares of the regimes: pi transition = pi."""
    n = len(transition)
    system = np.vstack([np.asarray(transition).T - np.eye(n), np.ones(n)])
    return np.linalg.lstsq(system, np.append(np.zeros(n), 1.0), rcond=None)[0]


class Law:
    """Log-normal growth in M regimes, ready for filtering and for optimal weights.

    Args:
        drift, volatility: `[M, A]` a year. correlation: `[A, A]`. transition: `[M, M]` a step.
        dt: length of a step in years. cash_rate: simple, a year.
        portfolios: `[V, A+1]` that may be mixed (`best_mix.corners`).
        order: of the quadrature in each shock; 3 leaves an error of 1e-7 in weights at daily steps.
        risk_aversion: of CRRA utility. Other than 1 it is myopic only where the regime is seen: the
            next regime is then independent of the growth, and utility factors.
    """

    def __init__(
        self,
        drift: Float,
        volatility: Float,
        correlation: Float,
        transition: Float,
        dt: float,
        cash_rate: float,
        portfolios: Float,
        order: int = 3,
        risk_aversion: float = 1.0,
    ) -> None:
        drift, volatility = np.asarray(drift, np.float64), np.asarray(volatility, np.float64)
        self.transition = np.asarray(transition, np.float64)
        self.portfolios = np.ascontiguousarray(portfolios)
        covariances = [correlation * np.outer(v, v) for v in volatility]
        self._mean = (drift - 0.5 * volatility**2) * dt
        self._whiten = [np.linalg.inv(np.linalg.cholesky(c * dt)) for c in covariances]
        self._log_scale = np.array([np.log(np.diag(w)).sum() for w in self._whiten])
        made = [brownian_outcomes(d, c, dt, cash_rate, order) for d, c in zip(drift, covariances)]
        self._growth = np.stack([growth @ self.portfolios.T for growth, _ in made])
        self._probability = made[0][1]
        self._risk_aversion = float(risk_aversion)
        self._n_assets = drift.shape[1]

    def start(self, n: int) -> Float:
        """`[n, M]` beliefs before anything was seen."""
        return np.tile(stationary_law(self.transition), (n, 1))

    def update(self, belief: Float, log_growth: Float) -> Float:
        """`[N, M]` P(s_{k+1} | growths up to k+1) from P(s_k | growths up to k) and the new growth.

        Args:
            belief: `[N, M]`. log_growth: `[N, A]` from row k to k+1.
        """
        score = np.empty_like(belief)
        for m, whiten in enumerate(self._whiten):
            shock = (log_growth - self._mean[m]) @ whiten.T
            score[:, m] = self._log_scale[m] - 0.5 * (shock**2).sum(axis=1)
        with np.errstate(divide="ignore"):
            score += np.log(belief)
        posterior = np.exp(score - score.max(axis=1, keepdims=True))
        posterior /= posterior.sum(axis=1, keepdims=True)
        return posterior @ self.transition

    def weights(self, belief: Float) -> Float:
        """`[N, A+1]` weights (cash last) of highest utility of the step under beliefs `[N, M]`."""
        belief = np.ascontiguousarray(belief, np.float64)
        weights = np.empty((len(belief), self._n_assets + 1))
        mixture_rows_nb(
            belief,
            self._growth,
            self._probability,
            self.portfolios,
            self._risk_aversion,
            weights,
        )
        return weights
