"""Feature tracks from Lucas-Kanade flow, of edges as much as of corners.

Plain rooms have few corners. A point on an edge can be followed too, if one remembers that
it only says something across the edge: every observation carries a whitening matrix, made
from the image's structure tensor around it, that turns its pixel error into standard
deviations. Flow starts from a prediction (rough motion and depth), and must lead back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
#: (frame, pixels (K,2) in it) -> where they should be in the next frame (K,2).
Predict = Callable[[int, Array], Array]


@dataclass(frozen=True)
class FlowConfig:
    """Pixels of the images given (made for 160x120).

    ``sigma_px``: error of a well-textured point across its edges; ``gradient_floor``: mean
    square gradient (grey levels per pixel) under which noise and compression rule.
    ``max_round_trip``: in standard deviations; ``gate_px``: farthest from the prediction.
    """

    num_features: int = 90
    cell_px: int = 8
    window_px: int = 7
    num_levels: int = 2
    sigma_px: float = 0.4
    gradient_floor: float = 15.0
    edge_worth: float = 0.1
    max_round_trip: float = 2.0
    max_round_trip_px: float = 6.0
    gate_px: float = 4.0
    border_px: float = 3.0
    max_length: int = 10


@dataclass(frozen=True)
class Tracks:
    """Observations of scene points, one row each, sorted by track, then frame.

    track (P,): index of the point; frame (P,); pixel_px (P,2): pixel centres at +0.5;
    whitening (P,2,2): times a pixel error, that error in standard deviations.
    """

    track: NDArray[np.int64]
    frame: NDArray[np.int64]
    pixel_px: Array
    whitening: Array

    @property
    def num_tracks(self) -> int:
        """How many points (indices are contiguous from 0)."""
        return int(self.track[-1]) + 1 if len(self.track) else 0

    def hosts(self) -> NDArray[np.bool_]:
        """Mask (P,) of the first observation of each track."""
        first = np.ones(len(self.track), bool)
        first[1:] = self.track[1:] != self.track[:-1]
        return first

    def rows(self, mask: NDArray[np.bool_]) -> Tracks:
        """The chosen observations (P,), indices made contiguous; points seen once are dropped."""
        return sorted_tracks(
            self.track[mask], self.frame[mask], self.pixel_px[mask], self.whitening[mask]
        )


def sorted_tracks(
    track: NDArray[np.int64], frame: NDArray[np.int64], pixel_px: Array, whitening: Array
) -> Tracks:
    """``Tracks`` of rows in any order; points seen once are dropped, indices made contiguous.

    Of several rows for the same point and frame the first given is kept.
    """
    order = np.lexsort((frame, track))
    track, frame = track[order], frame[order]
    fresh = np.ones(len(track), bool)
    fresh[1:] = (np.diff(track) != 0) | (np.diff(frame) != 0)
    order, track, frame = order[fresh], track[fresh], frame[fresh]
    _, index, count = np.unique(track, return_inverse=True, return_counts=True)
    often = count[index] >= 2
    _, index = np.unique(track[often], return_inverse=True)
    order = order[often]
    return Tracks(index.astype(np.int64), frame[often], pixel_px[order], whitening[order])


def structure_tensor(image: NDArray[np.uint8], window_px: int) -> NDArray[np.float32]:
    """Mean (H,W,3) of gx gx, gx gy, gy gy over a window, in squared grey levels per pixel."""
    smooth = cv2.GaussianBlur(image.astype(np.float32), (0, 0), 0.8)
    gx = cv2.Sobel(smooth, cv2.CV_32F, 1, 0, ksize=3) / 8
    gy = cv2.Sobel(smooth, cv2.CV_32F, 0, 1, ksize=3) / 8
    products = np.dstack([gx * gx, gx * gy, gy * gy])
    return np.asarray(cv2.boxFilter(products, -1, (window_px, window_px)), np.float32)


def orientation(tensor: NDArray[np.float32]) -> tuple[Array, Array, Array]:
    """Larger and smaller eigenvalue (...) of structure tensors (...,3), and the larger's angle."""
    xx, xy, yy = (tensor[..., k].astype(np.float64) for k in range(3))
    middle, half = (xx + yy) / 2, np.hypot((xx - yy) / 2, xy)
    return middle + half, np.maximum(middle - half, 0), 0.5 * np.arctan2(2 * xy, xx - yy)


def whitening_at(tensor: NDArray[np.float32], pixel_px: Array, config: FlowConfig) -> Array:
    """Whitening (K,2,2) of points (K,2): row one across the strongest edge, row two along it."""
    height, width = tensor.shape[:2]
    column = np.clip(pixel_px[:, 0].astype(int), 0, width - 1)
    row = np.clip(pixel_px[:, 1].astype(int), 0, height - 1)
    strong, weak, angle = orientation(tensor[row, column])
    c, s = np.cos(angle), np.sin(angle)
    across, along = (
        1 / (config.sigma_px * np.sqrt(1 + (config.gradient_floor / np.maximum(v, 1e-3)) ** 2))
        for v in (strong, weak)
    )
    rows = (np.stack([c, s], -1) * across[:, None], np.stack([-s, c], -1) * along[:, None])
    return np.stack(rows, 1)


def new_points(tensor: NDArray[np.float32], taken_px: Array, config: FlowConfig) -> Array:
    """The best point (K,2) of each of the best image cells that hold none of ``taken_px``."""
    wanted = config.num_features - len(taken_px)
    if wanted <= 0:
        return np.zeros((0, 2))
    side, border = config.cell_px, int(config.border_px)
    xx, xy, yy = tensor[..., 0], tensor[..., 1], tensor[..., 2]
    middle, half = (xx + yy) / 2, np.hypot((xx - yy) / 2, xy)
    worth = middle - half + config.edge_worth * (middle + half)
    worth[:border], worth[-border:], worth[:, :border], worth[:, -border:] = 0, 0, 0, 0
    rows, columns = worth.shape[0] // side, worth.shape[1] // side
    blocks = worth[: rows * side, : columns * side].reshape(rows, side, columns, side)
    cells = blocks.transpose(0, 2, 1, 3).reshape(rows * columns, side * side)
    inner = cells.argmax(1)
    value = cells[np.arange(len(cells)), inner]
    at = np.floor(taken_px / side).astype(int)
    at = at[(at[:, 0] < columns) & (at[:, 1] < rows)]
    value[at[:, 1] * columns + at[:, 0]] = 0
    best = np.argsort(-value, kind="stable")[:wanted]
    best = best[value[best] > 0]
    x = best % columns * side + inner[best] % side
    y = best // columns * side + inner[best] // side
    return np.column_stack([x, y]) + 0.5


def coarse_shift_px(image_a: NDArray[np.uint8], image_b: NDArray[np.uint8]) -> Array:
    """Where the middle of image a lies in image b (2,), by correlation at a quarter of the size.

    A turn of the camera moves the whole image nearly alike, further than flow can follow.
    """
    height, width = (side // 4 for side in image_a.shape)
    small_a, small_b = (
        cv2.resize(i, (width, height), interpolation=cv2.INTER_AREA) for i in (image_a, image_b)
    )
    x, y = width // 4, height // 4
    pad_x, pad_y = x // 2, y // 2
    middle = small_a[y : height - y, x : width - x]
    # Beyond the border the image is repeated at its edge: half the middle may have left.
    field = cv2.copyMakeBorder(small_b, pad_y, pad_y, pad_x, pad_x, cv2.BORDER_REPLICATE)
    score = cv2.matchTemplate(field, middle, cv2.TM_CCOEFF_NORMED)
    row, column = np.unravel_index(np.argmax(score), score.shape)
    return 4.0 * np.array([column - pad_x - x, row - pad_y - y], np.float64)


def follow(
    image_a: NDArray[np.uint8], image_b: NDArray[np.uint8], pixel_px: Array, guess_px: Array,
    whitening: Array, *, config: FlowConfig,
) -> tuple[Array, NDArray[np.bool_]]:  # fmt: skip
    """Where points (K,2) of image a are in image b, and whether to believe it (K,).

    ``guess_px`` (K,2): where to start. Believed are those that flow leads back, and that stay
    near the guess, both measured across edges only as far as the whitening says.
    """
    if not len(pixel_px):
        return np.zeros((0, 2)), np.zeros(0, bool)
    start = (pixel_px - 0.5).astype(np.float32).reshape(-1, 1, 2)
    guess = (guess_px - 0.5).astype(np.float32).reshape(-1, 1, 2)
    options: dict[str, Any] = {
        "winSize": (config.window_px, config.window_px),
        "maxLevel": config.num_levels - 1,
        "criteria": (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 15, 0.02),
        "flags": cv2.OPTFLOW_USE_INITIAL_FLOW,
        "minEigThreshold": 1e-6,
    }
    there, found, _ = cv2.calcOpticalFlowPyrLK(image_a, image_b, start, guess.copy(), **options)
    # The way back starts from the same displacement, reversed.
    back, found_back, _ = cv2.calcOpticalFlowPyrLK(
        image_b, image_a, there, there + (start - guess), **options
    )
    trip = (back - start)[:, 0].astype(np.float64)
    end = there[:, 0].astype(np.float64) + 0.5
    height, width = image_b.shape
    far = np.array([width, height]) - config.border_px
    good = (found[:, 0] > 0) & (found_back[:, 0] > 0)
    good &= (end > config.border_px).all(-1) & (end < far).all(-1)
    astray = np.linalg.norm(np.einsum("kij,kj->ki", whitening, trip), axis=-1)
    good &= astray < config.max_round_trip
    good &= np.linalg.norm(trip, axis=-1) < config.max_round_trip_px
    off = np.linalg.norm(np.einsum("kij,kj->ki", whitening, end - guess_px), axis=-1)
    return end, good & (off * config.sigma_px < config.gate_px)


def track_features(
    gray: NDArray[np.uint8], predict: Predict | None = None, config: FlowConfig | None = None
) -> Tracks:
    """Tracks through consecutive frames of ``gray`` (N,H,W); without ``predict`` all points are
    expected to move as the image's middle does.
    """
    config = config or FlowConfig()
    ids, pixels, age = np.zeros(0, np.int64), np.zeros((0, 2)), np.zeros(0, np.int64)
    next_id = 0
    rows: list[tuple[NDArray[np.int64], int, Array, Array]] = []
    ages: list[NDArray[np.int64]] = []
    for k, image in enumerate(gray):
        tensor = structure_tensor(image, config.window_px)
        if k:
            if predict is None:
                guess = pixels + coarse_shift_px(gray[k - 1], image)
            else:
                guess = predict(k - 1, pixels)
            pixels, good = follow(gray[k - 1], image, pixels, guess, rows[-1][3], config=config)
            good &= age < config.max_length
            ids, pixels, age = ids[good], pixels[good], age[good] + 1
        new = new_points(tensor, pixels, config)
        ids = np.concatenate([ids, next_id + np.arange(len(new))])
        next_id += len(new)
        pixels = np.concatenate([pixels, new])
        age = np.concatenate([age, np.zeros(len(new), np.int64)])
        rows.append((ids, k, pixels, whitening_at(tensor, pixels, config)))
        ages.append(age)
    if not rows:
        empty = np.zeros(0, np.int64)
        return Tracks(empty, empty, np.zeros((0, 2)), np.zeros((0, 2, 2)))
    return sorted_tracks(
        np.concatenate([r[0] for r in rows]),
        np.concatenate([np.full(len(r[0]), r[1]) for r in rows]),
        np.concatenate([r[2] for r in rows]),
        # Each step adds its own error: measured, positions stray like a random walk.
        np.concatenate(
            [
                r[3] / np.sqrt(np.maximum(a, 1))[:, None, None]
                for r, a in zip(rows, ages, strict=True)
            ]
        ),
    )


def sample_log_depth(
    log_depth: Array, frame: NDArray[np.int64], pixel_px: Array, stride_px: float
) -> tuple[Array, Array]:
    """Log depth (P,) bilinearly at pixels (P,2) of frames (P,), and its spread (P,) there.

    ``log_depth`` (N,h,w) holds cells of ``stride_px`` pixels. The spread is half the range of
    the four cells around: on a depth edge the interpolated value belongs to neither side.
    """
    _, h, w = log_depth.shape
    at = pixel_px / stride_px - 0.5
    column = np.clip(at[:, 0], 0, w - 1)
    row = np.clip(at[:, 1], 0, h - 1)
    c0 = np.minimum(column.astype(int), max(w - 2, 0))
    r0 = np.minimum(row.astype(int), max(h - 2, 0))
    c1, r1 = np.minimum(c0 + 1, w - 1), np.minimum(r0 + 1, h - 1)
    a, b = column - c0, row - r0
    corner = np.stack([log_depth[frame, r, c] for r in (r0, r1) for c in (c0, c1)])
    weight = np.stack([(1 - b) * (1 - a), (1 - b) * a, b * (1 - a), b * a])
    return (weight * corner).sum(0), np.ptp(corner, axis=0) / 2
