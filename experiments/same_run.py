"""A run folder belongs to one experiment: what was trained or found in it is used by no other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from envs.errors import InputError
from experiments.trials import config_hash

FACTS = "provenance.json"


def settings_hash(cfg: DictConfig) -> str:
    """Hash of all settings that a result depends on but the number of seeds, which may grow."""
    without = cfg.copy()
    OmegaConf.set_struct(without, False)
    without.pop("n_seeds", None)
    return config_hash(without)


def check_settings(folder: Path, cfg: DictConfig) -> None:
    """Refuses a folder with models or results of other settings.

    Raises:
        InputError: naming the folder.
    """
    before = _before(folder)
    if before is not None and before.get("settings") != settings_hash(cfg):
        raise InputError(
            f"{folder} holds what was trained or found with other settings; choose another "
            "hydra.run.dir, or delete it"
        )


def check_data(folder: Path, fingerprint: str) -> None:
    """Refuses a folder with models or results of other prices.

    Raises:
        InputError: naming the folder and both fingerprints.
    """
    before = _before(folder)
    data = {} if before is None else before.get("data")
    former = data.get("fingerprint") if isinstance(data, dict) else None
    if before is not None and former != fingerprint:
        raise InputError(
            f"{folder} holds what was trained or found on other data (fingerprint "
            f"{str(former)[:12]}, now {fingerprint[:12]}); restore the former data, choose another "
            "hydra.run.dir, or delete the folder"
        )


def _before(folder: Path) -> dict[str, Any] | None:
    """The facts of what the folder holds; None where it holds nothing that could be used."""
    held = (folder / "metrics.json").exists() or any(folder.glob("agents/**/*.safetensors"))
    if not held:
        return None
    path = folder / FACTS
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(before, dict):
            raise ValueError("not an object")
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(
            f"{path} cannot be read ({error}), and nothing else says what the models and results "
            "beside it were made from; choose another hydra.run.dir, or delete the folder"
        ) from None
    return before
