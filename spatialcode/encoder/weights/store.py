"""Where weights are kept on a machine, and what may be done to get them there."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from spatialcode.config import checked, setting
from spatialcode.encoder.weights.pins import Pin
from spatialcode.encoder.weights.registry import public_weights
from spatialcode.errors import WeightsError

FOLDER_VARIABLE = "SPATIALCODE_WEIGHTS"
_OFFLINE_VARIABLES = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
_POLL_S = 0.1


@dataclass(frozen=True)
@checked
class WeightsStore:
    """A folder of weights that the processes of a machine share."""

    folder: str = setting(
        f"where weights are kept; empty: {FOLDER_VARIABLE}, or spatialcode in the user's cache", ""
    )
    offline: bool = setting("never use the network; HF_HUB_OFFLINE=1 says the same", False)
    accept_licence: tuple[str, ...] = setting(
        "names of licences that are accepted although they forbid commercial use", ()
    )
    wait_s: float = setting("longest wait for another process that fetches", 3600.0, above=0)

    @property
    def path(self) -> Path:
        """The folder, whether it exists or not."""
        if self.folder:
            return Path(self.folder)
        if given := os.environ.get(FOLDER_VARIABLE):
            return Path(given)
        cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        return Path(cache) / "spatialcode" / "weights"

    @property
    def is_offline(self) -> bool:
        """Whether the network must not be touched, by this setting or the environment."""
        said = (os.environ.get(name, "").upper() for name in _OFFLINE_VARIABLES)
        return self.offline or any(value in {"1", "ON", "YES", "TRUE"} for value in said)

    def check_licence(self, name: str, pin: Pin | None = None) -> str | None:
        """The licence that is accepted by name, None where none needs to be.

        ``pin``: acceptance at an earlier fetch counts. WeightsError where the licence forbids
        commercial use, or is not known, and was not accepted.
        """
        known = public_weights(name)
        licence = known.licence
        if not known.needs_consent:
            return None
        if licence.name in self.accept_licence or (pin and pin.accepted_licence == licence.name):
            return licence.name
        why = "forbids commercial use" if licence.commercial is False else "is not known"
        other = f"; {known.alternative} allows commercial use" if known.alternative else ""
        note = f" ({licence.note})" if licence.note else ""
        raise WeightsError(
            f"{name}: its licence {licence.name}{note} {why}; if you may use it, say"
            f" accept_licence={licence.name}{other}"
        )

    @contextmanager
    def locked(self, name: str) -> Iterator[None]:
        """Keep other processes of this machine from fetching a name meanwhile.

        They wait. The lock is the kernel's: it ends with its holder, however that ends.
        WeightsError where the wait is longer than ``wait_s``.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        path = self.path / f".{name}.lock"
        until_s = time.monotonic() + self.wait_s
        with path.open("a+") as file:
            while not _taken(file.fileno()):
                if time.monotonic() > until_s:
                    raise WeightsError(
                        f"{name}: another process has been fetching it for {self.wait_s:g} s"
                        f" (lock {path})"
                    )
                time.sleep(_POLL_S)
            yield


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
