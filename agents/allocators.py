"""Allocators: from what is forecast at one decision to the weights to hold.

| name | weights before the limits | source |
|---|---|---|
| `top_k` | the k best, and where shorting is allowed the k worst; equal or by score | Jegadeesh and Titman 1993 |
| `confidence_weighted` | 1/A times the confidence in the likeliest direction | |
| `fractional_kelly` | fraction * (mu - cash) / sigma^2, each asset on its own | Kelly 1956, Merton 1969 |
| `volatility_target` | direction / sigma, scaled to a volatility of the portfolio | Harvey et al. 2018 |
| `mean_variance` | highest mu'w - risk_aversion / 2 w'Cw, by skfolio | Markowitz 1952 |

All see cash as the alternative: what is not expected to beat it is not bought. What a long-only
portfolio may not short is left in cash.
"""  # noqa: E501

from __future__ import annotations

import difflib
import inspect
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from agents.baselines.optimised import EXPECTED, STILL
from agents.outlook import Bool, Float, Limits, Outlook
from envs.data.arguments import number, truth_value, whole_number
from envs.errors import InputError
from networks.forecast import BUY, HORIZONS, SELL


@dataclass(frozen=True, kw_only=True)
class Allocator:
    """Base of all: limits, halts and the threshold of trading; a subclass says what it wishes for.

    Attributes:
        horizon: rows of the expected return that is read, one of `HORIZONS`.
        hold_below: turnover (sum of |change of weight| over the assets) below which the weights of
            the decision are asked for again: a small change of a forecast does not earn its costs.
            Nothing is traded then where actions are orders (`env.action=trade`); other actions name
            weights, to which prices that moved until the execution are traded back. 0: never.
    """

    horizon: int = 1
    hold_below: float = 0.0

    def __post_init__(self) -> None:
        self._check("horizon", self.horizon in HORIZONS, f"one of {', '.join(map(str, HORIZONS))}")
        self._check("hold_below", number(self.hold_below, "hold_below") >= 0, "0 or more")

    def _check(self, key: str, fine: bool, wanted: str) -> None:
        if not fine:
            raise InputError(
                f"agent.allocator_settings.{key} must be {wanted}, got {getattr(self, key)!r} "
                f"({type(self).__name__})"
            )

    @property
    def history(self) -> int:
        """How many past returns `Outlook.returns` must hold."""
        return 0

    def wish(self, outlook: Outlook, limits: Limits) -> Float:
        """`[A]` weights of assets that all can be traded, before they are cut to the limits."""
        raise NotImplementedError

    def weights(self, outlook: Outlook, held: Float, tradable: Bool, limits: Limits) -> Float:
        """`[A+1]` target weights within the limits, cash last; they sum to 1.

        What is held of an asset that cannot be traded stays as it is, and the others share out the
        rest of the gross leverage.

        Args:
            held: `[A+1]` weights at the decision.
            tradable: `[A]` at the decision.

        Raises:
            InputError: if a forecast is not finite, naming the place of the asset; as the
                allocator does where its problem has no solution.
        """
        numbers = np.column_stack(
            [outlook.probability, outlook.expected, outlook.confidence, outlook.volatility]
        )
        bad = tradable & ~(np.isfinite(numbers).all(axis=1) & (outlook.volatility > 0))
        if bad.any():
            raise InputError(
                f"the forecast of asset {int(bad.argmax())} is not finite, or without volatility: "
                "the network has diverged, or its features hold NaN; train it anew with a lower "
                "agent.learning_rate"
            )
        assets = np.where(tradable, 0.0, held[:-1])
        if tradable.any():
            stuck = float(np.abs(assets).sum())
            free = max(1.0 - stuck / limits.gross, 0.0)
            wished = limits.within(self.wish(outlook.only(tradable), limits))
            assets[tradable] = wished * free
        assets = limits.within(assets) if limits.short else assets
        if self.hold_below and np.abs(assets - held[:-1]).sum() < self.hold_below:
            # Long-only holdings as they are: cut by a rounding, they would be an order.
            assets = limits.within(held[:-1]) if limits.short else held[:-1].copy()
        return np.append(assets, 1.0 - assets.sum())


@dataclass(frozen=True, kw_only=True)
class TopK(Allocator):
    """The k assets with the highest expected excess return per unit of volatility.

    With shorts, the k lowest as well, half of the gross leverage on each side. Where but one asset
    trades, it is held long or short by the sign of what is expected, with all of the leverage.

    Attributes:
        k: at most; where fewer trade, all of them (of each side: half of them).
        by: `equal` weights, or in proportion to the size of the `score`.
        invested: whether to hold k whatever is expected of them; else only what is expected to beat
            cash (and to short only what is not).
    """

    k: int = 5
    by: str = "equal"
    invested: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        whole_number(self.k, "agent.allocator_settings.k", 1)
        truth_value(self.invested, "agent.allocator_settings.invested")
        self._check("by", self.by in ("equal", "score"), "equal or score")

    def wish(self, outlook: Outlook, limits: Limits) -> Float:
        score = outlook.excess(self.horizon) / outlook.volatility
        if not limits.short:
            return limits.gross * self._side(score, self.k)
        if len(score) == 1:
            return limits.gross * np.sign(score)
        k = min(self.k, len(score) // 2)
        return 0.5 * limits.gross * (self._side(score, k) - self._side(-score, k))

    def _side(self, score: Float, k: int) -> Float:
        """`[A]` shares of 1 of the k highest scores: the first of equals."""
        best = np.argsort(-score, kind="stable")[:k]
        chosen = np.zeros(len(score), bool)
        chosen[best] = True
        if not self.invested:
            chosen &= score > 0
        size = np.abs(score) if self.by == "score" else np.ones(len(score))
        size = np.where(chosen, size, 0.0)
        return size / size.sum() if size.sum() > 0 else size


@dataclass(frozen=True, kw_only=True)
class ConfidenceWeighted(Allocator):
    """1/A of the gross leverage in each asset, times how sure the forecast is of its direction.

    Nothing at a confidence of `low` or below, or where hold is likeliest; the whole share from
    `high` on, in proportion between.

    Attributes:
        low, high: probabilities that the likeliest direction is right, 0 <= low < high <= 1. A good
            `low` is the base rate: what the most frequent direction alone would be right about.
    """

    low: float = 0.5
    high: float = 0.6

    def __post_init__(self) -> None:
        super().__post_init__()
        for key in ("low", "high"):
            value = number(getattr(self, key), f"agent.allocator_settings.{key}")
            self._check(key, 0 <= value <= 1, "a probability")
        self._check("high", self.high > self.low, f"above low={self.low:g}")

    def wish(self, outlook: Outlook, limits: Limits) -> Float:
        likeliest = outlook.probability.argmax(axis=1)
        sign = (likeliest == BUY) * 1.0 - (likeliest == SELL)
        sure = np.clip((outlook.confidence - self.low) / (self.high - self.low), 0.0, 1.0)
        return limits.gross / len(sign) * sign * sure


@dataclass(frozen=True, kw_only=True)
class FractionalKelly(Allocator):
    """`fraction * (mu - cash) / sigma^2` in each asset as if it were alone (Merton 1969 for log
    utility at `fraction` 1): correlations are left out, `MeanVariance` has them.

    Attributes:
        fraction: of the growth-optimal size, positive; half of it has three quarters of the growth
            and, where the forecast errs, far less of the ruin.
        cap: largest |weight| of an asset.
    """

    fraction: float = 0.5
    cap: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        for key in ("fraction", "cap"):
            value = number(getattr(self, key), f"agent.allocator_settings.{key}")
            self._check(key, value > 0, "positive")

    def wish(self, outlook: Outlook, limits: Limits) -> Float:
        size = self.fraction * outlook.excess(self.horizon) / outlook.volatility**2
        return np.clip(size, -self.cap, self.cap)


@dataclass(frozen=True, kw_only=True)
class VolatilityTarget(Allocator):
    """Every asset in the direction of its expected excess return, with equal risk; all scaled so
    that the portfolio is as volatile as `volatility`, as far as the limits allow.

    The risk of the portfolio is that of the forecast volatilities with the correlations of the last
    `window` returns.

    Attributes:
        volatility: of the portfolio, annualised, positive.
        window: returns of which correlations are measured, at least 2.
    """

    volatility: float = 0.1
    window: int = 63

    def __post_init__(self) -> None:
        super().__post_init__()
        value = number(self.volatility, "agent.allocator_settings.volatility")
        self._check("volatility", value > 0, "positive a year")
        whole_number(self.window, "agent.allocator_settings.window", 2)

    @property
    def history(self) -> int:
        return self.window

    def wish(self, outlook: Outlook, limits: Limits) -> Float:
        direction = np.sign(outlook.excess(self.horizon))
        if not limits.short:
            direction = np.maximum(direction, 0.0)
        if not direction.any():
            return direction
        # In units of risk: w * sigma is the direction itself, and only correlations are left.
        risk = float(np.sqrt(direction @ correlations(outlook.returns) @ direction))
        wanted = self.volatility / np.sqrt(outlook.periods_per_year)
        # Hedges that were perfect so far are not trusted with unlimited sizes.
        return direction / outlook.volatility * wanted / max(risk, 0.1)


def correlations(returns: Float) -> Float:
    """`[A, A]` of returns `[n, A]`; an asset with a gap, or that has not moved, has none with
    others."""
    known = np.isfinite(returns).all(axis=0)
    moved = known & (np.where(known, returns, 0.0).std(axis=0) > STILL)
    found = np.eye(returns.shape[1])
    if moved.sum() > 1:
        found[np.ix_(moved, moved)] = np.corrcoef(returns[:, moved], rowvar=False)
    return found


@dataclass(frozen=True, kw_only=True)
class MeanVariance(Allocator):
    """The highest expected excess return less `risk_aversion` / 2 times the variance, within the
    limits: returns from the forecast, the covariance from the last `window` returns (shrunk by
    Ledoit and Wolf 2004). Solved by skfolio.

    An asset without `window` returns, or whose price stood still, is left out.

    Attributes:
        risk_aversion: positive; 1 is log utility.
        window: at least 2.
    """

    risk_aversion: float = 5.0
    window: int = 252

    def __post_init__(self) -> None:
        super().__post_init__()
        value = number(self.risk_aversion, "agent.allocator_settings.risk_aversion")
        self._check("risk_aversion", value > 0, "positive")
        whole_number(self.window, "agent.allocator_settings.window", 2)

    @property
    def history(self) -> int:
        return self.window

    def wish(self, outlook: Outlook, limits: Limits) -> Float:
        returns, excess = outlook.returns, outlook.excess(self.horizon)
        known = np.isfinite(returns).all(axis=0)
        used = known & (np.where(known, returns, 0.0).std(axis=0) > STILL)
        weights = np.zeros(len(excess))
        # The worst that a long-only portfolio can do with what is expected to lose is not to buy.
        if used.any() and (limits.short or excess[used].max() > 0):
            weights[used] = self._solve(returns[:, used], excess[used], limits)
        return weights

    def _solve(self, returns: Float, excess: Float, limits: Limits) -> Float:
        try:
            with warnings.catch_warnings():
                for message in EXPECTED:
                    warnings.filterwarnings("ignore", message, UserWarning)
                solved = self._estimator(returns.shape[1], limits, excess).fit(returns)
                return np.asarray(solved.weights_, np.float64)
        except Exception as error:
            # Solvers fail in many ways on degenerate prices; a run must say who, and why.
            raise InputError(
                f"agent.allocator=mean_variance finds no weights ({error}); use a longer "
                "agent.allocator_settings.window, or another allocator"
            ) from error

    def _estimator(self, n_assets: int, limits: Limits, excess: Float) -> Any:
        import cvxpy
        from skfolio import RiskMeasure
        from skfolio.moments import LedoitWolf
        from skfolio.optimization import MeanRisk, ObjectiveFunction
        from skfolio.prior import EmpiricalPrior

        def expected(w: Any) -> Any:
            return excess @ w

        def gross(w: Any) -> Any:
            return cvxpy.norm1(w) <= limits.gross

        return MeanRisk(
            objective_function=ObjectiveFunction.MAXIMIZE_UTILITY,
            risk_measure=RiskMeasure.VARIANCE,
            risk_aversion=self.risk_aversion / 2.0,
            prior_estimator=EmpiricalPrior(covariance_estimator=LedoitWolf()),
            overwrite_expected_return=expected,
            min_weights=-limits.gross if limits.short else 0.0,
            max_weights=limits.gross,
            budget=None,
            min_budget=-limits.net if limits.short else 0.0,
            max_budget=limits.net,
            add_constraints=gross if limits.short else None,
        )


ALLOCATORS: dict[str, Callable[..., Allocator]] = {
    "top_k": TopK,
    "confidence_weighted": ConfidenceWeighted,
    "fractional_kelly": FractionalKelly,
    "volatility_target": VolatilityTarget,
    "mean_variance": MeanVariance,
}


def make_allocator(name: str, /, **settings: Any) -> Allocator:
    """The allocator of this name; `settings` go to its constructor.

    Raises:
        InputError: for an unknown name, with the nearest ones and the list; for wrong settings.
    """
    if not isinstance(name, str) or name not in ALLOCATORS:
        near = difflib.get_close_matches(str(name), ALLOCATORS, n=2, cutoff=0.6)
        meant = f"; did you mean {' or '.join(near)}?" if near else "."
        raise InputError(f"unknown agent.allocator {name!r}{meant} Known: {', '.join(ALLOCATORS)}")
    known = list(inspect.signature(ALLOCATORS[name]).parameters)
    for key in settings:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            meant = f"; did you mean {near[0]}?" if near else "."
            raise InputError(
                f"agent.allocator_settings has no {key} ({name}){meant} Known: {', '.join(known)}"
            )
    return ALLOCATORS[name](**settings)
