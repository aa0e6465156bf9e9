"""A room whose every number can be worked out by hand. Seen from above, the camera at the origin:

y
5            tv            faces down, to the sofa
4  bin            chair_2
3     bench    table       cup on the table, bench along y, paper in the bin
1  lamp     sofa  chair_1  sofa faces up
0          camera          looks up
  x -3      0     3
"""

from spatialcode.scene.schema import SceneObject, SpatialCode
from tests.scene.builders import camera, code, room

#: Camera x is world x, camera y (down) is world -z, camera z (forward) is world +y.
_LOOKS_ALONG_Y = ((1, 0, 0, 0), (0, 0, 1, 0), (0, -1, 0, 1.5), (0, 0, 0, 1))
AHEAD = (1.0, 0.0, 0.0, 0.0)
QUARTER_LEFT = (0.5**0.5, 0.0, 0.0, 0.5**0.5)
HALF = (0.0, 0.0, 0.0, 1.0)


def thing(object_id, center_m, size_m, seen_s, turn=AHEAD, **changes) -> SceneObject:
    values = {
        "id": object_id, "label": object_id.rpartition("_")[0].replace("_", " "), "score": 1.0,
        "center_m": center_m, "size_m": size_m, "quaternion_wxyz": turn, "first_seen_s": seen_s,
        "last_seen_s": 9.0, "num_observations": 3, "visibility": 1.0, "motion": "static",
    }  # fmt: skip
    return SceneObject(**{**values, **changes})


SOFA = thing("sofa_1", (0, 1, 0.4), (2, 1, 0.8), 0.0, score=0.9)
TV = thing("tv_1", (0, 5, 1.0), (1.2, 0.2, 0.8), 1.0, HALF)
LAMP = thing("lamp_1", (-3, 1, 0.8), (0.4, 0.4, 1.6), 2.0)
CHAIR_1 = thing("chair_1", (3, 1, 0.55), (0.5, 0.5, 1.0), 3.0, score=0.6)
CHAIR_2 = thing("chair_2", (3, 4, 0.6), (0.6, 0.6, 1.2), 0.5, score=0.8, last_seen_s=5.0)
TABLE = thing("table_1", (1, 3, 0.35), (1.0, 0.6, 0.7), 1.5)
CUP = thing("cup_1", (1, 3, 0.75), (0.1, 0.1, 0.1), 4.0)
BIN = thing("trash_bin_1", (-3, 4, 0.3), (0.6, 0.6, 0.6), 5.0)
PAPER = thing("paper_1", (-3, 4, 0.2), (0.2, 0.2, 0.2), 6.0)
BENCH = thing("bench_1", (-1.5, 3, 0.25), (1.5, 0.5, 0.4), 7.0, QUARTER_LEFT)

ROOM: SpatialCode = code(
    objects=(SOFA, TV, LAMP, CHAIR_1, CHAIR_2, TABLE, CUP, BIN, PAPER, BENCH),
    cameras=(camera(T_world_camera=_LOOKS_ALONG_Y),),
    room=room(polygon_m=((-4, -1), (4, -1), (4, 5), (-4, 5)), area_m2=48.0),
)
BARE: SpatialCode = code(objects=(SOFA, CHAIR_1), cameras=(), room=None)
