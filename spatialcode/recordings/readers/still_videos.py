"""Videos of cameras that stood still: a folder named ``still`` with videos in it.

The folder's name is all that says so: nothing else is known of these cameras, and whoever puts a
video there vouches for it. Read against real data.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from spatialcode.recordings.places import CapturePlace
from spatialcode.recordings.recording import RecordedCameras, Recording, VideoFrames
from spatialcode.recordings.registry import recording_reader
from spatialcode.scene.schema import VideoInfo
from spatialcode.video.limits import DEFAULT_LIMITS
from spatialcode.video.source import open_video

_SUFFIXES = frozenset({".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi"})


@recording_reader
class StillVideos:
    """Each video of the folder is a recording."""

    name = "still"
    layout = "a folder named still, with videos"

    def recognises(self, folder: Path) -> bool:
        return folder.name == "still" and bool(_videos(folder))

    def places(self, folder: Path) -> Iterator[CapturePlace]:
        yield from map(CapturePlace, _videos(folder))

    def read(self, place: CapturePlace) -> Recording:
        path = place.path
        with open_video(path, DEFAULT_LIMITS) as opened:
            facts, times_s = opened.facts, tuple(opened.packets.times_s.tolist())
        video = VideoInfo(
            str(path), "", facts.duration_s, facts.fps, facts.width_px, facts.height_px, times_s
        )
        frames = VideoFrames(path, times_s)
        name = f"{path.parent.name}/{path.stem}"
        return Recording(name, frames, video, RecordedCameras(), stands_still=True)


def _videos(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in _SUFFIXES and p.is_file())
