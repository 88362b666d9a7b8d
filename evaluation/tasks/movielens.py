"""MovieLens 100K: which of two films somebody rates higher, or sees next, after their first ratings (people → **task** → exam).

===============  ===========================================================================================
order            two of the next 20 films, rated at least 2 stars apart: which one did they like more?
order_matched    the same, where other people like both as much: means within a quarter of a star
next_pop         one of the next 20 films, rated 4 or 5, against one they never saw, as popular: rank within 40
next_popqual     the same, means within a quarter of a star
===============  ===========================================================================================

Item statistics are always those of a catalogue that knows neither the person nor anybody a reader is fitted to. Questions are
drawn by a seed, a bounded number per person, before any reader exists.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from random import Random
from typing import Literal

from evaluation.catalogue import Catalogue, written
from evaluation.crossfit import Fold
from evaluation.people import cut_at
from evaluation.records import Exam, Person, Question
from prefstream.events import Item, Rating

TaskName = Literal["order", "order_matched", "next_pop", "next_popqual"]
TASKS: tuple[TaskName, ...] = ("order", "order_matched", "next_pop", "next_popqual")

NUM_NEXT = 20
MIN_NEXT = 10
MAX_PAIRS: dict[TaskName, int] = {"order": 20, "order_matched": 20, "next_pop": 10, "next_popqual": 10}
STARS_APART = 2.0
LIKED_STARS = 4.0
RANKS_APART = 40
MEANS_APART = 0.125
"""A quarter of a star, in strengths (-1 to 1 for 1 to 5 stars)."""


def load(
    task: TaskName, people: Mapping[str, Person], folds: Sequence[Fold], *, after: int = 50, seed: int = 0, max_pairs: int = 0
) -> Exam:
    """The exam about everybody with ``after`` events and ``MIN_NEXT`` more: at most ``max_pairs`` questions a person.

    0 pairs mean the task's own bound, ``MAX_PAIRS``.
    """
    questions: list[Question] = []
    for fold in folds:
        for user in sorted(fold.asked):
            cut = cut_at(people[user].events, after)
            if cut is not None and len(people[user].events) - cut >= MIN_NEXT:
                questions += questions_of(task, people[user], cut, NUM_NEXT, fold.catalogue, seed, max_pairs or MAX_PAIRS[task])
    return Exam(task, {user: people[user] for user in {question.user for question in questions}}, tuple(questions))


def questions_of(
    task: TaskName, person: Person, after: int, num_next: int, catalogue: Catalogue, seed: int, max_pairs: int
) -> list[Question]:
    """The questions about a person's next films, drawn by the seed among all there are."""
    coming = [event for event in person.events[after : after + num_next] if isinstance(event, Rating)]
    random = Random(f"{seed}:{task}:{person.user}:{after}")
    matched = task in ("order_matched", "next_popqual")
    if task in ("order", "order_matched"):
        pairs = _orders(coming, catalogue, matched)
    else:
        pairs = _nexts(person, coming, catalogue, matched, random)
    found = [Question(person.user, after, chosen, rejected) for chosen, rejected in pairs]
    return random.sample(found, max_pairs) if len(found) > max_pairs else found


def _orders(coming: Sequence[Rating], catalogue: Catalogue, matched: bool) -> Iterator[tuple[Item, Item]]:
    for one, other in combinations(coming, 2):
        better, worse = (one, other) if one.value > other.value else (other, one)
        if better.value - worse.value >= STARS_APART and (not matched or _alike(better.item, worse.item, catalogue)):
            yield better.item, worse.item


def _alike(one: Item, other: Item, catalogue: Catalogue) -> bool:
    means, rows = catalogue.means, catalogue.rows
    return bool(abs(means[rows[one.id]] - means[rows[other.id]]) <= MEANS_APART)


def _nexts(
    person: Person, coming: Sequence[Rating], catalogue: Catalogue, matched: bool, random: Random
) -> Iterator[tuple[Item, Item]]:
    seen = {written(event.item.title) for event in person.events if isinstance(event, Rating)}
    unseen = sorted((catalogue.ranks[row], row) for row, item in enumerate(catalogue.items) if written(item.title) not in seen)
    for liked in (event.item for event in coming if event.value >= LIKED_STARS):
        rank = catalogue.ranks[catalogue.rows[liked.id]]
        near = [catalogue.items[row] for other, row in unseen if abs(other - rank) <= RANKS_APART]
        near = [item for item in near if not matched or _alike(liked, item, catalogue)]
        if near:
            yield liked, random.choice(near)
