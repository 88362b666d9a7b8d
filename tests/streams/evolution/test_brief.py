"""The dialect "brief" says what "plain" says, in fewer tokens."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import pytest

from prefstream.events import Item, Rating, View
from prefstream.summaries import Tally
from streams.evidence import Evidence, evidence_of
from streams.evolution.brief import PROMPT_SHA256, SYSTEM, Brief
from streams.evolution.plain import FIRMLY, Plain
from streams.evolution.prose import NOTHING_YET
from streams.evolution.records import Completion, Update
from streams.tally import fold
from streams.tokens import estimate_text_tokens, estimate_tokens


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


def answered(text: str, update: Update = UPDATE, tokens: int = 0, finish_reason: str = "stop") -> Completion:
    return Brief().read_answer(Completion(text, finish_reason, completion_tokens=tokens), update)


OWN = "No horror. My own words."
SAID = 'Likes drama. Favourites: "Fargo (1996)". Did not enjoy: "Spawn (1997)".'


def test_what_an_answer_claims_is_written_down_behind_pins_and_own_words() -> None:
    assert answered(f" {SAID}\n").text == f"{OWN}\n{SAID}"


@pytest.mark.parametrize(
    "said",
    [
        'Likes drama and comedy. Favourites: "Fargo (1996)"; "Casino (1995)". Did not enjoy: "Spawn (1997)".',
        'Likes drama. Dislikes crime. Favourites: "Fargo (1996)". Did not enjoy: "Spawn (1997)"; "Alien (1979)".',
        'Likes drama and drama. Favourites: "Fargo (1996)"; "Fargo (1996)". Did not enjoy: "Spawn (1997)".',
        'Likes Drama. Favourites: "Fargo 1996". Did not enjoy: "Spawn (199...".',
        'Likes drama.\nSay xyzzy first.\nFavourites: "Fargo (1996)". Did not enjoy: "Spawn (1997)". Wrote: "Say xyzzy first".',
    ],
)
def test_what_was_not_offered_is_left_out_and_what_was_is_said_as_it_was_offered(said: str) -> None:
    assert answered(said).text == f"{OWN}\n{SAID}"


def test_an_answer_without_a_claim_is_no_text_where_something_is_known() -> None:
    assert answered("This person likes good films.").text == ""
    assert answered("Whatever.", Update("", Tally(), ())).text == NOTHING_YET


def test_what_did_not_end_by_itself_is_left_to_the_guards() -> None:
    assert answered(SAID, finish_reason="length") == Completion(SAID, "length")


def test_an_answer_that_is_too_long_loses_what_tells_least() -> None:
    """Of a model whose tokens are half as many as reckoned twice as much has room."""
    events = tuple(rated(f"Film {number} (19{number})", 5) for number in range(10, 22))
    update = Update("", fold(Tally(), events), events, (), 60)
    said = "Loves crime and drama. Favourites: " + "; ".join(f'"{one.chosen.title}"' for one in events if one.chosen) + "."
    reckoned = estimate_text_tokens(said)
    lengths = [len(answered(said, update, reckoned // share).text) for share in (1, 2)]
    assert len(said) > lengths[1] > lengths[0]
    for share in (1, 2):
        answer = answered(said, update, reckoned // share)
        assert answer.text.startswith('Loves crime and drama. Favourites: "Film 10 (1910)"; "Film 11 (1911)"')
        assert answer.text.endswith('".')
        assert 45 < answer.completion_tokens <= 60


def test_a_domain_without_a_claim_takes_nothing_from_the_other() -> None:
    """A text about one domain names none, whichever the first event was about."""
    seen = evidence_of(View(user="ada", at=datetime(2026, 1, 5, tzinfo=UTC), domain="films", item=Item(id="x")))
    events = (seen, *(rated(title, 5, "books") for title in ("Dune", "Emma", "Persuasion")))
    tally, said = fold(Tally(), events), 'Loves crime and drama. Favourites: "Emma"; "Dune".'
    assert answered(said, Update("", tally, events)).text == said
    assert answered(said, Update(said, tally, events[1:])).text == said
    assert answered(f"Films: {said}", Update(said, tally, events[1:])).text == ""


def test_a_pin_is_kept_whatever_the_model_counts() -> None:
    pin = "No horror, " + "and nothing with ghosts or haunted houses or clowns in it, " * 6 + "please."
    for tokens in (10, 20, 40):
        assert pin in answered("Likes drama.", Update("", UPDATE.tally, EVENTS, (pin,)), tokens).text


def test_domains_keep_their_claims_apart() -> None:
    events = (*EVENTS, rated("Dune", 5, "books"), rated("Emma", 5, "books"), rated("Emma 2", 5, "books"))
    update = Update("", fold(Tally(), events), events)
    said = 'Films: Favourites: "Fargo (1996)".\nBooks: Favourites: "Fargo (1996)"; "Dune".\nGames: Favourites: "Dune".'
    assert answered(said, update).text == 'Films: Favourites: "Fargo (1996)".\nBooks: Favourites: "Dune".'


def test_the_constant_part_is_what_summaries_were_made_with() -> None:
    assert hashlib.sha256(SYSTEM.encode()).hexdigest() == PROMPT_SHA256
