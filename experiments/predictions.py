"""What agents forecast for the test windows: collected, judged, written, and put in words.

Only forecasters have forecasts; other agents are passed over. Nothing here is read by a training or
by the choice of a policy: both are done when this begins.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from experiments.evaluation.forecast_measures import CLASSES, Predictions, day_sums
from experiments.evaluation.predictive import Measure, binomial_interval, measure
from experiments.evaluation.table import label
from experiments.run_folder import write_bytes, write_json

if TYPE_CHECKING:
    from rich.table import Table

    from envs.simulation import Setting
    from experiments.pipeline import Prepared

JSON, ARRAYS = "predictions.json", "predictions.h5"
FORMAT = 1
# Measures of the table of a run, and which of the horizons.
SHOWN = (
    ("accuracy", None), ("balanced_accuracy", None), ("directional_accuracy", 0), ("r2", 0),
    ("rank_ic", 0), ("correlation", 0), ("calibration_error", None), ("coverage_0.9", None),
)  # fmt: skip
LABELS = {
    "accuracy": "Accuracy", "balanced_accuracy": "Balanced accuracy",
    "macro_precision": "Precision, mean of the classes", "calibration_error": "Calibration error",
    "volatility_mae": "Log volatility, MAE", "mae": "MAE", "rmse": "RMSE", "r2": "R²",
    "directional_accuracy": "Right sign of the return", "correlation": "Correlation, all days",
    "ic": "IC", "rank_ic": "Rank IC",
    **{f"{kind}_{name}": f"{kind.capitalize()} of {name}"
       for kind in ("precision", "recall") for name in CLASSES},
}  # fmt: skip
# Measures whose no skill was chosen with the test days in view.
HINDSIGHT = ("accuracy", "directional_accuracy")
PLAIN = (
    "mae", "rmse", "r2", "correlation", "ic", "rank_ic", "volatility_mae", "calibration_error",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Foretold:
    """Forecasts of one agent on all test rows.

    Attributes:
        dates: `[n]` of the decisions. symbols: of the assets.
        runs: seed -> what was forecast and what came.
    """

    dates: NDArray[np.datetime64]
    symbols: tuple[str, ...]
    runs: dict[int, Predictions]


def foretold(
    agent: Any, windows: Sequence[Prepared], setting: Setting, policies: Mapping[int, Sequence[Any]]
) -> Foretold:
    """The forecasts of an agent on its test windows.

    A label that would need a price after the last test row is unknown.

    Args:
        agent: the settings of the learner. setting: how the market executes.
        policies: seed -> one policy for each window.
    """
    rows = [np.arange(*window.splits.test) for window in windows]
    every = np.concatenate(rows)
    targets = agent.targets(setting, windows[-1].splits.test[1] + 1)
    runs = {}
    for seed, each in policies.items():
        parts = [policy.forecasts(part) for policy, part in zip(each, rows, strict=True)]
        said = [np.concatenate(column) for column in zip(*parts, strict=True)]
        probability, expected, confidence, log_volatility, quantiles = said
        runs[seed] = Predictions(
            probability=probability,
            direction=targets.direction[every],
            confidence=confidence,
            expected=expected,
            actual=targets.expected_return[every].astype(np.float64),
            quantiles=quantiles,
            log_volatility=log_volatility,
            actual_log_volatility=targets.log_volatility[every].astype(np.float64),
            horizons=each[0].horizons,
            levels=each[0].levels,
        )
    market = windows[0].market
    return Foretold(market.dates[every], market.symbols, runs)


def judge(
    found: Mapping[str, Foretold], *, n_bootstrap: int, level: float, seed: int
) -> dict[str, Any]:
    """What `predictions.json` holds; nothing for no forecasts.

    By agent: `measures` (`experiments.evaluation.predictive.Measure`), the `binomial` interval of
    its accuracy, `classes`: how often each direction came and was forecast, `reliability`: by bin
    of the confidence, what was stated, how often it was right, and how many there were.
    """
    if not found:
        return {}
    agents = {}
    for name, one in found.items():
        runs = list(one.runs.values())
        measures, blocks = measure(runs, n_bootstrap=n_bootstrap, level=level, seed=seed)
        sums = [{k: v.sum(axis=0) for k, v in day_sums(run).items()} for run in runs]
        confusion = np.mean([s["confusion"] for s in sums], axis=0)
        n, right = round(float(confusion.sum())), float(np.trace(confusion))
        agents[name] = {
            "first": str(one.dates[0])[:10],
            "last": str(one.dates[-1])[:10],
            "days": len(one.dates),
            "assets": len(one.symbols),
            "seeds": list(one.runs),
            "forecasts": n,
            "mean_block": {str(h): block for h, block in blocks.items()},
            "measures": [asdict(m) for m in measures],
            "binomial": list(binomial_interval(right / n, n, level)) if n else None,
            "classes": {
                c: {"came": confusion[k].sum() / n, "forecast": confusion[:, k].sum() / n}
                for k, c in enumerate(CLASSES)
                if n
            },
            "reliability": _reliability(np.sum([s["bins"] for s in sums], axis=0)),
        }
    return {
        "format": FORMAT,
        "level": level,
        "replications": n_bootstrap,
        "agents": agents,
    }


def _reliability(bins: NDArray[np.float64]) -> list[dict[str, float]]:
    return [
        {"stated": float(s / n), "right": float(r / n), "count": float(n)} for n, s, r in bins if n
    ]


def write(folder: Path, found: Mapping[str, Foretold], judged: Mapping[str, Any]) -> None:
    """Writes `predictions.json` and `predictions.h5` (`/AGENT/SEED/`, one dataset a field)."""
    import h5py

    if not found:
        for name in (JSON, ARRAYS):
            (folder / name).unlink(missing_ok=True)
        return
    write_json(folder / JSON, judged)
    made = io.BytesIO()
    packed = {"compression": "gzip", "shuffle": True, "fletcher32": True}
    with h5py.File(made, "w", track_order=True) as file:
        file.attrs["format"] = FORMAT
        for name, one in found.items():
            group = file.create_group(name, track_order=True)
            group.create_dataset("dates", data=one.dates.astype("datetime64[ns]").astype(np.int64))
            group.create_dataset("symbols", data=list(one.symbols), dtype=h5py.string_dtype())
            for seed, run in one.runs.items():
                part = group.create_group(str(seed), track_order=True)
                for key, value in vars(run).items():
                    if isinstance(value, np.ndarray):
                        part.create_dataset(key, data=value, **packed)
                    else:
                        part.attrs[key] = value
    write_bytes(folder / ARRAYS, made.getbuffer())


# ---------------------------------------------------------------------- in words
def named(name: str, horizon: int | None) -> str:
    """A measure for people, with its horizon in rows."""
    if name in LABELS:
        return LABELS[name] + (f", {horizon} row{'s' if horizon > 1 else ''}" if horizon else "")
    kind, _, level = name.partition("_")
    share = f"{float(level) * 100:g} %"
    return f"Within the {share} range" if kind == "coverage" else f"Below the {share} quantile"


def number(name: str, value: float | None, sign: bool = False) -> str:
    """A value of a measure: shares in percent, the others plain."""
    if value is None:
        return "n/a"
    plus = "+" if sign else ""
    return f"{value:{plus}.3f}" if name in PLAIN else f"{value * 100:{plus}.1f} %"


def interval(name: str, low: float | None, high: float | None) -> str:
    """`[low, high]`; empty where there is none."""
    if low is None or high is None:
        return ""
    return f"[{number(name, low)}, {number(name, high)}]".replace(" %,", ",")


def verdict(m: Measure) -> str:
    """Whether a measure is better than without skill, as far as its interval shows.

    Where no skill is what was most frequent in these very days, whoever cannot know that falls
    short of it: that is not being worse. A share that should have its own level is off or not.
    """
    if m.name.startswith(("below_", "coverage_")) and m.low is not None and m.high is not None:
        return "as stated" if m.base is None or m.low <= m.base <= m.high else "off"
    if m.gain_low is None or m.gain_high is None:
        return ""
    if m.gain_high < 0:
        return "below hindsight" if m.name in HINDSIGHT else "worse"
    return "better" if m.gain_low > 0 else "no difference"


def in_words(judged: Mapping[str, Any]) -> list[str]:
    """A sentence on each agent: how often its direction was right, and what that is worth."""
    said = []
    for name, one in (judged.get("agents") or {}).items():
        found = {(m["name"], m["horizon"]): Measure(**m) for m in one["measures"]}
        m = found.get(("accuracy", None))
        if m is None:
            continue
        level = f"{judged['level'] * 100:g} %"
        binomial = one["binomial"]
        text = (
            f"{label(name)} forecast {one['forecasts']:,} directions"
            f"{' with each seed' if len(one['seeds']) > 1 else ''} and was right in "
            f"{number(m.name, m.value)} ({level} interval {interval(m.name, m.low, m.high)} by "
            f"blocks of days, {interval(m.name, *binomial)} if all were independent); the most "
            f"frequent direction alone would have been in {number(m.name, m.base)}"
        )
        words = {
            "better": "the forecasts are better than that",
            "below hindsight": "the forecasts are right less often than that, which was known "
            "only afterwards",
        }
        said.append(f"{text}: {words.get(verdict(m), 'no difference is shown')}.")
    return said


def forecast_table(judged: Mapping[str, Any]) -> Table:
    """The measures of `SHOWN` for every agent, beside what no skill would have."""
    from rich import box
    from rich.table import Table

    table = Table(
        title="Forecasts for the test window, beside what needs no skill",
        caption=rf"\[low, high]: {judged['level']:.0%} intervals, blocks of days",
        title_justify="left", caption_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0),
    )  # fmt: skip
    table.add_column("", overflow="fold")
    for head in ("value", "interval", "no skill"):
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("")
    for name, one in judged["agents"].items():
        table.add_row(label(name), style="bold")
        found = {(m["name"], m["horizon"]): Measure(**m) for m in one["measures"]}
        horizons = sorted({h for _, h in found if h is not None})
        for key, k in SHOWN:
            m = found.get((key, None if k is None else horizons[k]))
            if m is not None:
                cells = (interval(key, m.low, m.high).replace("[", r"\["), number(key, m.base))
                table.add_row(
                    f"  {named(key, m.horizon)}", number(key, m.value), *cells, verdict(m)
                )
    return table


def print_forecasts(judged: Mapping[str, Any]) -> None:
    """Prints the table and the sentences; nothing for no forecasts."""
    if not judged:
        return
    from rich.console import Console

    console = Console()
    console.print(forecast_table(judged))
    for text in in_words(judged):
        console.print(text, highlight=False, markup=False)
