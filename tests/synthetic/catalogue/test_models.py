import hashlib
import zipfile

import pytest

from spatialcode.errors import FurnitureError
from spatialcode.scene.categories import LABELS, traits_of
from spatialcode.scene.kinds import FURNITURE_KINDS
from spatialcode.synthetic.catalogue.kinds import CLUTTER_ROLES, NAMES
from spatialcode.synthetic.catalogue.models import (
    FOLDER_VARIABLE,
    LICENCES,
    FurnitureModel,
    attribution,
    catalogue,
    furniture_folder,
    properties,
    split_models,
)
from spatialcode.synthetic.furnished.pieces import MADE
from tests.synthetic.here import needs_furniture

CATALOGUE = """# made for a test
id=Test
id#1=Scopia#seat
name#1=Chair
category#1=Living room
model#1=/scopia/seat/seat.obj
width#1=50
depth#1=60.5
height#1=90
elevation#1=10
dropOnTopElevation#1=-1
modelRotation#1=0 0 1 0 1 0 -1 0 0
creator#1=Jos\\u00e9
id#2=Scopia#bush
name#2=Chair
category#2=Exterior
model#2=/scopia/seat/seat.obj
width#2=50
depth#2=50
height#2=50
id#3=Scopia#thing
name#3=Wormhole
category#3=Living room
model#3=/scopia/seat/seat.obj
width#3=50
depth#3=50
height#3=50
id#4=Scopia#dog
name#4=Dog
category#4=Characters
model#4=/scopia/seat/seat.obj
width#4=30
depth#4=80
height#4=60
dropOnTopElevation#4=45
creator#4=Scopia
id#5=Scopia#lost
name#5=Table
category#5=Living room
model#5=/scopia/lost.obj
width#5=50
depth#5=50
height#5=50
"""


@pytest.fixture
def folder(tmp_path):
    with zipfile.ZipFile(tmp_path / "Scopia.sh3f", "w") as file:
        file.writestr("PluginFurnitureCatalog.properties", CATALOGUE.encode("latin-1"))
        file.writestr("scopia/seat/seat.obj", "v 0 0 0")
    return tmp_path


def test_a_catalogue_is_read_in_metres_with_labels_of_our_own(folder) -> None:
    dog, seat = catalogue(folder)
    assert seat == FurnitureModel(
        id="Scopia#seat", name="Chair", label="chair", role=None, creator="José",
        licence="CC-BY-3.0", size_m=(0.5, 0.605, 0.9), elevation_m=0.1, drop_m=None,
        rotation=(0, 0, 1, 0, 1, 0, -1, 0, 0), archive="Scopia.sh3f", path="scopia/seat/seat.obj",
    )  # fmt: skip
    # a dog has no label; what is outdoors, of an unknown name, or without a file is left out
    assert (dog.label, dog.role, dog.drop_m, dog.key) == (None, "pet", 0.45, "pet")


def test_properties_leave_comments_out_and_decode_escapes() -> None:
    assert properties("#a=b\n!c=d\n\n e = f=g \nh=\\u00e9") == {"e": "f=g", "h": "é"}


def test_a_missing_package_says_in_one_line_what_to_install(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    with pytest.raises(FurnitureError, match=r"apt-get install .*sweethome3d-furniture") as caught:
        furniture_folder()
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_a_damaged_catalogue_names_itself(tmp_path) -> None:
    (tmp_path / "Scopia.sh3f").write_bytes(b"PK no zip")
    with pytest.raises(FurnitureError, match=r"Scopia\.sh3f: expected a furniture catalogue"):
        catalogue(tmp_path)


def toy(name: str, label: str | None = "chair", role: str | None = None) -> FurnitureModel:
    return FurnitureModel(
        name, name, label, role, "Ann", "CC0-1.0", (1, 1, 1), 0, None, None, "a", "b"
    )


def test_the_held_out_models_are_those_with_the_smallest_digests() -> None:
    chairs = [toy(f"c{k}") for k in range(11)]
    lone, pets = toy("bed", "bed"), [toy(f"p{k}", None, "pet") for k in range(2)]
    train, kept = split_models((*chairs, lone, *pets))
    ranked = sorted((hashlib.sha256(m.id.encode()).hexdigest(), m.id) for m in chairs)
    assert {m.id for m in kept["chair"]} == {name for _, name in ranked[:2]}
    assert {m.id for m in train["chair"]} == {name for _, name in ranked[2:]}
    assert kept["bed"] == []
    assert train["bed"] == [lone]
    assert len(kept["pet"]) == len(train["pet"]) == 1
    again, other = split_models((*pets, lone, *chairs[::-1]))
    assert {m.id for m in other["chair"]} == {m.id for m in kept["chair"]}
    assert {m.id for m in again["chair"]} == {m.id for m in train["chair"]}


def test_attribution_names_every_model_under_its_creator_and_licence() -> None:
    text = attribution((toy("b"), toy("a"), toy("c", None, "pet")))
    assert text.splitlines()[1:] == ["Ann (CC0-1.0): a, b, c"]


def test_each_name_has_one_label() -> None:
    names = [name for of_label in NAMES.values() for name in of_label]
    assert len(names) == len(set(names))
    assert set(CLUTTER_ROLES) == {"person", "pet", "litter"}


def test_the_kinds_are_those_that_rooms_hold_and_all_have_usual_sizes() -> None:
    assert set(FURNITURE_KINDS.labels) == set(NAMES) | set(MADE)
    assert FURNITURE_KINDS.labels[: len(LABELS)] == LABELS
    for label in FURNITURE_KINDS.labels:
        assert traits_of(label).usual_size_m is not None, label


@needs_furniture
def test_the_package_is_all_free_and_its_splits_have_forty_kinds_each() -> None:
    models = catalogue()
    assert {m.licence for m in models} <= set(LICENCES.values())
    assert all(m.creator for m in models)
    train, kept = split_models(models)
    for key in train:
        assert not {m.id for m in train[key]} & {m.id for m in kept[key]}
    for stock in (train, kept):
        labels = {k for k, group in stock.items() if group} - set(CLUTTER_ROLES) | set(MADE)
        assert len(labels) >= 40
    assert len({k for k, group in kept.items() if group} - set(CLUTTER_ROLES) | set(MADE)) >= 55
    for model in models:
        assert f"{model.id}" in attribution(models)
