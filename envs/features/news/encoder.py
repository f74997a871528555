"""`MiniLM`: sentences become vectors whose directions are meanings.

all-MiniLM-L6-v2 (Reimers & Gurevych 2019; Wang et al. 2020; Apache-2.0) with int8 weights, run by
onnxruntime: the extra `news` and two fetched files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np

from envs.data.fetch import fetched_file
from envs.data.market_data import Float
from envs.errors import InputError

# What the model was trained to read; the rest of a longer text is not seen.
MOST_TOKENS = 256
SIZE = 384


class MiniLM:
    """The encoder; reading its files takes half a second.

    Attributes:
        sha256: of the weights, so that what was fitted behind them is used with no others.

    Raises:
        InputError: if the extra is not installed or a file was not fetched yet.
    """

    def __init__(self) -> None:
        try:
            import onnxruntime
            import tokenizers
        except ImportError as error:
            raise InputError(
                f"the package {error.name} is not installed; install the extra: "
                "pip install -e '.[news]' in the folder of the project"
            ) from None
        weights = fetched_file("minilm", "model.onnx")
        vocabulary = fetched_file("minilm_tokenizer", "tokenizer.json")
        options = onnxruntime.SessionOptions()
        # One thread: the same sums in the same order on every machine.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self._model = onnxruntime.InferenceSession(
            weights, options, providers=["CPUExecutionProvider"]
        )
        self._tokens = tokenizers.Tokenizer.from_file(str(vocabulary))
        self._tokens.no_padding()
        self._tokens.enable_truncation(MOST_TOKENS)
        self.sha256 = hashlib.sha256(weights.read_bytes()).hexdigest()

    def encode(self, texts: Sequence[str] | Iterable[str]) -> Float:
        """`[n, 384]` vectors of length 1, the mean over the tokens of each text.

        One text at a time: in a batch the last bits of a vector would depend on its neighbours, and
        so the score of a text on texts that were published after it.
        """
        vectors = [self._vector(text) for text in texts]
        return np.array(vectors, dtype=np.float64).reshape(-1, SIZE)

    def _vector(self, text: str) -> Float:
        tokens = np.array([self._tokens.encode(text).ids], dtype=np.int64)
        states = self._model.run(
            ["last_hidden_state"],
            {
                "input_ids": tokens,
                "attention_mask": np.ones_like(tokens),
                "token_type_ids": np.zeros_like(tokens),
            },
        )[0]
        mean: Float = states[0].astype(np.float64).mean(axis=0)
        return mean / np.sqrt(mean @ mean)
