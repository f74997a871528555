"""Overrides checked against the configuration: a misspelling names its near miss."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from envs.errors import InputError

if TYPE_CHECKING:
    from hydra.core.config_loader import ConfigLoader
    from hydra.core.override_parser.types import Override
    from omegaconf import DictConfig

RECIPES = "exp"  # the one group that stands outside the defaults list, so it is added with a plus


def check_job(job: list[str], loader: ConfigLoader) -> DictConfig:
    """Composes one job; the whole configuration, Hydra's own part included.

    Raises:
        InputError: for what can be explained; Hydra's exceptions for the rest.
    """
    from hydra import compose
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from omegaconf import OmegaConf

    overrides = OverridesParser.create(loader).parse_overrides(job)
    groups = [o for o in overrides if _options(o.key_or_group, loader)]
    for override in groups:
        _check_group(override, loader)
    base = compose("config", [str(o.input_line) for o in groups])
    keys = [o for o in overrides if o not in groups and not o.key_or_group.startswith("hydra.")]
    for override in keys:
        _check_key(override, base, loader)
    cfg = compose("config", job, return_hydra_config=True)
    for override in keys:
        if override.is_add():
            _check_added(override.key_or_group, cfg)
    task = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])
    missing = sorted(OmegaConf.missing_keys(task))
    if missing:
        raise InputError(f"{missing[0]} is needed: add {missing[0]}=VALUE")
    return cfg


def _options(group: str, loader: ConfigLoader) -> list[str]:
    """Names of the configs in a group, its folders as FOLDER/NAME; empty if there is none."""
    from hydra.core.object_type import ObjectType

    own = [o for o in loader.get_group_options(group, ObjectType.CONFIG) if not o.startswith("_")]
    folders = [f for f in loader.list_groups(group) if not f.startswith("_")] if own else []
    return own + [f"{f}/{name}" for f in folders for name in _options(f"{group}/{f}", loader)]


def _groups(loader: ConfigLoader) -> list[str]:
    return [g for g in loader.list_groups("") if g != "hydra" and not g.startswith("_")]


def _check_group(override: Override, loader: ConfigLoader) -> None:
    group, value = override.key_or_group, override.value()
    options = _options(group, loader)
    if override.is_delete() and group != RECIPES:
        raise InputError(f"{group} cannot be left out (options: {', '.join(options)})")
    names = value if isinstance(value, list) else [value]
    plus = "+" if group == RECIPES else ""
    for name in names:
        if name is not None and str(name) not in options:
            raise InputError(
                f"no option {plus}{group}={name}"
                + _did_you_mean(str(name), options, f"{plus}{group}=")
                + f" (options: {', '.join(options)})"
            )
    if group == RECIPES and not (override.is_add() or override.is_delete()):
        raise InputError(f"{group} is added to the configuration: write +{group}={names[0]}")
    if override.package is not None:
        place, _, name = override.package.partition(".")
        if not (group == place[:-1] == "agent" and name and override.is_add()):
            raise InputError(
                f"{group}@{override.package}: only agents stand beside each other: write "
                "+agent@agents.NAME=OPTION"
            )
        return
    if group != RECIPES and override.is_add():
        raise InputError(f"{group} is part of the configuration: write {group}={names[0]}")


# ---------------------------------------------------------------------- keys and values
def _check_key(override: Override, base: DictConfig, loader: ConfigLoader) -> None:
    """Compares one `key=value` with the configuration composed from the groups alone."""
    from omegaconf import OmegaConf

    key = override.key_or_group
    node = _node(base, key)
    if node is None:
        if override.is_add() and _target_above(base, key):
            return  # perhaps a keyword of that target: `_check_added` knows
        groups = _groups(loader)
        group = key.partition(".")[0]
        if group in groups and key != group and base.get(group) is None:
            chosen = [o for o in _options(group, loader) if o != "none"]
            raise InputError(f"no key {key}: first choose {group}={f' or {group}='.join(chosen)}")
        recipes = [f"+{g}" if g == RECIPES else g for g in groups]
        known = [*_paths(OmegaConf.to_container(base)), *recipes]
        if group == "agents":
            name = (key.split(".") + ["NAME"])[1]
            raise InputError(f"no key {key}: first add that agent: +agent@agents.{name}=OPTION")
        free = _is_free(base, key.rpartition(".")[0])
        hint = f"; to add it write +{key}=VALUE" if free else ""
        raise InputError(f"no key {key}{_did_you_mean(key, known)}{hint}")
    if override.is_delete():
        if not _target_above(base, key):
            raise InputError(f"{key} cannot be left out")
        return
    if override.is_add() and not override.is_force_add():
        raise InputError(f"{key} is there already: leave out the + before it")
    _check_type(key, node, override.value())


def _node(cfg: DictConfig, key: str) -> Any:
    """The node at a dotted key, not resolved; None if there is none."""
    from omegaconf import Container, OmegaConf

    node: Any = cfg
    for part in key.split("."):
        if not isinstance(node, Container) or node._is_none() or node._is_interpolation():
            return None
        if OmegaConf.is_list(node):
            if not (part.isdigit() and int(part) < len(list(node))):
                return None
            node = node._get_node(int(part))
        else:
            node = node._get_node(part, validate_access=False)
    return node


def _is_free(cfg: DictConfig, key: str) -> bool:
    """Whether the node is a dict that is handed whole to a constructor, so that it may grow."""
    from omegaconf import OmegaConf

    node = _node(cfg, key) if key else None
    if node is None or not OmegaConf.is_dict(node) or "_target_" in node:
        return False
    return _target_above(cfg, key)


def _target_above(cfg: DictConfig, key: str) -> bool:
    parts = key.split(".")
    above = (".".join(parts[:i]) for i in range(1, len(parts)))
    return any(_node(cfg, f"{path}._target_") is not None for path in above)


def _check_type(key: str, node: Any, value: Any) -> None:
    """The default's type decides; null and interpolations fit, and replace, everything."""
    from omegaconf import OmegaConf

    if value is None or (isinstance(value, str) and "${" in value) or value == "???":
        return
    if node._is_none() or node._is_interpolation() or node._is_missing():
        return
    wrong = f"got {value!r}"
    if OmegaConf.is_dict(node):
        held = ", ".join(map(str, node))
        if not isinstance(value, dict):
            how = f"set one of {held}" if held else f"add to it with {_adding(key)}"
            raise InputError(f"{key} is no single value, {wrong}; {how}")
        if held and value:
            raise InputError(
                f"{key}={{...}} would not replace what {key} holds ({held}) but be added to it; "
                f"set each of them, as in {key}.NAME=VALUE, and leave out with ~{key}.NAME"
            )
    elif OmegaConf.is_list(node):
        if isinstance(value, (int, float)) and not isinstance(value, bool) and _of_floats(node):
            return  # perhaps one number for all: the constructor knows
        if not isinstance(value, list):
            raise InputError(f"{key} must be a list, {wrong}; write {key}=[{value}]")
    elif isinstance(default := node._value(), bool):
        if not isinstance(value, bool):
            raise InputError(f"{key} must be true or false, {wrong}")
    elif isinstance(default, int):
        if isinstance(value, float) and value.is_integer():
            raise InputError(f"{key} must be a whole number, {wrong}; write {key}={int(value)}")
        if isinstance(value, bool) or not isinstance(value, int):
            raise InputError(f"{key} must be a whole number, {wrong}")
    elif isinstance(default, float):
        if isinstance(value, list):
            return  # perhaps one for each asset: the constructor knows
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise InputError(f"{key} must be a number, {wrong}")
    elif isinstance(default, str) and isinstance(value, dict):
        raise InputError(f"{key} must be text, {wrong}")


def _adding(key: str) -> str:
    return "+agent@agents.NAME=OPTION" if key == "agents" else f"+{key}.NAME=VALUE"


def _of_floats(node: Any) -> bool:
    """Whether a list, perhaps of lists, holds nothing but floats, and at least one."""
    from omegaconf import OmegaConf

    parts = list(node._iter_ex(resolve=False))
    return bool(parts) and all(
        _of_floats(part) if OmegaConf.is_list(part) else isinstance(part, float) for part in parts
    )


def _check_added(key: str, cfg: DictConfig) -> None:
    """A key that no YAML file has must be a keyword of the object that it is handed to."""
    parts = key.split(".")
    for i in reversed(range(1, len(parts))):
        node = _node(cfg, ".".join(parts[:i]))
        if "_target_" in node:
            check_keywords(node, ".".join(parts[:i]))
            return


def check_keywords(node: DictConfig, path: str) -> None:
    """Compares the keys beside `_target_` with the keywords that the target takes.

    Raises:
        InputError: naming the key, and the near miss.
    """
    import inspect

    from hydra.utils import get_object

    parameters = inspect.signature(get_object(node["_target_"])).parameters
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
        return
    for name in map(str, node):
        if not (name.startswith("_") or name in parameters):
            known = [f"{path}.{p}" for p in parameters]
            raise InputError(f"no key {path}.{name}{_did_you_mean(f'{path}.{name}', known)}")


def _paths(tree: Any, above: str = "") -> list[str]:
    """All dotted keys of a nested dict."""
    if not isinstance(tree, dict):
        return []
    found = []
    for name, value in tree.items():
        path = f"{above}{name}"
        found += [path, *_paths(value, path + ".")]
    return [path for path in found if not path.rpartition(".")[2].startswith("_")]


def _did_you_mean(word: str, known: Sequence[str], prefix: str = "") -> str:
    """`; did you mean X?` for the known word with the nearest last part, else its neighbours."""

    def likeness(candidate: str) -> tuple[float, float]:
        last, near = (text.rpartition(".")[2].lstrip("+") for text in (word, candidate))
        return (
            difflib.SequenceMatcher(None, last, near).ratio(),
            difflib.SequenceMatcher(None, word, candidate).ratio(),
        )

    best = max(known, key=likeness, default="")
    if best and likeness(best)[0] >= 0.6:
        return f"; did you mean {prefix}{best}?"
    above = word.rpartition(".")[0]
    beside = [k for k in known if above and k.rpartition(".")[0] == above]
    return f"; there are {', '.join(beside)}" if beside else ""
