"""The bundled dense network on a CUDA device against the same on the CPU."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch

import spatialcode
from spatialcode.encoder.small.encoder import load_weights
from spatialcode.encoder.small.inference import DenseRunner, FrameBatch, with_poses, without_gravity

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
DEVICE = "cuda"
WEIGHTS = Path(spatialcode.__file__).parent / "assets" / "encoder_small.safetensors"


def batches() -> list[FrameBatch]:
    """Smooth random pictures, once without and once with poses, 1.5 m above the floor."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (5, 15, 20, 3), dtype=np.uint8)
    rgb = coarse.repeat(8, axis=1).repeat(8, axis=2)
    K = np.array([[120.0, 0, 80], [0, 120, 60], [0, 0, 1]])
    pose = np.array([[1.0, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 1.5], [0, 0, 0, 1]])
    return [without_gravity(rgb, K), with_poses(rgb, K, np.tile(pose, (5, 1, 1)), exact=True)]


@pytest.mark.parametrize("which", [0, 1])
def test_dense_maps_are_the_cpus(which: int) -> None:
    model, _ = load_weights(WEIGHTS)
    batch = batches()[which]
    cpu, gpu = (DenseRunner(model, device, bfloat16=False)(batch) for device in ("cpu", DEVICE))
    for field in fields(cpu):
        apart = np.abs(getattr(gpu, field.name) - getattr(cpu, field.name))
        if field.name == "yaw_level_rad":  # of a class without a front it may turn by half
            apart = np.quantile(np.minimum(apart, 2 * np.pi - apart), 0.95)
        size = np.abs(getattr(cpu, field.name)).max()
        assert np.max(apart) <= 5e-3 * max(1.0, size), field.name
