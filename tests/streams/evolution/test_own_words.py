"""Own words: pins word for word, old sentences once, and claims that give way to both."""

from __future__ import annotations

import pytest

from streams.evolution.own_words import summarise
from streams.evolution.prose import Section
from streams.tokens import estimate_text_tokens

SECTION = Section(loves=("drama", "war"), dislikes=("musicals",), favourites=("Fargo (1996)",))
CLAIMS = 'Loves drama and war. Dislikes musicals. Favourites: "Fargo (1996)".'


@pytest.mark.parametrize(
    ("old", "pins", "expected"),
    [
        ("", (), CLAIMS),
        ("Loves horror. I am vegan.", (), "I am vegan.\n" + CLAIMS),
        ("I am vegan. I am vegan.", ("I am vegan",), "I am vegan.\n" + CLAIMS),
        ("", ("No clowns!", "Likes war."), "No clowns! Likes war.\n" + CLAIMS.replace(" and war", "")),
    ],
)
def test_own_words_come_first_and_are_right(old: str, pins: tuple[str, ...], expected: str) -> None:
    assert summarise([SECTION], old, pins, 160) == expected


def test_own_words_leave_half_of_the_budget_to_the_claims() -> None:
    old = " ".join(f"I have an opinion about number {n}." for n in range(40))
    text = summarise([SECTION], old, (), 120)
    first, second = text.splitlines()
    assert estimate_text_tokens(first) <= 60
    assert second == CLAIMS
