"""The ridge regression behind the encoder: from a sentence's vector to its mood.

Fitted on rated sentences, kept as plain arrays (npz, never pickle).
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from envs.data.market_data import Float
from envs.data.store import cache_folder
from envs.errors import InputError
from envs.features.news.encoder import SIZE, MiniLM

# Weight of the penalty. Between 0.3 and 10 the held-out correlation differs by 0.008.
PENALTY = 1.0
FIT = "python -m envs.features.news fit"


@dataclass(frozen=True, eq=False)
class RidgeHead:
    """`score = intercept + (vector - center) @ weights`, cut to -1..1.

    Attributes:
        weights, center: `[384]`.
        intercept: the mean score of the rated sentences.
        encoder: SHA-256 of the encoder's weights.
    """

    weights: Float
    center: Float
    intercept: float
    encoder: str

    def score(self, vectors: Float) -> Float:
        """`[n]` of `vectors [n, 384]`."""
        # Row by row: a product of matrices of another size differs in its last bits.
        raw = [self.intercept + float((one - self.center) @ self.weights) for one in vectors]
        return np.clip(np.array(raw, dtype=np.float64), -1.0, 1.0)

    def save(self, path: Path) -> None:
        """Writes one npz file; a former one stays until this is whole."""
        partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(partial, "wb") as file:
                np.savez(
                    file,
                    weights=self.weights,
                    center=self.center,
                    intercept=np.float64(self.intercept),
                    encoder=np.array(self.encoder),
                )
            os.replace(partial, path)
        except OSError as error:
            raise InputError(f"{path} cannot be written: {error.strerror}") from None

    @classmethod
    def load(cls, path: Path) -> RidgeHead:
        """What `save` wrote.

        Raises:
            InputError: if the file is missing or is not one of these.
        """
        if not path.is_file():
            raise InputError(f"the scorer minilm was not fitted yet ({path}); run: {FIT}")
        try:
            with np.load(path, allow_pickle=False) as file:
                weights, center = file["weights"], file["center"]
                head = cls(weights, center, float(file["intercept"]), str(file["encoder"]))
            if weights.shape != (SIZE,) or center.shape != (SIZE,):
                raise ValueError(f"arrays of {weights.shape} and {center.shape}")
        except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise InputError(f"{path}: not a fitted scorer ({error}); run: {FIT}") from None
        return head


def fit_head(vectors: Float, score: Float, encoder: str, penalty: float = PENALTY) -> RidgeHead:
    """Least squares of `score [n]` on `vectors [n, 384]`, plus `penalty` times the squared weights.

    Mean of the vectors and of the score are taken out first and not penalised.
    """
    center, intercept = vectors.mean(axis=0), float(score.mean())
    x = vectors - center
    system = x.T @ x + penalty * np.eye(x.shape[1])
    weights = np.linalg.solve(system, x.T @ (score - intercept))
    return RidgeHead(weights, center, intercept, encoder)


def head_path() -> Path:
    """Where the fitted head is kept."""
    return cache_folder() / "news_head.npz"


class MiniLMScorer:
    """Scores texts by encoder and ridge, -1 to 1; 11 ms a sentence on one core.

    Raises:
        InputError: if the extra, a fetched file or the fitted head is missing.
    """

    def __init__(self) -> None:
        self.encoder = MiniLM()
        self.head = RidgeHead.load(head_path())
        if self.head.encoder != self.encoder.sha256:
            raise InputError(
                f"{head_path()} was fitted behind other weights of the encoder; run: {FIT}"
            )

    def __call__(self, texts: Sequence[str]) -> Float:
        """`[n]` the score of each text; equal texts are read once."""
        distinct = list(dict.fromkeys(texts))
        score = self.head.score(self.encoder.encode(distinct))
        of_text = dict(zip(distinct, score.tolist(), strict=True))
        return np.array([of_text[text] for text in texts], dtype=np.float64)
