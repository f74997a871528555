"""Combinatorial purged cross-validation: many backtest paths from one history, without leaks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from math import comb
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from envs.data.arguments import whole_number
from envs.errors import InputError
from experiments.evaluation.metrics import Float, cagr, sharpe

Rows = tuple[int, int]
# Each combination is a training of its own; beyond this a slip of the keyboard is more likely.
MOST_COMBINATIONS = 100_000
# Two rows are the least that have a deviation.
MIN_ROWS = 2


@dataclass(frozen=True)
class Combination:
    """One choice of test groups.

    Attributes:
        groups: numbers of the test groups, ascending.
        test: decision rows `(start, stop)` of each of them, half open.
        train: the other rows after purge and embargo, as ascending ranges.
    """

    groups: tuple[int, ...]
    test: tuple[Rows, ...]
    train: tuple[Rows, ...]


@dataclass(frozen=True, kw_only=True)
class CombinatorialPurged:
    """`n_groups` groups of rows, of which every choice of `n_test_groups` is tested on once.

        groups      |  0  |  1  |  2  |  3  |  4  |  5  |
        combination |train|.TEST|~=trn|train.|TEST|~=trn|      . purged before   ~ after
                                                               = embargo

    ┌ Execution timing and look-ahead control ────────────────────────────────────────────────────┐
    │ A decision is taken at close t with what is known at close t; its return is measured from   │
    │ close t to close t+1, whatever the execution convention. Ranges hold decision rows.         │
    │ · `purge` rows of training are cut *before and after* every run of test groups: no row t of │
    │   training has a label over [t, t + purge] that touches a test row, and no label of a test  │
    │   row touches a row of training. Choose it at least as long as the longest label or holding │
    │   horizon (1 for one-step returns).                                                         │
    │ · `embargo` more rows are cut *after* them: features of rows behind a test group still      │
    │   remember it (moving averages, volatility), which purging does not see. Choose it like the │
    │   longest window of a feature. Before a test group none is needed.                          │
    │ · Training sees rows **after** a test group. A path is therefore not what could have been   │
    │   earned at the time; it is another draw of out-of-sample rows from the same history. What  │
    │   could have been earned is what `WalkForward` says.                                        │
    └─────────────────────────────────────────────────────────────────────────────────────────────┘

    Every group is tested in `n_paths` combinations, so its results can be put together into
    `n_paths` backtests of all rows, each row of which was out-of-sample.

    Attributes:
        n_groups: N >= 2; rows // N rows each, the last has the remaining ones as well.
        n_test_groups: k, 1 <= k < N.
        purge, embargo: rows; see above.

    Source: Lopez de Prado (2018), Advances in Financial Machine Learning, ch. 7 and 12.

    Raises:
        InputError: for a number outside its range, naming it.
    """

    n_groups: int = 6
    n_test_groups: int = 2
    purge: int = 21
    embargo: int = 0

    def __post_init__(self) -> None:
        whole_number(self.n_groups, "n_groups", 2)
        whole_number(self.n_test_groups, "n_test_groups", 1)
        whole_number(self.purge, "purge", 0)
        whole_number(self.embargo, "embargo", 0)
        if self.n_test_groups >= self.n_groups:
            raise InputError(
                f"n_test_groups={self.n_test_groups} leaves no group of n_groups={self.n_groups} "
                "to train on; lower n_test_groups, 2 is usual"
            )
        if self.n_combinations > MOST_COMBINATIONS:
            raise InputError(
                f"n_groups={self.n_groups} and n_test_groups={self.n_test_groups} make "
                f"{self.n_combinations:,} combinations; {MOST_COMBINATIONS:,} are the most, and "
                "6 and 2 (15 combinations, 5 paths) are usual"
            )

    @property
    def n_combinations(self) -> int:
        """C(N, k), the number of trainings."""
        return comb(self.n_groups, self.n_test_groups)

    @property
    def n_paths(self) -> int:
        """C(N, k) k / N = C(N-1, k-1), the number of backtests that they make up."""
        return comb(self.n_groups - 1, self.n_test_groups - 1)

    def groups(self, first: int, stop: int) -> list[Rows]:
        """The N groups of the decision rows `first ... stop-1`.

        Raises:
            InputError: if a group would hold fewer than two rows.
        """
        size = (stop - first) // self.n_groups
        if size < MIN_ROWS:
            raise InputError(
                f"{max(stop - first, 0)} rows are too few for n_groups={self.n_groups}: at least "
                f"{MIN_ROWS * self.n_groups} are needed; use more data or fewer groups"
            )
        edges = [first + size * g for g in range(self.n_groups)] + [stop]
        return list(pairwise(edges))

    def split(self, first: int, stop: int) -> Iterator[Combination]:
        """All combinations of the decision rows `first ... stop-1`, in lexicographic order.

        Raises:
            InputError: if too few rows are left, in the groups or for training.
        """
        groups = self.groups(first, stop)
        for chosen in combinations(range(self.n_groups), self.n_test_groups):
            train = np.ones(stop - first, dtype=np.bool_)
            for g in chosen:
                start, end = groups[g][0] - first, groups[g][1] - first
                train[max(start - self.purge, 0) : end + self.purge + self.embargo] = False
            if train.sum() < MIN_ROWS:
                raise InputError(
                    f"purge={self.purge} and embargo={self.embargo} leave {int(train.sum())} of "
                    f"{stop - first} rows to train on where groups {list(chosen)} are tested; "
                    "lower them, use more data or fewer n_test_groups"
                )
            yield Combination(chosen, tuple(groups[g] for g in chosen), _ranges(train, first))

    def paths(self) -> NDArray[np.int64]:
        """`[n_paths, N]`: the combination that each path takes each group's rows from."""
        members: list[list[int]] = [[] for _ in range(self.n_groups)]
        for number, chosen in enumerate(combinations(range(self.n_groups), self.n_test_groups)):
            for g in chosen:
                members[g].append(number)
        return np.array(members, dtype=np.int64).T

    def join(self, results: Sequence[Sequence[ArrayLike]]) -> Float:
        """`[n_paths, rows]`: results on test rows, put together into paths.

        Args:
            results: of each combination in the order of `split`, one series for each of its test
                groups (net returns, say), in the order of `Combination.test`.

        Raises:
            InputError: if there are not as many as combinations and test groups.
        """
        if len(results) != self.n_combinations or any(
            len(parts) != self.n_test_groups for parts in results
        ):
            raise InputError(
                f"join needs {self.n_combinations} results of {self.n_test_groups} series each"
            )
        chosen = list(combinations(range(self.n_groups), self.n_test_groups))
        return np.stack(
            [
                np.concatenate(
                    [
                        np.asarray(results[c][chosen[c].index(g)], dtype=np.float64)
                        for g, c in enumerate(path)
                    ]
                )
                for path in self.paths().tolist()
            ]
        )


def selection(
    returns: Mapping[str, Float],
    splitter: CombinatorialPurged,
    *,
    periods_per_year: float,
    cash: ArrayLike = 0.0,
) -> dict[str, Any]:
    """What choosing the strategy with the best Sharpe ratio would have earned on rows unseen.

    In each combination the strategy is chosen on the training rows and earns on the test rows. For
    strategies that are not trained, this choice is all that there is to cross-validate: without it
    their paths would all be the same.

    Args:
        returns: name -> `[n]` net returns per period on the same dates.
        splitter: how to cut these n rows.
        periods_per_year: annualises.
        cash: return of cash per period, `[n]` or a number.

    Returns:
        A plain dict: `paths`: a list of `{sharpe, cagr}`, None where undefined; `chosen`: name ->
        share of the combinations; `in_sample`: mean Sharpe ratio of the chosen on the rows that
        they were chosen on; `out_of_sample`: mean over the paths; `best`, `best_sharpe`: the
        strategy that was the best on all rows, known in hindsight; `n_paths, n_combinations`. Or
        `{"reason": ...}` with fewer than two strategies that have a Sharpe ratio on all training
        rows.

    Raises:
        InputError: as `splitter.split`, for series of different lengths, and for returns that are
            missing or infinite.
    """
    lengths = {name: len(x) for name, x in returns.items()}
    if len(set(lengths.values())) > 1:
        raise InputError(f"the strategies must share their dates, but have lengths {lengths}")
    broken = [name for name, x in returns.items() if not np.isfinite(x).all()]
    if broken:
        raise InputError(f"returns of {', '.join(broken)} are missing or infinite; leave it out")
    if len(returns) < 2:
        return {"reason": "needs two strategies to choose from"}
    every = np.stack(list(returns.values()))
    n = every.shape[1]
    excess = every - np.asarray(cash)
    folds = list(splitter.split(0, n))
    inside = np.stack([sharpe(_at(excess, f.train), periods_per_year) for f in folds])
    defined = np.isfinite(inside).all(axis=0)
    if defined.sum() < 2:
        return {"reason": "fewer than two strategies have a Sharpe ratio"}
    best = np.where(defined, inside, -np.inf).argmax(axis=1)
    paths = splitter.join(
        [[every[k, a:b] for a, b in f.test] for k, f in zip(best, folds, strict=True)]
    )
    ratios = sharpe(paths - np.asarray(cash), periods_per_year)
    growth = cagr(paths, periods_per_year)
    whole = np.where(defined, sharpe(excess, periods_per_year), -np.inf)
    names = list(returns)
    shares = np.bincount(best, minlength=len(names)) / len(folds)
    return {
        "paths": [
            {"sharpe": _number(s), "cagr": _number(g)} for s, g in zip(ratios, growth, strict=True)
        ],
        "chosen": dict(zip(names, shares.tolist(), strict=True)),
        "in_sample": float(inside[np.arange(len(folds)), best].mean()),
        "out_of_sample": _number(ratios.mean()),
        "best": names[int(whole.argmax())],
        "best_sharpe": float(whole.max()),
        "n_paths": splitter.n_paths,
        "n_combinations": splitter.n_combinations,
    }


def _at(x: Float, ranges: Sequence[Rows]) -> Float:
    return np.concatenate([x[:, a:b] for a, b in ranges], axis=1)


def _ranges(keep: NDArray[np.bool_], first: int) -> tuple[Rows, ...]:
    """Runs of true values as half-open ranges, counted from `first`."""
    edges = np.flatnonzero(np.diff(np.r_[False, keep, False])) + first
    return tuple((int(a), int(b)) for a, b in edges.reshape(-1, 2))


def _number(x: Any) -> float | None:
    return float(x) if np.isfinite(x) else None
