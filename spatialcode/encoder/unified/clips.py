"""What the unified network learns from: posed frames with outlines, depth and boxes, of any source.

A clip is plain arrays, made by a renderer or read from a recording whose outlines a teacher drew. A
batch is the same as tensors, with objects padded to one number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from spatialcode.encoder.unified.losses import SYMMETRIES
from spatialcode.encoder.unified.rotations import quaternion_product
from spatialcode.errors import SchemaError
from spatialcode.scene.categories import traits_of
from spatialcode.scene.frames import quaternion_from_matrix

#: Fewer pixels of an object than this share of a frame are neither called present nor absent.
MIN_SHARE = 5e-4


@dataclass(frozen=True, eq=False)
class LearningClip:
    """N frames of H × W pixels with M objects.

    ``instance``: the object's number at every pixel, below 0 where there is none. ``depth_m``:
    z-depth, not finite or 0 where it is unknown. ``K``: in pixels of the frames. Boxes are in world
    coordinates, a place a frame: ``center_m``, ``quaternion_wxyz``. ``symmetry``: indices into
    `SYMMETRIES`. SchemaError where they do not agree.
    """

    rgb: UInt8[np.ndarray, "n h w 3"]
    instance: Int[np.ndarray, "n h w"]
    depth_m: Float[np.ndarray, "n h w"]
    K: Float[np.ndarray, "n 3 3"]
    T_world_camera: Float[np.ndarray, "n 4 4"]
    center_m: Float[np.ndarray, "n m 3"]
    size_m: Float[np.ndarray, "m 3"]
    quaternion_wxyz: Float[np.ndarray, "n m 4"]
    symmetry: Int[np.ndarray, " m"]

    def __post_init__(self) -> None:
        n, h, w = self.rgb.shape[:3]
        m = len(self.size_m)
        shapes = {
            "rgb": (n, h, w, 3), "instance": (n, h, w), "depth_m": (n, h, w), "K": (n, 3, 3),
            "T_world_camera": (n, 4, 4), "center_m": (n, m, 3), "size_m": (m, 3),
            "quaternion_wxyz": (n, m, 4), "symmetry": (m,),
        }  # fmt: skip
        for name, shape in shapes.items():
            if getattr(self, name).shape != shape:
                raise SchemaError(f"LearningClip.{name}", str(shape), getattr(self, name).shape)
        if self.instance.size and self.instance.max() >= m:
            raise SchemaError(
                "LearningClip.instance", f"numbers below {m}", int(self.instance.max())
            )


def symmetry_indices(labels: Sequence[str]) -> Int[np.ndarray, " m"]:
    """The symmetry of each label's boxes, as an index into `SYMMETRIES`."""
    return np.array([SYMMETRIES.index(traits_of(label).yaw_symmetry) for label in labels], np.int64)


@dataclass(frozen=True, eq=False)
class LearningBatch:
    """B clips as tensors, named as in `LearningClip`, M the most objects of any.

    ``is_object`` (B, M): what is no padding.
    """

    rgb: UInt8[Tensor, "b n h w 3"]
    instance: Int[Tensor, "b n h w"]
    depth_m: Float[Tensor, "b n h w"]
    K: Float[Tensor, "b n 3 3"]
    T_world_camera: Float[Tensor, "b n 4 4"]
    center_m: Float[Tensor, "b n m 3"]
    size_m: Float[Tensor, "b m 3"]
    quaternion_wxyz: Float[Tensor, "b n m 4"]
    symmetry: Int[Tensor, "b m"]
    is_object: Bool[Tensor, "b m"]

    def to(self, device: torch.device | str) -> LearningBatch:
        """The batch on a device."""
        held = {f.name: getattr(self, f.name) for f in fields(self)}
        return LearningBatch(**{k: v.to(device, non_blocking=True) for k, v in held.items()})


def collated(clips: Sequence[LearningClip]) -> LearningBatch:
    """Clips of one size and number of frames as a batch; there is always one object, at least
    of padding. SchemaError where sizes differ.
    """
    shapes = {clip.rgb.shape for clip in clips}
    if len(shapes) != 1:
        raise SchemaError("collated", "clips of one size and length", sorted(shapes))
    most = max(1, *(len(clip.size_m) for clip in clips))

    def stacked(
        name: str, dtype: torch.dtype, axis: int | None = None, filled: float = 0
    ) -> Tensor:
        arrays = [getattr(clip, name) for clip in clips]
        if axis is not None:
            arrays = [_padded(array, axis, most, filled) for array in arrays]
        return torch.from_numpy(np.stack(arrays)).to(dtype)

    objects = [np.arange(most) < len(clip.size_m) for clip in clips]
    quaternion = stacked("quaternion_wxyz", torch.float32, 1)
    quaternion[..., 0] += (quaternion.abs().sum(-1) == 0).float()
    return LearningBatch(
        rgb=stacked("rgb", torch.uint8),
        instance=stacked("instance", torch.int64),
        depth_m=stacked("depth_m", torch.float32),
        K=stacked("K", torch.float32),
        T_world_camera=stacked("T_world_camera", torch.float32),
        center_m=stacked("center_m", torch.float32, 1),
        size_m=stacked("size_m", torch.float32, 0, 1.0),
        quaternion_wxyz=quaternion,
        symmetry=stacked("symmetry", torch.int64, 0),
        is_object=torch.from_numpy(np.stack(objects)),
    )


def _padded(array: np.ndarray, axis: int, length: int, filled: float) -> np.ndarray:
    widths = [(0, 0)] * array.ndim
    widths[axis] = (0, length - array.shape[axis])
    return np.pad(array, widths, constant_values=filled)


@dataclass(frozen=True, eq=False)
class TrackedTruth:
    """What is true of each object in each frame, its box in that frame's camera frame.

    ``masks``: of the object; where it is not in the frame, its mask of the nearest frame that shows
    it, as a tracker that has lost it would claim. ``is_present``, ``is_absent``: neither holds
    where too little is seen to say, or for padding.
    """

    masks: Bool[Tensor, "b n m h w"]
    is_present: Bool[Tensor, "b n m"]
    is_absent: Bool[Tensor, "b n m"]
    center_m: Float[Tensor, "b n m 3"]
    quaternion_wxyz: Float[Tensor, "b n m 4"]
    size_m: Float[Tensor, "b n m 3"]
    symmetry: Int[Tensor, "b n m"]


def tracked_truth(batch: LearningBatch) -> TrackedTruth:
    """The truth of a batch in the cameras' frames."""
    num_objects, num_frames = batch.is_object.shape[1], batch.rgb.shape[1]
    number = torch.arange(num_objects, device=batch.instance.device)
    own = batch.instance[:, :, None] == number[:, None, None]
    num_pixels = own.sum((-2, -1))
    share = num_pixels / own[0, 0, 0].numel()
    shows = (share >= MIN_SHARE) & batch.is_object[:, None]
    seen = shows.any(1, keepdim=True)
    T_camera_world = torch.linalg.inv(batch.T_world_camera)
    center = torch.einsum("bnij,bnmj->bnmi", T_camera_world[..., :3, :3], batch.center_m)
    wxyz = quaternion_from_matrix(T_camera_world[..., :3, :3].double().cpu().numpy())
    turn = torch.from_numpy(wxyz).to(batch.center_m)
    return TrackedTruth(
        masks=_borrowed(own, shows),
        is_present=shows,
        is_absent=(num_pixels == 0) & seen,
        center_m=center + T_camera_world[:, :, None, :3, 3],
        quaternion_wxyz=quaternion_product(turn[:, :, None], batch.quaternion_wxyz),
        size_m=batch.size_m[:, None].expand(-1, num_frames, -1, -1),
        symmetry=batch.symmetry[:, None].expand(-1, num_frames, -1),
    )


def _borrowed(own: Bool[Tensor, "b n m h w"], shows: Bool[Tensor, "b n m"]) -> Tensor:
    """Masks, those of frames without the object taken from the nearest frame that shows it."""
    num_frames = own.shape[1]
    frame = torch.arange(num_frames, device=own.device)
    away = (frame[:, None] - frame).abs()[None, :, :, None].float()
    # a frame that shows nothing is further than any that does
    away = away + num_frames * (~shows)[:, None].float()
    nearest = away.argmin(2)
    index = nearest[..., None, None].expand_as(own)
    empty = ~own.flatten(-2).any(-1)
    return torch.where(empty[..., None, None], own.gather(1, index), own)
