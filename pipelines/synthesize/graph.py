"""Seeds to a data set of rendered rooms on Ray Data: render, encode, store, a row a room.

A task renders the rooms of one shard and writes shard and rows under names that follow from
them, so that a task that is run again replaces what it wrote. A room is known by seed and
settings: a second run renders what has no row yet, and failed rooms again.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipelines.encode.report import Tally
from pipelines.on_ray.dataset import Workers, through_tasks
from pipelines.stored import rows
from pipelines.stored.store import ResultStore
from pipelines.synthesize.config import SynthesizeConfig
from spatialcode.evaluation.room_files import (
    RenderedRoom,
    render_room,
    room_key,
    write_files,
    write_tar,
)
from spatialcode.files import write_text
from spatialcode.scene.table import ARROW_SCHEMA, to_row
from spatialcode.synthetic.catalogue.models import attribution, catalogue, catalogue_key
from spatialcode.synthetic.renderers import FURNITURE, check_renderer

#: Changes whenever the same seed gives another clip.
GENERATOR = "rooms-1"
FURNITURE_GENERATOR = "furniture-1"
#: Who made the models that pictures show, beside them.
ATTRIBUTION = "ATTRIBUTION.txt"

_SEEDS = pa.schema([pa.field("seed", pa.int64(), nullable=False)])

ROOM = pa.schema(
    [
        pa.field("input_id", pa.string(), nullable=False),
        pa.field("work_key", pa.string(), nullable=False),
        pa.field("seed", pa.int64(), nullable=False),
        pa.field("status", pa.string(), nullable=False),
        pa.field("error_code", pa.string()),
        pa.field("error", pa.string()),
        pa.field("stage", pa.string()),
        pa.field("attempts", pa.int32(), nullable=False),
        pa.field("num_frames", pa.int32(), nullable=False),
        pa.field("render_s", pa.float64(), nullable=False),
        pa.field("finished_s", pa.float64(), nullable=False),
        pa.field("shard", pa.string()),  # the tar that holds it, relative to the output folder
        pa.field("instance_ids", pa.list_(pa.string())),
        *ARROW_SCHEMA,
        pa.field("video_mp4", pa.binary()),  # only with format=parquet, as the next two
        pa.field("depth_png", pa.list_(pa.binary())),
        pa.field("instance_png", pa.list_(pa.binary())),
    ]
)
Progress = Callable[[Tally], None]


def work_key(seed: int, config: SynthesizeConfig) -> str:
    """Identity of a rendered room: generator, seed and every setting that shows in it."""
    names = ("num_frames", "width_px", "height_px", "rate_hz", "moving_share", "format")
    shown = {name: getattr(config, name) for name in names}
    told = [GENERATOR, seed, shown]
    if config.renderer == FURNITURE:
        told += [config.renderer, FURNITURE_GENERATOR, catalogue_key()]
    text = json.dumps(told, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def run_synthesize(
    config: SynthesizeConfig, on_progress: Progress = lambda _: None
) -> dict[str, Any]:
    """Bring the folder up to ``num_rooms`` rooms; returns the report it also writes.

    Raises FurnitureError where the renderer cannot run on this machine.
    """
    check_renderer(config.renderer)
    store = ResultStore(config.output)
    if config.renderer == FURNITURE:
        write_text(Path(config.output) / ATTRIBUTION, attribution(catalogue()) + "\n")
    with store.lock():
        done = {row.work_key for row in store.rows() if row.status == rows.OK}
        seeds = range(config.seed, config.seed + config.num_rooms)
        missing = [seed for seed in seeds if work_key(seed, config) not in done]
        tally = Tally(config.num_rooms, skipped=config.num_rooms - len(missing))
        on_progress(tally)
        if missing:
            for receipts in _compute(missing, config, store, tally):
                tally.add(receipts)
                on_progress(tally)
        store.compact()
        report = tally.report(config.max_failed_fraction) | {"output": store.root}
        store.write_report(report)
    return report


def _compute(
    seeds: list[int], config: SynthesizeConfig, store: ResultStore, tally: Tally
) -> Iterator[list[dict[str, Any]]]:
    """Render the seeds; a block of them is a task is a shard."""
    size = config.rooms_per_shard
    blocks = [
        pa.Table.from_pylist([{"seed": seed} for seed in seeds[i : i + size]], schema=_SEEDS)
        for i in range(0, len(seeds), size)
    ]
    # One core: numpy, OpenCV and the video codec are each kept to one thread.
    workers = Workers(num_cpus=config.num_cpus, ray_address=config.ray_address)
    arguments = {"config": config, "store": store}
    return through_tasks(blocks, render_shard, arguments, workers, tally.abort)


def render_shard(batch: pa.Table, config: SynthesizeConfig, store: ResultStore) -> pa.Table:
    """Render a block of seeds, write their files or shard, then their rows; returns receipts."""
    import cv2

    cv2.setNumThreads(1)
    folder = Path(store.root)
    table_rows: list[dict[str, Any]] = []
    rendered: list[RenderedRoom] = []
    for seed in batch["seed"].to_pylist():
        row, room = _attempt(seed, config)
        if room is not None and config.format == "mp4":
            write_files(folder, room)
        elif room is not None and config.format == "parquet":
            row |= {
                "video_mp4": room.video_mp4,
                "depth_png": list(room.depth_png),
                "instance_png": list(room.instance_png),
            }
        elif room is not None:
            rendered.append(room)
        table_rows.append(row)
    if rendered:
        digest = hashlib.sha256("".join(row["work_key"] for row in table_rows).encode())
        shard = f"shards/shard-{rendered[0].key}-{digest.hexdigest()[:8]}.tar"
        write_tar(folder / shard, rendered)
        for row in table_rows:
            row["shard"] = shard if row["status"] == rows.OK else None
    store.write(rows.table(table_rows, ROOM))
    receipts = [{**row, "uri": row["input_id"], "encode_s": row["render_s"]} for row in table_rows]
    return rows.table(receipts, rows.RECEIPT)


def _attempt(seed: int, config: SynthesizeConfig) -> tuple[dict[str, Any], RenderedRoom | None]:
    """A room and its row; an error becomes a row without a code."""
    started = time.monotonic()
    row: dict[str, Any] = {
        "input_id": room_key(seed),
        "work_key": work_key(seed, config),
        "seed": seed,
    }
    room = None
    try:
        folder = "videos/" if config.format == "mp4" else ""
        room = render_room(seed, config.film, folder)
        row |= to_row(room.code) | {
            "status": rows.OK,
            "attempts": 1,
            "num_frames": len(room.depth_png),
            "instance_ids": list(room.instance_ids),
        }
    except Exception as error:  # the one boundary of a room: whatever went wrong is its row
        failed = rows.failure(error, "render")
        row |= {name: value for name, value in failed.items() if name in ROOM.names}
    row |= {"render_s": time.monotonic() - started, "finished_s": time.time()}
    return row, room
