"""Windows by date: exact rows, nothing shared between windows, and errors that name the remedy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from envs.data.market_data import MarketData
from envs.errors import InputError
from experiments.evaluation.holdout import Holdout
from experiments.evaluation.splits import date_text, split_rows, split_shares


def market(n: int = 100, start: str = "2020-01-01") -> MarketData:
    dates = np.datetime64(start, "D") + np.arange(n)
    return MarketData(dates=dates, symbols=("A",), close=np.full((n, 1), 1.0), name="toy")


WINDOWS: dict[str, Any] = {
    "train": ("2020-01-01", "2020-01-31"),
    "validation": ("2020-02-01", "2020-02-29"),
    "test": ("2020-03-01", "2020-03-31"),
}


def test_rows_are_the_dates_and_the_last_return_lies_in_the_window() -> None:
    m = market()
    s = split_rows(m, **WINDOWS)
    assert (s.train, s.validation, s.test) == ((0, 30), (31, 59), (60, 90))
    for (start, stop), (first, last) in zip(
        (s.train, s.validation, s.test), WINDOWS.values(), strict=True
    ):
        assert m.dates[start] == np.datetime64(first)
        assert m.dates[stop] == np.datetime64(last)  # where the last decision's return is known


@pytest.mark.parametrize("purge", [0, 1, 5])
def test_purge_is_cut_from_the_earlier_window(purge: int) -> None:
    s = split_rows(market(), **WINDOWS, purge=purge)
    assert s.validation[0] == 31 and s.test[0] == 60
    rows_used = [set(range(a, b + 1)) for a, b in (s.train, s.validation, s.test)]
    assert max(rows_used[0]) == 31 - 1 - purge
    assert max(rows_used[1]) == 60 - 1 - purge
    assert not rows_used[0] & rows_used[1] and not rows_used[1] & rows_used[2]


def test_a_gap_between_the_dates_counts_towards_the_purge() -> None:
    windows = WINDOWS | {"train": ("2020-01-01", "2020-01-26")}
    assert split_rows(market(), **windows, purge=5).train == (0, 25)
    assert split_rows(market(), **windows, purge=6).train == (0, 24)


def test_training_begins_after_warmup_and_open_ends_mean_the_data() -> None:
    windows = WINDOWS | {"train": (None, "2020-01-31"), "test": ("2020-03-01", None)}
    s = split_rows(market(), **windows, warmup=10)
    assert s.train == (10, 30) and s.test == (60, 99)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"test": ("2021-03-01", "2021-03-31")}, ["test", "outside the data", "2020-04-09"]),
        ({"test": ("2020-03-01", "2020-12-31")}, ["test", "outside the data"]),
        ({"train": ("2010-01-01", "2020-01-31")}, ["train", "outside the data", "2020-01-01"]),
        ({"test": ("2020-03-31", "2020-03-01")}, ["test", "ends before it begins"]),
        ({"validation": ("2020-01-20", "2020-02-29")}, ["train", "validation", "overlap"]),
        ({"test": ("2020-02-20", "2020-03-31")}, ["validation", "test", "overlap"]),
        (
            {"train": ("2020-02-01", "2020-02-29"), "validation": ("2020-01-01", "2020-01-31")},
            ["order", "train"],
        ),
        ({"test": ("2020-03-01", "2020-03-02")}, ["test", "steps", "widen"]),
        ({"purge": 40}, ["train", "purge (40 rows)"]),
        ({"warmup": 29}, ["train", "warm-up (29 rows)", "widen"]),
        ({"warmup": 99}, ["100 rows", "warm-up (99)"]),
        ({"min_steps": 200}, ["100 rows", "200 steps"]),
        ({"train": ("January", "2020-01-31")}, ["January", "YYYY-MM-DD"]),
        ({"train": "2020-01-01"}, ["train", "two dates"]),
        ({"purge": -1}, ["purge", ">= 0"]),
    ],
)
def test_bad_windows_name_the_remedy(change: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(InputError) as error:
        split_rows(market(), **(WINDOWS | change))
    for word in words:
        assert word in str(error.value)


def test_a_window_between_two_rows_has_no_rows() -> None:
    m = market(100)
    weekly = MarketData(
        dates=m.dates[0] + 7 * np.arange(100) * np.timedelta64(1, "D"),
        symbols=("A",),
        close=np.ones((100, 1)),
        name="weekly",
    )
    with pytest.raises(InputError, match=r"validation .* has no rows; weekly runs from 2020-01-01"):
        split_rows(
            weekly,
            train=("2020-01-01", "2020-12-31"),
            validation=("2021-01-02", "2021-01-04"),
            test=("2021-02-01", "2021-06-30"),
        )


def test_shares_cut_the_rows_with_purge_and_warmup() -> None:
    s = split_shares(market(100), 0.6, 0.2, purge=2, warmup=7)
    assert (s.train, s.validation, s.test) == ((7, 57), (60, 77), (80, 99))
    assert (s.purge, s.warmup) == (2, 7)
    by_dates = split_rows(
        market(100),
        train=("2020-01-01", "2020-02-29"),
        validation=("2020-03-01", "2020-03-20"),
        test=("2020-03-21", None),
        purge=2,
        warmup=7,
    )
    assert s == by_dates


def bars(n: int, minutes: int) -> MarketData:
    dates = np.datetime64("2024-01-02T09:30", "ns") + np.arange(n) * np.timedelta64(minutes, "m")
    return MarketData(dates=dates, symbols=("A",), close=np.ones((n, 1)), name="bars")


@pytest.mark.parametrize(("n", "minutes"), [(200, 30), (1000, 1), (1500, 60)])
def test_bars_within_a_day_are_cut_by_rows(n: int, minutes: int) -> None:
    m = bars(n, minutes)
    s = Holdout(purge=5).split(m, warmup=10)
    a, b = int(n * 0.6), int(n * 0.8)
    assert (s.train, s.validation, s.test) == ((10, a - 6), (a, b - 6), (b, n - 1))
    used = [set(range(start, stop + 1)) for start, stop in (s.train, s.validation, s.test)]
    assert not used[0] & used[1] and not used[1] & used[2]


def test_short_windows_of_bars_are_named_with_the_time() -> None:
    with pytest.raises(InputError) as error:
        split_shares(bars(1000, 1), purge=300)
    for words in (
        "validation [2024-01-02 19:30 .. 2024-01-02 22:49] has 0 steps",
        "purge (300 rows)",
        "bars runs from 2024-01-02 09:30 to 2024-01-03 02:09",
    ):
        assert words in str(error.value)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ({"train": 0.8, "validation": 0.2}, "leave something for test"),
        ({"train": 0.0}, "must be positive"),
        ({"train": 0.005, "validation": 0.5}, "100 rows are too few for three windows"),
        ({"warmup": 99}, "warm-up \\(99\\)"),
        ({"purge": -1}, "must be >= 0"),
    ],
)
def test_bad_shares_are_named(call: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        split_shares(market(100), **call)


def test_dates_show_as_much_of_the_time_as_tells_them_apart() -> None:
    day = np.datetime64("2024-01-02", "ns")
    texts = ["2024-01-02", "2024-01-02 00:00", "2024-01-02 00:00:00"]
    for seconds, text in zip((86_400, 60, 1), texts, strict=True):
        dates = day + np.arange(3) * np.timedelta64(seconds, "s")
        assert date_text(dates, 0) == text
