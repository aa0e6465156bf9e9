"""Compiled networks: the same codes, no second compilation of a shape, and when it is worth it."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch._dynamo.utils import counters

from spatialcode.api import VideoEncoder
from spatialcode.encoder import compiling
from spatialcode.encoder.compiling import (
    CACHE_VARIABLE,
    compile_networks,
    is_worth_compiling,
    modules_of,
)
from spatialcode.encoder.geometry.registry import load_geometry
from spatialcode.encoder.parsing.protocol import Detections
from spatialcode.encoder.parsing.registry import DETECTORS, MASK_SOURCES
from spatialcode.encoder.protocol import (
    ClipInput,
    FrameGeometry,
    FrameRequest,
    LoadedEncoder,
    Window,
    encode_windows,
)
from spatialcode.encoder.registry import make_encoder
from spatialcode.evaluation.room import clip_of
from spatialcode.scene.schema import SpatialCode
from spatialcode.synthetic.clips import ClipConfig, make_clip
from tests.encoder import tiny_models, tiny_settings
from tests.encoder.geometry.tiny_geometry import ANY_VIEW, METRIC, save_da3


@pytest.fixture(autouse=True)
def fresh_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Nothing is known of other tests' shapes, and nothing is left in the user's cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv(CACHE_VARIABLE, raising=False)
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


@cache
def clip(num_frames: int = 6) -> ClipInput:
    made = make_clip(1_600_000_001, ClipConfig(num_frames=num_frames, width_px=128, height_px=96))
    return clip_of(made.rgb, made.times_s, FrameGeometry(made.K))


def window(num_frames: int = 2) -> Window:
    return next(clip(num_frames).windows(FrameRequest()))


def num_compiled() -> int:
    return int(counters["stats"]["unique_graphs"])


@pytest.mark.parametrize(
    ("wanted", "num_videos", "device", "expected"),
    [
        (None, 49, "cuda", False),
        (None, 50, "cuda", True),
        (None, 50, "cuda:1", True),
        (None, 10_000, "cpu", False),
        (True, 1, "cpu", True),
        (False, 10_000, "cuda", False),
    ],
)
def test_it_is_worth_it_for_many_videos_on_an_accelerator(
    wanted: bool | None, num_videos: int, device: str, expected: bool
) -> None:
    assert is_worth_compiling(wanted, num_videos, device) is expected


def same(code: SpatialCode, other: SpatialCode) -> None:
    """Codes that agree but for the last bits of networks' numbers."""
    assert [item.id for item in code.objects] == [item.id for item in other.objects]
    for one, two in zip(code.objects, other.objects, strict=True):
        assert one.center_m == pytest.approx(two.center_m, rel=1e-3, abs=1e-3)
        assert one.size_m == pytest.approx(two.size_m, rel=1e-3, abs=1e-3)
    for one, two in zip(code.cameras, other.cameras, strict=True):
        assert np.allclose(one.T_world_camera, two.T_world_camera, atol=1e-4)


def encoded(loaded: LoadedEncoder, encoder: Any) -> SpatialCode:
    return encode_windows(loaded, clip(), encoder.frames)


PARTS: list[tuple[dict[str, Any], str, Callable[[], Path]]] = [
    (DETECTORS, "owlv2", tiny_models.owlv2),
    (DETECTORS, "sam3", tiny_models.sam3_video),
    (MASK_SOURCES, "sam2-image", tiny_models.sam2_video),
    (MASK_SOURCES, "sam2-video", tiny_models.sam2_video),
    (MASK_SOURCES, "sam3-video", tiny_models.sam3_video),
]
SLOW_PARTS = [pytest.param(*part, marks=pytest.mark.slow) for part in PARTS[1:]]


def part_of(table: dict[str, Any], name: str, weights: Callable[[], Path]) -> Any:
    return table[name].load(table[name].settings(), weights(), "cpu")


@pytest.mark.parametrize(("table", "name", "weights"), [PARTS[0], *SLOW_PARTS])
def test_a_tower_of_pictures_is_compiled_for_one_number_of_them_and_then_for_any(
    table: dict[str, Any], name: str, weights: Callable[[], Path]
) -> None:
    part = part_of(table, name, weights)
    (tower,) = modules_of(part)
    pictures = part._tower.pictures(clip(4).rgb)
    with torch.inference_mode():
        plain = tower(pictures)
        assert num_compiled() == 0
        assert compile_networks(part, "eager") == 1
        graphs = []
        for num in (4, 4, 3, 2, 4):
            seen = tower(pictures[:num])
            graphs.append(num_compiled())
    assert torch.allclose(seen.last_hidden_state, plain.last_hidden_state, atol=1e-5)
    assert graphs == [1, 1, 2, 2, 2]


@pytest.mark.parametrize(("table", "name", "weights"), PARTS)
def test_a_part_names_the_tower_of_its_pictures(
    table: dict[str, Any], name: str, weights: Callable[[], Path]
) -> None:
    part = part_of(table, name, weights)
    (tower,) = modules_of(part)
    seen: list[torch.Size] = []
    tower.register_forward_pre_hook(
        lambda _, args, kwargs: seen.append((*args, *kwargs.values())[0].shape), with_kwargs=True
    )
    if table is DETECTORS:
        part.detect(window(), [0, 1], ["chair"])
    else:
        found = Detections(np.array([[10.0, 10, 60, 60]]), ("chair",), np.array([0.9]))
        part.session().masks(window(), {0: found, 1: found})
    assert {tuple(shape) for shape in seen} == {tuple(part._tower.pictures(clip(2).rgb).shape)}


def test_a_network_of_pictures_of_any_shape_is_left_alone() -> None:
    part = part_of(DETECTORS, "grounding-dino", tiny_models.grounding_dino)
    assert compile_networks(part, "eager") == 0


def test_layers_that_are_alike_are_compiled_together(tmp_path: Path) -> None:
    networks = (save_da3(tmp_path / "a", ANY_VIEW), save_da3(tmp_path / "m", METRIC))
    part = load_geometry("da3", networks, {"side_px": 126}, "cpu")
    plain = part.session(None).geometry(window(4))  # type: ignore[arg-type]
    # four layers of each network, of which two of the first have rotary positions
    assert compile_networks(part, "eager") == 8
    graphs = []
    for _ in range(2):
        seen = part.session(None).geometry(window(4))  # type: ignore[arg-type]
        graphs.append(num_compiled())
    # plain layers of one view and of all, perceptrons likewise, and layers of the metric network
    assert graphs[0] <= 6
    assert graphs[1] == graphs[0]
    assert np.allclose(seen.depth_m, plain.depth_m, atol=1e-4, equal_nan=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(tiny_settings.SETTINGS))
def test_compiled_networks_give_the_same_code_and_are_compiled_once(
    name: str, tmp_path: Path
) -> None:
    encoder = make_encoder(name, tiny_settings.SETTINGS[name](tmp_path))
    plain = encoded(encoder.load("cpu"), encoder)
    loaded = encoder.load("cpu")
    # SAM 2's image tower and DA3's layers; of the unified network its two towers beside
    assert compile_networks(loaded, "eager") == {"prompted": 9, "unified": 14}[name]
    code = encoded(loaded, encoder)
    assert plain.objects
    same(code, plain)
    before = num_compiled()
    assert before > 0
    same(encoded(loaded, encoder), plain)
    assert num_compiled() == before, "shapes that were seen before are not compiled again"


def test_what_cannot_be_compiled_runs_as_it_is(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    part = part_of(*PARTS[0])
    (tower,) = modules_of(part)
    pictures = part._tower.pictures(clip(2).rgb)
    plain = tower(pictures).last_hidden_state
    monkeypatch.setattr(compiling, "_COMPILERS", ("no-such-compiler",))
    monkeypatch.delenv("CXX", raising=False)
    assert compile_networks(part) == 0
    assert "no-such-compiler" in caplog.text
    assert CACHE_VARIABLE not in os.environ
    assert compile_networks(object(), "eager") == 0, "an encoder without such networks"
    monkeypatch.setattr(torch._dynamo.config, "suppress_errors", False)
    assert compile_networks(part, refusing) == 1  # type: ignore[arg-type]
    assert torch.equal(tower(pictures).last_hidden_state, plain)


def refusing(*_: Any) -> None:
    """A compiler that fails."""
    raise RuntimeError("no graph of mine")


def test_what_was_compiled_lies_in_a_folder_of_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = make_encoder("prompted", tiny_settings.prompted(tmp_path)).load("cpu")
    compile_networks(loaded, "eager")
    expected = tmp_path / "spatialcode" / "compiled" / socket.gethostname()
    assert os.environ[CACHE_VARIABLE] == str(expected)
    monkeypatch.setenv(CACHE_VARIABLE, "/elsewhere")
    compile_networks(loaded, "eager")
    assert os.environ[CACHE_VARIABLE] == "/elsewhere"


def test_a_video_encoder_compiles_only_where_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = make_encoder("prompted", tiny_settings.prompted(tmp_path))
    told = []
    monkeypatch.setattr("spatialcode.api.compile_networks", told.append)
    VideoEncoder(encoder)
    assert not told
    compiled = VideoEncoder(encoder, "cpu", compiles=True)
    assert told == [compiled.loaded]


@pytest.mark.slow
@pytest.mark.skipif(not compiling.has_compiler(), reason="needs a C++ compiler")
def test_the_compiler_of_this_machine_gives_the_same_features() -> None:
    part = part_of(*PARTS[0])
    (tower,) = modules_of(part)
    pictures = part._tower.pictures(clip(2).rgb)
    with torch.inference_mode():
        plain = tower(pictures).last_hidden_state
        assert compile_networks(part) == 1
        seen = tower(pictures).last_hidden_state
    assert torch.allclose(seen, plain, rtol=1e-3, atol=1e-4)
    assert num_compiled() == 1
    assert any(compiling.cache_folder().rglob("*.so")), "kept for the next process"
