"""The intervals hold a known truth as often as they say; what is not there is not found."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from experiments import coverage
from experiments.evaluation import null_markets
from experiments.evaluation.null_markets import MARKET, NULL_MARKETS, OWN, NullMarket


def test_autoregression_against_its_recursion() -> None:
    noise, out = np.random.default_rng(0).standard_normal(60), np.empty(40)
    null_markets.autoregressive_nb(noise, 0.4, out)
    x, expected = 0.0, []
    for e in noise:
        x = 0.4 * x + np.sqrt(1 - 0.16) * e
        expected.append(x)
    np.testing.assert_allclose(out, expected[20:], rtol=1e-12)


def test_garch_against_its_recursion() -> None:
    noise, out = np.random.default_rng(1).standard_normal(60), np.empty(40)
    null_markets.garch_nb(noise, 0.1, 0.85, out)
    h, expected = 1.0, []
    for e in noise:
        x = np.sqrt(h) * e
        h = 0.05 + 0.1 * x**2 + 0.85 * h
        expected.append(x)
    np.testing.assert_allclose(out, expected[20:], rtol=1e-12)


@pytest.mark.parametrize("market", NULL_MARKETS, ids=lambda m: m.name)
def test_the_truth_is_that_of_a_long_history(market: NullMarket) -> None:
    index, both = market.draw(np.random.default_rng(3), 1_000_000)
    truth = market.truth()
    wide = 4 * np.hypot(MARKET, OWN) / 1000 * 252 * (1.3 if market.phi else 1.0)
    for net in both:
        assert 252 * np.log1p(net).mean() == pytest.approx(truth["mean_log_return"], abs=wide)
        ratio = net.mean() / net.std() * np.sqrt(252)
        assert ratio == pytest.approx(truth["sharpe"], abs=4 * 1.3 * np.sqrt(252) / 1000)
    assert index.std() == pytest.approx(MARKET, rel=0.03)
    lag_one = np.corrcoef(index[1:], index[:-1])[0, 1]
    assert lag_one == pytest.approx(market.phi, abs=0.01)


def test_counts_do_not_depend_on_the_processes_and_say_where_they_come_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kind = NULL_MARKETS[1:2]
    settings = {"steps": (60,), "replications": 24, "n_bootstrap": 19}
    one = coverage.simulate(kind, **settings)  # type: ignore[arg-type]
    assert one == coverage.simulate(kind, **settings, processes=2)  # type: ignore[arg-type]
    assert one != coverage.simulate(kind, **settings, seed=1)  # type: ignore[arg-type]
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- coverage -->\nold\n<!-- /coverage -->\nafter\n")
    words = ["--steps", "60", "--replications", "2", "--n-bootstrap", "9", "--processes", "1",
             "--markdown", str(page)]  # fmt: skip
    assert coverage.main(words) == 0
    text = page.read_text()
    assert text.startswith("before") and text.endswith("after\n") and "old" not in text
    assert "2 histories a line, 9 resampled from each, seed 0" in text
    assert "| GARCH(1,1), 0.08 and 0.90 | 60 |" in text
    assert capsys.readouterr().out in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--steps", "49"], "steps must be at least 50"),
        (["--replications", "0"], "replications must be at least 1"),
        (["--n-bootstrap", "0"], "n_bootstrap must be"),
        (["--processes", "0"], "processes >= 1"),
        (["--seed", "-1"], "seed >= 0"),
    ],
)
def test_bad_arguments_are_named(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert coverage.main(words) == 2
    assert message in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("market", NULL_MARKETS, ids=lambda m: m.name)
def test_intervals_cover_and_tests_err_as_often_as_they_say(market: NullMarket) -> None:
    (cell,) = coverage.simulate([market], steps=(500,), replications=600, n_bootstrap=199)
    for key in ("growth", "sharpe"):
        assert 0.93 <= cell.share(key) <= 0.97, key
    for key in coverage.REJECTED:
        assert cell.share(key) == pytest.approx(0.05, abs=3 * np.sqrt(0.05 * 0.95 / 600)), key
