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
from dataclasses import dataclass
from pathlib import Path

from spatialcode.encoder.protocol import (
    ClipHeader,
    ClipInput,
    CollectedSession,
    FrameRequest,
    OnShare,
)
from spatialcode.errors import EncodeError
from spatialcode.scene.schema import Provenance, Scale, SceneObject, SpatialCode
from spatialcode.workkey import EncoderIdentity
from tests.video.builders import read_index

CONTROL_VARIABLE = "SPATIALCODE_STAND_IN_DIR"
NAME = "tests.pipelines.stand_in:FrameReader"


@dataclass(frozen=True)
class NoSettings:
    """These encoders have none of their own."""


class FrameReader:
    """The well-behaved encoder, and base of those with a fault."""

    settings = NoSettings
    identity = EncoderIdentity("stand-in", "0" * 64, "1" * 64)
    frames = FrameRequest()

    def __init__(self, name: str, settings: NoSettings) -> None:
        pass

    def load(self, device: str) -> FrameReader:
        return self

    def session(self, clip: ClipHeader) -> CollectedSession:
        return CollectedSession(self, clip)

    def encode_batch(
        self, clips: Sequence[ClipInput], on_share: OnShare | None = None
    ) -> list[SpatialCode | EncodeError]:
        control = Path(os.environ[CONTROL_VARIABLE])
        _die_if_told(control, clips)
        with (control / "journal").open("a") as journal:
            journal.writelines(
                f"{clip.video.sha256} {os.getpid()} {len(clips)}\n" for clip in clips
            )
        if (control / "slow").exists():
            time.sleep(float((control / "slow").read_text()) * len(clips))
        _wait_for_peer(control)
        return [read(clip) for clip in clips]


class Swapping(FrameReader):
    """Returns results in the wrong order."""

    def encode_batch(
        self, clips: Sequence[ClipInput], on_share: OnShare | None = None
    ) -> list[SpatialCode | EncodeError]:
        return super().encode_batch(clips)[::-1]


class Picky(FrameReader):
    """Raises for a batch that holds a video whose first frame's number is odd, as a bug would."""

    def encode_batch(
        self, clips: Sequence[ClipInput], on_share: OnShare | None = None
    ) -> list[SpatialCode | EncodeError]:
        if any(read_index(clip.rgb[0]) % 2 for clip in clips):
            raise ZeroDivisionError("odd")
        return super().encode_batch(clips)


class Unloadable(FrameReader):
    """Loads in no worker, as on a machine without the right GPU."""

    def load(self, device: str) -> FrameReader:
        if "pytest" not in sys.modules:
            raise RuntimeError("no such device")
        return self


class Retrained(FrameReader):
    """The same with other weights."""

    identity = EncoderIdentity("stand-in", "2" * 64, "1" * 64)


def read(clip: ClipInput) -> SpatialCode:
    """What a correct pipeline must deliver for these frames."""
    first, last = read_index(clip.rgb[0]), read_index(clip.rgb[-1])
    return SpatialCode(
        video=clip.video,
        objects=(
            SceneObject(
                id="chair_1",
                label="chair",
                score=1.0,
                center_m=(float(first), float(last), float(clip.num_frames)),
                size_m=(1.0, 1.0, 1.0),
                quaternion_wxyz=(1.0, 0.0, 0.0, 0.0),
                first_seen_s=0.0,
                last_seen_s=float(clip.times_s[-1]),
                num_observations=clip.num_frames,
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


def _die_if_told(control: Path, clips: Sequence[ClipInput]) -> None:
    poison = control / "poison"
    poisoned = set(poison.read_text().split()) if poison.exists() else set()
    if poisoned & {clip.video.sha256 for clip in clips}:
        os.kill(os.getpid(), signal.SIGKILL)
    try:
        (control / "die-once").unlink()
    except FileNotFoundError:
        return
    os.kill(os.getpid(), signal.SIGKILL)
