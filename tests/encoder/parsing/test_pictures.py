from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from spatialcode.encoder.parsing.pictures import Preparation, read_preparation
from spatialcode.errors import WeightsError
from tests.encoder import tiny_models

PLAIN = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


def noise(height: int, width: int, count: int = 1) -> np.ndarray:
    """Smooth pictures, so that resampling filters differ little."""
    import cv2

    rng = np.random.default_rng(0)
    small = rng.integers(0, 255, (count, 9, 9, 3), np.uint8)
    return np.stack([cv2.resize(one, (width, height)) for one in small])


@pytest.mark.parametrize(
    ("height", "width"), [(480, 640), (640, 480), (64, 64), (100, 1000), (1000, 100), (721, 405)]
)
def test_the_shape_of_pictures_is_the_librarys(height: int, width: int) -> None:
    from transformers.models.grounding_dino.image_processing_pil_grounding_dino import (
        get_size_with_aspect_ratio,
    )

    prepare = Preparation("shaped", (800, 1333), *PLAIN)
    expected = get_size_with_aspect_ratio((height, width), 800, 1333)
    assert prepare.scaled_size_px(height, width) == expected


def test_a_portrait_frame_is_padded_at_its_right_and_its_boxes_come_back_in_its_pixels() -> None:
    prepare = Preparation("padded", (96, 96), *PLAIN)
    assert prepare.scaled_size_px(200, 50) == (96, 24)
    white = np.full((1, 200, 50, 3), 255, np.uint8)
    pixels = prepare(white, "cpu", torch.float32)[0, 0]
    assert pixels.shape == (96, 96)
    assert torch.allclose(pixels[:, :24], torch.ones(96, 24))
    assert (pixels[:, 24:] == 0.0).all()
    # A quarter of the square's width is 50 px of the frame: all of it.
    box = np.array([0.0, 0.5, 0.25, 1.0]) * prepare.scale(200, 50)
    np.testing.assert_array_equal(box, [0, 100, 50, 200])


def test_stretched_and_shaped_boxes_come_back_by_each_side() -> None:
    for fit in ("stretched", "shaped"):
        scale = Preparation(fit, (96, 96), *PLAIN).scale(200, 50)
        np.testing.assert_array_equal(scale, [50, 200, 50, 200])


def test_colours_are_normalised_by_hand() -> None:
    prepare = Preparation("stretched", (4, 8), (0.5, 0.0, 0.2), (0.5, 1.0, 0.4))
    frame = np.full((2, 16, 16, 3), (255, 51, 0), np.uint8)
    pixels = prepare(frame, "cpu", torch.float32)
    assert pixels.shape == (2, 3, 4, 8)
    assert torch.allclose(pixels[1, :, 2, 3], torch.tensor([1.0, 0.2, -0.5]))


def test_pictures_are_close_to_the_librarys_own() -> None:
    from transformers import GroundingDinoImageProcessorPil, Owlv2ImageProcessorPil

    frame = noise(120, 90)[0]
    for folder, processor, most in (
        (tiny_models.grounding_dino(), GroundingDinoImageProcessorPil, 0.03),
        (tiny_models.owlv2(), Owlv2ImageProcessorPil, 0.1),
    ):
        settings = json.loads((folder / "preprocessor_config.json").read_text("utf-8"))
        del settings["image_processor_type"]
        expected = processor(**settings)(images=[frame], return_tensors="pt")["pixel_values"]
        ours = read_preparation(folder)(frame[None], "cpu", torch.float32)
        assert ours.shape == expected.shape
        assert (ours - expected.float()).abs().max() < most


def test_batches_change_nothing() -> None:
    frames = noise(30, 40, 3)
    prepare = Preparation("shaped", (64, 96), *PLAIN)
    together = prepare(frames, "cpu", torch.float32)
    assert torch.equal(together[1:2], prepare(frames[1:2], "cpu", torch.float32))


def test_the_newer_file_with_the_pictures_part_inside_is_read_too(tmp_path: Path) -> None:
    inner = {"size": {"height": 8, "width": 16}, "resample": 3, **tiny_models.HALF}
    (tmp_path / "processor_config.json").write_text(json.dumps({"image_processor": inner}))
    assert read_preparation(tmp_path) == Preparation(
        "stretched", (8, 16), (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), bicubic=True
    )


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "{}",
        '{"size": {"shortest_edge": 8}, "image_mean": [0,0,0], "image_std": [1,1,1]}',
        '{"size": {"height": 8, "width": 8}, "image_mean": [0,0], "image_std": [1,1]}',
        '{"size": {"height": 8, "width": 8}, "image_mean": [0,0,0], "image_std": [1,0,1]}',
        '{"size": {"height": 8, "width": 8}}',
    ],
)
def test_files_that_say_too_little_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "preprocessor_config.json").write_text(text)
    with pytest.raises(WeightsError, match="preprocessor_config"):
        read_preparation(tmp_path)


def test_a_folder_without_such_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="expected a preprocessor_config"):
        read_preparation(tmp_path)
