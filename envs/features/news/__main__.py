"""Scorers of news on the command line.

python -m envs.features.news evaluate
python -m envs.features.news fit
python -m envs.features.news score news.csv --scorer lexicon --to scored.csv
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from envs.data.market_data import Float
from envs.data.table import read_table
from envs.errors import InputError
from envs.features.news.encoder import MiniLM
from envs.features.news.evaluation import Agreement, agreement, folds_of, held_out_score
from envs.features.news.head import PENALTY, fit_head, head_path
from envs.features.news.lexicon import LexiconScorer
from envs.features.news.rated import Rated, rated_news
from envs.features.news.scored import LEXICON, MINILM, read_news, scorer_of, texts, when


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status (2 for input that the user can correct)."""
    parser = argparse.ArgumentParser(prog="python -m envs.features.news", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("evaluate", help="agreement with people on held-out articles; a minute")
    commands.add_parser("fit", help="the same, and keeps the scorer fitted on all of them")
    score = commands.add_parser("score", help="writes a table of news with their scores")
    score.add_argument("file")
    score.add_argument("--scorer", choices=(LEXICON, MINILM), default=LEXICON)
    score.add_argument("--to", required=True, help="a .csv file; read it with scorer=column")
    chosen = parser.parse_args(arguments)
    try:
        if chosen.command == "score":
            _score(chosen.file, chosen.scorer, Path(chosen.to))
        else:
            _evaluate(keep=chosen.command == "fit")
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _evaluate(keep: bool) -> None:
    rated = rated_news()
    lexicon = LexiconScorer()
    encoder = MiniLM()
    n_articles = len(set(rated.article.tolist()))
    print(
        f"{len(rated.texts)} sentences of {n_articles} articles, each rated by 20 people; a scorer "
        "never saw\nthe articles it is measured on. Reading them takes about a minute.",
        flush=True,
    )
    vectors = encoder.encode(rated.texts)
    print(f"\n{'scorer':34}{'correlation':>12}   95 % over articles")
    _line("MiniLM and ridge", held_out_score(vectors, rated, folds_of(rated.article)), rated)
    _line("Loughran-McDonald lexicon", lexicon(rated.texts), rated)
    if keep:
        head = fit_head(vectors, rated.score, encoder.sha256)
        head.save(head_path())
        print(f"\nfitted on all sentences (penalty {PENALTY:g}) and kept in {head_path()}")


def _line(name: str, score: Float, rated: Rated) -> None:
    found: Agreement = agreement(score, rated)
    print(f"{name:34}{found.correlation:12.3f}   {found.low:.3f} to {found.high:.3f}")


def _score(path: str, scorer: str, to: Path) -> None:
    if to.suffix != ".csv":
        raise InputError(f"--to {to}: write a name that ends in .csv")
    table = read_table(Path(path))
    # What is wrong with the table is said before an hour of reading.
    when(table)
    written = texts(table)
    frame = table.frame.assign(score=scorer_of(scorer)(written))
    frame.to_csv(to, index=False)
    news = read_news(str(to), "column")
    mean = news.score.mean()
    print(f"{to}: {len(news.score)} texts, mean score {mean:.3f}; use it with scorer=column")


if __name__ == "__main__":
    sys.exit(main())
