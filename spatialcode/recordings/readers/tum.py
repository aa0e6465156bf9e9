"""TUM RGB-D (Sturm et al., IROS 2012): Kinect sequences with paths of a motion-capture system.

``rgb.txt``, ``depth.txt`` and ``groundtruth.txt`` list ``timestamp file`` and ``timestamp tx ty tz
qx qy qz qw``, with # before comments. Depth is 5000 units a metre, registered to colour, 0 unknown.
Poses are of the colour camera, OpenCV; the world's up is not relied upon here. Frames, depth and
poses have clocks of their own: the nearest within 20 ms belong together, as in the authors'
``associate.py``; poses are interpolated. Intrinsics are those of the authors' page for ``fr1``,
``fr2`` and ``fr3``, by the folder's name, the distortion of fr1 and fr2 with them; of any other
name, the page's default for all, 525 and (319.5, 239.5). Read against the authors' page and tools.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from spatialcode.errors import FormatError
from spatialcode.recordings.assembly import Capture, assembled
from spatialcode.recordings.places import CapturePlace
from spatialcode.recordings.reading import existing, picture, png_depth
from spatialcode.recordings.recording import ImageFrames, Recording
from spatialcode.recordings.registry import recording_reader
from spatialcode.scene.motion import PosePath

#: fx, fy, cx, cy in pixels with whole numbers as centres, and OpenCV's k1, k2, p1, p2, k3.
_CAMERAS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "freiburg1": ((517.3, 516.5, 318.6, 255.3), (0.2624, -0.9531, -0.0054, 0.0026, 1.1633)),
    "freiburg2": ((520.9, 521.0, 325.1, 249.7), (0.2312, -0.7849, -0.0033, -0.0001, 0.9172)),
    "freiburg3": ((535.4, 539.2, 320.1, 247.6), ()),
}
_DEFAULT: tuple[tuple[float, ...], tuple[float, ...]] = ((525.0, 525.0, 319.5, 239.5), ())
_UNITS_PER_M = 5000.0
_APART_S = 0.02


@recording_reader
class Tum:
    """One sequence's folder."""

    name = "tum"
    layout = "rgb.txt, depth.txt, groundtruth.txt"

    def recognises(self, folder: Path) -> bool:
        return (folder / "rgb.txt").is_file() and (folder / "groundtruth.txt").is_file()

    def places(self, folder: Path) -> Iterator[CapturePlace]:
        yield CapturePlace(folder)

    def read(self, place: CapturePlace) -> Recording:
        return _read_sequence(place.path)


def _read_sequence(folder: Path) -> Recording:
    times_s, names = _listed(folder / "rgb.txt", 1)
    truth_s, truth = _numbers(folder / "groundtruth.txt")
    rows = [n for n, t in enumerate(times_s) if truth_s[0] <= t <= truth_s[-1]]
    depths: list[Path] = []
    if (folder / "depth.txt").is_file():
        depth_s, depth_names = _listed(folder / "depth.txt", 1)
        nearest = [int(np.argmin(np.abs(depth_s - times_s[n]))) for n in rows]
        pairs = zip(rows, nearest, strict=True)
        kept = [(n, m) for n, m in pairs if abs(depth_s[m] - times_s[n]) <= _APART_S]
        rows = [n for n, _ in kept]
        depths = [existing(folder / depth_names[m][0]) for _, m in kept]
    if not rows:
        raise FormatError(f"{folder}: no frame has depth and a pose within {_APART_S} s")
    pictures = tuple(existing(folder / names[n][0]) for n in rows)
    height, width = picture(pictures[0].read_bytes(), str(pictures[0])).shape[:2]
    (fx, fy, cx, cy), distortion = next(
        (camera for name, camera in _CAMERAS.items() if name in folder.name), _DEFAULT
    )
    scale = np.diag([width / 640, height / 480, 1.0])
    capture = Capture(
        name=folder.name,
        path=folder,
        frames=ImageFrames(pictures, tuple(depths), partial(png_depth, units_per_m=_UNITS_PER_M)),
        times_s=times_s[rows],
        size_px=(width, height),
        K=scale @ np.array([[fx, 0, cx + 0.5], [0, fy, cy + 0.5], [0, 0, 1.0]]),
        T_world_camera=_poses(truth_s, truth, times_s[rows]),
        distortion=distortion,
    )
    return assembled(capture)


def _poses(
    truth_s: NDArray[np.float64], truth: NDArray[np.float64], times_s: NDArray[np.float64]
) -> NDArray[np.float64]:
    truth_s, first = np.unique(truth_s, return_index=True)
    path = PosePath(truth_s, truth[first, :3], Rotation.from_quat(truth[first, 3:]))
    positions, rotations = path.at(times_s)
    poses = np.tile(np.eye(4), (len(times_s), 1, 1))
    poses[:, :3, :3], poses[:, :3, 3] = rotations.as_matrix(), positions
    return poses


def _listed(path: Path, num_names: int) -> tuple[NDArray[np.float64], list[list[str]]]:
    """Times and what stands behind them in each line that is no comment."""
    times_s, rest = [], []
    for number, line in enumerate(existing(path).read_text("utf-8").splitlines(), 1):
        tokens = line.split()
        if not tokens or tokens[0].startswith("#"):
            continue
        try:
            times_s.append(float(tokens[0]))
        except ValueError as error:
            raise FormatError(
                f"{path}:{number}: expected a timestamp, got {tokens[0]!r}"
            ) from error
        if len(tokens) != 1 + num_names:
            raise FormatError(
                f"{path}:{number}: expected {1 + num_names} columns, got {len(tokens)}"
            )
        rest.append(tokens[1:])
    if not times_s:
        raise FormatError(f"{path}: expected at least one line with a timestamp")
    return np.array(times_s), rest


def _numbers(path: Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    times_s, rest = _listed(path, 7)
    try:
        values = np.array(rest, np.float64)
    except ValueError as error:
        raise FormatError(
            f"{path}: expected seven numbers behind each timestamp: {error}"
        ) from error
    if not np.isfinite(values).all() or (np.linalg.norm(values[:, 3:], axis=1) < 1e-6).any():
        raise FormatError(f"{path}: expected finite poses with quaternions that are not zero")
    return times_s, values
