"""Networks of ours inside Stable-Baselines3: `AssetScorer` as an actor-critic policy, and
`WindowGather` in front of any policy that learns from `indexed` observations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from gymnasium import spaces
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.preprocessing import get_flattened_obs_dim
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor, nn

from networks.asset_scorer import AssetScorer
from networks.window_gather import WindowGather


class WindowExtractor(BaseFeaturesExtractor):
    """Makes `flat` observations of `indexed` ones before they reach a network.

    Args:
        observation_space: of the environment, `indexed`.
        gather: holds the panel; actor, critic and their targets share it.
    """

    def __init__(self, observation_space: spaces.Dict, gather: WindowGather) -> None:
        n_weights = get_flattened_obs_dim(observation_space["weights"])
        super().__init__(observation_space, gather.size + n_weights)
        self.gather = gather

    def forward(self, observations: dict[str, Tensor]) -> Tensor:
        # What is tradable stands in the panel already, as a feature.
        return self.gather(observations["t"], observations["weights"])


class _ActorCritic(nn.Module):
    """What Stable-Baselines3 calls the extractor: latent actions and latent values."""

    def __init__(self, scorer: AssetScorer, n_actions: int, width: int) -> None:
        super().__init__()
        self.scorer = scorer
        self.latent_dim_pi, self.latent_dim_vf = n_actions, width

    def forward_actor(self, features: Tensor) -> Tensor:
        return self.scorer.actions(features)

    def forward_critic(self, features: Tensor) -> Tensor:
        return self.scorer.market(features)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        return self.forward_actor(features), self.forward_critic(features)


class AssetScorerPolicy(ActorCriticPolicy):
    """Gaussian actions around the scores of an `AssetScorer`.

    Args:
        n_assets, window: of the environment; hidden: widths of the layers of the scorer.
        arguments, keywords: of `ActorCriticPolicy`.
    """

    def __init__(
        self, *arguments: Any, n_assets: int, window: int, hidden: Sequence[int], **keywords: Any
    ) -> None:
        self._shape = n_assets, window, tuple(hidden)
        # The scorer starts its own weights; those of the base class would undo it.
        super().__init__(*arguments, **{**keywords, "ortho_init": False})

    def _build_mlp_extractor(self) -> None:
        n_assets, window, hidden = self._shape
        n_actions = int(self.action_space.shape[0])  # type: ignore[index]
        n_features = (self.features_dim - n_assets - 1) // (window * n_assets)
        scorer = AssetScorer(
            n_assets, n_features, window, hidden, n_actions > n_assets, self.activation_fn
        )
        self.mlp_extractor = _ActorCritic(scorer, n_actions, hidden[-1])  # type: ignore[assignment]

    def _build(self, lr_schedule: Any) -> None:
        super()._build(lr_schedule)
        # The scores are the actions: a further layer would mix the assets.
        self.action_net = nn.Identity()
        self.optimizer = torch.optim.Adam(
            self.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs
        )
