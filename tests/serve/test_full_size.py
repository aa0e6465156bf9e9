"""The service with the full-size encoders, on tiny random networks that were saved to disk."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import ray

from serve import app
from serve.book.database import JobStatus
from serve.on_ray import deployments
from spatialcode.api import VideoEncoder, keyed_identity
from spatialcode.encoder.registry import make_encoder
from spatialcode.errors import WeightsError
from spatialcode.scene.document import from_document
from spatialcode.scene.schema import SpatialCode
from spatialcode.video.decode import hash_file
from spatialcode.workkey import work_key
from tests.encoder.tiny_settings import SETTINGS, WORDS, dotlist
from tests.serve.local_service import CLIP, Running, make_config, running

WORDS_KEY = {"prompted": "fusion.words", "unified": "words"}


@dataclass(frozen=True)
class Chosen:
    """An encoder by name, its settings, and the same as one types them."""

    name: str
    own: dict[str, Any]

    @property
    def arguments(self) -> list[str]:
        return [f"encoder.name={self.name}", *dotlist(self.own)]

    def told(self, words: str) -> list[str]:
        """The arguments with other words to look for."""
        return [*self.arguments, f"encoder.settings.{WORDS_KEY[self.name]}={words}"]


@pytest.fixture(scope="module", params=sorted(SETTINGS))
def chosen(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Chosen:
    folder = tmp_path_factory.mktemp(request.param)
    return Chosen(request.param, SETTINGS[request.param](folder))


def encoder_of(folder: Path, arguments: list[str]) -> VideoEncoder:
    """The encoder that a replica would hold."""
    config = make_config(folder, *arguments)
    return VideoEncoder(config.encoder.make(), config.encoder.torch_device)


def code_of(service: Running, path: Path) -> tuple[str, SpatialCode]:
    """The id that an upload got, and its code."""
    answer = service.upload(path)
    assert answer.status_code == 202, answer.text
    code_id = answer.json()["id"]
    job = service.ended(code_id)
    assert job.status == JobStatus.DONE, job
    assert (job.frames_decoded, job.frames_encoded) == (6, 6)
    body: Any = service.http.get(f"/v1/codes/{code_id}").json()
    return code_id, from_document(body["code"])


def test_an_upload_becomes_a_code_with_its_work_key(chosen: Chosen, tmp_path: Path) -> None:
    encoder = encoder_of(tmp_path, chosen.arguments)
    with running(tmp_path, *chosen.arguments, encoder=encoder) as service:
        code_id, code = code_of(service, CLIP)
        assert service.upload(CLIP).json()["id"] == code_id
        identity = keyed_identity(make_encoder(chosen.name, chosen.own), service.config.sampling)
    assert code_id == work_key(hash_file(CLIP), identity) == code.provenance.work_key
    assert code.provenance.encoder == chosen.name
    assert code.provenance.config_sha256 == encoder.encoder.identity.config_sha256
    assert len(code.cameras) == 6
    assert code.objects
    assert {item.label for item in code.objects} <= set(WORDS)


def test_the_words_of_the_settings_are_looked_for(chosen: Chosen, tmp_path: Path) -> None:
    arguments = chosen.told("[guitar]")
    encoder = encoder_of(tmp_path, arguments)
    with running(tmp_path, *arguments, encoder=encoder) as service:
        code_id, code = code_of(service, CLIP)
        plain = keyed_identity(make_encoder(chosen.name, chosen.own), service.config.sampling)
    assert {item.label for item in code.objects} == {"guitar"}
    assert code_id != work_key(hash_file(CLIP), plain)


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replicas are made as in a cluster, but for Ray's metrics and the thread that takes videos."""
    monkeypatch.setattr(deployments, "RaySink", lambda: None)
    monkeypatch.setattr(deployments.EncodingWorker, "run", lambda _: None)
    monkeypatch.delattr(deployments.EncoderReplica, "__del__")  # drains the thread


@pytest.mark.usefixtures("idle")
def test_a_replica_is_warm_when_it_is_made(chosen: Chosen, tmp_path: Path) -> None:
    config = make_config(tmp_path, *chosen.arguments)
    replica = deployments.EncoderReplica(config, config.encoder.make())
    assert asyncio.run(replica.identity()) == keyed_identity(
        make_encoder(chosen.name, chosen.own), config.sampling
    )
    replica._check.run()  # the same clip again gives the same boxes


@pytest.mark.usefixtures("idle")
def test_weights_that_were_cut_short_fail_the_replica_and_not_its_videos(
    chosen: Chosen, tmp_path: Path
) -> None:
    copied = _copied(chosen.own["masks"]["weights"][0], tmp_path / "cut")
    own = chosen.own | {"masks": chosen.own["masks"] | {"weights": [str(copied)]}}
    config = make_config(tmp_path, *Chosen(chosen.name, own).arguments)
    with pytest.raises(WeightsError, match="cut"):
        deployments.EncoderReplica(config, config.encoder.make())


def _copied(folder: str, to: Path) -> Path:
    """A folder of weights whose tensors end too early."""
    to.mkdir()
    for path in Path(folder).iterdir():
        content = path.read_bytes()
        (to / path.name).write_bytes(content[:-64] if path.suffix == ".safetensors" else content)
    return to


def test_without_weights_it_does_not_start_and_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SPATIALCODE_WEIGHTS", str(tmp_path))
    monkeypatch.setattr(app, "stop", lambda: None)  # there is nothing to drain
    store = (
        f"store.url={tmp_path / 'store'}",
        f"store.database_url=sqlite:///{tmp_path / 'jobs.sqlite'}",
    )
    refused = {
        "encoder=prompted": "python -m jobs.weights fetch names=prompted",
        "encoder=unified": "train them by `python -m jobs.train_encoder",
    }
    for argument, says in refused.items():
        assert app.main([*store, argument]) == 1
        assert says in capsys.readouterr().err
    assert not ray.is_initialized()
