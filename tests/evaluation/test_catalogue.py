"""What a few people's ratings say of items, counted by hand."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest

from evaluation.catalogue import AGREEMENT_OF, LIKED_OF, MEAN_OF, Catalogue, written
from evaluation.records import Person
from prefstream.events import Choice, Item, Rating
from tests.evaluation.films import AT, rated

A, B, C = Item("a", "Alien"), Item("b", "Brazil"), Item("c", "ALIEN")
STARS = {
    "ada": [(A, 5), (B, 5)],  # strengths 1, 1
    "bob": [(A, 5), (B, 1)],  # 1, -1
    "cyd": [(A, 4), (B, 4), (C, 2)],  # 0.5, 0.5, -0.5
}
PEOPLE = [
    Person(user, tuple(rated(user, item, 10 * place, value) for place, (item, value) in enumerate(theirs)))
    for user, theirs in STARS.items()
]
CATALOGUE = Catalogue.of(PEOPLE)


def test_means_counts_and_ranks() -> None:
    assert [item.id for item in CATALOGUE.items] == ["a", "b", "c"]
    assert CATALOGUE.counts.tolist() == [3, 3, 1]
    overall = (1 + 1 + 1 - 1 + 0.5 + 0.5 - 0.5) / 7
    assert CATALOGUE.means == pytest.approx(
        [
            (2.5 + MEAN_OF * overall) / (3 + MEAN_OF),
            (0.5 + MEAN_OF * overall) / (3 + MEAN_OF),
            (-0.5 + MEAN_OF * overall) / (1 + MEAN_OF),
        ]
    )
    assert CATALOGUE.ranks.tolist() == [0, 1, 2]
    assert CATALOGUE.by_rank.tolist() == [0, 1, 2]


def test_agreement_is_about_what_each_person_thinks_of_all_they_met() -> None:
    """Less their means: ada 0, 0; bob 1, -1; cyd 1/3, 1/3, -2/3."""
    together, a, b = 1 * -1 + 1 / 9, 1 + 1 / 9, 1 + 1 / 9
    assert CATALOGUE.agreement[0, 1] == pytest.approx(together / sqrt(a * b) * 3 / (3 + AGREEMENT_OF))
    assert CATALOGUE.agreement[0, 2] == pytest.approx(-1 / (1 + AGREEMENT_OF))
    assert (CATALOGUE.agreement == CATALOGUE.agreement.T).all()
    assert CATALOGUE.agreement.diagonal().tolist() == [0, 0, 0]


def test_liked_together() -> None:
    """All three liked a, ada and cyd b, nobody c."""
    assert CATALOGUE.liked_together[0, 1] == pytest.approx(2 / sqrt((3 + LIKED_OF) * (2 + LIKED_OF)))
    assert CATALOGUE.liked_together[:, 2].tolist() == [0, 0, 0]


def test_a_catalogue_without_somebody_is_that_of_the_others() -> None:
    others = Catalogue.of([person for person in PEOPLE if person.user != "bob"], items=CATALOGUE.items)
    without = CATALOGUE.without({"bob"})
    assert without.users == others.users == {"ada", "cyd"}
    assert without.items == others.items
    for name in ("means", "counts", "ranks", "agreement", "liked_together"):
        assert np.array_equal(getattr(without, name), getattr(others, name))


def test_before_an_instant_nothing_later_is_known() -> None:
    early = Catalogue.of(PEOPLE, AT.timestamp() + 10, CATALOGUE.items)
    assert early.counts.tolist() == [3, 0, 0]
    assert early.before_seconds == AT.timestamp() + 10
    assert early.means[1] == pytest.approx(2.5 / 3)


def test_a_title_names_every_item_that_has_it() -> None:
    assert CATALOGUE.titled == {"alien": (0, 2), "brazil": (1,)}
    assert written('The "Alien"') == "the 'alien'"


def test_who_rates_a_film_twice_thinks_what_they_thought_last() -> None:
    twice = Person("dan", (rated("dan", A, 0, 1), rated("dan", A, 9, 5)))
    assert Catalogue.of([twice]).strengths.toarray().tolist() == [[3.0]]


def test_what_was_left_for_a_choice_weighs_half_of_it_altogether() -> None:
    choice = Choice(user="eve", at=AT, chosen=A, rejected=(B, C))
    assert Catalogue.of([Person("eve", (choice,))]).strengths.toarray()[0] - 2 == pytest.approx([0.9, -0.225, -0.225])


def test_nobody_at_all_is_a_catalogue_of_nothing() -> None:
    empty = Catalogue.of([], items=[A])
    assert (empty.counts.tolist(), empty.means.tolist(), empty.agreement.tolist()) == ([0], [0], [[0]])
    assert isinstance(PEOPLE[0].events[0], Rating)
