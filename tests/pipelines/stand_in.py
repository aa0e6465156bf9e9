"""An encoder without weights whose codes say which frames it was given.

The centre of its one object is (number read from the first frame, number read from the last one,
how many frames), so that mixed-up frames or ids show. A folder named by an environment variable
controls it: each encoded video is noted in ``journal``, a file ``die-once`` makes it kill its
process when it next encodes, ``poison`` lists videos (sha256) that always do, ``slow`` holds
seconds a video, and ``wait-for-peer`` makes it wait until a second process encodes.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from spatialcode.errors import EncodeError
from spatialcode.scene.schema import Provenance, Scale, SceneObject, SpatialCode, VideoInfo
from spatialcode.video.decode import DecodedVideo
from tests.video.builders import read_index

CONTROL_VARIABLE = "SPATIALCODE_STAND_IN_DIR"
NAME = "tests.pipelines.stand_in:FrameReader"


class FrameReader:
    """The well-behaved encoder, and base of those with a fault."""

    name = "stand-in"
    weights_sha256 = "0" * 64
    config_sha256 = "1" * 64

    @classmethod
    def load(cls, name: str, device: str) -> FrameReader:
        return cls()

    def encode_batch(self, videos: Sequence[DecodedVideo]) -> list[SpatialCode | EncodeError]:
        control = Path(os.environ[CONTROL_VARIABLE])
        _die_if_told(control, videos)
        with (control / "journal").open("a") as journal:
            journal.writelines(
                f"{video.probe.sha256} {os.getpid()} {len(videos)}\n" for video in videos
            )
        if (control / "slow").exists():
            time.sleep(float((control / "slow").read_text()) * len(videos))
        _wait_for_peer(control)
        return [read(video) for video in videos]


class Swapping(FrameReader):
    """Returns results in the wrong order."""

    def encode_batch(self, videos: Sequence[DecodedVideo]) -> list[SpatialCode | EncodeError]:
        return super().encode_batch(videos)[::-1]


class Picky(FrameReader):
    """Raises for a batch that holds a video of odd length, as a bug would."""

    def encode_batch(self, videos: Sequence[DecodedVideo]) -> list[SpatialCode | EncodeError]:
        if any((video.probe.num_frames or 0) % 2 for video in videos):
            raise ZeroDivisionError("odd")
        return super().encode_batch(videos)


class Unloadable(FrameReader):
    """Loads where the run is planned, but in no worker, as on a machine without the right GPU."""

    @classmethod
    def load(cls, name: str, device: str) -> FrameReader:
        if "pytest" not in sys.modules:
            raise RuntimeError("no such device")
        return cls()


class Retrained(FrameReader):
    """The same with other weights."""

    name = "stand-in"
    weights_sha256 = "2" * 64


def read(video: DecodedVideo) -> SpatialCode:
    """What a correct pipeline must deliver for these frames."""
    probe = video.probe
    first, last = read_index(video.rgb[0]), read_index(video.rgb[-1])
    return SpatialCode(
        video=VideoInfo(
            uri=probe.uri,
            sha256=probe.sha256,
            duration_s=probe.duration_s,
            fps=probe.fps,
            width_px=probe.width_px,
            height_px=probe.height_px,
            sampled_s=tuple(video.times_s.tolist()),
        ),
        objects=(
            SceneObject(
                id="chair_1",
                label="chair",
                score=1.0,
                center_m=(float(first), float(last), float(len(video.rgb))),
                size_m=(1.0, 1.0, 1.0),
                quaternion_wxyz=(1.0, 0.0, 0.0, 0.0),
                first_seen_s=0.0,
                last_seen_s=float(video.times_s[-1]),
                num_observations=len(video.rgb),
                visibility=1.0,
                motion="static",
            ),
        ),
        cameras=(),
        room=None,
        scale=Scale("given", 1.0),
        provenance=Provenance("stand-in", "0" * 64, "1" * 64, "tests", ""),
    )


def journal(control: Path) -> Counter[str]:
    """How often each video was encoded, by sha256."""
    path = control / "journal"
    lines = path.read_text().splitlines() if path.exists() else []
    return Counter(line.split()[0] for line in lines)


def encoder_pids(control: Path) -> set[str]:
    """Processes that encoded."""
    return {line.split()[1] for line in (control / "journal").read_text().splitlines()}


def _wait_for_peer(control: Path, timeout_s: float = 90.0) -> None:
    """Where told so, hold on to the video until another process has taken one as well."""
    deadline_s = time.monotonic() + timeout_s
    while (control / "wait-for-peer").exists() and len(encoder_pids(control)) < 2:
        if time.monotonic() > deadline_s:
            (control / "wait-for-peer").unlink(missing_ok=True)
        time.sleep(0.1)


def _die_if_told(control: Path, videos: Sequence[DecodedVideo]) -> None:
    poison = control / "poison"
    poisoned = set(poison.read_text().split()) if poison.exists() else set()
    if poisoned & {video.probe.sha256 for video in videos}:
        os.kill(os.getpid(), signal.SIGKILL)
    try:
        (control / "die-once").unlink()
    except FileNotFoundError:
        return
    os.kill(os.getpid(), signal.SIGKILL)
