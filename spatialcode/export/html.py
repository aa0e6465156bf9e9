"""One self-contained HTML page of a spatial code: the room in 3D, a time slider, a table.

Nothing is fetched: plotly is inlined, and a content policy tells the browser to load
nothing and to run no script but the page's two, whatever labels and file names hold.
The pictures' view of the room is as good as the code's camera path, and no better.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import math
from collections.abc import Sequence
from importlib import resources
from pathlib import Path, PurePosixPath
from string import Template
from typing import Any

import numpy as np

from spatialcode.export.palette import css_rgb, label_rgb
from spatialcode.export.plot import page_data
from spatialcode.export.stills import TimedFrame, jpeg, small
from spatialcode.scene.frames import yaw_from_quaternion
from spatialcode.scene.schema import SceneObject, SpatialCode


def render_html(code: SpatialCode, frames: Sequence[TimedFrame] = ()) -> str:
    """The page as text (about 5 MB, nearly all of it plotly).

    ``frames`` of the video are shown small beside the room, at the times they belong to.
    """
    from plotly.offline import get_plotlyjs

    data = page_data(code)
    data |= _inset(frames, data["steps"])
    script, plotly = _asset("page.js"), get_plotlyjs().replace("\r\n", "\n")
    count = len(code.objects)
    return Template(_asset("page.html")).substitute(
        policy=_policy(plotly, script),
        title=html.escape(_title(code)),
        style=_asset("page.css"),
        summary=html.escape(_summary(code)),
        count=f"{count} of {count} objects shown",
        last_step=len(data["steps"]) - 1,
        now=f"{data['steps'][-1]:.2f} s",
        rows="\n".join(_row(item) for item in code.objects) or _EMPTY_ROW,
        data=_script_json(data),
        plotly=plotly,
        script=script,
    )


def write_html(code: SpatialCode, path: str | Path, frames: Sequence[TimedFrame] = ()) -> Path:
    """Write the page of ``code`` to ``path`` (its folder is made) and return the path."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(render_html(code, frames), encoding="utf-8", newline="\n")
    return target


_EMPTY_ROW = '<tr><td colspan="7">No object was found in this video.</td></tr>'


def _asset(name: str) -> str:
    return (resources.files("spatialcode") / "assets" / "page" / name).read_text(encoding="utf-8")


def _title(code: SpatialCode) -> str:
    return PurePosixPath(code.video.uri.replace("\\", "/")).name or "Spatial code"


def _summary(code: SpatialCode) -> str:
    video = code.video
    parts = [
        f"{video.duration_s:.1f} s of {video.width_px} × {video.height_px} video",
        f"{len(code.cameras)} frames looked at",
        f"{len(code.objects)} objects",
    ]
    if code.room is not None:
        parts.append(f"room of {code.room.area_m2:.1f} m²")
    parts.append(f"scale from {code.scale.source}, confidence {code.scale.confidence:.2f}")
    parts.append(f"encoder {code.provenance.encoder}")
    return " · ".join(parts)


def _row(item: SceneObject) -> str:
    def numbers(values: Sequence[float]) -> str:
        return ", ".join(f"{value + 0.0:.2f}" for value in values)

    yaw_deg = math.degrees(float(yaw_from_quaternion(np.asarray(item.quaternion_wxyz))))
    swatch = f'<span class="swatch" style="background:{css_rgb(label_rgb(item.label))}"></span>'
    moving = " · moving" if item.motion == "moving" else ""
    cells = [
        f'<td>{swatch}<button type="button">{html.escape(item.id)}</button></td>',
        f"<td>{html.escape(item.label)}{moving}</td>",
        f'<td class="number">{item.score:.2f}</td>',
        f'<td class="number">{numbers(item.center_m)}</td>',
        f'<td class="number">{numbers(item.size_m)}</td>',
        f'<td class="number">{yaw_deg:.0f}</td>',
        f'<td class="number">{item.first_seen_s:.1f}–{item.last_seen_s:.1f}</td>',
    ]
    return "<tr>" + "".join(cells) + "</tr>"


def _inset(frames: Sequence[TimedFrame], steps: Sequence[float]) -> dict[str, Any]:
    """The frames as JPEG data addresses, and for each step the frame nearest in time."""
    if not frames:
        return {}
    times = np.array([t_s for t_s, _ in frames])
    nearest = np.abs(np.asarray(steps)[:, None] - times).argmin(axis=1)
    used = sorted(set(nearest.tolist()))
    return {
        "frames": [_data_address(jpeg(small(frames[i][1]))) for i in used],
        "frame_of_step": [used.index(i) for i in nearest.tolist()],
    }


def _data_address(jpeg_file: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(jpeg_file).decode("ascii")


def _script_json(data: dict[str, Any]) -> str:
    """JSON that cannot end the script element it sits in, nor start a comment there."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _policy(*scripts: str) -> str:
    """Content policy: run exactly these scripts, load nothing but inlined images."""
    digests = (hashlib.sha256(script.encode("utf-8")).digest() for script in scripts)
    hashes = " ".join(f"'sha256-{base64.b64encode(d).decode('ascii')}'" for d in digests)
    # plotly's WebGL code generates functions, hence unsafe-eval; it evaluates no page data.
    return (
        f"default-src 'none'; script-src {hashes} 'unsafe-eval'; "
        "style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
