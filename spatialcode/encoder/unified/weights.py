"""The weights of a unified network: a folder with both towers as their libraries save them, the
parts between and after, and a card that names it all. No pickle.

Reading the card loads no torch, so that the encoder can be named without its networks.
"""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spatialcode.config import build
from spatialcode.encoder.unified.config import UnifiedNetworkConfig
from spatialcode.errors import ConfigError, FormatError, WeightsError
from spatialcode.files import read_json, write_json

if TYPE_CHECKING:
    from spatialcode.encoder.unified.model import UnifiedModel

FORMAT = "spatialcode-unified/1"
CARD_FILE, HEAD_FILE = "card.json", "head.safetensors"
OBJECT_TOWER, GEOMETRY_TOWER = "object_tower", "geometry_tower"
_TENSORS = (HEAD_FILE, f"{OBJECT_TOWER}/model.safetensors", f"{GEOMETRY_TOWER}/model.safetensors")
_CONFIGS = (f"{OBJECT_TOWER}/config.json", f"{GEOMETRY_TOWER}/config.json")


def folder_sha256(folder: Path) -> str:
    """Hex digest over the tensors and configurations of a folder, in a fixed order."""
    whole = hashlib.sha256()
    for name in (*_TENSORS, *_CONFIGS):
        path = folder / name
        if not path.is_file():
            raise WeightsError(f"unified weights: expected a file at {path}, found none")
        with path.open("rb") as file:
            whole.update(f"{name}\n{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return whole.hexdigest()


def save_unified(model: UnifiedModel, folder: Path, card: dict[str, Any]) -> None:
    """Write a model, its adapters merged into the towers, and its card; whole or not at all.

    The model is changed by the merging, and not fit for further training.
    """
    from safetensors.torch import save_file

    from spatialcode.encoder.unified.towers import merged_towers, save_geometry_tower

    objects, geometry = merged_towers(model)
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    objects.save_pretrained(partial / OBJECT_TOWER, max_shard_size="100GB")  # type: ignore[operator]
    save_geometry_tower(geometry, partial / GEOMETRY_TOWER)
    parts = {"fusion": model.fusion, "head": model.head}
    tensors = {
        f"{part}.{name}": value.detach().cpu().contiguous()
        for part, module in parts.items()
        for name, value in module.state_dict().items()
    }
    save_file(tensors, partial / HEAD_FILE, metadata={"format": FORMAT})
    own = {"format": FORMAT, "network": asdict(model.config), "sha256": folder_sha256(partial)}
    write_json(partial / CARD_FILE, {**own, **card})
    shutil.rmtree(folder, ignore_errors=True)
    partial.replace(folder)


def read_unified_card(folder: Path) -> dict[str, Any]:
    """The card of a folder, after its files were compared with the hash in it.

    Raises WeightsError where card or files are missing, or do not belong together.
    """
    path = folder / CARD_FILE
    if not path.is_file():
        raise WeightsError(f"unified weights: expected a folder with {CARD_FILE}, got {folder}")
    try:
        card = read_json(path)
        expected = card["sha256"]
        build(UnifiedNetworkConfig, card["network"], "network")
    except (FormatError, ConfigError, KeyError, TypeError) as error:
        raise WeightsError(f"{path}: not a card of unified weights ({error})") from error
    got = folder_sha256(folder)
    if got != expected:
        raise WeightsError(f"{folder}: expected sha256 {expected} (its card), got {got}")
    return card


def load_unified(folder: Path) -> UnifiedModel:
    """The model of a folder in float32, in evaluation mode. WeightsError if unusable."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from spatialcode.encoder.unified.model import UnifiedModel
    from spatialcode.encoder.unified.towers import load_geometry_tower, load_object_tower

    card = read_unified_card(folder)
    config = build(UnifiedNetworkConfig, card["network"], "network")
    objects = load_object_tower(str(folder / OBJECT_TOWER), local_files_only=True)
    model = UnifiedModel(objects, load_geometry_tower(str(folder / GEOMETRY_TOWER)), config)
    try:
        tensors = load_file(folder / HEAD_FILE)
        for part in (model.fusion, model.head):
            name = "fusion." if part is model.fusion else "head."
            own = {k.removeprefix(name): v for k, v in tensors.items() if k.startswith(name)}
            part.load_state_dict(own)
    except (SafetensorError, RuntimeError, OSError) as error:
        first = str(error).splitlines()[0]
        raise WeightsError(f"{folder / HEAD_FILE}: does not fit its card ({first})") from error
    return model.eval().requires_grad_(False)
