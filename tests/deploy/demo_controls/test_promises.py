"""Every promise can be broken, and is named when it is."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec.structs import replace

from deploy.demo_controls.promises import (
    ALWAYS,
    Broken,
    Foreseen,
    Story,
    check,
    check_absence,
    check_accounts,
    check_gone,
    check_history,
    check_step,
    sent,
    wished,
)
from deploy.demo_controls.script import rated, searched
from prefstream.absence import Absence, Traces
from prefstream.audit import Audit, PartitionAccount
from prefstream.commands import Allow, Edit, Forget, Never, OptOut, Pin, Unpin
from prefstream.history import version_of
from prefstream.receipts import Erasure, Receipt
from prefstream.summaries import DomainTally, Mention, Summary, Tally

AT = datetime(2026, 1, 5, 20, 15, tzinfo=UTC)
PINNED, OWN = "With subtitles.", "On Sundays."
FIRST = Summary(user="ada", version=1, text="Loves drama.", reason="size", updated_at=AT, num_events=5)
SECOND = replace(FIRST, version=2, previous_version=1, text=f"{PINNED} Loves drama. {OWN}", pins=(PINNED,), reason="control")
STORY = Story(
    (FIRST, SECOND), 5, 1, (PINNED,), (OWN,), ("war",), {"met": FIRST}, genres={"Alien": ("war",)}, erased=("Heat", "dream")
)
DREAM = Tally(1, {"films": DomainTally(1, searches=("a Dream",))})
WAR = Tally(1, {"films": DomainTally(1, favourites=(Mention("i1", "War and Peace", 1.0, 1),))})

ALIEN = Tally(1, {"films": DomainTally(1, favourites=(Mention("i2", "Alien", 1.0, 1),))})


def now(**changes: object) -> Story:
    """The story with another current version."""
    return replace(STORY, versions=(FIRST, replace(SECOND, **changes)))


BROKEN = {
    "versions rise by one": (now(version=3), now(previous_version=0), replace(STORY, versions=(SECOND,))),
    "every pin is said": (now(text=f"Loves drama. {OWN}"), now(pins=())),
    "own words are kept": (now(text=f"{PINNED} Loves drama."),),
    "nothing forbidden is said or counted": (now(text=f"{PINNED} {OWN} Loves War."), now(tally=WAR)),
    "no film of a forbidden genre is named": (now(text=f"{PINNED} {OWN} Favourites: Alien."), now(tally=ALIEN)),
    "nothing erased comes back": (now(text=f"{PINNED} {OWN} Loves Heat."), now(tally=DREAM)),
    "every event counts once": (now(num_events=4), now(num_events=6)),
}


def test_what_is_kept_is_named() -> None:
    assert check(STORY) == list(ALWAYS)


@pytest.mark.parametrize(("promise", "story"), [(name, story) for name, stories in BROKEN.items() for story in stories])
def test_what_is_broken_is_named(promise: str, story: Story) -> None:
    with pytest.raises(Broken) as broken:
        check(story)
    assert broken.value.promise == promise


def test_every_promise_is_broken_here_once() -> None:
    assert set(BROKEN) == set(ALWAYS)


def test_a_story_without_a_summary_is_a_broken_one() -> None:
    with pytest.raises(Broken, match="there is a summary: none was published"):
        check(Story())


def test_of_who_was_never_forgotten_nothing_is_said_of_it() -> None:
    assert "nothing erased comes back" not in check(replace(STORY, erased=()))


def test_who_is_forgotten_is_gone() -> None:
    assert check_gone(STORY, None, ()) == ["the summary is gone", "no version of it is kept"]
    for current, kept in ((FIRST, ()), (None, [version_of(FIRST)])):
        with pytest.raises(Broken, match=r"is still there|1 are"):
            check_gone(STORY, current, kept)
    assert check(wished(STORY, Forget(user="ada", at=AT), Foreseen())) == []


MADE = Receipt(user="ada", command="pin", outcome="applied", at=AT, command_position=7, version=2)
REFUSED = replace(MADE, outcome="refused", reason="empty", version=0)
ERASED = replace(MADE, version=0, erasure=Erasure(num_applied=5))
ERASED_FEWER = replace(ERASED, erasure=Erasure(num_applied=4))
BEFORE = replace(STORY, versions=(FIRST,))
REFUSAL = Foreseen(refusal="empty")


def test_what_a_step_promised_is_checked() -> None:
    assert check_step(BEFORE, STORY, Foreseen(), MADE) == ["the receipt is true"]
    assert check_step(STORY, replace(STORY, is_gone=True), Foreseen(), ERASED) == ["the receipt is true"]
    assert check_step(STORY, STORY, REFUSAL, REFUSED) == ["the receipt is true"]
    assert check_step(BEFORE, STORY, Foreseen(says=("DRAMA",)), None) == ["the text says what it should"]
    assert check_step(BEFORE, now(text=FIRST.text), Foreseen(same_as="met"), None) == ["a roll back is exact"]


@pytest.mark.parametrize(
    ("before", "story", "foreseen", "receipt", "promise"),
    [
        (BEFORE, STORY, Foreseen(), REFUSED, "the receipt is true"),
        (BEFORE, STORY, Foreseen(), replace(MADE, version=3), "the receipt is true"),
        (STORY, STORY, Foreseen(), MADE, "the receipt is true"),
        (STORY, STORY, REFUSAL, replace(REFUSED, reason="markup"), "the receipt is true"),
        (BEFORE, STORY, REFUSAL, REFUSED, "the receipt is true"),
        (STORY, replace(STORY, is_gone=True), Foreseen(), MADE, "the receipt is true"),
        (STORY, replace(STORY, is_gone=True), Foreseen(), ERASED_FEWER, "the receipt is true"),
        (BEFORE, STORY, Foreseen(says=("comedy",)), None, "the text says what it should"),
        (BEFORE, STORY, Foreseen(same_as="met"), None, "a roll back is exact"),
        (BEFORE, now(text=FIRST.text, tally=WAR), Foreseen(same_as="met"), None, "a roll back is exact"),
    ],
)
def test_what_a_step_breaks_is_named(
    before: Story, story: Story, foreseen: Foreseen, receipt: Receipt | None, promise: str
) -> None:
    with pytest.raises(Broken) as broken:
        check_step(before, story, foreseen, receipt)
    assert broken.value.promise == promise


def test_the_history_has_every_version_as_it_was() -> None:
    kept = [version_of(FIRST), version_of(SECOND, "pin")]
    assert check_history(STORY, kept) == "every version is kept as it was"
    for other in ([kept[0]], [kept[0], replace(kept[1], text="Otherwise.")], [replace(kept[0], tally=WAR), kept[1]]):
        with pytest.raises(Broken, match="every version is kept as it was"):
            check_history(STORY, other)


def test_what_is_left_of_somebody_is_named() -> None:
    gone = Traces(topic="t.summaries", counts={"tombstone": 1}, live=(), gone_by=AT)
    assert check_absence(Absence(topics=(gone,), files=(), num_files=4)) == "nothing live is left of her"
    there = replace(gone, counts={"live": 1}, live=("t.summaries/0/7",))
    for left in (Absence(topics=(there,), files=(), num_files=4), Absence(topics=(gone,), files=("disk/7",), num_files=4)):
        with pytest.raises(Broken, match=r"there is something at .*/7"):
            check_absence(left)


ACCOUNT = PartitionAccount(
    partition=0,
    position=6,
    accepted=5,
    applied=5,
    pending=0,
    poison=0,
    erased=0,
    late=0,
    redelivered=0,
    duplicate=0,
    dead=0,
    filtered=0,
    commands=1,
    num_on_topic=6,
    beginning=0,
    is_moving=False,
)
AUDIT = Audit(namespace="t", verdict="holds", sentence="Holds.", partitions=(ACCOUNT,), sources=(), findings=())


def test_the_accounts_are_those_of_the_story() -> None:
    assert check_accounts(STORY, AUDIT) == "the accounts are exact"
    forgotten = replace(STORY, num_erased=3, num_late=2)
    assert check_accounts(forgotten, replace(AUDIT, partitions=(replace(ACCOUNT, accepted=8, erased=3, late=2),)))
    fewer, asked_twice = replace(ACCOUNT, applied=4, pending=1), replace(ACCOUNT, commands=2)
    others = [replace(AUDIT, verdict="broken"), *(replace(AUDIT, partitions=(one,)) for one in (fewer, asked_twice))]
    for other in others:
        with pytest.raises(Broken, match="the accounts are exact"):
            check_accounts(STORY, other)


def test_what_is_wished_is_what_the_commands_say() -> None:
    mine: dict[str, Any] = {"user": "ada", "at": AT}
    story = wished(Story(), Pin(statement=PINNED, **mine), Foreseen())
    story = wished(story, Never(subject="war", **mine), Foreseen())
    story = wished(story, Edit(text=OWN, **mine), Foreseen(own_words=(OWN,)))
    assert (story.pins, story.nevers, story.own_words, story.num_commands) == ((PINNED,), ("war",), (OWN,), 3)
    assert wished(story, Pin(statement="War.", **mine), REFUSAL) == replace(story, num_commands=4)
    story = wished(story, Unpin(statement=PINNED, **mine), Foreseen())
    story = wished(story, Allow(subject="war", **mine), Foreseen())
    assert wished(story, OptOut(**mine), Foreseen()) == Story(num_commands=6, own_words=(OWN,))


def test_who_is_forgotten_begins_anew() -> None:
    story = replace(
        sent(Story(), (rated(1, "Heat", 5), searched(2, "a dream"))), pins=(PINNED,), own_words=(OWN,), nevers=("war",)
    )
    assert dict(story.genres) == {"Heat": ()}
    gone = wished(story, Forget(user="ada", at=AT), Foreseen())
    assert (gone.num_events, gone.num_erased, gone.is_gone, gone.pins, gone.own_words, gone.nevers) == (0, 2, True, (), (), ())
    assert gone.genres == {}
    assert gone.erased == ("Heat", "a dream", PINNED, OWN)
    back = sent(gone, (rated(3, "Alien", 5),), late=(rated(4, "Fargo", 5),))
    assert (back.num_events, back.num_late, back.is_gone, back.told) == (1, 1, False, ("Alien",))
    assert back.erased == (*gone.erased, "Fargo")
