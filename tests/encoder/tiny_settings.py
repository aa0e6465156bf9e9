"""Settings of the full-size encoders on tiny random networks that were saved to disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.encoder import tiny_models
from tests.encoder.geometry.tiny_geometry import ANY_VIEW, METRIC, save_da3
from tests.encoder.unified.tiny import save_trained

WORDS = ("chair", "table", "sofa")
KINDS = ("detector", "masks", "geometry")
_ANYTHING = {"min_visibility": 0.0, "min_points": 1, "min_share": 0.0}


def parts(folder: Path) -> dict[str, Any]:
    """A detector, SAM 2 by boxes, and Depth Anything 3; a random network claims little, and means
    little by it: nothing is dropped for that.
    """
    return {
        "detector": {
            "name": "grounding-dino",
            "weights": [str(tiny_models.grounding_dino())],
            "settings": {"choice": {"min_score": 0.01, "max_boxes": 4}},
        },
        "masks": {
            "name": "sam2-image",
            "weights": [str(tiny_models.sam2_video())],
            "settings": {"min_predicted_iou": 0.0},
        },
        "geometry": {
            "name": "da3",
            "weights": [
                str(save_da3(folder / "any_view", ANY_VIEW)),
                str(save_da3(folder / "metric", METRIC)),
            ],
            "settings": {"side_px": 126, "min_confidence": 0.0},
        },
    }


def prompted(folder: Path) -> dict[str, Any]:
    """Of an encoder that looks at four frames together."""
    return {
        **parts(folder),
        "fusion": {"words": list(WORDS), "instances": _ANYTHING},
        "window": 4,
        "overlap": 1,
        "side_px": 128,
    }


def unified(folder: Path) -> dict[str, Any]:
    """The same with a network of two towers; things are followed by SAM 2's memory."""
    own = parts(folder)
    return {
        **own,
        "masks": own["masks"] | {"name": "sam2-video", "settings": {}},
        "weights": str(save_trained(folder)),
        "words": list(WORDS),
        "merging": {"min_presence": 0.0, "min_score": 0.0, "max_iou": 1.0},
        "window": 4,
        "overlap": 1,
        "side_px": 128,
    }


SETTINGS = {"prompted": prompted, "unified": unified}


def dotlist(values: Any, prefix: str = "encoder.settings") -> list[str]:
    """Settings as one types them: key by key, lists in brackets."""
    if isinstance(values, dict):
        given = [dotlist(value, f"{prefix}.{key}") for key, value in values.items()]
        return [each for one in given for each in one]
    text = f"[{','.join(map(str, values))}]" if isinstance(values, list) else values
    return [f"{prefix}={text}"]
