"""How much of what can be earned a policy earns, where the best possible policy is known.

    score = (utility of the policy - utility of equal weight)
            / (utility of the optimum - utility of equal weight)

1 is the optimum, 0 is equal weight, and a policy can be worse than that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.paths import utility_on_paths
from agents.policy import Policy
from envs.data.arguments import number, whole_number
from envs.errors import InputError
from envs.market.costs import ProportionalCost
from envs.market.expected_utility import UTILITIES
from envs.market.known_answers import ConstantWeights, optimum
from envs.market.score import score
from envs.simulation import Setting

Float = NDArray[np.float64]


@dataclass(frozen=True)
class KnownAnswer:
    """What is asked of the agents of one simulated market.

    Attributes:
        market: what the market is, in a few words.
        utility: the reward term that is the utility: `log_return` or `mean_variance`.
        n_paths: common random paths, of `n_steps` steps each, on which all policies are compared.
        expected: compare expected utilities, given the weights held and the true state at every
            step, where the law of the next step is known (`envs.market.expected_utility`); without,
            those that were drawn, which need far more paths.
        seed: of the first of these paths; training never draws from it.
        optimum: settings of `envs.market.known_answers.optimum`.
        level: of the intervals over paths.
    """

    market: str
    utility: str = "log_return"
    n_paths: int = 2048
    n_steps: int = 252
    expected: bool = True
    seed: int = 900_000_000
    optimum: Mapping[str, Any] = field(default_factory=dict)
    level: float = 0.95

    def __post_init__(self) -> None:
        for key, low in (("n_paths", 2), ("n_steps", 1), ("seed", 0)):
            whole_number(getattr(self, key), f"known_answer.{key}", low)
        if not 0.0 < number(self.level, "known_answer.level") < 1.0:
            raise InputError(f"known_answer.level must lie in (0, 1), got {self.level}")
        if self.utility not in UTILITIES:
            raise InputError(
                f"unknown known_answer.utility {self.utility!r}; known: {', '.join(UTILITIES)}"
            )

    def policy(self, setting: Setting, cost: ProportionalCost) -> Policy:
        """The best policy of this market under these costs.

        Raises:
            InputError: where none is known, or for settings that do not fit it.
        """
        process = setting.market.process
        if process is None:
            raise InputError(
                f"known_answer needs a simulated market and {setting.market.name} is not one; use "
                "data=simulated/..., or known_answer=null"
            )
        if setting.legs.before is not None or setting.delay:
            raise InputError(
                "known answers are for trades at the very close that the decision has seen; set "
                "env.execution=same_close and env.delay=0, or known_answer=null"
            )
        try:
            return optimum(process, action=setting.action_map, cost=cost, **self.optimum)
        except TypeError as error:
            raise InputError(f"known_answer.optimum: {error}") from None

    def judge(
        self, setting: Setting, cost: ProportionalCost, policies: Mapping[str, Policy]
    ) -> dict[str, Any]:
        """Scores these policies on the market of the setting, which has fresh paths.

        Args:
            cost: that of the setting.

        Returns:
            JSON-able: `market`, `utility`, `n_paths`, `n_steps`, the utilities a year of
            `equal_weight` and `optimum`, and for each policy its `utility` and what
            `envs.market.score` says of it.

        Raises:
            InputError: where no answer is known for this market and these costs.
        """
        process = setting.market.process
        n_assets = setting.market.n_assets

        # An agent may look back; known policies read one row, and remember what they need.
        one_row = replace(setting, window=1)

        def on_paths(policy: Policy, setting: Setting = one_row) -> Float:
            return process.periods_per_year * utility_on_paths(
                policy,
                setting,
                term=self.utility,
                n_paths=self.n_paths,
                seed=self.seed,
                expected=self.expected,
            )

        best = on_paths(self.policy(setting, cost))
        weights = np.append(np.full(n_assets, 1.0 / n_assets), 0.0)
        equal = on_paths(ConstantWeights(weights, "equal_weight"))
        scores = {}
        for name, policy in policies.items():
            mine = on_paths(policy, setting)
            result = score(mine, equal, best, level=self.level)
            scores[name] = {"utility": float(mine.mean()), **result}
        return {
            "market": self.market,
            "utility": self.utility,
            "n_paths": self.n_paths,
            "n_steps": self.n_steps,
            "equal_weight": float(equal.mean()),
            "optimum": float(best.mean()),
            "policies": scores,
        }


def in_words(known: Mapping[str, Any]) -> str:
    """What `known_answer.json` says, as one sentence for the terminal and the report."""
    scores = [one["score"] for one in known["policies"].values()]
    spread = f" ({min(scores):.3f} to {max(scores):.3f})" if len(scores) > 1 else ""
    agent, mean = known["agent"].upper(), np.mean(scores)
    best, equal = 100 * known["optimum"], 100 * known["equal_weight"]
    return (
        f"Known answer ({known['market']}): {agent} scores {mean:.3f}{spread}, where 1 is the "
        f"optimum ({best:.2f} % a year) and 0 is equal weight ({equal:.2f} %), on "
        f"{known['n_paths']:,} fresh paths of {known['n_steps']} steps. What is said of one path, "
        "the test window, is mostly luck."
    )
