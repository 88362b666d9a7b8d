"""Dispatch calls for who has been due longest, one call a user, and sits out an outage without blaming anybody."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import msgspec
import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

import agents.dispatch
import agents.write_back
import streams.evolution.attempts
from agents.dispatch import Dispatch
from agents.failed_calls import FailedCalls
from agents.metrics import Metrics
from agents.spare import Spare
from agents.spending import Spending
from agents.store import Shard
from agents.tracing import OFF, Tracing
from agents.write_back import WriteBack
from model_server.tokenizer import estimated
from prefstream.events import Event, Item, Post, Skip
from prefstream.summaries import ModelUsed, Summary
from streams.availability import Availability
from streams.budgets import Budgets
from streams.evidence import Evidence, evidence_of
from streams.evolution.dialects import Dialect
from streams.evolution.fitting import MARGIN_TOKENS, Context
from streams.evolution.guards import GuardLimits
from streams.evolution.plain import FIRMLY, Plain, parse_prompt
from streams.evolution.records import CallResult, Completion, Prompt, Refused, Unavailable, Update
from streams.failures import Failures
from streams.records import encode_arrival
from streams.redaction import DEFAULT_REDACTION
from streams.sparing import DEFAULT_SPARING
from tests.agents.scripted import (
    KEPT_AN_HOUR,
    NAMES,
    POLICY,
    TABLES,
    Lettered,
    Opened,
    arrival_of,
    counted,
    every_flush,
    open_partition,
    others_run,
    stops_recorded,
    until,
)
from tests.agents.spans_kept import Kept, spans_to

AT = datetime(2026, 1, 5, 20, 15, tzinfo=UTC)
START_MS = 2_000_000
GOOD = Completion("Loves war.", "stop", prompt_tokens=30, completion_tokens=3)


class ScriptedModel:
    """Calls wait in ``calls`` until the test answers them."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.calls: list[tuple[Prompt, asyncio.Future[CallResult]]] = []
        self.request_ids: list[str] = []
        self.headers: list[Mapping[str, str]] = []
        self.num_cancelled = 0

    async def evolve(self, prompt: Prompt, *, request_id: str, headers: Mapping[str, str]) -> CallResult:
        answer = asyncio.get_running_loop().create_future()
        self.calls.append((prompt, answer))
        self.request_ids.append(request_id)
        self.headers.append(headers)
        try:
            result: CallResult = await answer
        except asyncio.CancelledError:
            self.num_cancelled += 1
            raise
        return result

    def answer(self, result: CallResult, at: int = 0) -> str:
        """Answer the call that waits at this place; returns what the prompt quoted of its newest event."""
        prompt, answer = self.calls.pop(at)
        answer.set_result(result)
        parts = parse_prompt(prompt)
        assert parts is not None
        return parts.events[-1]


NO_BUDGETS = Budgets()


class Running:
    """Dispatch on one open partition, with a clock that stands still until the test moves it."""

    def __init__(
        self,
        opened: Opened,
        capacity: int,
        context: Context,
        dialect: Dialect,
        monkeypatch: pytest.MonkeyPatch,
        budgets: Budgets = NO_BUDGETS,
        tracing: Tracing = OFF,
    ) -> None:
        self.opened, self.owned, self.index = opened, opened.owned, opened.owned.index
        self.model, self.metrics = ScriptedModel(capacity), Metrics()
        self.now_ms, self.may_start, self.num_stored = START_MS, True, 0
        for module in ("dispatch", "write_back", "failed_calls", "spending"):
            monkeypatch.setattr(f"agents.{module}._now_ms", lambda: self.now_ms)
        client: Any = self.model
        self.lettered, self.availability = Lettered(), Availability(POLICY)
        outbox: Any = self.lettered
        failed_calls = FailedCalls(POLICY, self.availability, outbox, {"T1": "ratings"}, self.metrics)
        limits, model_used = GuardLimits(max_tokens=160), ModelUsed(name="counting")
        self.spending = Spending(opened.partitions, 1, budgets, self.metrics)
        self.spending.restore()
        write_back = WriteBack(dialect, estimated(), limits, model_used, self.availability, failed_calls, self.metrics)
        self.dispatch = Dispatch(
            self.spending,
            client,
            dialect,
            self.availability,
            write_back,
            failed_calls,
            Spare(
                model_used,
                write_back,
                failed_calls,
                self.metrics,
                max_summary_tokens=160,
                redaction=DEFAULT_REDACTION,
                policy=DEFAULT_SPARING,
            ),
            every_flush(tracing),
            self.metrics,
            max_summary_tokens=160,
            context=context,
            redaction=DEFAULT_REDACTION,
            may_start=lambda: self.may_start,
        )
        self.task = asyncio.create_task(self.dispatch.run())

    def store(self, user: str, num_events: int = 1, at_ms: int = START_MS) -> None:
        """New events of this user are pending; three make the user due at once."""
        for _ in range(num_events):
            self.keep(Post(user=user, at=AT, text=f"{user} {self.num_stored + 1}"), at_ms)

    def keep(self, event: Event, at_ms: int = START_MS) -> None:
        """A new event is pending."""
        offset = self.num_stored = self.num_stored + 1
        user, arrival = event.user.encode(), arrival_of(event, offset, at_ms)
        assert self.index.admit(user, offset, arrival, self.owned.known(user)) == "accepted"
        self.owned.append(user, offset, encode_arrival(arrival))

    def version(self, user: str) -> int:
        summary = self.owned.summary(user.encode())
        return summary.version if summary else 0

    async def calls(self, number: int) -> None:
        """Wait until so many calls wait for an answer, and see that there are no more."""
        await until(lambda: len(self.model.calls) >= number)
        await others_run()
        assert len(self.model.calls) == number

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])
        await self.dispatch.cancel()
        await self.opened.close()


DEFAULT = Context()
PLAIN = Plain()


class Run(Protocol):
    """Starts dispatch with so many calls at once, and a model of this context and dialect."""

    def __call__(
        self,
        capacity: int,
        context: Context = DEFAULT,
        dialect: Dialect = PLAIN,
        budgets: Budgets = NO_BUDGETS,
        tracing: Tracing = OFF,
    ) -> Running: ...


@pytest.fixture
async def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Run]:
    monkeypatch.setattr("agents.writer._LINGER_SECONDS", 0)
    monkeypatch.setattr("agents.dispatch._LOOK_AGAIN_SECONDS", 0)
    opened = await open_partition(tmp_path, monkeypatch)
    started: list[Running] = []

    def run(
        capacity: int,
        context: Context = DEFAULT,
        dialect: Dialect = PLAIN,
        budgets: Budgets = NO_BUDGETS,
        tracing: Tracing = OFF,
    ) -> Running:
        started.append(Running(opened, capacity, context, dialect, monkeypatch, budgets, tracing))
        return started[-1]

    yield run
    for one in started:
        await one.stop()


async def test_who_is_due_is_called_for_and_the_answer_is_their_summary(run: Run) -> None:
    one = run(4)
    one.store("ada", 3)
    one.store("bob", 2)
    await one.calls(1)
    assert one.model.answer(GOOD) == 'wrote "ada 3"'
    await until(lambda: one.version("ada") and b"ada" not in one.index)
    assert (one.version("bob"), one.index.num_events, one.dispatch.num_in_flight) == (0, 2, 0)
    one.now_ms += 10_000
    await one.calls(1)
    assert one.model.answer(GOOD) == 'wrote "bob 5"'
    await until(lambda: one.version("bob") and b"bob" not in one.index)
    counts = counted(one.metrics)
    assert (counts["flushes size"], counts["flushes age"], counts["applied_events"], counts["summaries"]) == (1, 1, 5, 2)
    assert one.metrics.registry.get_sample_value("prefstream_call_seconds_count") == 2


async def test_taking_somebody_up_and_coming_to_an_end_are_steps_and_a_call_in_flight_is_work(run: Run) -> None:
    """What the watchdog asks: a call that hangs is work without a step."""
    one = run(4)
    assert not one.dispatch.has_work(one.now_ms)
    one.store("ada", 3)
    assert one.dispatch.has_work(one.now_ms)
    await one.calls(1)
    assert (one.dispatch.num_steps, one.dispatch.has_work(one.now_ms)) == (1, True)
    one.model.answer(GOOD)
    await until(lambda: not one.dispatch.num_in_flight)
    assert (one.dispatch.num_steps, one.dispatch.has_work(one.now_ms)) == (2, False)


def lines(prompt: Prompt) -> int:
    """A tokenizer for whom every event is a token, and nothing else is."""
    return prompt.turns[-1].content.count('wrote "')


FOR_TWO = Context(max_tokens=2 + 240 + MARGIN_TOKENS, count_tokens=lines)


async def test_events_that_do_not_fit_the_prompt_go_with_the_next_flush(run: Run) -> None:
    one = run(4, FOR_TWO)
    one.store("ada", 3)
    await one.calls(1)
    assert one.model.answer(GOOD) == 'wrote "ada 2"'
    await until(lambda: one.version("ada") == 1 and one.index.num_events == 1)
    summary = one.owned.summary(b"ada")
    assert summary is not None
    assert (summary.position, summary.num_new_events, one.index.next_due_at_ms()) == (2, 2, START_MS + 10_000)
    one.now_ms += 10_000
    await one.calls(1)
    assert one.model.answer(GOOD) == 'wrote "ada 3"'
    await until(lambda: b"ada" not in one.index)
    await one.opened.partitions.flush()
    counts = counted(one.metrics)
    assert (counts["applied_events"], counts["prompt_cuts events"]) == (3, 1)
    assert list(one.opened.pending.scan(b"e")) == []


async def test_only_what_was_in_the_prompt_is_suspect(run: Run) -> None:
    one = run(1, FOR_TWO)
    one.store("ada", 3)
    for _ in range(2):
        await one.calls(1)
        one.model.answer(BAD)
    await until(lambda: not one.dispatch.num_in_flight)
    await one.opened.partitions.flush()
    assert one.owned.failures(b"ada").suspect_to == 2


async def test_a_prompt_carries_the_old_text_and_every_event_of_the_step(run: Run) -> None:
    one = run(1)
    one.store("ada", 3)
    await one.calls(1)
    one.model.answer(GOOD)
    await until(lambda: b"ada" not in one.index)
    one.store("ada", 3)
    await one.calls(1)
    parts = parse_prompt(one.model.calls[0][0])
    assert parts is not None
    assert (parts.old_text, parts.events) == ("Loves war.", ('wrote "ada 4"', 'wrote "ada 5"', 'wrote "ada 6"'))
    assert parts.max_summary_tokens == 160


async def test_one_user_has_one_call_however_much_arrives(run: Run) -> None:
    one = run(8)
    one.store("ada", 9)
    await one.calls(1)
    one.model.answer(GOOD)
    await until(lambda: one.version("ada") == 1 and one.model.calls)
    await one.calls(1)
    one.model.answer(GOOD)
    await one.calls(1)
    one.model.answer(GOOD)
    await until(lambda: one.version("ada") == 3 and b"ada" not in one.index)
    assert counted(one.metrics)["applied_events"] == 9


@pytest.mark.parametrize(("capacity", "in_flight"), [(1, 2), (4, 5), (8, 10)])
async def test_no_more_calls_than_the_model_takes_and_a_quarter(run: Run, capacity: int, in_flight: int) -> None:
    one = run(capacity)
    for number in range(12):
        one.store(f"u{number}", 3)
    await one.calls(in_flight)
    assert one.dispatch.num_in_flight == in_flight
    one.model.answer(GOOD)
    await one.calls(in_flight)
    assert counted(one.metrics)["flushes size"] == in_flight + 1


async def test_what_the_model_takes_is_learned_while_it_runs(run: Run) -> None:
    one = run(8)
    one.model.capacity = 0  # every replica is away
    for number in range(12):
        one.store(f"u{number}", 3)
    for capacity, in_flight in [(0, 1), (2, 3), (1, 3)]:
        one.model.capacity = capacity
        await one.calls(in_flight)


async def test_who_has_been_due_longest_is_called_for_first_in_whatever_partition(run: Run, tmp_path: Path) -> None:
    one = run(1)
    one.may_start = False
    shards = {topic: Shard(tmp_path / "other" / topic, KEPT_AN_HOUR) for topic in TABLES}
    await one.opened.partitions.open(1, shards)
    other = one.opened.partitions.get(1)
    assert other is not None
    for user, waits_ms in [("second", 2_000), ("fourth", 500)]:
        one.store(user, 1, START_MS - waits_ms)
    one.owned, one.index = other, other.index
    for user, waits_ms in [("third", 1_000), ("first", 3_000)]:
        one.store(user, 1, START_MS - waits_ms)
    one.now_ms += 60_000
    one.may_start = True
    called = []
    for waiting in (2, 2, 2, 1):
        await one.calls(waiting)
        called.append(one.model.answer(GOOD).split()[1].strip('"'))
    assert called == ["first", "second", "third", "fourth"]
    await one.opened.partitions.close()
    for shard in shards.values():
        shard.close()


async def test_a_request_is_named_once_and_names_nobody(run: Run) -> None:
    one = run(8)
    for number in range(8):
        one.store(f"kim{number}", 3)
    await one.calls(8)
    assert len(set(one.model.request_ids)) == 8
    assert not any("kim" in request_id for request_id in one.model.request_ids)


AWAY = Unavailable("connection", "refused")


async def answer_all(one: Running, result: CallResult) -> None:
    while one.model.calls:
        one.model.answer(result)
    await until(lambda: not one.dispatch.num_in_flight)


async def test_an_outage_pauses_everybody(run: Run) -> None:
    one = run(4)
    for number in range(9):
        one.store(f"u{number}", 3)
    await one.calls(5)
    await answer_all(one, AWAY)
    # Five calls that met the same outage are one outage; then one call at a time asks, less and less often.
    for pause_ms in (1_000, 2_000, 4_000, 8_000, 10_000, 10_000):
        one.now_ms += pause_ms - 1
        await one.calls(0)
        one.now_ms += 1
        await one.calls(1)
        await answer_all(one, AWAY)
    one.now_ms += 10_000
    await one.calls(1)
    one.model.answer(GOOD)
    await one.calls(5)
    assert counted(one.metrics)["calls unavailable"] == 11


@pytest.mark.parametrize(
    ("outage", "says_what_to_do"),
    [(AWAY, True), (Unavailable("no_replica", "none takes calls"), True), (Unavailable("overloaded", "HTTP 503"), False)],
)
async def test_where_no_server_is_reached_the_log_says_what_to_do(run: Run, outage: Unavailable, says_what_to_do: bool) -> None:
    with capture_logs() as lines:
        one = run(4)
        for user in ("ada", "bob"):
            one.store(user, 3)
        await one.calls(2)
        await answer_all(one, outage)
        await until(lambda: any(line["event"] == "the model is away" for line in lines))
    away = next(line for line in lines if line["event"] == "the model is away")
    assert ("PREFSTREAM_MODEL_URL" in away.get("fix", "")) == says_what_to_do


async def test_an_outage_burns_nobodys_attempts(run: Run) -> None:
    one = run(1)
    one.store("ada", 3)
    for result, waits_ms in ((AWAY, 1_000), (AWAY, 2_000), (AWAY, 4_000), (Refused(400, "a first failure"), 1_000)):
        await one.calls(1)
        await answer_all(one, result)
        one.now_ms += waits_ms - 1
        await one.calls(0)
        one.now_ms += 1
    await one.calls(1)


async def test_the_model_says_how_long_it_wants_to_be_left_alone(run: Run) -> None:
    one = run(1)
    one.store("ada", 3)
    await one.calls(1)
    await answer_all(one, Unavailable("overloaded", "HTTP 503", retry_after_seconds=30.0))
    one.now_ms += 29_999
    await one.calls(0)
    assert not one.dispatch.has_work(one.now_ms)  # and the watchdog does not take that for a stall
    one.now_ms += 1
    assert one.dispatch.has_work(one.now_ms)
    await one.calls(1)


async def test_any_answer_ends_an_outage(run: Run) -> None:
    one = run(4)
    for number in range(9):
        one.store(f"u{number}", 3)
    await one.calls(5)
    await answer_all(one, AWAY)
    one.now_ms += 1_000
    await one.calls(1)
    one.model.answer(Refused(400, "a prompt is bad"))
    await one.calls(5)
    await answer_all(one, AWAY)
    one.now_ms += 999
    await one.calls(0)
    one.now_ms += 1
    await one.calls(1)


async def test_events_that_say_nothing_new_cost_no_call(run: Run) -> None:
    one = run(1)
    one.store("ada", 3)
    await one.calls(1)
    one.model.answer(GOOD)
    await until(lambda: one.version("ada") == 1)
    for number in range(60):
        one.keep(Skip(user="ada", at=AT, item=Item(id=f"i{number}")))
    await until(lambda: one.version("ada") == 21 and b"ada" not in one.index)
    await one.calls(0)
    counts = counted(one.metrics)
    assert (counts["spared_calls size"], counts["spared_events"], counts["flushes size"]) == (20, 60, 1)


async def test_a_call_that_is_spared_is_no_probe_of_an_outage(run: Run) -> None:
    one = run(1)
    one.store("ada", 3)
    await one.calls(1)
    one.model.answer(GOOD)
    await until(lambda: one.version("ada") == 1 and not one.dispatch.num_in_flight)
    one.store("bob", 3)
    await one.calls(1)
    one.model.answer(AWAY)
    await until(lambda: one.availability.is_away)
    for number in range(3):
        one.keep(Skip(user="ada", at=AT, item=Item(id=f"i{number}")))
    one.now_ms += 1_000
    await until(lambda: one.version("ada") == 2)
    await one.calls(1)
    assert one.model.answer(GOOD) == 'wrote "bob 6"'
    await until(lambda: one.version("bob") == 1)


async def test_a_user_whose_call_failed_waits_and_nobody_else_does(run: Run) -> None:
    one = run(1)
    one.store("ada", 3)
    await one.calls(1)
    one.model.answer(Refused(400, "ada's prompt is bad"))
    one.store("bob", 3)
    await one.calls(1)
    assert one.model.answer(GOOD) == 'wrote "bob 6"'
    await one.calls(0)
    one.now_ms += 1_000
    await one.calls(1)
    assert (one.version("ada"), one.version("bob")) == (0, 1)


BAD = Completion("", "stop")


TOO_LONG = Completion("Loves war.", "stop", completion_tokens=161)
CUT = Completion("Loves", "length")
LOOPED = Completion("action " * 9, "stop")


@pytest.mark.parametrize(("first", "is_firm"), [(TOO_LONG, True), (CUT, True), (LOOPED, False), (BAD, False)])
async def test_a_rejected_answer_is_asked_for_once_more_at_once_in_its_place(
    run: Run, first: Completion, is_firm: bool
) -> None:
    one = run(1)
    for user in ("ada", "bob", "eve"):
        one.store(user, 3)
    await one.calls(2)
    one.model.answer(first)
    await one.calls(2)  # eve does not come in between
    prompt = one.model.calls[1][0]
    assert (prompt.num_repeats, FIRMLY in prompt.turns[-1].content) == (1, is_firm)
    assert one.model.answer(GOOD, at=1) == 'wrote "ada 3"'
    await until(lambda: one.version("ada") == 1)
    counts = counted(one.metrics)
    assert (counts["calls completion"], sum("rescued" in name for name in counts), "failed_calls rejected" in counts) == (
        2,
        1,
        False,
    )
    assert len(set(one.model.request_ids[:3])) == 3


async def test_who_is_rejected_twice_waits_as_after_any_failure(run: Run) -> None:
    one = run(1)
    one.store("ada", 3)
    for _ in range(2):
        await one.calls(1)
        one.model.answer(LOOPED)
    await until(lambda: not one.dispatch.num_in_flight)
    await one.calls(0)
    assert counted(one.metrics)["failed_calls rejected"] == 1
    one.now_ms += 1_000
    await one.calls(1)
    parts = parse_prompt(one.model.calls[0][0])
    assert parts is not None
    assert parts.events == ('wrote "ada 1"',)  # half of what failed


async def test_a_repeated_call_that_nobody_answers_costs_nobody_an_attempt(run: Run) -> None:
    one = run(1)
    one.store("ada", 3)
    await one.calls(1)
    one.model.answer(BAD)
    await one.calls(1)
    await answer_all(one, AWAY)
    await one.calls(0)
    assert one.owned.failures(b"ada") == Failures()
    one.now_ms += 1_000
    await one.calls(1)
    one.model.answer(GOOD)
    await until(lambda: one.version("ada") == 1)


@pytest.mark.parametrize("why", ["a drain", "not ready"])
async def test_nothing_is_asked_again_when_nothing_may_start(run: Run, why: str) -> None:
    one = run(1)
    one.store("ada", 3)
    await one.calls(1)
    drain = None
    if why == "a drain":
        drain = asyncio.create_task(one.dispatch.drain(60))
        await others_run()
    else:
        one.may_start = False
    one.model.answer(BAD)
    await until(lambda: not one.dispatch.num_in_flight)
    await one.calls(0)
    assert counted(one.metrics)["failed_calls rejected"] == 1
    if drain:
        await drain


async def test_an_answer_to_a_repeated_call_for_a_partition_that_was_lost_is_dropped(run: Run) -> None:
    one = run(1)
    one.store("ada", 3)
    await one.calls(1)
    one.model.answer(BAD)
    await one.calls(1)
    one.owned.is_alive = False
    one.model.answer(GOOD)
    await until(lambda: not one.dispatch.num_in_flight)
    assert (one.version("ada"), counted(one.metrics)["calls stale"]) == (0, 1)
    one.owned.is_alive = True


async def decide(one: Running, is_poison: Callable[[str], bool]) -> None:
    """The model answers badly whatever says something poisonous, and everything else well, until nobody waits."""
    while one.index.num_users:
        await until(lambda: one.model.calls or one.index.next_due_at_ms() is not None or not one.index.num_users)
        if one.model.calls:
            parts = parse_prompt(one.model.calls[0][0])
            assert parts is not None
            one.model.answer(BAD if any(map(is_poison, parts.events)) else GOOD)
        elif (due_at_ms := one.index.next_due_at_ms()) is not None:
            one.now_ms = max(one.now_ms, due_at_ms) + 1
            for number in range(20):
                one.availability.accepted(b"other %d" % number, one.now_ms)
        await others_run()


async def test_one_poison_event_is_given_up_and_everything_else_is_applied(run: Run) -> None:
    one = run(4)
    one.store("ada", 9)
    one.store("bob", 4)
    await decide(one, lambda event: event in ('wrote "ada 5"', 'wrote "bob 10"'))
    await one.opened.partitions.flush()
    num_events = {user: summary.num_events for user in ("ada", "bob") if (summary := one.owned.summary(user.encode()))}
    assert num_events == {"ada": 8, "bob": 3}
    assert [(letter.key, letter.origin.offset, letter.attempts) for letter in one.lettered.letters] == [
        (b"ada", 5, 3),
        (b"bob", 10, 3),
    ]
    letter = one.lettered.letters[0]
    assert letter.value is not None
    assert msgspec.json.decode(letter.value, type=Post) == Post(user="ada", at=AT, text="ada 5")
    assert (letter.reason, letter.source, letter.message) == ("poison", "ratings", "rejected: empty: the answer has no words")
    assert [one.owned.failures(user) for user in (b"ada", b"bob")] == [Failures(1, 5), Failures(1, 10)]
    assert list(one.opened.pending.scan(b"e")) == []
    counts = counted(one.metrics)
    assert (counts["dead_letters poison"], counts["applied_events"]) == (2, 11)


def meets(of: Callable[..., Any], has: Callable[..., Sequence[Evidence]]) -> Callable[..., Any]:
    """The function with a defect that ada's fifth event meets, where the evidence of a call or its result ``has`` it."""

    def defective(*arguments: Any, **options: Any) -> Any:
        result = of(*arguments, **options)
        if any(one.quote == "ada 5" for one in has(result, *arguments, **options)):
            raise ZeroDivisionError("a secret of ada")
        return result

    return defective


DEFECTIVE: dict[str, tuple[Any, str, Callable[..., Sequence[Evidence]]]] = {
    "step": (agents.dispatch, "step_from", lambda step, *_: step.evidence),
    "fitting": (agents.dispatch, "fit", lambda fitted, *_: fitted.step.evidence),
    "prompt": (Plain, "write_prompt", lambda _, dialect, update: update.evidence),
    "answer": (Plain, "read_answer", lambda _, dialect, completion, update: update.evidence),
    "verdict": (streams.evolution.attempts, "judge", lambda *_, evidence, **__: evidence),
    "version": (streams.evolution.attempts, "next_summary", lambda _, step, *__: step.evidence),
    "record": (agents.write_back, "encode_summary", lambda _, summary: [FIFTH] if covers_fifth(summary) else []),
}
FIFTH: Evidence = evidence_of(Post(user="ada", at=AT, text="ada 5"))


def covers_fifth(summary: Summary) -> bool:
    return summary.user == "ada" and summary.position - summary.num_new_events < 5 <= summary.position


@pytest.mark.parametrize("where", DEFECTIVE)
async def test_an_event_that_meets_a_defect_is_given_up_and_everything_else_is_applied(
    run: Run, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    owner, name, has = DEFECTIVE[where]
    monkeypatch.setattr(owner, name, meets(getattr(owner, name), has))
    stops, one = stops_recorded(monkeypatch, "agents.failstop"), run(4)
    with capture_logs() as lines:
        one.store("ada", 9)
        one.store("bob", 4)
        await decide(one, lambda event: False)
        await one.opened.partitions.flush()
    num_events = {user: summary.num_events for user in ("ada", "bob") if (summary := one.owned.summary(user.encode()))}
    assert (stops, num_events) == ([], {"ada": 8, "bob": 4})
    (letter,) = one.lettered.letters
    assert (letter.key, letter.origin.offset, letter.attempts) == (b"ada", 5, 3)
    assert letter.message.startswith("unprocessable: a defect of this version: ZeroDivisionError in defective, line ")
    (line,) = (line for line in lines if line["log_level"] == "error")
    assert line["where"] in letter.message
    assert "secret" not in f"{letter.message} {lines}"
    counts = counted(one.metrics)
    assert (counts["dead_letters poison"], counts["applied_events"], list(one.opened.pending.scan(b"e"))) == (1, 12, [])
    assert counts["failed_calls unprocessable"] >= 4


async def test_an_event_that_this_version_does_not_know_is_given_up(run: Run) -> None:
    one = run(4)
    unknown = {"type": "sneeze", "user": "ada", "at": AT}
    arrival = replace(
        arrival_of(Post(user="ada", at=AT, text="?"), 1, START_MS), event=msgspec.Raw(msgspec.msgpack.encode(unknown))
    )
    one.num_stored = 1
    assert one.index.admit(b"ada", 1, arrival, one.owned.known(b"ada")) == "accepted"
    one.owned.append(b"ada", 1, encode_arrival(arrival))
    one.store("ada", 3)
    await decide(one, lambda event: False)
    (letter,) = one.lettered.letters
    assert (letter.key, msgspec.json.decode(letter.value or b"")["type"], one.version("ada") > 0) == (b"ada", "sneeze", True)


async def test_a_defect_that_everybody_meets_costs_nobody_an_event(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def defective(dialect: Plain, update: Update) -> Prompt:
        raise ZeroDivisionError

    monkeypatch.setattr(Plain, "write_prompt", defective)
    stops, one = stops_recorded(monkeypatch, "agents.failstop"), run(4)
    for user in ("ada", "bob", "eve"):
        one.store(user, 3)
    for _ in range(60):
        one.now_ms = max(one.now_ms, one.index.next_due_at_ms() or 0)
        await until(lambda: not one.dispatch.num_in_flight and (one.index.next_due_at_ms() or 0) > one.now_ms)
    assert (stops, one.index.num_events, one.lettered.letters, one.model.calls) == ([], 9, [], [])
    assert one.owned.failures(b"ada").num_repeats > 5


async def test_a_defect_in_asking_again_is_the_users_failure(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    write = Plain.write_prompt

    def defective(dialect: Plain, update: Update) -> Prompt:
        return write(dialect, replace(update, max_summary_tokens=update.max_summary_tokens // (not update.is_firm)))

    monkeypatch.setattr(Plain, "write_prompt", defective)
    stops, one = stops_recorded(monkeypatch, "agents.failstop"), run(4)
    one.store("ada", 3)
    await one.calls(1)
    one.model.answer(TOO_LONG)
    await until(lambda: one.owned.failures(b"ada") != Failures())
    await one.calls(0)
    assert (stops, one.version("ada"), one.index.num_events) == ([], 0, 3)
    assert one.owned.failures(b"ada").reason.startswith("unprocessable: ")


@pytest.mark.parametrize("fault", [OSError("disk"), MemoryError("disk"), ImportError("disk")])
async def test_a_fault_of_this_machine_still_stops_the_worker(
    run: Run, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    def faulty(dialect: Plain, update: Update) -> Prompt:
        raise fault

    monkeypatch.setattr(Plain, "write_prompt", faulty)
    stops, one = stops_recorded(monkeypatch, "agents.failstop"), run(4)
    one.store("ada", 3)
    await until(lambda: stops)
    assert (stops, one.owned.failures(b"ada")) == (["evolve met something unexpected: disk"], Failures())


async def test_a_model_that_answers_nobody_well_costs_nobody_an_event(run: Run) -> None:
    one = run(4)
    for user in ("ada", "bob", "eve"):
        one.store(user, 3)
    for _ in range(40):
        while one.model.calls:
            one.model.answer(BAD)
            await others_run()
        one.now_ms = max(one.now_ms, one.index.next_due_at_ms() or 0)
        await until(lambda: one.model.calls or (one.index.next_due_at_ms() or 0) > one.now_ms)
    assert (one.index.num_events, one.lettered.letters) == (9, [])


async def test_a_user_alone_without_an_answer_is_no_outage(run: Run) -> None:
    one = run(1)
    one.store("ada", 3)
    await one.calls(1)
    one.model.answer(Unavailable("timeout", "no answer in time"))
    one.store("bob", 3)
    await one.calls(1)
    assert one.model.answer(GOOD) == 'wrote "bob 6"'
    await until(lambda: one.version("bob"))
    one.now_ms += 1_000
    await one.calls(1)


async def test_who_asks_and_hangs_does_not_keep_the_others_from_asking(run: Run) -> None:
    one = run(4)
    for user in ("ada", "bob"):
        one.store(user, 3)
    await one.calls(2)
    one.model.answer(AWAY)
    one.model.answer(AWAY)
    await until(lambda: not one.dispatch.num_in_flight)
    one.now_ms += 1_000
    await one.calls(1)
    one.now_ms += 1_000
    await one.calls(2)
    assert one.model.answer(GOOD, at=1).startswith('wrote "bob')


async def test_a_prompt_says_how_often_it_was_tried_in_vain(run: Run) -> None:
    one = run(1)
    one.store("ada")
    one.now_ms += 10_000
    for num_repeats in range(3):
        for at_once in range(2):
            await one.calls(1)
            assert one.model.calls[0][0].num_repeats == num_repeats + at_once
            one.model.answer(BAD)
        await until(lambda: not one.dispatch.num_in_flight)
        await one.opened.partitions.flush()
        one.now_ms += 10_000


async def test_nothing_starts_while_the_worker_is_not_ready(run: Run) -> None:
    one = run(4)
    one.may_start = False
    one.store("ada", 3)
    await one.calls(0)
    one.may_start = True
    await one.calls(1)


async def test_cancelled_calls_write_nothing(run: Run) -> None:
    one = run(4)
    one.store("ada", 3)
    one.store("bob", 3)
    await one.calls(2)
    one.may_start = False
    with capture_logs() as lines:
        await one.dispatch.cancel()
    assert [line["outcome"] for line in lines if line["event"] == "flush"] == ["cancelled"] * 2
    assert (one.model.num_cancelled, one.dispatch.num_in_flight) == (2, 0)
    await one.opened.partitions.flush()
    assert (one.version("ada"), one.index.num_events) == (0, 6)
    await one.dispatch.cancel()


async def test_the_models_server_and_the_record_are_told_of_which_trace_they_are(run: Run) -> None:
    kept = Kept()
    one = run(4, tracing=spans_to(kept, 1.0))
    one.store("ada", 3)
    await one.calls(1)
    one.model.answer(GOOD)
    await until(lambda: one.version("ada") == 1)
    await one.opened.partitions.flush()
    await until(lambda: len(kept.spans) == 3)
    chat, write_back, _ = kept.spans
    assert [headers["traceparent"].split("-")[2] for headers in one.model.headers] == [f"{chat.context.span_id:016x}"]
    batches = [one.opened.producer.sent.get_nowait() for _ in range(one.opened.producer.sent.qsize())]
    carried = [dict(headers)["traceparent"].decode() for batch in batches for headers in batch.headers if headers]
    assert [traceparent.split("-")[2] for traceparent in carried] == [f"{write_back.context.span_id:016x}"]


async def test_without_a_collector_neither_is_told_anything(run: Run) -> None:
    one = run(4)
    one.store("ada", 3)
    await one.calls(1)
    assert one.model.headers == [{}]


async def test_a_drain_finishes_what_is_in_flight_and_starts_nothing(run: Run) -> None:
    one = run(1)
    for user in ("ada", "bob", "eve"):
        one.store(user, 3)
    await one.calls(2)
    draining = asyncio.create_task(one.dispatch.drain(60))
    await others_run()
    one.model.answer(GOOD)
    await one.calls(1)
    assert not draining.done()
    one.model.answer(GOOD)
    await asyncio.wait_for(draining, 5)
    await one.calls(0)
    assert (one.version("ada"), one.version("bob"), one.version("eve")) == (1, 1, 0)


async def test_a_drain_does_not_wait_for_ever(run: Run) -> None:
    one = run(1)
    one.store("ada", 3)
    await one.calls(1)
    await one.dispatch.drain(0)
    assert (one.dispatch.num_in_flight, one.model.num_cancelled) == (1, 0)


async def test_what_nobody_expects_stops_the_worker(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    stops, one = stops_recorded(monkeypatch, "agents.failstop"), run(1)
    one.store("ada", 3)
    await one.calls(1)
    _, answer = one.model.calls.pop()
    answer.set_exception(ZeroDivisionError("a bug"))
    await until(lambda: stops)
    assert stops == ["evolve met something unexpected: a bug"]
    assert NAMES.summaries not in {topic for (topic, _), rows in one.opened.producer.log.items() if len(rows) > 1}
