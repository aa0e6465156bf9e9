"""The two pretrained towers: from a hub id or a folder, and what of them is trained.

SAM 2 comes as transformers saves it, whole (``Sam2Model``, ``Sam2VideoModel``) or its image encoder
alone. Depth Anything 3 comes as its authors publish it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import nn

from spatialcode.encoder.geometry.any_view_weights import load_any_view
from spatialcode.encoder.unified.config import TowerTraining
from spatialcode.errors import WeightsError
from spatialcode.files import read_json, write_json

#: Linear layers that get adapters, in both towers.
_ADAPTED = ("qkv", "proj")


def load_object_tower(source: str, **options: Any) -> nn.Module:
    """SAM 2's image encoder, a ``Sam2VisionModel`` in float32.

    ``options``: of ``from_pretrained``. WeightsError where the source is no SAM 2.
    """
    from transformers import AutoConfig, Sam2Model, Sam2VideoModel, Sam2VisionModel

    whole: dict[str, Any] = {"sam2": Sam2Model, "sam2_video": Sam2VideoModel}
    try:
        kind = AutoConfig.from_pretrained(source, **options).model_type
        if kind == "sam2_vision_model":
            return Sam2VisionModel.from_pretrained(source, **options)
        if kind in whole:
            return whole[kind].from_pretrained(source, **options).vision_encoder
    except (OSError, ValueError, KeyError) as error:
        raise WeightsError(f"object tower {source}: {_one_line(error)}") from error
    raise WeightsError(f"object tower {source}: expected a SAM 2, got model type {kind!r}")


def _one_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def load_geometry_tower(source: str) -> nn.Module:
    """Depth Anything 3's any-view network, a ``DepthAnything3Net`` in float32; its configuration
    is kept as its ``values``.

    ``source``: a folder with ``config.json`` and ``model.safetensors``, or a hub id. WeightsError
    where they are missing, damaged, or of a network without rays; MissingExtraError without the
    package.
    """
    folder = source if Path(source).is_dir() else _fetched(source)
    tower: Any = load_any_view(folder).requires_grad_(True)
    from depth_anything_3.model.dualdpt import DualDPT

    if not isinstance(tower.head, DualDPT):
        raise WeightsError(f"geometry tower {source}: expected depth and rays (DualDPT)")
    tower.values = read_json(Path(folder, _CONFIG))
    return tower


def save_geometry_tower(tower: Any, folder: Path) -> None:
    """Write a tower as `load_geometry_tower` reads it."""
    from safetensors.torch import save_model

    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / _CONFIG, tower.values)
    save_model(tower, str(folder / _TENSORS))  # which knows tied tensors


_CONFIG, _TENSORS = "config.json", "model.safetensors"


def _fetched(source: str) -> str:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    try:
        return snapshot_download(source, allow_patterns=[_CONFIG, _TENSORS])
    except (OSError, ValueError, HFValidationError) as error:
        expected = "a folder of weights, or a repository of the hub that can be reached"
        raise WeightsError(
            f"geometry tower {source}: expected {expected}: {_one_line(error)}"
        ) from error


def prepare_towers(model: Any, training: TowerTraining) -> None:
    """Freeze what is not trained, and add adapters where they are asked for, in place.

    What a step does not reach is frozen in every mode: distributed training waits for the
    gradient of all that is not.
    """
    towers = (model.object_tower, model.geometry_tower)
    for tower in towers:
        tower.requires_grad_(training.mode == "full")
    if training.mode == "lora":
        from peft import LoraConfig as PeftConfig
        from peft import inject_adapter_in_model

        config = PeftConfig(
            r=training.lora_rank, lora_alpha=training.lora_alpha, target_modules=list(_ADAPTED)
        )
        inject_adapter_in_model(config, model.object_tower)
        inject_adapter_in_model(config, model.geometry_tower.backbone)
    # depth and rays come from here: their losses train it unless nothing is to be trained
    model.geometry_tower.head.requires_grad_(training.mode != "frozen")
    for parameter in _unreached(model):
        parameter.requires_grad_(False)


def _unreached(model: Any) -> Iterator[nn.Parameter]:
    """Parameters that no output depends on."""
    geometry, neck = model.geometry_tower, model.object_tower.neck
    for part in (geometry.cam_enc, geometry.cam_dec, geometry.gs_head, geometry.gs_adapter):
        if part is not None:
            yield from part.parameters()
    # of the pyramid only the level of stride 16 is read, and what it is summed of
    num_levels = model.object_tower.num_feature_levels
    read = range(len(neck.convs) - num_levels + 1)
    for place, convolution in enumerate(neck.convs):
        if place not in read:
            yield from convolution.parameters()
    # rays are read from the last level alone
    scratch = geometry.head.scratch
    for levels in (scratch.output_conv1_aux, scratch.output_conv2_aux):
        shared = {id(parameter) for parameter in levels[-1].parameters()}
        for level in list(levels)[:-1]:
            yield from (p for p in level.parameters() if id(p) not in shared)


def merged_towers(model: Any) -> tuple[nn.Module, nn.Module]:
    """Both towers with their adapters, if any, added to their weights and taken away, in place."""
    for tower in (model.object_tower, model.geometry_tower):
        for name, module in list(tower.named_modules()):
            if hasattr(module, "get_base_layer") and hasattr(module, "merge"):
                module.merge()
                tower.set_submodule(name, module.get_base_layer())
    return model.object_tower, model.geometry_tower
