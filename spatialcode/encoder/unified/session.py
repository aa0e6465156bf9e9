"""The unified encoder at work on one clip, window by window.

Parts outline and place what a window shows; the network says a box for each mask and frame; boxes
are kept as numbers in world coordinates, so that memory does not grow with pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import nn

from spatialcode.encoder.bounded import EvenSample, LongestPart
from spatialcode.encoder.detections import SOFTWARE, cameras_of
from spatialcode.encoder.geometry.any_view import layers_of
from spatialcode.encoder.geometry.protocol import WindowGeometry
from spatialcode.encoder.geometry.trust import PathTrust
from spatialcode.encoder.in_turn import encode_in_turn
from spatialcode.encoder.lifting.reflections import ALWAYS_ASKED, without_reflections
from spatialcode.encoder.lifting.sightings import frame_view
from spatialcode.encoder.parsing.keyframes import KeyFrames, KeyFrameSettings
from spatialcode.encoder.parsing.movers import with_movers
from spatialcode.encoder.parsing.protocol import NO_TRACK, FrameMasks
from spatialcode.encoder.parts import EncoderParts
from spatialcode.encoder.protocol import (
    ClipHeader,
    ClipInput,
    FrameRequest,
    OnShare,
    Window,
)
from spatialcode.encoder.room.views import RoomViews
from spatialcode.encoder.unified.merging import BoxSighting, MergeSettings, merged_objects
from spatialcode.encoder.unified.model import UnifiedModel, UnifiedOutput
from spatialcode.errors import EncodeError
from spatialcode.scene.frames import matrix_from_quaternion
from spatialcode.scene.schema import Camera, Provenance, SpatialCode, VideoInfo
from spatialcode.workkey import EncoderIdentity

Array = NDArray[np.float64]

#: Windows of a clip whose units are kept.
_MAX_WINDOWS = 256


@dataclass(frozen=True)
class UnifiedLimits:
    """What is asked of parts and network: for which labels, in which key frames, of how many masks
    a frame; and how boxes are merged.
    """

    labels: tuple[str, ...]
    key_frames: KeyFrameSettings
    max_masks: int
    merging: MergeSettings


class LoadedUnified:
    """Network and parts on a device; stateless between clips."""

    def __init__(
        self,
        model: UnifiedModel,
        parts: EncoderParts,
        limits: UnifiedLimits,
        identity: EncoderIdentity,
        frames: FrameRequest,
    ) -> None:
        self.model, self.parts, self.limits = model, parts, limits
        self.identity, self.frames = identity, frames

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of things that it looks for."""
        return self.limits.labels

    def session(self, clip: ClipHeader) -> UnifiedSession:
        """A clip's own way through parts and network."""
        return UnifiedSession(self, clip)

    def encode_batch(
        self, clips: Sequence[ClipInput], on_share: OnShare | None = None
    ) -> list[SpatialCode | EncodeError]:
        """See `encode_in_turn`."""
        return encode_in_turn(self, clips, on_share)

    def fixed_shape_modules(self) -> list[nn.Module]:
        """See `Compilable`."""
        towers = [self.model.object_tower, *layers_of(self.model.geometry_tower)]
        return [*towers, *self.parts.fixed_shape_modules()]

    def with_less(self, parts: EncoderParts, frames: FrameRequest) -> LoadedUnified:
        """The same encoder with other parts and windows."""
        return LoadedUnified(self.model, parts, self.limits, self.identity, frames)

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
        self._key_frames = KeyFrames(loaded.limits.key_frames)
        self._masks = loaded.parts.masks.session()
        self._geometry = loaded.parts.geometry.session(clip)
        self._trust = PathTrust()
        self._seen: list[_FrameSeen] = []
        self._boxes = KeptBoxes(loaded.limits.merging.max_sightings)
        #: Metres of the geometry's unit, as windows tell; empty where it is the metre.
        self._units_m: EvenSample[float] = EvenSample(_MAX_WINDOWS)
        self._cuts_s: list[float] = []
        self._rooms = LongestPart(RoomViews)

    def push(self, window: Window) -> None:
        """See `Session`; repeated frames are context for the parts and counted once."""
        limits, parts = self._loaded.limits, self._loaded.parts
        keys = self._key_frames.rows(window)
        asked = tuple(dict.fromkeys((*limits.labels, ALWAYS_ASKED)))
        found = parts.detector.detect(window, keys, asked) if keys else []
        outlined = self._masks.masks(window, dict(zip(keys, found, strict=True)))
        geometry = self._geometry.geometry(with_movers(window, outlined))
        self._trust.note(window, geometry)
        real: dict[int, FrameMasks] = {}
        for row in range(window.num_repeated, len(window.rgb)):
            if row in geometry.cuts:
                self._cuts_s.append(float(window.times_s[row]))
                self._rooms.cut(len(self._seen))
            self._seen.append(self._frame(window, geometry, row))
            if row in outlined:
                view = frame_view(geometry, row, window, parts.masks.edge_sigma_px)
                self._rooms.now.add(view, outlined[row], geometry.is_grounded)
                real[row] = without_reflections(view, outlined[row]).labelled(limits.labels)
        real = {row: masks for row, masks in real.items() if len(masks.labels)}
        if real:
            self._keep_boxes(window, geometry, real)

    def finish(self) -> SpatialCode:
        """The code of all frames pushed. Raises EncodeError where there were none."""
        if not self._seen:
            raise EncodeError("a clip needs at least one frame, got none")
        loaded, unit_m = self._loaded, self._unit_m()
        self._settle()
        video = replace(self._clip.video, sampled_s=tuple(seen.t_s for seen in self._seen))
        found = self._rooms.longest(len(self._seen))[1].found()
        # by the cameras as they stand now, which `_settle` may have moved
        sightings = [
            replace(box, seen=self._seen[box.seen.frame]).in_world(unit_m, num)
            for box, num in self._boxes.all()
        ]
        return SpatialCode(
            video=video,
            objects=merged_objects(sightings, loaded.limits.merging),
            cameras=tuple(seen.camera(video, unit_m) for seen in self._seen),
            room=found.room,
            scale=self._trust.scale(self._unit_trust()),
            warnings=(*self._trust.warnings(), *self._cut_warnings(), *found.warnings),
            path=self._trust.path(),
            provenance=Provenance(
                encoder=loaded.identity.name,
                weights_sha256=loaded.identity.weights_sha256,
                config_sha256=loaded.identity.config_sha256,
                software=SOFTWARE,
                work_key=self._clip.work_key,
            ),
        )

    def _settle(self) -> None:
        """Take the poses that the geometry believes once it knows all frames."""
        settled = self._geometry.settled()
        if settled is None:
            return
        moves = settled.since(np.stack([seen.T_world_camera for seen in self._seen]))
        self._rooms.longest(len(self._seen))[1].settle(moves)
        now = zip(self._seen, settled.T_world_camera, strict=True)
        self._seen = [replace(seen, T_world_camera=T) for seen, T in now]

    def _cut_warnings(self) -> tuple[str, ...]:
        return tuple(
            f"the video is cut at {t_s:.2f} s: what follows stands in a world of its own"
            for t_s in self._cuts_s
        )

    def _frame(self, window: Window, geometry: WindowGeometry, row: int) -> _FrameSeen:
        """A frame's camera, in the part of the video that cuts leave it in."""
        t_s = float(window.times_s[row])
        part = sum(cut_s <= t_s for cut_s in self._cuts_s)
        size_px = window.rgb.shape[2], window.rgb.shape[1]
        # copies, as a row of an array would keep all of it
        K, pose = geometry.K[row].copy(), geometry.T_world_camera[row].copy()
        return _FrameSeen(window.start + row, part, t_s, K, pose, size_px)

    def _unit_m(self) -> float:
        units_m = self._units_m.items()
        return float(np.median(units_m)) if units_m else 1.0

    def _unit_trust(self) -> float | None:
        """How sure metres are that the network says, where the source has none: as sure as windows
        agree on them; None where they are the source's own.
        """
        units_m = self._units_m.items()
        if not units_m:
            return None
        spread = np.median(np.abs(np.log(units_m) - np.log(self._unit_m())))
        return float(np.exp(-spread))

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
        if not geometry.is_metric:
            depth_m = output.depth_m[0].numpy()
            for unit_m in unit_of(depth_m, geometry.depth_m[rows]):
                self._units_m.add(unit_m)
        for i, row in enumerate(rows):
            seen = self._frame(window, geometry, row)
            boxes = [
                box
                for j, mask in enumerate(chosen[row])
                for box in _camera_box(seen, output, (i, j), outlined[row], int(mask))
            ]
            self._boxes.add_frame(boxes)


class KeptBoxes:
    """The boxes of a clip, frame by frame: of each track at most so many, evenly spread over its
    frames; of what has no track, those of at most so many frames.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._tracks: dict[tuple[int, int], EvenSample[_CameraBox]] = {}
        self._loose: EvenSample[list[_CameraBox]] = EvenSample(most)

    def add_frame(self, boxes: Sequence[_CameraBox]) -> None:
        """Take the boxes of the next frame."""
        loose = [box for box in boxes if box.track == NO_TRACK]
        if loose:
            self._loose.add(loose)
        for box in boxes:
            if box.track != NO_TRACK:
                key = box.seen.part, box.track
                self._tracks.setdefault(key, EvenSample(self._most)).add(box)

    def all(self) -> list[tuple[_CameraBox, int]]:
        """Each box, and for how many frames it stands."""
        found = [
            each
            for track in self._tracks.values()
            for each in zip(track.items(), track.stands_for(), strict=True)
        ]
        for boxes, num in zip(self._loose.items(), self._loose.stands_for(), strict=True):
            found += [(box, num) for box in boxes]
        return found


@dataclass(frozen=True, eq=False)
class _FrameSeen:
    """A frame's camera: ``K`` in pixels of frames of ``size_px`` (width, height), the pose in the
    geometry source's world and unit. ``part``: how many cuts came before.
    """

    frame: int
    part: int
    t_s: float
    K: Float[np.ndarray, "3 3"]
    T_world_camera: Float[np.ndarray, "4 4"]
    size_px: tuple[int, int]

    def pose(self, unit_m: float) -> Float[np.ndarray, "4 4"]:
        """``T_world_camera`` in metres."""
        T = self.T_world_camera.copy()
        T[:3, 3] *= unit_m
        return T

    def camera(self, video: VideoInfo, unit_m: float) -> Camera:
        own = replace(video, sampled_s=(self.t_s,))
        (camera,) = cameras_of(self.pose(unit_m)[None], self.K, self.size_px, own)
        return camera


@dataclass(frozen=True, eq=False)
class _CameraBox:
    """What one frame says of one object, its box in the camera frame, in metres."""

    seen: _FrameSeen
    label: str
    track: int
    center_m: Float[np.ndarray, "3"]
    size_m: Float[np.ndarray, "3"]
    R_camera_box: Float[np.ndarray, "3 3"]
    presence: float
    score: float
    sigma_m: float

    def in_world(self, unit_m: float, num_frames: int) -> BoxSighting:
        """The box upright in the world, which stands for so many frames."""
        T = self.seen.pose(unit_m)
        axes = T[:3, :3] @ self.R_camera_box
        return BoxSighting(
            frame=self.seen.frame,
            part=self.seen.part,
            t_s=self.seen.t_s,
            label=self.label,
            track=self.track,
            center_m=T[:3, :3] @ self.center_m + T[:3, 3],
            size_m=self.size_m,
            yaw_rad=float(np.arctan2(axes[1, 0], axes[0, 0])),
            presence=self.presence,
            score=self.score,
            sigma_m=self.sigma_m,
            num_frames=num_frames,
        )


def unit_of(metric_m: Float[np.ndarray, "n h w"], other: Float[np.ndarray, "n k l"]) -> list[float]:
    """Metres of the unit of another depth of the same frames, by their median ratio; none where
    nothing of both is known.
    """
    height, width = metric_m.shape[1:]
    sampled = np.stack(
        [cv2.resize(d, (width, height), interpolation=cv2.INTER_NEAREST) for d in other]
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = metric_m / sampled
    known = np.isfinite(ratio) & (ratio > 0)
    return [float(np.median(ratio[known]))] if known.any() else []


def _camera_box(
    seen: _FrameSeen, output: UnifiedOutput, at: tuple[int, int], masks: FrameMasks, mask: int
) -> list[_CameraBox]:
    """A mask's box; none where the network's numbers are not finite."""
    i, j = at
    center = output.center_m[0, i, j].double().numpy()
    size = output.log_size[0, i, j].double().exp().numpy()
    wxyz = output.quaternion_wxyz[0, i, j].double().numpy()
    if not all(np.isfinite(part).all() for part in (center, size, wxyz)):
        return []
    return [
        _CameraBox(
            seen=seen,
            label=masks.labels[mask],
            track=int(masks.tracks[mask]),
            center_m=center,
            size_m=size,
            R_camera_box=matrix_from_quaternion(wxyz),
            presence=float(output.presence_logit[0, i, j].sigmoid()),
            score=float(output.score_logit[0, i, j].sigmoid()) * float(masks.scores[mask]),
            sigma_m=float(output.center_log_scale[0, i, j].exp().mean()),
        )
    ]
