"""Evaluating on recorded clips whose true codes lie beside them.

A recording holds no depth and no masks, so there is no depth error and no oracle ladder, and
objects that are hardly seen are not known: whoever predicts one is counted as wrong.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from pipelines.evaluate_room import ClipEncoder, RoomOptions, RoomResult, View, score_view
from spatialcode.encoder.box_tracks import from_objects
from spatialcode.encoder.scoring import ScoredScene
from spatialcode.errors import InputError
from spatialcode.scene.schema import SpatialCode
from spatialcode.scene.table import from_table
from spatialcode.video.decode import decode
from spatialcode.video.sampling import ByTimes

#: Longer side to which frames are scaled while decoding; encoders scale further themselves.
MAX_SIDE_PX = 320


def list_recorded(folder: Path) -> list[tuple[Path, SpatialCode]]:
    """Every code with cameras in the folder's Parquet files, and the path of its video.

    A video's uri is taken relative to the folder where it is not absolute. InputError where
    there is nothing, or a video is missing.
    """
    found = []
    for file in sorted(folder.rglob("*.parquet")):
        for code in from_table(pq.read_table(file)):
            video = Path(code.video.uri.removeprefix("file://"))
            video = video if video.is_absolute() else folder / video
            if not video.is_file():
                raise InputError(f"{file} names the video {video}, which does not exist")
            if code.cameras:
                found.append((video, code))
    if not found:
        raise InputError(f"clips: {folder} holds no Parquet file with codes that have cameras")
    return found


def evaluate_recorded(
    video: Path, code: SpatialCode, encoder: ClipEncoder, options: RoomOptions
) -> RoomResult:
    """Evaluate on the frames that the code's cameras belong to."""
    times_s = np.array([camera.t_s for camera in code.cameras])
    decoded = decode(video, ByTimes(tuple(times_s.tolist())), max_side_px=MAX_SIDE_PX)
    height, width = decoded.rgb.shape[1:3]
    camera = code.cameras[0]
    K = np.array(
        [[camera.fx_px, 0.0, camera.cx_px], [0.0, camera.fy_px, camera.cy_px], [0.0, 0.0, 1.0]]
    )
    K = np.diag([width / code.video.width_px, height / code.video.height_px, 1.0]) @ K
    poses = np.array([entry.T_world_camera for entry in code.cameras], dtype=np.float64)
    truth = ScoredScene(from_objects(code.objects, times_s), poses, code.room)
    alone = View(decoded.rgb, times_s, K if options.known_intrinsics else None, None)
    predicted, own_score = score_view(encoder, alone, truth)
    given, given_score = score_view(encoder, View(decoded.rgb, times_s, K, poses), truth)
    return RoomResult(
        name=video.name,
        num_frames=len(times_s),
        given=given_score,
        predicted=own_score,
        given_seconds=given.seconds,
        predicted_seconds=predicted.seconds,
    )
