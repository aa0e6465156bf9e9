"""Weights over the wire: the real `huggingface_hub` against a server on 127.0.0.1."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from spatialcode.encoder.weights.fetching import fetch
from spatialcode.encoder.weights.local import (
    check_fetched,
    verify,
    weights_folder,
    weights_identity,
)
from spatialcode.encoder.weights.pins import pin_path, read_pin
from spatialcode.encoder.weights.registry import SETS, WEIGHTS
from spatialcode.encoder.weights.store import WeightsStore
from spatialcode.errors import WeightsError
from tests.encoder.weights.hub import COMMIT, FakeHub, serving, sha256

NAME, GATED, RESEARCH = "da3-small", "sam3", "da3-large"
TENSORS = bytes(range(256)) * 400
FILES = {
    "config.json": b'{"model_type": "toy"}',
    "model.safetensors": TENSORS,
    "preprocessor_config.json": b"{}",
    "pytorch_model.bin": b"never",
    "README.md": b"# not needed",
    "onnx/model.onnx": b"neither",
}


@pytest.fixture
def hub(monkeypatch):
    repositories = {WEIGHTS[name].repository: dict(FILES) for name in (NAME, GATED, RESEARCH)}
    with serving(FakeHub(repositories)) as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        monkeypatch.delenv("TRANSFORMERS_OFFLINE", raising=False)
        yield running


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub-cache"))
    return WeightsStore(folder=str(tmp_path / "weights"), wait_s=60)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_fetch_brings_tensors_and_texts_and_pins_them(hub, store):
    folder = fetch(NAME, store)
    assert names(folder) == {"config.json", "model.safetensors", "preprocessor_config.json"}
    assert (folder / "model.safetensors").read_bytes() == TENSORS
    identity = weights_identity(NAME, store)
    assert (identity.repository, identity.revision) == ("depth-anything/DA3-SMALL", COMMIT)
    hashes = {file.path: file.sha256 for file in identity.files}
    assert hashes["model.safetensors"] == sha256(TENSORS)
    assert verify(NAME, store) == []
    # Nothing is asked again for what is here.
    del hub.requests[:]
    assert weights_folder(NAME, store) == folder == fetch(NAME, store)
    assert hub.requests == []


def test_a_pinned_commit_is_kept_when_the_branch_moves_on(hub, store):
    first = weights_identity(NAME, store) if fetch(NAME, store) else None
    hub.commit = "f" * 40
    (store.path / NAME / "config.json").unlink()
    hub.requests.clear()
    fetch(NAME, store)
    assert weights_identity(NAME, store) == first
    resolved = [line for line in hub.requests if "/resolve/" in line]
    assert resolved
    assert all(f"/resolve/{COMMIT}/" in line for line in resolved)


def test_other_bytes_than_the_pinned_ones_are_refused(hub, store):
    fetch(NAME, store)
    (store.path / NAME / "model.safetensors").unlink()
    changed = bytes(reversed(TENSORS))
    hub.repositories[WEIGHTS[NAME].repository]["model.safetensors"] = changed
    expected = f"model.safetensors: expected sha256 {sha256(TENSORS)}, got {sha256(changed)}"
    with pytest.raises(WeightsError, match=expected):
        fetch(NAME, store)
    assert not (store.path / NAME).exists()


def test_a_wrong_hash_is_fetched_once_more_and_then_refused(hub, store):
    hub.sent["model.safetensors"] = b"x" * len(TENSORS)
    with pytest.raises(WeightsError, match=f"expected sha256 {sha256(TENSORS)}, got"):
        fetch(NAME, store)
    assert hub.bodies.count("model.safetensors") == 2
    assert not (store.path / NAME).exists()
    assert read_pin(store.path, NAME) is None
    del hub.sent["model.safetensors"]  # the next fetch is not spoilt by what lies there
    fetch(NAME, store)
    assert verify(NAME, store) == []


def test_a_truncated_body_is_refused(hub, store):
    hub.sent["model.safetensors"] = TENSORS[: len(TENSORS) // 3]
    with pytest.raises(WeightsError, match=r"DA3-SMALL.*model\.safetensors"):
        fetch(NAME, store)
    assert not (store.path / NAME).exists()


@pytest.mark.parametrize("damage", ["truncated", "changed", "missing"])
def test_damage_on_disk_is_found_and_repaired(hub, store, damage):
    folder = fetch(NAME, store)
    tensors = folder / "model.safetensors"
    if damage == "missing":
        tensors.unlink()
    else:
        tensors.write_bytes(TENSORS[:-1] if damage == "truncated" else b"y" * len(TENSORS))
    [wrong] = verify(NAME, store)
    assert wrong.startswith("model.safetensors: ")
    with pytest.raises(WeightsError, match="not complete"):
        fetch(NAME, replace(store, offline=True))
    hub.bodies.clear()
    fetch(NAME, store)
    assert verify(NAME, store) == []
    assert hub.bodies.count("model.safetensors") == 1


def test_sizes_alone_send_a_load_back_to_the_hub(hub, store):
    folder = fetch(NAME, store)
    (folder / "model.safetensors").write_bytes(TENSORS[:100])
    assert (weights_folder(NAME, store) / "model.safetensors").read_bytes() == TENSORS


def test_offline_touches_no_network(hub, store, monkeypatch):
    with pytest.raises(WeightsError, match="offline"):
        weights_folder(NAME, replace(store, offline=True))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(WeightsError, match="offline"):
        weights_folder(NAME, store)
    assert hub.requests == []
    monkeypatch.delenv("HF_HUB_OFFLINE")
    fetch(NAME, store)
    hub.requests.clear()
    assert weights_folder(NAME, replace(store, offline=True)).is_dir()
    assert hub.requests == []


@pytest.mark.parametrize("status", [401, 403])
def test_gated_weights_say_what_to_do(hub, store, status):
    hub.status[WEIGHTS[GATED].repository] = status
    with pytest.raises(WeightsError, match=r"facebook/sam3.*consent.*HF_TOKEN"):
        fetch(GATED, store)


def test_a_repository_that_is_gone_is_named(hub, store):
    hub.status[WEIGHTS[NAME].repository] = 404
    with pytest.raises(WeightsError, match=r"DA3-SMALL.*HTTP 404"):
        fetch(NAME, store)


def test_a_hub_that_cannot_be_reached_is_an_error_of_weights(store, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    with pytest.raises(WeightsError, match=r"DA3-SMALL.*could not be fetched"):
        fetch(NAME, store)


def test_pickles_are_refused_by_name(hub, store):
    del hub.repositories[WEIGHTS[NAME].repository]["model.safetensors"]
    with pytest.raises(WeightsError, match=r"only as pytorch_model\.bin.*never loaded"):
        fetch(NAME, store)
    assert hub.bodies == []


def test_tensors_in_several_files_come_with_their_index(hub, store):
    repository = hub.repositories[WEIGHTS[NAME].repository]
    del repository["model.safetensors"]
    parts = {f"model-0000{n}-of-00002.safetensors": bytes([n]) * 50 for n in (1, 2)}
    repository.update(parts, **{"model.safetensors.index.json": b"{}"})
    assert names(fetch(NAME, store)) >= {*parts, "model.safetensors.index.json", "config.json"}


def test_a_licence_against_commerce_asks_before_it_fetches(hub, store):
    with pytest.raises(WeightsError, match=r"accept_licence=CC-BY-NC-4\.0; da3-base allows"):
        fetch(RESEARCH, store)
    with pytest.raises(WeightsError, match="forbids commercial use"):
        fetch(RESEARCH, replace(store, accept_licence=("MIT",)))
    assert hub.requests == []
    fetch(RESEARCH, replace(store, accept_licence=("CC-BY-NC-4.0",)))
    assert weights_folder(RESEARCH, store).is_dir()  # remembered with the pin


def test_another_machine_fetches_what_the_driver_has_named(hub, store, tmp_path):
    fetch(NAME, store)
    identity = weights_identity(NAME, store)
    elsewhere = replace(store, folder=str(tmp_path / "node"))
    weights_folder(NAME, elsewhere, identity)
    assert weights_identity(NAME, elsewhere) == identity
    other = replace(identity, files=tuple(replace(f, sha256="0" * 64) for f in identity.files))
    with pytest.raises(WeightsError, match="pinned here"):
        weights_folder(NAME, elsewhere, other)


def test_an_identity_is_not_known_before_the_first_fetch(store):
    with pytest.raises(WeightsError, match=r"jobs\.weights fetch names=da3-small"):
        weights_identity(NAME, store)


def test_all_weights_that_were_never_fetched_are_named_at_once(hub, store, tmp_path):
    fetch(NAME, store)
    check_fetched([NAME, str(tmp_path / "any_folder")], store)
    with pytest.raises(WeightsError, match=r"^zoedepth, sam3: .* names=\[zoedepth,sam3\]$"):
        check_fetched(["zoedepth", NAME, "sam3"], store)
    with pytest.raises(WeightsError, match=r"names=prompted$"):
        check_fetched(["da3-metric-large", *SETS["prompted"][:-1]], store)


def test_a_damaged_pin_is_named(hub, store):
    fetch(NAME, store)
    pin_path(store.path, NAME).write_text('{"files": [{"path": "../x", "num_bytes": 1}]}')
    with pytest.raises(WeightsError, match=r"da3-small\.pin\.json: expected repository"):
        weights_folder(NAME, store)


def fetching_process(store: WeightsStore) -> subprocess.Popen[str]:
    code = (
        "import sys\n"
        "from spatialcode.encoder.weights.store import WeightsStore\n"
        "from spatialcode.encoder.weights.local import weights_folder\n"
        f"weights_folder({NAME!r}, WeightsStore(folder={store.folder!r}, wait_s=60))\n"
        "assert 'torch' not in sys.modules\n"
    )
    environment = os.environ | {"HF_HOME": f"{store.folder}-home", "HF_HUB_DISABLE_XET": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", code], env=environment, stderr=subprocess.PIPE, text=True
    )


def test_of_two_processes_at_once_one_fetches(hub, store):
    hub.slow_s = 0.5
    both = [fetching_process(store) for _ in range(2)]
    for process in both:
        _, said = process.communicate(timeout=60)
        assert process.returncode == 0, said
    assert hub.bodies.count("model.safetensors") == 1
    assert verify(NAME, store) == []


def test_a_fetch_that_was_killed_blocks_nobody(hub, store):
    hub.slow_s = 20
    killed = fetching_process(store)
    until_s = time.monotonic() + 30
    while not hub.bodies and time.monotonic() < until_s:
        time.sleep(0.05)
    assert hub.bodies
    assert not (store.path / NAME).exists()
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    hub.slow_s = 0.0
    fetch(NAME, replace(store, wait_s=5))
    assert verify(NAME, store) == []


def test_what_another_fetch_has_left_does_not_come_along(hub, store):
    left = store.path / f".{NAME}.partial"
    left.mkdir(parents=True)
    (left / "adapter_model.safetensors").write_bytes(b"of another commit")
    (left / "config.json").write_bytes(b"of another commit")
    folder = fetch(NAME, store)
    assert names(folder) == {"config.json", "model.safetensors", "preprocessor_config.json"}
    assert verify(NAME, store) == []
    assert (folder / "config.json").read_bytes() == FILES["config.json"]


def test_a_fetch_that_never_ends_is_waited_for_no_longer_than_asked(hub, store):
    with store.locked(NAME), pytest.raises(WeightsError, match=r"fetching it for 0\.3 s"):
        fetch(NAME, replace(store, wait_s=0.3))
