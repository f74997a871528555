"""Where the rows of a comparison come from: data, window, costs, command and commit."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.comparing.configs import value_text
from experiments.evaluation.table import span

if TYPE_CHECKING:
    from experiments.comparing.rows import Row

HEADS = ("Rows", "Data", "Test window", "Costs", "Command", "Commit")
UNKNOWN = "not recorded"
SHORT = 12


@dataclass(frozen=True)
class Origin:
    """What `provenance.json` says of one run; `UNKNOWN` where it does not.

    Attributes:
        fingerprint: of the data; None where it is not recorded.
    """

    data: str = UNKNOWN
    fingerprint: str | None = None
    command: str = UNKNOWN
    commit: str = UNKNOWN


def read_origin(path: Path) -> Origin:
    """The origin of a run from its `provenance.json`; all unknown where there is none."""
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return Origin()
    if not isinstance(facts, dict):
        return Origin()
    data, git = (
        part if isinstance(part := facts.get(key), dict) else {} for key in ("data", "git")
    )
    commit = str(git.get("commit") or UNKNOWN)[:SHORT]
    return Origin(
        str(data.get("name") or UNKNOWN),
        None if data.get("fingerprint") is None else str(data["fingerprint"]),
        str(facts.get("command") or UNKNOWN),
        commit + (" with local changes" if git.get("dirty") else ""),
    )


def where(rows: Sequence[Row]) -> str:
    """Data, test window and costs of the rows in one line."""
    return " · ".join(
        (
            joined(origin.data for row in rows for origin in row.origins),
            joined(span(row.evidence.window) for row in rows),
            joined(costs_in_words(row.whole_config) for row in rows),
        )
    )


def origin_cells(rows: Sequence[Row]) -> list[list[str]]:
    """A line for the rows that have all of it in common, under `HEADS`."""
    groups: dict[tuple[str, ...], list[int]] = {}
    for number, row in enumerate(rows, 1):
        told = (
            joined(
                f"{o.data}, {o.fingerprint[:SHORT]}" if o.fingerprint else o.data
                for o in row.origins
            ),
            span(row.evidence.window),
            costs_in_words(row.whole_config),
            joined(o.command for o in row.origins),
            joined(o.commit for o in row.origins),
        )
        groups.setdefault(told, []).append(number)
    return [[", ".join(map(str, numbers)), *told] for told, numbers in groups.items()]


def costs_in_words(config: Mapping[str, Any]) -> str:
    """`ProportionalCost: commission_bps 5.0, half_spread_bps 5.0`."""
    kind = value_text("_target_", config.get("cost._target_", "costs"))
    parts = [
        f"{key.removeprefix('cost.')} {value}"
        for key, value in config.items()
        if key.startswith("cost.") and not key.endswith("_target_")
    ]
    return f"{kind}: {', '.join(parts)}" if parts else kind


def joined(texts: Any) -> str:
    """Different texts, each once; of more than two the first and how many there are."""
    found = list(dict.fromkeys(texts))
    if len(found) > 2:
        return f"{found[0]} and {len(found) - 1} others"
    return "; ".join(found) or UNKNOWN
