"""Geometry that is right, from known depth and poses, and network-like noise upon its depth.

They stand in the place of networks where lifting and fusion are measured. Noise follows from the
seed and a frame's place in its clip, never from windows or the order of calls.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from jaxtyping import Float

from spatialcode.encoder.geometry.protocol import (
    DepthNoise,
    GeometrySession,
    GeometrySource,
    SettledPath,
    WindowGeometry,
)
from spatialcode.encoder.protocol import ClipHeader, Window

#: Depth put in the place of none while edges are smeared, metres.
_FAR_M = 8.0


@dataclass(frozen=True, eq=False)
class OracleGeometry:
    """True depth and cameras of a whole clip: ``depth_m`` (N, h, w), not finite where there is
    none; ``K`` (3, 3) in pixels of the frames; ``T_world_camera`` (N, 4, 4) in a
    world with z up and its floor at z = 0.
    """

    depth_m: Float[np.ndarray, "n h w"]
    K: Float[np.ndarray, "3 3"]
    T_world_camera: Float[np.ndarray, "n 4 4"]

    def session(self, clip: ClipHeader) -> GeometrySession:  # noqa: ARG002 - of the protocol
        return self

    def geometry(self, window: Window) -> WindowGeometry:
        rows = slice(window.start, window.start + len(window.rgb))
        depth_m = np.asarray(self.depth_m[rows], np.float32)
        return WindowGeometry(
            depth_m=np.where(np.isfinite(depth_m) & (depth_m > 0), depth_m, np.nan),
            K=np.tile(self.K, (len(depth_m), 1, 1)),
            T_world_camera=np.asarray(self.T_world_camera[rows], np.float64),
            is_metric=True,
            error=DepthNoise(),
            is_grounded=True,
        )

    def settled(self) -> None:
        """Nothing more is known than was told."""


class NoisyGeometry:
    """Another source whose depth is wrong as a network's is: scaled by the frame, smeared across
    edges, and different at every pixel. Poses stay as they are.
    """

    def __init__(self, part: GeometrySource, seed: int, noise: DepthNoise) -> None:
        self._part, self._seed, self._noise = part, seed, noise

    def session(self, clip: ClipHeader) -> GeometrySession:
        return _NoisyGeometrySession(self._part.session(clip), self._seed, self._noise)


class _NoisyGeometrySession:
    def __init__(self, part: GeometrySession, seed: int, noise: DepthNoise) -> None:
        self._part, self._seed, self._noise = part, seed, noise

    def geometry(self, window: Window) -> WindowGeometry:
        exact = self._part.geometry(window)
        depth_m = np.stack(
            [self._noisy(depth, window.start + row) for row, depth in enumerate(exact.depth_m)]
        )
        return replace(exact, depth_m=depth_m, error=self._noise)

    def settled(self) -> SettledPath | None:
        """See `GeometrySession`."""
        return self._part.settled()

    def _noisy(self, depth_m: np.ndarray, frame: int) -> np.ndarray:
        rng = np.random.default_rng([self._seed, frame, 3])
        known = np.isfinite(depth_m)
        filled = np.where(known, depth_m, _FAR_M).astype(np.float32)
        side = max(1, round(self._noise.edge_px))
        smeared = cv2.blur(filled, (side, side)) if side > 1 else filled
        of_frame = rng.normal(0, self._noise.frame)
        of_pixels = rng.normal(0, self._noise.pixel, depth_m.shape)
        return np.where(known, smeared * np.exp(of_frame + of_pixels), np.nan).astype(np.float32)
