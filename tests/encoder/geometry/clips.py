"""Rendered clips with their depth, as geometry sources are given them."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np

from spatialcode.encoder.geometry.path.frames import PathInput
from spatialcode.encoder.geometry.path.running import OwnPath, RunningPath
from spatialcode.encoder.geometry.protocol import DepthNoise
from spatialcode.synthetic.clips import ClipConfig, make_clip

EXACT = DepthNoise()
NETWORK = DepthNoise(0.05, 0.02, 3.0)


@cache
def clip(seed: int, num_frames: int = 24):
    return make_clip(seed, ClipConfig(num_frames=num_frames, width_px=320, height_px=240))


def exact_depth(rendered) -> np.ndarray:
    return np.where(np.isfinite(rendered.depth_m), rendered.depth_m, np.nan).astype(np.float32)


def noisy_depth(rendered, seed: int = 0) -> np.ndarray:
    """As a network's: smeared edges, a scale a frame, an error a pixel."""
    rng = np.random.default_rng(seed)
    filled = np.where(np.isfinite(rendered.depth_m), rendered.depth_m, 8.0).astype(np.float32)
    smeared = np.stack([cv2.blur(depth, (3, 3)) for depth in filled])
    scale = rng.normal(0, NETWORK.frame, (len(smeared), 1, 1))
    return smeared * np.exp(scale + rng.normal(0, NETWORK.pixel, smeared.shape))


def gray(rgb: np.ndarray) -> np.ndarray:
    return np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in rgb])


def path_input(rendered, depth_m, error=EXACT, **more) -> PathInput:
    K = np.tile(rendered.K, (len(rendered.rgb), 1, 1))
    return PathInput(gray(rendered.rgb), depth_m, K, error, **more)


def own_path(given: PathInput) -> OwnPath:
    """The path of a clip whose frames come all at once."""
    return RunningPath().add(given)
