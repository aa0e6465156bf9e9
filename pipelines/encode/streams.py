"""The stage that reads for itself: captures and long videos, a window at a time.

The row that travels is a uri. The actor opens what it names, feeds the encoder's session window by
window, and reads the next window while the present one is encoded: memory does not depend on the
clip's length. Failures become rows as in `pipelines.encode.stages`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipelines.encode.config import EncodeConfig
from pipelines.encode.s3_captures import spooled
from pipelines.encode.stages import (
    Attempts,
    IdMismatchError,
    decoder_limits,
    decoder_of,
    known_sha256,
    loaded_encoder,
    local_file,
    result_of,
)
from pipelines.stored import rows
from spatialcode.encoder.protocol import Encoder
from spatialcode.errors import FormatError, InputError, MissingExtraError, VideoError
from spatialcode.recordings.places import RECORDED, CapturePlace
from spatialcode.recordings.registry import reader_of
from spatialcode.streaming import ReadAhead, RecordedClip, StreamedVideo


class StreamStage:
    """Planned rows to result rows; an actor that loads the encoder once."""

    def __init__(self, config: EncodeConfig, ledger: Any, encoder: Encoder) -> None:
        self._encoder = loaded_encoder(config, encoder)
        self._config = config
        self._attempts = Attempts(ledger, "encode", max(2, config.max_attempts))
        self._decoder = decoder_of(config)

    def __call__(self, batch: pa.Table) -> pa.Table:
        results = []
        for row in batch.to_pylist():
            encoded = partial(self._encoded, row)
            results.append(
                result_of(row, self._attempts.outcome(row["input_id"], encoded, stage_of))
            )
        return rows.table(results, rows.RESULT)

    def _encoded(self, row: dict[str, Any]) -> dict[str, Any]:
        start_s = time.perf_counter()
        with self._opened(row) as clip, ReadAhead(clip) as ahead:
            code = self._encoder.encode_source(ahead)
            given = clip.header.video
        if (code.video.uri, code.video.sha256) != (given.uri, given.sha256):
            raise IdMismatchError(f"code of {code.video.uri} for {given.uri}")
        return {
            "status": rows.OK,
            "warnings": list(clip.warnings),
            "num_frames": len(code.video.sampled_s),
            "decode_s": ahead.read_s,
            "encode_s": time.perf_counter() - start_s,
            "code": code,
        }

    @contextmanager
    def _opened(self, row: dict[str, Any]) -> Iterator[RecordedClip | StreamedVideo]:
        """What a row names, ready to be read."""
        config = self._config
        if row["reader"] and row["uri"].startswith("s3://"):
            most = config.decode.max_capture_bytes
            with spooled(row, most, config.s3_endpoint_url) as path:
                yield self._recorded(row, path)
            return
        if row["reader"]:
            yield self._recorded(row, Path(row["capture_path"]))
            return
        with local_file(row["uri"], self._config.s3_endpoint_url) as path:
            yield self._video(row, path)

    def _recorded(self, row: dict[str, Any], path: Path) -> RecordedClip:
        place = CapturePlace(path, row["capture_part"])
        recording = reader_of(place.path, row["reader"], "reader").read(place)
        content_id = row["content_id"]
        sha256 = "" if content_id.startswith(RECORDED) else content_id.partition("+")[0]
        recording = recording.known_as(row["uri"], sha256).decoded_by(self._decoder.decode)
        return RecordedClip(recording, self._config.sampling, row["work_key"])

    def _video(self, row: dict[str, Any], path: Path) -> StreamedVideo:
        limits = decoder_limits(self._config)
        sha256 = known_sha256(row)
        probe = self._decoder.probe(path, limits, with_sha256=sha256 is None)
        probe = replace(probe, uri=row["uri"], sha256=probe.sha256 if sha256 is None else sha256)
        return StreamedVideo(
            self._decoder, path, probe, self._config.sampling, limits, row["work_key"]
        )


def stage_of(error: Exception) -> str:
    """Where a clip that is read while it is encoded has failed."""
    if isinstance(error, VideoError):
        return "decode"
    return "read" if isinstance(error, FormatError | InputError | MissingExtraError) else "encode"
