"""`Combinatorial`: one training for each combination of test groups, as windows of a plan."""

from __future__ import annotations

from dataclasses import dataclass

from envs.data.arguments import number
from envs.data.market_data import MarketData
from envs.errors import InputError
from experiments.evaluation.cross_validation import CombinatorialPurged
from experiments.evaluation.plan import Plan
from experiments.evaluation.splits import Splits

MIN_STEPS = 2


@dataclass(frozen=True, kw_only=True)
class Combinatorial(Plan):
    """Combinatorial purged cross-validation of agents; see `CombinatorialPurged` for the rows.

    An agent learns on days that follow each other, so each combination is trained on the
    **longest** of its ranges of training rows, the end of which is its validation window. Shorter
    ranges are not used.

    Attributes:
        first, stop: the decision rows `first ... stop-1` are cross-validated.
        n_groups, n_test_groups, embargo: as in `CombinatorialPurged`, and `purge` as well, which
            also lies between training and validation.
        validation_share: of the longest range.

    Raises:
        InputError: for a setting outside its range.
    """

    first: int
    stop: int
    n_groups: int = 6
    n_test_groups: int = 2
    embargo: int = 0
    validation_share: float = 0.2
    workers: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < number(self.validation_share, "validation_share") < 1:
            raise InputError(
                f"validation_share must lie between 0 and 1, got {self.validation_share}"
            )

    @property
    def splitter(self) -> CombinatorialPurged:
        """How the rows are cut."""
        return CombinatorialPurged(
            n_groups=self.n_groups,
            n_test_groups=self.n_test_groups,
            purge=self.purge,
            embargo=self.embargo,
        )

    def windows(self, market: MarketData, warmup: int) -> list[Splits]:
        """One `Splits` for each combination; `test` reaches over all of its test groups.

        Raises:
            InputError: if training or validation of a combination holds fewer than two steps.
        """
        found = []
        for fold in self.splitter.split(self.first, self.stop):
            start, end = max(fold.train, key=lambda rows: rows[1] - rows[0])
            middle = end - round((end - start) * self.validation_share)
            # The return of a decision lies one row later and must be known before the purged rows.
            train, validation = (start, middle - self.purge - 1), (middle, end)
            for key, rows in (("train", train), ("validation", validation)):
                if rows[1] - rows[0] < MIN_STEPS:
                    raise InputError(
                        f"{market.name}: {key} has {max(rows[1] - rows[0], 0)} steps where groups "
                        f"{list(fold.groups)} are tested, {MIN_STEPS} needed; use more data, fewer "
                        "groups, or a smaller purge or embargo"
                    )
            test = (fold.test[0][0], fold.test[-1][1])
            found.append(Splits(train, validation, test, purge=self.purge, warmup=warmup))
        return found
