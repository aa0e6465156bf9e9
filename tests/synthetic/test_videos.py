"""Video files of clips: frames, times, truth, and the bundled sample."""

from __future__ import annotations

import hashlib
from pathlib import Path

import av
import numpy as np
import pytest

from spatialcode.seeds import HELD_OUT_ROOMS
from spatialcode.synthetic.clips import ClipConfig, make_clip
from spatialcode.synthetic.sample import SAMPLE_SEED, read_sample_code
from spatialcode.synthetic.truth import object_ids
from spatialcode.synthetic.videos import VideoConfig, render_video, write_clip
from tests.synthetic.builders import outside_m

ASSETS = Path(__file__).parents[2] / "spatialcode" / "assets"


def test_written_clip_is_the_clip(tmp_path: Path) -> None:
    clip = make_clip(9, ClipConfig(6, 64, 48))
    path = tmp_path / "clip.mp4"
    code = write_clip(clip, path)
    with av.open(str(path)) as container:
        frames = [(float(f.time), f.to_ndarray(format="rgb24")) for f in container.decode(video=0)]
    assert len(frames) == 6
    assert np.abs(np.stack([f for _, f in frames]).astype(int) - clip.rgb).mean() < 4
    # Times are those of the code, to the resolution of the container's clock.
    assert [t for t, _ in frames] == pytest.approx(list(code.video.sampled_s), abs=2e-3)
    assert code.video.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert code.video.uri == "clip.mp4"
    assert code.objects == clip.code.objects


def test_full_rate_video_has_exact_truth_at_its_truth_frames(tmp_path: Path) -> None:
    config = VideoConfig(64, 48, fps=8.0, duration_s=2.5, num_truth_frames=5, moving_share=1.0)
    path = tmp_path / "walk.mp4"
    clip = render_video(12, path, config)
    with av.open(str(path)) as container:
        frames = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
    assert len(frames) == 20
    indices = np.round(clip.times_s * 8).astype(int)
    assert indices[[0, -1]].tolist() == [0, 19]
    assert (clip.rgb == np.stack([frames[i] for i in indices])).all()
    assert outside_m(clip) < 0.002
    assert clip.depth_m.shape == (5, 48, 64)


def test_ids_name_the_objects_of_the_code() -> None:
    clip = make_clip(9, ClipConfig(32, 64, 48))
    ids = object_ids(clip)
    named = {name: m for m, name in enumerate(ids) if name}
    assert named.keys() == {item.id for item in clip.code.objects}
    for item in clip.code.objects:
        assert clip.labels[named[item.id]] == item.label
        assert item.size_m == pytest.approx(tuple(clip.size_m[named[item.id]]), rel=1e-6)


def test_bundled_sample_is_held_out_and_its_code_names_it() -> None:
    path = ASSETS / "sample_room.mp4"
    assert path.stat().st_size < 1.5e6
    code = read_sample_code(ASSETS)
    assert code.video.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert SAMPLE_SEED in HELD_OUT_ROOMS
    assert (code.video.width_px, code.video.height_px) == (640, 480)
    with av.open(str(path)) as container:
        assert sum(1 for _ in container.decode(video=0)) == code.video.duration_s * code.video.fps
    assert len({item.label for item in code.objects}) >= 8
    assert any(item.motion == "moving" for item in code.objects)


def test_sample_code_is_what_its_seed_renders() -> None:
    # The same walk at another size: every object of it that is as well seen is there too.
    clip = make_clip(SAMPLE_SEED, ClipConfig(32, 160, 120))
    code = read_sample_code(ASSETS)
    ours = {(o.label, tuple(round(v, 4) for v in o.size_m)) for o in clip.code.objects}
    theirs = {(o.label, tuple(round(v, 4) for v in o.size_m)) for o in code.objects}
    assert len(ours & theirs) >= 0.9 * len(theirs)
    first = np.array(code.cameras[0].T_world_camera)
    assert first == pytest.approx(clip.T_world_camera[0], abs=1e-6)
