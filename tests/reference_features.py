"""Slow twins of the feature kernels: plain Python, one asset, one row at a time, as defined.

A twin takes the bars of one asset from its listing on, as lists, and returns one number a row; None
where the definition has no value yet. The cross-sectional twins take all assets.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Numbers = Sequence[float]
Series = list[float | None]


@dataclass(frozen=True)
class Bars:
    open: Numbers
    high: Numbers
    low: Numbers
    close: Numbers
    volume: Numbers


def mean(x: Numbers) -> float:
    return math.fsum(x) / len(x)


def by_window(n_rows: int, n: int, value: Callable[[int, int], float]) -> Series:
    """`value(first, last)` of each complete window of n rows."""
    return [None if t < n - 1 else value(t - n + 1, t) for t in range(n_rows)]


def simple_return(b: Bars, n: int) -> Series:
    c = b.close
    return [None if t < n else (c[t] - c[t - n]) / c[t - n] for t in range(len(c))]


def log_return(b: Bars, n: int) -> Series:
    c = b.close
    return [None if t < n else math.log(c[t]) - math.log(c[t - n]) for t in range(len(c))]


def volatility(b: Bars, n: int, periods_per_year: float) -> Series:
    r = [math.nan, *log_return(b, 1)[1:]]

    def value(first: int, last: int) -> float:
        window = r[first + 1 : last + 1]
        m = mean(window)
        variance = math.fsum((x - m) ** 2 for x in window) / (n - 1)
        return math.sqrt(variance * periods_per_year)

    return by_window(len(r), n + 1, value)


def sma_ratio(b: Bars, n: int) -> Series:
    c = b.close
    return by_window(len(c), n, lambda i, j: c[j] / mean(c[i : j + 1]) - 1)


def ema(x: Numbers, n: int, first: int) -> Series:
    """Exponential average from row `first` on, where it is the mean of the n values up to there."""
    out: Series = [None] * len(x)
    if first < len(x):
        level = mean(x[first - n + 1 : first + 1])
        out[first] = level
        for t in range(first + 1, len(x)):
            level = x[t] * 2 / (n + 1) + level * (1 - 2 / (n + 1))
            out[t] = level
    return out


def ema_ratio(b: Bars, n: int) -> Series:
    level = ema(b.close, n, n - 1)
    return [None if e is None else c / e - 1 for c, e in zip(b.close, level)]


def momentum(b: Bars, n: int, skip: int) -> Series:
    c = b.close
    return [None if t < n else c[t - skip] / c[t - n] - 1 for t in range(len(c))]


def macd_parts(b: Bars, fast: int, slow: int, signal: int) -> tuple[Series, Series, Series]:
    c = b.close
    quick, slack = ema(c, fast, slow - 1), ema(c, slow, slow - 1)
    line = [None if q is None else q - s for q, s in zip(quick, slack)]
    known = [x for x in line if x is not None]
    average = [None] * (len(c) - len(known)) + ema(known, signal, signal - 1)
    histogram = [None if s is None else m - s for m, s in zip(line, average)]
    by_price = [
        [None if x is None else x / p for x, p in zip(series, c)]
        for series in (line, average, histogram)
    ]
    return by_price[0], by_price[1], by_price[2]


def wilder(x: Numbers, n: int) -> Series:
    """Wilder's average of x[1:]: the mean of the first n, then 1/n of each new value."""
    out: Series = [None] * len(x)
    if len(x) > n:
        level = mean(x[1 : n + 1])
        out[n] = level
        for t in range(n + 1, len(x)):
            level = (level * (n - 1) + x[t]) / n
            out[t] = level
    return out


def rsi(b: Bars, n: int) -> Series:
    c = b.close
    change = [0.0] + [c[t] - c[t - 1] for t in range(1, len(c))]
    gain = wilder([max(x, 0.0) for x in change], n)
    loss = wilder([max(-x, 0.0) for x in change], n)
    out: Series = []
    for g, d in zip(gain, loss):
        if g is None:
            out.append(None)
        elif g == d == 0:
            out.append(50.0)
        elif d == 0:
            out.append(100.0)
        else:
            out.append(100 - 100 / (1 + g / d))
    return out


def bollinger(b: Bars, n: int) -> Series:
    c = b.close

    def value(first: int, last: int) -> float:
        window = c[first : last + 1]
        if min(window) == max(window):
            return 0.0
        m = mean(window)
        deviation = math.sqrt(mean([(x - m) ** 2 for x in window]))
        return (c[last] - m) / (2 * deviation)

    return by_window(len(c), n, value)


def decayed(x: Numbers, decay: float) -> list[float]:
    """The mean of x[0..t] at each t, weights falling by `decay` with every row back."""
    out = []
    for t in range(len(x)):
        weights = [decay ** (t - i) for i in range(t + 1)]
        out.append(sum(w * v for w, v in zip(weights, x)) / sum(weights))
    return out


def normalised_return(b: Bars, n: int) -> Series:
    moves = [now / before - 1 for before, now in zip(b.close, b.close[1:])]
    variance = [math.nan, *decayed([move**2 for move in moves], 1 - 2 / 61)]
    rows = range(len(b.close))
    return [
        None if t < max(n, 60) else (b.close[t] / b.close[t - n] - 1) / math.sqrt(variance[t] * n)
        for t in rows
    ]


def trend(b: Bars, short: int, long: int) -> Series:
    fast, slow = decayed(b.close, 1 - 1 / short), decayed(b.close, 1 - 1 / long)
    deviation = by_window(len(fast), 63, lambda i, t: statistics.stdev(b.close[i : t + 1]))
    ratio = [(f - s) / d for f, s, d in zip(fast[62:], slow[62:], deviation[62:])]
    spread = by_window(len(ratio), 252, lambda i, t: statistics.stdev(ratio[i : t + 1]))
    return [None] * 62 + [None if d is None else x / d for x, d in zip(ratio, spread)]


def bollinger_width(b: Bars, n: int) -> Series:
    def value(first: int, last: int) -> float:
        window = b.close[first : last + 1]
        m = mean(window)
        return 4 * math.sqrt(mean([(x - m) ** 2 for x in window])) / m

    return by_window(len(b.close), n, value)


def of_returns(b: Bars, n: int, value: Callable[[Numbers], float]) -> Series:
    """`value` of the last n one-row log returns."""
    r = [math.nan, *log_return(b, 1)[1:]]
    return by_window(len(r), n + 1, lambda first, last: value(r[first + 1 : last + 1]))


def score_of_last(x: Numbers) -> float:
    m = mean(x)
    return (x[-1] - m) / math.sqrt(math.fsum((y - m) ** 2 for y in x) / (len(x) - 1))


def skewness(x: Numbers) -> float:
    m = mean(x)
    return mean([(y - m) ** 3 for y in x]) / math.sqrt(mean([(y - m) ** 2 for y in x])) ** 3


def drawdown(b: Bars, n: int) -> Series:
    c = b.close
    return by_window(len(c), n, lambda i, j: (c[j] - max(c[i : j + 1])) / max(c[i : j + 1]))


def range_volatility(b: Bars, n: int, periods_per_year: float) -> Series:
    """Parkinson 1980."""
    square = [math.log(h / low) ** 2 / (4 * math.log(2)) for h, low in zip(b.high, b.low)]
    return by_window(
        len(square), n, lambda i, j: math.sqrt(mean(square[i : j + 1]) * periods_per_year)
    )


def volume_trend(b: Bars, short: int, long: int) -> Series:
    v = b.volume

    def value(first: int, last: int) -> float:
        average = mean(v[first : last + 1])
        return mean(v[last + 1 - short : last + 1]) / average - 1 if average > 0 else 0.0

    return by_window(len(v), long, value)


def atr(b: Bars, n: int) -> Series:
    true_range = [0.0] + [
        max(b.high[t] - b.low[t], abs(b.high[t] - b.close[t - 1]), abs(b.low[t] - b.close[t - 1]))
        for t in range(1, len(b.close))
    ]
    return [None if x is None else x / c for x, c in zip(wilder(true_range, n), b.close)]


def raw_stochastic(b: Bars, n: int) -> Series:
    def value(first: int, last: int) -> float:
        top, bottom = max(b.high[first : last + 1]), min(b.low[first : last + 1])
        return 50.0 if top == bottom else 100 * (b.close[last] - bottom) / (top - bottom)

    return by_window(len(b.close), n, value)


def smoothed(x: Series, n: int) -> Series:
    out: Series = []
    for t in range(len(x)):
        window = x[max(t - n + 1, 0) : t + 1]
        known = [y for y in window if y is not None]
        out.append(mean(known) if len(known) == n else None)
    return out


def williams_r(b: Bars, n: int) -> Series:
    def value(first: int, last: int) -> float:
        top, bottom = max(b.high[first : last + 1]), min(b.low[first : last + 1])
        return -50.0 if top == bottom else -100 * (top - b.close[last]) / (top - bottom)

    return by_window(len(b.close), n, value)


def obv(b: Bars, n: int) -> Series:
    """From the cumulative on-balance volume, which the kernel never forms."""
    level = [0.0]
    for t in range(1, len(b.close)):
        move = b.close[t] - b.close[t - 1]
        level.append(level[-1] + (b.volume[t] if move > 0 else -b.volume[t] if move < 0 else 0.0))

    def value(t: int) -> float:
        traded = math.fsum(b.volume[t - n + 1 : t + 1])
        return (level[t] - level[t - n]) / traded if traded > 0 else 0.0

    return [None if t < n else value(t) for t in range(len(level))]


def volume_ratio(b: Bars, n: int) -> Series:
    def value(first: int, last: int) -> float:
        average = mean(b.volume[first : last + 1])
        return b.volume[last] / average - 1 if average > 0 else 0.0

    return by_window(len(b.volume), n, value)


def volume_roc(b: Bars, n: int) -> Series:
    v = b.volume
    return [
        None if t < n else (v[t] - v[t - n]) / v[t - n] if v[t - n] > 0 else 0.0
        for t in range(len(v))
    ]


def vwap_ratio(b: Bars, n: int) -> Series:
    typical = [(h + low + c) / 3 for h, low, c in zip(b.high, b.low, b.close)]

    def value(first: int, last: int) -> float:
        rows = range(first, last + 1)
        traded = math.fsum(b.volume[t] for t in rows)
        if traded == 0:
            return 0.0
        average = math.fsum(b.volume[t] * typical[t] for t in rows) / traded
        return b.close[last] / average - 1

    return by_window(len(b.close), n, value)


def of_one_asset(name: str, b: Bars, periods_per_year: float) -> Series:
    """The twin of a feature name that reads one asset only."""
    stem = name.rstrip("0123456789_")
    n = [int(x) for x in name[len(stem) :].split("_") if x]
    rows = range(len(b.close))
    twins: dict[str, Callable[[], Series]] = {
        "return": lambda: simple_return(b, *n),
        "log_return": lambda: log_return(b, *n),
        "volatility": lambda: volatility(b, *n, periods_per_year),
        "sma_ratio": lambda: sma_ratio(b, *n),
        "ema_ratio": lambda: ema_ratio(b, *n),
        "momentum": lambda: momentum(b, *n),
        "rsi": lambda: rsi(b, *n),
        "macd": lambda: macd_parts(b, *n)[0],
        "macd_signal": lambda: macd_parts(b, *n)[1],
        "macd_hist": lambda: macd_parts(b, *n)[2],
        "bollinger": lambda: bollinger(b, *n),
        "bollinger_width": lambda: bollinger_width(b, *n),
        "return_score": lambda: of_returns(b, *n, score_of_last),
        "return_skewness": lambda: of_returns(b, *n, skewness),
        "drawdown": lambda: drawdown(b, *n),
        "range_volatility": lambda: range_volatility(b, *n, periods_per_year),
        "volume_trend": lambda: volume_trend(b, *n),
        "normalised_return": lambda: normalised_return(b, *n),
        "trend": lambda: trend(b, *n),
        "atr": lambda: atr(b, *n),
        "stochastic_k": lambda: smoothed(raw_stochastic(b, n[0]), n[1]),
        "stochastic_d": lambda: smoothed(smoothed(raw_stochastic(b, n[0]), n[1]), n[2]),
        "williams_r": lambda: williams_r(b, *n),
        "high_low_range": lambda: [(b.high[t] - b.low[t]) / b.close[t] for t in rows],
        "open_close_range": lambda: [b.close[t] / b.open[t] - 1 for t in rows],
        "overnight_gap": lambda: [
            None if t == 0 else b.open[t] / b.close[t - 1] - 1 for t in rows
        ],
        "obv": lambda: obv(b, *n),
        "volume_ratio": lambda: volume_ratio(b, *n),
        "volume_roc": lambda: volume_roc(b, *n),
        "vwap_ratio": lambda: vwap_ratio(b, *n),
    }  # fmt: skip
    return twins[stem]()


Matrix = Sequence[Sequence[float | None]]


def one_row_returns(close: Matrix, t: int) -> list[float | None]:
    """By asset; None where it was not listed on the row before."""
    if t == 0:
        return [None] * len(close[0])
    return [None if p is None else c / p - 1 for c, p in zip(close[t], close[t - 1])]


def average_rank(value: float, among: Numbers) -> float:
    """0 the smallest, 1 the largest, ties share."""
    below = sum(x < value for x in among)
    equal = sum(x == value for x in among)
    return (below + (equal - 1) / 2) / (len(among) - 1) if len(among) > 1 else 0.5


def return_rank(close: Matrix, n: int, t: int, a: int) -> float | None:
    if t < n or close[t - n][a] is None:
        return None
    known = [c / p for c, p in zip(close[t], close[t - n]) if p is not None]
    return average_rank(close[t][a] / close[t - n][a], known)


def market_link(close: Matrix, n: int, t: int, a: int, beta: bool) -> float | None:
    if t < n or close[t - n][a] is None:
        return None
    own, market = [], []
    for s in range(t - n + 1, t + 1):
        returns = one_row_returns(close, s)
        own.append(returns[a])
        market.append(mean([x for x in returns if x is not None]))
    m_own, m_market = mean(own), mean(market)
    product = math.fsum((x - m_own) * (y - m_market) for x, y in zip(own, market))
    square_own = math.fsum((x - m_own) ** 2 for x in own)
    square_market = math.fsum((y - m_market) ** 2 for y in market)
    return product / square_market if beta else product / math.sqrt(square_own * square_market)


def breadth(close: Matrix, n: int, t: int, a: int) -> float | None:
    if t < n - 1 or close[t - n + 1][a] is None:
        return None
    above = []
    for i in range(len(close[t])):
        window = [close[s][i] for s in range(t - n + 1, t + 1)]
        if None not in window:
            above.append(close[t][i] > mean(window))
    return mean(above)


def advance_decline(close: Matrix, n: int, t: int, a: int) -> float | None:
    if t < n or close[t - n][a] is None:
        return None
    daily = []
    for s in range(t - n + 1, t + 1):
        moves = [x for x in one_row_returns(close, s) if x is not None]
        daily.append(mean([(x > 0) - (x < 0) for x in moves]))
    return mean(daily)


def of_all_assets(name: str, close: Matrix, t: int, a: int) -> float | None:
    """The twin of a cross-sectional feature name, in one cell; `close` is None before a listing."""
    stem = name.rstrip("0123456789_")
    n = int(name.rsplit("_", 1)[1])
    twins: dict[str, Callable[[], float | None]] = {
        "return_rank": lambda: return_rank(close, n, t, a),
        "market_correlation": lambda: market_link(close, n, t, a, beta=False),
        "market_beta": lambda: market_link(close, n, t, a, beta=True),
        "breadth": lambda: breadth(close, n, t, a),
        "advance_decline": lambda: advance_decline(close, n, t, a),
    }
    return twins[stem]()
