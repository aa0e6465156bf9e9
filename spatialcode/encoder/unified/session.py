"""The unified encoder at work on one clip, window by window.

Parts outline and place what a window shows; the network says a box for each mask and frame; boxes
are kept as numbers in world coordinates, so that memory does not grow with pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from spatialcode.encoder.detections import SOFTWARE, cameras_of
from spatialcode.encoder.geometry.protocol import GeometrySource, WindowGeometry
from spatialcode.encoder.parsing.protocol import Detections, Detector, FrameMasks, MaskSource
from spatialcode.encoder.protocol import (
    ClipHeader,
    ClipInput,
    FrameRequest,
    OnShare,
    Window,
    encode_windows,
)
from spatialcode.encoder.stages import attempt
from spatialcode.encoder.unified.merging import BoxSighting, MergeSettings, merged_objects
from spatialcode.encoder.unified.model import UnifiedModel, UnifiedOutput
from spatialcode.errors import EncodeError
from spatialcode.scene.frames import matrix_from_quaternion
from spatialcode.scene.schema import Camera, Provenance, Scale, SpatialCode
from spatialcode.workkey import EncoderIdentity

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class UnifiedParts:
    """What works beside the network: it finds, outlines and places."""

    detector: Detector
    masks: MaskSource
    geometry: GeometrySource


@dataclass(frozen=True)
class UnifiedLimits:
    """What is asked of parts and network: the words, every which frame is a key frame, how many
    masks a frame may have, and how boxes are merged.
    """

    vocabulary: tuple[str, ...]
    key_frame_every: int
    max_masks: int
    merging: MergeSettings


class LoadedUnified:
    """Network and parts on a device; stateless between clips."""

    def __init__(
        self,
        model: UnifiedModel,
        parts: UnifiedParts,
        limits: UnifiedLimits,
        identity: EncoderIdentity,
        frames: FrameRequest,
    ) -> None:
        self.model, self.parts, self.limits = model, parts, limits
        self.identity, self.frames = identity, frames

    def session(self, clip: ClipHeader) -> UnifiedSession:
        """A clip's own way through parts and network."""
        return UnifiedSession(self, clip)

    def encode_batch(
        self, clips: Sequence[ClipInput], on_share: OnShare | None = None
    ) -> list[SpatialCode | EncodeError]:
        """Codes of several clips in their order, one after the other."""
        results: list[SpatialCode | EncodeError] = []
        for clip in clips:
            results += attempt(self._encoded, [clip])
            if on_share is not None:
                on_share(len(results) / len(clips))
        return results

    def _encoded(self, clip: ClipInput) -> SpatialCode:
        if not clip.num_frames:
            raise EncodeError("a clip needs at least one frame, got none")
        return encode_windows(self, clip, self.frames)

    @torch.inference_mode()
    def boxes(self, rgb: np.ndarray, K: Array, masks: Bool[np.ndarray, "n m h w"]) -> UnifiedOutput:
        """What the network says of frames and masks; arrays in, tensors on the CPU out."""
        device = next(self.model.parameters()).device
        inputs = (
            torch.from_numpy(np.ascontiguousarray(rgb))[None],
            torch.from_numpy(np.asarray(K, np.float32))[None],
            torch.from_numpy(masks)[None],
        )
        output = self.model(*(part.to(device) for part in inputs))
        return UnifiedOutput(**{name: value.float().cpu() for name, value in output.items()})


class UnifiedSession:
    """One clip on its way through the unified encoder."""

    def __init__(self, loaded: LoadedUnified, clip: ClipHeader) -> None:
        self._loaded, self._clip = loaded, clip
        self._masks = loaded.parts.masks.session()
        self._geometry = loaded.parts.geometry.session(clip)
        self._sightings: list[BoxSighting] = []
        self._cameras: list[Camera] = []
        self._times_s: list[float] = []
        self._is_metric = True

    def push(self, window: Window) -> None:
        """See `Session`; repeated frames are context for the parts and counted once."""
        detections = self._detected(window)
        outlined = self._masks.masks(window, detections)
        geometry = self._geometry.geometry(window)
        self._keep_cameras(window, geometry)
        rows = [row for row in sorted(outlined) if row >= window.num_repeated]
        rows = [row for row in rows if len(outlined[row].labels)]
        if rows:
            self._keep_boxes(window, geometry, {row: outlined[row] for row in rows})

    def finish(self) -> SpatialCode:
        """The code of all frames pushed. Raises EncodeError where there were none."""
        if not self._times_s:
            raise EncodeError("a clip needs at least one frame, got none")
        loaded = self._loaded
        return SpatialCode(
            video=replace(self._clip.video, sampled_s=tuple(self._times_s)),
            objects=merged_objects(self._sightings, loaded.limits.merging),
            cameras=tuple(self._cameras),
            room=None,
            scale=Scale("metric-depth", 0.5),
            provenance=Provenance(
                encoder=loaded.identity.name,
                weights_sha256=loaded.identity.weights_sha256,
                config_sha256=loaded.identity.config_sha256,
                software=SOFTWARE,
                work_key=self._clip.work_key,
            ),
        )

    def _detected(self, window: Window) -> dict[int, Detections]:
        limits = self._loaded.limits
        fresh = range(window.num_repeated, len(window.rgb))
        rows = [row for row in fresh if (window.start + row) % limits.key_frame_every == 0]
        found = self._loaded.parts.detector.detect(window, rows, limits.vocabulary)
        return dict(zip(rows, found, strict=True))

    def _keep_cameras(self, window: Window, geometry: WindowGeometry) -> None:
        height, width = window.rgb.shape[1:3]
        for row in range(window.num_repeated, len(window.rgb)):
            t_s = float(window.times_s[row])
            video = replace(self._clip.video, sampled_s=(t_s,))
            pose = geometry.T_world_camera[row : row + 1]
            self._cameras += cameras_of(pose, geometry.K[row], (width, height), video)
            self._times_s.append(t_s)

    def _keep_boxes(
        self, window: Window, geometry: WindowGeometry, outlined: dict[int, FrameMasks]
    ) -> None:
        """Boxes of the masks of some rows; all of these frames pass the network together."""
        rows = list(outlined)
        most = min(self._loaded.limits.max_masks, max(len(f.labels) for f in outlined.values()))
        masks = np.zeros((len(rows), most, *window.rgb.shape[1:3]), bool)
        chosen = {}
        for i, row in enumerate(rows):
            chosen[row] = np.argsort(-outlined[row].scores, kind="stable")[:most]
            masks[i, : len(chosen[row])] = outlined[row].masks[chosen[row]]
        output = self._loaded.boxes(window.rgb[rows], geometry.K[rows], masks)
        for i, row in enumerate(rows):
            seen = _FrameSeen(
                window.start + row, float(window.times_s[row]), geometry.T_world_camera[row]
            )
            for j, mask in enumerate(chosen[row]):
                self._sightings += _sighting(seen, output, (i, j), outlined[row], int(mask))


@dataclass(frozen=True, eq=False)
class _FrameSeen:
    frame: int
    t_s: float
    T_world_camera: Float[np.ndarray, "4 4"]


def _sighting(
    seen: _FrameSeen, output: UnifiedOutput, at: tuple[int, int], masks: FrameMasks, mask: int
) -> list[BoxSighting]:
    """A box in world coordinates; none where the network's numbers are not finite."""
    i, j = at
    center = output.center_m[0, i, j].double().numpy()
    size = output.log_size[0, i, j].double().exp().numpy()
    wxyz = output.quaternion_wxyz[0, i, j].double().numpy()
    if not all(np.isfinite(part).all() for part in (center, size, wxyz)):
        return []
    R, t = seen.T_world_camera[:3, :3], seen.T_world_camera[:3, 3]
    axes = R @ matrix_from_quaternion(wxyz)
    sigma = float(output.center_log_scale[0, i, j].exp().mean())
    return [
        BoxSighting(
            frame=seen.frame,
            t_s=seen.t_s,
            label=masks.labels[mask],
            track=int(masks.tracks[mask]),
            center_m=R @ center + t,
            size_m=size,
            yaw_rad=float(np.arctan2(axes[1, 0], axes[0, 0])),
            presence=float(output.presence_logit[0, i, j].sigmoid()),
            score=float(output.score_logit[0, i, j].sigmoid()) * float(masks.scores[mask]),
            sigma_m=sigma,
        )
    ]
