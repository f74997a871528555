"""The pieces that sections of the report are built from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from experiments.evaluation.metrics import BY_NAME
from experiments.reports.figures import Run

# Columns, that of the row heads among them.
FIT_A_PHONE = 5


def section(key: str, title: str, *parts: str) -> str:
    """A section with a heading; `parts` are HTML."""
    return f'<section id="{key}"><h2>{escape(title)}</h2>{"".join(parts)}</section>'


def details(title: str, text: str) -> str:
    """Preformatted text behind a click."""
    return f"<details><summary>{escape(title)}</summary><pre>{escape(text)}</pre></details>"


def text(words: str) -> str:
    """Escaped, with numbers kept beside their percent signs."""
    return escape(words).replace(" %", "&nbsp;%")


def paragraph(words: str, kind: str = "") -> str:
    """A paragraph of plain words; empty for no words."""
    if not words:
        return ""
    return f'<p class="{kind}">{text(words)}</p>' if kind else f"<p>{text(words)}</p>"


def bullets(items: Iterable[str], kind: str = "") -> str:
    """A list of plain words; empty for none."""
    body = "".join(f"<li>{text(item)}</li>" for item in items)
    if not body:
        return ""
    return f'<ul class="{kind}">{body}</ul>' if kind else f"<ul>{body}</ul>"


def scroll_box(table: str, name: str) -> str:
    """A region of its own for a wide table: it scrolls, by keyboard too, and the page does not.

    On a phone, which hides scroll bars, a line above says that a table of many columns goes on.
    """
    wide = table.split("</thead>")[0].count("<th ") > FIT_A_PHONE
    hint = '<p class="hint" aria-hidden="true">Scroll sideways for more →</p>' if wide else ""
    return hint + (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(name)}">{table}</div>'
    )


def swatch(run: Run, name: str) -> str:
    """The strategy's line as it is drawn in the figures."""
    line = run.lines[name]
    kind = {"-": "solid", ":": "dotted"}.get(line.dash, "dashed")
    look = f"border-top:{max(2, round(line.width))}px {kind} {line.colour}"
    return f'<span class="swatch" style="{look}"></span>'


def table(
    heads: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]], name: str, kind: str = ""
) -> str:
    """A table in its own scrolling region.

    Args:
        heads: HTML of the column heads, the first above the row heads.
        rows: HTML of each row's head, and complete `<td>` cells.
    """
    top = "".join(f'<th scope="col">{head}</th>' for head in heads)
    body = "".join(f'<tr><th scope="row">{head}</th>{"".join(cells)}</tr>' for head, cells in rows)
    look = f' class="{kind}"' if kind else ""
    return scroll_box(
        f"<table{look}><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>", name
    )


def heat(value: float | None, limit: float, small: str = "") -> str:
    """A cell with a percentage: blue for a gain, orange for a loss, the pair that colour-blind eyes
    keep apart. None is an empty cell."""
    if value is None:
        return '<td class="none">–</td>'
    strength = min(abs(value) / limit, 1.0) * 0.85 if limit > 0 else 0.0
    red, green, blue = (43, 123, 186) if value >= 0 else (222, 119, 30)
    shade = ",".join(str(round(255 + (c - 255) * strength)) for c in (red, green, blue))
    below = f"<small>{escape(small)}</small>" if small else ""
    return f'<td style="background:rgb({shade})">{percent(value)}{below}</td>'


def percent(value: float) -> str:
    """A fraction in percent, without the sign of it."""
    return BY_NAME["total_return"].text(value, suffix=False)
