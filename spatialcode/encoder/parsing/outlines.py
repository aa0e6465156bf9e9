"""Masks out of a network's logits, cleaned, in the frame's size; and what is seen under them.

Appearance vectors are means of the image tower's features over a mask, of unit length: near each
other for one thing seen twice. They say nothing of size or place, and are comparable within one
tower only.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from spatialcode.encoder.parsing.settings import OutlineSettings


def outlined(
    logits: Float[Tensor, "m h w"], size_px: tuple[int, int], settings: OutlineSettings
) -> Bool[np.ndarray, "m hh ww"]:
    """Masks of a frame (height, width) whose stretched picture the logits cover.

    A mask that is too small after cleaning is empty, so that callers can count it.
    """
    if not len(logits):
        return np.zeros((0, *size_px), bool)
    full = functional.interpolate(
        logits[:, None].float(), size=size_px, mode="bilinear", align_corners=False
    )
    masks = (full[:, 0] > 0.0).cpu().numpy()
    return np.stack([clean(mask, settings) for mask in masks])


def clean(mask: Bool[np.ndarray, "h w"], settings: OutlineSettings) -> Bool[np.ndarray, "h w"]:
    """A mask without specks and pinholes, or an empty one where too little is left."""
    result = np.zeros_like(mask)
    if not mask.any():
        return result
    x0, y0, x1, y1 = mask_boxes(mask[None])[0].astype(int)
    # What lies around the mask takes time and changes nothing; one pixel of it joins its bays.
    inner = slice(max(0, y0 - 1), y1 + 1), slice(max(0, x0 - 1), x1 + 1)
    numbers, areas = _parts(mask[inner])
    kept = np.r_[False, areas >= settings.min_part * areas.max()][numbers]
    numbers, areas = _parts(~kept)
    small = np.r_[False, areas <= settings.max_hole * kept.sum()]
    # Background that reaches the border is no hole.
    small[np.r_[numbers[0], numbers[-1], numbers[:, 0], numbers[:, -1]]] = False
    kept |= small[numbers]
    if kept.sum() >= settings.min_area_px:
        result[inner] = kept
    return result


def _parts(mask: Bool[np.ndarray, "h w"]) -> tuple[np.ndarray, np.ndarray]:
    """The number of the part that each pixel is of (0: none), and the areas of parts 1, 2, …

    Pixels that touch at a corner are of one part.
    """
    _, numbers, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    return np.asarray(numbers), np.asarray(stats)[1:, cv2.CC_STAT_AREA]


def mask_boxes(masks: Bool[np.ndarray, "m h w"]) -> Float[np.ndarray, "m 4"]:
    """The smallest box around each mask; zeros around an empty one."""
    boxes = np.zeros((len(masks), 4))
    for row, mask in enumerate(masks):
        y, x = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        if len(y):
            boxes[row] = x[0], y[0], x[-1] + 1, y[-1] + 1
    return boxes


def appearance(
    features: Float[Tensor, "c h w"], masks: Bool[np.ndarray, "m hh ww"]
) -> Float[np.ndarray, "m c"]:
    """The mean feature under each mask, of unit length. ``features`` cover the whole frame.

    A mask that covers a part of a cell counts it by that part. An empty mask has a zero vector.
    """
    if not len(masks):
        return np.zeros((0, features.shape[0]), np.float32)
    shares = torch.from_numpy(masks).to(features.device, torch.float32)[:, None]
    shares = functional.interpolate(shares, size=features.shape[1:], mode="area")[:, 0]
    pooled = torch.einsum("mhw,chw->mc", shares, features.float())
    return functional.normalize(pooled, dim=1).cpu().numpy()
