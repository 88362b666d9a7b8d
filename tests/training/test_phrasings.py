"""Phrasings: whatever the form, code reads the same claims back, and the budget holds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.evolution.prose import NOTHING_YET, Claims, Section, parse, render
from streams.tokens import estimate_text_tokens
from training.phrasings import PHRASINGS, Phrasing, phrase

FILMS = Section(
    domain="films",
    loves=("drama", "war"),
    dislikes=("rock and roll", "musicals"),
    favourites=("Fargo (1996)", "Mr. Smith; or: Loves (1939)"),
    did_not_enjoy=("Spawn (1997)",),
)
BOOKS = Section(domain="books", likes=("crime",), favourites=("Emma",))
ONE = Claims((FILMS,))
TWO = Claims((FILMS, BOOKS), ("Please, no horror.",))


def named(claims: Claims) -> set[tuple[str, str, tuple[str, ...]]]:
    """What is said, whatever the order; a text about one domain does not name it."""
    several = len(claims.sections) > 1
    kinds = ("loves", "likes", "mixed", "dislikes", "often", "favourites", "did_not_enjoy", "searches", "quotes")
    return {
        (section.domain if several else "", kind, getattr(section, kind))
        for section in claims.sections
        for kind in kinds
        if getattr(section, kind)
    }


def test_there_are_six_and_each_is_another_text() -> None:
    assert len({phrase(ONE, phrasing, 500) for phrasing in PHRASINGS}) == len(PHRASINGS) == 6


def test_the_first_is_the_proses_own() -> None:
    assert phrase(TWO, PHRASINGS[0], 500) == render(TWO, 500)


@pytest.mark.parametrize("phrasing", PHRASINGS)
@pytest.mark.parametrize("claims", [ONE, TWO])
def test_code_reads_the_same_claims_back(claims: Claims, phrasing: Phrasing) -> None:
    read = parse(phrase(claims, phrasing, 500))
    assert named(read) == named(claims)
    assert read.others == claims.others


@pytest.mark.parametrize("phrasing", PHRASINGS)
def test_nothing_is_said_in_one_way(phrasing: Phrasing) -> None:
    assert phrase(Claims(), phrasing, 100) == NOTHING_YET


words = st.lists(st.text("ab ;.,:&", min_size=1, max_size=6).map(str.strip).filter(bool), max_size=3, unique=True).map(tuple)
sections = st.builds(Section, domain=st.sampled_from(["films"]), loves=words, dislikes=words, favourites=words)


@given(sections, st.sampled_from(PHRASINGS), st.integers(15, 60))
def test_the_budget_holds_and_nothing_is_added(section: Section, phrasing: Phrasing, max_tokens: int) -> None:
    text = phrase(Claims((section,)), phrasing, max_tokens)
    assert estimate_text_tokens(text) <= max_tokens
    for read in parse(text).sections:
        assert set(read.loves) <= set(section.loves)
        assert set(read.favourites) <= set(section.favourites)
