"""Every attack as what a person asks for: refused with a reason, or kept as words that no prompt takes for more."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from evaluation.slices.injection import Stream
from model_server.counting import complete
from prefstream.commands import Command, Edit, Pin
from prefstream.events import Item, Rating
from prefstream.summaries import Summary, Tally
from streams.changes import Person
from streams.controls import NO_CONTROLS
from streams.decisions import Decision, decide
from streams.evidence import evidence_of
from streams.evolution.alignxplore import AlignXplore
from streams.evolution.brief import Brief
from streams.evolution.guards.wording import occurs, words_of
from streams.evolution.invisible import without_invisible
from streams.evolution.markup import find_markup
from streams.evolution.plain import Plain
from streams.evolution.prose import sentences
from streams.evolution.records import Completion, Update
from streams.tally import fold
from tests.streams.evolution.attacks import attacks

DOCUMENT = Path(__file__).parents[3] / "docs" / "untrusted-text.md"
AT = datetime(2026, 1, 5, 20, 15, tzinfo=UTC)
FILMS = [Item(id=str(n), title=f"Film {n}", attributes={"genre": ("drama",)}) for n in range(5)]
LOVED = tuple(evidence_of(Rating(user="ada", at=AT, domain="films", item=film, value=5)) for film in FILMS)
TALLY = fold(Tally(), LOVED)
BASE = Summary(user="ada", version=3, text='Loves drama. Favourites: "Film 4".', reason="size", updated_at=AT, tally=TALLY)
ADA = Person("ada", NO_CONTROLS, BASE, True, 160)
OURS = re.compile(
    r"</?(?:old_summary|pinned|tally|new_events)>|\*(?:QUERY|(?:CHOSEN|REJECTED) ITEM BY THE USER):\*"
    r"|=====(?:Triple \d+|END|Past Preference Summary|Pinned Sentences|Interaction History)====="
)

Ask = Callable[[str], Command]
ASKS: dict[str, Ask] = {
    "edit": lambda text: Edit(user="ada", at=AT, text=text),
    "pin": lambda text: Pin(user="ada", at=AT, statement=text),
}


def asked(one: Stream, ask: Ask) -> Decision:
    return decide(ask("\n".join(one.template.written(one.canary))), ADA, 7, AT)


def lines_of_a_prompt(summary: Summary, kept: tuple[str, ...]) -> list[str]:
    update = Update(summary.text, summary.tally, LOVED, kept)
    prompts = [dialect.write_prompt(update) for dialect in (Plain(), Brief(), AlignXplore())]
    return [line for prompt in prompts for line in prompt.turns[1].content.splitlines()]


@pytest.mark.parametrize("ask", ASKS.values(), ids=ASKS.keys())
@pytest.mark.parametrize("one", attacks(), ids=lambda one: f"{one.template.family} {one.canary}")
def test_an_attack_as_a_wish_is_refused_or_kept_as_words(one: Stream, ask: Ask) -> None:
    decision = asked(one, ask)
    if decision.summary is None:
        assert (decision.receipt.outcome, bool(decision.receipt.reason)) == ("refused", True)
        assert one.canary not in decision.receipt.message
        assert (decision.controls.pins, decision.controls.own_words) == ((), ())
        return
    text, kept = decision.summary.text, decision.controls.kept
    assert find_markup(text) is None
    assert without_invisible(text) == text
    marked = [line for line in lines_of_a_prompt(decision.summary, kept) if find_markup(line) is not None]
    assert [line for line in marked if OURS.fullmatch(line) is None] == []
    update = Update(text, decision.summary.tally, LOVED, kept)
    answer = complete(Plain().write_prompt(update))
    assert isinstance(answer, Completion)
    told = [words_of(sentence) for sentence in sentences(answer.text) if one.canary in words_of(sentence)]
    said = words_of("\n".join([text, *kept]))
    assert [words for words in told if not occurs(words, said)] == []


def test_how_many_are_refused_is_what_the_document_says() -> None:
    for name, ask in ASKS.items():
        outcomes = Counter(decision.receipt.reason or "kept" for one in attacks() for decision in [asked(one, ask)])
        kept = outcomes.pop("kept")
        by = ", ".join(f"`{reason}` {number}" for reason, number in outcomes.most_common())
        row = f"| {name} | {outcomes.total()} | {kept} | {by} |"
        assert row in DOCUMENT.read_text().splitlines(), row
