"""The oracle ladder: which of the network's outputs, were it perfect, would help how much.

True dense maps are made of a rendered clip and swapped in, a field at a time, before the
encoder's own odometry and fusion. With everything true, what is still missing is the fault of
lifting and fusion; with one field true, the gain is what that head is worth improving.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spatialcode.encoder.maps import (
    CEILING_CHANNEL,
    FLOOR_CHANNEL,
    WALL_CHANNEL,
    DenseMaps,
)
from spatialcode.encoder.small.targets import cell_depth
from spatialcode.scene.frames import level_rotation
from spatialcode.scene.kinds import PRIMITIVE_KINDS, Kinds
from spatialcode.synthetic.truth import SyntheticClip

Array = NDArray[np.float64]

#: What a rung can replace; ``pose`` is the path itself, the others fields of the maps.
FIELDS = ("class", "depth", "vote", "size", "yaw", "gravity")

#: Scales given to true values: confident, and within what the network itself may say.
TRUE_SCALE_M = 0.02
TRUE_LOG_SCALE = 0.01
TRUE_GRAVITY_SCALE_RAD = 0.002

_STRUCTURE = {-1: FLOOR_CHANNEL, -2: WALL_CHANNEL, -3: CEILING_CHANNEL}


@dataclass(frozen=True, eq=False)
class TrueMaps:
    """``maps``: what a perfect network would say; ``is_object`` (N, h, w): the cells in which
    vote, size and yaw mean something; ``has_depth`` (N, h, w): the cells with a true depth.
    """

    maps: DenseMaps
    is_object: NDArray[np.bool_]
    has_depth: NDArray[np.bool_]


def true_maps(clip: SyntheticClip, kinds: Kinds = PRIMITIVE_KINDS) -> TrueMaps:
    """Perfect maps at the cell centres of a clip rendered at the network's input size."""
    with np.errstate(divide="ignore"):
        depth, instance = cell_depth(clip.depth_m, clip.instance)
    has_depth = np.isfinite(depth) & (depth > 0)
    is_object = (instance >= 0) & has_depth
    rotation = clip.T_world_camera[:, :3, :3]
    up = rotation[:, 2, :]
    R_level_world = level_rotation(up) @ np.swapaxes(rotation, -1, -2)
    frame, index = np.arange(len(depth))[:, None, None], np.where(is_object, instance, 0)
    offset = clip.center_m - clip.T_world_camera[:, None, :3, 3]
    vote = np.einsum("nij,nmj->nmi", R_level_world, offset)
    yaw = clip.yaw_rad + np.arctan2(R_level_world[:, 1, 0], R_level_world[:, 0, 0])[:, None]
    ones = np.ones_like(depth)
    num_frames = len(depth)
    maps = DenseMaps(
        class_prob=_one_hot(instance, clip.labels, kinds),
        depth_m=np.where(has_depth, depth, 1.0).astype(np.float32),
        depth_log_scale=TRUE_LOG_SCALE * ones,
        vote_level_m=_cells(vote[frame, index], is_object, 0.0),
        vote_scale_m=np.repeat(TRUE_SCALE_M * ones[..., None], 3, axis=-1),
        size_m=_cells(np.asarray(clip.size_m)[index], is_object, 1.0),
        yaw_level_rad=_cells(yaw[frame, index][..., None], is_object, 0.0)[..., 0],
        up_camera=up.astype(np.float32),
        camera_height_m=clip.T_world_camera[:, 2, 3].astype(np.float32),
        gravity_scale_rad=np.full(num_frames, TRUE_GRAVITY_SCALE_RAD, np.float32),
        kinds=kinds,
    )
    return TrueMaps(maps, is_object, has_depth)


def _cells(
    values: NDArray[np.floating], valid: NDArray[np.bool_], fill: float
) -> NDArray[np.float32]:
    return np.where(valid[..., None], values, fill).astype(np.float32)


def _one_hot(
    instance: NDArray[np.int16], labels: tuple[str, ...], kinds: Kinds
) -> NDArray[np.float32]:
    """(N, C, h, w) from instance ids (N, h, w); an object of an unknown label is wall."""
    wall = kinds.num_channels + WALL_CHANNEL
    channel = np.full(instance.shape, wall)
    for value, structure in _STRUCTURE.items():
        channel[instance == value] = kinds.num_channels + structure
    found = (kinds.channel_of(label) for label in labels)
    of_object = np.array([wall if channel is None else channel for channel in found], dtype=int)
    inside = instance >= 0
    channel[inside] = of_object[instance[inside]]
    return np.moveaxis(np.eye(kinds.num_channels, dtype=np.float32)[channel], -1, 1)


def replace_with_truth(maps: DenseMaps, truth: TrueMaps, fields: Iterable[str]) -> DenseMaps:
    """Predicted ``maps`` with some of ``FIELDS`` replaced by ``truth``.

    Vote, size and yaw are replaced where the truth is an object; elsewhere there is no true
    value and the network's stays, as harmful as it is. True votes and yaws are turned into
    the level frame of the gravity that the result holds, so that they stay true directions
    as seen from the camera and a gravity error is not counted twice. Raises ValueError for an
    unknown field.
    """
    chosen = set(fields)
    if not chosen <= set(FIELDS):
        raise ValueError(f"fields: expected some of {FIELDS}, got {sorted(chosen - set(FIELDS))}")
    true, cells = truth.maps, truth.is_object
    up_camera = true.up_camera if "gravity" in chosen else maps.up_camera
    turn = level_rotation(up_camera) @ np.swapaxes(level_rotation(true.up_camera), -1, -2)
    values: dict[str, Any] = {}
    if "gravity" in chosen:
        values["up_camera"] = true.up_camera
        values["camera_height_m"] = true.camera_height_m
        values["gravity_scale_rad"] = true.gravity_scale_rad
    if "class" in chosen:
        values["class_prob"] = true.class_prob
    if "depth" in chosen:
        values["depth_m"] = np.where(truth.has_depth, true.depth_m, maps.depth_m)
        values["depth_log_scale"] = np.where(
            truth.has_depth, true.depth_log_scale, maps.depth_log_scale
        )
    if "vote" in chosen:
        vote = np.einsum("nij,nhwj->nhwi", turn, true.vote_level_m).astype(np.float32)
        values["vote_level_m"] = np.where(cells[..., None], vote, maps.vote_level_m)
        values["vote_scale_m"] = np.where(cells[..., None], true.vote_scale_m, maps.vote_scale_m)
    if "size" in chosen:
        values["size_m"] = np.where(cells[..., None], true.size_m, maps.size_m)
    if "yaw" in chosen:
        extra = np.arctan2(turn[:, 1, 0], turn[:, 0, 0]).astype(np.float32)
        yaw = true.yaw_level_rad + extra[:, None, None]
        values["yaw_level_rad"] = np.where(cells, yaw, maps.yaw_level_rad)
    return replace(maps, **values)


@dataclass(frozen=True)
class Rung:
    """One step of a ladder: the fields made true, and whether the path is."""

    name: str
    fields: tuple[str, ...]
    true_path: bool


def rungs() -> dict[str, tuple[Rung, ...]]:
    """The three ladders, by what they start from.

    ``given``: true path, one field at a time, then all. ``predicted``: own path, one at a
    time (a true depth or gravity also moves the path). ``cumulative``: from the own path on,
    each rung keeps what the earlier ones replaced.
    """
    dense = tuple(field for field in FIELDS if field != "gravity")
    given = [Rung(field, (field,), True) for field in dense]
    predicted = [Rung("pose", (), True)] + [Rung(field, (field,), False) for field in FIELDS]
    order = ("gravity", "vote", "class", "size", "yaw", "depth")
    cumulative = [Rung("pose", (), True)]
    cumulative += [Rung("+" + field, order[: i + 1], True) for i, field in enumerate(order)]
    return {
        "given": (*given, Rung("all", dense, True)),
        "predicted": tuple(predicted),
        "cumulative": tuple(cumulative),
    }
