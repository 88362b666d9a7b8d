"""Reversal: somebody who turns against the genre they love, or against everything, and how fast the summary follows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from evaluation.crossfit import Fold
from evaluation.evolving import History, Policy, Writer, evolve_all
from evaluation.people import cut_at
from evaluation.records import Exam, Person
from evaluation.tasks.movielens import TaskName, load
from prefstream.events import Event, Rating
from prefstream.summaries import Tally
from streams.evidence import evidence_of
from streams.evolution.claims import OPINIONS, told
from streams.evolution.prose import Section, parse
from streams.tally import fold, spoken_attributes

TURN = 50
UPDATE = 20
NUM_UPDATES = 2
"""Within which a summary has to follow."""
MIN_MET = 5
"""Of the genre behind the turn: who meets it less often has hardly said that they turned."""
LEAST_FOLLOWED = {"counting": 0.9, "model": 0.7}


class Reversal(Struct, frozen=True):
    """A person who rates whatever is of the ``attribute`` with the lowest value, behind the first ``cuts[-3]`` events."""

    person: Person
    attribute: str
    cuts: tuple[int, ...]


class Followed(Struct, frozen=True):
    """What became of each person's text within the updates behind the turn.

    It ``follows`` where it says that they have mixed feelings about the attribute, or dislike it, after one of the updates. It
    ``drops`` it where after the last one it says neither that they love it nor that they like it.
    """

    users: tuple[str, ...]
    follows: tuple[bool, ...]
    drops: tuple[bool, ...]


def targeted(people: Mapping[str, Person], turn: int = TURN) -> list[Reversal]:
    """Everybody who, by the tally, loves something at the turn, and meets it often enough in the two updates behind it."""
    return [reversal for person in people.values() if (reversal := _turned(person, turn))]


def _turned(person: Person, turn: int) -> Reversal | None:
    cut = cut_at(person.events, turn)
    if cut is None or len(person.events) < cut + NUM_UPDATES * UPDATE:
        return None
    loved = next((section.loves[0] for section in _told(person.events[:cut]) if section.loves), "")
    behind = person.events[cut : cut + NUM_UPDATES * UPDATE]
    if not loved or sum(_has(event, loved) for event in behind) < MIN_MET:
        return None
    events = person.events[:cut] + tuple(_hated(event) if _has(event, loved) else event for event in behind)
    before = range(UPDATE, cut, UPDATE)
    return Reversal(Person(person.user, events), loved, (*before, cut, *(cut + UPDATE * (n + 1) for n in range(NUM_UPDATES))))


def _told(events: Sequence[Event]) -> tuple[Section, ...]:
    return told(fold(Tally(), map(evidence_of, events)))


def _has(event: Event, attribute: str) -> bool:
    return isinstance(event, Rating) and attribute in spoken_attributes(event.item)


def _hated(event: Event) -> Event:
    return replace(event, value=event.scale[0]) if isinstance(event, Rating) else event


async def followed(
    reversals: Sequence[Reversal], writer: Writer, policy: Policy, advance: Callable[[], object] = lambda: None
) -> Followed:
    """Whether the texts that the writer makes follow; it ``advance``s with each of them.

    Raises :class:`evaluation.evolving.WriterUnavailable`.
    """
    histories = [History(tuple(reversal.person.events), tuple(reversal.cuts)) for reversal in reversals]
    made = await evolve_all(histories, writer, policy, advance=advance)
    texts = [[version.text for version in versions][-NUM_UPDATES:] for versions in made]
    levels = [[_level(text, reversal.attribute) for text in both] for reversal, both in zip(reversals, texts, strict=True)]
    return Followed(
        tuple(reversal.person.user for reversal in reversals),
        tuple(any(level in ("mixed", "dislikes") for level in both) for both in levels),
        tuple(both[-1] not in ("loves", "likes") for both in levels),
    )


def _level(text: str, attribute: str) -> str:
    """The first level that the text gives the attribute: what is loved is loved, whatever else it says of it."""
    claims = ((kind, getattr(section, kind)) for kind in OPINIONS for section in parse(text).sections)
    return next((kind for kind, values in claims if attribute in values), "")


def everything(
    task: TaskName,
    people: Mapping[str, Person],
    folds: Sequence[Fold],
    turn: int = TURN,
    num_behind: int = UPDATE,
    seed: int = 0,
) -> Exam:
    """The task's questions about people all of whose ratings behind the turn are turned round, ``num_behind`` events later.

    What others think of films stays as it is.
    """
    turned = {user: Person(user, _turned_round(person.events)) for user, person in people.items()}
    exam = load(task, turned, folds, after=TURN + num_behind, seed=seed)
    return replace(exam, name=f"{task}: turned round {num_behind} events ago")


def _turned_round(events: tuple[Event, ...]) -> tuple[Event, ...]:
    cut = cut_at(events, TURN)
    known, behind = events[:cut], events[cut:] if cut is not None else ()
    return known + tuple(_mirrored(event) for event in behind)


def _mirrored(event: Event) -> Event:
    return replace(event, value=sum(event.scale) - event.value) if isinstance(event, Rating) else event
