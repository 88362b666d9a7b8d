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
