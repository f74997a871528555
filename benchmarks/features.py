"""How long all features take, and how much memory beside their own output.

    python -m benchmarks.features [--assets 500] [--rows 8000]

The goal: 500 assets x 8,000 days under 15 s, peak memory under 3 x the output.
"""

from __future__ import annotations

import argparse
import threading
import time
from pathlib import Path

import numpy as np


def _resident_bytes() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("/proc/self/status has no VmRSS")


class _Peak:
    """Largest resident memory above that at entry, sampled every few milliseconds."""

    def __enter__(self) -> _Peak:
        self.base = self.top = _resident_bytes()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def _watch(self) -> None:
        while not self._stop.wait(0.005):
            self.top = max(self.top, _resident_bytes())

    def __exit__(self, *_: object) -> None:
        self.top = max(self.top, _resident_bytes())
        self._stop.set()
        self._thread.join()

    @property
    def bytes(self) -> int:
        return self.top - self.base


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
    with _Peak() as peak:
        begin = time.perf_counter()
        panel = build_features(market, ["all"])
        seconds = time.perf_counter() - begin
    if not np.isfinite(panel.values[panel.warmup :]).all():
        raise ArithmeticError("a feature is not finite after its warm-up")
    return {
        "seconds": seconds,
        "output_bytes": float(panel.values.nbytes),
        "peak_bytes": float(peak.bytes),
        "peak_over_output": peak.bytes / panel.values.nbytes,
        "nanoseconds_per_value": 1e9 * seconds / panel.values.size,
        "features": float(panel.n_features),
        "assets": float(assets),
        "rows": float(rows),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--assets", type=int, default=500)
    parser.add_argument("--rows", type=int, default=8000)
    arguments = parser.parse_args()
    found = measure(arguments.assets, arguments.rows)
    print(f"all features, {arguments.assets} assets x {arguments.rows} rows")
    for key, value in found.items():
        print(f"  {key:22s} {value:18,.3f}")


if __name__ == "__main__":
    main()
