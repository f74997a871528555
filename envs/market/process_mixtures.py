"""Processes made of others: the bootstrap of a panel, random parameters, and mixtures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from envs.data.arguments import number
from envs.data.market_data import MarketData
from envs.errors import InputError
from envs.market.process_base import (
    Float,
    Paths,
    Process,
    Seeds,
    frozen,
    no_state,
    nothing_observed,
)

# Streams of a path for what is not its prices.
PARAMETER_SALT = np.uint64(0x52414E444F4D4953)
COMPONENT_SALT = np.uint64(0x4D49585455524553)
ROUNDING = 1e-9


@dataclass(frozen=True, eq=False, kw_only=True)
class Bootstrap(Process):
    """Stationary bootstrap of a panel (Politis and Romano 1994).

    Whole rows of growths are drawn in blocks of geometric length, so that assets stay together and
    short memory is kept; memory longer than a block is lost. The panel is a circle. Cash earns the
    panel's mean rate. Nothing is observed. Doi 10.1080/01621459.1994.10476870.

    Attributes:
        market: every asset tradable on every row.
        mean_block: mean length of a block in rows, >= 1; 1 draws single rows.

    Raises:
        InputError: naming the field, or the symbol that did not trade.
    """

    market: MarketData
    mean_block: float = 20.0
    periods_per_year: float = field(init=False)
    cash_rate: float = field(init=False)
    _rows: Float = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.market, MarketData):
            self._refuse("market", "is no panel; give what a source of envs.data returns")
        rate = float(self.market.cash_rate[1:].mean())
        per_year = self.market.periods_per_year
        self._put(periods_per_year=per_year, cash_rate=rate * per_year)
        self._put(mean_block=number(self.mean_block, "Bootstrap: mean_block"))
        self._require("mean_block", self.mean_block >= 1, "must be >= 1 row")
        self._put(_rows=frozen(growth_rows(self.market, "Bootstrap")))

    @property
    def n_assets(self) -> int:
        return self.market.n_assets

    @property
    def symbols(self) -> tuple[str, ...]:
        return self.market.symbols

    @classmethod
    def fit(cls, market: MarketData, mean_block: float = 20.0) -> Bootstrap:
        """The bootstrap of this panel; there is nothing to estimate but its mean block."""
        return cls(market=market, mean_block=mean_block)

    def _simulate(self, seeds: Seeds, n_steps: int, parameters: dict[str, Float]) -> Paths:
        from envs.market.process_kernels import bootstrap_nb

        growth = np.empty((len(seeds), n_steps, self.n_assets))
        bootstrap_nb(seeds, self._rows, 1.0 / self.mean_block, growth)
        state = no_state(len(seeds), n_steps)
        return Paths(growth, state, nothing_observed(len(seeds), n_steps, self.n_assets))


@dataclass(frozen=True, eq=False, kw_only=True)
class Randomised(Process):
    """Domain randomisation: every path draws some parameters of a process anew (Tobin et al. 2017).

    A drawn parameter is uniform between two ends, each asset's independently; a drawn correlation
    is one number for all pairs. Everything else is that of `process`. The agent is not told what
    was drawn; what it observes is relative to a parameter where `process` says so, and then to the
    drawn one. Doi 10.1109/IROS.2017.8202133.

    Attributes:
        process: any but one made of others.
        ranges: `{field: [low, high]}` with fields of `process.randomisable`; low and high are
            numbers, or of the field's shape. The process must be valid with all low and with all
            high ends.

    Raises:
        InputError: naming the field.
    """

    process: Process
    ranges: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    periods_per_year: float = field(init=False)
    cash_rate: float = field(init=False)
    _ends_of: dict[str, tuple[Float, Float]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.process, Process) or not self.process.randomisable:
            self._refuse("process", "has no parameters to draw; give one such as Heston()")
        process = self.process
        self._put(periods_per_year=process.periods_per_year, cash_rate=process.cash_rate)
        if not isinstance(self.ranges, Mapping) or not self.ranges:
            self._refuse("ranges", "must name at least one field: {volatility: [0.1, 0.4]}")
        ends: dict[str, tuple[Float, Float]] = {}
        for name, pair in self.ranges.items():
            if name not in process.randomisable:
                raise InputError(
                    f"Randomised: ranges has {name!r}, which {type(process).__name__} cannot draw; "
                    f"it can draw {', '.join(process.randomisable)}"
                )
            ends[name] = self._ends(name, pair)
        for k, end in enumerate(("low", "high")):
            changes: dict[str, Any] = {name: pair[k] for name, pair in ends.items()}
            try:
                replace(process, **changes)
            except InputError as error:
                raise InputError(f"Randomised: ranges at their {end} ends: {error}") from None
        self._put(_ends_of=ends)

    def _ends(self, name: str, pair: Sequence[Any]) -> tuple[Float, Float]:
        shape = () if name == "correlation" else getattr(self.process, name).shape
        try:
            low, high = (np.asarray(end, dtype=np.float64) for end in pair)
            low, high = np.broadcast_to(low, shape), np.broadcast_to(high, shape)
        except (TypeError, ValueError):
            raise InputError(
                f"Randomised: ranges of {name} must be [low, high], numbers or of the shape "
                f"{shape}; got {pair!r}"
            ) from None
        if not (np.isfinite(low) & np.isfinite(high) & (low <= high)).all():
            raise InputError(
                f"Randomised: ranges of {name} must be finite with low <= high, got {pair!r}"
            )
        return frozen(low), frozen(high)

    @property
    def n_assets(self) -> int:
        return self.process.n_assets

    @property
    def symbols(self) -> tuple[str, ...]:
        return self.process.symbols

    @property
    def observed_names(self) -> tuple[str, ...]:
        return self.process.observed_names

    def drawn(self, seeds: Seeds) -> dict[str, Float]:
        """`{field: [N, ...]}`: the parameters that the paths of these seeds have."""
        from envs.market.process_kernels import draw_uniforms_nb

        uniforms = np.empty((len(seeds), sum(low.size for low, _ in self._ends_of.values())))
        draw_uniforms_nb(seeds, PARAMETER_SALT, uniforms)
        drawn, first = {}, 0
        for name, (low, high) in self._ends_of.items():
            u = uniforms[:, first : first + low.size].reshape(len(seeds), *low.shape)
            first += low.size
            drawn[name] = low + (high - low) * u
        return drawn

    def _simulate(self, seeds: Seeds, n_steps: int, parameters: dict[str, Float]) -> Paths:
        n, a = len(seeds), self.n_assets
        full = {
            name: np.repeat(value, n, axis=0) for name, value in self.process._parameters().items()
        }
        for name, value in self.drawn(seeds).items():
            if name == "correlation":
                eye = np.eye(a)
                full[name] = eye + (1.0 - eye) * value[:, None, None]
            else:
                full[name] = np.ascontiguousarray(value)
        return self.process._simulate(seeds, n_steps, full)


@dataclass(frozen=True, eq=False, kw_only=True)
class Mixture(Process):
    """Every path is of one of several processes, drawn with these shares.

    Attributes:
        processes: with the same assets, observed names, periods a year and cash rate.
        shares: chances, sum 1; default equal ones.

    The state of a path is that of its process: those that show the same hold states of one size.

    Raises:
        InputError: naming the field.
    """

    processes: Sequence[Process]
    shares: Sequence[float] | None = None
    periods_per_year: float = field(init=False)
    cash_rate: float = field(init=False)

    def __post_init__(self) -> None:
        self._put(processes=tuple(self.processes))
        if not self.processes or not all(isinstance(p, Process) for p in self.processes):
            self._refuse("processes", "must be a list of price processes")
        first = self.processes[0]
        for key in ("n_assets", "observed_names", "periods_per_year", "cash_rate"):
            values = [getattr(p, key) for p in self.processes]
            if any(value != values[0] for value in values):
                raise InputError(f"Mixture: processes differ in {key}: {values}; make them equal")
        self._put(periods_per_year=first.periods_per_year, cash_rate=first.cash_rate)
        if self.shares is None:
            self._put(shares=[1.0 / len(self.processes)] * len(self.processes))
        shares = self._numbers("shares")
        if shares.shape != (len(self.processes),):
            self._refuse("shares", f"must be a list of {len(self.processes)}, one a process")
        if (shares < 0).any() or abs(shares.sum() - 1.0) > ROUNDING:
            self._refuse("shares", "must be >= 0 and sum to 1")
        self._put(shares=frozen(shares))

    @property
    def n_assets(self) -> int:
        return self.processes[0].n_assets

    @property
    def symbols(self) -> tuple[str, ...]:
        return self.processes[0].symbols

    @property
    def observed_names(self) -> tuple[str, ...]:
        return self.processes[0].observed_names

    def chosen(self, seeds: Seeds) -> np.ndarray[Any, np.dtype[np.intp]]:
        """`[N]` number of the process that the path of each seed is of."""
        from envs.market.process_kernels import draw_uniforms_nb

        uniforms = np.empty((len(seeds), 1))
        draw_uniforms_nb(seeds, COMPONENT_SALT, uniforms)
        ends = np.cumsum(np.asarray(self.shares))[:-1]
        return np.searchsorted(ends, uniforms[:, 0], side="right")

    def _simulate(self, seeds: Seeds, n_steps: int, parameters: dict[str, Float]) -> Paths:
        chosen, n = self.chosen(seeds), len(seeds)
        parts = [
            (of_it, process.simulate(seeds[of_it], n_steps))
            for i, process in enumerate(self.processes)
            for of_it in [np.flatnonzero(chosen == i)]
        ]

        def joined(name: str) -> Any:
            first = getattr(parts[0][1], name)
            whole = np.empty((n, *first.shape[1:]), first.dtype)
            for of_it, made in parts:
                whole[of_it] = getattr(made, name)
            return whole

        return Paths(joined("growth"), joined("state"), joined("observed"))


def growth_rows(market: MarketData, asker: str) -> Float:
    """`[T-1, A]` gross growth of a panel whose assets traded throughout; `InputError` otherwise."""
    gaps = ~market.tradable | ~np.isfinite(market.close)
    if gaps.any():
        row, asset = np.argwhere(gaps)[0]
        raise InputError(
            f"{asker}: {market.symbols[asset]} did not trade on {str(market.dates[row])[:10]}; "
            "select the symbols or the days on which all did"
        )
    return market.close[1:] / market.close[:-1]
