"""Sentences of newspapers that people have rated: what scorers are fitted and measured on.

Opinion pieces of the New York Times, each sentence with the mean of 20 ratings from -4 to 4 (Hutto
& Gilbert 2014, from the source archive of vaderSentiment, MIT).
"""

from __future__ import annotations

import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from envs.data.fetch import fetched_file
from envs.data.market_data import Float

MEMBER = "hutto_ICWSM_2014/nytEditorialSnippets_GroundTruth.txt"
MOST = 4.0


@dataclass(frozen=True, eq=False)
class Rated:
    """Attributes: texts (n), `score [n]` from -1 to 1, `article [n]` the number of its article."""

    texts: tuple[str, ...]
    score: Float
    article: NDArray[np.int64]


def rated_news(path: str | Path | None = None) -> Rated:
    """The 5,190 rated sentences of 498 articles; None is the fetched archive.

    Raises:
        InputError: if it was not fetched yet.
    """
    place = fetched_file("rated_news", "hutto_ICWSM_2014.tar.gz") if path is None else path
    with tarfile.open(place) as content:
        file = content.extractfile(MEMBER)
        assert file is not None  # the archive was checked when it was fetched
        lines = file.read().decode("utf-8").splitlines()
    rows = [line.split("\t", 2) for line in lines if line]
    return Rated(
        texts=tuple(text for _, _, text in rows),
        score=np.array([float(score) for _, score, _ in rows]) / MOST,
        article=np.array([int(number.split("_")[0]) for number, _, _ in rows]),
    )
