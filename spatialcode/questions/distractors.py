"""Wrong options that are as likely to look at as the right one.

Options of an order or a route are close to each other in a way that is the same for each of them:
nothing about the set tells which is right.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import permutations

import numpy as np

from spatialcode.questions.drawing import least_used
from spatialcode.questions.types import TURNS

Rng = np.random.Generator

LETTERS = "ABCDEFGH"


def arrange(choices: Sequence[str], used: Counter[str], rng: Rng) -> tuple[tuple[str, ...], str]:
    """Options with letters, in an order by lot but for the right one (the first choice), which gets
    the letter that was right least often; and that letter.
    """
    letters = LETTERS[: len(choices)]
    right = least_used(used, letters, rng)
    wrong = [choices[1:][n] for n in rng.permutation(len(choices) - 1)]
    wrong.insert(letters.index(right), choices[0])
    return tuple(f"{letter}. {text}" for letter, text in zip(letters, wrong, strict=True)), right


def orders(truth: Sequence[str], num_options: int, rng: Rng) -> tuple[tuple[str, ...], ...]:
    """The true order and other ones.

    Four of four or more things: two disjoint pairs of places, each exchanged or not, which makes
    every option as near to the others as any. Otherwise other orders by lot.
    """
    if num_options == 4 and len(truth) >= 4:
        a, b, c, d = (int(n) for n in rng.permutation(len(truth))[:4])
        exchanged = [((a, b),), ((c, d),), ((a, b), (c, d))]
        return (tuple(truth), *(_exchange(truth, pairs) for pairs in exchanged))
    others = [order for order in permutations(truth) if order != tuple(truth)]
    chosen = rng.permutation(len(others))[: num_options - 1]
    return (tuple(truth), *(others[n] for n in chosen))


def _exchange(truth: Sequence[str], pairs: tuple[tuple[int, int], ...]) -> tuple[str, ...]:
    order = list(truth)
    for a, b in pairs:
        order[a], order[b] = order[b], order[a]
    return tuple(order)


def turn_sequences(truth: Sequence[str], num_options: int, rng: Rng) -> tuple[tuple[str, ...], ...]:
    """The true turns and other ones; one turn: all three; more: two places with two turns each."""
    if len(truth) == 1:
        wrong = [turn for turn in TURNS if turn != truth[0]]
        kept = wrong if num_options >= 3 else [wrong[int(rng.integers(2))]]
        return (tuple(truth), *((turn,) for turn in kept))
    first, second = (int(n) for n in rng.permutation(len(truth))[:2])
    other = {place: _other(truth[place], rng) for place in (first, second)}
    sets = [(first,), (second,), (first, second)]
    made = [
        tuple(other[n] if n in places else turn for n, turn in enumerate(truth)) for places in sets
    ]
    if num_options <= 4:
        kept_places = rng.permutation(3)[: num_options - 1]
        return (tuple(truth), *(made[n] for n in sorted(kept_places)))
    every = [tuple(TURNS[n] for n in np.unravel_index(k, (3,) * len(truth)))
             for k in range(3 ** len(truth))]  # fmt: skip
    rest = [turns for turns in every if turns != tuple(truth) and turns not in made]
    extra = rng.permutation(len(rest))[: num_options - 4]
    return (tuple(truth), *made, *(rest[n] for n in extra))


def _other(turn: str, rng: Rng) -> str:
    return [one for one in TURNS if one != turn][int(rng.integers(2))]
