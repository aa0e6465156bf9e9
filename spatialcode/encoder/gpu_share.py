"""How much of a GPU an encoder needs: measured with its weights, on the largest windows it is fed.

What is measured is what torch's allocator holds at most. Beside that a process holds CUDA's own
context, and the allocator holds pieces that it cannot use; both are reserved for. Who else is on
the card, and how busy it is, is not known here. No torch here until something is measured.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
from jaxtyping import UInt8

from spatialcode.encoder.in_turn import PartedEncoder
from spatialcode.encoder.parsing.protocol import Detections, Detector
from spatialcode.encoder.parts import EncoderParts
from spatialcode.encoder.protocol import ClipInput, Encoder, FrameRequest, LoadedEncoder, Window
from spatialcode.errors import EncodeError
from spatialcode.files import read_json, write_json
from spatialcode.scene.schema import VideoInfo

#: Reserved beside the peak: a share of it for what the allocator cannot use, and CUDA's context.
FRAGMENTS, CONTEXT_BYTES = 0.15, 2**30
#: Shares are whole multiples of this.
STEP = 0.05
#: Height over width. Square pictures are the largest of one longer side; a detector that fits the
#: shorter side takes more of wide ones.
_SHAPES = (1.0, 9.0 / 16.0)
#: Things that each frame is said to hold, along each side of a grid.
_GRID = 8
_DRIFT_PX = 4
_log = logging.getLogger(__name__)


def gpu_share(peak_bytes: int, total_bytes: int) -> float:
    """The fraction of a card of ``total_bytes`` to reserve for an encoder with such a peak.

    Peak and reserve over the card, rounded up to `STEP`; the whole card where that is more.
    """
    needed_bytes = peak_bytes * (1.0 + FRAGMENTS) + CONTEXT_BYTES
    steps = math.ceil(needed_bytes / total_bytes / STEP - 1e-9)
    return min(1.0, round(steps * STEP, 2))


@dataclass(frozen=True)
class GpuPeak:
    """What an encoder held at most on a card; of no card where it ran on a CPU."""

    card: str
    peak_bytes: int
    total_bytes: int

    @property
    def share(self) -> float:
        """See `gpu_share`; 0 without a card."""
        return gpu_share(self.peak_bytes, self.total_bytes) if self.total_bytes else 0.0


def peak_bytes_of(run: Callable[[], Any], device: str) -> int:
    """The most that torch's tensors took on a device meanwhile, those that were there included; 0
    on a CPU, where torch does not count.
    """
    import torch

    if torch.device(device).type != "cuda":
        run()
        return 0
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    run()
    torch.cuda.synchronize(device)
    return int(torch.cuda.max_memory_allocated(device))


def measured_peak(
    encoder: Encoder,
    num_clips: int = 1,
    folder: Path | None = None,
    frames: FrameRequest | None = None,
) -> GpuPeak:
    """The peak of an encoder on this process's GPU, with its weights, ``num_clips`` at a time.

    ``frames``: what it is shown, in number and size; None: what it asks for. What was measured once
    for a card is remembered in ``folder`` (None: in the user's cache), by the encoder's identity
    and what it is shown. Raises what loading raises.
    """
    import torch

    frames = frames or encoder.frames
    if not torch.cuda.is_available():
        _run_largest(encoder.load("cpu"), frames, num_clips)
        return GpuPeak("", 0, 0)
    card = torch.cuda.get_device_properties(0)
    asked = {
        **asdict(encoder.identity),
        "num_clips": num_clips,
        "num_frames": num_frames_together(frames),
        "side_px": frames.side_px,
        "card": card.name,
    }
    known = _peak_file(asked, folder)
    if known.is_file():
        return GpuPeak(**read_json(known))
    loaded = encoder.load("cuda")
    errors: list[EncodeError] = []
    peak_bytes = peak_bytes_of(
        lambda: errors.extend(_run_largest(loaded, frames, num_clips)), "cuda"
    )
    if errors:  # not remembered: the card may have been busy
        _log.warning("the whole card is taken, its share could not be measured: %s", errors[0])
        return GpuPeak(card.name, int(card.total_memory), int(card.total_memory))
    peak = GpuPeak(card.name, peak_bytes, int(card.total_memory))
    write_json(known, asdict(peak))
    return peak


def num_frames_together(frames: FrameRequest) -> int:
    """How many frames of a clip an encoder takes together."""
    return frames.window or frames.count


def _peak_file(asked: dict[str, Any], folder: Path | None) -> Path:
    if folder is None:
        cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        folder = Path(cache) / "spatialcode" / "gpu_peaks"
    name = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
    return folder / f"{name}.json"


def _run_largest(loaded: LoadedEncoder, frames: FrameRequest, num_clips: int) -> list[EncodeError]:
    """Encode the largest windows; what failed."""
    full = with_full_frames(loaded)
    return [
        result
        for shape in _SHAPES
        for result in full.encode_batch([largest_clip(frames, shape)] * num_clips)
        if isinstance(result, EncodeError)
    ]


def largest_clip(frames: FrameRequest, height_over_width: float) -> ClipInput:
    """As many frames as an encoder takes together: a texture that drifts through the picture."""
    num = num_frames_together(frames)
    width = frames.side_px
    height = max(1, round(width * height_over_width))
    rgb = _drifting(num, height, width)
    times = tuple(0.5 * np.arange(num))
    return ClipInput(VideoInfo("", "", 0.5 * num, 2.0, width, height, times), rgb)


def _drifting(num: int, height: int, width: int) -> UInt8[np.ndarray, "n h w 3"]:
    wide = width + _DRIFT_PX * num
    coarse = np.random.default_rng(0).integers(
        0, 256, (height // 16 + 1, wide // 16 + 1, 3), np.uint8
    )
    whole = cv2.resize(coarse, (wide, height), interpolation=cv2.INTER_CUBIC)
    return np.stack([whole[:, _DRIFT_PX * k : _DRIFT_PX * k + width] for k in range(num)])


def with_full_frames(loaded: LoadedEncoder) -> LoadedEncoder:
    """The encoder with a detector that works as it does, and finds every frame full of things; one
    without a detector as it is.
    """
    if not isinstance(getattr(loaded, "parts", None), EncoderParts):
        return loaded
    parted = cast(PartedEncoder, loaded)
    full = replace(parted.parts, detector=_FullFrames(parted.parts.detector))
    return parted.with_less(full, parted.frames)


@dataclass(frozen=True, eq=False)
class _FullFrames:
    """See `with_full_frames`."""

    detector: Detector

    def detect(
        self, window: Window, rows: Sequence[int], labels: Sequence[str]
    ) -> list[Detections]:
        self.detector.detect(window, rows, labels)
        height, width = window.rgb.shape[1:3]
        low = np.stack(np.meshgrid(np.arange(_GRID), np.arange(_GRID)), axis=-1).reshape(-1, 2)
        boxes = np.concatenate((low, low + 1), axis=1) / _GRID * [width, height, width, height]
        names = (labels[0],) * len(boxes)  # the last may be mirrors, in which nothing counts
        return [Detections(boxes, names, np.ones(len(boxes))) for _ in rows]
