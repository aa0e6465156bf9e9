"""Encoders that know the truth, for testing the evaluation with answers known beforehand."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

import numpy as np

from spatialcode.encoder.detections import Confidence, DetectionConfig, detect
from spatialcode.encoder.maps import grid_intrinsics
from spatialcode.encoder.protocol import CollectedSession, FrameRequest
from spatialcode.encoder.stages import encode_clips
from spatialcode.evaluation.oracle import true_maps
from spatialcode.evaluation.room import truth_scene, truth_tracks
from spatialcode.scene.frames import quaternion_from_yaw
from spatialcode.scene.schema import (
    Provenance,
    Scale,
    SceneObject,
    SpatialCode,
    TrackPoint,
    make_id,
)
from spatialcode.synthetic.clips import ClipConfig, make_clip
from spatialcode.workkey import EncoderIdentity

NUM_FRAMES = 6
SEEDS = (900_000_000, 900_000_001, 900_000_002)
BROKEN_SEED = 900_000_003


def objects_of(tracks, times_s, raised_by=0.0):
    """The asked-for objects as a code would hold them, raised by a share of their height."""
    seen: dict[str, int] = {}
    objects = []
    for m in np.flatnonzero(~tracks.ignored):
        label = tracks.labels[m]
        seen[label] = seen.get(label, 0) + 1
        alive = np.flatnonzero(tracks.alive[:, m])
        lift = np.array([0.0, 0.0, raised_by * tracks.size_m[m, 2]])
        points = tuple(
            TrackPoint(
                times_s[n],
                tuple(tracks.center_m[n, m] + lift),
                tuple(tracks.quaternion_wxyz[n, m]),
            )
            for n in alive
        )
        objects.append(
            SceneObject(
                id=make_id(label, seen[label]),
                label=label,
                score=0.9,
                center_m=points[-1].center_m,
                size_m=tuple(tracks.size_m[m]),
                quaternion_wxyz=points[-1].quaternion_wxyz,
                first_seen_s=points[0].t_s,
                last_seen_s=points[-1].t_s,
                num_observations=len(alive),
                visibility=1.0,
                motion="moving" if tracks.moving[m] else "static",
                track=points if tracks.moving[m] else (),
            )
        )
    return tuple(objects)


class Knowing:
    """Says what is true of the clip it was made for, boxes raised by a share of their height."""

    def __init__(self, clip, raised_by=0.0):
        self.clip, self.raised_by = clip, raised_by
        self.true = true_maps(clip)
        self.truth = truth_scene(clip, self.true)
        self.stages = self

    def session(self, header):
        return CollectedSession(self, header)

    def encode_batch(self, clips, on_share=None):
        return encode_clips(self.stages, clips, on_share)

    def prepare(self, clip):
        return clip

    def maps(self, clips, poses, exact, on_frames=None):
        return [self.true.maps for _ in clips]

    def path(self, clip, maps):
        return self.truth.T_world_camera

    def structured(self, clip, maps):
        return clip

    def code(self, clip, maps, T_world_camera):
        return SpatialCode(
            video=clip.video,
            objects=self.objects(clip, maps, T_world_camera),
            cameras=(),
            room=self.truth.room,
            scale=Scale("given", 1.0),
            provenance=Provenance("knowing", "", "", "tests", ""),
        )

    def objects(self, clip, maps, T_world_camera):
        return objects_of(truth_tracks(self.clip), self.clip.times_s, self.raised_by)


class Fusing(Knowing):
    """Perfect maps through the real lifting and fusion."""

    def objects(self, clip, maps, T_world_camera):
        found = detect(
            maps,
            grid_intrinsics(self.clip.K),
            T_world_camera,
            Confidence.uncalibrated(),
            DetectionConfig(),
        )
        seen: dict[str, int] = {}
        objects = []
        for entry in found:
            seen[entry.label] = seen.get(entry.label, 0) + 1
            objects.append(
                SceneObject(
                    id=make_id(entry.label, seen[entry.label]),
                    label=entry.label,
                    score=entry.score,
                    center_m=tuple(entry.center_m),
                    size_m=tuple(entry.size_m),
                    quaternion_wxyz=tuple(quaternion_from_yaw(entry.yaw_rad)),
                    first_seen_s=clip.times_s[entry.frames[0]],
                    last_seen_s=clip.times_s[entry.frames[-1]],
                    num_observations=len(entry.frames),
                    visibility=1.0,
                    motion="static",
                )
            )
        return tuple(objects)


class Blurred(Fusing):
    """Perfect but for votes that miss by 0.6 m to the right of every camera."""

    def maps(self, clips, poses, exact, on_frames=None):
        offset = np.array([0.6, 0.0, 0.0], np.float32)
        true = self.true.maps
        return [replace(true, vote_level_m=true.vote_level_m + offset) for _ in clips]


@functools.cache
def known_clips():
    clips = [make_clip(seed, ClipConfig(num_frames=NUM_FRAMES)) for seed in SEEDS]
    return {clip.K.tobytes(): Knowing(clip) for clip in clips}


@dataclass(frozen=True)
class NoSettings:
    """It has none of its own."""


class Library:
    """Recognises the clips of SEEDS by their intrinsics; breaks on others, as data may."""

    settings = NoSettings
    identity = EncoderIdentity("library", "0" * 64, "0" * 64)
    frames = FrameRequest()

    def __init__(self, name, settings):
        pass

    def load(self, device):
        return self

    @property
    def stages(self):
        return self

    def session(self, header):
        return CollectedSession(self, header)

    def encode_batch(self, clips, on_share=None):
        return encode_clips(self, clips, on_share)

    def prepare(self, clip):
        return clip

    def maps(self, clips, poses, exact, on_frames=None):
        return [self._of(clip).true.maps for clip in clips]

    def path(self, clip, maps):
        return self._of(clip).path(clip, maps)

    def structured(self, clip, maps):
        return clip

    def code(self, clip, maps, T_world_camera):
        return self._of(clip).code(clip, maps, T_world_camera)

    def _of(self, clip):
        key = clip.geometry.K.tobytes()
        if key not in known_clips():
            raise ValueError("this clip is damaged")
        return known_clips()[key]
