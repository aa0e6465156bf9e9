"""Wavefront OBJ and MTL as furniture catalogues hold them, read from a zip archive.

Files name textures by absolute paths of other machines, use materials that no file defines, and
leave texture coordinates out. A texture is then found by its file name alone, or is the folder's
only picture; what cannot be found is left out.
"""

from __future__ import annotations

import posixpath
import re
import zipfile
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from spatialcode.errors import FurnitureError

F64 = NDArray[np.float64]
_PICTURES = (".jpg", ".jpeg", ".png", ".bmp")


@dataclass(frozen=True)
class Finish:
    """A material of an MTL file: colours as the file has them (gamma-encoded), opacity in
    [0, 1], and the texture's member in the archive, or None.
    """

    diffuse: tuple[float, float, float] = (0.7, 0.7, 0.7)
    specular: tuple[float, float, float] = (0.0, 0.0, 0.0)
    emitted: tuple[float, float, float] = (0.0, 0.0, 0.0)
    opacity: float = 1.0
    texture: str | None = None


@dataclass(frozen=True, eq=False)
class Soup:
    """Triangles of one file. ``points`` (V,3); ``corners`` (T,3,3): rows of point, texture and
    normal of each corner, -1 where it has none; ``finish`` (T,) rows of ``finishes``.
    """

    points: F64
    uv: F64
    normals: F64
    corners: NDArray[np.int64]
    finish: NDArray[np.int64]
    finishes: tuple[Finish, ...]


@dataclass
class _Reading:
    """What has been read so far."""

    points: list[list[str]] = field(default_factory=list)
    uv: list[list[str]] = field(default_factory=list)
    normals: list[list[str]] = field(default_factory=list)
    corners: list[tuple[tuple[int, int, int], ...]] = field(default_factory=list)
    material: list[int] = field(default_factory=list)
    names: dict[str, int] = field(default_factory=dict)
    libraries: list[str] = field(default_factory=list)


def read_obj(archive: zipfile.ZipFile, path: str) -> Soup:
    """The triangles of one OBJ member, polygons cut into fans. Raises FurnitureError."""
    try:
        text = archive.read(path).decode("latin-1")
        found = _parse(text)
        points = np.array(found.points, float)
        corners = np.array(found.corners, np.int64).reshape(-1, 3, 3)
        if not len(corners) or corners[:, :, 0].max() >= len(points) or corners[:, :, 0].min() < 0:
            raise ValueError("no triangles, or corners without points")
    except (KeyError, ValueError, zipfile.BadZipFile) as error:
        raise FurnitureError(f"{path}: expected an OBJ model: {error}") from error
    materials: dict[str, Finish] = {}
    for library in found.libraries:
        member = _member(archive, posixpath.dirname(path), library)
        if member is not None:
            materials |= read_mtl(archive, member)
    return Soup(
        points=points,
        uv=np.array(found.uv, float).reshape(-1, 2),
        normals=np.array(found.normals, float).reshape(-1, 3),
        corners=corners,
        finish=np.array(found.material, np.int64),
        finishes=tuple(materials.get(name) or _undefined(name) for name in found.names),
    )


def _parse(text: str) -> _Reading:
    out = _Reading()
    current = ""
    for line in text.splitlines():
        head, _, rest = line.partition(" ")
        if head == "v":
            out.points.append(rest.split()[:3])
        elif head == "vt":
            out.uv.append([*rest.split(), "0"][:2])
        elif head == "vn":
            out.normals.append(rest.split()[:3])
        elif head == "f":
            row = out.names.setdefault(current, len(out.names))
            corners = [_corner(word, out) for word in rest.split()]
            for k in range(1, len(corners) - 1):
                out.corners.append((corners[0], corners[k], corners[k + 1]))
                out.material.append(row)
        elif head == "usemtl":
            current = rest.strip()
        elif head == "mtllib":
            out.libraries.append(rest.strip())
    return out


def _corner(word: str, found: _Reading) -> tuple[int, int, int]:
    parts = word.split("/")
    counts = (len(found.points), len(found.uv), len(found.normals))
    rows = [-1, -1, -1]
    for k, part in enumerate(parts[:3]):
        if part:
            value = int(part)
            rows[k] = value - 1 if value > 0 else counts[k] + value
    return rows[0], rows[1], rows[2]


def _undefined(name: str) -> Finish:
    """A material that no file defines: glass where its name says so, else plain grey."""
    clear = "glass" in name.lower() or "transparent" in name.lower()
    return replace(Finish(), opacity=0.3) if clear else Finish()


def read_mtl(archive: zipfile.ZipFile, path: str) -> dict[str, Finish]:
    """The materials of one MTL member, by name."""
    out: dict[str, Finish] = {}
    name = ""
    for line in archive.read(path).decode("latin-1").splitlines():
        words = line.split()
        if len(words) < 2:
            continue
        head, values = words[0], words[1:]
        if head == "newmtl":
            name = line.strip()[6:].strip()
            out[name] = Finish()
        elif name:
            out[name] = _with(out[name], head, values, (archive, path))
    return out


def _with(
    finish: Finish, head: str, values: list[str], where: tuple[zipfile.ZipFile, str]
) -> Finish:
    """The material with one more line read; lines that are not understood change nothing."""
    try:
        if head in ("Kd", "Ks", "Ke"):
            r, g, b = (float(value) for value in values[:3])
            if head == "Kd":
                return replace(finish, diffuse=(r, g, b))
            if head == "Ks":
                return replace(finish, specular=(r, g, b))
            return replace(finish, emitted=(r, g, b))
        if head == "d":
            return replace(finish, opacity=min(1.0, max(0.0, float(values[-1]))))
    except ValueError:
        return finish
    if head == "map_Kd":
        archive, path = where
        asked = re.sub(r"^(-\S+\s+([\d.\-]+\s+)+)", "", " ".join(values))
        return replace(finish, texture=_member(archive, posixpath.dirname(path), asked, True))
    return finish


def _member(archive: zipfile.ZipFile, folder: str, name: str, picture: bool = False) -> str | None:
    """The archive's member that a file means by ``name``: in its folder, by the bare name in any
    letter case, or, of a picture, the only one there is.
    """
    bare = name.strip().replace("\\", "/")
    exact = posixpath.normpath(posixpath.join(folder, bare))
    here = [n for n in archive.namelist() if posixpath.dirname(n) == folder]
    if exact in here:
        return exact
    base = posixpath.basename(bare).lower()
    for member in here:
        if posixpath.basename(member).lower() == base:
            return member
    pictures = [n for n in here if n.lower().endswith(_PICTURES)]
    return pictures[0] if picture and len(pictures) == 1 else None
