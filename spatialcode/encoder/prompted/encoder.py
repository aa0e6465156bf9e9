"""The prompted encoder before it is loaded: its parts by name, their weights, and who it is.

It needs no training: a detector finds things by their words, a mask source outlines them, a
geometry source tells where they are. No torch here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from spatialcode.config import checked, setting
from spatialcode.encoder.prompted.parts import FusionSettings


@dataclass(frozen=True)
@checked
class PartChoice:
    """One network of the encoder."""

    name: str = setting("of the table of such parts")
    weights: str = setting("name of public weights, or a folder; empty: the part's usual ones", "")
    settings: dict[str, Any] = setting("the part's own settings", default_factory=dict)


@dataclass(frozen=True)
@checked
class PromptedSettings:
    """All that decides what a video's code is: ``encoder.settings.*``."""

    detector: PartChoice = setting("", PartChoice("grounding-dino"))
    masks: PartChoice = setting("", PartChoice("sam2-image"))
    geometry: PartChoice = setting("", PartChoice("da3"))
    fusion: FusionSettings = setting("", default_factory=FusionSettings)
    num_frames: int = setting("frames spread over a video", 64, at_least=1)
    rate_hz: float | None = setting("frames a second instead; null: num_frames", None, above=0)
    side_px: int = setting("longer side of the frames in pixels", 1024, at_least=64)
    window: int = setting("frames that are looked at together", 32, at_least=2)
    overlap: int = setting("of them, frames that the window before has seen too", 8, at_least=1)
