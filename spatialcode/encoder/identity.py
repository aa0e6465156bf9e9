"""What makes a result the same result: the work key. Loads no torch.

Planning a million files must know which are done without opening a network.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any


def config_sha256(values: Mapping[str, Any]) -> str:
    """Hash of plain configuration values, independent of the order of keys."""
    text = json.dumps(values, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def work_key(
    content_id: str, encoder_name: str, weights_sha256: str, encoder_config_sha256: str
) -> str:
    """Id of the code of one video made by one encoder: hex sha256.

    ``content_id`` is the sha256 of the video's bytes, or what an object store's listing
    gives in its place (entity tag and size).
    """
    parts = (content_id, encoder_name, weights_sha256, encoder_config_sha256)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
