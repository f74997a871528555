"""Runs in torchtrade's own environment: steps its vectorised env, and tells how long it took.

Reads a number of steps a line, answers with seconds; the first answer says that it is ready.
"""

import json
import sys
import time

import numpy as np
import pandas as pd
import torch
from torchtrade.envs.offline.vectorized_sequential import (
    VectorizedSequentialTradingEnv,
    VectorizedSequentialTradingEnvConfig,
)


def main() -> None:
    envs, threads, rows, episode, levels, window = (int(text) for text in sys.argv[1:7])
    fee = float(sys.argv[7])
    torch.set_num_threads(threads)
    close = 100 * np.exp(np.cumsum(np.random.default_rng(0).normal(0.0, 0.01, rows)))
    frame = pd.DataFrame(
        {
            "timestamp": pd.date_range("2000-01-01", periods=rows, freq="1h"),
            "open": close,
            "high": close * 1.001,
            "low": close * 0.999,
            "close": close,
            "volume": 1.0,
        }
    )
    env = VectorizedSequentialTradingEnv(
        frame,
        VectorizedSequentialTradingEnvConfig(
            num_envs=envs,
            time_frames="1Hour",
            execute_on="1Hour",
            window_sizes=window,
            transaction_fee=fee,
            max_traj_length=min(episode, rows // 4),
            action_levels=[k / (levels - 1) for k in range(levels)],
        ),
    )
    state = env.reset()
    actions = [env.action_spec.rand() for _ in range(8)]
    print(json.dumps(0.0), flush=True)
    for line in sys.stdin:
        begin = time.perf_counter()
        for k in range(int(line)):
            state.set("action", actions[k % 8])
            _, state = env.step_and_maybe_reset(state)
        print(json.dumps(time.perf_counter() - begin), flush=True)


if __name__ == "__main__":
    main()
