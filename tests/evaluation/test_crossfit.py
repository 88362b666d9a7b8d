"""Nobody is asked twice, and in the strict variant nothing is known of the future."""

from __future__ import annotations

import math

from evaluation.crossfit import folds_of, next_at, strict_folds_of
from evaluation.records import Person
from tests.evaluation.films import AT, raters

PEOPLE = raters()
STRICT = strict_folds_of(PEOPLE, seed=0)


def test_the_same_people_and_seed_are_the_same_folds() -> None:
    assert [fold.asked for fold in folds_of(PEOPLE, 0)] == [fold.asked for fold in folds_of(PEOPLE, 0)]
    assert [fold.asked for fold in folds_of(PEOPLE, 0)] != [fold.asked for fold in folds_of(PEOPLE, 1)]


def test_all_catalogues_know_the_same_items_in_the_same_rows() -> None:
    catalogues = [lesson.catalogue for fold in (*folds_of(PEOPLE, 0), *STRICT) for lesson in fold.lessons]
    assert len({id(catalogue) for catalogue in catalogues}) == 10 + 4 * 10
    assert all(catalogue.items == catalogues[0].items for catalogue in catalogues)


def test_eras_follow_each_other_and_the_last_has_no_end() -> None:
    begins = sorted({fold.begins_at for fold in STRICT})
    assert [sorted({fold.ends_at for fold in STRICT if fold.begins_at == begin}) for begin in begins] == [
        [end] for end in (*begins[1:], math.inf)
    ]
    events = sum(len(person.events) for person in PEOPLE.values())
    early = sum(event.at.timestamp() < begins[0] for person in PEOPLE.values() for event in person.events)
    assert 0.15 < early / events <= 0.2


def test_who_goes_on_before_the_first_era_is_not_asked() -> None:
    first, last = PEOPLE["u0"], PEOPLE["u59"]
    assert [fold.asks(first, 20) for fold in STRICT].count(True) == 0
    assert [fold.asks(last, 20) for fold in STRICT].count(True) == 1


def test_no_catalogue_of_an_era_knows_it() -> None:
    for fold in STRICT:
        assert fold.catalogue.before_seconds == fold.begins_at
        met = {user: sum(event.at.timestamp() < fold.begins_at for event in person.events) for user, person in PEOPLE.items()}
        assert fold.catalogue.counts.sum() == sum(num for user, num in met.items() if user not in fold.asked)


def test_behind_the_last_event_comes_nothing() -> None:
    person = PEOPLE["u0"]
    assert next_at(person, 2) == AT.timestamp() + 1
    assert next_at(person, len(person.events)) == math.inf
    nobody = {"new": Person("new", ()), "other": Person("other", ())}
    assert [sum(fold.asks(person, 0) for fold in folds_of(nobody, 0)) for person in nobody.values()] == [1, 1]
