"""Settings of the networks that parse pictures. No torch here: an encoder's identity holds them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, TypeVar

from spatialcode.config import checked, setting
from spatialcode.encoder.parsing.boxes import ChoiceSettings

PRECISIONS = ("auto", "bfloat16", "float16", "float32")


#: What may be taken less of at once, in this order.
_SIZES = ("num_frames", "num_words", "num_objects")


@dataclass(frozen=True)
@checked
class BatchSettings:
    """What every network here is told."""

    precision: str = setting(
        "of the network; auto: bfloat16 on an accelerator", "auto", one_of=PRECISIONS
    )
    num_frames: int = setting("frames that pass the network together", 4, at_least=1)


S = TypeVar("S", bound=BatchSettings)


def halved(settings: S) -> S | None:
    """Settings with the first size that is above one halved; None where all are one."""
    for name in _SIZES:
        size = getattr(settings, name, 1)
        if size > 1:
            smaller: dict[str, Any] = {name: size // 2}
            return replace(settings, **smaller)
    return None


@dataclass(frozen=True)
@checked
class DetectorSettings(BatchSettings):
    """How things are found by their words."""

    num_synonyms: int = setting("further words asked for a label, where known", 1, at_least=0)
    choice: ChoiceSettings = setting("", default_factory=ChoiceSettings)


@dataclass(frozen=True)
@checked
class ConceptSettings(DetectorSettings):
    """Of a detector that is asked word by word."""

    num_words: int = setting("words that pass the network's head together", 16, at_least=1)


@dataclass(frozen=True)
@checked
class OutlineSettings:
    """How a mask is drawn from what a network says of each pixel."""

    min_part: float = setting(
        "parts of a mask smaller than this share of its largest are dropped",
        0.1,
        at_least=0,
        at_most=1,
    )
    max_hole: float = setting(
        "holes up to this share of a mask are filled", 0.01, at_least=0, at_most=1
    )
    min_area_px: int = setting("pixels from which on a mask counts", 16, at_least=1)


@dataclass(frozen=True)
@checked
class ImageMaskSettings(BatchSettings):
    """How boxes become masks, frame by frame."""

    num_objects: int = setting("boxes that pass the mask decoder together", 32, at_least=1)
    min_predicted_iou: float = setting(
        "masks that the network itself trusts less are dropped", 0.5, at_least=0, at_most=1
    )
    outline: OutlineSettings = setting("", default_factory=OutlineSettings)


@dataclass(frozen=True)
@checked
class MemorySettings(BatchSettings):
    """How things are followed through a video by a network's memory."""

    num_objects: int = setting("tracks that pass the memory together", 16, at_least=1)
    max_tracks: int = setting("tracks alive at once", 48, at_least=1)
    max_missing: int = setting("frames unseen after which a track ends", 32, at_least=1)
    same_box_iou: float = setting(
        "a detection belongs to the track whose box it overlaps so much", 0.5, above=0, at_most=1
    )
    same_mask_iou: float = setting(
        "a new mask belongs to the track whose mask it overlaps so much", 0.7, above=0, at_most=1
    )
    outline: OutlineSettings = setting("", default_factory=OutlineSettings)
