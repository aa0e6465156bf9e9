"""Tiny random towers of the very classes that the hub's weights have, saved to disk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from spatialcode.encoder.unified.config import TowerTraining, UnifiedNetworkConfig
from spatialcode.encoder.unified.model import UnifiedModel
from spatialcode.encoder.unified.towers import (
    load_geometry_tower,
    load_object_tower,
    prepare_towers,
)
from spatialcode.encoder.unified.weights import save_unified
from tests.encoder.geometry.tiny_geometry import ANY_VIEW, save_da3

SIDE_PX = 128
NETWORK = UnifiedNetworkConfig(
    width=32, num_heads=4, num_fusion_layers=1, object_side_px=SIDE_PX, geometry_side_px=112
)


def object_config():
    from transformers import Sam2HieraDetConfig, Sam2VisionConfig

    side = SIDE_PX
    hiera = Sam2HieraDetConfig(
        image_size=[side, side], hidden_size=12, blocks_per_stage=[1, 2, 2, 1],
        embed_dim_per_stage=[12, 24, 48, 96], num_attention_heads_per_stage=[1, 2, 2, 2],
        window_size_per_stage=[8, 4, 4, 2], global_attention_blocks=[4],
        window_positional_embedding_background_size=[2, 2],
    )  # fmt: skip
    return Sam2VisionConfig(
        backbone_config=hiera.to_dict(),
        backbone_channel_list=[96, 48, 24, 12],
        backbone_feature_sizes=[[side // 4] * 2, [side // 8] * 2, [side // 16] * 2],
        fpn_hidden_size=64,
    )


def save_towers(folder: Path, seed: int = 0) -> tuple[str, str]:
    """Folders of an object tower and a geometry tower with random weights."""
    from transformers import Sam2VisionModel

    torch.manual_seed(seed)
    objects, geometry = folder / "sam2", folder / "da3"
    Sam2VisionModel(object_config()).save_pretrained(objects)
    save_da3(geometry, ANY_VIEW, seed)
    return str(objects), str(geometry)


def make_model(folder: Path, mode: str = "frozen", seed: int = 0, **changes) -> UnifiedModel:
    """A model on tiny towers that were saved and loaded again, ready for training."""
    objects, geometry = save_towers(folder, seed)
    network = replace(NETWORK, **changes)
    model = UnifiedModel(load_object_tower(objects), load_geometry_tower(geometry), network)
    prepare_towers(model, TowerTraining(mode=mode, lora_rank=2, rate_factor=1.0))
    return model


def save_trained(folder: Path) -> Path:
    """A folder of weights as training writes it, of a model that was not trained."""
    save_unified(make_model(folder), folder / "unified", {"name": "tiny", "licence": "none"})
    return folder / "unified"
