"""The spatial encoder: clips in, spatial codes out.

Its steps are public, one method each (``maps``, ``path``, ``detections``), so that a
caller can time them or put truth in the place of any one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from spatialcode.encoder.clip import ClipInput
from spatialcode.encoder.confidence import Calibration
from spatialcode.encoder.detections import (
    SOFTWARE,
    Detection,
    DetectionConfig,
    cameras_of,
    confident,
    detect,
    scene_objects,
)
from spatialcode.encoder.maps import DenseMaps, grid_intrinsics
from spatialcode.encoder.odometry.compass import CompassConfig, steadied
from spatialcode.encoder.odometry.path import CameraPath, OdometryConfig, estimate_path
from spatialcode.encoder.room.estimate import estimate_room
from spatialcode.encoder.room.layout import LayoutConfig
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
from spatialcode.encoder.small.weights import ASSETS, load_weights
from spatialcode.encoder.votes import Array
from spatialcode.errors import EncodeError, SpatialCodeError, WeightsError
from spatialcode.scene.schema import Provenance, Room, Scale, SpatialCode
from spatialcode.workkey import config_sha256

T = TypeVar("T")

BUNDLED = {"small": ASSETS / "encoder_small.safetensors"}


@dataclass(frozen=True)
class EncoderConfig:
    """Everything but the weights that decides what a video's code is.

    ``assumed_hfov_deg``: horizontal field of view where intrinsics are unknown.
    ``precision``: ``auto`` takes bfloat16 where the processor multiplies it in hardware.
    """

    assumed_hfov_deg: float = 65.0
    precision: str = "auto"
    chunk_size: int = 8
    detection: DetectionConfig = field(default_factory=DetectionConfig)
    odometry: OdometryConfig = field(default_factory=OdometryConfig)
    compass: CompassConfig = field(default_factory=CompassConfig)
    layout: LayoutConfig = field(default_factory=LayoutConfig)


@dataclass(frozen=True, eq=False)
class Prepared:
    """A clip at network size: ``rgb`` (N, h, w, 3) and its pinhole matrix ``K``."""

    rgb: UInt8[np.ndarray, "n h w 3"]
    K: Float[np.ndarray, "3 3"]

    @property
    def K_grid(self) -> Float[np.ndarray, "3 3"]:
        return grid_intrinsics(self.K)


def assumed_intrinsics(width_px: int, height_px: int, hfov_deg: float) -> Array:
    """Pinhole matrix of a centred camera with the given horizontal field of view."""
    focal = 0.5 * width_px / np.tan(np.deg2rad(0.5 * hfov_deg))
    return np.array([[focal, 0, width_px / 2], [0, focal, height_px / 2], [0, 0, 1.0]])


class SpatialEncoder:
    """Network, its calibration and its configuration; stateless between clips."""

    def __init__(
        self,
        model: DenseEncoder,
        name: str,
        weights_sha256: str,
        calibration: Calibration,
        *,
        config: EncoderConfig | None = None,
        device: str = "cpu",
    ) -> None:
        self.config = config or EncoderConfig()
        self.name = name
        self.weights_sha256 = weights_sha256
        # the calibration shapes codes as the configuration does, and is not in the tensors
        settings = asdict(self.config) | {"calibration": calibration.to_dict()}
        self.config_sha256 = config_sha256(settings)
        self.calibration = calibration
        self.runner = DenseRunner(
            model, device, _wants_bfloat16(self.config.precision, device), self.config.chunk_size
        )

    @classmethod
    def load(
        cls, name: str = "small", device: str = "cpu", config: EncoderConfig | None = None
    ) -> SpatialEncoder:
        """A bundled encoder by name, or one by the path of its weights.

        Raises WeightsError where there are none or they are damaged.
        """
        path = BUNDLED.get(name, Path(name))
        if name not in BUNDLED and path.suffix != ".safetensors":
            known = ", ".join(sorted(BUNDLED))
            raise WeightsError(f"encoder: expected one of {known} or a .safetensors, got {name!r}")
        model, card = load_weights(path)
        fitted = card.get("calibration")
        calibration = Calibration.from_dict(fitted) if fitted else Calibration.uncalibrated()
        own_name = name if name in BUNDLED else path.stem
        return cls(model, own_name, card["sha256"], calibration, config=config, device=device)

    def prepare(self, rgb: UInt8[np.ndarray, "n h w 3"], K: Array | None = None) -> Prepared:
        """Frames at network size. Without ``K``, the assumed field of view."""
        if not len(rgb):
            raise EncodeError("a clip needs at least one frame, got none")
        if K is None:
            K = assumed_intrinsics(rgb.shape[2], rgb.shape[1], self.config.assumed_hfov_deg)
        return Prepared(*resized(rgb, K))

    def maps(
        self, prepared: Prepared, T_world_camera: Array | None = None, exact: bool = True
    ) -> DenseMaps:
        """Dense maps of one clip; with gravity and height from poses where there are any.

        ``exact`` says whether the poses were given or estimated.
        """
        return self.runner(_frame_batch(prepared, T_world_camera, exact))

    def path(self, prepared: Prepared, maps: DenseMaps) -> CameraPath:
        """Camera path from flow and the maps' depth, gravity and height, steadied by walls."""
        gray = np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in prepared.rgb])
        path = estimate_path(
            gray,
            maps.depth_m,
            prepared.K,
            maps.up_camera,
            maps.camera_height_m,
            depth_weight=1.0 / maps.depth_log_scale,
            config=self.config.odometry,
        )
        steady = steadied(path.T_world_camera, maps, prepared.K_grid, self.config.compass)
        return replace(path, T_world_camera=steady)

    def candidates(
        self, prepared: Prepared, maps: DenseMaps, T_world_camera: Array, poses_given: bool
    ) -> list[Detection]:
        """Every object that might be there, best first, whatever its score."""
        confidence = self.calibration.of(poses_given)
        return detect(maps, prepared.K_grid, T_world_camera, confidence, self.config.detection)

    def detections(
        self, prepared: Prepared, maps: DenseMaps, T_world_camera: Array, poses_given: bool
    ) -> list[Detection]:
        """Objects at or above the score threshold, best first."""
        found = self.candidates(prepared, maps, T_world_camera, poses_given)
        return confident(found, self.calibration.of(poses_given))

    def room(self, prepared: Prepared, maps: DenseMaps, T_world_camera: Array) -> Room | None:
        """Floor, ceiling and outline of the room; None where too little of it is seen."""
        return estimate_room(maps, prepared.K_grid, T_world_camera, self.config.layout)

    def encode(self, clip: ClipInput) -> SpatialCode:
        """The spatial code of one clip. Raises EncodeError where none can be made."""
        result = self.encode_batch([clip])[0]
        if isinstance(result, EncodeError):
            raise result
        return result

    def encode_batch(
        self, clips: Sequence[ClipInput], on_frames: Callable[[int], None] | None = None
    ) -> list[SpatialCode | EncodeError]:
        """Codes of several clips in their order; the network runs over the frames of all.

        A clip that cannot be encoded gives its error in its place and disturbs no other.
        ``on_frames`` is told how many frames more are through the network, which all pass twice.
        """
        prepared = attempt(lambda clip: self.prepare(clip.rgb, clip.K), clips)
        given = [clip.T_world_camera for clip in clips]
        first = self._maps_of_all(prepared, given, True, on_frames)
        paths = attempt(self._poses, clips, prepared, first)
        estimated = [
            None if pose is not None or isinstance(path, EncodeError) else path
            for pose, path in zip(given, paths, strict=True)
        ]
        # gravity and height, once estimated, tell the network more than it saw at first
        informed = [
            skipped if path is None else item
            for item, path, skipped in zip(prepared, estimated, first, strict=True)
        ]
        maps = self._maps_of_all(informed, estimated, False, on_frames)
        return attempt(self._code, clips, prepared, maps, paths)

    def _poses(self, clip: ClipInput, prepared: Prepared, maps: DenseMaps) -> Array:
        if clip.T_world_camera is not None:
            return clip.T_world_camera
        if clip.up_camera is not None:
            maps = replace(maps, up_camera=clip.up_camera.astype(np.float32))
        return self.path(prepared, maps).T_world_camera

    def _maps_of_all(
        self,
        items: Sequence[Prepared | DenseMaps | EncodeError],
        poses: Sequence[Array | None],
        exact: bool,
        on_frames: Callable[[int], None] | None,
    ) -> list[DenseMaps | EncodeError]:
        """Maps of every prepared clip, the network run over all frames of one size at once;
        what is not a prepared clip stays as it is.
        """
        batches = {
            i: _frame_batch(item, pose, exact)
            for i, (item, pose) in enumerate(zip(items, poses, strict=True))
            if isinstance(item, Prepared)
        }
        made = run_together(self.runner, batches, on_frames)
        results: list[DenseMaps | EncodeError] = []
        for i, item in enumerate(items):
            results.append(made[i] if isinstance(item, Prepared) else item)
        return results

    def _code(
        self, clip: ClipInput, prepared: Prepared, maps: DenseMaps, T_world_camera: Array
    ) -> SpatialCode:
        height, width = prepared.rgb.shape[1:3]
        given = clip.T_world_camera is not None
        found = self.detections(prepared, maps, T_world_camera, given)
        return SpatialCode(
            video=clip.video,
            objects=scene_objects(found, clip.times_s),
            cameras=cameras_of(T_world_camera, prepared.K, (width, height), clip.video),
            room=self.room(prepared, maps, T_world_camera),
            scale=_scale(clip, maps),
            provenance=Provenance(
                encoder=self.name,
                weights_sha256=self.weights_sha256,
                config_sha256=self.config_sha256,
                software=SOFTWARE,
                work_key=clip.work_key,
            ),
        )


def attempt(step: Callable[..., T], *columns: Sequence[Any]) -> list[T | EncodeError]:
    """``step`` over rows; a row that holds an error, or raises one, becomes that error.

    The one boundary at which a clip's own failure turns into data.
    """
    results: list[T | EncodeError] = []
    for row in zip(*columns, strict=True):
        failed = next((value for value in row if isinstance(value, EncodeError)), None)
        if failed is not None:
            results.append(failed)
            continue
        try:
            results.append(step(*row))
        except EncodeError as error:
            results.append(error)
        except (SpatialCodeError, np.linalg.LinAlgError) as error:
            results.append(EncodeError(f"{type(error).__name__}: {error}"))
    return results


def _scale(clip: ClipInput, maps: DenseMaps) -> Scale:
    """Where metres come from: given poses, else predicted depth, as sure as it says."""
    if clip.T_world_camera is not None:
        return Scale("given", 1.0)
    relative_error = float(np.median(maps.depth_log_scale))
    return Scale("metric-depth", float(np.clip(1.0 - relative_error, 0.0, 1.0)))


def _wants_bfloat16(precision: str, device: str) -> bool:
    choices = {"auto": device != "cpu" or has_fast_bfloat16(), "bfloat16": True, "float32": False}
    if precision not in choices:
        raise EncodeError(f"precision: expected one of {sorted(choices)}, got {precision!r}")
    return choices[precision]


def _frame_batch(prepared: Prepared, T_world_camera: Array | None, exact: bool) -> FrameBatch:
    if T_world_camera is None:
        return without_gravity(prepared.rgb, prepared.K)
    return with_poses(prepared.rgb, prepared.K, T_world_camera, exact)
