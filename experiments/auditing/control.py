"""Planted leaks: what the audit must catch in every run to be believed when it finds nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
from omegaconf import OmegaConf

from agents.policy import Policy
from envs.data.market_data import MarketData
from envs.features.panel import FeaturePanel
from envs.simulation import Setting
from experiments import pipeline
from experiments.auditing.chain import Recipe
from experiments.auditing.execution import check_execution
from experiments.auditing.findings import Check
from experiments.auditing.future import Builder


class Hindsight:
    """A policy with a hole: it reads the next return and leans towards what will rise."""

    name = "hindsight"
    observation = "indexed"
    action = "simplex"

    def __init__(self, market: MarketData) -> None:
        self.market = market

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = True,
    ) -> tuple[np.ndarray, Any]:
        t = int(observation["t"][0])
        lean = np.tanh(20.0 * next_return(self.market)[t])
        return np.append(lean, 0.0), state


def next_return(market: MarketData) -> np.ndarray:
    """`[T, A]` log return of the next row; 0 where there is none."""
    coming = np.zeros(market.close.shape)
    coming[:-1] = np.nan_to_num(np.diff(np.log(market.close), axis=0))
    return coming


def player(recipe: Recipe) -> Any:
    """`Hindsight` as a baseline of the recipe."""

    def play(prepared: pipeline.Prepared, rows: tuple[int, int]) -> tuple[Policy, Setting]:
        policy = Hindsight(prepared.market)
        return policy, pipeline.baseline_window(recipe.cfg, prepared.market, policy, rows)

    return play


def builder(honest: Builder) -> Builder:
    """The builder with the next return as one more feature."""

    def leaking(market: MarketData) -> FeaturePanel:
        panel = honest(market)
        planted = next_return(market)[..., None].astype(np.float32)
        values = np.concatenate([panel.values, planted], axis=2)
        return FeaturePanel(values, (*panel.names, "next_return"), panel.groups, panel.warmup)

    return leaking


def execution(recipe: Recipe, rows: list[int]) -> Check:
    """The same recipe with fills one convention away from what it declares."""
    check = Check("execution")
    swapped = "next_close" if recipe.cfg.env.execution == "same_close" else "same_close"
    other = Recipe.__new__(Recipe)
    other.__dict__.update(recipe.__dict__)
    other.cfg = recipe.cfg.copy()
    OmegaConf.update(other.cfg, "env.execution", swapped)
    check_execution(other, rows, check, says=recipe)
    return check
