"""States: where a history is cut, what is new and what was seen, and which pairs the next events decide."""

from __future__ import annotations

from evaluation.records import Person
from prefstream.events import Choice, Post
from prefstream.summaries import Tally
from streams.evidence import evidence_of
from streams.tally import fold
from tests.training.cases import BEGUN, film, person, rating
from training.states import counted, cuts_of, moments_of, pairs_between


def test_every_update_has_its_events_and_the_tally_all_of_them() -> None:
    ann = person("ann", 50)
    moments = moments_of(ann, chunk=20)
    assert [(moment.after, len(moment.evidence)) for moment in moments] == [(20, 20), (40, 20)]
    assert [moment.tally for moment in moments] == [fold(Tally(), map(evidence_of, ann.events[:end])) for end in (20, 40)]
    assert moments[1].evidence == tuple(map(evidence_of, ann.events[20:40]))
    assert moments[1].seen == tuple(map(evidence_of, ann.events[:40]))


def test_no_cut_between_two_events_of_one_second() -> None:
    events = tuple(rating("ann", number, 4.0, at=number // 3) for number in range(12))
    assert cuts_of(events, 4) == [6, 12]
    assert cuts_of(events, 3) == [3, 6, 9, 12]


def test_pairs_are_of_the_next_events_and_far_enough_apart() -> None:
    stars = (1, 5, 5, 3, 2, 4)
    ann = Person("ann", tuple(rating("ann", number, value) for number, value in enumerate(stars)))
    pairs = {(pair.chosen.id, pair.rejected.id) for pair in pairs_between(ann, 2, 6)}
    # 5 over 3, 5 over 2, 4 over 2; one star apart is no pair, and what came before is not asked about.
    assert pairs == {("f2", "f3"), ("f2", "f4"), ("f5", "f4")}
    assert {pair.after for pair in pairs_between(ann, 2, 6)} == {2}


def test_a_choice_is_a_pair_by_itself() -> None:
    choice = Choice(user="ann", at=BEGUN, domain="films", chosen=film(1), rejected=(film(2), film(3)))
    post = Post(user="ann", at=BEGUN, text="what a night that was for everybody")
    ann = Person("ann", (choice, post, rating("ann", 4, 1.0)))
    assert [(pair.chosen.id, pair.rejected.id) for pair in pairs_between(ann, 0, 3)] == [("f1", "f2"), ("f1", "f3")]


def test_what_the_counting_engine_says() -> None:
    moment = moments_of(person("ann", 20))[0]
    assert counted(moment, 160).startswith("Loves war. Dislikes musical. Favourites: ")
