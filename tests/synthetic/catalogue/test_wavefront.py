import io
import zipfile

import numpy as np
import pytest

from spatialcode.errors import FurnitureError
from spatialcode.synthetic.catalogue.wavefront import Finish, read_mtl, read_obj

OBJ = """mtllib C:\\old\\Chair.MTL
v 0 0 0
v 1 0 0
v 1 1 0
v 0 1 0
vt 0 0
vt 1 0 5
vn 0 0 1
usemtl seat
f 1/1/1 2/2/1 3/1/1 4/2/1
usemtl clearGlass
f -4 -3 -2
"""
MTL = """newmtl seat
Kd 0.1 0.2 0.3
Ks 0.5 0.5 0.5
d 0.25
map_Kd -s 1 1 1 /Users/me/Wood.JPG
illum x
newmtl other
Kd nonsense
map_Kd D:\\x\\no such.png
"""


def archive(**members: str) -> zipfile.ZipFile:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, text in members.items():
            file.writestr("a/" + name.replace("_", ".", 1), text)
    return zipfile.ZipFile(buffer)


def test_polygons_become_fans_and_every_corner_keeps_its_rows() -> None:
    soup = read_obj(archive(chair_obj=OBJ, chair_mtl=MTL, wood_jpg="", other_png=""), "a/chair.obj")
    assert soup.corners[:, :, 0].tolist() == [[0, 1, 2], [0, 2, 3], [0, 1, 2]]
    assert soup.corners[:2, :, 1].tolist() == [[0, 1, 0], [0, 0, 1]]
    assert (soup.corners[2, :, 1:] == -1).all()
    assert soup.uv.tolist() == [[0, 0], [1, 0]]
    assert soup.finish.tolist() == [0, 0, 1]
    seat, glass = soup.finishes
    # the material's file and its texture are found by bare names in any case
    assert seat == Finish((0.1, 0.2, 0.3), (0.5, 0.5, 0.5), opacity=0.25, texture="a/wood.jpg")
    assert glass.opacity == pytest.approx(0.3)
    assert glass.texture is None


def test_a_texture_that_is_nowhere_is_the_only_picture_or_none() -> None:
    alone = read_mtl(archive(chair_mtl=MTL, wood_jpg=""), "a/chair.mtl")
    assert alone["other"].texture == "a/wood.jpg"
    assert alone["other"].diffuse == (0.7, 0.7, 0.7)
    two = read_mtl(archive(chair_mtl=MTL, wood_jpg="", more_png=""), "a/chair.mtl")
    assert two["other"].texture is None


@pytest.mark.parametrize("text", ["v 0 0 0", "v 0 0 0\nf 1 2 3", "v 0 0 0\nf a b c", "f 1 1 1"])
def test_a_model_without_triangles_or_points_is_an_error_that_names_it(text: str) -> None:
    with pytest.raises(FurnitureError, match=r"a/chair\.obj: expected an OBJ model"):
        read_obj(archive(chair_obj=text), "a/chair.obj")


def test_a_missing_member_is_an_error() -> None:
    with pytest.raises(FurnitureError, match=r"a/sofa\.obj"):
        read_obj(archive(chair_obj=OBJ), "a/sofa.obj")


def test_undefined_materials_are_grey() -> None:
    soup = read_obj(archive(chair_obj=OBJ), "a/chair.obj")
    assert soup.finishes[0] == Finish()
    assert np.isfinite(soup.points).all()
