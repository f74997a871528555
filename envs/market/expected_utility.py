"""What a step is worth in expectation, given the weights held and the true state of the market.

On a simulated market the law of the next growth is known, so that the expected utility of a step
can take the place of the one that was drawn. Over a rollout both have the same mean, and the first
has none of the noise of prices: a score that needs a million days drawn needs a thousand computed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from envs.errors import InputError
from envs.market.processes import (
    Garch,
    GeometricBrownian,
    Heston,
    JumpDiffusion,
    MeanReverting,
    Process,
    RegimeSwitching,
)
from envs.market.solutions.outcomes import (
    Outcomes,
    brownian_outcomes,
    garch_nodes,
    jump_outcomes,
)

Float = NDArray[np.float64]
UTILITIES = ("log_return", "mean_variance")
# Growth of a simulated mean-reverting price is cut here (`MeanReverting`).
LEAST_GROWTH = 0.01


def expected_utility(
    process: Process,
    state: Float,
    weights: Float,
    kept: Float | float = 1.0,
    *,
    utility: str = "log_return",
    risk_aversion: float = 1.0,
    order: int = 5,
) -> Float:
    """`[N]` expected utility of the step that begins with these weights.

    Args:
        process: with its true parameters.
        state: `[N, S]` of `Paths.state` at the row of the trade.
        weights: `[N, A+1]` just after the trade, cash last.
        kept: `[N]` share of the value that the trade left; 1 without costs.
        utility: "log_return", log(1 + R), or "mean_variance", R - risk_aversion / 2 R^2, with the
            net return R of the step, as the reward terms of these names.
        order: nodes a shock of the quadrature.

    Raises:
        InputError: for an unknown utility, a process whose law has no quadrature here, or weights
            that lose everything in some outcome.
    """
    if utility not in UTILITIES:
        raise InputError(f"unknown utility {utility!r}; known: {', '.join(UTILITIES)}")
    weights = np.asarray(weights, np.float64)
    growth, probability = conditional_outcomes(process, np.asarray(state, np.float64), order)
    wealth = np.einsum("nqa,na->nq", np.broadcast_to(growth, (len(weights), *growth.shape[1:])),
                       weights)  # fmt: skip
    wealth = wealth * np.reshape(kept, (-1, 1))
    if utility == "mean_variance":
        simple = wealth - 1.0
        return np.asarray((simple - 0.5 * risk_aversion * simple**2) @ probability)
    if not wealth.min() > 0:
        raise InputError("log_return: some weights lose everything in an outcome of the step")
    return np.asarray(np.log(wealth) @ probability)


def conditional_outcomes(process: Process, state: Float, order: int = 5) -> Outcomes:
    """Gross growth `[N or 1, Q, A+1]` (cash last) given the states `[N, S]`, probabilities `[Q]`.

    Raises:
        InputError: for a process whose next growth has no quadrature here.
    """
    n_assets = process.n_assets
    cash = process.cash_rate * process.dt
    if isinstance(process, GeometricBrownian | JumpDiffusion):
        growth, probability = unconditional_outcomes(process, order)
        return growth[None], probability
    if not isinstance(process, MeanReverting | RegimeSwitching | Heston | Garch):
        raise InputError(f"the law of the next growth of {type(process).__name__} is not known")
    dof = process.dof if isinstance(process, Garch) else np.full(n_assets, np.inf)
    shocks, probability = garch_nodes(dof, process.correlation, order)
    if isinstance(process, MeanReverting):
        location = cash + state @ process.loadings.T
        scale = np.broadcast_to(process.volatility * np.sqrt(process.dt), location.shape)
    elif isinstance(process, RegimeSwitching):
        regime = state[:, 0].astype(np.int64)
        volatility = process.volatility[regime]
        location = (process.drift[regime] - 0.5 * volatility**2) * process.dt
        scale = volatility * np.sqrt(process.dt)
    elif isinstance(process, Heston):
        if process.substeps != 1:
            raise InputError("Heston: the law of a step is known for substeps=1 alone")
        location = (process.drift - 0.5 * state) * process.dt
        scale = np.sqrt(state * process.dt)
    else:
        location = np.broadcast_to(process.mean, state.shape)
        scale = np.sqrt(state)
    moves = location[:, None] + scale[:, None] * shocks
    growth = np.empty((len(state), len(probability), n_assets + 1))
    if isinstance(process, MeanReverting):
        growth[..., :-1] = np.maximum(1.0 + moves, LEAST_GROWTH)
    else:
        growth[..., :-1] = np.exp(moves)
    growth[..., -1] = 1.0 + cash
    return growth, probability


def unconditional_outcomes(process: GeometricBrownian | JumpDiffusion, order: int = 7) -> Outcomes:
    """Gross growth `[Q, A+1]` (cash last) of a step, and probabilities, where steps are alike."""
    covariance = process.correlation * np.outer(process.volatility, process.volatility)
    law = (process.drift, covariance, process.dt, process.cash_rate)
    if isinstance(process, GeometricBrownian):
        return brownian_outcomes(*law, order)
    jumps = (process.jump_intensity, process.jump_mean, process.jump_volatility)
    return jump_outcomes(*law, *jumps, order=min(order, 5))
