"""Detectors and mask sources by name: their settings and the weights they want, without torch.

A part is loaded when it is asked for, from the folder of its weights: who looks up that folder, or
fetches it, is the caller.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spatialcode.config import build
from spatialcode.encoder.parsing.protocol import Detector, MaskSource
from spatialcode.encoder.parsing.settings import (
    ConceptSettings,
    DetectorSettings,
    ImageMaskSettings,
    MemorySettings,
)
from spatialcode.errors import ConfigError
from spatialcode.loading import load


@dataclass(frozen=True)
class NetworkPart:
    """A part made of a pretrained network.

    ``part``: ``module:Class`` with a ``load``; ``network``: the class of transformers; ``settings``
    its frozen dataclass; ``weights``: the name under which its usual weights are registered.
    """

    part: str
    network: str
    settings: type[Any]
    weights: str

    def load(self, settings: Any, weights: str | Path, device: str) -> Any:
        """The part with its weights on a torch device.

        ``weights``: a folder, or a repository of the hub. Raises WeightsError where they are
        missing, damaged or of another network, DeviceMemoryError where they do not fit.
        """
        part = load(self.part, "encoder.parsing")
        return part.load(self.network, weights, settings, device)


_PARSING = "spatialcode.encoder.parsing"
_GROUNDED = f"{_PARSING}.grounding_dino:GroundedDetector"
_VIDEO = f"{_PARSING}.video_masks:VideoMasks"
_IMAGES = f"{_PARSING}.image_masks:ImageMasks"

DETECTORS: dict[str, NetworkPart] = {
    "grounding-dino": NetworkPart(
        _GROUNDED, "GroundingDinoForObjectDetection", DetectorSettings, "grounding-dino-tiny"
    ),
    "mm-grounding-dino": NetworkPart(
        _GROUNDED, "MMGroundingDinoForObjectDetection", DetectorSettings, "mm-grounding-dino-tiny"
    ),
    "owlv2": NetworkPart(
        f"{_PARSING}.owlv2:OwlDetector",
        "Owlv2ForObjectDetection",
        DetectorSettings,
        "owlv2-base",
    ),
    "sam3": NetworkPart(
        f"{_PARSING}.concepts:ConceptDetector", "Sam3Model", ConceptSettings, "sam3"
    ),
}
MASK_SOURCES: dict[str, NetworkPart] = {
    "sam2-image": NetworkPart(_IMAGES, "Sam2Model", ImageMaskSettings, "sam2.1-base-plus"),
    "sam2-video": NetworkPart(_VIDEO, "Sam2VideoModel", MemorySettings, "sam2.1-base-plus"),
    "sam3-video": NetworkPart(_VIDEO, "Sam3TrackerVideoModel", MemorySettings, "sam3"),
}


def part_named(table: Mapping[str, NetworkPart], name: str, key: str) -> NetworkPart:
    """The entry of a table. Raises ConfigError, naming the setting ``key``, where there is none."""
    if name not in table:
        raise ConfigError(f"{key}: expected one of {', '.join(sorted(table))}, got {name!r}")
    return table[name]


def load_detector(
    name: str, weights: str | Path, settings: Mapping[str, Any] | None = None, device: str = "cpu"
) -> Detector:
    """A detector of the table with its settings as keys and values; see `NetworkPart.load`."""
    part = part_named(DETECTORS, name, "detector")
    return part.load(build(part.settings, settings or {}, "detector.settings"), weights, device)


def load_mask_source(
    name: str, weights: str | Path, settings: Mapping[str, Any] | None = None, device: str = "cpu"
) -> MaskSource:
    """A mask source of the table with its settings as keys and values; see `NetworkPart.load`."""
    part = part_named(MASK_SOURCES, name, "masks")
    return part.load(build(part.settings, settings or {}, "masks.settings"), weights, device)
