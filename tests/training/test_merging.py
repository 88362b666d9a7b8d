"""Generate, verify, merge, by hand: who teaches what, what passes, what is merged, what is thrown away."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from evaluation.catalogue import Catalogue
from evaluation.records import Person, Question
from prefstream.events import Item
from streams.evolution.prose import Claims, Section, parse
from streams.tally import levels
from tests.training.cases import film, person, rating
from training.merging import Case, Fate, Outcome, Rules, Teacher, merge_all, merge_claims, picking, union
from training.phrasings import PHRASINGS
from training.states import moments_of
from training.teachers import by_code, in_order, level_by_level, nearest, rarest, recent, shared

MOMENT = moments_of(person("ann", 20))[0]
KNOWN = Claims(
    (
        Section(
            domain="films",
            loves=("war", "drama"),
            dislikes=("musical",),
            favourites=("Film 1 (1961)", "Film 3 (1963)"),
            did_not_enjoy=("Film 2 (1962)",),
        ),
    )
)
TARGETS = tuple(Question("ann", 20, film(30 + place, "war"), film(40 + place, "musical")) for place in range(5))
CASE = Case(MOMENT, "", KNOWN, TARGETS)
RULES = Rules()


def saying(name: str, **claims: tuple[str, ...]) -> Teacher:
    return picking(name, lambda known, items: Claims((Section(domain="films", **claims),)), RULES)


WAR, FILMS = saying("war", loves=("war",)), saying("films", favourites=("Film 3 (1963)",))


def told(cases: Sequence[Case], teachers: Sequence[Teacher], passing: str = "", failing: str = "nothing") -> list[Outcome]:
    """With a verifier that lets through what holds one text and not another."""

    def verify(asked: Sequence[tuple[str, Question]]) -> list[float]:
        return [0.9 if passing in text and failing not in text else 0.5 for text, _ in asked]

    return merge_all(cases, teachers, verify, merge_claims(RULES), RULES)


def test_the_union_of_what_passed() -> None:
    (outcome,) = told([CASE], [WAR, FILMS])
    assert outcome == Outcome("merged", 'Loves war. Favourites: "Film 3 (1963)".', 5, 5, 1.0, ("war", "films"))


def test_what_does_not_pass_is_not_merged() -> None:
    """The teachers take turns: three of the five texts are the first one's. A tie is no pass."""
    (outcome,) = told([CASE], [WAR, FILMS], passing="war")
    assert outcome == Outcome("merged", "Loves war.", 5, 3, 1.0, ("war",))


@pytest.mark.parametrize(
    ("targets", "passing", "fate"),
    [(TARGETS[:3], "", "few_targets"), (TARGETS, "Film 3", "few_passed"), (TARGETS[:4], "war", "few_passed")],
)
def test_too_few(targets: tuple[Question, ...], passing: str, fate: Fate) -> None:
    (outcome,) = told([Case(MOMENT, "", KNOWN, targets)], [WAR, FILMS], passing)
    assert (outcome.fate, outcome.text) == (fate, "")


def test_the_merged_text_is_verified_again() -> None:
    """Each text alone passes, both together do not."""

    def verify(asked: Sequence[tuple[str, Question]]) -> list[float]:
        return [0.2 if "war" in text and "Film 3" in text else 0.9 for text, _ in asked]

    (outcome,) = merge_all([CASE], [WAR, FILMS], verify, merge_claims(RULES), RULES)
    assert (outcome.fate, outcome.num_passed, outcome.right) == ("wrong_again", 5, 0.0)


@pytest.mark.parametrize(("num_wrong", "fate"), [(1, "merged"), (2, "wrong_again")])
def test_four_fifths_have_to_be_right(num_wrong: int, fate: Fate) -> None:
    calls: list[int] = []

    def verify(asked: Sequence[tuple[str, Question]]) -> list[float]:
        calls.append(len(asked))
        return [0.1 if len(calls) == 2 and place < num_wrong else 0.9 for place in range(len(asked))]

    (outcome,) = merge_all([CASE], [WAR], verify, merge_claims(RULES), RULES)
    assert (outcome.fate, calls) == (fate, [5, 5])
    assert outcome.right == pytest.approx(1 - num_wrong / 5)


def test_cases_do_not_mix() -> None:
    few = Case(MOMENT, "", KNOWN, TARGETS[:1])
    assert [outcome.fate for outcome in told([few, CASE, few], [WAR, FILMS])] == ["few_targets", "merged", "few_targets"]


def test_a_teacher_is_not_told_what_was_taken() -> None:
    seen: list[tuple[Item, Item]] = []

    def pick(known: Claims, items: tuple[Item, Item]) -> Claims:
        seen.append(items)
        return known

    turned = tuple(Question(one.user, one.after, one.rejected, one.chosen) for one in TARGETS)
    told([CASE, Case(MOMENT, "", KNOWN, turned)], [picking("any", pick, RULES)])
    assert seen[:5] == seen[5:]


def test_what_is_not_known_is_not_merged() -> None:
    (outcome,) = told([CASE], [saying("inventive", loves=("war", "jazz"), favourites=("Film 99 (1999)",))])
    assert outcome.text == "Loves war."


def test_a_merged_text_keeps_the_budget_and_its_phrasing() -> None:
    everything = Claims((Section(domain="films", favourites=tuple(f"Film number {n} (19{n})" for n in range(10, 40))),))
    case = Case(MOMENT, "", everything, TARGETS, PHRASINGS[3])
    rules = Rules(pick_tokens=400, max_tokens=60)
    texts = merge_claims(rules)([(case, ['Favourites: "Film number 12 (1912)"; "Film number 10 (1910)".'])])
    assert texts == ['Favourites: "Film number 10 (1910)"; "Film number 12 (1912)".']
    assert union([everything], everything) == everything


CATALOGUE = Catalogue.of(
    [
        Person("bob", (rating("bob", 1, 5), rating("bob", 30, 5), rating("bob", 3, 2))),
        Person("cid", (rating("cid", 1, 5), rating("cid", 30, 4), rating("cid", 2, 5))),
        Person("dan", (rating("dan", 3, 5), rating("dan", 31, 5), rating("dan", 1, 2))),
    ]
)
ITEMS = film(31, "war"), film(41, "western")


def test_the_teachers_by_code() -> None:
    (section,) = recent(KNOWN, ITEMS).sections
    assert (section.loves, section.favourites) == (("war", "drama"), ("Film 1 (1961)", "Film 3 (1963)"))
    (section,) = level_by_level(KNOWN, ITEMS).sections
    assert (section.dislikes, section.favourites) == (("musical",), ())
    (section,) = shared(KNOWN, ITEMS).sections
    assert (section.loves, section.dislikes, section.did_not_enjoy) == (("war",), (), ("Film 2 (1962)",))


def test_titles_near_the_choice_and_titles_few_know() -> None:
    """Whoever liked film 31 liked film 3; and three people know film 1, two film 3."""
    (section,) = in_order(nearest(CATALOGUE))(KNOWN, ITEMS).sections
    assert (section.loves, section.favourites) == ((), ("Film 3 (1963)", "Film 1 (1961)"))
    (section,) = in_order(nearest(CATALOGUE))(KNOWN, (film(30), film(41))).sections
    assert section.favourites == ("Film 1 (1961)", "Film 3 (1963)")
    (section,) = in_order(rarest(CATALOGUE))(KNOWN, ITEMS).sections
    assert section.favourites == ("Film 3 (1963)", "Film 1 (1961)")


def test_every_teacher_says_only_what_is_known() -> None:
    known = levels(MOMENT.tally)
    case = Case(MOMENT, "", known, TARGETS)
    teachers = by_code(CATALOGUE, RULES)
    assert len({teacher.name for teacher in teachers}) == 5
    for teacher in teachers:
        (text,) = teacher.teach([(case, ITEMS)])
        said = union([parse(text)], known)
        assert {section.domain for section in said.sections} <= {"films"}
        assert sum(len(getattr(one, kind)) for one in parse(text).sections for kind in ("loves", "favourites")) == sum(
            len(getattr(one, kind)) for one in said.sections for kind in ("loves", "favourites")
        )
