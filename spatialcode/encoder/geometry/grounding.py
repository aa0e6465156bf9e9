"""A window's world made upright: z against gravity, the floor at z = 0, the origin under the first
camera and +y its viewing direction.

Gravity is what is recorded, else what level surfaces and walls say. Where nothing tells, the first
picture's own up is taken, and a world without a visible floor has its floor assumed below the
camera at the height at which a person holds one.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Float

from spatialcode.encoder.geometry.planes import Patches, find_floor, find_patches, find_up
from spatialcode.encoder.geometry.protocol import WindowGeometry
from spatialcode.encoder.geometry.windows import joined, parts_of
from spatialcode.encoder.odometry.path import in_first_camera_world
from spatialcode.scene.frames import level_rotation

#: Height of a hand-held camera above the floor where no floor is seen.
ASSUMED_HEIGHT_M = 1.5


def up_of(geometry: WindowGeometry, patches: Patches) -> Float[np.ndarray, " 3"] | None:
    """Against gravity in the window's world; None where neither a record nor surfaces tell."""
    R = geometry.T_world_camera[:, :3, :3]
    if geometry.up_camera is None:
        return find_up(patches, R)
    up = np.median(np.einsum("nij,nj->ni", R, geometry.up_camera), axis=0)
    return np.asarray(up / np.linalg.norm(up))


def grounded(geometry: WindowGeometry, frame_px: tuple[int, int]) -> WindowGeometry:
    """The same geometry in the upright world of its first camera, gravity told for every frame.

    ``frame_px``: height and width of the window's frames. Of several parts each is grounded by
    itself. A geometry without a metric scale has no floor height to compare: it is left as it is.
    """
    if geometry.is_grounded or not geometry.is_metric:
        return geometry
    parts = [_grounded(part, frame_px) for part in parts_of(geometry)]
    T = joined(parts).T_world_camera
    return replace(geometry, T_world_camera=T, up_camera=T[:, 2, :3].copy(), is_grounded=True)


def _grounded(geometry: WindowGeometry, frame_px: tuple[int, int]) -> WindowGeometry:
    patches = find_patches(geometry.depth_m, depth_intrinsics(geometry, frame_px))
    up = up_of(geometry, patches)
    R0 = geometry.T_world_camera[0, :3, :3]
    up = -R0[:, 1] if up is None else up
    turn = level_rotation(R0.T @ up) @ R0.T
    T = geometry.T_world_camera.copy()
    T[:, :3, :3] = turn @ T[:, :3, :3]
    T[:, :3, 3] = T[:, :3, 3] @ turn.T
    floor = find_floor(patches, T)
    T[:, 2, 3] -= T[0, 2, 3] - ASSUMED_HEIGHT_M if floor is None else floor
    T = in_first_camera_world(T)
    return replace(geometry, T_world_camera=T)


def depth_intrinsics(
    geometry: WindowGeometry, frame_px: tuple[int, int]
) -> Float[np.ndarray, "n 3 3"]:
    """Pinhole matrices (N, 3, 3) in pixels of the depth maps. ``frame_px``: height and width."""
    height, width = geometry.depth_m.shape[1:]
    K = geometry.K.copy()
    K[:, 0] *= width / frame_px[1]
    K[:, 1] *= height / frame_px[0]
    return K
