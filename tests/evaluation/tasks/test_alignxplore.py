"""The benchmark files of AlignXplore+ and of P-Soups become people with choices and questions about their targets."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from evaluation.tasks import alignxplore, psoups
from evaluation.tasks.published import Skipped, Unreadable
from evaluation.tasks.triples import MAX_TEXT_CHARS, Triple, item_of
from prefstream.events import Choice, decode_event, encode_event
from prefstream.summaries import Tally
from streams.evidence import evidence_of
from streams.evolution.alignxplore import AlignXplore
from streams.evolution.records import Update
from streams.tally import fold, levels
from tests.evaluation.tasks.files import BAKERY, COMMENT, FILM, upi, write_lines


def test_a_line_becomes_choices_and_a_question(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "alignx_upi.jsonl", [upi("ada", [COMMENT, FILM])])
    exam = alignxplore.load(path)
    first, second = exam.people["ada"].events
    assert isinstance(first, Choice)
    assert isinstance(second, Choice)
    assert (first.query, first.chosen.title, first.rejected) == ("How do I fix a leaking tap?", "Turn the water off first.", ())
    assert (second.query, second.chosen.title) == ("", "The Quiet Ferry (1998)")
    assert second.chosen.attributes == {"genre": ("drama", "film-noir")}
    assert [item.title for item in second.rejected] == ["Loud Boats (2001)"]
    assert first.at < second.at
    (question,) = exam.questions
    assert (exam.name, question.user, question.after) == ("alignx_upi", "ada", 2)
    assert (question.chosen.title, question.rejected.title) == ("Bakery opens at the harbour", "Rowing club elects a board")
    assert question.query == "Any news from the harbour?"
    assert question.chosen.attributes == {"abstract": ("It sells rye bread from six in the morning.",)}


def test_the_events_are_what_a_platform_may_publish(tmp_path: Path) -> None:
    long = {"query": "why? " * 900, "chosen": "because " * 900, "rejected": "no. " * 900}
    exam = alignxplore.load(write_lines(tmp_path / "long_upi.jsonl", [upi(7, [long, BAKERY], long)]))
    for event in exam.people["7"].events:
        assert decode_event(encode_event(event)) == event
    assert len(exam.questions[0].chosen.title) == len(exam.questions[0].query) == MAX_TEXT_CHARS


@pytest.mark.parametrize("left", [None, "", "No negative sample."])
def test_nothing_rejected_is_nothing_rejected(tmp_path: Path, left: str | None) -> None:
    exam = alignxplore.load(write_lines(tmp_path / "x_upi.jsonl", [upi("ada", [FILM | {"rejected": left}])]))
    (event,) = exam.people["ada"].events
    assert isinstance(event, Choice)
    assert event.rejected == ()


def test_the_fill_in_of_a_query_names_the_domain_and_asks_nothing(tmp_path: Path) -> None:
    filled = BAKERY | {"query": "Please recommend some news to me."}
    exam = alignxplore.load(write_lines(tmp_path / "x_upi.jsonl", [upi("ada", [filled, filled], filled)]))
    (event, _) = exam.people["ada"].events
    assert isinstance(event, Choice)
    assert (event.domain, event.query, exam.questions[0].query) == ("news", "", "")
    update = Update("", Tally(), (evidence_of(event),))
    assert "*QUERY:*\n Please recommend some news to me.\n" in AlignXplore().write_prompt(update).turns[-1].content
    assert [section.searches for section in levels(fold(Tally(), update.evidence)).sections] == [()]


@pytest.mark.parametrize(("name", "after"), [("mind_upi.jsonl", 4), ("movielens_upi.jsonl", 4), ("alignx_upi.jsonl", 7)])
def test_of_a_recommendation_set_two_thirds_are_known_as_published(tmp_path: Path, name: str, after: int) -> None:
    exam = alignxplore.load(write_lines(tmp_path / name, [upi("ada", [FILM] * 7)]))
    assert (len(exam.people["ada"].events), exam.questions[0].after) == (7, after)


def test_a_user_with_two_histories_is_two_people(tmp_path: Path) -> None:
    rows = [upi("ada", [FILM]), upi("ada", [FILM], COMMENT | {"rejected": "Call me."}), upi("ada", [COMMENT])]
    exam = alignxplore.load(write_lines(tmp_path / "x_upi.jsonl", rows))
    assert [question.user for question in exam.questions] == ["ada", "ada", "ada line 3"]
    assert sorted(exam.people) == ["ada", "ada line 3"]


def test_one_text_is_one_item_and_what_differs_is_not() -> None:
    assert item_of(FILM["chosen"] or "") == item_of(f" {FILM['chosen']}\n")
    assert item_of("Title: A, Genres: (no genres listed)").attributes == {}
    assert item_of("Title: A") != item_of("Title: B")
    assert item_of("Title: A\nAbstract: x").id == item_of("Title: a, Genres: B").id
    assert item_of("long " * 30 + "one").id == item_of("long " * 30 + "other").id
    assert item_of("Not a Title: A, Genres: B").title == "Not a Title: A, Genres: B"
    assert item_of(BAKERY["chosen"] or "").attributes == {}


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"userid": "ada", "history": [FILM]}, "missing required field `target`"),
        (upi("ada", []), r"`array` of length >= 1 - at `\$\.history`"),
        (upi("ada", [{"query": "q"}]), r"`chosen` - at `\$\.history\[0\]`"),
        (upi("ada", [FILM | {"chosen": "  "}]), r"chosen: empty; an event says what was taken - at `\$\.history\[0\]`"),
        (upi("ada", [FILM], FILM | {"rejected": "No negative sample."}), r"rejected: missing; .* - at `\$\.target`"),
        (upi("ada", [FILM], FILM | {"rejected": FILM["chosen"]}), "the same as chosen in the 80 characters"),
        (upi("", [FILM]), r"\$\.userid"),
        ("text", "Expected `object`"),
    ],
    ids=["no target", "no history", "nothing chosen", "blank", "no negative", "both the same", "no user", "no object"],
)
def test_a_bad_line_is_named_or_counted(tmp_path: Path, row: object, problem: str) -> None:
    path = write_lines(tmp_path / "x_upi.jsonl", [upi("eve", [FILM]), row])
    with pytest.raises(Unreadable, match=rf"x_upi\.jsonl:2: .*{problem}"):
        alignxplore.load(path)
    skipped = Skipped()
    assert list(alignxplore.load(path, skipped=skipped).people) == ["eve"]
    assert skipped.num == 1
    assert re.search(problem, skipped.first[0])


def test_a_sample_is_drawn_and_keeps_the_order_of_the_file(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "x_upi.jsonl", [upi(number, [FILM]) for number in range(40)])
    users = [question.user for question in alignxplore.load(path, max_people=9, seed=3).questions]
    assert len(users) == 9
    assert users == sorted(users, key=int)
    assert users != [question.user for question in alignxplore.load(path, max_people=9, seed=4).questions]


STYLE: dict[str, object] = {"ground_truth_persona": "Generate a response like a close friend."}


def test_rows_with_one_history_are_one_person_of_p_soups(tmp_path: Path) -> None:
    four, turned = [COMMENT, BAKERY, BAKERY, COMMENT], [BAKERY, COMMENT, BAKERY, COMMENT]
    rows = [upi("p_1", four) | STYLE, upi("p_2", four, FILM) | STYLE, upi("p_3", turned) | STYLE]
    exam = psoups.load(write_lines(tmp_path / "friendly_unfriendly_upi.jsonl", rows))
    assert [len(person.events) for person in exam.people.values()] == [4, 4]
    assert [question.user for question in exam.questions[:2]] == [next(iter(exam.people))] * 2
    assert all(question.after == 4 for question in exam.questions)


def test_p_soups_needs_its_personas(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "student_phd_upi.jsonl", [upi("p_1", [COMMENT])])
    with pytest.raises(Unreadable, match=r"student_phd_upi\.jsonl:1: .*ground_truth_persona"):
        psoups.load(path)


def test_a_triple_may_leave_out_what_may_be_null() -> None:
    assert Triple("something") == Triple("something", None, None)
