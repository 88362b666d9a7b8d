"""The benchmark files of AlignXplore+, ``<set>_upi.jsonl``: one person and one question a line (file → **Exam** → settings).

A line is ``{"userid": str | int, "history": [triple, ...], "target": triple}``, where a triple is ``{"query": str | null,
"chosen": str, "rejected": str | null}``, oldest first; other fields are left alone. Null queries, and their fill-in "Please
recommend some ... to me.", are no query; "No negative sample." is no rejected item. The question is the target's pair.

As in the published scores, of the sets ``amazon``, ``mind`` and ``movielens`` (by the beginning of the file's name) only the
first two thirds of a history are known, of all others everything. The rejected items of those three sets were mostly drawn at
random: popularity alone answers many of their questions.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct

from evaluation.records import Exam, Person, Question
from evaluation.tasks.published import DEFAULT_PEOPLE, Skipped, drawn, json_rows
from evaluation.tasks.triples import Target, Triple, choices, item_of, left_of, query_of

CUT_SETS = frozenset({"amazon", "mind", "movielens"})


class UpiRow(Struct, frozen=True):
    """One line of a benchmark file."""

    userid: Annotated[str, Meta(min_length=1, max_length=500)] | int
    history: Annotated[tuple[Triple, ...], Meta(min_length=1)]
    target: Target


def load(path: Path, *, max_people: int = DEFAULT_PEOPLE, seed: int = 0, skipped: Skipped | None = None) -> Exam:
    """The exam of a file, at most ``max_people`` lines of it, drawn by ``seed``.

    A user with several lines is one person where each history continues the other, and else one a line. Raises Unreadable.
    """
    rows = drawn(json_rows(path, UpiRow, skipped), max_people, seed)
    people: dict[str, Person] = {}
    questions = []
    cut = path.name.split("_")[0] in CUT_SETS
    for place, row in rows:
        person = person_of(str(row.userid), row.history, people, place)
        after = 2 * (len(row.history) // 3) if cut else len(row.history)
        questions.append(question_of(person, row.target, after))
    return Exam(path.stem, people, tuple(questions))


def person_of(user: str, history: tuple[Triple, ...], people: dict[str, Person], place: str) -> str:
    """The name in ``people`` of the user with this history, which is added where there is no longer one that begins so."""
    events = choices(user, history)
    known = people[user].events if user in people else ()
    shared = min(len(known), len(events))
    if known[:shared] != events[:shared]:
        return person_of(f"{user} line {place.rpartition(':')[2]}", history, people, place)
    if len(known) < len(events):
        people[user] = Person(user, events)
    return user


def question_of(user: str, target: Target, after: int) -> Question:
    """The question that a target asks of ``user``, when ``after`` events are known."""
    chosen, rejected = item_of(target.chosen, in_full=True), item_of(left_of(target), in_full=True)
    return Question(user, after, chosen, rejected, query_of(target))
