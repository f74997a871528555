"""News by the second of publication: tables, scorers by words, features by row, no look ahead."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest

from envs.data import sp500, synthetic
from envs.data.fetch import fetched_file
from envs.data.market_data import MarketData
from envs.errors import InputError
from envs.features import News, build_features, first_leak, modality_features, read_news
from envs.features.causality import change_after
from envs.features.moments import close_moments
from envs.features.news.__main__ import main
from envs.features.news.daily import news_rows
from envs.features.news.evaluation import agreement, folds_of, held_out_score
from envs.features.news.families import NEWS_NAMES
from envs.features.news.head import RidgeHead, fit_head
from envs.features.news.lexicon import LexiconScorer
from envs.features.news.rated import Rated, rated_news

HEADER = "published,symbol,text,score\n"
TABLE = HEADER + (
    "2020-03-12 16:00:00-04:00,AAPL,On the close,0.5\n"
    '2020-03-12T20:00:01Z,AAPL,"A second later, much later",-0.25\n'
    "2020-03-14 09:00+00:00,,On Saturday,1\n"
    "2020-03-13 10:00-04:00,MSFT,On Friday,-1\n"
    "2020-03-13 10:00-04:00,TSLA,Not in the panel,-1\n"
)


def written(folder, text: str, name: str = "news.csv") -> str:
    path = folder / name
    path.write_text(text)
    return str(path)


def days_of_march() -> MarketData:
    """Wednesday 11 to Tuesday 17 March 2020."""
    market = sp500(["AAPL", "MSFT"], start="2020-03-11", end="2020-03-17")
    assert market.n_rows == 5
    return market


# ------------------------------------------------------------------ the table
def test_a_text_belongs_to_the_first_close_that_comes_after_it(tmp_path):
    rows = news_rows(read_news(written(tmp_path, TABLE), "column"), days_of_march(), "XNYS")
    #                        Wed Thu Fri Mon Tue; AAPL, MSFT, market
    assert rows.count.T.tolist() == [[0, 1, 1, 0, 0], [0, 0, 1, 0, 0], [0, 0, 0, 1, 0]]
    assert rows.total.T.tolist() == [[0, 0.5, -0.25, 0, 0], [0, 0, -1, 0, 0], [0, 0, 0, 1, 0]]
    assert rows.square[:, 0].tolist() == [0, 0.25, 0.0625, 0, 0]
    # Before the first text nothing is known.
    assert rows.known.tolist() == [False, True, True, True, True]


def test_early_closes_and_summer_time_count():
    market = sp500(["AAPL"], start="2018-11-21", end="2018-11-26")
    moments = ["2018-11-23T18:00:00", "2018-11-23T18:00:01"]  # 13:00 in New York, and after it
    news = News(np.array(moments, "datetime64[ns]"), np.array(["", ""]), np.ones(2))
    assert news_rows(news, market, "XNYS").count[:, 1].tolist() == [0, 1, 1]


def test_a_day_without_a_time_counts_as_its_end(tmp_path):
    text = "published,text\n2020-03-12,good\n2020-03-13,good\n"
    path = written(tmp_path, text + "2020-03-16,good\n")
    frame = read_news(path, "lexicon") if _has("lexicon") else None
    scored = written(tmp_path, text.replace("text", "score").replace("good", "1"), "scored.csv")
    rows = news_rows(read_news(scored, "column"), days_of_march(), "XNYS")
    assert rows.count[:, 2].tolist() == [0, 0, 1, 1, 0]
    assert frame is None or (frame.score > 0).all()


def _has(name: str) -> bool:
    try:
        fetched_file(name, "LM.csv")
    except InputError:
        return False
    return True


def test_several_rows_a_day_are_known_at_their_own_time():
    dates = np.datetime64("2019-05-06T14:00", "ns") + np.arange(4) * np.timedelta64(30, "m")
    market = MarketData(dates, ("BTC",), np.full((4, 1), 7.0), periods_per_year=365.25 * 48)
    moments = ["2019-05-06T14:30:00", "2019-05-06T14:30:01"]
    news = News(np.array(moments, "datetime64[ns]"), np.array(["BTC", "BTC"]), np.ones(2))
    assert news_rows(news, market, "24/7").count[:, 0].tolist() == [0, 1, 1, 0]


def test_what_is_older_than_a_day_before_the_panel_is_left_out():
    market = days_of_march()
    moments = ["2020-03-10T19:59:59", "2020-03-10T20:00:01"]
    news = News(np.array(moments, "datetime64[ns]"), np.array(["", ""]), np.ones(2))
    rows = news_rows(news, market, "XNYS")
    assert rows.count[:, 2].tolist() == [1, 0, 0, 0, 0] and rows.known.all()


def test_after_a_month_of_silence_nothing_is_known():
    market = sp500(["AAPL"], start="2020-01-02", end="2020-06-30")
    moments = np.array(["2020-01-10T15:00", "2020-02-10T15:00"], "datetime64[ns]")
    rows = news_rows(News(moments, np.array(["", ""]), np.ones(2)), market, "XNYS")
    known = market.dates[rows.known].astype("datetime64[D]")
    # To 9 February only, then again from the 10th to 11 March (20:00 is after 15:00).
    gap = market.dates[~rows.known].astype("datetime64[D]")
    assert str(known[0]) == "2020-01-10" and str(known[-1]) == "2020-03-10"
    assert "2020-02-07" in known.astype(str) and "2020-03-11" in gap.astype(str)


def test_the_order_of_the_file_does_not_matter(tmp_path):
    lines = TABLE.splitlines(keepends=True)
    backwards = written(tmp_path, lines[0] + "".join(lines[:0:-1]), "backwards.csv")
    one, other = (read_news(path, "column") for path in (written(tmp_path, TABLE), backwards))
    assert (one.published == other.published).all() and len(one.published) == 5
    a, b = (news_rows(news, days_of_march(), "XNYS") for news in (one, other))
    assert a.total.tolist() == b.total.tolist()


def test_parquet_tells_the_same(tmp_path):
    import pandas as pd

    frame = pd.read_csv(written(tmp_path, TABLE))
    frame["published"] = pd.to_datetime(frame["published"], utc=True, format="ISO8601")
    frame.to_parquet(tmp_path / "news.parquet")
    one = read_news(str(tmp_path / "news.parquet"), "column")
    other = read_news(written(tmp_path, TABLE), "column")
    assert (one.published == other.published).all() and (one.symbol == other.symbol).all()
    assert (one.score == other.score).all()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("10:00-04:00,MSFT", "10:00,MSFT"), "line 5, column 'published'.*has no time zone"),
        (("2020-03-14 09:00+00:00", "14.3.2020"), "line 4, column 'published'.*is not a date"),
        (("2020-03-14 09:00+00:00", ""), "line 4, column 'published': the date is missing"),
        (("On Saturday,1", "On Saturday,"), "line 4, column 'score': the score is missing"),
        (("On Saturday,1", "On Saturday,2"), "line 4, column 'score': 2 is out of range"),
        (("On Saturday,1", "On Saturday,good"), "line 4, column 'score': 'good' is not a number"),
        (("published", "date"), "no column 'published'; it has date, symbol, text, score"),
        ((",score", ",mood"), "no column 'score'"),
    ],
)
def test_errors_name_file_row_and_column(tmp_path, change, says):
    path = written(tmp_path, TABLE.replace(*change))
    with pytest.raises(InputError, match=f"news.csv.*{says}"):
        read_news(path, "column")


def test_a_missing_text_or_scorer_is_named(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="scorer='vader' is not one of lexicon, minilm, column"):
        read_news(None, "vader")
    monkeypatch.setenv("TRADEWIND_DATA", str(tmp_path))
    with pytest.raises(InputError, match=r"python -m envs\.data fetch lexicon"):
        read_news(written(tmp_path, TABLE))
    (tmp_path / "lexicon").mkdir()
    (tmp_path / "lexicon" / "LM.csv").write_text(LISTS)
    with pytest.raises(InputError, match=r"news\.csv, line 4, column 'text': the text is missing"):
        read_news(written(tmp_path, TABLE.replace("On Saturday", "")))
    with pytest.raises(InputError, match="no column 'text'"):
        read_news(written(tmp_path, TABLE.replace("text,", "headline,")))


def test_news_about_none_of_the_symbols_are_refused(tmp_path):
    news = read_news(written(tmp_path, TABLE.replace(",,On S", ",SPY,On S")), "column")
    other = sp500(["KO", "PG"], start="2020-03-11", end="2020-03-17")
    with pytest.raises(InputError, match="they write AAPL, MSFT, SPY, TSLA, the panel has KO, PG"):
        news_rows(news, other, "XNYS")


# ------------------------------------------------------------------ features
def random_news(market: MarketData, n: int, seed: int) -> News:
    rng = np.random.default_rng(seed)
    first, last = market.dates[0], market.dates[-1]
    seconds = rng.integers(0, int((last - first) / np.timedelta64(1, "s")), n)
    published = np.sort(first + seconds.astype("timedelta64[s]"))
    symbol = rng.choice([*market.symbols[:2], ""], n)
    return News(published, symbol, rng.uniform(-1, 1, n))


def scores_by_row(market: MarketData, news: News, asset: str) -> list[list[float]]:
    """The scores of the texts of each row; 21:00 UTC is the close of this winter."""
    close = [d.astype("datetime64[D]") + np.timedelta64(21, "h") for d in market.dates]
    out = []
    for row, end in enumerate(close):
        before = close[row - 1] if row else end - np.timedelta64(24, "h")
        out.append([
            float(score)
            for moment, symbol, score in zip(news.published, news.symbol, news.score, strict=True)
            if before < moment <= end and symbol == asset
        ])  # fmt: skip
    return out


def twin(kind: str, rows: list[list[float]], t: int, number: int) -> float:
    """A feature of one cell from the scores of the texts themselves."""
    if kind == "decayed":
        weights = [0.5 ** ((t - row) / number) for row in range(t + 1)]
        top = math.fsum(w * math.fsum(row) for w, row in zip(weights, rows, strict=False))
        return top / (math.fsum(w * len(r) for w, r in zip(weights, rows, strict=False)) + 1.0)
    scores = [score for row in rows[t - number + 1 : t + 1] for score in row]
    if kind == "count":
        return math.log(1 + len(scores))
    if kind == "mean":
        return statistics.fmean(scores) if scores else 0.0
    return statistics.pstdev(scores) if len(scores) > 1 else 0.0


def test_features_are_their_slow_twins():
    market = sp500(["AAPL", "MSFT", "KO"], start="2020-01-02", end="2020-02-14")
    news = random_news(market, 80, 5)
    names = ["news_mean_2", "news_count_3", "news_dispersion_4", "news_decayed_3"]
    names += [f"market_{name}" for name in names]
    panel = build_features(market, names, news=news)
    rows = {about: scores_by_row(market, news, about) for about in (*market.symbols, "")}
    assert panel.warmup == 3
    for name in names:
        kind, number = name.removeprefix("market_").removeprefix("news_").split("_")
        for a, symbol in enumerate(market.symbols):
            of = rows["" if name.startswith("market_") else symbol]
            expected = [twin(kind, of, t, int(number)) for t in range(3, market.n_rows)]
            found = panel.values[3:, a, panel.names.index(name)]
            np.testing.assert_allclose(found, expected, atol=2e-6, err_msg=f"{name} of {symbol}")


def test_news_are_masked_and_say_so_where_there_are_none():
    market = sp500(["AAPL", "MSFT"], start="2019-11-11", end="2020-02-28")
    panel = build_features(market, ["return_1", "news"])
    assert panel.names == ("return_1", *NEWS_NAMES, "sentiment_known")
    assert "no news were given; set features.build.news.path" in panel.masked["news_mean_1"]
    assert np.isnan(panel.values[panel.warmup :, :, 1:-1]).all()
    assert (panel.values[panel.warmup :, :, -1] == 0.0).all()
    given = build_features(market, ["return_1", "news"], news=random_news(market, 400, 1))
    assert not set(given.masked) & {"news_mean_1", "market_news_decayed_5"}
    assert (given.values[given.warmup :, :, -1] == 1.0).all()


def test_news_join_the_sentiment_of_the_modalities():
    market = sp500(["AAPL", "MSFT"], start="2018-06-01", end="2020-02-28")
    off = {"technical": False, "seasonal": False, "macro": False}
    without = modality_features(market, **off, news=News.none())
    assert not set(without.names) & set(NEWS_NAMES)
    panel = modality_features(market, **off, news=random_news(market, 900, 1))
    assert set(NEWS_NAMES) < set(panel.names) and set(panel.groups) == {"sentiment"}
    with_news_off = modality_features(
        market, technical=True, seasonal=False, sentiment=False, macro=False,
        news=random_news(market, 9, 1),
    )  # fmt: skip
    assert "sentiment" not in with_news_off.groups


# ------------------------------------------------------------------ nothing sees the future
def test_a_second_past_the_close_moves_a_text_to_the_next_day():
    market = sp500(["AAPL", "MSFT"], start="2020-01-02", end="2020-02-28")
    close = np.datetime64("2020-01-31T21:00:00", "ns")
    row = int(np.searchsorted(market.dates, np.datetime64("2020-01-31")))
    early = np.datetime64("2020-01-06T15:00", "ns")

    def of(moment: np.datetime64) -> np.ndarray:
        news = News(np.array([early, moment]), np.array(["AAPL"] * 2), np.array([0.1, 0.8]))
        return build_features(market, ["news_mean_1"], news=news).values[:, 0, 0]

    at, after = of(close), of(close + np.timedelta64(1, "s"))
    assert at[row] == np.float32(0.8) and at[row + 1] == 0.0
    assert after[row] == 0.0 and after[row + 1] == np.float32(0.8)
    np.testing.assert_array_equal(at[:row], after[:row])


@pytest.mark.parametrize("row", [12, 40, 70])
def test_later_texts_and_prices_change_nothing_before(row):
    market = sp500(["AAPL", "MSFT"], start="2019-11-11", end="2020-02-28")
    news, more = random_news(market, 300, 2), random_news(market, 500, 9)
    close = close_moments(market.dates[row : row + 1].astype("datetime64[D]"), "XNYS")[0]
    names = list(NEWS_NAMES)
    known = build_features(market, names, news=news)
    before, later = news.published <= close, more.published > close
    # Other scores after the close, other texts after it, and no texts after it.
    futures = [
        News(news.published, news.symbol, np.where(before, news.score, -news.score)),
        News(
            np.concatenate([news.published[before], more.published[later]]),
            np.concatenate([news.symbol[before], more.symbol[later]]),
            np.concatenate([news.score[before], more.score[later]]),
        ),
        News(news.published[before], news.symbol[before], news.score[before]),
    ]
    for other in futures:
        again = build_features(market, names, news=other)
        assert again.values[: row + 1].tobytes() == known.values[: row + 1].tobytes()
        assert again.values[row + 1 :].tobytes() != known.values[row + 1 :].tobytes()
    changed = build_features(change_after(market, row), names, news=news)
    assert changed.values[: row + 1, 0].tobytes() == known.values[: row + 1, 0].tobytes()
    assert first_leak(lambda m: build_features(m, names, news=news), market, row) is None


def test_the_audit_changes_news_after_a_day_and_finds_those_that_came_early():
    market = sp500(["AAPL", "MSFT"], start="2019-11-11", end="2020-02-28")
    row, rng = 40, np.random.default_rng(0)
    news = random_news(market, 900, 4)
    names = list(NEWS_NAMES)

    def differs(builder) -> bool:
        """Whether rows up to `row` change with the texts that come out after its day."""
        changed = news.changed_after(market.dates[row], rng)
        one, other = (builder(which).values[: row + 1] for which in (news, changed))
        return one.tobytes() != other.tobytes()

    def a_day_early(which: News) -> News:
        return News(which.published - np.timedelta64(1, "D"), which.symbol, which.score)

    assert not differs(lambda which: build_features(market, names, news=which))
    assert differs(lambda which: build_features(market, names, news=a_day_early(which)))


def test_a_smoother_over_the_news_of_tomorrow_would_be_caught():
    market = synthetic(n_rows=60, n_assets=2, seed=1)
    news = random_news(market, 100, 3)

    def leaky(m: MarketData):
        shifted = News(news.published - np.timedelta64(1, "D"), news.symbol, news.score)
        keep = shifted.published <= m.dates[-1]
        cut = News(shifted.published[keep], shifted.symbol[keep], shifted.score[keep])
        centred = News(cut.published, cut.symbol, cut.score - cut.score.mean())
        return build_features(m, ["news_mean_1"], news=centred)

    assert "news_mean_1" in (first_leak(leaky, market, 30) or "")


# ------------------------------------------------------------------ lexicon
LISTS = "Word,Positive,Negative\nGOOD,2009,0\nGREAT,2009,0\nLOSS,0,2009\nLOSSES,0,2009\nCAT,0,0\n"


def test_the_lexicon_counts_words_and_turns_good_ones_that_are_negated(tmp_path):
    score = LexiconScorer(written(tmp_path, LISTS)).score
    assert score("A good cat") == 1 / 2
    assert score("GREAT: good!") == 2 / 3
    assert score("Losses, losses and a good cat") == -1 / 4
    assert score("Not a very good cat") == -1 / 2
    assert score("It isn\u2019t good") == score("It isn't good") == -1 / 2
    assert score("Not at all a very good cat") == 1 / 2  # four words between
    assert score("No loss") == -1 / 2
    assert score("goods and the cat") == 0.0 and score("\u4e2d\u6587") == 0.0


def test_the_fetched_lists_are_those_of_loughran_and_mcdonald():
    if not _has("lexicon"):
        pytest.skip("lexicon: not fetched yet; run: python -m envs.data fetch lexicon")
    scorer = LexiconScorer()
    assert (len(scorer.good), len(scorer.bad)) == (354, 2355)
    assert "achieve" in scorer.good and "bankruptcy" in scorer.bad
    # The point of these lists: plain words of accounting are not bad.
    assert not {"liability", "tax", "cost", "capital"} & scorer.bad


def test_the_lexicon_agrees_with_people():
    if not _has("lexicon"):
        pytest.skip("lexicon: not fetched yet; run: python -m envs.data fetch lexicon")
    try:
        rated = rated_news()
    except InputError as error:
        pytest.skip(str(error))
    assert len(rated.texts) == 5190 and len(set(rated.article.tolist())) == 498
    assert abs(rated.score).max() <= 1.0
    found = agreement(LexiconScorer()(rated.texts), rated)
    assert found.correlation == pytest.approx(0.379, abs=0.002)
    assert found.low < found.correlation < found.high and found.high - found.low < 0.08


# ------------------------------------------------------------------ the ridge head
def planted(n: int, noise: float, seed: int) -> tuple[np.ndarray, Rated]:
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(n, 384))
    score = 0.1 + vectors[:, :5] @ np.array([0.1, -0.2, 0.05, 0.1, 0.02])
    score += noise * rng.normal(size=n)
    return vectors, Rated(("",) * n, score, np.repeat(np.arange(n // 10), 10))


def test_ridge_is_that_of_scikit_learn():
    from sklearn.linear_model import Ridge

    vectors, rated = planted(200, 0.1, 0)
    head = fit_head(vectors, rated.score, "", penalty=3.0)
    oracle = Ridge(alpha=3.0).fit(vectors, rated.score)
    np.testing.assert_allclose(head.weights, oracle.coef_, atol=1e-10)
    expected = np.clip(oracle.predict(vectors), -1, 1)
    np.testing.assert_allclose(head.score(vectors), expected, atol=1e-10)
    # A vector's score does not depend on its neighbours, to the last bit.
    one_by_one = np.concatenate([head.score(vectors[i : i + 1]) for i in range(200)])
    assert one_by_one.tobytes() == head.score(vectors).tobytes()


def test_held_out_agreement_is_high_for_a_planted_mood_and_none_for_noise():
    vectors, rated = planted(3000, 0.1, 1)
    fold = folds_of(rated.article)
    assert all(len(set(fold[rated.article == k])) == 1 for k in set(rated.article.tolist()))
    found = agreement(held_out_score(vectors, rated, fold), rated)
    assert found.correlation > 0.85
    noise = Rated(rated.texts, np.random.default_rng(2).normal(size=3000), rated.article)
    nothing = agreement(held_out_score(vectors, noise, fold), noise)
    assert nothing.low < 0.0 < nothing.high


def test_agreement_is_the_correlation():
    _, rated = planted(500, 0.5, 3)
    score = np.random.default_rng(0).normal(size=500) + rated.score
    found = agreement(score, rated)
    assert found.correlation == pytest.approx(np.corrcoef(score, rated.score)[0, 1], abs=1e-12)


def test_the_head_survives_its_file_and_a_damaged_one_is_named(tmp_path):
    vectors, rated = planted(100, 0.1, 0)
    head = fit_head(vectors, rated.score, "sha")
    path = tmp_path / "folder" / "head.npz"
    head.save(path)
    again = RidgeHead.load(path)
    assert again.score(vectors).tobytes() == head.score(vectors).tobytes()
    assert again.encoder == "sha" and [one.name for one in path.parent.iterdir()] == ["head.npz"]
    with pytest.raises(InputError, match=r"not fitted yet.*python -m envs\.features\.news fit"):
        RidgeHead.load(tmp_path / "nothing.npz")
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(InputError, match="not a fitted scorer"):
        RidgeHead.load(path)
    # Whoever plants a pickle is not obeyed.
    with open(path, "wb") as file:
        np.savez(file, weights=np.array([{}], dtype=object), center=1, intercept=1, encoder="")
    with pytest.raises(InputError, match="not a fitted scorer"):
        RidgeHead.load(path)


# ------------------------------------------------------------------ the command
def test_score_writes_a_table_that_can_be_read(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TRADEWIND_DATA", str(tmp_path))
    (tmp_path / "lexicon").mkdir()
    (tmp_path / "lexicon" / "LM.csv").write_text(LISTS)
    text = TABLE.replace("On Friday", "Great losses").replace("On the close", "Good and great")
    path, to = written(tmp_path, text), str(tmp_path / "scored.csv")
    assert main(["score", path, "--to", to]) == 0
    assert "5 texts, mean score" in capsys.readouterr().out
    scored, direct = read_news(to, "column"), read_news(path, "lexicon")
    assert scored.score.tolist() == direct.score.tolist() == [2 / 3, 0.0, 0.0, 0.0, 0.0]
    assert (scored.published == direct.published).all()
    assert main(["score", path, "--to", str(tmp_path / "scored.txt")]) == 2
    assert "ends in .csv" in capsys.readouterr().err
    monkeypatch.setenv("TRADEWIND_DATA", str(tmp_path / "empty"))
    assert main(["evaluate"]) == 2
    assert "python -m envs.data fetch rated_news" in capsys.readouterr().err


def test_a_report_says_how_the_news_were_scored(tmp_path):
    market = sp500(["AAPL", "MSFT"], start="2020-02-03", end="2020-04-01")
    news = read_news(written(tmp_path, TABLE), "column")
    panel = build_features(market, ["news_mean_1"], news=news)
    assert any("News carry scores of your own" in note for note in panel.notes)
