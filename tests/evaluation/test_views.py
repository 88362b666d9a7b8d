"""A view is of exactly what may be known at its question, in the order of the questions, and nothing is made twice."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from evaluation.evolving import Patience, Policy, WriterUnavailable, evolve
from evaluation.records import Exam, View
from evaluation.settings import (
    AnotherPersons,
    Direct,
    Flushed,
    Full,
    LastChunk,
    NoSuchCut,
    NoSummary,
    Own,
    Setting,
    Streaming,
    TextOnly,
)
from evaluation.views import Summaries, Told
from model_server.counting import Counting
from prefstream.events import Event
from streams.evidence import evidence_of
from streams.evolution.plain import Plain
from streams.evolution.records import CallResult, Prompt, Unavailable
from tests.evaluation.people import exam_of, ratings

POLICY = Policy(Plain())
NAMES = ("ada", "bob", "cyd", "dan")
PEOPLE = [ratings(60, user=user, genre=genre) for user, genre in zip(NAMES, ("war", "drama", "crime", "horror"), strict=True)]


class Watched(Counting):
    """Counts its calls, and how many of them there were at once."""

    def __init__(self, capacity: int = 1) -> None:
        self.capacity = capacity
        self.num_calls = self.num_at_once = self.most_at_once = 0

    async def evolve(self, prompt: Prompt, *, request_id: str) -> CallResult:
        self.num_calls += 1
        self.num_at_once += 1
        self.most_at_once = max(self.most_at_once, self.num_at_once)
        await asyncio.sleep(0)
        self.num_at_once -= 1
        return await super().evolve(prompt, request_id=request_id)


def told(exam: Exam, setting: Setting, summaries: Summaries | None = None) -> Told:
    return asyncio.run((summaries or Summaries(Counting(), POLICY)).views(exam, setting))


def texts(events: Sequence[Event], cuts: Sequence[int], policy: Policy = POLICY) -> list[str]:
    return [version.text for version in asyncio.run(evolve(events, cuts, Counting(), policy))]


def test_no_summary_tells_nothing() -> None:
    assert told(exam_of(PEOPLE, 10, 20), NoSummary()) == Told((View(),) * 8, (None,) * 8)


def test_the_direct_history_ends_at_the_question() -> None:
    views = told(exam_of(PEOPLE[:1], 20, 10), Direct()).views
    assert [view.evidence for view in views] == [tuple(map(evidence_of, PEOPLE[0][:after])) for after in (20, 10)]
    assert {view.text for view in views} == {""}


@pytest.mark.parametrize(
    ("setting", "cuts"),
    [(Full(), [[20], [40]]), (Streaming(2), [[10, 20], [20, 40]]), (Flushed(20), [[20], [20, 40]])],
)
def test_a_summary_covers_exactly_what_may_be_known(setting: Own, cuts: list[list[int]]) -> None:
    made = told(exam_of(PEOPLE[:1], 40, 20), setting)
    assert [view.text for view in made.views] == [texts(PEOPLE[0], one)[-1] for one in reversed(cuts)]
    assert [version.num_covered for version in made.versions if version] == [40, 20]


def test_what_comes_after_the_question_changes_no_view() -> None:
    other = [(*events[:40], *ratings(60, user=events[0].user, genre="musical")[40:]) for events in PEOPLE]
    for setting in (Direct(), Full(), Streaming(2), Flushed(20), LastChunk(20), TextOnly(Streaming(2)), AnotherPersons(Full())):
        assert told(exam_of(other, 40), setting).views == told(exam_of(PEOPLE, 40), setting).views


def test_the_last_chunk_knows_nothing_before_it() -> None:
    made = told(exam_of(PEOPLE[:1], 40), LastChunk(20))
    assert made.views[0].text == texts(PEOPLE[0][20:], [20])[0]
    assert "Ada 19" not in made.views[0].text


def test_text_only_is_made_without_a_tally() -> None:
    made = told(exam_of(PEOPLE[:1], 40), TextOnly(Streaming(2)))
    assert made.views[0].text == texts(PEOPLE[0], [20, 40], replace(POLICY, keeps_tally=False))[-1]


def test_flushes_are_made_once_for_all_the_questions_behind_them() -> None:
    writer = Watched()
    exam, advanced = exam_of(PEOPLE, 20, 60, 40), list[None]()
    summaries = Summaries(writer, POLICY)
    assert summaries.num_updates(exam, Flushed(20)) == 12
    made = asyncio.run(summaries.views(exam, Flushed(20), lambda: advanced.append(None)))
    assert (writer.num_calls, len(made.updates), len(advanced), summaries.num_updates(exam, Flushed(20))) == (12, 12, 12, 0)


def test_another_exam_and_setting_make_only_what_is_new() -> None:
    writer = Watched()
    summaries = Summaries(writer, POLICY)
    for exam, setting, num_calls in (
        (exam_of(PEOPLE, 40), Streaming(2), 8),
        (exam_of(PEOPLE[:2], 40), Streaming(2), 8),
        (exam_of(PEOPLE, 40), AnotherPersons(Streaming(2), 5), 8),
        (exam_of(PEOPLE, 40), TextOnly(Streaming(2)), 16),
        (exam_of([ratings(60, user="ada", genre="opera")], 40), Streaming(2), 18),
    ):
        views = told(exam, setting, summaries).views
        assert (writer.num_calls, len(views)) == (num_calls, len(exam.questions))
    assert "opera" in views[0].text


@pytest.mark.parametrize("seed", range(5))
def test_another_persons_summary_is_never_ones_own_and_nobodys_is_told_twice(seed: int) -> None:
    exam = exam_of(PEOPLE, 20, 40)
    made = told(exam, AnotherPersons(Full(), seed))
    assert all(
        version and version.user != question.user and version.num_events == question.after
        for question, version in zip(exam.questions, made.versions, strict=True)
    )
    assert len({view.text for view in made.views}) == len(exam.questions)


def test_other_seeds_are_other_shuffles() -> None:
    shuffles = {told(exam_of(PEOPLE, 40), AnotherPersons(Full(), seed)).views for seed in range(12)}
    assert len(shuffles) == 6  # rings of four


def test_another_persons_summary_takes_another_person() -> None:
    with pytest.raises(ValueError, match="two people"):
        told(exam_of(PEOPLE[:1], 40), AnotherPersons(Full()))


def test_who_has_too_few_events_is_not_asked() -> None:
    with pytest.raises(NoSuchCut, match="leave these people out"):
        told(exam_of(PEOPLE, 20), Streaming(5))


def test_people_run_beside_each_other_as_many_as_the_writer_takes() -> None:
    writer = Watched(capacity=2)
    told(exam_of(PEOPLE, 40), Streaming(2), Summaries(writer, POLICY))
    assert writer.most_at_once == 3  # and one more, whose prompt is written meanwhile


async def test_a_run_that_is_cancelled_ends_soon() -> None:
    """What a model answered until then is kept by what remembers its answers."""
    exam, summaries = exam_of([ratings(20, user=f"user-{number}") for number in range(30)], 20), Summaries(Counting(), POLICY)
    made: list[bool] = []
    run = asyncio.create_task(summaries.views(exam, Full(), lambda: made.append(run.cancel())))
    with pytest.raises(asyncio.CancelledError):
        await run
    assert 1 <= len(made) < 5


class Away(Watched):
    """Goes away after three answers."""

    async def evolve(self, prompt: Prompt, *, request_id: str) -> CallResult:
        if self.num_calls < 3:
            return await super().evolve(prompt, request_id=request_id)
        return Unavailable("connection", "refused")


def test_an_outage_ends_the_run_with_what_to_do() -> None:
    summaries = Summaries(Away(), POLICY, Patience(0.0, 0.0, 0.0))
    with pytest.raises(WriterUnavailable, match="start it again"):
        told(exam_of(PEOPLE, 40), Streaming(2), summaries)
