"""Copying: runs grow as they are learnt; the batches ask for what their prompts hold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spatialcode.errors import ConfigError
from spatialcode.tiny.copying import (
    CopyProgress,
    CopySettings,
    CopyTokens,
    copy_batch,
    copy_examples,
)

SETTINGS = CopySettings(shortest=2, first=4, growth=3, longest=9, batch_tokens=100)
BEGIN, CLOSE, END = 1, 2, 3
TOKENS = CopyTokens(tuple(range(10, 500)), BEGIN, CLOSE, END)


def batches(progress, count=20):
    rng = np.random.default_rng(0)
    return [copy_batch(TOKENS, progress, SETTINGS, rng) for _ in range(count)]


def test_completions_repeat_their_prompts():
    for batch in batches(CopyProgress.begun(SETTINGS)):
        num_tokens = sum(len(one.prompt_ids) + len(one.completion_ids) for one in batch)
        assert 0 < num_tokens <= 100
        for example in batch:
            assert example.completion_ids == (*example.prompt_ids[:-1], CLOSE, END)
            assert example.prompt_ids[-1] == BEGIN
            assert 2 <= len(example.prompt_ids) - 1 <= 4


def test_runs_grow_with_success_and_end():
    progress = CopyProgress.begun(SETTINGS)
    for _ in range(20):
        progress = progress.after(1.0, SETTINGS)
    assert (progress.longest, progress.learnt) == (4, False), "nothing was learnt"
    lengths = []
    for _ in range(24):
        progress = progress.after(0.1, SETTINGS)
        lengths.append(progress.longest)
    # five of ten losses may still be 1.0: their mean is 0.55
    assert lengths[:5] == [4, 4, 4, 4, 7]
    # ten more at 7 words, then nine of ten at 9: the mean is over ten steps of one length
    assert lengths[5:] == [7] * 9 + [9] * 10
    assert not progress.learnt
    progress = progress.after(0.1, SETTINGS)
    assert progress.learnt
    assert max(len(example.prompt_ids) for batch in batches(progress) for example in batch) == 10


def test_progress_survives_json():
    progress = CopyProgress(7, (0.5, 0.25))
    values = {**vars(progress), "losses": list(progress.losses)}
    assert CopyProgress.of(values) == progress


def test_examples_ask_for_words_of_the_prompt():
    whole = 0
    for example in copy_examples(300, TOKENS, np.random.default_rng(0)):
        assert example.prompt_ids[-1] == BEGIN
        assert example.completion_ids[-2:] == (CLOSE, END)
        asked, given = example.completion_ids[:-2], example.prompt_ids[:-1]
        if asked == given:
            whole += 1
            continue
        run = given[-2:] + asked  # the two words that ask for it are its beginning
        assert any(given[at : at + len(run)] == run for at in range(len(given) - 2))
    assert 150 < whole < 250


def test_settings_are_checked():
    with pytest.raises(ConfigError, match="order"):
        CopySettings(shortest=9, first=8)
    with pytest.raises(ConfigError, match="batch_tokens"):
        replace(SETTINGS, batch_tokens=10)
