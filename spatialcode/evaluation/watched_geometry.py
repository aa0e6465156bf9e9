"""A geometry source that remembers the depth it gave, so that it can be measured afterwards.

Encoders made of parts keep no depth: memory would grow with the clip. This stands in front of
their source while they are measured, and keeps a small grid of each frame.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from spatialcode.encoder.geometry.protocol import (
    GeometrySession,
    GeometrySource,
    SettledPath,
    WindowGeometry,
)
from spatialcode.encoder.maps import at_cells
from spatialcode.encoder.protocol import ClipHeader, Window

#: Longer side of the grid at which depth is kept.
_GRID_CELLS = 80


@dataclass(frozen=True, eq=False)
class WatchedGeometry:
    """A geometry source, and the depth of the session that began last."""

    source: GeometrySource
    sessions: list[WatchedSession] = field(default_factory=list)

    def session(self, clip: ClipHeader) -> GeometrySession:
        """See `GeometrySource`."""
        self.sessions[:] = [WatchedSession(self.source.session(clip))]
        return self.sessions[0]

    def halved(self) -> WatchedGeometry | None:
        """The same around a source that takes half as much at once; None where there is none."""
        halved: Callable[[], GeometrySource | None] | None = getattr(self.source, "halved", None)
        smaller = halved() if halved is not None else None
        return None if smaller is None else WatchedGeometry(smaller, self.sessions)

    def depth_m(self) -> Float[np.ndarray, "n h w"] | None:
        """Metres of all frames at a small grid, as believed in the end; NaN where not known. None
        before any frame, or where the source has no known unit.
        """
        return self.sessions[0].depth_m() if self.sessions else None


class WatchedSession:
    """See `WatchedGeometry`."""

    def __init__(self, session: GeometrySession) -> None:
        self._session = session
        self._depths: list[Float[np.ndarray, "h w"]] = []
        self._log_scale: Float[np.ndarray, " n"] | None = None
        self._is_metric = True

    def geometry(self, window: Window) -> WindowGeometry:
        """See `GeometrySession`."""
        found = self._session.geometry(window)
        self._is_metric &= found.is_metric
        height, width = found.depth_m.shape[1:]
        share = min(1.0, _GRID_CELLS / max(height, width))
        grid = (max(1, round(height * share)), max(1, round(width * share)))
        self._depths += list(at_cells(found.depth_m[window.num_repeated :], grid))
        return found

    def settled(self) -> SettledPath | None:
        """See `GeometrySession`."""
        settled = self._session.settled()
        self._log_scale = None if settled is None else settled.log_depth_scale
        return settled

    def depth_m(self) -> Float[np.ndarray, "n h w"] | None:
        """See `WatchedGeometry.depth_m`."""
        if not self._depths or not self._is_metric:
            return None
        depth = np.stack(self._depths)
        return depth if self._log_scale is None else depth * np.exp(self._log_scale)[:, None, None]
