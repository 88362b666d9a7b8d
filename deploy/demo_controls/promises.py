"""The promises: what must hold behind every step of the story, told from the records alone.

Nothing here asks the code that keeps them: words are looked for in what was published.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from prefstream.absence import Absence
from prefstream.audit import Audit
from prefstream.commands import Allow, Command, Forget, Never, Pin, Unpin
from prefstream.events import Event, Rating, Search
from prefstream.history import KeptVersion
from prefstream.receipts import Receipt
from prefstream.summaries import Summary


class Broken(Exception):
    """A promise is broken: its name, and what is wrong."""

    def __init__(self, promise: str, wrong: str) -> None:
        self.promise, self.wrong = promise, wrong
        super().__init__(f"{promise}: {wrong}")


class Story(Struct, frozen=True):
    """What happened so far: all versions published, how many events and commands were sent, and what the person wants.

    ``marks`` are the versions that were current behind the steps of these names, ``told`` the titles and searches so far,
    ``genres`` the genres of each title.
    Of who was forgotten, ``num_erased`` events and what the ``erased`` words say are to be gone; ``is_gone`` until they come
    back.
    """

    versions: tuple[Summary, ...] = ()
    num_events: int = 0
    num_commands: int = 0
    pins: tuple[str, ...] = ()
    own_words: tuple[str, ...] = ()
    nevers: tuple[str, ...] = ()
    marks: Mapping[str, Summary] = {}
    told: tuple[str, ...] = ()
    genres: Mapping[str, Sequence[str]] = {}
    erased: tuple[str, ...] = ()
    num_erased: int = 0
    num_late: int = 0
    is_gone: bool = False

    @property
    def newest(self) -> Summary:
        """The current version. Raises Broken when there is none."""
        if not self.versions:
            raise Broken("there is a summary", "none was published")
        return self.versions[-1]


class Foreseen(NamedTuple):
    """What a step must lead to, beside what always holds.

    ``says`` are words of the new text, ``own_words`` the sentences that are the person's from now on (None: as before),
    ``refusal`` the reason of a command that cannot be done, ``same_as`` the step whose version comes back exactly.
    """

    says: tuple[str, ...] = ()
    own_words: tuple[str, ...] | None = None
    refusal: str = ""
    same_as: str = ""


def sent(story: Story, events: Sequence[Event], late: Sequence[Event] = ()) -> Story:
    """The story with these events; ``late`` are of a past that was forgotten."""
    return replace(
        story,
        num_events=story.num_events + len(events),
        num_late=story.num_late + len(late),
        told=(*story.told, *_words_of(events)),
        genres={**story.genres, **_genres_of(events)},
        erased=(*story.erased, *_words_of(late)),
        is_gone=False,
    )


def _words_of(events: Sequence[Event]) -> list[str]:
    titles = [event.item.title for event in events if isinstance(event, Rating)]
    return titles + [event.query for event in events if isinstance(event, Search)]


def _genres_of(events: Sequence[Event]) -> dict[str, Sequence[str]]:
    items = [event.item for event in events if isinstance(event, Rating)]
    return {item.title: item.attributes.get("genre", ()) for item in items}


def wished(story: Story, command: Command, foreseen: Foreseen) -> Story:
    """The story with what the person wants from now on, where the command can be done."""
    story = replace(story, num_commands=story.num_commands + 1)
    if foreseen.refusal:
        return story
    if foreseen.own_words is not None:
        story = replace(story, own_words=foreseen.own_words)
    match command:
        case Pin(statement=statement):
            return replace(story, pins=(*story.pins, statement))
        case Unpin(statement=statement):
            return replace(story, pins=tuple(pin for pin in story.pins if pin != statement))
        case Never(subject=subject):
            return replace(story, nevers=(*story.nevers, subject))
        case Forget():
            return _forgotten(story)
        case Allow(subject=subject):
            return replace(story, nevers=tuple(never for never in story.nevers if never != subject))
        case _:
            return story


def _forgotten(story: Story) -> Story:
    return replace(
        story,
        num_events=0,
        num_erased=story.num_erased + story.num_events,
        erased=(*story.erased, *story.told, *story.pins, *story.own_words),
        told=(),
        genres={},
        pins=(),
        own_words=(),
        nevers=(),
        is_gone=True,
    )


Promise = Callable[[Story], str]
"""What is wrong, or nothing."""


def _rise_by_one(story: Story) -> str:
    for before, after in pairwise(story.versions):
        if (after.version, after.previous_version) != (before.version + 1, before.version):
            return f"version {after.version} came after version {before.version}"
    return "" if story.newest.version == len(story.versions) else f"the first version was {story.versions[0].version}"


def _pins_stand(story: Story) -> str:
    return _missing(story, story.pins) or ("" if story.newest.pins == story.pins else "the record does not name the pins")


def _own_words_stand(story: Story) -> str:
    return _missing(story, story.own_words)


def _missing(story: Story, sentences: Sequence[str]) -> str:
    for sentence in sentences:
        if sentence not in story.newest.text:
            return f"version {story.newest.version} does not say {sentence!r}"
    return ""


def _nothing_forbidden(story: Story) -> str:
    return _said(story.newest, story.nevers)


def _no_film_of_it(story: Story) -> str:
    return _said(story.newest, [title for title, genres in story.genres.items() if {*genres} & {*story.nevers}])


def _nothing_erased(story: Story) -> str:
    return _said(story.newest, story.erased)


def _said(newest: Summary, words: Sequence[str]) -> str:
    said = msgspec.json.encode((newest.text, newest.tally, newest.pins, newest.own_words)).decode().casefold()
    for word in words:
        if word.casefold() in said:
            return f"version {newest.version} has {word!r} in its text or its tally"
    return ""


def _events_count(story: Story) -> str:
    newest = story.newest
    if newest.num_events == story.num_events:
        return ""
    return f"version {newest.version} is based on {newest.num_events} events, and {story.num_events} were sent"


ALWAYS: Mapping[str, Promise] = {
    "versions rise by one": _rise_by_one,
    "every pin is said": _pins_stand,
    "own words are kept": _own_words_stand,
    "nothing forbidden is said or counted": _nothing_forbidden,
    "no film of a forbidden genre is named": _no_film_of_it,
    "nothing erased comes back": _nothing_erased,
    "every event counts once": _events_count,
}


def check(story: Story) -> list[str]:
    """What always holds of who is there. Returns the names of the promises; raises Broken for the first that is."""
    names = [] if story.is_gone else [name for name in ALWAYS if story.erased or name != "nothing erased comes back"]
    for name in names:
        _require(name, ALWAYS[name](story))
    return names


def check_gone(story: Story, current: Summary | None, kept: Sequence[KeptVersion]) -> list[str]:
    """That of who was forgotten nothing can be read. Returns the names of the promises, or raises Broken."""
    wrong = {
        "the summary is gone": f"version {current.version} is still there" if current else "",
        "no version of it is kept": f"{len(kept)} are" if kept else "",
    }
    for name, what in wrong.items():
        _require(name, what)
    return list(wrong)


def check_step(before: Story, story: Story, foreseen: Foreseen, receipt: Receipt | None) -> list[str]:
    """What this step promised. Returns the names of the promises; raises Broken for the first that is."""
    kept = []
    if receipt is not None:
        _require("the receipt is true", _untrue(receipt, before, story, foreseen))
        kept.append("the receipt is true")
    if foreseen.says:
        missing = [words for words in foreseen.says if words.casefold() not in story.newest.text.casefold()]
        _require("the text says what it should", f"it does not say {', '.join(map(repr, missing))}" if missing else "")
        kept.append("the text says what it should")
    if foreseen.same_as:
        _require("a roll back is exact", _differs(story.marks[foreseen.same_as], story.newest))
        kept.append("a roll back is exact")
    return kept


def _untrue(receipt: Receipt, before: Story, story: Story, foreseen: Foreseen) -> str:
    if receipt.reason != foreseen.refusal:
        return f"it says {receipt.outcome} {receipt.reason}".strip()
    if story.is_gone:
        num_erased = receipt.erasure.num_applied if receipt.erasure else 0
        return "" if num_erased == before.num_events else f"it says that {num_erased} events were erased"
    is_new = story.newest.version > before.newest.version
    if is_new == bool(foreseen.refusal) or (is_new and receipt.version != story.newest.version):
        return f"it says {receipt.outcome}, version {receipt.version}, and the newest is version {story.newest.version}"
    return ""


def _differs(then: Summary, now: Summary) -> str:
    for name in ("text", "tally"):
        if getattr(then, name) != getattr(now, name):
            return f"the {name} of version {now.version} is not that of version {then.version}"
    return ""


def check_history(story: Story, kept: Sequence[KeptVersion]) -> str:
    """That every version can be looked back at, as it was. Returns the promise's name, or raises Broken."""
    name = "every version is kept as it was"
    told = [(one.version, one.text, one.tally, one.reason) for one in story.versions]
    _require(name, "" if told == [(one.version, one.text, one.tally, one.reason) for one in kept] else "they differ")
    return name


def check_absence(found: Absence) -> str:
    """That nothing live is left of who was forgotten. Returns the promise's name, or raises Broken."""
    name = "nothing live is left of her"
    live = [place for traces in found.topics for place in traces.live]
    _require(name, "" if found.is_proven else f"there is something at {', '.join((*live, *found.files))}")
    return name


def check_accounts(story: Story, found: Audit) -> str:
    """That the accounts are exact. Returns the promise's name, or raises Broken."""
    name = "the accounts are exact"
    if found.verdict != "holds":
        raise Broken(name, found.sentence)
    wanted = {
        "applied": story.num_events,
        "pending": 0,
        "erased": story.num_erased,
        "late": story.num_late,
        "commands": story.num_commands,
    }
    sums = {what: sum(getattr(one, what) for one in found.partitions) for what in wanted}
    _require(name, "" if sums == wanted else f"{sums}, and it should be {wanted}")
    return name


def _require(name: str, wrong: str) -> None:
    if wrong:
        raise Broken(name, wrong)
