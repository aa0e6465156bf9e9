"""The settings of all that comes after the prompted encoder's networks. No torch here."""

from __future__ import annotations

from dataclasses import dataclass

from spatialcode.config import checked, setting
from spatialcode.encoder.instances.instance import InstanceSettings
from spatialcode.encoder.lifting.sightings import LiftingSettings
from spatialcode.encoder.parsing.keyframes import KeyFrameSettings

#: Frames are sampled sparsely enough for each to be looked at.
EVERY_FRAME = KeyFrameSettings(every=1, at_least=1, new_area=None)


@dataclass(frozen=True)
@checked
class FusionSettings:
    """Which frames are looked at closely, for what, and how what they show becomes objects."""

    words: tuple[str, ...] = setting("what to look for; none: the words of VSI-Bench", ())
    key_frames: KeyFrameSettings = setting("", EVERY_FRAME)
    lifting: LiftingSettings = setting("", default_factory=LiftingSettings)
    instances: InstanceSettings = setting("", default_factory=InstanceSettings)
