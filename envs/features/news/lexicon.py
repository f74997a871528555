"""Scores of texts by counting words of the Loughran-McDonald lists.

The lists were made for company reports, where "liability" is no bad word (Loughran & McDonald 2011,
"When is a liability not a liability?"). They are free for academic use; a licence is needed for any
other.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from envs.data.fetch import fetched_file
from envs.data.market_data import Float

WORD = re.compile(r"[a-z]+(?:'[a-z]+)?")
# A good word after one of these, at most so many words later, is a bad one (section IV of the
# paper); bad words are hardly ever meant well.
NEGATIONS = frozenset({"no", "not", "none", "neither", "never", "nobody", "cannot"})
REACH = 3


class LexiconScorer:
    """`(good - bad) / (good + bad + 1)`, in (-1, 1); 0 for a text without such words.

    The 1 keeps a single word from being an extreme opinion.

    Args:
        path: a table with the columns `Word, Positive, Negative` (0: not in the list); None is the
            fetched one.

    Raises:
        InputError: if it was not fetched yet.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        import pandas as pd

        table = pd.read_csv(
            fetched_file("lexicon", "LM.csv") if path is None else path,
            usecols=["Word", "Positive", "Negative"],
            keep_default_na=False,
        )
        word = table["Word"].str.lower()
        self.good = frozenset(word[table["Positive"] > 0])
        self.bad = frozenset(word[table["Negative"] > 0])

    def __call__(self, texts: Sequence[str]) -> Float:
        """`[n]` the score of each text."""
        return np.array([self.score(text) for text in texts], dtype=np.float64)

    def score(self, text: str) -> float:
        words = WORD.findall(text.lower().replace("\u2019", "'"))
        good, bad = 0, 0
        for place, word in enumerate(words):
            if word in self.good:
                before = words[max(place - REACH, 0) : place]
                negated = any(one in NEGATIONS or one.endswith("n't") for one in before)
                good, bad = good + (not negated), bad + negated
            elif word in self.bad:
                bad += 1
        return (good - bad) / (good + bad + 1)
