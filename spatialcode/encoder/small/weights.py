"""Weights on disk: safetensors in half precision beside a JSON card. No pickle.

Reading a card loads no torch, so that an encoder can be named without loading its network.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spatialcode.errors import WeightsError

if TYPE_CHECKING:
    from spatialcode.encoder.small.model import DenseEncoder

ASSETS = Path(__file__).parents[2] / "assets"
FORMAT = "spatialcode-encoder/1"


def sha256_of(path: Path) -> str:
    """Hex digest of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def card_path(weights: Path) -> Path:
    """Where the card of a weights file lies."""
    return weights.with_suffix(".json")


def save_weights(model: DenseEncoder, path: Path, card: dict[str, Any]) -> None:
    """Write float16 weights and their card (with architecture and checksum added)."""
    from safetensors.torch import save_file

    tensors = {
        name: (value.half() if value.is_floating_point() else value).contiguous()
        for name, value in model.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    save_file(tensors, path, metadata={"format": FORMAT})
    full = {
        "format": FORMAT,
        "architecture": model.config.to_dict(),
        "num_parameters": sum(p.numel() for p in model.parameters()),
        "sha256": sha256_of(path),
        **card,
    }
    card_path(path).write_text(json.dumps(full, indent=2) + "\n")


def read_card(path: Path) -> dict[str, Any]:
    """The card of a weights file.

    Raises WeightsError where weights or card are missing, or do not belong together.
    """
    for needed in (path, card_path(path)):
        if not needed.is_file():
            raise WeightsError(f"encoder weights: expected a file at {needed}, found none")
    try:
        card = json.loads(card_path(path).read_text())
        expected = card["sha256"]
        architecture = card["architecture"]
    except (ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"{card_path(path)}: not a weights card ({error!r})") from error
    got = sha256_of(path)
    if got != expected:
        raise WeightsError(f"{path}: expected sha256 {expected} (its card), got {got}")
    if not isinstance(architecture, dict):
        raise WeightsError(f"{card_path(path)}: architecture: expected a mapping")
    return card


def load_weights(path: Path) -> tuple[DenseEncoder, dict[str, Any]]:
    """Network in float32, in evaluation mode, with its card. WeightsError if unusable."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from spatialcode.encoder.small.model import ModelConfig, make_model

    card = read_card(path)
    try:
        model = make_model(ModelConfig.from_dict(card["architecture"]))
        tensors = {name: value.float() for name, value in load_file(path).items()}
    except (SafetensorError, KeyError, TypeError, OSError) as error:
        raise WeightsError(f"{path}: cannot be read as encoder weights ({error})") from error
    missing, unexpected = model.load_state_dict(tensors, strict=False)
    missing = [name for name in missing if not name.endswith("num_batches_tracked")]
    if missing or unexpected:
        raise WeightsError(
            f"{path}: does not fit its architecture; missing {missing[:3]}, "
            f"unexpected {unexpected[:3]}"
        )
    return model.eval().requires_grad_(False), card
