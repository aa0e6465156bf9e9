"""The lens of a video by what its file says beside the pictures: focal length or kind of phone.

In order: QuickTime's key of the 35 mm equivalent (phones write it; Matroska files made of theirs
carry it as a tag), XMP's and Exif's field of the same meaning, a small table of phones. All of them
mean the lens, not the cut-out that was filmed: how a phone crops to steady the picture is in none
of them, so that the focal length stays uncertain by some hundredths. What is damaged, out of range,
or of a panorama, tells nothing.

The 35 mm equivalent f has the picture's diagonal span the angle that 43.27 mm span at f.
Source: CIPA DCG-001, 2005, 5.2.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from spatialcode.scene.lens import Lens, LensSource
from spatialcode.video.atoms import MovMetadata
from spatialcode.video.exif import focal_35mm_of_jpeg

#: Diagonal of 36 mm × 24 mm film, and the width of a 4:3 picture of that diagonal.
_DIAGONAL_MM = math.hypot(36.0, 24.0)
_WIDTH_MM = 0.8 * _DIAGONAL_MM
#: Equivalents that a lens for rooms may have.
_FOCAL_MM = (6.0, 400.0)
_KEY_35MM = "com.apple.quicktime.camera.focal_length.35mm_equivalent"
_KEYS_MODEL = ("com.apple.quicktime.model", "com.android.model", "model")
_XMP_35MM = re.compile(r"exif:FocalLengthIn35mmFilm\s*(?:=\s*[\"']|>)\s*(\d{1,4}(?:\.\d{1,4})?)\b")
_XMP_PANORAMA = re.compile(r"GSpherical:Spherical|GPano:ProjectionType", re.IGNORECASE)
#: How much longer the focal length is in the cut-out that is left for steadying the picture,
#: which phones do by software. Source: none; cut-outs of 0 to 20 % lie within two sigmas.
_STEADIED, _STEADIED_LOG_SIGMA = 1.1, 0.08
#: Where the equivalent may be of the whole sensor or of the part that was filmed.
_TOLD_LOG_SIGMA = 0.08
#: Of a phone's main camera, though another of its cameras may have filmed.
_PHONE_LOG_SIGMA = 0.12
#: Horizontal angle in degrees of main cameras over the sensor's whole width, by the model that
#: files name. Source: ``videoFieldOfView`` of their formats, as AVFoundation lists them on these
#: phones (published lists of 2014 to 2017).
_PHONES_DEG: dict[str, float] = {
    "iphone 5": 56.70, "iphone 5s": 58.08, "iphone 6": 58.04, "iphone 6 plus": 58.04,
    "iphone 6s": 57.70, "iphone 6s plus": 57.71, "iphone x": 60.98,
}  # fmt: skip


@dataclass(frozen=True)
class FileMetadata:
    """What a file says beside its pictures.

    ``tags``: by name in lower case, of container, picture stream and QuickTime keys. ``xmp``: the
    text of an XMP packet. ``jpeg``: the first picture, where pictures are JPEG files.
    """

    tags: Mapping[str, str]
    xmp: str = ""
    jpeg: bytes = b""

    @classmethod
    def of(
        cls, tags: Mapping[str, str], mov: MovMetadata | None = None, jpeg: bytes = b""
    ) -> FileMetadata:
        """Of what FFmpeg tells, and what it does not: see `spatialcode.video.atoms`."""
        named = {name.lower(): value for name, value in tags.items()}
        if mov is None:
            return cls(named, named.get("xmp", ""), jpeg)
        keys = {name.lower(): value for name, value in mov.keys.items()}
        return cls(named | keys, mov.xmp, jpeg)


def lens_of(metadata: FileMetadata, size_px: tuple[int, int]) -> Lens | None:
    """The lens of pictures of (width, height), upright and with square pixels; None where nothing
    is told.
    """
    if _XMP_PANORAMA.search(metadata.xmp):
        return None
    return next(_told(metadata, size_px), None)


def _told(metadata: FileMetadata, size_px: tuple[int, int]) -> Iterator[Lens]:
    width, height = size_px
    long_widths = max(size_px) / width
    diagonal_widths = math.hypot(width, height) / width
    focal_mm = _believable(metadata.tags.get(_KEY_35MM))
    if focal_mm is not None:
        # of the lens on its 4:3 sensor, whose whole width videos begin with
        focal = focal_mm / _WIDTH_MM * _STEADIED * long_widths
        yield Lens(focal, "quicktime", _STEADIED_LOG_SIGMA)
    found = _XMP_35MM.search(metadata.xmp)
    others: dict[LensSource, str | float | None] = {
        "xmp": None if found is None else found[1],
        "exif": focal_35mm_of_jpeg(metadata.jpeg),
    }
    for source, value in others.items():
        focal_mm = _believable(value)
        if focal_mm is not None:
            yield Lens(focal_mm / _DIAGONAL_MM * diagonal_widths, source, _TOLD_LOG_SIGMA)
    model = next((metadata.tags[key] for key in _KEYS_MODEL if key in metadata.tags), "")
    view_deg = _PHONES_DEG.get(" ".join(model.lower().split()))
    if view_deg is not None:
        focal = 0.5 / math.tan(math.radians(view_deg) / 2) * _STEADIED * long_widths
        yield Lens(focal, "phone", _PHONE_LOG_SIGMA)


def _believable(focal_mm: str | float | None) -> float | None:
    """A 35 mm equivalent as a number, None where it is none of a lens."""
    try:
        value = float(focal_mm or 0.0)
    except ValueError:
        return None
    return value if _FOCAL_MM[0] <= value <= _FOCAL_MM[1] else None
