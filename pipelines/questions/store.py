"""The questions job's output folder: Parquet files of questions and of codes asked about.

``questions/part-*.parquet`` has a row a question (`rows.QUESTION`), ``scenes/part-*.parquet`` a row
a code with what became of it (`rows.ASKED`). Files are written whole or not at all, by names that
follow from their codes. Local, or shared by all workers.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.stored import rows
from spatialcode.errors import InputError
from spatialcode.files import whole_file, write_json, write_jsonl

_PARTS = ("questions", "scenes")
_FILES = ("questions.jsonl", "report.json")


@dataclass(frozen=True)
class QuestionSet:
    """The folder. Picklable: workers write with it."""

    output: str

    @property
    def root(self) -> str:
        return str(Path(self.output).absolute())

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other drivers out; InputError if one is in it."""
        Path(self.root).mkdir(parents=True, exist_ok=True)
        with (Path(self.root) / ".lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise InputError(f"{self.root}: another run is writing there") from None
            yield

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

    def write_report(self, report: dict[str, Any]) -> None:
        """Write ``report.json``, last of all."""
        write_json(Path(self.root) / "report.json", report)

    def _put(self, name: str, table: pa.Table) -> None:
        with whole_file(Path(self.root) / name) as partial:
            pq.write_table(table, partial, compression="zstd")
