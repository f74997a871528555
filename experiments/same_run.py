"""A run folder belongs to one experiment: what was trained or found in it is used by no other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from envs.errors import InputError
from experiments.run_folder import strict_json
from experiments.trials import config_hash

FACTS = "provenance.json"
TRAINED = "agents/**/*.safetensors"
MOST_NAMED = 3


def settings_hash(cfg: DictConfig) -> str:
    """Hash of all settings that a result depends on but the number of seeds, which may grow."""
    without = cfg.copy()
    OmegaConf.set_struct(without, False)
    without.pop("n_seeds", None)
    return config_hash(without)


def is_trained(folder: Path) -> bool:
    """Whether there are models in it, or what was left of a training."""
    return any(folder.glob(TRAINED))


def check_same(folder: Path, cfg: DictConfig, fingerprint: str, seeds: Sequence[int]) -> None:
    """Refuses a folder with models or results of other settings, prices or seeds.

    Args:
        fingerprint: of the prices.
        seeds: of the agents; those of before must be among them.

    Raises:
        InputError: naming the folder and what differs.
    """
    if not ((folder / "metrics.json").exists() or is_trained(folder)):
        return
    before = _before(folder)
    other = "choose another folder for this run, or delete it"
    if "settings" not in before:
        raise InputError(f"{folder} was made by another version of the program; {other}")
    if before["settings"] != settings_hash(cfg):
        raise InputError(
            f"{folder} holds what was trained or found with other settings{_differing(folder, cfg)}"
            f"; {other}"
        )
    former = (before.get("data") or {}).get("fingerprint")
    if former != fingerprint:
        raise InputError(
            f"{folder} holds what was trained or found on other data (fingerprint "
            f"{str(former)[:12]}, now {fingerprint[:12]}); restore the former data, or {other}"
        )
    lost = sorted(set(before.get("seeds") or []) - set(seeds))
    if lost:
        raise InputError(
            f"{folder} holds seed {lost[0]} as well, which is not among those of seed={cfg.seed} "
            f"and n_seeds={cfg.n_seeds}; {other}"
        )


def _differing(folder: Path, cfg: DictConfig) -> str:
    """The first settings that differ from the saved ones, in brackets; empty if none is found."""
    from experiments.cli import saved_config
    from experiments.comparing.configs import flat

    try:
        saved, now = (
            flat(OmegaConf.to_container(one, resolve=True))  # type: ignore[arg-type]
            for one in (saved_config(folder), cfg)
        )
    except InputError:
        return ""
    aside = ("name", "resume", "ledger", "tracking", "n_seeds", "hydra")
    keys = [
        key
        for key in dict.fromkeys([*saved, *now])
        if saved.get(key) != now.get(key) and key.split(".")[0] not in aside
    ]
    told = [f"{key}={saved.get(key)}, now {now.get(key)}" for key in keys[:MOST_NAMED]]
    more = f"; {len(keys) - MOST_NAMED} more" if len(keys) > MOST_NAMED else ""
    return f" ({'; '.join(told)}{more})" if told else ""


def _before(folder: Path) -> dict[str, Any]:
    path = folder / FACTS
    try:
        before = strict_json(path.read_text(encoding="utf-8"))
        if not (isinstance(before, dict) and isinstance(before.get("data", {}), dict)):
            raise ValueError("not what a run writes")
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(
            f"{path} cannot be read ({error}), and nothing else says what the models and results "
            "beside it were made from; choose another folder, or delete this one"
        ) from None
    return before
