"""Redaction finds what reaches a person, leaves titles and years alone, and counts what it found."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefstream.dead_letters import Origin
from prefstream.events import Choice, Click, Comment, Event, Feedback, Item, Message, Post, Rating, Search
from streams.records import Arrival, encode_event
from streams.redaction import DEFAULT_KINDS, KINDS, MAX_CHARS, Kind, Redaction, redacted
from streams.versions import step_from

AT = datetime(2026, 1, 5, tzinfo=UTC)
EVERYTHING = Redaction({field: frozenset(KINDS) for field in DEFAULT_KINDS})
MAIL = "ada.lovelace@example.org"


def post(text: str) -> Post:
    return Post(user="ada", at=AT, text=text)


def written(text: str, policy: Redaction = EVERYTHING) -> str:
    event, _ = redacted(post(text), policy)
    assert isinstance(event, Post)
    return event.text


@pytest.mark.parametrize(
    ("text", "left", "kind"),
    [
        (f"mail {MAIL}, please", "mail (e-mail), please", "email"),
        ("mail ADA+films@mail.example.co.uk.", "mail (e-mail).", "email"),
        ("mail ada\u200b@exa\u200bmple.org", "mail (e-mail)", "email"),
        ("mail ａｄａ＠example.org", "mail (e-mail)", "email"),
        ("pay 4111 1111 1111 1111 now", "pay (card) now", "card"),
        ("pay 5500-0000-0000-0004 now", "pay (card) now", "card"),
        ("pay 378282246310005 now", "pay (card) now", "card"),
        ("call +44 20 7946 0018 today", "call (phone) today", "phone"),
        ("call (212) 555-2368 today", "call (phone) today", "phone"),
        ("call 2125552368", "call (phone)", "phone"),
        ("I live at 221b Baker Street, London", "I live at (address), London", "address"),
        ("at 12 Elm St, Springfield, IL 62704 now", "at (address) now", "address"),
        ("in der Hauptstraße 12b, 10115 Berlin", "in der (address)", "address"),
        ("au 12 bis, rue de la Paix", "au (address)", "address"),
        ("en Calle de Alcalá, 45", "en (address)", "address"),
        ("write to P.O. Box 1234", "write to (address)", "address"),
        ("near SW1A 1AA", "near (address)", "address"),
    ],
)
def test_what_reaches_a_person_is_taken_out(text: str, left: str, kind: Kind) -> None:
    event, found = redacted(post(text), EVERYTHING)
    assert event == post(left)
    assert found == {kind: 1}


@pytest.mark.parametrize(
    "text",
    [
        "1984",
        "Apollo 13",
        "2001: A Space Odyssey (1968)",
        "867-5309/Jenny",
        "The 39 Steps",
        "Fahrenheit 451, from 1966, is 112 minutes",
        "36-28-38, 5'7\", 130 lbs, size 4",
        "ISBN 978-3-16-148410-0",
        "order 1234567890123456",
        "on 2019-01-05 12:30:11",
        "cost $1,299.99 in 2020, 2021 and 2022",
        "@adalovelace said 10/10 @ home",
        "I walked 3 miles in a good way",
    ],
)
def test_numbers_that_are_none_of_it_stay(text: str) -> None:
    assert written(text) == text


def test_several_are_counted_each() -> None:
    _, found = redacted(post(f"{MAIL} or bob@example.net or +44 20 7946 0018"), EVERYTHING)
    assert found == {"email": 2, "phone": 1}


ITEM = Item("1", f"Mail {MAIL}", {"maker": (MAIL,)})
CLEAN = Item("1", "Mail (e-mail)", {"maker": ("(e-mail)",)})
FIELDS: list[tuple[Event, Event, Event]] = [
    (
        Comment(user="ada", at=AT, text=MAIL, in_reply_to=MAIL, item=ITEM),
        Comment(user="ada", at=AT, text="(e-mail)", in_reply_to="(e-mail)", item=ITEM),
        Comment(user="ada", at=AT, text="(e-mail)", in_reply_to="(e-mail)", item=CLEAN),
    ),
    (
        Message(user="ada", at=AT, text=MAIL),
        Message(user="ada", at=AT, text="(e-mail)"),
        Message(user="ada", at=AT, text="(e-mail)"),
    ),
    (
        Search(user="ada", at=AT, query=MAIL),
        Search(user="ada", at=AT, query="(e-mail)"),
        Search(user="ada", at=AT, query="(e-mail)"),
    ),
    (
        Feedback(user="ada", at=AT, item=ITEM, liked=True, text=MAIL),
        Feedback(user="ada", at=AT, item=ITEM, liked=True, text="(e-mail)"),
        Feedback(user="ada", at=AT, item=CLEAN, liked=True, text="(e-mail)"),
    ),
    (
        Choice(user="ada", at=AT, chosen=ITEM, rejected=(ITEM,), query=MAIL),
        Choice(user="ada", at=AT, chosen=ITEM, rejected=(ITEM,), query="(e-mail)"),
        Choice(user="ada", at=AT, chosen=CLEAN, rejected=(CLEAN,), query="(e-mail)"),
    ),
    (
        Rating(user="ada", at=AT, item=ITEM, value=5),
        Rating(user="ada", at=AT, item=ITEM, value=5),
        Rating(user="ada", at=AT, item=CLEAN, value=5),
    ),
    (Click(user="ada", at=AT, item=ITEM), Click(user="ada", at=AT, item=ITEM), Click(user="ada", at=AT, item=CLEAN)),
]


@pytest.mark.parametrize(("event", "usual", "strict"), FIELDS, ids=lambda event: type(event).__name__)
def test_the_policy_says_which_field(event: Event, usual: Event, strict: Event) -> None:
    """Titles and attributes stay unless that is asked for."""
    assert redacted(event)[0] == usual
    assert redacted(event, EVERYTHING)[0] == strict
    assert redacted(event, Redaction({})) == (event, {})


def test_a_search_may_read_like_an_address_and_a_post_may_not() -> None:
    search = Search(user="ada", at=AT, query="84 Charing Cross Road")
    assert redacted(search)[0] == search
    assert redacted(post("84 Charing Cross Road"))[0] == post("(address)")


@pytest.mark.parametrize(
    ("regions", "left"), [(("US",), "020 7946 0018"), (("GB",), "(phone)"), (("US", "GB"), "(phone)"), ((), "020 7946 0018")]
)
def test_a_number_without_a_plus_is_one_of_the_named_regions(regions: tuple[str, ...], left: str) -> None:
    assert written("020 7946 0018", Redaction(phone_regions=regions)) == left
    assert written("+44 20 7946 0018", Redaction(phone_regions=regions)) == "(phone)"


def test_of_a_long_text_the_beginning_is_read() -> None:
    words = written(f"{MAIL} " * 1_000).split()
    assert (set(words), words[-1]) == ({"(e-mail)", "…"}, "…")
    assert len(words) == MAX_CHARS // (len(MAIL) + 1)


WORDS = st.text(alphabet="ab ,.12", max_size=20)


@settings(max_examples=1_000, deadline=None, database=None)
@given(WORDS, st.from_regex(r"[a-z][a-z0-9._+-]{0,9}[a-z]@[a-z]{1,9}(\.[a-z]{2,5}){1,2}", fullmatch=True), WORDS)
def test_no_address_is_left_wherever_it_stands(before: str, mail: str, after: str) -> None:
    assert mail not in written(f"{before} {mail} {after}")


def test_neither_tally_nor_evidence_of_a_step_holds_it() -> None:
    texts = [f"Whoever likes slow films may write to {MAIL}", "my card is 4111 1111 1111 1111 by the way"]
    rows = [
        (number, Arrival(Origin("topic", 0, number), 0, 0, "", msgspec.Raw(encode_event(post(text)))))
        for number, text in enumerate(texts)
    ]
    step = step_from(b"ada", None, rows, "size")
    assert step.redacted == {"email": 1, "card": 1}
    told = msgspec.json.encode((step.evidence, step.tally)).decode()
    assert "(e-mail)" in told
    assert "(card)" in told
    assert MAIL not in told
    assert "4111" not in told
