from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spatialcode.encoder.parsing.vocabulary import (
    VSI_BENCH,
    AskedWords,
    asked_words,
    chunked,
    cleaned,
    labels_of,
    require_tokens,
)
from spatialcode.errors import ConfigError


def test_a_users_words_become_labels_once_each_in_their_order() -> None:
    words = ["  Coffee_Machine. ", "couch", "CHAIR", "chair", "Sofa", "ｔｖ"]
    assert labels_of(words) == ("coffee machine", "sofa", "chair", "tv")


def test_no_words_means_the_benchmarks_categories() -> None:
    assert labels_of() == VSI_BENCH
    assert len(set(VSI_BENCH)) == len(VSI_BENCH)


def test_the_benchmarks_categories_stand_for_themselves() -> None:
    assert labels_of(VSI_BENCH) == VSI_BENCH


@pytest.mark.parametrize("word", ["", " . ", "a" * 65, "chair. table", "what?", "a\x00b", 7])
def test_what_is_no_word_is_refused_by_name(word: object) -> None:
    with pytest.raises(ConfigError, match="vocabulary"):
        cleaned(word)  # type: ignore[arg-type]


def test_one_string_is_no_list_of_words() -> None:
    with pytest.raises(ConfigError, match="list of words"):
        labels_of("chair")


def test_synonyms_are_asked_for_too_and_mean_the_label() -> None:
    asked = asked_words(["sofa", "lava lamp"], 2)
    assert asked == AskedWords(
        ("sofa", "lava lamp", "couch", "settee"), ("sofa", "lava lamp", "sofa", "sofa")
    )
    assert asked_words(["sofa"], 0) == AskedWords(("sofa",), ("sofa",))


def test_a_label_keeps_its_own_word_though_another_counts_it_as_a_synonym() -> None:
    asked = asked_words(["table", "desk"], 1)
    assert dict(zip(asked.words, asked.labels, strict=True)) == {"table": "table", "desk": "desk"}


def test_labels_are_given_back_as_they_were_given() -> None:
    assert asked_words(["TV"], 0) == AskedWords(("tv",), ("TV",))


def test_chunks_by_hand() -> None:
    assert chunked([3, 3, 3, 5, 1], 6) == [range(2), range(2, 3), range(3, 5)]
    assert chunked([], 6) == []
    assert chunked([7, 1], 6) == [range(1), range(1, 2)]


@given(st.lists(st.integers(1, 9), max_size=40), st.integers(9, 30))
def test_every_word_is_in_one_chunk_and_no_chunk_is_too_long(tokens: list[int], limit: int) -> None:
    chunks = chunked(tokens, limit)
    assert [row for rows in chunks for row in rows] == list(range(len(tokens)))
    assert all(sum(tokens[row] for row in rows) <= limit for rows in chunks)
    # No chunk could have taken the next word too.
    for rows, later in pairwise(chunks):
        assert sum(tokens[row] for row in rows) + tokens[later.start] > limit


def test_a_word_that_no_detector_text_can_hold_is_named() -> None:
    with pytest.raises(ConfigError, match="at most 4 tokens, got 5 for 'b'"):
        require_tokens(AskedWords(("a", "b"), ("a", "b")), [4, 5], 4)
