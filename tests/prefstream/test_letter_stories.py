"""Letters about one record are one story, with an id that people can say; and what they say means exactly these stories."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefstream import letter_stories
from prefstream.dead_letters import DeadLetter, Origin
from prefstream.letter_stories import Filed, Story, Wanted, filed, in_batches, named, stories
from prefstream.replays import why_not
from prefstream.topics import TopicNames

AT = datetime(2026, 1, 5, 20, 15, tzinfo=UTC)


def letter(offset: int, topic: str = "RATINGS", **more: Any) -> DeadLetter:
    one = DeadLetter(
        origin=Origin(topic, 0, offset),
        source="ratings",
        reason="invalid",
        message="",
        key=b"key",
        value=b"value",
        value_size=5,
        headers=(("trace", b"1"),),
        first_seen_at=AT,
        last_seen_at=AT + timedelta(seconds=offset),
    )
    return msgspec.structs.replace(one, **more)


def again(offset: int, first: DeadLetter, **more: Any) -> DeadLetter:
    """The letter of its replay, at this offset of the replays topic."""
    return letter(offset, "REPLAYS", first_origin=first.beginning, attempts=first.attempts + 1, **more)


def told(letters: Iterable[DeadLetter]) -> list[Story]:
    return stories(filed(one, 0, number) for number, one in enumerate(letters))


def test_what_is_remembered_has_no_bytes() -> None:
    one = filed(letter(1), 3, 7)
    assert one == Filed(letter(1, key=None, value=None, headers=()), 3, 7)


def test_letters_of_one_record_are_one_story_told_by_the_last_attempt() -> None:
    first = letter(1, state="replayed")
    second = again(5, first, state="replayed")
    third = again(9, second)
    (story,) = told([third, first, second])
    assert [one.letter.attempts for one in story.filed] == [1, 2, 3]
    assert (story.id, story.letter.state, story.letter.origin.topic) == ("ratings/0/1", "open", "REPLAYS")


def test_events_of_one_record_are_stories_of_their_own() -> None:
    letters = [letter(1, origin=Origin("RATINGS", 0, 1, index), is_event=True) for index in (0, 2)]
    assert sorted(story.id for story in told(letters)) == ["ratings/0/1/0", "ratings/0/1/2"]


def test_what_was_seen_last_comes_first() -> None:
    assert [story.id for story in told(map(letter, (2, 9, 4)))] == ["ratings/0/9", "ratings/0/4", "ratings/0/2"]


def test_of_a_topic_that_was_created_again_the_ids_of_the_topics_tell_them_apart() -> None:
    found = told([letter(1), letter(1, "ANOTHER"), letter(2)])
    assert {story.id for story in found} == {"RATINGS/0/1", "ANOTHER/0/1", "ratings/0/2"}
    assert [story.letter.origin.topic for story in named(["ANOTHER/0/1"], found)[0]] == ["ANOTHER"]


@pytest.mark.parametrize(
    ("ids", "found", "unknown"),
    [
        ([], [], []),
        (["ratings/0/2", "ratings/0/1"], ["ratings/0/2", "ratings/0/1"], []),
        (["ratings/0/1", "RATINGS/0/1"], ["ratings/0/1"], []),
        (["ratings/0/3"], [], ["no dead letter is called 'ratings/0/3'; the nearest is 'ratings/0/2'"]),
        (["x", "ratings/0/1"], ["ratings/0/1"], ["no dead letter is called 'x'; `prefstream dead-letters list --state all`"]),
    ],
)
def test_what_somebody_names_is_that_or_nothing(ids: list[str], found: list[str], unknown: list[str]) -> None:
    chosen, sentences = named(ids, told([letter(1), letter(2)]))
    assert [story.id for story in chosen] == found
    assert [sentence[: len(start)] for sentence, start in zip(sentences, unknown, strict=True)] == unknown


@pytest.mark.parametrize(
    ("wanted", "offsets"),
    [
        (Wanted(), {1, 2, 3}),
        (Wanted(state="open"), {1, 2}),
        (Wanted(state="dropped"), {3}),
        (Wanted(reasons=("invalid",)), {1, 3}),
        (Wanted(reasons=("invalid", "too_large"), state="open"), {1, 2}),
        (Wanted(sources=("clicks",)), {2}),
        (Wanted(reasons=("invalid",), sources=("clicks",)), set()),
    ],
)
def test_what_is_wanted(wanted: Wanted, offsets: set[int]) -> None:
    found = told([letter(1), letter(2, source="clicks", reason="too_large"), letter(3, state="dropped")])
    assert {story.letter.origin.offset for story in found if story in wanted} == offsets


@given(st.permutations(range(20)), st.integers(1, 6), st.lists(st.integers(0, 40), min_size=20, max_size=20))
def test_batches_have_everything_once_in_the_order_of_the_records(offsets: list[int], most: int, sizes: list[int]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(letter_stories, "_MAX_BATCH_STORIES", most)
        patch.setattr(letter_stories, "_MAX_BATCH_BYTES", 50)
        batches = list(in_batches(told(letter(offset, value_size=sizes[offset]) for offset in offsets)))
    assert [story.letter.origin.offset for batch in batches for story in batch] == list(range(20))
    assert all(batch for batch in batches)
    assert all(len(batch) <= most for batch in batches)
    assert all(len(batch) == 1 or sum(story.letter.value_size for story in batch) <= 50 for batch in batches)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, ""),
        ({"state": "replayed"}, ""),
        ({"value": b"", "value_size": 0}, ""),
        ({"state": "dropped", "value": None}, "dropped, and its bytes are gone"),
        ({"value": None, "value_size": 0}, "had no value"),
        ({"value_size": 6}, "only 5 of its 6 bytes were kept: publish the record again"),
        ({"source": "p.events"}, "wrote it to p.events, where only intake writes"),
    ],
)
def test_what_cannot_be_replayed(fields: dict[str, Any], words: str) -> None:
    why = why_not(letter(1, **fields), TopicNames("p"))
    assert (words in why, bool(why)) == (True, bool(words))
