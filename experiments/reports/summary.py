"""What the evidence says, in plain sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from experiments.evaluation.bootstrap import FEW_STEPS
from experiments.evaluation.estimates import CHANCE
from experiments.evaluation.evidence import BENCHMARK, Difference, Evidence
from experiments.evaluation.metrics import BY_NAME
from experiments.evaluation.table import bounds, label
from experiments.reports.luck import chance

REFERENCE = "equal_weight"
CAGR = BY_NAME["cagr"]


def headline(evidence: Evidence) -> list[str]:
    """One sentence or two for each agent, then who came first; plain text."""
    sentences = [_agent(evidence, name) for name in evidence.of_role("agent")]
    if not sentences:
        count = len(evidence.of_role("baseline"))
        sentences.append(
            f"No agent was trained: these are {count} baseline{'s' if count != 1 else ''} on the "
            "test window, after costs."
        )
    return [s for s in [*sentences, leaders(evidence)] if s]


def done(
    evidence: Evidence,
    splits: Mapping[str, Sequence[Any]],
    provenance: Mapping[str, Any],
) -> str:
    """What was done: who was trained on what, and on which days everyone was judged."""
    agents, w = evidence.of_role("agent"), evidence.window
    baselines = len(evidence.of_role("baseline"))
    tested = [key for key in splits if key.split()[0] == "test"]
    windows = f" in {len(tested)} consecutive windows" if len(tested) > 1 else ""
    judged = f"traded {w['steps']:,} steps{windows}"
    if w["real_dates"]:
        judged += f", with returns from {w['first']} to {w['last']}"
    else:
        judged += f" (the dates are made up; a year is {w['periods_per_year']:g} steps)"
    costs = f" at costs of {provenance['costs']}" if provenance.get("costs") else ""
    if not agents:
        who = f"{baselines} baseline{'s' if baselines != 1 else ''}"
        return f"No agent was trained: these are {who}, which {judged}{costs}."
    seeds = [len(evidence.strategies[n].seeds) for n in agents]
    if len(agents) == 1:
        count = f"{label(agents[0])} with {seeds[0]} seed{'s' if seeds[0] > 1 else ''}"
    elif len(set(seeds)) == 1:
        names = [label(n) for n in agents]
        each = f"{seeds[0]} seeds" if seeds[0] > 1 else "one seed"
        count = f"{', '.join(names[:-1])} and {names[-1]}, {each} of each,"
    else:
        each_of = [f"{label(n)} (seeds: {k})" for n, k in zip(agents, seeds, strict=True)]
        count = f"{', '.join(each_of[:-1])} and {each_of[-1]}"
    trains = [span for key, span in splits.items() if key.split()[0] == "train"]
    on = ""
    if len(trains) == 1:
        on = f" on {trains[0][0]} to {trains[0][1]}"
        if not w["real_dates"]:
            on = f" on {trains[0][2]:,} steps before" if len(trains[0]) > 2 else ""
    elif trains:
        on = f" anew before each of {len(trains)} test windows"
    it = "it" if len(agents) == 1 else "them"
    unseen = f"none of which was used to train or to choose {it}"
    if len(tested) > 1:
        # A later window may train and choose on the days of an earlier one.
        unseen = "each by agents that were trained and chosen on days before it"
    return (
        f"{count} {'was' if len(agents) == 1 else 'were'} trained{on} and then {judged}, "
        f"{unseen}{',' if costs else ''}{costs}, beside "
        f"{baselines} baseline{'s' if baselines != 1 else ''}."
    )


def sureness(evidence: Evidence) -> list[str]:
    """How sure it is: corrected p-values, the deflated Sharpe ratio, overfitting; plain text."""
    out = []
    agents = evidence.of_role("agent")
    growth = [d for d in evidence.differences if d.measure == "cagr" and d.p_holm is not None]
    if growth:
        sure = [d for d in growth if (d.p_holm or 0.0) <= CHANCE and not bounds(evidence, d)]
        who = (
            "the differences in growth between agents and baselines"
            if agents
            else (f"the differences in growth from {label(growth[0].baseline).lower()}")
        )
        if sure:
            up = [d for d in sure if (d.value or 0.0) > 0]
            out.append(
                f"Corrected for {len(growth)} comparisons (Holm), {len(sure)} of {who} "
                f"{'is' if len(sure) == 1 else 'are'} beyond chance at 5 %: {len(up)} ahead, "
                f"{len(sure) - len(up)} behind{_left_out(evidence)}."
            )
        else:
            out.append(
                f"Corrected for {len(growth)} comparisons (Holm), none of {who} is beyond chance "
                f"at 5 %.{too_few_draws(evidence, len(growth))}"
            )
    count = evidence.trials.count
    if count > 1:
        deflated = [
            f"{label(n)} {chance(skill.dsr)} ({chance(skill.psr)} without counting them)"
            for n in agents
            if (skill := evidence.strategies[n].skill) is not None
            and not (skill.dsr is None or skill.psr is None)
        ]
        if deflated:
            out.append(
                f"Deflated for {count:,} trials, the probability of a Sharpe ratio (against cash) "
                f"beyond the luck of the search is: {', '.join(deflated)}"
                f"{_equal_weight_too(evidence)}."
            )
    return out


def _equal_weight_too(evidence: Evidence) -> str:
    """The same probability of who searched nothing: what is common to all is not skill."""
    plain = evidence.strategies.get(REFERENCE)
    if plain is None or plain.skill is None or plain.skill.psr is None:
        return ""
    return f"; that of {label(REFERENCE).lower()}, without trials: {chance(plain.skill.psr)}"


def too_few_draws(evidence: Evidence, comparisons: int) -> str:
    """A warning where no corrected p-value could have been small enough."""
    draws = evidence.bootstrap["replications"]
    # The smallest p of so many draws is 1 / (draws + 1), and Holm multiplies it.
    lowest = min(1.0, comparisons / (draws + 1))
    if lowest <= CHANCE:
        return ""
    needed = round(comparisons / CHANCE) - 1
    return (
        f" But with {draws:,} resampled histories no p can be below {lowest:.2g}: "
        f"evaluation.n_bootstrap has to be at least {needed:,}."
    )


def _left_out(evidence: Evidence) -> str:
    """That bounds are not counted, where there are some among the differences."""
    some = any(bounds(evidence, d) for d in evidence.differences)
    return "; what was chosen in hindsight is not counted" if some else ""


def versus(evidence: Evidence, agent: str) -> Difference | None:
    """The agent's growth against equal weight, or against the first other strategy there is."""
    others = [n for n in evidence.strategies if n != agent]
    others.sort(key=lambda n: n != REFERENCE)
    found = (evidence.difference(agent, other, "cagr") for other in others)
    return next((d for d in found if d is not None), None)


def difference_text(d: Difference) -> str:
    """`−1.7 percentage points a year [−5.0, +1.6]: not distinguishable from zero`."""
    value = CAGR.text(d.value, sign=True, suffix=False)
    interval = CAGR.interval(d.low, d.high, sign=True)
    if d.verdict == "no interval":
        verdict = f"no interval ({d.reason})"
    elif d.verdict == "unclear":
        verdict = "not distinguishable from zero"
    elif d.standing == d.verdict:
        verdict = f"{d.verdict}, beyond what the choice of days explains"
    else:
        verdict = f"{d.standing}, and not when all comparisons are counted in (p {d.p_holm:.2g})"
    return f"{value} percentage points a year{' ' + interval if interval else ''}: {verdict}"


def _agent(evidence: Evidence, name: str) -> str:
    strategy = evidence.strategies[name]
    growth = strategy.metrics["cagr"]
    verb = "lost" if (growth.value or 0.0) < 0 else "earned"
    amount = CAGR.text(None if growth.value is None else abs(growth.value))
    text = f"{label(name)} {verb} {amount} a year after costs, on days it had not seen"
    if growth.low is not None:
        level = f"{evidence.bootstrap['level'] * 100:g} %"
        text += f" ({level} interval {CAGR.interval(growth.low, growth.high)})"
    text += "."
    d = versus(evidence, name)
    if d is not None:
        text += f" Difference to {label(d.baseline).lower()}: {difference_text(d)}"
        steps = evidence.window["steps"]
        if steps < FEW_STEPS and d.verdict in ("better", "worse"):
            text += f", but {steps} steps are few: intervals this short are somewhat too narrow"
        text += "."
    verdicts = [
        pair.standing
        for other in evidence.of_role("baseline")
        if (pair := evidence.difference(name, other, "cagr")) is not None
        and not bounds(evidence, pair)
    ]
    if len(verdicts) > 1:
        better, worse = (verdicts.count(v) or "none" for v in ("better", "worse"))
        text += (
            f" Of {len(verdicts)} baselines it grew distinguishably faster than {better} and "
            f"distinguishably slower than {worse}."
        )
    seeds = len(strategy.seeds)
    if growth.spread is not None:
        low, high, _ = (CAGR.text(x) for x in growth.spread)
        text += f" Its {seeds} seeds earned {f'{low} to {high}' if low != high else f'{low} each'}."
    elif seeds == 1:
        text += (
            " One seed was trained: there is no interval over seeds, and how much training luck "
            "matters is not known."
        )
    if any(strategy.ruined):
        text += f" It was ruined in {sum(strategy.ruined)} of {seeds} seeds."
    return text


def leaders(evidence: Evidence) -> str:
    """Who grew fastest and who had the best Sharpe ratio, the index left out."""
    ranked = {}
    for measure in ("cagr", "sharpe"):
        values = {
            name: s.metrics[measure].value
            for name, s in evidence.strategies.items()
            if name != BENCHMARK and not s.hindsight and s.metrics[measure].value is not None
        }
        if len(values) > 1:
            texts = {name: BY_NAME[measure].text(value) for name, value in values.items()}
            top = texts[max(values, key=lambda n: values[n] or 0.0)]
            # Who prints the same shares the place: the digits behind are luck.
            names = [label(name) for name, text in texts.items() if text == top]
            together = " and ".join([", ".join(names[:-1]), names[-1]] if names[1:] else names)
            ranked[measure] = f"{together} ({top})"
    if not ranked:
        return ""
    parts = []
    if "cagr" in ranked:
        parts.append(f"highest CAGR: {ranked['cagr']}")
    if "sharpe" in ranked:
        parts.append(f"highest Sharpe ratio: {ranked['sharpe']}")
    return f"Of all strategies: {'; '.join(parts)}."
