"""Every head has a loss against a target of its own, masked where that is unknown."""

import numpy as np
import pytest
import torch
from scipy import optimize, stats
from sklearn.metrics import log_loss, mean_pinball_loss, mean_squared_error

from networks.calibration import calibrate_head, platt
from networks.forecast import BUY, HOLD, QUANTILES, SELL, Forecast, ForecastHeads
from networks.objective import HEADS, Objective, was_right
from networks.windows import Batch

B, A = 40, 3


def make(seed=0, unknown=0.2):
    """A forecast with gradients and a batch, parts of which are unknown."""
    rng = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(*shape, generator=rng)  # noqa: E731
    forecast = Forecast(
        draw(B, A, 3),
        draw(B, A, 3),
        draw(B, A),
        0.3 * draw(B, A),
        draw(B, A, 5).sort(dim=-1).values,
    )
    forecast = Forecast(*(part.requires_grad_() for part in forecast))
    direction = torch.randint(0, 3, (B, A), generator=rng)
    expected, log_volatility = 2 * draw(B, A, 3), 0.3 * draw(B, A)
    hidden = torch.rand(B, A, generator=rng) < unknown
    direction[hidden] = -1
    expected[hidden] = torch.nan
    log_volatility[hidden] = torch.nan
    # The longest horizon is unknown where the first is not.
    expected[:4, :, 2] = torch.nan
    return forecast, Batch(
        torch.zeros(B, 1, A, 1), direction, expected, log_volatility, torch.arange(B)
    )


def value(loss):
    return float(loss.detach())


def only(head, **how):
    return Objective(**{**dict.fromkeys(HEADS, 0.0), head: 1.0}, **how)


# ------------------------------------------------------------------------ against other libraries
def test_directions_are_judged_by_cross_entropy():
    forecast, batch = make()
    known = batch.direction != -1
    labels = batch.direction[known].numpy()
    p = torch.softmax(forecast.direction, -1)[known].detach().double().numpy()
    p /= p.sum(axis=1, keepdims=True)
    assert float(only("direction")(forecast, batch).detach()) == pytest.approx(
        log_loss(labels, p, labels=[SELL, HOLD, BUY]), rel=1e-6
    )
    weights = (2.0, 1.0, 0.5)
    weighted = log_loss(labels, p, labels=[0, 1, 2], sample_weight=np.array(weights)[labels])
    found = only("direction", class_weights=weights)(forecast, batch)
    assert value(found) == pytest.approx(weighted, rel=1e-6)


def test_returns_are_judged_by_squares_or_by_huber():
    forecast, batch = make()
    known = ~torch.isnan(batch.expected_return)
    target, made = batch.expected_return[known].numpy(), forecast.expected_return[known]
    made = made.detach().numpy()
    assert value(only("expected_return", return_loss="mse")(forecast, batch)) == pytest.approx(
        mean_squared_error(target, made), rel=1e-6
    )
    error = np.abs(target - made)
    huber = np.where(error < 0.7, error**2 / 2, 0.7 * (error - 0.35)).mean()
    found = only("expected_return", huber_delta=0.7)(forecast, batch)
    assert value(found) == pytest.approx(huber, rel=1e-6)


def test_quantiles_are_judged_by_the_pinball_loss():
    forecast, batch = make()
    known = ~torch.isnan(batch.expected_return[..., 0])
    target = batch.expected_return[..., 0][known].numpy()
    losses = [
        mean_pinball_loss(target, forecast.quantiles[..., k][known].detach().numpy(), alpha=level)
        for k, level in enumerate(QUANTILES)
    ]
    assert value(only("quantiles")(forecast, batch)) == pytest.approx(np.mean(losses), rel=1e-6)


def test_volatility_is_judged_by_squares_of_logs_or_qlike():
    forecast, batch = make()
    known = ~torch.isnan(batch.log_volatility)
    target = batch.log_volatility[known].double().numpy()
    made = forecast.log_volatility[known].detach().double().numpy()
    found = only("volatility")(forecast, batch)
    assert value(found) == pytest.approx(mean_squared_error(target, made), rel=1e-5)
    ratio = np.exp(2 * target) / np.exp(2 * made)
    qlike = (ratio - np.log(ratio) - 1).mean()
    found = only("volatility", volatility_loss="qlike")(forecast, batch)
    assert value(found) == pytest.approx(qlike, rel=1e-5)


def test_the_whole_is_the_weighted_sum():
    forecast, batch = make()
    weights = dict(zip(HEADS, (1.0, 0.5, 2.0, 0.25, 3.0), strict=True))
    parts = sum(w * value(only(head)(forecast, batch)) for head, w in weights.items())
    assert value(Objective(**weights)(forecast, batch)) == pytest.approx(parts, rel=1e-6)


# ------------------------------------------------------------------ each against the right target
def fitted_constant(objective, batch, steps=700):
    """The one forecast for all cells that the objective likes best."""
    shapes = ((3,), (3,), (), (), (5,))
    free = [torch.zeros(shape, requires_grad=True) for shape in shapes]
    optimiser = torch.optim.Adam(free, lr=0.05)
    rate = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        optimiser.zero_grad()
        objective(Forecast(*(f.expand(B, A, *f.shape) for f in free)), batch).backward()
        optimiser.step()
        rate.step()
    return Forecast(*(f.detach() for f in free))


def test_the_best_constant_is_the_statistic_that_each_head_promises():
    _, batch = make(unknown=0.3)
    best = fitted_constant(Objective(return_loss="mse"), batch)
    label = batch.direction[batch.direction >= 0]
    share = torch.bincount(label, minlength=3) / len(label)
    torch.testing.assert_close(best.direction.softmax(-1), share, atol=2e-3, rtol=0)
    torch.testing.assert_close(
        best.expected_return, batch.expected_return.nanmean(dim=(0, 1)), atol=2e-3, rtol=0
    )
    first = batch.expected_return[..., 0]
    first = first[~torch.isnan(first)].numpy()
    below = [(first <= float(q)).mean() for q in best.quantiles]
    np.testing.assert_allclose(below, QUANTILES, atol=1.5 / len(first))
    torch.testing.assert_close(
        best.log_volatility, batch.log_volatility.nanmean(), atol=2e-3, rtol=0
    )
    # The probability that the likeliest direction is right.
    torch.testing.assert_close(best.confidence.sigmoid(), share.max(), atol=2e-3, rtol=0)


def test_qlike_is_least_at_the_mean_variance():
    _, batch = make(unknown=0.0)
    best = fitted_constant(only("volatility", volatility_loss="qlike"), batch)
    variance = batch.log_volatility.mul(2).exp().mean()
    torch.testing.assert_close(best.log_volatility.mul(2).exp(), variance, rtol=5e-3, atol=0)


# ---------------------------------------------------------------- trap: a loss without a target
def has_a_target(objective):
    """Whether what a confidence is pushed to depends on whether the directions were right."""

    def pushed(direction):
        forecast, batch = make(unknown=0.0)
        (gradient,) = torch.autograd.grad(
            objective(forecast, batch._replace(direction=direction)), forecast.confidence
        )
        return gradient

    forecast, _ = make(unknown=0.0)
    likeliest = forecast.direction.argmax(-1)
    right, wrong = pushed(likeliest), pushed((likeliest + 1) % 3)
    return bool((right < 0).all() and (wrong > 0).all())


class Planted(Objective):
    """Confidence that has a loss, but none that knows the outcome: it only rises."""

    def _confidence(self, forecast, batch):
        known = batch.direction != -1
        return (-torch.nn.functional.logsigmoid(forecast.confidence) * known).sum(), known.sum()


def test_a_confidence_rises_where_the_direction_was_right_and_falls_where_it_was_wrong():
    assert has_a_target(only("confidence"))
    assert has_a_target(Objective())
    assert not has_a_target(Planted())


def test_confidence_teaches_the_directions_nothing():
    forecast, batch = make()
    only("confidence")(forecast, batch).backward()
    assert forecast.direction.grad is None and forecast.confidence.grad.abs().sum() > 0


@pytest.mark.parametrize("head", HEADS)
def test_every_head_moves_for_its_own_target_only(head):
    forecast, batch = make()
    only(head)(forecast, batch).backward()
    field = "log_volatility" if head == "volatility" else head
    moved = {key for key, part in forecast._asdict().items() if part.grad is not None}
    assert moved == {field}


def test_unknown_targets_change_nothing_and_pull_at_nothing():
    forecast, batch = make()
    Objective()(forecast, batch).backward()
    unknown = batch.direction == -1
    for part in forecast:
        assert (part.grad[unknown] == 0).all() and torch.isfinite(part.grad).all()
    whole = value(Objective()(forecast, batch))
    moved = Forecast(
        *(torch.where(unknown.view(B, A, *[1] * (p.dim() - 2)), 9.0, p) for p in forecast)
    )
    assert value(Objective()(moved, batch)) == whole


def test_a_batch_in_which_nothing_is_known_has_no_loss_and_no_gradient():
    forecast, batch = make(unknown=1.1)
    loss = Objective()(forecast, batch)
    loss.backward()
    assert value(loss) == 0.0
    assert all((part.grad == 0).all() for part in forecast)


def test_gradients_are_those_of_finite_differences():
    forecast, batch = make()
    double = Forecast(*(p.detach().double().requires_grad_() for p in forecast))

    def loss(*parts):
        return Objective(volatility_loss="qlike")(Forecast(*parts), batch)

    for k, part in enumerate(double):
        (gradient,) = torch.autograd.grad(loss(*double), part, retain_graph=True)
        step = torch.zeros_like(part)
        index = tuple(int(n) // 2 for n in part.shape)
        step[index] = 0.03
        shifted = [[p + s * step if j == k else p for j, p in enumerate(double)] for s in (1, -1)]
        slope = (loss(*shifted[0]) - loss(*shifted[1])) / 0.06
        assert value(gradient[index]) == pytest.approx(value(slope), rel=0.03, abs=2e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"direction": -1.0}, "objective.direction must be a number, 0 or more, got -1.0"),
        ({"quantiles": float("nan")}, "objective.quantiles must be"),
        (dict.fromkeys(HEADS, 0.0), "no head to learn"),
        ({"return_loss": "mae"}, "known: huber, mse"),
        ({"volatility_loss": "mae"}, "known: mse, qlike"),
        ({"direction": "x"}, "objective.direction must be a number, 0 or more, got 'x'"),
        ({"direction": True}, "objective.direction must be a number, 0 or more, got True"),
        ({"huber_delta": 0.0}, "huber_delta must be a number above 0"),
        ({"huber_delta": "a"}, "objective.huber_delta must be a number above 0, got 'a'"),
        ({"class_weights": 5}, "objective.class_weights must be three numbers above 0.* got 5"),
        ({"class_weights": "abc"}, "objective.class_weights must be three numbers above 0"),
        ({"class_weights": (1.0, 1.0)}, "three numbers above 0"),
        ({"class_weights": (1.0, 0.0, 1.0)}, "three numbers above 0"),
    ],
)
def test_wrong_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        Objective(**settings)


# ------------------------------------------------------------------------------------ calibration
def test_platt_is_the_maximum_of_his_likelihood():
    rng = np.random.default_rng(0)
    x = rng.normal(1.0, 2.0, 500)
    y = (rng.random(500) < stats.logistic.cdf(0.4 * x - 0.7)).astype(float)
    ones = y.sum()
    target = np.where(y == 1, (ones + 1) / (ones + 2), 1 / (500 - ones + 2))

    def negative(at):
        z = at[0] * x + at[1]
        return float((np.logaddexp(0, z) - target * z).sum())

    best = optimize.minimize(negative, [0.0, 0.0], method="BFGS", options={"gtol": 1e-8}).x
    np.testing.assert_allclose(platt(x, y), best, rtol=1e-3, atol=1e-4)


def test_an_overconfident_logit_becomes_the_share_that_was_right():
    rng = np.random.default_rng(1)
    truth = rng.normal(0.5, 1.0, 200_000)
    right = rng.random(len(truth)) < stats.logistic.cdf(truth)
    # Three times too sure, and on one side.
    slope, intercept = platt(3 * truth + 1, right)
    assert slope == pytest.approx(1 / 3, rel=0.02) and intercept == pytest.approx(-1 / 3, abs=0.02)


def test_on_noise_confidence_becomes_the_base_rate():
    rng = np.random.default_rng(2)
    logits, right = rng.normal(0, 3, 50_000), rng.random(50_000) < 0.4
    slope, intercept = platt(logits, right)
    said = stats.logistic.cdf(slope * logits + intercept)
    assert abs(slope) < 0.01 and np.abs(said - 0.4).max() < 0.05


@pytest.mark.parametrize("right", [np.ones(20), np.zeros(20)])
@pytest.mark.parametrize("logits", [np.linspace(-1, 1, 20), np.zeros(20), 1e4 * np.ones(20)])
def test_calibration_is_finite_where_all_were_right_or_all_alike(logits, right):
    slope, intercept = platt(logits, right)
    assert np.isfinite([slope, intercept]).all()
    said = stats.logistic.cdf(slope * logits + intercept)
    expected = 21 / 22 if right[0] else 1 / 22
    np.testing.assert_allclose(said, expected, atol=0.02)


def test_separable_cases_have_a_finite_slope():
    x = np.linspace(-3, 3, 60)
    slope, intercept = platt(x, x > 0)
    assert 0 < slope < 100 and abs(intercept) < 1


def test_calibration_needs_cases():
    with pytest.raises(ValueError, match="use validation rows whose targets are known"):
        platt(np.array([]), np.array([]))
    with pytest.raises(ValueError, match="finite logits"):
        platt(np.array([np.nan]), np.array([1.0]))


def test_a_calibrated_head_says_slope_times_logit_plus_intercept():
    torch.manual_seed(0)
    heads, encoded = ForecastHeads(6), torch.randn(4, 2, 6)
    before = heads(encoded)
    calibrate_head(heads.confidence, 0.5, -0.2)
    after = heads(encoded)
    torch.testing.assert_close(after.confidence, 0.5 * before.confidence - 0.2)
    assert torch.equal(after.direction, before.direction)


def test_what_was_right_is_the_likeliest_direction():
    forecast, batch = make()
    right, known = was_right(forecast, batch)
    expected = forecast.direction.argmax(-1) == batch.direction
    assert torch.equal(right.bool(), expected) and torch.equal(known, batch.direction >= 0)
