"""What all price processes share: `Process`, `Paths` and the checks of their parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from envs.data.arguments import number, rows_per_year, whole_number
from envs.data.market_data import MarketData
from envs.errors import InputError

Float = NDArray[np.float64]
Seeds = NDArray[np.uint64]
# A parameter as a user writes it, one number or nested lists; once checked, a float64 array.
Numbers = Any


@dataclass(frozen=True, eq=False)
class Paths:
    """N simulated paths of n steps, n + 1 rows.

    Attributes:
        growth: `[N, n, A]` float64 gross growth of each asset from row k to k+1, > 0.
        state: `[N, n+1, S]` float64 the true state at row k, of which S may be 0.
        observed: `[N, n+1, A, F]` float32 what an agent may see at row k: nothing of the growth
            after k, about unit scale, within +-10. F may be 0.
    """

    growth: Float
    state: Float
    observed: NDArray[np.float32]


@dataclass(frozen=True, eq=False, kw_only=True)
class Process:
    """A law of prices, from which paths are drawn.

    A parameter by asset is one number or a list of A; A is the length of the longest list. Once
    made, all parameters are float64 arrays of full shape.

    Attributes:
        periods_per_year: steps a year; dt = 1 / periods_per_year.
        cash_rate: simple return of cash a year; a step earns cash_rate * dt.
    """

    periods_per_year: float = 252.0
    cash_rate: float = 0.0

    # What a `Randomised` process may draw anew for each path.
    randomisable: ClassVar[tuple[str, ...]] = ()

    @property
    def n_assets(self) -> int:
        raise NotImplementedError

    @property
    def observed_names(self) -> tuple[str, ...]:
        """F names of what an agent may see."""
        return ()

    @property
    def symbols(self) -> tuple[str, ...]:
        """Names of the assets, by default S00, S01, ..."""
        return tuple(f"S{a:02d}" for a in range(self.n_assets))

    @property
    def dt(self) -> float:
        """Length of a step in years."""
        return 1.0 / self.periods_per_year

    def simulate(self, seeds: Seeds, n_steps: int) -> Paths:
        """One path for each seed.

        Path i depends on `seeds[i]` alone, bit for bit, whatever else is simulated with it; every
        path draws its own start from the stationary law of its state; and a path of n steps is the
        beginning of every longer one with its seed.

        Args:
            seeds: `[N]` uint64.
            n_steps: n >= 1.

        Raises:
            InputError: naming the argument.
        """
        seeds, n_steps = check_seeds(seeds), whole_number(n_steps, "n_steps", 1)
        return self._simulate(seeds, n_steps, self._parameters())

    @classmethod
    def fit(cls, market: MarketData) -> Self:
        """The process estimated from a panel.

        Raises:
            InputError: where no estimation is defined.
        """
        raise InputError(
            f"{cls.__name__}.fit is not defined: no library estimates it; choose its parameters, "
            "or fit GeometricBrownian, RegimeSwitching, Garch or JumpDiffusion"
        )

    def _parameters(self) -> dict[str, Float]:
        """The randomisable parameters with a leading axis of 1: all paths alike."""
        # Copies, because Numba compiles once more for arrays that cannot be written to.
        return {name: np.array(getattr(self, name))[None] for name in self.randomisable}

    def _simulate(self, seeds: Seeds, n_steps: int, parameters: dict[str, Float]) -> Paths:
        """`parameters` as `_parameters`, with a leading axis of 1 or N."""
        raise NotImplementedError

    # ------------------------------------------------------------------ checks
    def _put(self, **values: object) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def _check_time(self) -> None:
        name = type(self).__name__
        try:
            self._put(periods_per_year=rows_per_year(self.periods_per_year))
            self._put(cash_rate=number(self.cash_rate, "cash_rate"))
        except InputError as error:
            raise InputError(f"{name}: {error}") from None
        if not self.cash_rate * self.dt > -1.0:
            raise InputError(f"{name}: cash_rate={self.cash_rate} loses more than all in a step")

    def _check_vectors(self, *names: str, n_assets: int = 1, infinite: tuple[str, ...] = ()) -> int:
        """Brings these parameters to `[A]`, A being the longest of them or `n_assets`; A."""
        given = {name: self._numbers(name, infinite=name in infinite) for name in names}
        for name, array in given.items():
            if array.ndim > 1:
                self._refuse(name, "must be one number or a list, one for each asset")
            n_assets = max(n_assets, array.size)
        for name, array in given.items():
            if array.size not in (1, n_assets):
                self._refuse(name, f"has {array.size} entries for {n_assets} assets")
            self._put(**{name: frozen(np.broadcast_to(array.reshape(-1), (n_assets,)))})
        return n_assets

    def _numbers(self, name: str, infinite: bool = False) -> Float:
        try:
            array = np.asarray(getattr(self, name))
        except ValueError:
            array = np.asarray(None)
        if array.dtype.kind not in "iuf":  # text and truth values are no numbers
            self._refuse(name, "must be a number or lists of numbers, of equal lengths")
        array = array.astype(np.float64)
        good = ~np.isnan(array) if infinite else np.isfinite(array)
        if not good.all() or array.size == 0:
            self._refuse(name, "must hold finite numbers")
        return array

    def _correlation_size(self) -> int:
        """Assets of a correlation matrix; 1 if it is a number."""
        given = self._numbers("correlation")
        return 1 if given.ndim == 0 else len(given)

    def _check_correlation(self, n_assets: int) -> None:
        """Brings `correlation` to a positive definite `[A, A]` matrix."""
        given = self._numbers("correlation")
        if given.ndim == 0:
            matrix = np.full((n_assets, n_assets), float(given))
            np.fill_diagonal(matrix, 1.0)
        elif given.shape != (n_assets, n_assets):
            self._refuse("correlation", f"must be one number or {n_assets} rows of {n_assets}")
        else:
            matrix = given.copy()
        if not np.array_equal(matrix, matrix.T) or not (np.diag(matrix) == 1.0).all():
            self._refuse("correlation", "must be symmetric with ones on its diagonal")
        try:
            np.linalg.cholesky(matrix)
        except np.linalg.LinAlgError:
            self._refuse(
                "correlation",
                f"is not positive definite; one number must lie in (-1/(A-1), 1) for A={n_assets}",
            )
        self._put(correlation=frozen(matrix))

    def _require(self, name: str, holds: NDArray[np.bool_] | bool, rule: str) -> None:
        if not np.all(holds):
            self._refuse(name, rule)

    def _refuse(self, name: str, rule: str) -> None:
        value = getattr(self, name)
        shown = value.tolist() if isinstance(value, np.ndarray) else value
        raise InputError(f"{type(self).__name__}: {name}={shown} {rule}")


def frozen(array: NDArray[Any]) -> Float:
    """A copy that cannot be written to."""
    array = np.array(array, dtype=np.float64, order="C")
    array.setflags(write=False)
    return array


def transposed_factor(correlation: Float) -> Float:
    """`[P, A, A]` L transposed, for correlation = L L'."""
    return np.ascontiguousarray(np.swapaxes(np.linalg.cholesky(correlation), -1, -2))


def check_seeds(seeds: Seeds) -> Seeds:
    """`InputError` unless seeds are `[N]` uint64."""
    if not isinstance(seeds, np.ndarray) or seeds.dtype != np.uint64 or seeds.ndim != 1:
        what = f"{seeds.dtype} {seeds.shape}" if isinstance(seeds, np.ndarray) else repr(seeds)
        raise InputError(
            f"seeds must be a [N] array of numpy.uint64, got {what}; make them with "
            "rng.integers(0, 2**63, N, dtype=numpy.uint64)"
        )
    return seeds.copy()


def no_state(n_paths: int, n_steps: int) -> Float:
    return np.empty((n_paths, n_steps + 1, 0))


def nothing_observed(n_paths: int, n_steps: int, n_assets: int) -> NDArray[np.float32]:
    return np.empty((n_paths, n_steps + 1, n_assets, 0), np.float32)
