"""A network's path as far as the pictures show motion, and by how much it misses them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import UInt8

from spatialcode.encoder.geometry.pathed import path_pictures
from spatialcode.encoder.geometry.protocol import WindowGeometry
from spatialcode.encoder.geometry.windows import stretches
from spatialcode.encoder.odometry.audit import REFERENCE_SIDE_PX, CameraMotion, audit_path, overall


def audited(
    geometry: WindowGeometry, rgb: UInt8[np.ndarray, "n h w 3"], focal_is_known: bool
) -> WindowGeometry:
    """The geometry of frames (N, H, W, 3) with its path audited, each part between cuts by itself.

    Where the camera stood it has one pose, where it only turned one place; each part then stands in
    the world of its own first camera. ``reprojection_px`` and ``motion`` are what the audit says.
    ``focal_is_known``: K was recorded.
    """
    T = np.empty_like(geometry.T_world_camera)
    missed: list[float] = []
    motions: set[CameraMotion] = set()
    for rows in stretches(len(rgb), geometry.cuts):
        pictures = path_pictures(rgb[rows], geometry.K[rows.start], REFERENCE_SIDE_PX)
        audit = audit_path(list(pictures.gray), pictures.K, focal_is_known)
        T[rows] = audit.held(geometry.T_world_camera[rows])
        motions.add(audit.motion)
        error_px = audit.error_px(T[rows])
        if error_px is not None:
            missed.append(error_px)
    frame_px = max(rgb.shape[1:3]) / REFERENCE_SIDE_PX
    return replace(
        geometry,
        T_world_camera=T,
        reprojection_px=float(np.median(missed)) * frame_px if missed else None,
        motion=overall(motions),
    )
