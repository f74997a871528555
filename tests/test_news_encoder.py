"""The sentence encoder, where its files and the extra `news` are here."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from envs.data.fetch import fetched_file
from envs.errors import InputError
from envs.features import read_news
from envs.features.news.encoder import MiniLM
from envs.features.news.evaluation import agreement, folds_of, held_out_score
from envs.features.news.head import MiniLMScorer, RidgeHead, fit_head, head_path
from envs.features.news.rated import rated_news

SENTENCES = [
    "Profits rose far more than expected.",
    "Earnings increased beyond the forecasts.",
    "The cat sleeps on the roof.",
    "Shares fell after the company warned of losses, and its chairman resigned.",
]


@pytest.fixture(scope="module")
def encoder() -> MiniLM:
    try:
        return MiniLM()
    except InputError as error:
        pytest.skip(str(error))


def test_what_means_the_same_points_the_same_way(encoder):
    vectors = encoder.encode(SENTENCES)
    assert vectors.shape == (4, 384)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-12)
    alike = vectors @ vectors.T
    assert alike[0, 1] > 0.6 > 0.2 > abs(alike[0, 2])


def test_a_text_is_read_alone(encoder):
    """Else a text of tomorrow could change the score of one of today, if only in its last bits."""
    together = encoder.encode(SENTENCES)
    for text, vector in zip(SENTENCES, together, strict=True):
        assert encoder.encode([text])[0].tobytes() == vector.tobytes()
    assert encoder.encode([]).shape == (0, 384)
    long = "good " * 2000
    assert encoder.encode([long]).tobytes() == encoder.encode([long + "bad"]).tobytes()


def test_the_scorer_needs_its_head_and_no_other(encoder, tmp_path, monkeypatch):
    weights = fetched_file("minilm", "model.onnx")
    words = fetched_file("minilm_tokenizer", "tokenizer.json")
    for source in (weights, words):
        (tmp_path / source.parent.name).mkdir()
        (tmp_path / source.parent.name / source.name).symlink_to(source)
    monkeypatch.setenv("TRADEWIND_DATA", str(tmp_path))
    with pytest.raises(InputError, match=r"not fitted yet.*python -m envs\.features\.news fit"):
        MiniLMScorer()
    vectors = encoder.encode(SENTENCES)
    mood = np.array([0.8, 0.7, 0.0, -0.8])
    fit_head(vectors, mood, "of another encoder", penalty=0.01).save(head_path())
    with pytest.raises(InputError, match="other weights of the encoder"):
        MiniLMScorer()
    fit_head(vectors, mood, encoder.sha256, penalty=0.01).save(head_path())
    path = tmp_path / "news.csv"
    lines = [f'2020-01-0{d}T15:00Z,"{text}"\n' for d, text in enumerate(SENTENCES, start=1)]
    path.write_text("published,text\n" + "".join(lines) + lines[0].replace("-01T", "-07T"))
    news = read_news(str(path), "minilm")
    np.testing.assert_allclose(news.score[:4], mood, atol=0.05)
    assert news.score[4] == news.score[0]


def test_files_and_packages_that_are_missing_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv("TRADEWIND_DATA", str(tmp_path))
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(InputError, match=r"onnxruntime is not installed.*news"):
        MiniLM()
    monkeypatch.undo()
    monkeypatch.setenv("TRADEWIND_DATA", str(tmp_path))
    pytest.importorskip("onnxruntime", reason="the extra news is not installed")
    pytest.importorskip("tokenizers", reason="the extra news is not installed")
    with pytest.raises(InputError, match=r"minilm: not fetched yet.*envs\.data fetch minilm"):
        MiniLM()


@pytest.mark.slow
def test_encoder_and_ridge_agree_with_people_better_than_the_lexicon(encoder):
    try:
        rated = rated_news()
    except InputError as error:
        pytest.skip(str(error))
    vectors = encoder.encode(rated.texts)
    found = agreement(held_out_score(vectors, rated, folds_of(rated.article)), rated)
    # The last digit may differ with the processor: the weights are of eight bits.
    assert found.correlation == pytest.approx(0.621, abs=0.005)
    # The interval is wholly above the lexicon's 0.379 (0.352 to 0.406).
    assert found.low > 0.5
    # A ridge that saw the sentences would look better than it is.
    seen: RidgeHead = fit_head(vectors, rated.score, "")
    assert agreement(seen.score(vectors), rated).correlation > found.correlation + 0.02
