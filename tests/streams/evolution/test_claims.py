"""The claims of a text against what was counted and met; what code itself writes of a tally never contradicts it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_server.counting import write_summary
from prefstream.events import Item, Rating
from prefstream.summaries import Tally
from streams.evidence import Evidence, evidence_of
from streams.evolution.claims import Claim, claims_of, conflicting, domains_of, known, opposed, repeated, strengths_of
from streams.evolution.plain import parse_prompt, write_prompt
from streams.evolution.prose import KINDS, parse
from streams.evolution.records import Completion, Update
from streams.evolution.sections import Offer, Sections, offers
from streams.tally import fold


def rated(title: str, genre: str, value: int, domain: str = "films", recommended: bool = False, day: int = 0) -> Evidence:
    item = Item(id=title, title=title, attributes={"genre": (genre,)})
    at = datetime(2026, 1, 5, tzinfo=UTC) + timedelta(days=day)
    return evidence_of(Rating(user="ada", at=at, domain=domain, item=item, value=value, recommended=recommended))


def found(text: str, evidence: Sequence[Evidence]) -> list[list[Claim]]:
    about = known(fold(Tally(), evidence), evidence)
    claims = claims_of(parse(text).sections)
    return [which(claims, about) for which in (opposed, conflicting, repeated)]


titles = st.sampled_from(["Fargo (1996)", "FARGO (1996)", "Alien", "<|im_start|>Alien", 'Say "A"', "A; B. C", "Loves drama."])
genres = st.sampled_from(["war", "War", "drama", "<think>war", "rock and roll", "and"])
domains = st.sampled_from(["films", "Films", "books", "", "favourites"])
ratings = st.builds(rated, titles, genres, st.integers(1, 5), domains, st.booleans(), st.sampled_from([0, 0, 3, 400]))


def test_a_title_is_judged_by_the_newest_event_about_it() -> None:
    """Not by what came last, and not by an old one where the tally has the newer."""
    newer, older = rated("Alien", "horror", 5, day=30), rated("Alien", "horror", 1)
    loved, hated = (claims_of(parse(text).sections) for text in ('Favourites: "Alien".', 'Did not enjoy: "Alien".'))
    for about in (known(Tally(), [newer, older]), known(fold(Tally(), [newer]), [older])):
        assert (opposed(loved, about), opposed(hated, about)) == ([], hated)


@given(st.lists(st.lists(ratings, min_size=1, max_size=12), max_size=4))
def test_the_counting_engine_contradicts_nothing(chunks: list[list[Evidence]]) -> None:
    text, tally = "", Tally()
    for chunk in chunks:
        tally = fold(tally, chunk)
        parts = parse_prompt(write_prompt(text, tally, chunk))
        assert parts is not None
        text = write_summary(parts)
        claims, about = claims_of(parse(text).sections), known(tally, chunk)
        assert [opposed(claims, about), conflicting(claims, about), repeated(claims, about)] == [[], [], []]


@given(st.lists(st.lists(ratings, min_size=1, max_size=12), max_size=4), st.randoms(use_true_random=False))
def test_whatever_satisfies_the_grammar_contradicts_nothing(chunks: list[list[Evidence]], random: Random) -> None:
    text, tally = "", Tally()
    for chunk in chunks:
        tally = fold(tally, chunk)
        update = Update(text, tally, tuple(chunk))
        lists = {one.section.domain: _some_of(one, random) for one in offers(update)}
        if not lists:
            continue
        answer = json.dumps(lists if len(lists) > 1 else next(iter(lists.values())))
        read = Sections().read_answer(Completion(answer, "stop"), update)
        assert read.finish_reason == "stop"
        text = read.text
        claims, about = claims_of(parse(text).sections), known(tally, chunk)
        assert [opposed(claims, about), conflicting(claims, about), repeated(claims, about)] == [[], [], []]


def _some_of(offer: Offer, random: Random) -> dict[str, list[str]]:
    """One value of each kind that is offered."""
    lists: dict[str, tuple[str, ...]] = {kind: getattr(offer.section, kind) for kind in KINDS}
    return {kind: [random.choice(values)] for kind, values in lists.items() if values}


def test_the_last_strong_event_says_on_which_side_a_title_stands() -> None:
    favourite = Claim("", "favourites", "Fargo (1996)")
    cases: list[tuple[tuple[int, ...], list[float]]] = [
        ((1, 5), [1.0]),
        ((5, 1), [-1.0]),
        ((5, 3), [1.0]),
        ((3,), [0.0]),
        ((), []),
    ]
    for values, expected in cases:
        evidence = [rated("Fargo (1996)", "crime", value) for value in values]
        for about in (known(Tally(), evidence), known(fold(Tally(), evidence), evidence)):
            assert strengths_of(favourite, about) == expected


def test_a_title_that_the_tally_has_no_room_for_is_known_by_its_event() -> None:
    evidence = [rated(f"Film {number}", "crime", 1) for number in range(10)]
    assert found('Favourites: "Film 0".', evidence)[0] == [Claim("", "favourites", "Film 0")]
    assert opposed([Claim("", "favourites", "Film 0")], known(fold(Tally(), evidence))) == []


def test_what_somebody_never_met_and_levels_in_between_oppose_nothing() -> None:
    evidence = [rated("A", "crime", 1), rated("B", "crime", 5), rated("C", "war", 5)] * 3
    assert found('Loves crime. Likes jazz. Mixed on war. Favourites: "Z".', evidence) == [[], [], []]


@pytest.mark.parametrize(
    ("domain", "names", "meant"),
    [
        ("films", ["films", "books"], ["films"]),
        ("films", ["Films", "films", "books"], ["Films", "films"]),
        ("", ["films", "books"], ["films", "books"]),
        ("games", ["films"], ["films"]),
        ("", [], []),
    ],
)
def test_which_domain_a_text_may_mean(domain: str, names: list[str], meant: list[str]) -> None:
    assert domains_of(domain, names) == meant
