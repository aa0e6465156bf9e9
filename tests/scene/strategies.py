"""Hypothesis strategies for whole spatial codes and their parts."""

from __future__ import annotations

from typing import get_args

from hypothesis import strategies as st

from spatialcode.scene.frames import matrix_from_quaternion, quaternion_from_yaw
from spatialcode.scene.schema import (
    Camera,
    PathOrigin,
    PathSource,
    Provenance,
    Room,
    Scale,
    ScaleSource,
    SceneObject,
    SpatialCode,
    TrackPoint,
    VideoInfo,
    make_id,
)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
hashes = st.one_of(st.just(""), st.text("0123456789abcdef", min_size=64, max_size=64))
times = st.floats(0.0, 1e6)
coordinates = st.one_of(st.floats(-100, 100), st.floats(-1e30, 1e30), st.just(-0.0))
extents = st.one_of(st.floats(1e-6, 1e3), st.floats(1e-30, 1e30))
fractions = st.floats(0.0, 1.0)
vectors = st.tuples(coordinates, coordinates, coordinates)
yaws = st.floats(-10.0, 10.0).map(lambda yaw: tuple(quaternion_from_yaw(yaw).tolist()))
parts = st.one_of(st.floats(-1, 1), st.sampled_from([0.0, 1.0, -1.0, 1e-5, 0.5]))
tilts = st.tuples(parts, parts, parts, parts).filter(lambda q: sum(v * v for v in q) > 1e-3)
quaternions = st.one_of(yaws, tilts)
labels = st.one_of(
    st.sampled_from(["chair", "trash bin", "tv", "3d printer", "café", "T-shirt", "椅子"]),
    texts.map(str.strip).filter(lambda label: label and label.isprintable()),
)


def _tuples(elements: st.SearchStrategy, **sizes: int) -> st.SearchStrategy:
    return st.lists(elements, **sizes).map(tuple)


def _pose(quaternion, translation):
    rotation = matrix_from_quaternion(quaternion).tolist()
    rows = [(*row, shift) for row, shift in zip(rotation, translation, strict=True)]
    return (*rows, (0.0, 0.0, 0.0, 1.0))


sorted_times = st.lists(times, max_size=6).map(sorted).map(tuple)
videos = st.builds(
    VideoInfo,
    uri=texts,
    sha256=hashes,
    duration_s=times,
    fps=st.floats(0, 1000),
    width_px=st.integers(1, 2**31 - 1),
    height_px=st.integers(1, 2**31 - 1),
    sampled_s=sorted_times,
)
cameras = st.builds(
    Camera,
    t_s=times,
    T_world_camera=st.builds(_pose, quaternions, vectors),
    fx_px=extents,
    fy_px=extents,
    cx_px=coordinates,
    cy_px=coordinates,
)
points = st.tuples(coordinates, coordinates)
rooms = st.builds(
    lambda heights, has_ceiling, polygon, area: Room(
        min(heights), max(heights) if has_ceiling else None, polygon, area
    ),
    st.tuples(coordinates, coordinates),
    st.booleans(),
    st.one_of(st.just(()), _tuples(points, min_size=3, max_size=6)),
    st.floats(0, 1e6),
)
scales = st.builds(Scale, source=st.sampled_from(get_args(ScaleSource)), confidence=fractions)
origins = st.builds(
    PathOrigin, source=st.sampled_from(get_args(PathSource)), error_px=st.none() | st.floats(0, 1e3)
)
provenances = st.builds(
    Provenance,
    encoder=texts,
    weights_sha256=hashes,
    config_sha256=hashes,
    software=texts,
    work_key=hashes,
)


@st.composite
def tracks(draw, min_size: int = 0) -> tuple[TrackPoint, ...]:
    at = sorted(draw(st.lists(times, min_size=min_size, max_size=4, unique=True)))
    return tuple(TrackPoint(t, draw(vectors), draw(quaternions)) for t in at)


@st.composite
def scene_objects(draw, n: int = 1) -> SceneObject:
    label = draw(labels)
    first, last = sorted([draw(times), draw(times)])
    motion = draw(st.sampled_from(["static", "moving"]))
    return SceneObject(
        id=make_id(label, n),
        label=label,
        score=draw(fractions),
        center_m=draw(vectors),
        size_m=draw(st.tuples(extents, extents, extents)),
        quaternion_wxyz=draw(quaternions),
        first_seen_s=first,
        last_seen_s=last,
        num_observations=draw(st.integers(0, 2**31 - 1)),
        visibility=draw(fractions),
        motion=motion,
        track=draw(tracks(min_size=1 if motion == "moving" else 0)),
    )


@st.composite
def spatial_codes(draw) -> SpatialCode:
    """Whole codes, every optional part present and absent, strange strings and numbers too."""
    shots = draw(st.lists(cameras, max_size=3))
    return SpatialCode(
        video=draw(videos),
        objects=tuple(draw(scene_objects(n)) for n in range(1, draw(st.integers(1, 4)))),
        cameras=tuple(sorted(shots, key=lambda camera: camera.t_s)),
        room=draw(st.none() | rooms),
        scale=draw(scales),
        provenance=draw(provenances),
        warnings=tuple(draw(st.lists(texts, max_size=2))),
        path=draw(st.none() | origins),
    )
