"""Question sets and codes as they lie on disk, for whoever asks questions about many rooms."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.stored.reading import StoredCode, list_codes, read_stored
from spatialcode.errors import FormatError, InputError
from spatialcode.files import read_jsonl
from spatialcode.questions.parse import read_options
from spatialcode.questions.types import QuestionItem
from spatialcode.scene.axes import Axis, AxisOrder
from spatialcode.scene.formats import read_boxes
from spatialcode.scene.schema import SpatialCode

_EXPECTED = "id, scene, question_type, question, options, ground_truth"


def read_questions(path: str | Path) -> list[QuestionItem]:
    """The questions of a JSONL or Parquet file, a folder of Parquet files, or the output of the
    questions job.

    FormatError with file and row where one does not fit, or where an id occurs twice; InputError
    where nothing lies there.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"questions: {path} does not exist")
    path = path / "questions" if (path / "questions").is_dir() else path
    items: dict[str, QuestionItem] = {}
    for place, row in _rows(path):
        item = _item(place, row)
        if item.id in items:
            raise FormatError(f"{place}: id {item.id!r} occurs twice")
        items[item.id] = item
    return list(items.values())


def _rows(path: Path) -> Iterator[tuple[str, Any]]:
    """Every row with the place where it stands."""
    if path.is_dir() or path.suffix == ".parquet":
        import pyarrow.dataset as ds

        for number, row in enumerate(
            ds.dataset(str(path), format="parquet").to_table().to_pylist()
        ):
            yield f"{path}, row {number}", row
        return
    for number, row in read_jsonl(path):
        yield f"{path}:{number}", row


def _item(place: str, row: Any) -> QuestionItem:
    try:
        item = QuestionItem(
            id=str(row["id"]), scene=str(row["scene"]), dataset=str(row.get("dataset") or ""),
            question_type=row["question_type"], question=row["question"],
            options=tuple(row["options"] or ()), ground_truth=str(row["ground_truth"]),
        )  # fmt: skip
    except (KeyError, TypeError, AttributeError) as error:
        raise FormatError(f"{place}: expected {_EXPECTED}; {error!r}") from error
    letters = [option.letter for option in read_options(item.options)]
    if item.ground_truth not in letters if letters else not _is_number(item.ground_truth):
        expected = f"one of {', '.join(letters)}" if letters else "a number without options"
        raise FormatError(f"{place}: ground_truth: expected {expected}, got {item.ground_truth!r}")
    return item


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


@dataclass(frozen=True)
class Stated:
    """What a file of 9 or 10 numbers a box does not say itself: see `formats.read_boxes`."""

    order: AxisOrder | None = None
    up: Axis | None = None
    scalar_first: bool | None = None


_UNSTATED = Stated()


def read_codes(
    path: str | Path, scenes: Collection[str] = (), stated: Stated = _UNSTATED
) -> dict[str, SpatialCode]:
    """Codes by scene: a file of boxes in a published format, or a folder of codes (see
    `stored_codes.list_codes`).

    A code's scene is its name there or, where only that is among ``scenes``, its video's file name
    without the ending: the encode job names codes by work key, benchmarks name videos. Videos that
    failed to be encoded are left out. ParseError or InputError where a file or a code cannot be
    read, or two videos have the same name; FormatError where a box cannot.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"boxes: {path} does not exist")
    if path.is_file() and path.suffix != ".parquet":
        return read_boxes(path, stated.order, up=stated.up, scalar_first=stated.scalar_first)
    listed = []
    for code in list_codes(path)[0]:
        if code.error is None:
            listed.append(code)
        elif code.row < 0:  # not a video that failed, but a file that is broken
            raise InputError(f"boxes: {code.error}")
    by_file: dict[str, list[StoredCode]] = defaultdict(list)
    for code in listed:
        by_file[code.file].append(code)
    codes = {}
    for file, stored in by_file.items():
        for code, read in zip(stored, read_stored(file, [c.row for c in stored]), strict=True):
            if isinstance(read, Exception):
                raise read
            codes[code.scene] = read
    named = {}
    for code in listed:
        video = Path(code.uri).stem
        name = video if code.scene not in scenes and video in scenes else code.scene
        if name in named:
            raise InputError(f"boxes: {path} holds more than one code of scene {name!r}")
        named[name] = codes[code.scene]
    return named
