"""Captures and long videos through `jobs.encode`: a uri travels, the encoder's actor reads."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.encode.graph import is_streamed, plan_run, run_encode
from pipelines.encode.inputs import ListedVideo
from pipelines.encode.plan import Work
from pipelines.encode.stages import AttemptLedger, EncodeStage, decode_videos
from pipelines.encode.streams import StreamStage
from pipelines.stored import rows
from pipelines.stored.store import ResultStore
from spatialcode.api import VideoEncoder, encode
from spatialcode.encoder.protocol import ClipInput
from spatialcode.encoder.registry import make_encoder
from spatialcode.recordings.places import CapturePlace
from spatialcode.recordings.registry import READERS, captures_in
from spatialcode.scene.schema import SpatialCode
from spatialcode.scene.table import from_row, to_row, to_table
from spatialcode.synthetic.videos import write_clip
from spatialcode.video.decode import hash_file
from spatialcode.video.sampling import Sampling, shown_frames
from tests.pipelines.conftest import MakeConfig
from tests.pipelines.encode.window_encoders import Echo
from tests.pipelines.results import result_rows
from tests.recordings import test_archives as archives
from tests.recordings import test_readers as readers
from tests.recordings.rooms import NUM_FRAMES, poses_in, room, write_png
from tests.video.builders import VideoRecipe, make_video, plant_garbage

ENCODERS = "tests.pipelines.encode.window_encoders"
ECHO = f"{ENCODERS}:Echo"


def codes(folder: Path) -> None:
    (folder / "videos").mkdir()
    code = write_clip(room(), folder / "videos" / "room.mp4")
    pq.write_table(to_table([replace(code, video=replace(code.video, uri="videos/room.mp4"))]),
                   folder / "codes.parquet")  # fmt: skip


def truth_json(folder: Path) -> None:
    frames = []
    for n, T in enumerate(poses_in(np.eye(4))):
        write_png(folder / f"{n}.png", room().rgb[n])
        frames.append({"file": f"{n}.png", "t_ns": n * 10**8, "T_world_camera": T.tolist()})
    document = {"K": np.asarray(room().K).tolist(), "gravity": [0, 0, -9.8], "frames": frames}
    (folder / "truth.json").write_text(json.dumps(document))


MAKERS: dict[str, Callable[[Path], Any]] = {
    "arkitscenes": readers.arkitscenes,
    "ca-1m": archives.ca1m,
    "codes": codes,
    "hypersim": archives.hypersim,
    "nerfstudio": readers.nerfstudio,
    "posed-images": readers.posed_images,
    "record3d": archives.record3d,
    "scannet": archives.scannet,
    "scannetpp": archives.scannetpp,
    "sidecar": readers.sidecar,
    "sun-rgbd": archives.sun_rgbd,
    "truth-json": truth_json,
    "7-scenes": readers.seven_scenes,
    "tum": readers.tum,
}
#: These put a folder of the data set's own name into the one that they are given.
INNER = {"7-scenes": "chess", "tum": "rgbd_dataset_freiburg3_room"}


def place_of(scans: Path, name: str) -> Path:
    """Where the captures of a data set lie."""
    return scans.parent / name if name == "codes" else scans / INNER.get(name, name)


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """A folder for each data set, in its own file format; one of codes claims what it lies in."""
    root = tmp_path / "scans"
    for name, make in MAKERS.items():
        folder = root if name in INNER else place_of(root, name)
        folder.mkdir(parents=True, exist_ok=True)
        make(folder)
    return root


def expected_clips(folder: Path, num_frames: int) -> list[ClipInput]:
    """Each capture's frames that are looked at, with what was recorded of them."""
    found = []
    for listed in captures_in(folder):
        recording = READERS[listed.reader].read(listed.place)
        times_s = np.asarray(recording.video.sampled_s)
        chosen = shown_frames(Sampling(num_frames=num_frames).plan(), times_s - times_s[0])
        found.append(recording.clip(chosen.tolist(), side_px=80))
    return found


def stored_poses(code: SpatialCode) -> np.ndarray:
    """Poses of a code's cameras, which files keep in single precision."""
    return np.stack([camera.matrix() for camera in code.cameras]).astype(np.float32)


@pytest.mark.usefixtures("ray_session")
def test_captures_of_every_reader_are_encoded_with_what_was_recorded(
    scans: Path, tmp_path: Path, make_config: MakeConfig
) -> None:
    assert set(MAKERS) <= set(READERS)
    shutil.copytree(scans / "posed-images", scans / "damaged")
    (scans / "damaged" / "K.txt").write_text("1 2 3")
    (scans / "notes").mkdir()
    inputs = (scans, place_of(scans, "codes"))
    config = make_config(*inputs, encoder__name=ECHO, reader="auto")
    report = run_encode(config)
    assert report["failed_by_code"] == {"format": 1, "input": 1}, report
    messages = {Path(failed["uri"]).name: failed["error"] for failed in report["failures"]}
    assert "K.txt: expected (3, 3) finite numbers" in messages["damaged"]
    assert "no reader recognises it" in messages["notes"]

    stored = result_rows(str(tmp_path / "out"))
    assert report["done"] == len(stored) >= len(MAKERS)
    for name in MAKERS:
        folder = place_of(scans, name)
        own = [row for row in stored if row["uri"].startswith(f"{folder}/") or
               row["uri"].partition("#")[0] == str(folder)]  # fmt: skip
        expected = expected_clips(folder, num_frames=4)
        assert len(own) == len(expected) >= 1, name
        for row, clip in zip(own, expected, strict=True):
            code = from_row(row["code"])
            assert code.video.uri == row["uri"]
            assert code.provenance.work_key == row["work_key"] != ""
            assert [camera.t_s for camera in code.cameras] == list(clip.times_s), name
            known = clip.geometry
            assert np.array_equal(stored_poses(code), np.float32(known.T_world_camera)), name
            depths_m = () if known.depth_m is None else known.depth_m
            assert code.warnings == tuple(f"{np.nanmean(d):.6f}" for d in depths_m), name
            assert row["num_frames"] == clip.num_frames

    # A second run computes what changed alone, and what may have been the machine's fault.
    shutil.copy(scans / "posed-images" / "K.txt", scans / "damaged" / "K.txt")
    again = run_encode(config)
    assert (again["done"] + again["copied"], again["skipped"]) == (1, report["done"])
    assert again["failed_by_code"] == {"input": 1}


@pytest.fixture
def ledger(ray_session: Any) -> Iterator[Any]:
    actor = ray_session.remote(num_cpus=0)(AttemptLedger).remote()
    yield actor
    ray_session.kill(actor)


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    recipe = VideoRecipe(num_frames=120, width_px=64, height_px=48, fps=30.0)
    return make_video(tmp_path_factory.mktemp("long") / "long.mp4", recipe)


def planned(config: Any) -> pa.Table:
    plan = plan_run(config, ResultStore(config.output), config.encoder.make())
    return rows.table([work.row() for work in plan.compute], rows.PLANNED)


def streamed(config: Any, ledger: Any) -> list[dict[str, Any]]:
    table = StreamStage(config, ledger, config.encoder.make())(planned(config))
    assert table.schema == rows.RESULT
    return table.to_pylist()


def test_both_ways_give_the_same_code(long: Path, make_config: MakeConfig, ledger: Any) -> None:
    config = make_config(long, encoder__name=ECHO, sampling__num_frames=61)
    (whole,) = streamed(config, ledger)
    decoded = pa.concat_tables(decode_videos(planned(config), config, ledger))
    (travelled,) = EncodeStage(config, ledger, config.encoder.make())(decoded).to_pylist()
    assert whole["status"] == travelled["status"] == rows.OK, whole["error"]
    assert whole["num_frames"] == travelled["num_frames"] == 61
    assert whole["warnings"] == travelled["warnings"]
    ours, theirs = from_row(whole["code"]), from_row(travelled["code"])
    assert ours.video == theirs.video
    assert len(ours.video.sampled_s) == 61
    assert ours.provenance.work_key == theirs.provenance.work_key
    assert hash_of_pixels(ours) == hash_of_pixels(theirs)


def test_windows_of_a_long_clip_do_not_gather(
    long: Path, make_config: MakeConfig, ledger: Any
) -> None:
    config = make_config(long, encoder__name=ECHO, sampling__rate_hz=30.0)
    (row,) = streamed(config, ledger)
    assert row["num_frames"] == 120
    alive, _ = from_row(row["code"]).provenance.software.split(" ", 1)
    assert int(alive) <= 2, "of 24 windows"


def test_a_decoder_killed_in_the_third_window_fails_as_data_and_the_next_clip_is_encoded(
    long: Path, tmp_path: Path, make_config: MakeConfig, ledger: Any
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    shutil.copy(long, folder / "a_killed.mp4")
    other = VideoRecipe(num_frames=70, width_px=64, height_px=48)
    make_video(folder / "b.mp4", other)
    damaged = make_video(tmp_path / "c.mp4", replace(other, num_frames=90, faststart=True))
    plant_garbage(damaged, folder / "c.mp4")
    name = f"{ENCODERS}:Killing"
    config = make_config(folder, encoder__name=name, sampling__num_frames=120)
    killed, sound, corrupt = streamed(config, ledger)
    assert (killed["error_code"], killed["stage"]) == ("decode_memory", "decode")
    assert killed["attempts"] == 2
    assert (sound["status"], sound["num_frames"]) == (rows.OK, 70)
    assert (corrupt["error_code"], corrupt["stage"]) == ("video_corrupt", "decode")
    assert corrupt["attempts"] == 1


def test_a_clip_whose_worker_died_each_time_is_given_up(
    long: Path, make_config: MakeConfig, ledger: Any, ray_session: Any
) -> None:
    config = make_config(long, encoder__name=ECHO, sampling__num_frames=90)
    for _ in range(2):
        ray_session.get(ledger.begin.remote("encode", [str(long)]))
    (row,) = streamed(config, ledger)
    assert (row["error_code"], row["stage"], row["attempts"]) == ("worker_lost", "encode", 2)
    assert ray_session.get(ledger.counts.remote("encode", [str(long)])) == [0]


def test_an_encoder_that_refuses_a_window_fails_its_row(
    long: Path, make_config: MakeConfig, ledger: Any
) -> None:
    config = make_config(long, encoder__name=f"{ENCODERS}:Refusing", sampling__num_frames=90)
    (row,) = streamed(config, ledger)
    assert (row["error_code"], row["stage"]) == ("encode", "encode")
    assert row["error"] == "nothing to be seen"


def test_a_sidecar_beside_a_video_is_read_with_it_unless_told_not_to(
    tmp_path: Path, make_config: MakeConfig, ledger: Any
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    readers.sidecar(folder)
    video = folder / "walk.mp4"
    config = make_config(folder, encoder__name=ECHO, sampling__num_frames=NUM_FRAMES)
    (row,) = streamed(config, ledger)
    code = from_row(row["code"])
    assert code.video.uri == row["uri"] == str(video)
    assert code.video.sha256 == hash_file(video)
    [clip] = expected_clips(folder, NUM_FRAMES)
    assert [camera.t_s for camera in code.cameras] == list(clip.times_s)
    assert np.array_equal(stored_poses(code), np.float32(clip.geometry.T_world_camera))

    without = make_config(folder, encoder__name=ECHO, sidecars="false")
    (plain,) = planned(without).to_pylist()
    assert (plain["reader"], plain["content_id"]) == ("", hash_file(video))
    sidecar = folder / "walk.geometry.json"
    document = json.loads(sidecar.read_text())
    document["frames"][0].pop("t_s")
    sidecar.write_text(json.dumps(document))
    (failed,) = streamed(config, ledger)
    assert (failed["error_code"], failed["stage"]) == ("format", "read")
    assert len({row["work_key"], failed["work_key"], plain["work_key"]}) == 3


def test_the_librarys_single_call_gives_the_same_code(
    long: Path, tmp_path: Path, make_config: MakeConfig, ledger: Any
) -> None:
    folders = {name: tmp_path / name for name in ("posed-images", "sidecar")}
    for name, folder in folders.items():
        folder.mkdir()
        MAKERS[name](folder)
    beside = folders["sidecar"] / "walk.mp4"
    echo = VideoEncoder(make_encoder(ECHO))
    for path, reader in ((folders["posed-images"], "auto"), (beside, None), (long, None)):
        config = make_config(path, encoder__name=ECHO, reader=reader, sampling__num_frames=100)
        (row,) = streamed(config, ledger)
        assert row["status"] == rows.OK, row["error"]
        for sandbox in (True, False):
            code = encode(
                path, encoder=echo, sampling=config.sampling, reader=reader, sandbox=sandbox
            )
            code, theirs = as_stored(code), from_row(row["code"])
            assert code.video == theirs.video
            assert (code.cameras, code.warnings) == (theirs.cameras, theirs.warnings)
            assert code.provenance.work_key == theirs.provenance.work_key != ""
            assert hash_of_pixels(code) == hash_of_pixels(theirs)


def as_stored(code: SpatialCode) -> SpatialCode:
    """A code as files keep it, in single precision."""
    return from_row(to_row(code))


def hash_of_pixels(code: SpatialCode) -> str:
    """Of all fresh pixels and times; how many windows lived at once stands beside it."""
    return code.provenance.software.split()[-1]


def test_a_captures_video_that_crashes_its_decoder_fails_as_data(
    tmp_path: Path, make_config: MakeConfig, ledger: Any
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    readers.sidecar(folder)
    with (folder / "walk.mp4").open("ab") as file:
        file.write(b"\0\0\0\x10free__crash__")  # for the decoding child of the tests
    (row,) = streamed(make_config(folder, encoder__name=ECHO, decode__timeout_s=4.0), ledger)
    assert (row["error_code"], row["stage"]) == ("decode_crash", "decode")
    assert row["attempts"] == 2


def test_a_sidecar_of_another_video_is_left_to_that(
    tmp_path: Path, make_config: MakeConfig, long: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    readers.sidecar(folder)
    shutil.copy(long, folder / "walk.mov")
    config = make_config(folder, encoder__name=ECHO)
    found = {Path(row["uri"]).name: row["reader"] for row in planned(config).to_pylist()}
    assert found == {"walk.mov": "", "walk.mp4": "sidecar"}


def test_what_travels_as_rows() -> None:
    video = Work(ListedVideo("a", "a.mp4", "hash"), "key")
    capture = Work(ListedVideo("a", "a", "hash", reader="tum", place=CapturePlace(Path("a"))), "k")
    assert not is_streamed(video, Sampling(num_frames=64))
    assert is_streamed(video, Sampling(num_frames=65))
    assert is_streamed(video, Sampling(num_frames=64, rate_hz=1.0))
    assert is_streamed(capture, Sampling(num_frames=1))
    assert Echo.frames.window is not None


def test_content_is_known_by_names_sizes_and_times(tmp_path: Path) -> None:
    place = CapturePlace(tmp_path / "a")
    (tmp_path / "a" / "deep").mkdir(parents=True)
    file = tmp_path / "a" / "deep" / "b.png"
    file.write_bytes(b"one")
    os.utime(file, ns=(0, 10**9))
    first = place.content_id()
    shutil.copytree(tmp_path / "a", tmp_path / "moved")
    assert CapturePlace(tmp_path / "moved").content_id() == first
    assert CapturePlace(tmp_path / "a", part="1").content_id() != first
    os.utime(file, ns=(0, 2 * 10**9))
    later = place.content_id()
    file.write_bytes(b"longer")
    os.utime(file, ns=(0, 2 * 10**9))
    longer = place.content_id()
    file.rename(file.with_name("c.png"))
    assert len({first, later, longer, place.content_id()}) == 4
    missing = CapturePlace(tmp_path / "a", sources=(tmp_path / "a" / "gone",))
    assert len(missing.content_id()) == 64


def test_reading_one_entry_twice_gives_the_same(tmp_path: Path) -> None:
    archives.sun_rgbd(tmp_path)
    place = next(iter(READERS["sun-rgbd"].places(tmp_path)))
    first, second = (READERS["sun-rgbd"].read(place) for _ in range(2))
    assert np.array_equal(first.cameras.K, second.cameras.K)
