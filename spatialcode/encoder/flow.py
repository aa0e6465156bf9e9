"""Feature tracks from pyramidal Lucas-Kanade flow with a forward-backward check.

Corners are followed from frame to frame for as long as the check holds, and new ones are
added where the image is bare of them. ``follow`` also serves re-tracking between any two
frames when a guess of where points went is given.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class FlowConfig:
    """Pixels of the images given (made for 160x120)."""

    max_features: int = 140
    min_distance_px: int = 7
    quality: float = 5e-4
    window_px: int = 13
    num_levels: int = 3
    max_round_trip_px: float = 0.7
    border_px: float = 2.0
    few: int = 30
    few_share: float = 0.45


@dataclass(frozen=True)
class Tracks:
    """Observations of scene points, one row each, sorted by track, then frame.

    track (P,): index of the point; frame (P,); pixel_px (P,2): pixel centres at +0.5.
    """

    track: NDArray[np.int64]
    frame: NDArray[np.int64]
    pixel_px: Array

    @property
    def num_tracks(self) -> int:
        """How many points (indices are contiguous from 0)."""
        return int(self.track[-1]) + 1 if len(self.track) else 0

    def hosts(self) -> NDArray[np.bool_]:
        """Mask (P,) of the first observation of each track."""
        first = np.ones(len(self.track), bool)
        first[1:] = self.track[1:] != self.track[:-1]
        return first


def sorted_tracks(track: NDArray[np.int64], frame: NDArray[np.int64], pixel_px: Array) -> Tracks:
    """``Tracks`` of rows in any order; points seen once are dropped, indices made contiguous.

    Of several rows for the same point and frame the first given is kept.
    """
    order = np.lexsort((frame, track))
    track, frame, pixel_px = track[order], frame[order], pixel_px[order]
    fresh = np.ones(len(track), bool)
    fresh[1:] = (np.diff(track) != 0) | (np.diff(frame) != 0)
    track, frame, pixel_px = track[fresh], frame[fresh], pixel_px[fresh]
    _, index, count = np.unique(track, return_inverse=True, return_counts=True)
    often = count[index] >= 2
    _, index = np.unique(track[often], return_inverse=True)
    return Tracks(index.astype(np.int64), frame[often], pixel_px[often])


def follow(
    image_a: NDArray[np.uint8],
    image_b: NDArray[np.uint8],
    pixel_px: Array,
    config: FlowConfig,
    guess_px: Array | None = None,
) -> tuple[Array, NDArray[np.bool_]]:
    """Where points (K,2) of image a are in image b, and whether flow back returns to them."""
    if not len(pixel_px):
        return np.zeros((0, 2)), np.zeros(0, bool)
    start = (pixel_px - 0.5).astype(np.float32).reshape(-1, 1, 2)
    options = {
        "winSize": (config.window_px, config.window_px),
        "maxLevel": config.num_levels - 1,
        "criteria": (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 20, 0.01),
    }
    if guess_px is None:
        there, found, _ = cv2.calcOpticalFlowPyrLK(image_a, image_b, start, None, **options)
        back, found_back, _ = cv2.calcOpticalFlowPyrLK(image_b, image_a, there, None, **options)
    else:
        # The way back starts from the same displacement, reversed: without it the check
        # would reject every large motion that the guess made trackable.
        guess = (guess_px - 0.5).astype(np.float32).reshape(-1, 1, 2)
        options["flags"] = cv2.OPTFLOW_USE_INITIAL_FLOW
        there, found, _ = cv2.calcOpticalFlowPyrLK(image_a, image_b, start, guess.copy(), **options)
        back, found_back, _ = cv2.calcOpticalFlowPyrLK(
            image_b, image_a, there, there + (start - guess), **options
        )
    round_trip = np.linalg.norm((back - start)[:, 0], axis=-1)
    end = there[:, 0].astype(np.float64) + 0.5
    height, width = image_b.shape
    inside = (end > config.border_px).all(-1) & (end < [width, height] - np.array(config.border_px)).all(-1)
    good = (found[:, 0] > 0) & (found_back[:, 0] > 0) & (round_trip < config.max_round_trip_px)
    return end, good & inside


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


def follow_far(
    image_a: NDArray[np.uint8], image_b: NDArray[np.uint8], pixel_px: Array, config: FlowConfig
) -> tuple[Array, NDArray[np.bool_]]:
    """``follow``; where most points are lost, also from a coarse guess, if that keeps more."""
    end, good = follow(image_a, image_b, pixel_px, config)
    if good.sum() >= max(config.few_share * len(pixel_px), config.few):
        return end, good
    guess = pixel_px + coarse_shift_px(image_a, image_b)
    far, far_good = follow(image_a, image_b, pixel_px, config, guess)
    return (far, far_good) if far_good.sum() > good.sum() else (end, good)


def corners(image: NDArray[np.uint8], taken_px: Array, config: FlowConfig) -> Array:
    """New corners (K,2), away from the points (J,2) already followed."""
    wanted = config.max_features - len(taken_px)
    if wanted <= 0:
        return np.zeros((0, 2))
    mask = np.full(image.shape, 255, np.uint8)
    for x, y in np.floor(taken_px).astype(int).tolist():
        cv2.circle(mask, (x, y), config.min_distance_px, 0, -1)
    found = cv2.goodFeaturesToTrack(
        image, wanted, config.quality, config.min_distance_px, mask=mask, blockSize=5
    )
    return np.zeros((0, 2)) if found is None else found[:, 0].astype(np.float64) + 0.5


def track_features(gray: NDArray[np.uint8], config: FlowConfig | None = None) -> Tracks:
    """Tracks through consecutive frames of ``gray`` (N,H,W) uint8."""
    config = config or FlowConfig()
    ids, pixels = np.zeros(0, np.int64), np.zeros((0, 2))
    next_id = 0
    rows: list[tuple[NDArray[np.int64], int, Array]] = []
    for k, image in enumerate(gray):
        if k:
            pixels, good = follow_far(gray[k - 1], image, pixels, config)
            ids, pixels = ids[good], pixels[good]
        new = corners(image, pixels, config)
        ids = np.concatenate([ids, next_id + np.arange(len(new))])
        next_id += len(new)
        pixels = np.concatenate([pixels, new])
        rows.append((ids, k, pixels))
    return sorted_tracks(
        np.concatenate([r[0] for r in rows]) if rows else np.zeros(0, np.int64),
        np.concatenate([np.full(len(r[0]), r[1]) for r in rows]) if rows else np.zeros(0, np.int64),
        np.concatenate([r[2] for r in rows]) if rows else np.zeros((0, 2)),
    )
