"""The torch twin of the accounting kernel: equal to the kernel, and with its gradients."""

import numpy as np
import pytest
import torch

from envs.data import futures, simulated, sp500
from envs.market.costs import ProportionalCost, QuadraticCost
from envs.market.kernel import drift_nb, trade_nb
from envs.market.processes import GeometricBrownian, MeanReverting
from envs.simulation import make_setting
from envs.vector import PortfolioVectorEnv
from networks.accounting import step, trade, wealth_path

A = 6
EQUAL = 1e-10


def tensor(values):
    return torch.tensor(np.asarray(values), dtype=torch.float64)


def random_weights(rng, shape, long_only):
    raw = rng.normal(size=(*shape, A))
    if long_only:
        raw = np.exp(rng.normal(size=(*shape, A + 1)))
        return raw / raw.sum(axis=-1, keepdims=True)
    raw *= 0.4
    return np.concatenate([raw, 1.0 - raw.sum(axis=-1, keepdims=True)], axis=-1)


def kernel_step(held, target, before, after, commission, half_spread):
    """One step by the kernels that move the money: weights, growth, cost, turnover."""
    n = len(held)
    rows, one = np.arange(n), [np.ones(n) for _ in range(6)]
    drifted = held.copy()
    if before is not None:
        drift_nb(rows, before, held, drifted, one[0])
    trade_nb(drifted, target, commission, half_spread, *one[1:5])
    held = target.copy()
    if after is not None:
        drift_nb(rows, after, target, held, one[5])
    return held, one[0] * one[1] * one[5], one[2] + one[3], one[4]


@pytest.mark.parametrize("long_only", [True, False])
@pytest.mark.parametrize("legs", ["before", "after", "both"])
def test_a_step_is_that_of_the_kernel(long_only, legs):
    rng = np.random.default_rng(0)
    n = 500
    held, target = (random_weights(rng, (n,), long_only) for _ in range(2))
    target[:20] = held[:20]  # with nothing to trade but what prices moved
    before, after = (np.exp(0.05 * rng.normal(size=(n, A + 1))) for _ in range(2))
    before = before if legs != "after" else None
    after = after if legs != "before" else None
    commission, half_spread = rng.uniform(0.0, 0.02, A), rng.uniform(0.0, 0.02, A)
    money = kernel_step(held, target, before, after, commission, half_spread)
    legs = [None if leg is None else tensor(leg) for leg in (before, after)]
    twin = step(tensor(held), tensor(target), *legs, tensor(commission), tensor(half_spread))
    for mine, theirs in zip(twin, money, strict=True):
        np.testing.assert_allclose(mine.numpy(), theirs, rtol=0, atol=EQUAL)


def rolled_out(setting, actions):
    """What the env makes of `actions [T, B, n]`: targets, net returns, turnover and costs, each
    with the batch first."""
    env = PortfolioVectorEnv.from_setting(setting, actions.shape[1])
    env.reset(seed=0)
    made = []
    for action in actions:
        env.step(action)
        last = env.simulation.last
        cost = last.commission + last.spread + last.impact
        made.append([last.target.copy(), last.net_return.copy(), last.turnover.copy(), cost.copy()])
    return [np.stack(column, axis=1) for column in zip(*made, strict=True)]


def in_cash(batch, n_assets):
    held = torch.zeros(batch, n_assets + 1, dtype=torch.float64)
    held[:, -1] = 1.0
    return held


def rows_of(rates, rows):
    return tensor(np.broadcast_to(rates, (max(len(rates), rows.stop), rates.shape[1]))[rows])


def assert_path_equals(setting, actions, quadratic=None):
    targets, *money = rolled_out(setting, actions)
    rows = slice(setting.first, setting.first + len(actions))
    legs = [
        None if g is None else tensor(g[rows]) for g in (setting.legs.before, setting.legs.after)
    ]
    costs = setting.costs
    path = wealth_path(
        tensor(targets),
        in_cash(actions.shape[1], setting.market.n_assets),
        *legs,
        rows_of(costs.commission, rows),
        rows_of(costs.half_spread, rows),
        quadratic,
    )
    for mine, theirs in zip(path, money, strict=True):
        np.testing.assert_allclose(mine.numpy(), theirs, rtol=0, atol=EQUAL)


@pytest.mark.parametrize("execution", ["next_close", "same_close"])
@pytest.mark.parametrize("action", ["simplex", "long_short"])
def test_a_path_of_stocks_is_that_of_the_env(execution, action):
    market = sp500()
    setting = make_setting(
        market,
        action=action,
        action_settings={"gross": 2.0, "net": 1.0} if action == "long_short" else None,
        execution=execution,
        cost=ProportionalCost(10.0, 20.0),
        start=4000,
        stop=4130,
    )
    n = setting.action_map.n_actions
    assert_path_equals(setting, np.random.default_rng(1).uniform(-0.5, 1.0, (126, 8, n)))


def test_a_path_of_futures_with_a_schedule_of_costs_is_that_of_the_env():
    """Over listings: an asset has weight 0 before it can be traded."""
    market = futures(start="2008-06-01", end="2009-06-01")
    unlisted = ~market.tradable
    assert unlisted[0].any() and not unlisted[-1].all()
    setting = make_setting(
        market,
        action="long_short",
        action_settings={"gross": 3.0, "net": 3.0},
        cost=ProportionalCost(0.0, "one_way_cost"),
        stop=200,
    )
    assert len(setting.costs.half_spread) > 1
    actions = np.random.default_rng(2).uniform(-0.2, 0.2, (190, 4, market.n_assets))
    actions[unlisted[1:191][:, None].repeat(4, axis=1)] = 0.0
    assert_path_equals(setting, actions)


def test_a_path_with_quadratic_costs_is_that_of_the_env():
    process = MeanReverting(
        loadings=[[1.0, 0.0], [0.0, 1.0], [-0.5, 0.5]],
        reversion=[0.2, 0.02],
        factor_volatility=[0.002, 0.001],
        volatility=0.2,
        correlation=0.3,
    )
    setting = make_setting(
        simulated(process, n_rows=100),
        action="long_short",
        action_settings={"gross": 5.0, "net": 5.0},
        execution="same_close",
        cost=QuadraticCost(quadratic=0.005, commission_bps=1.0, half_spread_bps=2.0),
    )
    actions = np.random.default_rng(3).uniform(-0.4, 0.4, (90, 8, 3))
    assert_path_equals(setting, actions, quadratic=tensor(setting.costs.impact[0]))


def random_path(seed=4, batch=3, steps=5):
    rng = np.random.default_rng(seed)
    growth = [tensor(np.exp(0.05 * rng.normal(size=(batch, steps, A + 1)))) for _ in range(2)]
    rates = [tensor(rng.uniform(0.001, 0.02, (steps, A))) for _ in range(2)]
    logits = tensor(rng.normal(size=(batch, steps, A + 1))).requires_grad_()
    return logits, growth, rates


@pytest.mark.parametrize("quadratic", [None, 0.05])
@pytest.mark.parametrize("long_only", [True, False])
def test_gradients_of_a_path_are_those_of_finite_differences(long_only, quadratic):
    logits, growth, rates = random_path()
    square = None if quadratic is None else torch.full((A,), quadratic, dtype=torch.float64)
    start = in_cash(3, A)

    def earned(logits):
        if long_only:
            targets = logits.softmax(-1)
        else:
            assets = 0.5 * logits[..., :-1].tanh()
            targets = torch.cat([assets, 1.0 - assets.sum(-1, keepdim=True)], dim=-1)
        return tuple(wealth_path(targets, start, *growth, *rates, square))

    assert torch.autograd.gradcheck(earned, (logits,), eps=1e-6, atol=1e-7)


def test_gradients_of_a_step_are_those_of_the_kernel():
    """Central differences of what the kernel charges, for weights held and for targets."""
    rng = np.random.default_rng(5)
    held, target = (random_weights(rng, (1,), True) for _ in range(2))
    before, after = (np.exp(0.05 * rng.normal(size=(1, A + 1))) for _ in range(2))
    rates = rng.uniform(0.001, 0.02, A), rng.uniform(0.0, 0.02, A)
    variables = [tensor(w).requires_grad_() for w in (held, target)]
    step(*variables, tensor(before), tensor(after), *map(tensor, rates)).growth.sum().backward()
    for k, point in enumerate((held, target)):
        for i in range(A):
            # From cash to asset i, so that the weights still sum to 1.
            shift = np.zeros(A + 1)
            shift[[i, -1]] = 1e-6, -1e-6
            ends = []
            for sign in (1.0, -1.0):
                points = [held, target]
                points[k] = point + sign * shift
                ends.append(kernel_step(*points, before, after, *rates)[1][0])
            slope = (ends[0] - ends[1]) / 2e-6
            gradient = variables[k].grad[0]
            assert float(gradient[i] - gradient[-1]) == pytest.approx(slope, abs=1e-8)


def test_a_path_is_its_steps():
    logits, growth, rates = random_path(seed=6)
    targets = logits.detach().softmax(-1)
    start = in_cash(3, A)
    path = wealth_path(targets, start, *growth, *rates)
    held = start
    for t in range(targets.shape[1]):
        made = step(held, targets[:, t], growth[0][:, t], growth[1][:, t], rates[0][t], rates[1][t])
        held = made.held
        np.testing.assert_allclose(path.net_return[:, t], made.growth - 1.0, rtol=0, atol=1e-15)
        np.testing.assert_allclose(path.turnover[:, t], made.turnover, rtol=0, atol=1e-15)
        np.testing.assert_allclose(path.cost[:, t], made.cost, rtol=0, atol=1e-15)


def test_growth_without_costs_is_maximised_at_the_mertons_weight():
    """Trained through the twin, a constant weight ends where the exact optimum of the market is."""
    from envs.market.known_answers import optimum

    process = GeometricBrownian(drift=[0.10], volatility=[0.40], correlation=0.0, cash_rate=0.02)
    made = process.simulate(np.arange(4000, dtype=np.uint64), 60).growth
    growth = np.concatenate([made, np.full_like(made, 1.0 + 0.02 / 252)], axis=-1)
    # Antithetic: the sample has the mean of the law, so that luck does not move the best weight.
    expected = 1.0 + 0.10 / 252
    growth[..., 0] *= expected / growth[..., 0].mean()
    logit = torch.zeros((), dtype=torch.float64, requires_grad=True)
    nothing = torch.zeros(1, dtype=torch.float64)
    optimiser = torch.optim.LBFGS([logit], max_iter=50, line_search_fn="strong_wolfe")

    def loss():
        optimiser.zero_grad()
        weight = logit.sigmoid()
        targets = torch.stack([weight, 1.0 - weight]).expand(4000, 60, 2)
        path = wealth_path(targets, in_cash(4000, 1), None, tensor(growth), nothing, nothing)
        value = -path.net_return.log1p().mean()
        value.backward()
        return value

    optimiser.step(loss)
    best = optimum(process).target[0]
    assert float(logit.detach().sigmoid()) == pytest.approx(best, abs=0.01)


def test_a_ruined_portfolio_goes_on_in_cash_as_in_the_kernel():
    held = np.array([[3.0] + [0.0] * (A - 1) + [-2.0]])
    target = held.copy()
    crash = np.ones((1, A + 1))
    crash[0, 0] = 0.5
    rates = np.full(A, 0.001), np.zeros(A)
    money = kernel_step(held, target, None, crash, *rates)
    variable = tensor(target).requires_grad_()
    made = step(tensor(held), variable, None, tensor(crash), *map(tensor, rates))
    np.testing.assert_allclose(made.held.detach(), money[0], rtol=0, atol=0)
    np.testing.assert_allclose(made.growth.detach(), money[1], rtol=0, atol=1e-15)
    made.growth.sum().backward()
    assert torch.isfinite(variable.grad).all()


def test_what_would_be_a_silent_wrong_gradient_is_refused():
    logits, growth, rates = random_path()
    targets = logits.detach().softmax(-1)
    start = in_cash(3, A)
    with pytest.raises(ValueError, match=r"targets must be float64, got torch\.float32"):
        wealth_path(targets.float(), start, *growth, *rates)
    with pytest.raises(ValueError, match=r"sum to 1 with cash, and are off by up to 0\.5"):
        wealth_path(1.5 * targets, start, *growth, *rates)
    broken = targets.clone()
    broken[2, 4, 1] = torch.nan
    with pytest.raises(ValueError, match="targets is not finite at row 4, column 1 of sequence 2"):
        wealth_path(broken, start, *growth, *rates)
    growth[1][0, 3, 2] = torch.inf
    with pytest.raises(ValueError, match="growth_after is not finite at row 3, column 2 of sequ"):
        wealth_path(targets, start, *growth, *rates)
    with pytest.raises(ValueError, match="exceeds what it trades"):
        # With half of every trade lost at a leverage of 30, what is left has no answer.
        weights = [tensor([w] * A + [1.0 - w * A]) for w in (6.0, 5.0)]
        trade(*weights, tensor([0.5] * A))
