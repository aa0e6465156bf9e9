"""Evaluating on recorded clips whose true codes lie beside them.

Depth is compared where it was recorded as well. There is no oracle ladder, and which objects are
hardly seen is not known: whoever predicts one is counted as wrong.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from spatialcode.encoder.protocol import FrameGeometry, LoadedEncoder
from spatialcode.errors import InputError
from spatialcode.evaluation.metrics.box_tracks import from_objects
from spatialcode.evaluation.metrics.scoring import ScoredScene
from spatialcode.evaluation.room import RoomOptions, RoomResult, score_view
from spatialcode.evaluation.room_files import read_depth_m
from spatialcode.evaluation.watched import EvaluatedEncoder, clip_of
from spatialcode.scene.schema import SpatialCode
from spatialcode.scene.table import OK, from_table
from spatialcode.video.decode import decode
from spatialcode.video.sampling import ByTimes

#: Longer side to which frames are scaled while decoding; encoders scale further themselves.
MAX_SIDE_PX = 320


def list_recorded(folder: Path) -> list[tuple[Path, SpatialCode]]:
    """Every code with cameras in the folder's Parquet files, and the path of its video.

    A video's uri is a path: absolute, or relative to the folder, or the name of a file
    somewhere below it. InputError where there is nothing, or a video is missing.
    """
    tables = (_sound(pq.read_table(file)) for file in sorted(folder.rglob("*.parquet")))
    codes = (code for table in tables for code in from_table(table) if code.cameras)
    found = [(_video_of(code, folder), code) for code in codes]
    if not found:
        raise InputError(f"clips: {folder} holds no Parquet file with codes that have cameras")
    return found


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
        raise InputError(f"clips: {len(below)} files named {uri.name!r} in {folder}, expected one")
    return below[0]


def recorded_depth(video: Path, num_frames: int) -> NDArray[np.floating] | None:
    """Depth maps (N, H, W) of ``videos/KEY.mp4`` from ``depth/KEY/0000.png`` …; NaN where it is
    not known, None where nothing was recorded.
    """
    images = sorted((video.parent.parent / "depth" / video.stem).glob("*.png"))
    if not images:
        return None
    if len(images) != num_frames:
        raise InputError(f"{video.name}: {len(images)} depth maps for {num_frames} frames")
    depth = np.stack([read_depth_m(image.read_bytes()) for image in images])
    return np.where(depth > 0, depth, np.nan)


def evaluate_recorded(
    video: Path, code: SpatialCode, encoder: LoadedEncoder, options: RoomOptions
) -> RoomResult:
    """Evaluate on the frames that the code's cameras belong to."""
    times_s = np.array([camera.t_s for camera in code.cameras])
    # A container's clock rounds times: ask a quarter of a frame late, lest the one before come.
    late_s = 0.25 / code.video.fps if code.video.fps > 0 else 0.0
    plan = ByTimes(tuple((times_s + late_s).tolist()))
    decoded = decode(video, plan, max_side_px=MAX_SIDE_PX)
    height, width = decoded.rgb.shape[1:3]
    camera = code.cameras[0]
    K = np.array(
        [[camera.fx_px, 0.0, camera.cx_px], [0.0, camera.fy_px, camera.cy_px], [0.0, 0.0, 1.0]]
    )
    K = np.diag([width / code.video.width_px, height / code.video.height_px, 1.0]) @ K
    poses = np.array([entry.T_world_camera for entry in code.cameras], dtype=np.float64)
    truth = ScoredScene(
        from_objects(code.objects, times_s), poses, code.room, recorded_depth(video, len(times_s))
    )
    watched = EvaluatedEncoder(encoder)
    own = FrameGeometry(K if options.known_intrinsics else None)
    predicted, own_score = score_view(watched, clip_of(decoded.rgb, times_s, own), truth)
    informed = clip_of(decoded.rgb, times_s, FrameGeometry(K, poses))
    given, given_score = score_view(watched, informed, truth)
    return RoomResult(
        name=video.name,
        num_frames=len(times_s),
        given=given_score,
        predicted=own_score,
        given_seconds=given.seconds,
        predicted_seconds=predicted.seconds,
    )
