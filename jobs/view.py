"""Shows a spatial code: a page with the room in 3D, the video with boxes drawn in, models, texts.

code=FILE.json, FILE.parquet#KEY or OUTPUT#KEY of the encode job; KEY is a work key, its
beginning, or the video's name, and may be left out where there is one code only.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from jobs.cli import EventLog, run_job
from spatialcode.config import require, setting
from spatialcode.export.formats import check_same_video, export, job_formats
from spatialcode.scene.schema import VideoInfo


def _listed() -> str:
    """The keys of all formats, with the extras that they need."""
    return ", ".join(
        f"{key} (extra {known.extra})" if known.extra else key
        for key, known in job_formats().items()
    )


@dataclass(frozen=True)
class ViewConfig:
    """All settings of ``python -m jobs.view``."""

    code: str = setting("FILE.json, FILE.parquet#KEY or OUTPUT#KEY")
    output: str = setting("folder for what is written", "out/view")
    video: str | None = setting("the video; null: where the code says it is", None)
    formats: tuple[str, ...] = setting(
        f"{_listed()}; empty: html, and overlay where the video is found",
        (),
    )
    min_score: float = setting("boxes with a lower score are not drawn into the video", 0.0)
    max_side_px: int = setting("longer side of the written video at most", 1280)
    names: bool = setting("write ids beside the boxes in the video", True)

    def __post_init__(self) -> None:
        known = job_formats()
        for key in self.formats:
            require(key in known, "formats", f"some of {', '.join(known)}", key)
        require(0 <= self.min_score <= 1, "min_score", "between 0 and 1", self.min_score)
        require(self.max_side_px >= 16, "max_side_px", "at least 16", self.max_side_px)


def _work(config: ViewConfig, log: EventLog) -> bool:
    from pipelines.stored.reading import load_code
    from spatialcode.export.overlay import OverlayOptions

    code = load_code(config.code)
    video = _video(config, code.video)
    if video is not None:
        check_same_video(code, video)
    options = OverlayOptions(config.max_side_px, config.min_score, config.names)
    for key in config.formats or (("html",) if video is None else ("html", "overlay")):
        path = export(code, key, Path(config.output), video, options)
        log.event("written", format=key, path=str(path))
        print(f"{key}: {path}")
    if video is None and not config.formats:
        print(f"no overlay: {_why_none(code.video.uri)}; give video=PATH", file=sys.stderr)
    return True


def _why_none(uri: str) -> str:
    """Why there is no video to draw into, where the code says."""
    from spatialcode.recordings.readers.sidecar import SUFFIX

    if uri.startswith("s3://"):
        return f"{uri} is not on this machine"
    if uri.endswith(SUFFIX):
        return f"the video that {uri} names is not here"
    if Path(uri.partition("#")[0]).exists():
        return f"{uri} is a capture, not a video"
    return f"{uri} is not here"


def _video(config: ViewConfig, named: VideoInfo) -> Path | None:
    """The video to draw into: as configured, else where the code says, if it is there."""
    from spatialcode.errors import VideoNotFoundError

    if config.video is None:
        return _video_of(named)
    path = Path(config.video)
    if not path.is_file():
        raise VideoNotFoundError(f"video: {path} is not a file")
    return path


def _video_of(named: VideoInfo) -> Path | None:
    """The video that a code names by itself, or through a sidecar; None where there is none."""
    from spatialcode.recordings.readers.sidecar import SUFFIX, sidecar_place
    from spatialcode.video.limits import is_video_name

    path = Path(named.uri)
    if named.uri.endswith(SUFFIX) and path.is_file():
        path = next(iter(sidecar_place(path).sources[1:2]), path)
    # of captures, and of rendered rooms, no hash is known; a hash is one of a video's bytes
    is_video = bool(named.sha256) or is_video_name(path.name)
    return path if is_video and path.is_file() else None


main = partial(run_job, "view", ViewConfig, _work, __doc__ or "")

if __name__ == "__main__":
    sys.exit(main())
