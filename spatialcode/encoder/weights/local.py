"""What an encoder asks for: the folder of some weights, and who they are without loading them.

Weights are named by the registry, or by the path of a folder that `save_pretrained` has written.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from spatialcode.encoder.weights.fetching import PICKLES, fetch, problems
from spatialcode.encoder.weights.pins import (
    Pin,
    PinnedFile,
    WeightsIdentity,
    file_sha256,
    read_pin,
)
from spatialcode.encoder.weights.registry import SETS, WEIGHTS, PublicWeights, public_weights
from spatialcode.encoder.weights.store import WeightsStore
from spatialcode.errors import WeightsError

_TENSORS = "*.safetensors"
_READ = (".safetensors", ".json", ".txt", ".model")  # what decides what a network computes


def weights_folder(
    name: str, store: WeightsStore | None = None, identity: WeightsIdentity | None = None
) -> Path:
    """The local folder of some weights, for `from_pretrained`; fetched where it is missing.

    ``name``: of the registry, or a folder's path. ``identity``: what they must be, as
    `weights_identity` has given it on another machine. Sizes are always compared; hashes when a
    folder comes to be, when ``identity`` names a folder, and by `jobs.weights verify`.
    WeightsError where they cannot be had, or are other weights.
    """
    store = store or WeightsStore()
    if _is_path(name):
        if identity is not None and weights_identity(name, store).sha256 != identity.sha256:
            raise WeightsError(f"{name}: the weights have changed since they were named")
        return _checked_folder(name)
    pin = read_pin(store.path, name)
    folder = store.path / name
    same = pin is not None and (identity is None or pin.identity.sha256 == identity.sha256)
    if pin is not None and same and not problems(folder, pin.identity, hashes=False):
        store.check_licence(name, pin)
        return folder
    return fetch(name, store, identity)


def weights_identity(name: str, store: WeightsStore | None = None) -> WeightsIdentity:
    """Repository, revision and hashes of some weights: from the pin, the registry, or the folder.

    Touches no network and loads nothing. WeightsError where the registry does not know all hashes
    and nothing has been fetched here yet.
    """
    store = store or WeightsStore()
    if _is_path(name):
        folder = _checked_folder(name)
        paths = sorted(p for p in folder.iterdir() if p.is_file() and p.suffix in _READ)
        files = (PinnedFile(p.name, p.stat().st_size, file_sha256(p)) for p in paths)
        return WeightsIdentity(folder.name, "", "", tuple(files))
    pin = _pin(name, store)
    if pin is None:
        raise _not_fetched([name])
    return pin.identity


def check_fetched(names: Sequence[str], store: WeightsStore | None = None) -> None:
    """Raise one WeightsError for all names whose hashes are not known before a first fetch."""
    store = store or WeightsStore()
    missing = [name for name in names if not _is_path(name) and _pin(name, store) is None]
    if missing:
        raise _not_fetched(missing)


def verify(name: str, store: WeightsStore) -> list[str]:
    """What is wrong with the fetched weights of a name, every byte read; empty where nothing is."""
    public_weights(name)
    pin = read_pin(store.path, name)
    if pin is None:
        return ["not fetched"]
    return problems(store.path / name, pin.identity)


def _pin(name: str, store: WeightsStore) -> Pin | None:
    known = public_weights(name)
    return read_pin(store.path, name) or _registered(name, known)


def _not_fetched(names: Sequence[str]) -> WeightsError:
    sets = [one for one, members in SETS.items() if set(members) == set(names)]
    wanted = sets[0] if sets else names[0] if len(names) == 1 else f"[{','.join(names)}]"
    return WeightsError(
        f"{', '.join(names)}: hashes are not known before the first fetch;"
        f" run: python -m jobs.weights fetch names={wanted}"
    )


def _is_path(name: str) -> bool:
    """Whether a name is a path: a known name is none, whatever lies in the working folder."""
    return name not in WEIGHTS and ("/" in name or Path(name).is_dir())


def _checked_folder(name: str) -> Path:
    """A folder with tensors in safetensors; WeightsError where it is none."""
    folder = Path(name)
    if not folder.is_dir():
        raise WeightsError(f"weights: expected a known name or a folder, got {name!r}")
    if not any(folder.glob(_TENSORS)):
        pickles = sorted(p.name for p in folder.iterdir() if p.suffix in PICKLES)
        got = f"only {', '.join(pickles)}, which are never loaded" if pickles else "none"
        raise WeightsError(f"{name}: expected tensors in a .safetensors file, got {got}")
    return folder


def _registered(name: str, known: PublicWeights) -> Pin | None:
    """The identity by the registry alone, where it knows the commit and every file."""
    files = []
    for file in known.files:
        if file.sha256 is None or file.num_bytes is None:
            return None
        files.append(PinnedFile(file.path, file.num_bytes, file.sha256))
    return Pin(WeightsIdentity(name, known.repository, known.revision, tuple(files)))
