"""Run folders that somebody has edited: an answer or the file's name, never a traceback."""

from __future__ import annotations

import copy
import functools
import json
import operator
import random
from pathlib import Path
from typing import Any

import pytest
import yaml

from experiments import compare
from tests.test_compare_rows import PPO, make_run
from tests.test_show import places

FILES = {"metrics.json": json, "provenance.json": json, "config.yaml": yaml}
FILES["known_answer.json"] = json
HUGE = 10**400  # no float holds it
VALUES: tuple[Any, ...] = ("many", 1e300, [], None, {}, -1, HUGE, float("nan"))
GONE = len(VALUES)
CASES = 10  # of each file
KNOWN = {
    name: {"agent": name, "policies": {str(seed): {"score": 0.5 + seed / 4} for seed in (0, 1)}}
    for name in ("ppo", "b")
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two runs of two agents and two seeds."""
    base = tmp_path_factory.mktemp("runs")
    runs = []
    for k in (1, 2):
        ppo = {"_target_": PPO, "total_steps": 100 * k}
        agents = {"ppo": ppo, "b": {"_target_": PPO, "total_steps": 1}}
        run = make_run(base / str(k), agents, seeds=(0, 1), n=60, drift={"b": 1e-4 * k})
        (run / "known_answer.json").write_text(json.dumps(KNOWN))
        runs.append(run)
    return runs


def answer(folders: list[Path], out: Path, name: str, way: tuple[Any, ...], k: int) -> int:
    """Status with one value changed, or gone; the file is put back."""
    path, kind = folders[0] / name, FILES[name]
    text = path.read_text()
    tree = json.loads(text) if kind is json else yaml.safe_load(text)
    changed = copy.deepcopy(tree)
    parent = functools.reduce(operator.getitem, way[:-1], changed)
    if k == GONE and isinstance(parent, dict):
        del parent[way[-1]]
    else:
        parent[way[-1]] = VALUES[k % GONE]
    path.write_text(json.dumps(changed) if kind is json else yaml.safe_dump(changed))
    try:
        return compare.main([*map(str, folders), "--out", str(out)])
    finally:
        path.write_text(text)


@pytest.mark.parametrize("name", FILES)
def test_a_value_of_another_kind_anywhere_is_an_answer_or_named(
    folders: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    text = (folders[0] / name).read_text()
    tree = json.loads(text) if FILES[name] is json else yaml.safe_load(text)
    cases = [(way, k) for way in places(tree) for k in range(GONE + 1)]
    for way, k in random.Random(name).sample(cases, CASES):
        status = answer(folders, tmp_path, name, way, k)
        message = capsys.readouterr().err
        assert status == 0 or (status == 2 and name in message), (way, k, message)


@pytest.mark.parametrize(
    ("name", "way", "value", "words"),
    [
        ("known_answer.json", ("ppo", "policies", "0", "score"), HUGE, "too large"),
        ("known_answer.json", ("b", "policies", "1", "score"), float("nan"), "is no number"),
        ("known_answer.json", ("ppo",), [], "not readable"),
        ("metrics.json", ("bootstrap", "level"), -1, "level must lie in (0, 1)"),
        ("metrics.json", ("bootstrap", "replications"), HUGE, "n_bootstrap must be"),
        ("metrics.json", ("bootstrap", "seed"), -1, "seed must not be negative"),
    ],
)
def test_what_cannot_be_is_refused_by_name(
    folders: list[Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    way: tuple[Any, ...],
    value: Any,
    words: str,
) -> None:
    k = next(i for i, v in enumerate(VALUES) if repr(v) == repr(value))
    assert answer(folders, tmp_path, name, way, k) == 2
    message = capsys.readouterr().err
    assert str(folders[0] / name) in message and words in message


def test_a_setting_that_is_no_usual_number_stands_by_its_name(
    folders: list[Path], tmp_path: Path
) -> None:
    way = ("agent", "total_steps")
    assert answer(folders, tmp_path, "config.yaml", way, VALUES.index(HUGE)) == 0
    assert str(HUGE)[:60] in (tmp_path / "compare.csv").read_text()
