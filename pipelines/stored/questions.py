"""Question sets as they lie on disk: read from files of several kinds, and the questions job's own.

In its folder ``questions/part-*.parquet`` has a row a question (`rows.QUESTION`) and
``scenes/part-*.parquet`` a row a code with what became of it (`rows.ASKED`). Files are written
whole or not at all, by names that follow from their codes. Local, or shared by all workers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.stored import rows
from spatialcode.errors import FormatError, InputError
from spatialcode.files import read_jsonl, whole_file, write_jsonl
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


_PARTS = ("questions", "scenes")
_FILES = ("questions.jsonl", "report.json")


@dataclass(frozen=True)
class QuestionSet:
    """The folder. Picklable: workers write with it."""

    output: str

    @property
    def root(self) -> str:
        return str(Path(self.output).absolute())

    def keep_off(self, codes: str) -> None:
        """InputError where the codes themselves, or another job's report, lie in the folder."""
        root, source = Path(self.root).resolve(), Path(codes).resolve()
        if root in (source, source / "codes") or (source.name == "codes" and root == source.parent):
            raise InputError(f"output: expected another folder than that of the codes, got {root}")
        report = root / "report.json"
        if report.exists() and '"families"' not in report.read_text(encoding="utf-8"):
            raise InputError(f"output: {report} is the report of another job")

    def clear(self, overwrite: bool) -> None:
        """Leave an empty folder; InputError if it holds questions and may not be overwritten.

        Removes nothing but what this job writes.
        """
        root = Path(self.root)
        old = [root / name for name in _FILES if (root / name).exists()]
        for part in _PARTS:
            old += [*(root / part).glob("part-*.parquet"), *(root / part).glob(".part-*.partial")]
        if old and not overwrite:
            raise InputError(
                f"output: {root} holds {old[0].name}; give overwrite=true to replace it"
            )
        for path in old:
            path.unlink()
        for part in _PARTS:
            (root / part).mkdir(exist_ok=True)

    def write(self, name: str, questions: Sequence[Any], asked: Sequence[Any]) -> None:
        """A task's questions and its codes' rows."""
        found = rows.table(questions, rows.QUESTION)
        if found.num_rows:
            self._put(f"questions/{name}.parquet", found)
        self._put(f"scenes/{name}.parquet", rows.table(asked, rows.ASKED))

    def write_jsonl(self) -> None:
        """All questions as VSI-Bench publishes them, by scene: no options are null."""
        files = sorted((Path(self.root) / "questions").glob("part-*.parquet"))
        found = (row for path in files for row in pq.read_table(path).to_pylist())
        published = (row | {"options": row["options"] or None} for row in found)
        write_jsonl(Path(self.root) / "questions.jsonl", published)

    def _put(self, name: str, table: pa.Table) -> None:
        with whole_file(Path(self.root) / name) as partial:
            pq.write_table(table, partial, compression="zstd")
