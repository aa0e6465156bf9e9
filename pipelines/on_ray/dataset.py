"""The one way in which jobs send rows through Ray Data: rows through actors, blocks through tasks.

It knows neither what the rows hold nor how they are counted.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from cluster.connect import connect

Row = dict[str, Any]


@dataclass(frozen=True)
class Workers:
    """What a stage runs on: actors or tasks at once (None: as many as fit; 0: this process, without
    Ray), and what each reserves.

    ``ray_address``: the cluster to join; None: that of RAY_ADDRESS, or a Ray of this machine's.
    """

    max_workers: int | None = None
    num_cpus: float = 1.0
    num_gpus: float = 0.0
    ray_address: str | None = None


def through_actors(
    rows: Sequence[Row], stage: Any, arguments: tuple[Any, ...], workers: Workers
) -> Iterator[Row]:
    """What ``stage(*arguments)`` makes of each row, in the order in which they are done.

    ``stage`` is a class whose instances take a row and return one, and do not raise for its data.
    """
    if workers.max_workers == 0:
        yield from map(stage(*arguments), rows)
        return
    import ray
    from ray.data import ActorPoolStrategy

    connect_for_data(workers.ray_address, workers.num_cpus)
    # A block a row: the unit of a worker's task, and of what a lost worker repeats.
    dataset = ray.data.from_items(list(rows), override_num_blocks=len(rows)).map(
        stage,
        fn_constructor_args=arguments,
        # Actors, because weights and priors take seconds to load; as many as fit, if fewer than
        # wanted.
        compute=ActorPoolStrategy(min_size=1, max_size=workers.max_workers),
        num_cpus=workers.num_cpus,
        num_gpus=workers.num_gpus or None,
    )
    yield from dataset.iter_rows()


def through_tasks(
    blocks: Sequence[pa.Table],
    stage: Any,
    arguments: Mapping[str, Any],
    workers: Workers,
    on_abort: Callable[[str], None],
) -> Iterator[list[Row]]:
    """The rows that ``stage(block, **arguments)`` makes of each block, one task a block.

    ``stage`` takes and returns a table, and does not raise for its data. An error of Ray's ends the
    run: ``on_abort`` gets it in one line.
    """
    if workers.max_workers == 0:
        yield from (stage(block, **arguments).to_pylist() for block in blocks)
        return
    import ray
    from ray.exceptions import RayError

    connect_for_data(workers.ray_address, workers.num_cpus)
    try:
        dataset = ray.data.from_arrow(list(blocks)).map_batches(
            stage,
            batch_size=None,
            batch_format="pyarrow",
            fn_kwargs=dict(arguments),
            num_cpus=workers.num_cpus,
            concurrency=workers.max_workers,
        )
        for batch in dataset.iter_batches(batch_size=None, batch_format="pyarrow"):
            yield batch.to_pylist()
    except RayError as error:
        on_abort(abort_line(error))


def abort_line(error: Exception) -> str:
    """An error that ended a run, in one line: its class and the last line of its message."""
    return f"{type(error).__name__}: {str(error).strip().splitlines()[-1]}"


def connect_for_data(ray_address: str | None, min_cpus: float) -> None:
    """Connect to Ray (`cluster.connect`) for a run of Ray Data that shows nothing of its own."""
    from ray.data import DataContext

    connect(ray_address, min_cpus)
    DataContext.get_current().enable_progress_bars = False  # jobs show their own progress
    logging.getLogger("ray.data").setLevel(logging.ERROR)
