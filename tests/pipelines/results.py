"""What a run of the encode job has left, as tests look at it."""

from __future__ import annotations

from typing import Any

from pipelines.stored import rows
from pipelines.stored.store import ResultStore, StoredRow


def result_rows(output: str, s3_endpoint_url: str | None = None) -> list[dict[str, Any]]:
    """The rows with a code, one an input, by input."""
    store = ResultStore(output, s3_endpoint_url)
    best: dict[str, StoredRow] = {}
    for row in store.rows():
        best[row.input_id] = max(row, best.get(row.input_id, row))
    found = [row for row in store.read(best.values()) if row["status"] == rows.OK]
    return sorted(found, key=lambda row: row["input_id"])
