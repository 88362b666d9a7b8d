"""A file of examples: what was written is read, and what is none is named."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.evolution.records import Turn
from training.examples import Example, InvalidExamples, read_examples, write_examples

EXAMPLES = [Example(str(number), (Turn("user", "Zoë\n\u2028"),), "Loves war.", "counting") for number in range(3)]


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "new" / "examples.jsonl"
    assert write_examples(path, EXAMPLES) == 3
    assert list(read_examples(path)) == EXAMPLES


def test_a_file_is_complete_or_as_it_was(tmp_path: Path) -> None:
    def broken() -> Iterator[Example]:
        yield EXAMPLES[0]
        raise KeyError("broken")

    path = tmp_path / "examples.jsonl"
    write_examples(path, EXAMPLES)
    with pytest.raises(KeyError, match="broken"):
        write_examples(path, broken())
    assert len(list(read_examples(path))) == 3


def test_a_line_that_is_no_example_is_named(tmp_path: Path) -> None:
    path = tmp_path / "examples.jsonl"
    write_examples(path, EXAMPLES)
    path.write_bytes(path.read_bytes() + b'{"user": "ada", "turns": []}\n')
    with pytest.raises(InvalidExamples, match=r"line 4: .*completion"):
        list(read_examples(path))
