"""News: dated texts become scores, scores become features of the session that could know them."""

from envs.features.news.daily import NewsRows, news_rows
from envs.features.news.scored import News, read_news

__all__ = ["News", "NewsRows", "news_rows", "read_news"]
