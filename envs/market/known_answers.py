"""`optimum(process)`: the best possible policy of a simulated market, where it is known.

| process | without costs | with costs |
|---|---|---|
| geometric Brownian, jumps | constant weights: Merton, exact for the step | band, one asset |
| mean-reverting factors | best weights at the factors | band by factor, one asset and factor; |
| | | Garleanu and Pedersen (quadratic) |
| regimes, seen | best weights of the regime | band by regime, one asset |
| regimes, hidden | best weights under the Bayes filter | unknown |
| Heston, GARCH | best weights at the variance (log utility) | unknown |
| bootstrap | best constant weights of the panel, in hindsight | unknown |

`docs/known_answers.md` has the models, the sources, and what each market teaches.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from envs.actions import ActionMap, LongShort
from envs.errors import InputError
from envs.market.costs import ProportionalCost, QuadraticCost
from envs.market.expected_utility import unconditional_outcomes
from envs.market.known_policies import (
    ConstantWeights,
    FactorTimingPolicy,
    GarleanuPedersenPolicy,
    KnownPolicy,
    Limits,
    NoTradeBandPolicy,
    RegimePolicy,
    VolatilityTimingPolicy,
)
from envs.market.processes import (
    Bootstrap,
    Garch,
    GeometricBrownian,
    Heston,
    JumpDiffusion,
    MeanReverting,
    Process,
    RegimeSwitching,
)
from envs.market.solutions.best_mix import best_weights
from envs.market.solutions.no_trade_band import factor_states, solve_band
from envs.market.solutions.outcomes import (
    Outcomes,
    brownian_outcomes,
    normal_nodes,
)

__all__ = [
    "ConstantWeights",
    "FactorTimingPolicy",
    "GarleanuPedersenPolicy",
    "Limits",
    "NoTradeBandPolicy",
    "RegimePolicy",
    "VolatilityTimingPolicy",
    "optimum",
]

Float = NDArray[np.float64]
# States of the chain that stands for a factor, and nodes of its grid of weights.
FACTOR_STATES, FACTOR_WEIGHTS = 41, 401


def optimum(
    process: Process,
    *,
    cost: ProportionalCost | float = 0.0,
    risk_aversion: float = 1.0,
    discount: float = 0.0,
    action: str | ActionMap = "simplex",
    gross: float = 1.0,
    net: float | None = None,
) -> KnownPolicy:
    """The policy of highest expected utility in this market, to be rolled out like any other.

    It maximises the long-run certainty equivalent of CRRA utility (the mean log return for
    `risk_aversion` 1) with trades at the close of the decision (`execution=same_close`).

    Args:
        process: with its true parameters.
        cost: as the env charges it: `ProportionalCost` with constant rates, or `QuadraticCost`
            without such rates (mean-reverting factors only); or a rate per side as a fraction.
        risk_aversion: gamma > 0. Known for other values than 1 where the shocks of prices tell
            nothing of the state. With quadratic costs utility is mean-variance and is added up, as
            the reward term `mean_variance` with this risk aversion.
        discount: a period; for quadratic costs only.
        action: the action map of the env. All long-only maps ("softmax", "simplex", "trade") have
            the same best weights; they are answered as "simplex".
        gross, net: limits of "long_short"; net None: 1 or `gross`, whichever is less, as the map.

    Raises:
        InputError: where no answer is known, saying for what it is.
    """
    limits = _limits(action, gross, net)
    if not risk_aversion > 0:
        raise InputError(f"risk_aversion must be positive (1 is log utility), got {risk_aversion}")
    if isinstance(cost, QuadraticCost):
        return _aim(process, cost, limits, risk_aversion, discount)
    rate = _rate(cost, process.n_assets)
    if rate > 0:
        return _band(process, rate, risk_aversion, limits)
    if isinstance(process, GeometricBrownian | JumpDiffusion):
        growth, probability = unconditional_outcomes(process)
        name = "merton"
    elif isinstance(process, Bootstrap):
        growth, probability = _history(process)
        name = "bcrp"
    else:
        return _by_state(process, risk_aversion, limits)
    weights, _ = best_weights(
        growth,
        probability,
        portfolios=limits.portfolios(process.n_assets),
        risk_aversion=risk_aversion,
    )
    return ConstantWeights(weights, name, limits)


def _by_state(process: Process, risk_aversion: float, limits: Limits) -> KnownPolicy:
    """Best weights of the coming step, given what is seen of the state."""
    log = risk_aversion == 1.0
    if isinstance(process, MeanReverting):
        return FactorTimingPolicy(process, limits, risk_aversion)
    if isinstance(process, RegimeSwitching):
        _need_log(log or process.observe == "state", "RegimeSwitching, regime hidden,")
        return RegimePolicy(process, limits, risk_aversion)
    if isinstance(process, Heston):
        if process.substeps != 1:
            raise InputError("Heston: the answer is known for substeps=1, where steps are normal")
        _need_log(log or not process.leverage.any(), "Heston with leverage")
        return VolatilityTimingPolicy(process, limits, risk_aversion)
    if isinstance(process, Garch):
        _need_log(log, "Garch")
        return VolatilityTimingPolicy(process, limits)
    raise InputError(
        f"no answer is known for {type(process).__name__}: the parameters of a path are hidden; "
        "choose one of the processes of docs/known_answers.md"
    )


def _aim(
    process: Process, cost: QuadraticCost, limits: Limits, risk_aversion: float, discount: float
) -> KnownPolicy:
    """Garleanu and Pedersen: the cost of an order o is quadratic o^2 = Lambda o^2 / 2."""
    quadratic = np.broadcast_to(np.asarray(cost.quadratic, np.float64), process.n_assets)
    if not isinstance(process, MeanReverting) or _rate(cost, process.n_assets) > 0:
        raise InputError(
            "quadratic costs have a known answer for MeanReverting, without proportional costs "
            "beside them; use another cost, or cost.commission_bps=0 cost.half_spread_bps=0"
        )
    matrix = np.diag(2.0 * quadratic)
    return GarleanuPedersenPolicy(process, matrix, limits, risk_aversion, discount)


def _band(process: Process, cost: float, risk_aversion: float, limits: Limits) -> KnownPolicy:
    """The no-trade band: one risky asset, with a state that is seen and told nothing by prices."""
    if process.n_assets != 1:
        raise InputError(
            f"with proportional costs the answer is known for one asset, not for "
            f"{process.n_assets}; use cost=free, or one asset"
        )
    cash = 1.0 + process.cash_rate * process.dt
    lowest, highest = limits.of_one_asset()
    transition, states, n_weights = None, None, 1201
    if isinstance(process, GeometricBrownian | JumpDiffusion):
        outcomes, probability = unconditional_outcomes(process)
        growth = outcomes[:, 0]
    elif isinstance(process, RegimeSwitching) and process.observe == "state":
        made = [
            brownian_outcomes(drift, np.diag(volatility**2), process.dt, process.cash_rate)
            for drift, volatility in zip(process.drift, process.volatility)
        ]
        growth, probability = np.stack([g[:, 0] for g, _ in made]), made[0][1]
        transition = process.transition
    elif isinstance(process, MeanReverting) and len(process.reversion) == 1:
        unit, transition = factor_states(float(process.reversion[0]), FACTOR_STATES)
        nodes, probability = normal_nodes(1, 7)
        expected = abs(process.loadings[0, 0]) * process.factor_volatility[0] * unit
        shock = process.volatility[0] * np.sqrt(process.dt) * nodes[:, 0]
        growth = np.maximum(cash + expected[:, None] + shock, 0.01)
        states, n_weights = unit, FACTOR_WEIGHTS
    else:
        raise InputError(
            f"with proportional costs no answer is known for this {type(process).__name__}: the "
            "state must be seen, and prices must tell nothing of its next value; use cost=free"
        )
    band = solve_band(
        growth,
        probability,
        cash,
        cost,
        transition=transition,
        risk_aversion=risk_aversion,
        lowest=lowest,
        highest=highest,
        n_weights=n_weights,
        tolerance=1e-12 if states is None else 1e-9,
    )
    return NoTradeBandPolicy(band.lower, band.upper, "no_trade_band", limits, states)


def _history(process: Bootstrap) -> Outcomes:
    """Every row of the panel is as likely as any other."""
    close = process.market.close
    growth = close[1:] / close[:-1]
    cash = np.full(len(growth), 1.0 + process.cash_rate * process.dt)
    return np.column_stack([growth, cash]), np.full(len(growth), 1.0 / len(growth))


def _limits(action: str | ActionMap, gross: float, net: float | None) -> Limits:
    if isinstance(action, LongShort):
        return Limits("long_short", action.gross, action.net)
    name = action.name if isinstance(action, ActionMap) else action
    if name in ("softmax", "trade"):
        name = "simplex"
    return Limits(name, gross, min(1.0, gross) if net is None else net)


def _rate(cost: ProportionalCost | float, n_assets: int) -> float:
    """Cost per side of the dearest asset."""
    if isinstance(cost, int | float):
        if not 0 <= cost < 0.5:
            raise InputError(f"cost must be a fraction per side in [0, 0.5), got {cost}")
        return float(cost)
    if type(cost) not in (ProportionalCost, QuadraticCost):
        raise InputError(
            f"no answer is known for {type(cost).__name__}; use ProportionalCost or QuadraticCost"
        )
    commission, half_spread = cost.rates(n_assets)
    return float((commission + half_spread).max())


def _need_log(known: bool, market: str) -> None:
    if not known:
        raise InputError(
            f"{market}: the answer is known for log utility alone (risk_aversion=1): other "
            "investors hedge against what prices foretell of the state"
        )
