"""An encoder of one's own, defined here alone, at work wherever encoders are."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jobs.encode import main as encode_main
from jobs.evaluate import main as evaluate_main
from pipelines.encode import graph
from pipelines.evaluate.config import EvaluateConfig
from pipelines.evaluate.rooms import RoomMaker
from serve.book.database import JobBook, JobStatus
from serve.book.encoding import EncodingWorker
from serve.book.file_store import FileStore
from spatialcode import api
from spatialcode.config import load_config, setting
from spatialcode.encoder.protocol import (
    ClipHeader,
    ClipInput,
    FrameRequest,
    OnShare,
    Window,
)
from spatialcode.encoder.registry import ENCODERS, make_encoder, register
from spatialcode.errors import ConfigError, EncodeError, WeightsError
from spatialcode.scene.schema import Camera, Provenance, Scale, SceneObject, SpatialCode
from spatialcode.scene.table import from_row
from spatialcode.seeds import HELD_OUT_ROOMS
from spatialcode.video.decode import hash_file
from spatialcode.video.sampling import Sampling
from spatialcode.workkey import EncoderIdentity, config_sha256, work_key
from tests.pipelines.results import result_rows
from tests.serve.local_service import make_config
from tests.video.builders import VideoRecipe, make_video


@dataclass(frozen=True)
class ToySettings:
    height_m: float = setting("height of every chair", 1.0)


class ToyEncoder:
    """Sees one chair in every video, a metre ahead of the first camera, whatever is shown."""

    settings = ToySettings

    def __init__(self, name: str, settings: ToySettings) -> None:
        self.own = settings
        self.identity = EncoderIdentity("toy", "0" * 64, config_sha256(asdict(settings)))
        self.frames = FrameRequest(count=5, side_px=64, window=2, overlap=1)

    def load(self, device: str) -> LoadedToy:
        return LoadedToy(self)


class LoadedToy:
    def __init__(self, toy: ToyEncoder) -> None:
        self.toy = toy

    def session(self, clip: ClipHeader) -> ToySession:
        return ToySession(self.toy, clip)

    def encode_batch(
        self, clips: Sequence[ClipInput], on_share: OnShare | None = None
    ) -> list[SpatialCode | EncodeError]:
        codes: list[SpatialCode | EncodeError] = []
        for n, clip in enumerate(clips):
            session = self.session(clip.header)
            for window in clip.windows(self.toy.frames):
                session.push(window)
            codes.append(session.finish())
            if on_share is not None:
                on_share((n + 1) / len(clips))
        return codes


class ToySession:
    """Keeps times and poses, and no frames."""

    def __init__(self, toy: ToyEncoder, header: ClipHeader) -> None:
        self.toy, self.header = toy, header
        self.times_s: list[float] = []
        self.poses: list[np.ndarray] = []

    def push(self, window: Window) -> None:
        fresh = window.fresh()
        assert len(window.rgb) <= 2
        self.times_s += fresh.times_s.tolist()
        given = fresh.geometry.T_world_camera
        still = np.tile([[1.0, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 1.5], [0, 0, 0, 1]], (9, 1, 1))
        self.poses += list(still[: len(fresh.rgb)] if given is None else given)

    def finish(self) -> SpatialCode:
        height_m = self.toy.own.height_m
        video = replace(self.header.video, sampled_s=tuple(self.times_s))
        chair = SceneObject(
            id="chair_1", label="chair", score=1.0, center_m=(0.0, 1.0, height_m / 2),
            size_m=(0.5, 0.5, height_m), quaternion_wxyz=(1.0, 0.0, 0.0, 0.0),
            first_seen_s=0.0, last_seen_s=self.times_s[-1], num_observations=len(self.times_s),
            visibility=1.0, motion="static",
        )  # fmt: skip
        cameras = tuple(
            Camera(t, tuple(map(tuple, pose.tolist())), 100.0, 100.0, 80.0, 60.0)
            for t, pose in zip(self.times_s, self.poses, strict=True)
        )
        who = self.toy.identity
        return SpatialCode(
            video=video, objects=(chair,), cameras=cameras, room=None, scale=Scale("given", 1.0),
            provenance=Provenance(
                who.name, who.weights_sha256, who.config_sha256, "toy", self.header.work_key
            ),
        )  # fmt: skip


@pytest.fixture
def toy() -> Iterator[None]:
    register("toy", ToyEncoder)
    yield
    del ENCODERS["toy"]


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    recipe = VideoRecipe(num_frames=12, fps=4.0)
    return make_video(tmp_path_factory.mktemp("toy") / "clip.mp4", recipe)


def key_of(video: Path, sampling: Sampling, height_m: float) -> str:
    config = config_sha256({"height_m": height_m})
    identity = EncoderIdentity("toy", "0" * 64, config).looking_at(asdict(sampling))
    return work_key(hash_file(video), identity)


def test_in_the_encode_job(toy: None, ray_session: Any, video: Path, tmp_path: Path) -> None:
    arguments = [f"input={video}", f"output={tmp_path / 'out'}", f"cache_dir={tmp_path / 'cache'}"]
    chosen = ["encoder=toy", "encoder.settings.height_m=2.0", "sampling.num_frames=4"]
    assert encode_main([*arguments, *chosen]) == 0
    (row,) = result_rows(str(tmp_path / "out"))
    code = from_row(row["code"])
    assert row["work_key"] == key_of(video, Sampling(4, None, 64), 2.0)
    assert code.provenance.work_key == row["work_key"]
    assert code.objects[0].size_m[2] == 2.0
    assert len(code.cameras) == 4


def test_the_encode_job_looks_at_what_it_asks_for(
    toy: None, video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without Ray: what the stages are given."""
    given: list[Any] = []
    monkeypatch.setattr(graph, "_compute", lambda *arguments: given.append(arguments) or [])
    arguments = [f"input={video}", f"output={tmp_path / 'out'}", f"cache_dir={tmp_path / 'cache'}"]
    encode_main([*arguments, "encoder=toy", "encoder.settings.height_m=2.0"])
    ((works, _, config, _, _),) = given
    assert config.sampling == Sampling(5, None, 64)
    assert [work.key for work in works] == [key_of(video, config.sampling, 2.0)]


def test_what_is_set_and_what_an_encoder_asks_for() -> None:
    by_rate = FrameRequest(count=7, rate_hz=2.0, side_px=96)
    assert api.effective_sampling(Sampling(), by_rate) == Sampling(7, 2.0, 96)
    assert api.effective_sampling(Sampling(3), by_rate) == Sampling(3, None, 96)
    assert api.effective_sampling(Sampling(3, 1.0, 32), by_rate) == Sampling(3, 1.0, 32)
    assert api.effective_sampling(Sampling(rate_hz=1.0), FrameRequest()) == Sampling(32, 1.0, 640)
    with pytest.raises(ValueError, match="has not been asked"):
        Sampling().plan()


def test_the_evaluation_renders_what_it_asks_for(toy: None, tmp_path: Path) -> None:
    arguments = [f"report={tmp_path}", "encoder=toy", "num_rooms=1", "num_workers=0"]
    assert evaluate_main([*arguments, "benchmark=encoder"]) == 0
    assert json.loads((tmp_path / "report.json").read_text())["num_frames"] == 5
    config = load_config(EvaluateConfig, None, [*arguments, "benchmark=rooms"])
    (seed,) = HELD_OUT_ROOMS[:1]
    made = pickle.loads(RoomMaker(config, config.encoder.make())({"seed": seed})["room"])
    assert len(made.codes["given_poses"].cameras) == 5


@pytest.mark.parametrize("num_workers", [0, 1])
def test_in_the_evaluation(toy: None, ray_session: Any, tmp_path: Path, num_workers: int) -> None:
    rooms = ["benchmark=encoder", "num_rooms=1", "num_frames=3", f"num_workers={num_workers}"]
    assert evaluate_main([f"report={tmp_path}", "encoder=toy", *rooms]) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["num_evaluated"], report["num_failed"]) == (1, 0)
    assert report["config"]["encoder"]["name"] == "toy"
    counts = report["given_poses"]["counts"]["0.10"]
    assert counts["true"] + counts["false"] == 1  # its one chair, right or wrong
    assert report["given_poses"]["pose"]["world_m"]["mean"] == pytest.approx(0.0, abs=1e-5)
    assert report["predicted_poses"]["pose"]["world_m"]["mean"] > 0.01
    assert report["ladder"] == {}  # it shows no stages


def test_its_settings_reach_the_evaluation(toy: None, tmp_path: Path) -> None:
    rooms = ["benchmark=encoder", "num_rooms=1", "num_frames=3", "num_workers=0"]
    misspelt = ["encoder=toy", "encoder.settings.heigth_m=2"]
    assert evaluate_main([f"report={tmp_path}", *misspelt, *rooms]) != 0
    assert not (tmp_path / "report.json").exists()


@pytest.mark.parametrize(("given", "num_frames"), [("6", 6), ("null", 5)])
def test_in_the_services_worker(
    toy: None, video: Path, tmp_path: Path, given: str, num_frames: int
) -> None:
    settings = ["encoder.settings.height_m=1.5", f"sampling.num_frames={given}"]
    config = make_config(tmp_path, "encoder.name=toy", *settings)
    loaded = api.VideoEncoder(config.encoder.make(), config.encoder.torch_device)
    book, store = JobBook(config.store.job_database), FileStore(config.store.url)
    key = work_key(hash_file(video), loaded.identity(config.sampling))
    assert key == key_of(video, Sampling(num_frames, None, 64), 1.5)
    store.put_video(key, video)
    book.add(key, name="a.mp4", video_sha256=hash_file(video), num_bytes=1, owner="local")
    EncodingWorker("w", book, store, loaded, config).step()
    job, code = book.get(key), store.get_code(key)
    assert job is not None
    assert code is not None
    assert (job.status, job.frames_encoded) == (JobStatus.DONE, num_frames)
    assert code.objects[0].size_m[2] == 1.5
    assert code.provenance.work_key == key
    book.close()


def test_in_the_single_call_with_the_frames_that_it_asks_for(toy: None, video: Path) -> None:
    code = api.encode(video, encoder="toy")
    assert len(code.video.sampled_s) == 5
    assert code.provenance.work_key == key_of(video, Sampling(5, None, 64), 1.0)


def test_by_module_and_name(toy: None) -> None:
    by_class = make_encoder("tests.extension.test_encoder:ToyEncoder", {"height_m": 3})
    assert by_class.identity == make_encoder("toy", {"height_m": 3.0}).identity
    assert make_encoder("tests.extension.test_encoder:MADE") is MADE
    with pytest.raises(ConfigError, match="takes none"):
        make_encoder("tests.extension.test_encoder:MADE", {"height_m": 3})
    with pytest.raises(ConfigError, match="expected an encoder, got function"):
        make_encoder("tests.extension.test_encoder:key_of")


MADE = ToyEncoder("made", ToySettings(0.5))


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("toy", {"heigth_m": 2}, r"encoder\.settings: unknown key 'heigth_m'.*'height_m'"),
        ("toy", {"height_m": "tall"}, r"encoder\.settings: height_m"),
        ("small", {"chunksize": 2}, r"encoder\.settings: .*did you mean 'chunk_size'"),
        ("small", {"chunk_size": 0}, r"chunk_size: expected at least 1, got 0"),
        ("small", {"detection": {"max_iu": 1}}, r"did you mean 'detection\.max_iou'"),
    ],
)
def test_settings_that_do_not_fit_are_named(
    toy: None, name: str, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        make_encoder(name, settings)


def test_names_are_known_once(toy: None) -> None:
    with pytest.raises(ValueError, match="registered already"):
        register("toy", ToyEncoder)
    with pytest.raises(WeightsError, match=r"expected one of prompted, .*small, toy, unified, a"):
        make_encoder("large")
