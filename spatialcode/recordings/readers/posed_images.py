"""A plain folder of posed pictures: ``images/``, ``depth/``, ``poses.txt``, ``K.txt``.

Pictures and depth maps (16-bit PNG in millimetres, 0 or 65535 unknown) are sorted by name and
belong together in that order, as do the lines of ``poses.txt``: 4x4 row-major, camera to world,
metres, OpenCV cameras. ``K.txt`` is 3x3, whole numbers are pixel centres. Up and times are not
stated: up comes from depth, and frames count as 1/30 s apart. Read against real data: the sample of
deep-video-mvs.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from spatialcode.errors import FormatError
from spatialcode.recordings.assembly import Capture, assembled
from spatialcode.recordings.places import CapturePlace
from spatialcode.recordings.reading import existing, number_array, picture, png_depth, text_matrix
from spatialcode.recordings.recording import ImageFrames, Recording
from spatialcode.recordings.registry import recording_reader

_RATE_HZ = 30.0
_UNKNOWN = 65535


@recording_reader
class PosedImages:
    """One folder, one recording."""

    name = "posed-images"
    layout = "images/, depth/ (may be missing), poses.txt, K.txt"

    def recognises(self, folder: Path) -> bool:
        files = all((folder / name).is_file() for name in ("poses.txt", "K.txt"))
        return files and (folder / "images").is_dir()

    def places(self, folder: Path) -> Iterator[CapturePlace]:
        yield CapturePlace(folder)

    def read(self, place: CapturePlace) -> Recording:
        folder = place.path
        pictures = tuple(sorted(p for p in (folder / "images").iterdir() if p.is_file()))
        depths = tuple(sorted((folder / "depth").glob("*.png")))
        lines = existing(folder / "poses.txt").read_text("utf-8").split("\n")
        rows = [line.split() for line in lines if line.strip()]
        if len(rows) != len(pictures) or len(depths) not in (0, len(pictures)):
            found = f"{len(rows)} poses and {len(depths)} depth maps"
            raise FormatError(f"{folder}: {found} for {len(pictures)} pictures")
        if not pictures:
            raise FormatError(f"{folder}: expected at least one picture in images/")
        height, width = picture(pictures[0].read_bytes(), str(pictures[0])).shape[:2]
        K = text_matrix(folder / "K.txt", (3, 3))
        K[:2, 2] += 0.5
        where = f"{folder / 'poses.txt'}: line {{}}"
        capture = Capture(
            name=folder.name,
            path=folder,
            frames=ImageFrames(
                pictures, depths, partial(png_depth, units_per_m=1000.0, none_at=_UNKNOWN)
            ),
            times_s=np.arange(len(pictures)) / _RATE_HZ,
            size_px=(width, height),
            K=K,
            T_world_camera=np.stack(
                [number_array(row, (4, 4), where.format(n)) for n, row in enumerate(rows, 1)]
            ),
        )
        return assembled(capture)
