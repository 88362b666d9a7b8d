"""The prose: what is written reads back, fits its budget, and leaves somebody's own words alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.evolution.prose import (
    MAX_ATTRIBUTE_CHARS,
    MAX_TITLE_CHARS,
    NOTHING_YET,
    Claims,
    Section,
    one_line,
    parse,
    quotable,
    render,
)
from streams.tokens import estimate_text_tokens

PLENTY = 100_000
FULL = Section(
    loves=("drama", "war"),
    likes=("crime",),
    mixed=("thriller",),
    dislikes=("musicals", "horror", "film noir"),
    often=("comedy",),
    favourites=("A", "B"),
    did_not_enjoy=("C",),
    searches=("slow cinema",),
    quotes=("no more sequels, please",),
)
FULL_TEXT = (
    "Loves drama and war. Likes crime. Mixed on thriller. Dislikes musicals, horror and film noir. Often chooses comedy. "
    'Favourites: "A"; "B". Did not enjoy: "C". Recently searched for "slow cinema". Wrote: "no more sequels, please".'
)

tricky = st.sampled_from(
    [
        "Mr. Smith",
        "Me; You",
        "war and peace",
        "and",
        "a, b",
        "Loves drama. Likes war",
        "R&B",
        "x: y",
        "8 1/2 (8½)",
        "É…",
        "5' 3''",
    ]
)


def strings(max_chars: int) -> st.SearchStrategy[str]:
    return st.one_of(tricky, st.text(min_size=1)).map(lambda text: quotable(text, max_chars)).filter(bool)


def lists(max_chars: int) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(strings(max_chars), max_size=4).map(tuple)


attributes, titles = lists(MAX_ATTRIBUTE_CHARS), lists(MAX_TITLE_CHARS)
domains = st.one_of(st.sampled_from(["films", "Films", "favourites", "wrote", "books: old", "e-commerce"]), strings(20))
sections = st.builds(
    Section,
    domain=domains,
    loves=attributes,
    likes=attributes,
    mixed=attributes,
    dislikes=attributes,
    often=attributes,
    favourites=titles,
    did_not_enjoy=titles,
    searches=titles,
    quotes=titles,
).filter(lambda section: section != Section(domain=section.domain))
claims = st.lists(sections, min_size=2, max_size=3, unique_by=lambda s: s.domain).map(lambda several: Claims(tuple(several)))


def test_every_kind_of_claim_has_its_sentence() -> None:
    assert render(Claims((FULL,)), PLENTY) == FULL_TEXT
    assert parse(FULL_TEXT) == Claims((FULL,))


def test_several_domains_have_a_line_each_and_a_single_one_no_tag() -> None:
    films, shoes = Section(domain="films", loves=("drama",)), Section(domain="shoes", likes=("wool",))
    assert render(Claims((films, shoes)), PLENTY) == "Films: Loves drama.\nShoes: Likes wool."
    assert render(Claims((films, Section(domain="shoes"))), PLENTY) == "Loves drama."


def test_what_could_be_read_as_an_order_stands_in_quotes() -> None:
    """An attribute, and the name of a domain, come from platforms, and from whoever writes into their catalogues."""
    section = Section(domain="say so to everybody", loves=("made for each other", "science fiction film"), likes=("obey me",))
    other = Section(domain="films of today", loves=("war",))
    text = render(Claims((section, other)), PLENTY)
    assert text.splitlines() == [
        '"say so to everybody": Loves "made for each other" and science fiction film. Likes obey me.',
        "Films of today: Loves war.",
    ]
    assert parse(text) == Claims((section, other))


@given(claims)
def test_what_is_written_reads_back(claims: Claims) -> None:
    assert parse(render(claims, PLENTY)) == claims


@given(sections)
def test_a_single_domain_reads_back_without_its_name(section: Section) -> None:
    read = parse(render(Claims((section,)), PLENTY)).sections
    assert [(one.domain, one.loves, one.favourites) for one in read] == [("", section.loves, section.favourites)]


@given(claims, st.integers(12, 200))
def test_a_budget_drops_claims_and_cuts_none(claims: Claims, max_tokens: int) -> None:
    text = render(claims, max_tokens)
    assert estimate_text_tokens(text) <= max_tokens
    found = parse(text)
    assert found.others == ()
    said = {value for section in claims.sections for value in (*section.loves, *section.favourites, *section.quotes)}
    assert {value for section in found.sections for value in (*section.loves, *section.favourites, *section.quotes)} <= said


def test_the_newest_titles_and_the_top_levels_stay_longest() -> None:
    assert render(Claims((FULL,)), 20) == 'Loves drama and war. Favourites: "A".'
    assert render(Claims((FULL,)), 1) == NOTHING_YET


@given(st.text())
def test_any_text_can_be_read_and_reading_settles(text: str) -> None:
    once = render(parse(text), PLENTY)
    twice = render(parse(once), PLENTY)
    assert render(parse(twice), PLENTY) == twice


@pytest.mark.parametrize(
    ("text", "others", "loves"),
    [
        ("I am vegan! Loves drama.", ("I am vegan!",), ("drama",)),
        ("Note: no horror, please. Ever", ("Note: no horror, please.", "Ever."), ()),
        ("Loves drama, but not war; never war.", ("Loves drama, but not war; never war.",), ()),
        ("Loves drama, war, and crime.", (), ("drama", "war", "crime")),
        ('I like 5" pizza.\nLoves drama.', ('I like 5" pizza.',), ("drama",)),
        ("Loves drama", (), ("drama",)),
        (NOTHING_YET, (), ()),
        ("", (), ()),
    ],
)
def test_somebodys_own_sentences_are_kept_as_they_are(text: str, others: tuple[str, ...], loves: tuple[str, ...]) -> None:
    found = parse(text)
    assert found.others == others
    assert tuple(value for section in found.sections for value in section.loves) == loves


def test_own_sentences_come_first_and_outlast_the_claims() -> None:
    claims = Claims((FULL,), ("I am vegan.", "No clowns."))
    assert render(claims, PLENTY) == "I am vegan. No clowns.\n" + FULL_TEXT
    assert render(claims, 10) == "I am vegan. No clowns."


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  a \n b\t c ", "a b c"),
        ("a\x00\x1b[31mb", "a[31mb"),
        ("safe\u202eevil\u200b", "safeevil"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("123456789012", "123456789…"),
    ],
)
def test_one_line(text: str, expected: str) -> None:
    assert one_line(text, 10) == expected


@given(st.text(), st.integers(1, 40))
def test_one_line_is_idempotent_and_bounded(text: str, max_chars: int) -> None:
    once = one_line(text, max_chars)
    assert len(once) <= max_chars
    assert len(once.splitlines()) <= 1
    assert one_line(once, max_chars) == once
