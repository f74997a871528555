"""Utility of a policy on many simulated paths at once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from agents.policy import Policy
from envs.actions import make_action_map
from envs.errors import InputError
from envs.market.expected_utility import expected_utility
from envs.rewards import TERMS
from envs.simulation import Setting
from envs.vector import PortfolioVectorEnv

Float = NDArray[np.float64]


def utility_on_paths(
    policy: Policy,
    setting: Setting,
    *,
    term: str,
    n_paths: int,
    seed: int,
    expected: bool = False,
) -> Float:
    """Mean of a reward term per step, on each of `n_paths` fresh paths of one episode.

    Path i is that of seed `seed + i` whoever decides, so that two policies are compared on the same
    random numbers. A policy that is ruined keeps what it had then: nothing more is added.

    Args:
        policy: reads batches of `flat` observations; decides deterministically.
        setting: of a simulated market with fresh paths.
        term: name of the term, unweighted (see `envs.rewards`).
        expected: take the expectation of each step's utility given the weights held and the true
            state of the market, in place of the one that was drawn. The mean over paths is the
            same and far less noisy (`envs.market.expected_utility`).

    Raises:
        InputError: if the setting has no fresh paths, for an unknown term, or where the expectation
            is not known.
    """
    n_steps = setting.episode_length
    if setting.fresh is None or n_steps is None:
        raise InputError("utility_on_paths needs a setting with fresh_paths=True")
    if term not in TERMS:
        raise InputError(f"unknown utility {term!r}; known: {', '.join(TERMS)}")
    if policy.action != setting.action_map.name:
        fitting = make_action_map(policy.action, setting.market.n_assets)
        setting = replace(setting, action_map=fitting)
    if expected and setting.legs.before is not None:
        raise InputError("expected utility is for execution 'same_close'; leave expected out")
    envs = PortfolioVectorEnv.from_setting(setting, n_paths, copy=False)
    market, last = setting.market, envs.simulation.last
    total = np.zeros(n_paths)
    alive = np.ones(n_paths, bool)
    observation, _ = envs.reset(seed=seed)
    state, start = None, np.ones(n_paths, bool)
    paths = envs.simulation.paths
    assert paths is not None and paths.state is not None
    # The last step restarts all paths, and their states with them.
    states = paths.state.copy() if expected else paths.state
    for k in range(n_steps):
        action, state = policy.predict(observation, state, start, deterministic=True)
        start = np.zeros(n_paths, bool)
        observation, _, terminated, _, info = envs.step(action)
        utility = info["reward_terms"][term]
        if expected:
            utility = expected_utility(
                market.process,
                states[:, setting.first + k],
                last.target,
                last.kept,
                utility=term,
                risk_aversion=setting.reward.risk_aversion,
            )
        total += np.where(alive, utility, 0.0)
        alive &= ~terminated
    return total / n_steps
