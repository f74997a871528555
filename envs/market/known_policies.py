"""Policies that act out known answers; they are rolled out like any other.

They read `flat` observations with a window of 1 and `features=observed`: what the process shows of
itself, asset by asset, then the weights held (cash last). Rows of a batch are independent. All are
made for `execution=same_close`: on a simulated market the price at which a decision is made is a
price at which one can trade.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.errors import InputError
from envs.market.processes import Garch, Heston, MeanReverting, RegimeSwitching
from envs.market.solutions import garleanu_pedersen
from envs.market.solutions.best_mix import corners
from envs.market.solutions.outcomes import garch_nodes, normal_nodes, root
from envs.market.solutions.regimes import Law
from envs.market.solutions.volatility_timing import myopic_weights

Float = NDArray[np.float64]
# Nodes a shock for weights that are found anew in every step: one asset, several.
ORDER_ONE, ORDER_MANY = 7, 3


@dataclass(frozen=True)
class Limits:
    """What weights are allowed, and how they are answered.

    Attributes:
        action: "simplex" (long-only with cash; weights are the action) or "long_short" (asset
            weights over `gross` are the action).
        gross, net: limits of "long_short" as its action map has them.
    """

    action: str = "simplex"
    gross: float = 1.0
    net: float = 1.0

    def __post_init__(self) -> None:
        if self.action not in ("simplex", "long_short"):
            raise InputError(
                f"known answers are given in 'simplex' or 'long_short', not {self.action!r}"
            )
        if self.action == "long_short" and not (self.gross > 0 and 0 <= self.net <= self.gross):
            raise InputError(
                f"long_short needs gross > 0 and 0 <= net <= gross, got {self.gross}, {self.net}"
            )

    def portfolios(self, n_assets: int) -> Float:
        """`[V, A+1]` whose mixtures are the allowed weights."""
        if self.action == "simplex":
            return corners(n_assets)
        return corners(n_assets, self.gross, self.net)

    def of_one_asset(self) -> tuple[float, float]:
        """Lowest and highest weight of a single risky asset."""
        edge = min(self.gross, self.net)
        return (0.0, 1.0) if self.action == "simplex" else (-edge, edge)

    def answer(self, weights: Float) -> Float:
        """The action for weights `[..., A+1]`."""
        return weights if self.action == "simplex" else weights[..., :-1] / self.gross


class KnownPolicy:
    """Base: splits the observation, and answers weights as an action.

    Subclasses implement `weights(observed [N, A, F], held [N, A+1]) -> [N, A+1]`, and `carry` if
    they remember something.
    """

    observation = "flat"

    def __init__(self, name: str, n_assets: int, n_features: int, limits: Limits) -> None:
        self.name = name
        self.limits = limits
        self.action = limits.action
        self.n_assets, self.n_features = n_assets, n_features

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = True,
    ) -> tuple[np.ndarray, Any]:
        """`(action, state)` for one observation `[size]` or a batch `[N, size]`.

        Raises:
            InputError: if the observation does not hold what the process shows and the weights.
        """
        rows = np.asarray(observation, np.float64)
        shown = self.n_assets * self.n_features
        if rows.ndim not in (1, 2) or rows.shape[-1] != shown + self.n_assets + 1:
            raise InputError(
                f"policy {self.name} reads {shown} observed numbers and {self.n_assets + 1} "
                f"weights, got an observation of shape {rows.shape}; use features=observed and "
                "env.window=1"
            )
        batch = np.atleast_2d(rows)
        observed = batch[:, :shown].reshape(len(batch), self.n_assets, self.n_features)
        held = batch[:, shown:]
        start = np.zeros(len(batch), bool) if episode_start is None else np.ravel(episode_start)
        state = self.carry(observed, state, np.broadcast_to(start, len(batch)))
        weights = self.weights(observed if state is None else state, held)
        return self.limits.answer(weights if rows.ndim == 2 else weights[0]), state

    def carry(self, observed: Float, state: Any, start: NDArray[np.bool_]) -> Any:
        """The memory after this observation; None for policies without one."""
        return None

    def weights(self, observed: Float, held: Float) -> Float:
        """Target weights `[N, A+1]`; `observed` is the memory for policies that have one."""
        raise NotImplementedError


class ConstantWeights(KnownPolicy):
    """The same weights at every step: Merton, Kelly, BCRP, equal weight.

    Args:
        weights: `[A+1]`, cash last.
    """

    def __init__(
        self, weights: Float, name: str = "constant_weights", limits: Limits | None = None
    ) -> None:
        self.target = np.asarray(weights, np.float64)
        super().__init__(name, len(self.target) - 1, 0, limits or Limits())

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = True,
    ) -> tuple[np.ndarray, Any]:
        """Whatever is observed, features and windows of any size."""
        shape = np.shape(observation)[:-1]
        return np.tile(self.limits.answer(self.target), (*shape, 1)), state


class NoTradeBandPolicy(KnownPolicy):
    """One risky asset: hold inside a band of weights, trade to its nearer edge outside.

    Args:
        lower, upper: edges, `[Z]` for the states in which the band is known, one or more.
        states: `[Z]` rising values of the (single) observed number for which the edges are; they
            are interpolated between. None: the edges are those of one state, or of the regimes of
            M observed columns with a 1 for the regime.
    """

    def __init__(
        self,
        lower: Float,
        upper: Float,
        name: str = "no_trade_band",
        limits: Limits | None = None,
        states: Float | None = None,
    ) -> None:
        self.lower, self.upper = np.atleast_1d(lower), np.atleast_1d(upper)
        self.states = states
        n_features = 1 if states is not None else (len(self.lower) if len(self.lower) > 1 else 0)
        super().__init__(name, 1, n_features, limits or Limits())

    def weights(self, observed: Float, held: Float) -> Float:
        if self.states is not None:
            seen = observed[:, 0, 0]
            lower = np.interp(seen, self.states, self.lower)
            upper = np.interp(seen, self.states, self.upper)
        else:
            regime = observed[:, 0].argmax(axis=1) if self.n_features else 0
            lower, upper = self.lower[regime], self.upper[regime]
        risky = np.clip(held[:, 0], lower, upper)
        return np.column_stack([risky, 1.0 - risky])


class RegimePolicy(KnownPolicy):
    """Regime switching: best weights for the regime seen, for the belief seen, or for a belief that
    the policy itself filters from the returns seen (Hamilton 1989)."""

    def __init__(
        self,
        process: RegimeSwitching,
        limits: Limits | None = None,
        risk_aversion: float = 1.0,
    ) -> None:
        limits = limits or Limits()
        name = {"state": "regime_seen", "belief": "belief", "return": "bayes_filter"}
        super().__init__(
            name[process.observe], process.n_assets, len(process.observed_names), limits
        )
        self.process = process
        self.law = Law(
            process.drift,
            process.volatility,
            process.correlation,
            process.transition,
            process.dt,
            process.cash_rate,
            limits.portfolios(process.n_assets),
            ORDER_ONE if process.n_assets == 1 else ORDER_MANY,
            risk_aversion,
        )
        # Certain of one regime: a table of answers.
        self._of_regime = self.law.weights(np.eye(process.n_regimes))
        # By what the process divides the returns it shows.
        share = self.law.start(1)[0][:, None]
        mean = (process.drift - 0.5 * process.volatility**2) * process.dt
        spread = process.volatility**2 * process.dt + (mean - (share * mean).sum(axis=0)) ** 2
        self._unit = np.sqrt((share * spread).sum(axis=0))

    def carry(self, observed: Float, state: Any, start: NDArray[np.bool_]) -> Any:
        """`[N, M]` beliefs, for a process that shows returns."""
        if self.process.observe != "return":
            return None
        prior = self.law.start(len(observed))
        if state is not None:
            prior[~start] = state[~start]
        returns = observed[:, :, 0] * self._unit
        # The first row of a path has no return into it, and shows 0.
        seen = ~(start & (returns == 0.0).all(axis=1)) if state is not None else returns.any(axis=1)
        prior[seen] = self.law.update(prior[seen], returns[seen])
        return prior

    def weights(self, observed: Float, held: Float) -> Float:
        if self.process.observe == "return":
            return self.law.weights(observed)
        if self.process.observe == "state":
            return self._of_regime[observed[:, 0].argmax(axis=1)]
        belief = np.clip(observed[:, 0], 0.0, 1.0)
        return self.law.weights(belief / belief.sum(axis=1, keepdims=True))


class VolatilityTimingPolicy(KnownPolicy):
    """Heston or GARCH: best weights of a log investor at the variance seen."""

    def __init__(
        self,
        process: Heston | Garch,
        limits: Limits | None = None,
        risk_aversion: float = 1.0,
    ) -> None:
        limits = limits or Limits()
        n_assets = process.n_assets
        super().__init__("volatility_timing", n_assets, 1, limits)
        self.process, self.risk_aversion = process, risk_aversion
        self._portfolios = limits.portfolios(n_assets)
        self._usual = (
            process.mean_variance * process.dt
            if isinstance(process, Heston)
            else process.long_run_variance
        )
        dof = process.dof if isinstance(process, Garch) else np.full(n_assets, np.inf)
        if np.isfinite(dof).any() and limits.action != "simplex":
            raise InputError(
                "with Student t shocks a leveraged or short position can lose everything: the "
                "answer is long-only; use action 'simplex', or dof=inf"
            )
        order = ORDER_ONE if n_assets == 1 else ORDER_MANY
        self._nodes, self._probability = garch_nodes(dof, process.correlation, order)

    def weights(self, observed: Float, held: Float) -> Float:
        process = self.process
        variance = self._usual * np.exp(observed[:, :, 0])
        if isinstance(process, Heston):
            location = process.drift * process.dt - 0.5 * variance
        else:
            location = np.broadcast_to(process.mean, variance.shape)
        return myopic_weights(
            location,
            np.sqrt(variance),
            self._nodes,
            self._probability,
            1.0 + process.cash_rate * process.dt,
            self._portfolios,
            risk_aversion=self.risk_aversion,
        )


def factors_seen(process: MeanReverting, observed: Float) -> Float:
    """`[N, K]` factors in units of their standard deviation, from what the process shows.

    Raises:
        InputError: if a factor loads on no asset: it is not shown then.
    """
    asset = np.abs(process.loadings).argmax(axis=0)
    factor = np.arange(len(asset))
    sign = np.sign(process.loadings[asset, factor])
    if (sign == 0).any():
        raise InputError("MeanReverting: a factor without a loading cannot be seen; leave it out")
    return observed[:, asset, factor] * sign


class FactorTimingPolicy(KnownPolicy):
    """Mean-reverting factors without trading costs: best weights at the factors seen."""

    def __init__(
        self, process: MeanReverting, limits: Limits | None = None, risk_aversion: float = 1.0
    ) -> None:
        limits = limits or Limits()
        n_assets = process.n_assets
        super().__init__("factor_timing", n_assets, len(process.observed_names), limits)
        self.process, self.risk_aversion = process, risk_aversion
        self._portfolios = limits.portfolios(n_assets)
        order = ORDER_ONE if n_assets == 1 else ORDER_MANY
        nodes, self._probability = normal_nodes(n_assets, order)
        self._nodes = nodes @ root(process.correlation).T
        self._scale = process.volatility * np.sqrt(process.dt)

    def weights(self, observed: Float, held: Float) -> Float:
        process = self.process
        cash = process.cash_rate * process.dt
        factors = factors_seen(process, observed) * process.factor_volatility
        return myopic_weights(
            factors @ process.loadings.T + cash,
            self._scale,
            self._nodes,
            self._probability,
            1.0 + cash,
            self._portfolios,
            arithmetic=True,
            risk_aversion=self.risk_aversion,
        )


class GarleanuPedersenPolicy(KnownPolicy):
    """Mean-reverting factors under quadratic costs: a fixed part of the way to the aim portfolio.

    Positions are weights of the current value; the answer is exact for gains that are added up,
    and for weights within the limits, which the action map cuts.

    Args:
        cost: Lambda a period as a fraction of value: a matrix `[A, A]`, or a number for its
            multiple of the covariance of a period's returns.
        discount: a period.
    """

    def __init__(
        self,
        process: MeanReverting,
        cost: Float | float,
        limits: Limits | None = None,
        risk_aversion: float = 1.0,
        discount: float = 0.0,
    ) -> None:
        limits = limits or Limits("long_short")
        if limits.action != "long_short":
            raise InputError("the aim portfolio is long and short: use action 'long_short'")
        super().__init__("garleanu_pedersen", process.n_assets, len(process.observed_names), limits)
        self.process = process
        spread = process.volatility * np.sqrt(process.dt)
        keep = 1.0 - process.reversion
        self.solution = garleanu_pedersen.solve(
            process.loadings,
            process.reversion,
            np.diag(process.factor_volatility**2 * (1.0 - keep**2)),
            process.correlation * np.outer(spread, spread),
            cost,
            risk_aversion,
            discount,
        )

    def weights(self, observed: Float, held: Float) -> Float:
        factors = factors_seen(self.process, observed) * self.process.factor_volatility
        before = held[:, :-1]
        assets = before + (factors @ self.solution.aim.T - before) @ self.solution.rate.T
        return np.column_stack([assets, 1.0 - assets.sum(axis=1)])
