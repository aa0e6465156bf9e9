"""What the stages of the encode pipeline do to their rows.

Data errors become rows here and are never raised: Ray would drop or retry whole blocks. A worker
that dies takes its batch with it and Ray starts the batch again without end, so attempts are
counted outside, by the `AttemptLedger`; the second time a batch's videos go one by one, so that
only the deadly one is given up.
"""

from __future__ import annotations

import json
import math
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.encode.config import EncodeConfig
from pipelines.stored import rows
from pipelines.stored.store import ResultStore, s3_filesystem
from spatialcode.api import VideoEncoder
from spatialcode.encoder.protocol import Encoder
from spatialcode.errors import (
    DecodeCrashError,
    DecodeMemoryError,
    DecodeTimeoutError,
    EncodeError,
    InputError,
    VideoNotFoundError,
)
from spatialcode.scene.schema import SpatialCode
from spatialcode.scene.table import to_row
from spatialcode.threads import limit_threads
from spatialcode.video.decode import DecodedVideo, GrayFrames, VideoProbe
from spatialcode.video.dense import decode_sampled
from spatialcode.video.limits import VideoLimits
from spatialcode.video.sandbox import SandboxedDecoder, SandboxLimits

# Failures that may be the machine's rather than the video's.
_RETRIED = (DecodeCrashError, DecodeTimeoutError, DecodeMemoryError, InputError)


class WorkerLostError(EncodeError):
    """The worker process died each time it held this video."""

    code = "worker_lost"


class IdMismatchError(EncodeError):
    """A result belongs to another video than the one it was returned for."""

    code = "id_mismatch"


class AttemptLedger:
    """Counts attempts that were begun and not ended, by stage and input; one Ray actor a run."""

    def __init__(self) -> None:
        self._open: Counter[tuple[str, str]] = Counter()

    def begin(self, stage: str, input_ids: Sequence[str]) -> list[int]:
        """Note that work begins; how many attempts of each are open now, this one included."""
        self._open.update((stage, input_id) for input_id in input_ids)
        return self.counts(stage, input_ids)

    def end(self, stage: str, input_ids: Sequence[str]) -> None:
        for input_id in input_ids:
            self._open.pop((stage, input_id), None)

    def counts(self, stage: str, input_ids: Sequence[str]) -> list[int]:
        return [self._open[(stage, input_id)] for input_id in input_ids]


def _asked(method: Any, stage: str, input_ids: Sequence[str]) -> Any:
    """What a method of the ledger's actor answers."""
    import ray

    return ray.get(method.remote(stage, list(input_ids)))


@dataclass(frozen=True)
class Attempts:
    """How often a stage tries one input: what may be the machine's fault is tried again."""

    ledger: Any
    stage: str
    max_attempts: int

    def outcome(
        self,
        input_id: str,
        work: Callable[[], dict[str, Any]],
        failed_in: Callable[[Exception], str] | None = None,
    ) -> dict[str, Any]:
        """Outcome columns of the first attempt that succeeds, else of the last; ``failed_in``:
        what says in which step an error arose, where the stage has several.
        """
        last_error: Exception = WorkerLostError(f"its worker died each time ({self.stage})")
        outcome: dict[str, Any] = {}
        while not outcome:
            (attempt,) = _asked(self.ledger.begin, self.stage, [input_id])
            if attempt > self.max_attempts:
                outcome = self._failure(last_error, attempt - 1, failed_in)
                break
            try:
                outcome = {**work(), "attempts": attempt}
            except _RETRIED as error:
                last_error = error
            except Exception as error:  # the one boundary: any error becomes this row
                outcome = self._failure(error, attempt, failed_in)
        _asked(self.ledger.end, self.stage, [input_id])
        return outcome

    def _failure(
        self, error: Exception, attempt: int, failed_in: Callable[[Exception], str] | None
    ) -> dict[str, Any]:
        return rows.failure(error, failed_in(error) if failed_in else self.stage, attempt)


_decoders: dict[SandboxLimits, SandboxedDecoder] = {}  # one a worker process, kept between tasks


def decode_videos(
    batch: pa.Table, config: EncodeConfig, ledger: Any, max_dense: int | None = None
) -> Iterator[pa.Table]:
    """Planned rows to decoded rows, one video in memory at a time; with at most ``max_dense`` grey
    frames that lie closer together, where an encoder asks for such.
    """
    limit_threads(config.decode.num_cpus)
    decoder, attempts = decoder_of(config), Attempts(ledger, "decode", config.max_attempts)
    for row in batch.to_pylist():
        decoded = attempts.outcome(
            row["input_id"], partial(_decode, row, config, decoder, max_dense)
        )
        yield rows.table([{**rows.identity(row), **decoded}], rows.DECODED)


def decoder_of(config: EncodeConfig) -> SandboxedDecoder:
    """Decoder of this process; its child starts on first use and stays for later tasks."""
    limits = SandboxLimits(
        wall_s=config.decode.timeout_s,
        cpu_s=math.ceil(2 * config.decode.timeout_s),
        memory_bytes=config.decode.memory_bytes,
    )
    return _decoders.setdefault(limits, SandboxedDecoder(limits))


def _decode(
    row: dict[str, Any],
    config: EncodeConfig,
    decoder: SandboxedDecoder,
    max_dense: int | None,
) -> dict[str, Any]:
    start_s = time.perf_counter()
    with local_file(row["uri"], config.s3_endpoint_url) as path:
        limits, sha256 = decoder_limits(config), known_sha256(row)
        video = decode_sampled(
            decoder.decode, path, config.sampling,
            max_dense=max_dense, limits=limits, sha256=sha256,
        )  # fmt: skip
    num_frames, height_px, width_px, _ = video.rgb.shape
    return {
        "status": rows.OK,
        "warnings": list(video.warnings),
        "num_frames": num_frames,
        "decode_s": time.perf_counter() - start_s,
        "rgb": np.ascontiguousarray(video.rgb).tobytes(),
        "height_px": height_px,
        "width_px": width_px,
        "times_s": video.times_s.tolist(),
        "probe": json.dumps(asdict(replace(video.probe, uri=row["uri"]))),
        **_gray_columns(video.dense),
    }


def _gray_columns(dense: GrayFrames | None) -> dict[str, Any]:
    """Denser grey frames as columns: a byte a pixel, a third of what as many in colour take."""
    if dense is None:
        return {}
    return {
        "gray": np.ascontiguousarray(dense.gray).tobytes(),
        "gray_height_px": dense.gray.shape[1],
        "gray_width_px": dense.gray.shape[2],
        "gray_times_s": dense.times_s.tolist(),
    }


def decoder_limits(config: EncodeConfig) -> VideoLimits:
    """What is decoded at all, and by how many threads."""
    return VideoLimits(num_threads=max(1, int(config.decode.num_cpus)))


def known_sha256(row: dict[str, Any]) -> str | None:
    """The hash of a row's video, where its content is known by that."""
    return None if row["content_id"].startswith("s3:") else row["content_id"]


@contextmanager
def local_file(uri: str, s3_endpoint_url: str | None) -> Iterator[Path]:
    """The video as a local file; an S3 object is copied to a temporary one."""
    if not uri.startswith("s3://"):
        yield Path(uri)
        return
    with tempfile.TemporaryDirectory(prefix="spatialcode-") as folder:
        path = Path(folder) / ("video" + Path(uri).suffix)
        try:
            s3_filesystem(s3_endpoint_url).get_file(uri, str(path))
        except FileNotFoundError:
            raise VideoNotFoundError("not found", uri) from None
        except OSError as error:
            raise InputError(f"{uri}: cannot be read: {error}") from error
        yield path


def loaded_encoder(config: EncodeConfig, encoder: Encoder) -> VideoEncoder:
    """The encoder as this process is to hold it, with threads for the cores that are reserved."""
    limit_threads(config.encoder.num_cpus)
    compiles = bool(config.encoder.compile)
    loaded = VideoEncoder(encoder, config.encoder.torch_device, compiles)
    limit_threads(config.encoder.num_cpus)  # loading may have imported torch
    return loaded


class EncodeStage:
    """Decoded rows to result rows; an actor that loads the encoder once."""

    def __init__(self, config: EncodeConfig, ledger: Any, encoder: Encoder) -> None:
        self._encoder = loaded_encoder(config, encoder)
        self._max_attempts = max(2, config.max_attempts)  # the first may be a neighbour's fault
        self._ledger = ledger

    def __call__(self, batch: pa.Table) -> pa.Table:
        heads = batch.drop_columns(["rgb", "gray"]).to_pylist()
        outcomes: dict[str, dict[str, Any]] = {}
        videos = {}
        for i, head in enumerate(heads):
            if head["status"] == rows.OK:
                dense = _dense(head, batch["gray"][i].as_buffer())
                video = _video(head, batch["rgb"][i].as_buffer())
                videos[head["input_id"]] = replace(video, dense=dense)
        fresh, repeated = self._split(list(videos))
        if fresh:
            _asked(self._ledger.begin, "encode", fresh)
            outcomes |= self._encode({input_id: videos[input_id] for input_id in fresh})
            _asked(self._ledger.end, "encode", fresh)
        for input_id in repeated:
            (attempt,) = _asked(self._ledger.begin, "encode", [input_id])
            if attempt > self._max_attempts:
                lost = WorkerLostError("its encoding worker died each time")
                outcomes[input_id] = rows.failure(lost, "encode", attempt - 1)
            else:
                outcomes |= self._encode({input_id: videos[input_id]})
                outcomes[input_id]["attempts"] = attempt
            _asked(self._ledger.end, "encode", [input_id])
        results = [result_of(head, outcomes.get(head["input_id"], {})) for head in heads]
        assert [row["input_id"] for row in results] == batch["input_id"].to_pylist()
        return rows.table(results, rows.RESULT)

    def _split(self, input_ids: list[str]) -> tuple[list[str], list[str]]:
        """Inputs that were never begun, and inputs whose worker died before."""
        counts = _asked(self._ledger.counts, "encode", input_ids)
        paired = list(zip(input_ids, counts, strict=True))
        return [i for i, count in paired if not count], [i for i, count in paired if count]

    def _encode(self, videos: dict[str, DecodedVideo]) -> dict[str, dict[str, Any]]:
        """Outcome columns by input id. Where a batch fails as a whole, its videos go one by one."""
        start_s = time.perf_counter()
        found: Sequence[object]
        try:
            found = self._encoder.encode_batch(list(videos.values()))
            if len(found) != len(videos):
                raise IdMismatchError(f"{len(videos)} videos in, {len(found)} results out")
        except Exception as error:  # the one boundary: any error becomes its rows
            if len(videos) > 1:
                outcomes: dict[str, dict[str, Any]] = {}
                for input_id, video in videos.items():
                    outcomes |= self._encode({input_id: video})
                return outcomes
            found = [error]
        share_s = (time.perf_counter() - start_s) / len(videos)
        return {
            input_id: {**_outcome(video, result), "encode_s": share_s}
            for (input_id, video), result in zip(videos.items(), found, strict=True)
        }


def _outcome(video: DecodedVideo, result: object) -> dict[str, Any]:
    """What an encoder returned for a video, as columns."""
    if isinstance(result, Exception):
        return rows.failure(result, "encode")
    if not isinstance(result, SpatialCode):
        return rows.failure(TypeError(f"encoder returned {type(result).__name__}"), "encode")
    if result.video.sha256 != video.probe.sha256:
        wrong = IdMismatchError(f"code of {result.video.sha256[:12]} for {video.probe.uri}")
        return rows.failure(wrong, "encode")
    return {"code": result}


def result_of(head: dict[str, Any], outcome: dict[str, Any]) -> dict[str, Any]:
    """The result row of an earlier row and its outcome; the code gets its uri and work key."""
    code = outcome.get("code")
    if code is not None:
        code = replace(
            code,
            video=replace(code.video, uri=head["uri"]),
            provenance=replace(code.provenance, work_key=head["work_key"]),
        )
        outcome = {**outcome, "code": to_row(code)}
    return rows.result_row(head, **outcome)


def _video(head: dict[str, Any], rgb: pa.Buffer) -> DecodedVideo:
    shape = (head["num_frames"], head["height_px"], head["width_px"], 3)
    return DecodedVideo(
        rgb=np.frombuffer(rgb, dtype=np.uint8).reshape(shape),
        times_s=np.array(head["times_s"]),
        probe=VideoProbe.of(json.loads(head["probe"])),
        warnings=tuple(head["warnings"] or ()),
    )


def _dense(head: dict[str, Any], gray: pa.Buffer | None) -> GrayFrames | None:
    if gray is None:
        return None
    shape = (len(head["gray_times_s"]), head["gray_height_px"], head["gray_width_px"])
    frames = np.frombuffer(gray, dtype=np.uint8).reshape(shape)
    return GrayFrames(frames, np.array(head["gray_times_s"]))


def write_rows(batch: pa.Table, store: ResultStore) -> pa.Table:
    """Write result rows to the output; the driver gets receipts."""
    store.write(batch)
    return batch.select(rows.RECEIPT.names)
