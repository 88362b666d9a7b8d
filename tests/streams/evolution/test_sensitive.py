"""Whether a text speaks of somebody on a sensitive matter: the page's own examples, more of them, and what is not concerned."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.evolution.guards.sensitive import (
    ALL,
    Voice,
    category_named,
    category_of_attribute,
    off_for,
    spoken_of,
    told_in,
)
from streams.sensitive_words import CATEGORIES, TERMS

PAGE = Path(__file__).parents[3] / "docs" / "sensitive.md"
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.read_text().splitlines() if line.startswith("| `")
]
EXAMPLES = [row for row in ROWS if len(row) == 5]

OWN = [
    ("I am Muslim.", "religion"),
    ("I'm a devout Catholic and loved it", "religion"),
    ("i\u200b am Mus\u200blim", "religion"),
    ("my depression is back", "health"),
    ("Ich bin schwanger und müde", "health"),
    ("ich habe Depressionen", "health"),
    ("j'ai un cancer", "health"),
    ("tengo diabetes", "health"),
    ("Great film. We go to church on Sundays.", "religion"),
    ("me diagnosticaron asma", "health"),
    ("bei mir wurde Krebs festgestellt", "health"),
    ("Je suis juif", "religion"),
    ("Ich wähle die Grünen", "political_views"),
    ("I joined a union", "trade_union"),
    ("fui condenado por robo", "criminal_convictions"),
    ("I came out to my parents", "sexual_orientation"),
]
TOLD = [
    ("Is Muslim.", "religion"),
    ("The user is a practising Jew who likes crime.", "religion"),
    ("Loves drama and is gay.", "sexual_orientation"),
    ("Loves drama. They have depression.", "health"),
    ("Loves drama.\nGoes to church.", "religion"),
    ("Ist schwanger.", "health"),
    ("Vit avec le VIH.", "health"),
    ("I am a socialist.", "political_views"),
]
STAYS: list[tuple[Voice, str]] = [
    ("own", "I am a Christian Bale fan"),
    ("own", "a film about Muslim life"),
    ("own", 'I watched "I am gay" and loved it'),
    ("own", "My mother's cancer scene made me cry"),
    ("own", "The hero goes to church and was convicted of murder"),
    ("own", "I voted for this film"),
    ("told", "Loves War and religion."),
    ("told", "Loves gay romance and Christian music."),
    ("told", 'Favourites: "The Church (1989)". Loves Muslim cinema.'),
    ("told", "Likes films in which a priest is gay."),
    ("told", "Loves Heat, whose director is Jewish."),
    ("searched", "the passion of the christ"),
    ("searched", "church bells drama"),
    ("searched", "depression era photos"),
    ("searched", ""),
]


def test_the_page_has_every_matter() -> None:
    assert [row[0].strip("`") for row in EXAMPLES] == list(CATEGORIES)


@pytest.mark.parametrize("row", EXAMPLES, ids=lambda row: row[0])
def test_the_pages_examples(row: list[str]) -> None:
    matter, own, told, searched, stays = row
    expected = {matter.strip("`")}
    assert spoken_of(own, "own") == spoken_of(told, "told") == spoken_of(searched, "searched") == expected
    assert not spoken_of(stays, "own")
    assert not spoken_of(stays, "told")


@pytest.mark.parametrize(("text", "matter"), OWN)
def test_in_ones_own_words(text: str, matter: str) -> None:
    assert spoken_of(text, "own") == {matter}
    assert not spoken_of(text, "own", ALL - {matter})


@pytest.mark.parametrize(("text", "matter"), TOLD)
def test_in_a_text_about_somebody(text: str, matter: str) -> None:
    assert spoken_of(text, "told") == told_in(text, ALL) == {matter}


@pytest.mark.parametrize(("voice", "text"), STAYS)
def test_what_speaks_of_works_or_of_others_stays(voice: Voice, text: str) -> None:
    assert not spoken_of(text, voice)


def test_what_the_person_wants_kept_is_theirs_to_say() -> None:
    assert told_in("I am Muslim. Loves drama.", ALL, ("I am Muslim.",)) == set()
    assert told_in("I am Muslim. Suffers from depression.", ALL, ("I am Muslim.",)) == {"health"}


@pytest.mark.parametrize(
    ("name", "matter"),
    [
        ("religion", "religion"),
        ("Religion!", "religion"),
        ("sexual_orientation", "sexual_orientation"),
        ("sexual orientation", "sexual_orientation"),
        ("Gesundheit", "health"),
        ("trade union", "trade_union"),
        ("slow films", None),
        ("", None),
    ],
)
def test_a_matter_has_names(name: str, matter: str | None) -> None:
    assert category_named(name) == matter


@pytest.mark.parametrize(
    ("key", "matter"),
    [
        ("religion:Sikh", "religion"),
        ("Diagnosis:asthma", "health"),
        ("genre:religion", None),
        ("year:1994", None),
        (":x", None),
    ],
)
def test_an_attribute_tells_by_its_name(key: str, matter: str | None) -> None:
    assert category_of_attribute(key) == matter


def test_off_is_what_nobody_allows_and_what_the_person_forbids() -> None:
    assert off_for((), (), ()) == ALL
    assert off_for(("health",), ("religion",), ("war",)) == ALL - {"health", "religion"}
    assert off_for(("health",), ("religion",), ("Health", "Religion")) == ALL


def test_every_term_is_found_in_the_words_it_is_written_in() -> None:
    """A term that no text can match would be a promise nobody keeps."""
    cues = {"is": "I am ", "has": "I have ", "joins": "I joined ", "votes": "I vote ", "does": "I ", "lone": ""}
    for category, groups in TERMS.items():
        for group, listed in groups.items():
            for term in (" ".join(term.split()) for term in listed.split(",")):
                assert category in spoken_of(cues[group] + term, "own"), (category, group, term)


@given(st.text(max_size=300), st.sampled_from(["own", "told", "searched"]))
def test_any_text_is_looked_at(text: str, voice: Voice) -> None:
    assert spoken_of(text, voice) <= ALL
    assert told_in(text, ALL) <= ALL


@pytest.mark.parametrize("unit", ["i am a very muslim ", "I am very very very very ", "my my my diabetes ", "é is gay. "])
def test_ten_times_the_text_takes_about_ten_times_as_long(unit: str) -> None:
    def seconds(num_chars: int) -> float:
        started = time.process_time()
        spoken_of(unit * (num_chars // len(unit)), "told")
        return time.process_time() - started

    seconds(1_000)
    assert seconds(60_000) < 40 * max(seconds(6_000), 0.002)
