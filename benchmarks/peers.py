"""Other trading environments beside ours, in one run and in turn.

    python -m benchmarks.run peers

The peers trade one asset with a discrete position, which is less work than 20 assets with exact
costs: the rows say how fast a learner is fed, not who computes the same thing faster. Each peer
sees 8 features and is stepped with random actions, resets included.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import gymnasium as gym
import numpy as np

from benchmarks.environments import EPISODE, stepper, vector_stepper
from benchmarks.measure import FEATURES, Effort, Row, panel, pinned, rates, take_turns
from benchmarks.numpy_env import NumpyPortfolioEnv
from envs.portfolio import PortfolioEnv
from envs.vector import PortfolioVectorEnv

MISSING = 'not installed: pip install -e ".[bench]"'
MANY = 8  # envs that a peer's vector holds


def measure(effort: Effort) -> list[Row]:
    market, features = panel(effort.rows)
    episode = min(EPISODE, effort.rows // 4)
    close, values = market.close, features.values
    ours: dict[str, Any] = {"episode_length": episode, "random_start": True}

    def numpy_env() -> NumpyPortfolioEnv:
        return NumpyPortfolioEnv(close, values, episode_length=episode)

    work = {
        "ours, one env": (1, stepper(PortfolioEnv(market, features, **ours))),
        f"ours, {effort.envs:,} envs": (
            effort.envs,
            vector_stepper(
                PortfolioVectorEnv(market, features, num_envs=effort.envs, copy=False, **ours)
            ),
        ),
        "plain NumPy env": (1, peer_stepper(numpy_env())),
        f"plain NumPy env, {MANY} in SyncVectorEnv": (
            MANY,
            peer_vector_stepper(gym.vector.SyncVectorEnv([numpy_env] * MANY)),
        ),
    }
    absent = []
    for name, make in (("gym-trading-env", gym_trading_env), ("gym-anytrading", gym_anytrading)):
        try:
            work[name] = (1, peer_stepper(make(close, values, episode)))
        except ImportError:
            absent.append(Row(name, "steps/s", note=MISSING))
    if "gym-trading-env" in work:
        name = f"gym-trading-env, {MANY} in make_vec sync"
        work[name] = (MANY, peer_vector_stepper(many_trading_envs(close, values, episode, "sync")))
    with pinned(1) as note:
        taken = take_turns({name: step for name, (_, step) in work.items()}, effort)
    rows = [Row(name, "steps/s", rates(taken[name], n), note=note) for name, (n, _) in work.items()]
    if "gym-trading-env" in work:
        rows.append(processes(close, values, episode, effort))
    return rows + absent


def peer_stepper(env: Any) -> Callable[[], None]:
    """One step of a Gymnasium env with random actions, resets included."""
    env.action_space.seed(0)
    actions = itertools.cycle([env.action_space.sample() for _ in range(64)])
    with peer_warnings():
        env.reset(seed=0)

    def step() -> None:
        _, _, terminated, truncated, _ = env.step(next(actions))
        if terminated or truncated:
            env.reset()

    return step


def peer_vector_stepper(envs: Any) -> Callable[[], None]:
    """One step of a Gymnasium vector env, which resets by itself."""
    envs.action_space.seed(0)
    actions = itertools.cycle([envs.action_space.sample() for _ in range(64)])
    with peer_warnings():
        envs.reset(seed=0)

    def step() -> None:
        envs.step(next(actions))

    return step


@contextmanager
def peer_warnings() -> Iterator[None]:
    """Undoes the warning filter that gym-trading-env sets for the whole process on import."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def trading_frame(close: np.ndarray, values: np.ndarray) -> Any:
    """The first asset as the data frame that the peers read."""
    import pandas as pd

    price = close[:, 0]
    columns = {f"feature_{k}": values[:, 0, k] for k in range(FEATURES)}
    bars = {"open": price, "high": price, "low": price, "close": price, "volume": 1.0}
    return pd.DataFrame({**bars, **columns}, index=pd.date_range("2000-01-03", periods=len(price)))


def trading_settings(close: np.ndarray, values: np.ndarray, episode: int) -> dict[str, Any]:
    return {
        "df": trading_frame(close, values),
        "positions": [0.0, 0.25, 0.5, 0.75, 1.0],
        "trading_fees": 1e-3,
        "max_episode_duration": episode,
        "verbose": 0,
    }


def gym_trading_env(close: np.ndarray, values: np.ndarray, episode: int) -> Any:
    with peer_warnings():
        from gym_trading_env.environments import TradingEnv

        return TradingEnv(**trading_settings(close, values, episode))


def many_trading_envs(close: np.ndarray, values: np.ndarray, episode: int, mode: str) -> Any:
    with peer_warnings():
        import gym_trading_env  # noqa: F401  (registers "TradingEnv")

        settings = trading_settings(close, values, episode)
        return gym.make_vec("TradingEnv", MANY, vectorization_mode=mode, **settings)


def processes(close: np.ndarray, values: np.ndarray, episode: int, effort: Effort) -> Row:
    """gym-trading-env in processes of its own, on two cores."""
    name = f"gym-trading-env, {MANY} in make_vec async"
    with pinned(2) as note:
        try:
            envs = many_trading_envs(close, values, episode, "async")
        except Exception as error:  # the peer's own; the table says so instead of stopping
            return Row(name, "steps/s", cores=2, note=f"does not start: {type(error).__name__}")
        try:
            taken = take_turns({"": peer_vector_stepper(envs)}, effort)[""]
        finally:
            envs.close()
    return Row(name, "steps/s", rates(taken, MANY), cores=2, note=note)


def gym_anytrading(close: np.ndarray, values: np.ndarray, episode: int) -> Any:
    with peer_warnings():
        from gym_anytrading.envs import StocksEnv

        class WithFeatures(StocksEnv):
            """Its documented way to other features: override `_process_data`."""

            def _process_data(self) -> tuple[np.ndarray, np.ndarray]:
                return close[:episode, 0].astype(np.float32), values[:episode, 0]

        return WithFeatures(trading_frame(close, values), 1, (1, episode))
