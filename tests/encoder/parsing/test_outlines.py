from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from spatialcode.encoder.parsing.outlines import appearance, clean, mask_boxes, outlined
from spatialcode.encoder.parsing.settings import OutlineSettings


def rectangle(x0: int, y0: int, x1: int, y1: int, shape: tuple[int, int] = (40, 60)) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[y0:y1, x0:x1] = True
    return mask


def test_specks_go_and_large_parts_stay() -> None:
    mask = rectangle(2, 2, 22, 22) | rectangle(30, 2, 40, 10) | rectangle(50, 30, 54, 34)
    kept = clean(mask, OutlineSettings(min_part=0.1))  # 400, 80 and 16 pixels
    np.testing.assert_array_equal(kept, rectangle(2, 2, 22, 22) | rectangle(30, 2, 40, 10))


def test_pinholes_are_filled_and_large_holes_and_bays_are_not() -> None:
    solid = rectangle(5, 5, 35, 35)
    holes = solid & ~rectangle(10, 10, 12, 12) & ~rectangle(20, 20, 26, 26)
    kept = clean(holes, OutlineSettings(max_hole=0.01))  # of 4, and of 36 of 860 pixels
    np.testing.assert_array_equal(kept, solid & ~rectangle(20, 20, 26, 26))
    # Background that reaches the border is no hole, however small.
    full = np.ones((40, 60), bool)
    full[0, 0] = False
    np.testing.assert_array_equal(clean(full, OutlineSettings()), full)


def test_a_mask_that_is_too_small_is_empty() -> None:
    assert not clean(rectangle(0, 0, 3, 5), OutlineSettings(min_area_px=16)).any()
    assert clean(rectangle(0, 0, 4, 4), OutlineSettings(min_area_px=16)).sum() == 16


def test_logits_become_masks_of_the_frames_own_size_and_shape() -> None:
    # The right half of the network's square picture is the right half of a portrait frame.
    logits = torch.full((1, 32, 32), -5.0)
    logits[0, :, 16:] = 5.0
    mask = outlined(logits, (120, 60), OutlineSettings())[0]
    assert mask.shape == (120, 60)
    np.testing.assert_array_equal(mask, rectangle(30, 0, 60, 120, (120, 60)))
    assert outlined(logits[:0], (120, 60), OutlineSettings()).shape == (0, 120, 60)


def test_boxes_around_masks() -> None:
    masks = np.stack([rectangle(3, 5, 20, 30), np.zeros((40, 60), bool)])
    np.testing.assert_array_equal(mask_boxes(masks), [[3, 5, 20, 30], [0, 0, 0, 0]])


def test_appearance_is_the_mean_under_the_mask_by_hand() -> None:
    features = torch.zeros(2, 4, 6)
    features[0, :, :3] = 3.0  # left
    features[1, :, 3:] = 4.0  # right
    masks = np.stack(
        [rectangle(0, 0, 30, 40), rectangle(30, 0, 60, 40), rectangle(0, 0, 60, 40),
         rectangle(31, 1, 32, 2), np.zeros((40, 60), bool)]
    )  # fmt: skip
    vectors = appearance(features, masks)
    expected = [[1, 0], [0, 1], [0.6, 0.8], [0, 1], [0, 0]]  # the third: (3, 4) / 2
    np.testing.assert_allclose(vectors, expected, atol=1e-6)
    assert appearance(features, masks[:0]).shape == (0, 2)


def slowly_clean(mask: np.ndarray, limits: OutlineSettings) -> np.ndarray:
    """As `clean` says, over the whole frame, part by part."""
    eight = np.ones((3, 3))
    parts, count = ndimage.label(mask, eight)
    areas = [(parts == i).sum() for i in range(1, count + 1)]
    kept = np.zeros_like(mask)
    for i, area in enumerate(areas, 1):
        if area >= limits.min_part * max(areas):
            kept |= parts == i
    holes, count = ndimage.label(~kept, eight)
    filled = kept.copy()
    for i in range(1, count + 1):
        hole = holes == i
        border = hole[0].any() or hole[-1].any() or hole[:, 0].any() or hole[:, -1].any()
        if not border and hole.sum() <= limits.max_hole * kept.sum():
            filled |= hole
    return filled if filled.sum() >= limits.min_area_px else np.zeros_like(mask)


@pytest.mark.parametrize("seed", range(20))
def test_cleaning_near_the_mask_alone_is_cleaning_the_whole_frame(seed: int) -> None:
    rng = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(rng.standard_normal((40, 60)), rng.uniform(0.5, 3.0))
    mask = rectangle(*rng.integers(0, 30, 2), *rng.integers(30, 41, 2)) & (noise > -0.05)
    limits = OutlineSettings(min_part=0.2, max_hole=0.05)
    np.testing.assert_array_equal(clean(mask, limits), slowly_clean(mask, limits))
