"""A spatial code as a rerun recording (.rrd), over the timeline ``video_s``: the video's seconds.

``world`` is right-handed with z up, in metres, as in the code. A box appears when its thing was
first seen; what moves stands where its track last knew it, for rerun does not interpolate. Without
frames of the video, the camera is shown by its pyramid alone.

Needs the extra ``rerun``: the package is half a gigabyte, most of it the viewer.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spatialcode.errors import MissingExtraError
from spatialcode.export.drawing import (
    CAMERA_RGB,
    FLOOR_RGB,
    FRONT_EDGES,
    OUTLINE_RGB,
    box_points,
    has_front,
    label_rgb,
    triangulate,
)
from spatialcode.export.stills import TimedFrame, jpeg, small
from spatialcode.files import write_bytes
from spatialcode.scene.frames import quaternion_from_matrix
from spatialcode.scene.motion import CameraMotion, object_poses
from spatialcode.scene.schema import Room, SceneObject, SpatialCode
from spatialcode.scene.text import to_json

FloatArray = NDArray[np.float64]

TIMELINE = "video_s"
IMAGE_PLANE_M = 0.35
_CAMERA, _IMAGE = "world/camera", "world/camera/image"


def render_rrd(code: SpatialCode, frames: Sequence[TimedFrame] = ()) -> bytes:
    """The recording's bytes; ``frames`` of the video, of one size, are shown at their times.

    Raises MissingExtraError where the rerun SDK is not installed.
    """
    try:
        import rerun as rr
    except ImportError as error:
        raise MissingExtraError("a rerun recording", "rerun") from error

    # The viewer merges recordings of one id: the same code is the same recording, no other is.
    number = hashlib.sha256(to_json(code).encode("utf-8")).hexdigest()[:32]
    stream = rr.RecordingStream("spatialcode", recording_id=number, send_properties=False)
    # Only a file gets the index at its end by which viewers seek, so one is made in passing.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "code.rrd"
        stream.save(path, default_blueprint=_layout(code))
        recorder = _Recorder(rr, stream)
        recorder.facts(code)
        for item in code.objects:
            recorder.object(item)
        if code.cameras:
            recorder.camera(code, [(t_s, small(rgb)) for t_s, rgb in frames])
        if code.room is not None:
            recorder.room(code.room)
        stream.disconnect()  # writes what is pending, and the file's end
        return path.read_bytes()


def write_rrd(code: SpatialCode, path: str | Path, frames: Sequence[TimedFrame] = ()) -> Path:
    """Write the recording to ``path`` (its folder is made) and return the path."""
    write_bytes(path, render_rrd(code, frames))
    return Path(path)


def _layout(code: SpatialCode) -> Any:
    """The room, the video with the boxes projected into it, and the code's timeline."""
    from rerun import blueprint as rrb

    views: list[Any] = [rrb.Spatial3DView(origin="world", name="Room")]
    if code.cameras:
        contents = ["world/objects/**", f"{_IMAGE}/**"]
        views.append(rrb.Spatial2DView(origin=_IMAGE, contents=contents, name="Video"))
    return rrb.Blueprint(
        rrb.Horizontal(*views), rrb.TimePanel(timeline=TIMELINE), collapse_panels=True
    )


@dataclass(frozen=True)
class _Recorder:
    """Writes the parts of a code into a stream of the SDK ``rr``."""

    rr: Any
    stream: Any

    def facts(self, code: SpatialCode) -> None:
        rr, video = self.rr, code.video
        self.stream.send_recording_name(PurePosixPath(video.uri.replace("\\", "/")).name or "code")
        self._keep("world", rr.ViewCoordinates.RIGHT_HAND_Z_UP)
        facts = rr.AnyValues(
            video_uri=video.uri,
            video_sha256=video.sha256,
            encoder=code.provenance.encoder,
            work_key=code.provenance.work_key,
            scale_source=code.scale.source,
            scale_confidence=code.scale.confidence,
        )
        self._keep("world", facts)

    def object(self, item: SceneObject) -> None:
        """Box and front from first sight on, at the track's times if it moves; its facts always."""
        rr = self.rr
        path = rr.new_entity_path(["world", "objects", item.id])
        moves = item.motion == "moving"
        times_s = np.unique([item.first_seen_s, *(p.t_s for p in item.track if moves)])
        centers, quaternions = object_poses(item, times_s)
        num, color = len(times_s), label_rgb(item.label)
        boxes = rr.Boxes3D.columns(
            half_sizes=np.tile(np.asarray(item.size_m) / 2, (num, 1)),
            centers=centers,
            quaternions=np.roll(quaternions, -1, axis=1),
            colors=[color] * num,
            fill_mode=["TransparentFillMajorWireframe"] * num,
            labels=[item.id] * num,
        )
        self._over_time(path, times_s, boxes)
        if has_front(item.label):
            points = box_points(centers, np.asarray(item.size_m), quaternions, front=True)
            start, tip = (points[:, number] for number in FRONT_EDGES[0])
            colors = [color] * num
            arrows = rr.Arrows3D.columns(origins=start, vectors=tip - start, colors=colors)
            self._over_time(f"{path}/front", times_s, arrows)
        if moves and len(item.track) > 1:
            strip = [point.center_m for point in item.track]
            track = rr.new_entity_path(["world", "tracks", item.id])
            self._keep(track, rr.LineStrips3D([strip], colors=[color]))
        facts = rr.AnyValues(
            label=item.label,
            score=item.score,
            first_seen_s=item.first_seen_s,
            last_seen_s=item.last_seen_s,
            num_observations=item.num_observations,
            visibility=item.visibility,
            motion=item.motion,
        )
        self._keep(path, facts)

    def camera(self, code: SpatialCode, frames: Sequence[TimedFrame]) -> None:
        """Pose and pinhole at every sampled time, the path, the pictures."""
        rr, path = self.rr, CameraMotion.of(code)
        times_s = path.poses.times_s
        transforms, K = path.at(times_s)
        turned = np.roll(quaternion_from_matrix(transforms[:, :3, :3]), -1, axis=1)
        places = rr.Transform3D.columns(translation=transforms[:, :3, 3], quaternion=turned)
        self._over_time(_CAMERA, times_s, places)
        # A pinhole belongs to one size of picture, and these may be smaller than the video's.
        full_px = np.array([code.video.width_px, code.video.height_px])
        size_px = np.array(frames[0][1].shape[1::-1]) if frames else full_px
        K = K * np.array([*(size_px / full_px), 1.0])[:, None]
        pinholes = rr.Pinhole.columns(
            image_from_camera=K.reshape(-1, 9),  # row by row
            resolution=np.tile(size_px, (len(times_s), 1)),
            camera_xyz=[rr.components.ViewCoordinates.RDF] * len(times_s),
            image_plane_distance=[IMAGE_PLANE_M] * len(times_s),
        )
        self._over_time(_IMAGE, times_s, pinholes)
        if len(times_s) > 1:
            strip = transforms[:, :3, 3]
            self._keep("world/camera_path", rr.LineStrips3D([strip], colors=[CAMERA_RGB]))
        if frames:
            pictures = rr.EncodedImage.columns(
                blob=[jpeg(rgb) for _, rgb in frames], media_type=["image/jpeg"] * len(frames)
            )
            self._over_time(_IMAGE, np.array([t_s for t_s, _ in frames]), pictures)

    def room(self, room: Room) -> None:
        """Floor and outline; walls' upper and upright edges where a ceiling is known."""
        if not room.polygon_m:
            return
        rr, ring = self.rr, np.asarray(room.polygon_m)
        floor = np.column_stack([ring, np.full(len(ring), room.floor_z_m)])
        triangles = triangulate(room.polygon_m)
        if triangles:
            surface = rr.Mesh3D(
                vertex_positions=floor, triangle_indices=triangles, albedo_factor=FLOOR_RGB
            )
            self._keep("world/floor", surface)
        strips = [np.vstack([floor, floor[:1]])]
        if room.ceiling_z_m is not None:
            ceiling = np.column_stack([ring, np.full(len(ring), room.ceiling_z_m)])
            uprights = np.stack([floor, ceiling], axis=1)
            strips += [np.vstack([ceiling, ceiling[:1]]), *uprights]
        self._keep("world/room", rr.LineStrips3D(strips, colors=[OUTLINE_RGB]))

    def _keep(self, path: str, what: Any) -> None:
        """Record something that holds at all times."""
        self.stream.log(path, what, static=True, strict=True)

    def _over_time(self, path: str, times_s: FloatArray, columns: Any) -> None:
        # Rounded here: the SDK would cut 0.3 s to 299,999,999 ns.
        times = np.round(times_s * 1e9).astype("timedelta64[ns]")
        index = self.rr.TimeColumn(TIMELINE, duration=times)
        self.stream.send_columns(path, [index], columns, strict=True)
