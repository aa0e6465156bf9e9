from __future__ import annotations

import pytest

from spatialcode.errors import ConfigError
from spatialcode.loading import load


def test_what_a_name_stands_for() -> None:
    assert load("spatialcode.errors:ConfigError", "encoder.name") is ConfigError


@pytest.mark.parametrize(
    "spec", ["no_such.module:A", "spatialcode.errors:A", "spatialcode", ":A", ".errors:A"]
)
def test_a_name_that_stands_for_nothing(spec: str) -> None:
    with pytest.raises(ConfigError, match=f"encoder.name: cannot load '{spec}'"):
        load(spec, "encoder.name")
