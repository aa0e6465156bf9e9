"""Tiny random geometry networks of the very classes that the hub's weights have, saved to disk."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_model

_DA3 = "depth_anything_3.model"
_BACKBONE = {"embed_dim": 48, "depth": 4, "num_heads": 3, "out_layers": [0, 1, 2, 3]}
ANY_VIEW = {
    "net": {**_BACKBONE, "alt_start": 2, "qknorm_start": 2, "rope_start": 2, "cat_token": True},
    "head": {
        "__object__": {"path": f"{_DA3}.dualdpt", "name": "DualDPT", "args": "as_params"},
        "dim_in": 96, "output_dim": 2, "features": 16, "out_channels": [8, 8, 16, 16],
    },
    "cam_enc": {
        "__object__": {"path": f"{_DA3}.cam_enc", "name": "CameraEnc", "args": "as_params"},
        "dim_out": 48, "trunk_depth": 1, "num_heads": 3,
    },
    "cam_dec": {
        "__object__": {"path": f"{_DA3}.cam_dec", "name": "CameraDec", "args": "as_params"},
        "dim_in": 96,
    },
}  # fmt: skip
METRIC = {
    "net": {**_BACKBONE, "cat_token": False},
    "head": {
        "__object__": {"path": f"{_DA3}.dpt", "name": "DPT", "args": "as_params"},
        "dim_in": 48, "output_dim": 1, "features": 16, "out_channels": [8, 8, 16, 16],
    },
}  # fmt: skip


class _Wrapped(torch.nn.Module):
    """As the published files hold it."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model


def save_da3(folder: Path, parts: dict, seed: int = 0) -> Path:
    from spatialcode.encoder.geometry.any_view_weights import _built

    torch.manual_seed(seed)
    return _written(folder, parts, _built(folder, json.loads(json.dumps(parts))))


def save_nested(folder: Path, seed: int = 0) -> Path:
    from spatialcode.encoder.geometry.any_view_weights import _built

    torch.manual_seed(seed)
    both = torch.nn.Module()
    both.da3, both.da3_metric = (
        _built(folder, json.loads(json.dumps(parts))) for parts in (ANY_VIEW, METRIC)
    )
    return _written(folder, {"anyview": ANY_VIEW, "metric": METRIC}, both)


def _written(folder: Path, parts: dict, network: torch.nn.Module) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"model_name": "tiny", "config": parts})
    (folder / "config.json").write_text(text)
    save_model(_Wrapped(network), str(folder / "model.safetensors"))
    return folder


def _preprocessor(folder: Path, height: int, width: int, kind: str) -> Path:
    values = {
        "image_processor_type": kind, "size": {"height": height, "width": width},
        "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5], "resample": 2,
    }  # fmt: skip
    (folder / "preprocessor_config.json").write_text(json.dumps(values))
    return folder


def save_depth_anything(folder: Path, seed: int = 0) -> Path:
    from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation, Dinov2Config

    torch.manual_seed(seed)
    backbone = Dinov2Config(
        hidden_size=32, num_hidden_layers=4, num_attention_heads=2, image_size=126, patch_size=14,
        out_features=["stage1", "stage2", "stage3", "stage4"], reshape_hidden_states=False,
        apply_layernorm=True,
    )  # fmt: skip
    config = DepthAnythingConfig(
        backbone_config=backbone.to_dict(), patch_size=14, reassemble_hidden_size=32,
        reassemble_factors=[4, 2, 1, 0.5], neck_hidden_sizes=[8, 8, 16, 16], fusion_hidden_size=16,
        head_hidden_size=8, depth_estimation_type="metric", max_depth=20,
    )  # fmt: skip
    DepthAnythingForDepthEstimation(config).save_pretrained(folder)
    return _preprocessor(folder, 126, 126, "DPTImageProcessor")


def save_depth_pro(folder: Path, seed: int = 0) -> Path:
    from transformers import DepthProConfig, DepthProForDepthEstimation

    torch.manual_seed(seed)
    tower = {
        "model_type": "dinov2", "hidden_size": 32, "num_hidden_layers": 2,
        "num_attention_heads": 2, "image_size": 64, "patch_size": 16, "use_mask_token": False,
    }  # fmt: skip
    config = DepthProConfig(
        fusion_hidden_size=16, patch_size=64, intermediate_hook_ids=[1, 0],
        intermediate_feature_dims=[16, 16], scaled_images_ratios=[0.25, 0.5, 1],
        scaled_images_overlap_ratios=[0.0, 0.5, 0.25], scaled_images_feature_dims=[16, 16, 16],
        use_fov_model=True, image_model_config=tower, patch_model_config=tower,
        fov_model_config=tower,
    )  # fmt: skip
    DepthProForDepthEstimation(config).save_pretrained(folder)
    return _preprocessor(folder, 256, 256, "DepthProImageProcessor")


def save_zoedepth(folder: Path, seed: int = 0) -> Path:
    from transformers import BeitConfig, ZoeDepthConfig, ZoeDepthForDepthEstimation

    torch.manual_seed(seed)
    backbone = BeitConfig(
        hidden_size=32, num_hidden_layers=4, num_attention_heads=2, intermediate_size=64,
        image_size=64, patch_size=16, use_relative_position_bias=True, reshape_hidden_states=False,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )  # fmt: skip
    bins = [
        {"n_bins": 8, "min_depth": 0.001, "max_depth": 10.0, "name": "nyu"},
        {"n_bins": 8, "min_depth": 0.001, "max_depth": 80.0, "name": "kitti"},
    ]
    config = ZoeDepthConfig(
        backbone_config=backbone.to_dict(), neck_hidden_sizes=[8, 8, 16, 16],
        fusion_hidden_size=16, bottleneck_features=16, num_relative_features=8,
        num_attractors=[4, 3, 2, 1], bin_embedding_dim=8, bin_configurations=bins,
        num_patch_transformer_layers=4,
        patch_transformer_hidden_size=128, patch_transformer_intermediate_size=32,
        patch_transformer_num_attention_heads=2, reassemble_factors=[4, 2, 1, 0.5],
    )  # fmt: skip
    ZoeDepthForDepthEstimation(config).save_pretrained(folder)
    return _preprocessor(folder, 64, 96, "ZoeDepthImageProcessor")


SAVED = {
    "depth-anything-v2": save_depth_anything,
    "depth-pro": save_depth_pro,
    "zoedepth": save_zoedepth,
}
