"""AlignXplorePlus-SFT's lines become examples and come back; two lines of one person are known to be one person's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from streams.evolution.records import Turn
from tests.evaluation.tasks.files import write_lines
from training.converters.__main__ import main
from training.converters.sft_rows import SftRow, example_of, row_of, without_thoughts
from training.examples import Example, read_examples


def published(past: str, thought: str, summary: str) -> dict[str, object]:
    """A line as it was published: two turns, and an answer with its thought."""
    asked = (
        "Analyze the past preference summary.\n=====Past Preference Summary=====\n\n"
        f"{past}\n\n=====Interaction History=====\n=====Triple 1=====\n\n*QUERY:*\n q\n\n=====END=====\n\nNow summarize."
    )
    prompt = [{"role": "system", "content": "You are an analyst."}, {"role": "user", "content": asked}]
    return {"prompt": prompt, "completion": [{"role": "assistant", "content": f"<think>\n{thought}\n</think>\n\n{summary}"}]}


FIRST = published("Not Provided.", "They took bread.", "Likes bread.\n\nReads little.")
SECOND = published("Likes bread.\n\nReads little.", "Now ferries.", "Likes bread and ferries.")
OTHER = published("Not Provided.", "Soup.", "Likes soup.")


def test_examples_come_back_as_the_lines_they_were(tmp_path: Path) -> None:
    given = write_lines(tmp_path / "sft.jsonl.gz", [FIRST, SECOND])
    assert main(["sft", "examples", str(given), str(tmp_path / "examples.jsonl")]) == 0
    assert main(["examples", "sft", str(tmp_path / "examples.jsonl"), str(tmp_path / "again.jsonl")]) == 0
    assert main(["sft", "examples", str(tmp_path / "again.jsonl"), str(tmp_path / "twice.jsonl")]) == 0
    examples = list(read_examples(tmp_path / "examples.jsonl"))
    assert examples == list(read_examples(tmp_path / "twice.jsonl"))
    assert [example.completion for example in examples] == [
        "<think>\nThey took bread.\n</think>\n\nLikes bread.\n\nReads little.",
        "<think>\nNow ferries.\n</think>\n\nLikes bread and ferries.",
    ]
    assert [turn.role for turn in examples[0].turns] == ["system", "user"]


@pytest.mark.parametrize("lines", [[FIRST, SECOND, OTHER], [SECOND, OTHER, FIRST]], ids=["in order", "shuffled"])
def test_two_lines_of_one_person_have_one_user(tmp_path: Path, lines: list[dict[str, object]]) -> None:
    main(["sft", "examples", str(write_lines(tmp_path / "sft.jsonl", lines)), str(tmp_path / "out.jsonl")])
    users = {example.completion.rpartition("\n")[2]: example.user for example in read_examples(tmp_path / "out.jsonl")}
    assert users["Reads little."] == users["Likes bread and ferries."] != users["Likes soup."]


def test_our_examples_survive_the_papers_form() -> None:
    example = Example("ada", (Turn("system", "s"), Turn("user", "u")), "Likes drama.", "counting")
    assert example_of(row_of(example)) == example


def test_the_summary_alone_can_be_learnt(tmp_path: Path) -> None:
    given = write_lines(tmp_path / "sft.jsonl", [SECOND])
    main(["sft", "examples", str(given), str(tmp_path / "out.jsonl"), "--without-thoughts"])
    (example,) = read_examples(tmp_path / "out.jsonl")
    assert example.completion == "Likes bread and ferries."
    assert without_thoughts(example) == example


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ({**FIRST, "completion": []}, r"length >= 1 - at `\$\.completion`"),
        ({**FIRST, "completion": [{"role": "assistant", "content": "<think>\nso long"}]}, "a thought without end"),
        ({**FIRST, "completion": [{"role": "user", "content": "Likes bread."}]}, "a completion is the assistant's"),
        ({**FIRST, "prompt": [{"role": "tool", "content": "x"}]}, r"\$\.prompt\[0\]\.role"),
    ],
)
def test_a_bad_line_ends_it_or_is_counted(
    tmp_path: Path, line: dict[str, object], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given, out = write_lines(tmp_path / "sft.jsonl", [FIRST, line]), tmp_path / "out.jsonl"
    assert main(["sft", "examples", str(given), str(out)]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"{given}:2: ")
    assert re.search(problem, said)
    assert not out.exists()
    assert main(["sft", "examples", str(given), str(out), "--skip-bad-rows"]) == 0
    assert len(list(read_examples(out))) == 1
    assert "1 bad rows were passed over" in capsys.readouterr().err


def test_a_row_that_names_its_user_keeps_it() -> None:
    row = SftRow((Turn("user", "u"),), (Turn("assistant", "Likes drama."),), "ada")
    assert (example_of(row).user, example_of(row).source) == ("ada", "AlignXplorePlus-SFT")
