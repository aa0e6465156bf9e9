"""Captures and long videos through `jobs.encode`: a uri travels, the encoder's actor reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.encode.graph import run_encode
from spatialcode.encoder.protocol import ClipHeader, FrameRequest, Window
from spatialcode.recordings.registry import recordings_in
from spatialcode.scene.schema import Camera, Provenance, Scale, SpatialCode
from spatialcode.scene.table import from_row
from spatialcode.workkey import EncoderIdentity
from tests.pipelines.conftest import MakeConfig
from tests.pipelines.results import result_rows
from tests.pipelines.stand_in import NoSettings
from tests.recordings.rooms import poses_in, room, set_world, units, write_png


def write_posed(folder: Path) -> Path:
    """The rendered room in the layout of posed pictures."""
    T = set_world("-y")
    for n in range(len(room().rgb)):
        write_png(folder / "images" / f"{n:05d}.png", room().rgb[n])
        write_png(folder / "depth" / f"{n:05d}.png", units(room().depth_m[n]))
    np.savetxt(folder / "poses.txt", poses_in(T).reshape(-1, 16))
    K = np.array(room().K)
    K[:2, 2] -= 0.5
    np.savetxt(folder / "K.txt", K)
    return folder


class Echo:
    """An encoder whose codes say what it was told: times and recorded cameras."""

    settings = NoSettings
    identity = EncoderIdentity("echo", "0" * 64, "1" * 64)
    frames = FrameRequest(count=4, side_px=80, window=2, overlap=1)

    def __init__(self, name: str = "echo", settings: Any = None) -> None:
        pass

    def load(self, device: str) -> Echo:
        return self

    def session(self, clip: ClipHeader) -> EchoSession:
        return EchoSession(clip)


class EchoSession:
    def __init__(self, clip: ClipHeader) -> None:
        self.clip, self.cameras = clip, []

    def push(self, window: Window) -> None:
        fresh = window.fresh()
        known = fresh.geometry
        assert known.depth_m is not None
        for t_s, T in zip(fresh.times_s, known.T_world_camera, strict=True):
            fx, fy, cx, cy = known.K[0, 0], known.K[1, 1], known.K[0, 2], known.K[1, 2]
            self.cameras.append(Camera(float(t_s), T.tolist(), fx, fy, cx, cy))

    def finish(self) -> SpatialCode:
        from dataclasses import replace

        times_s = tuple(camera.t_s for camera in self.cameras)
        video = replace(self.clip.video, sampled_s=times_s)
        made = Provenance("echo", "0" * 64, "1" * 64, "tests", "")
        return SpatialCode(video, (), tuple(self.cameras), None, Scale("given", 1.0), made)


ECHO = f"{__name__}:Echo"


@pytest.mark.usefixtures("ray_session")
def test_recorded_poses_arrive_unchanged_in_the_codes_cameras(
    tmp_path: Path, make_config: MakeConfig
) -> None:
    for name in ("a", "b"):
        write_posed(tmp_path / "scans" / name)
    (tmp_path / "scans" / "b" / "K.txt").write_text("1 2 3")
    (tmp_path / "scans" / "c").mkdir()
    config = make_config(tmp_path / "scans", encoder__name=ECHO, reader="auto")
    report = run_encode(config)
    assert (report["done"], report["failed"]) == (1, 2), report
    assert report["failed_by_code"] == {"format": 1, "input": 1}
    rows = {Path(row["uri"]).name: row for row in result_rows(str(tmp_path / "out"))}
    code = from_row(rows["a"]["code"])
    [recording] = recordings_in(tmp_path / "scans" / "a")
    assert [camera.t_s for camera in code.cameras] == [
        recording.video.sampled_s[n] for n in (0, 1, 2, 4)
    ]
