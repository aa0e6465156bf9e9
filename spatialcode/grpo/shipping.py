"""A trained reasoner as a folder to ship: half-precision weights, tokenizer, card."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spatialcode.grpo.tiny import save_reasoner

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

FORMAT = "spatialcode-reasoner/1"
CARD_FILE = "card.json"
_WEIGHTS_FILE = "model.safetensors"


def ship(
    model: Any, tokenizer: PreTrainedTokenizerFast, folder: str | Path, card: dict[str, Any]
) -> None:
    """Write the folder; what ``card`` says is joined by sizes and the weights' checksum.

    Weights are stored in half precision and computed with in float32: the configuration says so.
    The model itself is left in half precision.
    """
    folder = Path(folder)
    save_reasoner(model.half(), tokenizer, folder)
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config.pop("torch_dtype", None)
    config["dtype"] = "float32"
    path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    full = {
        "format": FORMAT,
        "num_parameters": sum(p.numel() for p in model.parameters()),
        "vocabulary": len(tokenizer),
        "sha256": hashlib.sha256((folder / _WEIGHTS_FILE).read_bytes()).hexdigest(),
        **card,
    }
    text = json.dumps(full, indent=2, ensure_ascii=False)
    (folder / CARD_FILE).write_text(text + "\n", encoding="utf-8")
