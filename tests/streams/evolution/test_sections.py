"""The grammar "sections": what may be said is what the prompt says, and every answer that the schema allows is a summary."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from prefstream.events import Item
from prefstream.summaries import Tally
from streams.evidence import Evidence
from streams.evolution import plain
from streams.evolution.dialects import dialect_of
from streams.evolution.guards import Accepted, GuardLimits, judge
from streams.evolution.prose import KINDS, NOTHING_YET, parse
from streams.evolution.records import Completion, Turn, Update
from streams.evolution.sections import MAX_DOMAINS, MAX_OFFERED, OFF_SCHEMA, PROMPT_SHA256, SYSTEM, offers
from streams.tally import fold
from streams.tokens import estimate_text_tokens, estimate_tokens

SECTIONS = dialect_of("plain", "sections")


def rated(title: str, strength: float, *genres: str, domain: str = "films") -> Evidence:
    item = Item(id=title or "?", title=title, attributes={"genre": genres})
    return Evidence(
        kind="rating",
        at_seconds=0.0,
        domain=domain,
        strength=strength,
        query="",
        chosen=item if strength >= 0 else None,
        rejected=() if strength >= 0 else (item,),
        quote="",
        recommended=False,
    )


EVENTS = (
    *(rated(title, 1.0, "war", "drama") for title in ("Platoon (1986)", "Das Boot (1981)", "Glory (1989)", "Amélie (2001)")),
    *(rated(title, -1.0, "musical") for title in ("Evita (1996)", "Grease (1978)", "Cats (1998)")),
)
UPDATE = Update("", fold(Tally(), EVENTS), EVENTS)


def answered(text: str, update: Update = UPDATE, finish_reason: str = "stop") -> Completion:
    return SECTIONS.read_answer(Completion(text, finish_reason, 100, 50), update)


def test_the_prompt_is_the_plain_one_with_a_paragraph_more() -> None:
    prompt, free = SECTIONS.write_prompt(UPDATE), plain.Plain().write_prompt(UPDATE)
    assert prompt.turns == (Turn("system", SYSTEM), free.turns[1])
    assert SYSTEM == (
        plain.SYSTEM + "\n\nWrite the summary as JSON: for each kind of sentence a list of what stands in it. With several "
        'domains, give each an object with its lists. The example above is\n{"loves":["drama","war"],"likes":["crime"],'
        '"mixed":["thriller"],"dislikes":["musicals"],"often":["comedy"],"favourites":["Newest Title","Older Title"],'
        '"did_not_enjoy":["Another Title"],"searches":["some words"],"quotes":["a few words"]}'
    )
    assert PROMPT_SHA256 == SECTIONS.prompt_sha256 == hashlib.sha256(SYSTEM.encode()).hexdigest() != plain.PROMPT_SHA256


def test_the_schema_in_full() -> None:
    prompt = SECTIONS.write_prompt(UPDATE)
    liked, disliked = ["Amélie (2001)", "Glory (1989)", "Das Boot (1981)", "Platoon (1986)"], ["Cats (1998)", "Grease (1978)"]
    assert prompt.schema == {
        "type": "object",
        "properties": {
            "loves": {"type": "array", "items": {"enum": ["drama", "war"]}, "minItems": 1, "maxItems": 4},
            "dislikes": {"type": "array", "items": {"enum": ["musical"]}, "minItems": 1, "maxItems": 4},
            "favourites": {"type": "array", "items": {"enum": liked}, "minItems": 1, "maxItems": 6},
            "did_not_enjoy": {
                "type": "array",
                "items": {"enum": [*disliked, "Evita (1996)"]},
                "minItems": 1,
                "maxItems": 3,
            },
        },
        "required": ["loves", "dislikes", "favourites", "did_not_enjoy"],
        "additionalProperties": False,
    }


ANSWER = {
    "loves": ["war", "war", "drama", "war"],
    "dislikes": ["musical"],
    "favourites": ["Platoon (1986)", "Amélie (2001)"],
    "did_not_enjoy": ["Cats (1998)"],
}
PROSE = 'Loves drama and war. Dislikes musical. Favourites: "Amélie (2001)"; "Platoon (1986)". Did not enjoy: "Cats (1998)".'


def test_an_answer_becomes_prose_in_the_order_of_the_tally() -> None:
    read = answered(json.dumps(ANSWER))
    assert (read.text, read.finish_reason, read.prompt_tokens, read.completion_tokens) == (PROSE, "stop", 100, 0)


def test_pins_and_own_words_are_no_choice_of_the_model() -> None:
    update = Update("I am vegan. Loves horror.", UPDATE.tally, EVENTS, ("Likes war", "No clowns!"))
    answer = ANSWER | {"loves": ["drama", "horror", "war"]}
    assert answered(json.dumps(answer), update).text == (
        "Likes war. No clowns! I am vegan.\n" + PROSE.replace("drama and war", "drama and horror")
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Loves war.",
        "[]",
        "{}",
        '{"loves":["war"]}',
        json.dumps(ANSWER)[:-1],
        json.dumps(ANSWER) + "}",
        json.dumps(ANSWER | {"loves": []}),
        json.dumps(ANSWER | {"loves": ["romance"]}),
        json.dumps(ANSWER | {"loves": ["musical"], "dislikes": ["war"]}),
        json.dumps(ANSWER | {"loves": ["war"] * 5}),
        json.dumps(ANSWER | {"loves": [1]}),
        json.dumps(ANSWER | {"likes": []}),
        json.dumps(ANSWER | {"favourites": ["Casablanca (1942)"]}),
        json.dumps({"films": ANSWER}),
        "[" * 5000,
        '"\\ud800"',
    ],
)
def test_what_does_not_satisfy_the_schema_is_no_summary(text: str) -> None:
    read = answered(text)
    assert (read.text, read.finish_reason, read.completion_tokens) == ("", OFF_SCHEMA, 0)


def test_a_cut_answer_stays_cut() -> None:
    text = json.dumps(ANSWER)
    assert answered(text, finish_reason="length") == Completion(text, "length", 100, 50)


def test_several_domains_have_an_object_each() -> None:
    events = (*EVENTS, *(rated(f"Shirt {n}", 1.0, "wool", domain="clothing") for n in range(4)))
    update = Update("", fold(Tally(), events), events)
    schema: Any = SECTIONS.write_prompt(update).schema
    assert list(schema["properties"]) == schema["required"] == ["films", "clothing"]
    assert schema["properties"]["films"]["properties"]["favourites"]["maxItems"] == 3
    clothing = {"loves": ["wool"], "favourites": ["Shirt 3"]}
    text = answered(json.dumps({"films": ANSWER | {"loves": ["war"]}, "clothing": clothing}), update).text
    assert text.splitlines() == [
        "Films: " + PROSE.replace("drama and war", "war"),
        'Clothing: Loves wool. Favourites: "Shirt 3".',
    ]


def test_where_nothing_can_be_said_yet_nothing_is() -> None:
    update = Update("", fold(Tally(), EVENTS[:1]), ())
    nothing = Update("", Tally(), ())
    assert [kind for kind in KINDS if getattr(offers(update)[0].section, kind)] == ["favourites"]
    assert SECTIONS.write_prompt(nothing).schema == {
        "type": "object",
        "properties": {},
        "required": [],
        "additionalProperties": False,
    }
    assert answered("{}", nothing).text == NOTHING_YET


@pytest.mark.parametrize(
    ("old", "kind", "offered", "due"),
    [
        ("Likes musical.", "likes", (), False),  # the tally counts that to another kind
        ("Likes opera.", "likes", ("opera",), False),
        ("Loves opera.", "loves", ("drama", "war", "opera"), True),
        ("Films: Loves opera.", "loves", ("drama", "war", "opera"), True),
        ("Loves horror. Likes horror.", "likes", (), False),
        ('Did not enjoy: "Glory (1989)".', "did_not_enjoy", ("Cats (1998)", "Grease (1978)", "Evita (1996)"), True),
    ],
)
def test_what_the_old_text_says_may_stay_unless_the_tally_says_otherwise(
    old: str, kind: str, offered: tuple[str, ...], due: bool
) -> None:
    (offer,) = offers(Update(old, UPDATE.tally, EVENTS))
    assert (getattr(offer.section, kind), kind in offer.due) == (offered, due)


def test_without_a_tally_the_new_events_are_counted_by_themselves() -> None:
    (offer,) = offers(Update("Likes opera.", Tally(), EVENTS))
    assert (offer.section.loves, offer.section.likes) == (("drama", "war"), ("opera",))


def test_a_long_edit_has_a_bounded_number_of_domains() -> None:
    old = "\n".join(f"Domain {letter}: Loves opera." for letter in "abcdefghij")
    assert len(offers(Update(old, UPDATE.tally, EVENTS))) == MAX_DOMAINS


def test_what_is_nothing_without_its_markup_is_not_offered() -> None:
    events = (rated("<|im_end|>", 1.0, "<think>"), *EVENTS)
    (offer,) = offers(Update("", fold(Tally(), events * 3), events))
    assert "" not in (*offer.section.favourites, *offer.section.loves)


def test_a_long_edit_offers_a_bounded_number() -> None:
    old = "Loves " + ", ".join(f"genre{number}x" for number in range(200)) + "."
    (offer,) = offers(Update(old, UPDATE.tally, EVENTS))
    assert len(offer.section.loves) == MAX_OFFERED


def test_the_room_for_an_answer_is_not_rounded_value_by_value() -> None:
    update = Update("A: Loves war and opera.\nB: Likes jazz.", Tally(), (), max_summary_tokens=8)
    longest = '{"a":{"loves":["opera","opera"]},"b":{"likes":["jazz","jazz"]}}'
    assert SECTIONS.write_prompt(update).max_tokens == estimate_tokens(longest)
    assert answered(longest, update).finish_reason == "stop"


hostile = st.sampled_from(
    ["<|im_end|>", '"]}', "\\", "Mr. Smith", "war and peace", "a, b", "x: y", "映画", "\ud83d\ude00", "\n"]
)
words = st.lists(st.one_of(hostile, st.text(min_size=1, max_size=8)), min_size=1, max_size=4).map("".join)
events = st.lists(
    st.builds(
        rated,
        words,
        st.sampled_from([1.0, 0.5, 0.0, -0.5, -1.0]),
        words,
        st.sampled_from(["war", "drama", "musical"]),
        domain=st.sampled_from(["films", "films", "e-books", "favourites"]),
    ),
    max_size=24,
).map(tuple)
old_texts = st.sampled_from(["", "I am vegan. Loves opera.", "Films: Loves war.\nBooks: Dislikes horror.", PROSE])


def lists_of(draw: st.DrawFn, schema: Any) -> dict[str, list[str]]:
    return {
        kind: draw(st.lists(st.sampled_from(one["items"]["enum"]), min_size=one["minItems"], max_size=one["maxItems"]))
        for kind, one in schema["properties"].items()
    }


@st.composite
def updates_with_answers(draw: st.DrawFn) -> tuple[Update, str]:
    """An update, and an answer that satisfies the schema of its prompt."""
    evidence = draw(events)
    tally = draw(st.sampled_from([Tally(), fold(Tally(), evidence)]))
    update = Update(draw(old_texts), tally, evidence, max_summary_tokens=draw(st.sampled_from([40, 160])))
    schema: Any = SECTIONS.write_prompt(update).schema
    inner = schema["properties"].items()
    if len(offers(update)) > 1:
        return update, json.dumps({name: lists_of(draw, one) for name, one in inner}, ensure_ascii=False, separators=(",", ":"))
    return update, json.dumps(lists_of(draw, schema), ensure_ascii=False, separators=(",", ":"))


@given(updates_with_answers())
def test_every_answer_that_the_schema_allows_is_a_summary_within_the_budget(case: tuple[Update, str]) -> None:
    update, text = case
    prompt, read = SECTIONS.write_prompt(update), answered(text, update)
    assert (read.finish_reason, read.completion_tokens) == ("stop", 0)
    assert estimate_tokens(text) <= prompt.max_tokens
    assert estimate_text_tokens(read.text) <= update.max_summary_tokens
    judged = judge(read, prompt, "", GuardLimits(update.max_summary_tokens))
    assert isinstance(judged, Accepted) or judged.reason == "echo", judged


@given(updates_with_answers())
def test_what_is_said_was_offered_and_reads_back(case: tuple[Update, str]) -> None:
    update, text = case
    offered = {value for offer in offers(update) for kind in KINDS for value in getattr(offer.section, kind)}
    claims = parse(answered(text, update).text)
    said = [value for section in claims.sections for kind in KINDS for value in getattr(section, kind)]
    assert set(said) <= offered
    assert [section.domain for section in claims.sections] == list(dict.fromkeys(s.domain for s in claims.sections))
    assert all(
        len(values) == len(set(values)) for s in claims.sections for values in [[v for k in KINDS for v in getattr(s, k)]]
    )
    assert set(claims.others) <= {"I am vegan."}


def test_a_favourite_that_was_hated_since_is_not_offered_though_the_tally_has_no_room_for_it() -> None:
    hated = tuple(rated(f"Film {number}", -1.0, "musical") for number in range(8))
    update = Update('Favourites: "Film 0"; "Glory (1989)".', fold(Tally(), hated), hated)
    assert offers(update)[0].section.favourites == ("Glory (1989)",)
    assert "Film 0" not in offers(update)[0].section.did_not_enjoy


def test_a_domain_whose_name_has_a_capital_is_offered_once() -> None:
    """A tag at the beginning of a line has one, so what a text calls "films" may be the domain "Films"."""
    events = tuple(replace(event, domain="Films") for event in EVENTS)
    update = Update("Films: Likes opera. Loves musical.\nBooks: Likes crime.", fold(Tally(), events), events)
    assert [(one.section.domain, one.section.likes) for one in offers(update)] == [("Films", ("opera",)), ("books", ("crime",))]
    assert offers(update)[0].section.loves == ("drama", "war")
