"""Who said what, and who put it forward, on the text of real prompts: of every dialect, made of events as they come."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from model_server.counting import complete
from prefstream.events import Choice, Click, Comment, Event, Feedback, Item, Message, Post, Purchase, Rating, Search, View
from prefstream.summaries import Tally
from streams.evidence import evidence_of
from streams.evolution.alignxplore import AlignXplore
from streams.evolution.brief import Brief
from streams.evolution.dialects import Dialect
from streams.evolution.plain import MAX_QUOTE_CHARS, Plain
from streams.evolution.records import Completion, Update
from streams.evolution.sections import Sections
from streams.tally import fold

DIALECTS: tuple[Dialect, ...] = (Plain(), Sections(), Brief(), AlignXplore())
OURS = DIALECTS[:3]
BASE: dict[str, Any] = {"user": "ada", "at": datetime(2026, 1, 5, tzinfo=UTC), "domain": "films"}
HEAT = Item(id="51", title="Heat", attributes={"genre": ("crime",)})
RECOMMENDED: tuple[Event, ...] = (
    View(item=HEAT, recommended=True, **BASE),
    Click(item=HEAT, recommended=True, **BASE),
    Purchase(item=HEAT, recommended=True, **BASE),
    Rating(item=HEAT, value=5, recommended=True, **BASE),
    Rating(item=HEAT, value=1, recommended=True, **BASE),
    Feedback(item=HEAT, liked=True, text="More.", recommended=True, **BASE),
    Choice(chosen=HEAT, rejected=(Item(id="9", title="Up"),), query="heist", recommended=True, **BASE),
    Comment(text="Fine.", item=HEAT, recommended=True, **BASE),
    Search(query="Heat", recommended=True, **BASE),
)


def prompt_of(dialect: Dialect, *events: Event) -> str:
    """The last turn of the prompt that these events make."""
    evidence = tuple(map(evidence_of, events))
    return dialect.write_prompt(Update("", fold(Tally(), evidence), evidence)).turns[-1].content


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda one: type(one).__name__)
def test_what_the_assistant_said_is_in_no_prompt(dialect: Dialect) -> None:
    assistant = Message(text="You love slow films from Finland.", role="assistant", **BASE)
    prompt = prompt_of(dialect, assistant, Message(text="No, I hate all of them.", **BASE))
    assert "Finland" not in prompt
    assert "No, I hate all of them." in prompt
    assert prompt_of(dialect, assistant).count("You love") == 0


@pytest.mark.parametrize("dialect", OURS, ids=lambda one: type(one).__name__)
def test_what_somebody_wrote_is_said_to_be_written_by_them(dialect: Dialect) -> None:
    post, turn = Post(text="I love old films.", **BASE), Message(text="I am vegetarian.", **BASE)
    answer = Comment(text="Far too long.", in_reply_to="Loved it, what do you think?", **BASE)
    lines = prompt_of(dialect, post, turn, answer).splitlines()
    assert 'wrote "I love old films."' in lines
    assert 'wrote "I am vegetarian."' in lines
    assert 'commented on "Loved it, what do you think?": "Far too long."' in lines
    # The words of whoever was answered stand nowhere else, so not in the tally.
    assert sum("Loved it" in line for line in lines) == 1


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda one: type(one).__name__)
@pytest.mark.parametrize(
    "event", [Post(text="é" * 20_000, **BASE), Message(text="é" * 20_000, **BASE)], ids=["post", "message"]
)
def test_a_quote_is_bounded(dialect: Dialect, event: Event) -> None:
    line = max(prompt_of(dialect, event).splitlines(), key=lambda line: line.count("é"))
    assert MAX_QUOTE_CHARS - 1 <= line.count("é") + line.count("…") <= MAX_QUOTE_CHARS


@pytest.mark.parametrize("dialect", OURS, ids=lambda one: type(one).__name__)
@pytest.mark.parametrize("event", RECOMMENDED, ids=lambda one: str(one.__struct_config__.tag))
def test_what_the_platform_put_forward_is_marked(dialect: Dialect, event: Event) -> None:
    own = type(event)(**{name: getattr(event, name) for name in event.__struct_fields__} | {"recommended": False})
    assert ", as recommended" in prompt_of(dialect, event)
    assert ", as recommended" not in prompt_of(dialect, own)


def test_the_mark_stands_behind_what_was_put_forward() -> None:
    choice, comment = (one for one in RECOMMENDED if isinstance(one, Choice | Comment))
    lines = prompt_of(Plain(), choice, comment).splitlines()
    assert 'chose "Heat" (crime), as recommended, over "Up" when asking for "heist"' in lines
    assert 'commented on "Heat" (crime), as recommended: "Fine."' in lines


def test_the_counting_engine_counts_half_of_it_where_the_text_is_the_only_memory() -> None:
    def said_of(*events: Event) -> str:
        answer = complete(Plain().write_prompt(Update("", Tally(), tuple(map(evidence_of, events)))))
        assert isinstance(answer, Completion)
        return answer.text

    times = [Rating(item=Item(id=str(n), title=f"Film {n}", attributes=HEAT.attributes), value=5, **BASE) for n in range(4)]
    echoes = [Rating(item=one.item, value=5, recommended=True, **BASE) for one in times]
    assert "Loves crime" in said_of(*times)
    assert "crime" not in said_of(*echoes)
