"""Video to spatial code: labelled, oriented, tracked 3D boxes, camera path, room."""

from __future__ import annotations
