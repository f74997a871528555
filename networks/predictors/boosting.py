"""`GradientBoosting`: trees by scikit-learn, kept and walked as plain arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from networks.forecast import HORIZONS
from networks.predictors.base import InputShape
from networks.predictors.baselines import NEVER, OUTPUTS, Baseline, Samples, summary
from networks.predictors.checks import whole
from networks.targets import UNKNOWN


class GradientBoosting(Baseline):
    """Histogram gradient boosting (Ke et al. 2017), one sum of trees for every output.

    Of each sum the trees are kept up to the step that was best on the validation rows, none if none
    was better than the mean. They are arrays of nodes with room for all trees, so a model is saved
    like any other and reading it executes nothing.

    Args:
        shape: of the input. trees: at most, for each output. depth: of a tree, 1 to 8.
        learning_rate: in (0, 1]. leaf: samples in a leaf, at least.
        patience: steps without gain on the validation rows until it stops.

    Raises:
        ValueError: for settings out of their range.
    """

    feature: Tensor
    threshold: Tensor
    child: Tensor
    value: Tensor
    base: Tensor

    def __init__(
        self,
        shape: InputShape,
        trees: int = 100,
        depth: int = 4,
        learning_rate: float = 0.1,
        leaf: int = 50,
        patience: int = 10,
    ) -> None:
        super().__init__(shape, OUTPUTS)
        if whole("depth", depth) > 8:
            raise ValueError(f"depth must be 1 to 8, got {depth}: room is kept for whole trees")
        if not 0 < learning_rate <= 1:
            raise ValueError(f"learning_rate must lie in (0, 1], got {learning_rate!r}")
        self.trees, self.depth, self.learning_rate = whole("trees", trees), depth, learning_rate
        self.leaf, self.patience = whole("leaf", leaf), whole("patience", patience)
        room = (OUTPUTS, trees, 2 ** (depth + 1) - 1)
        self.register_buffer("feature", torch.zeros(room, dtype=torch.int64))
        self.register_buffer("threshold", torch.zeros(room, dtype=torch.float64))
        self.register_buffer("child", torch.zeros((*room, 2), dtype=torch.int64))
        self.register_buffer("value", torch.zeros(room, dtype=torch.float64))
        self.register_buffer("base", torch.zeros(OUTPUTS, dtype=torch.float64))
        self._set_heads(np.eye(OUTPUTS), np.zeros(OUTPUTS))

    def encode(self, x: Tensor) -> Tensor:
        seen = summary(x)
        return self.raw(seen.flatten(0, 1)).to(x.dtype).view(*seen.shape[:2], OUTPUTS)

    def raw(self, x: Tensor) -> Tensor:
        """`[n, K] -> [n, OUTPUTS]` float64: scores of the directions, returns, log volatility."""
        outputs, trees, room = self.feature.shape
        root = torch.arange(outputs * trees, device=x.device) * room
        feature, threshold = self.feature.flatten(), self.threshold.flatten()
        child, x = self.child.flatten(0, 2), x.double()
        node = root.expand(len(x), -1)
        for _ in range(self.depth):
            right = (x.gather(1, feature[node]) > threshold[node]).long()
            # A leaf is its own child.
            node = root + child[node, right]
        value = self.value.flatten()[node].view(len(x), outputs, trees)
        return self.base + value.sum(dim=2)

    def _fit(self, train: Samples, validation: Samples) -> None:
        from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

        settings: dict[str, Any] = {
            "max_iter": self.trees,
            "max_depth": self.depth,
            "max_leaf_nodes": 2**self.depth,
            "learning_rate": self.learning_rate,
            "min_samples_leaf": self.leaf,
            "n_iter_no_change": self.patience,
            "early_stopping": True,
            "random_state": 0,
        }
        for part in (self.feature, self.threshold, self.child, self.value, self.base):
            part.zero_()
        known = train.direction != UNKNOWN
        tested = np.isin(validation.direction, train.direction[known])
        model = HistGradientBoostingClassifier(**settings).fit(
            train.x[known],
            train.direction[known],
            X_val=validation.x[tested],
            y_val=validation.direction[tested],
        )
        classes = model.classes_
        self.base[:3] = NEVER
        if len(classes) == 2:
            # One sum of trees: the score of the second class over that of the first.
            self.base[int(classes[0])] = 0.0
            classes = classes[1:]
        self._take(model, classes)
        for k in range(len(HORIZONS) + 1):
            known, tested = (np.isfinite(s.values[:, k]) for s in (train, validation))
            model = HistGradientBoostingRegressor(**settings).fit(
                train.x[known],
                train.values[known, k],
                X_val=validation.x[tested],
                y_val=validation.values[tested, k],
            )
            self._take(model, np.array([3 + k]))

    def _take(self, model: Any, outputs: NDArray[np.int64]) -> None:
        """Copies the trees of scikit-learn's model into the outputs, up to its best step."""
        # The first score is that of no tree.
        best = int(np.argmax(model.validation_score_))
        self.base[outputs] = torch.from_numpy(model._baseline_prediction.reshape(-1))
        for step, trees in enumerate(model._predictors[:best]):
            for output, tree in zip(outputs, trees, strict=True):
                nodes = tree.nodes
                n, own = len(nodes), np.arange(len(nodes))
                leaf = nodes["is_leaf"].astype(bool)
                children = np.stack([nodes["left"], nodes["right"]], axis=1).astype(np.int64)
                children[leaf] = own[leaf, None]
                place = (int(output), step, slice(0, n))
                self.feature[place] = torch.from_numpy(
                    np.where(leaf, 0, nodes["feature_idx"]).astype(np.int64)
                )
                self.threshold[place] = torch.from_numpy(nodes["num_threshold"].copy())
                self.child[place] = torch.from_numpy(children)
                self.value[place] = torch.from_numpy(np.where(leaf, nodes["value"], 0.0))
