"""Token counts: by a model's own tokenizer, for a text and for a prompt with what its chat template adds."""

from __future__ import annotations

from pathlib import Path

import pytest

from model_server.tokenizer import InvalidTokenizer, TokenCounter, estimated, load_tokenizer
from streams.evolution.records import Completion, Prompt, Turn
from streams.tokens import estimate_tokens

TEXT = "Loves drama and war. Loves drama and crime."  # what the tokenizer has seen


def test_a_text_is_counted_whole_and_without_what_stands_around_it(tokenizer_file: Path) -> None:
    count = load_tokenizer(tokenizer_file).count
    # Words it has seen are one token each, with the space before them: eight words and two full stops.
    assert count(TEXT) == 10
    assert count("") == 0
    assert count("ÿ 🦊") == 7  # the bytes


def test_a_prompt_counts_each_turn(tokenizer_file: Path) -> None:
    counter = load_tokenizer(tokenizer_file)
    prompt = Prompt((Turn("system", TEXT), Turn("user", " drama")), max_tokens=9)
    assert counter.count_prompt(prompt) == counter.count(TEXT) + counter.count(" drama")


def test_the_constant_turn_is_counted_once() -> None:
    counted: list[str] = []

    def count(text: str) -> int:
        counted.append(text)
        return 1

    counter = TokenCounter(count, "test", is_exact=True)
    for name in ("ada", "bo"):
        counter.count_prompt(Prompt((Turn("system", "constant"), Turn("user", name)), max_tokens=9))
    assert counted == ["constant", "ada", "bo"]


def test_an_answer_is_counted_alone_by_the_tokenizer_and_left_to_the_server_without_one(tokenizer_file: Path) -> None:
    """The server's count has the token that ended the answer, and the thought."""
    answer = Completion(TEXT, "stop", prompt_tokens=7, completion_tokens=51, reasoning_tokens=40)
    assert load_tokenizer(tokenizer_file).counted(answer) == Completion(TEXT, "stop", prompt_tokens=7, completion_tokens=10)
    assert estimated().counted(answer) == answer


def test_without_a_tokenizer_it_is_the_estimate() -> None:
    assert (estimated().count(TEXT), estimated().source) == (estimate_tokens(TEXT), "estimate")


@pytest.mark.parametrize("content", [None, "", "{}", '{"model": {"type": "BPE"'], ids=["missing", "empty", "other", "cut"])
def test_a_file_without_a_tokenizer_is_named(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "tokenizer.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InvalidTokenizer, match=f"^{path}: "):
        load_tokenizer(path)
