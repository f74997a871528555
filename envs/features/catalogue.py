"""Every feature by name: what it is, which fields and how many rows it needs.

A name is a family and its numbers: `return_5`, `macd_hist_12_26_9`. This module turns a name into a
`Feature` and lists what there is; `envs.features.build` turns features into numbers.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from envs.data.market_data import MarketData
from envs.errors import InputError
from envs.features.families import FAMILIES
from envs.features.family import KNOWN, Family
from envs.features.news.families import NEWS_NAMES

GROUPS = ("price", "ohlc", "volume", "cross", "seasonal", "sentiment", "macro")
# One name for several groups.
TOGETHER = {"technical": ("price", "ohlc", "volume", "cross")}
# One name for some features of a group.
LISTS = {"news": NEWS_NAMES}

# Eight features that any panel of closes has, over horizons that suit daily decisions.
DEFAULT = (
    "return_1",
    "return_5",
    "return_21",
    "volatility_21",
    "sma_ratio_50",
    "rsi_14",
    "macd_hist_12_26_9",
    "bollinger_20",
)

_EXAMPLES = [name for family in FAMILIES.values() for name in family.examples]


@dataclass(frozen=True)
class Feature:
    """One named feature: a family with its numbers.

    Attributes:
        name: canonical, e.g. "rsi_14".
        family: its definition.
        numbers: the parameters, e.g. (14,).
        warmup: rows of an asset, from its listing, that have no value: the row of age `warmup` is
            the first one that has.
    """

    name: str
    family: Family
    numbers: tuple[int, ...]
    warmup: int

    @property
    def says_known(self) -> bool:
        """Whether this is `<group>_known`: the share of the group's published features."""
        return self.name == f"{self.family.group}{KNOWN}"


def feature(name: str) -> Feature:
    """The feature of this name.

    Raises:
        InputError: if there is no such family (naming the near misses), or its numbers are wrong.
    """
    match = re.fullmatch(r"([a-z_]+?)((?:_\d+)*)", name)
    key = match.group(1) if match else ""
    if match is None or key not in FAMILIES:
        # Families by the name without its numbers, examples by the whole name.
        stem = re.sub(r"[_\d]+$", "", name)
        near = [key for key in FAMILIES if stem and key.startswith(stem)][:2]
        near += difflib.get_close_matches(
            stem, [*FAMILIES, *GROUPS, *TOGETHER, *LISTS, "all"], n=2, cutoff=0.7
        )
        near += difflib.get_close_matches(name, _EXAMPLES, n=2, cutoff=0.6)
        near = list(dict.fromkeys(FAMILIES[x].examples[0] if x in FAMILIES else x for x in near))
        raise InputError(
            f"unknown feature {name!r}; "
            + (f"near: {', '.join(near)}; " if near else "")
            + "python -m envs.features list shows all"
        )
    family = FAMILIES[key]
    numbers = tuple(int(text) for text in match.group(2).split("_")[1:])
    if len(numbers) != len(family.parameters):
        wants = ", ".join(family.parameters) or "none"
        raise InputError(
            f"feature {name!r}: {key} takes {len(family.parameters)} numbers ({wants}), "
            f"got {len(numbers)}; write {family.examples[0]}"
        )
    if not family.allowed(*numbers):
        raise InputError(f"feature {name!r}: needs {family.condition}")
    canonical = "_".join([key, *map(str, numbers)])
    return Feature(canonical, family, numbers, family.warmup(*numbers))


def missing_fields(family: Family, market: MarketData) -> tuple[str, ...]:
    """The fields that this family needs and the panel does not have."""
    return tuple(field for field in family.needs if getattr(market, field) is None)


def group_names(
    group: str, market: MarketData | None = None, unlisted: bool = False
) -> tuple[str, ...]:
    """The default features of a group, as far as the panel (if given) has the fields; `unlisted`
    adds the examples of families that the group's name does not stand for."""
    return tuple(
        name
        for family in FAMILIES.values()
        if family.group == group and (market is None or not missing_fields(family, market))
        if family.listed or unlisted
        for name in family.examples
    )


def resolve(names: Sequence[str], market: MarketData) -> tuple[Feature, ...]:
    """The features that these names and groups stand for, by group, without repeats.

    Args:
        names: features, groups (`GROUPS`, `technical`, `news`) or `all`. A group stands for its
            default list as far as the panel has the fields; a feature must be possible. `all` are
            those that the panel itself gives, without what is published elsewhere.
        market: the panel.

    Raises:
        InputError: for an unknown name, a feature whose field the panel lacks, or an empty result.
    """
    wanted: list[str] = []
    for name in [names] if isinstance(names, str) else names:
        if name == "all":
            own = [each for group in GROUPS for each in group_names(group, market)]
            wanted += [each for each in own if not feature(each).family.source]
        elif name in TOGETHER:
            wanted += [each for group in TOGETHER[name] for each in group_names(group, market)]
        elif name in LISTS:
            wanted += LISTS[name]
        elif name in GROUPS:
            wanted += group_names(name, market)
        else:
            wanted.append(name)
    found: dict[str, Feature] = {}
    for name in wanted:
        one = feature(name)
        missing = missing_fields(one.family, market)
        if missing:
            raise InputError(
                f"feature {one.name!r} needs {' and '.join(missing)}, which {market.name} does not "
                "have; drop the feature or use a source that has the field"
            )
        found.setdefault(one.name, one)
    if not found:
        raise InputError(
            f"no features: {list(names)} stands for nothing that {market.name} can offer; "
            "name at least one (python -m envs.features list)"
        )
    for one in list(found.values()):
        if one.family.source:
            known = feature(f"{one.family.group}{KNOWN}")
            found.setdefault(known.name, known)
    published = {x.family.group for x in found.values() if x.family.source and not x.says_known}
    for one in found.values():
        if one.says_known and one.family.group not in published:
            raise InputError(
                f"feature {one.name!r} is the share of the published features of its group that is "
                f"known; name some of them, or the group {one.family.group!r}"
            )
    order = {group: 2 * place for place, group in enumerate(GROUPS)}
    return tuple(sorted(found.values(), key=lambda x: order[x.family.group] + x.says_known))


@dataclass(frozen=True)
class Entry:
    """One line of the catalogue; `listed` if the group's name stands for it too."""

    name: str
    group: str
    needs: tuple[str, ...]
    warmup: int
    description: str
    listed: bool


def catalogue(market: MarketData | None = None) -> tuple[Entry, ...]:
    """The default features of all groups, and examples of the families that no group's name stands
    for; with `market`, those that its panel can offer.

    Every family takes other numbers too: `return_5` stands for `return_n`.
    """
    names = [name for group in GROUPS for name in group_names(group, market, unlisted=True)]
    entries = []
    for name in names:
        one = feature(name)
        family = one.family
        entries.append(
            Entry(name, family.group, family.needs, one.warmup, family.description, family.listed)
        )
    return tuple(entries)
