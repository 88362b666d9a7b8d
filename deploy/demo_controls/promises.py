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
from prefstream.commands import Allow, Command, Never, Pin, Unpin
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

    ``marks`` are the versions that were current behind the steps of these names.
    """

    versions: tuple[Summary, ...] = ()
    num_events: int = 0
    num_commands: int = 0
    pins: tuple[str, ...] = ()
    own_words: tuple[str, ...] = ()
    nevers: tuple[str, ...] = ()
    marks: Mapping[str, Summary] = {}

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
        case Allow(subject=subject):
            return replace(story, nevers=tuple(never for never in story.nevers if never != subject))
        case _:
            return story


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
    newest = story.newest
    said = msgspec.json.encode((newest.text, newest.tally, newest.pins, newest.own_words)).decode().casefold()
    for never in story.nevers:
        if never.casefold() in said:
            return f"version {newest.version} has {never!r} in its text or its tally"
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
    "every event counts once": _events_count,
}


def check(story: Story) -> list[str]:
    """What always holds. Returns the names of the promises; raises Broken for the first that is."""
    for name, promise in ALWAYS.items():
        _require(name, promise(story))
    return list(ALWAYS)


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


def check_accounts(story: Story, found: Audit) -> str:
    """That the accounts are exact. Returns the promise's name, or raises Broken."""
    name = "the accounts are exact"
    if found.verdict != "holds":
        raise Broken(name, found.sentence)
    sums = {what: sum(getattr(one, what) for one in found.partitions) for what in ("applied", "pending", "commands")}
    wanted = {"applied": story.num_events, "pending": 0, "commands": story.num_commands}
    _require(name, "" if sums == wanted else f"{sums}, and it should be {wanted}")
    return name


def check_forgotten(story: Story, receipt: Receipt, found: Audit, left: Absence) -> list[str]:
    """That nothing live of the person is left, and the accounts say so. Returns the promises' names, or raises Broken."""
    erased = receipt.erasure
    told = "" if erased and erased.num_applied == story.num_events else f"the receipt says {erased}"
    _require("the receipt says what was erased", told)
    live = [place for traces in left.topics for place in traces.live]
    _require("nothing live of her is left", "" if left.is_proven else f"there is {', '.join(live)}")
    num_erased = sum(one.erased for one in found.partitions)
    exact = found.verdict == "holds" and num_erased == story.num_events
    _require("the accounts are exact", "" if exact else f"{num_erased} of {story.num_events} events erased: {found.sentence}")
    return ["the receipt says what was erased", "nothing live of her is left", "the accounts are exact"]


def _require(name: str, wrong: str) -> None:
    if wrong:
        raise Broken(name, wrong)
