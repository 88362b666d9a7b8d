"""What every reader of views promises, and what each makes of two camps of people."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from evaluation.catalogue import Catalogue
from evaluation.readers import catalogue as catalogue_reader
from evaluation.readers import ceiling, lexical, prior
from evaluation.records import Asked, Person, Reader, View
from prefstream.events import Item
from tests.evaluation.readers.films import ROMANCES, WARS, asked, camps, catalogue, evidence_about, person

Make = Callable[[Catalogue], Reader]
MAKES: dict[str, Make] = {
    "prior": prior.make,
    "lexical": lexical.make,
    "prior + lexical": lexical.make_with_prior,
    "catalogue": catalogue_reader.make,
    "ceiling": ceiling.make,
}
OF_TEXTS = [name for name in MAKES if name not in ("prior", "ceiling")]
OF_EVIDENCE = [name for name in MAKES if name != "prior"]
WAR_TEXTS = ("Loves war. Dislikes romance.", 'Favourites: "War 3 (1990)". Did not enjoy: "Romance 3 (1990)".')


def fitted(make: Make, views: dict[str, View]) -> Reader:
    """A reader that was asked about people of both camps, who each are shown as told."""
    reader = make(catalogue())
    people = camps(24)
    own = [WARS if number % 2 else ROMANCES for number in range(len(people))]
    other = [ROMANCES if number % 2 else WARS for number in range(len(people))]
    pairs = [(ours[4], theirs[4]) for ours, theirs in zip(own, other, strict=True)]
    reader.fit([Asked(views[one.user], *pair) for one, pair in zip(people, pairs, strict=True)], np.repeat(True, len(people)))
    return reader


def told_by_text(kind: int) -> dict[str, View]:
    turned = WAR_TEXTS[kind].replace("war", "x").replace("romance", "war").replace("x", "romance")
    turned = turned.replace("War 3", "x").replace("Romance 3", "War 3").replace("x", "Romance 3")
    return {one.user: View(WAR_TEXTS[kind] if number % 2 else turned) for number, one in enumerate(camps(24))}


def told_by_evidence() -> dict[str, View]:
    return {one.user: View(evidence=evidence_about(one)) for one in camps(24)}


# A title tells nothing of others to who knows no catalogue.
@pytest.mark.parametrize(("name", "kind"), [*((name, 0) for name in OF_TEXTS), ("catalogue", 1)])
def test_a_text_of_one_camp_leans_to_its_films(name: str, kind: int) -> None:
    reader = fitted(MAKES[name], told_by_text(kind))
    assert reader.name == name
    war, romance, _ = reader.prefer(asked(View(WAR_TEXTS[kind])))
    assert war > 0.5 > romance


@pytest.mark.parametrize(
    "text", ['Did not enjoy: "Romance 3 (1990)".', 'Favourites: "War 3 (1990)".', "Dislikes romance.", "Often chooses war."]
)
def test_each_kind_of_claim_speaks_by_itself(text: str) -> None:
    said = catalogue_reader.Said(catalogue())
    forward, backward, _ = said.differences(asked(View(text)))
    assert forward.any()
    assert forward == pytest.approx(-backward)


@pytest.mark.parametrize("name", OF_EVIDENCE)
def test_evidence_of_one_camp_leans_to_its_films(name: str) -> None:
    reader = fitted(MAKES[name], told_by_evidence())
    war, romance, _ = reader.prefer(asked(View(evidence=evidence_about(person("x", WARS[3:], ROMANCES[3:])))))
    assert war > 0.5 > romance


@pytest.mark.parametrize("name", MAKES)
def test_exchanging_the_items_turns_the_answer(name: str) -> None:
    reader = fitted(MAKES[name], told_by_evidence())
    for view in (View(WAR_TEXTS[0]), View(), View(evidence=evidence_about(person("x", WARS[:2], ())))):
        war, romance, _ = reader.prefer(asked(view))
        assert war + romance == pytest.approx(1.0)


@pytest.mark.parametrize("name", MAKES)
def test_an_item_that_nobody_knows_can_be_asked_about(name: str) -> None:
    reader = fitted(MAKES[name], told_by_evidence())
    answers = reader.prefer([Asked(View(WAR_TEXTS[1]), Item("strange"), WARS[0]), Asked(View(), Item("a"), Item("b"))])
    assert ((answers > 0) & (answers < 1)).all()
    assert answers[1] == 0.5


@pytest.mark.parametrize("name", MAKES)
def test_nothing_known_of_anybody(name: str) -> None:
    reader = MAKES[name](Catalogue.of([], items=(*WARS, *ROMANCES)))
    reader.fit([], np.array([], bool))
    assert (reader.prefer(asked(View('Favourites: "Unknown".'))) == 0.5).all()


def test_the_favourites_of_somebody_else_speak_for_no_popular_film() -> None:
    """A film that most people like goes with most favourites: over all of them it must say nothing."""
    popular, rare = Item("p", "Popular"), Item("n", "Niche")
    people = [Person(one.user, (*one.events, *person(one.user, (popular,), ()).events)) for one in camps(24)[:18]]
    people += [*camps(24)[18:], person("odd", (rare,), ())]
    others = Catalogue.of(people)
    liked = np.bincount(others.strengths.indices, others.strengths.data > 2.0, len(others.items))
    said = catalogue_reader.Said(others)
    views = [View(f'Favourites: "{item.title}".') for item in others.items]
    together = np.array([said.differences([Asked(view, popular, rare)])[0, 11:13] for view in views])
    assert liked @ together / liked.sum() == pytest.approx(0.0, abs=1e-6)
