"""What `jobs.synthesize` writes: codes in Parquet files, videos, and perhaps depth maps."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache, partial
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from spatialcode.errors import FormatError, InputError, ParseError
from spatialcode.recordings.places import CapturePlace
from spatialcode.recordings.reading import existing, png_depth
from spatialcode.recordings.recording import ImageFrames, RecordedDepth, Recording, VideoFrames
from spatialcode.recordings.registry import recording_reader
from spatialcode.scene.schema import SpatialCode
from spatialcode.scene.table import OK, from_table


@recording_reader
class CodeFolder:
    """Folders of codes.

    A video's uri is a path: absolute, or relative to the folder, or the name of a file somewhere
    below it. Depth of ``videos/KEY.mp4`` is in ``depth/KEY/0000.png`` …, millimetres, 0 where it is
    not known. Codes without cameras and rows of rooms that failed are passed over.
    """

    name = "codes"
    layout = "Parquet files of codes with cameras, their videos, and perhaps depth/KEY/*.png"

    def recognises(self, folder: Path) -> bool:
        files = (*folder.glob("*.parquet"), *folder.glob("codes/*.parquet"))
        return any(map(_holds_codes, files))

    def places(self, folder: Path) -> Iterator[CapturePlace]:
        num_found = 0
        for file in sorted(folder.rglob("*.parquet")):
            for n, code in enumerate(_codes(file, file.stat().st_mtime_ns)):
                num_found += 1
                part = f"{file.relative_to(folder)}:{n}"
                yield CapturePlace(folder, part, (file, *_seen_beside(code, folder)))
        if not num_found:
            raise InputError(f"{folder} holds no Parquet file with codes that have cameras")

    def read(self, place: CapturePlace) -> Recording:
        name, _, number = place.part.rpartition(":")
        file = existing(place.path / name)
        codes = _codes(file, file.stat().st_mtime_ns)
        if int(number) >= len(codes):
            raise FormatError(f"{file}: expected code {number}, got {len(codes)} with cameras")
        code = codes[int(number)]
        video = _video_of(code, place.path)
        depth = recorded_depth(video, len(code.cameras))
        return Recording.of_code(video.name, code, video_frames(video, code, depth))


def _holds_codes(file: Path) -> bool:
    """Whether a table has the columns of codes; a damaged one is taken to, so that it is named."""
    try:
        return {"format", "cameras"} <= set(pq.read_schema(file).names)
    except (pa.ArrowException, OSError):
        return True


@lru_cache(maxsize=1)
def _codes(file: Path, mtime_ns: int) -> list[SpatialCode]:  # noqa: ARG001 - changed files are read
    """The codes of a file that have cameras. FormatError where it is damaged."""
    try:
        table = _sound(pq.read_table(file))
        return [code for code in from_table(table) if code.cameras]
    except (pa.ArrowException, OSError, KeyError, ParseError) as error:
        raise FormatError(f"{file}: expected a Parquet file of codes: {error}") from error


def _seen_beside(code: SpatialCode, folder: Path) -> list[Path]:
    """A code's video and depth maps; nothing where its video is not to be found."""
    try:
        video = _video_of(code, folder)
    except InputError:
        return []
    return [video, _depth_folder(video)]


def video_frames(path: Path, code: SpatialCode, depth: RecordedDepth | None = None) -> VideoFrames:
    """The frames of a code's cameras in its video.

    A container's clock rounds times: they are asked for a quarter of a frame late, lest the one
    before come.
    """
    times_s = tuple(camera.t_s for camera in code.cameras)
    late_s = 0.25 / code.video.fps if code.video.fps > 0 else 0.0
    return VideoFrames(path, times_s, late_s, depth)


def _sound(table: pa.Table) -> pa.Table:
    """Without the rows of rooms that could not be recorded."""
    if "status" not in table.column_names:
        return table
    return table.filter(pc.equal(table["status"], OK))


def _video_of(code: SpatialCode, folder: Path) -> Path:
    uri = Path(code.video.uri.removeprefix("file://"))
    if (folder / uri).is_file():  # an absolute uri stays as it is
        return folder / uri
    below = sorted(folder.rglob(uri.name)) if uri.name else []
    if len(below) != 1:
        raise InputError(f"{len(below)} files named {uri.name!r} in {folder}, expected one")
    return below[0]


def _depth_folder(video: Path) -> Path:
    return video.parent.parent / "depth" / video.stem


def recorded_depth(video: Path, num_frames: int) -> ImageFrames | None:
    """Depth of ``videos/KEY.mp4`` in ``depth/KEY/0000.png`` …, None where nothing was recorded.

    InputError where there are not as many maps as frames.
    """
    images = tuple(sorted(_depth_folder(video).glob("*.png")))
    if not images:
        return None
    if len(images) != num_frames:
        raise InputError(f"{video.name}: {len(images)} depth maps for {num_frames} frames")
    return ImageFrames((), images, partial(png_depth, units_per_m=1000.0))
