"""A person's versions are what a worker would have made of the same flushes, and what is rejected waits for the next one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from evaluation.evolving import Patience, Policy, Timed, Version, WriterUnavailable, evolve
from model_server.counting import Counting
from prefstream.events import Event, Item, Rating
from prefstream.summaries import Tally
from streams.evidence import evidence_of
from streams.evolution.fitting import Context
from streams.evolution.guards import GuardLimits
from streams.evolution.plain import FIRMLY, Plain, parse_prompt
from streams.evolution.records import CallResult, Completion, Prompt, Refused, Unavailable, Update
from streams.tally import fold

AT = datetime(2026, 1, 5, tzinfo=UTC)
POLICY = Policy(Plain())
AT_ONCE = Patience(first_seconds=0.0, max_seconds=0.0, total_seconds=0.05)
BAD = Completion("", "stop", prompt_tokens=10, completion_tokens=1)
LONG = Completion("word " * 400, "length", prompt_tokens=10, completion_tokens=240)
AWAY = Unavailable("connection", "refused")


def ratings(number: int) -> list[Event]:
    return [
        Rating(user="ada", at=AT + timedelta(minutes=at), item=Item(str(at), f"Film {at}", {"genre": ("war",)}), value=5.0)
        for at in range(number)
    ]


class Scripted:
    """Answers as it is told, and then as the counting engine."""

    capacity = 1

    def __init__(self, *answers: CallResult) -> None:
        self.answers = list(answers)
        self.prompts: list[Prompt] = []

    async def evolve(self, prompt: Prompt, *, request_id: str) -> CallResult:
        self.prompts.append(prompt)
        return self.answers.pop(0) if self.answers else await Counting().evolve(prompt, request_id=request_id)

    @property
    def events_asked(self) -> list[int]:
        return [len(parts.events) for prompt in self.prompts if (parts := parse_prompt(prompt))]


def versions(
    writer: Scripted, cuts: Sequence[int], policy: Policy = POLICY, patience: Patience = AT_ONCE
) -> tuple[Version, ...]:
    return asyncio.run(evolve(ratings(max([0, *cuts])), cuts, writer, policy, patience))


def update_of(number: int) -> Update:
    evidence = tuple(map(evidence_of, ratings(number)))
    return Update("", fold(Tally(), evidence), evidence)


def covered(made: Sequence[Version]) -> list[int]:
    return [version.num_covered for version in made]


def test_each_cut_is_one_update_of_what_came_since_the_last() -> None:
    writer = Scripted()
    made = versions(writer, [2, 5, 6])
    assert (covered(made), writer.events_asked) == ([2, 5, 6], [2, 3, 1])
    assert [parts.old_text for prompt in writer.prompts if (parts := parse_prompt(prompt))] == ["", made[0].text, made[1].text]
    assert made[-1].tally == fold(Tally(), map(evidence_of, ratings(6)))
    assert made[-1].text.startswith('Loves war. Favourites: "Film 5"')
    assert (made[-1].num_calls, made[-1].rejections, made[-1].user) == (1, (), "ada")
    assert made[-1].tokens > 0 < made[-1].prompt_tokens


def test_a_rejected_answer_is_asked_for_once_more() -> None:
    writer = Scripted(LONG)
    (made,) = versions(writer, [2])
    first, again = writer.prompts
    assert (again.num_repeats, FIRMLY in again.turns[-1].content, FIRMLY in first.turns[-1].content) == (1, True, False)
    assert (made.num_covered, made.num_calls, made.rejections) == (2, 2, ("finish_reason",))
    assert made.completion_tokens > LONG.completion_tokens


def test_what_is_rejected_twice_waits_for_the_next_cut() -> None:
    writer = Scripted(BAD, BAD)
    first, second = versions(writer, [2, 5])
    assert (first.num_covered, first.text, first.tally, first.rejections) == (0, "", Tally(), ("empty", "empty"))
    assert (second.num_covered, writer.events_asked, second.rejections) == (5, [2, 2, 5], ())


def test_a_rejected_rewrite_keeps_the_old_version() -> None:
    writer = Scripted(Completion("Enjoys war films, the newest ones most of all.", "stop"), BAD, BAD)
    first, second = versions(writer, [2, 5])
    assert (second.text, second.tally, covered([first, second])) == (first.text, first.tally, [2, 2])


def test_a_prompt_that_is_refused_is_not_asked_again_at_once() -> None:
    writer = Scripted(Refused(400, "no"))
    made = versions(writer, [2, 3])
    assert (covered(made), made[0].rejections, writer.events_asked) == ([0, 3], ("refused",), [2, 3])


def test_an_outage_is_waited_for_and_is_no_call_that_failed() -> None:
    (made,) = versions(Scripted(AWAY, AWAY), [2])
    assert (made.num_covered, made.num_calls, made.rejections) == (2, 1, ())


def test_an_outage_that_does_not_end_says_what_to_do() -> None:
    with pytest.raises(WriterUnavailable, match=r"start it again \(python -m model_server.serve PROFILE\)"):
        versions(Scripted(*[AWAY] * 1_000_000), [2])


def test_a_server_that_wants_another_key_is_not_waited_for() -> None:
    writer = Scripted(Unavailable("misconfigured", "HTTP 401"), AWAY)
    with pytest.raises(WriterUnavailable, match=r"correct .* the key \(misconfigured: HTTP 401\)"):
        versions(writer, [2])
    assert len(writer.prompts) == 1


def test_without_a_tally_the_text_is_the_only_memory() -> None:
    writer = Scripted()
    made = versions(writer, [2, 5], replace(POLICY, keeps_tally=False))
    assert [parts.claims.sections for prompt in writer.prompts if (parts := parse_prompt(prompt))] == [(), ()]
    assert [version.tally for version in made] == [Tally(), Tally()]
    assert "Film 0" in made[1].text  # out of the old text: no prompt but the first names it as an event


def test_what_one_prompt_has_no_room_for_is_updated_at_once() -> None:
    needed = Context().taken_by(Plain().write_prompt(update_of(2)))
    writer = Scripted()
    (made,) = versions(writer, [4], replace(POLICY, context=Context(needed)))
    assert made.num_covered == 4
    assert made.num_calls == len(writer.prompts) > 1
    assert sum(writer.events_asked) == 4


def test_without_a_tally_none_is_shown_either_where_a_prompt_has_no_room() -> None:
    needed = Context().taken_by(Plain().write_prompt(update_of(2)))
    writer = Scripted()
    versions(writer, [4], replace(POLICY, keeps_tally=False, context=Context(needed)))
    assert len(writer.prompts) > 1
    assert [parts.claims.sections for prompt in writer.prompts if (parts := parse_prompt(prompt))] == [()] * len(writer.prompts)


def test_an_answer_of_before_takes_the_seconds_of_then() -> None:
    (made,) = versions(Scripted(Timed("Enjoys war films most of all.", "stop", seconds=12.5)), [2])
    assert made.seconds == 12.5


def test_the_budget_is_the_limits() -> None:
    (made,) = versions(Scripted(), [30], replace(POLICY, limits=GuardLimits(max_tokens=60)))
    assert 0 < made.tokens <= 60


@pytest.mark.parametrize("cuts", [[0], [2, 2], [3, 2], [-1, 2]])
def test_cuts_rise(cuts: list[int]) -> None:
    with pytest.raises(ValueError, match="cuts of"):
        versions(Scripted(), cuts)


def test_no_cut_lies_behind_the_last_event() -> None:
    with pytest.raises(ValueError, match="cuts of 2 events"):
        asyncio.run(evolve(ratings(2), [3], Scripted(), POLICY))
