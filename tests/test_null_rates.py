"""The simulation of tests over many strategies: counts what it says, the same bits every time."""

from __future__ import annotations

from typing import Any

import pytest

from envs.errors import InputError
from experiments.evaluation.null_markets import NULL_MARKETS
from experiments.null_rates import main, markdown, simulate


def test_rates_repeat_and_a_planted_strategy_is_found() -> None:
    some = {"histories": 6, "strategies": 4, "steps": 300, "n_bootstrap": 99}
    done: list[int] = []
    rates = simulate(NULL_MARKETS[:1], **some, advance=done.append)
    assert rates == simulate(NULL_MARKETS[:1], **some) and sum(done) == 6
    (found,) = rates
    assert found.kept == 1.0 and found.found > 0.5 > found.spa
    assert found.planted_pbo < 0.1 < found.pbo[0]
    table = markdown(rates, "made here")
    assert len({line.count("|") for line in table.splitlines()[:3]}) == 1


@pytest.mark.parametrize(
    "words", [["--histories", "1"], ["--steps", "10"], ["--strategies", "1"], ["--seed", "-1"]]
)
def test_bad_numbers_are_named(words: list[str], capsys: Any) -> None:
    assert main(words) == 2
    assert words[0].strip("-") in capsys.readouterr().err


def test_no_resampling_is_refused(capsys: Any) -> None:
    with pytest.raises(InputError, match="n_bootstrap"):
        simulate(NULL_MARKETS[:1], histories=2, n_bootstrap=0)
