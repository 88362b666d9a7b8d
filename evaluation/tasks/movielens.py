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
from itertools import combinations, pairwise
from random import Random
from typing import Literal

from evaluation.catalogue import Catalogue, written
from evaluation.crossfit import STRICT, Fold
from evaluation.people import cut_at
from evaluation.records import Exam, Person, Question
from evaluation.settings import flushes
from prefstream.events import Event, Item, Rating
from streams.evidence import title_of

TaskName = Literal["order", "order_matched", "next_pop", "next_popqual"]
TASKS: tuple[TaskName, ...] = ("order", "order_matched", "next_pop", "next_popqual")

NUM_NEXT = 20
MIN_NEXT = 10
MAX_PAIRS: dict[TaskName, int] = {"order": 20, "order_matched": 20, "next_pop": 10, "next_popqual": 10}
MAX_POOLED = 200

PLACES = (10, 20, 30, 40, 50)
EVERYBODY = ", everybody"

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
    most = max_pairs or MAX_PAIRS[task]
    questions: list[Question] = []
    for fold in folds:
        for person in _asked(people, fold):
            cut = cut_at(person.events, after)
            if cut is not None and len(person.events) - cut >= MIN_NEXT and fold.asks(person, cut):
                questions += questions_of(task, person, cut, NUM_NEXT, fold.catalogue, seed, most)
    return _exam(_named(task, folds), people, questions)


def load_everybody(task: TaskName, people: Mapping[str, Person], folds: Sequence[Fold], *, seed: int = 0) -> Exam:
    """The exam that also asks who has few events: each person behind the last of ``PLACES`` that leaves ``MIN_NEXT``.

    One place a person, and twice as much to come and to ask: so a model that takes a third of a second for an update can be
    asked about everybody, and small differences can be told.
    """
    questions: list[Question] = []
    for fold in folds:
        for person in _asked(people, fold):
            cuts = [cut for after in PLACES if (cut := cut_at(person.events, after)) is not None]
            able = [cut for cut in cuts if len(person.events) - cut >= MIN_NEXT and fold.asks(person, cut)]
            if able:
                questions += questions_of(task, person, able[-1], 2 * NUM_NEXT, fold.catalogue, seed, 2 * MAX_PAIRS[task])
    return _exam(f"{_named(task, folds)}{EVERYBODY}", people, questions)


def load_pool(
    task: TaskName,
    people: Mapping[str, Person],
    folds: Sequence[Fold],
    *,
    chunk: int = 10,
    first: int = 20,
    seed: int = 0,
    max_pairs: int = MAX_POOLED,
) -> Exam:
    """The prequential pool: every chunk of about ``chunk`` events asks of what was known before it, and then is known.

    The first question stands behind ``first`` events or more; of a person there are at most ``max_pairs`` questions.
    """
    questions: list[Question] = []
    for fold in folds:
        for person in _asked(people, fold):
            found = [
                question
                for after, end in _chunks(person.events, chunk, first)
                if fold.asks(person, after)
                for question in questions_of(task, person, after, end - after, fold.catalogue, seed, max_pairs)
            ]
            questions += _drawn(found, max_pairs, Random(f"{seed}:{task}:{person.user}"))
    return _exam(f"{_named(task, folds)}, pool", people, questions)


def _asked(people: Mapping[str, Person], fold: Fold) -> list[Person]:
    return [people[user] for user in sorted(fold.asked)]


def _named(task: TaskName, folds: Sequence[Fold]) -> str:
    strict = all(fold.catalogue.before_seconds is not None for fold in folds)
    return f"{task}{STRICT}" if strict else task


def _exam(name: str, people: Mapping[str, Person], questions: Sequence[Question]) -> Exam:
    asked = dict.fromkeys(question.user for question in questions)
    return Exam(name, {user: people[user] for user in asked}, tuple(questions))


def _chunks(events: Sequence[Event], chunk: int, first: int) -> Iterator[tuple[int, int]]:
    """From where to where each chunk goes; the last one may be short."""
    points = [point for point in flushes(events, chunk) if point >= first]
    return pairwise(dict.fromkeys((*points, len(events))))


def _drawn(found: list[Question], most: int, random: Random) -> list[Question]:
    return random.sample(found, most) if len(found) > most else found


def questions_of(
    task: TaskName, person: Person, after: int, num_next: int, catalogue: Catalogue, seed: int, max_pairs: int
) -> list[Question]:
    """The questions about a person's next films, drawn by the seed among all there are."""
    coming = _coming(person, after, num_next)
    random = Random(f"{seed}:{task}:{person.user}:{after}")
    matched = task in ("order_matched", "next_popqual")
    if task in ("order", "order_matched"):
        pairs = _orders(coming, catalogue, matched)
    else:
        pairs = _nexts(person, coming, catalogue, matched, random)
    found = [Question(person.user, after, chosen, rejected) for chosen, rejected in pairs]
    return _drawn(found, max_pairs, random)


def _coming(person: Person, after: int, num_next: int) -> list[Rating]:
    """The next ratings, but of what is known already under another id: 18 films are two items of one title."""
    first_met: dict[str, str] = {}
    coming = []
    for place, event in enumerate(person.events[: after + num_next]):
        if isinstance(event, Rating):
            same = first_met.setdefault(written(title_of(event.item)), event.item.id) == event.item.id
            if place >= after and same:
                coming.append(event)
    return coming


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
    titles, rows = catalogue.titles, catalogue.rows
    seen = {written(title_of(event.item)) for event in person.events if isinstance(event, Rating)}
    for liked in (event.item for event in coming if event.value >= LIKED_STARS):
        rank = catalogue.ranks[rows[liked.id]]
        as_popular = catalogue.by_rank[max(rank - RANKS_APART, 0) : rank + RANKS_APART + 1]
        near = [catalogue.items[row] for row in as_popular if titles[row] not in seen]
        near = [item for item in near if not matched or _alike(liked, item, catalogue)]
        if near:
            yield liked, random.choice(near)
