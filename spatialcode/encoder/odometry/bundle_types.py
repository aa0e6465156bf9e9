"""What goes into and comes out of the bundle adjustment."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from spatialcode.encoder.odometry.bundle_motion import RelativeMotions
from spatialcode.encoder.odometry.edge_directions import EdgeDirections

Array = NDArray[np.float64]
FRAME_DIM = 7  # rotation 3, centre 3, log depth scale 1


@dataclass(frozen=True)
class BundleConfig:
    """Scales of the residuals: metres, radians, pixels of the images given."""

    pixel_cauchy: float = 1.0
    motion_cauchy: float = 3.0
    depth_huber: float = 1.0
    scale_sigma: float = 0.06
    step_sigma_m: float = 0.6
    turn_sigma_rad: float = 0.6
    steady_sigma_m: float = 0.08
    steady_sigma_rad: float = 0.06
    gauge_sigma: float = 1e-3
    damping: float = 1e-3
    max_iterations: int = 8
    tolerance: float = 1e-4


@dataclass(frozen=True)
class BundleProblem:
    """What was measured. Observations leave out a track's first (host) frame.

    host (M,), host_ray (M,3): K^-1 [u, v, 1]; track, frame (P,); pixel_px (P,2);
    pixel_whitening (P,2,2): times a pixel error, that error in standard deviations;
    host_log_depth, host_depth_sigma (M,), log_depth, depth_sigma (P,): predicted log z-depth
    at the observation, sigma inf where there is none; K (3,3); up_camera (N,3) unit;
    up_sigma_rad, height_m, height_sigma_m (N,), sigma inf where unknown.
    """

    host: NDArray[np.int64]
    host_ray: Array
    track: NDArray[np.int64]
    frame: NDArray[np.int64]
    pixel_px: Array
    pixel_whitening: Array
    host_log_depth: Array
    host_depth_sigma: Array
    log_depth: Array
    depth_sigma: Array
    K: Array
    up_camera: Array
    up_sigma_rad: Array
    height_m: Array
    height_sigma_m: Array
    motions: RelativeMotions = field(default_factory=RelativeMotions.none)
    edges: EdgeDirections = field(default_factory=EdgeDirections.none)


@dataclass(frozen=True)
class BundleState:
    """R_world_camera (N,3,3), centre_m (N,3), log_scale (N,), log_depth (M,) in the host."""

    R_world_camera: Array
    centre_m: Array
    log_scale: Array
    log_depth: Array
