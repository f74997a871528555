"""How the agents learned: the section of the report, its figure, and which policy was tested."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.evaluation.table import label
from experiments.reports import style
from experiments.reports.axes import set_margins, thousands
from experiments.reports.figures import Run
from experiments.reports.html import bullets, paragraph, section
from experiments.reports.style import figure_html

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Curves = Mapping[str, Mapping[str, Sequence[float]]]
# What the curves of a learner from rewards are, and of one that minimises a loss epoch by epoch.
REWARDS = {
    "train_reward": "Reward per step in training",
    "validation": "Reward per step on validation (ring: tested)",
}
SCORES = {
    "train_reward": "Score in training",
    "validation": "Score on validation (ring: tested)",
}


@dataclass(frozen=True)
class Kept:
    """Which policy of a training is tested.

    Attributes:
        key: of the learning curve, "AGENT/SEED" or "AGENT/SEED, window K".
        step: at which it was judged on validation; of: the last step of the training.
        last: whether it is that of the end, whatever the scores; else it is the best.
        untrained: whether no update had been made by then.
    """

    key: str
    step: int
    of: int
    last: bool
    untrained: bool

    @property
    def agent(self) -> str:
        return self.key.partition("/")[0]


def kept(curves: Curves, settings: Mapping[str, Any]) -> list[Kept]:
    """The policy that is tested, of each training that was judged on validation.

    Args:
        settings: the resolved config: `keep` and `learning_starts` of the agents are read.
    """
    alone = settings.get("agent") or {}
    agents = {str(alone.get("_target_", "")).rpartition(".")[2].lower(): alone}
    agents |= settings.get("agents") or {}
    found = []
    for key, curve in curves.items():
        scores = np.array([np.nan if v is None else v for v in curve.get("validation", [])], float)
        if not np.isfinite(scores).any():
            continue
        agent = agents.get(key.partition("/")[0]) or {}
        last = agent.get("keep") == "last"
        # The first of several equal scores, as the training has it.
        step = int(curve["steps"][-1 if last else int(np.nanargmax(scores))])
        idle = step <= (agent.get("learning_starts") or 0)
        found.append(Kept(key, step, int(curve["steps"][-1]), last, idle))
    return found


def untrained(policies: Sequence[Kept]) -> list[str]:
    """A sentence for each agent of which a network is tested that had learned nothing."""
    out = []
    for agent in dict.fromkeys(one.agent for one in policies):
        each = [one.untrained for one in policies if one.agent == agent]
        if any(each):
            share = "every training" if all(each) else f"{sum(each)} of {len(each)} trainings"
            out.append(
                f"{label(agent)}: in {share} the network that is tested is the untrained one; "
                "what it earned was not learned."
            )
    return out


def training_section(run: Run, curves: Curves, settings: Mapping[str, Any]) -> str:
    """The section; empty where nothing was trained."""
    panels = learning_panels(curves)
    if not panels:
        return ""
    policies = kept(curves, settings)
    kinds = {_learns_from_rewards(settings, key) for key in curves}
    steps = " or ".join(("epochs", "environment steps")[kind] for kind in sorted(kinds))
    texts = [_reward_text(settings)] if True in kinds else []
    if False in kinds:
        texts.append(
            "The score of networks that are trained by a loss is minus that loss; more is better."
        )
    figure = figure_html(
        "learning",
        partial(draw_learning, curves, policies, run, REWARDS if True in kinds else SCORES, steps),
        (50 + 210 * len(panels), 60 + 190 * len(panels)),
        f"Learning curves by {steps}: {', '.join(p.replace('_', ' ') for p in panels)}.",
        f"One line a seed{' and window' if any(', window' in key for key in curves) else ''}. "
        + " ".join(texts),
    )
    chosen = ""
    if policies:
        late = list(dict.fromkeys(label(one.agent) for one in policies if one.last))
        besides = f" ({', '.join(late)}: with the one at the end of training)" if late else ""
        chosen = paragraph(
            f"Each seed is tested with the policy that scored best on validation{besides}; the "
            "test window had no say."
        ) + bullets(_kept_in_words(one) for one in policies)
    return section("training", "How it learned", chosen, figure)


def _learns_from_rewards(settings: Mapping[str, Any], key: str) -> bool:
    """Whether the agent of this curve learned from rewards, and not by minimising a loss."""
    agents = settings.get("agents") or {}
    agent = agents.get(key.partition("/")[0]) or settings.get("agent") or {}
    return str(agent.get("_target_") or "agents.sb3").startswith("agents.sb3")


def _kept_in_words(one: Kept) -> str:
    agent, _, seed = one.key.partition("/")
    name = f"{label(agent)}, seed {seed}" if seed else label(agent)
    words = f"{name}: {'kept' if one.last else 'chosen'} at step {one.step:,} of {one.of:,}"
    return words + (", the untrained network" if one.untrained else "")


def _reward_text(settings: Mapping[str, Any]) -> str:
    """The unit of the curves, and what their sign means."""
    reward = settings.get("reward") or {}
    text = "Both curves are the reward per step, as scaled by <code>reward.scale</code>"
    if "scale" in reward:
        text += f" ({reward['scale']:g})"
    terms = reward.get("terms") or {}
    if terms.get("excess_log_return") and reward.get("benchmark") == "equal_weight":
        text += (
            ". It is in excess of equal weight without costs, so that equal weight itself, which "
            "pays for its trades, is below zero"
        )
    return f"{text}."


def draw_learning(
    curves: Curves,
    policies: Sequence[Kept],
    run: Run,
    titles: Mapping[str, str],
    steps: str,
    fig: Figure,
    narrow: bool,
) -> None:
    """What training measured as it went on: one panel a measure, one line a training."""
    panels = learning_panels(curves)
    axes = np.atleast_1d(fig.subplots(len(panels), 1, sharex=True))
    set_margins(fig, left=64, right=14, top=26, bottom=62, hspace=0.3)
    tested = {one.key: one.step for one in policies}
    known = set()
    for ax, measure in zip(axes, panels, strict=True):
        for key, curve in curves.items():
            agent = key.split("/")[0]
            line = run.lines.get(agent) or style.lines({agent: "agent"})[agent]
            y = np.array([np.nan if v is None else v for v in curve.get(measure, [])], dtype=float)
            x = np.asarray(curve["steps"], dtype=float)[: len(y)]
            keep = np.isfinite(y[: len(x)])
            text = label(agent) if agent not in known else None
            known.add(agent)
            mark = "o" if keep.sum() <= 40 else ""
            ax.plot(x[keep], y[: len(x)][keep], color=line.colour, linewidth=1.4, alpha=0.75,
                    marker=mark, markersize=3, label=text)  # fmt: skip
            if measure == "validation" and key in tested:
                best = y[list(curve["steps"]).index(tested[key])]
                ax.plot(tested[key], best, "o", markersize=9, markerfacecolor="none", zorder=6,
                        markeredgecolor=style.INK, markeredgewidth=1.6)  # fmt: skip
        ax.set_title(titles.get(measure) or measure.replace("_", " ").capitalize())
    axes[-1].xaxis.set_major_formatter(thousands)
    axes[-1].set_xlabel(steps)
    if len(known) > 1:
        axes[0].legend(loc="lower right")


def learning_panels(curves: Curves) -> list[str]:
    """Measures that some curve holds, in order of appearance."""
    return list(dict.fromkeys(k for curve in curves.values() for k in curve if k != "steps"))
