"""Whether cues err as much as they state, on rendered rooms whose true scale is known."""

from __future__ import annotations

import numpy as np
import pytest

from spatialcode.encoder.maps import grid_intrinsics
from spatialcode.encoder.protocol import FrameGeometry
from spatialcode.encoder.registry import make_encoder
from spatialcode.encoder.scale.cues import ScaledView, SeenPoints, cues_of
from spatialcode.encoder.scale.settings import ScaleSettings
from spatialcode.evaluation.metrics.poses import path_fit
from spatialcode.evaluation.room import clip_of
from spatialcode.synthetic.clips import ClipConfig, make_clip

SEEDS = range(900_000_100, 900_000_120)


@pytest.mark.slow
def test_cues_err_as_much_as_they_state() -> None:
    settings = {"path": "fast", "scale": {"is_fused": False}}
    stages = make_encoder("small", settings).load("cpu").stages
    missed: dict[str, list[float]] = {}
    for seed in SEEDS:
        clip = make_clip(seed, ClipConfig(num_frames=16))
        seen = stages.prepare(clip_of(clip.rgb, clip.times_s, FrameGeometry(clip.K)))
        (maps,) = stages.maps([seen], [None], True)
        path = stages.path(seen, maps)
        fit = path_fit(path, np.asarray(clip.T_world_camera, float))
        if fit is None:
            continue
        view = ScaledView(maps, grid_intrinsics(seen.geometry.K), path, SeenPoints.of_maps(maps))
        for cue in cues_of(view, ScaleSettings()):
            error = cue.log_scale + np.log(fit.scale_ratio)
            missed.setdefault(cue.source, []).append(error / cue.sigma)
    spread = {source: float(np.sqrt(np.mean(np.square(z)))) for source, z in missed.items()}
    print({source: round(value, 2) for source, value in spread.items()})
    assert set(spread) == {"metric-depth", "camera-height", "ceiling-height", "object-sizes"}
    for source, value in spread.items():
        assert 0.5 < value < 1.5, (source, value)
