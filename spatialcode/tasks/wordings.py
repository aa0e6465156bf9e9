"""More ways to ask the same, for training only, written as small grammars: "(How far|What) is …".

A reader that has met few sentences learns these sentences. Here a typed question is put into one of
many others, which are its family's own (`Family.grammars`). The sentences that the generator keeps
apart (`Sentences.heldout`) are never made.
"""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np

from spatialcode.questions.types import Question
from spatialcode.reasoning.drawing import drawn
from spatialcode.reasoning.families.registry import family_of, templates

Rng = np.random.Generator

_CHOICE = re.compile(r"\(([^()]*\|[^()]*)\)")


def reworded(question: Question, rng: Rng) -> Question:
    """The question in other words, with the same meaning; as it is where there are none."""
    family = family_of(question)
    wording = family.wording(question, rng)
    if wording is None:
        return question
    grammars = family.grammars[wording.grammar]
    heldout = {text for sentences in templates().values() for text in sentences.heldout}
    while (sentence := expand(drawn(grammars, rng), rng)) in heldout:
        pass
    text = sentence.format(**wording.slots)
    text = text[:1].upper() + text[1:]
    said = {
        name: replace(getattr(question, name), phrase=wording.slots[slot])
        for slot, name in wording.phrases.items()
        if f"{{{slot}}}" in sentence
    }
    return replace(question, text=text, **said)


def expand(grammar: str, rng: Rng) -> str:
    """One sentence of a grammar, its slots still open."""
    text = grammar
    while _CHOICE.search(text):
        text = _CHOICE.sub(lambda found: drawn(found[1].split("|"), rng), text)
    return " ".join(text.split())
