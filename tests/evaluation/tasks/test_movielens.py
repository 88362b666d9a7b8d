"""What is asked: pairs of the next films by their stars, or one of them against one never seen, as popular and well liked."""

from __future__ import annotations

from collections import Counter

import pytest
from msgspec.structs import replace

from evaluation.crossfit import Fold, folds_of
from evaluation.honesty import check_exam, check_folds, fingerprint
from evaluation.people import cut_at, is_cut
from evaluation.records import Exam, Person
from evaluation.settings import flushes
from evaluation.tasks.movielens import (
    LIKED_STARS,
    MAX_PAIRS,
    MEANS_APART,
    MIN_NEXT,
    NUM_NEXT,
    PLACES,
    RANKS_APART,
    STARS_APART,
    TASKS,
    TaskName,
    load,
    load_everybody,
    load_pool,
    questions_of,
)
from prefstream.events import Rating
from tests.evaluation.films import FILMS, rated, raters

PEOPLE = raters()
FOLDS = folds_of(PEOPLE, seed=0)
AFTER = 20


def an_exam(task: TaskName, seed: int = 0, max_pairs: int = 0) -> Exam:
    return load(task, PEOPLE, FOLDS, after=AFTER, seed=seed, max_pairs=max_pairs)


def stars(person: Person) -> dict[str, tuple[int, float]]:
    """Where in the person's events each film is, and its stars."""
    ratings = [event for event in person.events if isinstance(event, Rating)]
    return {event.item.id: (place, event.value) for place, event in enumerate(ratings)}


def fold_with(user: str) -> Fold:
    return next(fold for fold in FOLDS if user in fold.asked)


@pytest.mark.parametrize("task", TASKS)
def test_an_exam_asks_only_what_may_be_asked(task: TaskName) -> None:
    exam = an_exam(task)
    check_exam(exam)
    check_folds(exam, FOLDS)
    assert exam.name == task
    assert exam.people.keys() == {question.user for question in exam.questions}
    assert max(Counter(question.user for question in exam.questions).values()) <= MAX_PAIRS[task]
    assert all(is_cut(exam.people[question.user].events, question.after) for question in exam.questions)


@pytest.mark.parametrize("task", ["order", "order_matched"])
def test_order_is_about_two_of_the_next_films_two_stars_apart(task: TaskName) -> None:
    for question in an_exam(task).questions:
        theirs = stars(PEOPLE[question.user])
        (better_at, better), (worse_at, worse) = theirs[question.chosen.id], theirs[question.rejected.id]
        assert AFTER <= min(better_at, worse_at) <= max(better_at, worse_at) < AFTER + NUM_NEXT
        assert better - worse >= STARS_APART


@pytest.mark.parametrize("task", ["next_pop", "next_popqual"])
def test_next_is_a_liked_film_against_one_never_seen_and_as_popular(task: TaskName) -> None:
    for question in an_exam(task).questions:
        place, value = stars(PEOPLE[question.user])[question.chosen.id]
        assert AFTER <= place < AFTER + NUM_NEXT
        assert value >= LIKED_STARS
        assert question.rejected.id not in stars(PEOPLE[question.user])
        catalogue = fold_with(question.user).catalogue
        ranks = [catalogue.ranks[catalogue.rows[item.id]] for item in (question.chosen, question.rejected)]
        assert abs(ranks[0] - ranks[1]) <= RANKS_APART


@pytest.mark.parametrize("task", ["order_matched", "next_popqual"])
def test_matched_films_are_liked_alike_by_people_who_are_not_asked(task: TaskName) -> None:
    apart = []
    for question in an_exam(task).questions:
        catalogue = fold_with(question.user).catalogue
        assert question.user not in catalogue.users
        means = [catalogue.means[catalogue.rows[item.id]] for item in (question.chosen, question.rejected)]
        apart.append(abs(means[0] - means[1]))
    assert 0 < max(apart) <= MEANS_APART


def test_matching_leaves_pairs_out() -> None:
    assert len(an_exam("order", max_pairs=400).questions) > len(an_exam("order_matched", max_pairs=400).questions) > 0


def test_the_seed_decides_and_nothing_else() -> None:
    assert fingerprint(an_exam("order", seed=1)) == fingerprint(an_exam("order", seed=1))
    assert fingerprint(an_exam("order", seed=1)) != fingerprint(an_exam("order", seed=2))


def test_who_has_too_little_to_come_is_not_asked() -> None:
    short = raters(num_people=20, num_events=AFTER + MIN_NEXT - 1)
    assert load("order", short, folds_of(short, 0), after=AFTER).questions == ()
    enough = raters(num_people=20, num_events=AFTER + MIN_NEXT)
    assert len(load("order", enough, folds_of(enough, 0), after=AFTER).people) == 20


def test_a_film_that_is_known_under_another_id_is_not_asked_about() -> None:
    """Two items of one title: the second comes after the first is known."""
    user = next(iter(FOLDS[0].asked))
    twin = replace(FILMS[1], id="twin")
    events = (
        rated(user, FILMS[1], 0, 5.0),
        rated(user, twin, 1, 5.0),
        rated(user, FILMS[2], 2, 2.0),
        rated(user, FILMS[3], 3, 5.0),
    )
    asked = questions_of("order", Person(user, events), 1, 3, FOLDS[0].catalogue, seed=0, max_pairs=9)
    assert [(question.chosen.id, question.rejected.id) for question in asked] == [("3", "2")]
    seen = replace(FILMS[1], id="4", title=FILMS[40].title)
    both = (rated(user, seen, 0, 5.0), rated(user, FILMS[3], 1, 5.0))
    rejected = set()
    for seed in range(400):
        (question,) = questions_of("next_pop", Person(user, both), 1, 1, FOLDS[0].catalogue, seed=seed, max_pairs=9)
        rejected.add(question.rejected.title)
    assert len(rejected) > 30
    assert FILMS[40].title not in rejected


def test_the_pool_asks_of_each_chunk_what_was_known_before_it() -> None:
    pool = load_pool("order", PEOPLE, FOLDS, chunk=10, first=20)
    check_exam(pool)
    assert pool.name == "order, pool"
    afters = set()
    for question in pool.questions:
        events = PEOPLE[question.user].events
        ends = [*flushes(events, 10), len(events)]
        end = next(end for end in ends if end > question.after)
        places = [stars(PEOPLE[question.user])[item.id][0] for item in (question.chosen, question.rejected)]
        assert question.after in ends
        assert all(question.after <= place < end for place in places)
        afters.add(question.after)
    assert afters == {20, 30, 40}


def test_of_nobody_the_pool_has_more_than_its_share() -> None:
    everything = Counter(question.user for question in load_pool("order", PEOPLE, FOLDS).questions)
    some = Counter(question.user for question in load_pool("order", PEOPLE, FOLDS, max_pairs=30).questions)
    assert some == {user: min(num, 30) for user, num in everything.items()}
    assert max(everything.values()) > 30


@pytest.mark.parametrize("task", TASKS)
def test_everybody_is_asked_behind_the_last_place_that_leaves_enough_to_come(task: TaskName) -> None:
    people = {
        person.user: replace(person, events=person.events[: 24 + 3 * number]) for number, person in enumerate(PEOPLE.values())
    }
    folds = folds_of(people, seed=0)
    exam = load_everybody(task, people, folds)
    check_exam(exam)
    assert exam.name == f"{task}, everybody"
    places = {(question.user, question.after) for question in exam.questions}
    assert len(places) == len(exam.people)
    for user, after in places:
        later = [cut for place in PLACES if (cut := cut_at(people[user].events, place)) is not None and cut > after]
        assert after >= PLACES[0]
        assert all(len(people[user].events) - cut < MIN_NEXT for cut in later)
    assert {after // 10 for _, after in places} >= {1, 2, 3}
