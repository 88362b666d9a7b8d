"""What a view says: titles as they are written, shared ones in equal parts, evidence by id."""

from __future__ import annotations

import pytest

from evaluation.catalogue import Catalogue
from evaluation.readers.understood import claims_of, understood
from evaluation.records import Person, View
from prefstream.events import Item
from streams.evidence import evidence_of
from tests.evaluation.readers.films import ROMANCES, WARS, evidence_about, person, rating

TWINS = Item("t1", "Hamlet (1996)"), Item("t2", "Hamlet (1996)")
TRICKY = Item("q", 'War; "Peace". Favourites: x (1990)')
ITEMS = (*WARS, *ROMANCES, *TWINS, TRICKY)
CATALOGUE = Catalogue.of([], items=ITEMS)


@pytest.mark.parametrize(
    ("text", "liked", "disliked"),
    [
        ('Favourites: "War 0 (1990)"; "War 1 (1990)". Did not enjoy: "Romance 0 (1990)".', {"w0": 1, "w1": 1}, {"r0": 1}),
        ('Films: Favourites: "WAR 0  (1990)".\nBooks: Favourites: "Unknown".', {"w0": 1}, {}),
        ('Favourites: "Hamlet (1996)".', {"t1": 0.5, "t2": 0.5}, {}),
        ("Favourites: \"War; 'Peace'. Favourites: x (1990)\".", {"q": 1}, {}),
        ('Favourites: "War 0 (1990)"; "War 0 (1990)".', {"w0": 1}, {}),
        ("Loves War 0 (1990).", {}, {}),
        ("", {}, {}),
    ],
)
def test_titles(text: str, liked: dict[str, float], disliked: dict[str, float]) -> None:
    said = understood(View(text), CATALOGUE)
    rows = CATALOGUE.rows
    assert said.liked == {rows[item]: part for item, part in liked.items()}
    assert said.disliked == {rows[item]: part for item, part in disliked.items()}


def test_levels_are_those_of_every_domain_in_lower_case() -> None:
    said = understood(View("Films: Loves War and drama.\nBooks: Loves war. Dislikes crime."), CATALOGUE)
    assert {level: set(values) for level, values in said.levels.items() if values} == {
        "loves": {"war", "drama"},
        "dislikes": {"crime"},
    }


def test_evidence_counts_all_of_it_by_id_and_the_last_word() -> None:
    events = [*person("u", (*WARS, TWINS[1]), ROMANCES).events, rating("u", WARS[0], 2.0, 90), rating("u", TRICKY, 3.0, 91)]
    said = understood(View(evidence=tuple(map(evidence_of, events))), CATALOGUE)
    rows = CATALOGUE.rows
    assert said.liked == {rows[item.id]: 1.0 for item in (*WARS[1:], TWINS[1])}  # lukewarm at last is neither
    assert said.disliked == {rows[item.id]: 1.0 for item in (WARS[0], *ROMANCES)}
    assert said.levels["loves"] == {"war"}


def test_evidence_is_told_from_other_evidence() -> None:
    first, second = (View(evidence=evidence_about(Person("u", person("u", *both).events))) for both in ((WARS, ()), ((), WARS)))
    assert claims_of(first) != claims_of(second)
    assert understood(first, CATALOGUE).liked == understood(second, CATALOGUE).disliked
