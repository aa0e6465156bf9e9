"""The service's settings: what is refused, and that none of them is a secret."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from serve.ask.asking import spec_of
from serve.config import ServeConfig, is_loopback
from spatialcode.config import describe, load_config, to_dict
from spatialcode.errors import ConfigError
from spatialcode.reasoning.models.loading import BUNDLED_REASONER, BUNDLED_TOKENS

ROOT = Path(__file__).parents[2]


def test_defaults_are_a_local_service_without_a_model() -> None:
    config = load_config(ServeConfig)
    assert config.is_local
    assert (config.host, config.port) == ("127.0.0.1", 8000)
    assert config.fetch.schemes == ("https",)
    assert config.fetch.s3_buckets == ()
    assert not config.reasoner.has_model
    assert json.loads(json.dumps(to_dict(config)))["limits"]["max_queue"] == 64
    assert "limits.max_upload_bytes" in describe(ServeConfig)


@pytest.mark.parametrize(
    ("argument", "names"),
    [
        ("port=65536", "port"),
        ("host=", "host"),
        ("public_url=example.org", "public_url"),
        ("rates.requests_per_s=0", "requests_per_s"),
        ("rates.upload_cost=61", "upload_cost"),
        ("limits.max_upload_bytes=0", "max_upload_bytes"),
        ("limits.deadline_s=-1", "deadline_s"),
        ("limits.max_queue=0", "max_queue"),
        ("video.formats=[mov,hls]", "formats"),
        ("video.codecs=[]", "codecs"),
        ("video.memory_bytes=1000", "memory_bytes"),
        ("fetch.schemes=[https,file]", "schemes"),
        ("fetch.ports=[0]", "ports"),
        ("fetch.max_redirects=-1", "max_redirects"),
        ("fetch.allowed_networks=[10.0.0.1/8]", "allowed_networks"),
        ("store.max_attempts=0", "max_attempts"),
        ("encoder.max_replicas=0", "max_replicas"),
        ("encoder.device=tpu", "device"),
        ("reasoner.base_url=http://127.0.0.1:9/v1", "model"),
        ("reasoner.max_samples=0", "max_samples"),
        ("ingress.max_ongoing_requests=0", "max_ongoing_requests"),
        ("autoscaling.upscale_delay_s=-1", "upscale_delay_s"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(argument: str, names: str) -> None:
    with pytest.raises(ConfigError, match=names):
        load_config(ServeConfig, None, [argument])


def test_a_key_in_the_wrong_place_is_not_repeated() -> None:
    with pytest.raises(ConfigError, match="64 hex digits") as caught:
        load_config(ServeConfig, None, ["access.keys=[sc-my-secret-key]"])
    assert "my-secret" not in str(caught.value)
    with pytest.raises(ConfigError) as caught:
        load_config(ServeConfig, None, ["store.database_url=pass:word"])
    assert "word" not in str(caught.value)


def test_the_database_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    config = load_config(ServeConfig)
    assert config.store.job_database == "sqlite:///out/serve/jobs.sqlite"
    monkeypatch.setenv("SPATIALCODE_DATABASE_URL", "postgresql://u:secret@db/jobs")
    assert config.store.job_database == "postgresql://u:secret@db/jobs"
    assert "secret" not in json.dumps(to_dict(config))


def test_the_decoder_gets_the_same_limits() -> None:
    config = load_config(ServeConfig, None, ["limits.max_upload_bytes=1000", "video.max_pixels=99"])
    limits = config.video_limits
    assert (limits.max_bytes, limits.max_pixels, limits.max_duration_s) == (1000, 99, 900.0)
    sandbox = config.video.sandbox(2.5)
    assert (sandbox.wall_s, sandbox.cpu_s, sandbox.memory_bytes) == (2.5, 3, 2 * 2**30)


def documented_settings() -> list[tuple[str, str]]:
    """Each setting in the table of docs/service.md, with its default as it is written there."""
    text = (ROOT / "docs" / "service.md").read_text(encoding="utf-8")
    table = text.partition("### Settings that matter")[2].partition("###")[0]
    rows = [line.split("|")[1:3] for line in table.splitlines() if line.startswith("| `")]
    return [
        (key.strip(" `"), default.strip())
        for keys, defaults in rows
        for key, default in zip(keys.split(","), defaults.split(","), strict=True)
    ]


def value_of(text: str) -> object:
    """A default as a person writes it: "512 MiB", "900 s", "4096 × 2304", "none"."""
    if text in {"none", "any"}:
        return None
    if text.endswith(" MiB"):
        return int(text.removesuffix(" MiB")) * 2**20
    number = text.removesuffix(" s").replace(".", "", 1)
    if number.isdigit():
        return float(text.removesuffix(" s"))
    return math.prod(map(int, text.split("×"))) if "×" in text else text


def test_the_documented_defaults_are_the_defaults() -> None:
    documented = documented_settings()
    assert len(documented) > 15
    for key, text in documented:
        default: object = load_config(ServeConfig)
        for name in key.split("."):
            default = getattr(default, name)
        if isinstance(default, tuple):
            default = ", ".join(map(str, default))
        assert (None if default in ("", None) else default) == value_of(text), key


def test_the_model_behind_the_reasoner_is_set_by_the_reasoners_settings() -> None:
    settings = ["reasoner.model=m", "reasoner.max_samples=5", "reasoner.max_retries=1"]
    spec = spec_of(load_config(ServeConfig, None, settings).reasoner)
    assert (spec.model, spec.batch_size, spec.max_retries, spec.timeout_s) == ("m", 5, 1, 30.0)
    bundled = load_config(ServeConfig, None, ["reasoner.model=bundled", "reasoner.batch_size=2"])
    spec = spec_of(bundled.reasoner)
    assert (spec.model, spec.max_tokens) == (str(BUNDLED_REASONER), BUNDLED_TOKENS)
    assert spec.batch_size == 2


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True), ("127.8.9.1", True), ("::1", True), ("[::1]", True),
        ("localhost", True), ("0.0.0.0", False), ("::", False), ("10.0.0.1", False),
        ("", False), ("localhost.example.org", False), ("127.0.0.1.example.org", False),
    ],
)  # fmt: skip
def test_loopback(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


def test_settings_load_without_torch_ray_or_fastapi() -> None:
    code = (
        "import sys, serve.config\n"
        "assert not {'torch', 'ray', 'fastapi', 'starlette'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
