"""Matches between frames that are not neighbours, by re-tracking with predicted positions.

Small images give few distinctive descriptors; with a rough path and depth, where a point
should appear is known to some pixels, and Lucas-Kanade started there finds it. Each pair of
frames must agree on one rigid motion, or all its matches are dropped.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spatialcode.encoder.flow import FlowConfig, Tracks, follow, sorted_tracks

Array = NDArray[np.float64]


@dataclass(frozen=True)
class LoopConfig:
    """How many pairs are tried, and what a pair must show (pixels of the images given)."""

    max_pairs_per_frame: float = 1.5
    min_overlap: float = 0.35
    min_gap: int = 2
    max_depth_ratio: float = 1.5
    min_inliers: int = 10
    min_inlier_share: float = 0.5


def overlap_matrix(
    depth_m: Array, K: Array, size_px: tuple[int, int], T_world_camera: Array, max_ratio: float
) -> Array:
    """Share (N,N) of frame a's view that frame b sees at a like distance.

    depth_m (N,h,w); K (3,3) and size (width, height) of the image; T_world_camera (N,4,4).
    """
    n, h, w = depth_m.shape
    rows = np.linspace(0, h - 1, 8).round().astype(int)[1:-1]
    columns = np.linspace(0, w - 1, 10).round().astype(int)[1:-1]
    v, u = np.meshgrid(rows, columns, indexing="ij")
    pixel = np.stack([(u + 0.5) * size_px[0] / w, (v + 0.5) * size_px[1] / h, np.ones_like(u)], -1)
    ray = pixel.reshape(-1, 3) @ np.linalg.inv(K).T
    z = depth_m[:, v.ravel(), u.ravel()]
    R, centre = T_world_camera[:, :3, :3], T_world_camera[:, :3, 3]
    world = np.einsum("nij,nkj->nki", R, ray[None] * z[..., None]) + centre[:, None]
    seen = np.zeros((n, n))
    for b in range(n):
        camera = (world - centre[b]) @ R[b]
        depth = camera[..., 2]
        at = camera @ K.T
        at = at[..., :2] / np.maximum(depth, 0.05)[..., None]
        inside = (depth > 0.1) & (at > 0).all(-1) & (at < size_px).all(-1)
        ratio = depth / z
        seen[:, b] = (inside & (ratio < max_ratio) & (ratio > 1 / max_ratio)).mean(-1)
    return seen


def choose_pairs(
    overlap: Array, shared: NDArray[np.int64], config: LoopConfig
) -> list[tuple[int, int]]:
    """Pairs (a < b) that see the same and share few tracks, best first, a few per frame.

    overlap (N,N); shared (N,N): tracks seen in both frames.
    """
    n = len(overlap)
    both = np.sqrt(overlap * overlap.T)
    a, b = np.triu_indices(n, config.min_gap)
    # A closure is worth what the chain of neighbours between the two has lost.
    worth = both[a, b] * np.log2(1 + b - a) / (1 + shared[a, b] / 10)
    order = np.argsort(-worth, kind="stable")
    used = np.zeros(n, int)
    limit = int(np.ceil(2 * config.max_pairs_per_frame))
    chosen: list[tuple[int, int]] = []
    for k in order:
        i, j = int(a[k]), int(b[k])
        if len(chosen) >= config.max_pairs_per_frame * n:
            break
        if both[i, j] < config.min_overlap or max(used[i], used[j]) >= limit:
            continue
        used[[i, j]] += 1
        chosen.append((i, j))
    return chosen


def shared_tracks(tracks: Tracks, num_frames: int) -> NDArray[np.int64]:
    """Number (N,N) of tracks seen in both frames."""
    seen = np.zeros((tracks.num_tracks, num_frames), np.float32)
    seen[tracks.track, tracks.frame] = 1
    return (seen.T @ seen).astype(np.int64)


def retrack(
    gray: NDArray[np.uint8], tracks: Tracks, points_world_m: Array, K: Array,
    T_world_camera: Array, pairs: list[tuple[int, int]], flow: FlowConfig, config: LoopConfig,
) -> Tracks:  # fmt: skip
    """``tracks`` with the observations added that re-tracking between ``pairs`` finds.

    points_world_m (M,3): where each track's point is believed to be.
    """
    added: list[tuple[NDArray[np.int64], int, Array, Array]] = []
    by_frame = [np.flatnonzero(tracks.frame == k) for k in range(len(gray))]
    present = [set(tracks.track[rows].tolist()) for rows in by_frame]
    height, width = gray.shape[1:]
    for source, target in pairs:
        rows = by_frame[source]
        rows = rows[[t not in present[target] for t in tracks.track[rows].tolist()]]
        T = T_world_camera[target]
        camera = (points_world_m[tracks.track[rows]] - T[:3, 3]) @ T[:3, :3]
        z = camera[:, 2]
        guess = (camera @ K.T)[:, :2] / np.maximum(z, 0.05)[:, None]
        inside = (z > 0.1) & (guess > 3).all(-1) & (guess < [width - 3, height - 3]).all(-1)
        rows, guess = rows[inside], guess[inside]
        if len(rows) < config.min_inliers:
            continue
        whitening = tracks.whitening[rows]
        end, good = follow(
            gray[source], gray[target], tracks.pixel_px[rows], guess, whitening, flow
        )
        if good.sum() < max(config.min_inliers, config.min_inlier_share * len(rows)):
            continue
        ids = tracks.track[rows[good]]
        present[target].update(ids.tolist())
        added.append((ids, target, end[good], whitening[good]))
    if not added:
        return tracks
    return sorted_tracks(
        np.concatenate([tracks.track, *[a[0] for a in added]]),
        np.concatenate([tracks.frame, *[np.full(len(a[0]), a[1]) for a in added]]),
        np.concatenate([tracks.pixel_px, *[a[2] for a in added]]),
        np.concatenate([tracks.whitening, *[a[3] for a in added]]),
    )
