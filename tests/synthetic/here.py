"""Whether rooms of real furniture can be rendered on this machine."""

from __future__ import annotations

import pytest

from spatialcode.errors import FurnitureError
from spatialcode.synthetic.catalogue.models import furniture_folder
from spatialcode.synthetic.raster.device import context


def _missing(part) -> str:
    try:
        part()
    except FurnitureError as error:
        return str(error)
    return ""


_models, _opengl = _missing(furniture_folder), _missing(context)
needs_opengl = pytest.mark.skipif(bool(_opengl), reason=_opengl)
needs_furniture = pytest.mark.skipif(bool(_models or _opengl), reason=_models or _opengl)
