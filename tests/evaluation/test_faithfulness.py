"""Faithfulness, counted by hand: ten ratings of crime, war, musical and comedy, and texts about them."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from functools import reduce
from operator import add

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import asdict

from evaluation.faithfulness import Faithfulness, faithfulness, judged_claims
from model_server.counting import write_summary
from prefstream.events import Item, Post, Rating, Search
from prefstream.summaries import Tally
from streams.evidence import Evidence, evidence_of
from streams.evolution.plain import parse_prompt, write_prompt
from streams.tally import fold, levels

AT = datetime(2026, 1, 5, tzinfo=UTC)


def rated(title: str, value: int, *genres: str, domain: str = "films") -> Evidence:
    item = Item(id=title, title=title, attributes={"genre": genres})
    return evidence_of(Rating(user="ada", at=AT, domain=domain, item=item, value=value))


EVENTS = (
    *(rated(f"Crime {number}", 5, "crime") for number in range(3)),
    *(rated(f"War {number}", 4, "war") for number in range(3)),
    *(rated(f"Musical {number}", 1, "musical") for number in range(3)),
    rated("Comedy", 3, "comedy"),
    rated("Farce", 4, "comedy"),
    evidence_of(Search(user="ada", at=AT, domain="films", query="slow cinema")),
    evidence_of(Post(user="ada", at=AT, domain="films", text="I never leave before the end of a film.")),
)
TALLY = fold(Tally(), EVENTS)


def test_what_the_tally_says_of_them() -> None:
    (films,) = levels(TALLY).sections
    assert (films.loves, films.likes, films.mixed, films.dislikes) == (("crime",), ("war",), (), ("musical",))
    assert len(films.favourites) == 7
    assert len(films.did_not_enjoy) == 3


@pytest.mark.parametrize(
    ("claim", "verdict", "level"),
    [
        ("Loves crime.", "right", "loves"),
        ("Likes crime.", "near", "loves"),
        ("Mixed on crime.", "unsupported", "loves"),
        ("Dislikes crime.", "wrong", "loves"),
        ("Likes musical.", "wrong", "dislikes"),
        ("Likes comedy.", "near", ""),  # no level of two events, and more for it than against it
        ("Dislikes comedy.", "unsupported", ""),
        ("Mixed on comedy.", "unsupported", ""),
        ("Likes jazz.", "unsupported", ""),
        ("Books: Loves crime.", "right", "loves"),  # of a domain that nobody knows any may be meant
        ("Often chooses crime.", "unsupported", "loves"),
        ('Favourites: "Crime 1".', "right", ""),
        ('Favourites: "Comedy".', "near", ""),
        ('Favourites: "Musical 1".', "wrong", ""),
        ('Favourites: "Crime 7".', "unsupported", ""),
        ('Did not enjoy: "Musical 2".', "right", ""),
        ('Did not enjoy: "Farce".', "wrong", ""),
        ('Recently searched for "slow cinema".', "right", ""),
        ('Recently searched for "fast cars".', "unsupported", ""),
        ('Wrote: "I never leave before…".', "right", ""),
        ('Wrote: "I always leave".', "unsupported", ""),
    ],
)
def test_a_claim_has_a_verdict(claim: str, verdict: str, level: str) -> None:
    (judged,) = judged_claims(claim, TALLY, EVENTS)
    assert (judged.verdict, judged.level) == (verdict, level)


def test_mixed_is_supported_by_what_was_said_on_both_sides() -> None:
    evidence = [rated("A", 5, "opera"), rated("B", 1, "opera")]
    assert [one.verdict for one in judged_claims("Mixed on opera.", fold(Tally(), evidence), evidence)] == ["near"]


def test_the_same_title_in_two_domains_is_judged_by_the_one_that_is_named() -> None:
    evidence = (rated("Dune", 5, domain="books"), rated("Dune", 1, domain="films"))
    text = 'Books: Favourites: "Dune".\nFilms: Favourites: "Dune".'
    assert [one.verdict for one in judged_claims(text, fold(Tally(), evidence), evidence)] == ["right", "wrong"]


TEXT = 'Loves crime. Likes musical and crime. Favourites: "Crime 2"; "Musical 0"; "Jaws". Has two cats.'


def test_the_counts_of_a_text() -> None:
    found = faithfulness(TEXT, TALLY, EVENTS)
    assert asdict(found) | {"num_tokens": 0, "num_top": 0} == asdict(
        Faithfulness(
            num_texts=1,
            num_titles=3,
            num_titles_met=2,
            num_titles_right=1,
            num_levels=3,
            num_levels_signed=2,
            num_levels_exact=1,
            num_conflicting=1,
            num_opposed=2,  # musical, and the favourite that was hated
            num_top_covered=2,
            num_unjudged_sentences=1,
        )
    )
    assert found.num_top == 3 + 7 + 3 + 2
    # One title, and one and a half of levels, less one that stands against another, of six; two of fifteen.
    precision, coverage = 1.5 / 6, 2 / 15
    assert found.score == pytest.approx(2 * precision * coverage / (precision + coverage))


def test_what_the_counting_engine_writes_is_all_true_and_complete() -> None:
    parts = parse_prompt(write_prompt("", TALLY, EVENTS))
    assert parts is not None
    found = faithfulness(write_summary(parts), TALLY, EVENTS)
    assert found.score == 1.0
    assert all(share in (0.0, 1.0) or name == "tokens of a text" for name, (share, _) in found.shares().items())


def test_a_claim_handed_down_without_an_event_is_unsupported() -> None:
    assert faithfulness('Favourites: "Fargo (1996)".', TALLY, EVENTS).num_titles_met == 0
    assert faithfulness("Likes opera.", TALLY, EVENTS).num_levels_signed == 0


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ("Loves crime.", "Likes crime."),
        ("Likes crime.", "Dislikes crime."),
        ("Loves crime. Likes war.", "Loves crime."),
        ("Loves crime.", "Loves crime. Likes jazz."),
        ("Loves crime.", "Loves crime and crime."),
        ('Favourites: "Crime 2".', 'Favourites: "Jaws".'),
        ("Loves crime.", ""),
        ("Loves crime.", "A nice person who likes films, and whom everybody likes."),
    ],
)
def test_the_score_prefers_the_truer_and_the_fuller_text(better: str, worse: str) -> None:
    assert faithfulness(better, TALLY, EVENTS).score > faithfulness(worse, TALLY, EVENTS).score


def test_nothing_is_right_to_say_where_nothing_is_known() -> None:
    assert faithfulness("No clear preferences yet.", Tally(), ()).score == 1.0
    assert faithfulness("Loves jazz.", Tally(), ()).score == 0.0


counts = st.builds(Faithfulness, **{name: st.integers(0, 9) for name in asdict(Faithfulness())})


@given(counts, counts, counts)
def test_counts_add_up_in_any_order(one: Faithfulness, other: Faithfulness, third: Faithfulness) -> None:
    assert (one + other) + third == reduce(add, [third, one, other], Faithfulness())
    assert (one + other).num_titles == one.num_titles + other.num_titles


def test_a_share_of_nothing_is_not_a_number_and_says_so() -> None:
    share, n = Faithfulness().shares()["titles in events"]
    assert math.isnan(share)
    assert n == 0


@given(st.text(), st.booleans())
def test_any_text_has_a_score_from_0_to_1(text: str, is_claim: bool) -> None:
    said = f'Favourites: "{text}". Loves {text}.' if is_claim else text
    assert 0.0 <= faithfulness(said, TALLY, EVENTS).score <= 1.0
