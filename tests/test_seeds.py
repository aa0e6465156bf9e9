from __future__ import annotations

from itertools import combinations

from pipelines.train_encoder.run import FrameSource
from pipelines.train_reasoner.config import PromptDataConfig
from pipelines.train_reasoner.launch import GRPO_ROOM
from pipelines.train_reasoner.prompts import PromptMaker
from spatialcode.seeds import HELD_OUT_ROOMS, TOKENIZER_ROOMS, VALIDATION_ROOMS
from spatialcode.synthetic.sample import SAMPLE_SEED


def test_ranges_do_not_meet_and_begin_after_what_is_trained_on() -> None:
    ranges = (VALIDATION_ROOMS, HELD_OUT_ROOMS, TOKENIZER_ROOMS)
    for one, other in combinations(ranges, 2):
        assert one.stop <= other.start or other.stop <= one.start
    for held in ranges:
        assert PromptDataConfig().first_room + GRPO_ROOM < held.start
        assert held.start > 10**8, "room for training below"


def test_training_frames_wrap_before_the_first_range() -> None:
    source = FrameSource(first_seed=VALIDATION_ROOMS.start - 1, stride=1).seeds()
    assert [next(source), next(source)] == [VALIDATION_ROOMS.start - 1, 0]


def test_what_is_judged_lies_in_the_held_out_range() -> None:
    assert SAMPLE_SEED in HELD_OUT_ROOMS
    maker = PromptMaker(PromptDataConfig(), seed=0, compact=True)
    rows = maker.held_out(HELD_OUT_ROOMS[:1], "heldout")
    assert {row.code_id for row in rows} == {f"made-up-{HELD_OUT_ROOMS.start}"}
