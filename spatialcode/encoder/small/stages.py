"""The small encoder at work: its steps over clips, and the loaded encoder made of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from spatialcode.encoder.detections import (
    SOFTWARE,
    Calibration,
    Detection,
    cameras_of,
    confident,
    detect,
    scene_objects,
)
from spatialcode.encoder.maps import Array, DenseMaps, at_cells, grid_intrinsics
from spatialcode.encoder.odometry.audit import audit_path
from spatialcode.encoder.odometry.compass import steadied
from spatialcode.encoder.odometry.path import estimate_path
from spatialcode.encoder.protocol import (
    ClipHeader,
    ClipInput,
    CollectedSession,
    OnShare,
    Session,
    only,
)
from spatialcode.encoder.room.estimate import estimate_room
from spatialcode.encoder.small.encoder import SmallSettings
from spatialcode.encoder.small.inference import (
    DenseRunner,
    FrameBatch,
    has_fast_bfloat16,
    resized,
    run_together,
    with_poses,
    without_gravity,
)
from spatialcode.encoder.small.model import DenseEncoder
from spatialcode.encoder.stages import Stages, encode_clips
from spatialcode.errors import EncodeError
from spatialcode.scene.categories import LABELS
from spatialcode.scene.lens import Lens
from spatialcode.scene.schema import Provenance, Scale, SpatialCode
from spatialcode.workkey import EncoderIdentity

#: Laplace scale of the logarithm of depth that the caller gave.
GIVEN_DEPTH_LOG_SCALE = 0.01


def assumed_intrinsics(width_px: int, height_px: int, hfov_deg: float) -> Array:
    """Pinhole matrix of a centred camera with the given horizontal field of view."""
    focal = 0.5 * width_px / np.tan(np.deg2rad(0.5 * hfov_deg))
    return np.array([[focal, 0, width_px / 2], [0, focal, height_px / 2], [0, 0, 1.0]])


class SmallStages:
    """Network, its calibration and its settings; stateless between clips.

    ``identity`` is written into codes.
    """

    def __init__(
        self,
        model: DenseEncoder,
        identity: EncoderIdentity,
        calibration: Calibration,
        settings: SmallSettings,
        device: str = "cpu",
    ) -> None:
        self.identity = identity
        self.calibration = calibration
        self.settings = settings
        bfloat16 = settings.precision == "bfloat16" or (
            settings.precision == "auto" and (device != "cpu" or has_fast_bfloat16())
        )
        self.runner = DenseRunner(model, device, bfloat16, settings.chunk_size)

    def prepare(self, clip: ClipInput) -> ClipInput:
        """The clip at network size. Without ``K``, the lens that the video's file tells, else the
        assumed field of view; without poses, an audit of the camera's motion, which larger frames
        show better than those of network size.
        """
        if not clip.num_frames:
            raise EncodeError("a clip needs at least one frame, got none")
        K = clip.geometry.K
        if K is None:
            height, width = clip.rgb.shape[1:3]
            K = self._assumed(clip.geometry.lens, width, height)
        audit = None
        if clip.geometry.T_world_camera is None:
            audit = audit_path(_gray(clip), K, clip.geometry.K is not None, self.settings.audit)
        rgb, K = resized(clip.rgb, K)
        return replace(clip, rgb=rgb, geometry=replace(clip.geometry, K=K), audit=audit)

    def _assumed(self, lens: Lens | None, width_px: int, height_px: int) -> Array:
        if lens is not None and self.settings.believe_file:
            return lens.intrinsics(width_px, height_px)
        return assumed_intrinsics(width_px, height_px, self.settings.assumed_hfov_deg)

    def maps(
        self,
        clips: Sequence[ClipInput],
        poses: Sequence[Array | None],
        exact: bool,
        on_frames: Callable[[int], None] | None = None,
    ) -> list[DenseMaps]:
        """Dense maps of each clip; with gravity and height from poses where there are any.

        Depth that the caller gave takes the place of the network's, for all but its votes.
        """
        batches = {
            i: _frame_batch(clip, pose, exact)
            for i, (clip, pose) in enumerate(zip(clips, poses, strict=True))
        }
        made = run_together(self.runner, batches, on_frames)
        return [_with_depth(made[i], clip.geometry.depth_m) for i, clip in enumerate(clips)]

    def path(self, clip: ClipInput, maps: DenseMaps) -> Array:
        """Camera path from flow and the maps' depth, gravity and height, steadied by walls, and
        held where the camera stood or only turned.

        Gravity that the caller gave takes the place of the network's.
        """
        if clip.geometry.up_camera is not None:
            maps = replace(maps, up_camera=clip.geometry.up_camera.astype(np.float32))
        path = estimate_path(
            np.stack(_gray(clip)),
            maps.depth_m,
            _known(clip.geometry.K),
            maps.up_camera,
            maps.camera_height_m,
            depth_weight=1.0 / maps.depth_log_scale,
            config=self.settings.odometry,
        )
        steady = steadied(path.T_world_camera, maps, _K_grid(clip), self.settings.compass)
        return steady if clip.audit is None else clip.audit.held(steady)

    def candidates(
        self, clip: ClipInput, maps: DenseMaps, T_world_camera: Array, poses_given: bool
    ) -> list[Detection]:
        """Every object that might be there, best first, whatever its score."""
        confidence = self.calibration.of(poses_given)
        return detect(maps, _K_grid(clip), T_world_camera, confidence, self.settings.detection)

    def code(self, clip: ClipInput, maps: DenseMaps, T_world_camera: Array) -> SpatialCode:
        """Objects at or above the score threshold, cameras and room, as a spatial code."""
        height, width = clip.rgb.shape[1:3]
        given = clip.geometry.T_world_camera is not None
        found = self.candidates(clip, maps, T_world_camera, given)
        kept = confident(found, self.calibration.of(given))
        K = _known(clip.geometry.K)
        return SpatialCode(
            video=clip.video,
            objects=scene_objects(kept, clip.times_s),
            cameras=cameras_of(T_world_camera, K, (width, height), clip.video),
            room=estimate_room(maps, _K_grid(clip), T_world_camera, self.settings.layout),
            scale=_scale(clip, maps, T_world_camera),
            warnings=() if clip.audit is None else clip.audit.warnings(T_world_camera),
            provenance=Provenance(
                encoder=self.identity.name,
                weights_sha256=self.identity.weights_sha256,
                config_sha256=self.identity.config_sha256,
                software=SOFTWARE,
                work_key=clip.work_key,
            ),
        )


class SpatialEncoder:
    """Clips in, spatial codes out, by the stages that it shows."""

    def __init__(self, stages: Stages) -> None:
        self.stages = stages

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of things that it can find."""
        return LABELS

    def session(self, clip: ClipHeader) -> Session:
        """A session that keeps all frames: the path is estimated over the whole clip."""
        return CollectedSession(self, clip)

    def encode_batch(
        self, clips: Sequence[ClipInput], on_share: OnShare | None = None
    ) -> list[SpatialCode | EncodeError]:
        """Codes of several clips in their order; the network runs over the frames of all.

        A clip that cannot be encoded gives its error in its place and disturbs no other.
        """
        return encode_clips(self.stages, clips, on_share)

    def encode(self, clip: ClipInput) -> SpatialCode:
        """The spatial code of one clip. Raises EncodeError where none can be made."""
        return only(self.encode_batch([clip]))


def _known(K: Array | None) -> Array:
    assert K is not None, "a prepared clip knows its intrinsics"
    return K


def _K_grid(clip: ClipInput) -> Array:
    return grid_intrinsics(_known(clip.geometry.K))


def _gray(clip: ClipInput) -> list[NDArray[np.uint8]]:
    return [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in clip.rgb]


def _scale(clip: ClipInput, maps: DenseMaps, T_world_camera: Array) -> Scale:
    """Where metres come from: given poses, else predicted depth, as sure as it says and as the
    path is trusted.
    """
    if clip.geometry.T_world_camera is not None:
        return Scale("given", 1.0)
    path_trust = 1.0 if clip.audit is None else clip.audit.trust(T_world_camera)
    relative_error = float(np.median(maps.depth_log_scale))
    return Scale("metric-depth", float(np.clip(1.0 - relative_error, 0.0, 1.0)) * path_trust)


def _with_depth(maps: DenseMaps, depth_m: Array | None) -> DenseMaps:
    """Maps with the caller's depth where it is known."""
    if depth_m is None:
        return maps
    given = at_cells(depth_m, maps.depth_m.shape[1:])
    known = np.isfinite(given) & (given > 0)
    return replace(
        maps,
        depth_m=np.where(known, given, maps.depth_m).astype(np.float32),
        depth_log_scale=np.where(known, GIVEN_DEPTH_LOG_SCALE, maps.depth_log_scale).astype(
            np.float32
        ),
    )


def _frame_batch(clip: ClipInput, T_world_camera: Array | None, exact: bool) -> FrameBatch:
    K = _known(clip.geometry.K)
    if T_world_camera is None:
        return without_gravity(clip.rgb, K)
    return with_poses(clip.rgb, K, T_world_camera, exact)
