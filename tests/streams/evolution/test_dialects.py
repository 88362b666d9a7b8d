"""Every dialect can be asked for by name, and is what it says it is."""

from __future__ import annotations

import hashlib
from typing import get_args

import pytest

from prefstream.summaries import Tally
from streams.evolution.dialects import DialectName, Update, dialect_of


@pytest.mark.parametrize("name", get_args(DialectName))
def test_a_dialect_has_its_name_and_one_constant_start(name: DialectName) -> None:
    dialect = dialect_of(name)
    prompts = [dialect.write_prompt(Update(old, Tally(), (), is_firm=is_firm)) for old, is_firm in (("", False), ("A.", True))]
    constant, *others = {prompt.turns[0] for prompt in prompts}
    assert (dialect.name, others, constant.role) == (name, [], "system")
    assert len(dialect.prompt_sha256) == len(hashlib.sha256().hexdigest())
    assert all(prompt.schema is None for prompt in prompts)


@pytest.mark.parametrize("name", get_args(DialectName))
@pytest.mark.parametrize("max_summary_tokens", [40, 160, 600, 2_000])
@pytest.mark.parametrize("line", ["Likes war. ", "Likes war.\n"], ids=["one line", "a list"])
def test_a_summary_within_its_budget_is_whole_in_the_next_prompt(name: DialectName, max_summary_tokens: int, line: str) -> None:
    text = (line * (max_summary_tokens // 4)).strip()
    prompt = dialect_of(name).write_prompt(Update(text, Tally(), (), max_summary_tokens=max_summary_tokens))
    assert text in prompt.turns[1].content


@pytest.mark.parametrize("name", get_args(DialectName))
@pytest.mark.parametrize("text", ["war " * 30_000, "war\n" * 30_000], ids=["one line", "a list"])
def test_a_long_edit_is_bounded(name: DialectName, text: str) -> None:
    content = dialect_of(name).write_prompt(Update(text, Tally(), ())).turns[1].content
    assert 40 <= content.count("war") < 400
