"""Question sets and codes as they lie on disk, for whoever asks questions about many rooms."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from spatialcode.errors import FormatError, InputError
from spatialcode.files import read_jsonl
from spatialcode.questions.parse import read_options
from spatialcode.questions.types import QuestionItem

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
