"""Pretrained networks of transformers from a folder, ready on a device; and running out of memory.

Only safetensors are read, and no code that comes with weights is run. A folder whose tensors do not
fill the network is refused: the library would start it with random ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

import torch
from torch import Tensor

from spatialcode.encoder.parsing.pictures import Preparation, read_preparation
from spatialcode.encoder.parsing.settings import BatchSettings, halved
from spatialcode.errors import DeviceMemoryError, WeightsError

T = TypeVar("T")
S = TypeVar("S", bound=BatchSettings)

#: Files of a hub repository that a network of transformers is made of.
_FILES = ("*.json", "*.txt", "*.model", "*.safetensors")
_VOCABULARIES = ("tokenizer.json", "vocab.txt", "vocab.json")
_DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}


@dataclass(frozen=True, eq=False)
class PretrainedTower:
    """A network in evaluation mode on its device, and how it wants its pictures."""

    model: Any
    prepare: Preparation
    folder: Path
    device: torch.device
    dtype: torch.dtype

    def pictures(self, rgb: Any) -> Tensor:
        """Frames (n, H, W, 3) uint8 as the network takes them, on its device."""
        return self.prepare(rgb, self.device, self.dtype)

    def tokenizer(self) -> Any:
        """The tokenizer beside the weights. Raises WeightsError where there is none."""
        from transformers import AutoTokenizer

        # The library makes an empty one, which knows no word, where there is none of these.
        if not any((self.folder / name).is_file() for name in _VOCABULARIES):
            raise WeightsError(f"{self.folder}: no tokenizer: none of {', '.join(_VOCABULARIES)}")
        try:
            return AutoTokenizer.from_pretrained(self.folder, local_files_only=True)
        except (OSError, ValueError, KeyError) as error:
            raise WeightsError(f"{self.folder}: no tokenizer: {_first_line(error)}") from error


class TowerPart(Generic[S]):
    """A part of an encoder that is made of one network, which all its sizes share.

    ``image_tower``: the network's module that takes pictures of one size, if it has one.
    """

    image_tower: ClassVar[str] = ""

    def __init__(self, tower: PretrainedTower, settings: S) -> None:
        self._tower = tower
        self._settings = settings

    @classmethod
    def load(cls, model_class: str, weights: str | Path, settings: S, device: str) -> Self:
        """The part with its weights; see `load_tower`."""
        return cls(load_tower(model_class, weights, device, settings.precision), settings)

    def fixed_shape_modules(self) -> list[Any]:
        """See `Compilable`: the image tower, where the network wants pictures of one size."""
        return [self._tower.model.get_submodule(self.image_tower)] if self.image_tower else []

    def halved(self) -> Self | None:
        """The part taking half as much at once, where that is still possible.

        For who meets DeviceMemoryError: first half the frames, down to one, then half the objects.
        Sessions that were begun go on with what they have.
        """
        smaller = halved(self._settings)
        return None if smaller is None else type(self)(self._tower, smaller)


def load_tower(
    class_name: str, weights: str | Path, device: str, precision: str
) -> PretrainedTower:
    """A network of a class of transformers, from a local folder or by its name on the hub.

    ``precision``: "auto" is bfloat16 on an accelerator and float32 elsewhere. Raises WeightsError
    where there are no such weights, or they are damaged, incomplete or of another network.
    """
    import transformers

    folder = _folder(weights)
    where = torch.device(device)
    chosen = (
        ("float32" if where.type == "cpu" else "bfloat16") if precision == "auto" else precision
    )
    dtype = _DTYPES[chosen]
    network = getattr(transformers, class_name)
    prepare = read_preparation(folder)
    with device_memory(f"loading {class_name}"):
        model, info = _loaded(network, folder, dtype)
        missing = sorted(info["missing_keys"])
        if missing:
            first = ", ".join(missing[:3])
            raise WeightsError(f"{folder}: tensors of {class_name} are missing: {first}")
        model = model.to(where).eval().requires_grad_(False)
    return PretrainedTower(model, prepare, folder, where, dtype)


def _loaded(network: Any, folder: Path, dtype: torch.dtype) -> tuple[Any, dict[str, Any]]:
    from safetensors import SafetensorError

    try:
        return network.from_pretrained(
            folder,
            dtype=dtype,
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        name = network.__name__
        raise WeightsError(f"{folder}: no {name} in it: {_first_line(error)}") from error
    except RuntimeError as error:
        if _is_out_of_memory(error):
            raise
        raise WeightsError(f"{folder}: weights do not fit: {_first_line(error)}") from error


def _folder(weights: str | Path) -> Path:
    folder = Path(weights)
    if folder.is_dir():
        return folder
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    try:
        return Path(snapshot_download(str(weights), allow_patterns=list(_FILES)))
    except (OSError, ValueError, HFValidationError) as error:
        expected = "a folder of weights, or a repository of the hub that can be reached"
        raise WeightsError(f"{weights}: expected {expected}: {_first_line(error)}") from error


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


@contextmanager
def device_memory(doing: str) -> Iterator[None]:
    """Turn an allocation that fails inside into DeviceMemoryError, which says what was done."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if isinstance(error, DeviceMemoryError) or not _is_out_of_memory(error):
            raise
        raise DeviceMemoryError(f"{doing}: {_first_line(error)}") from error


def _is_out_of_memory(error: BaseException) -> bool:
    # The allocator of the CPU raises a plain RuntimeError.
    own = (torch.OutOfMemoryError, MemoryError)
    return isinstance(error, own) or "DefaultCPUAllocator: can't allocate" in str(error)


def batches(rows: Sequence[T], size: int) -> Iterator[list[T]]:
    """What is given in order, so many at a time."""
    for start in range(0, len(rows), size):
        yield list(rows[start : start + size])
