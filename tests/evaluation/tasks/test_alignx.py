"""AlignX's test rows become people with what is known of them, and questions without the vectors that know the answer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evaluation.tasks import alignx
from evaluation.tasks.published import Skipped, Unreadable
from prefstream.events import Choice, Comment, Post, decode_event, encode_event
from tests.evaluation.tasks.files import alignx_row, direction


def written(tmp_path: Path, *rows: object) -> Path:
    path = tmp_path / "Reddit_arbitrary.json"
    path.write_text(json.dumps(rows, indent=1))
    return path


def test_description_comments_and_pairs_are_events_in_this_order(tmp_path: Path) -> None:
    exam = alignx.load(written(tmp_path, alignx_row()))
    post, comment, choice = exam.people["row 1"].events
    assert isinstance(post, Post)
    assert isinstance(comment, Comment)
    assert isinstance(choice, Choice)
    assert post.text == "A young baker who likes short answers."
    assert (comment.in_reply_to, comment.text) == ("Is rye hard to bake?", "No.")
    assert (choice.query, choice.chosen.title, choice.rejected[0].title) == (
        "Which oven?",
        "A hot one.",
        "Let me begin in 1901.",
    )
    assert post.at < comment.at < choice.at
    assert all(decode_event(encode_event(event)) == event for event in (post, comment, choice))
    (question,) = exam.questions
    assert (question.after, question.query, question.chosen.title) == (3, "How long does dough rest?", "An hour.")


@pytest.mark.parametrize(
    ("part", "kinds"),
    [
        ({"User-Generated Content": [], "Pair-wise Comparative Feedback": []}, ["Post"]),
        ({"Demographic Information": "", "User-Generated Content": None}, ["Choice"]),
        ({"Demographic Information": None, "Pair-wise Comparative Feedback": []}, ["Comment"]),
    ],
    ids=["DEMO", "PAIR", "UGC"],
)
def test_each_split_has_its_part_of_the_persona(tmp_path: Path, part: dict[str, object], kinds: list[str]) -> None:
    exam = alignx.load(written(tmp_path, alignx_row(**part)))
    assert [type(event).__name__ for event in exam.people["row 1"].events] == kinds
    assert exam.questions[0].after == 1


def test_a_file_without_vectors_is_read_too(tmp_path: Path) -> None:
    pair = {"prompt": "Which oven?", "chosen": "A hot one.", "rejected": "Let me begin."}
    row = {
        "prompt": "p",
        "chosen": "c",
        "rejected": "r",
        "Pair-wise Comparative Feedback": [pair] * 4,
        "ground_truth_persona": "x",
    }
    assert len(alignx.load(written(tmp_path, row)).people["row 1"].events) == 4


def test_no_vector_is_in_what_is_known(tmp_path: Path) -> None:
    """A row's vector is that of the pair it asks about, and whole profiles were made of it."""
    with_vectors = alignx.load(written(tmp_path, alignx_row()))
    without = alignx.load(written(tmp_path, alignx_row(**{"Preference Direction": direction(_3=0.0), "profile": "Older"})))
    assert with_vectors == without


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"Preference Direction": [0.5] * 89}, "must be 90 numbers of 0, 0.5 and 1"),
        ({"Preference Direction": [0.7] * 90}, "must be 90 numbers of 0, 0.5 and 1"),
        ({"Preference Direction": ["x"]}, r"\$\[\.\.\.\]|Preference Direction"),
        ({"User-Generated Content": [{"prompt": "p"}]}, "comment"),
        ({"rejected": "An hour."}, "same as chosen in the 80 characters"),
        (
            {"Demographic Information": "", "User-Generated Content": [], "Pair-wise Comparative Feedback": []},
            "nothing is known",
        ),
    ],
    ids=["89", "0.7", "words", "no comment", "both the same", "nobody"],
)
def test_a_bad_row_is_named_or_counted(tmp_path: Path, changes: dict[str, object], problem: str) -> None:
    path = written(tmp_path, alignx_row(), alignx_row(**changes))
    with pytest.raises(Unreadable, match=rf"Reddit_arbitrary\.json, row 2: .*({problem})"):
        alignx.load(path)
    skipped = Skipped()
    assert list(alignx.load(path, skipped=skipped).people) == ["row 1"]
    assert skipped.num == 1
