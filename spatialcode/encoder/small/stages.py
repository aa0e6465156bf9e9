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
from spatialcode.encoder.scale.cues import ScaledView, SeenPoints, cues_of
from spatialcode.encoder.scale.fusion import ScaleCue, confidence_of, fused
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
from spatialcode.encoder.structure.frames import DenseFrames
from spatialcode.encoder.structure.path import PredictedCamera, path_of, seen_cells
from spatialcode.encoder.structure.process import structure_of
from spatialcode.encoder.structure.structure import StructureError
from spatialcode.errors import EncodeError
from spatialcode.scene.lens import Lens
from spatialcode.scene.schema import PathOrigin, PathSource, Provenance, Scale, SpatialCode
from spatialcode.workkey import EncoderIdentity

#: What is said of paths that the audit holds.
_HELD: dict[str, PathSource] = {"still": "standing", "rotation": "turning"}
#: Laplace scale of the logarithm of depth that the caller gave.
GIVEN_DEPTH_LOG_SCALE = 0.01
#: A structure's lens may be so many standard deviations from what a file tells of it.
_LENS_SIGMAS = 3.0


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
        self.kinds = model.config.kinds
        self.runner = DenseRunner(model, device, bfloat16, settings.chunk_size)

    def prepare(self, clip: ClipInput) -> ClipInput:
        """The clip at network size. Without ``K``, the lens that the video's file tells, else the
        assumed field of view; without poses, an audit of the camera's motion, which larger frames
        show better than those of network size, and frames for structure from motion where the
        camera went somewhere: its own where no denser ones came.
        """
        if not clip.num_frames:
            raise EncodeError("a clip needs at least one frame, got none")
        K, lens_is_known = clip.geometry.K, clip.geometry.K is not None
        if K is None:
            height, width = clip.rgb.shape[1:3]
            K = self._assumed(clip.geometry.lens, width, height)
        audit = dense = None
        if clip.geometry.T_world_camera is None:
            audit = audit_path(_gray(clip), K, lens_is_known, self.settings.audit)
            if audit.motion == "full" and self.settings.path != "fast":
                dense = clip.dense or self._own_frames(clip)
        rgb, K = resized(clip.rgb, K, self.runner.model.config.area_px)
        geometry = replace(clip.geometry, K=K)
        return replace(
            clip, rgb=rgb, geometry=geometry, audit=audit, dense=dense,
            assumes_lens=not lens_is_known,
        )  # fmt: skip

    def _own_frames(self, clip: ClipInput) -> DenseFrames:
        return DenseFrames.of_rgb(clip.rgb, clip.times_s, self.settings.structure.side_px)

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

    def structured(self, clip: ClipInput, maps: DenseMaps) -> ClipInput:
        """See `Stages`. Asked for as `SmallSettings.path` says; the lens it finds takes the place
        of an assumed one. Where it fails the clip stays as it is, with a warning.
        """
        doubt = float(np.median(maps.depth_log_scale))
        frames, settings = clip.dense, self.settings.structure
        is_asked = self.settings.path == "structure" or doubt > settings.min_depth_doubt
        if frames is None or not is_asked:
            return replace(clip, dense=None)
        height, width = clip.rgb.shape[1:3]
        shrink = np.diag([frames.size_px[0] / width, frames.size_px[1] / height, 1.0])
        K = None if clip.assumes_lens else shrink @ _known(clip.geometry.K)
        clip = replace(clip, dense=None)
        try:
            found = replace(clip, structure=structure_of(frames, K, settings))
            if clip.assumes_lens and self.settings.believe_file:
                _check_lens(found)
            found = _with_lens(found) if clip.assumes_lens else found
            self._check_better(found, clip, maps)
        except StructureError as error:
            return replace(clip, warnings=(*clip.warnings, _no_structure(error)))
        return found

    def _check_better(self, found: ClipInput, clip: ClipInput, maps: DenseMaps) -> None:
        """StructureError where the path of ``found``, which has a structure, misses the points that
        the audit has followed by more than is allowed and than the path of ``clip``.
        """
        paths = [(one, self.path(one, maps)) for one in (found, clip)]
        ours, others = [one.audit.error_px(T) if one.audit else None for one, T in paths]
        if ours is None or others is None:
            return
        if ours > max(self.settings.structure.max_error_px, others):
            missed = f"it misses points followed by {ours:.1f} pixels, that by {others:.1f}"
            raise StructureError(missed)

    def path(self, clip: ClipInput, maps: DenseMaps) -> Array:
        """Camera path by the clip's structure where it has one. Else from flow and the maps' depth,
        gravity and height, steadied by walls, and held where the camera stood or only turned. Its
        metres are those that all cues of scale agree on.

        Gravity that the caller gave takes the place of the network's.
        """
        if clip.geometry.up_camera is not None:
            maps = replace(maps, up_camera=clip.geometry.up_camera.astype(np.float32))
        path = self._followed(clip, maps)
        if clip.structure is not None:
            seen = PredictedCamera(np.log(maps.depth_m), maps.up_camera, maps.camera_height_m)
            path = path_of(clip.structure, clip.times_s, seen, path)
        cues = self._cues(clip, maps, path)
        path[:, :3, 3] *= np.exp(fused(cues, self.settings.scale.liar_share).log_scale)
        return path

    def _cues(
        self, clip: ClipInput, maps: DenseMaps, T_world_camera: Array
    ) -> tuple[ScaleCue, ...]:
        """What speaks of a path's scale: by its structure's points, else by predicted depth."""
        points = SeenPoints.of_maps(maps)
        if clip.structure is not None:
            seen = seen_cells(clip.structure, clip.times_s, T_world_camera, maps.depth_m.shape[1:])
            points = SeenPoints(*seen)
        view = ScaledView(maps, _K_grid(clip), T_world_camera, points)
        return cues_of(view, self.settings.scale)

    def _followed(self, clip: ClipInput, maps: DenseMaps) -> Array:
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
            scale=self._scale(clip, maps, T_world_camera),
            warnings=clip.warnings
            + (() if clip.audit is None else clip.audit.warnings(T_world_camera)),
            path=_origin(clip, T_world_camera),
            provenance=Provenance(
                encoder=self.identity.name,
                weights_sha256=self.identity.weights_sha256,
                config_sha256=self.identity.config_sha256,
                software=SOFTWARE,
                work_key=clip.work_key,
            ),
        )

    def _scale(self, clip: ClipInput, maps: DenseMaps, T_world_camera: Array) -> Scale:
        """Where metres come from: given poses, else the cue that has most weight, as sure as all of
        them are that the metre is right, and as the path is trusted.
        """
        if clip.geometry.T_world_camera is not None:
            return Scale("given", 1.0)
        path_trust = 1.0 if clip.audit is None else clip.audit.trust(T_world_camera)
        cues, liar_share = self._cues(clip, maps, T_world_camera), self.settings.scale.liar_share
        confidence = confidence_of(cues, liar_share)
        return Scale(fused(cues, liar_share).source, confidence * path_trust)


class SpatialEncoder:
    """Clips in, spatial codes out, by the stages that it shows."""

    def __init__(self, stages: SmallStages) -> None:
        self.stages: Stages = stages
        #: The kinds of things that it can find.
        self.kinds: tuple[str, ...] = stages.kinds.labels

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


def _check_lens(clip: ClipInput) -> None:
    """StructureError where a clip's structure has another lens than its file tells, by more than
    that can be wrong.
    """
    told, found = clip.geometry.lens, clip.structure
    if told is None or found is None:
        return
    focal_widths = float(found.K[0, 0]) / found.size_px[0]
    if abs(np.log(focal_widths / told.focal_widths)) > _LENS_SIGMAS * told.log_sigma:
        lens = f"its focal length of {focal_widths:.2f} widths of the picture"
        raise StructureError(f"{lens} is not the file's {told.focal_widths:.2f}")


def _with_lens(clip: ClipInput) -> ClipInput:
    """The clip and its audit with the lens of its structure."""
    structure = clip.structure
    assert structure is not None, "asked of clips with a structure"
    height, width = clip.rgb.shape[1:3]
    geometry = replace(clip.geometry, K=structure.intrinsics(width, height))
    audit = clip.audit
    if audit is not None:
        scale = audit.side_px / max(structure.size_px)
        size_px = (round(scale * structure.size_px[0]), round(scale * structure.size_px[1]))
        audit = replace(audit, K=structure.intrinsics(*size_px))
    return replace(clip, geometry=geometry, audit=audit, assumes_lens=False)


def _no_structure(error: StructureError) -> str:
    return f"The camera path rests on predicted depth; structure from motion gave none: {error}."


def _origin(clip: ClipInput, T_world_camera: Array) -> PathOrigin:
    """Where a path comes from, and by how much it misses what the audit has followed."""
    if clip.geometry.T_world_camera is not None:
        return PathOrigin("given", None)
    source: PathSource = "odometry" if clip.structure is None else "structure"
    if clip.audit is None:
        return PathOrigin(source, None)
    return PathOrigin(_HELD.get(clip.audit.motion, source), clip.audit.error_px(T_world_camera))


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
