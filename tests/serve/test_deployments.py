"""The deployments, without a cluster: who is handed which settings, and what an encoder replica
says that it is.
"""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from serve.access.keys import KeyRing
from serve.on_ray import deployments
from spatialcode.encoder.protocol import FrameRequest
from spatialcode.encoder.registry import make_encoder
from spatialcode.video.sampling import Sampling
from tests.serve.local_service import make_config
from tests.tiny_codes import untrained_weights


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(untrained_weights(tmp_path_factory.mktemp("weights")))


def bound(application: Any) -> Any:
    return application._bound_deployment


def test_every_deployment_is_handed_its_settings(weights: str, tmp_path: Path) -> None:
    chosen = (f"encoder.name={weights}", "encoder.settings.chunk_size=3")
    keys = KeyRing()
    config = make_config(tmp_path, *chosen, "encoder.num_cpus=2.0", "reasoner.model=bundled")
    ingress = bound(deployments.build(config, keys))
    given, given_keys, encoder, reasoner = ingress.init_args
    assert (given, given_keys) == (config, keys)
    given, made = bound(encoder).init_args
    assert given == config
    assert made.identity == make_encoder(weights, {"chunk_size": 3}).identity
    assert made.identity != make_encoder(weights).identity
    assert bound(encoder).ray_actor_options["num_cpus"] == 2.0
    assert bound(reasoner).init_args == (config,)
    plain = bound(deployments.build(make_config(tmp_path, *chosen, "reasoner.model="), keys))
    assert plain.init_args[3] is None


def test_replicas_reserve_the_share_that_was_measured(
    weights: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def measure(encoder: Any, device: str, num_clips: int, frames: FrameRequest) -> float:
        asked.append((encoder.identity, device, num_clips, frames.count, frames.side_px))
        return 0.15

    monkeypatch.setattr(deployments, "measured_num_gpus", measure)
    chosen = (f"encoder.name={weights}", "encoder.max_batch=3", "sampling.max_side_px=2048")
    for given, share in (("auto", 0.15), ("0.5", 0.5)):
        config = make_config(tmp_path, *chosen, f"encoder.num_gpus={given}")
        encoder = bound(bound(deployments.build(config, KeyRing())).init_args[2])
        assert encoder.ray_actor_options["num_gpus"] == share
        handed, _ = encoder.init_args
        assert handed.encoder.torch_device == "cuda"
        assert handed.encoder.num_gpus == share
    assert asked == [(make_encoder(weights).identity, "auto", 3, 6, 2048)]


@pytest.mark.parametrize("compiles", [False, True])
def test_a_replica_compiles_where_it_is_told(
    compiles: bool, weights: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled: list[Any] = []
    monkeypatch.setattr("spatialcode.api.compile_networks", compiled.append)
    monkeypatch.setattr(deployments, "ModelCheck", lambda _: None)
    monkeypatch.setattr(deployments, "RaySink", lambda: None)
    monkeypatch.setattr(deployments.EncodingWorker, "run", lambda _: None)
    monkeypatch.delattr(deployments.EncoderReplica, "__del__")  # drains the thread
    config = make_config(tmp_path, f"encoder.name={weights}", f"encoder.compile={compiles}")
    deployments.EncoderReplica(config, config.encoder.make())
    assert len(compiled) == compiles


def test_a_replica_names_the_encoder_and_the_frames_it_looks_at(
    weights: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What ids are made of; without the warm-up and the thread that takes videos."""
    monkeypatch.setattr(deployments, "ModelCheck", lambda _: None)
    monkeypatch.setattr(deployments, "RaySink", lambda: None)
    monkeypatch.setattr(deployments.EncodingWorker, "run", lambda _: None)
    monkeypatch.delattr(deployments.EncoderReplica, "__del__")  # drains the thread
    config = make_config(tmp_path, f"encoder.name={weights}", "sampling.num_frames=7")
    replica = deployments.EncoderReplica(config, config.encoder.make())
    identity = asyncio.run(replica.identity())
    assert identity == make_encoder(weights).identity.looking_at(asdict(Sampling(7, None, 640)))
    assert identity != make_encoder(weights).identity
