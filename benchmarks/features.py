"""How long all features take, and how much memory beside their own output.

    python -m benchmarks.features [--assets 500] [--rows 8000]

The goal: 500 assets x 8,000 days under 15 s, peak memory under 3 x the output; the four modalities
of `sp500`, published series included, under 10 s.
"""

from __future__ import annotations

import argparse
import time
import tracemalloc

import numpy as np


def measure(assets: int = 500, rows: int = 8000) -> dict[str, float]:
    """Builds all features of a synthetic OHLCV panel once compiled.

    Returns:
        seconds (wall), output_bytes, peak_bytes (output included), peak_over_output, features,
        assets, rows, and nanoseconds_per_value.
    """
    from envs.data.synthetic import synthetic
    from envs.features import build_features

    build_features(synthetic(n_rows=300, n_assets=3, ohlcv=True), ["all"])
    market = synthetic(n_rows=rows, n_assets=assets, ohlcv=True)
    begin = time.perf_counter()
    build_features(market, ["all"])
    seconds = time.perf_counter() - begin
    # Traced allocations, in a run of their own: resident memory would not do, since the allocator
    # gives the build what the making of the panel has left over.
    tracemalloc.start()
    panel = build_features(market, ["all"])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    if not np.isfinite(panel.values[panel.warmup :]).all():
        raise ArithmeticError("a feature is not finite after its warm-up")
    return {
        "seconds": seconds,
        "output_bytes": float(panel.values.nbytes),
        "peak_bytes": float(peak),
        "peak_over_output": peak / panel.values.nbytes,
        "nanoseconds_per_value": 1e9 * seconds / panel.values.size,
        "features": float(panel.n_features),
        "assets": float(assets),
        "rows": float(rows),
    }


def measure_modalities() -> dict[str, float]:
    """Builds the four modalities of `sp500` once compiled, published series read once.

    Returns:
        seconds (wall), features, assets and rows.
    """
    from envs.data import sp500
    from envs.features import modality_features

    market = sp500()
    modality_features(market)
    begin = time.perf_counter()
    panel = modality_features(market)
    seconds = time.perf_counter() - begin
    rows, assets, features = panel.values.shape
    return {"seconds": seconds, "features": features, "assets": assets, "rows": rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--assets", type=int, default=500)
    parser.add_argument("--rows", type=int, default=8000)
    arguments = parser.parse_args()
    found = measure(arguments.assets, arguments.rows)
    print(f"all features, {arguments.assets} assets x {arguments.rows} rows")
    for key, value in found.items():
        print(f"  {key:22s} {value:18,.3f}")
    print("the four modalities of sp500")
    for key, value in measure_modalities().items():
        print(f"  {key:22s} {value:18,.3f}")


if __name__ == "__main__":
    main()
