"""What a real model answers, and what of it the guards let through: nothing that anybody would not want published."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import pytest
from msgspec.structs import replace

from streams.evolution.dialects import Grammar, dialect_of
from streams.evolution.guards import Accepted, GuardLimits, judge
from streams.evolution.records import Completion, Update
from tests.model.asking import Asked, ask_updates, client_of, updates
from tests.model.vllm_process import Vllm

NUM_UPDATES = 60
PIN = "Watches with two small children."
FORBIDDEN = "action"
LIMITS = GuardLimits()
NUM_COPIED_WORDS = 12  # in a row, from the instructions: nobody says that by chance


def asked_updates() -> list[Update]:
    """Real updates; every third person has pinned a sentence."""
    return [replace(update, pins=(PIN,)) if number % 3 == 0 else update for number, update in enumerate(updates(NUM_UPDATES))]


def forbidden(number: int) -> tuple[str, ...]:
    """Every fourth person does not want this said."""
    return (FORBIDDEN,) if number % 4 == 0 else ()


def faults(text: str, tokens: int, asked: Asked, never: Sequence[str]) -> Iterator[str]:
    """Why this should never have been published, found without any code of the guards."""
    if not re.search(r"\w\w", text):
        yield "it says nothing"
    if not 0 < tokens <= LIMITS.max_tokens:
        yield f"{tokens} tokens"
    if re.search(r"<[^>]{0,20}>|<\||\|>", text):
        yield "a tag, or a token of a chat template"
    if any(pin not in text for pin in asked.update.pins):
        yield "what was pinned is missing"
    if any(re.search(rf"\b{phrase}\b", text, re.IGNORECASE) for phrase in never):
        yield "what was forbidden is said"
    instructions = " ".join(asked.prompt.turns[0].content.split())
    words = text.split()
    if any(" ".join(words[at : at + NUM_COPIED_WORDS]) in instructions for at in range(len(words) - NUM_COPIED_WORDS + 1)):
        yield "the instructions are copied"
    lines = Counter(line.strip() for line in text.splitlines() if line.strip())
    if any(number > 2 for number in lines.values()):
        yield "a line comes three times"


@pytest.mark.parametrize("grammar", ["", "sections"])
async def test_nothing_bad_is_let_through(server: Vllm, grammar: Grammar, tell: Callable[[str], None]) -> None:
    dialect = dialect_of("plain", grammar)
    async with client_of(server.url, capacity=64) as client:
        answered = await ask_updates(client, dialect, asked_updates())
    verdicts: Counter[str] = Counter()
    for number, asked in enumerate(answered):
        assert isinstance(asked.result, Completion), asked.result
        completion, update = dialect.read_answer(asked.result, asked.update), asked.update
        if grammar:
            assert completion.finish_reason == "stop", "it ended by itself, and satisfies its schema"
            assert isinstance(json.loads(asked.result.text), dict)
        never, tally = forbidden(number), update.tally
        verdict = judge(completion, asked.prompt, update.old_text, LIMITS, update.pins, never, update.evidence, tally)
        verdicts["accepted" if isinstance(verdict, Accepted) else verdict.reason] += 1
        if isinstance(verdict, Accepted):
            found = list(faults(verdict.text, verdict.tokens, asked, forbidden(number)))
            assert found == [], f"{found}:\n{verdict.text}"
    said = ", ".join(f"{number} {verdict}" for verdict, number in verdicts.most_common())
    tell(f"of {NUM_UPDATES} answers {f'in the grammar {grammar!r}' if grammar else 'in free text'}: {said}")
    assert verdicts.total() == NUM_UPDATES
    assert verdicts["accepted"] >= (NUM_UPDATES / 2 if grammar else 0)
