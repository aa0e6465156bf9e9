"""Reads rerun recordings back; needs the extra rerun."""

from __future__ import annotations

from pathlib import Path
from typing import Any

NO_TIME = -1

# Of a component: its rows as (nanoseconds or NO_TIME, value).
Rows = dict[str, list[tuple[int, Any]]]


def read(path: Path) -> dict[str, Rows]:
    """What the SDK's own reader finds, by entity."""
    from rerun.chunk import RrdReader

    found: dict[str, Rows] = {}
    for chunk in RrdReader(path).stream().to_chunks():
        batch = chunk.to_record_batch()
        assert chunk.timeline_names == ([] if chunk.is_static else ["video_s"])
        times = [NO_TIME] * batch.num_rows
        if not chunk.is_static:
            column = batch.column("video_s").cast("duration[ns]").cast("int64")
            times = column.to_pylist()
        entity = found.setdefault(chunk.entity_path, {})
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            if name not in {"video_s", "rerun.controls.RowId"}:
                entity[name] = list(zip(times, column.to_pylist(), strict=True))
    return found
