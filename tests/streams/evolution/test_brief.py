"""The dialect "brief" says what "plain" says, in fewer tokens."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

from prefstream.events import Item, Rating
from prefstream.summaries import Tally
from streams.evidence import Evidence, evidence_of
from streams.evolution.brief import PROMPT_SHA256, SYSTEM, Brief
from streams.evolution.plain import FIRMLY, Plain
from streams.evolution.records import Completion, Update
from streams.tally import fold
from streams.tokens import estimate_tokens


def rated(title: str, stars: float, domain: str = "films") -> Evidence:
    item = Item(id=title, title=title, attributes={"genre": ("crime", "drama")})
    return evidence_of(Rating(user="ada", at=datetime(2026, 1, 5, tzinfo=UTC), domain=domain, item=item, value=stars))


EVENTS = (rated("Fargo (1996)", 5), rated("Alien (1979)", 5), rated("Spawn (1997)", 1))
UPDATE = Update("Loves war. My own words.", fold(Tally(), EVENTS), EVENTS, ("No horror.",))


def test_the_prompt_in_full() -> None:
    system, user = Brief().write_prompt(UPDATE).turns
    assert system.content == SYSTEM
    assert user.content == (
        "<old_summary>\nLoves war. My own words.\n</old_summary>\n"
        "<pinned>\nNo horror.\n</pinned>\n"
        '<tally>\nliked: crime, drama\nfavourite: "Alien (1979)"; "Fargo (1996)"\nnot enjoyed: "Spawn (1997)"\n</tally>\n'
        '<new_events>\nloved "Fargo (1996)"\nloved "Alien (1979)"\nhated "Spawn (1997)"\n</new_events>\n'
        "At most 160 tokens."
    )


def test_what_is_not_there_takes_no_tokens() -> None:
    assert Brief().write_prompt(Update("", Tally(), ())).turns[1].content == "At most 160 tokens."


def test_without_a_tally_the_events_keep_their_attributes() -> None:
    content = Brief().write_prompt(Update("", Tally(), EVENTS[:1])).turns[1].content
    assert 'loved "Fargo (1996)" (crime, drama)' in content


def test_several_domains_are_named() -> None:
    events = (*EVENTS, rated("Dune", 5, "books"), rated("Emma", 5, "books"))
    content = Brief().write_prompt(Update("", fold(Tally(), events), events)).turns[1].content
    assert "domain: films\n" in content
    assert "domain: books\n" in content
    assert 'books: loved "Emma"' in content


def test_a_firm_prompt_differs_in_its_end() -> None:
    gentle, firm = (
        Brief().write_prompt(Update("", Tally(), (), is_firm=is_firm)).turns[1].content for is_firm in (False, True)
    )
    assert firm == f"{gentle} {FIRMLY}"


def test_it_takes_two_thirds_of_the_tokens_of_plain() -> None:
    def tokens(dialect: Plain | Brief) -> int:
        return sum(estimate_tokens(turn.content) for turn in dialect.write_prompt(UPDATE).turns)

    assert tokens(Brief()) < tokens(Plain()) * 2 / 3


def test_an_answer_is_trimmed() -> None:
    assert Brief().read_answer(Completion(" Loves war.\n", "stop"), UPDATE).text == "Loves war."


def test_the_constant_part_is_what_summaries_were_made_with() -> None:
    assert hashlib.sha256(SYSTEM.encode()).hexdigest() == PROMPT_SHA256
