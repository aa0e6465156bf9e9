"""One colour per category: the same label has the same colour in every page and video."""

from __future__ import annotations

import hashlib

from spatialcode.scene.categories import LABEL_INDEX

RGB = tuple[int, int, int]

#: In the order of ``categories.LABELS``. Mid-tones, so that they stand out both from
#: a white page and from a dark video.
_CATEGORY_RGB: tuple[RGB, ...] = (
    (230, 57, 70),
    (244, 140, 6),
    (29, 120, 216),
    (131, 56, 236),
    (0, 180, 216),
    (156, 102, 68),
    (72, 149, 239),
    (255, 183, 3),
    (100, 110, 125),
    (247, 103, 182),
    (32, 161, 150),
    (170, 178, 40),
    (190, 24, 93),
    (8, 145, 178),
    (56, 176, 0),
    (217, 176, 50),
    (122, 80, 30),
    (160, 90, 200),
)


def label_rgb(label: str) -> RGB:
    """Colour of ``label`` as 8-bit red, green, blue.

    Categories that the small encoder knows have fixed colours; any other label gets one
    from a hash of its text, so it is stable over runs and machines too (two unknown
    labels may come out alike).
    """
    index = LABEL_INDEX.get(label)
    if index is not None:
        return _CATEGORY_RGB[index]
    digest = hashlib.sha256(label.encode("utf-8", "surrogatepass")).digest()
    red, green, blue = (60 + value % 160 for value in digest[:3])
    return red, green, blue


def css_rgb(rgb: RGB) -> str:
    """``rgb(r,g,b)`` as CSS and plotly read it."""
    return f"rgb({rgb[0]},{rgb[1]},{rgb[2]})"
