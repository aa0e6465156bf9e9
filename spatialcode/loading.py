"""Loading what a setting names as ``module:Class``: any class or function that can be imported."""

from __future__ import annotations

import importlib
from typing import Any

from spatialcode.errors import ConfigError


def load(spec: str, key: str) -> Any:
    """The object that ``spec``, ``module:name``, stands for; ``key`` is the setting it is from.

    Raises ConfigError, naming the key, where there is no such module or no such name in it.
    """
    module_name, _, name = spec.partition(":")
    try:
        return getattr(importlib.import_module(module_name), name)
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise ConfigError(f"{key}: cannot load {spec!r}: {error}") from error
