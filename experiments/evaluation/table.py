"""The tables of a run on the terminal, and the names of strategies in print."""

from __future__ import annotations

from typing import TYPE_CHECKING

from experiments.evaluation.evidence import Difference, Estimate, Evidence, Window
from experiments.evaluation.metrics import BY_NAME, Metric

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

COLUMNS = {
    "cagr": "CAGR %", "volatility": "Vol. %", "sharpe": "Sharpe", "sortino": "Sortino",
    "max_drawdown": "Max DD %", "turnover": "Turnover/y", "cost": "Cost %/y",
    "active_share": "Active %",
}  # fmt: skip
WIDE_ONLY = ("sortino", "turnover", "active_share")
WIDE = 100
WITH_INTERVAL = ("cagr", "sharpe")
ACRONYMS = {
    "ppo", "ddpg", "sac", "td3", "a2c", "dqn", "ucrp", "bcrp", "eg", "ons", "pamr", "cwmr", "olmar",
    "rmr", "corn", "hrp", "nco", "cvar", "macd", "lstm", "gru", "rnn", "mlp", "cnn", "tcn", "eiie",
}  # fmt: skip
NAMES = {"up": "Universal portfolio"}


def label(name: str) -> str:
    """A strategy's name for people: `equal_weight` -> `Equal weight`, `ppo` -> `PPO`."""
    if name in NAMES:
        return NAMES[name]
    head, _, rest = name.partition("_")
    words = rest.replace("_", " ").replace("sharpe", "Sharpe").replace("cvar", "CVaR")
    words = words.replace("lstm", "LSTM")
    head = head.upper() if head.lower() in ACRONYMS else head[:1].upper() + head[1:]
    return f"{head} {words}".strip()


def blocks_in_words(length: int) -> str:
    """How dates are resampled: `blocks of 12 steps on average`, or one by one."""
    return (
        "single steps, drawn one by one"
        if length <= 1
        else f"blocks of {length:g} steps on average"
    )


def bounds(evidence: Evidence, d: Difference) -> bool:
    """Whether one of the two was chosen with the test window in view: no competitor."""
    return any(evidence.strategies[name].hindsight for name in (d.agent, d.baseline))


def spread_text(estimate: Estimate, metric: Metric) -> str:
    """The range over seeds in words."""
    if len(estimate.seeds) < 2:
        return "no spread: one seed"
    if estimate.spread is None:
        return "n/a"
    low, high, sd = (metric.text(x) for x in estimate.spread)
    return f"{low} to {high}, sd {sd}"


def span(window: Window) -> str:
    """`returns of 2020-01-02 to 2024-05-31, 1,110 steps`; dates that are made up are not told."""
    steps = f"{window['steps']:,} steps"
    if not window["real_dates"]:
        return f"{steps} on made-up dates"
    return f"returns of {window['first']} to {window['last']}, {steps}"


def metrics_table(evidence: Evidence, width: int = WIDE, kind: str = "net of costs") -> Table:
    """Strategies by measures, agents first; the interval under CAGR and Sharpe."""
    from rich import box
    from rich.table import Table

    b = evidence.bootstrap
    table = Table(
        title=f"Out of sample, {kind}: {span(evidence.window)}",
        caption=rf"\[low, high]: {b['level']:.0%} intervals, stationary bootstrap of dates, "
        f"{b['replications']} times, {blocks_in_words(b['mean_block'])}",
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    columns = [key for key in COLUMNS if width >= WIDE or key not in WIDE_ONLY]
    table.add_column("", overflow="fold")
    for key in columns:
        table.add_column(COLUMNS[key], justify="right", no_wrap=True)
    for name, strategy in evidence.strategies.items():
        seeds = len(strategy.seeds)
        head = label(name) + (f", {seeds} seeds" if seeds > 1 else "")
        if any(strategy.ruined):
            head += f"\nruined: {sum(strategy.ruined)} of {seeds}"
        if strategy.hindsight:
            head += "\nin hindsight"
        cells = []
        for key in columns:
            metric, estimate = BY_NAME[key], strategy.metrics[key]
            cell = metric.text(estimate.value, suffix=False)
            if key in WITH_INTERVAL and (text := metric.interval(estimate.low, estimate.high)):
                cell += "\n" + text.replace("[", r"\[")
            cells.append(cell)
        table.add_row(head, *cells, style="bold" if strategy.role == "agent" else "")
    return table


def difference_table(evidence: Evidence, width: int = WIDE) -> Table:
    """Each agent less each baseline, or without agents each less the first, a year; p, where there
    is room, is corrected for all pairs."""
    from rich import box
    from rich.table import Table

    first = label(evidence.differences[0].baseline).lower() if evidence.differences else "the first"
    agents = bool(evidence.of_role("agent"))
    table = Table(
        title=f"{'Agent less baseline' if agents else f'Each less {first}'}, on the same dates",
        caption="ahead: share of resampled histories in which the first of the two grew faster; "
        "unclear: the interval contains zero; if alone: not when all pairs are counted in (Holm)",
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    table.add_column("", overflow="fold")
    heads = ["CAGR %", "Sharpe", "ahead"] + (["p (Holm)"] if width >= WIDE else [])
    for text in heads:
        table.add_column(text, justify="right", no_wrap=True)
    table.add_column("growth")
    for agent in evidence.compared:
        for other in evidence.strategies:
            pair = [evidence.difference(agent, other, key) for key in WITH_INTERVAL]
            growth = pair[0]
            if growth is None:
                continue
            cells = []
            for key, d in zip(WITH_INTERVAL, pair, strict=True):
                if d is not None:
                    metric = BY_NAME[key]
                    interval = metric.interval(d.low, d.high, sign=True).replace("[", r"\[")
                    cells.append(f"{metric.text(d.value, sign=True, suffix=False)} {interval}")
            verdict = "a bound" if bounds(evidence, growth) else growth.standing
            share = growth.share_above_zero
            cells.append("n/a" if share is None else f"{share:.0%}")
            if width >= WIDE:
                cells.append("n/a" if growth.p_holm is None else f"{growth.p_holm:.3f}")
            table.add_row(f"{label(agent)} − {label(other)}", *cells, verdict)
    return table


def print_table(
    evidence: Evidence, console: Console | None = None, kind: str = "net of costs"
) -> None:
    """Prints the measures, the differences and what was undefined or left out."""
    from rich.console import Console

    console = console or Console()
    console.print(metrics_table(evidence, console.width, kind))
    if evidence.differences:
        console.print(difference_table(evidence, console.width))
    for note in evidence.caveats + evidence.notes + undefined_notes(evidence):
        console.print(f"note: {note}", highlight=False, markup=False)


def undefined_notes(evidence: Evidence) -> list[str]:
    """One line for each measure that is "n/a", with the reason."""
    found: dict[tuple[str, str], list[str]] = {}
    for name, strategy in evidence.strategies.items():
        for key, estimate in strategy.metrics.items():
            if estimate.value is None:
                found.setdefault((key, estimate.reason), []).append(label(name))
    return [
        f"{BY_NAME[key].label} is n/a for {', '.join(names)}: {reason}"
        for (key, reason), names in found.items()
    ]
