"""`torch.compile` for the networks of an encoder: for speed alone, where enough videos repay it.

Compiled is what sees tensors of one shape over and over; the rest of an encoder runs as it is. The
first frames of each shape wait for the compiler, minutes for networks of full size, but not again
on that machine: what was compiled is kept in a folder that its processes share.

Whether networks are compiled is no part of a code's work key, as their device is none: the last
bits of their numbers may differ, as between two kinds of processors, and nothing that the key
stands for. No torch here until something is compiled.
"""

from __future__ import annotations

import logging
import os
import shutil
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

#: Fewer videos are done before the compiler is.
MIN_VIDEOS = 50
#: Where torch keeps what it has compiled, if set.
CACHE_VARIABLE = "TORCHINDUCTOR_CACHE_DIR"
_COMPILERS = ("g++", "c++", "clang++")
_log = logging.getLogger(__name__)


@runtime_checkable
class Compilable(Protocol):
    """An encoder, or a part of one, with networks that are worth compiling."""

    def fixed_shape_modules(self) -> Sequence[Any]:
        """The modules (``torch.nn.Module``) whose inputs keep their shape from call to call, but
        for the number of pictures in them.
        """
        ...


def is_worth_compiling(wanted: bool | None, num_videos: int, device: str) -> bool:
    """Whether networks are to be compiled for so many videos on a torch device.

    ``wanted``: what the settings say; None: on an accelerator, where there are enough videos.
    """
    if wanted is not None:
        return wanted
    return num_videos >= MIN_VIDEOS and not device.startswith("cpu")


def modules_of(*owners: object) -> list[Any]:
    """What is worth compiling of encoders or parts, once each, though several may share it; nothing
    of those that do not say.
    """
    found = [
        module
        for owner in owners
        if isinstance(owner, Compilable)
        for module in owner.fixed_shape_modules()
    ]
    return list({id(module): module for module in found}.values())


def compile_networks(loaded: object, backend: str = "inductor") -> int:
    """Compile a loaded encoder's networks in place, each when it is first called; how many.

    What cannot be compiled runs as it is, with a warning: without a C++ compiler all does.
    ``backend``: of torch.compile.
    """
    modules = modules_of(loaded)
    if not modules:
        return 0
    if backend == "inductor" and not has_compiler():
        _log.warning("networks are not compiled: none of %s is here", ", ".join(_COMPILERS))
        return 0
    os.environ.setdefault(CACHE_VARIABLE, str(cache_folder()))
    import torch._dynamo

    torch._dynamo.config.suppress_errors = True  # a network that fails to compile still runs
    for module in modules:
        module.compile(backend=backend)
    return len(modules)


def has_compiler() -> bool:
    """Whether the C++ compiler that torch needs, on the CPU and on a GPU, is here."""
    return any(map(shutil.which, (os.environ.get("CXX", ""), *_COMPILERS)))


def cache_folder() -> Path:
    """The machine's own folder in the user's cache, which machines may share."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "spatialcode" / "compiled" / socket.gethostname()
