"""What speaks of a forbidden subject is found by its words, and taken out of text, tally and evidence, no more and no less."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from prefstream.events import Choice, Comment, Event, Feedback, Item, Post, Rating, Search
from prefstream.summaries import Tally
from streams.evidence import evidence_of
from streams.evolution.plain import word_event
from streams.subjects import evidence_without, sentences_without, speaks_of, tally_without, text_without
from streams.tally import digest, fold

AT = datetime(2026, 1, 5, 20, 15, tzinfo=UTC)
WAR = speaks_of(("war",))


@pytest.mark.parametrize(
    ("text", "is_said"),
    [
        ("Loves war.", True),
        ("Loves WAR!", True),
        ("loves w\u200bar", True),
        ("Loves warm films and wars.", False),
        ("", False),
        ("Civil War", True),
    ],
)
def test_a_subject_is_found_by_its_words(text: str, is_said: bool) -> None:
    assert WAR(text) is is_said


def test_several_words_stand_in_a_row() -> None:
    speaks = speaks_of(("slow cinema", "", "..."))
    assert [speaks(text) for text in ("Slow cinema.", "slow French cinema", "cinema slow", "")] == [True, False, False, False]


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Loves drama and war. Likes crime.", "Loves drama. Likes crime."),
        ('Loves drama. Favourites: "War and Peace"; "Fargo".', 'Loves drama. Favourites: "Fargo".'),
        ("Loves war.", "No clear preferences yet."),
        ("Talks of war a lot. Loves drama.", "Loves drama."),
        ("Loves   drama,  oddly   written", "Loves   drama,  oddly   written"),
    ],
)
def test_a_text_loses_what_speaks_of_it(text: str, left: str) -> None:
    assert text_without(text, WAR, 160) == left


def test_a_name_with_points_in_it_is_found_over_what_looks_like_the_ends_of_sentences() -> None:
    speaks = speaks_of(("J. R. R. Tolkien", "Mr. Robot"))
    told = "Cooks. Reads J. R. R. Tolkien at night. Runs. Watches Mr. Robot films. Sings.\nLoves drama."
    assert text_without(told, speaks, 160) == "Cooks. Runs. Sings.\nLoves drama."
    assert sentences_without(("Likes Mr.", "Robot.", "Cooks."), speaks) == ("Cooks.",)
    assert sentences_without((), speaks) == ()


def loved(title: str, **attributes: tuple[str, ...]) -> Rating:
    return Rating(user="ada", at=AT, item=Item(id="1", title=title, attributes=attributes), value=5)


HEAT, CHARGE = Item(id="2", title="Heat"), Item(id="4", title="The Charge", attributes={"genre": ("drama", "war")})


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (loved("Heat", genre=("crime", "war")), ""),
        (loved("Heat", war=("yes",)), ""),
        (loved("Heat", genre=("crime",)), 'loved "Heat" (crime)'),
        (replace(loved("Heat", genre=("war",)), value=1), ""),
        (Feedback(user="ada", at=AT, item=CHARGE, liked=False, text="Slow, and the ending is a joke"), ""),
        (Choice(user="ada", at=AT, chosen=CHARGE, rejected=(HEAT,), query="films"), ""),
        (Choice(user="ada", at=AT, chosen=HEAT, rejected=(CHARGE,)), 'chose "Heat"'),
        (loved("War Horse", genre=("drama",)), ""),
        (Search(user="ada", at=AT, query="films of war"), ""),
        (Search(user="ada", at=AT, query="films"), 'searched for "films"'),
        (Post(user="ada", at=AT, text="I hate war and I say so"), ""),
        (Comment(user="ada", at=AT, text="No more war", item=Item(id="2", title="Heat")), 'commented on "Heat": ""'),
        (Comment(user="ada", at=AT, text="No more war"), ""),
        (Choice(user="ada", at=AT, chosen=Item(id="3", title="War"), rejected=(Item(id="2", title="Heat"),)), ""),
        (
            Choice(user="ada", at=AT, chosen=Item(id="2", title="Heat"), rejected=(Item(id="3", title="War"),)),
            'chose "Heat"',
        ),
        (Search(user="ada", at=AT, domain="war", query="maps"), ""),
    ],
)
def test_an_event_loses_what_speaks_of_it(event: Event, words: str) -> None:
    """And what is left of it is worded without a trace."""
    assert word_event(evidence_without(evidence_of(event), ("war",))) == words


def test_a_tally_loses_what_speaks_of_it() -> None:
    events: list[Event] = [loved("War Horse", genre=("war", "drama"), topic=("war",)) for _ in range(4)]
    events += [Search(user="ada", at=AT, query="war at sea"), Search(user="ada", at=AT, domain="war", query="maps")]
    tally = fold(Tally(), map(evidence_of, events))
    assert "war" in digest(tally)
    left = tally_without(tally, WAR)
    assert digest(left) == "domain: \nloved: drama"
    assert left.num_events == 6
