"""Copying: runs grow as they are learnt, and a small network learns the first of them."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from spatialcode.errors import ConfigError
from spatialcode.grpo.copying import CopyCurriculum, CopySettings

SETTINGS = CopySettings(shortest=2, first=4, growth=3, longest=9, batch_tokens=100)


def curriculum():
    return CopyCurriculum(range(10, 60), (1, 2, 3), SETTINGS, np.random.default_rng(0))


def test_completions_repeat_their_prompts():
    for batch in islice(curriculum().batches(), 20):
        assert sum(map(len, batch)) <= 100
        for example in batch:
            assert example.completion_ids == (*example.prompt_ids[:-1], 2, 3)
            assert example.prompt_ids[-1] == 1
            assert 2 <= len(example.prompt_ids) - 1 <= 4


def test_runs_grow_with_success_and_end():
    one = curriculum()
    lengths = []
    for _ in range(20):
        assert not one.saw(1.0)  # nothing learnt: as long as before
    assert one.longest == 4
    for _ in range(30):
        done = one.saw(0.1)
        lengths.append(one.longest)
    # of the last ten losses five may be 1.0: their mean is 0.55
    assert lengths[3:5] == [4, 7]
    assert sorted(set(lengths)) == [4, 7, 9]
    assert done
    assert max(len(e.prompt_ids) for b in islice(one.batches(), 20) for e in b) == 10


def test_settings_are_checked():
    with pytest.raises(ConfigError, match="order"):
        CopySettings(shortest=9, first=8)
    with pytest.raises(ConfigError, match="batch_tokens"):
        CopySettings(batch_tokens=10)
