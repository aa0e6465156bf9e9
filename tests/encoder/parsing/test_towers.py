from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from spatialcode.encoder.parsing.protocol import Detections
from spatialcode.encoder.parsing.registry import (
    DETECTORS,
    load_detector,
    load_mask_source,
    part_named,
)
from spatialcode.encoder.parsing.towers import device_memory, load_tower
from spatialcode.encoder.protocol import Window
from spatialcode.errors import ConfigError, DeviceMemoryError, EncodeError, WeightsError
from tests.encoder import tiny_models


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of Grounding DINO's folder, to be damaged."""
    return Path(shutil.copytree(tiny_models.grounding_dino(), tmp_path / "weights"))


def load(folder: Path) -> object:
    return load_tower("GroundingDinoForObjectDetection", folder, "cpu", "auto")


def test_a_tower_is_ready_to_be_used_and_not_to_be_trained() -> None:
    tower = load(tiny_models.grounding_dino())
    assert not tower.model.training
    assert not any(parameter.requires_grad for parameter in tower.model.parameters())
    assert tower.dtype == torch.float32
    half = load_tower("Sam2Model", tiny_models.sam2_video(), "cpu", "bfloat16")
    assert {parameter.dtype for parameter in half.model.parameters()} == {torch.bfloat16}


def test_truncated_weights_are_refused(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(WeightsError, match=str(folder)):
        load(folder)


def test_weights_with_a_tensor_missing_are_refused_by_its_name(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    del tensors["model.encoder.layers.0.fusion_layer.text_param"]
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(WeightsError, match="text_param"):
        load(folder)


def test_weights_of_another_size_are_refused(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    tensors["model.level_embed"] = torch.zeros(4, 8)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(WeightsError):
        load(folder)


def test_weights_of_another_network_are_refused(folder: Path) -> None:
    shutil.copy(tiny_models.sam2_video() / "model.safetensors", folder / "model.safetensors")
    with pytest.raises(WeightsError, match="missing"):
        load(folder)


def test_pickled_weights_are_not_read(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(WeightsError):
        load(folder)


def test_a_folder_without_a_tokenizer_is_no_detector(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_models.grounding_dino(), tmp_path / "weights"))
    for path in folder.glob("*token*"):
        path.unlink()
    (folder / "vocab.txt").unlink(missing_ok=True)
    with pytest.raises(WeightsError, match="tokenizer"):
        load_detector("grounding-dino", folder)


def test_what_is_neither_a_folder_nor_a_repository_is_refused(monkeypatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(WeightsError, match="no/such/thing/here"):
        load(Path("no/such/thing/here"))


def test_memory_that_ends_is_an_error_of_its_own_that_a_row_may_carry() -> None:
    for error in (
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
        MemoryError("numpy"),
    ):
        expected = pytest.raises(DeviceMemoryError, match="detecting in 4 frames: ")
        with expected as caught, device_memory("detecting in 4 frames"):
            raise error
        assert isinstance(caught.value, EncodeError)
        assert caught.value.code == "device_memory"


def test_an_allocation_that_truly_fails_is_caught() -> None:
    with pytest.raises(DeviceMemoryError, match="too much"), device_memory("too much"):
        torch.empty(1 << 50)


def test_other_errors_pass_as_they_are() -> None:
    with pytest.raises(RuntimeError, match="shapes"), device_memory("anything"):
        raise RuntimeError("shapes do not fit")


def full(*args: object, **kwargs: object) -> None:
    raise torch.OutOfMemoryError("CUDA out of memory")


def test_running_out_of_memory_inside_a_network_says_what_was_done(monkeypatch) -> None:
    window = Window(np.zeros((2, 64, 64, 3), np.uint8), np.arange(2.0))
    boxes = Detections(np.array([[1.0, 1.0, 50.0, 50.0]]), ("chair",), np.ones(1))
    detector = load_detector("grounding-dino", tiny_models.grounding_dino())
    monkeypatch.setattr(detector._tower.model, "forward", full)
    with pytest.raises(DeviceMemoryError, match="detecting in 2 frames at once"):
        detector.detect(window, [0, 1], ["chair"])
    for name, call in (("sam2-image", "get_image_embeddings"), ("sam2-video", "memory_attention")):
        source = load_mask_source(name, tiny_models.sam2_video())
        part = source._tower.model
        if name == "sam2-video":
            part, call = part.memory_attention, "forward"
        monkeypatch.setattr(part, call, full)
        with pytest.raises(DeviceMemoryError, match="2 frames"):
            source.session().masks(window, {0: boxes, 1: boxes})


def test_names_that_are_not_in_a_table_are_refused_with_those_that_are() -> None:
    with pytest.raises(ConfigError, match="detector: expected one of grounding-dino, mm-"):
        part_named(DETECTORS, "yolo", "detector")
    with pytest.raises(ConfigError, match="min_scor"):
        load_detector("owlv2", tiny_models.owlv2(), {"choice": {"min_scor": 0.5}})


def test_a_repository_of_the_hub_is_named_by_its_name(tmp_path: Path, monkeypatch) -> None:
    import huggingface_hub.constants as hub

    cache = tmp_path / "models--tiny--grounding"
    (cache / "refs").mkdir(parents=True)
    (cache / "refs" / "main").write_text("0" * 40)
    shutil.copytree(tiny_models.grounding_dino(), cache / "snapshots" / ("0" * 40))
    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", True)
    tower = load("tiny/grounding")
    assert tower.folder == cache / "snapshots" / ("0" * 40)
    with pytest.raises(WeightsError, match="tiny/other: expected a folder"):
        load("tiny/other")
