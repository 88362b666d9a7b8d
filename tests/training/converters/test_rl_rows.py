"""Pruned lines become verl's table and come back, and both of their questions can be asked by evaluation."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from pyarrow import parquet

from evaluation.tasks import alignxplore
from streams.evolution.alignxplore import AlignXplore
from streams.evolution.records import Prompt, Update
from tests.evaluation.tasks.files import BAKERY, FILM, write_lines
from training.converters.__main__ import main


def triple(number: int) -> dict[str, str | None]:
    return {"query": None, "chosen": f"Title: Book {number}", "rejected": f"Title: Other {number}"}


SIGNALS = {"logprob1": -0.05, "logprob2": -0.7, "signal": 0.65}


def pruned(**changes: object) -> dict[str, object]:
    row: dict[str, object] = {
        "uid": "17",
        "history": [triple(number) for number in range(7)],
        "mid_position": 3,
        "mid_record": SIGNALS,
        "last_record": SIGNALS,
        "signal_gap": 0.0,
        "distance_to_end": 3,
    }
    return row | changes


def read(path: Path) -> list[Mapping[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_table_is_what_verl_reads(tmp_path: Path) -> None:
    given = write_lines(tmp_path / "rl.jsonl", [pruned(), pruned(uid=18)])
    assert main(["rl", "verl", str(given), str(tmp_path / "train.parquet"), "--max-summary-tokens", "300"]) == 0
    first, second = parquet.read_table(tmp_path / "train.parquet").to_pylist()
    assert list(first) == ["data_source", "prompt", "ability", "reward_model", "extra_info"]
    assert (first["data_source"], first["ability"]) == ("upi", "personalization_alignment")
    assert first["reward_model"] == {"style": "rule", "target1": triple(3), "target2": triple(6)}
    extra = first["extra_info"]
    assert (extra["userid"], extra["index"], extra["split"], extra["mid_position"]) == ("17", 0, "train", 3)
    assert first["prompt"] == [extra["prompt1"], extra["prompt2"], extra["full_prompt"]]
    assert (second["extra_info"]["userid"], second["extra_info"]["index"]) == ("18", 1)
    seen = [re.findall(r"CHOSEN ITEM BY THE USER:\*\nTitle: Book (\d)", prompt) for prompt in first["prompt"]]
    assert seen == [list("012"), list("345"), list("012345")]
    assert all(prompt.count("Not Provided.") == 1 and "300 tokens" in prompt for prompt in first["prompt"])


def test_a_table_comes_back_without_its_signals(tmp_path: Path) -> None:
    given = write_lines(tmp_path / "rl.jsonl", [pruned(), pruned(uid="18", mid_position=2)])
    main(["rl", "verl", str(given), str(tmp_path / "train.parquet")])
    assert main(["verl", "rl", str(tmp_path / "train.parquet"), str(tmp_path / "again.jsonl")]) == 0
    nothing = {"logprob1": 0.0, "logprob2": 0.0, "signal": 0.0}
    expected = [
        pruned(mid_record=nothing, last_record=nothing),
        pruned(uid="18", mid_position=2, mid_record=nothing, last_record=nothing, distance_to_end=4),
    ]
    assert read(tmp_path / "again.jsonl") == expected


def test_both_questions_are_one_persons(tmp_path: Path) -> None:
    given = write_lines(tmp_path / "rl.jsonl", [pruned()])
    assert main(["rl", "upi", str(given), str(tmp_path / "rl_upi.jsonl")]) == 0
    exam = alignxplore.load(tmp_path / "rl_upi.jsonl")
    assert [(one.user, one.after, one.chosen.title) for one in exam.questions] == [("17", 3, "Book 3"), ("17", 6, "Book 6")]
    assert len(exam.people["17"].events) == 6


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"mid_position": 0}, "mid_position: must be 1 to 4"),
        ({"mid_position": 5}, "mid_position: must be 1 to 4"),
        (
            {"history": [triple(0), triple(1), FILM | {"rejected": None}, triple(3), triple(4)], "mid_position": 2},
            "rejected: missing",
        ),
        ({"history": [triple(0)]}, "length >= 4"),
        ({"mid_record": {"logprob1": "x"}}, r"\$\.mid_record\.logprob1"),
    ],
)
def test_a_bad_line_is_named(
    tmp_path: Path, changes: dict[str, object], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = write_lines(tmp_path / "rl.jsonl", [pruned(), pruned(**changes)])
    assert main(["rl", "verl", str(given), str(tmp_path / "train.parquet")]) == 2
    assert re.search(rf"rl\.jsonl:2: .*{problem}", capsys.readouterr().err)
    assert not (tmp_path / "train.parquet").exists()


def test_a_text_that_the_trainer_would_replace_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """verl's trainer puts the first summary in place of every "Not Provided.", also of one within an item."""
    history = [triple(0), triple(1), {**BAKERY, "chosen": "Title: Not Provided. A novel"}, *map(triple, range(4))]
    given = write_lines(tmp_path / "rl.jsonl", [pruned(history=history), pruned()])
    assert main(["rl", "verl", str(given), str(tmp_path / "train.parquet"), "--skip-bad-rows"]) == 0
    assert parquet.read_table(tmp_path / "train.parquet").num_rows == 1
    assert "a text holds 'Not Provided.'" in capsys.readouterr().err


def test_the_prompts_are_those_of_production(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Update] = []
    write = AlignXplore.write_prompt

    def written(self: AlignXplore, update: Update) -> Prompt:
        asked.append(update)
        return write(self, update)

    monkeypatch.setattr(AlignXplore, "write_prompt", written)
    main(["rl", "verl", str(write_lines(tmp_path / "rl.jsonl", [pruned()])), str(tmp_path / "train.parquet")])
    assert [len(update.evidence) for update in asked] == [3, 3, 6]
