"""The OpenGL context: one a process, on EGL, so that no display is needed.

Mesa's llvmpipe where there is no GPU. It is kept to one thread, as rooms are rendered by as many
processes as there are cores.
"""

from __future__ import annotations

import os
from functools import cache
from typing import Any

from spatialcode.errors import FurnitureError

INSTALL = "apt-get install -y --no-install-recommends libegl1 libgl1-mesa-dri"
_LEAST_VERSION = 330


@cache
def context() -> Any:
    """The process's context of this process. FurnitureError where moderngl or EGL is missing."""
    try:
        import moderngl
    except ImportError as error:
        raise FurnitureError(
            "rooms of real furniture need moderngl: pip install 'spatialcode[furniture]'"
        ) from error
    os.environ.setdefault("LP_NUM_THREADS", "1")
    try:
        options: dict[str, Any] = {"standalone": True, "backend": "egl"}
        made = moderngl.create_context(**options)
    except Exception as error:  # the loader raises plain Exception, and ImportError for libEGL
        raise FurnitureError(f"no OpenGL by EGL ({error}): install it with `{INSTALL}`") from error
    if made.version_code < _LEAST_VERSION:
        raise FurnitureError(f"OpenGL: expected 3.3, got {made.version_code / 100:.1f}")
    return made
