"""`AssetScorer`: one small network for all assets, as actor and critic of a portfolio."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class AssetScorer(nn.Module):
    """Scores every asset by the same network and reads the state of the market off their mean.

    An ordinary network has a weight for each asset and each feature, so it learns which stocks went
    up in the training years. This one cannot tell assets apart except by their features: swapping
    two assets swaps their scores. It has the fewer parameters the more assets there are, and works
    for any number of them (the identical evaluators of Jiang, Xu and Liang 2017; the mean is of
    Zaheer et al. 2017, Deep Sets).

    Args:
        n_assets: A. n_features: F of each asset in a row. window: rows in an observation.
        hidden: widths of the layers, shared by all assets; actor and critic have their own.
        cash: whether an action for cash is the last one.
        activation: of the layers.

    Shapes:
        observation `[batch, window * A * F + A + 1]`, as `envs.observations` lays it out: rows of
        features, oldest first, each asset by asset, then the weights held, cash last.
    """

    # Score of cash before any training, in units of an action: the portfolio begins close to equal
    # weight of the assets, not of the assets and cash.
    CASH_SCORE = -0.5
    # The first scores are this small, so that the first portfolio does not depend on chance.
    SCORE_GAIN = 0.01

    def __init__(
        self,
        n_assets: int,
        n_features: int,
        window: int,
        hidden: Sequence[int],
        cash: bool,
        activation: type[nn.Module] = nn.Tanh,
    ) -> None:
        super().__init__()
        self.n_assets, self.n_features, self.window = n_assets, n_features, window
        inputs = window * n_features + 1
        self.actor = _layers(inputs, hidden, activation)
        self.critic = _layers(inputs, hidden, activation)
        self.score = nn.Linear(hidden[-1], 1)
        self.cash_score = nn.Linear(hidden[-1], 1) if cash else None
        for head in (self.score, self.cash_score):
            if head is not None:
                nn.init.orthogonal_(head.weight, self.SCORE_GAIN)
                nn.init.zeros_(head.bias)
        if self.cash_score is not None:
            nn.init.constant_(self.cash_score.bias, self.CASH_SCORE)

    def by_asset(self, observation: Tensor) -> Tensor:
        """`[batch, A, window * F + 1]`: what each asset's network sees, its weight included."""
        batch, a = observation.shape[0], self.n_assets
        rows = observation[:, : -a - 1].reshape(batch, self.window, a, self.n_features)
        own = rows.transpose(1, 2).reshape(batch, a, -1)
        # Equal weight is 0, so that the input does not shrink with the number of assets.
        weight = observation[:, -a - 1 : -1, None] * a - 1.0
        return torch.cat([own, weight], dim=2)

    def actions(self, observation: Tensor) -> Tensor:
        """`[batch, A]` scores, and with `cash` one more for it."""
        hidden = self.actor(self.by_asset(observation))
        scores = self.score(hidden).squeeze(2)
        if self.cash_score is None:
            return scores
        return torch.cat([scores, self.cash_score(hidden.mean(dim=1))], dim=1)

    def market(self, observation: Tensor) -> Tensor:
        """`[batch, hidden[-1]]` the state of the market and of the portfolio, for a value."""
        return self.critic(self.by_asset(observation)).mean(dim=1)


def _layers(inputs: int, hidden: Sequence[int], activation: type[nn.Module]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width in hidden:
        linear = nn.Linear(inputs, width)
        nn.init.orthogonal_(linear.weight, 2**0.5)
        nn.init.zeros_(linear.bias)
        layers += [linear, activation()]
        inputs = width
    return nn.Sequential(*layers)
