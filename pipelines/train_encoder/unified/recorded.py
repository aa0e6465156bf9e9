"""Learning clips from recordings with boxes, their outlines drawn by a teacher and kept.

A frame's outlines do not depend on which clip it is in: each is drawn once, and lies as a picture
of numbers in the cache folder from then on.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from spatialcode.encoder.parsing.protocol import MaskSource
from spatialcode.encoder.parsing.registry import load_mask_source
from spatialcode.encoder.unified.clips import LearningClip, symmetry_indices
from spatialcode.encoder.unified.teaching import PosedFrame, taught_instances
from spatialcode.encoder.weights.local import weights_folder
from spatialcode.errors import InputError
from spatialcode.files import write_bytes
from spatialcode.recordings.recording import Recording
from spatialcode.recordings.registry import recordings_in
from spatialcode.scene.boxes import Boxes

_SEED = 11
#: Frames of a clip are at most so many of the recording's frames apart.
_MAX_STEP = 10


@dataclass(frozen=True)
class RecordedClips:
    """Stretches of the recordings of a folder that have poses, intrinsics and boxes.

    ``teacher``: SAM 2's weights. ``cache``: folder of the outlines drawn. Frames are scaled and cut
    about their middle to one size.
    """

    reader: str
    folder: str
    num_frames: int
    width_px: int
    height_px: int
    teacher: str
    cache: str

    def clip(self, number: int) -> LearningClip:
        recordings = usable_recordings(self.reader, self.folder)
        rng = np.random.default_rng([number, _SEED])
        recording = recordings[int(rng.integers(len(recordings)))]
        rows = _rows(rng, recording.num_frames, self.num_frames)
        frames = [self._frame(recording, row) for row in rows]
        boxes = Boxes.of(recording.objects)
        instance = [
            self._instance(recording, row, frame, boxes)
            for row, frame in zip(rows, frames, strict=True)
        ]
        return LearningClip(
            rgb=np.stack([frame.rgb for frame in frames]),
            instance=np.stack(instance),
            depth_m=np.stack([frame.depth_m for frame in frames]),
            K=np.stack([frame.K for frame in frames]),
            T_world_camera=np.stack([frame.T_world_camera for frame in frames]),
            center_m=np.tile(boxes.center, (self.num_frames, 1, 1)),
            size_m=boxes.size,
            quaternion_wxyz=np.tile(boxes.quaternion, (self.num_frames, 1, 1)),
            symmetry=symmetry_indices([item.label for item in recording.objects]),
        )

    def _frame(self, recording: Recording, row: int) -> PosedFrame:
        clip = recording.clip([row])
        geometry = clip.geometry
        assert geometry.K is not None
        assert geometry.T_world_camera is not None
        size_px = self.width_px, self.height_px
        height, width = clip.rgb.shape[1:3]
        depth_m = np.full((height, width), np.nan, np.float32)
        if geometry.depth_m is not None:
            depth_m = cv2.resize(
                geometry.depth_m[0].astype(np.float32), (width, height),
                interpolation=cv2.INTER_NEAREST,
            )  # fmt: skip
        scale, left, top = covering((width, height), size_px)
        K = np.array([[scale, 0, -left], [0, scale, -top], [0, 0, 1]]) @ geometry.K
        return PosedFrame(
            rgb=_cut(clip.rgb[0], scale, (left, top), size_px, cv2.INTER_AREA),
            depth_m=_cut(depth_m, scale, (left, top), size_px, cv2.INTER_NEAREST),
            K=K,
            T_world_camera=geometry.T_world_camera[0],
        )

    def _instance(
        self, recording: Recording, row: int, frame: PosedFrame, boxes: Boxes
    ) -> NDArray[np.int16]:
        size = f"{self.width_px}x{self.height_px}"
        path = Path(self.cache, recording.name, size, f"{row:06d}.png")
        if path.is_file():
            kept = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
            return kept.astype(np.int16) - 1
        instance = taught_instances(frame, boxes, _teacher(self.teacher))
        _, encoded = cv2.imencode(".png", (instance + 1).astype(np.uint16))
        write_bytes(path, encoded.tobytes())
        return instance


@cache
def usable_recordings(reader: str, folder: str) -> list[Recording]:
    """Recordings that clips can be made of. InputError where a folder has none."""
    found = [
        recording
        for recording in recordings_in(Path(folder), reader)
        if recording.objects
        and recording.cameras.K is not None
        and recording.cameras.T_world_camera is not None
    ]
    if not found:
        raise InputError(f"{folder}: expected recordings with poses, intrinsics and boxes")
    return found


@cache
def _teacher(weights: str) -> MaskSource:
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    return load_mask_source("sam2-image", weights_folder(weights), device=device)


def _rows(rng: np.random.Generator, num_frames: int, num_wanted: int) -> list[int]:
    """Frames in time order, equally far apart; the last ones repeat where there are too few."""
    step = int(rng.integers(1, _MAX_STEP + 1))
    step = max(1, min(step, (num_frames - 1) // max(1, num_wanted - 1)))
    start = int(rng.integers(max(1, num_frames - step * (num_wanted - 1))))
    return [min(start + step * i, num_frames - 1) for i in range(num_wanted)]


def covering(size_px: tuple[int, int], wanted_px: tuple[int, int]) -> tuple[float, float, float]:
    """Scale, left and top in scaled pixels with which a picture covers another size from its
    middle.
    """
    scale = max(wanted_px[0] / size_px[0], wanted_px[1] / size_px[1])
    left = 0.5 * (scale * size_px[0] - wanted_px[0])
    top = 0.5 * (scale * size_px[1] - wanted_px[1])
    return scale, left, top


def _cut(
    image: NDArray[np.generic],
    scale: float,
    corner: tuple[float, float],
    size_px: tuple[int, int],
    interpolation: int,
) -> NDArray[np.generic]:
    """A part of a scaled picture. Pixel centres are at 0.5, OpenCV's at 0."""
    if interpolation == cv2.INTER_AREA and scale < 1:
        # shrunk as a whole first, since warping samples single pixels
        height, width = image.shape[:2]
        small = max(1, round(width * scale)), max(1, round(height * scale))
        image = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
        scale = 1.0
    shift = 0.5 * scale - 0.5
    warp = np.array([[scale, 0, shift - corner[0]], [0, scale, shift - corner[1]]])
    flags = cv2.INTER_NEAREST if interpolation == cv2.INTER_NEAREST else cv2.INTER_LINEAR
    return cv2.warpAffine(image, warp, size_px, flags=flags, borderMode=cv2.BORDER_REPLICATE)
