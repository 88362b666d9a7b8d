"""AlignX's table becomes the benchmarks' form, or pairs of answers whose prompt never loses its task."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pyarrow
import pytest
from pyarrow import parquet

from evaluation.tasks import alignxplore
from evaluation.tasks.alignx import AlignXRow
from tests.evaluation.tasks.files import alignx_row, direction
from training.converters.__main__ import main
from training.converters.alignx_rows import ALIGNX_SCHEMA, preference_by_direction, preference_of


def written(path: Path, *rows: dict[str, object]) -> Path:
    parquet.write_table(pyarrow.Table.from_pylist(list(rows), ALIGNX_SCHEMA), path)
    return path


def row(**changes: object) -> AlignXRow:
    return msgspec.convert(alignx_row(**changes), AlignXRow)


def test_pairs_become_a_history_that_evaluation_reads(tmp_path: Path) -> None:
    (tmp_path / "AlignX").mkdir()
    written(tmp_path / "AlignX" / "part-0.parquet", alignx_row())
    written(tmp_path / "AlignX" / "part-1.parquet", alignx_row(prompt="Which flour?"))
    assert main(["alignx", "upi", str(tmp_path / "AlignX"), str(tmp_path / "alignx_upi.jsonl")]) == 0
    exam = alignxplore.load(tmp_path / "alignx_upi.jsonl")
    assert list(exam.people) == ["alignx_0", "alignx_1"]
    assert [question.query for question in exam.questions] == ["How long does dough rest?", "Which flour?"]
    assert exam.questions[0].chosen.title == "An hour."


def test_preferences_have_trls_form(tmp_path: Path) -> None:
    given = written(tmp_path / "AlignX.parquet", alignx_row())
    assert main(["alignx", "preferences", str(given), str(tmp_path / "dpo.jsonl")]) == 0
    (preference,) = map(json.loads, (tmp_path / "dpo.jsonl").read_text().splitlines())
    assert [turn["role"] for turn in preference["prompt"]] == ["system", "user"]
    assert preference["chosen"] == [{"role": "assistant", "content": "An hour."}]
    assert preference["rejected"][0]["content"].startswith("It depends")
    known = preference["prompt"][1]["content"]
    parts = [
        "A young baker who likes short answers.",
        "No.",
        "A hot one.",
        "Let me begin in 1901.",
        "How long does dough rest?",
    ]
    places = [known.index(part) for part in parts]
    assert places == sorted(places)


def test_the_oldest_history_is_left_out_and_the_task_never() -> None:
    long = row(**{"User-Generated Content": [{"prompt": "p", "comment": f"comment {number} " * 40} for number in range(9)]})
    text = preference_of(long, "ada", max_chars=2_000).prompt[1].content
    assert "comment 0" not in text
    assert "A hot one." in text
    assert text.endswith("How long does dough rest?")
    assert "A young baker" in text
    with pytest.raises(ValueError, match="at most"):
        preference_of(row(prompt="long " * 500), "ada", max_chars=2_000)


def test_the_vectors_are_in_neither() -> None:
    assert "0.5" not in str(preference_of(row(), "ada"))


def test_a_prompt_may_tell_the_direction_of_the_history(tmp_path: Path) -> None:
    """The row's own vector, which says what the right answer is like, is not in it."""
    own = direction(_47=1.0, _16=0.0)
    given = written(tmp_path / "AlignX.parquet", alignx_row(**{"Preference Direction": own}))
    assert main(["alignx", "preferences", str(given), str(tmp_path / "dpo.jsonl"), "--by-direction"]) == 0
    text = json.loads((tmp_path / "dpo.jsonl").read_text())["prompt"][1]["content"]
    known, asked = text.split("\n\n")
    assert known == "What is known of the person: prefers short answers, dislikes fine food."
    assert asked == "The post to answer:\nHow long does dough rest?"
    with pytest.raises(ValueError, match="neither a comment nor a pair has one"):
        preference_by_direction(row(**{"User-Generated Content": [], "Pair-wise Comparative Feedback": []}), "ada")


def test_a_row_that_can_become_nothing_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = written(tmp_path / "AlignX.parquet", alignx_row(), alignx_row(**{"Pair-wise Comparative Feedback": []}))
    assert main(["alignx", "upi", str(given), str(tmp_path / "out.jsonl")]) == 2
    assert "AlignX.parquet, row 2: Pair-wise Comparative Feedback: empty" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["alignx", "examples", "in", "out"], "alignx does not become examples. It becomes preferences, upi."),
        (["alignx", "upi", "nowhere.parquet", "out"], "nowhere.parquet: no Parquet file"),
        (["sft", "examples", "nowhere.jsonl", "out"], "nowhere.jsonl: cannot be read"),
        (["sft", "examples", "in", "nowhere/out"], "nowhere: no folder. Make it"),
    ],
)
def test_what_cannot_be_is_one_sentence(
    tmp_path: Path, arguments: list[str], problem: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    assert capsys.readouterr().err.startswith(problem)


def test_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    assert "python -m training.converters sft examples sft.jsonl" in capsys.readouterr().out
    with pytest.raises(SystemExit) as ended:
        main(["rl", "verl", "in", "out", "--max-summary-tokens", "0"])
    assert ended.value.code == 2


def test_interrupted_it_keeps_what_was_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = written(tmp_path / "AlignX.parquet", *[alignx_row()] * 3)
    seen = []

    def interrupted(row: AlignXRow, user: str) -> object:
        seen.append(user)
        if len(seen) == 3:
            raise KeyboardInterrupt
        return preference_of(row, user)

    monkeypatch.setattr("training.converters.alignx_rows.preference_of", interrupted)
    out = tmp_path / "dpo.jsonl"
    assert main(["alignx", "preferences", str(given), str(out)]) == 130
    assert "Interrupted. What was written is in" in capsys.readouterr().err
    assert not out.exists()
    assert len((tmp_path / "dpo.jsonl.part").read_text().splitlines()) == 2
