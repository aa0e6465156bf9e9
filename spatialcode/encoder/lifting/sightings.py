"""From a mask and depth to points in the world: what one frame saw of one object.

What a source states of its errors decides how much is cut away: nothing where it is exact, a rim of
the mask and the pixels at depth edges where it is not. Points where an object ends because the
picture does, or because something stands in front of it, are kept apart: there it may go on.

Source: none.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from spatialcode.config import checked, setting
from spatialcode.encoder.geometry.protocol import DepthNoise, WindowGeometry
from spatialcode.encoder.geometry.similarity import Similarity
from spatialcode.encoder.lifting.planes import (
    PLANE_PX,
    NearestDepth,
    PlanarDepth,
    beside,
    some_of,
)
from spatialcode.encoder.parsing.protocol import FrameMasks
from spatialcode.encoder.protocol import Window
from spatialcode.scene.categories import Traits, traits_of

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

#: Nearer than this no camera of a room sees anything, metres.
_MIN_DEPTH_M = 0.1


@dataclass(frozen=True)
@checked
class LiftingSettings:
    """How a mask becomes points."""

    max_points: int = setting("points kept of one object in one frame", 256, at_least=16)
    max_outline_points: int = setting("points kept of an object's outline", 64, at_least=8)
    max_beside_points: int = setting("points kept of what lies beside it", 48, at_least=8)
    min_pixels: int = setting("pixels with depth that an object must show", 12, at_least=1)
    edge_ratio: float = setting(
        "relative step between neighbouring pixels that is a depth edge, where edges are smeared",
        0.06, above=0,
    )  # fmt: skip
    min_confidence: float = setting("of depth, where a source states one", 0.3, at_least=0)
    max_depth_m: float = setting("farther depth is not used", 12.0, above=0)


@dataclass(frozen=True, eq=False)
class FrameView:
    """One frame as lifting needs it; depth and confidence of the masks' own size.

    ``K`` (3, 3) in pixels of the masks, ``T_world_camera`` (4, 4). ``edge_sigma_px``: of the masks'
    outlines. ``error``: of depth, its ``edge_px`` in pixels of the masks.
    """

    index: int
    depth_m: Float[np.ndarray, "h w"]
    K: Float[np.ndarray, "3 3"]
    T_world_camera: Float[np.ndarray, "4 4"]
    error: DepthNoise
    edge_sigma_px: float = 0.0
    confidence: Float[np.ndarray, "h w"] | None = None


def frame_view(
    geometry: WindowGeometry, row: int, window: Window, edge_sigma_px: float
) -> FrameView:
    """One row of a window, with depth and confidence of the frame's own size."""
    height, width = window.rgb.shape[1:3]

    def resized(values: np.ndarray) -> np.ndarray:
        if values.shape == (height, width):
            return values
        return cv2.resize(values, (width, height), interpolation=cv2.INTER_NEAREST)

    confidence = None if geometry.confidence is None else resized(geometry.confidence[row])
    return FrameView(
        index=window.start + row,
        depth_m=resized(geometry.depth_m[row]),
        K=geometry.K[row],
        T_world_camera=geometry.T_world_camera[row],
        error=geometry.error,
        edge_sigma_px=edge_sigma_px,
        confidence=confidence,
    )


@dataclass(frozen=True, eq=False)
class Named:
    """What a mask source says of a mask; ``track`` is negative where it follows nothing."""

    label: str
    score: float
    track: int
    appearance: Float[np.ndarray, " c"] | None = None


@dataclass(frozen=True, eq=False)
class LiftedPoints:
    """``inside_m`` (P, 3): points of an object in the world. ``outline_m`` (O, 3): those at its
    outline, and ``is_cut`` (O,): whether it is cut off beside them, by the picture's border or by
    something nearer. ``beside_m`` (B, 3): points just outside the outline that are not nearer,
    which show the wall that a thing hangs on. ``sigma_m``: standard deviation of a point along
    its ray. ``num_pixels``: of the mask; ``solid_angle_sr``: about what they fill of the sight.
    """

    inside_m: Float[np.ndarray, "p 3"]
    outline_m: Float[np.ndarray, "o 3"]
    is_cut: Bool[np.ndarray, " o"]
    beside_m: Float[np.ndarray, "b 3"]
    sigma_m: float
    num_pixels: int
    solid_angle_sr: float


@dataclass(frozen=True, eq=False)
class Sighting:
    """What one frame saw of one object, from ``camera_m`` (3,) in the world."""

    frame: int
    named: Named
    points: LiftedPoints
    camera_m: Float[np.ndarray, " 3"]

    def moved(self, by: Similarity) -> Sighting:
        """The same where its frame was in truth."""
        p = self.points
        moved = replace(
            p,
            inside_m=by.points(p.inside_m),
            outline_m=by.points(p.outline_m),
            beside_m=by.points(p.beside_m),
            sigma_m=by.scale * p.sigma_m,
        )
        return replace(self, points=moved, camera_m=by.points(self.camera_m))


def lift(view: FrameView, masks: FrameMasks, settings: LiftingSettings) -> list[Sighting]:
    """The sightings of one frame, in the order of its masks; those that show too little depth
    are left out.
    """
    usable = usable_depth(view, settings)
    found = []
    for k, label in enumerate(masks.labels):
        crop = _Crop.around(masks.masks[k])
        points = None if crop is None else _lifted(view, usable, crop, traits_of(label), settings)
        if points is None:
            continue
        appearance = None if masks.appearance is None else masks.appearance[k]
        named = Named(label, float(masks.scores[k]), int(masks.tracks[k]), appearance)
        found.append(Sighting(view.index, named, points, view.T_world_camera[:3, 3].copy()))
    return found


def usable_depth(view: FrameView, settings: LiftingSettings) -> Bool[np.ndarray, "h w"]:
    """Where depth can be used: known, near enough, confident, and off smeared edges."""
    depth = view.depth_m
    with np.errstate(invalid="ignore"):
        usable = np.isfinite(depth) & (depth > _MIN_DEPTH_M) & (depth < settings.max_depth_m)
    if view.confidence is not None:
        usable &= view.confidence >= settings.min_confidence
    if view.error.edge_px > 0:
        usable &= ~depth_edges(depth, view.error, settings.edge_ratio)
    return usable


def depth_edges(depth_m: np.ndarray, error: DepthNoise, ratio: float) -> Mask:
    """(h, w) pixels near a step in depth, of more than ``ratio`` and than noise makes.

    A step bends disparity, as a surface seen at a flat angle does not, however fast it recedes.
    Noise of single pixels is averaged away before, and unknown depth counts as infinitely far.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        disparity = 1 / np.asarray(depth_m, np.float32)
    disparity[~(np.isfinite(disparity) & (disparity > 0))] = 0
    if error.pixel > 0:
        disparity = np.asarray(cv2.blur(disparity, (3, 3), borderType=cv2.BORDER_REPLICATE))
    reach = max(1, round(error.edge_px))
    padded = np.pad(disparity, reach, mode="reflect", reflect_type="odd")
    across, down = padded[reach:-reach], padded[:, reach:-reach]
    twice = 2 * disparity
    bent_x = np.abs(across[:, : -2 * reach] + across[:, 2 * reach :] - twice)
    bent_y = np.abs(down[: -2 * reach] + down[2 * reach :] - twice)
    limit = (ratio + 2 * error.pixel) * np.maximum(disparity, 1e-6)
    return np.asarray(np.maximum(bent_x, bent_y) > limit)


@dataclass(frozen=True, eq=False)
class _Crop:
    """The part of a picture that a mask covers, with two pixels around it where there are."""

    mask: Mask
    top: int
    left: int

    @classmethod
    def around(cls, mask: Mask) -> _Crop | None:
        x, y, width, height = cv2.boundingRect(np.ascontiguousarray(mask).view(np.uint8))
        if not width:
            return None
        top, left = max(y - 2, 0), max(x - 2, 0)
        part = mask[top : y + height + 2, left : x + width + 2]
        return cls(np.ascontiguousarray(part), top, left)

    def of(self, image: np.ndarray) -> np.ndarray:
        """The same part of another picture of that size."""
        height, width = self.mask.shape
        return image[self.top : self.top + height, self.left : self.left + width]


def _lifted(
    view: FrameView, usable: Mask, crop: _Crop, traits: Traits, settings: LiftingSettings
) -> LiftedPoints | None:
    is_exact = view.error.pixel <= 0 and view.error.edge_px <= 0
    depth_m, known = crop.of(view.depth_m), crop.of(usable)
    inner = _eroded(crop.mask, round(view.edge_sigma_px)) & known
    if np.count_nonzero(inner) < settings.min_pixels:
        inner = crop.mask & known
    middle_m = float(np.median(some_of(depth_m[inner]))) if inner.any() else 0.0
    if not is_exact:
        inner &= _not_too_far(depth_m, middle_m, traits)
    if np.count_nonzero(inner) < settings.min_pixels:
        return None
    surface = NearestDepth(depth_m, inner) if is_exact else PlanarDepth(depth_m, inner)
    seen = inner if is_exact else crop.mask
    rng = np.random.default_rng([view.index, crop.top, crop.left])
    rim = _rim(seen)
    pixels = _spread(seen, rim, rng) if is_exact else _some(seen, settings.max_points, rng)
    outline = _some(rim, settings.max_outline_points, rng)
    both = np.concatenate((pixels, outline))
    both_m = _to_world(both, surface.at(both), crop, view)
    inside_m, outline_m = both_m[: len(pixels)], both_m[len(pixels) :]
    behind = _behind(view, crop, usable, surface)
    behind = behind[_strided(len(behind), settings.max_beside_points, rng)]
    num_pixels = int(np.count_nonzero(crop.mask))
    return LiftedPoints(
        inside_m=_outermost(inside_m, settings.max_points, rng) if is_exact else inside_m,
        outline_m=outline_m,
        is_cut=_cut(view, crop, surface, outline),
        beside_m=_to_world(behind, depth_m[tuple(behind.T)], crop, view),
        sigma_m=middle_m * _averaged_sigma(view.error),
        num_pixels=num_pixels,
        solid_angle_sr=num_pixels * _pixel_sr(crop, view),
    )


def _pixel_sr(crop: _Crop, view: FrameView) -> float:
    """The solid angle of a pixel in the middle of a crop."""
    height, width = crop.mask.shape
    x = (crop.left + width / 2 - view.K[0, 2]) / view.K[0, 0]
    y = (crop.top + height / 2 - view.K[1, 2]) / view.K[1, 1]
    return float((1 + x * x + y * y) ** -1.5 / (view.K[0, 0] * view.K[1, 1]))


def _not_too_far(depth_m: np.ndarray, middle_m: float, traits: Traits) -> Mask:
    """Where depth is no farther from the middle than a thing of that kind may be deep: what lies
    behind shows through a chair's back and around a lamp's foot.
    """
    if traits.usual_size_m is None:
        return np.ones(depth_m.shape, bool)
    reach_m = _LARGEST * float(np.linalg.norm(traits.usual_size_m)) / 2
    with np.errstate(invalid="ignore"):
        return np.asarray(np.abs(depth_m - np.float32(middle_m)) < reach_m)


def _eroded(mask: Mask, by_px: int) -> Mask:
    """Without a rim; where the mask leaves the picture there is none to take away."""
    if by_px <= 0:
        return mask
    kernel = np.ones((2 * by_px + 1, 2 * by_px + 1), np.uint8)
    return cv2.erode(mask.view(np.uint8), kernel, borderValue=1).view(bool)


def _rim(mask: Mask) -> Mask:
    """The outermost pixels, those at which the mask leaves the picture too."""
    return mask & ~cv2.erode(mask.view(np.uint8), _SQUARE, borderValue=0).view(bool)


_SQUARE = np.ones((3, 3), np.uint8)
#: Half the usual diagonal times this is as far as a thing may reach from its middle.
_LARGEST = 1.25


def _averaged_sigma(error: DepthNoise) -> float:
    """Relative error of one point after averaging; a frame's own scale is everyone's error."""
    return error.pixel / PLANE_PX


def _cut(
    view: FrameView, crop: _Crop, surface: NearestDepth, outline: NDArray[np.int64]
) -> Bool[np.ndarray, " o"]:
    """Whether the object is cut off close to pixels (O, 2) of its outline: by the picture's border,
    or by what lies beside it and is nearer.
    """
    height, width = view.depth_m.shape
    rim = 1 + round(view.edge_sigma_px)
    reach = rim + round(view.error.edge_px)
    depth_m = beside(crop.of(view.depth_m), outline, reach, np.inf)
    is_own = beside(crop.mask.view(np.uint8), outline, reach, 0) > 0
    nearest_m = np.where(is_own | ~np.isfinite(depth_m), np.inf, depth_m).min(axis=1)
    hidden = nearest_m < surface.near(outline) * (0.97 - 3 * _averaged_sigma(view.error))
    rows, columns = (outline + np.array([crop.top, crop.left])).T
    border = (rows < rim) | (rows >= height - rim) | (columns < rim) | (columns >= width - rim)
    return np.asarray(hidden | border)


def _behind(view: FrameView, crop: _Crop, usable: Mask, surface: NearestDepth) -> NDArray[np.int64]:
    """Usable pixels (B, 2) around the outline, outside the mask and off its smeared rim, that are
    not nearer than the object is.
    """
    inner = round(view.edge_sigma_px + view.error.edge_px)
    square = np.ones((2 * inner + 3, 2 * inner + 3), np.uint8)
    near = cv2.dilate(crop.mask.view(np.uint8), square, borderValue=0).view(bool)
    pixels = np.argwhere(near & ~crop.mask & crop.of(usable))
    depth_m = crop.of(view.depth_m)[tuple(pixels.T)]
    nearest_m = surface.near(pixels) * (0.97 - 3 * _averaged_sigma(view.error))
    return pixels[depth_m > nearest_m]


def _some(mask: Mask, at_most: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """At most so many of a mask's pixels (P, 2), rows and columns, spread over it."""
    flat = np.flatnonzero(mask)
    flat = flat[_strided(len(flat), at_most, rng)]
    return np.column_stack(np.divmod(flat, mask.shape[1]))


def _strided(num: int, at_most: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """At most so many of ``num`` places: one at random of each of as many equal stretches."""
    if num <= at_most:
        return np.arange(num)
    return ((np.arange(at_most) + rng.random(at_most)) * (num / at_most)).astype(np.int64)


def _spread(mask: Mask, rim: Mask, rng: np.random.Generator) -> NDArray[np.int64]:
    """Pixels (P, 2) of a mask: all, or of large ones the rim and some of the rest."""
    if np.count_nonzero(mask) <= _EXACT_PIXELS:
        return np.argwhere(mask)
    return np.concatenate((np.argwhere(rim), _some(mask & ~rim, _EXACT_PIXELS, rng)))


#: Pixels among which the outermost points of a large thing are looked for, beside its rim.
_EXACT_PIXELS = 4096


def _to_world(
    pixels: NDArray[np.int64], depth_m: np.ndarray, crop: _Crop, view: FrameView
) -> Array:
    """(P, 3) points of the world: pixels (P, 2) of a crop, rows and columns, with their depth."""
    rows, columns = pixels.T
    z = depth_m.astype(np.float64)
    x = (columns + crop.left + 0.5 - view.K[0, 2]) / view.K[0, 0] * z
    y = (rows + crop.top + 0.5 - view.K[1, 2]) / view.K[1, 1] * z
    camera = np.stack((x, y, z), axis=1)
    return camera @ view.T_world_camera[:3, :3].T + view.T_world_camera[:3, 3]


#: Directions in which the outermost points are kept where points are exact.
_OUTWARD = np.array(
    [(np.cos(a), np.sin(a), 0.0) for a in np.arange(0, 2 * np.pi, np.pi / 24)]
    + [(0.0, 0.0, 1.0), (0.0, 0.0, -1.0)]
)


def _outermost(points_m: Array, max_points: int, rng: np.random.Generator) -> Array:
    """At most so many of the points, the outermost among them; only exact points may be chosen
    so, since of noisy ones the outermost are the worst.
    """
    if len(points_m) <= max_points:
        return points_m
    kept = np.unique(np.argmax(_OUTWARD @ points_m.T, axis=1))
    others = _strided(len(points_m), max_points - len(kept), rng)
    return points_m[np.concatenate((kept, others))]
