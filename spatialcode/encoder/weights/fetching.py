"""Brings public weights into a store, once for all processes of a machine, and checks them.

A folder of weights appears under its name only when every file in it has the right size and hash.
What a fetch that was cut short has left is used by the next one. `huggingface_hub` does the
transfer and honours its own variables (HF_TOKEN, HF_HOME); pickled tensors are never fetched.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from spatialcode.encoder.weights.pins import (
    Pin,
    PinnedFile,
    WeightsIdentity,
    file_sha256,
    read_pin,
    write_pin,
)
from spatialcode.encoder.weights.registry import TENSORS, PublicWeights, public_weights
from spatialcode.encoder.weights.store import WeightsStore
from spatialcode.errors import WeightsError

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
_BESIDE = (".json", ".txt")  # configuration, tokenizers
_INDEX = f"{TENSORS}.index.json"
_NUM_TRIES = 2  # a transfer that went wrong once is repeated; one that does twice is no accident


@dataclass(frozen=True)
class _Wanted:
    """A file of a repository, with size and hash where anybody has stated them."""

    path: str
    num_bytes: int | None = None
    sha256: str | None = None


def fetch(name: str, store: WeightsStore, identity: WeightsIdentity | None = None) -> Path:
    """The folder of a name's weights, fetched where missing or damaged; every hash is checked.

    ``identity``: what they must be, for example what another machine has pinned; without it, what
    this store has pinned, else whatever the revision holds now, which is then pinned.
    WeightsError where a licence is not accepted, consent is missing, the hub cannot be reached or
    must not be, or what it sends is not what it should be.
    """
    known = public_weights(name)
    store.check_licence(name, read_pin(store.path, name))
    with store.locked(name):
        pin = read_pin(store.path, name)
        accepted = store.check_licence(name, pin)
        expected = _agreed(pin, identity)
        folder = store.path / name
        if expected is None or problems(folder, expected):
            if store.is_offline:
                raise WeightsError(f"{name}: not complete in {store.path}, and offline")
            staging = _staging(folder, expected)
            expected = _transferred(name, known, expected, staging)
            write_pin(store.path, Pin(expected, accepted))
            _tidied(staging, expected)
            staging.rename(folder)
        return folder


def problems(folder: Path, expected: WeightsIdentity, *, hashes: bool = True) -> list[str]:
    """What is wrong with a folder of weights, file by file; empty where nothing is.

    ``hashes``: read every byte; without it, only sizes are compared.
    """
    found = []
    for file in expected.files:
        path = folder / file.path
        if not path.is_file():
            found.append(f"{file.path}: missing")
        elif (size := path.stat().st_size) != file.num_bytes:
            found.append(f"{file.path}: expected {file.num_bytes} bytes, got {size}")
        elif hashes and (sha256 := file_sha256(path)) != file.sha256:
            found.append(f"{file.path}: expected sha256 {file.sha256}, got {sha256}")
    return found


def _agreed(pin: Pin | None, identity: WeightsIdentity | None) -> WeightsIdentity | None:
    """What the weights must be by the pin and by who asks for them; they must not disagree."""
    if pin is None or identity is None:
        return identity if pin is None else pin.identity
    if pin.identity.sha256 != identity.sha256:
        raise WeightsError(
            f"{identity.name}: expected revision {identity.revision}, sha256 {identity.sha256};"
            f" got revision {pin.identity.revision}, sha256 {pin.identity.sha256}, pinned here"
        )
    return pin.identity


def _staging(folder: Path, expected: WeightsIdentity | None) -> Path:
    """Where a transfer gathers its files, with whatever sound files are here already."""
    staging = folder.with_name(f".{folder.name}.partial")
    if folder.is_dir():
        shutil.rmtree(staging, ignore_errors=True)
        folder.rename(staging)
    staging.mkdir(exist_ok=True)
    for problem in problems(staging, expected) if expected else []:
        (staging / problem.partition(":")[0]).unlink(missing_ok=True)
    return staging


def _tidied(staging: Path, identity: WeightsIdentity) -> None:
    """Remove what the transfer kept for itself, and files that an earlier, other one has left."""
    shutil.rmtree(staging / ".cache", ignore_errors=True)
    wanted = {file.path for file in identity.files}
    for path in staging.iterdir():
        if path.name not in wanted:
            path.unlink()


def _transferred(
    name: str, known: PublicWeights, expected: WeightsIdentity | None, staging: Path
) -> WeightsIdentity:
    """Fetch into a folder what is expected, or what the repository holds; hashes checked."""
    endpoint = os.environ.get("HF_ENDPOINT") or None
    if expected is None:
        commit, wanted = _listing(name, known, endpoint)
    else:
        commit = expected.revision
        wanted = [_Wanted(file.path, file.num_bytes, file.sha256) for file in expected.files]
    files = []
    for file in wanted:
        source = {"repo_id": known.repository, "revision": commit, "endpoint": endpoint}
        files.append(_sound_file(name, known, file, source | {"local_dir": staging}))
    ordered = tuple(sorted(files, key=lambda file: file.path))
    return WeightsIdentity(name, known.repository, commit, ordered)


def _sound_file(
    name: str, known: PublicWeights, wanted: _Wanted, source: dict[str, Any]
) -> PinnedFile:
    """Fetch one file; where its size or hash is wrong, once more; then refuse it."""
    from huggingface_hub import hf_hub_download

    complaint = ""
    for attempt in range(_NUM_TRIES):
        try:
            local = hf_hub_download(filename=wanted.path, force_download=attempt > 0, **source)
        # The transfer's own HTTP library is nobody's business here; whatever it raises is told.
        except Exception as error:
            if attempt + 1 < _NUM_TRIES and "onsistency check failed" in str(error):
                continue
            raise _explained(name, known, wanted.path, error) from error
        path = Path(local)
        got = PinnedFile(wanted.path, path.stat().st_size, file_sha256(path))
        if wanted.num_bytes is not None and got.num_bytes != wanted.num_bytes:
            complaint = f"expected {wanted.num_bytes} bytes, got {got.num_bytes}"
        elif wanted.sha256 is not None and got.sha256 != wanted.sha256:
            complaint = f"expected sha256 {wanted.sha256}, got {got.sha256}"
        else:
            return got
        path.unlink()
    raise WeightsError(f"{name}: {known.repository}/{wanted.path}: {complaint}; it was removed")


def _listing(name: str, known: PublicWeights, endpoint: str | None) -> tuple[str, list[_Wanted]]:
    """The commit of the revision now, and the files to fetch with what the hub says of them."""
    from huggingface_hub import HfApi

    try:
        api = HfApi(endpoint=endpoint)
        info = api.model_info(known.repository, revision=known.revision, files_metadata=True)
    except Exception as error:  # as above
        raise _explained(name, known, known.revision, error) from error
    stated = {
        file.rfilename: _Wanted(file.rfilename, file.size, file.lfs.sha256 if file.lfs else None)
        for file in info.siblings or ()
    }
    for file in known.files:  # what the registry knows counts more than what the hub says
        if file.path in stated and (file.sha256 or file.num_bytes):
            stated[file.path] = _Wanted(file.path, file.num_bytes, file.sha256)
    chosen = _chosen(name, known, list(stated))
    return str(info.sha), [stated[path] for path in chosen]


def _chosen(name: str, known: PublicWeights, paths: Sequence[str]) -> list[str]:
    """Tensors in safetensors and the small texts beside them; WeightsError where any is missing."""
    beside = [p for p in paths if "/" not in p and PurePosixPath(p).suffix in _BESIDE]
    tensors = [TENSORS]
    if TENSORS not in paths and _INDEX in paths:
        tensors = [p for p in paths if p.startswith("model-") and p.endswith(".safetensors")]
    missing = [file.path for file in known.files if file.path not in paths]
    if tensors != [TENSORS]:
        missing.remove(TENSORS)
    pickles = [p for p in paths if PurePosixPath(p).suffix in PICKLES]
    if TENSORS in missing and pickles:
        raise WeightsError(
            f"{name}: {known.repository} holds tensors only as {', '.join(pickles)};"
            f" expected {TENSORS}: pickles can run code and are never loaded"
        )
    if missing:
        raise WeightsError(f"{name}: {known.repository} lacks {', '.join(missing)}")
    return [*tensors, *beside]


def _explained(name: str, known: PublicWeights, what: str, error: Exception) -> WeightsError:
    """A transfer's error in the words of whoever has to do something about it."""
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError

    status = getattr(getattr(error, "response", None), "status_code", None)
    where = f"{name}: {known.repository} ({what})"
    if isinstance(error, GatedRepoError) or (known.gated and status in (401, 403)):
        return WeightsError(
            f"{where}: its owner asks for consent: ask for access on the repository's page, then"
            " set HF_TOKEN to a token of that account (or run `hf auth login`)"
        )
    if status in (401, 403, 404):
        return WeightsError(f"{where}: not there, or not for this account (HTTP {status})")
    first = str(error).strip().splitlines()[0] if str(error).strip() else ""
    reached = "failed" if isinstance(error, HfHubHTTPError) else "could not be fetched"
    return WeightsError(f"{where}: {reached}: {type(error).__name__}: {first}")
