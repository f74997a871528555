"""Tables in pages: a program writes its own between two marks, and nothing else."""

from __future__ import annotations

from pathlib import Path


def put_between(path: Path, mark: str, table: str) -> None:
    """Replaces what stands between `<!-- mark -->` and `<!-- /mark -->` in a page.

    A page without these marks, or none, becomes the table.
    """
    page = path.read_text(encoding="utf-8") if path.exists() else ""
    first, last = f"<!-- {mark} -->", f"<!-- /{mark} -->"
    begin, end = page.find(first), page.find(last)
    if 0 <= begin < end:
        table = f"{page[:begin]}{first}\n{table}{page[end:]}"
    path.write_text(table, encoding="utf-8")
