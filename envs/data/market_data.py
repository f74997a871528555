"""`MarketData`: a validated, immutable panel of prices. A wrong panel cannot exist."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.data.arguments import name_list, open_bound, panel_dates, rows_per_year
from envs.errors import InputError

Float = NDArray[np.float64]
PRICE_FIELDS = ("open", "high", "low", "close")
# Rounded vendor data put a close one last digit above its high; more than this is wrong.
RANGE_TOLERANCE = 1e-6
# What a delisting pays, in last closes; beyond it is a slip of the keyboard.
MOST_PAID = 1e6


@dataclass(frozen=True, eq=False)
class MarketData:
    """Prices of A assets on T dates, adjusted for splits and dividends.

    Attributes:
        dates: `[T]` datetime64[ns], strictly increasing, 1678..2261; the moment at which row t is
            known.
        symbols: A unique names.
        close: `[T, A]` float64 > 0; may be NaN only where `tradable` is false.
        open, high, low: `[T, A]` on the same adjustment basis as `close`, or None.
        volume: `[T, A]` >= 0 (shares, contracts or currency, as `notes` says), or None.
        tradable: `[T, A]` bool; false before listing, in a halt and after delisting. Default: where
            `close` is finite.
        delisting_value: `[T, A]` >= 0, NaN but where an asset is delisted: on the first row of
            which it is known that it will not trade again, the share of its last close that its
            holders are paid. May be given as one number or one for each asset (NaN: it is not
            delisted, whatever the end of its prices): then the row after its last tradable one.
            Default: 1. None where all cells are tradable.
        cash_rate: `[T]` simple return of cash over (t-1, t], fixed at t-1; row 0 is not used.
        benchmark: `[T]` level of a benchmark index > 0, or None.
        benchmark_name: what `benchmark` is.
        periods_per_year: rows a year >= 0.01, for annualisation.
        name: of the source, for reports.
        notes: limits of the data in plain words; every report prints them.
        observed: `[T, A, F]` float32 within +-10, what a simulated market shows of its state at
            each row (`features=observed`), or None; `observed_names` are its F names.
        process: what the panel is one path of (`envs.market.processes`), or None: with it, an
            environment can run every episode on a fresh path. Not part of the fingerprint.

    Raises:
        InputError: naming the date, symbol and remedy, if any of the above does not hold.
    """

    dates: NDArray[np.datetime64]
    symbols: tuple[str, ...]
    close: Float
    open: Float | None = None
    high: Float | None = None
    low: Float | None = None
    volume: Float | None = None
    tradable: NDArray[np.bool_] = None  # type: ignore[assignment]  # filled in __post_init__
    cash_rate: Float = None  # type: ignore[assignment]  # filled in __post_init__
    benchmark: Float | None = None
    benchmark_name: str = ""
    periods_per_year: float = 252.0
    name: str = "market"
    notes: tuple[str, ...] = field(default=())
    observed: NDArray[np.float32] | None = None
    observed_names: tuple[str, ...] = ()
    process: Any = field(default=None, repr=False)
    delisting_value: Float | None = None

    def __post_init__(self) -> None:
        put = lambda key, value: object.__setattr__(self, key, value)  # noqa: E731  (frozen)
        put("dates", panel_dates(self.dates, self.name))
        try:
            put("periods_per_year", rows_per_year(self.periods_per_year))
            put("symbols", name_list(self.symbols))
            put("notes", name_list(self.notes, "notes") if len(self.notes) else ())
        except TypeError:
            raise InputError(f"{self.name}: notes={self.notes!r} is not a list of texts") from None
        except InputError as error:
            raise InputError(f"{self.name}: {error}") from None
        close = self._numbers("close", self.close)
        if close.ndim != 2:
            raise InputError(f"{self.name}: close must be [T, A], got shape {close.shape}")
        shape = close.shape
        put("close", close)
        for key in ("open", "high", "low", "volume"):
            value = getattr(self, key)
            if value is not None:
                put(key, self._array(key, value, shape))
        tradable = np.isfinite(close) if self.tradable is None else np.array(self.tradable)
        if tradable.shape != shape:
            raise InputError(f"{self.name}: tradable must be {shape}, got {tradable.shape}")
        if not np.isin(tradable, (False, True)).all():
            raise InputError(f"{self.name}: tradable must hold true and false only")
        put("tradable", tradable.astype(bool))
        put("delisting_value", self._delistings(self.delisting_value))
        cash = np.zeros(shape[0]) if self.cash_rate is None else self.cash_rate
        put("cash_rate", self._array("cash_rate", cash, shape[:1]))
        if self.benchmark is not None:
            put("benchmark", self._array("benchmark", self.benchmark, shape[:1]))
        if self.observed is not None:
            observed = np.array(self.observed, dtype=np.float32, order="C")
            wanted = (*shape, len(self.observed_names))
            if observed.shape != wanted:
                raise InputError(f"{self.name}: observed must be {wanted}, got {observed.shape}")
            put("observed", observed)
        self._validate()
        for value in self.__dict__.values():
            if isinstance(value, np.ndarray):
                value.setflags(write=False)

    def _array(self, key: str, value: object, shape: tuple[int, ...]) -> Float:
        array = self._numbers(key, value)
        if array.shape != shape:
            raise InputError(f"{self.name}: {key} must have shape {shape}, got {array.shape}")
        return array

    def _numbers(self, key: str, value: object) -> Float:
        try:
            # Times would count as nanoseconds.
            if np.asarray(value).dtype.kind not in "mMc":
                return np.array(value, dtype=np.float64, order="C")
        except (TypeError, ValueError):
            pass
        raise InputError(f"{self.name}: {key} must be an array of numbers")

    def _delistings(self, value: object) -> Float | None:
        """`[T, A]` from whatever was given; None where all cells are tradable."""
        whole = bool(self.tradable.all())
        if whole and value is None:
            return None
        given = self._numbers("delisting_value", 1.0 if value is None else value)
        shape = self.tradable.shape
        if given.shape not in ((), shape[1:], shape):
            raise InputError(
                f"{self.name}: delisting_value must be one number or {shape[1]} of them, one for "
                f"each symbol, got shape {given.shape}"
            )
        # A NaN says that one symbol was paid nothing to the end; of all it is a slip.
        wrong = (given < 0) | (given > MOST_PAID) | (np.isnan(given) & (given.ndim == 0))
        if wrong.any():
            raise InputError(
                f"{self.name}: delisting_value must be 0 or more, at most {MOST_PAID:g}, the share "
                f"of the last close that is paid, got {given[wrong][0]:g}; for a symbol whose "
                "prices end in a halt write {SYMBOL: null}"
            )
        if given.ndim < 2:
            stop = shape[0] - np.argmax(self.tradable[::-1], axis=0)
            left = np.flatnonzero(self.tradable.any(axis=0) & (stop < shape[0]))
            rows = np.full(shape, np.nan)
            rows[stop[left], left] = np.broadcast_to(given, shape[1:])[left]
            given = rows
        settled = np.isfinite(given)
        gone = np.logical_or.accumulate(settled, axis=0)
        wrong = gone & self.tradable
        wrong[1:] |= gone[:-1] & settled[1:]
        if wrong.any():
            raise InputError(
                f"{self.name}: tradable or delisted again after its delisting, at "
                f"{self._cell(wrong)}; one that lists anew is another symbol"
            )
        return None if whole else given

    @property
    def declared_delistings(self) -> Float | None:
        """`delisting_value` where it says more than the end of the prices does, else None."""
        usual = self._delistings(None)
        if usual is None or self.delisting_value is None:
            return None
        same = np.array_equal(self.delisting_value, usual, equal_nan=True)
        return None if same else self.delisting_value

    # ------------------------------------------------------------------ validation
    def _cell(self, where: NDArray[np.bool_]) -> str:
        """Names the first true cell of a `[T]` or `[T, A]` mask."""
        first = np.argwhere(where)[0]
        text = f"row {first[0]} ({self._date(int(first[0]))})"
        return text + (f", symbol {self.symbols[first[1]]}" if len(first) == 2 else "")

    def _date(self, row: int) -> str:
        text = np.datetime_as_string(self.dates[row], unit="s")
        return text.removesuffix("T00:00:00")

    def _validate(self) -> None:
        n_rows, n_assets = self.close.shape
        if len(self.symbols) != n_assets:
            raise InputError(
                f"{self.name}: {len(self.symbols)} symbols for {n_assets} columns of close"
            )
        if len(set(self.symbols)) < n_assets:
            duplicates = sorted({s for s in self.symbols if self.symbols.count(s) > 1})
            raise InputError(f"{self.name}: duplicate symbols {duplicates}; name each column once")
        if self.dates.shape != (n_rows,):
            raise InputError(f"{self.name}: {len(self.dates)} dates for {n_rows} rows")
        if n_rows < 2:
            raise InputError(
                f"{self.name}: {n_rows} row(s); at least two are needed to make a return"
            )
        missing = np.isnat(self.dates)
        if missing.any():
            raise InputError(f"{self.name}: missing date in row {int(np.argmax(missing))}")
        # Compared, because a difference of more than 292 years overflows.
        early, late = self.dates[:-1], self.dates[1:]
        if (late == early).any():
            raise InputError(
                f"{self.name}: duplicate date in {self._cell(np.r_[False, late == early])}; "
                "keep one row for each date"
            )
        if (late < early).any():
            raise InputError(
                f"{self.name}: dates are not sorted at {self._cell(np.r_[False, late < early])}; "
                "sort the rows by date"
            )
        self._validate_prices()
        self._validate_series()

    def _validate_prices(self) -> None:
        for key in PRICE_FIELDS:
            price = getattr(self, key)
            if price is None:
                continue
            gap = ~np.isfinite(price) & self.tradable
            if gap.any():
                raise InputError(
                    f"{self.name}: {key} is missing or infinite at {self._cell(gap)}; fill the gap "
                    "from the past, drop the symbol, or mark the cell as not tradable"
                )
            if np.isinf(price).any():
                raise InputError(f"{self.name}: {key} is infinite at {self._cell(np.isinf(price))}")
            wrong = price <= 0
            if wrong.any():
                raise InputError(
                    f"{self.name}: {key} is zero or negative at {self._cell(wrong)}; prices must "
                    "be positive (shift or drop the series)"
                )
        if self.high is not None and self.low is not None:
            wrong = self.high < self.low
            if wrong.any():
                raise InputError(f"{self.name}: high is below low at {self._cell(wrong)}")
        for key in ("open", "close"):
            price = getattr(self, key)
            if price is None:
                continue
            if self.high is not None:
                wrong = price > self.high * (1 + RANGE_TOLERANCE)
                if wrong.any():
                    raise InputError(f"{self.name}: {key} is above high at {self._cell(wrong)}")
            if self.low is not None:
                wrong = price < self.low * (1 - RANGE_TOLERANCE)
                if wrong.any():
                    raise InputError(f"{self.name}: {key} is below low at {self._cell(wrong)}")

    def _validate_series(self) -> None:
        if self.volume is not None:
            if (self.volume < 0).any():
                raise InputError(f"{self.name}: negative volume at {self._cell(self.volume < 0)}")
            gap = ~np.isfinite(self.volume) & self.tradable
            if gap.any():
                raise InputError(f"{self.name}: volume is missing at {self._cell(gap)}")
        wrong = ~np.isfinite(self.cash_rate) | (self.cash_rate <= -1)
        if wrong.any():
            raise InputError(
                f"{self.name}: cash_rate must be a simple return > -1 at {self._cell(wrong)}"
            )
        if self.benchmark is not None:
            wrong = ~(np.isfinite(self.benchmark) & (self.benchmark > 0))
            if wrong.any():
                first = self.benchmark[wrong][0]
                raise InputError(
                    f"{self.name}: benchmark is "
                    f"{'missing' if np.isnan(first) else f'{first}, not positive,'} at "
                    f"{self._cell(wrong)}; choose dates at which it has a level (start, end), or "
                    "another benchmark"
                )

    # ------------------------------------------------------------------ views
    @property
    def n_rows(self) -> int:
        return self.close.shape[0]

    @property
    def n_assets(self) -> int:
        return self.close.shape[1]

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the content (values, dates, symbols; not `name` or `notes`), hexadecimal."""
        digest = hashlib.sha256()
        digest.update("\x00".join(self.symbols).encode())
        digest.update(repr(float(self.periods_per_year)).encode())
        for key in (
            "dates", "close", "open", "high", "low", "volume", "tradable", "cash_rate", "benchmark"
        ):  # fmt: skip
            value = getattr(self, key)
            digest.update(key.encode())
            if value is not None:
                digest.update(np.ascontiguousarray(value).tobytes())
        if self.observed is not None:
            digest.update(self.observed.tobytes())
        declared = self.declared_delistings
        if declared is not None:
            digest.update(declared.tobytes())
        return digest.hexdigest()

    def rows(self, start: int, stop: int) -> MarketData:
        """The same panel with rows `start:stop` only."""
        cut = {
            key: value[start:stop]
            for key, value in self.__dict__.items()
            if isinstance(value, np.ndarray)
        }
        return replace(self, **cut)  # type: ignore[arg-type]

    def between(self, start: str | None = None, end: str | None = None) -> MarketData:
        """Rows whose date lies in [start, end], both inclusive days; None is open.

        Raises:
            InputError: if fewer than two rows are left, and as `span`.
        """
        first, last = self.span(start, end)
        if last - first < 2:
            raise InputError(
                f"{self.name}: fewer than two rows between {start} and {end}; the data runs from "
                f"{self._date(0)} to {self._date(self.n_rows - 1)}"
            )
        return self.rows(first, last)

    def span(self, start: str | None = None, end: str | None = None) -> tuple[int, int]:
        """`(first, stop)` row numbers of the dates in [start, end], both inclusive days.

        Raises:
            InputError: for a day that is not written YYYY-MM-DD.
        """
        first = 0 if start is None else int(np.searchsorted(self.dates, open_bound(start)))
        if end is None:
            return first, self.n_rows
        after = open_bound(end) + np.timedelta64(1, "D")
        return first, int(np.searchsorted(self.dates, after))

    def select(self, symbols: Sequence[str]) -> MarketData:
        """The panel of these symbols, in this order; one text is one symbol.

        Raises:
            InputError: for an unknown symbol, naming the nearest ones, and for an empty list.
        """
        import difflib

        symbols = name_list(symbols)
        unknown = [s for s in symbols if s not in self.symbols]
        if unknown:
            near = difflib.get_close_matches(unknown[0], self.symbols, n=3, cutoff=0.3)
            raise InputError(
                f"{self.name}: unknown symbol {unknown[0]!r}; "
                + (f"near: {near}; " if near else "")
                + f"known: {', '.join(self.symbols[:40])}"
                + (" ..." if self.n_assets > 40 else "")
            )
        column = [self.symbols.index(s) for s in symbols]
        cut = {
            key: value[:, column]
            for key, value in self.__dict__.items()
            if isinstance(value, np.ndarray) and value.ndim >= 2
        }
        # A process of more assets is not that of this panel.
        process = self.process if len(symbols) == self.n_assets else None
        return replace(self, symbols=symbols, process=process, **cut)  # type: ignore[arg-type]
