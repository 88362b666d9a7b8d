"""MIND's news and behaviours become clicks, choices among what was shown, and a question before each choice."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from evaluation.people import is_cut
from evaluation.tasks import mind
from evaluation.tasks.published import Skipped, Unreadable
from prefstream.events import Choice, Click

NEWS = [
    ("N1", "sports", "rowing", "Ferry wins the race", "By a length.", "u", "[]", "[]"),
    ("N2", "food", "baking", "Rye is back", "", "u", "[]", "[]"),
    ("N3", "food", "", "A year of soup", "Every day another.", "u", "[]", "[]"),
    ("N4", "weather", "rain", "It rains", "", "u", "[]", "[]"),
]
BEHAVIOURS = [
    ("1", "U1", "11/15/2019 8:55:22 AM", "N1", "N2-0 N3-0"),
    ("2", "U1", "11/14/2019 12:00:00 PM", "N1 N4", "N2-1 N3-0"),
    ("3", "U1", "11/15/2019 9:00:00 PM", "N1", "N4-0 N3-1 N1-1"),
    ("4", "U2", "11/15/2019 9:00:00 PM", "", "N4-1 N3-0"),
    ("5", "U2", "11/15/2019 9:00:00 PM", "", "N1-1 N2-0"),
]


def written(tmp_path: Path, news: Iterable[tuple[str, ...]] = NEWS, behaviours: Iterable[tuple[str, ...]] = BEHAVIOURS) -> Path:
    (tmp_path / "news.tsv").write_text("".join("\t".join(row) + "\n" for row in news))
    (tmp_path / "behaviors.tsv").write_text("".join("\t".join(row) + "\n" for row in behaviours))
    return tmp_path


def test_the_longest_history_is_clicks_and_impressions_are_choices_in_order_of_time(tmp_path: Path) -> None:
    exam = mind.load(written(tmp_path))
    events = exam.people["U1"].events
    assert [type(event) for event in events] == [Click, Click, Choice, Choice, Choice]
    assert [event.item.id for event in events if isinstance(event, Click)] == ["N1", "N4"]
    chosen = [(event.chosen.id, [item.id for item in event.rejected]) for event in events if isinstance(event, Choice)]
    assert chosen == [("N2", ["N3"]), ("N3", ["N4"]), ("N1", ["N4"])]
    assert list(events) == sorted(events, key=lambda event: event.at)
    assert events[1].at < events[2].at
    assert events[2].at.isoformat() == "2019-11-14T12:00:00+00:00"
    assert {event.domain for event in events} == {"news"}


def test_each_click_is_asked_about_before_it_is_known(tmp_path: Path) -> None:
    exam = mind.load(written(tmp_path))
    asked = [(question.after, question.chosen.id, question.rejected.id) for question in exam.questions if question.user == "U1"]
    assert asked == [(2, "N2", "N3"), (3, "N3", "N4"), (3, "N1", "N4")]
    assert all(is_cut(exam.people[question.user].events, question.after) for question in exam.questions)


def test_impressions_of_one_second_do_not_know_each_other(tmp_path: Path) -> None:
    exam = mind.load(written(tmp_path))
    assert [question.after for question in exam.questions if question.user == "U2"] == [0, 0]
    assert len(exam.people["U2"].events) == 2


def test_one_title_is_one_piece_of_news(tmp_path: Path) -> None:
    news = [*NEWS, ("N5", "food", "soup", "A year of Soup", "", "u", "[]", "[]")]
    behaviours = [
        ("1", "U1", "11/15/2019 8:55:22 AM", "N5", "N3-1 N5-0 N1-0"),
        ("2", "U1", "11/15/2019 9:55:22 AM", "N5", "N3-1 N5-0"),
    ]
    exam = mind.load(written(tmp_path, news, behaviours))
    click, first, second = exam.people["U1"].events
    assert isinstance(click, Click)
    assert isinstance(first, Choice)
    assert isinstance(second, Choice)
    assert (click.item.id, first.chosen.id, [item.id for item in first.rejected], second.rejected) == ("N3", "N3", ["N1"], ())
    assert [(question.chosen.id, question.rejected.id) for question in exam.questions] == [("N3", "N1")]


def test_only_a_question_shows_the_abstract(tmp_path: Path) -> None:
    exam = mind.load(written(tmp_path))
    question = exam.questions[1]
    assert question.chosen.attributes == {"category": ("food",), "abstract": ("Every day another.",)}
    event = exam.people["U1"].events[3]
    assert isinstance(event, Choice)
    assert event.chosen.attributes == {"category": ("food",)}


def test_which_of_the_left_is_asked_about_follows_from_the_seed(tmp_path: Path) -> None:
    shown = " ".join(f"N{number}-0" for number in (2, 3, 4))
    path = written(tmp_path, behaviours=[(str(row), "U1", "11/15/2019 9:00:00 PM", "", f"{shown} N1-1") for row in range(30)])
    rejected = [[question.rejected.id for question in mind.load(path, seed=seed).questions] for seed in (1, 1, 2)]
    assert rejected[0] == rejected[1] != rejected[2]
    assert set(rejected[0]) == {"N2", "N3", "N4"}


def test_only_so_many_people_are_kept(tmp_path: Path) -> None:
    assert len(mind.load(written(tmp_path), max_people=1).people) == 1


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (("6", "U3", "2019-11-15", "", "N1-1 N2-0"), "time: '2019-11-15' is not like"),
        (("6", "U3", "11/15/2019 9:00:00 PM", "", "N1 N2"), "impressions: 'N1' is no news id with -0 or -1"),
        (("6", "U3", "11/15/2019 9:00:00 PM", ""), "4 columns instead of 5"),
        (("6", "", "11/15/2019 9:00:00 PM", "", "N1-1"), "user id: empty"),
        (("6", "U3", "11/15/2019 9:00:00 PM", "N9", "N1-1 N2-0"), "news id: N9 is not in news.tsv"),
    ],
    ids=["time", "test set", "columns", "nobody", "unknown news"],
)
def test_a_bad_impression_is_named_or_counted_once(tmp_path: Path, row: tuple[str, ...], problem: str) -> None:
    path = written(tmp_path, behaviours=[*BEHAVIOURS, row])
    with pytest.raises(Unreadable, match=rf"behaviors\.tsv:6: {problem}"):
        mind.load(path)
    skipped = Skipped()
    assert sorted(mind.load(path, skipped=skipped).people) == ["U1", "U2"]
    assert skipped.num == 1


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (("N5", "food"), "2 columns instead of 8"),
        (("N5", "a", "b", "", ""), "title: empty"),
        (("", "a", "b", "c", ""), "news id: empty"),
    ],
)
def test_bad_news_is_named(tmp_path: Path, row: tuple[str, ...], problem: str) -> None:
    with pytest.raises(Unreadable, match=rf"news\.tsv:5: {problem}"):
        mind.load(written(tmp_path, news=[*NEWS, row]))


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match=r"no folder\. Give the one that has news\.tsv and behaviors\.tsv"):
        mind.load(written(tmp_path) / "news.tsv")
