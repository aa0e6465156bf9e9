"""What is usual in rooms and of those who film them, and how sure that is."""

from __future__ import annotations

from dataclasses import dataclass

from spatialcode.config import checked, setting


@dataclass(frozen=True)
@checked
class ScaleSettings:
    """Usual lengths in metres, errors as standard deviations of logarithms.

    A camera in the hand is held between the chest (0.72 of the stature) and the eyes (0.94) of an
    adult of 1.7 m, or lower by one who sits: 1.4 m within a fifth. Source: the segments of Drillis
    and Contini (1966), as in Winter, "Biomechanics and motor control of human movement", fig. 4.1.

    Ceilings: 2.5 m within a tenth; building codes ask for 2.1 to 2.4 m at least (International
    Residential Code, R305), and offices have up to 3 m.
    """

    is_fused: bool = setting(
        "weigh predicted depth, camera height, ceiling and usual sizes; false: depth alone", True
    )
    camera_height_m: float = setting("of a camera in the hand, over the floor", 1.4, above=0)
    camera_height_sigma: float = setting("", 0.2, above=0)
    ceiling_height_m: float = setting("of rooms", 2.5, above=0)
    ceiling_height_sigma: float = setting("", 0.12, above=0)
    depth_doubt: float = setting(
        "factor on the doubt that the network states of depth, taken to be of the whole clip",
        1.0,
        above=0,
    )
    liar_share: float = setting("how likely a cue says nothing true at all", 0.15, above=0, below=1)
