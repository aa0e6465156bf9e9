"""Question sets and codes as they lie on disk, for whoever asks questions about many rooms."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipelines import rows
from spatialcode.errors import FormatError, InputError
from spatialcode.questions.types import QuestionItem
from spatialcode.scene.formats import read_boxes
from spatialcode.scene.schema import SpatialCode
from spatialcode.scene.table import ARROW_SCHEMA, from_row
from spatialcode.scene.text import from_json

_EXPECTED = "id, scene, question_type, question, options, ground_truth"


def read_questions(path: str | Path) -> list[QuestionItem]:
    """The questions of a JSONL or Parquet file, or of a folder of Parquet files.

    FormatError with file and row where one does not fit, or where an id occurs twice; InputError
    where nothing lies there.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"questions: {path} does not exist")
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
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        place = f"{path}:{number}"
        try:
            yield place, json.loads(line)
        except ValueError as error:
            raise FormatError(
                f"{place}: expected a JSON object with {_EXPECTED}; {error}"
            ) from error


def _item(place: str, row: Any) -> QuestionItem:
    try:
        return QuestionItem(
            id=str(row["id"]), scene=str(row["scene"]), dataset=str(row.get("dataset") or ""),
            question_type=row["question_type"], question=row["question"],
            options=tuple(row["options"] or ()), ground_truth=str(row["ground_truth"]),
        )  # fmt: skip
    except (KeyError, TypeError, AttributeError) as error:
        raise FormatError(f"{place}: expected {_EXPECTED}; {error!r}") from error


def read_codes(path: str | Path) -> dict[str, SpatialCode]:
    """Codes by scene: a file of boxes in a published format; a folder of codes as JSON, named by
    their scene; or an output folder of the encode or synthesize job, by work key.
    """
    path = Path(path)
    if path.is_file():
        return read_boxes(path)
    if not path.is_dir():
        raise InputError(f"boxes: {path} does not exist")
    if (path / "codes").is_dir():
        codes = _stored(path / "codes")
    else:
        files = sorted(path.glob("*.json"))
        codes = {file.stem: from_json(file.read_text(encoding="utf-8")) for file in files}
    if not codes:
        raise InputError(f"boxes: {path} holds no codes: neither *.json nor codes/*.parquet")
    return codes


def _stored(folder: Path) -> dict[str, SpatialCode]:
    import pyarrow.dataset as ds

    stored = ds.dataset(str(folder), format="parquet")
    # the encode job nests a code in one column, the synthesize job has a column a part of it
    columns = ["code"] if "code" in stored.schema.names else ARROW_SCHEMA.names
    sound = ds.field("status") == rows.OK
    table = stored.to_table(columns=["work_key", *columns], filter=sound)
    return {row["work_key"]: from_row(row.get("code") or row) for row in table.to_pylist()}
