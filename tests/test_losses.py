"""Financial losses: the measures of the reports, with gradients as by finite differences."""

import numpy as np
import pytest
import torch

from envs.market.kernel import LOWEST_GROWTH
from experiments.evaluation import metrics
from networks import losses
from networks.losses import FinancialLoss

YEAR = 252.0
CASH = 0.0001


def series(shape=(4, 60), seed=0):
    return 0.0005 + 0.01 * np.random.default_rng(seed).normal(size=shape)


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


PAIRS = {
    "mean_log_return": (
        lambda r: losses.mean_log_return(r, YEAR),
        lambda r: metrics.mean_log_return(r, YEAR),
    ),
    "variance": (lambda r: losses.variance(r, YEAR), lambda r: metrics.volatility(r, YEAR) ** 2),
    "sharpe": (
        lambda r: losses.sharpe(r, YEAR, CASH),
        lambda r: metrics.sharpe(r, YEAR, CASH),
    ),
    "sortino": (
        lambda r: losses.sortino(r, YEAR, CASH),
        lambda r: metrics.sortino(r, YEAR, CASH),
    ),
    "max_drawdown": (losses.max_drawdown, metrics.max_drawdown),
    "calmar": (lambda r: losses.calmar(r, YEAR), lambda r: metrics.calmar(r, YEAR)),
    "cvar": (losses.cvar, metrics.cvar),
    "cvar of a fraction": (lambda r: losses.cvar(r, 0.07), lambda r: metrics.cvar(r, 0.07)),
    "cvar of one": (lambda r: losses.cvar(r, 0.001), lambda r: metrics.cvar(r, 0.001)),
    "turnover": (
        lambda r: losses.turnover_per_year(r.abs(), YEAR),
        lambda r: metrics.per_year(np.abs(r), YEAR),
    ),
}


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("shape", [(4, 60), (2, 3, 7), (1000,)])
def test_a_loss_is_the_measure_of_the_reports(name, shape):
    mine, theirs = PAIRS[name]
    returns = series(shape)
    np.testing.assert_allclose(mine(tensor(returns)), theirs(returns), rtol=1e-11, atol=1e-13)


def test_information_ratio_is_the_sharpe_ratio_of_the_difference():
    returns, benchmark = series(), series(seed=1)
    mine = losses.information_ratio(tensor(returns), tensor(benchmark), YEAR)
    np.testing.assert_allclose(mine, metrics.sharpe(returns - benchmark, YEAR), rtol=1e-12)


def test_mean_variance_is_the_reward_term():
    """Of the formula in `envs.rewards`, for two returns by hand."""
    mine = losses.mean_variance(tensor([0.02, -0.01]), YEAR, 4.0)
    assert float(mine) == pytest.approx(126.0 * (0.01 - 2.0 * (0.0004 + 0.0001)), rel=1e-14)


@pytest.mark.parametrize("name", PAIRS)
def test_gradients_are_those_of_finite_differences(name):
    returns = tensor(series((2, 30), seed=2)).requires_grad_()
    assert torch.autograd.gradcheck(PAIRS[name][0], (returns,), eps=1e-7, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("term", losses.TERMS)
@pytest.mark.parametrize(
    "returns", [np.zeros((2, 20)), np.full((2, 20), 0.001), np.full((2, 20), -1.5)]
)
def test_series_without_variance_and_ruin_have_finite_gradients(term, returns):
    variable = tensor(returns).requires_grad_()
    loss = FinancialLoss({term: 1.0}, pooled=False)
    value = loss(variable, turnover=variable.abs(), benchmark=torch.zeros_like(variable))
    value.backward()
    assert torch.isfinite(value) and torch.isfinite(variable.grad).all()


def test_nan_is_not_hidden():
    returns = tensor(series())
    returns[1, 3] = torch.nan
    for term in losses.TERMS:
        loss = FinancialLoss({term: 1.0}, pooled=False)
        assert loss(returns, turnover=returns, benchmark=torch.zeros_like(returns)).isnan(), term


def test_growth_is_cut_where_rewards_cut_it():
    assert losses.LOWEST_GROWTH == LOWEST_GROWTH
    assert float(losses.mean_log_return(tensor([-2.0]), 1.0)) == pytest.approx(np.log(1e-4))


def test_sortino_is_not_the_ratio_over_the_deviation_of_negative_returns():
    """Two mistakes of example code: days without a loss left out, and a daily mean over an
    annualised deviation. Four returns by hand."""
    returns = np.array([0.021, -0.009, 0.011, -0.019])
    by_hand = 0.001 / np.sqrt((0.009**2 + 0.019**2) / 4) * np.sqrt(YEAR)
    assert float(losses.sortino(tensor(returns), YEAR)) == pytest.approx(by_hand, rel=1e-12)


def test_a_loss_is_the_weighted_sum_with_signs():
    returns, turnover = series(), np.abs(series(seed=3))
    loss = FinancialLoss(
        {"sharpe": 1.0, "cvar": 5.0, "turnover": 0.01, "max_drawdown": 2.0, "variance": 0.0},
        pooled=False,
        tail=0.1,
    )
    expected = (
        -metrics.sharpe(returns, YEAR).mean()
        + 5.0 * metrics.cvar(returns, 0.1).mean()
        + 0.01 * metrics.per_year(turnover, YEAR).mean()
        + 2.0 * metrics.max_drawdown(returns).mean()
    )
    mine = loss(tensor(returns), turnover=tensor(turnover))
    assert float(mine) == pytest.approx(float(expected), rel=1e-12)
    assert list(loss.terms(tensor(returns), turnover=tensor(turnover))) == [
        "sharpe", "cvar", "turnover", "max_drawdown",
    ]  # fmt: skip


def test_pooled_is_the_ratio_of_all_sequences_as_one_but_drawdowns_stay_their_own():
    returns, cash = series(), np.linspace(0.0, 0.0002, 60)
    whole = FinancialLoss({"sharpe": 1.0})(tensor(returns), cash=tensor(cash))
    theirs = metrics.sharpe(returns.ravel(), YEAR, np.broadcast_to(cash, returns.shape).ravel())
    assert float(whole) == pytest.approx(-float(theirs), rel=1e-12)
    drawdown = FinancialLoss({"max_drawdown": 1.0})(tensor(returns))
    assert float(drawdown) == pytest.approx(metrics.max_drawdown(returns).mean(), rel=1e-12)


def test_descent_on_the_loss_raises_the_measure():
    """It ends in the known weights of the highest Sharpe ratio of a sample, Sigma^-1 mu."""
    rng = np.random.default_rng(5)
    assets = 0.001 + 0.01 * rng.normal(size=(500, 4))
    best = np.linalg.solve(np.cov(assets.T), assets.mean(axis=0))
    weights = torch.full((4,), 0.25, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([weights], max_iter=200, line_search_fn="strong_wolfe")
    loss = FinancialLoss({"sharpe": 1.0})

    def closure():
        optimiser.zero_grad()
        value = loss((tensor(assets) * weights).sum(-1))
        value.backward()
        return value

    optimiser.step(closure)
    found = weights.detach().numpy()
    np.testing.assert_allclose(found / found.sum(), best / best.sum(), atol=1e-4)


def test_l1_norm_is_the_sum_of_absolute_values():
    layer = torch.nn.Linear(3, 2)
    values = np.concatenate([p.detach().numpy().ravel() for p in layer.parameters()])
    assert float(losses.l1_norm(layer.parameters()).detach()) == pytest.approx(np.abs(values).sum())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"weights": {}}, "needs a weight above 0 for at least one of: growth"),
        ({"weights": {"sharpe": 0.0}}, "needs a weight above 0"),
        ({"weights": {"sharp": 1.0}}, "unknown measure 'sharp' in a loss; did you mean sharpe"),
        ({"weights": {"cvar": -1.0}}, "weight of cvar in a loss must be a number of at least 0"),
        ({"weights": {"cvar": float("nan")}}, "weight of cvar"),
        ({"weights": {"cvar": "much"}}, "weight of cvar"),
        ({"weights": {"cvar": 1.0}, "tail": 1.0}, r"tail must lie in \(0, 1\), got 1"),
        ({"weights": {"cvar": 1.0}, "periods_per_year": 0.0}, "periods_per_year must be positive"),
        ({"weights": {"cvar": 1.0}, "risk_aversion": -1.0}, "risk_aversion must be positive"),
    ],
)
def test_wrong_settings_say_what_is_wrong(settings, message):
    with pytest.raises(ValueError, match=message):
        FinancialLoss(**settings)


def test_a_term_says_what_it_needs():
    returns = tensor(series())
    with pytest.raises(ValueError, match="turnover of a loss needs turnover="):
        FinancialLoss({"turnover": 1.0})(returns)
    with pytest.raises(ValueError, match="information_ratio of a loss needs benchmark="):
        FinancialLoss({"information_ratio": 1.0})(returns)
    with pytest.raises(ValueError, match="at least two returns, got 1"):
        FinancialLoss({"sharpe": 1.0})(returns[:, :1])
