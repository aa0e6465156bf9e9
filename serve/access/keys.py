"""API keys: who calls, known by a digest; and `python -m serve.access.keys` to make one.

Keys are long random texts, so one round of sha256 suffices. Only digests are kept, and only a few
digits of a digest name a key in logs and records. Keys do not expire here; take one from the file
and start the service again.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from serve.config import ServeConfig
from serve.http import problems
from serve.limits import SHA256_HEX, AccessConfig
from spatialcode.errors import ConfigError

MIN_KEY_CHARS = 20
MAX_HEADER_CHARS = 1024
NAME_DIGITS = 8
LOCAL = "local"


def digest(key: str) -> str:
    """What is kept of a key: its sha256 in hex."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def key_name(key_digest: str) -> str:
    """What a key is called in records: it tells keys apart and says nothing about them."""
    return f"key-{key_digest[:NAME_DIGITS]}"


@dataclass(frozen=True)
class KeyRing:
    """The digests of all keys that are let in; none at all lets everyone in, as ``local``."""

    digests: frozenset[str] = frozenset()

    @property
    def is_open(self) -> bool:
        """Whether no key is asked for."""
        return not self.digests

    def caller(self, authorization: str | None) -> str:
        """Name of the caller from an ``Authorization`` header.

        Raises the 401 problem, the same for a missing, a malformed and an unknown key.
        """
        if self.is_open:
            return LOCAL
        scheme, _, key = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or len(authorization or "") > MAX_HEADER_CHARS:
            raise problems.unauthorized()
        given = digest(key.strip())
        # every digest is compared, each in constant time: nothing is learnt from how long it takes
        matches = [known for known in sorted(self.digests) if hmac.compare_digest(known, given)]
        if not matches:
            raise problems.unauthorized()
        return key_name(matches[0])


def load_keys(config: ServeConfig) -> KeyRing:
    """The keys of a configuration, its file and its environment variable together.

    Raises ConfigError for a file that is not there, a key too short to be safe, and where others
    than this machine could reach a service without any key. No message repeats a key.
    """
    ring = KeyRing(frozenset(_digests(config.access)))
    if ring.is_open and not config.is_local:
        raise ConfigError(
            f"access: API keys are required to listen on {config.host}"
            f"{f' as {config.public_url}' if config.public_url else ''}; set access.keys, "
            f"access.keys_file or {config.access.keys_env}, or listen on 127.0.0.1"
        )
    return ring


def _digests(access: AccessConfig) -> Iterable[str]:
    yield from access.keys
    if access.keys_file is not None:
        yield from _of_file(Path(access.keys_file))
    given = os.environ.get(access.keys_env, "") if access.keys_env else ""
    for number, key in enumerate(filter(None, map(str.strip, given.split(","))), 1):
        yield _digest_of(key, f"{access.keys_env}, key {number}")


def _of_file(path: Path) -> Iterable[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        raise ConfigError(f"keys_file: cannot read {path}: {reason}") from None
    for number, line in enumerate(lines, 1):
        key = line.partition("#")[0].strip()
        if key:
            yield _digest_of(key, f"{path}, line {number}")


def _digest_of(text: str, where: str) -> str:
    """The digest of a key, or the digest that already stands there."""
    if SHA256_HEX.fullmatch(text):
        return text
    if len(text) < MIN_KEY_CHARS or not text.isascii() or any(char.isspace() for char in text):
        raise ConfigError(
            f"{where}: expected at least {MIN_KEY_CHARS} ASCII characters without spaces"
        )
    return digest(text)


def main() -> None:
    """Print a new key and its digest."""
    key = f"sc-{secrets.token_urlsafe(32)}"
    print(f"key (for the client, shown once): {key}")
    print(f"digest (for access.keys):         {digest(key)}")


if __name__ == "__main__":
    main()
