"""`PortfolioVectorEnv`: N portfolios stepped by the same kernels as one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from itertools import pairwise
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from envs.actions import refuse_nan
from envs.data.market_data import MarketData
from envs.errors import InputError
from envs.features.panel import FeaturePanel
from envs.holdings import starting_weights
from envs.portfolio import default_market
from envs.rewards import TERMS
from envs.simulation import Observations, Setting, Simulation, make_setting
from envs.workers import Worker


class PortfolioVectorEnv(VectorEnv):
    """N independent portfolios on one market; the manual is that of `PortfolioEnv`.

    Portfolio i, seeded with `seed + i`, gives bit for bit the trajectory of a `PortfolioEnv` reset
    with that seed and given the same actions.

    An episode that ends starts anew in the same step (`AutoresetMode.SAME_STEP`): the observation
    is the first of the new episode, and `info["final_obs"]` (object array, with the mask
    `_final_obs`) holds the last of the old one. Every other array in `info` is `[N]` or `[N, ...]`
    and describes the step that was made.

    Further arguments:
        num_envs: N.
        threads: how many threads step the portfolios; the result does not depend on it.
        copy: with False, observations are written into two buffers in turn, so that an observation
            is overwritten by the second step after it, and the arrays in `info` by the next one:
            for learners that copy what they keep.

        >>> import gymnasium as gym
        >>> envs = gym.make_vec(
        ...     "envs:Portfolio-v0", num_envs=8, vectorization_mode="vector_entry_point"
        ... )
    """

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012

    def __init__(
        self,
        market: MarketData | None = None,
        features: FeaturePanel | None = None,
        *,
        num_envs: int = 1,
        threads: int = 1,
        copy: bool = True,
        **arguments: Any,
    ) -> None:
        if market is None:
            market, features = default_market()
        self._open(make_setting(market, features, **arguments), num_envs, threads, copy)

    # For `close` of an env that was refused before it was whole.
    _workers: Sequence[Worker] = ()

    @classmethod
    def from_setting(
        cls, setting: Setting, num_envs: int, threads: int = 1, copy: bool = True
    ) -> PortfolioVectorEnv:
        """An environment on a checked setting, sharing its memory."""
        env = cls.__new__(cls)
        env._open(setting, num_envs, threads, copy)
        return env

    def _open(self, setting: Setting, num_envs: int, threads: int, copy: bool) -> None:
        if num_envs < 1 or threads < 1:
            raise InputError(f"num_envs and threads must be at least 1: {num_envs}, {threads}")
        self.setting = setting
        self.num_envs = num_envs
        self.copy = copy
        self.simulation = Simulation(setting, num_envs)
        self.single_action_space = setting.action_map.space()
        self.single_observation_space = self.simulation.space()
        self.action_space = batch_space(self.single_action_space, num_envs)
        made = 0 if copy else 2
        self._buffers = [self.simulation.empty_observations() for _ in range(made)]
        self._rngs: list[np.random.Generator] = []
        bounds = np.linspace(0, num_envs, min(threads, num_envs) + 1).astype(int)
        self._slices = [slice(a, b) for a, b in pairwise(bounds)]
        self._parts = [self.simulation.part(rows) for rows in self._slices]
        self._workers = [Worker() for _ in self._parts[1:]]

    @cached_property
    def observation_space(self) -> gym.Space:  # type: ignore[override]
        """Made when asked for: its bounds alone are as large as two batches of observations."""
        return batch_space(self.single_observation_space, self.num_envs)

    # ------------------------------------------------------------------ seeds and state
    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Any, dict[str, Any]]:
        """Starts all episodes. An integer seeds portfolio i with `seed + i`.

        Args:
            options: `weights`, `[A+1]` for all or `[N, A+1]`: what is held at the first decision of
                these episodes; those that follow by themselves begin as the setting says.

        Raises:
            InputError: for another option, weights that cannot be held, or too few seeds.
        """
        weights = starting_weights(options)
        seeds: Sequence[int | None]
        if seed is None or isinstance(seed, (int, np.integer)):
            seeds = [None if seed is None else int(seed) + i for i in range(self.num_envs)]
        else:
            seeds = list(seed)
        if len(seeds) != self.num_envs:
            raise InputError(f"{len(seeds)} seeds for {self.num_envs} portfolios")
        if not self._rngs:
            self._rngs = [seeding.np_random(s)[0] for s in seeds]
        else:
            for i, s in enumerate(seeds):
                if s is not None:
                    self._rngs[i] = seeding.np_random(s)[0]
        self.simulation.restart(np.arange(self.num_envs), self._rngs, weights)
        out = self._next_buffer()
        self.simulation.write(out)
        return out, {
            "t": self.simulation.panel_row(self.simulation.state.row).copy(),
            "value": self.simulation.state.value.copy(),
        }

    def _restart(self, simulation: Simulation, index: np.ndarray, offset: int) -> None:
        simulation.restart(index, [self._rngs[offset + i] for i in index])

    def state_dict(self) -> dict[str, Any]:
        """All that moves, as arrays and JSON-able random states; see `load_state_dict`."""
        arrays = {key: value.copy() for key, value in self.simulation.state.__dict__.items()}
        if self.simulation.paths is not None:
            arrays["path_seed"] = self.simulation.paths.seeds.astype(np.int64)
        return {"arrays": arrays, "rngs": [rng.bit_generator.state for rng in self._rngs]}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Goes on exactly where `state_dict` was taken.

        Raises:
            InputError: if it was taken with another number of portfolios or assets.
        """
        state = self.simulation.state.__dict__
        arrays = dict(saved["arrays"])
        if self.simulation.paths is not None:
            # The paths themselves are not saved: their seeds make them again.
            seeds = arrays.pop("path_seed").astype(np.uint64)
            self.simulation.paths.refill(np.arange(self.num_envs), seeds)
        for key, value in arrays.items():
            if state[key].shape != value.shape:
                raise InputError(
                    f"saved env state {key} is {value.shape}, this env has {state[key].shape}"
                )
            state[key][...] = value
        self._rngs = []
        for bits in saved["rngs"]:
            rng, _ = seeding.np_random(0)
            rng.bit_generator.state = bits
            self._rngs.append(rng)

    # ------------------------------------------------------------------ stepping
    def step(
        self, actions: np.ndarray
    ) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """One row of the market for every portfolio; `actions [N, n_actions]`."""
        if not self._rngs:
            raise gym.error.ResetNeeded("call reset() before step()")
        if np.shape(actions) != self.action_space.shape:
            raise InputError(
                f"actions must have shape {self.action_space.shape}, got {np.shape(actions)}"
            )
        if self._workers:
            # Seen to here, since a thread that finds a NaN cannot stop what the others have done.
            # A sum of squares is NaN if, and only if, something in it is.
            flat = np.ravel(actions)
            if np.isnan(np.dot(flat, flat)):
                refuse_nan(int(np.isnan(actions).any(axis=1).argmax()), actions)
        out = self._next_buffer()
        for k, worker in enumerate(self._workers, start=1):
            worker.start(self._step_part, k, actions, out)
        finals = [self._step_part(0, actions, out), *(worker.wait() for worker in self._workers)]
        last = self.simulation.last
        info = self._describe() if self.copy else dict(self._described)
        info["t"] = self.simulation.panel_row(info["t"])
        if any(final is not None for final in finals):
            final_obs = np.full(self.num_envs, None, dtype=object)
            for final in finals:
                if final is not None:
                    for i, observation in zip(*final, strict=True):
                        final_obs[i] = observation
            info["final_obs"] = final_obs
            info["_final_obs"] = last.done.copy()
        return (
            out,
            last.reward.copy(),
            last.ruined.copy(),
            last.truncated.copy(),
            info,
        )

    def _describe(self) -> dict[str, Any]:
        """What the step did, by portfolio: copies, or what the next step overwrites."""
        last = self.simulation.last
        seen: Callable[[np.ndarray], np.ndarray] = np.copy if self.copy else np.asarray
        info: dict[str, Any] = {
            "t": seen(last.row),
            "value": seen(last.value),
            "weights": seen(last.target),
            "gross_return": seen(last.gross_return),
            "net_return": seen(last.net_return),
            **{kind: seen(getattr(last, kind)) for kind in self.setting.costs.kinds},
            "turnover": seen(last.turnover),
            "reward_terms": dict(zip(TERMS, seen(last.terms).T, strict=True)),
        }
        if self.setting.costs.can_force:
            info["forced"] = seen(last.forced)
        return info

    @cached_property
    def _described(self) -> dict[str, Any]:
        """Made once where nothing is copied: every step writes into the same arrays."""
        return self._describe()

    def _step_part(
        self, k: int, actions: np.ndarray, out: Observations
    ) -> tuple[np.ndarray, Any] | None:
        part, rows = self._parts[k], self._slices[k]
        part.step(np.ascontiguousarray(actions[rows], np.float64))
        done = part.last.done
        final = None
        if done.any():
            index = np.flatnonzero(done)
            final = (index + rows.start, self._final(part, index))
            self._restart(part, index, rows.start)
        if isinstance(out, dict):
            part.write_indexed({key: whole[rows] for key, whole in out.items()})
        else:
            part.write_flat(out[rows])
        return final

    def _final(self, part: Simulation, index: np.ndarray) -> Any:
        """The last observations of the episodes that have just ended."""
        ended = Simulation(self.setting, len(index), part.paths)
        for key, value in part.state.__dict__.items():
            getattr(ended.state, key)[...] = value[index]
        out = ended.empty_observations()
        ended.write(out)
        if isinstance(out, dict):
            return [{key: part[i] for key, part in out.items()} for i in range(len(index))]
        return out

    def _next_buffer(self) -> Observations:
        if self.copy:
            return self.simulation.empty_observations()
        self._buffers.reverse()
        return self._buffers[0]

    def close_extras(self, **kwargs: Any) -> None:
        """Ends the threads."""
        for worker in self._workers:
            worker.close()
