"""The evaluation of the prompted encoder on truth in the place of its networks."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.evaluate.config import EvaluateConfig
from pipelines.evaluate.encoder import Evaluator, oracle_of, run_evaluate
from spatialcode.encoder.registry import EncoderSettings
from spatialcode.errors import ConfigError


def config(report: Path | str = "", **changes: object) -> EvaluateConfig:
    settings = {"fusion": {"words": ["chair"]}} if changes.pop("chairs", False) else {}
    values = {"oracle": "masks,depth,poses", "num_workers": 0, "num_rooms": 1, "num_frames": 4}
    encoder = EncoderSettings(str(changes.pop("encoder", "prompted")), settings)
    return EvaluateConfig(**{"report": str(report), "encoder": encoder, **values, **changes})


def test_what_is_asked_for_is_what_stands_in_the_networks_place() -> None:
    told = oracle_of(config(noise="network", missed=0.1, switched=0.05, chairs=True))
    assert told.parts == ("masks", "depth", "poses")
    assert (told.is_noisy, told.missed, told.switched) == (True, 0.1, 0.05)
    assert told.fusion.words == ("chair",)
    plain = oracle_of(config(oracle="masks, depth"))
    assert (plain.parts, plain.is_noisy, plain.missed) == (("masks", "depth"), False, 0.0)


@pytest.mark.parametrize(
    "wrong", [{"oracle": "masks"}, {"oracle": "masks,depth,pose"}, {"encoder": "small"},
              {"clips": "folder"}, {"noise": "loud"}],
)  # fmt: skip
def test_what_does_not_fit_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        config(**wrong)


def test_rooms_are_rendered_at_the_side_asked_for_and_scored(tmp_path: Path) -> None:
    asked = config(tmp_path, num_side=128, num_frames=6)
    options = Evaluator(asked, oracle_of(asked)).options
    assert (options.clip.width_px, options.clip.height_px, options.clip.num_frames) == (128, 96, 6)
    report = run_evaluate(asked)
    assert report["predicted_poses"]["class_aware"]["recall"]["0.25"] > 0.5
    assert report["predicted_poses"]["pose"]["world_m"]["median"] == pytest.approx(0, abs=1e-6)
    lost = run_evaluate(config(tmp_path, num_side=128, num_frames=6, missed=1.0))
    assert lost["predicted_poses"]["class_aware"]["recall"]["0.25"] == 0


def test_without_true_poses_the_path_is_estimated(tmp_path: Path) -> None:
    report = run_evaluate(config(tmp_path, oracle="masks,depth", num_side=160, num_frames=8))
    assert report["predicted_poses"]["pose"]["world_m"]["median"] > 1e-4
    assert report["given_poses"]["pose"]["world_m"]["median"] == pytest.approx(0, abs=1e-6)
