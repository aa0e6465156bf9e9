"""What a run decides once its videos, its encoder and its cluster are known."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cluster.gpu_share import measured_num_gpus
from pipelines.encode import graph, placement
from pipelines.encode.config import EncodingConfig
from pipelines.encode.placement import placed
from pipelines.encode.stages import EncodeStage
from spatialcode.encoder.protocol import Encoder, FrameRequest
from tests.pipelines.conftest import MakeConfig
from tests.pipelines.results import result_rows

ROOT = Path(__file__).parents[3]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, int, int]]:
    """What a cluster whose GPUs hold six encoders and a half was asked."""
    found: list[tuple[str, int, int, int]] = []

    def measure(encoder: Encoder, device: str, num_clips: int, frames: FrameRequest) -> float:
        found.append((device, num_clips, frames.count, frames.side_px))
        return 0.15

    monkeypatch.setattr(placement, "measured_num_gpus", measure)
    return found


def test_the_share_of_a_gpu_is_measured_where_it_is_asked_for(
    make_config: MakeConfig, asked: list[tuple[str, int, int, int]]
) -> None:
    auto = make_config("x", encoder__num_gpus="auto", encoder__videos_per_batch=3)
    encoder = auto.encoder.make()
    encoding = placed(auto, encoder, 1).encoder
    assert (encoding.num_gpus, encoding.torch_device) == (0.15, "cuda")
    assert asked == [("auto", 3, 4, encoder.frames.side_px)]
    larger = replace(auto, sampling=replace(auto.sampling, max_side_px=2048, num_frames=40))
    placed(larger, encoder, 1)
    assert asked.pop() == ("auto", 3, 40, 2048)
    for given, device in ((0.0, "cpu"), (0.5, "cuda"), (1.0, "cuda")):
        plain = make_config("x", encoder__num_gpus=given)
        encoding = placed(plain, encoder, 1).encoder
        assert (encoding.num_gpus, encoding.torch_device) == (given, device)
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("wanted", "num_videos", "num_gpus", "expected"),
    [
        ("auto", 49, 1, False),
        ("auto", 50, 1, True),
        ("auto", 50, 0, False),
        ("auto", 50, "auto", True),
        ("on", 1, 0, True),
        ("off", 50, 1, False),
    ],
)
@pytest.mark.usefixtures("asked")
def test_networks_are_compiled_for_many_videos_on_a_gpu(
    make_config: MakeConfig, wanted: str, num_videos: int, num_gpus: Any, expected: bool
) -> None:
    config = make_config("x", encoder__compile=wanted, encoder__num_gpus=num_gpus)
    encoding = placed(config, config.encoder.make(), num_videos).encoder
    assert encoding.compile is expected


def test_an_actor_compiles_as_it_was_decided(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled: list[Any] = []
    monkeypatch.setattr("spatialcode.api.compile_networks", compiled.append)
    for wanted, num_compiled in (("off", 0), ("on", 1)):
        config = make_config("x", encoder__compile=wanted)
        EncodeStage(config, None, config.encoder.make())
        assert len(compiled) == num_compiled


def test_neither_is_part_of_an_encoders_identity() -> None:
    plain = EncodingConfig(name="tests.pipelines.stand_in:FrameReader")
    other = replace(plain, num_gpus=0.5, compile=True)
    assert plain.make().identity == other.make().identity


def test_on_a_cluster_without_gpus_an_encoder_gets_none(ray_session: Any) -> None:
    class Unloadable:
        """Nothing is measured."""

    assert measured_num_gpus(Unloadable(), "auto", 4) == 0.0  # type: ignore[arg-type]
    assert measured_num_gpus(Unloadable(), "cpu", 4) == 0.0  # type: ignore[arg-type]


def test_a_run_is_built_with_what_was_decided_and_its_keys_are_those_of_any_other(
    make_config: MakeConfig, clips: list[Path], control: Path, ray_session: Any, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    built: list[EncodingConfig] = []
    real = graph.build

    def build(works: Any, encoder: Any, config: Any, *rest: Any) -> Any:
        built.append(config.encoder)
        return real(works, encoder, config, *rest)

    monkeypatch.setattr(graph, "build", build)
    auto = {"encoder__num_gpus": "auto", "encoder__compile": "on"}
    assert graph.run_encode(make_config(*clips[:2], **auto))["done"] == 2
    (encoding,) = built
    assert (encoding.num_gpus, encoding.torch_device, encoding.compile) == (0.0, "cpu", True)
    assert len(result_rows(str(tmp_path / "out"))) == 2
    again = graph.run_encode(make_config(*clips[:2]))
    assert (again["done"], again["skipped"]) == (0, 2)


_ON_A_CLUSTER_WITH_A_GPU = """
import ray
from cluster import gpu_share
from spatialcode.encoder.gpu_share import GpuPeak
from spatialcode.encoder.registry import make_encoder
from spatialcode.errors import WeightsError

ray.init(num_cpus=2, num_gpus=1, include_dashboard=False, log_to_driver=False)
small = make_encoder("small")
# the GPU is one by name only: torch sees none, and so the encoder runs without one
assert gpu_share.measured_num_gpus(small, "auto", 1) == 0.0

def on_a_card(encoder, num_clips, frames):
    assert ray.get_runtime_context().get_assigned_resources()["GPU"] == 1
    assert num_clips == 4 and encoder.identity == small.identity
    assert frames in (None, small.frames)
    return GpuPeak("a card", 8 * 2**30, 80 * 2**30)

gpu_share.measured_peak = on_a_card
assert gpu_share.measured_num_gpus(small, "cuda", 4) == 0.15
assert gpu_share.measured_num_gpus(small, "cuda", 4, small.frames) == 0.15

def broken(encoder, num_clips, frames):
    raise WeightsError("cut short")

gpu_share.measured_peak = broken
try:
    gpu_share.measured_num_gpus(small, "cuda", 4)
except WeightsError as error:
    assert str(error) == "cut short", error
    print("all as it should be")
"""


@pytest.mark.slow
def test_an_encoder_is_measured_by_a_task_that_holds_a_whole_gpu() -> None:
    command = [sys.executable, "-c", _ON_A_CLUSTER_WITH_A_GPU]
    ended = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert "all as it should be" in ended.stdout, ended.stderr
