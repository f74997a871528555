"""The rules of the house: who may import whom, and that importing does nothing."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("envs", "networks", "agents", "experiments", "hydra_conf")
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for package in PACKAGES
    for path in (ROOT / package).rglob("*.py")
    if path.name != "__main__.py"
)
HEAVY = {"torch", "stable_baselines3", "ray", "skfolio", "wandb", "tensorboard", "matplotlib"}


def python(program, *arguments):
    """Runs a program in a fresh interpreter, warnings as errors; its standard output."""
    done = subprocess.run(
        [sys.executable, "-W", "error::RuntimeWarning", "-c", program, *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


LOADED = """
import importlib, json, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
print(json.dumps(sorted({m.partition(".")[0] for m in sys.modules})))
"""


def loaded_by(*modules):
    return set(json.loads(python(LOADED, *modules)))


@pytest.mark.parametrize("package", ["envs", "networks", "agents"])
def test_only_experiments_load_a_configuration_or_a_tracker(package):
    modules = [m for m in MODULES if m.partition(".")[0] == package]
    assert not loaded_by(*modules) & {"hydra", "omegaconf", "wandb", "experiments", "hydra_conf"}


def test_envs_load_no_learning_library():
    modules = [m for m in MODULES if m.startswith("envs")]
    assert not loaded_by(*modules) & (HEAVY | {"agents", "networks"})


def test_the_entry_point_loads_nothing_heavy():
    assert not loaded_by("experiments.run") & (HEAVY | {"numba", "pandas", "scipy"})


QUIET = """
import importlib, os, random, signal, sys, threading, warnings, logging
import numpy as np
import gymnasium  # sets a variable of its own
name = sys.argv[1]
def state():
    return {
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "threads": threading.active_count(),
        "handlers": list(logging.getLogger().handlers),
        "random": random.getstate(),
        "numpy": str(np.random.get_state()),
        "errors": np.geterr(),
        "interrupt": signal.getsignal(signal.SIGINT),
    }
before, filters = state(), len(warnings.filters)
importlib.import_module(name)
after = state()
changed = [key for key in before if before[key] != after[key]]
assert not changed, changed
"""
# What third parties do when imported is not ours to forbid; what our modules do is, so each
# module is read for statements that act.
ACTING = re.compile(
    r"^(print\(|warnings\.(filter|simplefilter)|os\.environ\[|os\.chdir|np\.seterr|np\.random\.seed|"
    r"random\.seed|torch\.(set_|manual_)|matplotlib\.use|logging\.basicConfig|sys\.path|"
    r"OmegaConf\.register|ray\.init)"
)


@pytest.mark.parametrize("module", MODULES)
def test_no_module_acts_when_imported(module):
    path = ROOT / Path(*module.split("."))
    source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    acting = [line for line in source.read_text().splitlines() if ACTING.match(line)]
    assert not acting


def test_importing_everything_is_silent_and_writes_nothing(tmp_path):
    before = {p for p in ROOT.glob("*") if p.name != "__pycache__"}
    assert (
        python("import importlib, sys\nfor m in sys.argv[1:]: importlib.import_module(m)", *MODULES)
        == ""
    )
    assert {p for p in ROOT.glob("*") if p.name != "__pycache__"} == before


@pytest.mark.parametrize("module", ["envs", "experiments.run", "experiments.tracking"])
def test_importing_changes_no_global_state(module):
    assert python(QUIET, module) == ""


def test_layers():
    from importlinter.cli import lint_imports

    assert lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True) == 0


# ---------------------------------------------------------------------- packaging
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PINNED = dict(
    line.split("==")
    for line in (ROOT / "constraints.txt").read_text().splitlines()
    if line and not line.startswith("#")
)
REQUIRED = [
    Requirement(text)
    for texts in (PROJECT["dependencies"], *PROJECT["optional-dependencies"].values())
    for text in texts
]


@pytest.mark.parametrize("requirement", REQUIRED, ids=str)
def test_constraints_pin_every_requirement(requirement):
    version = PINNED[canonicalize_name(requirement.name)]
    assert requirement.specifier.contains(version)


def test_constraints_are_plain_versions():
    assert all(re.fullmatch(r"[a-z0-9-]+", name) for name in PINNED)
    assert all(re.fullmatch(r"[0-9a-z.]+", version) for version in PINNED.values())
    assert PINNED["torch"] == "2.13.0"


def test_package_data_names_every_kind_of_file_that_is_read():
    data = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"][
        "package-data"
    ]
    for package in PACKAGES:
        kinds = {
            path.suffix
            for path in (ROOT / package).rglob("*")
            if path.is_file() and path.suffix not in {".py", ".pyc", ".nbi", ".nbc"}
        }
        assert {f"**/*{kind}" for kind in kinds} <= set(data.get(package, []))
