"""The page of the leaderboard: who wins on each market, with intervals, and what it took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.evaluation.evidence import Evidence
from experiments.evaluation.metrics import BY_NAME
from experiments.evaluation.table import bounds, label, span
from experiments.reports.summary import too_few_draws

COLUMNS = ("cagr", "sharpe", "max_drawdown", "turnover", "cost")
WITH_INTERVAL = ("cagr", "sharpe")
RANKED_BY = "sharpe"
REFERENCE = "equal_weight"
Found = Mapping[str, tuple[Evidence, Mapping[str, Any]]]


def page(found: Found, told: Mapping[str, str], small: bool) -> str:
    """The whole page as Markdown.

    Args:
        found: market -> its evidence and provenance.
        told: market -> what it is, in a few words.
        small: whether it was a check with little training, which the page then says.
    """
    lines = ["# Leaderboard", ""]
    if small:
        lines += ["**A check with little training: these are not results.**", ""]
    lines += [*_preface(found), "## Who wins", "", *_winners(found), "## Mean ranks", ""]
    lines += [*_ranks(found), *_origin(found)]
    for name, (evidence, facts) in found.items():
        lines += [f"## {name}: {told[name]}", "", *_market(evidence, facts)]
    return "\n".join(lines).rstrip() + "\n"


def _preface(found: Found) -> list[str]:
    evidence = next(iter(found.values()))[0]
    agents = evidence.of_role("agent")
    seeds = len(evidence.strategies[agents[0]].seeds) if agents else 0
    return [
        "Agents and baselines on the last 20 % of the rows of each market, **walk-forward**: "
        "before each test window, scaler and agents are fitted anew on the rows before it, chosen "
        f"on validation rows, and read once. {seeds} seeds of every agent; net of the costs that "
        "are stated for each market; settings are the same on all markets, tuned on none.",
        "",
        "Ranked by Sharpe ratio (mean over seeds). `[low, high]`: 95 % intervals of a stationary "
        "bootstrap of dates, drawn for all seeds together. *Better* and *worse*: the interval of "
        "the difference in growth excludes zero, and p, corrected for all comparisons of the "
        "market (Holm), is at most 0.05; *if alone*: only the interval does, as some do by luck "
        "among so many. "
        "Strategies marked † were chosen with the test window in view: they are bounds and take no "
        "rank.",
        "",
    ]


def ranked(evidence: Evidence) -> list[str]:
    """Competitors from best to worst; without a Sharpe ratio last; no index, no hindsight."""
    names = [n for n, s in evidence.strategies.items() if s.role != "benchmark" and not s.hindsight]
    value = {n: evidence.strategies[n].metrics[RANKED_BY].value for n in names}
    return sorted(names, key=lambda n: (value[n] is None, -(value[n] or 0.0)))


def _cell(evidence: Evidence, name: str, key: str) -> str:
    metric, e = BY_NAME[key], evidence.strategies[name].metrics[key]
    interval = metric.interval(e.low, e.high) if key in WITH_INTERVAL else ""
    return f"{metric.text(e.value)} {interval}".rstrip()


def _against(evidence: Evidence, agent: str, other: str) -> str:
    d = evidence.difference(agent, other, "cagr")
    if d is None:
        return ""
    value = BY_NAME["cagr"].text(d.value, sign=True, suffix=False)
    if bounds(evidence, d):
        return f"{value} (a bound)"
    return f"{value} {d.standing}" + ("" if d.p_holm is None else f", p {d.p_holm:.2g}")


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _winners(found: Found) -> list[str]:
    agents = _agents(found)
    heads = ["market", "best", "its Sharpe"]
    for agent in agents:
        heads += [f"{label(agent)}: Sharpe", "rank", "growth less equal weight"]
    heads += ["better than equal weight (StepM)", "SPA p"]
    lines = [_row(heads), "|---|---|" + "---:|" * (len(heads) - 2)]
    for market, (evidence, _) in found.items():
        order = ranked(evidence)
        cells = [market, label(order[0]), _cell(evidence, order[0], RANKED_BY)]
        for agent in agents:
            cells += [
                _cell(evidence, agent, RANKED_BY),
                f"{order.index(agent) + 1} of {len(order)}",
                _against(evidence, agent, REFERENCE),
            ]
        lines.append(_row([*cells, *_tests(evidence)]))
    return [*lines, "", *_verdict(found), ""]


def _tests(evidence: Evidence) -> list[str]:
    stepm, spa = evidence.tests.get("stepm", {}), evidence.tests.get("spa", {})
    better = stepm.get("better")
    names = "n/a" if better is None else ", ".join(label(n) for n in better) or "none"
    p = spa.get("p_consistent")
    return [names, "n/a" if p is None else f"{p:.2g}"]


def _verdict(found: Found) -> list[str]:
    """One sentence an agent: on how many markets it beat, or lost to, equal weight."""
    lines = []
    for agent in _agents(found):
        words = [evidence.difference(agent, REFERENCE, "cagr") for evidence, _ in found.values()]
        better = sum(d is not None and d.standing == "better" for d in words)
        worse = sum(d is not None and d.standing == "worse" for d in words)
        first = sum(ranked(evidence)[0] == agent for evidence, _ in found.values())
        lines.append(
            f"{label(agent)} grew faster than equal weight on {better} of {len(words)} markets and "
            f"slower on {worse}, counting only what is left after the correction; on the others "
            f"the difference is not told apart from zero. It ranks first on {first}."
        )
    for market, (evidence, _) in found.items():
        count = sum(d.measure == "cagr" and d.p_holm is not None for d in evidence.differences)
        if few := too_few_draws(evidence, count):
            lines.append(f"**{market}:{few}**")
    return lines


def _agents(found: Found) -> list[str]:
    return list(
        dict.fromkeys(a for evidence, _ in found.values() for a in evidence.of_role("agent"))
    )


def _ranks(found: Found) -> list[str]:
    places: dict[str, list[float]] = {}
    for evidence, _ in found.values():
        order = ranked(evidence)
        for place, name in enumerate(order):
            places.setdefault(name, []).append((place + 1) / len(order))
    mean = {name: float(np.mean(p)) for name, p in places.items()}
    lines = [
        "Mean place over the markets as a share of the strategies there: 1 is last. "
        "Places of single markets move within the intervals below: only large differences mean "
        "anything.",
        "",
        _row(["strategy", "mean place", "best", "worst", "markets"]),
        "|---|---:|---:|---:|---:|",
    ]
    for name in sorted(mean, key=lambda n: mean[n]):
        p = places[name]
        cells = [label(name), f"{mean[name]:.2f}", f"{min(p):.2f}", f"{max(p):.2f}", str(len(p))]
        lines.append(_row(cells))
    return [*lines, ""]


def _market(evidence: Evidence, facts: Mapping[str, Any]) -> list[str]:
    agents = evidence.of_role("agent")
    heads = ["", "strategy", *(BY_NAME[key].label for key in COLUMNS)]
    heads += [f"{label(agent)} less this" for agent in agents]
    lines = [
        f"Measured: {span(evidence.window)}; {facts['costs']}; {facts['execution']}.",
        "",
        _row(heads),
        "|---:|---|" + "---:|" * (len(heads) - 2),
    ]
    order = ranked(evidence)
    others = [n for n, s in evidence.strategies.items() if n not in order]
    for name in [*order, *others]:
        strategy = evidence.strategies[name]
        mark = " †" if strategy.hindsight else ""
        bold = "**" if strategy.role == "agent" else ""
        place = str(order.index(name) + 1) if name in order else ""
        cells = [place, f"{bold}{label(name)}{bold}{mark}"]
        cells += [_cell(evidence, name, key) for key in COLUMNS]
        cells += [_against(evidence, agent, name) if agent != name else "" for agent in agents]
        lines.append(_row(cells))
    pbo = evidence.tests.get("pbo", {}).get("pbo")
    if pbo is not None:
        lines += [
            "",
            "Choosing the best of these by the Sharpe ratio of one half of the days and reading it "
            f"on the other would have landed below the median in {pbo * 100:.0f} % of the splits "
            "(PBO).",
        ]
    return [*lines, ""]


def _origin(found: Found) -> list[str]:
    facts = [facts for _, facts in found.values()]
    machine = facts[0]["machine"]
    # A market may have been trained in several starts, and measured again by a later version.
    starts = [start for f in facts for start in (*f.get("earlier", []), f)]
    commits = list(dict.fromkeys(str(s["git"]["commit"])[:10] for s in starts))
    changed = " with local changes" if any(s["git"]["dirty"] for s in starts) else ""
    days = sorted({s["started"][:10] for s in starts})
    total = sum(s["seconds"] or 0.0 for s in starts)
    lost = sum(s["seconds"] is None for s in starts)
    broken = f" ({lost} start{'s' if lost > 1 else ''} cut short not counted)" if lost else ""
    return [
        f"`make leaderboard`, commit {', '.join(commits)}{changed}, {' and '.join(days)}, "
        f"{machine['processor']}, {machine['cpu_count']} cores: {total / 60:.0f} minutes of "
        f"runs{broken}, as many side by side as there are cores.",
        "",
    ]
