"""Sweet Home 3D's furniture as Debian packages it: catalogues of models, read and typed.

A ``.sh3f`` file is a zip of ``PluginFurnitureCatalog.properties`` (Latin-1, ``key#number=value``,
lengths in centimetres), models and textures. Only catalogues under CC0 and CC BY are read. What is
inside ``sweethome3d`` itself is under the GPL and is not used.
"""

from __future__ import annotations

import hashlib
import os
import re
import zipfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from spatialcode.errors import FurnitureError, SchemaError
from spatialcode.synthetic.catalogue.kinds import LEFT_OUT, OUTDOORS, label_of, role_of

#: Where the package puts its catalogues; this variable names another folder.
FOLDER = Path("/usr/share/sweethome3d/furniture")
FOLDER_VARIABLE = "SPATIALCODE_FURNITURE"
PROPERTIES = "PluginFurnitureCatalog.properties"
INSTALL = "apt-get install -y --no-install-recommends sweethome3d-furniture"

#: Catalogue → licence of everything in it, by Debian's copyright file.
LICENCES: dict[str, str] = {
    "BlendSwap-CC-0": "CC0-1.0",
    "BlendSwap-CC-BY": "CC-BY-3.0",
    "KatorLegaz": "CC-BY-3.0-US",
    "Reallusion": "CC-BY-3.0-US",
    "Scopia": "CC-BY-3.0",
}
_CM = 0.01
#: One model in this many of a label is kept for rooms that are judged on.
_HELD_OUT_EVERY = 5


@dataclass(frozen=True)
class FurnitureModel:
    """One model of a catalogue.

    ``id``: CATALOGUE#NAME. ``label``: its kind, or None for clutter, whose ``role`` says which.
    ``size_m``: width, depth and height along its box's own x, y and z. ``elevation_m``: bottom over
    the floor. ``drop_m``: height over its bottom at which things are put on it; None where not.
    ``rotation``: nine numbers, row by row, applied to the file's vertices.
    """

    id: str
    name: str
    label: str | None
    role: str | None
    creator: str
    licence: str
    size_m: tuple[float, float, float]
    elevation_m: float
    drop_m: float | None
    rotation: tuple[float, ...] | None
    archive: str
    path: str

    def __post_init__(self) -> None:
        if min(self.size_m) <= 0:
            raise SchemaError(f"{self.id}: size_m", "three lengths above 0", self.size_m)
        if self.rotation is not None and len(self.rotation) != 9:
            raise SchemaError(f"{self.id}: rotation", "nine numbers", self.rotation)

    @property
    def key(self) -> str:
        """``label`` where it has one, else its role."""
        return self.label or self.role or ""


def furniture_folder() -> Path:
    """The folder of the catalogues; FurnitureError where the package is missing."""
    folder = Path(os.environ.get(FOLDER_VARIABLE) or FOLDER)
    if not any((folder / f"{name}.sh3f").is_file() for name in LICENCES):
        raise FurnitureError(f"no furniture catalogues in {folder}: install them with `{INSTALL}`")
    return folder


@cache
def catalogue(folder: Path | None = None) -> tuple[FurnitureModel, ...]:
    """Every model with a label or a role, in the order of its id. Raises FurnitureError."""
    root = folder or furniture_folder()
    found: dict[str, FurnitureModel] = {}
    for name, licence in LICENCES.items():
        archive = root / f"{name}.sh3f"
        if archive.is_file():
            found |= {model.id: model for model in _read(archive, licence)}
    return tuple(found[key] for key in sorted(found))


def catalogue_key() -> str:
    """A digest of the models that rooms can hold: the same rooms need the same ones."""
    told = "\n".join(repr(model) for model in catalogue())
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def _read(archive: Path, licence: str) -> list[FurnitureModel]:
    try:
        with zipfile.ZipFile(archive) as file:
            text = file.read(PROPERTIES).decode("latin-1")
            names = set(file.namelist())
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise FurnitureError(f"{archive}: expected a furniture catalogue: {error}") from error
    values = properties(text)
    out, number = [], 1
    while f"id#{number}" in values:
        fields = {
            key: values.get(f"{key}#{number}", "")
            for key in ("id", "name", "category", "model", "width", "depth", "height", "elevation",
                        "dropOnTopElevation", "modelRotation", "creator")
        }  # fmt: skip
        number += 1
        if (model := _model(fields, archive.name, licence)) and model.path in names:
            out.append(model)
    return out


def _model(fields: dict[str, str], archive: str, licence: str) -> FurnitureModel | None:
    label, role = label_of(fields["name"]), role_of(fields["name"])
    if (label or role) is None or fields["category"] in OUTDOORS or fields["id"] in LEFT_OUT:
        return None
    width, depth, height = (float(fields[key]) * _CM for key in ("width", "depth", "height"))
    drop = float(fields["dropOnTopElevation"]) * _CM if fields["dropOnTopElevation"] else height
    turn = tuple(float(value) for value in fields["modelRotation"].split())
    return FurnitureModel(
        id=fields["id"],
        name=fields["name"],
        label=label,
        role=role,
        creator=fields["creator"],
        licence=licence,
        size_m=(width, depth, height),
        elevation_m=float(fields["elevation"] or 0.0) * _CM,
        drop_m=drop if drop > 0 else None,
        rotation=turn or None,
        archive=archive,
        path=fields["model"].lstrip("/"),
    )


def properties(text: str) -> dict[str, str]:
    """Java properties: comments, ``key=value`` lines and escapes of letters by their code."""
    out: dict[str, str] = {}
    for line in text.splitlines():
        if not line or line[0] in "#!" or "=" not in line:
            continue
        key, _, value = line.partition("=")
        out[key.strip()] = re.sub(
            r"\\u([0-9a-fA-F]{4})", lambda found: chr(int(found[1], 16)), value.strip()
        )
    return out


def split_models(
    models: tuple[FurnitureModel, ...],
) -> tuple[dict[str, list[FurnitureModel]], dict[str, list[FurnitureModel]]]:
    """Models by label or role: those of rooms to train on, and those of held-out rooms.

    Of each label, the fifth of its models whose ids have the smallest sha256 is held out, one at
    least where there are two. Of a lone model there is nothing to hold out. People, pets and
    litter are split in the same way.
    """
    groups: dict[str, list[FurnitureModel]] = {}
    for model in models:
        groups.setdefault(model.key, []).append(model)
    train: dict[str, list[FurnitureModel]] = {}
    held_out: dict[str, list[FurnitureModel]] = {}
    for key, group in groups.items():
        ranked = sorted(group, key=lambda m: hashlib.sha256(m.id.encode()).hexdigest())
        number = max(len(group) // _HELD_OUT_EVERY, 1) if len(group) > 1 else 0
        chosen = {model.id for model in ranked[:number]}
        train[key] = [model for model in group if model.id not in chosen]
        held_out[key] = [model for model in group if model.id in chosen]
    return train, held_out


def attribution(models: tuple[FurnitureModel, ...]) -> str:
    """Who made which models and under which licence, as text for a card: a line a creator."""
    by_maker: dict[tuple[str, str], list[str]] = {}
    for model in models:
        by_maker.setdefault((model.licence, model.creator or "unknown"), []).append(model.id)
    lines = [
        f"{creator} ({licence}): {', '.join(sorted(ids))}"
        for (licence, creator), ids in sorted(by_maker.items())
    ]
    head = "3D models of Sweet Home 3D's furniture catalogues, www.sweethome3d.com; by creator:"
    return "\n".join([head, *lines])
