"""The baselines by scikit-learn: its answers, out of our arrays."""

import numpy as np
import pytest
import torch
from scipy.special import expit, softmax
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler

from networks.forecast import QUANTILES
from networks.predictors import InputShape, make_predictor
from networks.predictors.baselines import summary, thinned
from networks.targets import Targets
from networks.windows import WindowDataset

T, A, F, WINDOW = 700, 3, 4, 8
SHAPE = InputShape(WINDOW, A, F)
TRAIN, VALIDATION = np.arange(WINDOW - 1, 450), np.arange(480, 679)


def planted(directions=(0, 1, 2), seed=0):
    """A panel, and targets that follow its features, some of them unknown."""
    rng = np.random.default_rng(seed)
    panel = rng.normal(size=(T, A, F)).astype(np.float32)
    noise = rng.normal(size=(T, A, 5))
    signal = panel[..., :1] + np.roll(panel[..., 1:2], 2, axis=0) + np.abs(panel[..., 2:3])
    values = signal + noise
    cut = np.array([-np.inf, -0.3, 0.3]) if len(directions) == 3 else np.array([-np.inf, 0.0])
    direction = np.array(directions)[np.searchsorted(cut, values[..., 0]) - 1]
    direction[rng.random((T, A)) < 0.05] = -1
    values[rng.random((T, A)) < 0.05] = np.nan
    targets = Targets(
        direction.astype(np.int64),
        values[..., :3].astype(np.float32),
        values[..., :3],
        values[..., 3].astype(np.float32),
        np.ones((T, A)),
        reach=20,
    )
    return panel, targets


def fitted(name, panel, targets, **settings):
    predictor = make_predictor(name, SHAPE, **settings)
    predictor.fit(panel, targets, TRAIN, VALIDATION)
    return predictor.eval()


def columns(panel, targets, rows):
    """What a baseline sees, with the answers, unknown ones included."""
    x = summary(WindowDataset(panel, rows, WINDOW, targets)[range(len(rows))].x)
    return x.flatten(0, 1).numpy(), targets.direction[rows].ravel()


def forecasts(predictor, panel, targets, rows):
    x = WindowDataset(panel, rows, WINDOW, targets)[range(len(rows))].x
    return [part.flatten(0, 1).double().numpy() for part in predictor(x)]


def test_the_summary_by_its_definition():
    x = torch.randn(5, 12, A, F, dtype=torch.float64)
    seen = summary(x)
    rows = x.numpy()
    expected = [rows[:, 11 - k] for k in (0, 1, 2, 5, 10)]
    expected += [rows[:, 7:].mean(axis=1), rows.mean(axis=1)]
    np.testing.assert_allclose(seen.numpy(), np.concatenate(expected, axis=-1), atol=1e-12)
    assert summary(x[:, -1:]).shape == (5, A, F)


@pytest.mark.parametrize("directions", [(0, 1, 2), (0, 2)])
def test_linear_answers_as_scikit_learn_does(directions):
    panel, targets = planted(directions)
    # One penalty, so that nothing is left to choose.
    predictor = fitted("linear", panel, targets, penalties=(0.01,))
    x, direction = columns(panel, targets, TRAIN)
    scaler = StandardScaler().fit(x.astype(np.float64))
    tested = scaler.transform(columns(panel, targets, VALIDATION)[0].astype(np.float64))
    seen, known = scaler.transform(x.astype(np.float64)), direction >= 0
    model = LogisticRegression(C=1 / (0.01 * known.sum()), max_iter=500)
    model.fit(seen[known], direction[known])
    logits, returns, confidence, volatility, quantiles = forecasts(
        predictor, panel, targets, VALIDATION
    )
    probabilities = softmax(logits, axis=1)
    np.testing.assert_allclose(
        probabilities[:, model.classes_], model.predict_proba(tested), atol=1e-5
    )
    np.testing.assert_allclose(expit(confidence), probabilities.max(axis=1), atol=1e-5)
    for truth, answer in (
        (targets.expected_return[..., 1], returns[:, 1]),
        (targets.log_volatility, volatility),
    ):
        y = truth[TRAIN].ravel().astype(np.float64)
        use = np.isfinite(y)
        ridge = Ridge(alpha=0.01 * use.sum()).fit(seen[use], y[use])
        np.testing.assert_allclose(answer, ridge.predict(tested), atol=1e-5)
    truth = targets.expected_return[VALIDATION][..., 0].ravel()
    below = truth[np.isfinite(truth), None] < quantiles[np.isfinite(truth)]
    np.testing.assert_allclose(below.mean(axis=0), QUANTILES, atol=2 / len(VALIDATION))


@pytest.mark.parametrize("directions", [(0, 1, 2), (0, 2)])
def test_trees_walk_as_scikit_learn_walks_them(directions):
    panel, targets = planted(directions)
    predictor = fitted("gradient_boosting", panel, targets, trees=30, depth=3)
    x, direction = columns(panel, targets, TRAIN)
    other, unseen = columns(panel, targets, VALIDATION)
    settings = dict(
        max_iter=30, max_depth=3, max_leaf_nodes=8, learning_rate=0.1, min_samples_leaf=50,
        n_iter_no_change=10, early_stopping=True, random_state=0,
    )  # fmt: skip
    known, tested = direction >= 0, unseen >= 0
    model = HistGradientBoostingClassifier(**settings).fit(
        x[known], direction[known], X_val=other[tested], y_val=unseen[tested]
    )
    best = int(np.argmax(model.validation_score_))
    expected = list(model.staged_predict_proba(other))[best - 1]
    logits, returns, *_ = forecasts(predictor, panel, targets, VALIDATION)
    np.testing.assert_allclose(
        softmax(logits, axis=1)[:, model.classes_], expected, rtol=1e-5, atol=1e-7
    )
    y, z = (targets.expected_return[rows][..., 0].ravel() for rows in (TRAIN, VALIDATION))
    use, check = np.isfinite(y), np.isfinite(z)
    regressor = HistGradientBoostingRegressor(**settings).fit(
        x[use], y[use].astype(np.float64), X_val=other[check], y_val=z[check].astype(np.float64)
    )
    best = int(np.argmax(regressor.validation_score_))
    assert best > 3
    np.testing.assert_allclose(
        returns[:, 0], list(regressor.staged_predict(other))[best - 1], rtol=1e-5, atol=1e-6
    )


def test_rows_are_thinned_where_there_are_too_many():
    rows = np.arange(10, 110)
    assert thinned(rows, 4, 400).tolist() == rows.tolist()
    assert thinned(rows, 4, 399).tolist() == rows[::2].tolist()
    assert len(thinned(rows, 4, 60)) * 4 <= 60


@pytest.mark.parametrize("name", ["linear", "gradient_boosting"])
def test_nothing_after_the_rows_is_read(name):
    panel, targets = planted()
    before = fitted(name, panel, targets)
    changed = panel.copy()
    changed[VALIDATION[-1] + 1 :] = 99.0
    later = targets._replace(direction=targets.direction.copy())
    later.direction[VALIDATION[-1] + 1 :] = 0
    after = fitted(name, changed, later)
    for key, value in before.state_dict().items():
        assert torch.equal(value, after.state_dict()[key]), key


@pytest.mark.parametrize("name", ["linear", "gradient_boosting"])
def test_refused(name):
    panel, targets = planted()
    predictor = make_predictor(name, SHAPE)
    with pytest.raises(ValueError, match="not been fitted"):
        predictor(torch.zeros(1, WINDOW, A, F))
    with pytest.raises(ValueError, match="reads 20 rows ahead"):
        predictor.fit(panel, targets, TRAIN, np.arange(455, 600))
    one = targets._replace(direction=np.full((T, A), 2))
    with pytest.raises(ValueError, match="the same direction"):
        predictor.fit(panel, one, TRAIN, VALIDATION)
    none = targets._replace(log_volatility=np.full((T, A), np.nan, np.float32))
    with pytest.raises(ValueError, match="no training row has known targets"):
        predictor.fit(panel, none, TRAIN, VALIDATION)


def test_settings_refused():
    for settings in ({"penalties": ()}, {"penalties": (0.0,)}):
        with pytest.raises(ValueError, match="penalties"):
            make_predictor("linear", SHAPE, **settings)
    for settings in ({"depth": 9}, {"depth": 0}, {"trees": 0}, {"learning_rate": 1.5}):
        with pytest.raises(ValueError, match=next(iter(settings))):
            make_predictor("gradient_boosting", SHAPE, **settings)
