"""Whether a thing has been moved while it was watched, from its own ends in single frames.

A camera that walks around a standing thing sees one of its ends come or go, where another part of
it stands before; never both ends go the same way. Only ends that were seen from above, and not cut
off, are asked.

Source: none.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from spatialcode.encoder.instances.boxes import cut_ends, ends_along
from spatialcode.encoder.lifting.sightings import Sighting

Array = NDArray[np.float64]

#: Horizontal directions along which ends are looked for.
_DIRECTIONS = np.array([(np.cos(a), np.sin(a)) for a in np.arange(4) * np.pi / 4])
#: A camera looks at a top from above that is so much higher.
_ABOVE_M = 0.1
#: Frames whose ends are averaged, at the beginning and at the end.
_AVERAGED = 3
#: Share of a width by which a standing thing's ends may seem to go, and the least length.
_STANDING_SHARE, _STANDING_M = 0.4, 0.1
#: Share of that within which a thing has come to rest.
_AT_REST = 0.5
_TRIMMED = 0.02


def since_it_stands(sightings: Sequence[Sighting]) -> list[Sighting] | None:
    """The last sightings of a thing, in time order, since it was where it is now; None where
    nothing says that it was ever elsewhere.
    """
    from_above = [k for k, sighting in enumerate(sightings) if _shows_its_top(sighting)]
    if len(from_above) < 2 * _AVERAGED:
        return None
    ends, is_free = map(np.stack, zip(*(_ends(sightings[k]) for k in from_above), strict=True))
    width_m = float(np.median(ends[:, 1] - ends[:, 0], axis=0).min())
    allowed_m = max(_STANDING_M, _STANDING_SHARE * width_m)
    furthest_m, since = allowed_m, None
    for direction in range(len(_DIRECTIONS)):
        rows = np.flatnonzero(is_free[:, direction])
        if len(rows) < 2 * _AVERAGED:
            continue
        own = ends[rows, :, direction]
        last = np.median(own[-_AVERAGED:], axis=0)
        gone_m = _gone_m(np.median(own[:_AVERAGED], axis=0), last)
        if gone_m > furthest_m:
            away = np.flatnonzero(_gone_m(own, last) > _AT_REST * allowed_m)
            furthest_m, since = float(gone_m), from_above[rows[min(away[-1] + 1, len(rows) - 1)]]
    return None if since is None else list(sightings[since:])


def _shows_its_top(sighting: Sighting) -> bool:
    top_m = sighting.points.inside_m[:, 2].max()
    return bool(len(sighting.points.is_cut) and sighting.camera_m[2] > top_m + _ABOVE_M)


def _ends(sighting: Sighting) -> tuple[Float[np.ndarray, "2 d"], Bool[np.ndarray, " d"]]:
    """The least and the greatest of a sighting's points along each of `_DIRECTIONS`, and whether
    the thing was seen to end at both.
    """
    points = sighting.points
    ends = ends_along(points.inside_m[:, :2] @ _DIRECTIONS.T, _TRIMMED)
    is_cut = cut_ends(points.outline_m[:, :2] @ _DIRECTIONS.T, points.is_cut, ends)
    return ends, np.asarray(~is_cut.any(axis=0))


def _gone_m(before: Float[np.ndarray, "*k 2"], after: Float[np.ndarray, " 2"]) -> Array:
    """How far both ends have gone the same way; 0 where they have not."""
    low, high = np.moveaxis(after - before, -1, 0)
    return np.asarray(np.where(low * high > 0, np.minimum(np.abs(low), np.abs(high)), 0))
