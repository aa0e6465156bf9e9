"""Over TLS the certificate must belong to the name in the URL, whatever address was pinned."""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from serve.config import FetchConfig, LimitConfig, ServeConfig
from serve.http.problems import HTTPProblem
from serve.intake.fetching import Fetcher
from tests.serve.intake.hostile_server import HostileServer, ok, redirect, serving

NAME = "videos.example.test"
VIDEO = b"v" * 5000


@dataclass
class Certified:
    """A server's and a client's view of one self-signed certificate; names that were asked for."""

    server: ssl.SSLContext
    client: ssl.SSLContext
    asked: list[str | None] = field(default_factory=list)


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> Certified:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    now = dt.datetime.now(dt.UTC)
    names = [x509.DNSName(NAME), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("certificate")
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    both = Certified(server, ssl.create_default_context(cafile=str(folder / "cert.pem")))
    server.sni_callback = lambda _socket, name, _context: both.asked.append(name)
    return both


@pytest.fixture
def server(certified: Certified) -> Iterator[HostileServer]:
    certified.asked.clear()
    with serving(tls=certified.server) as server:
        server.says("/v.mp4", ok(VIDEO))
        yield server


def fetcher(server: HostileServer, tls: ssl.SSLContext | None, tmp_path: Path) -> Fetcher:
    async def resolve(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    fetch = FetchConfig(
        schemes=("https", "http"), ports=(server.port,), allowed_networks=("127.0.0.1/32",)
    )
    config = ServeConfig(fetch=fetch, limits=LimitConfig(spool_dir=str(tmp_path)))
    return Fetcher(config, resolve=resolve, tls=tls)


def test_the_name_is_asked_for_and_verified_at_the_pinned_address(
    server: HostileServer, certified: Certified, tmp_path: Path
) -> None:
    url = server.url("/v.mp4", NAME, "https")
    upload = asyncio.run(fetcher(server, certified.client, tmp_path).fetch(url))
    assert upload.path.read_bytes() == VIDEO
    assert certified.asked == [NAME]
    assert f"Host: {NAME}:{server.port}\r\n" in server.requests[0]


def test_a_certificate_of_another_name_is_not_believed(
    server: HostileServer, certified: Certified, tmp_path: Path
) -> None:
    url = server.url("/v.mp4", "other.example.test", "https")
    with pytest.raises(HTTPProblem) as caught:
        asyncio.run(fetcher(server, certified.client, tmp_path).fetch(url))
    assert caught.value.code == "fetch_failed"
    assert "Certificate" in caught.value.detail
    assert server.requests == []


def test_a_certificate_of_unknown_origin_is_not_believed(
    server: HostileServer, tmp_path: Path
) -> None:
    with pytest.raises(HTTPProblem) as caught:
        asyncio.run(fetcher(server, None, tmp_path).fetch(server.url("/v.mp4", NAME, "https")))
    assert "Certificate" in caught.value.detail
    assert server.requests == []


def test_no_way_down_from_https_to_http(
    server: HostileServer, certified: Certified, tmp_path: Path
) -> None:
    server.says("/down", redirect(server.url("/v.mp4", NAME, "http")))
    with pytest.raises(HTTPProblem) as caught:
        asyncio.run(
            fetcher(server, certified.client, tmp_path).fetch(server.url("/down", NAME, "https"))
        )
    assert caught.value.code == "url_refused"
    assert "https to http" in caught.value.detail
    assert server.num_connections == 1
