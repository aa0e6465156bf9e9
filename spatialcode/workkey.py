"""The id of a result: which content went in, and what made the code.

The same key is the same result everywhere, so nothing with a known key is computed again, and a
changed model or setting changes exactly the keys of what it changes. It does not know how an
encoder hashes its weights, nor how a listing names content.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class EncoderIdentity:
    """What makes two runs of an encoder the same: its name, its weights, its settings."""

    name: str
    weights_sha256: str
    config_sha256: str

    def looking_at(self, sampling: Mapping[str, Any]) -> EncoderIdentity:
        """The identity that work keys are made of: which frames are looked at is part of it."""
        settings = {"encoder": self.config_sha256, "sampling": dict(sampling)}
        return EncoderIdentity(self.name, self.weights_sha256, config_sha256(settings))


def config_sha256(settings: dict[str, Any]) -> str:
    """Hex digest of settings as canonical JSON: the order of keys does not matter."""
    text = json.dumps(settings, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def work_key(content_id: str, encoder: EncoderIdentity) -> str:
    """Hex sha256 over content identity and encoder identity.

    ``content_id``: the sha256 of the bytes, or what a listing gives (``s3:ETAG:SIZE``). The parts
    are joined with a separator that none of them can hold, so no two lists of parts collide.
    """
    parts = (content_id, encoder.name, encoder.weights_sha256, encoder.config_sha256)
    if any("\n" in part for part in parts):
        raise ValueError(f"work key: parts must be single lines, got {parts!r}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
