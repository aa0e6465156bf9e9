"""Real furniture through the pipelines: rendered, stored, trained on, judged, and refused early."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipelines.evaluate.config import EvaluateConfig
from pipelines.evaluate.encoder import run_evaluate
from pipelines.stored.store import ResultStore
from pipelines.synthesize.config import SynthesizeConfig
from pipelines.synthesize.graph import ATTRIBUTION, render_shard, run_synthesize, work_key
from pipelines.train_encoder.config import Pictures, TrainEncoderConfig
from pipelines.train_encoder.launch import data_of, rendered_rows, train_in_process
from pipelines.train_encoder.run import frames_of_room, validation_batch
from spatialcode.errors import FurnitureError
from spatialcode.evaluation.room import RoomOptions
from spatialcode.scene.kinds import FURNITURE_KINDS
from spatialcode.seeds import HELD_OUT_ROOMS
from spatialcode.synthetic.catalogue.models import FOLDER_VARIABLE, catalogue, split_models
from spatialcode.synthetic.clips import ClipConfig, make_clip, make_training_frames
from spatialcode.synthetic.renderers import FURNITURE, PRIMITIVES, check_renderer, renderer_of
from spatialcode.synthetic.truth import CLUTTER
from spatialcode.synthetic.videos import VideoConfig, render_video
from tests.pipelines.synthesize.test_graph import read_png
from tests.synthetic.here import needs_furniture

SIZE = {"num_frames": 3, "width_px": 64, "height_px": 48}
FURNISHED = Pictures(num_a_room=3, furniture_share=1.0)


@pytest.fixture
def nothing_installed(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "nothing"))


def test_a_missing_package_is_refused_before_anything_starts(nothing_installed, tmp_path) -> None:
    output = tmp_path / "out"
    told = r"apt-get install .*sweethome3d-furniture"
    with pytest.raises(FurnitureError, match=told):
        run_synthesize(SynthesizeConfig(output=str(output), renderer=FURNITURE))
    with pytest.raises(FurnitureError, match=told):
        run_evaluate(EvaluateConfig(report=str(output), renderer=FURNITURE, num_workers=0))
    with pytest.raises(FurnitureError, match=told):
        train_in_process(TrainEncoderConfig(str(output), launcher="process", furniture_share=0.5))
    assert not output.exists() or not any(output.rglob("*.json"))
    check_renderer(PRIMITIVES)


def test_a_share_of_seeds_has_furniture_spread_evenly() -> None:
    names = [renderer_of(seed, 0.25) for seed in range(400)]
    assert names.count(FURNITURE) == 100
    runs = [names[k : k + 20].count(FURNITURE) for k in range(0, 400, 20)]
    assert set(runs) <= {4, 5, 6}
    assert {renderer_of(seed, 0.0) for seed in range(50)} == {PRIMITIVES}
    assert {renderer_of(seed, 1.0) for seed in range(50)} == {FURNITURE}


def test_settings_name_the_renderer_and_pass_it_on() -> None:
    film = SynthesizeConfig(output="x", renderer=FURNITURE).film
    assert isinstance(film, ClipConfig)
    assert film.renderer == FURNITURE
    video = SynthesizeConfig(output="x", renderer=FURNITURE, rate_hz=5.0).film
    assert isinstance(video, VideoConfig)
    assert video.renderer == FURNITURE
    assert RoomOptions(renderer=FURNITURE).clip.renderer == FURNITURE
    assert RoomOptions().clip.renderer == PRIMITIVES
    with pytest.raises(ValueError, match=r"renderer: expected one of .*got 'oil'"):
        ClipConfig(renderer="oil")
    assert data_of(TrainEncoderConfig("x")).keys() == {"data"}


@needs_furniture
def test_rows_and_attribution_of_rendered_furniture(tmp_path: Path) -> None:
    config = SynthesizeConfig(str(tmp_path), format="parquet", renderer=FURNITURE, **SIZE)
    table = __import__("pyarrow").table({"seed": [3]})
    render_shard(table, config, ResultStore(config.output))
    (part,) = (tmp_path / "codes").glob("*.parquet")
    (row,) = pq.read_table(part).to_pylist()
    assert row["status"] == "ok", row["error"]
    clip = make_clip(3, ClipConfig(3, 64, 48, renderer=FURNITURE))
    assert {o["label"] for o in row["objects"]} == {o.label for o in clip.code.objects}
    stored = np.stack([read_png(data) for data in row["instance_png"]]).astype(np.int64) - 3
    stored[stored > 60_000] = CLUTTER
    np.testing.assert_array_equal(stored, clip.instance)
    plain = SynthesizeConfig(str(tmp_path), format="parquet", **SIZE)
    assert work_key(3, config) != work_key(3, plain)


@needs_furniture
def test_a_data_set_says_who_made_its_models(tmp_path: Path, monkeypatch) -> None:
    import pipelines.synthesize.graph as graph

    monkeypatch.setattr(graph, "_compute", lambda *_: iter(()))
    run_synthesize(SynthesizeConfig(str(tmp_path), renderer=FURNITURE, num_rooms=1))
    text = (tmp_path / ATTRIBUTION).read_text()
    assert all(model.id in text for model in catalogue())
    assert "CC-BY-3.0" in text
    assert "Scopia" in text


@needs_furniture
def test_a_full_rate_video_of_furniture_holds_its_truth(tmp_path: Path) -> None:
    config = VideoConfig(64, 48, 4.0, 1.5, num_truth_frames=3, renderer=FURNITURE)
    clip = render_video(5, tmp_path / "a.mp4", config)
    assert clip.rgb.shape == (3, 48, 64, 3)
    assert clip.depth_m.shape == (3, 48, 64)
    assert set(clip.labels) <= set(FURNITURE_KINDS.labels)


@needs_furniture
def test_training_frames_of_furniture_know_known_kinds_and_call_people_no_chair() -> None:
    seed = next(s for s in range(200) if (_clip(s).instance == CLUTTER).mean() > 0.02)
    clip, frames = _clip(seed), frames_of_room(seed, FURNISHED)
    half = slice(2, None, 4)
    shown, cells = clip.instance[:, half, half], frames.cell_instance
    assert shown.shape == cells.shape
    assert (cells[shown == CLUTTER] == -2).all()
    known = [k for k, label in enumerate(clip.labels[:48]) if label == "chair"]
    for k in known:
        assert frames.label_index[0, k] == 0
    strange = [k for k, label in enumerate(clip.labels[:48]) if label in ("cup", "piano", "book")]
    assert (frames.label_index[0, strange] == -1).all()
    widened = frames_of_room(seed, replace(FURNISHED, kinds=FURNITURE_KINDS))
    of = [FURNITURE_KINDS.index[label] for label in clip.labels[:48]]
    assert widened.label_index[0, : len(of)].tolist() == of


def _clip(seed: int):
    return make_training_frames(seed, 3, ClipConfig(3, renderer=FURNITURE))


def test_the_share_of_furniture_is_a_part_of_what_is_shown() -> None:
    config = TrainEncoderConfig("out", frames_per_room=2, furniture_share=0.5)
    assert config.pictures == Pictures(num_a_room=2, furniture_share=0.5)


@needs_furniture
def test_both_launchers_and_validation_draw_the_same_furniture() -> None:
    (row,) = rendered_rows({"id": np.array([1])}, 6, FURNISHED)
    np.testing.assert_array_equal(row["rgb"], frames_of_room(7, FURNISHED).rgb)
    bare = replace(FURNISHED, furniture_share=0.0)
    assert not np.array_equal(row["rgb"], frames_of_room(7, bare).rgb)
    batch = validation_batch(1, FURNISHED)
    plain = validation_batch(1, bare)
    assert not np.array_equal(batch["rgb"], plain["rgb"])


@needs_furniture
def test_the_card_of_weights_trained_on_furniture_names_its_models() -> None:
    card = data_of(TrainEncoderConfig("x", furniture_share=0.25))
    assert "25% of the rooms" in card["data"]
    train, kept = split_models(catalogue())
    assert all(m.id in card["attribution"] for group in train.values() for m in group)
    assert kept["chair"][0].id not in card["attribution"].replace(",", " ").split()


@needs_furniture
def test_the_small_encoder_is_judged_on_held_out_furniture(tmp_path: Path) -> None:
    config = EvaluateConfig(
        str(tmp_path), renderer=FURNITURE, num_rooms=1, num_frames=4, num_workers=0, ladder=False
    )
    report = run_evaluate(config)
    assert report["num_rooms"] == 1
    assert report["num_failed"] == 0
    assert report["held_out"]
    written = json.loads((tmp_path / "report.json").read_text())
    assert written["config"]["renderer"] == FURNITURE
    clip = make_clip(HELD_OUT_ROOMS.start, RoomOptions(4, renderer=FURNITURE).clip)
    plain = make_clip(HELD_OUT_ROOMS.start, RoomOptions(4).clip)
    objects = {o.label for o in clip.code.objects}
    (result,) = [json.loads(line) for line in (tmp_path / "rooms.jsonl").read_text().splitlines()]
    assert clip.labels != plain.labels
    assert objects
    assert result["num_frames"] == 4
