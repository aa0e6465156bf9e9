from __future__ import annotations

import subprocess
import sys

import pytest

from spatialcode.encoder.parsing.registry import DETECTORS, MASK_SOURCES
from spatialcode.encoder.weights.local import weights_folder, weights_identity
from spatialcode.encoder.weights.registry import SETS, WEIGHTS, expanded, public_weights
from spatialcode.encoder.weights.store import WeightsStore
from spatialcode.errors import WeightsError


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "tiny"
    made.mkdir()
    (made / "config.json").write_text("{}")
    (made / "model.safetensors").write_bytes(b"tensors")
    (made / "README.md").write_text("of no consequence")
    return made


def test_a_folder_is_known_by_what_decides_its_results(folder):
    identity = weights_identity(str(folder))
    assert [file.path for file in identity.files] == ["config.json", "model.safetensors"]
    assert weights_folder(str(folder)) == folder
    (folder / "README.md").write_text("changed")
    assert weights_identity(str(folder)).sha256 == identity.sha256
    (folder / "config.json").write_text('{"a": 1}')
    assert weights_identity(str(folder)).sha256 != identity.sha256
    with pytest.raises(WeightsError, match="changed since they were named"):
        weights_folder(str(folder), identity=identity)


def test_a_folder_of_pickles_is_refused(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(WeightsError, match=r"only pytorch_model\.bin, which are never loaded"):
        weights_identity(str(folder))


def test_unknown_names_are_answered_with_the_nearest(tmp_path):
    with pytest.raises(WeightsError, match="did you mean 'da3-base'"):
        public_weights("da3-bas")
    with pytest.raises(WeightsError, match="a known name or a folder"):
        weights_folder(str(tmp_path / "nothing"))


def test_sets_hold_known_weights_and_the_apache_one_needs_no_consent():
    assert expanded(["prompted-apache", "da3-base", "sam3"]) == [*SETS["prompted-apache"], "sam3"]
    assert not any(WEIGHTS[name].needs_consent for name in SETS["prompted-apache"])
    assert any(WEIGHTS[name].needs_consent for name in SETS["prompted-best"])


def test_whoever_asks_for_consent_names_weights_that_do_not():
    for name, known in WEIGHTS.items():
        if known.needs_consent:
            assert known.alternative is not None, name
            assert not WEIGHTS[known.alternative].needs_consent, name
        assert known.repository.count("/") == 1
        assert "model.safetensors" in {file.path for file in known.files}


def test_an_identity_loads_no_torch_and_no_hub(folder):
    code = (
        "import sys\n"
        "from spatialcode.encoder.weights.local import weights_identity\n"
        f"weights_identity({str(folder)!r})\n"
        "assert not {'torch', 'huggingface_hub', 'ray'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_part_that_parses_wants_weights_that_are_registered():
    parts = [*DETECTORS.values(), *MASK_SOURCES.values()]
    assert {part.weights for part in parts} <= set(WEIGHTS)


def test_a_known_name_is_no_folder_of_the_working_directory(monkeypatch, tmp_path):
    (tmp_path / "sam3").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WeightsError, match=r"jobs\.weights fetch names=sam3"):
        weights_identity("sam3", WeightsStore(folder=str(tmp_path / "kept")))


def test_where_weights_are_kept(monkeypatch, tmp_path):
    monkeypatch.setenv("SPATIALCODE_WEIGHTS", str(tmp_path / "shared"))
    assert WeightsStore().path == tmp_path / "shared"
    assert WeightsStore(folder=str(tmp_path)).path == tmp_path
