"""A clip on its way through the prompted encoder, window by window, in memory of a fixed size.

Of a frame that has passed there remain its camera, the sightings that its objects keep, and, of few
frames spread over the clip, a small picture of what is floor and wall.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spatialcode.encoder.bounded import LongestPart
from spatialcode.encoder.detections import SOFTWARE, cameras_of
from spatialcode.encoder.geometry.frame_scales import frame_log_scales
from spatialcode.encoder.geometry.protocol import WindowGeometry
from spatialcode.encoder.geometry.trust import PathTrust
from spatialcode.encoder.geometry.windows import stretches
from spatialcode.encoder.in_turn import encode_in_turn
from spatialcode.encoder.instances.association import Gathering
from spatialcode.encoder.instances.instance import InstanceSettings
from spatialcode.encoder.instances.objects import objects_of
from spatialcode.encoder.lifting.reflections import ALWAYS_ASKED, without_reflections
from spatialcode.encoder.lifting.sightings import frame_view, lift
from spatialcode.encoder.parsing.keyframes import KeyFrames
from spatialcode.encoder.parsing.movers import ASKED_FOR_MOVERS, with_movers
from spatialcode.encoder.parsing.vocabulary import labels_of
from spatialcode.encoder.parts import EncoderParts
from spatialcode.encoder.prompted.settings import FusionSettings
from spatialcode.encoder.protocol import (
    ClipHeader,
    ClipInput,
    FrameRequest,
    OnShare,
    Session,
    Window,
)
from spatialcode.encoder.room.views import RoomViews
from spatialcode.errors import EncodeError
from spatialcode.scene.schema import Provenance, SpatialCode
from spatialcode.workkey import EncoderIdentity

Array = NDArray[np.float64]


class PromptedEncoding:
    """The loaded encoder: parts, settings, and who it is; stateless between clips."""

    def __init__(
        self,
        parts: EncoderParts,
        settings: FusionSettings,
        identity: EncoderIdentity,
        frames: FrameRequest,
    ) -> None:
        self.parts = parts
        self.settings = settings
        self.identity = identity
        self.frames = frames

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of things that it looks for."""
        return labels_of(self.settings.words)

    def session(self, clip: ClipHeader) -> Session:
        """A session whose memory does not grow with the clip."""
        return PromptedSession(self, clip)

    def fixed_shape_modules(self) -> list[Any]:
        """See `Compilable`."""
        return self.parts.fixed_shape_modules()

    def with_less(self, parts: EncoderParts, frames: FrameRequest) -> PromptedEncoding:
        """The same encoder with other parts and windows."""
        return PromptedEncoding(parts, self.settings, self.identity, frames)

    def encode_batch(
        self, clips: Sequence[ClipInput], on_share: OnShare | None = None
    ) -> list[SpatialCode | EncodeError]:
        """See `encode_in_turn`."""
        return encode_in_turn(self, clips, on_share)


@dataclass(frozen=True, eq=False)
class _Seen:
    """The camera of one frame: time, K in pixels of the frame, and pose."""

    t_s: float
    K: Array
    T_world_camera: Array


@dataclass(frozen=True, eq=False)
class _Shot:
    """What was gathered between two cuts."""

    gathering: Gathering
    room: RoomViews = field(default_factory=RoomViews)

    @classmethod
    def begun(cls, settings: InstanceSettings) -> _Shot:
        """One of which nothing has been seen yet."""
        return cls(Gathering(settings))


class PromptedSession:
    """See `PromptedEncoding.session`."""

    def __init__(self, encoding: PromptedEncoding, clip: ClipHeader) -> None:
        self._encoding, self._clip = encoding, clip
        settings = encoding.settings
        self._labels = labels_of(settings.words)
        self._asked = tuple(dict.fromkeys((*self._labels, ALWAYS_ASKED, ASKED_FOR_MOVERS)))
        self._key_frames = KeyFrames(settings.key_frames)
        self._masks = encoding.parts.masks.session()
        self._geometry = encoding.parts.geometry.session(clip)
        self._shots = LongestPart(partial(_Shot.begun, settings.instances))
        self._seen: list[_Seen] = []
        self._log_scales = np.zeros(0)
        self._size_px = (0, 0)
        self._trust = PathTrust()

    def push(self, window: Window) -> None:
        """Take the next frames. Raises EncodeError where no geometry can be given for them."""
        parts = self._encoding.parts
        rows = self._key_frames.rows(window)
        found = parts.detector.detect(window, rows, self._asked) if rows else []
        masks = self._masks.masks(window, dict(zip(rows, found, strict=True)))
        self._size_px = window.rgb.shape[2], window.rgb.shape[1]
        geometry = self._geometry.geometry(with_movers(window, masks))
        geometry = self._of_one_scale(geometry, window.num_repeated)
        self._trust.note(window, geometry)
        for row in range(window.num_repeated, len(window.rgb)):
            # copies, as a row of an array would keep all of it
            K, T = geometry.K[row].copy(), geometry.T_world_camera[row].copy()
            if row in geometry.cuts:
                self._shots.cut(len(self._seen))
            self._seen.append(_Seen(float(window.times_s[row]), K, T))
            if row in masks:
                view = frame_view(geometry, row, window, parts.masks.edge_sigma_px)
                real = without_reflections(view, masks[row]).labelled(self._labels)
                sightings = lift(view, real, self._encoding.settings.lifting)
                self._shots.now.gathering.add(view, sightings)
                self._shots.now.room.add(view, masks[row], geometry.is_grounded)

    def finish(self) -> SpatialCode:
        """The code of all frames. Raises EncodeError where there were none."""
        if not self._seen:
            raise EncodeError("a clip needs at least one frame, got none")
        self._settle()
        times_s = np.array([seen.t_s for seen in self._seen])
        poses = np.stack([seen.T_world_camera for seen in self._seen])
        video = replace(self._clip.video, sampled_s=tuple(times_s.tolist()))
        identity = self._encoding.identity
        _, shot = self._shots.longest(len(self._seen))
        found = shot.room.found()
        return SpatialCode(
            video=video,
            objects=objects_of(
                shot.gathering.instances,
                times_s,
                self._encoding.settings.instances,
            ),
            cameras=cameras_of(
                poses, np.stack([seen.K for seen in self._seen]), self._size_px, video
            ),
            room=found.room,
            scale=self._trust.scale(),
            warnings=(*self._warnings(), *found.warnings),
            path=self._trust.path(),
            provenance=Provenance(
                encoder=identity.name,
                weights_sha256=identity.weights_sha256,
                config_sha256=identity.config_sha256,
                software=SOFTWARE,
                work_key=self._clip.work_key,
            ),
        )

    def _settle(self) -> None:
        """Put all that was seen to where the geometry has its frames once it knows all of them."""
        settled = self._geometry.settled()
        if settled is None:
            return
        moves = settled.since(np.stack([seen.T_world_camera for seen in self._seen]))
        _, shot = self._shots.longest(len(self._seen))
        for instance in shot.gathering.instances:
            instance.settle(moves)
        shot.room.settle(moves)
        now = zip(self._seen, settled.T_world_camera, strict=True)
        self._seen = [replace(seen, T_world_camera=T) for seen, T in now]

    def _warnings(self) -> tuple[str, ...]:
        found = []
        if not self._trust.is_metric:
            found.append("Depth has no known unit: sizes and distances are right but for a factor.")
        found += self._trust.warnings()
        cuts = self._shots.starts[1:]
        if cuts:
            times = ", ".join(f"{self._seen[frame].t_s:.1f} s" for frame in cuts)
            start, _ = self._shots.longest(len(self._seen))
            found.append(
                f"The video is cut at {times}: each part has a world of its own, and the objects "
                f"are those of the longest part, which begins at {self._seen[start].t_s:.1f} s."
            )
        return tuple(found)

    def _of_one_scale(self, geometry: WindowGeometry, num_repeated: int) -> WindowGeometry:
        """Depth whose frames agree with each other, and with the frames of the window before; what
        a cut parts has nothing to agree on.
        """
        if geometry.error.frame <= 0:
            return geometry
        # of the frames that this window repeats; none of the first window's are known
        before = self._log_scales[len(self._log_scales) - num_repeated :]
        K = self._depth_from_frame(geometry) @ geometry.K
        parts = []
        for rows in stretches(len(geometry.depth_m), geometry.cuts):
            own = geometry.depth_m[rows], K[rows], geometry.T_world_camera[rows]
            parts.append(frame_log_scales(*own, geometry.error.frame, before[rows]))
        self._log_scales = scales = np.concatenate(parts)
        depth_m = geometry.depth_m * np.exp(-scales)[:, None, None].astype(np.float32)
        return replace(geometry, depth_m=depth_m)

    def _depth_from_frame(self, geometry: WindowGeometry) -> Array:
        """(3, 3) what turns pixels of the frames into pixels of their depth maps."""
        height, width = geometry.depth_m.shape[1:]
        return np.diag([width / self._size_px[0], height / self._size_px[1], 1.0])
