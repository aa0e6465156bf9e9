"""API keys: who gets in, and that nothing said or kept is a key."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

import pytest

from serve.access import keys
from serve.access.keys import KeyRing, digest, key_name, load_keys
from serve.config import AccessConfig, ServeConfig
from serve.http.problems import HTTPProblem
from spatialcode.errors import ConfigError

KEY = "sc-0123456789abcdefghij"
OTHER = "sc-zyxwvutsrqponmlkjihg"


@pytest.fixture(autouse=True)
def no_keys_around(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPATIALCODE_API_KEYS", raising=False)


def config(host: str = "0.0.0.0", public_url: str | None = None, **access: object) -> ServeConfig:
    return ServeConfig(host=host, public_url=public_url, access=AccessConfig(**access))


def test_a_digest_is_the_sha256_of_the_key() -> None:
    assert digest("abc") == hashlib.sha256(b"abc").hexdigest()
    assert digest("abc").startswith("ba7816bf")
    assert key_name(digest("abc")) == "key-ba7816bf"


def test_the_right_key_gets_in_under_its_name() -> None:
    ring = KeyRing(frozenset((digest(KEY), digest(OTHER))))
    assert ring.caller(f"Bearer {KEY}") == key_name(digest(KEY))
    assert ring.caller(f"bearer {OTHER}") == key_name(digest(OTHER))
    assert ring.caller(f"Bearer {KEY}") != ring.caller(f"Bearer {OTHER}")


@pytest.mark.parametrize(
    "header",
    [
        None, "", "Bearer", "Bearer ", KEY, f"Basic {KEY}", f"Bearer {KEY}x", f"Bearer {KEY[:-1]}",
        f"Bearer {KEY.upper()}", f"Bearer {digest(KEY)}", f"Bearer {KEY} {KEY}",
        "Bearer " + "x" * 9999, "Bearer \udcff", f"Token {KEY}",
    ],
)  # fmt: skip
def test_everything_else_is_one_and_the_same_401(header: str | None) -> None:
    with pytest.raises(HTTPProblem) as caught:
        KeyRing(frozenset((digest(KEY),))).caller(header)
    problem = caught.value
    assert problem.status_code == 401
    assert problem.headers == {"WWW-Authenticate": 'Bearer realm="spatialcode"'}
    assert problem.detail == "missing or unknown API key"


def test_without_keys_everyone_is_local() -> None:
    ring = load_keys(config("127.0.0.1"))
    assert ring.is_open
    assert ring.caller(None) == "local"


@pytest.mark.parametrize(
    ("host", "public_url"),
    [("0.0.0.0", None), ("::", None), ("10.1.2.3", None), ("example.org", None),
     ("127.0.0.1", "https://spatial.example.org")],
)  # fmt: skip
def test_it_does_not_start_without_keys_where_others_reach_it(
    host: str, public_url: str | None
) -> None:
    with pytest.raises(ConfigError, match="API keys are required") as caught:
        load_keys(config(host, public_url))
    assert "access.keys" in str(caught.value)
    ring = load_keys(config(host, public_url, keys=(digest(KEY),)))
    assert not ring.is_open


def test_keys_come_from_a_file_the_environment_and_the_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "keys"
    path.write_text(f"# people\n{KEY}  # Ada\n\n{digest(OTHER)}\n")
    monkeypatch.setenv("MY_KEYS", "sc-from-the-environment-1, ,sc-from-the-environment-2")
    ring = load_keys(config(keys=(digest("x"),), keys_file=str(path), keys_env="MY_KEYS"))
    expected = {KEY, OTHER, "x", "sc-from-the-environment-1", "sc-from-the-environment-2"}
    assert ring.digests == {digest(key) for key in expected}
    assert KEY not in repr(ring)


@pytest.mark.parametrize("content", ["short\n", "has a space in the middle of it\n", "é" * 30])
def test_a_bad_file_names_its_line_and_not_the_key(tmp_path: Path, content: str) -> None:
    path = tmp_path / "keys"
    path.write_text(f"{KEY}\n{content}")
    with pytest.raises(ConfigError, match="line 2") as caught:
        load_keys(config(keys_file=str(path)))
    assert content.strip() not in str(caught.value)


def test_a_missing_or_binary_file_is_an_error_not_an_open_door(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load_keys(config("127.0.0.1", keys_file=str(tmp_path / "none")))
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not text"):
        load_keys(config("127.0.0.1", keys_file=str(tmp_path / "binary")))


def test_nothing_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    ring = KeyRing(frozenset((digest(KEY),)))
    with caplog.at_level(logging.DEBUG):
        ring.caller(f"Bearer {KEY}")
        with pytest.raises(HTTPProblem):
            ring.caller(f"Bearer {OTHER}")
    assert caplog.text == ""


def test_a_new_key_is_long_and_its_digest_is_right(capsys: pytest.CaptureFixture[str]) -> None:
    keys.main()
    key, printed = (line.split()[-1] for line in capsys.readouterr().out.splitlines())
    assert len(key) >= 40
    assert printed == digest(key)
    keys.main()
    assert key not in capsys.readouterr().out
