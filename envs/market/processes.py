"""Price processes: simulated markets with a known law, in batches of seeded paths.

    process = Heston(drift=[0.06, 0.08], leverage=-0.7)
    paths = process.simulate(rng.integers(0, 2**63, 1024, dtype=np.uint64), n_steps=252)

Each is a frozen dataclass with parameters in yearly units unless it says otherwise; `Process`
says what all share. `docs/simulated.md` has the formulas and what each is for.
"""

from envs.market.process_base import Paths, Process
from envs.market.process_mixtures import Bootstrap, Mixture, Randomised
from envs.market.process_regimes import RegimeSwitching
from envs.market.process_returns import GeometricBrownian, JumpDiffusion, MeanReverting
from envs.market.process_volatility import Garch, Heston

__all__ = [
    "Bootstrap",
    "Garch",
    "GeometricBrownian",
    "Heston",
    "JumpDiffusion",
    "MeanReverting",
    "Mixture",
    "Paths",
    "Process",
    "Randomised",
    "RegimeSwitching",
]
