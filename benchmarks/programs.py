"""Seconds of whole programs, each in processes of its own: features of a large panel, and commands.

python -m benchmarks.run programs
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from statistics import median

from benchmarks.measure import Effort, Row, pinned

FEATURES_PROGRAM = (
    "import json, sys; from benchmarks.features import measure; "
    "print(json.dumps(measure(int(sys.argv[1]), int(sys.argv[2]))))"
)
MODALITIES_PROGRAM = (
    "import json; from benchmarks.features import measure_modalities; "
    "print(json.dumps(measure_modalities()))"
)


def measure(effort: Effort) -> list[Row]:
    return [*all_features(effort), *modalities(effort), *help_text(effort)]


def all_features(effort: Effort) -> list[Row]:
    """All features of a large panel; see `benchmarks.features`."""
    assets, rows = effort.feature_panel
    with pinned(1) as note:  # children inherit it
        found = json.loads(run("-c", FEATURES_PROGRAM, str(assets), str(rows)))
    seconds, memory = found["seconds"], found["peak_over_output"]
    # The targets hold for the size that they were set for.
    whole = (assets, rows) == (500, 8000)
    name = f"all {found['features']:.0f} features, {assets:,} assets x {rows:,} days"
    return [
        Row(name, "s", (seconds, seconds), target=15 if whole else None, less=True, note=note),
        Row(
            f"peak memory of it over its {found['output_bytes'] / 1e6:,.0f} MB",
            "times",
            (memory, memory),
            target=3,
            less=True,
        ),
    ]


def modalities(effort: Effort) -> list[Row]:
    """Technical, seasonal, sentiment and macro features of the default panel."""
    with pinned(1) as note:
        found = [json.loads(run("-c", MODALITIES_PROGRAM)) for _ in range(min(effort.repeats, 3))]
    taken = [each["seconds"] for each in found]
    name = f"four modalities ({found[0]['features']:.0f} features) of sp500"
    return [Row(name, "s", (min(taken), median(taken)), target=10, less=True, note=note)]


def help_text(effort: Effort) -> list[Row]:
    with pinned(1) as note:
        taken = [timed("-m", "experiments.run", "--help") for _ in range(min(effort.repeats, 5))]
    name = "python -m experiments.run --help"
    return [Row(name, "s", (min(taken), median(taken)), target=4, less=True, note=note)]


def recipe(effort: Effort) -> list[Row]:
    """The recipe of the README, on all cores there are; only once, since it takes minutes."""
    with tempfile.TemporaryDirectory() as folder:
        # No experiment: it is no trial in anybody's ledger.
        where = f"hydra.run.dir={folder}/run"
        taken = timed("-m", "experiments.run", "+exp=ppo_portfolio", "ledger=null", where)
    return [Row("+exp=ppo_portfolio, 3 seeds", "s", (taken, taken), target=300, less=True, cores=2)]


def timed(*arguments: str) -> float:
    """Wall seconds of a Python process."""
    begin = time.perf_counter()
    run(*arguments)
    return time.perf_counter() - begin


def run(*arguments: str) -> str:
    """Standard output of a Python process; its own message if it fails."""
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"python {' '.join(arguments)} failed:\n{done.stderr[-2000:]}")
    return done.stdout
