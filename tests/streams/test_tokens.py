"""The estimate is at least what real tokenizers make of real text, never above one token a byte, and adds up."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefstream.events import Choice, Click, Item, Message, Post
from streams.tokens import estimate_event_tokens, estimate_text_tokens, estimate_tokens

AT = datetime(2026, 1, 5, tzinfo=UTC)

# The larger count of SmolLM2's and cl100k's tokenizers.
COUNTED = [
    ("Star Wars: Episode IV - A New Hope (1977)", 15),
    ("One Flew Over the Cuckoo's Nest (1975)", 16),
    ("THE GOOD, THE BAD AND THE UGLY (BUONO, IL BRUTTO, IL CATTIVO, IL) (1966)", 35),
    ("Loved every minute of it, though the ending dragged a little.", 14),
    (
        "Ich suche einen spannenden Krimi, der in den neunziger Jahren spielt, aber nicht zu brutal ist; "
        "Donaudampfschifffahrtsgesellschaft!",
        50,
    ),
    (
        "Je cherche un film romantique à regarder ce soir, plutôt drôle, surtout pas d'horreur ni de guerre",
        35,
    ),
    ("Я ищу хороший детектив без лишней жестокости, желательно советский или французский.", 65),
    ("我想看一部轻松的喜剧电影,不要恐怖片,最好是九十年代的老电影。", 56),
    ("今夜は家族で見られる明るいアニメ映画を探しています。怖いのは苦手です。", 59),
    ("저녁에 가족과 함께 볼 수 있는 밝은 영화를 찾고 있어요. 무서운 것은 싫어요.", 90),
    ("أبحث عن فيلم كوميدي خفيف لمشاهدته مع العائلة هذا المساء، بدون عنف.", 65),
    ("मैं आज शाम परिवार के साथ देखने के लिए एक हल्की कॉमेडी फिल्म ढूंढ रहा हूँ।", 84),
    ("ฉันกำลังมองหาหนังตลกเบาๆ ดูกับครอบครัวในคืนนี้ ไม่เอาหนังผี", 111),
]


@pytest.mark.parametrize(("text", "num_tokens"), COUNTED)
def test_the_estimate_is_above_the_count_and_below_its_triple(text: str, num_tokens: int) -> None:
    assert num_tokens <= estimate_tokens(text) < 3 * num_tokens


# The larger count of SmolLM2's and Tekken's tokenizers, and what is reckoned.
SUMMARIES = [
    (
        'Loves drama and war. Likes crime. Mixed on thriller. Dislikes musicals. Often chooses comedy. Favourites: "Fargo '
        '(1996)"; "Alien (1979)". Did not enjoy: "Spawn (1997)". Recently searched for "slow cinema".',
        67,
    ),
    (
        'Likes mystery. Mixed on drama, thriller and comedy. Favourites: "Rear Window (1954)"; "Blade Runner (1982)"; "When '
        'Harry Met Sally... (1989)"; "Lost Highway (1997)"; "L.A. Confidential (1997)"; "Soul Food (1997)"; "Rosewood '
        '(1997)". Did not enjoy: "Crooklyn (1994)"; "Mary Poppins (1964)"; "She\'s So Lovely (1997)".',
        138,
    ),
]


@pytest.mark.parametrize(("text", "num_tokens"), SUMMARIES)
def test_a_summary_is_reckoned_closely(text: str, num_tokens: int) -> None:
    assert num_tokens <= estimate_text_tokens(text) <= 1.3 * num_tokens < estimate_tokens(text)


@pytest.mark.parametrize(("text", "num_tokens"), COUNTED)
def test_other_texts_are_reckoned_less_closely(text: str, num_tokens: int) -> None:
    assert 0.75 * num_tokens <= estimate_text_tokens(text) < 3 * num_tokens


@given(st.text())
def test_no_token_of_a_text_is_less_than_a_byte(text: str) -> None:
    assert estimate_text_tokens(text) <= len(text.encode("utf-8", "surrogatepass"))


def test_nothing_costs_nothing() -> None:
    assert estimate_tokens("") == 0


@given(st.text())
def test_the_estimate_lies_between_its_two_rates(text: str) -> None:
    num_bytes = len(text.encode("utf-8", "surrogatepass"))
    assert 3 * num_bytes / 8 <= estimate_tokens(text) <= num_bytes


@given(st.text(), st.text())
def test_estimates_add_up_within_one_token(one: str, other: str) -> None:
    together = estimate_tokens(one + other)
    assert together <= estimate_tokens(one) + estimate_tokens(other) <= together + 1


def test_an_event_is_counted_by_what_a_prompt_may_say_of_it() -> None:
    plain = estimate_event_tokens(Click(user="ada", at=AT, item=Item(id="50", title="Heat")))
    titled = estimate_event_tokens(Click(user="ada", at=AT, item=Item(id="50", title="Heat, and a good deal more")))
    tagged = estimate_event_tokens(
        Click(user="ada", at=AT, item=Item(id="50", title="Heat", attributes={"genre": ("crime", "drama")}))
    )
    longer_id = estimate_event_tokens(Click(user="ada", at=AT, item=Item(id="5" * 500, title="Heat")))
    assert estimate_tokens("Heat") < plain < min(titled, tagged)
    assert plain == longer_id


def test_every_rejected_item_counts() -> None:
    items = tuple(Item(id=str(i), title="A film of some length") for i in range(10))
    few = estimate_event_tokens(Choice(user="ada", at=AT, chosen=items[0], rejected=items[1:2]))
    many = estimate_event_tokens(Choice(user="ada", at=AT, chosen=items[0], rejected=items[1:]))
    assert many - few >= 8 * (estimate_tokens(items[0].title) - 1)


def test_a_long_post_counts_no_more_than_its_quote() -> None:
    assert estimate_event_tokens(Post(user="ada", at=AT, text="word " * 4_000)) < 300


def test_what_the_assistant_said_is_not_counted() -> None:
    said = Message(user="ada", at=AT, text="word " * 100, role="assistant")
    assert estimate_event_tokens(said) < 20
