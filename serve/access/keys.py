"""API keys, known by their digests; `python -m serve.access.keys` makes one.

Keys are long random texts, so one round of sha256 suffices. Only digests are kept, and the first
few digits of a digest name a key in logs and records. Keys do not expire; to revoke one, remove it
from the file and start the service again.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from serve.config import SHA256_HEX, AccessConfig, ServeConfig
from serve.http import problems
from spatialcode.errors import ConfigError

MIN_KEY_CHARS = 20
MAX_HEADER_CHARS = 1024
NAME_DIGITS = 8
LOCAL = "local"


def digest(key: str) -> str:
    """The sha256 of a key in hex; nothing else of it is kept."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def key_name(key_digest: str) -> str:
    """The name of a key in records, which tells keys apart but does not reveal them."""
    return f"key-{key_digest[:NAME_DIGITS]}"


@dataclass(frozen=True)
class KeyRing:
    """The digests of all accepted keys. Without any, every caller is accepted as ``local``."""

    digests: frozenset[str] = frozenset()

    @property
    def is_open(self) -> bool:
        """Whether no key is required."""
        return not self.digests

    def caller(self, authorization: str | None) -> str:
        """The name of the caller, by the ``Authorization`` header.

        Raises the 401 problem, the same for a missing, a malformed and an unknown key.
        """
        if self.is_open:
            return LOCAL
        scheme, _, key = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or len(authorization or "") > MAX_HEADER_CHARS:
            raise problems.unauthorized()
        given = digest(key.strip())
        # all digests are compared, each in constant time, so that the time taken reveals nothing
        matches = [known for known in sorted(self.digests) if hmac.compare_digest(known, given)]
        if not matches:
            raise problems.unauthorized()
        return key_name(matches[0])


def load_keys(config: ServeConfig) -> KeyRing:
    """The keys of a configuration, of its file and of its environment variable together.

    Raises ConfigError for a missing file, for a key that is too short to be safe, and if other
    machines could reach the service without any key. No message repeats a key.
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
    """The digest of a key; a text that is a digest already is taken as it is."""
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
