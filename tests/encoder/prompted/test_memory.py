"""What a session of the prompted encoder holds does not grow with its clip."""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from spatialcode.encoder.parts import EncoderParts
from spatialcode.encoder.prompted.session import PromptedEncoding
from spatialcode.encoder.protocol import FrameGeometry, Session, Window
from spatialcode.evaluation.oracle_parts import OracleOptions, oracle_encoder
from spatialcode.evaluation.room import clip_of
from spatialcode.synthetic.clips import ClipConfig, make_clip
from spatialcode.synthetic.truth import SyntheticClip

LOOP = 8
MAX_SIGHTINGS = 8


class Looped:
    """A part that knows the frames of one loop, told of windows of any."""

    def __init__(self, part: Any) -> None:
        self._part = part
        self.edge_sigma_px = getattr(part, "edge_sigma_px", 0.0)

    def session(self, *clip: Any) -> Looped:
        return Looped(self._part.session(*clip))

    def detect(self, window: Window, *told: Any) -> Any:
        return self._part.detect(_in_loop(window), *told)

    def masks(self, window: Window, detections: Any) -> Any:
        return self._part.masks(_in_loop(window), detections)

    def settled(self) -> None:
        return None

    def geometry(self, window: Window) -> Any:
        return self._part.geometry(_in_loop(window))


def _in_loop(window: Window) -> Window:
    return replace(window, start=window.start % LOOP)


def looping(clip: SyntheticClip, max_sightings: int) -> PromptedEncoding:
    options = OracleOptions(is_noisy=True)
    instances = replace(options.fusion.instances, max_sightings=max_sightings)
    fusion = replace(options.fusion, instances=instances)
    known = oracle_encoder(clip, replace(options, fusion=fusion))
    parts = (known.parts.detector, known.parts.masks, known.parts.geometry)
    looped = EncoderParts(*(Looped(part) for part in parts))
    return PromptedEncoding(looped, known.settings, known.identity, known.frames)


def held_bytes(session: Session) -> int:
    """What a session keeps beside cameras, and beside what the parts themselves keep."""
    apart = ("_seen", "_encoding", "_masks", "_geometry")
    own = {name: value for name, value in vars(session).items() if name not in apart}
    return len(pickle.dumps(own))


@pytest.mark.slow
def test_512_windows_hold_what_64_do() -> None:
    clip = make_clip(1_600_000_000, ClipConfig(num_frames=LOOP, width_px=64, height_px=48))
    header = clip_of(clip.rgb, clip.times_s, FrameGeometry(clip.K)).header
    session = looping(clip, MAX_SIGHTINGS).session(header)
    held = {}
    for start in range(512):
        row = slice(start % LOOP, start % LOOP + 1)
        session.push(Window(clip.rgb[row], np.array([0.5 * start]), start=start))
        held[start + 1] = held_bytes(session) if start + 1 in (4, 64, 512) else 0
    assert held[64] > 1.2 * held[4], "sightings are kept"
    assert held[512] == pytest.approx(held[64], rel=0.05)
    code = session.finish()
    assert len(code.cameras) == 512
    assert code.objects
