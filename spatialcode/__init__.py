"""Video to spatial code: labelled, oriented, tracked 3D boxes, camera path, room.

``spatialcode.encode("video.mp4")`` is loaded on first use: importing this package loads no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spatialcode.api import Sampling, VideoEncoder, ask, encode
    from spatialcode.scene.schema import SpatialCode

__all__ = ["Sampling", "SpatialCode", "VideoEncoder", "ask", "encode"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    home = "spatialcode.scene.schema" if name == "SpatialCode" else "spatialcode.api"
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
