"""May a group go on from what it committed? The rule, its words, and what a decision makes of it; without a broker."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from rich.console import Console

from prefstream.rendering.sources import standings_list
from prefstream.sources import (
    UNMARKED,
    Beginning,
    Mark,
    NotAcceptable,
    Standing,
    Verdict,
    decide,
    decode_mark,
    encode_mark,
    refusal,
)

OLD, NEW = Mark(topic_id="id-1", num_expired=2), Mark(topic_id="id-2")


def standing(committed: int | None, mark: Mark = NEW, beginning: int = 10, end: int = 90, topic: str = "ratings") -> Standing:
    return Standing(topic=topic, topic_id="id-2", partition=3, committed=committed, mark=mark, beginning=beginning, end=end)


@pytest.mark.parametrize(
    ("committed", "mark", "verdict", "lag"),
    [
        (None, UNMARKED, "ok", 80),
        (10, NEW, "ok", 80),
        (90, NEW, "ok", 0),
        (50, UNMARKED, "ok", 40),
        (9, NEW, "expired", 80),
        (0, UNMARKED, "expired", 80),
        (91, NEW, "beyond end", 80),
        (91, UNMARKED, "beyond end", 80),
        (50, OLD, "recreated", 80),
        (91, OLD, "recreated", 80),
        (0, OLD, "recreated", 80),
    ],
)
def test_the_verdict(committed: int | None, mark: Mark, verdict: Verdict, lag: int) -> None:
    found = standing(committed, mark)
    assert (found.verdict, found.lag) == (verdict, lag)
    assert found.needs_decision == (refusal("t", [found]) is not None) == (verdict in ("recreated", "beyond end"))


def test_a_refusal_names_topic_facts_and_the_way_on() -> None:
    assert refusal("t", [standing(20), standing(50, OLD), standing(91)]) == (
        "ratings: partition 3 is committed up to 50 of the topic with the id id-1, and the topic's id is id-2 now "
        "(and 1 partition more). It was deleted and created again: going on at the old offset would pass over what it has now. "
        "See `prefstream sources list`, then decide: `prefstream sources accept ratings [--from beginning|end]`."
    )
    assert refusal("t", [standing(91)]) == (
        "ratings: partition 3 is committed up to 91, and ends at 90. It lost its end: what is written to those offsets again "
        "would be taken for what was read. "
        "See `prefstream sources list`, then decide: `prefstream sources accept ratings --from end`."
    )


@pytest.mark.parametrize("found", [standing(50, OLD, topic="t.events"), standing(91, topic="t.events")])
def test_the_keyed_topic_is_beyond_a_decision(found: Standing) -> None:
    sentence = refusal("t", [found])
    assert sentence is not None
    assert "start a new namespace" in sentence
    assert "accept" not in sentence
    with pytest.raises(NotAcceptable, match="start a new namespace"):
        decide("t", [found], None)


@pytest.mark.parametrize(
    ("found", "start", "committed", "mark"),
    [
        (standing(50, OLD), None, 10, replace(NEW, num_expired=2)),
        (standing(50, OLD), "beginning", 10, replace(NEW, num_expired=2)),
        (standing(50, OLD), "end", 90, replace(NEW, num_expired=2)),
        (standing(91), None, 90, replace(NEW, since=90)),
        (standing(91), "end", 90, replace(NEW, since=90)),
        (standing(91, UNMARKED), "end", 90, replace(NEW, since=90)),
    ],
)
def test_a_decision(found: Standing, start: Beginning | None, committed: int, mark: Mark) -> None:
    [decided] = decide("t", [standing(20), found, standing(5), standing(None)], start)
    assert (decided.committed, decided.mark) == (committed, mark)
    assert not decided.needs_decision
    assert decide("t", [decided], start) == ()


def test_what_was_read_is_not_read_again_as_something_new() -> None:
    with pytest.raises(NotAcceptable, match=r"could not be told from what is new: decide with --from end"):
        decide("t", [standing(91)], "beginning")


def test_origins_of_a_partition_that_lost_its_end_are_others_from_there_on() -> None:
    [decided] = decide("t", [standing(91)], None)
    assert (NEW.origin_topic, decided.mark.origin_topic) == ("id-2", "id-2@90")


@given(st.builds(Mark, topic_id=st.text(), since=st.integers(0, 2**62), num_expired=st.integers(0, 2**62)))
def test_a_mark_survives_the_broker(mark: Mark) -> None:
    assert decode_mark(encode_mark(mark)) == mark


@pytest.mark.parametrize("metadata", [None, "", "x", "[]", '{"topic_id": 5}', "5"])
def test_the_metadata_of_others_says_nothing(metadata: str | None) -> None:
    assert decode_mark(metadata) == UNMARKED


def test_a_mark_of_a_later_version_is_read() -> None:
    assert decode_mark('{"topic_id":"id-2","colour":"red"}') == NEW


LONG = "company.production.european-shop.ratings-of-films-and-of-many-other-things.v2"


@pytest.mark.parametrize("width", [80, 120])
def test_the_list_names_every_topic_whole_and_counts_what_is_empty(width: int) -> None:
    empty = [replace(standing(None, beginning=0, end=0), partition=number) for number in (4, 5)]
    assert listed([standing(50, OLD), standing(5), *empty, standing(9_000_000_000, topic=LONG)], width) == [
        "partition committed beginning end lag expired verdict",
        "ratings",
        "3 50 10 90 80 2 recreated",
        "3 5 10 90 80 0 expired",
        "2 partitions are empty",
        LONG,
        "3 9,000,000,000 10 90 80 0 beyond end",
    ]


def test_the_list_leaves_out_what_never_was() -> None:
    assert listed([standing(None, beginning=0)], 80) == [
        "partition committed beginning end lag verdict",
        "ratings",
        "3 – 0 90 90 ok",
    ]


def listed(found: list[Standing], width: int) -> list[str]:
    """Each line of the list, its spaces made one."""
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(standings_list(found))
    lines = console.export_text().splitlines()
    assert all(len(line) <= width for line in lines)
    return [" ".join(line.split()) for line in lines]
