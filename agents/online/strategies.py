"""Online portfolio selection: one class a strategy.

Defaults are those of the OLPS toolbox (Li, Sahoo and Hoi 2016, JMLR 17). `relatives` are `[T, A]`;
every `decide` returns the weights `[T, A]` of all rows.
"""

from __future__ import annotations

import numpy as np

from agents.online import anticor_kernels, kernels, newton_kernels
from agents.online.policies import Float, OnlinePolicy, number, whole
from envs.data.market_data import MarketData
from envs.errors import InputError


class UniformCRP(OnlinePolicy):
    """The same weight in everything, restored every day (Cover 1991)."""

    name = "ucrp"

    def decide(self, relatives: Float) -> Float:
        return np.full(relatives.shape, 1.0 / relatives.shape[1])


class ExponentiatedGradient(OnlinePolicy):
    """Weights times exp(eta x / portfolio growth) (Helmbold, Schapire, Singer and Warmuth 1998).

    Args:
        eta: learning rate, >= 0; 0 is `ucrp`.
    """

    name = "eg"

    def __init__(self, market: MarketData, *, eta: float = 0.05) -> None:
        self.eta = number("eg", "eta", eta, least=0.0)
        super().__init__(market)

    def decide(self, relatives: Float) -> Float:
        weights = np.empty_like(relatives)
        kernels.eg_nb(relatives, self.eta, weights)
        return weights


class OnlineNewtonStep(OnlinePolicy):
    """Follows the regularised leader of log growth, with second-order terms (Agarwal, Hazan, Kale
    and Schapire 2006).

    Args:
        eta: share of 1/N that is mixed in, in [0, 1].
        beta: of the expansion of the logarithm, > 0.
        delta: scale of the step, > 0.
    """

    name = "ons"

    def __init__(
        self, market: MarketData, *, eta: float = 0.0, beta: float = 1.0, delta: float = 0.125
    ) -> None:
        self.eta = number("ons", "eta", eta, least=0.0, most=1.0)
        self.beta = number("ons", "beta", beta, above=0.0)
        self.delta = number("ons", "delta", delta, above=0.0)
        super().__init__(market)

    def decide(self, relatives: Float) -> Float:
        weights = np.empty_like(relatives)
        newton_kernels.ons_nb(relatives, self.eta, self.beta, self.delta, weights)
        return weights


class UniversalPortfolio(OnlinePolicy):
    """All constant mixes at once, each with the money that it has made (Cover 1991).

    The integral over the simplex is a mean over mixes drawn uniformly from it. Each draw enters
    with all its rotations, so that the first portfolio is uniform, as is that of the integral.

    Args:
        samples: number of mixes, >= 1, rounded up to whole rotations. seed: of the draw.
    """

    name = "up"

    def __init__(self, market: MarketData, *, samples: int = 10_000, seed: int = 0) -> None:
        self.samples = whole("up", "samples", samples, least=1)
        self.seed = whole("up", "seed", seed, least=0)
        super().__init__(market)

    def decide(self, relatives: Float) -> Float:
        n_assets = relatives.shape[1]
        rng = np.random.default_rng(self.seed)
        # Exponentials over their sum are uniform on the simplex.
        drawn = rng.standard_exponential((-(-self.samples // n_assets), n_assets))
        drawn /= drawn.sum(axis=1, keepdims=True)
        mixes = np.concatenate([np.roll(drawn, k, axis=1) for k in range(n_assets)])
        weights = np.empty_like(relatives)
        kernels.up_nb(relatives, mixes, weights)
        return weights


class Anticor(OnlinePolicy):
    """Money moves from what rose to what is expected to follow (Borodin, El-Yaniv and Gogan 2003).

    The expert with window w compares the log relatives of two windows next to each other. Asset i
    hands weight to asset j where i grew at least as much in the later one and the earlier window of
    i is positively correlated with the later one of j; the more so, the more each is negatively
    correlated with its own past. What i claims of itself it keeps.

    Args:
        window: the longest, >= 2; an equal share is given once to each of the windows 2 ... window.
        levels: 1 is BAH(Anticor). 2 is BAH(Anticor(Anticor)), in which Anticor's experts invest in
            Anticor's experts: the one that tables call Anticor.
    """

    name = "anticor"

    def __init__(self, market: MarketData, *, window: int = 30, levels: int = 2) -> None:
        self.window = whole("anticor", "window", window, least=2)
        self.levels = whole("anticor", "levels", levels, least=1, most=2)
        super().__init__(market)

    def decide(self, relatives: Float) -> Float:
        portfolios, growth, shares = self._experts(relatives)
        if self.levels == 2:
            upper, _, upper_shares = self._experts(growth)
            shares = np.einsum("tk,tkj->tj", upper_shares, upper)
        weights = np.einsum("tk,tki->ti", shares, portfolios)
        return weights / weights.sum(axis=1, keepdims=True)

    def _experts(self, relatives: Float) -> tuple[Float, Float, Float]:
        n_rows, n_assets = relatives.shape
        portfolios = np.empty((n_rows, self.window - 1, n_assets))
        anticor_kernels.experts_nb(relatives, np.log(relatives), self.window, portfolios)
        growth, shares = np.empty((2, n_rows, self.window - 1))
        anticor_kernels.mixed_nb(relatives, portfolios, growth, shares)
        return portfolios, growth, shares


class PassiveAggressive(OnlinePolicy):
    """PAMR: as near as possible to the last portfolio, such that the last day would have earned at
    most epsilon (Li, Zhao, Hoi and Gopalkrishnan 2012).

    Args:
        epsilon: growth that counts as no loss, >= 0.
    """

    name = "pamr"
    variant = 0

    def __init__(self, market: MarketData, *, epsilon: float = 0.5) -> None:
        self.epsilon = number(self.name, "epsilon", epsilon, least=0.0)
        self.aggressiveness = 1.0
        super().__init__(market)

    def decide(self, relatives: Float) -> Float:
        weights = np.empty_like(relatives)
        kernels.pamr_nb(relatives, self.epsilon, self.variant, self.aggressiveness, weights)
        return weights


class PassiveAggressive1(PassiveAggressive):
    """PAMR-1: the step is at most `aggressiveness`.

    Args:
        epsilon: as for `pamr`.
        aggressiveness: C of the paper, > 0.
    """

    name = "pamr_1"
    variant = 1

    def __init__(
        self, market: MarketData, *, epsilon: float = 0.5, aggressiveness: float = 500.0
    ) -> None:
        self.epsilon = number(self.name, "epsilon", epsilon, least=0.0)
        self.aggressiveness = number(self.name, "aggressiveness", aggressiveness, above=0.0)
        OnlinePolicy.__init__(self, market)


class PassiveAggressive2(PassiveAggressive1):
    """PAMR-2: the step is damped by 1 / (2 `aggressiveness`) in its denominator.

    Args: as for `pamr_1`.
    """

    name = "pamr_2"
    variant = 2


class ConfidenceWeighted(OnlinePolicy):
    """CWMR, standard deviation: a Gaussian over portfolios, moved and narrowed as little as
    possible such that the last day would have earned at most epsilon with some confidence (Li, Hoi,
    Zhao and Gopalkrishnan 2013).

    The covariance is diagonal; after each step the mean is projected on the simplex and the
    covariance scaled to the sum 1/A. A day on which all assets move alike teaches nothing.

    Args:
        phi: quantile of the confidence, > 0. epsilon: as for `pamr`.
    """

    name = "cwmr_stdev"
    variant = kernels.STDEV

    def __init__(self, market: MarketData, *, phi: float = 2.0, epsilon: float = 0.5) -> None:
        self.phi = number(self.name, "phi", phi, above=0.0)
        self.epsilon = number(self.name, "epsilon", epsilon, least=0.0)
        super().__init__(market)

    def decide(self, relatives: Float) -> Float:
        weights = np.empty_like(relatives)
        kernels.cwmr_nb(relatives, self.phi, self.epsilon, self.variant, weights)
        return weights


class ConfidenceWeightedVariance(ConfidenceWeighted):
    """CWMR, variance: the confidence is linearised (Li, Hoi, Zhao and Gopalkrishnan 2013).

    Args: as for `cwmr_stdev`.
    """

    name = "cwmr_var"
    variant = kernels.VARIANCE


class MovingAverage1(OnlinePolicy):
    """OLMAR-1: the nearest portfolio that earns epsilon if prices revert to the mean of the last
    `window` (Li and Hoi 2012).

    The first two portfolios are uniform; until window + 1 relatives are known, the last of them is
    the prediction.

    Args:
        epsilon: growth aimed at, > 0. window: prices in the mean, the last included, >= 2.
        as_printed: reproduces the digits printed in the paper, which sum window - 1 of the terms,
            divide by the window and begin a day earlier; not the strategy that the paper describes.
    """

    name = "olmar_1"

    def __init__(
        self,
        market: MarketData,
        *,
        epsilon: float = 10.0,
        window: int = 5,
        as_printed: bool = False,
    ) -> None:
        self.epsilon = number("olmar_1", "epsilon", epsilon, above=0.0)
        self.window = whole("olmar_1", "window", window, least=2)
        if not isinstance(as_printed, bool):
            raise InputError(f"olmar_1: as_printed must be true or false, got {as_printed!r}")
        self.as_printed = as_printed
        super().__init__(market)

    def decide(self, relatives: Float) -> Float:
        weights = np.empty_like(relatives)
        terms, first = (self.window - 1, 1) if self.as_printed else (self.window, 2)
        kernels.olmar_1_nb(relatives, self.epsilon, self.window, terms, first, weights)
        return weights


class MovingAverage2(OnlinePolicy):
    """OLMAR-2: as OLMAR-1, to an exponential mean of prices (Li and Hoi 2012).

    Args:
        epsilon: growth aimed at, > 0. alpha: weight of the last price in the mean, in [0, 1].
    """

    name = "olmar_2"

    def __init__(self, market: MarketData, *, epsilon: float = 10.0, alpha: float = 0.5) -> None:
        self.epsilon = number("olmar_2", "epsilon", epsilon, above=0.0)
        self.alpha = number("olmar_2", "alpha", alpha, least=0.0, most=1.0)
        super().__init__(market)

    def decide(self, relatives: Float) -> Float:
        weights = np.empty_like(relatives)
        kernels.olmar_2_nb(relatives, self.epsilon, self.alpha, weights)
        return weights


class RobustMedian(OnlinePolicy):
    """RMR: as OLMAR-1, to the L1 median of the last `window` price vectors (Huang, Zhou, Li, Hoi
    and Zhou 2013).

    The median depends on the unit of each price: all are 1 at row 1, the first whose relative is
    known.

    Args:
        epsilon: growth aimed at, > 0. window: prices of which the median is taken, >= 2.
    """

    name = "rmr"

    def __init__(self, market: MarketData, *, epsilon: float = 5.0, window: int = 5) -> None:
        self.epsilon = number("rmr", "epsilon", epsilon, above=0.0)
        self.window = whole("rmr", "window", window, least=2)
        super().__init__(market)

    def decide(self, relatives: Float) -> Float:
        weights = np.empty_like(relatives)
        kernels.rmr_nb(relatives, self.epsilon, self.window, weights)
        return weights
