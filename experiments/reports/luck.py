"""How much of the result could be luck: skill of the Sharpe ratio, tests of the whole set, alpha.

Every number comes with a sentence that says what it means for this run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from envs.data.sources import INDEX_NOTE
from experiments.evaluation.evidence import BENCHMARK, Evidence, StrategyEvidence
from experiments.evaluation.metrics import BY_NAME
from experiments.evaluation.skill import Skill, Trials
from experiments.evaluation.table import label
from experiments.reports.figures import Run
from experiments.reports.html import bullets, paragraph, section, swatch, table, text

SHARPE, GROWTH = BY_NAME["sharpe"], BY_NAME["cagr"]
SURE = 0.95
# Where PSR and DSR are as near as this, the search is not what matters.
HARDLY = 0.03
ALPHA = (
    " Alpha: growth a year beyond the exposure to what it is measured against, with a t-statistic "
    "that allows for autocorrelation."
)


def luck_section(run: Run, notes: Sequence[str] = ()) -> str:
    """The section; empty where the evidence holds nothing of it.

    Args:
        notes: limits of the data, among them that the index has no dividends.
    """
    evidence = run.evidence
    measured = [n for n, s in evidence.strategies.items() if s.skill is not None]
    parts = []
    if measured:
        words = [skill_in_words(evidence, n) for n in run.focus() if n in measured]
        parts += [
            bullets(words),
            paragraph(trials_in_words(evidence)),
            skill_html(run, measured, INDEX_NOTE in notes),
            paragraph(
                "PSR: probability that the true Sharpe ratio is above 0, given skewness, fat tails "
                "and the number of steps. DSR: that it is above what the best of all trials would "
                "show if their spread were all luck. Track record: how long it would have to be "
                "for a PSR of 95 %."
                + (ALPHA if any(evidence.strategies[n].alpha for n in measured) else ""),
                "note",
            ),
        ]
    tests = tests_in_words(evidence)
    if tests:
        parts += ["<h3>The whole set of strategies</h3>", _definitions(tests)]
    if not parts:
        return ""
    return section("luck", "How much of it could be luck", *parts)


def skill_in_words(evidence: Evidence, name: str) -> str:
    """What PSR and DSR of a strategy mean for this run."""
    skill = evidence.strategies[name].skill
    if skill is None or skill.psr is None:
        why = "no track record" if skill is None else skill.reason
        return f"{label(name)}: nothing can be said about skill ({why})."
    words = (
        f"{label(name)}: with the {skill.n:,} steps there are, its Sharpe ratio is truly above 0 "
        f"with a probability of {chance(skill.psr)} (PSR)"
    )
    if skill.psr < 0.5:
        words += ": there is no sign of skill. "
    else:
        words += ". " if skill.psr >= SURE else ", which is not enough to rule out luck. "
    if evidence.trials.count > 1:
        words += search_in_words(skill, evidence.trials, evidence.window["periods_per_year"])
    return words.strip()


def search_in_words(skill: Skill, trials: Trials, periods_per_year: float) -> str:
    """What the deflated Sharpe ratio assumes and says, and whether the search matters at all.

    Args:
        skill: with a PSR.
        trials: more than one.
    """
    psr, dsr, highest = skill.psr, skill.dsr, skill.expected_max
    if psr is None or dsr is None or highest is None or trials.sharpe_variance is None:
        return f"{skill.reason[:1].upper()}{skill.reason[1:]}."
    words = (
        f"If the spread between the {trials.count:,} trials (Sharpe ratios with a standard "
        f"deviation of {SHARPE.text(trials.sharpe_variance**0.5)}) were all luck, the best of them "
        f"would show {SHARPE.text(highest * periods_per_year**0.5)}; that its own is truly above "
        f"this has a probability of {chance(dsr)} (DSR)"
    )
    if dsr >= SURE:
        return words + "."
    if psr - dsr <= HARDLY:
        words += f", hardly less than the {chance(psr)} without counting them"
        short = 0.5 <= psr < SURE
        return words + (": the record is too short, whatever was searched." if short else ".")
    if psr >= SURE:
        return words + ", so the search itself may explain it."
    return words + ": both the short record and the search leave room for luck."


def trials_in_words(evidence: Evidence) -> str:
    """How many trials there were, and where that is known from."""
    count, source = evidence.trials.count, evidence.trials.source
    if count > 1:
        return f"{count:,} trials are counted by {source}."
    return f"Nothing was deflated, as one trial is counted ({source})."


def skill_html(run: Run, names: Sequence[str], price_index: bool = False) -> str:
    """Strategies by Sharpe ratio, PSR, DSR, track record and alpha.

    Args:
        price_index: whether the benchmark leaves out dividends, which alpha against it then holds.
    """
    evidence = run.evidence
    a_year = evidence.window["periods_per_year"]
    alphas = list(dict.fromkeys(a.against for n in names for a in evidence.strategies[n].alpha))
    heads = ["Strategy", "Sharpe", "PSR %", "DSR %", "Track record, years"]
    without = "<small>without dividends: too high by some 2 points</small>"
    heads += [
        f"Alpha % against {escape(label(a).lower())}"
        f"{without if a == BENCHMARK and price_index else ''}"
        for a in alphas
    ]
    rows = []
    for name in names:
        s = evidence.strategies[name]
        skill = s.skill
        assert skill is not None
        length = skill.min_track_record
        title = f' title="{escape(skill.reason)}"' if skill.reason else ""
        have = f"<small>there are {skill.n / a_year:.1f}</small>"
        cells = [
            f"<td>{escape(SHARPE.text(s.metrics['sharpe'].value))}</td>",
            f"<td{title}>{chance(skill.psr, suffix=False)}</td>",
            f"<td{title}>{chance(skill.dsr, suffix=False)}</td>",
            f"<td{title}>{'n/a' if length is None else f'{length / a_year:,.1f}'}{have}</td>",
            *(_alpha_cell(s, against) for against in alphas),
        ]
        note = "<small>chosen with hindsight</small>" if s.hindsight else ""
        rows.append((swatch(run, name) + escape(label(name)) + note, cells))
    return table(heads, rows, "Skill")


def _alpha_cell(s: StrategyEvidence, against: str) -> str:
    found = next((a for a in s.alpha if a.against == against), None)
    if found is None or found.alpha is None:
        title = f' title="{escape(found.reason)}"' if found and found.reason else ""
        return f'<td class="none"{title}>n/a</td>'
    beta = ", ".join(f"{escape(k)} {SHARPE.text(v)}" for k, v in found.factors.items())
    t = "" if found.t is None else f"t {SHARPE.text(found.t)}"
    p = "" if found.p is None else f", p {p_words(found.p)}"
    value = escape(GROWTH.text(found.alpha, sign=True, suffix=False))
    return f'<td title="beta: {beta}; {found.n} returns">{value}<small>{t}{p}</small></td>'


def tests_in_words(evidence: Evidence) -> list[tuple[str, str]]:
    """`(name of the test, what it says about this run)` for each test there is."""
    tests = evidence.tests
    speak = {"pbo": _pbo, "spa": _spa, "stepm": _stepm, "mcs": _mcs}
    titles = {
        "pbo": "Probability of backtest overfitting",
        "spa": "Superior predictive ability",
        "stepm": "Stepwise multiple testing",
        "mcs": "Model confidence set",
    }
    out = []
    for key, say in speak.items():
        found = tests.get(key)
        if not found:
            continue
        words = f"Not computed: {found['reason']}." if "reason" in found else say(found)
        for name, why in found.get("left_out", {}).items():
            words += f" {label(name)} is left out: {why}."
        out.append((titles[key], words))
    return out


def _pbo(found: Mapping[str, Any]) -> str:
    share = found["pbo"]
    if share < 0.1:
        means = "choosing the best one in sample has chosen something that lasts"
    elif share < 0.4:
        means = "choosing the best one in sample helps, but not reliably"
    elif share <= 0.6:
        means = "the best in sample is no better than drawing lots among them"
    else:
        means = "the best in sample tends to be below the middle afterwards: ranks do not last"
    return (
        f"{chance(share)}. In {found['n_combinations']:,} ways of cutting the test steps in two "
        f"halves, the best of the {found['n_strategies']} strategies in one half fell below the "
        f"median in the other in {chance(share)} of them: {means}."
    )


def _spa(found: Mapping[str, Any]) -> str:
    p, other = found["p_consistent"], label(found["benchmark"]).lower()
    words = (
        f"p {p_words(p, found['replications'])} for “none of the {len(found['compared'])} others "
        f"grew faster than {other}, but for luck”; the strongest is {listed([found['best']])}. "
    )
    if p < 1 - SURE:
        return words + "At least one of them did, also after counting how many were looked at."
    return words + "As many strategies as these would show a winner like it by luck alone."


def _stepm(found: Mapping[str, Any]) -> str:
    names, other = found["better"], label(found["benchmark"]).lower()
    level = f"{found['level'] * 100:g} %"
    if not names:
        return f"No strategy is better than {other} at {level}, with all of them counted."
    return (
        f"Better than {other}, with a probability of {level} that not even one is named wrongly: "
        f"{listed(names)}."
    )


def _mcs(found: Mapping[str, Any]) -> str:
    inside = found["set_95"]
    total = len(found["p_values"])
    if len(inside) == total:
        return f"All {total} are in it at 95 %: not one can be told from the best by these data."
    outside = [n for n in found["p_values"] if n not in inside]
    return (
        f"At 95 % the best is among {len(inside)} of {total}: {listed(inside)}. Told apart from "
        f"the best, by however little: {listed(outside)}."
    )


def _definitions(items: Sequence[tuple[str, str]]) -> str:
    rows = "".join(f"<div><dt>{text(a)}</dt><dd>{text(b)}</dd></div>" for a, b in items)
    return f'<dl class="facts">{rows}</dl>'


def listed(names: Sequence[str]) -> str:
    """`momentum, PPO and risk parity`."""
    words = [_lower(label(n)) for n in names]
    return " and ".join([", ".join(words[:-1]), words[-1]] if words[1:] else words)


def _lower(name: str) -> str:
    """Small at its start, unless it is an acronym."""
    return name if name[:2].isupper() else name[:1].lower() + name[1:]


def chance(share: float | None, suffix: bool = True) -> str:
    """A probability in percent; what rounds to 0 or 100 is a bound."""
    if share is None:
        return "n/a"
    percent = share * 100
    end = " %" if suffix else ""
    if percent > 99.9:
        return f"over 99.9{end}"
    if percent < 0.1:
        return f"under 0.1{end}"
    return f"{percent:.1f}{end}"


def p_words(p: float, replications: int | None = None) -> str:
    """A p-value; 0 in so many replications is below one of them."""
    if replications is not None and p < 1 / replications:
        return f"below {1 / replications:g}"
    return "below 0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"
