"""A thought is never the summary, and what is no thought stays as it is."""

from __future__ import annotations

import pytest

from streams.evolution.records import Completion
from streams.evolution.thoughts import UNTERMINATED, without_thought


@pytest.mark.parametrize(
    ("text", "summary"),
    [
        ("<think>\nHm.\n</think>\n\nLikes war.", "Likes war."),
        ("Hm.\n</think>\n\nLikes war.", "Likes war."),
        ("<think>Is it </think>? No.</think> Likes war. ", "Likes war."),
        ("<think></think>", ""),
    ],
    ids=["a thought", "opened by the template", "the last end counts", "nothing else"],
)
def test_what_stands_after_a_thought_is_the_answer(text: str, summary: str) -> None:
    answer = Completion(text, "stop", prompt_tokens=9, completion_tokens=700, cached_tokens=3)
    assert without_thought(answer) == Completion(summary, "stop", prompt_tokens=9, cached_tokens=3)


@pytest.mark.parametrize("finish_reason", ["stop", "length"])
@pytest.mark.parametrize("text", ["<think>", "\n<think>\nLikes war."])
def test_a_thought_without_an_end_is_no_text(text: str, finish_reason: str) -> None:
    assert without_thought(Completion(text, finish_reason, completion_tokens=700)) == Completion("", UNTERMINATED)


@pytest.mark.parametrize("text", ["Likes war.", "", "Likes <think> pieces."])
def test_an_answer_without_a_thought_stays(text: str) -> None:
    answer = Completion(text, "length", completion_tokens=7)
    assert without_thought(answer) == answer
