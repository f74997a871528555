"""The entry point: `python -m experiments.run +exp=ppo_portfolio`."""

from __future__ import annotations

from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from experiments.cli import reported, saved_config, start
from experiments.run_folder import locked


@hydra.main(version_base="1.3", config_path="pkg://hydra_conf", config_name="config")
def main(cfg: DictConfig) -> float:
    """One run into the folder that Hydra made for it; returns the objective."""
    run_dir = Path(HydraConfig.get().runtime.output_dir)
    with reported(run_dir), locked(run_dir):
        from experiments.pipeline import run

        return run(saved_config(run_dir) if cfg.resume else cfg, run_dir)


if __name__ == "__main__":
    start(main)
