"""Names of public weights: repository, revision, licence, files, input size, memory.

What stands here was read in public text: the hub's pages, the packages' own documents. ``None`` is
what was not found there. A hash that is not known here is pinned when the weights are first
fetched (`spatialcode.encoder.weights.pins`), and so is the commit of a revision that is a branch.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

from spatialcode.errors import WeightsError

_MB = 1_000_000
CONFIG, TENSORS = "config.json", "model.safetensors"


@dataclass(frozen=True)
class Licence:
    """Under what weights are given: an SPDX id or a name, and whether that allows commercial use.

    ``commercial``: None where the licence itself is not known.
    """

    name: str
    commercial: bool | None
    note: str = ""


@dataclass(frozen=True)
class WeightFile:
    """A file that weights cannot do without; ``sha256`` and ``num_bytes`` where they are known."""

    path: str
    sha256: str | None = None
    num_bytes: int | None = None


@dataclass(frozen=True)
class PublicWeights:
    """Weights of one network on the Hugging Face hub.

    ``revision``: a commit where one is known to hold the files, else a branch. ``input_px``: the
    side or the shorter and longer side that pictures are scaled to, empty where not known.
    ``about_bytes``: of the tensors, as the hub's page rounds it or as parameters × 4; what the
    network needs beside them while it runs is not in it. ``gated``: its owner asks for consent
    before a download. ``alternative``: weights for the same place whose licence allows commercial
    use.
    """

    repository: str
    licence: Licence
    input_px: tuple[int, ...] = ()
    about_bytes: int | None = None
    revision: str = "main"
    files: tuple[WeightFile, ...] = (WeightFile(CONFIG), WeightFile(TENSORS))
    gated: bool = False
    alternative: str | None = None

    @property
    def needs_consent(self) -> bool:
        """Whether the licence must be named to fetch them: no commercial use, or unknown."""
        return self.licence.commercial is not True


_APACHE = Licence("Apache-2.0", True)
_MIT = Licence("MIT", True)
_CC_BY_NC = Licence("CC-BY-NC-4.0", False)
_APPLE = Licence("apple-amlr", False, "for research alone")
_SAM = Licence("sam-license", True, "forbids military use among others: read it")
_SMALL_ONLY = Licence(
    "CC-BY-NC-4.0", False, "of Depth Anything V2 above Small; this card names no licence"
)
_NOT_FOUND = Licence("unknown", None, "the card was not found; the code's licence is Apache-2.0")

_TOKENIZER = tuple(WeightFile(name) for name in ("tokenizer.json", "tokenizer_config.json"))
_WITH_TOKENIZER = (WeightFile(CONFIG), WeightFile(TENSORS), *_TOKENIZER)
_CLIP_TOKENIZER = tuple(
    WeightFile(name) for name in ("merges.txt", "tokenizer_config.json", "vocab.json")
)
_DETECTOR_PX, _DA3_PX = (800, 1333), (504,)


def _da3(name: str, licence: Licence, millions: int, alternative: str | None) -> PublicWeights:
    return PublicWeights(
        f"depth-anything/{name}", licence, _DA3_PX, millions * 4 * _MB, alternative=alternative
    )


def _sam2(size: str, megabytes: int) -> PublicWeights:
    return PublicWeights(f"facebook/sam2.1-hiera-{size}", _APACHE, (1024,), megabytes * _MB)


def _mm_grounding_dino(training: str) -> PublicWeights:
    return PublicWeights(
        f"openmmlab-community/mm_grounding_dino_{training}",
        _NOT_FOUND,
        _DETECTOR_PX,
        files=_WITH_TOKENIZER,
        alternative="grounding-dino-tiny",
    )


def _indoor(size: str, licence: Licence, megabytes: int, revision: str) -> PublicWeights:
    return PublicWeights(
        f"depth-anything/Depth-Anything-V2-Metric-Indoor-{size}-hf",
        licence,
        (518,),
        megabytes * _MB,
        revision,
        alternative=None if licence.commercial else "depth-anything-v2-indoor-small",
    )


#: Every network that an encoder can load from public weights.
WEIGHTS: dict[str, PublicWeights] = {
    "grounding-dino-tiny": PublicWeights(
        "IDEA-Research/grounding-dino-tiny",
        _APACHE,
        _DETECTOR_PX,
        689 * _MB,
        "a2bb814dd30d776dcf7e30523b00659f4f141c71",
        _WITH_TOKENIZER,
    ),
    "grounding-dino-base": PublicWeights(
        "IDEA-Research/grounding-dino-base",
        _APACHE,
        _DETECTOR_PX,
        revision="a062f8edaf7f3aa52714a8f80cb8db7de1e5e170",
        files=_WITH_TOKENIZER,
    ),
    "mm-grounding-dino-tiny": _mm_grounding_dino("tiny_o365v1_goldg_v3det"),
    "mm-grounding-dino-base": _mm_grounding_dino("base_o365v1_goldg_v3det"),
    "mm-grounding-dino-large": _mm_grounding_dino("large_all"),
    "owlv2-base": PublicWeights(
        "google/owlv2-base-patch16-ensemble",
        _APACHE,
        (960,),
        620 * _MB,
        "7c77fc1316a353da3109f81d80ae118dd58fd55b",
        (WeightFile(CONFIG), WeightFile(TENSORS), *_CLIP_TOKENIZER),
    ),
    "owlv2-large": PublicWeights(
        "google/owlv2-large-patch14-ensemble",
        _APACHE,
        files=(WeightFile(CONFIG), WeightFile(TENSORS), *_CLIP_TOKENIZER),
    ),
    # Sizes are those of SAM 2, whose networks these are.
    "sam2.1-tiny": _sam2("tiny", 156),
    "sam2.1-small": _sam2("small", 184),
    "sam2.1-base-plus": _sam2("base-plus", 323),
    "sam2.1-large": _sam2("large", 898),
    "sam3": PublicWeights("facebook/sam3", _SAM, (1008,), gated=True, files=_WITH_TOKENIZER),
    "da3-small": _da3("DA3-SMALL", _APACHE, 80, None),
    "da3-base": _da3("DA3-BASE", _APACHE, 120, None),
    # The refreshed checkpoints: their predecessors were trained with a bug, says their README.
    "da3-large": _da3("DA3-LARGE-1.1", _CC_BY_NC, 350, "da3-base"),
    "da3-giant": _da3("DA3-GIANT-1.1", _CC_BY_NC, 1150, "da3-base"),
    "da3-metric-large": _da3("DA3METRIC-LARGE", _APACHE, 350, None),
    "da3-nested": _da3("DA3NESTED-GIANT-LARGE-1.1", _CC_BY_NC, 1400, "da3-base"),
    "depth-anything-v2-indoor-small": _indoor(
        "Small", _APACHE, 99, "034ea2398ce54e1d0fefe42edbc8fbdfa2ee53e2"
    ),
    "depth-anything-v2-indoor-base": _indoor(
        "Base", _SMALL_ONLY, 390, "9137e70c71249fa39bad01abe8b48781a013c9a7"
    ),
    "depth-anything-v2-indoor-large": _indoor(
        "Large", _SMALL_ONLY, 1340, "719f4a6b8b78707d94d2671fa219bd253a6c4b62"
    ),
    "depth-pro": PublicWeights(
        "apple/DepthPro-hf", _APPLE, (1536,), 1900 * _MB, alternative="da3-metric-large"
    ),
    "zoedepth": PublicWeights(
        "Intel/zoedepth-nyu-kitti",
        _MIT,
        (384, 512),
        1380 * _MB,
        "f364d4c7936e91f465abba182208dd68142bf0ca",
    ),
}

_FREE = ("grounding-dino-tiny", "sam2.1-base-plus", "da3-base", "da3-metric-large")
#: Weights that belong together, by the name of the encoder that they are for.
SETS: dict[str, tuple[str, ...]] = {
    "prompted": _FREE,
    "prompted-apache": _FREE,
    "prompted-best": ("grounding-dino-base", "sam2.1-large", "da3-nested"),
}


def public_weights(name: str) -> PublicWeights:
    """What is known of a name. WeightsError, with the nearest name, where there is none such."""
    if name in WEIGHTS:
        return WEIGHTS[name]
    close = difflib.get_close_matches(name, [*WEIGHTS, *SETS], 1, 0.6)
    hint = f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(WEIGHTS)}"
    raise WeightsError(f"weights: expected a known name, got {name!r}; {hint}")


def expanded(names: Iterable[str]) -> list[str]:
    """Names with sets replaced by their members, each once, in order. WeightsError as above."""
    found: dict[str, None] = {}
    for name in names:
        for member in SETS.get(name, (name,)):
            public_weights(member)
            found[member] = None
    return list(found)
