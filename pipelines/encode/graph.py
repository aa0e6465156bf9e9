"""Videos to spatial codes on Ray Data: list, plan, decode, encode, write.

Ray computes only what is missing; what is done, and in what state a run ends, is read from the
output folder, so a killed run continues by being started again. Ray Data's own checkpoints are
not used: they filter nothing when the input is a listing, and know nothing of changed content.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipelines.encode.config import EncodeConfig
from pipelines.encode.inputs import Captures, list_inputs
from pipelines.encode.placement import placed
from pipelines.encode.plan import (
    ContentCache,
    Plan,
    Work,
    default_cache_dir,
    identify,
    keyed,
    make_plan,
)
from pipelines.encode.report import Tally
from pipelines.encode.stages import (
    AttemptLedger,
    EncodeStage,
    WorkerLostError,
    decode_videos,
    write_rows,
)
from pipelines.encode.streams import StreamStage
from pipelines.on_ray.dataset import abort_line, connect_for_data
from pipelines.stored import rows
from pipelines.stored.store import ResultStore
from spatialcode.api import effective_sampling, keyed_identity
from spatialcode.encoder.protocol import Encoder
from spatialcode.streaming import is_long
from spatialcode.video.sampling import Sampling

_WRITER_CPUS = 0.25
_log = logging.getLogger(__name__)
Progress = Callable[[Tally], None]


def build(
    works: list[Work], encoder: Encoder, config: EncodeConfig, store: ResultStore, ledger: Any
) -> Any:
    """The stages for videos whose frames travel as rows. Each states its resources: that also keeps
    Ray from fusing two of them.
    """
    import ray

    decode, encoding = config.decode, config.encoder
    arguments = {"config": config, "ledger": ledger}
    return (
        ray.data.from_arrow(_blocks(works, decode.videos_per_task))
        # A block a task: a lost task repeats few videos, and starting one costs milliseconds.
        # Workers are renewed now and then, and what they leaked goes with them. This also makes
        # their resources differ from the encoders', which keeps Ray from fusing the two stages.
        .map_batches(
            decode_videos,
            batch_size=None,
            batch_format="pyarrow",
            fn_kwargs={**arguments, "max_dense": encoder.frames.max_dense},
            num_cpus=decode.num_cpus,
            max_calls=100,
            udf_modifying_row_count=False,
        )
        # Actors, because loading weights takes seconds. One batch running and one waiting each:
        # with only one the pool never looks busy enough to Ray to grow beyond its first actor,
        # more would queue decoded frames in memory. Ray replaces an actor that died.
        .map_batches(
            EncodeStage,
            batch_size=encoding.videos_per_batch,
            batch_format="pyarrow",
            fn_constructor_kwargs={**arguments, "encoder": encoder},
            compute=ray.data.ActorPoolStrategy(
                min_size=encoding.min_actors,
                max_size=_max_actors(config, decode.num_cpus, encoding.num_cpus),
                max_tasks_in_flight_per_actor=2,
            ),
            num_cpus=encoding.num_cpus,
            num_gpus=encoding.num_gpus or None,
            udf_modifying_row_count=False,
        )
        # A quarter of a core: compressing a few rows, then waiting for the disk.
        .map_batches(write_rows, **_writing(config, store), num_cpus=_WRITER_CPUS)
    )


def build_streams(
    works: list[Work], encoder: Encoder, config: EncodeConfig, store: ResultStore, ledger: Any
) -> Any:
    """The stages for captures and long videos: a uri travels, the encoder's actor reads."""
    import ray

    encoding = config.encoder
    num_cpus = _reading_encoder_cpus(config)
    return (
        # A block a clip: what a lost actor repeats, and what it is given next.
        ray.data.from_arrow(_blocks(works, 1))
        # One clip running and one waiting, as above. An actor's decoder is its child and runs while
        # it encodes: the actor reserves a core for it, unless the cluster has none to spare.
        .map_batches(
            StreamStage,
            batch_size=1,
            batch_format="pyarrow",
            fn_constructor_kwargs={"config": config, "ledger": ledger, "encoder": encoder},
            compute=ray.data.ActorPoolStrategy(
                min_size=encoding.min_actors,
                max_size=_max_actors(config, 0.0, num_cpus),
                max_tasks_in_flight_per_actor=2,
            ),
            num_cpus=num_cpus,
            num_gpus=encoding.num_gpus or None,
            udf_modifying_row_count=False,
        )
        .map_batches(write_rows, **_writing(config, store), num_cpus=_WRITER_CPUS)
    )


def _writing(config: EncodeConfig, store: ResultStore) -> dict[str, Any]:
    """How result rows are written, whichever stages they come from."""
    return {
        "batch_size": config.rows_per_file,
        "batch_format": "pyarrow",
        "fn_kwargs": {"store": store},
        "udf_modifying_row_count": False,
    }


def _blocks(works: list[Work], size: int) -> list[pa.Table]:
    return [
        rows.table([work.row() for work in works[i : i + size]], rows.PLANNED)
        for i in range(0, len(works), size)
    ]


def run_encode(config: EncodeConfig, on_progress: Progress = lambda _: None) -> dict[str, Any]:
    """Bring the output folder up to date with the inputs; returns the report it also writes.

    Raises InputError where the inputs cannot be listed, ConfigError or WeightsError where there is
    no such encoder. Everything that concerns one video is a row.
    """
    store = ResultStore(config.output, config.s3_endpoint_url)
    with store.lock():
        encoder = config.encoder.make()  # its identity: no weights are loaded
        config = replace(config, sampling=effective_sampling(config.sampling, encoder.frames))
        plan = plan_run(config, store, encoder)
        tally = Tally.of_plan(plan)
        on_progress(tally)
        if plan.unusable:
            failed = [_failed(work, work.error, "list") for work in plan.unusable if work.error]
            store.write(rows.table(failed, rows.RESULT))
        if plan.compute:
            for receipts in _compute(plan.compute, encoder, config, store, tally):
                tally.add(receipts)
                on_progress(tally)
        if tally.aborted is None:
            _copy(plan.copy, store, tally)
        num_replaced = store.compact()
        report = tally.report(config.max_failed_fraction)
        report |= {"replaced_rows": num_replaced, "output": store.root}
        store.write_report(report)
    return report


def plan_run(config: EncodeConfig, store: ResultStore, encoder: Encoder) -> Plan:
    """List the inputs, identify their content, compare with what is stored."""
    captures = Captures(config.reader, config.sidecars)
    sources = list_inputs(config.input, config.s3_endpoint_url, captures)
    cache = ContentCache(Path(config.cache_dir) if config.cache_dir else default_cache_dir())
    try:
        sources = identify(sources, cache)
    finally:
        cache.close()
    works = keyed(sources, keyed_identity(encoder, config.sampling))
    return make_plan(works, store.rows(), config.retry_failed)


def _compute(
    works: list[Work], encoder: Encoder, config: EncodeConfig, store: ResultStore, tally: Tally
) -> Iterator[list[dict[str, Any]]]:
    """Run the stages; yields receipts as files are written. An error of Ray's ends the run."""
    import ray
    from ray.data.exceptions import ExecutionTimeoutError, SystemException
    from ray.exceptions import RayError

    encoders = config.encoder.num_cpus * config.encoder.min_actors
    connect_for_data(config.ray_address, encoders + config.decode.num_cpus + _WRITER_CPUS)
    config = placed(config, encoder, len(works))
    ledger = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(AttemptLedger).remote()
    outstanding = {work.source.input_id: work for work in works}
    streamed = [work for work in works if is_streamed(work, config.sampling)]
    rest = [work for work in works if not is_streamed(work, config.sampling)]
    try:
        for part, stages in ((rest, build), (streamed, build_streams)):
            if not part:
                continue
            dataset = stages(part, encoder, config, store, ledger)
            for batch in dataset.iter_batches(batch_size=None, batch_format="pyarrow"):
                receipts = batch.to_pylist()
                for receipt in receipts:
                    work = outstanding.pop(receipt["input_id"])
                    assert work.key == receipt["work_key"], receipt
                yield receipts
    except (RayError, SystemException, ExecutionTimeoutError) as error:
        _log.error("the run was aborted", exc_info=error)
        tally.abort(abort_line(error))
        return
    finally:
        ray.kill(ledger)
    lost = [
        _failed(work, WorkerLostError("no result came back"), "encode")
        for work in outstanding.values()
    ]
    if lost:
        store.write(rows.table(lost, rows.RESULT))
        yield lost


def is_streamed(work: Work, sampling: Sampling) -> bool:
    """Whether a clip's encoder reads it for itself: a capture, or too long to travel with its
    frames.
    """
    return work.source.place is not None or is_long(sampling)


def _reading_encoder_cpus(config: EncodeConfig) -> float:
    """What an encoder that reads for itself reserves: its decoder too, where the cluster has room
    beside the writers.
    """
    import ray

    encoder = config.encoder
    both = encoder.num_cpus + config.decode.num_cpus
    there = ray.cluster_resources().get("CPU", 1.0)
    return both if encoder.min_actors * both + _WRITER_CPUS <= there else encoder.num_cpus


def _max_actors(config: EncodeConfig, others_cpus: float, own_cpus: float) -> int | None:
    """The most encoders that fit: on CPUs, so many cores must stay free for others."""
    import ray

    encoder = config.encoder
    if encoder.max_actors is not None or encoder.num_gpus:
        return encoder.max_actors
    free = ray.cluster_resources().get("CPU", 1.0) - others_cpus - _WRITER_CPUS
    return max(encoder.min_actors, int(free / own_cpus))


def _failed(work: Work, error: Exception, stage: str) -> dict[str, Any]:
    return rows.result_row(work.row(), **rows.failure(error, stage))


def _copy(works: list[Work], store: ResultStore, tally: Tally) -> None:
    """Give each input whose content another one has a row of its own."""
    if not works:
        return
    by_key = {row.work_key: row for row in sorted(store.rows()) if row.work_key}
    originals = {
        row["work_key"]: row
        for row in store.read({by_key[work.key] for work in works if work.key in by_key})
    }
    copies = []
    for work in works:
        original = originals.get(work.key)
        if original is None:
            lost = WorkerLostError("the input with the same content has no result")
            copies.append(_failed(work, lost, "encode"))
            continue
        copy = rows.result_row({**original, **work.row()}, code=original["code"], encode_s=0.0)
        if copy["code"] is not None:
            copy["code"] = _with_uri(copy["code"], work.source.uri)
        copies.append(copy)
    store.write(rows.table(copies, rows.RESULT))
    tally.add_copies(copies)


def _with_uri(code_row: dict[str, Any], uri: str) -> dict[str, Any]:
    from spatialcode.scene.table import from_row, to_row

    code = from_row(code_row)
    return dict(to_row(replace(code, video=replace(code.video, uri=uri))))
