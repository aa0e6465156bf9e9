"""Evaluating an encoder on a recorded clip.

Depth is compared where it was recorded as well. There is no oracle ladder, and which objects are
hardly seen is not known: a prediction of one counts as wrong.
"""

from __future__ import annotations

import numpy as np

from spatialcode.encoder.protocol import FrameGeometry, LoadedEncoder
from spatialcode.evaluation.metrics.scoring import ScoredScene
from spatialcode.evaluation.metrics.tracks import from_objects
from spatialcode.evaluation.recordings import Recording
from spatialcode.evaluation.room import RoomOptions, RoomResult, score_view
from spatialcode.evaluation.watched import EvaluatedEncoder, clip_of
from spatialcode.video.decode import decode
from spatialcode.video.sampling import ByTimes

#: Longer side to which frames are scaled while decoding; encoders scale further themselves.
MAX_SIDE_PX = 320


def evaluate_recorded(
    recording: Recording, encoder: LoadedEncoder, options: RoomOptions
) -> RoomResult:
    """Evaluate on the frames that the code's cameras belong to."""
    code = recording.code
    times_s = np.array([camera.t_s for camera in code.cameras])
    # A container's clock rounds times: ask a quarter of a frame late, lest the one before come.
    late_s = 0.25 / code.video.fps if code.video.fps > 0 else 0.0
    plan = ByTimes(tuple((times_s + late_s).tolist()))
    decoded = decode(recording.video, plan, max_side_px=MAX_SIDE_PX)
    height, width = decoded.rgb.shape[1:3]
    camera = code.cameras[0]
    K = np.array(
        [[camera.fx_px, 0.0, camera.cx_px], [0.0, camera.fy_px, camera.cy_px], [0.0, 0.0, 1.0]]
    )
    K = np.diag([width / code.video.width_px, height / code.video.height_px, 1.0]) @ K
    poses = np.array([entry.T_world_camera for entry in code.cameras], dtype=np.float64)
    truth = ScoredScene(
        from_objects(code.objects, times_s), poses, code.room, recording.read_depth_m()
    )
    watched = EvaluatedEncoder(encoder)
    own = FrameGeometry(K if options.known_intrinsics else None)
    predicted, own_score = score_view(watched, clip_of(decoded.rgb, times_s, own), truth)
    informed = clip_of(decoded.rgb, times_s, FrameGeometry(K, poses))
    given, given_score = score_view(watched, informed, truth)
    return RoomResult(
        name=recording.name,
        num_frames=len(times_s),
        given=given_score,
        predicted=own_score,
        given_seconds=given.seconds,
        predicted_seconds=predicted.seconds,
    )
