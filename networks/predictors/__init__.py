"""Predictors by name: one input, one output, many architectures."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable
from typing import Any

from networks.predictors.base import InputShape, Predictor
from networks.predictors.baselines import Baseline, Linear
from networks.predictors.boosting import GradientBoosting
from networks.predictors.convolution import CNN, TCN
from networks.predictors.eiie import EIIE
from networks.predictors.inverted import InvertedTransformer
from networks.predictors.mlp import MLP
from networks.predictors.momentum import DeepMomentum, MomentumTransformer
from networks.predictors.multimodal import MultimodalLSTM
from networks.predictors.recurrent import GRU, LSTM, RNN
from networks.predictors.transformer import Transformer

__all__ = ["PREDICTORS", "Baseline", "InputShape", "Predictor", "make_predictor"]

PREDICTORS: dict[str, Callable[..., Predictor]] = {
    "linear": Linear,
    "gradient_boosting": GradientBoosting,
    "mlp": MLP,
    "rnn": RNN,
    "lstm": LSTM,
    "gru": GRU,
    "cnn": CNN,
    "tcn": TCN,
    "eiie": EIIE,
    "transformer": Transformer,
    "inverted_transformer": InvertedTransformer,
    "multimodal_lstm": MultimodalLSTM,
    "deep_momentum": DeepMomentum,
    "momentum_transformer": MomentumTransformer,
}


def make_predictor(name: str, shape: InputShape, /, **settings: Any) -> Predictor:
    """The predictor of this name for inputs of this shape; `settings` go to its constructor.

    Raises:
        ValueError: for an unknown name, with the nearest ones and the list; for wrong settings.
    """
    if not isinstance(name, str) or name not in PREDICTORS:
        near = difflib.get_close_matches(str(name), PREDICTORS, n=2, cutoff=0.6)
        meant = f"; did you mean {' or '.join(near)}?" if near else "."
        raise ValueError(f"unknown predictor {name!r}{meant} Known: {', '.join(PREDICTORS)}")
    known = [key for key in inspect.signature(PREDICTORS[name]).parameters if key != "shape"]
    for key in settings:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            meant = f"; did you mean {near[0]}?" if near else "."
            raise ValueError(
                f"predictor {name}: no setting {key!r}{meant} Known: {', '.join(known)}"
            )
    try:
        return PREDICTORS[name](shape, **settings)
    except TypeError as error:
        raise ValueError(f"predictor {name}: {error}") from None
