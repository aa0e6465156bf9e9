from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spatialcode.errors import ParseError
from spatialcode.scene.schema import PathOrigin
from spatialcode.scene.table import ARROW_SCHEMA, from_row, from_table, to_row, to_table
from tests.scene import builders as make
from tests.scene.strategies import spatial_codes


@given(st.lists(spatial_codes(), max_size=3))
def test_arrow_round_trip_is_exact(codes):
    table = to_table(codes)
    assert table.schema == ARROW_SCHEMA
    assert table.num_rows == len(codes)
    assert from_table(table) == codes


@given(spatial_codes())
def test_row_round_trip_is_exact(code):
    assert from_row(to_row(code)) == code


def test_parquet_round_trip_is_exact(tmp_path):
    codes = [make.code(), make.code(room=None, objects=(), cameras=()), make.code()]
    pq.write_table(to_table(codes).append_column("status", pa.array(["ok"] * 3)), tmp_path / "x")
    assert from_table(pq.read_table(tmp_path / "x")) == codes


def test_geometry_is_float32_and_time_float64():
    column = to_table([make.code()])["objects"].type.value_type
    assert column.field("center_m").type == pa.list_(pa.float32())
    assert column.field("first_seen_s").type == pa.float64()


def test_numpy_arrays_and_other_columns_are_fine():
    row = to_row(make.code())
    row["objects"] = np.array(row["objects"], dtype=object)
    row["video"]["sampled_s"] = np.array(row["video"]["sampled_s"])
    row["cameras"][0]["T_world_camera"] = np.eye(4, dtype=np.float32)
    row["room"]["area_m2"] = np.float32(6)
    row["video"]["width_px"] = np.int32(640)
    assert from_row({**row, "status": "ok"}) == make.code()


def test_a_missing_column_is_named():
    with pytest.raises(ParseError, match="scale: missing"):
        from_table(to_table([make.code()]).drop_columns(["scale"]))
    row = to_row(make.code())
    row["objects"][0]["score"] = 2.0
    with pytest.raises(ParseError, match=r"objects\[0\].score: expected a number in \[0, 1\]"):
        from_row(row)


def test_a_table_of_before_paths_had_an_origin_is_read():
    told = make.code(path=PathOrigin("structure", 0.5))
    assert from_table(to_table([told])) == [told]
    assert from_table(to_table([told]).drop_columns(["path"])) == [make.code()]


def test_a_table_without_the_column_of_warnings_has_none():
    warned = make.code(warnings=("The path is rough.",))
    assert from_table(to_table([warned])) == [warned]
    assert from_table(to_table([warned]).drop_columns(["warnings"])) == [make.code()]
