"""Of what an answer says, what was offered is taken, in the words of the offer: the very words first, then the letters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.evolution.grounding import grounded
from streams.evolution.prose import KINDS, Section

OFFERED = ("Lang C", "Lang C++", "Alien Resurrection (1997)", "Part I", "Part II", "$9.99", "दिल", "***", "Café")


@pytest.mark.parametrize(
    ("said", "taken"),
    [
        (("Lang C++", "Lang C"), ("Lang C++", "Lang C")),
        (("lang c",), ()),  # which of the two?
        (("alien resurrection 1997",), ("Alien Resurrection (1997)",)),
        (("Alien Resurr...",), ("Alien Resurrection (1997)",)),
        (("Alien...", "A…", "...", "", "!!!"), ()),
        (("Part...", "Part III"), ()),
        (("दल", "दिल"), ("दिल",)),
        (("Cafe\u0301",), ("Café",)),
        (("Part I", "Part I"), ("Part I",)),
    ],
)
def test_which_value_is_meant(said: tuple[str, ...], taken: tuple[str, ...]) -> None:
    (section,) = grounded([Section(favourites=said)], [Section(favourites=OFFERED)])
    assert section.favourites == taken


def test_a_claim_is_of_its_kind_and_domain() -> None:
    offered = [Section(domain="films", loves=("drama",)), Section(domain="books", loves=("drama", "war"), dislikes=("crime",))]
    said = [Section(domain="Books", loves=("war",), likes=("drama",)), Section(domain="games", loves=("drama",))]
    assert grounded(said, offered) == (Section(domain="films"), Section(domain="books", loves=("war",)))
    unnamed = [Section(loves=("war", "drama"), dislikes=("crime",))]
    films, books = grounded(unnamed, offered)
    assert (films.loves, books.loves, books.dislikes) == (("drama",), ("war",), ("crime",))


WORDS = st.lists(st.text(max_size=12), max_size=4, unique=True).map(tuple)
SECTIONS = st.lists(
    st.builds(Section, domain=st.sampled_from(["", "films", "books"]), loves=WORDS, favourites=WORDS, quotes=WORDS), max_size=3
)


@given(SECTIONS, st.lists(SECTIONS.filter(bool).map(lambda sections: sections[0]), max_size=2))
def test_nothing_is_said_that_was_not_offered(said: list[Section], offered: list[Section]) -> None:
    for section, was in zip(grounded(said, offered), offered, strict=True):
        assert section.domain == was.domain
        for kind in KINDS:
            values = getattr(section, kind)
            assert set(values) <= set(getattr(was, kind))
            assert len(set(values)) == len(values)
