"""`News`: texts with the moment of their publication and a score, from a user's table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from envs.data.market_data import Float
from envs.data.table import Table, read_table
from envs.errors import InputError
from envs.features.moments import Moments, has_times

# A day without an hour is over everywhere on earth at noon UTC of the next one.
END_OF_DAY = np.timedelta64(36, "h")
LEXICON, MINILM, COLUMN = "lexicon", "minilm", "column"
# What a reader of a report should know of each scorer.
SCORED = {
    LEXICON: "News are scored by counting words (Loughran-McDonald lists), which agrees with the "
    "ratings of people to a correlation of 0.38.",
    MINILM: "News are scored by a sentence encoder and a ridge on rated sentences, which agrees "
    "with the ratings of people to a correlation of 0.62. What the encoder was trained on is of "
    "2021 and before: of events until then it may know the outcome.",
    COLUMN: "News carry scores of your own: a model that was trained on later texts knows what "
    "came after.",
}
NO_FILE = "no news were given; set features.build.news.path=FILE.csv with published, symbol, text"


@dataclass(frozen=True, eq=False)
class News:
    """n scored texts in the order of their publication.

    Attributes:
        published: `[n]` UTC, datetime64[ns].
        symbol: `[n]` what a text is about; "" for the market.
        score: `[n]` its mood, -1 bad to 1 good.
        missing: "news" -> why there is none.
        notes: limits of the texts in plain words.
    """

    published: Moments
    symbol: NDArray[np.str_]
    score: Float
    missing: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @classmethod
    def none(cls, why: str = NO_FILE) -> News:
        """No texts, for this reason."""
        return cls(np.empty(0, "datetime64[ns]"), np.empty(0, str), np.empty(0), {"news": why})

    def changed_after(self, day: np.datetime64, rng: np.random.Generator) -> News:
        """The same texts as far as they were published by the end of `day`, whatever the time zone;
        other scores after it."""
        later = self.published > day.astype("datetime64[D]") + END_OF_DAY
        score = np.where(later, rng.uniform(-1.0, 1.0, len(later)), self.score)
        return News(self.published, self.symbol, score, self.missing, self.notes)


def read_news(path: str | None = None, scorer: str = LEXICON) -> News:
    """Reads and scores a table with the columns `published`, `text` and, if wished, `symbol`.

    CSV (also .gz) or Parquet; rows in any order. `published` is a time with its zone, such as
    `2020-04-03 16:05-04:00` or `2020-04-03T20:05Z`; days without a time count as their end. Without
    a symbol, a text is about the market.

    Args:
        path: the file; None is no news.
        scorer: "lexicon" counts words of the Loughran-McDonald lists; "minilm" reads whole
            sentences (see `python -m envs.features.news`); "column" takes the column `score` of the
            file, -1 to 1.

    Raises:
        InputError: for whatever is wrong with the file, naming file, row and column, or for a
            scorer that is not here, with the command that gets it.
    """
    if scorer not in SCORED:
        raise InputError(f"scorer={scorer!r} is not one of {', '.join(SCORED)}")
    if path is None:
        return News.none()
    table = read_table(Path(path))
    published, symbol = when(table), about(table)
    score = _scores(table) if scorer == COLUMN else scorer_of(scorer)(texts(table))
    order = np.argsort(published, kind="stable")
    return News(published[order], symbol[order], score[order], notes=(SCORED[scorer],))


def scorer_of(name: str) -> Callable[[Sequence[str]], Float]:
    """The function that scores texts; see `read_news`.

    Raises:
        InputError: if what it needs is not here.
    """
    if name == MINILM:
        from envs.features.news.head import MiniLMScorer

        return MiniLMScorer()
    from envs.features.news.lexicon import LexiconScorer

    return LexiconScorer()


def _need(table: Table, *columns: str) -> None:
    for column in columns:
        if column not in table.frame.columns:
            raise InputError(
                f"{table.path}: no column {column!r}; it has {', '.join(table.frame.columns[:20])}"
            )


def when(table: Table) -> Moments:
    """When each row was published."""
    _need(table, "published")
    stamps = table.dates("published")
    return stamps if has_times(table, "published") else stamps + END_OF_DAY


def about(table: Table) -> NDArray[np.str_]:
    """The symbol of each row; "" for the market."""
    if "symbol" not in table.frame.columns:
        return np.full(len(table.frame), "")
    return table.frame["symbol"].fillna("").astype(str).str.strip().to_numpy().astype(str)


def texts(table: Table) -> list[str]:
    """The column `text`.

    Raises:
        InputError: naming the first row without a text.
    """
    _need(table, "text")
    cells = table.frame["text"].tolist()
    for row, cell in enumerate(cells):
        if not isinstance(cell, str) or not cell.strip():
            problem = "the text is missing" if cell != cell or cell is None else f"{cell!r} is none"
            raise table.error(row, "text", f"{problem}; fill it in or delete the row")
    return cells


def _scores(table: Table) -> Float:
    _need(table, "score")
    score = table.numbers("score")
    wrong = ~((score >= -1.0) & (score <= 1.0))
    if wrong.any():
        row = int(wrong.argmax())
        found = (
            "the score is missing" if np.isnan(score[row]) else f"{score[row]:g} is out of range"
        )
        raise table.error(row, "score", f"{found}; a number from -1 (bad) to 1 (good) is needed")
    return score
