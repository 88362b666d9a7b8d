"""A new `never` takes the titles along that may be of its subject, in tally and text, and no others."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from prefstream.events import Item, Rating
from prefstream.summaries import Tally
from streams.evidence import evidence_of
from streams.tally import fold
from streams.titles import without_titles
from streams.weights import DEFAULT_POLICY

AT = datetime(2026, 1, 5, 20, 15, tzinfo=UTC)


def rated(domain: str, title: str, stars: int, **attributes: tuple[str, ...]) -> Rating:
    return Rating(user="ada", at=AT, domain=domain, item=Item(id=title, title=title, attributes=attributes), value=stars)


FILMS = (
    rated("films", "Night Patrol", 5, genre=("war",)),
    rated("films", "The Bridge at Dawn", 1, genre=("drama",)),
    rated("books", "Emma", 5, genre=("romance",)),
)
TALLY = fold(Tally(), map(evidence_of, FILMS))
TEXT = 'Books: Loves romance. Favourites: "Emma".\nFilms: Loves drama. Favourites: "Night Patrol"; "Old One".'


def left(text: str, *subjects: str) -> tuple[str, list[str]]:
    said, tally = without_titles(text, TALLY, subjects, 160)
    return said, [one.title for domain in tally.domains.values() for one in (*domain.favourites, *domain.dislikes)]


def test_titles_go_where_something_of_the_subject_is_counted() -> None:
    """All of that domain, also those that no tally remembers any more: none of them tells what it is of."""
    assert left(TEXT, "war") == ('Books: Loves romance. Favourites: "Emma".\nFilms: Loves drama.', ["Emma"])


def test_nothing_goes_where_nothing_of_it_is_counted() -> None:
    assert without_titles(TEXT, TALLY, ("horror", "wars"), 160) == (TEXT, TALLY)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('Keeps going back to "Night Patrol". Cooks.', "Cooks."),
        ("Keeps going back to Night Patrol. Cooks.", "Cooks."),
        ('Loves drama. Favourites: "Night Patrol".', "Loves drama."),
        ('Books: Favourites: "Emma"; "Night Patrol".\nFilms: Loves drama.', 'Books: Favourites: "Emma".\nFilms: Loves drama.'),
    ],
)
def test_the_text_does_not_name_them(text: str, expected: str) -> None:
    assert left(text, "war")[0] == expected


def test_a_title_of_one_word_is_a_word_like_others_outside_quotes() -> None:
    tally = fold(Tally(), [evidence_of(rated("films", "It", 5, genre=("war",)))])
    assert without_titles('Takes it slow. Dreads "It".', tally, ("war",), 160)[0] == "Takes it slow."


def test_a_sensitive_matter_is_known_by_other_names() -> None:
    tally = fold(Tally(), [evidence_of(rated("groups", "Sunday Circle", 5, faith=("Catholic",)))])
    assert without_titles("", tally, ("religion",), 160)[1].domains["groups"].favourites == ()


def test_where_the_tally_is_full_what_was_counted_may_have_given_way() -> None:
    full = [evidence_of(rated("films", f"Film {n}", 5, topic=(f"topic {n}",))) for n in range(DEFAULT_POLICY.max_attributes)]
    tally = fold(Tally(), full)
    assert without_titles("", tally, ("war",), 160)[1].domains["films"].favourites == ()
    assert without_titles("", fold(Tally(), full[1:]), ("war",), 160)[1].domains["films"].favourites
