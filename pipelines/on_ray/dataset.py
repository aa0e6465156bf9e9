"""The one Ray Data stage that evaluations consist of: rows through a pool of actors."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any

from cluster.connect import connect
from pipelines.evaluate.config import EvaluateConfig

Row = dict[str, Any]


def through_actors(
    rows: Sequence[Row], stage: Any, arguments: tuple[Any, ...], config: EvaluateConfig
) -> Iterator[Row]:
    """What ``stage(*arguments)`` makes of each row, in the order in which they are done.

    ``stage`` is a class whose instances take a row and return one, and do not raise for its data.
    """
    import ray
    from ray.data import ActorPoolStrategy, DataContext

    connect(config.ray_address)
    DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    # A block a row: the unit of a worker's task, and of what a lost worker repeats.
    dataset = ray.data.from_items(list(rows), override_num_blocks=len(rows)).map(
        stage,
        fn_constructor_args=arguments,
        # Actors, because weights and priors take seconds to load; as many as fit, if fewer than
        # wanted.
        compute=ActorPoolStrategy(min_size=1, max_size=config.num_workers),
        # Times that a stage reports are those of one core.
        num_cpus=1,
        num_gpus=config.num_gpus or None,
    )
    yield from dataset.iter_rows()
