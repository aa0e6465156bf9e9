"""A benchmark's report on disk, in its forms, and what their Markdown and pages share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spatialcode.files import whole_file, write_json, write_jsonl, write_text

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

Report = dict[str, Any]


def write_report(
    report: Report,
    folder: Path,
    *,
    markdown: str,
    figure: Figure,
    rows: Mapping[str, Iterable[Any]],
) -> None:
    """Write ``report.json``, ``report.md``, ``report.html``, and each of ``rows`` as JSON lines.

    The page is self-contained. ``rows``: what the figures were made of, by name of the file. The
    report itself comes last, so that a folder that holds one is complete.
    """
    for name, lines in rows.items():
        write_jsonl(folder / name, lines, allow_nan=False)
    write_text(folder / "report.md", markdown)
    with whole_file(folder / "report.html") as page:
        figure.write_html(page, include_plotlyjs=True)
    write_json(folder / "report.json", report, indent=1, allow_nan=False)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [_row(head), "|---" * len(head) + "|", *map(_row, rows)]
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    return "|" + "".join(f" {cell} |" if cell else " |" for cell in cells)
