"""From the joint points of one object to its box.

Ends of the box are looked for along its own axes. Where points are exact an end is the outermost of
them; where they are not, each frame gives an end of its own, and those that agree are averaged. An
end near which the outlines were cut off was not seen: there the floor, the wall, the roundness or
the usual size of that kind of thing say where it may be.

Source: none; the rectangle of least area is a common start (Freeman & Shapira 1975).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from spatialcode.encoder.lifting.sightings import Sighting
from spatialcode.scene.categories import WALL_BOX_THICKNESS_M, Traits

Array = NDArray[np.float64]

#: Yaws tried over a quarter turn.
YAWS_RAD = np.deg2rad(np.arange(0.0, 90.0, 2.0))
#: A box whose rectangle is larger than the least one by no more than this follows the room.
_ROOM_ALLOWANCE = 1.12
#: A surface this far from a thing's foot may be what carries it.
_SUPPORT_M = 0.075
#: Ends as far apart as this agree, where points are exact.
_AGREED_M = 0.02
#: Share of the points of one frame that may lie beyond an end, where they are noisy.
_TRIMMED = 0.005
#: A thing that seems this much flatter than is usual was seen from one side only.
_FLAT_SHARE = 0.35


@dataclass(frozen=True, eq=False)
class Box:
    """``center_m`` (3,) in the world, ``size_m`` (3,) along its own axes, ``yaw_rad``."""

    center_m: Float[np.ndarray, " 3"]
    size_m: Float[np.ndarray, " 3"]
    yaw_rad: float


@dataclass(frozen=True, eq=False)
class Cloud:
    """What all frames saw of one object, in the world: points, outlines and whether they are cut,
    what lies beside it, and the cameras. ``frame`` (P,) and ``outline_frame`` (O,): the sighting
    that each point is of, counted from 0.
    """

    points_m: Float[np.ndarray, "p 3"]
    frame: NDArray[np.int64]
    outline_m: Float[np.ndarray, "o 3"]
    outline_frame: NDArray[np.int64]
    is_cut: NDArray[np.bool_]
    beside_m: Float[np.ndarray, "b 3"]
    camera_m: Float[np.ndarray, "s 3"]
    sigma_m: float

    @classmethod
    def of(cls, sightings: Sequence[Sighting]) -> Cloud:
        points = [s.points for s in sightings]
        counts = [len(p.inside_m) for p in points]
        return cls(
            points_m=np.concatenate([p.inside_m for p in points]),
            frame=np.repeat(np.arange(len(points)), counts),
            outline_m=np.concatenate([p.outline_m for p in points]),
            outline_frame=np.repeat(np.arange(len(points)), [len(p.is_cut) for p in points]),
            is_cut=np.concatenate([p.is_cut for p in points]),
            beside_m=np.concatenate([p.beside_m for p in points]),
            camera_m=np.stack([s.camera_m for s in sightings]),
            sigma_m=float(np.median([p.sigma_m for p in points])),
        )


def along(yaw_rad: float, points_m: Array) -> Array:
    """Points (..., 3) of the world along the axes of a box with that yaw."""
    c, s = np.cos(yaw_rad), np.sin(yaw_rad)
    return np.stack(
        (
            points_m[..., 0] * c + points_m[..., 1] * s,
            points_m[..., 1] * c - points_m[..., 0] * s,
            points_m[..., 2],
        ),
        axis=-1,
    )


def footprint_areas(cloud: Cloud) -> Float[np.ndarray, " yaws"]:
    """The area of the rectangle about the points at each of ``YAWS_RAD``, m²."""
    yaws = np.concatenate((YAWS_RAD, YAWS_RAD + np.pi / 2))
    some = cloud.points_m[:: max(1, len(cloud.points_m) // 1500), :2]
    ends = np.sort(some @ np.stack((np.cos(yaws), np.sin(yaws))), axis=0)
    trim = int(round(0.01 * len(some))) if cloud.sigma_m > 0 else 0
    length = ends[-1 - trim] - ends[trim]
    return np.asarray(length[: len(YAWS_RAD)] * length[len(YAWS_RAD) :])


def room_yaw(areas: Sequence[Array]) -> float | None:
    """The yaw, modulo a quarter turn, at which most objects fit their least rectangle; None where
    there are too few objects to tell.

    ``areas``: of each object, as `footprint_areas` gives them.
    """
    if len(areas) < 3:
        return None
    fits = sum((np.asarray(a) <= 1.03 * max(a.min(), 1e-6)).astype(float) for a in areas)
    around = fits + 0.5 * (np.roll(fits, 1) + np.roll(fits, -1))
    return float(YAWS_RAD[int(np.argmax(around))])


def chosen_yaw(areas: Array, room_yaw_rad: float | None) -> float:
    """The yaw of least area, or the room's where that costs little."""
    if room_yaw_rad is not None:
        k = int(np.argmin(np.abs(YAWS_RAD - room_yaw_rad)))
        if areas[k] <= _ROOM_ALLOWANCE * areas.min():
            return room_yaw_rad
    return float(YAWS_RAD[int(np.argmin(areas))])


def fit_box(cloud: Cloud, traits: Traits, yaw_rad: float) -> Box:
    """The box of a cloud at a yaw (modulo a quarter turn), completed where it was not seen."""
    ends = _lowered(_seen_ends(cloud, yaw_rad), traits)
    if traits.is_on_wall:
        return _wall_box(_completed_on_wall(ends, traits))
    return _turned_to_front(_completed_above(_completed(ends, traits), traits), traits)


@dataclass(frozen=True, eq=False)
class _Ends:
    """Low and high ends (3,) along the axes of a yaw; ``cut_low``, ``cut_high`` (3,): whether no
    frame saw the object end there.
    """

    cloud: Cloud
    yaw_rad: float
    low_m: Array
    high_m: Array
    cut_low: NDArray[np.bool_]
    cut_high: NDArray[np.bool_]

    @property
    def size_m(self) -> Array:
        return np.maximum(self.high_m - self.low_m, 0.02)

    def box(self) -> Box:
        middle = (self.low_m + self.high_m) / 2
        return Box(along(-self.yaw_rad, middle), self.size_m, self.yaw_rad)

    def support_m(self) -> float | None:
        """The height of the surface beside the thing's foot; None where none is seen there."""
        z = self.cloud.beside_m[:, 2]
        reach = _SUPPORT_M + 2 * self.cloud.sigma_m
        low = z[z < self.low_m[2] + 2 * reach]
        near = low[np.abs(low - self.low_m[2]) < reach]
        return float(np.median(near)) if len(near) > 0.25 * len(low) and len(low) >= 8 else None


def _seen_ends(cloud: Cloud, yaw_rad: float) -> _Ends:
    """Ends on which the frames agree that saw the object end there, rather than be cut off; where
    no frame did, the outermost.
    """
    local, outline = along(yaw_rad, cloud.points_m), along(yaw_rad, cloud.outline_m)
    num = len(cloud.camera_m)
    quantile = 0.0 if cloud.sigma_m <= 0 else _TRIMMED
    starts, outline_starts = (
        np.searchsorted(frames, np.arange(num + 1)) for frames in (cloud.frame, cloud.outline_frame)
    )
    found, is_cut = np.empty((2, num, 3)), np.zeros((2, num, 3), bool)
    for k in range(num):
        own = local[starts[k] : starts[k + 1]]
        found[:, k] = ends_along(own, quantile)
        rim = slice(outline_starts[k], outline_starts[k + 1])
        is_cut[:, k] = cut_ends(outline[rim], cloud.is_cut[rim], found[:, k])
    width = 3 * cloud.sigma_m + _AGREED_M
    ends, cut = np.empty((2, 3)), np.zeros((2, 3), bool)
    for side, sign in ((0, -1.0), (1, 1.0)):
        for axis in range(3):
            end, cut[side, axis] = _agreed(
                sign * found[side, :, axis], is_cut[side, :, axis], width
            )
            ends[side, axis] = sign * end
    return _Ends(cloud, yaw_rad, ends[0], ends[1], cut[0], cut[1])


def ends_along(points_m: Float[np.ndarray, "p d"], quantile: float) -> Float[np.ndarray, "2 d"]:
    """The quantile of points along each of D axes, and the same from the other end; linear between
    points, as `numpy.quantile` is.
    """
    if quantile <= 0:
        return np.stack((points_m.min(axis=0), points_m.max(axis=0)))
    ordered = np.sort(points_m, axis=0)
    first, share = divmod(quantile * (len(ordered) - 1), 1)
    low, high = int(first), min(int(first) + 1, len(ordered) - 1)
    return np.stack(
        [(1 - share) * side[low] + share * side[high] for side in (ordered, ordered[::-1])]
    )


def cut_ends(
    outline_m: Float[np.ndarray, "o d"], is_cut: Bool[np.ndarray, " o"], ends_m: Array
) -> Bool[np.ndarray, "2 d"]:
    """Whether most of a sighting's outline near each of its ends (2, D), low and high along D
    axes, is cut off.
    """
    reach = np.maximum(0.03, 0.1 * (ends_m[1] - ends_m[0]))
    near = np.stack((outline_m < ends_m[0] + reach, outline_m > ends_m[1] - reach))
    return np.asarray((near & is_cut[:, None]).sum(axis=1) > 0.5 * near.sum(axis=1))


def _agreed(ends_m: Array, is_cut: NDArray[np.bool_], width_m: float) -> tuple[float, bool]:
    """The outermost end that frames agree on, and whether it was cut off for all of them.

    Those that were cut off say only that the object goes so far at least.
    """
    everything = _outermost_agreement(ends_m, width_m)
    if is_cut.all():
        return everything, True
    free = _outermost_agreement(ends_m[~is_cut], width_m)
    goes_on = everything > free + 2 * width_m
    return (everything, True) if goes_on else (free if width_m > _AGREED_M else everything, False)


def _outermost_agreement(ends_m: Array, width_m: float) -> float:
    """The outermost of exact ends; of noisy ones, the outermost on which a quarter as many frames
    agree as on any.
    """
    outermost = np.sort(ends_m)[::-1]
    if width_m <= _AGREED_M:
        return float(outermost[0])
    near = (outermost <= outermost[:, None]) & (outermost > outermost[:, None] - width_m)
    counts = near.sum(axis=1)
    first = int(np.argmax(counts >= max(1.0, 0.25 * counts.max())))
    return float(np.median(outermost[near[first]]))


def _lowered(ends: _Ends, traits: Traits) -> _Ends:
    """Down to what carries the thing: the floor by its kind, since of a table often only the top is
    seen; the surface beside its foot where the thing may stand on others.
    """
    foot = ends.low_m[2]
    if traits.mount == "surface" or traits.is_portable:
        support = ends.support_m()
        if support is not None:
            foot = min(support, ends.high_m[2] - 0.02)
        elif traits.mount == "floor":
            foot = 0.0
    elif traits.mount == "floor":
        foot = 0.0
    if foot == 0.0 and ends.high_m[2] < 0.02:  # below the floor: a reflection, or a wrong floor
        return ends
    return replace(ends, low_m=np.array([*ends.low_m[:2], foot]))


def _wall_box(ends: _Ends) -> Box:
    """A rectangle on its wall: thin across it, with the wall's face in its middle."""
    across = int(np.argmin(ends.size_m[:2]))
    beside = along(ends.yaw_rad, ends.cloud.beside_m)[:, across]
    middle = (ends.low_m[across] + ends.high_m[across]) / 2
    cameras = along(ends.yaw_rad, ends.cloud.camera_m)[:, across]
    towards = np.sign(np.median(cameras) - middle)
    # the wall lies at the thing's back or a little behind it, never before it
    behind = (middle - beside) * towards
    near = beside[(behind > -0.05) & (behind < 0.11)]
    wall = float(np.median(near)) if len(near) >= 8 else middle
    low, high = ends.low_m.copy(), ends.high_m.copy()
    low[across], high[across] = wall - WALL_BOX_THICKNESS_M / 2, wall + WALL_BOX_THICKNESS_M / 2
    flat = replace(ends, low_m=low, high_m=high).box()
    # +y is its front: out of the wall, towards the cameras
    turn = (0.0 if towards > 0 else np.pi) if across == 1 else -towards * np.pi / 2
    size = flat.size_m if across == 1 else flat.size_m[[1, 0, 2]]
    return Box(flat.center_m, size, flat.yaw_rad + turn)


def _completed(ends: _Ends, traits: Traits) -> _Ends:
    """With horizontal ends that were not seen moved out: by roundness, or by what is usual of the
    kind.
    """
    low, high, size = ends.low_m.copy(), ends.high_m.copy(), ends.size_m
    if traits.is_round:
        wanted = np.array([size[:2].max()] * 2)
    elif traits.usual_size_m is not None:
        wanted = _usual_footprint(size, traits)
    else:
        return ends
    cameras = np.median(along(ends.yaw_rad, ends.cloud.camera_m), axis=0)
    for axis in (0, 1):
        missing = wanted[axis] - size[axis]
        is_cut = ends.cut_low[axis] or ends.cut_high[axis]
        flat = size[axis] < _FLAT_SHARE * wanted[axis]
        if missing <= 0 or not (is_cut or flat or traits.is_round or _is_seen_edge_on(ends, axis)):
            continue
        towards_low = cameras[axis] > (low[axis] + high[axis]) / 2
        if ends.cut_low[axis] != ends.cut_high[axis]:
            towards_low = ends.cut_low[axis]
        if towards_low:
            low[axis] -= missing
        else:
            high[axis] += missing
    return replace(ends, low_m=low, high_m=high)


def _completed_above(ends: _Ends, traits: Traits) -> _Ends:
    """With a top that was always cut off moved up to the height that is usual of the kind."""
    if traits.usual_size_m is None or not ends.cut_high[2]:
        return ends
    missing = max(0.0, traits.usual_size_m[2] - ends.size_m[2])
    return replace(ends, high_m=ends.high_m + np.array([0.0, 0.0, missing]))


def _completed_on_wall(ends: _Ends, traits: Traits) -> _Ends:
    """A rectangle on a wall whose ends that were cut off, along the wall and up and down, are
    moved out to the size that is usual of the kind; none of them below the floor.
    """
    if traits.usual_size_m is None:
        return ends
    low, high, size = ends.low_m.copy(), ends.high_m.copy(), ends.size_m
    wide_m, _, tall_m = traits.usual_size_m
    for axis, usual_m in ((int(np.argmax(size[:2])), wide_m), (2, tall_m)):
        cut = np.array([ends.cut_low[axis], ends.cut_high[axis]], float)
        missing_m = max(0.0, usual_m - size[axis]) / max(cut.sum(), 1.0)
        low[axis] -= cut[0] * missing_m
        high[axis] += cut[1] * missing_m
    if ends.low_m[2] >= 0:
        low[2] = max(low[2], 0.0)
    return replace(ends, low_m=low, high_m=high)


def _is_seen_edge_on(ends: _Ends, axis: int) -> bool:
    """Whether all cameras looked along an axis, from one side and from below the top, so that
    nothing shows how far the thing goes.
    """
    local = along(ends.yaw_rad, ends.cloud.camera_m)
    other = 1 - axis
    beside = (local[:, other] < ends.low_m[other]) | (local[:, other] > ends.high_m[other])
    above = local[:, 2] > ends.high_m[2]
    return not (beside | above).any()


def _usual_footprint(size_m: Array, traits: Traits) -> Array:
    """The usual extents (2,) along the axes, the longer one along the longer axis."""
    assert traits.usual_size_m is not None
    wide, deep = sorted(traits.usual_size_m[:2], reverse=True)
    return np.array([wide, deep] if size_m[0] >= size_m[1] else [deep, wide])


def _turned_to_front(ends: _Ends, traits: Traits) -> Box:
    """The box with its +y where its front is, for kinds that have one: away from what stands high
    at its back, else towards where it was seen from.
    """
    box = ends.box()
    if not traits.has_front:
        return box
    local = along(ends.yaw_rad, ends.cloud.points_m)
    middle = (ends.low_m + ends.high_m) / 2
    high = local[:, 2] > middle[2]
    back = np.zeros(2)
    if high.any() and not high.all():
        back = (local[high].mean(axis=0) - middle)[:2] / ends.size_m[:2]
    seen_from = np.median(along(ends.yaw_rad, ends.cloud.camera_m), axis=0)[:2] - middle[:2]
    front = -back if np.abs(back).max() > 0.15 else seen_from
    axis = int(np.argmax(np.abs(front)))
    forward = front[axis] > 0
    turn = (0.0 if forward else np.pi) if axis == 1 else (-np.pi / 2 if forward else np.pi / 2)
    size = box.size_m if axis == 1 else box.size_m[[1, 0, 2]]
    return Box(box.center_m, size, box.yaw_rad + turn)
