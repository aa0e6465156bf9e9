"""How far a clip's path and its metres can be trusted, by what the geometry of its windows says."""

from __future__ import annotations

import numpy as np

from spatialcode.encoder.bounded import EvenSample
from spatialcode.encoder.geometry.protocol import WindowGeometry
from spatialcode.encoder.odometry.audit import (
    REFERENCE_SIDE_PX,
    ROUGH_PX,
    CameraMotion,
    overall,
    rough_path,
    standing_camera,
    trust_in,
)
from spatialcode.encoder.protocol import Window
from spatialcode.scene.schema import PathOrigin, Scale

#: How far metres are trusted that a network says, and those of a network that knows no unit.
_METRIC, _NOT_METRIC = 0.8, 0.1
#: Windows of a clip whose errors are kept.
_MAX_WINDOWS = 256


class PathTrust:
    """Gathers what the windows of one clip tell."""

    def __init__(self) -> None:
        self._is_given = False
        self._is_metric, self._has_depth = True, False
        self._missed_px: EvenSample[float] = EvenSample(_MAX_WINDOWS)
        self._motions: set[CameraMotion] = set()

    def note(self, window: Window, geometry: WindowGeometry) -> None:
        """Take in one window."""
        self._is_metric &= geometry.is_metric
        self._has_depth |= bool(np.isfinite(geometry.depth_m).any())
        self._is_given = window.geometry.T_world_camera is not None
        if geometry.motion is not None:
            self._motions.add(geometry.motion)
        if geometry.reprojection_px is not None:
            frame_px = max(window.rgb.shape[1:3])
            self._missed_px.add(geometry.reprojection_px * REFERENCE_SIDE_PX / frame_px)

    @property
    def is_metric(self) -> bool:
        """Whether the unit of every window was the metre, and depth was known anywhere."""
        return self._is_metric and self._has_depth

    @property
    def error_px(self) -> float | None:
        """By how much the path misses the pictures, in pixels of one of `REFERENCE_SIDE_PX`: the
        median of the windows; None where none could be checked.
        """
        missed_px = self._missed_px.items()
        return float(np.median(missed_px)) if missed_px else None

    def scale(self, unit_trust: float | None = None) -> Scale:
        """Where metres come from, and how sure that is: less where the path misses the pictures.
        ``unit_trust``: how sure the unit is, where something else than the geometry tells it.
        """
        if self._is_given:
            return Scale("given", 1.0)
        if unit_trust is None:
            unit_trust = _METRIC if self.is_metric else _NOT_METRIC
        return Scale("metric-depth", trust_in(self.error_px) * unit_trust)

    def path(self) -> PathOrigin:
        """Where the path comes from, and by how much it misses the pictures."""
        if self._is_given:
            return PathOrigin("given", None)
        return PathOrigin("estimated", self.error_px)

    def warnings(self) -> tuple[str, ...]:
        """What a user of the code should know of its path, in sentences."""
        if self._is_given:
            return ()
        found = []
        if self._motions:
            found += standing_camera(overall(self._motions))
        if self.error_px is not None and self.error_px > ROUGH_PX:
            found.append(rough_path(self.error_px))
        return tuple(found)
