from __future__ import annotations

import pytest

from jobs.weights import main
from spatialcode.encoder.weights.pins import read_pin
from spatialcode.encoder.weights.registry import SETS, WEIGHTS
from tests.encoder.weights.hub import FakeHub, serving

FILES = {
    "config.json": b"{}",
    "model.safetensors": b"tensors" * 99,
    "tokenizer.json": b"{}",
    "tokenizer_config.json": b"{}",
}


@pytest.fixture
def hub(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub-cache"))
    repositories = {known.repository: dict(FILES) for known in WEIGHTS.values()}
    with serving(FakeHub(repositories)) as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        yield running


def test_list_names_licences_and_what_is_here(tmp_path, capsys):
    assert main(["list", f"folder={tmp_path}"]) == 0
    shown = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert set(WEIGHTS) <= set(shown)
    assert "CC-BY-NC-4.0" in shown["da3-large"]
    assert " no " in shown["da3-large"]
    assert "(gated)" in shown["sam3"]
    assert "unknown" in shown["mm-grounding-dino-tiny"]


def test_a_set_is_fetched_verified_and_found_damaged(hub, tmp_path, capsys):
    assert main(["fetch", "names=prompted-apache", f"folder={tmp_path}"]) == 0
    assert main(["verify", f"folder={tmp_path}"]) == 0
    assert capsys.readouterr().out.count(": sound") == len(SETS["prompted-apache"])
    assert main(["do=list", "names=da3-base", f"folder={tmp_path}"]) == 0
    assert " yes      depth-anything/DA3-BASE@c0ffee" in capsys.readouterr().out
    (tmp_path / "da3-base" / "model.safetensors").write_bytes(b"short")
    assert main(["verify", f"folder={tmp_path}"]) == 1
    assert "da3-base: model.safetensors: expected 693 bytes, got 5" in capsys.readouterr().out


def test_a_set_with_a_research_licence_is_refused_whole(hub, tmp_path, capsys):
    assert main(["fetch", "names=prompted-best", f"folder={tmp_path}"]) == 1
    assert "accept_licence=CC-BY-NC-4.0" in capsys.readouterr().err
    assert hub.requests == []
    accepted = ["fetch", "names=da3-nested", f"folder={tmp_path}", "accept_licence=CC-BY-NC-4.0"]
    assert main(accepted) == 0
    assert read_pin(tmp_path, "da3-nested").accepted_licence == "CC-BY-NC-4.0"


def test_offline_and_no_names_are_refused(hub, tmp_path, capsys):
    assert main(["fetch", "names=da3-base", "offline=true", f"folder={tmp_path}"]) == 1
    assert main(["fetch", f"folder={tmp_path}"]) == 1
    assert "names=prompted" in capsys.readouterr().err
    assert hub.requests == []
