"""Indicators of closing prices: Numba kernels over `[T, A]` arrays.

Conventions of every kernel in this package:

- Inputs are `[T, A]` float64, C-contiguous; `out` is `[T, A]` float32 (or float64 for an
  intermediate). The loop over t is outside and the one over assets inside, so memory is walked in
  order.
- `start[a]` is the row where asset a lists. Prices are NaN before it and finite from it on. A
  kernel may leave anything in the cells before `start[a]` + the feature's warm-up: `build_features`
  writes NaN there. One asset's cells are never read for another's.
- Rolling sums are **recomputed** for every row from the rows of its window, in a fixed order. That
  costs `window` additions a cell (vectorised over assets) and buys three things that an
  add-one-drop-one sum cannot give: no drift, no rounding left behind by a huge price that has left
  the window, and a row that depends on its window alone, bit for bit.
- Division follows IEEE rules (`error_model="numpy"`), without a branch that would stop
  vectorisation; where a denominator can be zero the kernel says what it gives instead.
- Averages of prices are taken of the differences from today's price, so a constant window gives
  exactly zero instead of the noise of the last digit.
"""

from __future__ import annotations

import numpy as np
from numba import njit

# Standard deviations of returns at or under this are rounding noise, not information.
NOISE = 1e-12


@njit(cache=True, nogil=True, error_model="numpy")
def return_nb(price, n, out):
    """`price[t] / price[t-n] - 1`."""
    n_rows, n_assets = price.shape
    for t in range(n, n_rows):
        for a in range(n_assets):
            out[t, a] = price[t, a] / price[t - n, a] - 1.0


@njit(cache=True, nogil=True, error_model="numpy")
def log_return_nb(price, n, out):
    """`log(price[t] / price[t-n])`."""
    n_rows, n_assets = price.shape
    for t in range(n, n_rows):
        for a in range(n_assets):
            out[t, a] = np.log(price[t, a] / price[t - n, a])


@njit(cache=True, nogil=True, error_model="numpy")
def momentum_nb(price, n, skip, out):
    """`price[t-skip] / price[t-n] - 1`: the return from n to `skip` rows ago."""
    n_rows, n_assets = price.shape
    for t in range(n, n_rows):
        for a in range(n_assets):
            out[t, a] = price[t - skip, a] / price[t - n, a] - 1.0


@njit(cache=True, nogil=True, error_model="numpy")
def deviation_nb(x, n, factor, out):
    """Standard deviation (ddof 1) of the last n values of x, times `factor`; two passes."""
    n_rows, n_assets = x.shape
    mean = np.empty(n_assets)
    square = np.empty(n_assets)
    for t in range(n - 1, n_rows):
        mean[:] = 0.0
        square[:] = 0.0
        for k in range(n):
            for a in range(n_assets):
                mean[a] += x[t - k, a]
        for a in range(n_assets):
            mean[a] /= n
        for k in range(n):
            for a in range(n_assets):
                square[a] += (x[t - k, a] - mean[a]) ** 2
        for a in range(n_assets):
            out[t, a] = factor * np.sqrt(square[a] / (n - 1))


@njit(cache=True, nogil=True, error_model="numpy")
def mean_nb(x, n, out):
    """Mean of the last n values of x."""
    n_rows, n_assets = x.shape
    total = np.empty(n_assets)
    for t in range(n - 1, n_rows):
        total[:] = 0.0
        for k in range(n):
            for a in range(n_assets):
                total[a] += x[t - k, a]
        for a in range(n_assets):
            out[t, a] = total[a] / n


@njit(cache=True, nogil=True, error_model="numpy")
def sma_ratio_nb(price, n, out):
    """Price over its simple moving average, minus 1."""
    n_rows, n_assets = price.shape
    shift = np.empty(n_assets)
    for t in range(n - 1, n_rows):
        shift[:] = 0.0
        for k in range(n):
            for a in range(n_assets):
                shift[a] += price[t - k, a] - price[t, a]
        for a in range(n_assets):
            mean = shift[a] / n
            out[t, a] = -mean / (price[t, a] + mean)


@njit(cache=True, nogil=True, error_model="numpy")
def bollinger_nb(price, n, out):
    """Distance from the moving average in half band widths: -1 lower band, 1 upper, 0 if constant.

    The band is two standard deviations (ddof 0) wide on either side. One pass is well conditioned
    here: today's difference is 0, so the variance is at least mean^2 / (n - 1).
    """
    n_rows, n_assets = price.shape
    shift = np.empty(n_assets)
    square = np.empty(n_assets)
    for t in range(n - 1, n_rows):
        shift[:] = 0.0
        square[:] = 0.0
        for k in range(n):
            for a in range(n_assets):
                difference = price[t - k, a] / price[t, a] - 1.0
                shift[a] += difference
                square[a] += difference * difference
        for a in range(n_assets):
            mean = shift[a] / n
            variance = square[a] / n - mean * mean
            out[t, a] = -mean / (2.0 * np.sqrt(variance)) if variance > 0.0 else 0.0


@njit(cache=True, nogil=True, error_model="numpy")
def bollinger_width_nb(price, n, out):
    """Width of the Bollinger band over its middle: four standard deviations (ddof 0) / mean."""
    n_rows, n_assets = price.shape
    shift = np.empty(n_assets)
    square = np.empty(n_assets)
    for t in range(n - 1, n_rows):
        shift[:] = 0.0
        square[:] = 0.0
        for k in range(n):
            for a in range(n_assets):
                difference = price[t - k, a] / price[t, a] - 1.0
                shift[a] += difference
                square[a] += difference * difference
        for a in range(n_assets):
            mean = shift[a] / n
            variance = max(square[a] / n - mean * mean, 0.0)
            out[t, a] = 4.0 * np.sqrt(variance) / (1.0 + mean)


@njit(cache=True, nogil=True, error_model="numpy")
def moments_nb(x, n, cubes, out):
    """Score of the last value among the last n (ddof 1), or with `cubes` their skewness.

    Two passes; skewness is the third central moment over the deviation (ddof 0) cubed. 0 where the
    deviation is rounding noise.
    """
    n_rows, n_assets = x.shape
    mean, square, cube = np.empty(n_assets), np.empty(n_assets), np.empty(n_assets)
    for t in range(n - 1, n_rows):
        mean[:] = 0.0
        square[:] = 0.0
        cube[:] = 0.0
        for k in range(n):
            for a in range(n_assets):
                mean[a] += x[t - k, a]
        for a in range(n_assets):
            mean[a] /= n
        for k in range(n):
            for a in range(n_assets):
                distance = x[t - k, a] - mean[a]
                square[a] += distance * distance
                cube[a] += distance * distance * distance
        for a in range(n_assets):
            value = 0.0
            if square[a] > n * NOISE * NOISE:
                if cubes:
                    value = cube[a] / n / (square[a] / n) ** 1.5
                else:
                    value = (x[t, a] - mean[a]) / np.sqrt(square[a] / (n - 1))
            out[t, a] = value


@njit(cache=True, nogil=True, error_model="numpy")
def drawdown_nb(price, n, out):
    """Price over the highest of the last n, minus 1: 0 at a high."""
    n_rows, n_assets = price.shape
    top = np.empty(n_assets)
    for t in range(n - 1, n_rows):
        top[:] = 0.0
        for k in range(n):
            for a in range(n_assets):
                top[a] = max(top[a], price[t - k, a])
        for a in range(n_assets):
            out[t, a] = price[t, a] / top[a] - 1.0


@njit(cache=True, nogil=True, error_model="numpy")
def seed_nb(price, last, n, a):
    """Mean of the n prices of asset a up to row `last`: how each exponential average begins."""
    total = 0.0
    for k in range(n):
        total += price[last - n + 1 + k, a]
    return total / n


@njit(cache=True, nogil=True, error_model="numpy")
def ema_ratio_nb(price, start, n, out):
    """Price over its exponential moving average, minus 1; seeded with the mean of the first n."""
    n_rows, n_assets = price.shape
    alpha = 2.0 / (n + 1.0)
    ema = np.empty(n_assets)
    for t in range(n - 1, n_rows):
        for a in range(n_assets):
            first = start[a] + n - 1
            if t < first:
                continue
            if t == first:
                ema[a] = seed_nb(price, t, n, a)
            else:
                ema[a] += alpha * (price[t, a] - ema[a])
            out[t, a] = (price[t, a] - ema[a]) / ema[a]


@njit(cache=True, nogil=True, error_model="numpy")
def macd_nb(price, start, fast, slow, n_signal, part, out):
    """MACD (part 0), its signal (1) or histogram (2), each divided by today's price.

    As TA-Lib begins it: both averages start in row `slow - 1` of the asset with the mean of their
    own last `fast` and `slow` prices, the signal with the mean of the first `n_signal` values of
    MACD.
    """
    n_rows, n_assets = price.shape
    alpha_fast, alpha_slow = 2.0 / (fast + 1.0), 2.0 / (slow + 1.0)
    alpha_signal = 2.0 / (n_signal + 1.0)
    ema_fast, ema_slow = np.empty(n_assets), np.empty(n_assets)
    signal = np.empty(n_assets)
    for t in range(slow - 1, n_rows):
        for a in range(n_assets):
            first = start[a] + slow - 1
            if t < first:
                continue
            if t == first:
                ema_fast[a] = seed_nb(price, t, fast, a)
                ema_slow[a] = seed_nb(price, t, slow, a)
                signal[a] = 0.0
            else:
                ema_fast[a] += alpha_fast * (price[t, a] - ema_fast[a])
                ema_slow[a] += alpha_slow * (price[t, a] - ema_slow[a])
            macd = ema_fast[a] - ema_slow[a]
            if t < first + n_signal:
                # The running sum becomes the mean that seeds the signal in the last of these rows.
                signal[a] += macd / n_signal
            else:
                signal[a] += alpha_signal * (macd - signal[a])
            value = macd
            if part == 1:
                value = signal[a]
            elif part == 2:
                value = macd - signal[a]
            out[t, a] = value / price[t, a]


@njit(cache=True, nogil=True, error_model="numpy")
def rsi_nb(price, start, n, out):
    """Wilder's relative strength index in [0, 100]; 50 if no price has moved.

    The averages of gains and losses are seeded with the mean of the first n changes.
    """
    n_rows, n_assets = price.shape
    gain, loss = np.zeros(n_assets), np.zeros(n_assets)
    for t in range(1, n_rows):
        for a in range(n_assets):
            age = t - start[a]
            if age < 1:
                continue
            change = price[t, a] - price[t - 1, a]
            up, down = max(change, 0.0), max(-change, 0.0)
            if age <= n:
                gain[a] += up / n
                loss[a] += down / n
            else:
                gain[a] += (up - gain[a]) / n
                loss[a] += (down - loss[a]) / n
            total = gain[a] + loss[a]
            out[t, a] = 100.0 * gain[a] / total if total > 0.0 else 50.0
