"""Meshes made ready once and kept in a cache folder: reading an OBJ file takes seconds.

The folder is ``$XDG_CACHE_HOME/spatialcode/furniture`` (``~/.cache`` without it). A file is named
by its model and by what was read, so that another version of the catalogue is read anew.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from spatialcode.files import write_bytes
from spatialcode.synthetic.catalogue.mesh import Mesh, Surface, mesh_of
from spatialcode.synthetic.catalogue.models import FurnitureModel, furniture_folder
from spatialcode.synthetic.catalogue.wavefront import read_obj
from spatialcode.synthetic.primitives import Support

U8 = NDArray[np.uint8]

#: Side of every texture in pixels.
TEXTURE_PX = 256
#: Changes whenever the same model gives another mesh.
_VERSION = 3


def cache_folder() -> Path:
    """Where prepared meshes are kept."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "spatialcode" / "furniture"


@lru_cache(maxsize=512)
def prepared(model: FurnitureModel) -> Mesh:
    """The model's mesh, from the cache or made now. Raises FurnitureError."""
    archive = furniture_folder() / model.archive
    told = f"{_VERSION} {model!r} {archive.stat().st_size}"
    name = model.id.replace("#", "-").replace("/", "-")
    path = cache_folder() / f"{name}-{hashlib.sha256(told.encode()).hexdigest()[:12]}.npz"
    if path.is_file():
        return _read(path)
    with zipfile.ZipFile(archive) as file:
        soup = read_obj(file, model.path)
        members = {finish.texture for finish in soup.finishes if finish.texture}
        textures = {m: t for m in members if (t := _picture(file.read(m))) is not None}
    _write(path, mesh_of(soup, textures, model.size_m, model.rotation, model.drop_m))
    # what was stored has rounded normals: the first picture must not differ from the second
    return _read(path)


def _picture(data: bytes) -> U8 | None:
    """RGBA (TEXTURE_PX, TEXTURE_PX, 4) of an encoded picture; None where it is damaged."""
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None:
        return None
    if image.dtype == np.uint16:
        image = (image // 256).astype(np.uint8)
    if image.ndim == 2:
        image = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
    code = cv2.COLOR_BGRA2RGBA if image.shape[2] == 4 else cv2.COLOR_BGR2RGBA
    small = cv2.resize(image, (TEXTURE_PX, TEXTURE_PX), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(small, code), np.uint8)


def _write(path: Path, mesh: Mesh) -> None:
    textures = [s.texture for s in mesh.surfaces if s.texture is not None]
    number, rows = 0, []
    for s in mesh.surfaces:
        rows.append([*s.color, s.opacity, s.gloss, s.glow, number if s.texture is not None else -1])
        number += s.texture is not None
    supports = [[*s.center_m, *s.size_m] for s in mesh.supports]
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer, position=mesh.position, normal=(mesh.normal * 127).round().astype(np.int8),
        uv=mesh.uv, surface=mesh.surface, triangles=mesh.triangles,
        textures=np.array(textures, np.uint8).reshape(-1, TEXTURE_PX, TEXTURE_PX, 4),
        about=np.array(json.dumps({"surfaces": rows, "supports": supports})),
    )  # fmt: skip
    write_bytes(path, buffer.getvalue())


def _read(path: Path) -> Mesh:
    with np.load(path) as file:
        about, textures = json.loads(str(file["about"])), file["textures"]
        surfaces = tuple(
            Surface((r, g, b), opacity, gloss, glow, None if row < 0 else textures[row])
            for r, g, b, opacity, gloss, glow, row in about["surfaces"]
        )
        return Mesh(
            position=file["position"],
            normal=file["normal"].astype(np.float32) / 127,
            uv=file["uv"],
            surface=file["surface"],
            triangles=file["triangles"],
            surfaces=surfaces,
            supports=tuple(Support((x, y, z), (w, d)) for x, y, z, w, d in about["supports"]),
        )
