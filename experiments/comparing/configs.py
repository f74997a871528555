"""Settings of several runs: which differ, which go together, and how they are named in print."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from envs.errors import InputError
from experiments.cli import first_problem

MOST_SHOWN = 4
# Where many settings differ, those that tell most, first.
TELLING = (
    "strategy", "name", "agent._target_", "seed", "cost.", "data._target_", "data.path",
    "reward.terms", "reward.", "env.", "agent.total_steps", "agent.", "features.",
)  # fmt: skip
# What changes no number but by the luck of a seed: where a run is resumed from, counted or tracked.
LUCK = ("seed", "n_seeds", "resume", "ledger", "evaluation.workers")
LUCK_GROUPS = ("tracking.",)

Config = Mapping[str, Any]


def read_config(path: Path) -> dict[str, Any]:
    """The configuration of a run as `key -> value`: `{"cost.commission_bps": 5, ...}`.

    Raises:
        InputError: naming the file, if it is broken.
    """
    import yaml

    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read: {first_problem(error)}; run it again") from None
    if not isinstance(config, dict):
        raise InputError(f"{path}: holds no configuration")
    return flat(config)


def flat(config: Config, prefix: str = "") -> dict[str, Any]:
    """`{"cost": {"bps": 5}}` -> `{"cost.bps": 5}`; lists stay whole."""
    out: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            out |= flat(value, f"{prefix}{key}.")
        else:
            out[f"{prefix}{key}"] = value
    return out


def own_settings(config: Config, agent: str | None) -> dict[str, Any]:
    """The settings of one agent of a run: its own as `agent.*`, none of another agent.

    Args:
        config: of the run, flat: the first agent under `agent.*`, more under `agents.NAME.*`.
        agent: its name; None for a strategy that is no agent: it has none of them.
    """
    more = f"agents.{agent}."
    prefix = more if any(key.startswith(more) for key in config) else "agent."
    own = {k: v for k, v in config.items() if not k.startswith(("agent.", "agents."))}
    own = {k: v for k, v in own.items() if k not in ("agent", "agents")}
    if agent is None:
        return own
    mine = {k.removeprefix(prefix): v for k, v in config.items() if k.startswith(prefix)}
    return own | {f"agent.{k}": v for k, v in mine.items()}


def without_luck(config: Config) -> dict[str, Any]:
    """The settings that make a run what it is: all but its seed and where it was tracked."""
    return {k: v for k, v in config.items() if k not in LUCK and not k.startswith(LUCK_GROUPS)}


def differing(configs: Sequence[Config]) -> list[str]:
    """Keys that are not equal in all of these, in order of appearance; tracking is left out."""
    keys = dict.fromkeys(k for config in configs for k in config)
    return [
        k
        for k in keys
        if (k == "seed" or without_luck({k: None})) and len({repr(c.get(k)) for c in configs}) > 1
    ]


def independent(configs: Sequence[Config]) -> list[str]:
    """Of the settings that differ one for each group that goes together, the most telling first.

    `agent._target_` and all settings that only one of two agents has say the same thing: one of
    them is enough to tell the runs apart.
    """
    found: dict[tuple[int, ...], str] = {}
    for key in sorted(without_luck(dict.fromkeys(differing(configs))), key=_rank):
        values = [repr(c.get(key)) for c in configs]
        found.setdefault(tuple(values.index(v) for v in values), key)
    return list(found.values())


def in_words(config: Config) -> str:
    """What differs in a run's config: `commission_bps 10, seed 2`.

    Where much differs, the most telling settings that the run has, and how many there are more.
    """
    shown = list(config)
    if len(shown) > MOST_SHOWN:
        shown = [key for key in shown if config[key] is not None]
        shown = sorted(shown, key=_rank)[:MOST_SHOWN]
    told = [
        f"{name} {value_text(key, config[key])}"
        for name, key in zip(short_keys(shown), shown, strict=True)
    ]
    more = len(config) - len(shown)
    return ", ".join(told) + (f" and {more} more" if more else "")


def short_keys(keys: Sequence[str]) -> list[str]:
    """`cost.commission_bps` -> `commission_bps`, `agent._target_` -> `agent`, where it is clear."""
    last = [key.removesuffix("._target_").split(".")[-1] for key in keys]
    return [k if last.count(e) > 1 else e for k, e in zip(keys, last, strict=True)]


def value_text(key: str, value: Any) -> str:
    """A setting's value in print; of a class its name."""
    text = "—" if value is None else str(value)
    return text.split(".")[-1] if key.endswith("_target_") else text


def _rank(key: str) -> int:
    """Place of a setting among those worth naming first; what is not in TELLING keeps its order."""
    return next((i for i, start in enumerate(TELLING) if key.startswith(start)), len(TELLING))
