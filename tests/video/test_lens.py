"""What files say of their lens, in files written here."""

from __future__ import annotations

import io
import json
import math
import struct
from dataclasses import asdict
from fractions import Fraction

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spatialcode.errors import SchemaError
from spatialcode.scene.lens import Lens
from spatialcode.video.atoms import MovMetadata, mov_metadata
from spatialcode.video.decode import decode, probe
from spatialcode.video.exif import focal_35mm_of_jpeg
from spatialcode.video.lens import FileMetadata, lens_of
from spatialcode.video.sampling import ByCount
from spatialcode.video.sandbox import SandboxedDecoder
from spatialcode.video.source import VideoProbe
from tests.video.builders import VideoRecipe, is_upright, make_video

KEY = "com.apple.quicktime.camera.focal_length.35mm_equivalent"
#: A 26 mm lens on a 4:3 sensor, a tenth cut off for steadiness: 26 / (0.8 * 43.2666) * 1.1.
PHONE_26 = 0.82629
WIDE = (1920, 1080)


def box(kind, *parts):
    content = b"".join(parts)
    return struct.pack(">I", 8 + len(content)) + kind + content


def boxes(data):
    at, found = 0, []
    while at < len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        found.append((data[at + 4 : at + 8], data[at + 8 : at + length]))
        at += length
    return found


def meta(values, iso=False):
    """A metadata box of QuickTime keys, a value being text or (type, bytes)."""
    names = [box(b"mdta", name.encode()) for name in values]
    items = []
    for number, value in enumerate(values.values(), start=1):
        kind, raw = (1, value.encode()) if isinstance(value, str) else value
        data = box(b"data", struct.pack(">II", kind, 0), raw)
        items.append(box(struct.pack(">I", number), data))
    handler = box(b"hdlr", bytes(8), b"mdta", bytes(13))
    keys = box(b"keys", struct.pack(">II", 0, len(names)), *names)
    return box(b"meta", bytes(4) if iso else b"", handler, keys, box(b"ilst", *items))


def with_metadata(path, in_moov=b"", in_track=b""):
    """The file with boxes added to its movie box, which is its last, and to its picture track."""
    top = boxes(path.read_bytes())
    kind, moov = top[-1]
    assert kind == b"moov"
    inner = []
    for name, content in boxes(moov):
        extra = in_track if name == b"trak" and b"vide" in content else b""
        inner.append(box(name, content, extra))
    path.write_bytes(b"".join(box(*one) for one in top[:-1]) + box(b"moov", *inner, in_moov))
    return path


@pytest.fixture
def movie(tmp_path):
    return make_video(tmp_path / "a.mov", VideoRecipe(num_frames=3, width_px=320, height_px=180))


@pytest.mark.parametrize("iso", [False, True])
@pytest.mark.parametrize("where", ["in_moov", "in_track"])
@pytest.mark.parametrize(
    "value",
    [
        "26",
        (22, b"\0\x1a"),
        (21, b"\x1a"),
        (67, struct.pack(">i", 26)),
        (23, struct.pack(">f", 26)),
    ],
)
def test_quicktime_says_the_equivalent_of_film_or_track_in_any_type(movie, where, value, iso):
    with_metadata(movie, **{where: meta({"com.apple.quicktime.make": "Apple", KEY: value}, iso)})
    facts = probe(movie)
    assert facts.lens.source == "quicktime"
    assert facts.lens.focal_widths == pytest.approx(PHONE_26, rel=1e-4)
    assert facts.lens.log_sigma == pytest.approx(0.08)


def test_the_picture_tracks_own_lens_goes_before_the_files(movie):
    with_metadata(movie, meta({KEY: "26"}), meta({KEY: "52"}))
    assert probe(movie).lens.focal_widths == pytest.approx(2 * PHONE_26, rel=1e-4)


def test_what_a_sound_track_says_is_no_lens(movie):
    with_metadata(movie)
    top = boxes(movie.read_bytes())
    handler = box(b"mdia", box(b"hdlr", bytes(8), b"soun", bytes(13)))
    sound = box(b"trak", handler, meta({KEY: "26"}))
    found = mov_metadata(io.BytesIO(box(b"moov", top[-1][1], sound)))
    assert KEY not in found.keys


@pytest.mark.parametrize("value", ["-13", "0", "nan", "inf", "9000", "wide", "", (1, b"\xff\xfe")])
def test_what_is_no_focal_length_is_no_lens(movie, value):
    assert probe(with_metadata(movie, meta({KEY: value}))).lens is None


def test_a_lens_reaches_whoever_decodes_or_asks_a_child(movie):
    with_metadata(movie, meta({KEY: "26"}))
    assert decode(movie, ByCount(1)).probe.lens.focal_widths == pytest.approx(PHONE_26, rel=1e-4)
    with SandboxedDecoder() as decoder:
        assert decoder.probe(movie).lens == probe(movie).lens
        assert decoder.decode(movie, ByCount(1)).probe.lens == probe(movie).lens


@pytest.mark.parametrize("rotation_deg", [90, 270])
def test_a_phone_held_upright_has_the_same_pixels_a_smaller_width(tmp_path, rotation_deg):
    recipe = VideoRecipe(num_frames=2, width_px=180, height_px=320, rotation_deg=rotation_deg)
    movie = with_metadata(make_video(tmp_path / "a.mov", recipe), meta({KEY: "26"}))
    facts = probe(movie)
    assert (facts.width_px, facts.height_px) == (180, 320)
    assert facts.lens.focal_widths * 180 == pytest.approx(PHONE_26 * 320, rel=1e-4)


def test_pixels_are_made_square_before_the_width_is_taken(tmp_path):
    path = tmp_path / "a.mov"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 240, 180, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)  # shown 320 wide
        for _ in range(2):
            frame = av.VideoFrame.from_ndarray(np.zeros((180, 240, 3), np.uint8), "rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    facts = probe(with_metadata(path, meta({KEY: "26"})))
    assert (facts.width_px, facts.height_px) == (320, 180)
    assert facts.lens.focal_widths == pytest.approx(PHONE_26, rel=1e-4)


def test_what_the_stream_crops_is_not_counted(tmp_path):
    # 90 lines are coded as 96: the lens is that of the 90 that are shown
    recipe = VideoRecipe(num_frames=2, width_px=160, height_px=90)
    movie = make_video(tmp_path / "a.mov", recipe)
    xmp = b'<x exif:FocalLengthIn35mmFilm="43.2666"/>'
    facts = probe(with_metadata(movie, box(b"udta", box(b"XMP_", xmp))))
    # at 43.27 mm the focal length is the diagonal, of 160 by 90 pixels
    assert facts.lens.focal_widths * 160 == pytest.approx(math.hypot(160, 90), rel=1e-4)


@pytest.mark.parametrize(
    "text",
    [
        '<rdf:Description exif:FocalLengthIn35mmFilm="28"/>',
        "<exif:FocalLengthIn35mmFilm>28</exif:FocalLengthIn35mmFilm>",
        "<d exif:FocalLengthIn35mmFilm = '28'>",
    ],
)
@pytest.mark.parametrize("place", ["uuid", "udta"])
def test_xmp_tells_the_lens_by_the_diagonal(movie, text, place):
    if place == "udta":
        with_metadata(movie, box(b"udta", box(b"XMP_", text.encode())))
    else:
        uuid = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
        movie.write_bytes(movie.read_bytes() + box(b"uuid", uuid, text.encode()))
    lens = probe(movie).lens
    assert lens.source == "xmp"
    assert lens.focal_widths == pytest.approx(28 / 43.2666 * math.hypot(16, 9) / 16, rel=1e-4)


def test_a_panorama_has_no_pinhole_lens():
    xmp = '<GSpherical:Spherical>true</GSpherical:Spherical> exif:FocalLengthIn35mmFilm="28"'
    assert lens_of(FileMetadata({KEY: "26"}, xmp), WIDE) is None


def test_a_matroska_file_made_of_a_phones_keeps_its_key_as_a_tag(tmp_path):
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        container.metadata[KEY.upper()] = "26"
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.zeros((180, 320, 3), np.uint8), "rgb24")
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    lens = probe(path).lens
    assert lens.source == "quicktime"
    assert lens.focal_widths == pytest.approx(PHONE_26, rel=1e-4)


@pytest.mark.parametrize("model", ["iPhone 6s", "IPHONE 6S", "iPhone  6s"])
def test_a_known_phone_tells_its_lens_less_surely(movie, model):
    with_metadata(movie, meta({"com.apple.quicktime.model": model}))
    lens = probe(movie).lens
    assert lens.source == "phone"
    # 57.70 degrees over the whole width: 0.5 / tan(28.85°) = 0.90763, and a tenth for steadiness
    assert lens.focal_widths == pytest.approx(0.90763 * 1.1, rel=1e-3)
    assert lens.log_sigma == pytest.approx(0.12)
    assert probe(with_metadata(movie, meta({"com.apple.quicktime.model": "X"}))).lens is None


def exif(focal, order="<", kind=3):
    """The TIFF structure of a picture whose Exif directory has the field after another."""
    magic = b"II*\0" if order == "<" else b"MM\0*"
    value = struct.pack(f"{order}{'H' if kind == 3 else 'I'}", focal).ljust(4, b"\0")
    pointer = struct.pack(f"{order}HHII", 0x8769, 4, 1, 26)
    first = struct.pack(f"{order}IH", 8, 1) + pointer + bytes(4)
    other = struct.pack(f"{order}HHI", 0xA002, 4, 1) + bytes(4)
    field = struct.pack(f"{order}HHI", 0xA405, kind, 1) + value
    return magic + first + struct.pack(f"{order}H", 2) + other + field + bytes(4)


def jpeg(tiff):
    comment = b"\xff\xfe\x00\x04ab"
    app1 = b"Exif\0\0" + tiff
    head = b"\xff\xe1" + struct.pack(">H", 2 + len(app1)) + app1
    return b"\xff\xd8" + comment + head + b"\xff\xda\x00\x02"


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", [3, 4])
def test_exif_in_both_byte_orders(order, kind):
    assert focal_35mm_of_jpeg(jpeg(exif(28, order, kind))) == 28.0
    assert focal_35mm_of_jpeg(jpeg(exif(0, order, kind))) is None  # unknown, by the standard


@given(st.binary(max_size=80), st.integers(0, 70))
def test_damaged_exif_says_nothing_and_breaks_nothing(noise, cut):
    assert focal_35mm_of_jpeg(noise) is None
    whole = jpeg(exif(28))
    assert focal_35mm_of_jpeg(whole[:cut]) in (None, 28.0)
    focal_35mm_of_jpeg(jpeg(noise))
    focal_35mm_of_jpeg(whole[:20] + noise + whole[20:])


@given(st.binary(max_size=120), st.integers(0, 300))
def test_damaged_boxes_say_nothing_and_break_nothing(noise, cut):
    assert mov_metadata(io.BytesIO(noise)) == MovMetadata()
    whole = box(b"moov", meta({KEY: "26"}), box(b"udta", box(b"XMP_", b"x")))
    told = mov_metadata(io.BytesIO(whole))
    assert told != MovMetadata()
    assert mov_metadata(io.BytesIO(whole + noise)) == told  # what follows changes nothing
    mov_metadata(io.BytesIO(whole[:cut] + noise))
    mov_metadata(io.BytesIO(box(b"moov", box(b"trak", noise), box(b"meta", noise))))


def motion_jpeg_with_exif(folder, tiff):
    """A camera's file: Exif in each of its pictures."""
    plain = make_video(folder / "plain.avi", VideoRecipe(num_frames=2, codec="mjpeg"))
    path = folder / "camera.avi"
    app1 = b"Exif\0\0" + tiff
    head = b"\xff\xe1" + struct.pack(">H", 2 + len(app1)) + app1
    with av.open(str(plain)) as source, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                data = bytes(packet)
                made = av.Packet(data[:2] + head + data[2:])
                made.stream, made.time_base = stream, packet.time_base
                made.pts, made.dts = packet.pts, packet.dts
                made.is_keyframe = True
                target.mux(made)
    return path


def test_exif_of_motion_jpeg_pictures_is_read(tmp_path):
    facts = probe(motion_jpeg_with_exif(tmp_path, exif(28)))
    assert facts.lens.source == "exif"
    assert facts.lens.focal_widths == pytest.approx(28 / 43.2666 * 1.25, rel=1e-4)  # 4:3
    assert probe(tmp_path / "plain.avi").lens is None


def test_a_file_that_says_nothing_has_no_lens_and_facts_survive_json(movie):
    facts = probe(movie)
    assert facts.lens is None
    told = probe(with_metadata(movie, meta({KEY: "26"})))
    assert told.lens is not None
    for one in (facts, told):
        assert VideoProbe.of(json.loads(json.dumps(asdict(one)))) == one


@pytest.mark.parametrize(
    "values", [(0.0, "xmp", 0.1), (math.nan, "xmp", 0.1), (1.0, "guess", 0.1), (1.0, "xmp", 0.0)]
)
def test_a_lens_is_checked(values):
    with pytest.raises(SchemaError, match="Lens"):
        Lens(*values)


def test_a_lens_is_a_pinhole_matrix_of_square_pixels():
    K = Lens(0.8, "xmp", 0.1).intrinsics(200, 300)
    assert pytest.approx(np.array([[160.0, 0, 100], [0, 160, 150], [0, 0, 1]])) == K


def test_pictures_with_exif_are_decoded(tmp_path):
    # PyAV does not know FFmpeg's side data of Exif, and says so when it is asked for any other
    path = motion_jpeg_with_exif(tmp_path, exif(28))
    assert is_upright(decode(path, ByCount(1)).rgb[0])


def test_metadata_need_not_be_utf_8(movie):
    with_metadata(movie, meta({"com.apple.quicktime.make": (1, b"\xff\xfe\xfd")}))
    assert probe(movie).num_frames == 3
