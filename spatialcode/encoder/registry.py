"""Encoders by name: one table for the library, the encode pipeline, the evaluation and the service.

A name is one of the table, the path of a .safetensors file (weights of the small encoder), or
``module:Class`` or ``module:name`` of any encoder that can be imported. Nothing is loaded to make
an encoder: who it is follows from its settings and the card of its weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, cast

from spatialcode.config import build, setting
from spatialcode.encoder.protocol import Encoder, EncoderClass
from spatialcode.errors import ConfigError, WeightsError
from spatialcode.loading import load

_PROMPTED = "spatialcode.encoder.prompted.encoder:PromptedEncoder"
_SMALL = "spatialcode.encoder.small.encoder:SmallEncoder"
#: By name: an encoder class, or ``module:Class`` of one, imported when it is asked for.
ENCODERS: dict[str, EncoderClass | str] = {
    "small": _SMALL,
    "prompted": _PROMPTED,
    "prompted-apache": _PROMPTED,
    "prompted-best": _PROMPTED,
    "unified": "spatialcode.encoder.unified.encoder:UnifiedEncoder",
}


def register(name: str, encoder: EncoderClass | str) -> None:
    """Add an encoder class under a name. ValueError where the name is taken."""
    if name in ENCODERS:
        raise ValueError(f"encoder {name!r} is registered already")
    ENCODERS[name] = encoder


@dataclass(frozen=True)
class EncoderSettings:
    """Which encoder, and how it is set; the part that every job and the service share."""

    BARE: ClassVar[str] = "name"  # `encoder=small` means `encoder.name=small`

    name: str = setting("registered encoder, a .safetensors file, or module:Class", "small")
    settings: dict[str, Any] = setting(
        "the encoder's own settings, as encoder.settings.KEY=VALUE; small: see docs/encoder.md",
        default_factory=dict,
    )

    def make(self) -> Encoder:
        """See `make_encoder`."""
        return make_encoder(self.name, self.settings)


def make_encoder(name: str, settings: Mapping[str, Any] | None = None) -> Encoder:
    """The encoder of a name with its own settings; its weights are not loaded.

    Raises WeightsError where nothing of that name is known, or weights are missing or damaged;
    ConfigError where a module:Class cannot be loaded, or a setting is unknown or out of range.
    """
    found = _found(name)
    if isinstance(found, type):
        encoder_class = cast(EncoderClass, found)
        own = build(encoder_class.settings, settings or {}, "encoder.settings")
        return encoder_class(name, own)
    if not isinstance(found, Encoder):
        raise ConfigError(f"encoder.name: expected an encoder, got {type(found).__name__}")
    if settings:
        raise ConfigError(f"encoder.settings: {name} is made already and takes none")
    return found


def _found(name: str) -> Any:
    entry: EncoderClass | str | None = ENCODERS.get(name)
    if entry is None and name.endswith(".safetensors"):
        entry = _SMALL
    if entry is None and ":" in name:
        entry = name
    if entry is None:
        known = ", ".join(sorted(ENCODERS))
        raise WeightsError(
            f"encoder: expected one of {known}, a .safetensors or module:Class, got {name!r}"
        )
    return load(entry, "encoder.name") if isinstance(entry, str) else entry
