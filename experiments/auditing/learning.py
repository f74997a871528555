"""What a training reads: tiny trainings on other futures, equal bit by bit or not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.policy import Policy
from experiments import pipeline
from experiments.auditing.chain import OpenLoop, Recipe, trace
from experiments.auditing.findings import Check, Day

# Small settings for whichever of these an agent has; one evaluation: nothing is chosen.
TINY = {
    "total_steps": 1024,
    "num_envs": 16,
    "n_steps": 8,
    "batch_size": 32,
    "n_epochs": 2,
    "evaluations": 1,
    "learning_starts": 64,
    "buffer_size": 2048,
    "gradient_steps": 1,
    "env_threads": 1,
    "torch_threads": 1,
    "epochs": 1,
    "updates": 2,
    "length": 16,
}
# Last rows of a window that a tiny training passes: every portfolio comes to the end.
TAIL = 48


class Learner:
    """Tiny trainings of one agent of a recipe on the end of its training window.

    A look ahead shows at the border: who reads k rows beyond a step reads k rows beyond the window
    at its end.
    """

    def __init__(self, recipe: Recipe, name: str, folder: Path) -> None:
        self.recipe, self.name, self.folder = recipe, name, folder
        agent = pipeline.build(recipe.cfg, pipeline.agent_keys(recipe.cfg)[name])
        names = {item.name for item in fields(agent)}
        self.agent = replace(agent, **{k: v for k, v in TINY.items() if k in names})
        length = recipe.cfg.env.episode_length
        self.tail = TAIL if length is None else min(TAIL, length)

    def train(self, prepared: pipeline.Prepared, name: str) -> tuple[Policy, dict[str, Any]]:
        """The policy and all that the training made, by name.

        A name that was used before is not trained again: its parameters are put to work on the
        markets of `prepared`.
        """
        recipe, splits = self.recipe, self.recipe.known.splits
        start, stop = splits.train
        begin, end = splits.validation
        trained = self.agent.train(
            pipeline.training_window(recipe.cfg, prepared, (max(start, stop - self.tail), stop)),
            recipe.window(prepared, (max(begin, end - TAIL), end)),
            seed=pipeline.agent_seeds(recipe.cfg)[0],
            folder=self.folder / self.name / name,
        )
        parameters = trained.policy.network.state_dict()
        made = {name: value.detach().numpy().copy() for name, value in parameters.items()}
        made |= {k: np.array(v) for k, v in trained.curve.items()}
        # What validation rows decided may know the validation window, and nothing after it.
        chosen = set(trained.by_validation)
        return trained.policy, {f"{k}.validation" if k in chosen else k: v for k, v in made.items()}


def trained(
    learners: Sequence[Learner], prepared: pipeline.Prepared, name: str
) -> dict[str, NDArray[Any]]:
    """What the trainings of all agents made; with the agent in the name where there are several."""
    made: dict[str, NDArray[Any]] = {}
    for learner in learners:
        before = f"{learner.name}." if len(learners) > 1 else ""
        made |= {f"{before}{k}": v for k, v in learner.train(prepared, name)[1].items()}
    return made


def training_data(recipe: Recipe, prepared: pipeline.Prepared) -> dict[str, NDArray[Any]]:
    """What any learner is given: the scaler, and the steps at the end of the training window."""
    start, stop = recipe.known.splits.train
    setting = recipe.window(prepared, (max(start, stop - TAIL), stop))
    # The last decision earns its reward in row `stop`; that row decides nothing any more.
    followed = trace(OpenLoop(setting, 1), setting, stop)
    seen = followed.seen["observation"][: stop - followed.first]
    return {"observation": seen, **followed.happened, **scaler_numbers(prepared)}


def scaler_numbers(prepared: pipeline.Prepared) -> dict[str, NDArray[Any]]:
    """The state of a scaler, by name; its texts are left to the features."""
    state = prepared.scaler.to_dict()
    found = {f"scaler.{k}": np.asarray(v) for k, v in state.items()}
    return {k: v for k, v in found.items() if v.dtype.kind in "iufb"}


def check_repeat(recipe: Recipe, learners: Sequence[Learner], check: Check) -> None:
    """The same data twice give the same bits: else a difference would say nothing of the future."""
    again = pipeline.prepare(recipe.cfg, recipe.market, recipe.builder)
    day = Day(recipe.market.n_rows - 1, recipe.market.dates, untouched=True)
    day.same(check, "features", recipe.known.features.values, again.features.values, first=0)
    if not recipe.known.plan.trains:
        return
    one, two = (training_data(recipe, prepared) for prepared in (recipe.known, again))
    one |= trained(learners, recipe.known, "known")
    two |= trained(learners, again, "again")
    for name in one:
        day.same(check, name, one[name], two[name])


def check_training(
    recipe: Recipe, learners: Sequence[Learner], seed: int, purge: Check, choice: Check
) -> None:
    """How far a training reads beyond its window, against the purge; and what the choice reads.

    Args:
        learners: train the agents; none: the data that a learner would get are compared alone.
        purge: its verdict is about rows between the training and the validation window.
        choice: of the policy by its score on validation, against the rows after that window.
    """
    splits, dates = recipe.known.splits, recipe.market.dates
    before = training_data(recipe, recipe.known) | trained(learners, recipe.known, "known")
    end = splits.train[1]

    def equal(row: int, check: Check, skip: str = "") -> bool:
        prepared = recipe.after(row, seed)
        after = training_data(recipe, prepared) | trained(learners, prepared, f"after_{row}")
        day = Day(row, dates)
        compared = [name for name in before if name.rpartition(".")[2] != skip]
        return all([day.same(check, name, before[name], after[name]) for name in compared])

    # The validation score is not part of the training, which ends before.
    beyond = Check(purge.name)
    reach, last = 0, recipe.market.n_rows - 2
    if not equal(end, beyond, "validation"):
        low, high = 0, 1
        while end + high < last and not equal(end + high, beyond, "validation"):
            low, high = high, 2 * high
        high = min(high, last - end)
        while high - low > 1:
            middle = (low + high) // 2
            if equal(end + middle, beyond, "validation"):
                high = middle
            else:
                low = middle
        reach = high
    purge.days |= beyond.days
    purge.values += beyond.values
    gap = splits.validation[0] - end - 1
    purge.note = (
        f"training reads {reach} rows beyond its window; purge {splits.purge}, {gap} rows left out"
    )
    if reach > min(splits.purge, gap):
        purge.leak = beyond.leak
    if learners:
        equal(splits.validation[1], choice)
